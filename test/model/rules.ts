/** The numbered rules of a link that no run may break: safety (HF-S), liveness (HF-L), and the responses (HF-R). */
import type { EventObject } from 'xstate'
import { attemptOf, curveOf, type Deadline, nothingSpent, type Spent, spend } from '../../machines/delay.ts'
import type { Fault } from '../../machines/fault.ts'
import { type StateName, stateName, stateNames } from '../../machines/link.ts'
import {
  happen,
  label,
  leafOf,
  malformedFaults,
  type Rule,
  statesOf,
  unexpectedIsInert,
  waitOf,
  waitsAreBounded,
} from './judge.ts'
import { contextOf, faultBearing, kindIn, type Model, nameOf, runningIn } from './link-model.ts'
import { inSession, responseRules } from './responses.ts'
import { type Edge, nodesOf, reaching, type State, traps } from './walk.ts'

/** States with no deadline that leaves them: the heartbeat watches them instead. */
export const watched: readonly StateName[] = ['live', 'degraded.impaired']
/** States that wait for a person, or for nothing. */
export const resting: readonly StateName[] = ['parked', 'stopped']
/** States on the way out: a person has asked for the end. */
export const leaving: readonly StateName[] = ['closing', 'stopped']

const deadlineLeaves = (model: Model, state: State): boolean =>
  leafOf(state.snapshot).after.some(({ eventType }) => happen(model, state, { type: eventType }).name !== nameOf(state))

const hasDeadline: Rule = (model) =>
  statesOf(model)
    .filter((state) => !watched.includes(nameOf(state)) && !resting.includes(nameOf(state)))
    .filter((state) => !deadlineLeaves(model, state))
    .map(({ key }) => `${key} has no deadline of its own`)

const isWatched: Rule = (model) =>
  statesOf(model, watched).flatMap((state) => {
    const { name, after } = happen(model, state, { type: 'heartbeat.missed' })
    const noticed = name === 'degraded.suspect' && leafOf(after).after.length > 0
    return noticed && runningIn(state.snapshot).includes('heartbeat') ? [] : [`${state.key} is not watched`]
  })

const sendsOnlyLive: Rule = (model) =>
  statesOf(model)
    .filter((state) => state.snapshot.hasTag('sendable') !== (nameOf(state) === 'live'))
    .map(({ key }) => `${key} is wrongly sendable or not`)

const same = (a: Spent, b: Spent): boolean => JSON.stringify(a) === JSON.stringify(b)

/** What may have been spent after an edge, by the declared rules and no other. */
const spentAfter = ({ from, event, after }: Edge): Spent => {
  const { spent } = contextOf(from.snapshot)
  const enters = stateName(after.value) === 'backoff' && nameOf(from) !== 'backoff'
  if (enters) return spend(spent, curveOf(contextOf(after).fault))
  return event.type.startsWith('xstate.after.provenAfter.') || event.type === 'operator.resume' ? nothingSpent : spent
}

const spendsByRule: Rule = (model) =>
  model.graph.edges
    .filter((edge) => !same(contextOf(edge.after).spent, spentAfter(edge)))
    .map(({ from, event }) => `${from.key} on ${label(event)} miscounts`)

const spendingGrows: Rule = (model) =>
  model.graph.edges
    .filter(({ to }) => nameOf(to) === 'backoff')
    .filter(({ from }) => nameOf(from) !== 'backoff')
    .filter(({ after }) => attemptOf(contextOf(after).spent) < 2)
    .map(({ from, event }) => `${from.key} on ${label(event)} waits without having spent anything`)

/** Who may dial: a link that waited, or a person who resumed it. */
const dialsOnlyAfterWaiting: Rule = (model) =>
  model.graph.edges.flatMap(({ from, event, to }) => {
    const [a, b] = [nameOf(from), nameOf(to)]
    const shortcut =
      (b === 'resolving' && a !== 'backoff' && !(a === 'parked' && event.type === 'operator.resume')) ||
      (b === 'connecting' && a !== 'resolving')
    return shortcut ? [`${from.key} on ${label(event)} dials without waiting`] : []
  })

const ends = ['operator.stop', 'lease.lost']
const orders = [...ends, 'operator.hold']

/** What each state listens to. Everything else is inert there, time and endings of other states included. */
const hears: Record<StateName, readonly string[]> = {
  resolving: ['endpoint.resolved', 'endpoint.failed', ...orders],
  connecting: ['transport.opened', 'transport.lost', ...orders],
  handshaking: ['peer.welcomed', 'transport.lost', ...orders],
  registered: ['replay.completed', 'account.impaired', 'transport.lost', ...orders],
  live: ['heartbeat.missed', 'account.impaired', 'transport.lost', ...orders],
  'degraded.suspect': ['heartbeat.seen', 'account.impaired', 'account.recovered', 'transport.lost', ...orders],
  'degraded.impaired': ['heartbeat.missed', 'account.impaired', 'account.recovered', 'transport.lost', ...orders],
  backoff: ['dial.invited', ...orders],
  closing: ['transport.lost', ...ends],
  parked: ['operator.resume', ...ends],
  stopped: [],
}

/** A fault that is none must not end the link. */
const malformedIsSurvived: Rule = (model) =>
  stateNames.flatMap((name) =>
    faultBearing.flatMap((type) =>
      [{ type }, ...malformedFaults.map((fault) => ({ type, fault }))].flatMap((event: EventObject) => {
        const state = statesOf(model, [name])[0]
        if (!state || name === 'stopped') return []
        try {
          const { after } = happen(model, state, event)
          const allowed = after === state.snapshot || hears[name].includes(type)
          return after.status !== 'error' && allowed ? [] : [`${name} is broken by ${JSON.stringify(event)}`]
        } catch {
          return [`${name} throws on ${JSON.stringify(event)}`]
        }
      }),
    ),
  )

/** The least and the most of each wait, by the promise that hangs on it. */
const bounds: Record<Deadline | 'backoffDelay', readonly [number, number]> = {
  // Long enough for a slow resolver, short enough to try another way within a minute.
  resolveDeadline: [5_000, 15_000],
  // Three SYNs take 7 s when two are lost.
  connectDeadline: [7_000, 15_000],
  handshakeDeadline: [10_000, 20_000],
  replayDeadline: [10_000, 20_000],
  // Half-open is detected within 4 s when a message awaits its answer.
  suspectGrace: [1_000, 4_000],
  // 86,400 s / (0.9 × 1,000 session starts a day) = 96 s.
  provenAfter: [96_000, 180_000],
  closeDeadline: [1_000, 5_000],
  // From the unluckiest first draw to the longest that a peer may ask for, plus 10 %.
  backoffDelay: [187, 4_320_000],
}

const crowd = Array.from({ length: 20 }, (_, i) => `link-${i}`)

/** Links that fell together must not return together. */
const crowdSpreads: Rule = (model) =>
  statesOf(model, ['backoff']).flatMap(({ key, snapshot }) => {
    const waits = crowd.map((id) => waitOf(model, 'backoffDelay', { ...contextOf(snapshot), id }))
    return new Set(waits).size > crowd.length / 2 ? [] : [`${key}: links wait in step`]
  })

/** Live is entered on proof that the peer speaks to us, never by an order or by time. */
const liveByProof: Rule = (model) => {
  const proofs = ['replay.completed', 'heartbeat.seen', 'account.recovered']
  return model.graph.edges
    .filter(({ from, to }) => nameOf(to) === 'live' && nameOf(from) !== 'live')
    .filter(({ from, event }) => !proofs.includes(event.type) || !inSession.some((name) => name === nameOf(from)))
    .map(({ from, event }) => `${from.key} goes live on ${label(event)}`)
}

const named = (x: unknown): string => (typeof x === 'string' ? x : String((x as { type?: unknown }).type))

/** A name that no state uses and an arrow that no step takes are mistakes, or dead weight. */
const nothingIsDead: Rule = (model) => {
  const nodes = nodesOf(model.machine.root)
  const arrows = nodes.flatMap((node) => [...node.transitions.values()].flat())
  const used = new Set([
    ...arrows.flatMap(({ actions, guard }) => [...actions, ...(guard ? [guard] : [])].map(named)),
    ...nodes.flatMap(({ entry }) => entry.map(named)),
    ...nodes.flatMap(({ after }) => after.map(({ delay }) => String(delay))),
    ...nodes.flatMap(({ invoke }) => invoke.map(({ src }) => String(src))),
  ])
  const declared = Object.values(model.machine.implementations).flatMap((table) => Object.keys(table))
  const reached = new Set(statesOf(model).map(nameOf))
  return [
    ...declared.filter((name) => !used.has(name)).map((name) => `${name} is declared and never used`),
    ...stateNames.filter((name) => !reached.has(name)).map((name) => `${name} is never reached`),
    ...arrows
      .filter((arrow) => !model.graph.arrows.has(arrow))
      .map(({ source, eventType }) => `the arrow ${eventType} of ${source.id} is never taken`),
  ]
}

const saysWhy: Rule = (model) =>
  statesOf(model, ['backoff', 'parked', 'degraded.impaired'])
    .filter(({ snapshot }) => contextOf(snapshot).fault === null)
    .map(({ key }) => `${key} has no fault to show`)

const isNoOrder = ({ event }: Edge): boolean => !event.type.startsWith('operator.')

const isLive = (state: State): boolean => nameOf(state) === 'live'

const liveIsReachable: Rule = (model) => {
  const hopeful = reaching(model.graph, isLive, isNoOrder)
  return statesOf(model)
    .filter((state) => !resting.includes(nameOf(state)) && !leaving.includes(nameOf(state)))
    .filter((state) => !hopeful.has(state))
    .map(({ key }) => `${key} never gets live by itself`)
}

/** What a healthy world says in each state. In backoff it says nothing: there, time passes. */
const healthy: Partial<Record<StateName, string>> = {
  resolving: 'endpoint.resolved',
  connecting: 'transport.opened',
  handshaking: 'peer.welcomed',
  registered: 'replay.completed',
  'degraded.suspect': 'heartbeat.seen',
  'degraded.impaired': 'account.recovered',
}

const isTime = ({ event }: Edge): boolean => event.type.startsWith('xstate.after.')

/** A trap under {time, health} that does not contain live is a livelock: busy for ever, and of no use. */
const noLivelock: Rule = (model) =>
  traps(model.graph, (edge) => isTime(edge) || healthy[nameOf(edge.from)] === edge.event.type)
    .filter((trap) => !trap.some(isLive))
    .filter((trap) => !trap.every((state) => resting.includes(nameOf(state))))
    .map((trap) => `caught among ${trap.map(({ key }) => key).join(', ')}`)

/** Resolving, connecting, handshaking, registered, live: with one wait before them, and never more. */
const HEALTHY_STEPS_MAX = 5

const healthIsEnough: Rule = (model) =>
  statesOf(model)
    .filter((state) => !resting.includes(nameOf(state)) && !leaving.includes(nameOf(state)))
    .filter((state) => {
      let at = state.snapshot
      for (let i = 0; i < HEALTHY_STEPS_MAX && stateName(at.value) !== 'live'; i++) {
        const type = healthy[stateName(at.value)] ?? leafOf(at).after[0]?.eventType
        if (type === undefined) return true
        at = model.step(at, { type })
      }
      return stateName(at.value) !== 'live'
    })
    .map(({ key }) => `${key} is not live after ${HEALTHY_STEPS_MAX} healthy steps`)

const deservesParking = ({ from, event }: Edge): boolean => {
  if (event.type === 'operator.hold') return true
  if (!['transport.lost', 'endpoint.failed'].includes(event.type)) return false
  const kind = kindIn((event as unknown as { fault: Fault }).fault)
  return kind === 'fatal' || (kind === 'doubtful' && kindIn(contextOf(from.snapshot).fault) === 'doubtful')
}

const restsForCause: Rule = (model) =>
  model.graph.edges.flatMap((edge) => {
    const [a, b] = [nameOf(edge.from), nameOf(edge.to)]
    const asked = edge.event.type === 'operator.stop'
    const wrong =
      (b === 'parked' && a !== 'parked' && !deservesParking(edge)) ||
      (b === 'stopped' && a !== 'closing' && !asked && edge.event.type !== 'lease.lost') ||
      (b === 'closing' && a !== 'closing' && !asked) ||
      (a === 'closing' && !leaving.includes(b))
    return wrong ? [`${edge.from.key} on ${label(edge.event)} goes to ${b}`] : []
  })

const resumedGetsLive: Rule = (model) =>
  statesOf(model, ['parked']).flatMap((state) => {
    const { name } = happen(model, state, { type: 'operator.resume' })
    return name === 'resolving' ? [] : [`${state.key} is resumed into ${name}`]
  })

export const linkRules = {
  'HF-S4': hasDeadline,
  'HF-S5': isWatched,
  'HF-S7': sendsOnlyLive,
  'HF-S8': (model) => [...spendsByRule(model), ...spendingGrows(model)],
  'HF-S9': dialsOnlyAfterWaiting,
  'HF-S10': unexpectedIsInert(hears),
  'HF-S12': waitsAreBounded(bounds, { delay: 'backoffDelay' }),
  'HF-S13': liveByProof,
  'HF-S14': nothingIsDead,
  'HF-S15': saysWhy,
  'HF-S16': malformedIsSurvived,
  'HF-S17': crowdSpreads,
  'HF-L1': healthIsEnough,
  'HF-L2': (model) => [...liveIsReachable(model), ...noLivelock(model)],
  'HF-L3': restsForCause,
  'HF-L4': resumedGetsLive,
  ...responseRules,
} satisfies Record<string, Rule>

export type RuleNumber = keyof typeof linkRules
