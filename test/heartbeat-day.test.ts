/**
 * A day with a healthy peer, in virtual time, on a machine that stalls again and again: nothing is ever given up. The same
 * day with the heartbeat that everybody writes first, as a control: a ping at an interval, the end if there is no pong by
 * the next one.
 */
import { describe, expect, it } from 'vitest'
import { type Clock, LATE_MS, type Timer } from '../src/clock.ts'
import { connect } from '../src/link.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { type HeapClock, heapClock, seededRandom } from '../src/testing/heap-clock.ts'
import { politePeer, smallTalk } from './small-talk.ts'

const DAY_MS = 86_400_000
const STALLED_MS = 5_000
/** On average one stall in so many. */
const STALL_EVERY_MS = 300_000

interface Pending extends Timer {
  inner: Timer
}

/** A clock on another, whose timers `run` as it decides when it is told how late they are. */
const clockOn = (world: HeapClock, fire: (run: () => void, lateMs: number) => Timer | undefined): Clock => ({
  now: world.now,
  wall: world.wall,
  random: world.random,
  setTimeout: (run, delayMs) => {
    const dueAt = world.now() + delayMs
    const pending: Pending = {
      inner: world.setTimeout(() => {
        pending.inner = fire(run, world.now() - dueAt) ?? pending.inner
      }, delayMs),
    }
    return pending
  },
  clearTimeout: (pending) => world.clearTimeout((pending as Pending | undefined)?.inner),
})

/** After a stall Node runs all overdue timers, then reads its sockets, and then runs what was put off until then. */
const nodeOf = (world: HeapClock) => {
  const later = (run: () => void, lateMs: number) => (lateMs > 0 ? world.setTimeout(run, 0) : void run())
  const sockets = clockOn(world, later)
  const putOff = (run: () => void): Timer => {
    const pending: Pending = {
      inner: world.setTimeout(() => {
        pending.inner = world.setTimeout(run, 0)
      }, 0),
    }
    return pending
  }
  const ours = clockOn(world, (run, lateMs) => (lateMs > LATE_MS ? putOff(run) : void run()))
  return { sockets, ours }
}

/** Ping every 5 s; whoever has not answered by the next one is dead. */
const naive = (world: HeapClock, sockets: Clock, roundTrip: () => number) => {
  const seen = { deaths: 0 }
  let alive = true
  const tick = () => {
    if (!alive) seen.deaths++
    alive = false
    sockets.setTimeout(() => {
      alive = true
    }, roundTrip())
    world.setTimeout(tick, 5_000)
  }
  tick()
  return seen
}

interface Weather {
  readonly seed: number
  readonly busy: boolean
  readonly roundTrip: (random: () => number, now: number) => number
}

const aDay = async ({ seed, busy, roundTrip }: Weather) => {
  const world = heapClock(seed)
  const random = seededRandom(seed)
  const { sockets, ours } = nodeOf(world)
  const network = new FakeNetwork(sockets, politePeer)
  const latency = () => roundTrip(random, world.now())
  Object.defineProperty(network, 'latencyMs', { get: latency })
  const { transport, lookup } = network
  const link = connect(smallTalk(), { id: 'bot', clock: ours, transport, lookup })
  const control = naive(world, sockets, latency)
  const chatter = () => {
    network.current?.frame({ op: 'news' })
    sockets.setTimeout(chatter, random() * 20_000)
  }
  const asking = () => {
    link.call('ask', { text: 'how are you' }).catch(() => undefined)
    ours.setTimeout(asking, random() * 60_000)
  }
  await world.advance(10_000)
  if (busy) {
    chatter()
    asking()
  }
  let stalls = 0
  while (world.now() < DAY_MS) {
    await world.advance(random() * 2 * STALL_EVERY_MS)
    world.sleep(STALLED_MS)
    stalls++
  }
  await world.advance(60_000)
  const way = link.recording.kept.filter(({ from, to }) => from !== to).map(({ to }) => to)
  return { way, dials: network.transports.length, stalls, deaths: control.deaths }
}

const swing = (now: number) => 505 + 495 * Math.sin(now / 600_000)

describe.each([1, 2, 3])('a day with stalls of 5 s and round trips of up to a second (seed %i)', (seed) => {
  it.each<[string, Omit<Weather, 'seed'>]>([
    ['idle, each round trip another', { busy: false, roundTrip: (random) => random() * 1_000 }],
    ['idle, round trips that swing slowly', { busy: false, roundTrip: (_, now) => swing(now) }],
    ['busy, each round trip another', { busy: true, roundTrip: (random) => random() * 1_000 }],
    ['busy, round trips that swing slowly', { busy: true, roundTrip: (_, now) => swing(now) }],
  ])('R75 %s: never given up, never even in doubt; the control gives up again and again', async (_, weather) => {
    const { way, dials, stalls, deaths } = await aDay({ seed, ...weather })
    expect(stalls).toBeGreaterThan(200)
    expect({ way, dials }).toEqual({ way: ['connecting', 'handshaking', 'registered', 'live'], dials: 1 })
    expect(deaths).toBeGreaterThan(5)
  })
})
