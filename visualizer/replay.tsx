/** A trace, played: where in time, how fast, and what was wrong with the file. */
import { useRef } from 'preact/hooks'
import { SPEEDS } from './playback.ts'
import { closeTraces, fleet, moment, moveTo, openFile, play, playing, reading, speed, step, traces } from './store.ts'
import type { Trace } from './trace.ts'
import { clockTime, counted, fill, lasting, word } from './words.ts'

const accepted = '.ndjson,.hf.ndjson,.jsonl,.json,.log,.gz'

export const OpenTrace = ({ beside = false }: { beside?: boolean }) => {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <button type="button" class="small" onClick={() => input.current!.click()}>
        {word(beside ? 'secondTrace' : 'openTrace')}
      </button>
      <input
        class="gone"
        type="file"
        tabIndex={-1}
        id={beside ? 'file-2' : 'file'}
        aria-label={word(beside ? 'secondTrace' : 'openTrace')}
        accept={accepted}
        ref={input}
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? []
          if (file) void openFile(file, beside)
          // so that the same file, which may have grown, can be chosen again
          currentTarget.value = ''
        }}
      />
    </>
  )
}

export const Replay = () => {
  const [first] = traces.value
  if (reading.value !== null)
    return (
      <p class="banner" role="status">
        {word('reading')} {Math.round(reading.value * 100)} %
      </p>
    )
  if (!first) return null
  const { begin, end, length } = first.trace
  return (
    <section class="replay" aria-label={word('trace')}>
      <div class="row">
        <button type="button" id="step-back" aria-label={word('stepBack')} onClick={() => step(-1)}>
          ‹
        </button>
        <button type="button" id="play" aria-pressed={playing.value} onClick={() => play()}>
          {word(playing.value ? 'pause' : 'play')}
        </button>
        <button type="button" id="step" aria-label={word('step')} onClick={() => step(1)}>
          ›
        </button>
        <input
          type="range"
          id="moment"
          aria-label={word('moment')}
          aria-valuetext={lasting(moment.value - begin)}
          min={0}
          max={Math.max(1, end - begin)}
          step="any"
          value={moment.value - begin}
          onInput={({ currentTarget }) => moveTo(begin + Number(currentTarget.value))}
        />
        <output id="moment-text">
          {clockTime(moment.value)} · +{lasting(moment.value - begin)}
        </output>
        <label>
          {word('speed')}{' '}
          <select
            id="speed"
            value={speed.value}
            onChange={({ currentTarget }) => (speed.value = Number(currentTarget.value))}
          >
            {SPEEDS.map((each) => (
              <option key={each} value={each}>
                {each}×
              </option>
            ))}
          </select>
        </label>
        <OpenTrace beside />
        <button type="button" class="small" id="close-trace" onClick={closeTraces}>
          {word(fleet.value ? 'backToLive' : 'closeTrace')}
        </button>
      </div>
      <p class="quiet" id="trace-facts">
        {first.trace.name}:{' '}
        {fill('traceFacts', counted(length, 'transitions'), counted(first.trace.ids.length, 'links'))}
      </p>
      <Notices />
    </section>
  )
}

/** What was not read is said, never hidden. */
const Notices = () => (
  <>
    {traces.value.map(({ trace }, i) => {
      const told = noticesOf(trace)
      if (told.length === 0) return null
      return (
        <div class="notice" key={`${i} ${trace.name}`}>
          <span class="tag">{trace.name}</span>
          <ul>
            {told.map((each) => (
              <li key={each}>{each}</li>
            ))}
          </ul>
        </div>
      )
    })}
  </>
)

const noticesOf = ({ length, broken, cut, lost, skipped }: Trace): string[] => [
  ...(length === 0 ? [word('traceEmpty')] : []),
  ...(broken !== null ? [`${word('traceBroken')}: ${broken}`] : []),
  ...(cut ? [`${word('traceCut')}: ${counted(cut.lines, 'lines')} (${cut.characters} B)`] : []),
  ...(lost > 0 ? [counted(lost, 'unwritten')] : []),
  ...(skipped > 0 ? [counted(skipped, 'lostLines')] : []),
]
