/** Are the rules complete? Every machine that differs from the lease by one slip must break one of them. */
import { expect, test } from 'vitest'
import { assign } from 'xstate'
import { backoffDelay, nothingSpent } from '../../machines/delay.ts'
import { asideDelay, type LeaseContext, leaseMachine, leaseTimes, storeDelay } from '../../machines/lease.ts'
import { firstBroken } from './judge.ts'
import { roughLeaseModel } from './lease-model.ts'
import { leaseRules } from './lease-rules.ts'
import { chartMutants, implementationMutants, judgeMutants, type Mutant, replaced } from './mutate.ts'

const vocabulary = {
  targets: [
    'lease.looking',
    'lease.standby',
    'lease.claiming',
    'lease.owned.serving',
    'lease.owned.yielding',
    'lease.owned.closing',
    'lease.backoff',
    'lease.aside',
    'lease.stopped',
  ],
  tags: [],
  delays: Object.keys(leaseMachine.implementations.delays),
  actors: Object.keys(leaseMachine.implementations.actors),
}

/** From within, the frame as a target is to be left and entered again: another link. */
const anew = chartMutants(leaseMachine, { targets: ['lease.owned'], tags: [], delays: [], actors: [] }).filter(
  ({ name }) => /^lease\.owned\..*: to lease\.owned$/.test(name),
)

const acting = (action: string, name: string, change: (context: LeaseContext) => Partial<LeaseContext>): Mutant =>
  replaced(
    leaseMachine,
    'actions',
    action,
    name,
    assign(({ context }: { context: LeaseContext }) => change(context)),
  )

type Worked = 'storeDelay' | 'asideDelay'

const waiting = (delay: Worked, name: string, wait: (context: LeaseContext) => number): Mutant =>
  replaced(leaseMachine, 'delays', delay, name, ({ context }: { context: LeaseContext }) => wait(context))

const { ttlMs } = leaseTimes

/** Slips in the arithmetic that the chart calls. */
const leaseMutants: readonly Mutant[] = [
  acting('countFailure', 'counts two', ({ failed }) => ({ failed: failed + 2 })),
  acting('countFailure', 'forgets the others', () => ({ failed: 1 })),
  acting('forgive', 'leaves one', () => ({ failed: 1, fault: null })),
  acting('forgive', 'keeps the fault', () => ({ failed: 0 })),
  acting('clearFault', 'forgives too', () => ({ failed: 0, fault: null })),
  acting('noteFault', 'always unknown', () => ({ fault: { code: 'unknown' } })),
  replaced(leaseMachine, 'delays', 'takeoverDelay', 'as long as the lease', ttlMs),
  replaced(leaseMachine, 'delays', 'fenceDelay', 'as long as the lease', ttlMs),
  waiting('storeDelay', 'without jitter', ({ failed }) => storeDelay({ id: '', failed })),
  waiting('storeDelay', 'always the first', ({ id }) => storeDelay({ id, failed: 1 })),
  waiting('storeDelay', 'up to the cap of a link', ({ id, failed }) =>
    backoffDelay(id, { ...nothingSpent, costly: failed }, null),
  ),
  waiting('storeDelay', 'a millisecond and a half', (context) => storeDelay(context) + 0.5),
  waiting('asideDelay', 'without jitter', ({ failed }) => asideDelay({ id: '', failed })),
  waiting('asideDelay', 'always the first', ({ id }) => asideDelay({ id, failed: 0 })),
  waiting('asideDelay', 'as after a failure', ({ id, failed }) => storeDelay({ id, failed })),
  waiting('asideDelay', 'a millisecond and a half', (context) => asideDelay(context) + 0.5),
]

/** Mutants that no sequence of events can tell from the lease. Each with its reason; a longer list is a worse judge. */
const equivalent: Record<string, string> = {}
const EQUIVALENT_MAX = 2

test('HF-T23 every mutant of the lease breaks a rule, but for the listed equivalents', { timeout: 120_000 }, () => {
  const mutants = [
    ...chartMutants(leaseMachine, vocabulary),
    ...anew,
    ...implementationMutants(leaseMachine),
    ...leaseMutants,
  ]
  const judged = judgeMutants(leaseMachine, mutants, equivalent, (machine) =>
    firstBroken(leaseRules, [roughLeaseModel(machine)]),
  )
  expect(judged).toEqual({ itself: null, surviving: [], mistaken: [] })
  expect(Object.keys(equivalent).length).toBeLessThanOrEqual(EQUIVALENT_MAX)
  expect(anew.length).toBeGreaterThan(0)
})
