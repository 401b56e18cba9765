/**
 * What all viewers look at: the links under their numbers, and the counts of the last minute. It listens to the links
 * only while somebody looks, so an inspector without viewers costs the links nothing.
 */
import type { Subscription } from 'rxjs'
import { stateNames } from '../../../machines/link.ts'
import type { Clock, Timer } from '../../clock.ts'
import type { LinkStatus } from '../../explain.ts'
import type { Link } from '../../link.ts'
import { eachLink, type Links } from '../each-link.ts'
import type { TransitionRecord } from '../recorder.ts'
import { AGG_EVERY_MS, type Agg, type Change, DELTA_EVERY_MS, type Row } from './protocol.ts'
import { boundOf, faultIndex, stateIndex } from './words.ts'

/** A link on the board. */
export interface Entry {
  readonly index: number
  readonly link: Link
  readonly listening: Subscription
}

/** Somebody who looks. Nothing here may take long: it happens within the transition of a link. */
export interface Looker {
  added(entry: Entry): void
  changed(entry: Entry): void
  recorded(entry: Entry, record: TransitionRecord): void
  removed(entry: Entry): void
  /** Ten times a second; once a second with the counts. */
  tick(agg: Agg | undefined): void
}

const CAUSES_MAX = 5
const TICKS_PER_AGG = AGG_EVERY_MS / DELTA_EVERY_MS
const CAUSES_OVER_S = 60

export class Board {
  readonly #links: Links
  readonly #clock: Clock
  readonly #lookers = new Set<Looker>()
  readonly #entries = new Map<Link, Entry>()
  readonly #byIndex = new Map<number, Entry>()
  #watching: Subscription | undefined
  #timer: Timer | undefined
  #indexes = 0
  #ticks = 0
  #rate = 0
  /** Faults by index, second by second, the present one last. */
  #seconds: Map<number, number>[] = [new Map()]

  constructor(links: Links, clock: Clock) {
    this.#links = links
    this.#clock = clock
  }

  get entries(): Iterable<Entry> {
    return this.#byIndex.values()
  }

  get(index: number): Entry | undefined {
    return this.#byIndex.get(index)
  }

  join(looker: Looker): void {
    this.#lookers.add(looker)
    if (this.#watching) return
    this.#watching = eachLink(
      this.#links,
      (link) => this.#add(link),
      (link) => this.#remove(link),
    )
    this.#arm()
  }

  leave(looker: Looker): void {
    this.#lookers.delete(looker)
    if (this.#lookers.size > 0 || !this.#watching) return
    this.#watching.unsubscribe()
    this.#watching = undefined
    this.#clock.clearTimeout(this.#timer)
    for (const entry of this.#byIndex.values()) entry.listening.unsubscribe()
    this.#entries.clear()
    this.#byIndex.clear()
    this.#seconds = [new Map()]
    this.#rate = 0
  }

  row({ index, link }: Entry): Row {
    const [, ...rest] = changeOf(index, link)
    return [index, link.id, link.adapterName, ...rest]
  }

  change({ index, link }: Entry): Change {
    return changeOf(index, link)
  }

  #add(link: Link): void {
    if (this.#entries.has(link)) return
    let isNew = true
    const listening = link.state$.subscribe(() => {
      // the status that is replayed to us comes before there is an entry
      if (!isNew) for (const looker of this.#lookers) looker.changed(entry)
    })
    listening.add(link.transitions$.subscribe((record) => this.#record(entry, record)))
    const entry: Entry = { index: this.#indexes++, link, listening }
    isNew = false
    this.#entries.set(link, entry)
    this.#byIndex.set(entry.index, entry)
    for (const looker of this.#lookers) looker.added(entry)
  }

  #remove(link: Link): void {
    const entry = this.#entries.get(link)
    if (!entry) return
    entry.listening.unsubscribe()
    this.#entries.delete(link)
    this.#byIndex.delete(entry.index)
    for (const looker of this.#lookers) looker.removed(entry)
  }

  #record(entry: Entry, record: TransitionRecord): void {
    this.#rate++
    const fault = faultIndex(record.reason)
    const second = this.#seconds.at(-1)!
    if (fault >= 0) second.set(fault, (second.get(fault) ?? 0) + 1)
    for (const looker of this.#lookers) looker.recorded(entry, record)
  }

  #arm(): void {
    this.#timer = this.#clock.setTimeout(() => this.#tick(), DELTA_EVERY_MS)
  }

  #tick(): void {
    this.#arm()
    const agg = ++this.#ticks % TICKS_PER_AGG === 0 ? this.#agg() : undefined
    for (const looker of this.#lookers) looker.tick(agg)
  }

  #agg(): Agg {
    const counts = stateNames.map(() => 0)
    for (const { link } of this.#byIndex.values()) counts[stateIndex(link.status.state)]!++
    const sums = new Map<number, number>()
    for (const second of this.#seconds)
      for (const [fault, count] of second) sums.set(fault, (sums.get(fault) ?? 0) + count)
    const causes = [...sums].sort((a, b) => b[1] - a[1]).slice(0, CAUSES_MAX)
    const agg: Agg = { t: 'agg', counts, rate: this.#rate, causes }
    this.#rate = 0
    this.#seconds.push(new Map())
    if (this.#seconds.length > CAUSES_OVER_S) this.#seconds.shift()
    return agg
  }
}

const changeOf = (index: number, link: Link): Change => {
  const status = link.status
  const { state, since, attempt, fault } = status
  return [index, stateIndex(state), since, attempt, faultIndex(fault?.code), roundTrip(link), dueAt(status, link)]
}

/** To a tenth of a millisecond. */
const roundTrip = ({ roundTripMs }: Link): number => (roundTripMs === null ? -1 : Math.round(roundTripMs * 10) / 10)

const dueAt = ({ state, since, nextDialAt }: LinkStatus, { deadlines }: Link): number => {
  if (nextDialAt !== null) return nextDialAt
  const boundMs = boundOf(state, deadlines)
  return boundMs === undefined ? -1 : since + boundMs
}
