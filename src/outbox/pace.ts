/** How fast the outbox writes: what gathered while nobody listened trickles, and a protocol may have a limit of its own. */
import type { PaceLimit } from '../adapter/adapter.ts'
import { Rate } from '../rate.ts'

/** Moments are sums of fractions. */
const ROUNDING_MS = 1e-6

export class Pace {
  readonly #slotMs: number
  readonly #burstMs: number
  readonly #limit: Rate | undefined
  /** When the whole burst of the backlog is free again. */
  #wholeAt = 0

  constructor(backlogPerSecond: number, limit: PaceLimit | undefined) {
    this.#slotMs = 1_000 / backlogPerSecond
    this.#burstMs = 1_000
    this.#limit = limit && new Rate(limit.count, limit.ms)
  }

  /** Milliseconds until one more may be written, if so many others that go before it are still to be written. */
  waitMs(now: number, isBacklog: boolean, others = 0): number {
    const limitMs = this.#limit?.waitMs(now, others) ?? 0
    if (!isBacklog) return limitMs
    const bucketMs = Math.max(this.#wholeAt - now, 0) + (others + 1) * this.#slotMs - this.#burstMs
    return Math.max(limitMs, bucketMs > ROUNDING_MS ? bucketMs : 0)
  }

  note(now: number, isBacklog: boolean): void {
    this.#limit?.note(now)
    if (isBacklog) this.#wholeAt = Math.max(this.#wholeAt, now) + this.#slotMs
  }
}
