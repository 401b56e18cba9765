/** One owner at a time is arithmetic: whoever takes over is later than whoever gives up, by any two clocks. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DRIFT, fenceMs, type LeaseTimes, leaseTimes, takeoverMs } from '../../machines/lease.ts'

/** How fast two clocks run, seen from a third that is true. */
interface Rates {
  readonly owner: number
  readonly other: number
}

/** What lies between the question of the owner and the sight of the other, in true milliseconds. */
interface Delays {
  readonly toTheStore: number
  readonly toTheOther: number
}

/** True milliseconds from the end of the owner's time to the moment at which another may claim. */
const apartMs = (times: LeaseTimes, { owner, other }: Rates, { toTheStore, toTheOther }: Delays): number => {
  const seen = toTheStore + toTheOther
  return seen + takeoverMs(times) / other - fenceMs(times) / owner
}

const anyRate = (drift: number) => fc.double({ min: 1 - drift, max: 1 + drift, noNaN: true })
const anyRates = (drift: number) => fc.record({ owner: anyRate(drift), other: anyRate(drift) })
const anyDelays = fc.record({ toTheStore: fc.nat({ max: 60_000 }), toTheOther: fc.nat({ max: 60_000 }) })

/** The margin is a share of the lease: at least what two clocks may differ. */
const timesWith = (leastMargin: number, mostMargin: number) =>
  fc
    .record({
      ttlMs: fc.integer({ min: 1_000, max: 3_600_000 }),
      share: fc.double({ min: leastMargin, max: mostMargin, noNaN: true }),
      graceMs: fc.nat({ max: 600_000 }),
    })
    .map(({ ttlMs, share, graceMs }): LeaseTimes => ({ ttlMs, marginMs: Math.ceil(ttlMs * share), graceMs }))

const isLater = (times: LeaseTimes, rates: Rates, delays: Delays): boolean => apartMs(times, rates, delays) > 0

test('HF-T24 by clocks that are 1 % fast or slow each, whoever takes over is later than whoever gives up', () => {
  fc.assert(fc.property(timesWith(DRIFT, 0.9), anyRates(0.01), anyDelays, isLater), { numRuns: 10_000 })
})

test('HF-T25 at its worst 3 s of the 15 are left for a process that is late', () => {
  const worst = apartMs(leaseTimes, { owner: 0.99, other: 1.01 }, { toTheStore: 0, toTheOther: 0 })
  expect(worst).toBeGreaterThan(3_000)
})

test('HF-T26 without a margin, and by clocks that are 5 % apart from the true one, two own it: the rule can fail', () => {
  const without = timesWith(0, 0).map((times) => ({ ...times, graceMs: 0 }))
  const atOnce = fc.constant({ toTheStore: 0, toTheOther: 0 })
  expect(fc.check(fc.property(without, anyRates(0.05), atOnce, isLater)).failed).toBe(true)
  expect(isLater({ ...leaseTimes, marginMs: 0 }, { owner: 0.95, other: 1.05 }, { toTheStore: 0, toTheOther: 0 })).toBe(
    false,
  )
})
