/**
 * A link that is made to reconnect again and again in virtual time, by a peer that remembers nothing of it: what the process
 * gains is the link's. Transports are lost and resumed, sessions are refused, and every third time the link moves.
 */
import { getEventListeners } from 'node:events'
import { readObject } from '../../src/adapter/json.ts'
import { connect, type Link } from '../../src/link.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import type { OpenTransport, Pipe, TransportListener } from '../../src/transport/transport.ts'
import { gatewayAdapter } from '../gateway.ts'

const LATENCY_MS = 1
/** A whole way up, and a way down beside it. */
const TURN_MS = 12 * LATENCY_MS

export interface Left {
  readonly timers: number
  readonly transports: number
  readonly abortListeners: number
  readonly processListeners: number
}

export class Churn {
  readonly clock: HeapClock = heapClock()
  readonly link: Link
  readonly done = { resumed: 0, started: 0, moved: 0 }
  readonly #abort = new AbortController()
  readonly #open = new Set<TransportListener>()
  #refuses = false

  constructor() {
    this.link = connect(gatewayAdapter({ overlap: true }), {
      id: 'bot',
      clock: this.clock,
      signal: this.#abort.signal,
      lookup: async () => [{ address: '192.0.2.7', family: 4 }],
      transport: () => this.#transport,
    }) as Link
  }

  /** What there is of it in the process just now. */
  get left(): Left {
    return {
      timers: this.clock.pending,
      transports: this.#open.size,
      abortListeners: getEventListeners(this.#abort.signal, 'abort').length,
      processListeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    }
  }

  readonly #transport: OpenTransport = (listener) => {
    this.#open.add(listener)
    this.#later(listener, () => {
      listener.opened()
      listener.ready(this.#pipe(listener))
    })
    return () => this.#open.delete(listener)
  }

  #later(listener: TransportListener, act: () => void): void {
    this.clock.setTimeout(() => {
      if (this.#open.has(listener)) act()
    }, LATENCY_MS)
  }

  #pipe(listener: TransportListener): Pipe {
    const hear = (act: () => void) =>
      this.#later(listener, () => {
        act()
        listener.inbound()
      })
    const tell = (frame: object) => hear(() => listener.frame(JSON.stringify(frame)))
    return {
      send: (frame) => {
        const { op, key } = readObject(frame) ?? {}
        if (op === 'say') tell({ op: 'heard', key })
        else if (op === 'resume' && this.#refuses) tell({ op: 'invalid' })
        else if (op === 'resume') {
          this.done.resumed++
          tell({ op: 'resumed' })
        } else {
          this.done.started++
          tell({ op: 'ready', id: 's' })
        }
      },
      ping: (mark) => hear(() => listener.answered(mark)),
      bufferedBytes: () => 0,
      close: () => this.#later(listener, () => listener.lost({ code: 'closed-by-peer' }, { code: 1000, reason: '' })),
    }
  }

  /** So many times a transport ends and another one takes its place. Throws if the link does not come back. */
  async reconnect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const seen = this.link.state$.subscribe(() => undefined)
      if (i % 3 === 0) {
        this.done.moved++
        this.link.replace()
      } else {
        for (const listener of [...this.#open]) listener.lost({ code: 'connection-lost' })
        this.#refuses = i % 30 === 1
        this.link.retry()
      }
      void this.link.send('hello')
      await this.clock.advance(TURN_MS)
      if (this.#refuses) {
        this.link.retry()
        await this.clock.advance(TURN_MS)
      }
      this.#refuses = false
      if (this.link.status.state !== 'live') throw new Error(`${this.link.status.state} after ${i} reconnects`)
      await this.link.ready({ signal: this.#abort.signal })
      seen.unsubscribe()
    }
  }

  /** Until what the governor and the heartbeat remember of a busy time is over. */
  async rest(): Promise<void> {
    await this.clock.advance(300_000)
  }

  async stop(): Promise<void> {
    void this.link.stop()
    await this.clock.advance(10_000)
  }
}
