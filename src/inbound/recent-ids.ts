/** The ids of the latest messages, each for a while: a message that comes twice is known by its id. */
import type { Clock } from '../clock.ts'
import type { InboundOptions } from '../inbound.ts'
import { Fifo } from './fifo.ts'

/** A peer must not fill our memory with names: longer ones tell nothing apart. */
const ID_LENGTH_MAX = 256

export class RecentIds {
  readonly #max: number
  readonly #forMs: number
  readonly #clock: Clock
  #ids = new Set<string>()
  #order = new Fifo<{ readonly id: string; readonly until: number }>()

  constructor({ dedupeMax, dedupeMs }: Pick<InboundOptions, 'dedupeMax' | 'dedupeMs'>, clock: Clock) {
    this.#max = dedupeMax
    this.#forMs = dedupeMs
    this.#clock = clock
  }

  /** Whether the id was here before; from now on it is. */
  hadOrAdds(id: string): boolean {
    if (id.length > ID_LENGTH_MAX) return false
    const now = this.#clock.now()
    for (let oldest = this.#order.first; oldest && oldest.until < now; oldest = this.#order.first) this.#forgetOldest()
    if (this.#ids.has(id)) return true
    this.#ids.add(id)
    this.#order.push({ id, until: now + this.#forMs })
    if (this.#order.size > this.#max) this.#forgetOldest()
    return false
  }

  #forgetOldest(): void {
    const oldest = this.#order.shift()
    if (oldest) this.#ids.delete(oldest.id)
  }

  clear(): void {
    this.#ids = new Set()
    this.#order = new Fifo()
  }
}
