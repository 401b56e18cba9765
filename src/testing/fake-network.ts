/**
 * A network under the hand of a test: transports that do what they are told, in virtual time, and answer by themselves
 * when they are told to be healthy. Pass `network.transport` and `network.lookup` to `connect()`.
 */
import type { Fault } from '../../machines/fault.ts'
import type { Frame } from '../adapter/adapter.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Endpoint } from '../conversation.ts'
import type { Address } from '../net/resolve.ts'
import type { OpenTransport, Pipe, TransportListener } from '../transport/transport.ts'

/** One transport of a fake network. After it ended, telling it anything changes nothing for the link. */
export class FakeTransport {
  readonly endpoint: Endpoint
  /** What the link wrote, oldest first. */
  readonly sent: Frame[] = []
  ended = false
  /** What the kernel has not taken yet: with a lot of it the link writes no more until `drain()`. */
  bufferedBytes = 0
  /** Milliseconds of the clock at which the link dialed. */
  readonly dialedAt: number
  readonly #listener: TransportListener
  readonly #network: FakeNetwork
  #timers: Timer[] = []

  constructor(network: FakeNetwork, endpoint: Endpoint, listener: TransportListener) {
    this.#network = network
    this.endpoint = endpoint
    this.#listener = listener
    this.dialedAt = network.clock.now()
  }

  open(): void {
    this.#listener.opened()
  }

  ready(): void {
    this.#listener.ready(this.#pipe)
  }

  frame(frame: Frame | object): void {
    const raw = typeof frame === 'string' || frame instanceof Uint8Array ? frame : JSON.stringify(frame)
    this.#listener.frame(raw)
    this.#listener.inbound()
  }

  pong(mark: string): void {
    this.#listener.answered(mark)
    this.#listener.inbound()
  }

  drain(): void {
    this.bufferedBytes = 0
    this.#listener.drained()
  }

  lose(fault: Fault, close?: { code: number; reason: string }): void {
    this.#listener.lost(fault, close)
  }

  /** What the link's end of the transport does when the link leaves it. */
  end(): void {
    this.ended = true
    for (const timer of this.#timers) this.#network.clock.clearTimeout(timer)
    this.#timers = []
  }

  /** Later, unless the transport has ended by then. */
  after(ms: number, act: () => void): void {
    this.#timers.push(
      this.#network.clock.setTimeout(() => {
        if (!this.ended) act()
      }, ms),
    )
  }

  readonly #pipe: Pipe = {
    send: (frame) => {
      this.sent.push(frame)
      this.#network.heard(this, frame)
    },
    ping: (mark) => this.#network.pinged(this, mark),
    bufferedBytes: () => this.bufferedBytes,
    close: () => this.#network.closed(this),
  }
}

/** How a healthy peer behaves, step by step; `latencyMs` lies before each step. */
export interface PeerScript {
  /** Sent when the transport is ready. */
  greeting?: readonly object[]
  /** The answer to a frame of the link, if it has one. */
  answer?(frame: Frame): object | undefined
}

export class FakeNetwork {
  readonly clock: Clock
  readonly script: PeerScript
  readonly transports: FakeTransport[] = []
  /** While healthy, transports open, greet and answer by themselves. */
  healthy: boolean
  latencyMs = 10
  /** What name lookups give; a function may also throw. */
  addresses: () => Address[] | Promise<Address[]> = () => [{ address: '127.0.0.1', family: 4 }]

  constructor(clock: Clock, script: PeerScript = {}, healthy = true) {
    this.clock = clock
    this.script = script
    this.healthy = healthy
  }

  /** The transport that the link holds now, if any. */
  get current(): FakeTransport | undefined {
    const last = this.transports.at(-1)
    return last?.ended ? undefined : last
  }

  get openCount(): number {
    return this.transports.filter(({ ended }) => !ended).length
  }

  readonly lookup = async (): Promise<Address[]> => this.addresses()

  readonly transport =
    (endpoint: Endpoint): OpenTransport =>
    (listener) => {
      const transport = new FakeTransport(this, endpoint, listener)
      this.transports.push(transport)
      transport.after(this.latencyMs, () => this.#greet(transport))
      return () => transport.end()
    }

  #greet(transport: FakeTransport): void {
    if (!this.healthy) return
    transport.open()
    transport.after(this.latencyMs, () => {
      if (!this.healthy) return
      transport.ready()
      for (const frame of this.script.greeting ?? []) transport.frame(frame)
    })
  }

  heard(transport: FakeTransport, frame: Frame): void {
    if (!this.healthy) return
    const answer = this.script.answer?.(frame)
    if (answer) transport.after(this.latencyMs, () => transport.frame(answer))
  }

  pinged(transport: FakeTransport, mark: string): void {
    if (this.healthy) transport.after(this.latencyMs, () => transport.pong(mark))
  }

  closed(transport: FakeTransport): void {
    if (!this.healthy) return
    transport.after(this.latencyMs, () => transport.lose({ code: 'closed-by-peer' }, { code: 1000, reason: '' }))
  }
}
