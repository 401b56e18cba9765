/** Which span of time the timelines show. */
import { computed, signal } from '@preact/signals'
import { shownAt, traces } from './store.ts'

export interface Span {
  readonly from: number
  readonly to: number
}

const FOLLOW_MS = 60_000
const NARROWEST_MS = 20
const WIDEST_MS = 31 * 86_400_000

/** Null follows: the last of a stream, the whole of a trace. Times are those of the first source. */
const placed = signal<Span | null>(null)
/** How much of a stream is followed. */
const followedMs = signal(FOLLOW_MS)

export const isFollowing = computed(() => placed.value === null)

export const view = computed<Span>(() => {
  if (placed.value) return placed.value
  const [first] = traces.value
  if (first) {
    const spare = Math.max(1, (first.trace.end - first.trace.begin) * 0.01)
    return { from: first.trace.begin - spare, to: first.trace.end + spare }
  }
  const to = shownAt()
  return { from: to - followedMs.value, to }
})

/** Around a point between 0 and 1. Who follows a stream goes on following it, with more or less in sight. */
export const zoom = (factor: number, around = 0.5): void => {
  const { from, to } = view.peek()
  const width = Math.min(WIDEST_MS, Math.max(NARROWEST_MS, (to - from) * factor))
  if (placed.peek() === null && traces.peek().length === 0) {
    followedMs.value = width
    return
  }
  const at = from + (to - from) * around
  placed.value = { from: at - width * around, to: at + width * (1 - around) }
}

export const place = (span: Span): void => {
  placed.value = span
}

export const pan = (share: number): void => {
  const { from, to } = view.peek()
  const by = (to - from) * share
  place({ from: from + by, to: to + by })
}

export const follow = (): void => {
  placed.value = null
  followedMs.value = FOLLOW_MS
}

/** Steps of an axis that read well. */
const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500].concat([
  1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5,
])
export const stepOf = (wanted: number): number =>
  steps.find((step) => step >= wanted) ?? 864e5 * Math.ceil(wanted / 864e5)
