/** The numbered rules of a service that no run may break. What they mean: docs/rules.md. */
import type { AnyActorRef, AnyStateNode } from 'xstate'
import { deadlines } from '../../machines/delay.ts'
import type { Fault } from '../../machines/fault.ts'
import {
  RETRIES_MAX,
  type ServiceContext,
  type ServiceState,
  type serviceDeadlines,
  serviceState,
  serviceStateNames,
} from '../../machines/service.ts'
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
import { contextIn, faultBearing, inputFor, policyOf } from './service-model.ts'
import { type Edge, endingOf, nodesOf, reaching, type State, traps } from './walk.ts'

const { nameOf, statesOf, happen, whenIn, leadsTo, unexpectedIsInert } = judgeOf<ServiceState, ServiceContext>(
  serviceState,
)

type Case = Happening<ServiceState, ServiceContext>

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const keepsAll = ({ before, context }: Case): string | false => !same(before, context) && 'the context changed'

const blames =
  (code: string) =>
  ({ context }: Case): string | false =>
    context.fault?.code !== code && `blames ${context.fault?.code}, not ${code}`

const usedUp = ({ failed, retriesMax }: ServiceContext): boolean => retriesMax !== null && failed >= retriesMax

/** Where a failure leads: whatever the fault is, only the declared number of retries decides. */
const failsWith =
  (fault: (happening: Case) => Fault | null) =>
  (happening: Case): string | false => {
    const { before, context, name } = happening
    const to = usedUp(before) ? 'parked' : 'backoff'
    if (name !== to) return `expected ${to}`
    return !same(context.fault, fault(happening)) && 'the fault is not noted'
  }

const itsOwn = ({ event }: Case) => (event as unknown as { fault: Fault }).fault
const theOneBefore = ({ before }: Case) => before.fault

type Verdict = (happening: Case) => string | false

/** Each deadline: in which state, and what it does. */
const timeouts: readonly (readonly [ServiceState, keyof typeof serviceDeadlines | 'startDelay', Verdict])[] = [
  ['starting', 'startDeadline', leadsTo('withdrawing', blames('service-failed'))],
  ['running', 'provenAfter', leadsTo('running')],
  ['stopping', 'stopDeadline', leadsTo('waiting', keepsAll)],
  ['withdrawing', 'stopDeadline', failsWith(theOneBefore)],
  ['backoff', 'startDelay', leadsTo('waiting', keepsAll)],
  ['closing', 'stopDeadline', leadsTo('stopped')],
]

/** `parked` exists only where the number of retries was declared. */
const namesFor = (model: Model): ServiceState[] =>
  serviceStateNames.filter((name) => name !== 'parked' || policyOf(model).retriesMax !== null)

const timeoutsLead: Rule = (model) =>
  namesFor(model).flatMap((name) => {
    const state = statesOf(model, [name])[0]
    if (!state) return [`${name} is never reached`]
    const nodes = state.snapshot._nodes as AnyStateNode[]
    const own = nodes.flatMap(({ after }) => after.map(({ delay }) => String(delay)))
    const due = timeouts.filter(([where]) => where === name)
    const strays = new Set(own).size === due.length && due.every(([, delay]) => own.includes(delay))
    const wrong = due.flatMap(([, delay, verdict]) =>
      whenIn(model, [name], [fact(`xstate.after.${delay}.${leafOf(state.snapshot).id}`)], verdict),
    )
    return [...(strays ? [] : [`${name} has the deadlines [${own}]`]), ...wrong]
  })

const parkedIsDeclared: Rule = (model) => {
  const isParked = statesOf(model, ['parked']).length > 0
  return isParked === (policyOf(model).retriesMax !== null) ? [] : [isParked ? 'it parks' : 'it never parks']
}

const isPerson = ({ event: { type } }: Edge): boolean => type.startsWith('operator.')

/** What happens when the link is live and the thing starts, stays up, and stops when it is told to. */
const healthy: Partial<Record<ServiceState, readonly string[]>> = {
  waiting: ['link.ready'],
  starting: ['service.started'],
  stopping: [endingOf('done', 'stopper')],
  withdrawing: [endingOf('done', 'stopper')],
  closing: [endingOf('done', 'stopper')],
}

const isTime = ({ event }: Edge): boolean => event.type.startsWith('xstate.after.')

const inHealth = (edge: Edge): boolean => {
  const due = healthy[nameOf(edge.from)]
  return due ? due.includes(edge.event.type) : isTime(edge)
}

const atRest: readonly ServiceState[] = ['running', 'parked', 'stopped']

const unreachable = (model: Model, goals: readonly ServiceState[], admits: (edge: Edge) => boolean, from: State[]) => {
  const hopeful = reaching(model.graph, (state) => goals.includes(nameOf(state)), admits)
  return from.filter((state) => !hopeful.has(state)).map(({ key }) => `${key} never gets to ${goals.join(' or ')}`)
}

/** Whatever happened, health alone starts it again; and a thing that hangs in every way still comes to a new start. */
const healthHeals: Rule = (model) => {
  const willing = statesOf(model).filter((state) => !['closing', 'parked', 'stopped'].includes(nameOf(state)))
  const isStuck = (edge: Edge) => isTime(edge) || (nameOf(edge.from) === 'waiting' && inHealth(edge))
  return [
    ...unreachable(model, ['running', 'parked'], inHealth, willing),
    ...unreachable(model, ['stopped'], inHealth, statesOf(model, ['closing'])),
    ...unreachable(model, ['starting', 'running', 'parked', 'stopped'], isStuck, statesOf(model)),
    ...traps(model.graph, (edge) => inHealth(edge) || isTime(edge))
      .filter((trap) => !trap.every((state) => atRest.includes(nameOf(state))))
      .map((trap) => `caught among ${trap.map(({ key }) => key).join(', ')}`),
  ]
}

const activities: Record<ServiceState, readonly string[]> = {
  waiting: ['link'],
  starting: ['instance'],
  running: ['instance'],
  stopping: ['stopper'],
  withdrawing: ['stopper'],
  backoff: [],
  closing: ['stopper'],
  parked: [],
  stopped: [],
}

const activitiesBelong: Rule = (model) =>
  statesOf(model)
    .filter((state) => !same(runningIn(state.snapshot), activities[nameOf(state)]))
    .map(({ key, snapshot }) => `${key} runs [${runningIn(snapshot)}]`)

/** Between two states of one instance it is the same instance; each activity is told who it is for. */
const activitiesLast: Rule = (model) =>
  model.graph.edges.flatMap(({ from, event, after }) =>
    Object.entries(after.children as Record<string, AnyActorRef>).flatMap(([id, child]) => {
      const to = serviceState(after.value)
      const before = from.snapshot.children[id] as AnyActorRef | undefined
      if (child === before) return []
      if (before && id === 'instance') return [`${from.key} on ${label(event)} restarts the instance in ${to}`]
      if (before && nameOf(from) === to) return [`${from.key} on ${label(event)} restarts ${id}`]
      const told = (child as unknown as { options: { input?: unknown } }).options.input
      return same(told, { id: inputFor(policyOf(model)).id }) ? [] : [`${id} is told ${JSON.stringify(told)}`]
    }),
  )

const ended = (id: string) => [fact(endingOf('done', id)), fact(endingOf('error', id))]

const endingsMoveOn: Rule = (model) => [
  ...whenIn(model, ['waiting'], ended('link'), leadsTo('backoff', blames('engine-failed'))),
  ...whenIn(model, ['starting', 'running'], ended('instance'), leadsTo('withdrawing', blames('engine-failed'))),
  ...whenIn(model, ['stopping'], ended('stopper'), leadsTo('waiting', keepsAll)),
  ...whenIn(model, ['withdrawing'], ended('stopper'), failsWith(theOneBefore)),
  ...whenIn(model, ['closing'], ended('stopper'), leadsTo('stopped')),
]

/** The one way in: from waiting, by the word that the link is live. */
const startsByState: Rule = (model) => {
  const entries = model.graph.edges.filter(
    ({ from, after }) => serviceState(after.value) === 'starting' && nameOf(from) !== 'starting',
  )
  return [
    ...entries
      .filter(({ from, event }) => nameOf(from) !== 'waiting' || event.type !== 'link.ready')
      .map(({ from, event }) => `${from.key} starts on ${label(event)}`),
    ...whenIn(model, ['waiting'], [fact('link.ready')], leadsTo('starting', keepsAll)),
    ...whenIn(model, ['starting'], [fact('service.started')], leadsTo('running')),
  ]
}

const active: readonly ServiceState[] = ['starting', 'running']
const enders: readonly ServiceState[] = ['stopping', 'withdrawing', 'closing']

/** Only the instance itself can say that nothing of it is left. */
const oneAtATime: Rule = (model) =>
  model.graph.edges
    .filter(({ from, after }) => active.includes(nameOf(from)) && !active.includes(serviceState(after.value)))
    .filter(({ after, event }) => {
      const isOver = (faultBearing as readonly string[]).includes(event.type)
      return !isOver && !enders.includes(serviceState(after.value))
    })
    .map(({ from, event }) => `${from.key} is left on ${label(event)}, and nobody ends the instance`)

const lossIsDeclared: Rule = (model) => {
  const { whenLost } = policyOf(model)
  const lost = [fact('link.lost')]
  if (whenLost === 'stop') return whenIn(model, active, lost, leadsTo('stopping', keepsAll))
  return active.flatMap((name) => whenIn(model, [name], lost, leadsTo(name, keepsAll)))
}

const endsForGood: Rule = (model) => {
  const ends = [fact('operator.stop'), fact('link.stopped')]
  return [
    ...whenIn(model, [...active, 'stopping', 'withdrawing'], ends, leadsTo('closing', keepsAll)),
    ...whenIn(model, ['waiting', 'backoff', 'parked'], ends, leadsTo('stopped', keepsAll)),
    ...whenIn(model, ['closing'], ends, leadsTo('closing', keepsAll)),
  ]
}

const restart = [fact('operator.restart')]

const restarts: Rule = (model) => {
  const forgiven = ({ context }: Case) => context.failed !== 0 && 'it is not forgiven'
  const afresh = ({ context }: Case) => (context.failed !== 0 || context.fault !== null) && 'it is not forgiven'
  return [
    ...whenIn(model, ['running'], restart, leadsTo('stopping', keepsAll)),
    ...whenIn(model, ['backoff'], restart, leadsTo('waiting', forgiven)),
    ...whenIn(model, ['parked'], restart, leadsTo('waiting', afresh)),
    ...(['waiting', 'starting', 'stopping', 'withdrawing', 'closing'] as const).flatMap((name) =>
      whenIn(model, [name], restart, leadsTo(name, keepsAll)),
    ),
  ]
}

const failures = (type: string) => samples.map((fault) => ({ type, fault }))

const failuresRetry: Rule = (model) => [
  ...whenIn(model, ['starting'], failures('service.failed'), failsWith(itsOwn)),
  ...whenIn(model, ['running'], failures('service.ended'), failsWith(itsOwn)),
]

/** What has failed in a row after an edge, by the declared rules and no other. */
const failedAfter = ({ from, event: { type }, after }: Edge): number => {
  const { failed } = contextIn(from.snapshot)
  const to = serviceState(after.value)
  if (to === 'backoff' && nameOf(from) !== 'backoff') return Math.min(failed + 1, RETRIES_MAX)
  const isForgiven = type.startsWith('xstate.after.provenAfter.') || (to === 'waiting' && type === 'operator.restart')
  return isForgiven ? 0 : failed
}

const countsByRule: Rule = (model) => [
  ...model.graph.edges
    .filter((edge) => contextIn(edge.after).failed !== failedAfter(edge))
    .map(({ from, event }) => `${from.key} on ${label(event)} miscounts`),
  ...whenIn(model, ['running'], [fact('xstate.after.provenAfter.service.active.running')], ({ context }) =>
    context.failed === 0 ? false : 'it is not forgiven',
  ),
]

/** The least and the most of each wait, by the promise that hangs on it. */
const bounds: Bounds = {
  // a start may have to dial, as a link does
  startDeadline: [deadlines.resolveDeadline + deadlines.handshakeDeadline, 60_000],
  stopDeadline: [deadlines.closeDeadline, 10_000],
  provenAfter: [96_000, 180_000],
  // from the unluckiest first draw to the longest that may be asked for, plus 10 %
  startDelay: [187, 4_320_000],
}

const boundedWaits = waitsAreBounded(bounds, { delay: 'startDelay', elseMaxMs: 32_000 })

/** Waits grow with what has failed. */
const waitsGrow: Rule = (model) =>
  statesOf(model, ['backoff'])
    .filter(({ snapshot }) => contextIn(snapshot).fault?.retryAfterMs === undefined)
    .flatMap(({ key, snapshot }) => {
      const context = contextIn(snapshot)
      const [first, later] = [1, 5].map((failed) => waitOf(model, 'startDelay', { ...context, failed })) as [
        number,
        number,
      ]
      return later > 2 * first ? [] : [`${key} waits ${first} ms at first and ${later} ms later`]
    })

const crowd = Array.from({ length: 20 }, (_, i) => `bot-${i} http`)

const waitsSpread: Rule = (model) =>
  statesOf(model, ['backoff']).flatMap(({ key, snapshot }) => {
    const waits = crowd.map((id) => waitOf(model, 'startDelay', { ...contextIn(snapshot), id, failed: 6 }))
    return new Set(waits).size > crowd.length / 2 ? [] : [`${key}: services of different processes go in step`]
  })

const ends = ['operator.stop', 'link.stopped']

const hears: Record<ServiceState, readonly string[]> = {
  waiting: ['link.ready', ...ends],
  starting: ['service.started', 'service.failed', 'link.lost', ...ends],
  running: ['service.ended', 'link.lost', 'operator.restart', ...ends],
  stopping: ends,
  withdrawing: ends,
  backoff: ['operator.restart', ...ends],
  closing: [],
  parked: ['operator.restart', ...ends],
  stopped: [],
}

/** A start may throw anything: it is noted as a fault or as unknown, and the next one has a time to come. */
const malformedIsSurvived: Rule = (model) =>
  (
    [
      ['starting', 'service.failed'],
      ['running', 'service.ended'],
    ] as const
  ).flatMap(([name, type]) =>
    malformedFaults.flatMap((fault) => {
      const state = statesOf(model, [name])[0]
      if (!state) return [`${name} is never reached`]
      try {
        const { after, context } = happen(model, state, { type, fault } as never)
        const goes = Number.isInteger(waitOf(model, 'startDelay', context))
        const isNoted = context.fault?.code === 'unknown'
        return after.status === 'active' && isNoted && goes ? [] : [`${name} is broken by ${JSON.stringify(fault)}`]
      } catch {
        return [`${name} throws on ${JSON.stringify(fault)}`]
      }
    }),
  )

const named = (x: unknown): string => (typeof x === 'string' ? x : String((x as { type?: unknown }).type))

/** A name that no state uses and an arrow that no policy ever takes are mistakes, or dead weight. */
export const deadArrows = (models: readonly Model[]): string[] => {
  const nodes = nodesOf(models[0]!.machine.root)
  const arrows = nodes.flatMap((node) => [...node.transitions.values()].flat())
  const used = new Set([
    ...arrows.flatMap(({ actions, guard }) => [...actions, ...(guard === undefined ? [] : [guard])].map(named)),
    ...nodes.flatMap(({ entry }) => entry.map(named)),
    ...nodes.flatMap(({ after }) => after.map(({ delay }) => String(delay))),
    ...nodes.flatMap(({ invoke }) => invoke.map(({ src }) => String(src))),
  ])
  const declared = Object.values(models[0]!.machine.implementations).flatMap((table) => Object.keys(table))
  return [
    ...declared.filter((name) => !used.has(name)).map((name) => `${name} is declared and never used`),
    ...arrows
      .filter((arrow) => !models.some(({ graph }) => graph.arrows.has(arrow)))
      .map(({ source, eventType }) => `the arrow ${eventType} of ${source.id} is never taken`),
  ]
}

const startsFresh: Rule = (model) => {
  const { initial } = model.graph
  const { whenLost, retriesMax } = policyOf(model)
  const due = { ...inputFor({ whenLost, retriesMax }), failed: 0, fault: null }
  const stale = statesOf(model, ['running']).filter(({ snapshot }) => contextIn(snapshot).fault !== null)
  const open = statesOf(model).filter((state) => (state.snapshot.status === 'done') !== (nameOf(state) === 'stopped'))
  return [
    ...(nameOf(initial) === 'waiting' && same(contextIn(initial.snapshot), due) ? [] : [`starts as ${initial.key}`]),
    ...stale.map(({ key }) => `${key} runs with an old fault`),
    ...open.map(({ key }) => `${key} is final or not`),
    ...unreachable(model, ['stopped'], (edge) => isPerson(edge) || isTime(edge), statesOf(model)),
  ]
}

export const serviceRules = {
  'HF-V1': timeoutsLead,
  'HF-V2': parkedIsDeclared,
  'HF-V3': healthHeals,
  'HF-V4': (model) => [...activitiesBelong(model), ...activitiesLast(model), ...endingsMoveOn(model)],
  'HF-V5': startsByState,
  'HF-V6': oneAtATime,
  'HF-V7': lossIsDeclared,
  'HF-V8': endsForGood,
  'HF-V9': restarts,
  'HF-V10': failuresRetry,
  'HF-V11': countsByRule,
  'HF-V12': (model) => [...boundedWaits(model), ...waitsGrow(model), ...waitsSpread(model)],
  'HF-V13': unexpectedIsInert(hears),
  'HF-V14': malformedIsSurvived,
  'HF-V15': startsFresh,
} satisfies Record<string, Rule>

export type ServiceRule = keyof typeof serviceRules
