/** The transitions of the chosen link, newest at the bottom; only the lines in sight exist. */
import { computed, signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { TransitionRecord } from '../src/observe/recorder.ts'
import { reasonText } from './reason.ts'
import { noRecords, type Records } from './source.ts'
import { chosenIndex, moveTo, pause, paused, replaying, source, unseen, version } from './store.ts'
import { StateMark } from './why.tsx'
import { clockTime, counted, language, lasting, word } from './words.ts'

const ROW = 24
const SPARE = 6

const text = signal('')
const scrolled = signal(0)
const tall = signal(300)

interface Listed {
  readonly records: Records
  /** Numbers in `records`. */
  readonly found: readonly number[] | null
  readonly length: number
}

/** What is listed stands still while the view is paused: it is worked out when the version changes. */
const listed = computed<Listed>(() => {
  version.value
  const records = source.value?.records(chosenIndex.value) ?? noRecords
  const found = records.find(text.value.trim().toLowerCase())
  return { records, found, length: found ? found.length : records.length }
})

/** The record that a replay has come to. */
const reached = (): number => {
  version.value
  return replaying.value ? source.value!.reached(chosenIndex.value) - 1 : -1
}

export const Log = () => {
  const scroller = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)
  const { records, found, length } = listed.value
  const here = reached()

  useEffect(() => {
    const box = scroller.current!
    tall.value = box.clientHeight
    if (!replaying.value && atEnd.current) box.scrollTop = box.scrollHeight
  }, [length, chosenIndex.value])

  useEffect(() => {
    if (here < 0) return
    const box = scroller.current!
    const place = found ? found.findLastIndex((i) => i <= here) : here
    const y = place * ROW
    if (y < box.scrollTop || y + 2 * ROW > box.scrollTop + box.clientHeight) box.scrollTop = y - box.clientHeight / 2
  }, [here, found])

  const first = Math.max(0, Math.floor(scrolled.value / ROW) - SPARE)
  const last = Math.min(length, Math.ceil((scrolled.value + tall.value) / ROW) + SPARE)
  const rows = Array.from({ length: Math.max(0, last - first) }, (_, i) => found?.[first + i] ?? first + i)

  return (
    <section aria-labelledby="log-title">
      <div class="row">
        <h2 id="log-title">{word('log')}</h2>
        <input
          type="search"
          id="log-filter"
          aria-label={word('filterLog')}
          placeholder={word('filter')}
          value={text.value}
          onInput={({ currentTarget }) => (text.value = currentTarget.value)}
        />
        {!replaying.value && (
          <button type="button" class="small" id="pause" aria-pressed={paused.value} onClick={() => pause()}>
            {word(paused.value ? 'paused' : 'pause')}
          </button>
        )}
        {paused.value && !replaying.value && <span class="quiet">{counted(unseen.value, 'newer')}</span>}
      </div>
      {records.dropped > 0 && (
        <p class="dropped" id="dropped">
          {counted(records.dropped, 'dropped')}
        </p>
      )}
      <section
        class="scroller log"
        id="log"
        ref={scroller}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        tabIndex={0}
        aria-labelledby="log-title"
        onScroll={({ currentTarget: box }) => {
          scrolled.value = box.scrollTop
          tall.value = box.clientHeight
          atEnd.current = box.scrollTop + box.clientHeight > box.scrollHeight - 2 * ROW
        }}
      >
        <Columns />
        <div class="lines" style={{ height: `${length * ROW}px` }}>
          <div class="window" style={{ transform: `translateY(${first * ROW}px)` }}>
            {rows.map((i) => (
              <Line key={i} record={records.get(i)} current={i === here} />
            ))}
          </div>
        </div>
        {length === 0 && <p class="quiet">{word(records.length === 0 ? 'neverSeen' : 'noneOfThem')}</p>}
      </section>
    </section>
  )
}

const Columns = () => (
  <div class="columns" aria-hidden="true">
    {(['at', 'fromTo', 'event', 'because', 'attempt', 'delay'] as const).map((column) => (
      <span key={column}>{word(column)}</span>
    ))}
  </div>
)

const Line = ({ record, current }: { record: TransitionRecord; current: boolean }) => {
  const { at, from, to, event, reason, detail, attempt, delayMs, role } = record
  const why = reason === event ? '' : reasonText(reason, language.value)
  const more = detail ? `${why} (${detail})` : why
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the scrubber and its buttons do the same by keyboard
    // biome-ignore lint/a11y/noStaticElementInteractions: a shortcut for the pointer
    <div class={current ? 'line current' : 'line'} onClick={() => replaying.value && moveTo(at)}>
      <span class="time">{clockTime(at)}</span>
      <span class="way">
        <StateMark state={to} /> {from} → {to}
        {role && ` (${word(role)})`}
      </span>
      <span class="event">{event}</span>
      <span class="why" title={more}>
        {more}
      </span>
      <span class="attempt">#{attempt}</span>
      <span class="delay">{delayMs === undefined ? '' : lasting(delayMs)}</span>
    </div>
  )
}
