/** The lease as the walker sees it: what it may hear, and what can be told apart there. */
import type { AnyStateMachine, EventObject } from 'xstate'
import type { Fault } from '../../machines/fault.ts'
import { type LeaseContext, leaseMachine, leaseState } from '../../machines/lease.ts'
import { kindIn, type Model, samples, strangers } from './link-model.ts'
import { type Snapshot, type Subject, stepper, walk } from './walk.ts'

export const contextIn = (snapshot: Snapshot): LeaseContext => snapshot.context as LeaseContext

export const faultBearing = ['store.failed', 'link.failed'] as const

export const plainFacts = [
  'lease.found',
  'lease.vacated',
  'lease.granted',
  'lease.refused',
  'lease.renewed',
  'lease.taken',
  'link.ended',
  'operator.stop',
  'operator.yield',
  'operator.claim',
] as const

const eventsWith = (faults: readonly Fault[]): EventObject[] => [
  ...plainFacts.map((type) => ({ type })),
  ...faultBearing.flatMap((type) => faults.map((fault) => ({ type, fault }))),
]

/** No arrow looks at the kind of a fault, so for mutants one will do, and one of somebody who asks for patience. */
const fewSamples = samples.filter((fault) => kindIn(fault) === 'costly')

const upToMany = (n: number): string => (n < 3 ? String(n) : 'many')

export const leaseKey = (snapshot: Snapshot): string => {
  const { failed, fault } = contextIn(snapshot)
  const patience = fault?.retryAfterMs === undefined ? '' : '+retry-after'
  return `${leaseState(snapshot.value)} ${upToMany(failed)} ${kindIn(fault)}${patience}`
}

export const input = { id: 'bot' }

const modelOf = (subject: Subject): Model => ({
  machine: subject.machine,
  graph: walk(subject),
  step: stepper(subject.machine, input).step,
})

/** The whole proof: every event in every state, unexpected ones included. */
export const leaseModel = (machine: AnyStateMachine = leaseMachine): Model =>
  modelOf({ machine, input, events: [...eventsWith(samples), ...strangers], key: leaseKey, proveInert: true })

/** The same at a fraction of the cost, for hundreds of mutants. */
export const roughLeaseModel = (machine: AnyStateMachine): Model =>
  modelOf({ machine, input, events: eventsWith(fewSamples), key: leaseKey, proveInert: false })
