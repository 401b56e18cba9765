/** What each link went through: a band per link, as wide as it lasted. Zoom, pan, and point at a band to hear why. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { bandAt, bandEnd, drawBands, type Hovered } from './bands.ts'
import { type Area, Canvas, shortened } from './canvas.tsx'
import type { Playback } from './playback.ts'
import { reasonText } from './reason.ts'
import type { Link, Source } from './source.ts'
import {
  choose,
  chosen,
  chosenIndex,
  isChosen,
  isDark,
  moment,
  move,
  moveTo,
  replaying,
  shown,
  source,
  traces,
  version,
} from './store.ts'
import { type Pointed, pointIn, Tip } from './tip.tsx'
import { follow, isFollowing, pan, place, type Span, stepOf, view, zoom } from './view.ts'
import { clockTime, language, lasting, stateWord, word } from './words.ts'

const ROW = 20
const AXIS = 22
const HEIGHT_MAX = 262
/** Room for names: less of it where there is little. */
const labelsOf = (width: number): number => Math.min(132, Math.round(width * 0.3))
/** Keys move the view by this share of it. */
const STRIDE = 0.2
const CLOSER = 0.7

export const Timeline = () => {
  const [, second] = traces.value
  return (
    <section class="timelines" aria-labelledby="timeline-title">
      <div class="row">
        <h2 id="timeline-title">{word('bands')}</h2>
        <button type="button" class="small" aria-label={word('zoomOut')} onClick={() => zoom(1 / CLOSER, 1)}>
          −
        </button>
        <button type="button" class="small" aria-label={word('zoomIn')} onClick={() => zoom(CLOSER, 1)}>
          +
        </button>
        <button type="button" class="small" id="follow" aria-pressed={isFollowing.value} onClick={follow}>
          {word(replaying.value ? 'whole' : 'follow')}
        </button>
        <span id="timeline-keys" class="hint">
          {word('bandsKeys')}
        </span>
      </div>
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
  const hovered = useRef(signal<(Hovered & Pointed) | null>(null)).current
  const drag = useRef<{ x: number; y: number; view: Span; top: number; far: boolean } | null>(null)
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
    const { x, room } = pointIn(box.current!, event)
    return (x - labelsOf(room)) / (room - labelsOf(room))
  }
  const rowAt = (event: MouseEvent): Link | undefined => {
    const y = event.clientY - box.current!.getBoundingClientRect().top - AXIS
    return y < 0 ? undefined : rows.peek()[Math.floor((y + top.peek()) / ROW)]
  }

  const draw = (area: Area) => {
    const from = of.value
    if (!from) return
    const { ctx, width, height, ink } = area
    const labels = labelsOf(width)
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
        { left: labels, width: width - labels, y: y + 2, height: ROW - 4 },
        shift,
        now,
        replaying.value,
      )
      ctx.fillStyle = ink('ink')
      ctx.font = '12px system-ui, sans-serif'
      ctx.textAlign = 'left'
      ctx.textBaseline = 'middle'
      ctx.fillText(shortened(ctx, link.id, labels - 12), 6, y + ROW / 2 + 0.5)
    }
    drawAxis(area, view.value, replaying.value ? (first?.begin ?? 0) : null)
    const x = labels + ((now - shift.from) / (shift.to - shift.from)) * (width - labels)
    if (x < labels || x > width) return
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
      const by = (-moved / (width - labelsOf(width))) * (going.view.to - going.view.from)
      place({ from: going.view.from + by, to: going.view.to + by })
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
    hovered.value = band && { ...band, id: link.id, ...pointIn(box.current!, event) }
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
      w: () => zoom(CLOSER),
      s: () => zoom(1 / CLOSER),
      '+': () => zoom(CLOSER),
      '-': () => zoom(1 / CLOSER),
      a: () => pan(-STRIDE),
      d: () => pan(STRIDE),
      ArrowLeft: () => pan(-STRIDE),
      ArrowRight: () => pan(STRIDE),
      ArrowUp: () => move(-1),
      ArrowDown: () => move(1),
      PageUp: () => scrollTo(top.peek() - 10 * ROW),
      PageDown: () => scrollTo(top.peek() + 10 * ROW),
      f: follow,
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
    if (!Object.hasOwn(acts, key)) return
    event.preventDefault()
    acts[key]!()
  }

  // what a person chose stays in sight
  useEffect(() => {
    if (other || !isChosen.value) return
    const y = rows.peek().findIndex(({ index }) => index === chosenIndex.peek()) * ROW
    const room = box.current!.clientHeight - AXIS - ROW
    if (y < 0) return
    if (y < top.peek()) scrollTo(y)
    else if (y > top.peek() + room) scrollTo(y - room)
  }, [chosenIndex.value, chosen.value?.state, other])

  /** Without Ctrl the wheel is the reader's: it moves rows if there are more, and the page otherwise. */
  const wheel = (event: WheelEvent) => {
    const share = shareAt(event)
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault()
      return zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, Math.min(1, Math.max(0, share)))
    }
    const before = top.peek()
    scrollTo(before + event.deltaY)
    if (top.peek() !== before) event.preventDefault()
  }

  return (
    <div class="tracks">
      {name && <p class="tag">{name}</p>}
      <div
        id={id}
        class="timeline"
        ref={box}
        style={{ height: `${Math.min(HEIGHT_MAX, AXIS + Math.max(2, rows.value.length) * ROW + 4)}px` }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what is drawn in it is moved through by keys
        tabIndex={0}
        role="application"
        aria-label={`${word('bands')} ${name}`}
        aria-describedby="timeline-keys"
        onKeyDown={press}
        onWheel={wheel}
        onPointerDown={(event) => {
          drag.current = { x: event.clientX, y: event.clientY, view: view.peek(), top: top.peek(), far: false }
          box.current!.setPointerCapture(event.pointerId)
        }}
        onPointerMove={point}
        onPointerUp={release}
        onPointerLeave={() => (hovered.value = null)}
      >
        <Canvas class="fill" draw={draw} on={[version, view, rows, chosenIndex, top, isDark, moment, of]} />
        <BandTip of={hovered} />
      </div>
    </div>
  )
}

const BandTip = ({ of }: { of: ReadonlySignal<(Hovered & Pointed) | null> }) => {
  const band = of.value
  if (!band) return null
  const lasted = `${clockTime(band.from)} · ${word('for')} ${lasting(bandEnd(band) - band.from)}`
  return (
    <Tip at={band} title={band.id} lines={[stateWord(band.state), lasted, reasonText(band.cause, language.value)]} />
  )
}

const drawAxis = ({ ctx, width, ink }: Area, { from, to }: Span, begin: number | null) => {
  ctx.fillStyle = ink('paper')
  ctx.fillRect(0, 0, width, AXIS)
  ctx.font = '11px system-ui, sans-serif'
  ctx.textBaseline = 'middle'
  ctx.textAlign = 'center'
  const labels = labelsOf(width)
  const room = width - labels
  const step = stepOf(((to - from) / room) * 110)
  const zero = begin ?? 0
  const first = Math.ceil((from - zero) / step) * step
  for (let at = first; at <= to - zero; at += step) {
    const x = labels + ((at + zero - from) / (to - from)) * room
    ctx.fillStyle = ink('line')
    ctx.fillRect(x, AXIS - 5, 1, 5)
    ctx.fillStyle = ink('soft')
    const text =
      begin === null ? clockTime(at).slice(0, step < 1000 ? 12 : 8) : `${at < 0 ? '−' : ''}${lasting(Math.abs(at))}`
    const half = ctx.measureText(text).width / 2
    if (x - half > 0 && x + half < width) ctx.fillText(text, x, AXIS / 2 - 1)
  }
}
