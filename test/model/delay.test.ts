/** Backoff is arithmetic, so what is promised of it is proved for all ids, all counters and all that a peer may ask. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  attemptOf,
  backoffDelay,
  type Curve,
  curveOf,
  curves,
  deadlines,
  jitter,
  nothingSpent,
  RETRY_AFTER_MAX_MS,
  SPENT_MAX,
  type Spent,
  spend,
  TIMER_MAX_MS,
} from '../../machines/delay.ts'
import { type Fault, type FaultCode, faults } from '../../machines/fault.ts'

const curveNames = Object.keys(curves) as Curve[]
const codes = Object.keys(faults) as FaultCode[]
const faultOn: Record<Curve, Fault> = {
  vacant: { code: 'refused' },
  dropped: { code: 'dropped' },
  costly: { code: 'closed-by-peer' },
}

const count = fc.nat({ max: SPENT_MAX })
const anySpent = fc.record({ vacant: count, dropped: count, costly: count })
const anyFault = fc.option(
  fc.record({ code: fc.constantFrom(...codes), retryAfterMs: fc.double() }, { requiredKeys: ['code'] }),
)
const anyId = fc.string({ unit: 'binary' })
const spentOn = (curve: Curve, n: number): Spent => ({ ...nothingSpent, [curve]: n })

/** The longest wait before dial number n of a curve. */
const longest = (curve: Curve, n: number): number => {
  const { baseMs, capMs, creepMs = 0, patience } = curves[curve]
  const cap = patience && n > patience.after ? patience.capMs : capMs + creepMs * n
  return Math.min(cap, baseMs * 2 ** (n - 1))
}
/** The wait of whoever has the worst luck. */
const shortest = (curve: Curve, n: number): number => curves[curve].floor * longest(curve, n)

/** How many dials fit into a time when every one fails at once and every draw is the worst. */
const dialsWithin = (curve: Curve, ms: number): number => {
  let dials = 1
  for (let at = 0, n = 1; ; n = Math.min(n + 1, SPENT_MAX)) {
    at += shortest(curve, n)
    if (at > ms) return dials
    dials++
  }
}

describe('one wait', () => {
  test('HF-D1 is a whole number of milliseconds that a timer can wait, whatever the peer asked for', () => {
    fc.assert(
      fc.property(anyId, anySpent, anyFault, (id, spent, fault) => {
        const ms = backoffDelay(id, spent, fault)
        return Number.isInteger(ms) && ms > 0 && ms <= TIMER_MAX_MS
      }),
      { numRuns: 5_000 },
    )
  })

  test('HF-D2 lies between floor × d and d of its curve, and d never shrinks', () => {
    for (const curve of curveNames) {
      const n = fc.integer({ min: 1, max: SPENT_MAX })
      fc.assert(
        fc.property(anyId, n, (id, spent) => {
          const ms = backoffDelay(id, spentOn(curve, spent), faultOn[curve])
          return ms >= shortest(curve, spent) && ms <= Math.ceil(longest(curve, spent))
        }),
      )
      for (let i = 1; i < SPENT_MAX; i++) expect(longest(curve, i + 1)).toBeGreaterThanOrEqual(longest(curve, i))
    }
    expect(longest('costly', SPENT_MAX)).toBe(120_000)
  })

  test('HF-D3 is at least what the peer asked for, and at most a tenth more', () => {
    const asked = fc.double({ min: 150_000, max: RETRY_AFTER_MAX_MS, noNaN: true })
    fc.assert(
      fc.property(anyId, anySpent, asked, (id, spent, retryAfterMs) => {
        const ms = backoffDelay(id, spent, { code: 'throttled', retryAfterMs })
        return ms >= retryAfterMs && ms <= Math.ceil(1.1 * retryAfterMs)
      }),
    )
  })

  test('HF-D4 is not fooled by a senseless retry-after', () => {
    const plain = backoffDelay('x', spentOn('costly', 1), { code: 'throttled' })
    for (const retryAfterMs of [-1, 0, Number.NaN, Number.NEGATIVE_INFINITY])
      expect(backoffDelay('x', spentOn('costly', 1), { code: 'throttled', retryAfterMs })).toBe(plain)
    for (const retryAfterMs of [1e12, Number.POSITIVE_INFINITY]) {
      const ms = backoffDelay('x', spentOn('costly', 1), { code: 'throttled', retryAfterMs })
      expect(ms).toBeGreaterThanOrEqual(RETRY_AFTER_MAX_MS)
      expect(ms).toBeLessThanOrEqual(1.1 * RETRY_AFTER_MAX_MS)
    }
  })

  test('HF-D5 follows the curve that the kind of the fault names', () => {
    for (const code of codes) {
      const { kind } = faults[code]
      expect(curveOf({ code }), code).toBe(kind === 'vacant' || kind === 'dropped' ? kind : 'costly')
    }
    expect(curveOf(null)).toBe('costly')
  })
})

describe('luck', () => {
  const ids = Array.from({ length: 1_000 }, (_, i) => `bot-${i}`)

  test('HF-D6 is a number in [0, 1), the same for the same link and attempt', () => {
    fc.assert(
      fc.property(anyId, fc.integer({ min: -100, max: 100 }), (id, n) => {
        const drawn = jitter(id, n)
        return drawn >= 0 && drawn < 1 && drawn === jitter(id, n)
      }),
    )
  })

  test('HF-D7 is evenly spread over links, for every attempt', () => {
    for (let attempt = 1; attempt <= 12; attempt++) {
      const draws = ids.map((id) => jitter(id, attempt))
      const mean = draws.reduce((a, b) => a + b) / draws.length
      expect(Math.abs(mean - 0.5), `mean of attempt ${attempt}`).toBeLessThan(0.04)
      for (let decile = 0; decile < 10; decile++) {
        const share = draws.filter((x) => Math.floor(x * 10) === decile).length
        expect(share, `decile ${decile} of attempt ${attempt}`).toBeGreaterThan(60)
      }
    }
  })

  test('HF-D8 does not let two links march in step', () => {
    const attempts = Array.from({ length: 20 }, (_, i) => i + 1)
    for (let i = 1; i < ids.length; i++) {
      const close = attempts.filter((n) => Math.abs(jitter(ids[i - 1]!, n) - jitter(ids[i]!, n)) < 0.05)
      expect(close.length, `${ids[i - 1]} and ${ids[i]}`).toBeLessThan(attempts.length / 2)
    }
  })
})

describe('what was spent', () => {
  test('HF-D9 grows by one on its own curve, forgives the cheaper curves and keeps the dearer ones', () => {
    fc.assert(
      fc.property(anySpent, (spent) => {
        const more = (n: number) => Math.min(n + 1, SPENT_MAX)
        const { vacant, dropped, costly } = spent
        expect(spend(spent, 'vacant')).toEqual({ vacant: more(vacant), dropped, costly })
        expect(spend(spent, 'dropped')).toEqual({ vacant: 0, dropped: more(dropped), costly })
        expect(spend(spent, 'costly')).toEqual({ vacant: 0, dropped: 0, costly: more(costly) })
      }),
    )
    expect(attemptOf(nothingSpent)).toBe(1)
    for (const curve of curveNames) expect(attemptOf(spend(nothingSpent, curve))).toBe(2)
  })
})

/** The most dials within a time when the world picks the curve of each failure, and every draw is the worst. */
const dialsOfAnAdversary = (ms: number): number => {
  let front = new Map<string, { spent: Spent; at: number }>([['', { spent: nothingSpent, at: 0 }]])
  for (let dials = 1; ; dials++) {
    const next: typeof front = new Map()
    for (const { spent, at } of front.values()) {
      for (const curve of curveNames) {
        const after = spend(spent, curve)
        const then = at + shortest(curve, after[curve])
        const key = `${after.vacant}/${after.dropped}/${after.costly}`
        const known = next.get(key)
        if (then <= ms && (!known || then < known.at)) next.set(key, { spent: after, at: then })
      }
    }
    if (next.size === 0) return dials
    front = next
  }
}

const DAY_MS = 86_400_000
/** Session starts that a platform commonly allows in a day. */
const SESSION_STARTS_MAX = 1_000

/** Session starts in a day against a peer that welcomes and then dies after so long, every time. */
const sessionStarts = (id: string, sessionMs: number): number => {
  let spent = nothingSpent
  let starts = 0
  for (let at = 0; at < DAY_MS; starts++) {
    spent = spend(sessionMs >= deadlines.provenAfter ? nothingSpent : spent, 'costly')
    at += sessionMs + backoffDelay(id, spent, faultOn.costly)
  }
  return starts
}

describe('what a link costs the other side', () => {
  test('HF-C1 the unluckiest link stays within the dials of its curve', () => {
    expect(dialsWithin('vacant', 60_000)).toBeLessThanOrEqual(40)
    expect(dialsWithin('dropped', 60_000)).toBeLessThanOrEqual(10)
    expect(dialsWithin('costly', 30_000)).toBeLessThanOrEqual(8)
  })

  test('HF-C2 no order of failures gets more than 84 dials out of the first minute', () => {
    const dials = dialsOfAnAdversary(60_000)
    console.log(`an adversary that picks each failure gets ${dials} dials out of the first minute`)
    expect(dials).toBeLessThanOrEqual(84)
  })

  test('HF-C3 no link starts 1,000 sessions in a day, however unlucky it is and however short its sessions are', () => {
    const ids = Array.from({ length: 200 }, (_, i) => `bot-${i}`)
    const lives = [1, 10, 60, 119, 120, 121].map((s) => s * 1_000)
    const starts = ids.flatMap((id) => lives.map((life) => ({ id, life, n: sessionStarts(id, life) })))
    const worst = starts.reduce((a, b) => (a.n > b.n ? a : b))
    console.log(`most session starts in a day: ${worst.n} (${worst.id}, sessions of ${worst.life / 1_000} s)`)
    expect(worst.n).toBeLessThan(SESSION_STARTS_MAX)
  })
})
