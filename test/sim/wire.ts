/**
 * What lies between a link and its fake network: every dial, write and sign of life comes past here, to be judged, held
 * back (a frozen peer) or lost without a trace (a half-open connection).
 */
import type { Frame } from '../../src/adapter/adapter.ts'
import type { Clock, Timer } from '../../src/clock.ts'
import type { Endpoint } from '../../src/conversation.ts'
import type { FakeNetwork, FakeTransport } from '../../src/testing/index.ts'
import type { Pipe, TransportListener } from '../../src/transport/transport.ts'

export interface WireEvents {
  dialed(wire: Wire): void
  wrote(wire: Wire, frame: Frame): void
  pinged(wire: Wire, mark: string): void
  told(wire: Wire, frame: Frame): void
  answered(wire: Wire, mark: string): void
}

/** One transport as the link sees it, from the dial to its end. */
export class Wire {
  ended = false
  isReady = false
  /** Half-open: nothing comes through any more, in either direction, and neither side notices. */
  cut = false
  /** The peer's process is stopped: the kernel takes our bytes, nobody reads them. */
  frozen = false
  /** Probes and pings that the peer has not answered, oldest first. */
  readonly unanswered: string[] = []
  /** When the link last asked for a sign of life. */
  probedAt: number | undefined
  /** The latest moment at which the peer proved to be alive. */
  aliveAt: number | undefined
  transport: FakeTransport | undefined
  #backlog: (() => void)[] = []

  heardAnswer(mark: string): void {
    const index = this.unanswered.indexOf(mark)
    if (index >= 0) this.unanswered.splice(index, 1)
  }

  forward(act: () => void): void {
    if (this.cut) return
    if (this.frozen) this.#backlog.push(act)
    else act()
  }

  thaw(): void {
    this.frozen = false
    const backlog = this.#backlog
    this.#backlog = []
    for (const act of backlog) if (!this.ended) this.forward(act)
  }
}

export const wiretap = (network: FakeNetwork, events: WireEvents, malformed: () => number) => {
  const wires: Wire[] = []
  const transport = (endpoint: Endpoint) => (listener: TransportListener) => {
    const wire = new Wire()
    wires.push(wire)
    events.dialed(wire)
    const end = network.transport(endpoint)(tapped(wire, listener, network.clock, events, malformed))
    wire.transport = network.transports.at(-1)
    return () => {
      wire.ended = true
      end()
    }
  }
  return { wires, transport }
}

const tapped = (
  wire: Wire,
  listener: TransportListener,
  clock: Clock,
  events: WireEvents,
  malformed: () => number,
): TransportListener => {
  let before = 0
  const alive = () => {
    if (!wire.ended) wire.aliveAt = clock.now()
  }
  const unlessCut = (act: () => void) => {
    if (!wire.cut) act()
  }
  return {
    ...listener,
    opened: () => unlessCut(() => listener.opened()),
    ready: (pipe) =>
      unlessCut(() => {
        wire.isReady = true
        listener.ready(tappedPipe(wire, pipe, events))
      }),
    frame: (frame) =>
      unlessCut(() => {
        before = malformed()
        events.told(wire, frame)
        listener.frame(frame)
      }),
    inbound: () =>
      unlessCut(() => {
        if (malformed() === before) alive()
        listener.inbound()
      }),
    answered: (mark) =>
      unlessCut(() => {
        alive()
        events.answered(wire, mark)
        listener.answered(mark)
      }),
    lost: (fault, close) => listener.lost(fault, close),
    drained: () => listener.drained(),
  }
}

const tappedPipe = (wire: Wire, pipe: Pipe, events: WireEvents): Pipe => ({
  send: (frame) => {
    events.wrote(wire, frame)
    wire.forward(() => pipe.send(frame))
  },
  ping: (mark) => {
    events.pinged(wire, mark)
    wire.forward(() => pipe.ping(mark))
  },
  bufferedBytes: () => pipe.bufferedBytes(),
  close: () => wire.forward(() => pipe.close()),
})

/** The clock as the link gets it: it knows which timers are the link's own, and what delays were asked for. */
export class LinkClock implements Clock {
  readonly due = new Map<Timer, number>()
  readonly #inner: Clock
  readonly #asked: (delayMs: number) => void
  readonly #fired: () => void

  constructor(inner: Clock, asked: (delayMs: number) => void, fired: () => void) {
    this.#inner = inner
    this.#asked = asked
    this.#fired = fired
  }

  readonly now = (): number => this.#inner.now()
  readonly wall = (): number => this.#inner.wall()
  readonly random = (): number => this.#inner.random()

  readonly setTimeout = (run: () => void, delayMs: number): Timer => {
    this.#asked(delayMs)
    const timer = this.#inner.setTimeout(() => {
      this.due.delete(timer)
      run()
      this.#fired()
    }, delayMs)
    this.due.set(timer, this.#inner.now() + delayMs)
    return timer
  }

  readonly clearTimeout = (timer: Timer | undefined): void => {
    if (timer) this.due.delete(timer)
    this.#inner.clearTimeout(timer)
  }

  get nextDue(): number {
    return Math.min(...this.due.values())
  }
}
