/** Are the rules complete? Every machine that differs from the service by one slip must break one of them. */
import { expect, test } from 'vitest'
import { type AnyStateMachine, assign } from 'xstate'
import { backoffDelay, nothingSpent } from '../../machines/delay.ts'
import { type ServiceContext, serviceDeadlines, serviceMachine, startDelay } from '../../machines/service.ts'
import { firstBroken } from './judge.ts'
import { chartMutants, implementationMutants, judgeMutants, type Mutant, replaced } from './mutate.ts'
import { policies, roughServiceModel } from './service-model.ts'
import { serviceRules } from './service-rules.ts'

const vocabulary = {
  targets: [
    'service.waiting',
    'service.active.starting',
    'service.active.running',
    'service.stopping',
    'service.withdrawing',
    'service.backoff',
    'service.closing',
    'service.parked',
    'service.stopped',
  ],
  tags: [],
  delays: [...Object.keys(serviceDeadlines), 'startDelay'],
  actors: Object.keys(serviceMachine.implementations.actors),
}

const acting = (action: string, name: string, change: (context: ServiceContext) => Partial<ServiceContext>): Mutant =>
  replaced(
    serviceMachine,
    'actions',
    action,
    name,
    assign(({ context }: { context: ServiceContext }) => change(context)),
  )

const waiting = (name: string, wait: (context: ServiceContext) => number): Mutant =>
  replaced(serviceMachine, 'delays', 'startDelay', name, ({ context }: { context: ServiceContext }) => wait(context))

const guarding = (guard: string, name: string, admits: (context: ServiceContext) => boolean): Mutant =>
  replaced(serviceMachine, 'guards', guard, name, ({ context }: { context: ServiceContext }) => admits(context))

/** Slips in the arithmetic that the chart calls. */
const serviceMutants: readonly Mutant[] = [
  acting('countFailure', 'counts two', ({ failed }) => ({ failed: failed + 2 })),
  acting('countFailure', 'forgets the others', () => ({ failed: 1 })),
  acting('forgive', 'leaves one', () => ({ failed: 1 })),
  acting('noteFault', 'always unknown', () => ({ fault: { code: 'unknown' } })),
  guarding('retriesUsedUp', 'one too many', ({ failed, retriesMax }) => retriesMax !== null && failed > retriesMax),
  guarding('retriesUsedUp', 'none is none', ({ failed, retriesMax }) => failed >= (retriesMax ?? 0)),
  guarding('stopsWithLink', 'the other way round', ({ whenLost }) => whenLost === 'keep'),
  waiting('without jitter', ({ failed, fault }) => startDelay({ id: '', failed, fault })),
  waiting('always the first', ({ id, fault }) => startDelay({ id, failed: 1, fault })),
  waiting('up to the cap of a link', ({ id, failed, fault }) =>
    backoffDelay(id, { ...nothingSpent, costly: 4 * failed }, fault),
  ),
  waiting('deaf to retry-after', ({ id, failed, fault }) =>
    startDelay({ id, failed, fault: fault && { code: fault.code } }),
  ),
  waiting('a millisecond and a half', (context) => startDelay(context) + 0.5),
]

/** Mutants that no sequence of events can tell from the service. Each with its reason; a longer list is a worse judge. */
const equivalent: Record<string, string> = {}
const EQUIVALENT_MAX = 4

/** Two that differ in everything, one after the other, because most mutants break a rule under the first. */
const modelsOf = function* (machine: AnyStateMachine) {
  for (const policy of [policies.at(-1)!, policies[0]!]) yield roughServiceModel(policy, machine)
}

test('HF-V20 every mutant of the service breaks a rule, but for the listed equivalents', { timeout: 120_000 }, () => {
  const mutants = [
    ...chartMutants(serviceMachine, vocabulary),
    ...implementationMutants(serviceMachine),
    ...serviceMutants,
  ]
  const judged = judgeMutants(serviceMachine, mutants, equivalent, (machine) =>
    firstBroken(serviceRules, modelsOf(machine)),
  )
  expect(judged).toEqual({ itself: null, surviving: [], mistaken: [] })
  expect(Object.keys(equivalent).length).toBeLessThanOrEqual(EQUIVALENT_MAX)
})
