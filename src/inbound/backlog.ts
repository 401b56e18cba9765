/** What one reader has not read: never more than its bound, and what goes for that is told. */
import type { Clock } from '../clock.ts'
import type { Entry, InboundListener, InboundOptions, LossReason } from '../inbound.ts'
import { Fifo } from './fifo.ts'

const TELL_LOST_EVERY_MS = 60_000

export class Backlog<T> {
  readonly #options: InboundOptions
  readonly #clock: Clock
  readonly #lost: InboundListener['lost']
  readonly #entries = new Fifo<Entry<T>>()
  #because: LossReason = 'no-reader'
  #untold = 0
  #tellAt = 0

  constructor(options: InboundOptions, clock: Clock, lost: InboundListener['lost']) {
    this.#options = options
    this.#clock = clock
    this.#lost = lost
  }

  get size(): number {
    return this.#entries.size
  }

  get first(): Entry<T> | undefined {
    return this.#entries.first
  }

  /** False if this one or an older one had to be dropped for it. */
  push(entry: Entry<T>): boolean {
    const { messagesMax, whenFull } = this.#options
    const fits = this.size < messagesMax
    if (!fits && whenFull === 'drop-oldest') this.#entries.shift()
    if (fits || whenFull === 'drop-oldest') this.#entries.push(entry)
    if (!fits) this.#noticeLost()
    return fits
  }

  shift(): Entry<T> | undefined {
    const entry = this.#entries.shift()
    if (this.size === 0) this.#tellLost()
    return entry
  }

  /** Gives how many there were. */
  discard(): number {
    const { size } = this
    while (this.#entries.shift());
    return size
  }

  /** From now on losses have this reason. */
  passTo(because: LossReason): void {
    this.#tellLost()
    this.#because = because
  }

  #noticeLost(): void {
    const now = this.#clock.now()
    if (this.#untold === 0) this.#tellAt = now + TELL_LOST_EVERY_MS
    this.#untold++
    if (now >= this.#tellAt) this.#tellLost()
  }

  #tellLost(): void {
    if (this.#untold === 0) return
    const count = this.#untold
    this.#untold = 0
    this.#lost(count, this.#because)
  }
}
