/** The rules of a breaker, each proved over every state that a breaker can be in. What they mean: docs/rules.md. */
import { describe, expect, test } from 'vitest'
import type { EventObject } from 'xstate'
import { breakerMachine } from '../../machines/breaker.ts'
import { SPENT_MAX } from '../../machines/delay.ts'
import type { Fault } from '../../machines/fault.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'
import { breakerKey, breakerModel, breakerName, breakerNames, contextIn, plainFacts } from './breaker-model.ts'
import { type BreakerRule, breakerRules } from './breaker-rules.ts'
import { codes, kindIn, sampleOf } from './link-model.ts'
import { type Edge, inwardEvents, type Snapshot, type State, stepper } from './walk.ts'

const STATES_MAX = 2_000
const VIOLATIONS_SHOWN = 5

const startedAt = performance.now()
const model = breakerModel()
const walkMs = Math.round(performance.now() - startedAt)
const { graph } = model

const holds = (number: BreakerRule): void => {
  const violations = breakerRules[number](model)
  expect(violations.slice(0, VIOLATIONS_SHOWN), `${violations.length} violations of ${number}`).toEqual([])
}

describe('the breaker', () => {
  test('HF-B1 every state but closed has a deadline that leaves it, and each leads where it should', () =>
    holds('HF-B1'))
  test('HF-B2 closed is reachable from every state without anybody getting in', () => holds('HF-B2'))
  test('HF-B3 with a healthy endpoint ramping and closed are reached, and there is no livelock', () => holds('HF-B3'))
  test('HF-B4 R97 one scout, and only in probing; one inviter, and only in ramping; their ends move on', () =>
    holds('HF-B4'))
  test('HF-B5 endpoint.lost leads to open from everywhere', () => holds('HF-B5'))
  test('HF-B6 endpoint.answered leads from open and probing to ramping', () => holds('HF-B6'))
  test('HF-B7 the window starts at 1, doubles and halves, and stays within its bounds', () => holds('HF-B7'))
  test('HF-B8 a scout is counted once per entry to open and forgiven only by provenAfter', () => holds('HF-B8'))
  test('HF-B9 every wait is within its bounds, and the scout obeys the peer', () => holds('HF-B9'))
  test('HF-B10 an event that a state does not name changes nothing, throws nothing and ends nothing', () => {
    holds('HF-B10')
    expect(graph.inert).toBeGreaterThan(graph.edges.length)
  })
  test('HF-B11 a malformed fault does not end the breaker', () => holds('HF-B11'))
  test('HF-B12 every state is reached, every arrow is taken, every declared name is used', () => holds('HF-B12'))
  test('HF-B13 queue.emptied leads to closed', () => holds('HF-B13'))
  test('HF-B14 each success gives ramping its whole deadline again', () => holds('HF-B14'))
  test('HF-B15 processes that share an endpoint do not scout in step', () => holds('HF-B15'))
  test('HF-B16 open and probing are tagged open, and a breaker starts closed and fresh', () => holds('HF-B16'))

  test('HF-B21 queue.filled leads from closed to probing', () => holds('HF-B21'))

  test('HF-B17 the counters of scouts saturate', () => {
    const { step, start } = stepper(breakerMachine, { id: 'stubborn' })
    let snapshot = start()
    for (let i = 0; i < 3 * SPENT_MAX; i++) {
      snapshot = step(snapshot, { type: 'endpoint.lost', fault: { code: 'refused' } } as EventObject)
      snapshot = step(snapshot, { type: 'xstate.after.scoutDelay.breaker.open' })
    }
    expect(contextIn(snapshot).spent).toEqual({ vacant: SPENT_MAX, dropped: 0, costly: 0 })
  })
})

const withFault = (type: string, fault: Fault) => ({ type, fault })

const anyEvent = (roll: (below: number) => number, inward: readonly EventObject[]): EventObject => {
  const types = [...plainFacts.map((type) => ({ type })), ...inward, undefined, undefined]
  const event = types[roll(types.length)]
  if (event) return event
  const code = codes[roll(codes.length)]!
  // The walk knows patience only with costly faults: no other peer is in a position to ask for it.
  const patience = kindIn({ code }) === 'costly' && roll(4) === 0
  return withFault('endpoint.lost', patience ? { code, retryAfterMs: roll(1e6) } : { code })
}

/** Where the graph says that the event leads. */
const abstractNext = (state: State, event: EventObject): string => {
  const { fault } = event as { fault?: Fault }
  const wanted = JSON.stringify(fault ? withFault(event.type, sampleOf(fault)) : event)
  return state.edges.find((edge) => JSON.stringify(edge.event) === wanted)?.to.key ?? state.key
}

describe('the walk of the breaker', () => {
  test('HF-B18 covers every reachable abstract state, and they are few enough to be walked often', () => {
    console.log(`${graph.states.size} abstract states, ${graph.edges.length} edges, ${graph.inert} inert, ${walkMs} ms`)
    const names = [...graph.states.values()].map(({ snapshot }) => breakerName(snapshot.value))
    expect(new Set(names)).toEqual(new Set(breakerNames))
    expect(graph.states.size).toBeLessThan(STATES_MAX)
  })

  test('HF-B19 is faithful: 20,000 random steps of a concrete breaker are edges of the graph', () => {
    const seed = Number(process.env.HF_SEED ?? 20_261_120)
    const random = seededRandom(seed)
    const roll = (below: number) => Math.floor(random() * below)
    const { step, start } = stepper(breakerMachine, { id: 'concrete' })
    const inward = inwardEvents(breakerMachine)
    const visits = new Map<string, number>()
    const seldom = (a: Edge, b: Edge) => (visits.get(a.to.key) ?? 0) - (visits.get(b.to.key) ?? 0)
    let snapshot: Snapshot = start()
    for (let i = 0; i < 20_000; i++) {
      const state = graph.states.get(breakerKey(snapshot))!
      visits.set(state.key, (visits.get(state.key) ?? 0) + 1)
      // Two steps of three go where the walk has seldom been.
      const edges = [...state.edges].sort(seldom)
      const event = roll(3) > 0 && edges[0] ? edges[0].event : anyEvent(roll, inward)
      snapshot = step(snapshot, event)
      expect(breakerKey(snapshot), `seed ${seed}, step ${i}: ${event.type} in ${state.key}`).toBe(
        abstractNext(state, event),
      )
    }
    console.log(`20,000 concrete steps, seed ${seed}: ${visits.size} of ${graph.states.size} abstract states visited`)
    expect(visits.size).toBeGreaterThan(graph.states.size / 2)
  })
})
