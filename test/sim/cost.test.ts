/** What a link costs a peer in trouble, and how soon it is back: exact, in virtual time, on the live link. */
import { describe, expect, test, vi } from 'vitest'
import { curves, deadlines } from '../../machines/delay.ts'
import type { Fault } from '../../machines/fault.ts'
import { type Adapter, defineAdapter } from '../../src/adapter/adapter.ts'
import { onebot } from '../../src/adapter/onebot.ts'
import { satori } from '../../src/adapter/satori.ts'
import { faultFromStatus } from '../../src/error.ts'
import { connect, type Link } from '../../src/link.ts'
import { FakeNetwork, type FakeTransport, type HeapClock, heapClock } from '../../src/testing/index.ts'
import { DIALS_MAX_A_MINUTE } from './bounds.ts'

// days pass here, and on a busy machine they take a while
vi.setConfig({ testTimeout: 120_000 })

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** Two steps of a peer that opens and welcomes. */
const LATENCY = 10
const WELCOMED = 2 * LATENCY

/** Speaks first and once: whoever opens the transport is welcome. */
const trusting = (): Adapter =>
  defineAdapter({
    name: 'trusting',
    target: { url: 'ws://peer.test:1/' },
    dialogue: (io) => ({ opened: () => io.welcome(), frame: () => 'taken' }),
  })

/** What the peer does with the transport number n, from 1. */
type Treat = (transport: FakeTransport, n: number) => void

interface Held {
  readonly clock: HeapClock
  readonly network: FakeNetwork
  readonly link: Link
  /** When each dial began. */
  dials(): number[]
}

interface Case {
  readonly id?: number
  readonly adapter?: Adapter
  readonly healthy?: boolean
  readonly quietMs?: number
}

const hold = (treat: Treat, { id = 0, adapter = trusting(), healthy = false, quietMs = 8_000 }: Case = {}): Held => {
  // the seed draws the salt of the id, as the dice of another process would
  const clock = heapClock(id)
  const network = new FakeNetwork(clock, {}, healthy)
  network.latencyMs = LATENCY
  const link = connect(adapter, {
    id: `bot-${id}`,
    clock,
    lookup: network.lookup,
    heartbeat: { quietMs },
    transport: (endpoint) => (listener) => {
      const end = network.transport(endpoint)(listener)
      treat(network.transports.at(-1)!, network.transports.length)
      return end
    },
  })
  return { clock, network, link, dials: () => network.transports.map(({ dialedAt }) => dialedAt) }
}

const end = async ({ clock, link }: Held): Promise<void> => {
  const stopped = link.stop({ drainMs: 0 })
  await clock.advance(0)
  await stopped
}

const ids = Array.from({ length: 100 }, (_, id) => id)

const losesAt =
  (ms: number, fault: Fault, close?: { code: number; reason: string }): Treat =>
  (transport) =>
    transport.after(ms, () => transport.lose(fault, close))

const refuses = losesAt(1, { code: 'refused' })
const drops = losesAt(LATENCY + 1, { code: 'dropped' })
const diesAfter = (ms: number): Treat => losesAt(WELCOMED + ms, { code: 'connection-lost' })

/** The most of these moments that fall within any window of this length. */
const mostWithin = (windowMs: number, at: readonly number[]): number =>
  Math.max(...at.map((start, i) => at.slice(i).filter((each) => each - start < windowMs).length))

interface Watch {
  readonly forMs: number
  readonly windowMs: number
  readonly healthy?: boolean
  readonly links?: number
}

/** The most dials in any window of the unluckiest link; each has dice of its own. */
const worstOf = async (treat: Treat, { forMs, windowMs, healthy, links }: Watch): Promise<number> => {
  let worst = 0
  for (const id of ids.slice(0, links)) {
    const held = hold(treat, healthy === undefined ? { id } : { id, healthy })
    await held.clock.advance(forMs)
    worst = Math.max(worst, mostWithin(windowMs, held.dials()))
    await end(held)
  }
  return worst
}

const FLAPPING = 10

describe('dials', () => {
  test('HF-C1 the worst of 100 links stays within the dials that each kind of trouble may cost', async () => {
    const dying = await worstOf(diesAfter(1), { forMs: 10 * MINUTE, windowMs: 30 * SECOND, healthy: true })
    const dropping = await worstOf(drops, { forMs: 10 * MINUTE, windowMs: MINUTE })
    const vacant = await worstOf(refuses, { forMs: 10 * MINUTE, windowMs: MINUTE })
    console.log(
      `most dials: ${dying} in 30 s welcomed and lost, ${dropping} in 60 s dropped, ${vacant} in 60 s refused`,
    )
    expect(dying).toBeLessThanOrEqual(8)
    expect(dropping).toBeLessThanOrEqual(10)
    expect(vacant).toBeLessThanOrEqual(40)
    // a link that dials too seldom is of no use either
    expect(Math.min(dying, dropping)).toBeGreaterThan(4)
    expect(vacant).toBeGreaterThan(30)
  })

  test('HF-C6 a world that alternates its failures to provoke dials gets no more than the bound', async () => {
    let worst = 0
    for (const every of [2, 5, 10, 20, 31, 34]) {
      for (const dear of [drops, diesAfter(1), losesAt(LATENCY + 1, { code: 'peer-unavailable' })]) {
        const provoke: Treat = (transport, n) => (n % every === 0 ? dear : refuses)(transport, n)
        worst = Math.max(
          worst,
          await worstOf(provoke, { forMs: 3 * MINUTE, windowMs: MINUTE, healthy: true, links: 20 }),
        )
      }
    }
    console.log(`most dials in any minute when failures alternate: ${worst}`)
    expect(worst).toBeLessThanOrEqual(DIALS_MAX_A_MINUTE)
    expect(worst).toBeGreaterThan(30)
  })

  test('HF-C3 a flapping peer sees fewer than 1,000 session starts a day, however long its sessions last', async () => {
    for (const lifeS of [1, 30, 61, 90, 119, 121, 180]) {
      const starts: number[] = []
      for (const id of ids.slice(0, FLAPPING)) {
        // nothing is ever silent here: fewer probes make the day shorter, and change no dial
        const held = hold(diesAfter(lifeS * SECOND), { id, healthy: true, quietMs: 10 * MINUTE })
        await held.clock.advance(DAY)
        starts.push(held.dials().length)
        await end(held)
      }
      console.log(`sessions of ${lifeS} s: ${Math.min(...starts)} to ${Math.max(...starts)} starts in 24 h`)
      expect(Math.max(...starts)).toBeLessThan(1_000)
      expect(Math.min(...starts)).toBeGreaterThan(100)
    }
  })
})

/** Waits until the link is live; gives how long that took. */
const liveAfter = async ({ clock, link }: Held, maxMs: number): Promise<number> => {
  const from = clock.now()
  while (link.status.state !== 'live' && clock.now() - from <= maxMs) {
    await clock.advance(Math.min(clock.nextInMs ?? maxMs, maxMs + 1))
  }
  return clock.now() - from
}

const silent: Treat = () => undefined

interface Outage {
  readonly name: string
  readonly treat: Treat
  readonly withinMs: number
}

/** How soon it is back after the longest outage: what is left of the present attempt, the longest wait, and the way up. */
const outages: readonly Outage[] = [
  { name: 'nothing listens', treat: refuses, withinMs: curves.vacant.patience!.capMs + WELCOMED + 1 },
  { name: 'a proxy drops', treat: drops, withinMs: curves.dropped.capMs + WELCOMED },
  {
    name: 'packets vanish',
    treat: silent,
    withinMs: deadlines.connectDeadline + curves.dropped.capMs + WELCOMED,
  },
]

describe('endurance', () => {
  test('HF-L5 R43 a link never gives up: a day of outage, then it is back as soon as its longest wait allows', async () => {
    for (const { name, treat, withinMs } of outages) {
      let outage = true
      const held = hold((transport, n) => outage && treat(transport, n), { id: 1 })
      await held.clock.advance(DAY)
      const dials = held.dials().length
      outage = false
      held.network.healthy = true
      const ms = await liveAfter(held, 10 * MINUTE)
      console.log(`after a day in which ${name}: ${dials} dials, live ${(ms / SECOND).toFixed(2)} s after the end`)
      expect(held.link.status.state).toBe('live')
      expect(ms).toBeLessThanOrEqual(withinMs)
      await end(held)
    }
  })

  test('HF-L5 the same when names do not resolve, and when every upgrade is answered 503', async () => {
    const nameless = hold(silent, { id: 2 })
    nameless.network.addresses = () => {
      throw Object.assign(new Error('getaddrinfo'), { code: 'EAI_AGAIN' })
    }
    await nameless.clock.advance(DAY)
    expect(nameless.dials()).toEqual([])
    nameless.network.addresses = () => [{ address: '127.0.0.1', family: 4 }]
    nameless.network.healthy = true
    expect(await liveAfter(nameless, MINUTE)).toBeLessThanOrEqual(6 * SECOND)

    let outage = true
    const down = losesAt(LATENCY + 1, faultFromStatus(503, undefined, 0))
    const held = hold((transport, n) => outage && down(transport, n), { id: 3 })
    await held.clock.advance(DAY)
    outage = false
    held.network.healthy = true
    expect(await liveAfter(held, 10 * MINUTE)).toBeLessThanOrEqual(longestCostlyMs + WELCOMED)
  })
})

const longestCostlyMs = curves.costly.capMs

/** Kills the peer under a live link, lets it come back, and says how long after that the link was live. */
const recoveryOf = async (id: number, outageMs: number): Promise<number> => {
  let outage = false
  const held = hold((transport, n) => outage && refuses(transport, n), { id, healthy: true })
  await held.clock.advance(MINUTE)
  outage = true
  held.network.healthy = false
  held.network.current!.lose({ code: 'connection-lost' })
  await held.clock.advance(outageMs)
  outage = false
  held.network.healthy = true
  const ms = await liveAfter(held, MINUTE)
  await end(held)
  return ms
}

describe('recovery', () => {
  test('HF-L6 after an outage of 5 s and of 30 s half of all links are back within 1 s, and all within 2.5 s', async () => {
    for (const outageS of [5, 30]) {
      const all: number[] = []
      for (const id of ids) all.push(await recoveryOf(id, outageS * SECOND))
      const sorted = all.sort((a, b) => a - b)
      const [median, worst] = [sorted[sorted.length / 2]!, sorted.at(-1)!]
      console.log(`outage of ${outageS} s, 100 links: median ${median} ms, worst ${worst} ms after the peer's return`)
      expect(median).toBeLessThanOrEqual(SECOND)
      expect(worst).toBeLessThan(2.5 * SECOND)
    }
  })
})

const answers = (status: number, retryAfter?: string): Treat =>
  losesAt(LATENCY + 1, faultFromStatus(status, retryAfter, 0))

/** NapCat: the upgrade is accepted, and the refusal comes in a frame. */
const forbids1403: Treat = (transport) =>
  transport.after(LATENCY, () => {
    transport.open()
    transport.ready()
    transport.frame({ status: 'failed', retcode: 1403, data: null, message: 'token verification failed' })
  })

const closes4004: Treat = (transport, n) => {
  transport.after(LATENCY, () => {
    transport.open()
    transport.ready()
  })
  losesAt(2 * LATENCY, { code: 'closed-by-peer' }, { code: 4004, reason: 'invalid token' })(transport, n)
}

describe('refusals', () => {
  test('HF-C4 a refusal that needs a person parks the link within two dials, and says what to do', async () => {
    const token = { token: 'wrong' }
    const cases: readonly (readonly [string, Treat, number, Adapter?])[] = [
      ['HTTP 401', answers(401), 1],
      ['OneBot 1403', forbids1403, 1, onebot({ url: 'ws://peer.test:1/' }) as Adapter],
      ['Satori 4004', closes4004, 1, satori({ url: 'ws://peer.test:1/v1/events', ...token }) as Adapter],
      ['HTTP 403', answers(403), 2],
    ]
    for (const [name, treat, dials, adapter] of cases) {
      const held = hold(treat, adapter ? { adapter } : {})
      await held.clock.advance(DAY)
      const { state } = held.link.status
      expect({ name, state, dials: held.dials().length }).toEqual({ name, state: 'parked', dials })
      expect(held.link.explain().because, name).toMatch(/then resume/)
      expect(held.clock.pending, name).toBe(0)
    }
  })

  test('HF-C5 after 429 with Retry-After 7 the next dial comes after 7 to 8.4 s, and retry() does not hasten it', async () => {
    const gaps: number[] = []
    for (const id of ids) {
      const held = hold(answers(429, '7'), { id })
      await held.clock.advance(SECOND)
      held.link.retry()
      await held.clock.advance(9 * SECOND)
      const [first, second] = held.dials()
      gaps.push(second! - first! - LATENCY - 1)
      await end(held)
    }
    console.log(`Retry-After 7: the next dial of 100 links after ${Math.min(...gaps)} to ${Math.max(...gaps)} ms`)
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(7_000)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(8_401)
    expect(new Set(gaps).size, 'those who were told the same do not return together').toBeGreaterThan(80)
  })
})
