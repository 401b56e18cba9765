/** The numbered rules of a breaker that no run may break. What they mean: docs/rules.md. */
import { type AnyActorRef, type AnyStateNode, createActor, type EventObject } from 'xstate'
import { type BreakerContext, type breakerDeadlines, WINDOW_MAX } from '../../machines/breaker.ts'
import { curveOf, deadlines, nothingSpent, type Spent, spend, TIMER_MAX_MS } from '../../machines/delay.ts'
import type { Fault } from '../../machines/fault.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { type BreakerName, breakerName, breakerNames, contextIn, input, lost } from './breaker-model.ts'
import {
  type Bounds,
  fact,
  type Happening,
  judgeOf,
  label,
  leafOf,
  malformedFaults,
  type Rule,
  waitOf,
  waitsAreBounded,
} from './judge.ts'
import { type Model, runningIn, samples } from './link-model.ts'
import { type Edge, endingOf, nodesOf, reaching, type Snapshot, traps } from './walk.ts'

const { nameOf, statesOf, happen, whenIn, leadsTo, unexpectedIsInert } = judgeOf<BreakerName, BreakerContext>(
  breakerName,
)

type Case = Happening<BreakerName, BreakerContext>

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const keepsAll = ({ before, context }: Case): string | false => !same(before, context) && 'the context changed'

/** Each deadline: in which state, and where it leads. */
const timeouts: readonly (readonly [BreakerName, keyof typeof breakerDeadlines | 'scoutDelay', BreakerName])[] = [
  ['closed', 'provenAfter', 'closed'],
  ['open', 'scoutDelay', 'probing'],
  ['probing', 'probeDeadline', 'open'],
  ['ramping', 'rampDeadline', 'open'],
]

const timeoutsLead: Rule = (model) =>
  breakerNames.flatMap((name) => {
    const state = statesOf(model, [name])[0]
    if (!state) return [`${name} is never reached`]
    const nodes = state.snapshot._nodes as AnyStateNode[]
    const own = nodes.flatMap(({ after }) => after.map(({ delay }) => String(delay)))
    const due = timeouts.filter(([where]) => where === name)
    const strays = own.join() === due.map(([, delay]) => delay).join() ? [] : [`${name} has the deadlines [${own}]`]
    const wrong = due.flatMap(([, delay, to]) =>
      whenIn(model, [name], [fact(`xstate.after.${delay}.${leafOf(state.snapshot).id}`)], leadsTo(to)),
    )
    return [...strays, ...wrong]
  })

/** Nobody has to get in, and no activity has to end. */
const isUnlucky = ({ event }: Edge): boolean =>
  event.type !== 'endpoint.answered' &&
  !event.type.startsWith('xstate.done.') &&
  !event.type.startsWith('xstate.error.')

const unreachable = (model: Model, goal: BreakerName, admits: (edge: Edge) => boolean, from = statesOf(model)) => {
  const hopeful = reaching(model.graph, (state) => nameOf(state) === goal, admits)
  return from.filter((state) => !hopeful.has(state)).map(({ key }) => `${key} never gets to ${goal}`)
}

/** What a healthy endpoint says: the scout gets through, then all the others do, and then nobody waits any more. */
const healthy: Partial<Record<BreakerName, readonly string[]>> = {
  probing: ['endpoint.answered'],
  ramping: ['endpoint.answered', 'queue.emptied'],
}

const isHealthy = ({ from, event }: Edge): boolean => healthy[nameOf(from)]?.includes(event.type) ?? false

const isTime = ({ event }: Edge): boolean => event.type.startsWith('xstate.after.')

/** Where the endpoint is asked nothing, time passes; where it is asked, it answers first. */
const inHealth = (edge: Edge): boolean => isHealthy(edge) || (!(nameOf(edge.from) in healthy) && isTime(edge))

const healthHeals: Rule = (model) => [
  ...unreachable(model, 'ramping', inHealth, statesOf(model, ['open', 'probing'])),
  ...unreachable(model, 'closed', inHealth),
]

/** A trap under {time, health} that does not contain closed is a livelock: busy for ever, and of no use. */
const noLivelock: Rule = (model) =>
  traps(model.graph, (edge) => isHealthy(edge) || isTime(edge))
    .filter((trap) => !trap.every((state) => nameOf(state) === 'closed'))
    .map((trap) => `caught among ${trap.map(({ key }) => key).join(', ')}`)

const activities: Record<BreakerName, readonly string[]> = {
  closed: [],
  open: [],
  probing: ['scout'],
  ramping: ['inviter'],
}

const activitiesBelong: Rule = (model) =>
  statesOf(model)
    .filter((state) => !same(runningIn(state.snapshot), activities[nameOf(state)]))
    .map(({ key, snapshot }) => `${key} runs [${runningIn(snapshot)}]`)

/** An activity that is begun anew under way would be a second scout. */
const activitiesLast: Rule = (model) =>
  model.graph.edges.flatMap(({ from, event, after }) =>
    Object.entries(after.children as Record<string, AnyActorRef>).flatMap(([id, child]) => {
      if (child === from.snapshot.children[id]) return []
      if (id in from.snapshot.children) return [`${from.key} on ${event.type} restarts ${child.src}`]
      const told = (child as unknown as { options: { input?: unknown } }).options.input
      return same(told, input) ? [] : [`${child.src} is told ${JSON.stringify(told)}`]
    }),
  )

const endingsMoveOn: Rule = (model) => {
  const ended = (id: string) => [fact(endingOf('done', id)), fact(endingOf('error', id))]
  return [
    ...whenIn(model, ['probing'], ended('scout'), leadsTo('open')),
    ...whenIn(model, ['ramping'], ended('inviter'), leadsTo('closed')),
  ]
}

const notes = ({ event, context }: Case): string | false =>
  context.fault !== (event as unknown as { fault: Fault }).fault && 'the fault is not noted'

const lossOpens: Rule = (model) => [
  ...whenIn(model, ['closed', 'probing', 'ramping'], lost, leadsTo('open', notes)),
  ...whenIn(model, ['open'], lost, leadsTo('open', keepsAll)),
]

const answered = [fact('endpoint.answered')]

const answerRamps: Rule = (model) => [
  ...whenIn(model, ['open', 'probing'], answered, leadsTo('ramping')),
  ...whenIn(model, ['ramping'], answered, leadsTo('ramping')),
  ...whenIn(model, ['closed'], answered, leadsTo('closed', keepsAll)),
]

/** What the window may be after an edge, by the declared rules and no other. */
const windowAfter = ({ from, event: { type }, after }: Edge): number => {
  const { window } = contextIn(from.snapshot)
  if (breakerName(after.value) !== 'ramping') return window
  if (nameOf(from) !== 'ramping') return 1
  if (type === 'endpoint.answered') return Math.min(WINDOW_MAX, window * 2)
  return type === 'dial.failed' ? Math.max(1, window / 2) : window
}

const windowMoves: Rule = (model) => {
  const wrong = model.graph.edges
    .filter((edge) => contextIn(edge.after).window !== windowAfter(edge))
    .map(({ from, event }) => `${from.key} on ${label(event)} has the wrong window`)
  const inert = statesOf(model, ['ramping']).flatMap((state) =>
    ['endpoint.answered', 'dial.failed'].flatMap((type) => {
      const { after, context } = happen(model, state, fact(type))
      const due = windowAfter({ from: state, event: fact(type), to: state, after })
      return context.window === due ? [] : [`${state.key} on ${type} has the window ${context.window}`]
    }),
  )
  const windows = new Set(statesOf(model, ['ramping']).map(({ snapshot }) => contextIn(snapshot).window))
  const all = [1, 2, 4, 8, 16, 32]
  return [...wrong, ...inert, ...all.filter((n) => !windows.has(n)).map((n) => `the window is never ${n}`)]
}

const spentAfter = ({ from, event, after }: Edge): Spent => {
  const { spent } = contextIn(from.snapshot)
  if (breakerName(after.value) === 'open') return nameOf(from) === 'open' ? spent : spendOn(spent, after)
  return event.type.startsWith('xstate.after.provenAfter.') ? nothingSpent : spent
}

const spendOn = (spent: Spent, after: Snapshot): Spent => spend(spent, curveOf(contextIn(after).fault))

const spendsByRule: Rule = (model) => [
  ...model.graph.edges
    .filter((edge) => !same(contextIn(edge.after).spent, spentAfter(edge)))
    .map(({ from, event }) => `${from.key} on ${label(event)} miscounts`),
  ...whenIn(model, ['closed'], [fact('xstate.after.provenAfter.breaker.closed')], ({ context }) =>
    same(context.spent, nothingSpent) ? false : 'it is not forgiven',
  ),
]

/** The least and the most of each wait, by the promise that hangs on it. */
const dialMs = deadlines.resolveDeadline + deadlines.connectDeadline + deadlines.handshakeDeadline
const bounds: Bounds = {
  // A scout is not forgotten before its dial has come to an end by itself.
  probeDeadline: [dialMs, 2 * dialMs],
  rampDeadline: [dialMs, 2 * dialMs],
  provenAfter: [96_000, 180_000],
  // From the unluckiest first draw to the longest that a peer may ask for, plus 10 %.
  scoutDelay: [187, 4_320_000],
}

const hears: Record<BreakerName, readonly string[]> = {
  closed: ['endpoint.lost', 'queue.filled'],
  open: ['endpoint.answered', 'queue.emptied'],
  probing: ['endpoint.answered', 'endpoint.lost', 'queue.emptied'],
  ramping: ['endpoint.answered', 'endpoint.lost', 'dial.failed', 'queue.emptied'],
}

/** Whatever is called a fault is either noted as one or as unknown, and the next scout has a time to go at. */
const malformedIsSurvived: Rule = (model) =>
  breakerNames.flatMap((name) =>
    [{ type: 'endpoint.lost' }, ...malformedFaults.map((fault) => ({ type: 'endpoint.lost', fault }))].flatMap(
      (event) => {
        const state = statesOf(model, [name])[0]
        if (!state) return []
        try {
          const { after, context } = happen(model, state, event)
          const noted = name === 'open' || context.fault?.code === 'unknown'
          const goes = Number.isInteger(waitOf(model, 'scoutDelay', context))
          return after.status === 'active' && noted && goes ? [] : [`${name} is broken by ${JSON.stringify(event)}`]
        } catch {
          return [`${name} throws on ${JSON.stringify(event)}`]
        }
      },
    ),
  )

const named = (x: unknown): string => (typeof x === 'string' ? x : String((x as { type?: unknown }).type))

/** A name that no state uses and an arrow that no step takes are mistakes, or dead weight. */
const nothingIsDead: Rule = (model) => {
  const nodes = nodesOf(model.machine.root)
  const arrows = nodes.flatMap((node) => [...node.transitions.values()].flat())
  const used = new Set([
    ...arrows.flatMap(({ actions }) => actions.map(named)),
    ...nodes.flatMap(({ entry }) => entry.map(named)),
    ...nodes.flatMap(({ after }) => after.map(({ delay }) => String(delay))),
    ...nodes.flatMap(({ invoke }) => invoke.map(({ src }) => String(src))),
  ])
  const declared = Object.values(model.machine.implementations).flatMap((table) => Object.keys(table))
  const reached = new Set(statesOf(model).map(nameOf))
  return [
    ...declared.filter((name) => !used.has(name)).map((name) => `${name} is declared and never used`),
    ...breakerNames.filter((name) => !reached.has(name)).map((name) => `${name} is never reached`),
    ...arrows
      .filter((arrow) => !model.graph.arrows.has(arrow))
      .map(({ source, eventType }) => `the arrow ${eventType} of ${source.id} is never taken`),
  ]
}

const emptiedCloses: Rule = (model) =>
  whenIn(model, ['open', 'probing', 'ramping'], [fact('queue.emptied')], leadsTo('closed', keepsAll))

const filledProbes: Rule = (model) => whenIn(model, ['closed'], [fact('queue.filled')], leadsTo('probing', keepsAll))

/** Told in real transitions: that a deadline is begun anew is all that an arrow back to its own state does. */
const successRestartsDeadline: Rule = (model) => {
  const clock = heapClock()
  const timers = { setTimeout: clock.setTimeout, clearTimeout: (timer: object) => clock.clearTimeout(timer) }
  const actor = createActor(model.machine, { input, clock: timers }).start()
  const nearly = waitOf(model, 'rampDeadline', actor.getSnapshot().context as BreakerContext) - 1
  if (!(nearly > 0 && nearly < TIMER_MAX_MS)) return [`rampDeadline is ${nearly}`]
  actor.send({ type: 'endpoint.lost', fault: samples[0] } as EventObject)
  actor.send(fact('endpoint.answered'))
  clock.advanceSync(nearly)
  actor.send(fact('endpoint.answered'))
  clock.advanceSync(nearly)
  const kept = breakerName(actor.getSnapshot().value)
  clock.advanceSync(1)
  const left = breakerName(actor.getSnapshot().value)
  actor.stop()
  return kept === 'ramping' && left === 'open' ? [] : [`from success to the deadline: ${kept}, then ${left}`]
}

const crowd = Array.from({ length: 20 }, (_, i) => `peer-${i}:443`)

const scoutsSpread: Rule = (model) =>
  statesOf(model, ['open']).flatMap(({ key, snapshot }) => {
    const waits = crowd.map((id) => waitOf(model, 'scoutDelay', { ...contextIn(snapshot), id }))
    return new Set(waits).size > crowd.length / 2 ? [] : [`${key}: scouts of different processes go in step`]
  })

const tagsOpen: Rule = (model) =>
  statesOf(model)
    .filter((state) => state.snapshot.hasTag('open') !== ['open', 'probing'].includes(nameOf(state)))
    .map(({ key }) => `${key} is wrongly open or not`)

const startsFresh: Rule = ({ graph: { initial } }) => {
  const due = { id: input.id, spent: nothingSpent, fault: null, window: 1 }
  return nameOf(initial) === 'closed' && same(contextIn(initial.snapshot), due) ? [] : [`starts as ${initial.key}`]
}

export const breakerRules = {
  'HF-B1': timeoutsLead,
  'HF-B2': (model) => unreachable(model, 'closed', isUnlucky),
  'HF-B3': (model) => [...healthHeals(model), ...noLivelock(model)],
  'HF-B4': (model) => [...activitiesBelong(model), ...activitiesLast(model), ...endingsMoveOn(model)],
  'HF-B5': lossOpens,
  'HF-B6': answerRamps,
  'HF-B7': windowMoves,
  'HF-B8': spendsByRule,
  'HF-B9': waitsAreBounded(bounds, { delay: 'scoutDelay' }),
  'HF-B10': unexpectedIsInert(hears),
  'HF-B11': malformedIsSurvived,
  'HF-B12': nothingIsDead,
  'HF-B13': emptiedCloses,
  'HF-B14': successRestartsDeadline,
  'HF-B15': scoutsSpread,
  'HF-B16': (model) => [...tagsOpen(model), ...startsFresh(model)],
  'HF-B21': filledProbes,
} satisfies Record<string, Rule>

export type BreakerRule = keyof typeof breakerRules
