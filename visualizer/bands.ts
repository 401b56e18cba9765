/** Draws the states of one link along time, and finds the one under the pointer. Equal neighbours are one band. */
import { lookOf, urgencyOf } from './palette.ts'
import { type Bands, lastAtMost } from './source.ts'

export interface Hovered {
  readonly id: string
  readonly state: string
  readonly cause: string
  readonly from: number
  readonly to: number
}

export interface Strip {
  readonly left: number
  readonly width: number
  readonly y: number
  readonly height: number
}

interface Span {
  readonly from: number
  readonly to: number
}

/** Narrower bands carry no sign. */
const SIGN_MIN = 14

/** How long the last band of a link lasts: in a stream until now, in a trace as far as one can see. */
const endOf = (now: number, open: boolean): number => (open ? Number.POSITIVE_INFINITY : now)

export const drawBands = (
  ctx: CanvasRenderingContext2D,
  bands: Bands,
  { left, width, y, height }: Strip,
  { from, to }: Span,
  now: number,
  open: boolean,
): void => {
  const xOf = (at: number) => left + Math.min(1, Math.max(0, (at - from) / (to - from))) * width
  const perPixel = (to - from) / width
  let i = Math.max(0, lastAtMost(bands.length, bands.start, from))
  while (i < bands.length && bands.start(i) < to) {
    const state = bands.state(i)
    const start = bands.start(i)
    let next = i + 1
    while (next < bands.length && bands.state(next) === state && bands.start(next) < to) next++
    const end = next < bands.length ? bands.start(next) : endOf(now, open)
    if (end - start >= perPixel || next >= bands.length) {
      if (end > from) paintBand(ctx, state, xOf(start), xOf(end), y, height)
      i = next
      continue
    }
    // More bands than pixels: one pixel shows the worst of a few of them, and all that end in it are passed at once.
    const edge = start + perPixel
    const past = lastAtMost(bands.length, bands.start, edge) + 1
    paintBand(ctx, worst(bands, i, past), xOf(start), xOf(start) + 1, y, height)
    // The last of them may reach further, and is drawn for itself.
    i = Math.max(i + 1, past - 1)
  }
}

const LOOKS_MAX = 16

const worst = (bands: Bands, from: number, to: number): string => {
  let found = bands.state(from)
  const stride = Math.max(1, Math.floor((to - from) / LOOKS_MAX))
  for (let i = from + stride; i < to; i += stride) {
    const state = bands.state(i)
    if (urgencyOf(state) < urgencyOf(found)) found = state
  }
  return found
}

const paintBand = (ctx: CanvasRenderingContext2D, state: string, x: number, end: number, y: number, height: number) => {
  const look = lookOf(state)
  ctx.fillStyle = look.color
  ctx.fillRect(x, y, Math.max(1, end - x), height)
  if (end - x < SIGN_MIN) return
  ctx.fillStyle = look.ink
  ctx.font = `${height - 4}px system-ui, "DejaVu Sans", sans-serif`
  ctx.textAlign = 'left'
  ctx.textBaseline = 'middle'
  ctx.fillText(
    end - x > 90 ? `${look.glyph} ${state.slice(0, 30)}` : look.glyph,
    x + 3,
    y + height / 2 + 0.5,
    end - x - 3,
  )
}

export const bandAt = (bands: Bands, at: number, now: number, open: boolean): Omit<Hovered, 'id'> | null => {
  let first = lastAtMost(bands.length, bands.start, at)
  if (first < 0) return null
  const state = bands.state(first)
  let next = first + 1
  while (next < bands.length && bands.state(next) === state) next++
  while (first > 0 && bands.state(first - 1) === state) first--
  const to = next < bands.length ? bands.start(next) : endOf(now, open)
  return at > to ? null : { state, cause: bands.cause(first), from: bands.start(first), to }
}

/** The last band of a trace has no end: it is shown as long as the trace goes. */
export const bandEnd = ({ from, to }: Pick<Hovered, 'from' | 'to'>): number => (Number.isFinite(to) ? to : from)
