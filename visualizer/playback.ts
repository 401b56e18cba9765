/** A trace as a source: the fleet as it was at the moment that the scrubber shows. */
import { deadlines } from 'virtual:chart'
import { type Bands, type Link, noBands, noRecords, type Records, type Source, unknownLink } from './source.ts'
import type { Trace } from './trace.ts'

export const SPEEDS = [0.5, 1, 2, 5, 10, 20, 50] as const

export class Playback implements Source {
  readonly trace: Trace
  readonly links: readonly Link[]
  readonly begin: number
  #moment: number
  readonly #byIndex: Link[]
  readonly #records = new Map<number, Records>()

  constructor(trace: Trace) {
    this.trace = trace
    this.begin = trace.begin
    this.#moment = trace.begin
    this.#byIndex = trace.ids.map((id, index) => unknownLink(index, id, ''))
    this.links = [...this.#byIndex].sort((a, b) => (a.id < b.id ? -1 : 1))
    this.moveTo(trace.begin)
  }

  moveTo(moment: number): void {
    this.#moment = moment
    for (const link of this.#byIndex) this.#place(link)
  }

  now(): number {
    return this.#moment
  }

  link(index: number): Link | undefined {
    return this.#byIndex[index]
  }

  records(index: number): Records {
    if (index < 0 || index >= this.#byIndex.length) return noRecords
    const known = this.#records.get(index) ?? this.trace.records(index)
    this.#records.set(index, known)
    return known
  }

  /** Which of its records a link has come to; -1 before the first. */
  position(index: number): number {
    return this.trace.position(index, this.#moment)
  }

  reached(index: number): number {
    return this.position(index) + 1
  }

  bands(index: number): Bands {
    if (index < 0 || index >= this.#byIndex.length) return noBands
    const { trace } = this
    const records = this.records(index)
    return {
      length: records.length,
      start: records.at,
      state: (i) => trace.state(index, i),
      cause: (i) => trace.reason(index, i),
    }
  }

  #place(link: Link): void {
    const position = this.position(link.index)
    const records = this.records(link.index)
    if (records.length === 0) return
    if (position < 0) {
      link.state = records.get(0).from
      link.since = this.begin
      link.fault = null
      link.dueAt = -1
      return
    }
    const since = records.at(position)
    // The same record as before: nothing has changed.
    if (link.since === since && link.state === this.trace.state(link.index, position)) return
    const { to, event, reason, detail, attempt, delayMs } = records.get(position)
    link.state = to
    link.since = since
    link.attempt = attempt
    link.fault = reason === event ? null : reason
    link.detail = detail
    const wait = delayMs ?? (Object.hasOwn(deadlines, to) ? deadlines[to] : undefined)
    link.dueAt = wait === undefined ? -1 : since + wait
  }
}
