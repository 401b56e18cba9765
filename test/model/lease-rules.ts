/** The numbered rules of a lease that no run may break. What they mean: docs/rules.md. */
import { type AnyActorRef, createActor, type EventObject } from 'xstate'
import { SPENT_MAX, TIMER_MAX_MS } from '../../machines/delay.ts'
import type { FaultCode } from '../../machines/fault.ts'
import {
  type LeaseContext,
  type LeaseState,
  type leaseMachine,
  leaseState,
  leaseStateNames,
  leaseTimes,
} from '../../machines/lease.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import {
  type Bounds,
  delaysOf,
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
import { contextIn, input } from './lease-model.ts'
import { type Model, runningIn, samples } from './link-model.ts'
import { type Edge, endingOf, nodesOf, reaching, type State, traps } from './walk.ts'

const { nameOf, statesOf, happen, whenIn, leadsTo, unexpectedIsInert } = judgeOf<LeaseState, LeaseContext>(leaseState)

type Case = Happening<LeaseState, LeaseContext>
type Verdict = (happening: Case) => string | false

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const keepsAll: Verdict = ({ before, context }) => !same(before, context) && 'the context changed'

/** Exactly this, with nothing of what went wrong before. */
const blames =
  (code: FaultCode): Verdict =>
  ({ context: { fault } }) =>
    !same(fault, { code }) && `blames ${JSON.stringify(fault)}, not ${code}`

const notesIts: Verdict = ({ event, context: { fault } }) =>
  fault !== (event as unknown as { fault: unknown }).fault && 'the fault is not noted'

const owned: readonly LeaseState[] = ['serving', 'yielding', 'closing']
const isOwned = (name: LeaseState): boolean => owned.includes(name)
const nameAfter = ({ after }: Edge): LeaseState => leaseState(after.value)
const told = ({ from, event }: Edge): string => `${from.key} on ${label(event)}`

type Delay = keyof typeof leaseMachine.implementations.delays

/** Each deadline: in which state, and what it does. */
const timeouts: Partial<Record<LeaseState, readonly [delay: string, verdict: Verdict]>> = {
  looking: ['lookDeadline', leadsTo('backoff', blames('lease-store-failed'))],
  standby: ['takeoverDelay', leadsTo('claiming', keepsAll)],
  claiming: ['claimDeadline', leadsTo('backoff', blames('lease-store-failed'))],
  serving: ['fenceDelay', leadsTo('backoff', blames('lease-expired'))],
  yielding: ['fenceDelay', leadsTo('aside', keepsAll)],
  closing: ['fenceDelay', leadsTo('stopped', keepsAll)],
  backoff: ['storeDelay', leadsTo('looking', keepsAll)],
  aside: ['asideDelay', leadsTo('looking', keepsAll)],
}

const timeIn = (state: State, delay: string): EventObject => fact(`xstate.after.${delay}.${leafOf(state.snapshot).id}`)

const timeoutsLead: Rule = (model) =>
  leaseStateNames.flatMap((name) => {
    const state = statesOf(model, [name])[0]
    if (!state) return [`${name} is never reached`]
    const [delay, verdict] = timeouts[name] ?? []
    const due = delay === undefined ? [] : [delay]
    return [
      ...(same(delaysOf(state), due) ? [] : [`${name} has the deadlines [${delaysOf(state)}]`]),
      ...due.flatMap((each) => whenIn(model, [name], [timeIn(state, each)], verdict!)),
    ]
  })

const activities: Record<LeaseState, readonly string[]> = {
  looking: ['reader'],
  standby: ['watcher'],
  claiming: ['claimer'],
  serving: ['keeper', 'tenant'],
  yielding: ['tenant', 'yielder'],
  closing: ['tenant', 'yielder'],
  backoff: [],
  aside: [],
  stopped: [],
}

/** The link is there where it is owned, and nowhere else, and nothing that happens in between makes it anew. */
const linkLasts: Rule = (model) => [
  ...statesOf(model)
    .filter((state) => runningIn(state.snapshot).includes('tenant') !== isOwned(nameOf(state)))
    .map(({ key }) => `${key} has a link, or has none`),
  ...model.graph.edges
    .filter((edge) => isOwned(nameOf(edge.from)) && isOwned(nameAfter(edge)))
    .filter(({ from, after }) => from.snapshot.children.tenant !== after.children.tenant)
    .map((edge) => `${told(edge)} makes the link anew`),
]

/** What begins its state anew, and the activity with it. */
const renewing: Partial<Record<LeaseState, string>> = { standby: 'lease.found', serving: 'lease.renewed' }

const activitiesBelong: Rule = (model) => [
  ...statesOf(model)
    .filter((state) => !same(runningIn(state.snapshot), activities[nameOf(state)]))
    .map(({ key, snapshot }) => `${key} runs [${runningIn(snapshot)}]`),
  ...model.graph.edges.flatMap((edge) => {
    const { from, event, after } = edge
    const stays = nameOf(from) === nameAfter(edge) && event.type !== renewing[nameOf(from)]
    return Object.entries(after.children as Record<string, AnyActorRef>).flatMap(([id, child]) => {
      const before = from.snapshot.children[id] as AnyActorRef | undefined
      if (child === before) return []
      if (before && stays) return [`${told(edge)} restarts ${id}`]
      const given = (child as unknown as { options: { input?: unknown } }).options.input
      return same(given, input) ? [] : [`${id} is told ${JSON.stringify(given)}`]
    })
  }),
]

const ended = (...ids: string[]) => ids.flatMap((id) => [fact(endingOf('done', id)), fact(endingOf('error', id))])

const endingsMoveOn: Rule = (model) => {
  const goesOn = leadsTo('backoff', blames('engine-failed'))
  return [
    ...whenIn(model, ['looking'], ended('reader'), goesOn),
    ...whenIn(model, ['standby'], ended('watcher'), goesOn),
    ...whenIn(model, ['claiming'], ended('claimer'), goesOn),
    ...whenIn(model, ['serving'], ended('keeper', 'tenant'), goesOn),
    ...whenIn(model, ['yielding'], ended('yielder'), leadsTo('aside', keepsAll)),
    ...whenIn(model, ['closing'], ended('yielder'), leadsTo('stopped', keepsAll)),
    // a link that is handed over may end before the record is given away
    ...whenIn(model, ['yielding'], ended('tenant'), leadsTo('yielding', keepsAll)),
    ...whenIn(model, ['closing'], ended('tenant'), leadsTo('closing', keepsAll)),
  ]
}

const ownedByGrant: Rule = (model) => {
  const isClean: Verdict = ({ before, context }) =>
    !same(context, { ...before, fault: null }) && 'an old fault stays, or what has failed is forgotten'
  return [
    ...model.graph.edges
      .filter((edge) => isOwned(nameAfter(edge)) && !isOwned(nameOf(edge.from)))
      .filter(({ from, event }) => nameOf(from) !== 'claiming' || event.type !== 'lease.granted')
      .map((edge) => `${told(edge)} owns the link`),
    ...whenIn(model, ['claiming'], [fact('lease.granted')], leadsTo('serving', isClean)),
  ]
}

/** Told in real transitions: that a deadline is begun anew is all that an arrow back to its own state does. */
const beginsAnew = (model: Model, way: readonly string[], delay: Delay, again: string, to: LeaseState): string[] => {
  const clock = heapClock()
  const timers = { setTimeout: clock.setTimeout, clearTimeout: (timer: object) => clock.clearTimeout(timer) }
  const actor = createActor(model.machine, { input, clock: timers }).start()
  const nearly = waitOf(model, delay, actor.getSnapshot().context as LeaseContext) - 1
  if (!(nearly > 0 && nearly < TIMER_MAX_MS)) return [`${delay} is ${nearly}`]
  const name = () => leaseState(actor.getSnapshot().value)
  const send = (type: string) => actor.getSnapshot().status === 'active' && actor.send(fact(type))
  for (const type of way) send(type)
  const first = name()
  clock.advanceSync(nearly)
  send(again)
  clock.advanceSync(nearly)
  const kept = name()
  clock.advanceSync(1)
  const left = name()
  actor.stop()
  return kept === first && left === to ? [] : [`${delay} after ${again}: ${first}, then ${kept}, then ${left}`]
}

const fenceIsRenewed: Rule = (model) => [
  ...statesOf(model, owned)
    .filter((state) => !same(delaysOf(state), ['fenceDelay']))
    .map(({ key }) => `${key} is not on the fence`),
  ...beginsAnew(model, ['lease.vacated', 'lease.granted'], 'fenceDelay', 'lease.renewed', 'backoff'),
  ...model.graph.edges
    .filter(({ event }) => event.type === 'lease.renewed')
    .filter((edge) => nameOf(edge.from) !== 'serving' || nameAfter(edge) !== 'serving')
    .map((edge) => `${told(edge)} goes to ${nameAfter(edge)}`),
  ...whenIn(model, ['serving'], [fact('lease.renewed')], leadsTo('serving', isForgiven)),
]

const isForgiven: Verdict = ({ context: { failed, fault } }) => (failed !== 0 || fault !== null) && 'it is not forgiven'

/** How `owned` is left: from where to where, and by what. */
const exits: readonly (readonly [from: LeaseState, to: LeaseState, by: RegExp])[] = [
  ['serving', 'looking', /^lease\.taken$/],
  ['serving', 'backoff', /^xstate\.(after\.fenceDelay|(done|error)\.actor\.(keeper|tenant))/],
  ['yielding', 'aside', /^xstate\.(after\.fenceDelay|(done|error)\.actor\.yielder)/],
  ['closing', 'stopped', /^xstate\.(after\.fenceDelay|(done|error)\.actor\.yielder)/],
]

const leavesOwned: Rule = (model) => {
  const isExit = (edge: Edge) =>
    exits.some(([from, to, by]) => nameOf(edge.from) === from && nameAfter(edge) === to && by.test(edge.event.type))
  return [
    ...model.graph.edges
      .filter((edge) => isOwned(nameOf(edge.from)) && !isOwned(nameAfter(edge)) && !isExit(edge))
      .map((edge) => `${told(edge)} leaves the link`),
    ...whenIn(model, ['serving'], [fact('lease.taken')], leadsTo('looking', blames('lease-taken'))),
    ...whenIn(model, ['serving'], [fact('link.ended')], leadsTo('closing', keepsAll)),
  ]
}

/** The two ways to a claim, and what begins the wait for it. */
const claimsInTurn: Rule = (model) => {
  const isTurn = ({ from, event: { type } }: Edge) =>
    type === 'lease.vacated'
      ? ['looking', 'standby'].includes(nameOf(from))
      : nameOf(from) === 'standby' && type.startsWith('xstate.after.takeoverDelay.')
  return [
    ...model.graph.edges
      .filter((edge) => nameAfter(edge) === 'claiming' && nameOf(edge.from) !== 'claiming' && !isTurn(edge))
      .map((edge) => `${told(edge)} claims`),
    ...whenIn(model, ['looking', 'standby'], [fact('lease.vacated')], leadsTo('claiming', keepsAll)),
    ...whenIn(model, ['looking'], [fact('lease.found')], leadsTo('standby', isForgiven)),
    ...whenIn(model, ['claiming'], [fact('lease.refused')], leadsTo('backoff', blames('lease-taken'))),
  ]
}

const sightBeginsAnew: Rule = (model) => [
  ...beginsAnew(model, ['lease.found'], 'takeoverDelay', 'lease.found', 'claiming'),
  ...whenIn(model, ['standby'], [fact('lease.found')], leadsTo('standby', isForgiven)),
]

const failuresOf = (type: string) => samples.map((fault) => ({ type, fault }))

const storeFailuresBackOff: Rule = (model) => [
  ...whenIn(model, ['looking', 'claiming'], failuresOf('store.failed'), leadsTo('backoff', notesIts)),
  ...statesOf(model, ['backoff'])
    .filter(({ snapshot }) => contextIn(snapshot).fault === null || contextIn(snapshot).failed === 0)
    .map(({ key }) => `${key} waits for no reason`),
]

/** The least and the most of each wait, by the promise that hangs on it. */
const bounds: Bounds = {
  // a store in three places has to elect a leader now and then
  lookDeadline: [2_000, 10_000],
  // what is granted at the last moment is still of use
  claimDeadline: [2_000, leaseTimes.ttlMs / 2],
  // a link is back 17 s after its owner's death, and a second is for the claim
  takeoverDelay: [1.02 * leaseTimes.ttlMs, 16_000],
  // two renewals may be lost; a second to stop in, and a second to be late
  fenceDelay: [leaseTimes.ttlMs / 2, 0.98 * leaseTimes.ttlMs - 2_000],
  storeDelay: [750, 12_000],
  asideDelay: [10_000, 130_000],
}
const boundedWaits = waitsAreBounded(bounds, undefined, [{}, { failed: SPENT_MAX }])

const worked = { backoff: 'storeDelay', aside: 'asideDelay' } as const satisfies Partial<Record<LeaseState, Delay>>
const crowd = Array.from({ length: 20 }, (_, i) => `bot-${i}`)

const waitsGrowAndSpread: Rule = (model) =>
  Object.entries(worked).flatMap(([name, delay]) =>
    statesOf(model, [name as LeaseState]).flatMap(({ key, snapshot }) => {
      const wait = (change: Partial<LeaseContext>) => waitOf(model, delay, { ...contextIn(snapshot), ...change })
      const waits = new Set(crowd.map((id) => wait({ id, failed: 6 })))
      return [
        ...(wait({ failed: 6 }) > 2 * wait({ failed: 1 }) ? [] : [`${key} does not wait longer and longer`]),
        ...(waits.size > crowd.length / 2 ? [] : [`${key}: leases go in step`]),
      ]
    }),
  )

const isTime = ({ event }: Edge): boolean => event.type.startsWith('xstate.after.')

type World = Partial<Record<LeaseState, string>>

/** A store that answers, and a link that stays up. */
const wellMeant: World = {
  claiming: 'lease.granted',
  serving: 'lease.renewed',
  yielding: endingOf('done', 'yielder'),
  closing: endingOf('done', 'yielder'),
}

/** What may be true of the owner besides; where a world says nothing, time passes. */
const healthy: Readonly<Record<string, World>> = {
  'there is no owner': { ...wellMeant, looking: 'lease.vacated' },
  'the owner dies': { ...wellMeant, looking: 'lease.found' },
  'the owner yields': { ...wellMeant, looking: 'lease.found', standby: 'lease.vacated' },
}

const within =
  (world: World) =>
  (edge: Edge): boolean => {
    const due = world[nameOf(edge.from)]
    return due === undefined ? isTime(edge) : edge.event.type === due
  }

const unreachable = (model: Model, goals: readonly LeaseState[], admits: (edge: Edge) => boolean, from: State[]) => {
  const hopeful = reaching(model.graph, (state) => goals.includes(nameOf(state)), admits)
  return from.filter((state) => !hopeful.has(state)).map(({ key }) => `${key} never gets to ${goals.join(' or ')}`)
}

/** A world lets one thing happen in each state, so what can be reached there is reached. */
const healthHeals: Rule = (model) => {
  const willing = statesOf(model).filter((state) => !['closing', 'stopped'].includes(nameOf(state)))
  return Object.entries(healthy).flatMap(([name, world]) =>
    [
      ...unreachable(model, ['serving'], within(world), willing),
      ...unreachable(model, ['stopped'], within(world), statesOf(model, ['closing'])),
    ].map((wrong) => `${name}: ${wrong}`),
  )
}

/** Where nothing ever answers it asks again and again; and where things go well now and then, nothing holds it for ever. */
const noLivelock: Rule = (model) => [
  ...unreachable(model, ['looking', 'stopped'], isTime, statesOf(model)),
  ...traps(model.graph, (edge) => isTime(edge) || Object.values(healthy).some((world) => within(world)(edge)))
    .filter((trap) => !trap.some((state) => ['serving', 'stopped'].includes(nameOf(state))))
    .map((trap) => `caught among ${trap.map(({ key }) => key).join(', ')}`),
]

const stop = [fact('operator.stop')]

const stopsForGood: Rule = (model) => [
  ...whenIn(model, owned, stop, leadsTo('closing', keepsAll)),
  ...whenIn(model, ['looking', 'standby', 'claiming', 'backoff', 'aside'], stop, leadsTo('stopped', keepsAll)),
  ...model.graph.edges
    .filter((edge) => nameOf(edge.from) === 'closing' && !['closing', 'stopped'].includes(nameAfter(edge)))
    .map((edge) => `${told(edge)} comes back`),
  ...unreachable(model, ['stopped'], (edge) => edge.event.type === 'operator.stop' || isTime(edge), statesOf(model)),
]

const stepsAside: Rule = (model) => {
  const isCounted: Verdict = ({ before, context }) => context.failed !== before.failed + 1 && 'it is not counted'
  const madeInVain: Verdict = (happening) => notesIts(happening) || isCounted(happening)
  return [
    ...whenIn(model, ['serving'], [fact('operator.yield')], leadsTo('yielding', keepsAll)),
    ...whenIn(model, ['serving'], failuresOf('link.failed'), leadsTo('yielding', madeInVain)),
    ...whenIn(model, ['aside'], [fact('operator.claim')], leadsTo('looking', keepsAll)),
    ...unreachable(model, ['looking'], isTime, statesOf(model, ['yielding', 'aside'])),
  ]
}

/** What has failed in a row after an edge, by the declared rules and no other. */
const failedAfter = (edge: Edge): number => {
  const { failed } = contextIn(edge.from.snapshot)
  const to = nameAfter(edge)
  const isFailure = (to === 'backoff' && nameOf(edge.from) !== 'backoff') || edge.event.type === 'link.failed'
  if (isFailure) return Math.min(failed + 1, SPENT_MAX)
  return to === 'standby' || edge.event.type === 'lease.renewed' ? 0 : failed
}

const countsByRule: Rule = (model) =>
  model.graph.edges
    .filter((edge) => contextIn(edge.after).failed !== failedAfter(edge))
    .map((edge) => `${told(edge)} miscounts`)

const hears: Record<LeaseState, readonly string[]> = {
  looking: ['lease.found', 'lease.vacated', 'store.failed', 'operator.stop'],
  standby: ['lease.found', 'lease.vacated', 'operator.stop'],
  claiming: ['lease.granted', 'lease.refused', 'store.failed', 'operator.stop'],
  serving: ['lease.renewed', 'lease.taken', 'link.ended', 'link.failed', 'operator.yield', 'operator.stop'],
  yielding: ['operator.stop'],
  closing: [],
  backoff: ['operator.stop'],
  aside: ['operator.claim', 'operator.stop'],
  stopped: [],
}

/** A store or a function of the user's may throw anything: it is noted as a fault or as unknown, and the wait is one. */
const malformedIsSurvived: Rule = (model) =>
  (
    [
      ['looking', 'store.failed', 'storeDelay'],
      ['claiming', 'store.failed', 'storeDelay'],
      ['serving', 'link.failed', 'asideDelay'],
    ] as const
  ).flatMap(([name, type, delay]) =>
    malformedFaults.flatMap((fault) => {
      const state = statesOf(model, [name])[0]
      if (!state) return [`${name} is never reached`]
      try {
        const { after, context } = happen(model, state, { type, fault } as never)
        const isNoted = same(context.fault, { code: 'unknown' })
        const goes = Number.isInteger(waitOf(model, delay, context))
        return after.status === 'active' && isNoted && goes ? [] : [`${name} is broken by ${JSON.stringify(fault)}`]
      } catch {
        return [`${name} throws on ${JSON.stringify(fault)}`]
      }
    }),
  )

const startsFresh: Rule = (model) => {
  const { initial } = model.graph
  const isFresh =
    nameOf(initial) === 'looking' && same(contextIn(initial.snapshot), { ...input, failed: 0, fault: null })
  const stale = statesOf(model, ['standby', 'serving']).filter(({ snapshot }) => contextIn(snapshot).fault !== null)
  const open = statesOf(model).filter((state) => (state.snapshot.status === 'done') !== (nameOf(state) === 'stopped'))
  return [
    ...(isFresh ? [] : [`starts as ${initial.key}`]),
    ...stale.map(({ key }) => `${key} is well, with an old fault`),
    ...open.map(({ key }) => `${key} is final or not`),
  ]
}

const named = (x: unknown): string => (typeof x === 'string' ? x : String((x as { type?: unknown }).type))

/** A name that no state uses and an arrow that no step takes are mistakes, or dead weight. */
const nothingIsDead: Rule = ({ machine, graph }) => {
  const nodes = nodesOf(machine.root)
  const arrows = nodes.flatMap((node) => [...node.transitions.values()].flat())
  const used = new Set([
    ...arrows.flatMap(({ actions }) => actions.map(named)),
    ...nodes.flatMap(({ entry }) => entry.map(named)),
    ...nodes.flatMap(({ after }) => after.map(({ delay }) => String(delay))),
    ...nodes.flatMap(({ invoke }) => invoke.map(({ src }) => String(src))),
  ])
  const declared = Object.values(machine.implementations).flatMap((table) => Object.keys(table))
  return [
    ...declared.filter((name) => !used.has(name)).map((name) => `${name} is declared and never used`),
    ...arrows
      .filter((arrow) => !graph.arrows.has(arrow))
      .map(({ source, eventType }) => `the arrow ${eventType} of ${source.id} is never taken`),
  ]
}

export const leaseRules = {
  'HF-T1': timeoutsLead,
  // before the rules that are told in running time: a timer for NaN milliseconds never ends
  'HF-T2': (model) => [...boundedWaits(model), ...waitsGrowAndSpread(model)],
  'HF-T3': linkLasts,
  'HF-T4': ownedByGrant,
  'HF-T5': fenceIsRenewed,
  'HF-T6': leavesOwned,
  'HF-T7': claimsInTurn,
  'HF-T8': sightBeginsAnew,
  'HF-T9': storeFailuresBackOff,
  'HF-T10': healthHeals,
  'HF-T11': noLivelock,
  'HF-T12': stopsForGood,
  'HF-T13': stepsAside,
  'HF-T14': countsByRule,
  'HF-T15': (model) => [...activitiesBelong(model), ...endingsMoveOn(model)],
  'HF-T16': unexpectedIsInert(hears),
  'HF-T17': malformedIsSurvived,
  'HF-T18': startsFresh,
  'HF-T19': nothingIsDead,
} satisfies Record<string, Rule>

export type LeaseRule = keyof typeof leaseRules
