/**
 * The life of one thing that depends on a link, such as an HTTP server or a job: the specification.
 *
 * It is driven by the state of the link and never by the reason of a change: what starts when "the bot came online for the
 * first time" never starts if the first word was "reconnected" (incident 3). So there is one way to a start: out of
 * `waiting`, where the activity `link` says at once, and at every change, whether the link has been live for its stable
 * time. Every retry goes that way too.
 *
 * `active` is the life of one instance, from the call of its start. Two never overlap as long as an instance stops in time:
 * whoever leaves `active` without the instance's own word that it is over comes by a state that ends it.
 *
 * Every state is on a deadline, watched by its activity, or openly waiting: for the link in `waiting`, for a person in
 * `parked`, which there is only where the number of retries was declared.
 */
import { assign, fromEventObservable, setup } from 'xstate'
import { askedMs, backoffDelay, curveOf, nothingSpent, SPENT_MAX } from './delay.ts'
import { type Fault, type FaultCode, isFault } from './fault.ts'

/** What becomes of it when the link is lost: it stays up, or it stops and starts again with the link. */
export type WhenLost = 'keep' | 'stop'

export type ServiceEvent =
  /** Every link that it depends on has been live for the stable time, and still is. */
  | { type: 'link.ready' }
  /** One of them is neither live nor merely in doubt. */
  | { type: 'link.lost' }
  /** One of them has ended for good. */
  | { type: 'link.stopped' }
  | { type: 'service.started' }
  | { type: 'service.failed'; fault: Fault }
  /** It ran, and is over by itself. */
  | { type: 'service.ended'; fault: Fault }
  | { type: 'operator.stop' }
  | { type: 'operator.restart' }

export interface ServicePolicy {
  readonly whenLost: WhenLost
  /** So many failures in a row are followed by another start, `RETRIES_MAX` at most; null: all of them. */
  readonly retriesMax: number | null
}

export interface ServiceContext extends ServicePolicy {
  /** Names the service. It moves the jitter. */
  readonly id: string
  /** Failures in a row, since it last ran for long or a person stepped in. */
  readonly failed: number
  /** What went wrong last, or null. */
  readonly fault: Fault | null
}

/** The count of failures stops here. */
export const RETRIES_MAX = SPENT_MAX

/** What it depends on is live, so it waits half a minute at most: 1, 2, 4, 8, 16, 32 s, less the jitter. */
const STEPS_MAX = 6

export const serviceDeadlines = {
  /** From the call of its start to its word that it runs. */
  startDeadline: 30_000,
  /** From the order to stop until it is left alone, whatever is left of it. */
  stopDeadline: 5_000,
  /** So long running that past failures are forgiven. */
  provenAfter: 120_000,
} as const

/** How long after a failure it waits for its next start, in whole milliseconds; whoever asks for more time gets it. */
export const startDelay = ({ id, failed, fault }: Pick<ServiceContext, 'id' | 'failed' | 'fault'>): number => {
  const steps = askedMs(fault) > 0 ? failed : Math.min(failed, STEPS_MAX)
  return backoffDelay(id, { ...nothingSpent, [curveOf(fault)]: steps }, fault)
}

const activity = fromEventObservable<ServiceEvent, { id: string }>(() => ({
  subscribe: () => ({ unsubscribe: () => undefined }),
}))

const input = ({ context }: { context: ServiceContext }) => ({ id: context.id })

const faultOf = (event: object, fallback: Fault | null): Fault | null =>
  !('fault' in event) ? fallback : isFault(event.fault) ? event.fault : { code: 'unknown' }

const blame = <C extends FaultCode>(code: C, detail: string) => ({ type: 'blame', params: { code, detail } }) as const

const retrying = <More extends object>(more: More) =>
  [
    { guard: 'retriesUsedUp', target: '#service.parked', description: 'it was to be tried no more', ...more },
    { target: '#service.backoff', description: 'start again, later', ...more },
  ] as const

const failing = retrying({ actions: 'noteFault' } as const)

/** No activity of ours ends by itself while its state lasts. If one does, the service goes on. */
const endedByItself = <T extends string>(target: T) =>
  ({ target, actions: blame('engine-failed', 'an activity of the service ended by itself') }) as const

const ending = {
  'operator.stop': { target: '#service.closing', description: 'end what runs, then rest for good' },
  'link.stopped': { target: '#service.closing', description: 'what it depends on will never be live again' },
} as const

export const serviceMachine = setup({
  types: {} as {
    context: ServiceContext
    events: ServiceEvent
    input: { id: string } & Partial<ServicePolicy>
  },
  actors: {
    /** Says whether the link has been live for its stable time: at once, and at every change. */
    link: activity,
    /** Starts the thing and is it until it ends; tells of the link's loss too. */
    instance: activity,
    /** Ends what was started, also what has not answered its start yet, and is finished when that is over. */
    stopper: activity,
  },
  actions: {
    noteFault: assign({ fault: ({ context, event }) => faultOf(event, context.fault) }),
    blame: assign({ fault: (_, params: { code: FaultCode; detail: string }) => params }),
    clearFault: assign({ fault: null }),
    countFailure: assign({ failed: ({ context }) => Math.min(context.failed + 1, RETRIES_MAX) }),
    forgive: assign({ failed: 0 }),
  },
  guards: {
    stopsWithLink: ({ context }) => context.whenLost === 'stop',
    retriesUsedUp: ({ context: { failed, retriesMax } }) => retriesMax !== null && failed >= retriesMax,
  },
  delays: {
    ...serviceDeadlines,
    startDelay: ({ context }) => startDelay(context),
  },
}).createMachine({
  id: 'service',
  context: ({ input }) => ({
    id: input?.id ?? '',
    whenLost: input?.whenLost ?? 'keep',
    retriesMax: input?.retriesMax ?? null,
    failed: 0,
    fault: null,
  }),
  initial: 'waiting',
  on: {
    'operator.stop': { target: '.stopped', description: 'nothing runs' },
    'link.stopped': { target: '.stopped', description: 'what it depends on will never be live again' },
    // XState ends an actor for good when the failure of a child meets no arrow, even of a child that was left already.
    'xstate.error.actor.link': {},
    'xstate.error.actor.instance': {},
    'xstate.error.actor.stopper': {},
  },
  states: {
    waiting: {
      invoke: { id: 'link', src: 'link', input, onDone: endedByItself('backoff'), onError: endedByItself('backoff') },
      on: { 'link.ready': { target: 'active', description: 'the link has been live for its stable time' } },
    },

    active: {
      initial: 'starting',
      invoke: {
        id: 'instance',
        src: 'instance',
        input,
        onDone: endedByItself('withdrawing'),
        onError: endedByItself('withdrawing'),
      },
      on: {
        ...ending,
        'link.lost': { guard: 'stopsWithLink', target: 'stopping', description: 'declared: it stops with the link' },
      },
      states: {
        starting: {
          on: {
            'service.started': { target: 'running', description: 'its start says that it runs' },
            'service.failed': failing,
          },
          after: {
            startDeadline: {
              target: '#service.withdrawing',
              actions: blame('service-failed', 'its start did not answer in time'),
            },
          },
        },
        running: {
          entry: 'clearFault',
          on: {
            'service.ended': failing,
            'operator.restart': { target: '#service.stopping', description: 'a person wants it anew' },
          },
          after: { provenAfter: { actions: 'forgive', description: 'past failures are forgiven' } },
        },
      },
    },

    stopping: {
      invoke: { id: 'stopper', src: 'stopper', input, onDone: 'waiting', onError: 'waiting' },
      on: ending,
      after: { stopDeadline: { target: 'waiting', description: 'the next start shows what is left of it' } },
    },

    withdrawing: {
      invoke: { id: 'stopper', src: 'stopper', input, onDone: retrying({}), onError: retrying({}) },
      on: ending,
      after: { stopDeadline: retrying({}) },
    },

    backoff: {
      entry: 'countFailure',
      on: { 'operator.restart': { target: 'waiting', actions: 'forgive', description: 'a person wants it now' } },
      after: { startDelay: { target: 'waiting', description: 'start again, if the link is live' } },
    },

    closing: {
      invoke: { id: 'stopper', src: 'stopper', input, onDone: 'stopped', onError: 'stopped' },
      on: { 'operator.stop': {}, 'link.stopped': {} },
      after: { stopDeadline: { target: 'stopped', description: 'it is left alone' } },
    },

    parked: {
      on: { 'operator.restart': { target: 'waiting', actions: ['forgive', 'clearFault'] } },
    },

    stopped: { type: 'final' },
  },
})

/** The states by the names that people use; `active` is told by its parts. */
export const serviceStateNames = [
  'waiting',
  'starting',
  'running',
  'stopping',
  'withdrawing',
  'backoff',
  'closing',
  'parked',
  'stopped',
] as const

export type ServiceState = (typeof serviceStateNames)[number]

export const serviceState = (value: unknown): ServiceState =>
  (typeof value === 'string' ? value : Object.values(value as object)[0]) as ServiceState
