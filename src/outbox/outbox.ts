/**
 * Outbound messages, each with a fate. Bounded in number and bytes, ordered, with a deadline for each message; a settled
 * message is never written again, and at every moment entered = delivered + expired + refused + uncertain + waiting.
 *
 * A message waits here until it is written; from then on it belongs to the flight of its transport until it is proved, lost
 * or given up.
 */
import { type Observable, Subject } from 'rxjs'
import type { Fault } from '../../machines/fault.ts'
import { type BesideOutgoing, type HttpOutgoing, isBeside, type Outgoing, type PaceLimit } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'
import type { HandedMessage } from '../hand-over.ts'
import { Alarm } from './alarm.ts'
import { Bell } from './bell.ts'
import type { BesideError } from './beside.ts'
import { Dispatch } from './dispatch.ts'
import { type Draft, draftOf, type Encode, revive } from './draft.ts'
import { type Entry, type Fate, newEntry, type Settled, type Ticket } from './entry.ts'
import { type FallbackSend, fallbackWriter } from './fallback.ts'
import { Flight, type Writer } from './flight.ts'
import { type Client, Keeper, newSlip, notAccepted, type Recovery } from './keeper.ts'
import { type LedgerOptions, plainCopy } from './ledger.ts'
import { type Bounds, Room } from './room.ts'
import type { Waiting } from './waiting.ts'

export { BesideError, runTask } from './beside.ts'
export type { Fate, Settled, Ticket } from './entry.ts'
export type { FallbackOptions, FallbackSend, Handed } from './fallback.ts'
export { Flight, type Writer } from './flight.ts'
export type { Recovery } from './keeper.ts'
export type { LedgerOptions } from './ledger.ts'

export interface OutboxOptions extends Bounds {
  /** What gathered while the link was not live is written at this pace, after as many at once. Default 50. */
  readonly backlogPerSecond: number
  /** `reject` (default) refuses the new message; `drop-oldest` refuses the oldest that waits, until the new one fits. */
  readonly whenFull: 'reject' | 'drop-oldest'
}

export const outboxDefaults: OutboxOptions = {
  messagesMax: 1_000,
  bytesMax: 8 * 1024 * 1024,
  backlogPerSecond: 50,
  whenFull: 'reject',
}

export interface OutboxPorts {
  readonly clock: Clock
  /** The peer drops a second message with the same key. */
  readonly dedupes?: boolean | undefined
  readonly pace?: PaceLimit | undefined
  /** Where accepted messages are kept. Then `recover()` has to be called: what is put before its end waits for it. */
  readonly ledger?: LedgerOptions | undefined
}

/** What `put` promises. */
export interface Posting {
  /** The outbox has it; with a ledger, on disk. Rejects with HoldfastError `refused` if it was not taken. */
  readonly accepted: Promise<void>
  /** Never rejects. */
  readonly settled: Promise<Settled>
}

export interface SettledMessage extends Settled {
  readonly key: string
  /** It was accepted in another life of this process. */
  readonly recovered: boolean
}

export interface OutboxCounts extends Readonly<Record<Fate, number>> {
  readonly entered: number
  readonly waiting: number
}

const TAKEN_KEY = 'a message with this key is already waiting'
const REPLACED: Settled = { fate: 'refused', detail: 'replaced by a newer message' }
const NOBODY: readonly Entry[] = []
const ACCEPTED = Promise.resolve()

export class Outbox {
  readonly #options: OutboxOptions
  readonly #clock: Clock
  readonly #dedupes: boolean
  readonly #room: Room
  readonly #dispatch: Dispatch
  readonly #waiting: Waiting
  /** All that have no fate yet, by their keys. */
  #open = new Map<string, Entry>()
  readonly #keeper: Keeper | undefined
  #encodeKept: Encode | undefined
  #fallback: FallbackSend | undefined
  readonly #keyPrefix: string
  #keys = 0
  readonly #deadlines: Alarm
  readonly #empty = new Bell()
  readonly #landed = new Bell()
  readonly #settled$ = new Subject<SettledMessage>()
  #closed: string | undefined
  readonly #counts = { entered: 0, delivered: 0, expired: 0, refused: 0, uncertain: 0 }

  constructor(options: OutboxOptions, { clock, dedupes = false, pace, ledger }: OutboxPorts) {
    this.#options = options
    this.#clock = clock
    this.#dedupes = dedupes
    this.#room = new Room(options)
    this.#dispatch = new Dispatch(clock, options.backlogPerSecond, pace, {
      mayWrite: (entry) => !this.#keeper || this.#keeper.mayWrite(entry),
      write: (entry, flight) => this.#write(entry, flight),
    })
    this.#waiting = this.#dispatch.waiting
    this.#deadlines = new Alarm(clock, () => this.#expire())
    this.#keeper = ledger && new Keeper(ledger, clock, this.#keeperClient())
    // where keys outlive the process, its next life must not use them for something else
    const life = () => `${Math.floor(clock.wall()).toString(36)}${Math.floor(clock.random() * 36 ** 4).toString(36)}-`
    this.#keyPrefix = `h${dedupes || ledger ? life() : ''}`
  }

  get counts(): OutboxCounts {
    return { ...this.#counts, waiting: this.#open.size }
  }

  /** The fate of every message, also of those that another life of this process accepted. */
  get settled$(): Observable<SettledMessage> {
    return this.#settled$.asObservable()
  }

  /** Replays the latest: false from full until half of both bounds is free again. */
  get writable$(): Observable<boolean> {
    return this.#room.writable$
  }

  /** Resolves when there is room. Rejects with HoldfastError: `aborted` by the signal, `stopped` at the end. */
  writable(options?: { signal?: AbortSignal }): Promise<void> {
    return this.#room.writable(options)
  }

  /**
   * Settles exactly once; never throws. `make` encodes the message under a key that no other message has. A `message`, the
   * plain data that was encoded, is kept in the ledger, if there is one; a call has none.
   */
  put(make: (key: string) => Outgoing, ticket: Ticket, message?: unknown): Posting {
    this.#counts.entered++
    const key = ticket.idempotencyKey ?? this.#freshKey()
    const draft = this.#whyNot(key, ticket) ?? this.#draft(key, make, ticket, message)
    if (typeof draft === 'string') return this.#turnAway(key, draft)
    const { withinMs, coalesceKey, idempotencyKey, failFast = false } = ticket
    const slip = draft.kept && newSlip(draft.kept)
    const { promise, resolve } = withResolvers<Settled>()
    const now = this.#clock.now()
    const entry = newEntry({
      key,
      outgoing: draft.outgoing,
      message,
      bytes: draft.bytes,
      withinMs,
      expiresAt: now + withinMs,
      conversation: draft.conversation,
      coalesceKey,
      repeats: !failFast && (this.#dedupes || idempotencyKey !== undefined),
      failFast,
      recovered: false,
      slip,
      resolve,
      place: this.#waiting.takePlace(),
    })
    this.#enter(entry)
    if (slip || this.#waiting.twinOf(entry) || !this.#dispatch.pass(entry, now)) {
      this.#waiting.add(entry)
      if (slip) this.#keeper!.take(entry)
      else this.#coalesce(entry)
    }
    this.#room.tell()
    return { accepted: slip ? slip.accepted : ACCEPTED, settled: promise }
  }

  /** Users choose keys too, so one of ours may be taken. */
  #freshKey(): string {
    let key: string
    do key = `${this.#keyPrefix}${this.#keys++}`
    while (this.#open.has(key))
    return key
  }

  #whyNot(key: string, { failFast }: Ticket): string | undefined {
    if (this.#closed !== undefined) return this.#closed
    if (failFast && !this.#dispatch.isLive) return 'the link is not live'
    return this.#open.has(key) ? TAKEN_KEY : undefined
  }

  #draft(key: string, make: (key: string) => Outgoing, ticket: Ticket, message: unknown): Draft | string {
    // what fails fast is never carried over anything
    const isKept = this.#keeper !== undefined && message !== undefined && !ticket.failFast
    const keeping = isKept ? { message, wall: this.#clock.wall() } : undefined
    const draft = draftOf(key, make, ticket, keeping)
    return typeof draft === 'string' ? draft : (this.#makeRoom(key, draft, ticket) ?? draft)
  }

  /** Makes room as the policy says, or says why there is none. */
  #makeRoom(key: string, { bytes, conversation, kept }: Draft, ticket: Ticket): string | undefined {
    if (this.#room.refusal(bytes, NOBODY) === undefined) return undefined
    // the one that it will replace makes room, once it does; a message that is kept does so only when it is on disk
    const replaced = () => {
      const twin = kept ? undefined : this.#waiting.twinOf({ coalesceKey: ticket.coalesceKey, conversation })
      return twin ? [twin] : NOBODY
    }
    const refusal = this.#room.refusal(bytes, replaced())
    if (refusal === undefined) return undefined
    this.#room.turnAway()
    if (this.#options.whenFull === 'reject') return refusal
    const dropped = this.#spare(bytes, replaced())
    for (const entry of dropped) this.#settle(entry, { fate: 'refused', detail: `dropped for a newer one: ${refusal}` })
    // whoever was told of it may have sent something else, or stopped the link
    return this.#room.refusal(bytes, replaced()) ?? this.#whyNot(key, ticket)
  }

  /** The fewest that have to go so that so many bytes fit; nobody if that does not help. */
  #spare(bytes: number, leaving: readonly Entry[]): Entry[] {
    const all = [...leaving]
    for (const entry of this.#waiting.dispensable()) {
      if (!leaving.includes(entry)) all.push(entry)
      if (this.#room.refusal(bytes, all) === undefined) return all.slice(leaving.length)
    }
    return []
  }

  #turnAway(key: string, detail: string): Posting {
    const settled: Settled = { fate: 'refused', detail }
    this.#announce(key, settled, false)
    this.#room.tell()
    const accepted = Promise.reject(notAccepted(detail))
    // whoever does not look at it learns the same from the fate
    accepted.catch(() => undefined)
    return { accepted, settled: Promise.resolve(settled) }
  }

  #enter(entry: Entry): void {
    this.#open.set(entry.key, entry)
    this.#room.enter(entry.bytes)
    this.#deadlines.by(entry.expiresAt)
  }

  #coalesce(entry: Entry): void {
    const twin = this.#waiting.coalesce(entry)
    if (!twin) return
    this.#settle(twin, REPLACED)
    // what held it up need not hold up the new one
    this.#dispatch.flush()
  }

  /** Made for each transport, and for each time that a fallback stands in. */
  flight(writer: Writer, isFallback = false): Flight {
    return new Flight(
      {
        find: (key) => this.#open.get(key),
        settle: (entry, settled) => this.#settle(entry, settled),
        room: (flight) => {
          if (this.#dispatch.flight === flight) this.#dispatch.flush()
        },
        lost: (flight, fault) => this.#lost(flight, fault),
      },
      writer,
      isFallback,
    )
  }

  /** The link is live on this transport: write what waits, and then as it comes. */
  attach(flight: Flight): void {
    if (!flight.isLost && this.#closed === undefined) this.#dispatch.attach(flight)
  }

  /** The link has been down for long: what waits and was never written goes this way, until the link is live again. */
  divert(send: FallbackSend): void {
    if (this.#closed !== undefined || this.#dispatch.flight) return
    const flight = this.flight(fallbackWriter, true)
    this.#fallback = send
    this.#dispatch.attach(flight)
  }

  /** The link is no longer live: hold what comes. What was written may still be answered. */
  detach(): void {
    this.#dispatch.detach()
    for (const entry of [...this.#waiting.values()].filter(({ failFast }) => failFast)) {
      this.#settle(entry, { fate: 'refused', detail: 'the link is no longer live' })
    }
  }

  #write(entry: Entry, flight: Flight): void {
    const { outgoing } = entry
    if (flight.isFallback) this.#hand(entry, flight)
    else if (isBeside(outgoing)) this.#request(entry, outgoing, flight)
    else flight.write(entry, outgoing.frame, outgoing.proof === 'answer')
  }

  #request(entry: Entry, outgoing: BesideOutgoing, flight: Flight): void {
    const abort = new AbortController()
    entry.beside = abort
    let isAnswered = false
    const read = (status: number, body: string, { read }: HttpOutgoing): unknown => {
      isAnswered = true
      return read(status, body)
    }
    const watched =
      'http' in outgoing
        ? { ...outgoing, read: (status: number, body: string) => read(status, body, outgoing) }
        : outgoing
    flight.request(entry, watched, abort.signal).then(
      (result) => {
        if (entry.beside === abort) this.#settle(entry, { fate: 'delivered', result })
      },
      ({ delivered, message }: BesideError) => {
        if (entry.beside !== abort || entry.isSettled) return
        // one that never left changes nothing about the one before it, which may have arrived
        const isUncertain = delivered !== 'refused' || (entry.mayHaveArrived && !isAnswered)
        if (isUncertain && entry.repeats) this.#repeat(entry, flight, message)
        else this.#settle(entry, { fate: isUncertain ? 'uncertain' : 'refused', detail: message })
      },
    )
  }

  /** To the fallback. It says whether it has taken the message, and nobody else will get it meanwhile. */
  #hand(entry: Entry, flight: Flight): void {
    const abort = new AbortController()
    entry.beside = abort
    const { key, message, conversation } = entry
    const run = async (signal: AbortSignal) => this.#fallback!(message, { key, conversation, signal })
    flight.request(entry, { run }, abort.signal).then(
      (result) => {
        if (entry.beside === abort) this.#settle(entry, { fate: 'delivered', result, via: 'fallback' })
      },
      () => {
        if (entry.beside !== abort || entry.isSettled) return
        this.#dispatch.takeBack(entry, flight)
        this.#tellIfLanded()
      },
    )
  }

  /** A request ended and nobody knows how: once more, later or on the next transport. */
  #repeat(entry: Entry, flight: Flight, trouble: string): void {
    this.#dispatch.putBack([entry], trouble)
    this.#dispatch.pause(entry, flight)
    this.#dispatch.flush()
    this.#tellIfLanded()
  }

  #lost(flight: Flight, { code }: Fault): void {
    if (this.#dispatch.flight === flight) this.detach()
    const lost = [...this.#open.values()].filter((entry) => entry.flight === flight && !entry.beside)
    const trouble = `the transport was lost (${code})`
    // first, so that nothing of their conversations gets ahead of them
    this.#dispatch.putBack(
      lost.filter(({ repeats }) => repeats),
      trouble,
    )
    for (const entry of lost) if (!entry.repeats) this.#settle(entry, { fate: 'uncertain', detail: trouble })
    this.#dispatch.flush()
    flight.tellIfEmpty()
    this.#tellIfLanded()
  }

  #settle(entry: Entry, settled: Settled): void {
    if (entry.isSettled) return
    entry.isSettled = true
    if (this.#open.get(entry.key) === entry) this.#open.delete(entry.key)
    this.#room.leave(entry.bytes)
    const { flight, recovered } = entry
    this.#dispatch.left(entry)
    const end: Settled = !flight && entry.mayHaveArrived ? { ...settled, fate: 'uncertain' } : settled
    this.#keeper?.forget(entry, end.detail)
    entry.resolve?.(end)
    this.#announce(entry.key, end, recovered)
    if (this.#dispatch.isAwaited(entry)) this.#dispatch.flush()
    flight?.tellIfEmpty()
    if (this.#open.size === 0) this.#emptied()
    this.#tellIfLanded()
    this.#room.tell()
  }

  #emptied(): void {
    // V8 links the tables that a Map has outgrown: once one of them is old, all later ones and what they held stay until
    // the next full collection, and a message costs three times as much
    this.#open = new Map()
    this.#empty.ring()
  }

  #announce(key: string, settled: Settled, recovered: boolean): void {
    this.#counts[settled.fate]++
    if (this.#settled$.observed) this.#settled$.next({ ...settled, key, recovered })
  }

  /**
   * Hands out what waits, and the requests under way that may be made again, for another process to deliver, and gives
   * it up here. Calls stay: whoever made them is here. What lies in the ledger stays there: that is safer than any hands.
   */
  takeAway(): HandedMessage[] {
    const handed: HandedMessage[] = []
    const wallOf = (at: number) => this.#clock.wall() + at - this.#clock.now()
    const underWay = [...this.#open.values()].filter(({ beside, repeats }) => beside && repeats)
    for (const entry of [...underWay, ...this.#waiting.values()]) {
      if (entry.slip?.isAccepted) continue
      const { key, message, expiresAt, conversation, coalesceKey, repeats: idempotent } = entry
      const plain = copyOf(message)
      if (plain === undefined) continue
      const named = { ...(conversation && { conversation }), ...(coalesceKey && { coalesceKey }) }
      handed.push({ key, message: plain, expiresAt: wallOf(expiresAt), idempotent, ...named })
      entry.beside?.abort()
      this.#settle(entry, { fate: 'uncertain', detail: 'it was handed over to the next process' })
    }
    return handed
  }

  /**
   * Takes in what the process before handed over: before all that was put here. It was in no ledger there, so it gets into
   * none here. Before `recover()`, whose messages are older.
   */
  takeOver(handed: readonly HandedMessage[], encode: Encode): void {
    const revived = handed.map((each) => {
      // a key that nobody relies on may be one of ours here
      const key = each.idempotent ? each.key : this.#freshKey()
      return revive(undefined, { ...each, key, v: 1, written: false }, encode, this.#moment())
    })
    this.#takeIn(revived.filter(({ fate }) => !fate))
    // nobody can listen yet
    queueMicrotask(() => this.#takeIn(revived.filter(({ fate }) => fate)))
  }

  #moment() {
    return { now: this.#clock.now(), wall: this.#clock.wall(), dedupes: this.#dedupes }
  }

  /** Takes nothing more and settles all that is left: the link has stopped. Resolves when the ledger is at rest. */
  close(reason: string): Promise<void> {
    this.#closed = reason
    this.#room.close()
    this.#dispatch.detach()
    this.#deadlines.clear()
    for (const entry of [...this.#open.values()]) {
      entry.beside?.abort()
      if (this.#keeper?.leave(entry)) {
        this.#settle(entry, { fate: 'uncertain', detail: `${reason}; it is kept, and goes on at the next start` })
      } else this.#settle(entry, { fate: entry.flight ? 'uncertain' : 'refused', detail: reason })
    }
    this.#settled$.complete()
    return this.#keeper?.close() ?? Promise.resolve()
  }

  /** Calls back once when nothing waits and nothing is without proof; at once if so already. */
  whenEmpty(tell: () => void): () => void {
    return this.#empty.wait(tell, this.#open.size === 0)
  }

  /** Writes nothing more on this transport. Calls back once when all that was written is proved, lost or given up. */
  whenLanded(tell: () => void): () => void {
    this.detach()
    return this.#landed.wait(tell, this.#isLanded())
  }

  #isLanded(): boolean {
    for (const { flight } of this.#open.values()) if (flight) return false
    return true
  }

  #tellIfLanded(): void {
    if (this.#landed.isAwaited && this.#isLanded()) this.#landed.ring()
  }

  #expire(): void {
    const now = this.#clock.now()
    const flights = new Set<Flight>()
    for (const entry of [...this.#open.values()].filter(({ expiresAt }) => expiresAt <= now)) {
      const { flight, withinMs, trouble } = entry
      if (flight) flights.add(flight)
      entry.beside?.abort()
      if (flight || trouble !== undefined) {
        const why = trouble === undefined ? '' : `: ${trouble}`
        this.#settle(entry, { fate: 'uncertain', detail: `no answer within ${withinMs} ms${why}` })
      } else {
        const why = this.#dispatch.isLive ? 'it was not its turn' : 'the link was not live'
        this.#settle(entry, { fate: 'expired', detail: `${why} within ${withinMs} ms` })
      }
    }
    for (const flight of flights) flight.forgetSettled()
    let next = Number.POSITIVE_INFINITY
    for (const { expiresAt } of this.#open.values()) next = Math.min(next, expiresAt)
    if (next < Number.POSITIVE_INFINITY) this.#deadlines.by(next)
  }

  /** Takes in what another life of this process accepted and did not settle. To be called once, at the start. */
  recover(encode: Encode): Promise<Recovery> {
    this.#encodeKept = encode
    return this.#keeper?.recover() ?? Promise.resolve({ recovered: 0, damaged: 0 })
  }

  #keeperClient(): Client {
    return {
      found: (kept, early) => {
        this.#takeIn(kept.map(([at, each]) => revive(at, each, this.#encodeKept!, this.#moment())))
        for (const entry of [...early].reverse()) {
          const refusal = this.#room.refusal(entry.bytes, [entry])
          if (refusal !== undefined) this.#settle(entry, { fate: 'refused', detail: refusal })
        }
      },
      accepted: (entry) => this.#coalesce(entry),
      refused: (entry, detail) => this.#settle(entry, { fate: 'refused', detail }),
      unmarked: (entry) => {
        if (this.#dispatch.flight) this.#dispatch.pause(entry, this.#dispatch.flight)
      },
      flush: () => this.#dispatch.flush(),
    }
  }

  #takeIn(found: readonly ReturnType<typeof revive>[]): void {
    const waiting: Entry[] = []
    for (const { entry, fate } of found) {
      this.#counts.entered++
      const usurper = this.#open.get(entry.key)
      if (usurper && !usurper.flight) this.#settle(usurper, { fate: 'refused', detail: TAKEN_KEY })
      const end = this.#open.has(entry.key) ? ({ fate: 'refused', detail: TAKEN_KEY } as const) : fate
      if (end) this.#room.enter(entry.bytes)
      else this.#enter(entry)
      if (end) this.#settle(entry, end)
      else waiting.push(entry)
    }
    this.#waiting.addOldest(waiting)
    for (const entry of waiting) this.#coalesce(entry)
  }
}

const copyOf = (message: unknown): unknown => {
  try {
    return message === undefined ? undefined : plainCopy(message)
  } catch {
    return undefined
  }
}

/** Promise.withResolvers of ES2024, which Node 20 lacks. */
const withResolvers = <T>() => {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
