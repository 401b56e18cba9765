/** The link as the walker sees it: what it may hear, and what its guards can tell apart. */
import type { AnyActorRef, AnyStateMachine, EventObject } from 'xstate'
import { attemptOf, type Spent } from '../../machines/delay.ts'
import { type Fault, type FaultCode, type FaultKind, faults } from '../../machines/fault.ts'
import { type Invitation, type LinkContext, linkMachine, type StateName, stateName } from '../../machines/link.ts'
import { type Graph, type Snapshot, type State, type Step, type Subject, stepper, walk } from './walk.ts'

export const kinds: readonly FaultKind[] = ['vacant', 'dropped', 'costly', 'doubtful', 'fatal', 'impaired']

export const codes = Object.keys(faults) as FaultCode[]

/** The kind of what an adapter may have put into the context, even if the table does not know it. */
export const kindIn = (fault: Fault | null): FaultKind | 'none' =>
  fault === null || !Object.hasOwn(faults, fault.code) ? 'none' : faults[fault.code].kind

/** One fault for each kind, and one of a peer that asks for patience. */
export const samples: readonly Fault[] = [
  ...kinds.map((kind): Fault => ({ code: codes.find((code) => faults[code].kind === kind)! })),
  { code: 'throttled', retryAfterMs: 60_000 },
]

/** The sample that the guards cannot tell from this fault. */
export const sampleOf = (fault: Fault): Fault =>
  samples.find((s) => kindIn(s) === kindIn(fault) && 'retryAfterMs' in s === 'retryAfterMs' in fault)!

export const faultBearing = ['endpoint.failed', 'transport.lost', 'account.impaired', 'lease.lost'] as const

export const plain = [
  'endpoint.resolved',
  'transport.opened',
  'peer.welcomed',
  'replay.completed',
  'heartbeat.missed',
  'heartbeat.seen',
  'account.recovered',
  'operator.stop',
  'operator.hold',
  'operator.resume',
] as const

export const invited = { type: 'dial.invited', reason: 'operator' } as const
/** The one invitation that a guard can tell from the others. */
export const calledBack = { type: 'dial.invited', reason: 'endpoint-recovered' } as const
/** All of them. */
export const invitations: readonly { type: 'dial.invited'; reason: Invitation }[] = (
  ['operator', 'peer-arrived', 'endpoint-recovered', 'network-changed', 'awoke'] as const
).map((reason) => ({ type: 'dial.invited', reason }))

/** Events that no version of the chart has ever had, some named to hit the prototype of a careless table. */
export const strangers: readonly EventObject[] = ['no.such.event', '', 'constructor', '__proto__', 'toString'].map(
  (type) => ({ type }),
)

export const linkEvents: readonly EventObject[] = [
  ...plain.map((type) => ({ type })),
  invited,
  calledBack,
  ...faultBearing.flatMap((type) => samples.map((fault) => ({ type, fault }))),
]

export const contextOf = (snapshot: Snapshot): LinkContext => snapshot.context as LinkContext
export const nameOf = (state: State): StateName => stateName(state.snapshot.value)
/** The names of the activities that run, sorted. */
export const runningIn = (snapshot: Snapshot): string[] =>
  Object.values(snapshot.children as Record<string, AnyActorRef>)
    .map(({ src }) => String(src))
    .sort()

const upToMany = (n: number): string => (n === 0 ? '0' : n === 1 ? '1' : 'many')

const keyWith =
  (count: (spent: Spent) => string) =>
  (snapshot: Snapshot): string => {
    const { spent, fault } = contextOf(snapshot)
    const patience = fault?.retryAfterMs === undefined ? '' : '+retry-after'
    return `${stateName(snapshot.value)} ${count(spent)} ${kindIn(fault)}${patience}`
  }

export const linkKey = keyWith(({ vacant, dropped, costly }) => [vacant, dropped, costly].map(upToMany).join('/'))
const roughKey = keyWith((spent) => (attemptOf(spent) === 1 ? 'fresh' : 'tried'))

/** Everything the rules look at. */
export interface Model {
  readonly machine: AnyStateMachine
  readonly graph: Graph
  readonly step: Step
}

const input = { id: 'walked' }

const modelOf = (subject: Subject): Model => ({
  machine: subject.machine,
  graph: walk(subject),
  step: stepper(subject.machine, input).step,
})

/** The whole proof: every event in every state, unexpected ones included. */
export const linkModel = (machine: AnyStateMachine = linkMachine): Model =>
  modelOf({ machine, input, events: [...linkEvents, ...strangers], key: linkKey, proveInert: true })

/** The same at a fraction of the cost, for hundreds of mutants: no guard looks at the counters. */
export const roughLinkModel = (machine: AnyStateMachine): Model =>
  modelOf({ machine, input, events: linkEvents, key: roughKey, proveInert: false })
