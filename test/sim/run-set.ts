/** Many runs, drawn from one seed, and what they found together. HF_RUNS, HF_SEED and HF_PATH say which. */
import fc from 'fast-check'
import type { StateName } from '../../machines/link.ts'
import { askedRuns, withoutNeedless } from './asked.ts'
import type { MoveName } from './moves.ts'
import { type Report, type RunInput, replay, run, runInputs } from './run.ts'
import type { SimRule } from './verdicts.ts'

const asked = askedRuns({ runs: 2_500, seed: 20_261_120 })
const { path, parameters } = asked
export const { runsAsked, seed, isWhole } = asked

interface Failure {
  readonly input: RunInput
  readonly path: string
}

export interface Recovery {
  readonly from: StateName
  readonly ms: number
  readonly boundMs: number
}

export interface RunSet {
  runs: number
  steps: number
  dials: number
  readonly states: Set<StateName>
  readonly moves: Set<MoveName>
  readonly arrows: Map<string, number>
  readonly checked: Map<SimRule, number>
  readonly failures: Map<SimRule, Failure>
  readonly recoveries: Recovery[]
}

const count = <K>(into: Map<K, number>, key: K, by = 1): void => {
  into.set(key, (into.get(key) ?? 0) + by)
}

const addTo = (set: RunSet, input: RunInput, report: Report): void => {
  const failure = { input, path: path ?? String(set.runs) }
  set.runs++
  set.steps += report.steps.length
  set.dials += report.dials
  for (const state of report.states) set.states.add(state)
  for (const [move] of report.steps) set.moves.add(move)
  for (const arrow of report.arrows) count(set.arrows, arrow)
  for (const [rule, times] of report.checked) count(set.checked, rule, times)
  for (const { rule } of report.violations) if (!set.failures.has(rule)) set.failures.set(rule, failure)
  if (report.recovery) set.recoveries.push(report.recovery)
}

export const runAll = async (): Promise<RunSet> => {
  const set: RunSet = {
    runs: 0,
    steps: 0,
    dials: 0,
    states: new Set(),
    moves: new Set(),
    arrows: new Map(),
    checked: new Map(),
    failures: new Map(),
    recoveries: [],
  }
  // the property itself never fails: one run may break several rules, and each is told by the test of its own
  const property = fc.asyncProperty(runInputs, async (input) => addTo(set, input, await run(input)))
  await fc.assert(property, parameters)
  return set
}

/** Runs the first few a second time; gives those whose transcripts differ. */
export const runTwice = async (runs: number): Promise<string[]> => {
  const different: string[] = []
  const property = fc.asyncProperty(runInputs, async (input) => {
    const [first, second] = [await run(input), await run(input)]
    if (first.transcript !== second.transcript || first.fates.join() !== second.fates.join())
      different.push(first.transcript)
  })
  await fc.assert(property, { ...parameters, numRuns: Math.min(runs, parameters.numRuns) })
  return different
}

/** Leaves out every move that is not needed to break the rule, so that what remains can be read. */
const story = async (rule: SimRule, { input, path }: Failure): Promise<string> => {
  const broken = async (kept: Report['steps']) =>
    (await replay(input, kept)).violations.find((violation) => violation.rule === rule)
  const all = (await run(input)).steps
  const steps = await withoutNeedless(all, async (kept) => (await broken(kept)) !== undefined)
  const { dice, ...options } = input
  const violation = (await broken(steps)) ?? { what: 'it does not break when replayed', at: Number.NaN }
  const how = `HF_SEED=${seed} HF_PATH=${path}, or replay(${JSON.stringify(options)}, ${JSON.stringify(steps)})`
  return `${rule}: ${violation.what}, at ${violation.at} ms, after ${dice.length} moves.\n${how}`
}

/** What broke the rule, for people, or undefined. */
export const failureOf = async (set: RunSet, rule: SimRule): Promise<string | undefined> => {
  const failure = set.failures.get(rule)
  return failure && story(rule, failure)
}
