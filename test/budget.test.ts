import { describe, expect, test } from 'vitest'
import { backoffDelay, nothingSpent, spend } from '../machines/delay.ts'
import {
  type BudgetOptions,
  type BudgetStore,
  memoryBudgetStore,
  type Reservation,
  type ServerWord,
  sessionBudget,
} from '../src/budget.ts'
import { heapClock, seededRandom } from '../src/testing/heap-clock.ts'
import { busiestDay, DAY_MS, discord, HELD, spendAll, USABLE, waitOf } from './session-starts.ts'

const open = (more: Partial<BudgetOptions> = {}) => {
  const clock = heapClock()
  const store = memoryBudgetStore()
  return { clock, store, budget: sessionBudget({ ...discord, store, clock, ...more }) }
}

const ticketOf = (reservation: Reservation): number => {
  if (reservation.exhausted) throw new Error(`exhausted for ${reservation.untilMs} ms`)
  return reservation.ticket
}

describe('rate', () => {
  test('one start in 5 s: the n-th of many who ask at once waits 5 s × n', async () => {
    const { budget } = open()
    const waits = (await Promise.all(Array.from({ length: 20 }, () => budget.reserve()))).map(waitOf)
    expect(waits).toEqual(Array.from({ length: 20 }, (_, n) => 5_000 * n))
  })

  test('the wait is what is left of the interval, and nothing after it', async () => {
    const { clock, budget } = open()
    await budget.reserve()
    clock.advanceSync(3_000)
    expect(waitOf(await budget.reserve())).toBe(2_000)
    clock.advanceSync(60_000)
    expect(waitOf(await budget.reserve())).toBe(0)
  })

  test('count starts in any interval: 3 in 10 s', async () => {
    const { clock, budget } = open({ perInterval: { count: 3, ms: 10_000 } })
    const at: number[] = []
    for (let n = 0; n < 200; n++) {
      at.push(clock.now() + waitOf(await budget.reserve()))
      clock.advanceSync((n * 7_919) % 6_000)
    }
    for (let n = 3; n < at.length; n++) expect(at[n]! - at[n - 3]!).toBeGreaterThanOrEqual(10_000)
  })

  test('buckets do not wait for each other: with max_concurrency 4 shards 0 to 7 start in two waves', async () => {
    const { budget } = open({ buckets: 4 })
    const waits: number[] = []
    for (let shard = 0; shard < 8; shard++) waits.push(waitOf(await budget.reserve(shard)))
    expect(waits).toEqual([0, 0, 0, 0, 5_000, 5_000, 5_000, 5_000])
  })

  test('a start that was handed back costs neither day nor interval', async () => {
    const { budget } = open({ perDay: 10 })
    for (let n = 0; n < 50; n++) {
      const reservation = await budget.reserve()
      expect(waitOf(reservation)).toBe(0)
      await budget.refund(ticketOf(reservation))
    }
    await budget.reserve()
    await budget.refund(123)
    expect(waitOf(await budget.reserve())).toBe(5_000)
  })
})

describe('per day', () => {
  test('1,000 a day with a reserve of 10 % are 900, then the answer is when the oldest is a day old', async () => {
    const { clock, budget } = open()
    for (let n = 0; n < USABLE; n++) clock.advanceSync(waitOf(await budget.reserve()))
    const spentIn = clock.now()
    expect(spentIn).toBe((USABLE - 1) * 5_000)
    expect(await budget.reserve()).toEqual({ exhausted: true, untilMs: DAY_MS - spentIn })
    clock.advanceSync(DAY_MS - spentIn - 1)
    expect(await budget.reserve()).toEqual({ exhausted: true, untilMs: 1 })
    clock.advanceSync(1)
    expect(waitOf(await budget.reserve())).toBe(0)
    expect(waitOf(await budget.reserve())).toBe(5_000)
    clock.advanceSync(4_999)
    expect(waitOf(await budget.reserve())).toBe(5_001)
  })

  test('a greedy week never has more than 900 starts in any 24 hours, and uses all of them', async () => {
    const { clock, budget } = open()
    const starts = await spendAll(clock, 7 * DAY_MS, () => budget)
    expect(busiestDay(starts)).toBe(USABLE)
    expect(starts.length).toBeGreaterThanOrEqual(7 * USABLE)
  })

  test.each([
    [1, 0.1, 1],
    [5, 0.5, 2],
    [10, 0, 10],
    [1_000, 0.25, 750],
    [2, 0.99, 1],
  ])('of %i a day with a reserve of %f, %i may be spent', async (perDay, reserve, usable) => {
    const { budget } = open({ perDay, reserve })
    const answers = await Promise.all(Array.from({ length: perDay + 1 }, () => budget.reserve()))
    expect(answers.filter(({ exhausted }) => !exhausted)).toHaveLength(usable)
  })

  test('nobody is told to wait for more than a day', async () => {
    const { budget } = open({ perDay: 100, perInterval: { count: 1, ms: DAY_MS / 4 } })
    const answers = await Promise.all(Array.from({ length: 8 }, () => budget.reserve()))
    expect(answers.map(({ exhausted }) => exhausted === true)).toEqual([
      ...Array(4).fill(false),
      ...Array(4).fill(true),
    ])
  })

  test('different keys of one store are different budgets', async () => {
    const { clock, store } = open()
    const one = sessionBudget({ ...discord, key: 'one', perDay: 1, store, clock })
    const two = sessionBudget({ ...discord, key: 'two', perDay: 1, store, clock })
    expect([await one.reserve(), await two.reserve()].map(waitOf)).toEqual([0, 0])
    expect((await one.reserve()).exhausted).toBe(true)
  })
})

describe('restart', () => {
  test('R41: a bot that is restarted at every start spends 900 in 24 hours, not one more', async () => {
    const { clock, store } = open()
    const starts = await spendAll(clock, 3 * DAY_MS, () => sessionBudget({ ...discord, store, clock }))
    expect(busiestDay(starts)).toBe(USABLE)
  })

  test('a restart with a lower limit obeys it, one with a higher limit goes on', async () => {
    const { clock, store, budget } = open({ perDay: 10, reserve: 0 })
    for (let n = 0; n < 8; n++) await budget.reserve()
    const lower = sessionBudget({ ...discord, perDay: 5, reserve: 0, store, clock })
    expect((await lower.reserve()).exhausted).toBe(true)
    const higher = sessionBudget({ ...discord, perDay: 20, reserve: 0, store, clock })
    expect((await higher.reserve()).exhausted).toBeUndefined()
  })
})

describe('what the server says', () => {
  test('it lowers: 105 remaining are 5 with the reserve, until its reset', async () => {
    const { clock, budget } = open()
    await budget.serverSays({ remaining: HELD + 5, resetAfterMs: 3_600_000 })
    for (let n = 0; n < 5; n++) clock.advanceSync(waitOf(await budget.reserve()) + 5_000)
    expect(await budget.reserve()).toEqual({ exhausted: true, untilMs: 3_600_000 - clock.now() })
    clock.advanceSync(3_600_000 - clock.now())
    expect(waitOf(await budget.reserve())).toBe(0)
  })

  test('the last word counts, and the next instance knows it', async () => {
    const { clock, store, budget } = open()
    await budget.serverSays({ remaining: 0, resetAfterMs: 1_000 })
    await budget.serverSays({ remaining: 0, resetAfterMs: 50_000 })
    const next = sessionBudget({ ...discord, store, clock })
    expect(await next.reserve()).toEqual({ exhausted: true, untilMs: 50_000 })
    await next.serverSays({ remaining: 1_000, resetAfterMs: 50_000 })
    expect(waitOf(await budget.reserve())).toBe(0)
  })

  test('starts that are so recent that it may not have counted them are counted on top', async () => {
    const { clock, budget } = open({ perInterval: { count: 10, ms: 1 } })
    for (let n = 0; n < 3; n++) await budget.reserve()
    clock.advanceSync(9_000)
    await budget.serverSays({ remaining: HELD + 4, resetAfterMs: 3_600_000 })
    expect((await budget.reserve()).exhausted).toBeUndefined()
    expect((await budget.reserve()).exhausted).toBe(true)
  })

  test('it does not raise: what we spent ourselves is spent', async () => {
    const { clock, budget } = open()
    for (let n = 0; n < USABLE; n++) clock.advanceSync(waitOf(await budget.reserve()))
    await budget.serverSays({ remaining: 1_000_000, resetAfterMs: 1 })
    await budget.serverSays({ remaining: 1_000, resetAfterMs: DAY_MS })
    expect((await budget.reserve()).exhausted).toBe(true)
  })

  test('max_concurrency becomes the number of buckets, also for starts of before', async () => {
    const { budget } = open()
    await budget.reserve(0)
    await budget.serverSays({ maxConcurrency: 16 })
    expect(waitOf(await budget.reserve(1))).toBe(0)
    expect(waitOf(await budget.reserve(16))).toBe(5_000)
    await budget.serverSays({ maxConcurrency: 1 })
    expect(waitOf(await budget.reserve(2))).toBe(10_000)
  })

  const nonsense: [ServerWord, waitMs: number | 'exhausted'][] = [
    [{}, 5_000],
    [{ remaining: Number.NaN, resetAfterMs: 5 }, 5_000],
    [{ remaining: 'none' as never }, 5_000],
    [{ remaining: null as never, resetAfterMs: null as never }, 5_000],
    [{ remaining: Number.POSITIVE_INFINITY, resetAfterMs: 1e12 }, 5_000],
    [{ remaining: -1, resetAfterMs: Number.NaN }, 'exhausted'],
    [{ remaining: 0, resetAfterMs: 1e12 }, 'exhausted'],
    [{ remaining: 0, resetAfterMs: -1 }, 5_000],
    [{ remaining: 0, resetAfterMs: 0 }, 5_000],
    [{ maxConcurrency: 0 }, 5_000],
    [{ maxConcurrency: -5 }, 5_000],
    [{ maxConcurrency: Number.NaN }, 5_000],
    [{ maxConcurrency: 1e12 }, 5_000],
    [{ maxConcurrency: 1.5 }, 5_000],
  ]
  test.each(nonsense)('%o does no more harm than a day', async (word, expected) => {
    const { clock, budget } = open()
    await budget.reserve()
    await budget.serverSays(word)
    const answer = await budget.reserve()
    if (expected !== 'exhausted') expect(waitOf(answer)).toBe(expected)
    else expect(answer).toEqual({ exhausted: true, untilMs: DAY_MS })
    clock.advanceSync(DAY_MS)
    expect(waitOf(await budget.reserve())).toBeLessThanOrEqual(5_000)
  })
})

/** A peer that lies and kills sessions, and a bot that is restarted and gives dials up: 48 hours of it. */
const adversary = async (seed: number) => {
  const random = seededRandom(seed)
  const clock = heapClock(seed)
  const store = memoryBudgetStore()
  const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)]!
  let budget = sessionBudget({ ...discord, store, clock })
  const starts: number[] = []
  while (clock.now() < 2 * DAY_MS) {
    if (random() < 0.1) budget = sessionBudget({ ...discord, store, clock })
    if (random() < 0.3) {
      const remaining = pick(0, 1, 101, 500, 1_000, 1e9, -1, Number.NaN, Number.POSITIVE_INFINITY)
      const resetAfterMs = pick(0, 1, 60_000, DAY_MS, 1e15, -1, Number.NaN)
      await budget.serverSays({ remaining, resetAfterMs, maxConcurrency: pick(0, 1, 16, 1e9, Number.NaN) })
    }
    const reservation = await budget.reserve(Math.floor(random() * 100))
    if (reservation.exhausted) {
      clock.advanceSync(Math.min(reservation.untilMs, pick(1, 1_000, 600_000)))
    } else if (random() < 0.1) {
      await budget.refund(reservation.ticket)
    } else {
      starts.push(clock.now() + reservation.waitMs)
      clock.advanceSync(pick(0, 0, reservation.waitMs, 1_000))
    }
  }
  return starts
}

describe('under attack', () => {
  test('an adversarial peer in 48 virtual hours never gets more than 900 starts in any 24 h', async () => {
    const worst: number[] = []
    for (let seed = 1; seed <= 12; seed++) worst.push(busiestDay(await adversary(seed)))
    console.log(`most starts in 24 h for each of 12 seeds: ${worst.join(' ')}`)
    expect(Math.max(...worst)).toBe(USABLE)
  })

  test('a flapping peer (dies 1 s after its welcome) costs under 960 starts in 24 h, 900 with the budget', async () => {
    const counts: string[] = []
    for (const id of ['a', 'qq-main', 'bot-1', 'bot-2', 'bot-3']) {
      const { clock, budget } = open()
      const starts: number[] = []
      let spent = nothingSpent
      let unbounded = 0
      while (clock.now() < DAY_MS) {
        const reservation = await budget.reserve()
        clock.advanceSync(reservation.exhausted ? reservation.untilMs : reservation.waitMs)
        if (reservation.exhausted) continue
        starts.push(clock.now())
        clock.advanceSync(1_000)
        spent = spend(spent, 'costly')
        clock.advanceSync(backoffDelay(id, spent, { code: 'connection-lost' }))
      }
      spent = nothingSpent
      for (let at = 0; at < DAY_MS; unbounded++) {
        spent = spend(spent, 'costly')
        at += 1_000 + backoffDelay(id, spent, { code: 'connection-lost' })
      }
      expect(unbounded, `${id} by backoff alone`).toBeLessThan(960)
      expect(busiestDay(starts), id).toBeLessThanOrEqual(Math.min(USABLE, unbounded))
      counts.push(`${id} ${busiestDay(starts)} (backoff alone ${unbounded})`)
    }
    console.log(`session starts in 24 h: ${counts.join(', ')}`)
  })

  test('the control: the same peer and no backoff at all is held at 900 by the budget alone', async () => {
    const { clock, budget } = open({ perInterval: { count: 1_000, ms: 1 } })
    const starts = await spendAll(clock, DAY_MS - 1, () => budget)
    expect(busiestDay(starts)).toBe(USABLE)
  })
})

describe('clocks that are wrong', () => {
  const spendSome = async (budget: ReturnType<typeof sessionBudget>, count: number) => {
    for (let n = 0; n < count; n++) expect((await budget.reserve()).exhausted).toBeUndefined()
  }
  const small = { perDay: 10, reserve: 0, perInterval: { count: 100, ms: 1 } } as const

  test('set back by a year: nothing is forgiven early, and nothing is kept for a year', async () => {
    const { clock, budget } = open(small)
    await spendSome(budget, 10)
    clock.stepWall(-365 * DAY_MS)
    expect(await budget.reserve()).toEqual({ exhausted: true, untilMs: DAY_MS })
    clock.advanceSync(DAY_MS - 1)
    expect((await budget.reserve()).exhausted).toBe(true)
    clock.advanceSync(1)
    await spendSome(budget, 10)
  })

  test('what passed before it was set back counts for the process that lived through it', async () => {
    const { clock, budget } = open(small)
    await spendSome(budget, 10)
    clock.advanceSync(3_600_000)
    clock.stepWall(-365 * DAY_MS)
    expect(await budget.reserve()).toEqual({ exhausted: true, untilMs: DAY_MS - 3_600_000 })
  })

  test('set back by a year over a restart', async () => {
    const { clock, store, budget } = open(small)
    await spendSome(budget, 10)
    clock.stepWall(-365 * DAY_MS)
    const next = sessionBudget({ ...discord, ...small, store, clock })
    expect(await next.reserve()).toEqual({ exhausted: true, untilMs: DAY_MS })
    clock.advanceSync(DAY_MS)
    await spendSome(next, 10)
  })

  test('set forward by ten years: a process that was there forgives nothing', async () => {
    const { clock, budget } = open(small)
    await spendSome(budget, 10)
    clock.stepWall(3_650 * DAY_MS)
    expect(await budget.reserve()).toEqual({ exhausted: true, untilMs: DAY_MS })
    clock.advanceSync(DAY_MS)
    await spendSome(budget, 10)
  })

  test('nor does the process after it, once the jump was seen', async () => {
    const { clock, store, budget } = open(small)
    await spendSome(budget, 10)
    clock.stepWall(3_650 * DAY_MS)
    await budget.reserve()
    const next = sessionBudget({ ...discord, ...small, store, clock })
    expect((await next.reserve()).exhausted).toBe(true)
    clock.advanceSync(DAY_MS)
    await spendSome(next, 10)
  })

  test('a computer without a battery starts in 1970 and is corrected minutes later, across restarts', async () => {
    const { clock, store, budget } = open(small)
    await spendSome(budget, 6)
    const toEpoch = -clock.wall()
    clock.stepWall(toEpoch)
    const booted = sessionBudget({ ...discord, ...small, store, clock })
    await spendSome(booted, 2)
    clock.advanceSync(600_000)
    await spendSome(booted, 2)
    clock.stepWall(-toEpoch)
    const corrected = sessionBudget({ ...discord, ...small, store, clock })
    expect(await corrected.reserve()).toEqual({ exhausted: true, untilMs: DAY_MS - 600_000 })
    clock.advanceSync(DAY_MS - 600_000)
    await spendSome(corrected, 8)
    expect(await corrected.reserve()).toEqual({ exhausted: true, untilMs: 600_000 })
  })

  test('two processes that see the same jump count it once', async () => {
    const { clock, store, budget } = open(small)
    const other = sessionBudget({ ...discord, ...small, store, clock })
    await spendSome(budget, 5)
    await spendSome(other, 5)
    clock.stepWall(100 * DAY_MS)
    clock.advanceSync(1_000)
    expect((await budget.reserve()).exhausted).toBe(true)
    clock.stepWall(-200 * DAY_MS)
    expect(await other.reserve()).toEqual({ exhausted: true, untilMs: DAY_MS - 1_000 })
    clock.advanceSync(DAY_MS - 1_000)
    await spendSome(budget, 5)
    await spendSome(other, 5)
  })

  test('a wall clock that jumps about at random: never more than 10 in any 24 h, and never stuck', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const random = seededRandom(seed)
      const { clock, budget } = open(small)
      const starts: number[] = []
      while (clock.now() < 20 * DAY_MS) {
        if (random() < 0.2) clock.stepWall(Math.floor((random() - 0.5) * 20 * DAY_MS))
        const reservation = await budget.reserve()
        if (!reservation.exhausted) starts.push(clock.now() + reservation.waitMs)
        clock.advanceSync(Math.floor(random() * 7_200_000))
      }
      expect(busiestDay(starts), `seed ${seed}`).toBeLessThanOrEqual(10)
      expect(starts.length, `seed ${seed}`).toBeGreaterThan(40)
    }
  })

  test('10,000 reservations within one second do not stop the time of the budget', async () => {
    const { clock, budget } = open({ perInterval: { count: 1_000, ms: 1 } })
    for (let n = 0; n < 10_000; n++) {
      await budget.reserve()
      clock.advanceSync(0.0625)
    }
    clock.advanceSync(DAY_MS - 625)
    expect((await budget.reserve()).exhausted).toBeUndefined()
  })
})

describe('what cannot be used', () => {
  test('an error of the store reaches the caller as it is', async () => {
    const broken: BudgetStore = { update: () => Promise.reject(new Error('redis is away')) }
    await expect(sessionBudget({ ...discord, store: broken }).reserve()).rejects.toThrow('redis is away')
  })

  const wrong: Partial<BudgetOptions>[] = [
    { key: '' },
    { key: 7 as never },
    { perDay: 0 },
    { perDay: 1.5 },
    { perDay: 1e9 },
    { perDay: Number.NaN },
    { reserve: 1 },
    { reserve: -0.1 },
    { reserve: Number.NaN },
    { perInterval: undefined as never },
    { perInterval: { count: 0, ms: 1 } },
    { perInterval: { count: 1, ms: 0 } },
    { perInterval: { count: 1, ms: Number.POSITIVE_INFINITY } },
    { buckets: 0 },
    { buckets: 1e9 },
  ]
  test.each(wrong)('%o is a usage error', (more) => {
    expect(() => open(more)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  })

  test.each([-1, 0.5, Number.NaN, 'a' as never])('bucket %s is a usage error', (bucket) => {
    expect(() => open().budget.reserve(bucket)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  })
})
