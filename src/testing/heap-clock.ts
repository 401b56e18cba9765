/**
 * Virtual time: the twin of the real clock. XState's SimulatedClock runs nested timers out of order and is quadratic in
 * the number of due timers; this one keeps a heap, jumps from deadline to deadline, and is first-in-first-out among equals.
 */
import type { Clock, Timer } from '../clock.ts'

export interface HeapClock extends Clock {
  /** Moves time on by so many milliseconds, firing what falls due in order; promises settle between two timers. */
  advance(ms: number): Promise<void>
  /** The same without letting promises settle: faster, for code that uses none. */
  advanceSync(ms: number): void
  /** Lets time pass without firing anything, as when the process is suspended: overdue timers fire on the next advance. */
  sleep(ms: number): void
  /** Sets the wall clock on, or back if negative, as NTP and people do; nothing else notices, and no timer moves. */
  stepWall(ms: number): void
  /** Timers that are set and not cleared. */
  readonly pending: number
  /** Milliseconds until the next timer, or undefined if there is none. */
  readonly nextInMs: number | undefined
}

interface Entry {
  readonly at: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** 2026-01-01T00:00:00Z */
const WALL_START = 1_767_225_600_000

export const heapClock = (seed = 1): HeapClock => {
  const heap: Entry[] = []
  const random = seededRandom(seed)
  let now = 0
  let order = 0
  let pending = 0
  let wallStart = WALL_START

  const dropCancelled = () => {
    while (heap[0]?.cancelled) popFrom(heap)
  }
  /** Fires the next timer if it is due by `until`. */
  const fireNext = (until: number): boolean => {
    dropCancelled()
    const next = heap[0]
    if (!next || next.at > until) return false
    popFrom(heap)
    // marked so that a later clearTimeout of it changes nothing
    next.cancelled = true
    pending--
    now = Math.max(now, next.at)
    next.run()
    return true
  }

  return {
    now: () => now,
    wall: () => wallStart + now,
    random,
    setTimeout: (run, delayMs) => {
      const entry: Entry = { at: now + Math.max(0, delayMs), order: order++, run, cancelled: false }
      pushOnto(heap, entry)
      pending++
      return entry
    },
    clearTimeout: (timer: Timer | undefined) => {
      const entry = timer as Entry | undefined
      if (!entry || entry.cancelled) return
      entry.cancelled = true
      pending--
    },
    advance: async (ms) => {
      const until = now + ms
      await settle()
      while (fireNext(until)) await settle()
      now = until
    },
    advanceSync: (ms) => {
      const until = now + ms
      while (fireNext(until));
      now = until
    },
    sleep: (ms) => {
      now += ms
    },
    stepWall: (ms) => {
      wallStart += ms
    },
    get pending() {
      return pending
    },
    get nextInMs() {
      dropCancelled()
      return heap[0] && Math.max(0, heap[0].at - now)
    },
  }
}

/** One turn of the real event loop: every promise that can settle has settled. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** mulberry32: small, fast, and the same on every machine. */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

const pushOnto = (heap: Entry[], entry: Entry): void => {
  let index = heap.push(entry) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (!before(entry, heap[parent]!)) break
    heap[index] = heap[parent]!
    index = parent
  }
  heap[index] = entry
}

const popFrom = (heap: Entry[]): void => {
  const last = heap.pop()
  if (!last || heap.length === 0) return
  let index = 0
  for (;;) {
    const left = 2 * index + 1
    if (left >= heap.length) break
    const child = left + 1 < heap.length && before(heap[left + 1]!, heap[left]!) ? left + 1 : left
    if (!before(heap[child]!, last)) break
    heap[index] = heap[child]!
    index = child
  }
  heap[index] = last
}
