/** The rules of a lease, each proved over every state that it can be in. What they mean: docs/rules.md. */
import { describe, expect, test } from 'vitest'
import type { EventObject } from 'xstate'
import { SPENT_MAX } from '../../machines/delay.ts'
import type { Fault } from '../../machines/fault.ts'
import { leaseMachine, leaseState, leaseStateNames } from '../../machines/lease.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'
import { contextIn, faultBearing, input, leaseKey, leaseModel, plainFacts } from './lease-model.ts'
import { type LeaseRule, leaseRules } from './lease-rules.ts'
import { codes, kindIn, sampleOf } from './link-model.ts'
import { type Edge, inwardEvents, type Snapshot, type State, stepper } from './walk.ts'

const STATES_MAX = 500
const VIOLATIONS_SHOWN = 5

const startedAt = performance.now()
const model = leaseModel()
const walkMs = Math.round(performance.now() - startedAt)
const { graph } = model

const holds = (number: LeaseRule): void => {
  const violations = leaseRules[number](model)
  expect(violations.slice(0, VIOLATIONS_SHOWN), `${violations.length} violations of ${number}`).toEqual([])
}

describe('the lease', () => {
  test('HF-T1 every state but stopped has one deadline, which leads where it should and blames exactly its fault', () =>
    holds('HF-T1'))
  test('HF-T2 every wait is within its bounds, grows, and is nobody else’s', () => holds('HF-T2'))
  test('HF-T3 there is a link exactly where it is owned, the same one from the grant to the exit', () => holds('HF-T3'))
  test('HF-T4 owned is entered from claiming on lease.granted, and in no other way', () => holds('HF-T4'))
  test('HF-T5 whatever is owned is on the fence, which a renewal moves in serving, and nothing else does', () =>
    holds('HF-T5'))
  test('HF-T6 owned is left by the fence, by lease.taken, by what failed in us, and when it is handed over', () =>
    holds('HF-T6'))
  test('HF-T7 who stands by claims when the owner’s time has passed or it was given away; a lost race is waited out', () =>
    holds('HF-T7'))
  test('HF-T8 each sight of the owner begins the wait anew', () => holds('HF-T8'))
  test('HF-T9 a failure of the store is noted and waited for', () => holds('HF-T9'))
  test('HF-T10 in health it is owned from everywhere but closing and stopped, without a person', () => holds('HF-T10'))
  test('HF-T11 where nothing answers it asks again and again, and there is no livelock', () => holds('HF-T11'))
  test('HF-T12 operator.stop hands over what is owned, and stops at once elsewhere', () => holds('HF-T12'))
  test('HF-T13 who yields, or cannot make the link, steps aside, and comes back by itself', () => holds('HF-T13'))
  test('HF-T14 a failure is counted once, and forgiven by a renewal and by standing by', () => holds('HF-T14'))
  test('HF-T15 the activities of each state, told whose they are, and their ends move on', () => holds('HF-T15'))
  test('HF-T16 an event that a state does not name changes nothing, throws nothing and ends nothing', () => {
    holds('HF-T16')
    expect(graph.inert).toBeGreaterThan(graph.edges.length)
  })
  test('HF-T17 whatever is called a fault does not end the lease', () => holds('HF-T17'))
  test('HF-T18 it starts looking and fresh, and is well without an old fault', () => holds('HF-T18'))
  test('HF-T19 every arrow is taken, every declared name is used', () => holds('HF-T19'))

  test('HF-T20 the count of failures saturates', () => {
    const { step, start } = stepper(leaseMachine, input)
    let snapshot = start()
    for (let i = 0; i < 3 * SPENT_MAX; i++) {
      snapshot = step(snapshot, { type: 'store.failed', fault: { code: 'lease-store-failed' } } as EventObject)
      snapshot = step(snapshot, { type: 'xstate.after.storeDelay.lease.backoff' })
    }
    expect(contextIn(snapshot).failed).toBe(SPENT_MAX)
  })
})

const anyEvent = (roll: (below: number) => number, inward: readonly EventObject[]): EventObject => {
  const types = [...plainFacts.map((type) => ({ type })), ...inward]
  const at = roll(types.length + faultBearing.length)
  if (at < types.length) return types[at]!
  const code = codes[roll(codes.length)]!
  const patience = kindIn({ code }) === 'costly' && roll(4) === 0
  const fault = patience ? { code, retryAfterMs: roll(1e6) } : { code }
  return { type: faultBearing[at - types.length]!, fault } as EventObject
}

/** Where the graph says that the event leads. */
const abstractNext = (state: State, event: EventObject): string => {
  const { fault } = event as { fault?: Fault }
  const wanted = JSON.stringify(fault ? { type: event.type, fault: sampleOf(fault) } : event)
  return state.edges.find((edge) => JSON.stringify(edge.event) === wanted)?.to.key ?? state.key
}

const STEPS = 20_000

describe('the walk of the lease', () => {
  test('HF-T21 covers every reachable abstract state, and they are few enough to be walked often', () => {
    console.log(`${graph.states.size} abstract states, ${graph.edges.length} edges, ${graph.inert} inert, ${walkMs} ms`)
    const names = [...graph.states.values()].map(({ snapshot }) => leaseState(snapshot.value))
    expect(new Set(names)).toEqual(new Set(leaseStateNames))
    expect(graph.states.size).toBeLessThan(STATES_MAX)
  })

  test('HF-T22 is faithful: 20,000 random steps of a concrete lease are edges of the graph', () => {
    const seed = Number(process.env.HF_SEED ?? 20_261_121)
    const random = seededRandom(seed)
    const roll = (below: number) => Math.floor(random() * below)
    const { step, start } = stepper(leaseMachine, input)
    const inward = inwardEvents(leaseMachine)
    const visits = new Map<string, number>()
    const seldom = (a: Edge, b: Edge) => (visits.get(a.to.key) ?? 0) - (visits.get(b.to.key) ?? 0)
    let snapshot: Snapshot = start()
    for (let i = 0; i < STEPS; i++) {
      const state = graph.states.get(leaseKey(snapshot))!
      // Two steps of three go where the walk has seldom been.
      const edges = [...state.edges].sort(seldom)
      const event = roll(3) > 0 && edges[0] ? edges[0].event : anyEvent(roll, inward)
      const next = step(snapshot, event)
      const key = leaseKey(next)
      expect(key, `seed ${seed}, step ${i}: ${event.type} in ${state.key}`).toBe(abstractNext(state, event))
      visits.set(key, (visits.get(key) ?? 0) + 1)
      // a lease that has stopped is followed by another one
      snapshot = next.status === 'active' ? next : start()
    }
    console.log(`${STEPS} steps, seed ${seed}: ${visits.size} of ${graph.states.size} abstract states visited`)
    expect(visits.size).toBeGreaterThan(graph.states.size / 2)
  })
})
