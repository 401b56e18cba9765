/** Many runs, drawn from one seed, and what they found together. HF_RUNS, HF_SEED and HF_PATH say which. */
import fc from 'fast-check'
import { askedRuns, withoutNeedless } from '../sim/asked.ts'
import { type Plan, plans, type Report, run } from './run.ts'
import type { DeliveryRule } from './verdicts.ts'

const asked = askedRuns({ runs: 600, seed: 20_261_121 })
const { path, parameters } = asked
export const { runsAsked, seed, isWhole } = asked

interface Failure {
  readonly plan: Plan
  readonly path: string
}

export interface RunSet {
  runs: number
  readonly sums: Record<string, number>
  readonly checked: Map<DeliveryRule, number>
  readonly failures: Map<DeliveryRule, Failure>
}

const addTo = (set: RunSet, plan: Plan, report: Report): void => {
  const failure = { plan, path: path ?? String(set.runs) }
  set.runs++
  const { fates, violations, checked, states, ...counts } = report
  const lives = states.filter((state) => state === 'live').length
  for (const [name, count] of Object.entries({ ...counts, ...fates, lives })) {
    set.sums[name] = (set.sums[name] ?? 0) + count
  }
  for (const [rule, times] of checked) set.checked.set(rule, (set.checked.get(rule) ?? 0) + times)
  for (const { rule } of violations) if (!set.failures.has(rule)) set.failures.set(rule, failure)
}

export const runAll = async (): Promise<RunSet> => {
  const set: RunSet = { runs: 0, sums: {}, checked: new Map(), failures: new Map() }
  // the property itself never fails: one run may break several rules, and each is told by the test of its own
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => addTo(set, plan, await run(plan))),
    parameters,
  )
  return set
}

/** Leaves out every fault that is not needed to break the rule, so that what remains can be read. */
const story = async (rule: DeliveryRule, { plan, path }: Failure): Promise<string> => {
  const broken = async (kept: Plan['blows']) =>
    (await run({ ...plan, blows: kept })).violations.find((violation) => violation.rule === rule)
  const blows = await withoutNeedless(plan.blows, async (kept) => (await broken(kept)) !== undefined)
  const { what, at } = (await broken(blows)) ?? { what: 'it does not break when replayed', at: Number.NaN }
  return `${rule}: ${what}, at ${at} ms.\nHF_SEED=${seed} HF_PATH=${path}, or run(${JSON.stringify({ ...plan, blows })})`
}

/** What broke the rule, for people, or undefined. */
export const failureOf = async (set: RunSet, rule: DeliveryRule): Promise<string | undefined> => {
  const failure = set.failures.get(rule)
  return failure && story(rule, failure)
}
