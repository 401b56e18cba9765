/**
 * Every state that a machine can be in, and everything that can happen there.
 *
 * A breadth-first walk over *abstract* states: the key drops what no guard can tell apart, which makes the space finite.
 * From each state every event is offered, wanted or not, time and the endings of activities included. Nothing runs: the
 * transitions are pure, there is no clock and no activity.
 */
import {
  type AnyActorScope,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  type AnyTransitionDefinition,
  createActor,
  type EventObject,
} from 'xstate'

export type Snapshot = AnyMachineSnapshot

/** What the walker must be told about a machine. */
export interface Subject {
  readonly machine: AnyStateMachine
  readonly input?: unknown
  /** The facts and orders that the machine may hear, one for each kind that a guard can tell apart. */
  readonly events: readonly EventObject[]
  /** Equal for two snapshots if and only if no sequence of events can tell them apart. */
  readonly key: (snapshot: Snapshot) => string
  /** Also take the steps that no arrow claims, to prove that they change nothing. It costs most of the time. */
  readonly proveInert: boolean
}

export interface State {
  readonly key: string
  /** The first concrete snapshot that was found in this state. */
  readonly snapshot: Snapshot
  readonly edges: Edge[]
}

export interface Edge {
  readonly from: State
  readonly event: EventObject
  readonly to: State
  /** What the event made of `from.snapshot`, exactly; `to.snapshot` may be another snapshot of the same state. */
  readonly after: Snapshot
}

export interface Graph {
  readonly initial: State
  readonly states: ReadonlyMap<string, State>
  readonly edges: readonly Edge[]
  /** The arrows of the chart that some step took. */
  readonly arrows: ReadonlySet<AnyTransitionDefinition>
  /** Steps that changed nothing, as they should. */
  readonly inert: number
  /** What must never happen: a throw, a machine in error, or a change that no arrow of the chart explains. */
  readonly broken: readonly string[]
}

export type Step = (snapshot: Snapshot, event: EventObject) => Snapshot

/** One inert scope for all steps: a fresh one for each, as in xstate's own `transition`, costs five times the step. */
export const stepper = (machine: AnyStateMachine, input?: unknown): { step: Step; start: () => Snapshot } => {
  const self = createActor(machine, { input })
  const nothing = () => undefined
  const scope: AnyActorScope = {
    self,
    id: self.id,
    sessionId: self.sessionId,
    system: self.system,
    logger: nothing,
    defer: nothing,
    stopChild: nothing,
    emit: nothing,
    actionExecutor: nothing,
  }
  return {
    step: (snapshot, event) => machine.transition(snapshot, event, scope),
    start: () => machine.getInitialSnapshot(scope, input),
  }
}

export const nodesOf = (node: AnyStateNode): AnyStateNode[] => [node, ...Object.values(node.states).flatMap(nodesOf)]

/** Time and the endings of activities, as the events by which xstate tells a machine of them. */
export const inwardEvents = (machine: AnyStateMachine): EventObject[] => {
  const nodes = nodesOf(machine.root)
  const timers = nodes.flatMap((node) => node.after.map((arrow) => arrow.eventType as string))
  const endings = nodes
    .flatMap((node) => node.invoke)
    .flatMap(({ id }) => [endingOf('done', id), endingOf('error', id)])
  return [...new Set([...timers, ...endings])].map((type) => ({ type }))
}

export const endingOf = (how: 'done' | 'error', id: string): string => `xstate.${how}.actor.${id}`

const explains = (arrow: AnyTransitionDefinition): boolean => arrow.target !== undefined || arrow.actions.length > 0

const sameConfiguration = (a: Snapshot, b: Snapshot): boolean =>
  a.context === b.context && a.status === b.status && JSON.stringify(a.value) === JSON.stringify(b.value)

export const walk = (subject: Subject): Graph => {
  const { machine, key } = subject
  const { step, start } = stepper(machine, subject.input)
  const offers = [...subject.events, ...inwardEvents(machine)]
  const states = new Map<string, State>()
  const edges: Edge[] = []
  const arrows = new Set<AnyTransitionDefinition>()
  const broken: string[] = []
  let inert = 0

  const stateOf = (snapshot: Snapshot): State => {
    const k = key(snapshot)
    const state = states.get(k) ?? { key: k, snapshot, edges: [] }
    states.set(k, state)
    return state
  }
  const offer = (from: State, event: EventObject): void => {
    const taken = machine.getTransitionData(from.snapshot, event)
    for (const arrow of taken) arrows.add(arrow)
    const explained = taken.some(explains)
    // xstate ends an actor when the failure of a child meets no arrow, so these steps are never skipped.
    if (!explained && !subject.proveInert && !event.type.startsWith('xstate.error.')) return
    const after = step(from.snapshot, event)
    if (after.status === 'error') broken.push(`${from.key} dies of ${event.type}`)
    else if (!explained && !sameConfiguration(after, from.snapshot)) broken.push(`${from.key} changes on ${event.type}`)
    else if (!explained) inert++
    else {
      const edge = { from, event, to: stateOf(after), after }
      edges.push(edge)
      from.edges.push(edge)
    }
  }

  const initial = stateOf(start())
  if (initial.snapshot.status === 'error') broken.push('the machine does not start')
  // A Map is iterated in the order of insertion, states added on the way included: that is the queue.
  for (const state of states.values()) {
    // An actor that is done drops what it is sent; the pure step would go on as if it were not.
    if (state.snapshot.status !== 'active') continue
    for (const event of offers) {
      try {
        offer(state, event)
      } catch (error) {
        broken.push(`${state.key} throws on ${event.type}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
  return { initial, states, edges, arrows, inert, broken }
}

/** All states from which some path of admitted edges leads to a goal, goals included. */
export const reaching = (
  graph: Graph,
  isGoal: (state: State) => boolean,
  admits: (edge: Edge) => boolean,
): Set<State> => {
  const sources = new Map<State, State[]>()
  for (const edge of graph.edges.filter(admits)) {
    const known = sources.get(edge.to)
    if (known) known.push(edge.from)
    else sources.set(edge.to, [edge.from])
  }
  const found = new Set([...graph.states.values()].filter(isGoal))
  for (const state of found) for (const source of sources.get(state) ?? []) found.add(source)
  return found
}

/** Tarjan: the strongly connected components of the graph that the admitted edges form. */
export const components = (graph: Graph, admits: (edge: Edge) => boolean): State[][] => {
  const order = new Map<State, number>()
  const low = new Map<State, number>()
  const stack: State[] = []
  const open = new Set<State>()
  const result: State[][] = []
  const visit = (state: State): number => {
    const own = order.size
    order.set(state, own)
    stack.push(state)
    open.add(state)
    let lowest = own
    for (const { to } of state.edges.filter(admits)) {
      if (!order.has(to)) lowest = Math.min(lowest, visit(to))
      else if (open.has(to)) lowest = Math.min(lowest, order.get(to)!)
    }
    low.set(state, lowest)
    if (lowest === own) {
      const component = stack.splice(stack.indexOf(state))
      for (const member of component) open.delete(member)
      result.push(component)
    }
    return lowest
  }
  for (const state of graph.states.values()) if (!order.has(state)) visit(state)
  return result
}

/** The components that no admitted edge leaves: whoever enters one stays there. */
export const traps = (graph: Graph, admits: (edge: Edge) => boolean): State[][] =>
  components(graph, admits).filter((component) => {
    const members = new Set(component)
    return component.every((state) => state.edges.filter(admits).every(({ to }) => members.has(to)))
  })
