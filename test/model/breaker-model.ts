/** The breaker as the walker sees it: what it may hear, and what can be told apart there. */
import type { AnyStateMachine, EventObject } from 'xstate'
import { type BreakerContext, breakerMachine } from '../../machines/breaker.ts'
import { attemptOf, type Spent } from '../../machines/delay.ts'
import { kindIn, type Model, samples, strangers } from './link-model.ts'
import { type Snapshot, type State, type Subject, stepper, walk } from './walk.ts'

export const breakerNames = ['closed', 'open', 'probing', 'ramping'] as const

export type BreakerName = (typeof breakerNames)[number]

/** `ramping` has one part only, which is there to be entered again: people know the four. */
export const breakerName = (value: unknown): BreakerName =>
  (typeof value === 'string' ? value : Object.keys(value as object)[0]) as BreakerName

export const contextIn = (snapshot: Snapshot): BreakerContext => snapshot.context as BreakerContext

export const lost: readonly EventObject[] = samples.map((fault) => ({ type: 'endpoint.lost', fault }))

export const plainFacts = ['dial.failed', 'endpoint.answered', 'queue.emptied', 'queue.filled'] as const

export const breakerEvents: readonly EventObject[] = [...plainFacts.map((type) => ({ type })), ...lost]

const upToMany = (n: number): string => (n === 0 ? '0' : n === 1 ? '1' : 'many')

/** The window is kept as it is: were it one of "some", halving it would lead to two states. */
const keyWith =
  (count: (spent: Spent) => string) =>
  (snapshot: Snapshot): string => {
    const { spent, fault, window } = contextIn(snapshot)
    const patience = fault?.retryAfterMs === undefined ? '' : '+retry-after'
    return `${breakerName(snapshot.value)} ${count(spent)} ${kindIn(fault)}${patience} window ${window}`
  }

export const breakerKey = keyWith(({ vacant, dropped, costly }) => [vacant, dropped, costly].map(upToMany).join('/'))
const roughKey = keyWith((spent) => (attemptOf(spent) === 1 ? 'fresh' : 'tried'))

export const input = { id: 'peer:443' }

const modelOf = (subject: Subject): Model => ({
  machine: subject.machine,
  graph: walk(subject),
  step: stepper(subject.machine, input).step,
})

/** The whole proof: every event in every state, unexpected ones included. */
export const breakerModel = (machine: AnyStateMachine = breakerMachine): Model =>
  modelOf({ machine, input, events: [...breakerEvents, ...strangers], key: breakerKey, proveInert: true })

/** The same at a fraction of the cost, for hundreds of mutants: no arrow looks at the counters. */
export const roughBreakerModel = (machine: AnyStateMachine): Model =>
  modelOf({ machine, input, events: breakerEvents, key: roughKey, proveInert: false })

export const inRamping = (state: State): boolean => breakerName(state.snapshot.value) === 'ramping'
