/**
 * Outbound messages, each with a fate. Bounded in number and bytes, ordered, with a deadline for each message; a settled
 * message is never written again, and at every moment entered = delivered + expired + refused + uncertain + waiting.
 */
import type { Fault } from '../machines/fault.ts'
import type { Frame, HttpOutgoing, Outgoing } from './adapter/adapter.ts'
import type { Clock, Timer } from './clock.ts'
import { textOf } from './error.ts'

/**
 * What became of an outbound message.
 *
 * - `delivered`  the peer proved it: its answer, or its pong to a ping sent after the message
 * - `expired`    it was never written within its time
 * - `refused`    it was certainly not delivered: outbox full, not encodable, or the peer said no
 * - `uncertain`  it was written, and no proof came: it may have arrived or not
 */
export type Fate = 'delivered' | 'expired' | 'refused' | 'uncertain'

export interface Settled {
  readonly fate: Fate
  /** The peer's answer, where there is one. */
  readonly result?: unknown
  /** Why it was not delivered. */
  readonly detail?: string
}

export interface OutboxOptions {
  readonly messagesMax: number
  readonly bytesMax: number
}

export const outboxDefaults: OutboxOptions = { messagesMax: 1_000, bytesMax: 8 * 1024 * 1024 }

/** The live conversation as the outbox needs it. */
export interface Writer {
  write(frame: Frame): void
  /** Told when the first message begins to wait for its proof. */
  awaitProof(): void
  /** Sends a ping; `proven(mark)` follows when the peer answers. */
  mark(mark: number): void
  hasRoom(): boolean
  request(outgoing: HttpOutgoing, signal: AbortSignal): Promise<unknown>
}

export interface Ticket {
  readonly withinMs: number
  /** Given by the caller: the peer, or the meaning of the message, makes a second copy harmless. */
  readonly idempotencyKey?: string | undefined
}

interface Entry {
  readonly key: string
  readonly outgoing: Outgoing
  readonly bytes: number
  readonly withinMs: number
  readonly expiresAt: number
  readonly idempotent: boolean
  readonly resolve: (settled: Settled) => void
  /** It was on a transport that was lost, and waits to be written again. */
  mayHaveArrived?: boolean
  http?: AbortController
}

export interface OutboxCounts extends Readonly<Record<Fate, number>> {
  readonly entered: number
  readonly waiting: number
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #clock: Clock
  #waiting = new Map<string, Entry>()
  readonly #written = new Map<string, Entry>()
  /** Written without an answer of their own: proved together by the next pong. */
  #unmarked: Entry[] = []
  #marked: Entry[] = []
  #mark = 0
  #markDue = false
  #writer: Writer | undefined
  #bytes = 0
  #keys = 0
  #sweepAt = Number.POSITIVE_INFINITY
  #sweep: Timer | undefined
  #whenEmpty: (() => void) | undefined
  #closed: string | undefined
  readonly #counts = { entered: 0, delivered: 0, expired: 0, refused: 0, uncertain: 0 }

  constructor(options: OutboxOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  get counts(): OutboxCounts {
    return { ...this.#counts, waiting: this.#waiting.size + this.#written.size }
  }

  /** Whether something that was written waits for the peer's answer. */
  get awaitsProof(): boolean {
    return this.#written.size > 0
  }

  /** Settles exactly once; never rejects. `make` encodes the message under a key that no other message has. */
  put(make: (key: string) => Outgoing, { withinMs, idempotencyKey }: Ticket): Promise<Settled> {
    this.#counts.entered++
    const key = idempotencyKey ?? this.#freshKey()
    const encoded = this.#encode(key, make)
    if (typeof encoded === 'string') {
      this.#counts.refused++
      return Promise.resolve({ fate: 'refused', detail: encoded })
    }
    const expiresAt = this.#clock.now() + withinMs
    const { promise, resolve } = withResolvers<Settled>()
    const entry = { key, ...encoded, withinMs, expiresAt, idempotent: idempotencyKey !== undefined, resolve }
    this.#bytes += entry.bytes
    if (this.#waiting.size === 0 && this.#writer?.hasRoom()) this.#write(entry, this.#writer)
    else this.#waiting.set(key, entry)
    this.#sweepBy(expiresAt)
    return promise
  }

  /** Users choose keys too, so one of ours may be taken. */
  #freshKey(): string {
    let key: string
    do key = `h${this.#keys++}`
    while (this.#waiting.has(key) || this.#written.has(key))
    return key
  }

  /** The message as it will be written, or why it is refused. */
  #encode(key: string, make: (key: string) => Outgoing): Pick<Entry, 'outgoing' | 'bytes'> | string {
    const { messagesMax, bytesMax } = this.#options
    if (this.#closed !== undefined) return this.#closed
    if (this.#waiting.has(key) || this.#written.has(key)) return 'a message with this key is already waiting'
    if (this.#waiting.size + this.#written.size >= messagesMax) return `the outbox is full (${messagesMax} messages)`
    try {
      const outgoing = make(key)
      const bytes = sizeOf(outgoing)
      return this.#bytes + bytes > bytesMax ? `the outbox is full (${bytesMax} bytes)` : { outgoing, bytes }
    } catch (error) {
      return `it cannot be encoded: ${error instanceof Error ? error.message : textOf(error)}`
    }
  }

  /** The link is live: write what waits, and then as it comes. */
  attach(writer: Writer): void {
    this.#writer = writer
    this.flush()
    // what was written before the doubt is still without proof
    this.#markSoon()
  }

  /** The link is no longer live: hold what comes. What was written may still be answered. */
  detach(): void {
    this.#writer = undefined
  }

  flush(): void {
    const now = this.#clock.now()
    for (const entry of this.#waiting.values()) {
      if (!this.#writer?.hasRoom()) return
      // after a stall of ours the transport may be heard before the timer that gives such a message up
      if (entry.expiresAt <= now) continue
      this.#waiting.delete(entry.key)
      this.#write(entry, this.#writer)
    }
  }

  #write(entry: Entry, writer: Writer): void {
    this.#written.set(entry.key, entry)
    if (this.#written.size === 1) writer.awaitProof()
    const { outgoing } = entry
    if ('http' in outgoing) {
      this.#request(entry, outgoing, writer)
      return
    }
    writer.write(outgoing.frame)
    if (outgoing.proof === 'answer') return
    this.#unmarked.push(entry)
    this.#markSoon()
  }

  /** One ping at a time proves everything that was written before it. */
  #markSoon(): void {
    if (this.#markDue || this.#unmarked.length === 0 || this.#marked.length > 0) return
    this.#markDue = true
    queueMicrotask(() => {
      this.#markDue = false
      if (!this.#writer || this.#unmarked.length === 0 || this.#marked.length > 0) return
      this.#marked = this.#unmarked
      this.#unmarked = []
      this.#writer.mark(++this.#mark)
    })
  }

  #request(entry: Entry, outgoing: HttpOutgoing, writer: Writer): void {
    const abort = new AbortController()
    entry.http = abort
    writer.request(outgoing, abort.signal).then(
      (result) => this.#settleWritten(entry, { fate: 'delivered', result }),
      (error: RequestError) => this.#settleWritten(entry, { fate: error.delivered, detail: error.message }),
    )
  }

  /** The peer answered a message. Late and unknown keys are ignored. */
  answer(key: string, result: unknown): void {
    const entry = this.#written.get(key)
    if (entry) this.#settleWritten(entry, { fate: 'delivered', result })
  }

  refuse(key: string, detail: string): void {
    const entry = this.#written.get(key)
    if (entry) this.#settleWritten(entry, { fate: 'refused', detail })
  }

  /** The peer answered the ping with this mark: all that was written before the ping has arrived. */
  proven(mark: number): void {
    if (mark !== this.#mark) return
    const proved = this.#marked
    this.#marked = []
    for (const entry of proved) this.#settleWritten(entry, { fate: 'delivered' })
    this.#markSoon()
  }

  #settleWritten(entry: Entry, settled: Settled): void {
    // a late proof of a message that was given up must not settle the next one under its key
    if (this.#written.get(entry.key) !== entry) return
    this.#written.delete(entry.key)
    this.#settle(entry, settled)
  }

  #settle(entry: Entry, settled: Settled): void {
    this.#bytes -= entry.bytes
    this.#counts[settled.fate]++
    entry.resolve(settled)
    this.#noticeEmpty()
  }

  /** The transport is gone. What it carried is uncertain, unless a second copy is harmless: that is written again. */
  lose(fault: Fault): void {
    this.detach()
    this.#marked = []
    this.#unmarked = []
    const again = new Map<string, Entry>()
    for (const entry of this.#written.values()) {
      if (entry.http) continue
      if (!entry.idempotent) {
        this.#settleWritten(entry, { fate: 'uncertain', detail: `the transport was lost (${fault.code})` })
        continue
      }
      this.#written.delete(entry.key)
      entry.mayHaveArrived = true
      again.set(entry.key, entry)
    }
    if (again.size > 0) this.#waiting = new Map([...again, ...this.#waiting])
  }

  /** Takes nothing more and settles all that is left: the link has stopped. */
  close(reason: string): void {
    this.#closed = reason
    this.detach()
    this.#clock.clearTimeout(this.#sweep)
    for (const entry of this.#waiting.values()) this.#settleWaiting(entry, { fate: 'refused', detail: reason })
    for (const entry of this.#written.values()) {
      entry.http?.abort()
      this.#settleWritten(entry, { fate: 'uncertain', detail: reason })
    }
  }

  /** Calls back once when nothing waits any more; at once if so already. The returned function forgets it. */
  whenEmpty(tell: () => void): () => void {
    this.#whenEmpty = tell
    this.#noticeEmpty()
    return () => {
      this.#whenEmpty = undefined
    }
  }

  #noticeEmpty(): void {
    if (!this.#whenEmpty || this.#waiting.size + this.#written.size > 0) return
    const tell = this.#whenEmpty
    this.#whenEmpty = undefined
    tell()
  }

  #settleWaiting(entry: Entry, settled: Settled): void {
    if (!this.#waiting.delete(entry.key)) return
    this.#settle(entry, entry.mayHaveArrived ? { ...settled, fate: 'uncertain' } : settled)
  }

  /** One timer for all deadlines: it is moved only when a message has to be looked at earlier than any before. */
  #sweepBy(at: number): void {
    if (at >= this.#sweepAt) return
    this.#clock.clearTimeout(this.#sweep)
    this.#sweepAt = at
    this.#sweep = this.#clock.setTimeout(() => this.#expire(), Math.max(0, at - this.#clock.now()))
  }

  #expire(): void {
    this.#sweepAt = Number.POSITIVE_INFINITY
    const now = this.#clock.now()
    const isDue = (entry: Entry) => entry.expiresAt <= now
    for (const entry of [...this.#waiting.values()].filter(isDue)) {
      this.#settleWaiting(entry, { fate: 'expired', detail: `the link was not live within ${entry.withinMs} ms` })
    }
    for (const entry of [...this.#written.values()].filter(isDue)) {
      entry.http?.abort()
      this.#settleWritten(entry, { fate: 'uncertain', detail: `no answer within ${entry.withinMs} ms` })
    }
    // a ping that is never answered must not hold up the proof of what is written later
    const isWritten = (entry: Entry) => this.#written.get(entry.key) === entry
    this.#marked = this.#marked.filter(isWritten)
    this.#unmarked = this.#unmarked.filter(isWritten)
    this.#markSoon()
    let next = Number.POSITIVE_INFINITY
    for (const map of [this.#waiting, this.#written]) {
      for (const entry of map.values()) next = Math.min(next, entry.expiresAt)
    }
    if (next < Number.POSITIVE_INFINITY) this.#sweepBy(next)
  }
}

/** How a request over HTTP went wrong, and what that means for its message. */
export class RequestError extends Error {
  readonly delivered: 'refused' | 'uncertain'

  constructor(delivered: 'refused' | 'uncertain', message: string) {
    super(message)
    this.delivered = delivered
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

const sizeOf = (outgoing: Outgoing): number => {
  if ('http' in outgoing) return Buffer.byteLength(outgoing.http.body ?? '')
  const { frame } = outgoing
  if (typeof frame !== 'string' && !(frame instanceof Uint8Array)) throw new TypeError('a frame is a string or bytes')
  return typeof frame === 'string' ? Buffer.byteLength(frame) : frame.byteLength
}
