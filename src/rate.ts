/** How often something may happen: what was, remembered, and what is to come, promised. */

/** At most so many within a time: remembers the last moments, which is enough to say when one more fits. */
export class Rate {
  readonly #max: number
  readonly #withinMs: number
  readonly #at: number[] = []

  constructor(max: number, withinMs: number) {
    this.#max = max
    this.#withinMs = withinMs
  }

  note(now: number): void {
    this.#at.push(now)
    if (this.#at.length > this.#max) this.#at.shift()
  }

  room(now: number): number {
    return this.#max - this.#at.filter((at) => at > now - this.#withinMs).length
  }

  /** Milliseconds until one more fits, if so many others are still to come. */
  waitMs(now: number, others = 0): number {
    const over = this.#at.length + others - this.#max
    if (over < 0) return 0
    const at = this.#at[Math.min(over, this.#at.length - 1)] ?? now
    return Math.max(0, at + this.#withinMs - now)
  }
}

/** Moments that are promised: each has one at most, and no two are closer than a slot. */
export class Slots<Who> {
  readonly #apartMs: number
  readonly #slotOf = new Map<Who, number>()
  readonly #taken = new Set<number>()
  /** From the one up to before the other all are taken: of many that come together none has to search. */
  #from = 0
  #next = 0

  constructor(apartMs: number) {
    this.#apartMs = apartMs
  }

  take(who: Who, earliest: number): number {
    this.release(who)
    let slot = Math.ceil(earliest / this.#apartMs)
    if (slot < this.#from || slot > this.#next) this.#from = slot
    else slot = this.#next
    while (this.#taken.has(slot)) slot++
    this.#next = slot + 1
    this.#taken.add(slot)
    this.#slotOf.set(who, slot)
    return slot * this.#apartMs
  }

  release(who: Who): void {
    const slot = this.#slotOf.get(who)
    if (slot === undefined) return
    this.#slotOf.delete(who)
    this.#taken.delete(slot)
    if (slot >= this.#from && slot < this.#next) this.#from = slot + 1
  }

  /** How many fall between now and then. */
  within(now: number, ms: number): number {
    let count = 0
    for (let slot = Math.floor(now / this.#apartMs); slot * this.#apartMs <= now + ms; slot++) {
      if (this.#taken.has(slot)) count++
    }
    return count
  }
}
