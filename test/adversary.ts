/**
 * A process with its links, in an environment that decides what becomes of each dial, in virtual time; and a ledger of
 * what was dialed, by whose wish.
 */
import type { Fault } from '../machines/fault.ts'
import { defineAdapter } from '../src/adapter/adapter.ts'
import type { Clock } from '../src/clock.ts'
import { connect, type Link } from '../src/link.ts'
import { type HeapClock, heapClock } from '../src/testing/heap-clock.ts'
import type { OpenTransport, TransportListener } from '../src/transport/transport.ts'

export const MINUTE_MS = 60_000

/** Resolving is a chain of promises, of so many turns at most. */
const TURNS = 64

export const ops = ['hold', 'resume', 'retry', 'retryAll', 'stop', 'start'] as const
export type Op = (typeof ops)[number]

export interface Outcome {
  readonly name: string
  /** Milliseconds until the socket is open; without it never. */
  readonly openMs?: number
  /** What ends it, and when; without it nothing does. */
  readonly fault?: Fault
  readonly endMs?: number
  /** The peer welcomes as soon as it is open. */
  readonly welcomes?: boolean
  /** It answers probes. */
  readonly alive?: boolean
}

const lost = { code: 'connection-lost' } as const

export const outcomes = {
  refused: { name: 'refused', fault: { code: 'refused' }, endMs: 1 },
  noRoute: { name: 'no route', fault: { code: 'unreachable' }, endMs: 1 },
  refusedSlowly: { name: 'refused, slowly', fault: { code: 'refused' }, endMs: 5_000 },
  dropped: { name: 'dropped', openMs: 1, fault: { code: 'dropped' }, endMs: 2 },
  reset: { name: 'accepted, then reset', openMs: 1, fault: lost, endMs: 2 },
  silent: { name: 'never answered' },
  stalled: { name: 'accepted and stalled', openMs: 1 },
  unauthorized: { name: '401', openMs: 1, fault: { code: 'upgrade-unauthorized' }, endMs: 5 },
  forbidden: { name: '403', openMs: 1, fault: { code: 'upgrade-forbidden' }, endMs: 5 },
  unavailable: { name: '503', openMs: 1, fault: { code: 'peer-unavailable' }, endMs: 5 },
  toldShort: { name: 'told 1 s', openMs: 1, fault: { code: 'throttled', retryAfterMs: 1_000 }, endMs: 5 },
  toldLong: { name: 'told 20 s', openMs: 1, fault: { code: 'throttled', retryAfterMs: 20_000 }, endMs: 5 },
  diesAtOnce: { name: 'welcomed, dies at once', openMs: 1, welcomes: true, fault: lost, endMs: 2 },
  diesSoon: { name: 'welcomed, dies after 1 s', openMs: 1, welcomes: true, fault: lost, endMs: 1_000 },
  diesLater: { name: 'welcomed, dies after 20 s', openMs: 1, welcomes: true, fault: lost, endMs: 20_000 },
  diesTold: {
    name: 'welcomed, told 1 s',
    openMs: 1,
    welcomes: true,
    fault: { code: 'try-later', retryAfterMs: 1_000 },
    endMs: 500,
  },
  freezes: { name: 'welcomed, then silent', openMs: 1, welcomes: true },
} as const satisfies Record<string, Outcome>

export const healthy: Outcome = { name: 'healthy', openMs: 5, welcomes: true, alive: true }
export const healed = (): Outcome => healthy

/**
 * Who wanted a dial: a person, the governor by an invitation, or the link's own timer, which the governor set.
 * `moved`: its provider sent it to another endpoint after it was let go, which nobody can foresee.
 */
type Cause = 'person' | 'invited' | 'own' | 'moved'

export interface Dial {
  readonly link: number
  readonly endpoint: string
  readonly cause: Cause
  readonly at: number
  accepted: boolean
  welcomed: boolean
}

interface Site {
  readonly inside: Map<Dial, TransportListener>
  /** Invited, and still under way. */
  readonly scouts: Set<Dial>
  /** Since when it is known to be down: something failed there, nobody is inside, and nobody got in since. */
  downSince: number | undefined
}

const adapterFor = (portOf: () => number) =>
  defineAdapter({
    name: 'adversary',
    target: () => ({ url: `ws://127.0.0.1:${portOf()}/` }),
    dialogue: (io) => ({
      frame: () => {
        io.welcome()
        return 'taken'
      },
    }),
  })

/** A process with its links, and all that they dial. */
export class World {
  readonly clock: HeapClock
  readonly links: Link[] = []
  readonly dials: Dial[] = []
  /** What the environment makes of a dial. */
  decide: (dial: Dial) => Outcome = healed
  readonly wrong: string[] = []
  readonly #causes: Cause[] = []
  readonly #latest: (Dial | undefined)[] = []
  readonly #resolving = new Set<number>()
  readonly #sites = new Map<string, Site>()

  constructor(seed: number) {
    this.clock = heapClock(seed)
  }

  /** Without a turn of the real event loop for each timer: nothing here needs more than promises. */
  async advance(ms: number): Promise<void> {
    const until = this.clock.now() + ms
    for (;;) {
      for (let i = 0; i < TURNS && this.#resolving.size > 0; i++) await undefined
      const next = this.clock.nextInMs
      if (next === undefined || this.clock.now() + next > until) break
      this.clock.advanceSync(next)
    }
    this.clock.advanceSync(until - this.clock.now())
  }

  /** With a clock of its own a link has a governor of its own. */
  start(portOf: () => number = () => 7_000, clock: Clock = this.clock): void {
    const index = this.links.length
    this.#causes[index] = 'person'
    this.#resolving.add(index)
    const link = connect(adapterFor(portOf), {
      id: `bot-${index}`,
      clock,
      recordsMax: 1,
      transport: ({ target }) => this.#open(index, target.url),
    })
    link.transitions$.subscribe(({ to, event, reason }) => {
      if (to === 'backoff') this.#noteLoss(index)
      if (to !== 'resolving') return void this.#resolving.delete(index)
      this.#resolving.add(index)
      const isPerson = event === 'operator.resume' || reason === 'operator'
      this.#causes[index] = isPerson ? 'person' : event === 'dial.invited' ? 'invited' : 'own'
    })
    this.links.push(link)
  }

  order(op: Exclude<Op, 'start'>, index: number): void {
    const link = this.links[index % this.links.length]!
    if (op === 'hold') link.hold()
    else if (op === 'resume') link.resume()
    else if (op === 'retry') link.retry()
    else if (op === 'retryAll') for (const each of this.links) each.retry()
    else void link.stop({ drainMs: index % 2 === 0 ? 0 : 1_000 })
  }

  /** All sessions end at once. */
  fall(fault: Fault = lost): void {
    for (const { inside } of this.#sites.values()) for (const listener of [...inside.values()]) listener.lost(fault)
  }

  #open(index: number, endpoint: string): OpenTransport {
    return (listener) => {
      const cause = this.#causeOf(index, endpoint)
      const dial: Dial = { link: index, endpoint, cause, at: this.clock.now(), accepted: false, welcomed: false }
      this.#noteScout(dial)
      this.dials.push(dial)
      this.#latest[index] = dial
      const outcome = this.decide(dial)
      const { openMs, fault, endMs } = outcome
      const timers = [
        openMs === undefined ? undefined : this.clock.setTimeout(() => this.#accept(dial, listener, outcome), openMs),
        fault && this.clock.setTimeout(() => listener.lost(fault), endMs ?? 0),
      ]
      return () => {
        for (const timer of timers) this.clock.clearTimeout(timer)
        const site = this.#site(endpoint)
        site.scouts.delete(dial)
        site.inside.delete(dial)
      }
    }
  }

  #causeOf(index: number, endpoint: string): Cause {
    const cause = this.#causes[index]!
    return cause !== 'person' && this.#latest[index]?.endpoint !== endpoint ? 'moved' : cause
  }

  #accept(dial: Dial, listener: TransportListener, { welcomes, alive }: Outcome): void {
    dial.accepted = true
    listener.opened()
    if (!welcomes) return
    dial.welcomed = true
    const site = this.#site(dial.endpoint)
    site.inside.set(dial, listener)
    site.downSince = undefined
    listener.ready({
      send: () => undefined,
      ping: (mark) => {
        if (!alive) return
        listener.answered(mark)
        listener.inbound()
      },
      bufferedBytes: () => 0,
      close: () => listener.lost({ code: 'closed-by-peer' }),
    })
    listener.frame('welcome')
    listener.inbound()
  }

  /** Whoever is parked was refused for a reason of its own or held by a person: that says nothing of the endpoint. */
  #noteLoss(index: number): void {
    const latest = this.#latest[index]
    if (!latest) return
    const site = this.#site(latest.endpoint)
    if (site.inside.size === 0) site.downSince ??= this.clock.now()
  }

  #noteScout(dial: Dial): void {
    const { scouts, downSince } = this.#site(dial.endpoint)
    if (dial.cause !== 'invited') return
    const other = [...scouts].find(({ at }) => downSince !== undefined && at > downSince)
    if (other) this.wrong.push(`two scouts at ${dial.at} ms: the first since ${other.at} ms`)
    scouts.add(dial)
  }

  #site(endpoint: string): Site {
    const site = this.#sites.get(endpoint) ?? { inside: new Map(), scouts: new Set(), downSince: undefined }
    this.#sites.set(endpoint, site)
    return site
  }

  /** Links that want to be live and are not. */
  get waiting(): Link[] {
    return this.links.filter(({ status }) => !['live', 'parked', 'stopped', 'closing'].includes(status.state))
  }

  /** Milliseconds until all are live that want to be, `atMostMs` if they do not get there. */
  async untilLive(atMostMs: number): Promise<number> {
    const begun = this.clock.now()
    while (this.waiting.length > 0 && this.clock.now() - begun < atMostMs) await this.advance(50)
    return this.clock.now() - begun
  }

  async end(): Promise<void> {
    for (const link of this.links) void link.stop({ drainMs: 0 })
    await this.advance(0)
  }
}

export const busiest = (times: readonly number[], withinMs: number): number => {
  let most = 0
  for (let from = 0, to = 0; to < times.length; to++) {
    while (times[from]! <= times[to]! - withinMs) from++
    most = Math.max(most, to - from + 1)
  }
  return most
}

/** The most within a minute, of the groups that `group` tells apart. */
export const worstMinute = (dials: readonly Dial[], group: (dial: Dial) => unknown): number =>
  [...new Set(dials.map(group))]
    .map((key) => dials.filter((dial) => group(dial) === key).map(({ at }) => at))
    .reduce((most, times) => Math.max(most, busiest(times, MINUTE_MS)), 0)

/** What the governor answers for. */
export const isGoverned = ({ cause }: Dial): boolean => cause === 'invited' || cause === 'own'
