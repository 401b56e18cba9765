/** What each link went through: a band per link, as wide as it lasted. Zoom, pan, and point at a band to hear why. */
import { computed, type ReadonlySignal, signal } from '@preact/signals'
import { useRef } from 'preact/hooks'
import { bandAt, bandEnd, drawBands, type Hovered } from './bands.ts'
import { type Area, Canvas } from './canvas.tsx'
import type { Playback } from './playback.ts'
import { reasonText } from './reason.ts'
import type { Link, Source } from './source.ts'
import {
  choose,
  chosenIndex,
  isDark,
  moment,
  move,
  moveTo,
  paused,
  replaying,
  shown,
  source,
  tenth,
  traces,
  version,
} from './store.ts'
import { clockTime, language, lasting, stateWord, word } from './words.ts'

const ROW = 20
const AXIS = 22
const LABELS = 128
const FOLLOW_MS = 60_000
const VIEW_MIN_MS = 20
/** Keys move the view by this share of it. */
const STRIDE = 0.2

interface View {
  readonly from: number
  readonly to: number
}

/** Null follows: the last minute of a stream, the whole of a trace. Times are those of the first source. */
const chosenView = signal<View | null>(null)
const held = signal(0)

const view = computed<View>(() => {
  if (chosenView.value) return chosenView.value
  const [first] = traces.value
  if (first) {
    const spare = Math.max(1, (first.trace.end - first.trace.begin) * 0.01)
    return { from: first.trace.begin - spare, to: first.trace.end + spare }
  }
  if (paused.value) return { from: held.value - FOLLOW_MS, to: held.value }
  version.value
  tenth.value
  held.value = source.value?.now() ?? 0
  return { from: held.peek() - FOLLOW_MS, to: held.peek() }
})

const zoom = (factor: number, around = 0.5): void => {
  const { from, to } = view.peek()
  const width = Math.max(VIEW_MIN_MS, (to - from) * factor)
  const at = from + (to - from) * around
  chosenView.value = { from: at - width * around, to: at + width * (1 - around) }
}

const pan = (share: number): void => {
  const { from, to } = view.peek()
  const by = (to - from) * share
  chosenView.value = { from: from + by, to: to + by }
}

export const follow = (): void => {
  chosenView.value = null
}

/** Steps of the axis that read well. */
const steps = [1, 2, 5]
  .flatMap((n) => [n, n * 10, n * 100])
  .concat([1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5])
const stepOf = (wanted: number): number =>
  steps.sort((a, b) => a - b).find((step) => step >= wanted) ?? 864e5 * Math.ceil(wanted / 864e5)

export const Timeline = () => {
  const [, second] = traces.value
  return (
    <section class="timelines" aria-labelledby="timeline-title">
      <div class="row">
        <h2 id="timeline-title">{word('bands')}</h2>
        <button type="button" class="small" onClick={follow}>
          {word('follow')}
        </button>
      </div>
      <p id="timeline-keys" class="hint">
        {word('bandsKeys')}
      </p>
      <div class={second ? 'beside' : ''}>
        <Tracks id="timeline" of={source} rows={shown} />
        {second && <Other playback={second} />}
      </div>
    </section>
  )
}

/** The second trace keeps all its links in the order of their names. */
const Other = ({ playback }: { playback: Playback }) => {
  const of = useRef(signal<Source>(playback)).current
  const rows = useRef(signal(playback.links)).current
  of.value = playback
  rows.value = playback.links
  return <Tracks id="timeline-2" of={of} rows={rows} />
}

interface TracksProps {
  readonly id: string
  readonly of: ReadonlySignal<Source | null>
  readonly rows: ReadonlySignal<readonly Link[]>
}

const Tracks = ({ id, of, rows }: TracksProps) => {
  const top = useRef(signal(0)).current
  const hovered = useRef(signal<(Hovered & { x: number; y: number }) | null>(null)).current
  const drag = useRef<{ x: number; y: number; view: View; top: number; far: boolean } | null>(null)
  const box = useRef<HTMLDivElement>(null)
  const first = source.value
  const other = of.value !== first
  const offset = other && first && of.value ? of.value.begin - first.begin : 0
  const name = replaying.value ? ((of.value as Playback).trace?.name ?? '') : ''

  const tallest = () => Math.max(0, rows.peek().length * ROW - (box.current!.clientHeight - AXIS))
  const scrollTo = (y: number) => {
    top.value = Math.min(tallest(), Math.max(0, y))
  }
  const shareAt = (event: MouseEvent): number => {
    const { left, width } = box.current!.getBoundingClientRect()
    return (event.clientX - left - LABELS) / (width - LABELS)
  }
  const rowAt = (event: MouseEvent): Link | undefined => {
    const y = event.clientY - box.current!.getBoundingClientRect().top - AXIS
    return y < 0 ? undefined : rows.peek()[Math.floor((y + top.peek()) / ROW)]
  }

  const draw = (area: Area) => {
    const from = of.value
    if (!from) return
    const { ctx, width, height, ink } = area
    const shift = { from: view.value.from + offset, to: view.value.to + offset }
    scrollTo(top.value)
    const links = rows.value
    const begin = Math.floor(top.value / ROW)
    const end = Math.min(links.length, begin + Math.ceil(height / ROW) + 1)
    const now = from.now()
    for (let i = begin; i < end; i++) {
      const link = links[i]!
      const y = AXIS + i * ROW - top.value
      if (!other && link.index === chosenIndex.value) {
        ctx.fillStyle = ink('chosen')
        ctx.fillRect(0, y, width, ROW)
      }
      drawBands(
        ctx,
        from.bands(link.index),
        { left: LABELS, width: width - LABELS, y: y + 2, height: ROW - 4 },
        shift,
        now,
        replaying.value,
      )
      ctx.fillStyle = ink('ink')
      ctx.font = '12px system-ui, sans-serif'
      ctx.textAlign = 'left'
      ctx.textBaseline = 'middle'
      ctx.fillText(link.id.slice(0, 40), 6, y + ROW / 2 + 0.5, LABELS - 12)
    }
    drawAxis(area, view.value, replaying.value ? (first?.begin ?? 0) : null)
    const x = LABELS + ((now - shift.from) / (shift.to - shift.from)) * (width - LABELS)
    if (x < LABELS || x > width) return
    ctx.fillStyle = ink('alarm')
    ctx.fillRect(x - 1, 0, 2, height)
  }

  const point = (event: PointerEvent) => {
    const going = drag.current
    if (going) {
      const { width } = box.current!.getBoundingClientRect()
      const moved = event.clientX - going.x
      going.far ||= Math.abs(moved) + Math.abs(event.clientY - going.y) > 4
      if (!going.far) return
      const by = (-moved / (width - LABELS)) * (going.view.to - going.view.from)
      chosenView.value = { from: going.view.from + by, to: going.view.to + by }
      scrollTo(going.top - (event.clientY - going.y))
      return
    }
    const link = rowAt(event)
    const share = shareAt(event)
    const from = of.peek()
    if (!link || share < 0 || !from) {
      hovered.value = null
      return
    }
    const { from: start, to } = view.peek()
    const at = start + offset + share * (to - start)
    const band = bandAt(from.bands(link.index), at, from.now(), replaying.peek())
    const { left, top: above } = box.current!.getBoundingClientRect()
    hovered.value = band && { ...band, id: link.id, x: event.clientX - left, y: event.clientY - above }
  }

  const release = (event: PointerEvent) => {
    const far = drag.current?.far
    drag.current = null
    if (far || other) return
    const link = rowAt(event)
    if (link) choose(link.index)
    const share = shareAt(event)
    const { from, to } = view.peek()
    if (replaying.peek() && share >= 0) moveTo(from + share * (to - from))
  }

  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const acts: Record<string, () => void> = {
      w: () => zoom(0.7),
      s: () => zoom(1 / 0.7),
      a: () => pan(-STRIDE),
      d: () => pan(STRIDE),
      ArrowLeft: () => pan(-STRIDE),
      ArrowRight: () => pan(STRIDE),
      ArrowUp: () => reveal(-1),
      ArrowDown: () => reveal(1),
      PageUp: () => scrollTo(top.peek() - 10 * ROW),
      PageDown: () => scrollTo(top.peek() + 10 * ROW),
      f: follow,
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
    if (!Object.hasOwn(acts, key)) return
    event.preventDefault()
    acts[key]!()
  }

  const reveal = (by: number) => {
    move(by)
    const y = rows.peek().findIndex(({ index }) => index === chosenIndex.peek()) * ROW
    const room = box.current!.clientHeight - AXIS - ROW
    if (y < top.peek()) scrollTo(y)
    else if (y > top.peek() + room) scrollTo(y - room)
  }

  return (
    <div class="tracks">
      {name && <p class="tag">{name}</p>}
      <div
        id={id}
        class="timeline"
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what is drawn in it is moved through by keys
        tabIndex={0}
        role="application"
        aria-label={`${word('bands')} ${name}`}
        aria-describedby="timeline-keys"
        onKeyDown={press}
        onWheel={(event) => {
          event.preventDefault()
          if (event.shiftKey || shareAt(event) < 0) scrollTo(top.peek() + (event.deltaY || event.deltaX))
          else zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, Math.min(1, Math.max(0, shareAt(event))))
        }}
        onPointerDown={(event) => {
          drag.current = { x: event.clientX, y: event.clientY, view: view.peek(), top: top.peek(), far: false }
          box.current!.setPointerCapture(event.pointerId)
        }}
        onPointerMove={point}
        onPointerUp={release}
        onPointerLeave={() => (hovered.value = null)}
      >
        <Canvas class="fill" draw={draw} on={[version, view, rows, chosenIndex, top, isDark, moment, of]} />
        <Tip of={hovered} />
      </div>
    </div>
  )
}

const Tip = ({ of }: { of: ReadonlySignal<(Hovered & { x: number; y: number }) | null> }) => {
  const band = of.value
  if (!band) return null
  const why = reasonText(band.cause, language.value)
  return (
    <div class="tip" role="tooltip" style={{ left: `${Math.max(0, band.x - 120)}px`, top: `${band.y + 16}px` }}>
      <b>{band.id}</b>
      <span>{stateWord(band.state)}</span>
      <span>
        {clockTime(band.from)} · {word('for')} {lasting(bandEnd(band) - band.from)}
      </span>
      {why && <span>{why}</span>}
    </div>
  )
}

const drawAxis = ({ ctx, width, ink }: Area, { from, to }: View, begin: number | null) => {
  ctx.fillStyle = ink('paper')
  ctx.fillRect(0, 0, width, AXIS)
  ctx.font = '11px system-ui, sans-serif'
  ctx.textBaseline = 'middle'
  ctx.textAlign = 'center'
  const room = width - LABELS
  const step = stepOf(((to - from) / room) * 110)
  const zero = begin ?? 0
  const first = Math.ceil((from - zero) / step) * step
  for (let at = first; at <= to - zero; at += step) {
    const x = LABELS + ((at + zero - from) / (to - from)) * room
    ctx.fillStyle = ink('line')
    ctx.fillRect(x, AXIS - 5, 1, 5)
    ctx.fillStyle = ink('soft')
    const text =
      begin === null ? clockTime(at).slice(0, step < 1000 ? 12 : 8) : `${at < 0 ? '−' : ''}${lasting(Math.abs(at))}`
    ctx.fillText(text, x, AXIS / 2 - 1)
  }
}
