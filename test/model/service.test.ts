/** The rules of a service, each proved over every state that it can be in, for each policy. What they mean: docs/rules.md. */
import { describe, expect, test } from 'vitest'
import type { EventObject } from 'xstate'
import type { Fault } from '../../machines/fault.ts'
import {
  RETRIES_MAX,
  type ServicePolicy,
  serviceMachine,
  serviceState,
  serviceStateNames,
} from '../../machines/service.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'
import { codes, kindIn, sampleOf } from './link-model.ts'
import { contextIn, faultBearing, inputFor, plainFacts, policies, serviceKey, serviceModel } from './service-model.ts'
import { deadArrows, type ServiceRule, serviceRules } from './service-rules.ts'
import { type Edge, type Graph, inwardEvents, type Snapshot, type State, stepper } from './walk.ts'

const STATES_MAX = 2_000
const VIOLATIONS_SHOWN = 5

const startedAt = performance.now()
const models = policies.map((policy) => serviceModel(policy))
const walkMs = Math.round(performance.now() - startedAt)

const holds = (number: ServiceRule): void => {
  const violations = models.flatMap((model) => serviceRules[number](model))
  expect(violations.slice(0, VIOLATIONS_SHOWN), `${violations.length} violations of ${number}`).toEqual([])
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

describe('the service', () => {
  test('HF-V1 each deadline is where it should be, and leads where it should', () => holds('HF-V1'))
  test('HF-V2 it parks if and only if the number of retries was declared', () => holds('HF-V2'))
  test('HF-V3 in health it runs or waits for a person, from everywhere, and there is no livelock', () => holds('HF-V3'))
  test('HF-V4 one activity in each state, told whose it is, and their ends move on', () => holds('HF-V4'))
  test('HF-V5 it starts from waiting on link.ready, and in no other way', () => holds('HF-V5'))
  test('HF-V6 an instance is left by its own word that it is over, or to be ended', () => holds('HF-V6'))
  test('HF-V7 link.lost stops it if that was declared, and changes nothing otherwise', () => holds('HF-V7'))
  test('HF-V8 operator.stop and link.stopped end it for good', () => holds('HF-V8'))
  test('HF-V9 operator.restart stops it first, and forgives what has failed', () => holds('HF-V9'))
  test('HF-V10 a failure is noted and retried, until the declared retries are used up', () => holds('HF-V10'))
  test('HF-V11 a failure is counted once and forgiven by time or by a person', () => holds('HF-V11'))
  test('HF-V12 every wait is within its bounds, grows, and is nobody else’s', () => holds('HF-V12'))
  test('HF-V13 an event that a state does not name changes nothing, throws nothing and ends nothing', () => {
    holds('HF-V13')
    for (const { graph } of models) expect(graph.inert).toBeGreaterThan(graph.edges.length)
  })
  test('HF-V14 whatever is called a fault does not end the service', () => holds('HF-V14'))
  test('HF-V15 it starts waiting and fresh, runs without an old fault, and can always be stopped', () =>
    holds('HF-V15'))
  test('HF-V16 every arrow is taken under some policy, every declared name is used', () => {
    expect(deadArrows(models)).toEqual([])
  })

  test('HF-V17 the count of failures saturates', () => {
    const { step, start } = stepper(serviceMachine, inputFor(policies[0]!))
    let snapshot = start()
    for (let i = 0; i < 3 * RETRIES_MAX; i++) {
      snapshot = step(snapshot, { type: 'link.ready' })
      snapshot = step(snapshot, { type: 'service.failed', fault: { code: 'service-failed' } } as EventObject)
      snapshot = step(snapshot, { type: 'xstate.after.startDelay.service.backoff' })
    }
    expect(contextIn(snapshot).failed).toBe(RETRIES_MAX)
  })
})

const anyEvent = (roll: (below: number) => number, inward: readonly EventObject[]): EventObject => {
  const bearing = [...faultBearing, ...faultBearing]
  const types = [...plainFacts.map((type) => ({ type })), ...inward]
  const at = roll(types.length + bearing.length)
  if (at < types.length) return types[at]!
  const code = codes[roll(codes.length)]!
  const patience = kindIn({ code }) === 'costly' && roll(4) === 0
  const fault = patience ? { code, retryAfterMs: roll(1e6) } : { code }
  return { type: bearing[at - types.length]!, fault } as EventObject
}

/** Where the graph says that the event leads. */
const abstractNext = (state: State, event: EventObject): string => {
  const { fault } = event as { fault?: Fault }
  const wanted = JSON.stringify(fault ? { type: event.type, fault: sampleOf(fault) } : event)
  return state.edges.find((edge) => JSON.stringify(edge.event) === wanted)?.to.key ?? state.key
}

const STEPS = 10_000

/** How many abstract states a concrete service came to; a step that is no edge of the graph fails. */
const wander = (policy: ServicePolicy, graph: Graph, seed: number): number => {
  const random = seededRandom(seed)
  const roll = (below: number) => Math.floor(random() * below)
  const { step, start } = stepper(serviceMachine, inputFor(policy))
  const inward = inwardEvents(serviceMachine)
  const visits = new Map<string, number>()
  const seldom = (a: Edge, b: Edge) => (visits.get(a.to.key) ?? 0) - (visits.get(b.to.key) ?? 0)
  let snapshot: Snapshot = start()
  for (let i = 0; i < STEPS; i++) {
    const state = graph.states.get(serviceKey(snapshot))!
    // Two steps of three go where the walk has seldom been.
    const edges = [...state.edges].sort(seldom)
    const event = roll(3) > 0 && edges[0] ? edges[0].event : anyEvent(roll, inward)
    const next = step(snapshot, event)
    const key = serviceKey(next)
    expect(key, `seed ${seed}, step ${i}: ${event.type} in ${state.key}`).toBe(abstractNext(state, event))
    visits.set(key, (visits.get(key) ?? 0) + 1)
    // a service that has stopped is followed by another one
    snapshot = next.status === 'active' ? next : start()
  }
  return visits.size
}

describe('the walk of the service', () => {
  test('HF-V18 covers every reachable abstract state of each policy, and they are few enough to be walked often', () => {
    const [states, edges, inert] = (['states', 'edges', 'inert'] as const).map((part) =>
      sum(
        models.map(({ graph }) =>
          part === 'states' ? graph.states.size : part === 'edges' ? graph.edges.length : graph.inert,
        ),
      ),
    )
    console.log(`${policies.length} policies: ${states} abstract states, ${edges} edges, ${inert} inert, ${walkMs} ms`)
    const names = models.flatMap(({ graph }) =>
      [...graph.states.values()].map(({ snapshot }) => serviceState(snapshot.value)),
    )
    expect(new Set(names)).toEqual(new Set(serviceStateNames))
    expect(states).toBeLessThan(STATES_MAX)
  })

  test('HF-V19 is faithful: random steps of a concrete service are edges of the graph of its policy', () => {
    const seed = Number(process.env.HF_SEED ?? 20_261_121)
    for (const [index, policy] of policies.entries()) {
      const { graph } = models[index]!
      const visited = wander(policy, graph, seed)
      console.log(`${STEPS} steps, seed ${seed}, ${JSON.stringify(policy)}: ${visited} of ${graph.states.size} states`)
      expect(visited).toBeGreaterThan(graph.states.size / 2)
    }
  })
})
