/** What the simulation has to find: a peer or a link that is not as the other was told. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Plan, plans, type Report, run } from './run.ts'
import { seed } from './run-set.ts'

const RUNS = 12

const reports = async (change: Partial<Plan>): Promise<Report[]> => {
  const drawn = fc.sample(plans, { seed, numRuns: RUNS })
  const all: Report[] = []
  for (const plan of drawn) all.push(await run({ ...plan, ...change }))
  return all
}

const broken = (all: readonly Report[], rule: string): string[] =>
  all.flatMap(({ violations }) => violations.filter((violation) => violation.rule === rule).map(({ what }) => what))

const sum = (all: readonly Report[], of: (report: Report) => number): number => all.reduce((n, each) => n + of(each), 0)

test('HF-E6 control: an outbox that writes again to a peer that does not dedupe is found to double', async () => {
  const honest = await reports({ mode: 'proved' })
  expect(broken(honest, 'HF-E1')).toEqual([])
  // there were copies, and the peer dropped them
  expect(sum(honest, ({ doubles }) => doubles)).toBeGreaterThan(50)
  const doubling = await reports({ mode: 'proved', lie: 'no-dedupe' })
  expect(broken(doubling, 'HF-E1').length).toBeGreaterThan(RUNS / 2)
})

test('HF-E6 control: a link that resumes nothing and says it did is found to lose', async () => {
  const losing = await reports({ overlap: false, lie: 'no-resume' })
  expect(broken(losing, 'HF-E4').length).toBeGreaterThan(RUNS / 2)
})

test('HF-E6 control: where sessions are forgotten more is missed than where they are resumed, and no gap is hidden', async () => {
  const strikes: Plan['blows'] = Array.from({ length: 20 }, (_, i) => [200, 'drops', 2 * i])
  const resuming = await reports({ overlap: false, blows: strikes })
  expect(sum(resuming, ({ missed, gaps }) => missed + gaps)).toBe(0)
  const forgetting = await reports({ overlap: false, blows: strikes.map(([ms, , how]) => [ms, 'forgets', how]) })
  expect(sum(forgetting, ({ missed }) => missed)).toBeGreaterThan(1_000)
  expect(broken(forgetting, 'HF-E4')).toEqual([])
})
