/** What every view draws from, be it the stream of a running process or a trace: links, their bands, their records. */
import type { TransitionRecord } from '../src/observe/recorder.ts'

/** A link at the moment that is shown. Times are milliseconds since 1970 on the clock of its process. */
export interface Link {
  readonly index: number
  readonly id: string
  readonly adapter: string
  state: string
  since: number
  attempt: number
  fault: string | null
  detail: string | undefined
  /** -1 if unknown. */
  roundTripMs: number
  /** The next dial or the deadline of the state; -1 if neither. */
  dueAt: number
}

/** A link of which nothing is known yet. */
export const unknownLink = (index: number, id: string, adapter: string): Link => ({
  index,
  id,
  adapter,
  state: '',
  since: 0,
  attempt: 0,
  fault: null,
  detail: undefined,
  roundTripMs: -1,
  dueAt: -1,
})

/** The states that a link went through; each lasts until the next begins. */
export interface Bands {
  readonly length: number
  start(i: number): number
  state(i: number): string
  cause(i: number): string
}

/** The transitions of a link that are kept, oldest first. */
export interface Records {
  readonly length: number
  get(i: number): TransitionRecord
  at(i: number): number
  /** Index of the drawn line that it took, or -1. */
  edge(i: number): number
  /** Those whose words hold the text, in lower case; null for all. */
  find(text: string): readonly number[] | null
  /** So many more there were. */
  readonly dropped: number
}

export interface Source {
  readonly links: readonly Link[]
  link(index: number): Link | undefined
  now(): number
  bands(index: number): Bands
  records(index: number): Records
  /** How many of a link's records have happened: in a trace those up to the moment. */
  reached(index: number): number
  /** When the earliest thing that is known happened. */
  readonly begin: number
}

/** Index of the last of `length` ascending values that is not above `value`; -1 if all are. */
export const lastAtMost = (length: number, valueAt: (i: number) => number, value: number): number => {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (valueAt(middle) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}

export const noBands: Bands = { length: 0, start: () => 0, state: () => '', cause: () => '' }
export const noRecords: Records = {
  length: 0,
  get: () => {
    throw new RangeError('there is no record')
  },
  at: () => 0,
  edge: () => -1,
  find: () => null,
  dropped: 0,
}
