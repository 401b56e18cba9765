/**
 * One transport between a link and the platform. What is written in one moment travels as one chunk, chunks keep their
 * order and take their time, and of what is under way when the wire breaks only the beginning arrives, or nothing.
 */
import type { Fault } from '../../machines/fault.ts'
import type { Frame } from '../../src/adapter/adapter.ts'
import type { Clock } from '../../src/clock.ts'
import type { Pipe, TransportListener } from '../../src/transport/transport.ts'

/** The same for every wire: two transports of one bot run side by side over the same network. */
export const LATENCY_MS = 10

const CLOGGED_BYTES = 2 * 1024 * 1024

interface Item {
  readonly frame?: Frame
  readonly ping?: string
}

interface Chunk {
  readonly at: number
  items: Item[]
}

/** The end of the peer. */
export interface PeerEnd {
  heard(wire: Wire, frame: Frame): void
}

export class Wire {
  /** What the peer knows of the bot at this end. */
  session: string | undefined
  /** The link has left it. What the peer still says goes nowhere. */
  isLeft = false
  /** It broke, or was closed: nobody uses it any more. */
  isOver = false
  readonly #clock: Clock
  readonly #listener: TransportListener
  readonly #peer: PeerEnd
  readonly #dice: () => number
  #isFrozen = false
  #isClogged = false
  #up: Chunk[] = []
  #down: Chunk[] = []

  constructor(clock: Clock, listener: TransportListener, peer: PeerEnd, dice: () => number) {
    this.#clock = clock
    this.#listener = listener
    this.#peer = peer
    this.#dice = dice
  }

  /** Later, unless the wire is of no use by then. */
  later(ms: number, act: () => void): void {
    this.#clock.setTimeout(() => {
      if (!this.isLeft && !this.isOver) act()
    }, ms)
  }

  accept(): void {
    this.#listener.opened()
    if (!this.isLeft) this.#listener.ready(this.#pipe)
  }

  readonly #pipe: Pipe = {
    send: (frame) => this.#write({ frame }),
    ping: (mark) => this.#write({ ping: mark }),
    bufferedBytes: () => (this.#isClogged ? CLOGGED_BYTES : 0),
    close: () => this.later(2 * LATENCY_MS, () => this.lose({ code: 'closed-by-peer' }, { code: 1000, reason: '' })),
  }

  #write(item: Item): void {
    if (!this.isLeft && !this.isOver) this.#put(this.#up, item, () => this.#arrive())
  }

  tell(frame: object): void {
    if (!this.isLeft && !this.isOver) this.#put(this.#down, { frame: JSON.stringify(frame) }, () => this.#deliver())
  }

  #put(chunks: Chunk[], item: Item, arrive: () => void): void {
    const at = this.#clock.now() + LATENCY_MS
    const last = chunks.at(-1)
    if (last?.at === at) {
      last.items.push(item)
      return
    }
    chunks.push({ at, items: [item] })
    this.#clock.setTimeout(arrive, LATENCY_MS)
  }

  #due(chunks: Chunk[]): Item[] {
    const due: Item[] = []
    while (chunks[0] && chunks[0].at <= this.#clock.now()) due.push(...chunks.shift()!.items)
    return due
  }

  /** What the kernel of the peer took is read as long as its process runs, also when the link has gone. */
  #arrive(): void {
    if (this.#isFrozen) return
    for (const { frame, ping } of this.#due(this.#up)) {
      if (frame !== undefined) this.#peer.heard(this, frame)
      else if (ping !== undefined) this.#pong(ping)
    }
  }

  #pong(ping: string): void {
    if (!this.isLeft && !this.isOver) this.#put(this.#down, { ping }, () => this.#deliver())
  }

  #deliver(): void {
    if (!this.#isFrozen) this.#handOver(this.#due(this.#down))
  }

  #handOver(items: readonly Item[]): void {
    let isAny = false
    for (const { frame, ping } of items) {
      if (this.isLeft) return
      isAny = true
      if (frame !== undefined) this.#listener.frame(frame)
      else if (ping !== undefined) this.#listener.answered(ping)
    }
    if (isAny && !this.isLeft) this.#listener.inbound()
  }

  /** Bytes of a frame that never becomes whole. */
  crumble(): void {
    if (!this.isLeft && !this.isOver) this.#listener.inbound()
  }

  /** Nothing passes any more, and neither end notices. */
  freeze(): void {
    this.#isFrozen = true
  }

  thaw(): void {
    this.#isFrozen = false
    this.#arrive()
    this.#deliver()
  }

  clog(): void {
    this.#isClogged = true
  }

  drain(): void {
    this.#isClogged = false
    if (!this.isLeft && !this.isOver) this.#listener.drained()
  }

  /** It breaks, and the link learns of it. */
  lose(fault: Fault, close?: { code: number; reason: string }): void {
    if (this.isLeft || this.isOver) return
    // a close frame comes behind all that was said before it
    if (close) this.#handOver(this.#down.flatMap(({ items }) => items))
    this.#break()
    if (!this.isLeft) this.#listener.lost(fault, close)
  }

  /** It breaks within a chunk: in each direction the first half of what is under way arrives. */
  tear(): void {
    if (this.isLeft || this.isOver) return
    const items = this.#down.flatMap(({ items }) => items)
    this.#handOver(items.slice(0, Math.ceil(items.length / 2)))
    if (!this.isLeft) this.lose({ code: 'connection-lost' })
  }

  /** The link ends it at once. */
  leave(): void {
    if (!this.isLeft && !this.isOver) this.#break()
    this.isLeft = true
  }

  /** The peer still gets some of what is under way to it: all, nothing, or the first few. */
  #break(): void {
    this.isOver = true
    this.#down = []
    let left = Math.floor(this.#dice() * (1 + this.#up.reduce((sum, { items }) => sum + items.length, 0)))
    if (this.#dice() < 0.3) left = Number.POSITIVE_INFINITY
    for (const chunk of this.#up) {
      chunk.items = chunk.items.slice(0, left)
      left -= chunk.items.length
    }
    // a frozen peer reads it when it goes on, if it ever does
    if (this.#isFrozen && this.#dice() < 0.5) this.#clock.setTimeout(() => this.thaw(), this.#dice() * 3_000)
  }
}
