/**
 * Whole links in virtual time: both sides speak every 10 ms while twenty faults strike, and afterwards nothing is lost,
 * doubled or out of order, or it was told. docs/rules.md says what each number means.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { failureOf, isWhole, type RunSet, runAll, seed } from './run-set.ts'
import { type DeliveryRule, deliveryRules } from './verdicts.ts'

const RUNS_MAX_MS = 1_800_000

let set: RunSet

beforeAll(async () => {
  const startedAt = performance.now()
  set = await runAll()
  const ms = Math.round(performance.now() - startedAt)
  console.log(`seed ${seed}: ${set.runs} runs, ${ms} ms, ${JSON.stringify(set.sums)}`)
  console.log(`checks: ${[...set.checked].map(([rule, times]) => `${rule} ${times}`).join(', ')}`)
}, RUNS_MAX_MS)

const holds = async (rule: DeliveryRule): Promise<void> => {
  expect(set.checked.get(rule) ?? 0, `${rule} was never looked at`).toBeGreaterThan(0)
  expect(await failureOf(set, rule)).toBeUndefined()
}

describe('what is sent', () => {
  test('HF-E1 is at a peer that answers and dedupes once, in the order of its conversation', () => holds('HF-E1'))
  test('HF-E2 has one fate, and that is true: delivered is there, expired and refused are not', () => holds('HF-E2'))
  test('HF-E3 is counted: the sums hold after every event of the clock', () => holds('HF-E3'))
})

test('HF-E4 what comes is given once and in order, or a gap is told at its place', () => holds('HF-E4'))

test('HF-E5 once the world is healthy the link is live, all is drained, and stop() leaves nothing', () =>
  holds('HF-E5'))

test('HF-E6 the runs looked at every rule, and saw every fate, copies, gaps and moves', () => {
  const { sent, delivered, expired, refused, uncertain, doubles, missed, gaps, lives } = set.sums
  expect(delivered! + expired! + refused! + uncertain!).toBe(sent)
  if (!isWhole) return
  expect([...set.checked.keys()].sort()).toEqual(Object.keys(deliveryRules).sort())
  for (const [name, count] of Object.entries({ expired, refused, uncertain, doubles, missed, gaps, lives })) {
    expect(count, name).toBeGreaterThan(set.runs / 2)
  }
})
