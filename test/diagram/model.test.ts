import { describe, expect, test } from 'vitest'
import { deadlines } from '../../machines/delay.ts'
import { linkMachine, stateName, stateNames } from '../../machines/link.ts'
import {
  type Arrow,
  arrowText,
  causesOf,
  chartOf,
  duration,
  edgesOf,
  holdOf,
  triggerText,
} from '../../src/diagram/model.ts'
import { rich } from './charts.ts'

const link = chartOf(linkMachine)
const stateOf = (path: string, chart = link) => chart.states.find((state) => state.path === path)!

describe('the chart of the link as plain data', () => {
  test('has every state that people have a name for, and no other that one can rest in', () => {
    const leaves = link.states.filter(({ initial }) => initial === null)
    const value = (path: string): unknown => {
      const [head, ...rest] = path.split('.')
      return rest.length === 0 ? head : { [head!]: value(rest.join('.')) }
    }
    expect(leaves.map(({ path }) => stateName(value(path))).sort()).toEqual([...stateNames].sort())
  })

  test('knows what nests where and what is entered first', () => {
    expect(link.initial).toBe('resolving')
    expect(stateOf('attached')).toMatchObject({ parent: '', initial: 'attached.connecting', invokes: ['transport'] })
    expect(stateOf('attached.session.live')).toMatchObject({ parent: 'attached.session', tags: ['sendable'] })
    expect(stateOf('stopped')).toMatchObject({ final: true, arrows: [] })
  })

  test('gives each deadline the length that the machine will wait', () => {
    const found = link.states.flatMap(({ after }) => after)
    const expected = Object.entries(deadlines).map(([name, ms]) => ({ name, ms }))
    expect(found).toEqual(expect.arrayContaining(expected))
    expect(found.filter(({ ms }) => ms === null)).toEqual([{ name: 'backoffDelay', ms: null }])
  })

  test('has every transition of the machine, and says who owns it', () => {
    const ofMachine = [linkMachine.root, ...link.states.map(({ path }) => linkMachine.getStateNodeById(`link.${path}`))]
    const count = ofMachine.flatMap((node) => [...node.transitions.values()].flat()).length
    expect([...link.arrows, ...link.states.flatMap(({ arrows }) => arrows)]).toHaveLength(count)
    for (const { path, arrows } of link.states) expect(arrows.every(({ from }) => from === path)).toBe(true)
  })

  test('carries guards, reasons and blame', () => {
    const lost = stateOf('attached').arrows.find(({ guard }) => guard === 'needsPerson')
    expect(lost).toMatchObject({ event: 'transport.lost', target: 'parked', because: 'no retry can help' })
    const late = stateOf('attached.connecting').arrows.find(({ trigger }) => trigger.kind === 'after')
    expect(late).toMatchObject({
      trigger: { kind: 'after', name: 'connectDeadline', ms: deadlines.connectDeadline },
      actions: [{ type: 'blame', params: { code: 'connect-timeout' } }],
    })
  })

  test('knows the end of an activity by its name, also in a state that does not run it itself', () => {
    const own = (path: string) => stateOf(path).arrows.map(({ trigger }) => trigger)
    expect(own('attached')).toContainEqual({ kind: 'ended', name: 'transport' })
    expect(own('attached.closing')).toContainEqual({ kind: 'failed', name: 'transport' })
    expect(own('attached.closing')).toContainEqual({ kind: 'failed', name: 'drain' })
  })

  test('every state is on a deadline, watched, or waits for a person', () => {
    const holds = link.states.map((state) => [state.path, holdOf(link, state)] as const)
    const waiting = holds.filter(([, hold]) => hold.kind === 'waits')
    expect(waiting).toEqual([['parked', { kind: 'waits', events: ['operator.resume'] }]])
    const watched = holds.flatMap(([path, hold]) => (hold.kind === 'watched' ? [[path, hold.by]] : []))
    expect(watched).toEqual([
      ['attached.session.live', 'heartbeat'],
      ['attached.session.degraded.impaired', 'heartbeat'],
    ])
  })

  test('no two edges join the same states, and none is empty', () => {
    const edges = edgesOf(link)
    expect(new Set(edges.map(({ from, to }) => `${from}>${to}`)).size).toBe(edges.length)
    expect(edges.filter(({ arrows }) => arrows.length === 0)).toEqual([])
  })
})

describe('any machine', () => {
  const chart = chartOf(rich)
  const texts = (arrows: readonly Arrow[]) => arrows.map((arrow) => `${arrowText(arrow)} -> ${arrow.target}`)

  test('guards that combine others, delays of every kind, and transitions that stay are read', () => {
    expect(texts(stateOf('first', chart).arrows)).toEqual([
      'GO [and(ready, not(calm))] -> both',
      'GO [calm] -> last',
      'STAY -> null',
      'NOTHING -> null',
      'after 250 ms -> null',
      'after soon -> last',
      'after later -> both',
    ])
    expect(stateOf('first', chart).after).toEqual([
      { name: '250 ms', ms: 250 },
      { name: 'soon', ms: 1_500 },
      { name: 'later', ms: null },
    ])
  })

  test('the end of a nested state and a transition without an event are read', () => {
    expect(texts(stateOf('both', chart).arrows)).toEqual(['done -> passing'])
    expect(texts(stateOf('passing', chart).arrows)).toEqual(['at once -> last'])
  })

  test('a transition that only silences its surroundings is no edge; one that acts is', () => {
    const [loop, ...others] = edgesOf(chart).filter(({ from, to }) => from === to)
    expect(others).toEqual([])
    expect(loop!.arrows.map(({ trigger }) => triggerText(trigger))).toEqual(['STAY', 'after 250 ms'])
  })

  test('that an activity ended and that it failed is one cause', () => {
    const edge = edgesOf(link).find(({ from, to }) => from === 'attached' && to === 'backoff')!
    expect(causesOf(edge.arrows)).toEqual(['transport.lost', 'transport ended or failed'])
  })

  test('durations are told in the largest unit that fits', () => {
    expect([250, 1_500, 2_000, 1_234, 120_000, 3_600_000, 90_000].map(duration)).toEqual([
      '250 ms',
      '1.5 s',
      '2 s',
      '1234 ms',
      '2 min',
      '1 h',
      '90 s',
    ])
  })
})
