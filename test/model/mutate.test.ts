/** Are the rules complete? Every machine that differs from the link by one slip must break one of them. */
import { expect, test } from 'vitest'
import { assign } from 'xstate'
import {
  backoffDelay,
  type Curve,
  curveOf,
  curves,
  deadlines,
  nothingSpent,
  type Spent,
  spend,
} from '../../machines/delay.ts'
import { type LinkContext, linkMachine } from '../../machines/link.ts'
import { firstBroken } from './judge.ts'
import { roughLinkModel } from './link-model.ts'
import { chartMutants, implementationMutants, judgeMutants, type Mutant, replaced } from './mutate.ts'
import { linkRules } from './rules.ts'

const vocabulary = {
  targets: [
    'link.resolving',
    'link.attached.session.live',
    'link.attached.session.degraded.suspect',
    'link.backoff',
    'link.attached.closing',
    'link.parked',
    'link.stopped',
  ],
  tags: ['sendable'],
  delays: [...Object.keys(deadlines), 'backoffDelay'],
  actors: Object.keys(linkMachine.implementations.actors),
}

const counting = (name: string, count: (spent: Spent, curve: Curve) => Spent): Mutant =>
  replaced(
    linkMachine,
    'actions',
    'countAttempt',
    name,
    assign(({ context }: { context: LinkContext }) => ({ spent: count(context.spent, curveOf(context.fault)) })),
  )

const waiting = (name: string, wait: (context: LinkContext) => number): Mutant =>
  replaced(linkMachine, 'delays', 'backoffDelay', name, ({ context }: { context: LinkContext }) => wait(context))

/** Slips in the arithmetic that the chart calls. */
const linkMutants: readonly Mutant[] = [
  counting('counts two', (spent, curve) => spend(spend(spent, curve), curve)),
  counting('counts on the costly curve only', (spent) => spend(spent, 'costly')),
  counting('counts on the vacant curve only', (spent) => spend(spent, 'vacant')),
  counting('forgives the dearer curves too', (spent, curve) => ({
    ...nothingSpent,
    [curve]: spend(spent, curve)[curve],
  })),
  counting('forgives nothing', (spent, curve) => ({ ...spent, [curve]: spent[curve] + 1 })),
  replaced(linkMachine, 'actions', 'forgive', 'leaves one', assign({ spent: { ...nothingSpent, costly: 1 } })),
  waiting('without jitter', ({ spent, fault }) => backoffDelay('', spent, fault)),
  waiting('deaf to retry-after', ({ id, spent, fault }) => backoffDelay(id, spent, fault && { code: fault.code })),
  waiting('a millisecond and a half', ({ id, spent, fault }) => backoffDelay(id, spent, fault) + 0.5),
  waiting('never more than the first', ({ id, fault }) => backoffDelay(id, nothingSpent, fault) / curves.costly.capMs),
]

/** Mutants that no sequence of events can tell from the link. Each with its reason; a longer list is a worse judge. */
const equivalent: Record<string, string> = {
  'link.attached.session.degraded: starts in impaired': 'every arrow into degraded names the part that it means',
  'link.attached.closing on operator.stop: deleted': 'the arrow of the root leads to stopped too; this one says why',
}
const EQUIVALENT_MAX = 8

test('HF-M3 every mutant of the link breaks a rule, but for the listed equivalents', { timeout: 120_000 }, () => {
  const mutants = [...chartMutants(linkMachine, vocabulary), ...implementationMutants(linkMachine), ...linkMutants]
  const judged = judgeMutants(linkMachine, mutants, equivalent, (machine) =>
    firstBroken(linkRules, [roughLinkModel(machine)]),
  )
  expect(judged).toEqual({ itself: null, surviving: [], mistaken: [] })
  expect(Object.keys(equivalent).length).toBeLessThanOrEqual(EQUIVALENT_MAX)
})
