/** How often somebody has shown a wrong token: after ten within a minute nothing more is looked at for a while. */
import type { Clock } from '../clock.ts'
import { Rate } from '../rate.ts'
import type { Refusal } from './caller.ts'

const FAILURES_MAX = 10
const WITHIN_MS = 60_000
/** An enemy with many addresses must not fill our memory with them. */
const CALLERS_MAX = 10_000

/**
 * Counted by address and by who the caller says it is: bots that live on one machine do not pay for each other's wrong
 * tokens, and whoever guesses the token of one bot has ten guesses a minute, whatever names it tries besides.
 */
export class Failures {
  readonly #clock: Clock
  readonly #rates = new Map<string, Rate>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  note(key: string): void {
    const rate = this.#rates.get(key) ?? new Rate(FAILURES_MAX, WITHIN_MS)
    // behind all others, as the latest
    this.#rates.delete(key)
    this.#rates.set(key, rate)
    rate.note(this.#clock.now())
    const [oldest] = this.#rates.keys()
    if (this.#rates.size > CALLERS_MAX && oldest !== undefined) this.#rates.delete(oldest)
  }

  refusal(key: string): Refusal | undefined {
    const waitMs = this.#rates.get(key)?.waitMs(this.#clock.now()) ?? 0
    if (waitMs <= 0) return undefined
    const reason = `${FAILURES_MAX} wrong tokens within a minute: the next is looked at later`
    return { status: 429, reason, retryAfterS: Math.ceil(waitMs / 1_000) }
  }
}
