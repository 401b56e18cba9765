/** Links that the peer told when to come back, in virtual time: not before, and then as fast as it takes them. */
import { describe, expect, test } from 'vitest'
import type { Fault } from '../machines/fault.ts'
import { Governor } from '../src/governor.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import {
  busiest,
  type Dial,
  healed,
  healthy,
  isGoverned,
  MINUTE_MS,
  type Outcome,
  outcomes,
  World,
  worstMinute,
} from './adversary.ts'

const SEED = Number(process.env.HF_SEED ?? 20_261_121)
const LINKS = 1_000

const throttled = (seconds: number): Fault => ({ code: 'throttled', retryAfterMs: seconds * 1_000 })
const told = (seconds: number): Outcome => ({ ...outcomes.toldShort, fault: throttled(seconds) })

/** A world of many links; without the governor each of them has one of its own. */
const crowd = (links: number, { governed = true } = {}): World => {
  const world = new World(SEED)
  for (let i = 0; i < links; i++) world.start(undefined, governed ? world.clock : { ...world.clock })
  return world
}

const timesOf = (dials: readonly Dial[]): number[] => dials.map(({ at }) => at)

/** The dials since a moment; how long after it all are live; and how many were out before one was welcomed. */
const back = async (world: World, since: number) => {
  const before = world.dials.length
  await world.advance(since - world.clock.now())
  world.decide = healed
  await world.untilLive(MINUTE_MS - (world.clock.now() - since))
  const dials = world.dials.slice(before)
  const first = dials.find(({ welcomed }) => welcomed)
  const scouts = dials.filter(({ at }) => first && at < first.at + healthy.openMs!)
  return { dials, tookMs: world.clock.now() - since, scouts: scouts.length }
}

const mostDials = (dials: readonly Dial[]): number => {
  const counts = new Map<number, number>()
  for (const { link } of dials) counts.set(link, (counts.get(link) ?? 0) + 1)
  return Math.max(...counts.values())
}

describe('1,000 links are told 7 s', () => {
  const ASKED_MS = 7_000

  const tellings: readonly (readonly [how: string, tell: (world: World) => Promise<void>])[] = [
    [
      'by a 429 when they connect',
      async (world: World) => {
        world.decide = () => told(7)
        await world.advance(outcomes.toldShort.endMs)
      },
    ],
    [
      'when their sessions are ended',
      async (world: World) => {
        await world.advance(5 * MINUTE_MS)
        expect(world.waiting).toEqual([])
        world.fall({ code: 'try-later', retryAfterMs: ASKED_MS })
      },
    ],
  ]

  const comeBack = async (how: string, tell: (world: World) => Promise<void>) => {
    const world = crowd(LINKS)
    await tell(world)
    const since = world.clock.now()
    const { dials, tookMs, scouts } = await back(world, since)
    const firstMs = Math.min(...timesOf(dials)) - since
    const crush = busiest(timesOf(dials), 100)
    console.log(
      `told 7 s ${how}: first dial after ${firstMs} ms, ${scouts} before the first welcome, ` +
        `all live after ${tookMs} ms, ${crush} dials in the worst 100 ms`,
    )
    expect(world.waiting).toEqual([])
    expect(firstMs).toBeGreaterThanOrEqual(ASKED_MS)
    expect(scouts).toBe(1)
    expect(tookMs).toBeLessThanOrEqual(MINUTE_MS)
    expect(mostDials(dials)).toBe(1)
    expect(crush).toBeLessThanOrEqual(60)
    expect(world.wrong).toEqual([])
    await world.end()
    expect(world.clock.pending).toBe(0)
  }

  for (const [how, tell] of tellings) {
    test(`HF-G10 ${how}: none dials before, one goes first, all are live within a minute`, () => comeBack(how, tell))
  }

  test('the same without the governor: nobody goes first, and they trample the peer', async () => {
    const world = crowd(LINKS, { governed: false })
    world.decide = () => told(7)
    await world.advance(outcomes.toldShort.endMs)
    const { dials, tookMs, scouts } = await back(world, world.clock.now())
    const crush = busiest(timesOf(dials), 100)
    console.log(
      `told 7 s, each for itself: ${scouts} before the first welcome, all live after ${tookMs} ms, ` +
        `${crush} dials in the worst 100 ms`,
    )
    expect(crush).toBeGreaterThan(60)
    await world.end()
  })
})

describe('a peer that says 429 with Retry-After 1 s for ever', () => {
  const MINUTES = 10

  const besiege = async (decide: World['decide'], governed = true) => {
    const world = crowd(LINKS, { governed })
    world.decide = decide
    await world.advance(MINUTES * MINUTE_MS)
    const dials = world.dials.filter(isGoverned)
    const ofLink = worstMinute(dials, ({ link }) => link)
    const failed = worstMinute(
      dials.filter(({ welcomed }) => !welcomed),
      () => 'all',
    )
    console.log(
      `told 1 s for ${MINUTES} min${governed ? '' : ', each for itself'}: ${dials.length} dials; ` +
        `worst minute: ${ofLink} of a link, ${failed} of all in vain`,
    )
    const { wrong } = world
    await world.end()
    expect(world.clock.pending).toBe(0)
    return { ofLink, failed, dials: dials.length, wrong }
  }

  const sieges: readonly (readonly [whom: string, decide: World['decide']])[] = [
    ['to everybody', () => outcomes.toldShort],
    ['to every other one', ({ at }) => (Math.floor(at) % 2 === 0 ? outcomes.toldShort : healthy)],
    ['and to those whom it let in', ({ at }) => (Math.floor(at) % 2 === 0 ? outcomes.toldShort : outcomes.diesTold)],
  ]
  for (const [whom, decide] of sieges) {
    test(`HF-G11 ${whom}: 12 dials of a link, and 40 of all in vain, in no minute more`, async () => {
      const { ofLink, failed, dials, wrong } = await besiege(decide)
      expect(ofLink).toBeLessThanOrEqual(12)
      expect(failed).toBeLessThanOrEqual(40)
      expect(wrong).toEqual([])
      expect(dials).toBeGreaterThan(MINUTES)
    })
  }

  test('the same without the governor costs it a hundred times as much', async () => {
    const { failed } = await besiege(() => outcomes.toldShort, false)
    expect(failed).toBeGreaterThan(100 * 40)
  })
})

describe('who was told what', () => {
  const elapsed = (world: World, link: number): number[] => timesOf(world.dials.filter((dial) => dial.link === link))

  test('HF-G12 each waits for its own time, and is back soon after it', async () => {
    const asked = [2, 7, 20, 60, 90]
    const world = crowd(asked.length * 10)
    const secondsOf = (link: number) => asked[link % asked.length]!
    world.decide = ({ link, at }) => (at === 0 ? told(secondsOf(link)) : healthy)
    await world.advance(2 * MINUTE_MS)
    expect(world.waiting).toEqual([])
    const waits = world.links.map((_, link) => elapsed(world, link)[1]! / (1_000 * secondsOf(link)))
    console.log(`50 links told 2 to 90 s: back after ${Math.min(...waits)} to ${Math.max(...waits)} of the asked time`)
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(1)
    expect(Math.max(...waits)).toBeLessThanOrEqual(1.25)
    await world.end()
  })

  test('HF-G13 a link that is alone keeps its own time, and neither a person nor anybody else cuts it short', async () => {
    const world = crowd(1)
    world.decide = () => told(7)
    await world.advance(10)
    world.decide = healed
    for (let i = 0; i < 13; i++) {
      world.order('retry', 0)
      await world.advance(500)
    }
    expect(world.dials.length).toBe(1)
    await world.advance(2_000)
    const [, second] = elapsed(world, 0)
    expect(second).toBeGreaterThanOrEqual(7_000)
    expect(second).toBeLessThanOrEqual(8_400 + outcomes.toldShort.endMs)
    await world.end()
  })

  test('HF-G13 nor does a person cut it short for one among many', async () => {
    const world = crowd(20)
    world.decide = () => told(7)
    await world.advance(10)
    world.decide = healed
    for (let i = 0; i < 13; i++) {
      world.order('retryAll', 0)
      await world.advance(500)
    }
    expect(world.dials.length).toBe(20)
    await world.end()
  })

  /** Milliseconds from the answer that the scout got to the next dial. */
  const afterScout = async (asked: number): Promise<number> => {
    const world = crowd(20)
    await world.advance(3 * MINUTE_MS)
    world.decide = () => told(asked)
    const before = world.dials.length
    world.fall()
    while (world.dials.length === before) await world.advance(10)
    const [scout] = world.dials.slice(before)
    world.decide = healed
    await world.advance(80_000)
    const [, second] = world.dials.slice(before)
    const afterMs = second!.at - scout!.at - outcomes.toldShort.endMs
    expect(second!.link).not.toBe(scout!.link)
    expect(world.waiting.length).toBe(asked > 60 ? 1 : 0)
    await world.end()
    return afterMs
  }

  test('HF-G14 what the scout is told holds for all, for a minute at most', async () => {
    const short = await afterScout(7)
    const long = await afterScout(3_600)
    console.log(`the scout is told 7 s, and an hour: the next goes after ${short} ms, and ${long} ms`)
    expect(short).toBeGreaterThanOrEqual(7_000)
    expect(short).toBeLessThanOrEqual(8_400)
    expect(long).toBeGreaterThanOrEqual(60_000)
    expect(long).toBeLessThanOrEqual(72_000)
  })

  test('HF-G16 a hint is for the first of those who were not told to wait', () => {
    const clock = heapClock(SEED)
    const governor = new Governor(clock)
    const seats = Array.from({ length: 3 }, () => governor.join(() => undefined))
    for (const seat of seats) seat.moved('connecting', 'peer:443')
    const faults: readonly Fault[] = [throttled(7), { code: 'refused' }, { code: 'refused' }]
    for (const [i, seat] of seats.entries()) seat.wait('peer:443', faults[i]!, 1_000)
    expect(seats.map((seat) => seat.mayHurry())).toEqual([false, true, false])
    for (const seat of seats) seat.moved('stopped', 'peer:443')
    expect(clock.pending).toBe(0)
  })

  test('HF-G15 1,000 links that are connected while the peer is down are live soon after its return', async () => {
    const world = crowd(LINKS)
    world.decide = () => outcomes.refused
    await world.advance(10_000)
    const { tookMs, scouts } = await back(world, world.clock.now())
    console.log(`1,000 links connected during an outage of 10 s: all live ${tookMs} ms after the return`)
    expect(tookMs).toBeLessThanOrEqual(15_000)
    expect(scouts).toBe(1)
    expect(world.waiting).toEqual([])
    await world.end()
    expect(world.clock.pending).toBe(0)
  })
})
