/** Are the rules complete? Every machine that differs from the breaker by one slip must break one of them. */
import { expect, test } from 'vitest'
import { assign } from 'xstate'
import { type BreakerContext, breakerDeadlines, breakerMachine, WINDOW_MAX } from '../../machines/breaker.ts'
import { backoffDelay, curveOf, nothingSpent, spend } from '../../machines/delay.ts'
import { roughBreakerModel } from './breaker-model.ts'
import { breakerRules } from './breaker-rules.ts'
import { firstBroken } from './judge.ts'
import { chartMutants, implementationMutants, judgeMutants, type Mutant, replaced } from './mutate.ts'

const vocabulary = {
  targets: ['breaker.closed', 'breaker.open', 'breaker.probing', 'breaker.ramping.inviting'],
  tags: ['open'],
  delays: [...Object.keys(breakerDeadlines), 'scoutDelay'],
  actors: Object.keys(breakerMachine.implementations.actors),
}

const acting = (action: string, name: string, change: (context: BreakerContext) => Partial<BreakerContext>): Mutant =>
  replaced(
    breakerMachine,
    'actions',
    action,
    name,
    assign(({ context }: { context: BreakerContext }) => change(context)),
  )

const waiting = (name: string, wait: (context: BreakerContext) => number): Mutant =>
  replaced(breakerMachine, 'delays', 'scoutDelay', name, ({ context }: { context: BreakerContext }) => wait(context))

/** Slips in the arithmetic that the chart calls. */
const breakerMutants: readonly Mutant[] = [
  acting('countScout', 'counts two', ({ spent, fault }) => ({
    spent: spend(spend(spent, curveOf(fault)), curveOf(fault)),
  })),
  acting('countScout', 'counts on the costly curve only', ({ spent }) => ({ spent: spend(spent, 'costly') })),
  acting('countScout', 'forgets the others', ({ fault }) => ({ spent: spend(nothingSpent, curveOf(fault)) })),
  acting('forgive', 'leaves one', () => ({ spent: { ...nothingSpent, costly: 1 } })),
  acting('narrowest', 'starts at two', () => ({ window: 2 })),
  acting('widen', 'four times', ({ window }) => ({ window: Math.min(window * 4, WINDOW_MAX) })),
  acting('widen', 'stops at half', ({ window }) => ({ window: Math.min(window * 2, WINDOW_MAX / 2) })),
  acting('narrow', 'to nothing', ({ window }) => ({ window: Math.floor(window / 2) })),
  acting('narrow', 'to one', () => ({ window: 1 })),
  acting('narrow', 'takes one', ({ window }) => ({ window: Math.max(1, window - 1) })),
  acting('noteFault', 'always unknown', () => ({ fault: { code: 'unknown' } })),
  waiting('without jitter', ({ spent, fault }) => backoffDelay('', spent, fault)),
  waiting('deaf to retry-after', ({ id, spent, fault }) => backoffDelay(id, spent, fault && { code: fault.code })),
  waiting('a millisecond and a half', ({ id, spent, fault }) => backoffDelay(id, spent, fault) + 0.5),
]

/** Mutants that no sequence of events can tell from the breaker. Each with its reason; a longer list is a worse judge. */
const equivalent: Record<string, string> = {}
const EQUIVALENT_MAX = 4

test('HF-B20 every mutant of the breaker breaks a rule, but for the listed equivalents', { timeout: 120_000 }, () => {
  const mutants = [
    ...chartMutants(breakerMachine, vocabulary),
    ...implementationMutants(breakerMachine),
    ...breakerMutants,
  ]
  const judged = judgeMutants(breakerMachine, mutants, equivalent, (machine) =>
    firstBroken(breakerRules, [roughBreakerModel(machine)]),
  )
  expect(judged).toEqual({ itself: null, surviving: [], mistaken: [] })
  expect(Object.keys(equivalent).length).toBeLessThanOrEqual(EQUIVALENT_MAX)
})
