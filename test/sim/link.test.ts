/**
 * A live link against everything that can happen to it, in virtual time. The walk in test/model proves the chart; here
 * its streams, queues, timers and promises are proved with it. docs/rules.md says what each number means.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stateNames } from '../../machines/link.ts'
import { chartArrows } from './coverage.ts'
import { moves } from './moves.ts'
import { failureOf, isWhole, type RunSet, runAll, runTwice, seed } from './run-set.ts'
import { type SimRule, simRules } from './verdicts.ts'

const RUNS_MAX_MS = 600_000

let set: RunSet
const unhandled: unknown[] = []
const note = (reason: unknown) => unhandled.push(reason)

beforeAll(async () => {
  process.on('unhandledRejection', note)
  const startedAt = performance.now()
  set = await runAll()
  const ms = Math.round(performance.now() - startedAt)
  const { runs, steps, dials } = set
  console.log(`seed ${seed}: ${runs} runs, ${(steps / runs).toFixed(1)} steps on average, ${dials} dials, ${ms} ms`)
}, RUNS_MAX_MS)

afterAll(() => {
  process.off('unhandledRejection', note)
})

const holds = async (rule: SimRule): Promise<void> => {
  expect(set.checked.get(rule) ?? 0, `${rule} was never looked at`).toBeGreaterThan(0)
  expect(await failureOf(set, rule)).toBeUndefined()
}

describe('safety', () => {
  test('HF-S1 R89 at most one transport is open', () => holds('HF-S1'))
  test('HF-S2 a transport is open exactly in the states that hold one', () => holds('HF-S2'))
  test('HF-S4 R35 a timer of the link is due within the deadline of its state', () => holds('HF-S4'))
  test('HF-S5 total silence ends live, and then the session, in time', () => holds('HF-S5'))
  test('HF-S6 R92 what an ended transport or its dialogue still says changes nothing', () => holds('HF-S6'))
  test('HF-S7 a message of the user is written only while live, or while closing drains', () => holds('HF-S7'))
  test('HF-S8 attempts grow on entering backoff, and only proof or a person forgives them', () => holds('HF-S8'))
  test('HF-S9 every dial after the first was waited for in full, invited or ordered', () => holds('HF-S9'))
  test('HF-S10 R58 nothing throws past the link, and a malformed frame moves nothing', async () => {
    await holds('HF-S10')
    expect(unhandled).toEqual([])
  })
  test('HF-S11 outbox, recorder and unread messages stay within their bounds', () => holds('HF-S11'))
  test('HF-S12 every timer has a delay that a timer can wait', () => holds('HF-S12'))
  test('HF-S20 probes keep their distance, whatever rhythm the peer announces', () => holds('HF-S20'))
})

describe('delivery', () => {
  test('HF-O1 the counts add up, and every promise settles once, within its time', () => holds('HF-O1'))
  test('HF-O2 no message is written after its time', () => holds('HF-O2'))
  test('HF-O3 a settled message is never written, and only an idempotent one twice', () => holds('HF-O3'))
  test('HF-O4 delivered is said only on proof', () => holds('HF-O4'))
  test('HF-O5 once the world is healthy and the outbox empty, a message arrives', () => holds('HF-O5'))
  test('HF-O6 messages are written in the order in which they were sent', () => holds('HF-O6'))
})

describe('liveness', () => {
  test('HF-L1 once the world is healthy the link is live within the stated bound', async () => {
    await holds('HF-L1')
    const worst = (waiting: boolean) =>
      set.recoveries
        .filter(({ from }) => (from === 'backoff') === waiting)
        .reduce((a, b) => (a.ms > b.ms ? a : b), { from: 'resolving', ms: 0, boundMs: 0 })
    for (const { from, ms, boundMs } of [worst(false), worst(true)]) {
      const seconds = [ms, boundMs].map((each) => (each / 1_000).toFixed(1))
      console.log(
        `slowest of ${set.recoveries.length} recoveries, from ${from}: ${seconds[0]} s, bound ${seconds[1]} s`,
      )
    }
  })
  test('HF-L3 a link is parked only for cause, and always with advice', () => holds('HF-L3'))
})

describe('costs', () => {
  test('HF-C6 the dials of a minute are bounded, whatever happens', () => holds('HF-C6'))
})

describe('the end', () => {
  test('HF-Q1 R14 after stop() there is no dial, no timer and no transport, for ever', () => holds('HF-Q1'))
  test('HF-Q2 stop() resolves within closeMs + 1 s from wherever the link is', () => holds('HF-Q2'))
})

/** The arrows that no run can take, each with what in the shell keeps it from happening. */
const beyondTheShell: Record<string, string> = {
  'resolving endpoint.failed parked': 'no fault of finding an endpoint is fatal or doubtful',
  'degraded.suspect account.impaired degraded.suspect': 'a frame is a sign of life, which is told first',
  'degraded.suspect account.recovered degraded.suspect': 'a frame is a sign of life, which is told first',
}

const RUNS_TWICE = 300

describe('the proof itself', () => {
  test('HF-M4 the runs reach every state, and take every arrow and every move', () => {
    const { facts, endings } = chartArrows()
    const missing = facts.filter((arrow) => !set.arrows.has(arrow))
    const taken = facts.length - missing.length
    const checks = [...set.checked].map(([rule, times]) => `${rule} ${times}`).join(', ')
    console.log(`${set.states.size} of ${stateNames.length} states, ${taken} of ${facts.length} arrows`)
    for (const arrow of missing) console.log(`not taken: ${arrow} (${beyondTheShell[arrow] ?? 'why?'})`)
    console.log(`checks: ${checks}`)
    expect(
      endings.filter((arrow) => set.arrows.has(arrow)),
      'no activity ends by itself',
    ).toEqual([])
    expect(
      [...set.arrows.keys()].filter((arrow) => !facts.includes(arrow)),
      'nothing but arrows of the chart',
    ).toEqual([])
    if (!isWhole) return
    expect([...set.states].sort()).toEqual([...stateNames].sort())
    expect(missing.sort()).toEqual(Object.keys(beyondTheShell).sort())
    expect([...set.moves].sort()).toEqual(Object.keys(moves).sort())
    expect([...set.checked.keys()].sort()).toEqual(Object.keys(simRules).sort())
  })

  test('HF-M5 the same seed gives the same transcript, byte for byte', async () => {
    expect(await runTwice(RUNS_TWICE)).toEqual([])
  })
})
