/** The links of a running process, as its stream tells them. What is kept of each is bounded. */
import type { Change, Delta, Hello, History, Row, Tx } from '../src/observe/inspect/protocol.ts'
import type { TransitionRecord } from '../src/observe/recorder.ts'
import { edgeOf } from './edges.ts'
import { sought } from './reason.ts'
import { type Bands, type Link, noBands, noRecords, type Records, type Source, unknownLink } from './source.ts'

/** Per link. The bands of ten thousand links then take some 20 MB. */
const BANDS_MAX = 128
const TRIPS_MAX = 120
/** Of the one link whose transitions are sent. */
const RECORDS_MAX = 5_000
/** States in which a round trip is measured. */
const SESSION: ReadonlySet<string> = new Set(['registered', 'live', 'degraded.suspect', 'degraded.impaired'])

/** Round trips of a link: when, and how many milliseconds. */
export interface Trips {
  readonly at: number[]
  readonly ms: number[]
}

interface Past extends Trips {
  readonly starts: number[]
  readonly states: string[]
  readonly causes: string[]
}

export class Fleet implements Source {
  readonly hello: Hello
  /** By id. */
  links: Link[] = []
  readonly begin: number
  readonly #byIndex = new Map<number, Link>()
  readonly #past = new Map<number, Past>()
  /** Milliseconds to add to performance.now() to get the time of the process. */
  #offset: number
  /** When the process was last heard, once it is heard no more. */
  #frozenAt: number | undefined
  #log:
    | { index: number; records: TransitionRecord[]; edges: number[]; lost: number; deadlines: History['deadlines'] }
    | undefined
  #sorted = true

  constructor(hello: Hello) {
    this.hello = hello
    this.begin = hello.now
    this.#offset = hello.now - performance.now()
  }

  now(): number {
    return this.#frozenAt ?? performance.now() + this.#offset
  }

  /** The connection is lost: what happens from now on is not known, so nothing is shown to last, or to run out. */
  freeze(): void {
    this.#frozenAt ??= this.now()
  }

  link(index: number): Link | undefined {
    return this.#byIndex.get(index)
  }

  add(rows: readonly Row[]): void {
    for (const [index, id, adapter, ...rest] of rows) {
      let link = this.#byIndex.get(index)
      if (!link) {
        link = unknownLink(index, id, adapter)
        this.#byIndex.set(index, link)
        this.#past.set(index, { starts: [], states: [], causes: [], at: [], ms: [] })
        this.links.push(link)
        this.#sorted = false
      }
      this.#change([index, ...rest])
    }
    this.#sort()
  }

  apply({ at, changes, added, gone }: Delta): void {
    this.#offset = at - performance.now()
    for (const change of changes) this.#change(change)
    if (added.length > 0) this.add(added)
    if (gone.length === 0) return
    for (const index of gone) {
      this.#byIndex.delete(index)
      this.#past.delete(index)
    }
    this.links = this.links.filter(({ index }) => this.#byIndex.has(index))
  }

  /** What the link's own ring still knows is exact, so it replaces the bands that were put together from deltas. */
  begins({ index, kept, total, deadlines }: History): void {
    this.#log = { index, records: [], edges: [], lost: Math.max(0, total - kept.length), deadlines }
    const past = this.#past.get(index)
    const own = kept.filter(({ role }) => role === undefined)
    if (past && own.length > 0) {
      const recent = own.slice(-BANDS_MAX)
      past.starts.splice(0, past.starts.length, ...recent.map(({ at }) => at))
      past.states.splice(0, past.states.length, ...recent.map(({ to }) => to))
      past.causes.splice(0, past.causes.length, ...recent.map(({ reason }) => reason))
    }
    for (const record of kept) this.#note(index, record)
  }

  /** The records of the link in the log that came, oldest first. */
  record({ records, lost }: Tx): TransitionRecord[] {
    if (this.#log) this.#log.lost += lost
    return records.filter(([index, record]) => this.#note(index, record)).map(([, record]) => record)
  }

  /** The waits that the chosen link was made with, in milliseconds, by the names of its options. */
  deadlines(index: number): Readonly<Record<string, number>> | undefined {
    return this.#log?.index === index ? this.#log.deadlines : undefined
  }

  bands(index: number): Bands {
    const past = this.#past.get(index)
    if (!past) return noBands
    const { starts, states, causes } = past
    return { length: starts.length, start: (i) => starts[i]!, state: (i) => states[i]!, cause: (i) => causes[i]! }
  }

  trips(index: number): Trips {
    return this.#past.get(index) ?? { at: [], ms: [] }
  }

  records(index: number): Records {
    if (this.#log?.index !== index) return noRecords
    const { records, edges, lost } = this.#log
    return {
      length: records.length,
      get: (i) => records[i]!,
      at: (i) => records[i]!.at,
      edge: (i) => edges[i]!,
      find: (text) =>
        text === '' ? null : records.flatMap((record, i) => (wordsOf(record).includes(text) ? [i] : [])),
      dropped: lost,
    }
  }

  reached(index: number): number {
    return this.records(index).length
  }

  #note(index: number, record: TransitionRecord): boolean {
    const link = this.#byIndex.get(index)
    if (!link || this.#log?.index !== index) return false
    const { records, edges } = this.#log
    records.push(record)
    edges.push(edgeOf(record.from, record.event, record.to))
    if (records.length > RECORDS_MAX) {
      this.#log.lost += records.length >> 1
      edges.splice(0, records.length >> 1)
      records.splice(0, records.length >> 1)
    }
    if (record.role === undefined) this.#band(index, record.at, record.to, record.reason)
    if (record.reason === link.fault) link.detail = record.detail
    return true
  }

  #change([index, state, since, attempt, fault, roundTripMs, dueAt]: Change): void {
    const link = this.#byIndex.get(index)
    if (!link) return
    link.state = this.hello.states[state] ?? `state ${state}`
    link.since = since
    link.attempt = attempt
    const code = fault < 0 ? null : (this.hello.faults[fault]?.code ?? `fault ${fault}`)
    if (code !== link.fault) link.detail = undefined
    link.fault = code
    link.roundTripMs = roundTripMs
    link.dueAt = dueAt
    this.#band(index, since, link.state, link.fault ?? '')
    // while there is no session the last one's round trip is history
    if (roundTripMs < 0 || !SESSION.has(link.state)) return
    const { at, ms } = this.#past.get(index)!
    at.push(this.now())
    ms.push(roundTripMs)
    if (at.length <= TRIPS_MAX) return
    at.splice(0, TRIPS_MAX >> 1)
    ms.splice(0, TRIPS_MAX >> 1)
  }

  /** Records and deltas both tell of a transition: whichever comes first is believed. */
  #band(index: number, since: number, state: string, cause: string): void {
    const past = this.#past.get(index)
    if (!past) return
    const { starts, states, causes } = past
    if (starts.length > 0 && (since < starts.at(-1)! || states.at(-1) === state)) return
    starts.push(since)
    states.push(state)
    causes.push(cause)
    if (starts.length <= BANDS_MAX) return
    for (const column of [starts, states, causes]) column.splice(0, BANDS_MAX >> 1)
  }

  #sort(): void {
    if (this.#sorted) return
    this.links = [...this.links].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.index - b.index))
    this.#sorted = true
  }
}

export const wordsOf = ({ from, to, event, reason, detail, role }: TransitionRecord): string =>
  sought(reason) + `\n${from}\n${to}\n${event}\n${detail ?? ''}\n${role ?? ''}`.toLowerCase()
