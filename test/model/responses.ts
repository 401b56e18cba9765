/** HF-R: this event in this state leads there, with this effect. Without these a chart is "not stuck" and still wrong. */
import type { AnyActorRef } from 'xstate'
import { attemptOf, type Deadline, nothingSpent } from '../../machines/delay.ts'
import type { FaultCode } from '../../machines/fault.ts'
import { type StateName, stateNames } from '../../machines/link.ts'
import {
  blames,
  fact,
  type Happening,
  happen,
  keepsContext,
  keepsSpent,
  leadsTo,
  leafOf,
  notesItsFault,
  type Rule,
  statesOf,
  whenIn,
} from './judge.ts'
import { contextOf, invitations, kindIn, type Model, runningIn, samples } from './link-model.ts'
import { endingOf, type Snapshot } from './walk.ts'

export const inSession = ['registered', 'live', 'degraded.suspect', 'degraded.impaired'] as const
/** Where one transport lives and the link wants to keep it. */
export const held = ['connecting', 'handshaking', ...inSession] as const

const lost = samples.map((fault) => ({ type: 'transport.lost', fault }))
const failed = samples.map((fault) => ({ type: 'endpoint.failed', fault }))
const impaired = samples.map((fault) => ({ type: 'account.impaired', fault }))

const waitsOrParks = (happening: Happening): string | false =>
  happening.name === 'backoff' || happening.name === 'parked' ? notesItsFault(happening) : 'expected backoff or parked'

const isTwiceDoubtful = ({ before, event }: Happening): boolean =>
  kindIn(before.fault) === 'doubtful' && kindIn((event as unknown as (typeof lost)[0]).fault) === 'doubtful'

const ofKind = (kind: string, events: typeof lost) => events.filter(({ fault }) => kindIn(fault) === kind)

const lossIsNoticed: Rule = (model) => [
  ...whenIn(model, held, lost, waitsOrParks),
  ...whenIn(model, ['closing'], lost, leadsTo('stopped')),
]

const failureIsNoticed: Rule = (model) => whenIn(model, ['resolving'], failed, waitsOrParks)

const fatalParks: Rule = (model) => [
  ...whenIn(model, held, ofKind('fatal', lost), leadsTo('parked', keepsSpent)),
  ...whenIn(model, ['resolving'], ofKind('fatal', failed), leadsTo('parked', keepsSpent)),
]

const doubtIsBelievedTwice: Rule = (model) => {
  const verdict = (h: Happening) => leadsTo(isTwiceDoubtful(h) ? 'parked' : 'backoff')(h)
  return [
    ...whenIn(model, held, ofKind('doubtful', lost), verdict),
    ...whenIn(model, ['resolving'], ofKind('doubtful', failed), verdict),
  ]
}

const ladder: readonly (readonly [StateName, string, StateName])[] = [
  ['resolving', 'endpoint.resolved', 'connecting'],
  ['connecting', 'transport.opened', 'handshaking'],
  ['handshaking', 'peer.welcomed', 'registered'],
  ['registered', 'replay.completed', 'live'],
]

const climbsOneByOne: Rule = (model) => {
  const { initial } = model.graph
  const { spent, fault } = contextOf(initial.snapshot)
  const fresh = attemptOf(spent) === 1 && fault === null && statesOf(model, ['resolving']).includes(initial)
  return [
    ...(fresh ? [] : [`starts as ${initial.key}`]),
    ...ladder.flatMap(([from, type, to]) => whenIn(model, [from], [fact(type)], leadsTo(to, keepsSpent))),
  ]
}

const impairmentIsNoted: Rule = (model) => [
  ...whenIn(model, ['registered', 'live'], impaired, leadsTo('degraded.impaired', notesItsFault)),
  ...whenIn(model, ['degraded.impaired'], impaired, leadsTo('degraded.impaired', notesItsFault)),
  ...whenIn(model, ['degraded.impaired'], [fact('account.recovered')], leadsTo('live', keepsSpent)),
]

const silenceIsSuspect: Rule = (model) =>
  whenIn(model, ['live', 'degraded.impaired'], [fact('heartbeat.missed')], leadsTo('degraded.suspect', keepsSpent))

const offline = impaired.find(({ fault }) => kindIn(fault) === 'impaired')!

/** Follows several events from one state. */
const through = (model: Model, snapshot: Snapshot, types: readonly string[]): Snapshot =>
  types.reduce((s, type) => model.step(s, type === 'account.impaired' ? offline : fact(type)), snapshot)

const falseAlarms: readonly (readonly [StateName, readonly string[], StateName])[] = [
  ['live', ['heartbeat.missed', 'heartbeat.seen'], 'live'],
  ['degraded.impaired', ['heartbeat.missed', 'heartbeat.seen'], 'degraded.impaired'],
  ['live', ['heartbeat.missed', 'account.impaired', 'heartbeat.seen'], 'degraded.impaired'],
  ['live', ['heartbeat.missed', 'account.impaired', 'account.recovered', 'heartbeat.seen'], 'live'],
  ['degraded.impaired', ['heartbeat.missed', 'account.recovered', 'heartbeat.seen'], 'live'],
]

/** The frame that answers the probe may bring news of the account, and the two facts come in either order. */
const falseAlarmReturns: Rule = (model) => [
  ...whenIn(model, ['degraded.suspect'], [offline, fact('account.recovered')], leadsTo('degraded.suspect')),
  ...falseAlarms.flatMap(([from, types, to]) =>
    statesOf(model, [from])
      // An adapter that calls a fault of another kind an impairment gets what it asked for.
      .filter(({ snapshot }) => from === 'live' || kindIn(contextOf(snapshot).fault) === 'impaired')
      .filter(
        ({ snapshot }) => leafOf(through(model, snapshot, types)).id !== leafOf(statesOf(model, [to])[0]!.snapshot).id,
      )
      .map(({ key }) => `${key} after ${types.join(', ')} is not ${to}`),
  ),
]

/** Each deadline: in which state, where it leads, and what it blames. */
export const timeouts: readonly (readonly [StateName, Deadline | 'backoffDelay', StateName, FaultCode | null])[] = [
  ['resolving', 'resolveDeadline', 'backoff', 'resolve-timeout'],
  ['connecting', 'connectDeadline', 'backoff', 'connect-timeout'],
  ['handshaking', 'handshakeDeadline', 'backoff', 'handshake-timeout'],
  ['registered', 'replayDeadline', 'backoff', 'replay-timeout'],
  ['degraded.suspect', 'suspectGrace', 'backoff', 'heartbeat-timeout'],
  ['closing', 'closeDeadline', 'stopped', null],
  ['backoff', 'backoffDelay', 'resolving', null],
  ['live', 'provenAfter', 'live', null],
]

const deadlinesBlame: Rule = (model) => {
  const ids = new Map(stateNames.map((name) => [name, statesOf(model, [name])[0]?.snapshot]))
  const strays = stateNames.flatMap((name) => {
    const snapshot = ids.get(name)
    const own = snapshot ? leafOf(snapshot).after.map(({ delay }) => String(delay)) : []
    const due = timeouts.filter(([state]) => state === name).map(([, delay]) => delay)
    return own.join() === due.join() ? [] : [`${name} has the deadlines [${own}], not [${due}]`]
  })
  const wrong = timeouts.flatMap(([name, delay, to, code]) => {
    const snapshot = ids.get(name)
    if (!snapshot) return [`${name} is never reached`]
    const event = fact(`xstate.after.${delay}.${leafOf(snapshot).id}`)
    return whenIn(model, [name], [event], leadsTo(to, code === null ? keepsFault : blames(code)))
  })
  return [...strays, ...wrong]
}

const keepsFault = ({ before, context }: Happening): string | false =>
  before.fault !== context.fault && 'the fault changed'

const stopStops: Rule = (model) => [
  ...whenIn(model, inSession, [fact('operator.stop')], leadsTo('closing', keepsContext)),
  ...whenIn(
    model,
    ['resolving', 'connecting', 'handshaking', 'backoff', 'closing', 'parked'],
    [fact('operator.stop')],
    leadsTo('stopped'),
  ),
]

const startsOver = ({ context }: Happening): string | false =>
  (JSON.stringify(context.spent) !== JSON.stringify(nothingSpent) && 'something is still spent') ||
  (context.fault !== null && 'the fault is still there')

const resumeStartsOver: Rule = (model) =>
  whenIn(model, ['parked'], [fact('operator.resume')], leadsTo('resolving', startsOver))

const invitationIsTaken: Rule = (model) =>
  whenIn(model, ['backoff'], invitations, (happening) => {
    const { reason } = happening.event as unknown as (typeof invitations)[0]
    const patient = happening.before.fault?.retryAfterMs !== undefined && reason !== 'endpoint-recovered'
    return leadsTo(patient ? 'backoff' : 'resolving', keepsContext)(happening)
  })

const activities: Record<StateName, readonly string[]> = {
  resolving: ['resolver'],
  connecting: ['transport'],
  handshaking: ['transport'],
  registered: ['heartbeat', 'transport'],
  live: ['heartbeat', 'transport'],
  'degraded.suspect': ['heartbeat', 'transport'],
  'degraded.impaired': ['heartbeat', 'transport'],
  backoff: [],
  closing: ['drain', 'transport'],
  parked: [],
  stopped: [],
}

/** Each activity runs exactly where it belongs, is told of which link it is, and is never restarted under way. */
const activitiesRun: Rule = (model) => {
  const misplaced = stateNames.flatMap((name) =>
    statesOf(model, [name])
      .filter(({ snapshot }) => runningIn(snapshot).join() !== activities[name].join())
      // xstate leaves the children of a finished machine in its last snapshot, stopped.
      .filter(() => name !== 'stopped')
      .map(({ key, snapshot }) => `${key} runs [${runningIn(snapshot)}]`),
  )
  const wrong = model.graph.edges
    .filter(({ after }) => after.status === 'active')
    .flatMap(({ from, event, after }) =>
      Object.entries(after.children as Record<string, AnyActorRef>).flatMap(([id, child]) => {
        if (child === from.snapshot.children[id]) return []
        if (id in from.snapshot.children) return [`${from.key} on ${event.type} restarts ${child.src}`]
        const told = (child as unknown as { options: { input?: unknown } }).options.input
        const { id: link, spent } = contextOf(after)
        const due = { id: link, attempt: attemptOf(spent) }
        return JSON.stringify(told) === JSON.stringify(due) ? [] : [`${child.src} is told ${JSON.stringify(told)}`]
      }),
    )
  return [...misplaced, ...wrong]
}

const endings = (model: Model, name: StateName, src: string) =>
  Object.values((statesOf(model, [name])[0]?.snapshot.children ?? {}) as Record<string, AnyActorRef>)
    .filter((child) => child.src === src)
    .flatMap(({ id }) => [fact(endingOf('done', id)), fact(endingOf('error', id))])

const endingsMoveOn: Rule = (model) =>
  (['resolving', ...held] as const).flatMap((name) =>
    activities[name].flatMap((src) => {
      const events = endings(model, name, src)
      const silent = events.length === 2 ? [] : [`${name} does not run ${src}`]
      return [...silent, ...whenIn(model, [name], events, leadsTo('backoff', blames('engine-failed')))]
    }),
  )

const holdHolds: Rule = (model) => [
  ...whenIn(model, ['resolving', ...held, 'backoff'], [fact('operator.hold')], leadsTo('parked', blames('held'))),
  ...whenIn(model, ['parked'], [fact('operator.hold')], leadsTo('parked', keepsContext)),
  ...whenIn(model, ['closing'], [fact('operator.hold')], leadsTo('closing', keepsContext)),
]

const closingEnds: Rule = (model) => [
  ...['drain', 'transport'].flatMap((src) =>
    whenIn(model, ['closing'], endings(model, 'closing', src), leadsTo('stopped')),
  ),
]

const provenIsForgiven: Rule = (model) =>
  statesOf(model, ['live']).flatMap((state) => {
    const { name, context } = happen(model, state, fact(`xstate.after.provenAfter.${leafOf(state.snapshot).id}`))
    const forgiven = name === 'live' && JSON.stringify(context.spent) === JSON.stringify(nothingSpent)
    return forgiven ? [] : [`${state.key} is not forgiven`]
  })

const lostLeaseCuts: Rule = (model) =>
  whenIn(
    model,
    stateNames.filter((name) => name !== 'stopped'),
    samples.map((fault) => ({ type: 'lease.lost', fault })),
    leadsTo('stopped', (happening) => notesItsFault(happening) || keepsSpent(happening)),
  )

export const responseRules = {
  'HF-R1': lossIsNoticed,
  'HF-R2': failureIsNoticed,
  'HF-R3': fatalParks,
  'HF-R4': climbsOneByOne,
  'HF-R5': impairmentIsNoted,
  'HF-R6': silenceIsSuspect,
  'HF-R7': falseAlarmReturns,
  'HF-R8': deadlinesBlame,
  'HF-R9': stopStops,
  'HF-R10': resumeStartsOver,
  'HF-R11': doubtIsBelievedTwice,
  'HF-R12': invitationIsTaken,
  'HF-R13': activitiesRun,
  'HF-R14': endingsMoveOn,
  'HF-R15': holdHolds,
  'HF-R16': closingEnds,
  'HF-R17': provenIsForgiven,
  'HF-R18': lostLeaseCuts,
} satisfies Record<string, Rule>
