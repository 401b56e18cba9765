/** The drawing of the machine with the chosen link in it: where it is, what can happen next, how long it may stay. */
import { effect, signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { Drawing } from './drawing.ts'
import { edgeOf } from './edges.ts'
import { Playback } from './playback.ts'
import { chosen, chosenIndex, motionless, moved, replaying, shownAt, source, version } from './store.ts'
import { counted, fill, language, lasting, word } from './words.ts'

/** The chart takes the whole width of the page. */
export const enlarged = signal(false)

/** A drawing that is wider than its place shows the part that matters. */
const bringIntoSight = (box: HTMLElement, node: Element): void => {
  if (box.scrollWidth <= box.clientWidth) return
  const { left, width } = node.getBoundingClientRect()
  box.scrollLeft += left + width / 2 - box.getBoundingClientRect().left - box.clientWidth / 2
}

export const Chart = () => {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const drawing = new Drawing(box.current!)
    let position = -1
    let of = -1
    const stops = [
      effect(() => drawing.speak(language.value)),
      effect(() => {
        const entered = drawing.stand(chosen.value, shownAt(), (ms) => fill('left', lasting(ms)))
        if (entered) bringIntoSight(box.current!, entered)
      }),
      effect(() => {
        version.value
        const index = chosenIndex.value
        const from = source.value
        if (!from) return
        const length = from.reached(index)
        const records = from.records(index)
        drawing.count(records, length, `${index} ${length} ${records.dropped} ${from.begin}`)
        if (!(from instanceof Playback)) return
        if (of === index && length === position + 1 && !motionless.value) drawing.flash(records.edge(length - 1))
        of = index
        position = length
      }),
      effect(() => {
        const taken = new Set(moved.value.map(({ from, event, to }) => edgeOf(from, event, to)))
        if (!motionless.peek()) for (const edge of taken) drawing.flash(edge)
      }),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  }, [])
  return (
    <section aria-labelledby="chart-title" class="chart-section">
      <div class="row">
        <h2 id="chart-title">{word('chart')}</h2>
        <Counted />
        <span class="grow" />
        <button
          type="button"
          class="small"
          id="enlarge"
          aria-pressed={enlarged.value}
          onClick={() => (enlarged.value = !enlarged.value)}
        >
          {word('enlarge')}
        </button>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for what is filled in */}
      <div
        class="chart"
        id="chart"
        ref={box}
        role="group"
        aria-labelledby="chart-title"
        aria-describedby="why"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        tabIndex={0}
      />
      <p class="hint">{word('chartSigns')}</p>
    </section>
  )
}

/** What the numbers on the arrows count: no more than what is kept. */
const Counted = () => {
  version.value
  const from = source.value
  const length = from?.reached(chosenIndex.value) ?? 0
  return length === 0 ? null : (
    <span class="hint">
      {fill(replaying.value ? 'chartCountsHere' : 'chartCounts', counted(length, 'transitions'))}
    </span>
  )
}
