/**
 * The governor against an environment that wants it to fail: it chooses the outcome of each dial, and people who hold,
 * resume, retry, stop and start links at the worst moments. In virtual time; HF_SEED and HF_RUNS choose the runs.
 *
 * What is bounded are the dials that the governor answers for. A person's own are not: `connect()`, `resume()` and
 * `retry()` dial because somebody wants it now, and an order is no wish. They use up the budget of all others.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Governor } from '../src/governor.ts'
import { heapClock, seededRandom } from '../src/testing/heap-clock.ts'
import {
  busiest,
  type Dial,
  healed,
  healthy,
  isGoverned,
  MINUTE_MS,
  type Op,
  type Outcome,
  ops,
  outcomes,
  World,
  worstMinute,
} from './adversary.ts'

const SEED = Number(process.env.HF_SEED ?? 20_261_121)
const RUNS = Number(process.env.HF_RUNS ?? 120)

const DAY_MS = 86_400_000
const FAILED_MAX = 40
const ACCEPTED_MAX = 12
const SESSION_STARTS_MAX = 960
/** Longest wait of the breaker, a scout that stalls until its deadlines, a budget that is used up, and the way in. */
const HEALED_WITHIN_MS = 240_000

interface Plan {
  readonly seed: number
  readonly links: number
  readonly endpoints: number
  /** What this environment does; it draws one for each dial, from the one and from the other by turns. */
  readonly repertoires: readonly (readonly Outcome[])[]
  readonly turnMs: number
  readonly minutes: number
  /** An order so many milliseconds after a dial began: the worst moments are while it is under way. */
  readonly orders: readonly { readonly atDial: number; readonly afterMs: number; readonly op: Op }[]
}

const all: readonly Outcome[] = Object.values(outcomes)

const repertoires = fc.oneof(
  fc.constantFrom(...all, healthy).map((one) => [one]),
  fc.subarray([...all], { minLength: 2, maxLength: 4 }),
  fc.subarray([...all], { minLength: 5 }),
)

const plans: fc.Arbitrary<Plan> = fc.record({
  seed: fc.nat(),
  links: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 5 }), fc.integer({ min: 6, max: 30 })),
  endpoints: fc.integer({ min: 1, max: 2 }),
  repertoires: fc.tuple(repertoires, repertoires),
  turnMs: fc.constantFrom(1_000, 7_000, 25_000, 130_000, DAY_MS),
  minutes: fc.integer({ min: 1, max: 6 }),
  orders: fc.array(
    fc.record({
      atDial: fc.nat({ max: 120 }),
      afterMs: fc.constantFrom(0, 1, 2, 4, 100, 3_000),
      op: fc.constantFrom(...ops),
    }),
    { maxLength: 30 },
  ),
})

interface Result {
  readonly accepted: number
  readonly failed: number
  readonly healedMs: number
  readonly wrong: readonly string[]
  readonly pending: number
  readonly dials: number
}

const run = async ({ seed, links, endpoints, repertoires, turnMs, minutes, orders }: Plan): Promise<Result> => {
  const world = new World(seed)
  const random = seededRandom(seed)
  const roll = (below: number) => Math.floor(random() * below)
  const startOne = () => {
    const port = 7_000 + (world.links.length % endpoints)
    // some links are moved between endpoints by their provider
    const wanders = world.links.length % 7 === 6
    world.start(() => (wanders ? 7_000 + roll(endpoints) : port))
  }
  world.decide = (dial) => {
    for (const { atDial, afterMs, op } of orders) {
      if (atDial !== world.dials.length) continue
      // half of them hit the link that dials
      const index = roll(2) === 0 ? dial.link : roll(world.links.length)
      world.clock.setTimeout(() => (op === 'start' ? startOne() : world.order(op, index)), afterMs)
    }
    const repertoire = repertoires[Math.floor(dial.at / turnMs) % repertoires.length]!
    return repertoire[roll(repertoire.length)]!
  }
  for (let i = 0; i < links; i++) startOne()
  await world.advance(minutes * MINUTE_MS)
  world.decide = healed
  const healedAt = world.clock.now()
  // what was ordered at the last moment still comes
  await world.advance(5_000)
  await world.untilLive(HEALED_WITHIN_MS - 5_000)
  const healedMs = world.clock.now() - healedAt
  const left = world.waiting.map(({ id, status }) => `${id} is ${status.state} ${healedMs} ms after the healing`)
  await world.end()
  const governed = world.dials.filter(isGoverned)
  return {
    accepted: worstMinute(
      governed.filter(({ accepted }) => accepted),
      ({ link }) => link,
    ),
    failed: worstMinute(
      governed.filter(({ welcomed }) => !welcomed),
      ({ endpoint }) => endpoint,
    ),
    healedMs,
    wrong: [...world.wrong, ...left],
    pending: world.clock.pending,
    dials: world.dials.length,
  }
}

const most = (counts: readonly number[]): number => counts.reduce((a, b) => Math.max(a, b), 0)

describe('an adversary', () => {
  test('HF-G1 gets 12 accepted dials of a link, 40 failed ones of an endpoint and one scout at a time', async () => {
    const results: Result[] = []
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const result = await run(plan)
        results.push(result)
        expect(result.wrong).toEqual([])
        expect(result.accepted).toBeLessThanOrEqual(ACCEPTED_MAX)
        expect(result.failed).toBeLessThanOrEqual(FAILED_MAX)
        expect(result.pending).toBe(0)
      }),
      { seed: SEED, numRuns: RUNS },
    )
    const accepted = most(results.map((result) => result.accepted))
    const failed = most(results.map((result) => result.failed))
    const dials = results.reduce((sum, result) => sum + result.dials, 0)
    const healedMs = most(results.map((result) => result.healedMs))
    console.log(
      `seed ${SEED}, ${RUNS} runs, ${dials} dials; worst minute: ${accepted} accepted of one link, ` +
        `${failed} failed of one endpoint; slowest healing ${healedMs / 1_000} s`,
    )
    // an adversary that gets nowhere near the bounds proves nothing
    expect(accepted).toBeGreaterThan(ACCEPTED_MAX / 2)
    expect(failed).toBeGreaterThan(FAILED_MAX / 2)
  })

  test('HF-G2 gets 40 dials a minute out of a lone link, whatever the order of the faults', async () => {
    const counts: number[] = []
    const { refused, dropped, unavailable } = outcomes
    const sequences = fc.array(fc.constantFrom<Outcome>(refused, dropped, unavailable), { minLength: 1, maxLength: 24 })
    await fc.assert(
      fc.asyncProperty(sequences, fc.nat(), async (sequence, seed) => {
        const world = new World(seed)
        world.decide = () => sequence[world.dials.length % sequence.length]!
        world.start()
        await world.advance(3 * MINUTE_MS)
        const count = worstMinute(world.dials, () => 'all')
        counts.push(count)
        expect(count).toBeLessThanOrEqual(FAILED_MAX)
        await world.end()
        expect(world.clock.pending).toBe(0)
      }),
      { seed: SEED, numRuns: RUNS },
    )
    console.log(`a lone link, seed ${SEED}, ${RUNS} orders of faults: ${most(counts)} dials in the worst minute`)
    expect(most(counts)).toBeGreaterThan(FAILED_MAX / 2)
  })
})

describe('the budget', () => {
  test('HF-G3 stopping a link and connecting again does not win it a new budget', async () => {
    const world = new World(SEED)
    world.decide = () => outcomes.refused
    for (let i = 0; i < 60; i++) {
      world.start()
      await world.advance(4_000)
      await world.end()
    }
    const governed = world.dials.filter(isGoverned)
    const people = world.dials.length - governed.length
    const count = worstMinute(governed, () => 'all')
    console.log(
      `60 links one after the other for 4 s each: ${people} dials of people, ${count} others a minute at most`,
    )
    expect(people).toBe(60)
    expect(count).toBeLessThanOrEqual(FAILED_MAX)
    expect(world.clock.pending).toBe(0)
    // and what is over a minute old is forgotten
    await world.advance(MINUTE_MS)
    world.start()
    await world.advance(4_000)
    expect(world.dials.length).toBeGreaterThan(people + governed.length + 3)
    await world.end()
  })

  test('HF-G9 a failed dial counts where it was made, also when the link goes elsewhere after it', () => {
    const clock = heapClock(SEED)
    const seat = new Governor(clock).join(() => undefined)
    for (let i = 0; i < FAILED_MAX; i++) {
      seat.moved('connecting', 'peer:443')
      expect(seat.wait(undefined, { code: 'refused' }, 500)).toBe(500)
    }
    seat.moved('connecting', 'peer:443')
    expect(seat.wait('peer:443', { code: 'refused' }, 500)).toBe(MINUTE_MS)
    expect(seat.mayHurry()).toBe(false)
    seat.moved('stopped', 'peer:443')
    expect(clock.pending).toBe(0)
  })

  test('HF-G4 a link that is never invited still dials, and those of one endpoint not together', () => {
    const clock = heapClock(SEED)
    const governor = new Governor(clock)
    const seats = Array.from({ length: 30 }, () => governor.join(() => undefined))
    for (const seat of seats) seat.moved('connecting', 'peer:443')
    const waits = seats.map((seat) => seat.wait('peer:443', { code: 'refused' }, 1_000)).sort((a, b) => a - b)
    expect(waits.filter((ms) => !Number.isInteger(ms) || ms < 1_000)).toEqual([])
    expect(most(waits)).toBeLessThanOrEqual(1_000 + 2 * MINUTE_MS + 30 * 30_000)
    expect(busiest(waits, MINUTE_MS)).toBeLessThanOrEqual(2)
    for (const seat of seats) seat.moved('stopped', 'peer:443')
    expect(clock.pending).toBe(0)
  })

  test('HF-G5 a peer that welcomes and dies after 1 s costs under 960 session starts a day', async () => {
    const flap = async (links: number, ms: number, portOf: (link: number) => number, decide: World['decide']) => {
      const world = new World(SEED)
      world.decide = decide
      for (let i = 0; i < links; i++) {
        world.start(() => portOf(i))
        await world.advance(100)
      }
      await world.advance(ms)
      await world.end()
      return world.links.map((_, i) => world.dials.filter(({ link }) => link === i).map(({ at }) => at))
    }
    /** The day of a lone link is three hours in which its counters fill, and then the same cycle again and again. */
    const startsOfADay = (times: number[]): number => {
      const [a, b, c] = times.slice(-3) as [number, number, number]
      expect(c - b).toBeCloseTo(b - a)
      return times.length + Math.floor((DAY_MS - c) / (c - b))
    }
    const dying = () => outcomes.diesSoon
    // it was down before, one link stays, and of the others there is always one on its way in
    const staggered = ({ at, link }: Dial): Outcome => {
      if (at < 20_000) return outcomes.refused
      return link === 0 ? healthy : { ...outcomes.diesSoon, openMs: 300 * link, endMs: 300 * link + 1_000 }
    }
    const alone = (await flap(100, DAY_MS / 8, (link) => 7_000 + link, dying)).map(startsOfADay)
    const together = (await flap(10, DAY_MS, () => 7_000, dying)).map(({ length }) => length)
    const beside = (await flap(10, DAY_MS, () => 7_000, staggered)).map(({ length }) => length)
    console.log(
      `session starts in a day: ${most(alone)} (worst of 100 ids), ${most(together)} of ten, ` +
        `${most(beside)} beside a lasting one`,
    )
    expect(most([...alone, ...together, ...beside])).toBeLessThan(SESSION_STARTS_MAX)
  })
})

describe('recovery', () => {
  test('HF-G6 a link that was told to wait for long does not hold back those that were told to wait for short', async () => {
    const world = new World(SEED)
    const told = (retryAfterMs: number): Outcome => ({
      ...outcomes.toldShort,
      fault: { code: 'throttled', retryAfterMs },
    })
    world.decide = ({ link }) => told(link === 0 ? 1_800_000 : 1_000)
    for (let i = 0; i < 5; i++) world.start()
    await world.advance(10)
    world.decide = healed
    await world.advance(20_000)
    expect(world.links.map(({ status }) => status.state)).toEqual(['backoff', 'live', 'live', 'live', 'live'])
    await world.end()
  })

  test('HF-G7 when the scout is held or stopped on its way, another goes at once', async () => {
    const world = new World(SEED)
    world.decide = () => outcomes.refused
    for (let i = 0; i < 4; i++) world.start()
    await world.advance(5)
    world.decide = () => outcomes.stalled
    const scouts = () => world.dials.slice(4)
    await world.advance(2_000)
    expect(scouts().length).toBe(1)
    world.order('stop', scouts().at(-1)!.link)
    await world.advance(10)
    expect(scouts().length).toBe(2)
    world.order('hold', scouts().at(-1)!.link)
    await world.advance(10)
    expect(scouts().length).toBe(3)
    expect(world.wrong).toEqual([])
    await world.end()
    expect(world.clock.pending).toBe(0)
  })

  test('HF-G8 100 links are live within 15 s of the return, however long it took', async () => {
    const took: number[] = []
    for (const seconds of [5, 20, 40, 50, 60, 75, 180]) {
      const world = new World(SEED)
      for (let i = 0; i < 100; i++) world.start()
      await world.advance(130_000)
      world.decide = () => outcomes.refused
      world.fall()
      await world.advance(seconds * 1_000)
      world.decide = healed
      took.push(await world.untilLive(MINUTE_MS))
      await world.end()
    }
    console.log(`100 links, outages of 5 s to 3 min: all live after ${took.join(', ')} ms`)
    expect(most(took)).toBeLessThanOrEqual(15_000)
  })
})
