/** What waits to be written, in its order. */
import type { Entry } from './entry.ts'
import type { Lanes } from './lanes.ts'

export class Waiting {
  readonly #lanes: Lanes
  readonly #entries = new Map<number, Entry>()
  /** Those that a newer message may replace. */
  readonly #replaceable = new Map<string, Entry>()
  #next = 0
  #first = 0

  constructor(lanes: Lanes) {
    this.#lanes = lanes
  }

  get size(): number {
    return this.#entries.size
  }

  /** The place that the next message gets: all that wait now have lower ones. */
  get nextPlace(): number {
    return this.#next
  }

  takePlace(): number {
    return this.#next++
  }

  /** In order; whatever joins meanwhile is met too. */
  values(): IterableIterator<Entry> {
    return this.#entries.values()
  }

  add(entry: Entry): void {
    this.#entries.set(entry.place, entry)
    this.#lanes.waits(entry)
  }

  /** They were written and lost: before all that wait, in their first order. */
  putBack(entries: readonly Entry[]): void {
    for (const entry of entries) {
      entry.again = true
      this.#lanes.waits(entry)
    }
    this.#arrange(entries)
  }

  /** It was offered elsewhere, and not taken: as if nothing had been. */
  takeBack(entry: Entry): void {
    this.#lanes.waits(entry)
    this.#arrange([entry])
  }

  /** They are older than all that was put since this process began. */
  addOldest(entries: readonly Entry[]): void {
    this.#first -= entries.length
    entries.forEach((entry, index) => {
      entry.place = this.#first + index
      this.#lanes.waits(entry)
    })
    this.#arrange(entries)
  }

  #arrange(more: readonly Entry[]): void {
    if (more.length === 0) return
    const all = [...more, ...this.#entries.values()]
    all.sort((a, b) => Number(b.again) - Number(a.again) || a.place - b.place)
    this.#entries.clear()
    for (const entry of all) this.#entries.set(entry.place, entry)
  }

  /** Nothing if it does not wait, or another one has taken its place. */
  remove(entry: Entry): void {
    if (this.#entries.get(entry.place) !== entry) return
    this.#entries.delete(entry.place)
    this.#lanes.waitsNoMore(entry)
    this.#forget(entry)
  }

  /** The one that such a message will replace, if any. */
  twinOf({ coalesceKey, conversation }: Pick<Entry, 'coalesceKey' | 'conversation'>): Entry | undefined {
    return coalesceKey === undefined ? undefined : this.#replaceable.get(nameOf(coalesceKey, conversation))
  }

  /** Once it is accepted: it takes the place of its twin, which is gone then and given back. */
  coalesce(entry: Entry): Entry | undefined {
    const { coalesceKey, conversation } = entry
    if (coalesceKey === undefined) return undefined
    const twin = this.twinOf(entry)
    if (twin && twin.place > entry.place) return undefined
    this.#replaceable.set(nameOf(coalesceKey, conversation), entry)
    if (!twin) return undefined
    this.#lanes.waitsNoMore(twin)
    this.#entries.delete(entry.place)
    entry.place = twin.place
    this.#entries.set(entry.place, entry)
    return twin
  }

  #forget(entry: Entry): void {
    const { coalesceKey, conversation } = entry
    if (coalesceKey === undefined) return
    const name = nameOf(coalesceKey, conversation)
    if (this.#replaceable.get(name) === entry) this.#replaceable.delete(name)
  }

  /** In the order in which they can be spared: first those that were never written, the oldest first. */
  *dispensable(): Generator<Entry> {
    for (const entry of this.#entries.values()) if (!entry.again) yield entry
    for (const entry of this.#entries.values()) if (entry.again) yield entry
  }
}

const nameOf = (coalesceKey: string, conversation: string | undefined): string =>
  JSON.stringify([coalesceKey, conversation])
