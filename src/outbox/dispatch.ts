/** Which message is written next, and when: to the transport that the link is live on, in order, at its pace. */
import { isBeside, type PaceLimit } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'
import { Alarm } from './alarm.ts'
import type { Entry } from './entry.ts'
import type { Flight } from './flight.ts'
import { Lanes } from './lanes.ts'
import { Pace } from './pace.ts'
import { Waiting } from './waiting.ts'

/** Until an uncertain request, or a mark that could not be made, is tried again. */
const PAUSE_MIN_MS = 1_000
const PAUSE_MAX_MS = 30_000

/** The outbox as its dispatch needs it. */
export interface Office {
  /** Whether all is done that has to be done before it is written. */
  mayWrite(entry: Entry): boolean
  /** Its turn has come. */
  write(entry: Entry, flight: Flight): void
}

export class Dispatch {
  readonly #clock: Clock
  readonly #office: Office
  readonly #lanes = new Lanes()
  readonly waiting = new Waiting(this.#lanes)
  readonly #pace: Pace
  readonly #turns: Alarm
  #flight: Flight | undefined
  /** What waits now waits for something of its own, and not for its turn: who comes may pass. */
  #isFlowing = false
  /** Messages with lower places gathered while the link was not live. */
  #backlogEnd = 0

  constructor(clock: Clock, backlogPerSecond: number, limit: PaceLimit | undefined, office: Office) {
    this.#clock = clock
    this.#pace = new Pace(backlogPerSecond, limit)
    this.#turns = new Alarm(clock, () => this.flush())
    this.#office = office
  }

  /** Where is written now: to the transport, if the link is live, or else to the fallback, if there is one. */
  get flight(): Flight | undefined {
    return this.#flight
  }

  get isLive(): boolean {
    return this.#flight !== undefined && !this.#flight.isFallback
  }

  attach(flight: Flight): void {
    if (!this.isLive) {
      this.#backlogEnd = this.waiting.nextPlace
      flight.askAgain()
    }
    this.#flight = flight
    this.flush()
  }

  detach(): void {
    this.#flight = undefined
    this.#isFlowing = false
    this.#turns.clear()
  }

  /** Writes a new message if nothing hinders it. Otherwise it has to wait. */
  pass(entry: Entry, now: number): boolean {
    const flight = this.#flight
    if (!flight || !this.#isFlowing || !isFor(entry, flight)) return false
    if (this.#lanes.waiting(entry) > 0 || !this.#lanes.isFree(entry, pipeOf(entry, flight))) return false
    this.#isFlowing = this.#hasTurn(entry, flight, now, 0)
    if (this.#isFlowing) this.#write(entry, flight, now)
    return this.#isFlowing
  }

  /** Writes what may be written. */
  flush(): void {
    if (!this.#flight) return
    // who comes meanwhile goes behind
    this.#isFlowing = false
    this.#isFlowing = this.#pour(this.#flight)
  }

  /** Whether it came to the end: what still waits then waits for something of its own. */
  #pour(flight: Flight): boolean {
    const now = this.#clock.now()
    /** Conversations of which one waits for something of its own, and those of which one is only being marked. */
    const stuck = new Set<string | undefined>()
    const delayed = new Set<string | undefined>()
    let promised = 0
    for (const entry of this.waiting.values()) {
      const { conversation } = entry
      // after a stall of ours the transport may be heard before the timer that gives such a message up
      if (entry.expiresAt <= now || stuck.has(conversation)) continue
      const isDelayed = delayed.has(conversation)
      if (!this.#isReady(entry, flight, now) || (isDelayed && isRequest(entry))) {
        if (conversation !== undefined) stuck.add(conversation)
        continue
      }
      if (!this.#hasTurn(entry, flight, now, promised)) return false
      if (this.#office.mayWrite(entry) && !isDelayed) {
        this.waiting.remove(entry)
        this.#write(entry, flight, now)
        if (this.#flight !== flight) return false
        continue
      }
      promised++
      if (conversation !== undefined) delayed.add(conversation)
    }
    return true
  }

  /** Whether there is nothing but its turn that it waits for. */
  #isReady(entry: Entry, flight: Flight, now: number): boolean {
    const { slip, pause } = entry
    if (!isFor(entry, flight)) return false
    if (slip && !slip.isAccepted) return false
    if (pause && pause.flight === flight && pause.until > now) {
      this.#turns.by(pause.until)
      return false
    }
    return this.#lanes.isFree(entry, pipeOf(entry, flight))
  }

  /** Whether the kernel and the pace allow it; if only time is missing, it is looked at again then. */
  #hasTurn(entry: Entry, flight: Flight, now: number, others: number): boolean {
    const waitMs = this.#pace.waitMs(now, this.#isBacklog(entry), others)
    if (waitMs > 0) this.#turns.by(now + waitMs)
    return waitMs === 0 && flight.hasRoom()
  }

  /** Gathered while the link was not live, or lost and written again. */
  #isBacklog({ place, again }: Entry): boolean {
    return again || place < this.#backlogEnd
  }

  #write(entry: Entry, flight: Flight, now: number): void {
    this.#pace.note(now, this.#isBacklog(entry))
    this.#lanes.isWritten(entry, pipeOf(entry, flight))
    this.#office.write(entry, flight)
  }

  /** It is settled: it neither waits nor is it written any more. Say `flush()` when all is told. */
  left(entry: Entry): void {
    if (entry.flight) {
      entry.flight.left(entry)
      this.#lanes.isWrittenNoMore(entry)
    } else {
      this.waiting.remove(entry)
      if (this.waiting.size === 0) this.#turns.clear()
    }
  }

  /** Whether somebody of its conversation waits, perhaps for it. */
  isAwaited(entry: Entry): boolean {
    return this.#lanes.waiting(entry) > 0
  }

  /** They were written, and shall be written again: before all that wait. */
  putBack(entries: readonly Entry[], trouble: string): void {
    for (const entry of entries) {
      this.left(entry)
      entry.beside = undefined
      entry.mayHaveArrived = true
      entry.trouble = trouble
    }
    this.waiting.putBack(entries)
  }

  /** The fallback did not take it: it waits again. */
  takeBack(entry: Entry, flight: Flight): void {
    this.left(entry)
    entry.beside = undefined
    this.waiting.takeBack(entry)
    this.pause(entry, flight)
    this.flush()
  }

  /** It failed here: not again for a while, unless it is on another transport. */
  pause(entry: Entry, flight: Flight): void {
    const ms = Math.min(PAUSE_MIN_MS * 2 ** entry.tries++, PAUSE_MAX_MS)
    entry.pause = { until: this.#clock.now() + ms, flight }
  }
}

const isRequest = ({ outgoing }: Entry): boolean => isBeside(outgoing)

/** Frames of one transport arrive in order; requests overtake each other and them. */
const pipeOf = (entry: Entry, flight: Flight): object => (isRequest(entry) || flight.isFallback ? entry : flight)

/** The fallback carries messages, not calls, and none that may have arrived already. */
const isFor = ({ message, mayHaveArrived }: Entry, { isFallback }: Flight): boolean =>
  !isFallback || (message !== undefined && !mayHaveArrived)
