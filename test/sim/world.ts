/**
 * One link in a world under control: fake network, fake peer, virtual time. `moves.ts` says what can happen in it,
 * `judge.ts` watches that no rule is broken while it does.
 */

import type { Fault } from '../../machines/fault.ts'
import type { Frame, Io, Target } from '../../src/adapter/adapter.ts'
import { type JsonObject, readObject } from '../../src/adapter/json.ts'
import { connect, type Link } from '../../src/link.ts'
import type { Address } from '../../src/net/resolve.ts'
import type { TransitionRecord } from '../../src/observe/recorder.ts'
import { momentOf, OwnTenure } from '../../src/tenure.ts'
import { FakeNetwork, type FakeTransport, type HeapClock, heapClock } from '../../src/testing/index.ts'
import { Judge } from './judge.ts'
import { Letters } from './letters.ts'
import { type AdapterMood, answerOf, type Payload, type SimCalls, simAdapter } from './protocol.ts'
import { Verdicts } from './verdicts.ts'
import { LinkClock, type Wire, wiretap } from './wire.ts'

export interface WorldOptions {
  /** Seeds the dice of the link. */
  readonly seed: number
  /** Whether the adapter has a probe of its own. */
  readonly probes: boolean
  /** Whether the peer is healthy at first. */
  readonly healthy: boolean
  readonly id?: string
}

/** Small, so that a run of a hundred steps meets them. */
export const bounds = { messagesMax: 6, bytesMax: 600, inboundMax: 5, recordsMax: 16 } as const

/** More than this in the buffer of a transport: the kernel does not keep up. */
export const CLOGGED_BYTES = 1024 * 1024

const TARGET: Target = { url: 'ws://peer.test:1/', headers: { Authorization: 'Bearer canary' } }

export const targets = {
  fine: () => TARGET,
  throws: () => {
    throw new Error('no token today')
  },
  hangs: () => new Promise<Target>(() => undefined),
  wrong: () => ({ url: 'not a url' }),
} satisfies Record<string, () => Target | Promise<Target>>

export class World {
  readonly clock: HeapClock
  readonly linkClock: LinkClock
  readonly network: FakeNetwork
  readonly wires: readonly Wire[]
  readonly link: Link<JsonObject, Payload, SimCalls>
  readonly verdicts: Verdicts
  readonly letters: Letters
  readonly tenure: OwnTenure
  readonly judge: Judge
  readonly records: TransitionRecord[] = []
  readonly mood: AdapterMood = { target: targets.fine, throwsIn: undefined, delivered: 0 }
  /** The port of each dialogue that was begun, oldest first. */
  readonly ios: Io<JsonObject>[] = []
  /** Lookups that were told to hang, until somebody answers them. */
  readonly hanging: ((addresses: Address[]) => void)[] = []
  readonly read: unknown[] = []
  readonly probes: boolean
  /** Calls of `ready()` that have not settled. */
  awaited = 0
  /** When the process last woke from a stall. */
  awakeAt = 0
  frozen = false
  #reader: AsyncIterator<JsonObject> | undefined
  #isReading = false

  constructor({ seed, probes, healthy, id = 'sim' }: WorldOptions) {
    this.probes = probes
    this.clock = heapClock(seed)
    this.verdicts = new Verdicts(() => this.clock.now())
    this.letters = new Letters(this.verdicts, () => this.clock.now())
    this.judge = new Judge(this)
    const { judge } = this
    this.linkClock = new LinkClock(
      this.clock,
      (delayMs) => judge.armed(delayMs),
      () => judge.look(),
    )
    const answer = (frame: Frame) => answerOf(readObject(frame) ?? {})
    this.network = new FakeNetwork(this.clock, { greeting: [{ op: 'welcome' }], answer }, healthy)
    const { wires, transport } = wiretap(this.network, judge, () => this.link.stats.frames.malformed)
    this.wires = wires
    const { messagesMax, bytesMax, inboundMax, recordsMax } = bounds
    this.tenure = new OwnTenure({ id, term: 1, handOver: undefined }, this.clock, Infinity, momentOf(this.clock))
    this.link = connect(
      simAdapter(this.mood, probes, (io) => this.ios.push(io)),
      {
        id,
        clock: this.linkClock,
        lookup: this.network.lookup,
        transport,
        outbox: { messagesMax, bytesMax },
        inbound: { messagesMax: inboundMax },
        recordsMax,
        lease: this.tenure,
      },
    )
    this.link.transitions$.subscribe((record) => {
      this.records.push(record)
      judge.recorded(record)
    })
    this.link.state$.subscribe((status) => judge.shown(status))
  }

  get state() {
    return this.link.status.state
  }

  /** The wire that the link holds now, if any. */
  get wire(): Wire | undefined {
    const last = this.wires.at(-1)
    return last?.ended ? undefined : last
  }

  get peer(): FakeTransport | undefined {
    return this.wire?.transport
  }

  /** Lets promises settle and what is due fire. */
  settle(): Promise<void> {
    return this.clock.advance(0)
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(Math.max(0, ms))
  }

  /** The peer says this; nobody is heard on a transport that is not ready yet. */
  say(frame: object | Frame): void {
    if (this.wire?.isReady) this.peer?.frame(frame)
  }

  lose(fault: Fault, close?: { code: number; reason: string }): void {
    this.peer?.lose(fault, close)
  }

  freeze(): void {
    this.frozen = true
    this.network.healthy = false
    if (this.wire) this.wire.frozen = true
  }

  thaw(): void {
    this.frozen = false
    this.network.healthy = true
    this.wire?.thaw()
  }

  expectReady(): void {
    this.awaited++
    const settled = () => {
      this.awaited--
    }
    this.link.ready().then(settled, settled)
  }

  /** The user takes one message, or waits for one. */
  async take(): Promise<boolean> {
    if (this.#isReading) return false
    this.#isReading = true
    this.#reader ??= this.link[Symbol.asyncIterator]()
    const { done, value } = await this.#reader.next()
    this.#isReading = false
    if (!done) this.read.push(value)
    return !done
  }

  /** Takes all that is there. */
  async takeAll(): Promise<void> {
    for (let before = -1; before < this.read.length; ) {
      before = this.read.length
      void this.take()
      await this.settle()
    }
  }
}
