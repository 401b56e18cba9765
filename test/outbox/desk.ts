/** An outbox with a network that only writes down what it is given, in virtual time. */
import type { Frame, HttpOutgoing, Outgoing } from '../../src/adapter/adapter.ts'
import {
  BesideError,
  type Flight,
  Outbox,
  type OutboxOptions,
  type OutboxPorts,
  outboxDefaults,
  type Settled,
  type SettledMessage,
  type Ticket,
  type Writer,
} from '../../src/outbox/outbox.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { follow, type Outcome } from '../small-talk.ts'

export const LOST = { code: 'connection-lost' } as const

export interface Asked {
  readonly text: string
  readonly signal: AbortSignal
  /** The peer answers, as the adapter reads it. */
  answer(result: unknown): void
  /** The peer says no. */
  refuse(why: string): void
  /** It never left. */
  miss(why: string): void
  /** It left, and nobody knows what became of it. */
  cut(why: string): void
}

/** One transport. */
export interface Line {
  readonly flight: Flight
  /** `text key`, oldest first. */
  readonly written: string[]
  readonly marks: number[]
}

export interface More extends Partial<Ticket> {
  readonly proof?: 'answer'
}

export interface Letter extends Outcome<Settled> {
  readonly accepted: Outcome<void>
}

export class Desk {
  readonly clock: HeapClock
  readonly outbox: Outbox
  readonly lines: Line[] = []
  readonly requests: Asked[] = []
  readonly fates: SettledMessage[] = []
  awaited = 0
  room = true
  /** Told of each frame while it is being written. */
  onWrite: (text: string) => void = () => undefined

  constructor(options: Partial<OutboxOptions> = {}, ports: Partial<OutboxPorts> & { clock?: HeapClock } = {}) {
    this.clock = ports.clock ?? heapClock()
    this.outbox = new Outbox({ ...outboxDefaults, ...options }, { ...ports, clock: this.clock })
    this.outbox.settled$.subscribe((settled) => this.fates.push(settled))
  }

  /** A transport that nobody writes to yet. */
  dial(): Line {
    const written: string[] = []
    const marks: number[] = []
    const writer: Writer = {
      write: (frame: Frame) => {
        written.push(String(frame))
        this.onWrite(String(frame).split(' ')[0]!)
      },
      awaitProof: () => void this.awaited++,
      mark: (mark) => void marks.push(mark),
      hasRoom: () => this.room,
      request: (outgoing, signal) => this.#request(outgoing as HttpOutgoing, signal),
    }
    const line = { flight: this.outbox.flight(writer), written, marks }
    this.lines.push(line)
    return line
  }

  #request({ http, read }: HttpOutgoing, signal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) =>
      this.requests.push({
        text: String(http.body),
        signal,
        answer: (result) => resolve(read(200, String(result))),
        refuse: (why) => {
          read(404, why)
          reject(new BesideError('refused', why))
        },
        miss: (why) => reject(new BesideError('refused', why)),
        cut: (why) => reject(new BesideError('uncertain', why)),
      }),
    )
  }

  get line(): Line {
    return this.lines.at(-1)!
  }

  get flight(): Flight {
    return this.line.flight
  }

  /** Live on a transport: on the last one, or on a new one if that was lost. */
  attach(): Line {
    if (this.lines.length === 0 || this.flight.isLost) this.dial()
    this.outbox.attach(this.flight)
    return this.line
  }

  lose(): void {
    this.flight.lose(LOST)
  }

  /** What was written on all transports, in order. */
  get written(): string[] {
    return this.lines.flatMap(({ written }) => written)
  }

  /** The same without keys. */
  get texts(): string[] {
    return this.written.map((line) => line.split(' ')[0]!)
  }

  get marks(): number[] {
    return this.line.marks
  }

  put(text: string, { proof, ...ticket }: More = {}): Letter {
    const make = (key: string): Outgoing => ({ frame: `${text} ${key}`, ...(proof && { proof }) })
    return this.enter(make, ticket)
  }

  post(text: string, ticket: Partial<Ticket> = {}): Letter {
    const make = (key: string): Outgoing => ({
      http: { url: 'http://h/', method: 'POST', headers: {}, body: `${text} ${key}` },
      read: (_status, body) => body,
    })
    return this.enter(make, ticket)
  }

  /** A message that is kept, where there is a ledger. */
  keep(message: unknown, ticket: Partial<Ticket> = {}): Letter {
    return this.enter((key) => encode(message, key), ticket, message)
  }

  enter(make: (key: string) => Outgoing, ticket: Partial<Ticket> = {}, message?: unknown): Letter {
    const { accepted, settled } = this.outbox.put(make, { withinMs: 10_000, ...ticket }, message)
    return Object.assign(follow(settled), { accepted: follow(accepted) })
  }

  settle(): Promise<void> {
    return this.clock.advance(0)
  }
}

/** `http …` goes in a request, all else in frames. */
export const encode = (message: unknown, key: string): Outgoing => {
  if (message === 'unspeakable') throw new Error('this cannot be said')
  if (String(message).startsWith('http')) {
    const body = `${String(message)} ${key}`
    return { http: { url: 'http://h/', method: 'POST', headers: {}, body }, read: () => 'ok' }
  }
  return { frame: `${String(message)} ${key}`, proof: 'answer' }
}

export const fatesOf = (letters: readonly Letter[]): (string | undefined)[] => letters.map(({ value }) => value?.fate)
