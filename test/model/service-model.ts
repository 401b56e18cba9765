/** The service as the walker sees it: what it may hear, and what can be told apart there, for each declared policy. */
import type { AnyStateMachine, EventObject } from 'xstate'
import type { Fault } from '../../machines/fault.ts'
import {
  type ServiceContext,
  type ServicePolicy,
  type ServiceState,
  serviceMachine,
  serviceState,
} from '../../machines/service.ts'
import { kindIn, type Model, samples, strangers } from './link-model.ts'
import { type Snapshot, type State, type Subject, stepper, walk } from './walk.ts'

export const contextIn = (snapshot: Snapshot): ServiceContext => snapshot.context as ServiceContext

export const policies: readonly ServicePolicy[] = [
  { whenLost: 'keep', retriesMax: null },
  { whenLost: 'stop', retriesMax: null },
  { whenLost: 'keep', retriesMax: 2 },
  { whenLost: 'stop', retriesMax: 2 },
]

export const faultBearing = ['service.failed', 'service.ended'] as const

export const plainFacts = [
  'link.ready',
  'link.lost',
  'link.stopped',
  'service.started',
  'operator.stop',
  'operator.restart',
] as const

const eventsWith = (faults: readonly Fault[]): EventObject[] => [
  ...plainFacts.map((type) => ({ type })),
  ...faultBearing.flatMap((type) => faults.map((fault) => ({ type, fault }))),
]

/** No arrow looks at the kind of a fault, so for most mutants one will do, and one of somebody who asks for patience. */
const fewSamples = samples.filter((fault) => kindIn(fault) === 'costly')

const keyWith =
  (count: (failed: number) => string) =>
  (snapshot: Snapshot): string => {
    const { failed, fault } = contextIn(snapshot)
    const patience = fault?.retryAfterMs === undefined ? '' : '+retry-after'
    return `${serviceState(snapshot.value)} ${count(failed)} ${kindIn(fault)}${patience}`
  }

/** No policy here lets a guard tell more than two failures from still more. */
const upToMany = (n: number): string => (n < 3 ? String(n) : 'many')

export const serviceKey = keyWith(upToMany)

export const inputFor = (policy: ServicePolicy) => ({ id: 'bot http', ...policy })

/** What a service of this model was started with. */
export const policyOf = ({ graph }: Model): ServicePolicy => contextIn(graph.initial.snapshot)

const modelOf = (subject: Subject): Model => ({
  machine: subject.machine,
  graph: walk(subject),
  step: stepper(subject.machine, subject.input).step,
})

/** The whole proof: every event in every state, unexpected ones included. */
export const serviceModel = (policy: ServicePolicy, machine: AnyStateMachine = serviceMachine): Model =>
  modelOf({
    machine,
    input: inputFor(policy),
    events: [...eventsWith(samples), ...strangers],
    key: serviceKey,
    proveInert: true,
  })

/** The same at a fraction of the cost, for hundreds of mutants. */
export const roughServiceModel = (policy: ServicePolicy, machine: AnyStateMachine): Model =>
  modelOf({ machine, input: inputFor(policy), events: eventsWith(fewSamples), key: serviceKey, proveInert: false })

export const nameIn = (state: State): ServiceState => serviceState(state.snapshot.value)
