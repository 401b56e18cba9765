/** What was written on one transport and waits for its proof. */
import type { Fault } from '../../machines/fault.ts'
import type { BesideOutgoing, Frame } from '../adapter/adapter.ts'
import { Bell } from './bell.ts'
import type { Entry, Settled } from './entry.ts'

/** The conversation as the outbox needs it. */
export interface Writer {
  write(frame: Frame): void
  /** Told when the first message begins to wait for its proof. */
  awaitProof(): void
  /** Sends a ping; `proven(mark)` follows when the peer answers. */
  mark(mark: number): void
  hasRoom(): boolean
  request(outgoing: BesideOutgoing, signal: AbortSignal): Promise<unknown>
}

/** The outbox as a flight needs it. */
export interface Desk {
  find(key: string): Entry | undefined
  settle(entry: Entry, settled: Settled): void
  room(flight: Flight): void
  lost(flight: Flight, fault: Fault): void
}

export class Flight {
  /** Not a transport of the link, but what stands in for it while there is none. */
  readonly isFallback: boolean
  readonly #desk: Desk
  readonly #writer: Writer
  #frames = 0
  #requests = 0
  /** Written without an answer of their own: proved together by the next pong. */
  #unmarked: Entry[] = []
  #marked: Entry[] = []
  #mark = 0
  #markDue = false
  #isLost = false
  readonly #empty = new Bell()

  constructor(desk: Desk, writer: Writer, isFallback = false) {
    this.isFallback = isFallback
    this.#desk = desk
    this.#writer = writer
  }

  get isLost(): boolean {
    return this.#isLost
  }

  /** Whether something that was written waits for the peer's answer. */
  get awaitsProof(): boolean {
    return this.#frames + this.#requests > 0
  }

  hasRoom(): boolean {
    return this.#writer.hasRoom()
  }

  write(entry: Entry, frame: Frame, isAnswered: boolean): void {
    entry.flight = this
    if (this.#frames++ === 0 && this.#requests === 0) this.#writer.awaitProof()
    this.#writer.write(frame)
    if (isAnswered) return
    this.#unmarked.push(entry)
    this.#markSoon()
  }

  /** A request goes beside the transport, and outlives it. */
  request(entry: Entry, outgoing: BesideOutgoing, signal: AbortSignal): Promise<unknown> {
    entry.flight = this
    if (this.#requests++ === 0 && this.#frames === 0) this.#writer.awaitProof()
    return this.#writer.request(outgoing, signal)
  }

  /** To be told of every entry that is no longer written here. */
  left(entry: Entry): void {
    entry.flight = undefined
    if (entry.beside) this.#requests--
    else this.#frames--
  }

  /** Last of all: whoever waits for it may end the transport at once. */
  tellIfEmpty(): void {
    if (this.#frames === 0) this.#empty.ring()
  }

  readonly #isHere = (entry: Entry): boolean => entry.flight === this

  /** One ping at a time proves everything that was written before it. */
  #markSoon(): void {
    if (this.#markDue || this.#unmarked.length === 0 || this.#marked.length > 0) return
    this.#markDue = true
    queueMicrotask(() => {
      this.#markDue = false
      if (this.#marked.length > 0) return
      this.#marked = this.#unmarked.filter(this.#isHere)
      this.#unmarked = []
      if (this.#marked.length > 0) this.#writer.mark(++this.#mark)
    })
  }

  /** The peer answered a message. Late and unknown keys are ignored, and those of messages written elsewhere. */
  answer(key: string, result: unknown): void {
    this.#settle(key, { fate: 'delivered', result })
  }

  refuse(key: string, detail: string): void {
    this.#settle(key, { fate: 'refused', detail })
  }

  #settle(key: string, settled: Settled): void {
    const entry = this.#desk.find(key)
    if (entry?.flight === this) this.#desk.settle(entry, settled)
  }

  /** The peer answered the ping with this mark: all that was written before the ping has arrived. */
  proven(mark: number): void {
    if (mark !== this.#mark) return
    const proved = this.#marked
    this.#marked = []
    for (const entry of proved) if (entry.flight === this) this.#desk.settle(entry, { fate: 'delivered' })
    this.#markSoon()
  }

  /** Some were given up: a ping that is never answered must not hold up the proof of what is written later. */
  forgetSettled(): void {
    this.#marked = this.#marked.filter(this.#isHere)
    this.#unmarked = this.#unmarked.filter(this.#isHere)
    this.#markSoon()
  }

  /** The link doubted this transport and does no longer: a ping of that time may never be answered. */
  askAgain(): void {
    this.#unmarked = [...this.#marked, ...this.#unmarked]
    this.#marked = []
    this.#markSoon()
  }

  /** The transport takes more. */
  room(): void {
    this.#desk.room(this)
  }

  /** The transport is gone. What it carried is uncertain, unless a second copy is harmless: that is written again. */
  lose(fault: Fault): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#marked = []
    this.#unmarked = []
    this.#desk.lost(this, fault)
  }

  /** Calls back once when nothing that was written here waits for proof; at once if so already. Requests go beside it. */
  whenEmpty(tell: () => void): () => void {
    return this.#empty.wait(tell, this.#frames === 0)
  }
}
