/**
 * The time in which this process owns a link, and the gate before everything that it does for the bot meanwhile.
 *
 * A timer alone cannot keep a promise about time: a process that was suspended runs on where it was, and its timers come
 * later. So whoever is about to dial, to write or to hand a message on asks first, in the same turn; and whoever asks too
 * late is what ends the tenure.
 */
import type { Fault } from '../machines/fault.ts'
import type { Clock } from './clock.ts'
import { HoldfastError, textOf } from './error.ts'
import type { HandOver } from './hand-over.ts'
import type { OpenTransport, Pipe } from './transport/transport.ts'

/** The option `lease` of the link that a process may hold for as long as it owns it. */
export interface Tenure {
  /** Of the lease. */
  readonly id: string
  /** Counts the owners of this lease: greater than that of whoever had it before. */
  readonly term: number
  /** What the owner before handed over. The link takes it by itself. */
  readonly handOver: HandOver | undefined
  /** Fires when the tenure is over, with a HoldfastError that has the fault. It does not begin again. */
  readonly signal: AbortSignal
  /** Calls `cut` once, in the very turn in which it is over; at once if it is. What it gives forgets that. */
  whenOver(cut: (fault: Fault) => void): () => void
  /** Whether this process may act for the bot at this moment. Ask in the turn in which you act. */
  holds(): boolean
}

/** A moment by both clocks. */
export interface Moment {
  readonly now: number
  readonly wall: number
}

export const momentOf = (clock: Clock): Moment => ({ now: clock.now(), wall: clock.wall() })

/**
 * While a machine sleeps its monotonic time may stand still, so the wall clock is believed where it says that more time
 * has passed. One that was set forward costs a tenure and nothing else.
 */
export const msSince = (clock: Clock, { now, wall }: Moment): number => Math.max(clock.now() - now, clock.wall() - wall)

/** Before everything that a link does: with a tenure it asks that, without one it is open. */
export type Gate = () => boolean

export const gateOf = (tenure: Pick<Tenure, 'holds'> | undefined): Gate => (tenure ? () => tenure.holds() : () => true)

/** Neither dialed nor written to once the gate is shut. The link is cut by then, so nobody waits for an answer. */
export const gated =
  (gate: Gate, open: OpenTransport): OpenTransport =>
  (listener) => {
    if (!gate()) return () => undefined
    return open({ ...listener, ready: (pipe) => listener.ready(gatedPipe(gate, pipe)) })
  }

const gatedPipe = (gate: Gate, pipe: Pipe): Pipe => ({
  send: (frame) => {
    if (gate()) pipe.send(frame)
  },
  ping: (mark) => {
    if (gate()) pipe.ping(mark)
  },
  bufferedBytes: () => pipe.bufferedBytes(),
  close: (code) => {
    if (gate()) pipe.close(code)
  },
})

/** One that runs out by itself. */
export class OwnTenure implements Tenure {
  readonly id: string
  readonly term: number
  readonly handOver: HandOver | undefined
  readonly #clock: Clock
  readonly #forMs: number
  readonly #over = new AbortController()
  readonly #cuts = new Set<(fault: Fault) => void>()
  #asked: Moment
  #fault: Fault | undefined
  #isFollowed = false

  /** `forMs` counts from the moment before it was asked for. */
  constructor(
    { id, term, handOver }: Pick<Tenure, 'id' | 'term' | 'handOver'>,
    clock: Clock,
    forMs: number,
    asked: Moment,
  ) {
    this.id = id
    this.term = term
    this.handOver = handOver
    this.#clock = clock
    this.#forMs = forMs
    this.#asked = asked
  }

  get signal(): AbortSignal {
    return this.#over.signal
  }

  /** Somebody ends with it. */
  get isFollowed(): boolean {
    return this.#isFollowed
  }

  get leftMs(): number {
    return this.#fault ? 0 : Math.max(0, this.#forMs - msSince(this.#clock, this.#asked))
  }

  holds(): boolean {
    if (this.#fault) return false
    if (this.leftMs > 0) return true
    this.end({ code: 'lease-expired' })
    return false
  }

  /** Granted again, as asked for at that moment. What has run out meanwhile stays over. */
  renewed(asked: Moment): void {
    if (this.holds()) this.#asked = asked
  }

  whenOver(cut: (fault: Fault) => void): () => void {
    this.#isFollowed = true
    if (this.#fault) cut(this.#fault)
    else this.#cuts.add(cut)
    return () => this.#cuts.delete(cut)
  }

  end(fault: Fault): void {
    if (this.#fault) return
    this.#fault = fault
    for (const cut of this.#cuts) {
      try {
        cut(fault)
      } catch (error) {
        // one that fails must not keep the others from ending
        process.emitWarning(`A listener of the lease "${this.id}" threw ${textOf(error)}.`, 'HoldfastWarning')
      }
    }
    this.#over.abort(new HoldfastError('stopped', `The lease "${this.id}" is over.`, { fault }))
  }
}
