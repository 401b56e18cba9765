/**
 * The life of one link: the specification.
 *
 * A link is one bot's connection. Every state and every arrow it can take is in the chart at the end of this file, and
 * nowhere else: the shell in src/ runs the activities named here and obeys; it decides nothing.
 *
 * The promise. Whatever happens, a link is in one of three situations, and test/model walks every state to prove it:
 *   - on a deadline: a timer of the state itself will move it on;
 *   - watched: the heartbeat activity must speak up, or end, within a bounded time of silence;
 *   - openly waiting for a person: `parked`, and it says why.
 *
 * How to read it. Nesting means one thing only: the lifetime of a resource. `attached` is the life of one transport,
 * `session` is the time in which the peer knows us and the heartbeat watches it. Entering a state starts its activity,
 * leaving it stops the activity, and that is the whole clean-up. Losing a resource is one arrow at the parent.
 *
 * Events are facts (`noun.pastParticiple`) from the activities, or orders (`operator.imperative`) from people. They carry
 * nothing but the fault; frames never come here. An event that a state does not name changes nothing.
 */
import { assign, fromEventObservable, setup } from 'xstate'
import { askedMs, attemptOf, backoffDelay, curveOf, deadlines, nothingSpent, type Spent, spend } from './delay.ts'
import { type Fault, type FaultCode, isFault, kindOf } from './fault.ts'

/** Why a waiting link may dial before its time: the one fact that carries a reason of its own. */
export type Invitation = 'operator' | 'peer-arrived' | 'endpoint-recovered' | 'network-changed' | 'awoke'

export type LinkEvent =
  | { type: 'endpoint.resolved' }
  | { type: 'endpoint.failed'; fault: Fault }
  | { type: 'transport.opened' }
  | { type: 'transport.lost'; fault: Fault }
  | { type: 'peer.welcomed' }
  | { type: 'replay.completed' }
  | { type: 'heartbeat.missed' }
  | { type: 'heartbeat.seen' }
  | { type: 'account.impaired'; fault: Fault }
  | { type: 'account.recovered' }
  /** Another process may act for the bot now. */
  | { type: 'lease.lost'; fault: Fault }
  | { type: 'dial.invited'; reason: Invitation }
  | { type: 'operator.stop' }
  | { type: 'operator.hold' }
  | { type: 'operator.resume' }

export interface LinkContext {
  readonly id: string
  /** Dials used up since the link last proved itself, by curve. */
  readonly spent: Spent
  /** What went wrong last, or null. */
  readonly fault: Fault | null
}

/** All that an activity is told; it finds its ports by the actor system that it runs in. */
export interface ActivityInput {
  readonly id: string
  readonly attempt: number
}

const activity = fromEventObservable<LinkEvent, ActivityInput>(() => ({
  subscribe: () => ({ unsubscribe: () => undefined }),
}))

const input = ({ context }: { context: LinkContext }): ActivityInput => ({
  id: context.id,
  attempt: attemptOf(context.spent),
})

const faultOf = (event: object, fallback: Fault | null): Fault | null =>
  !('fault' in event) ? fallback : isFault(event.fault) ? event.fault : { code: 'unknown' }

const blame = <C extends FaultCode>(code: C) => ({ type: 'blame', params: { code } }) as const

/** No activity of ours ends while its state lasts: it speaks, or its state is left. If one does, the link goes on. */
const endedByItself = { target: '#link.backoff', actions: blame('engine-failed') } as const

/** A doubtful fault is believed when the one before it was doubtful too. */
const needsPerson = (fault: Fault | null, before: Fault | null): boolean =>
  fault !== null &&
  (kindOf(fault) === 'fatal' || (kindOf(fault) === 'doubtful' && before !== null && kindOf(before) === 'doubtful'))

export const linkMachine = setup({
  types: {} as {
    context: LinkContext
    events: LinkEvent
    input: { id: string }
    tags: 'sendable'
  },
  actors: {
    /** Turns the adapter's target into addresses. */
    resolver: activity,
    /** Dials, and then is one transport until it is lost. */
    transport: activity,
    /** Watches the transport: any inbound frame counts, silence is probed. */
    heartbeat: activity,
    /** Writes what still waits, then says goodbye; the peer's goodbye ends the transport. */
    drain: activity,
  },
  actions: {
    noteFault: assign({ fault: ({ context, event }) => faultOf(event, context.fault) }),
    blame: assign({ fault: (_, params: { code: FaultCode }) => ({ code: params.code }) }),
    clearFault: assign({ fault: null }),
    countAttempt: assign({ spent: ({ context }) => spend(context.spent, curveOf(context.fault)) }),
    forgive: assign({ spent: nothingSpent }),
  },
  guards: {
    needsPerson: ({ context, event }) => needsPerson(faultOf(event, null), context.fault),
    /** Only who says `endpoint-recovered` knows when the asked time has passed, and says it to nobody before. */
    notToldToWait: ({ context, event }) =>
      askedMs(context.fault) === 0 || (event.type === 'dial.invited' && event.reason === 'endpoint-recovered'),
    /** Being live clears the fault, so what suspect finds there is what the account reported since. */
    stillImpaired: ({ context }) => context.fault !== null,
  },
  delays: {
    ...deadlines,
    backoffDelay: ({ context }) => backoffDelay(context.id, context.spent, context.fault),
  },
}).createMachine({
  id: 'link',
  context: ({ input }) => ({ id: input?.id ?? '', spent: nothingSpent, fault: null }),
  initial: 'resolving',
  on: {
    'operator.stop': { target: '.stopped', description: 'nothing is open, so nothing is left to drain' },
    'operator.hold': {
      target: '.parked',
      actions: blame('held'),
      description: 'a person wants it quiet',
    },
    'lease.lost': { target: '.stopped', actions: 'noteFault', description: 'cut, for another process may own it now' },
    // XState ends an actor for good when the failure of a child meets no arrow, even of a child that was left already.
    'xstate.error.actor.resolver': {},
    'xstate.error.actor.transport': {},
    'xstate.error.actor.heartbeat': {},
    'xstate.error.actor.drain': {},
  },
  states: {
    resolving: {
      invoke: { id: 'resolver', src: 'resolver', input, onDone: endedByItself, onError: endedByItself },
      on: {
        'endpoint.resolved': { target: 'attached', description: 'there is an address to dial' },
        'endpoint.failed': [
          { guard: 'needsPerson', target: 'parked', actions: 'noteFault', description: 'no retry can help' },
          { target: 'backoff', actions: 'noteFault', description: 'names and providers recover' },
        ],
      },
      after: { resolveDeadline: { target: 'backoff', actions: blame('resolve-timeout') } },
    },

    attached: {
      initial: 'connecting',
      invoke: { id: 'transport', src: 'transport', input, onDone: endedByItself, onError: endedByItself },
      on: {
        'transport.lost': [
          { guard: 'needsPerson', target: 'parked', actions: 'noteFault', description: 'no retry can help' },
          { target: 'backoff', actions: 'noteFault', description: 'dial again, later' },
        ],
      },
      states: {
        connecting: {
          on: { 'transport.opened': { target: 'handshaking', description: 'the socket is open' } },
          after: { connectDeadline: { target: '#link.backoff', actions: blame('connect-timeout') } },
        },
        handshaking: {
          on: { 'peer.welcomed': { target: 'session', description: 'the peer accepted us' } },
          after: { handshakeDeadline: { target: '#link.backoff', actions: blame('handshake-timeout') } },
        },

        session: {
          initial: 'registered',
          invoke: { id: 'heartbeat', src: 'heartbeat', input, onDone: endedByItself, onError: endedByItself },
          on: {
            'operator.stop': { target: 'closing', description: 'deliver what waits, then say goodbye' },
          },
          states: {
            registered: {
              on: {
                'replay.completed': { target: 'live', description: 'all that was missed has arrived' },
                'account.impaired': { target: 'degraded.impaired', actions: 'noteFault' },
              },
              after: { replayDeadline: { target: '#link.backoff', actions: blame('replay-timeout') } },
            },
            live: {
              tags: 'sendable',
              entry: 'clearFault',
              on: {
                'heartbeat.missed': { target: 'degraded.suspect', description: 'a probe went unanswered' },
                'account.impaired': { target: 'degraded.impaired', actions: 'noteFault' },
              },
              after: {
                provenAfter: { actions: 'forgive', description: 'past attempts are forgiven' },
              },
            },
            degraded: {
              initial: 'suspect',
              states: {
                suspect: {
                  on: {
                    'account.impaired': { actions: 'noteFault', description: 'known once the probe is answered' },
                    'account.recovered': { actions: 'clearFault', description: 'known once the probe is answered' },
                    'heartbeat.seen': [
                      { guard: 'stillImpaired', target: 'impaired', description: 'alive, but as useless as before' },
                      { target: '#link.attached.session.live', description: 'a false alarm' },
                    ],
                  },
                  after: { suspectGrace: { target: '#link.backoff', actions: blame('heartbeat-timeout') } },
                },
                impaired: {
                  on: {
                    'account.recovered': '#link.attached.session.live',
                    'account.impaired': { actions: 'noteFault', description: 'impaired in another way' },
                    'heartbeat.missed': { target: 'suspect', description: 'a probe went unanswered' },
                  },
                },
              },
            },
          },
        },

        closing: {
          invoke: { id: 'drain', src: 'drain', input, onDone: '#link.stopped', onError: '#link.stopped' },
          on: {
            'transport.lost': {
              target: '#link.stopped',
              description: 'all is said, and the peer has said goodbye too',
            },
            'xstate.done.actor.transport': { target: '#link.stopped', description: 'the transport is no more' },
            'xstate.error.actor.transport': { target: '#link.stopped', description: 'the transport is no more' },
            'operator.stop': { target: '#link.stopped', description: 'asked twice: now' },
            'operator.hold': {},
          },
          after: { closeDeadline: '#link.stopped' },
        },
      },
    },

    backoff: {
      entry: 'countAttempt',
      on: {
        'dial.invited': {
          guard: 'notToldToWait',
          target: 'resolving',
          description: 'there is a reason to expect success',
        },
      },
      after: { backoffDelay: 'resolving' },
    },

    parked: {
      on: {
        'operator.resume': { target: 'resolving', actions: ['forgive', 'clearFault'] },
        'operator.hold': {},
      },
    },

    stopped: { type: 'final' },
  },
})

/** The ten states by the names that people use; the two parts of `degraded` are told apart. */
export const stateNames = [
  'resolving',
  'connecting',
  'handshaking',
  'registered',
  'live',
  'degraded.suspect',
  'degraded.impaired',
  'backoff',
  'closing',
  'parked',
  'stopped',
] as const

export type StateName = (typeof stateNames)[number]

/** The name of a chart value such as `{ attached: { session: 'live' } }`: the resources that nest it are left out. */
export const stateName = (value: unknown): StateName => {
  if (typeof value === 'string') return value as StateName
  const [[parent, child]] = Object.entries(value as Record<string, unknown>) as [[string, unknown]]
  const name = stateName(child)
  return parent === 'degraded' ? (`degraded.${name}` as StateName) : name
}
