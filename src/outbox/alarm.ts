/** One timer for many moments: it is moved only when something falls due earlier than all before. */
import type { Clock, Timer } from '../clock.ts'

export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #at = Number.POSITIVE_INFINITY
  #timer: Timer | undefined

  /** `ring` asks for the next moment itself. */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  by(at: number): void {
    if (at >= this.#at) return
    this.#clock.clearTimeout(this.#timer)
    this.#at = at
    this.#timer = this.#clock.setTimeout(
      () => {
        this.#at = Number.POSITIVE_INFINITY
        this.#ring()
      },
      Math.max(0, at - this.#clock.now()),
    )
  }

  clear(): void {
    this.#clock.clearTimeout(this.#timer)
    this.#at = Number.POSITIVE_INFINITY
  }
}
