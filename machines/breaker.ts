/**
 * The health of one endpoint, as the links of one process see it together: the specification.
 *
 * A peer that goes down takes all its links with it, and each of them alone would dial for itself. So they share this
 * chart: while the endpoint is down *one scout* dials for all, and when it gets through the rest are invited, twice as
 * many at a time with each that succeeds. Which link is the scout and who is invited next is the governor's business
 * (src/governor.ts); when that may happen is decided here.
 *
 * Every state but `closed` is on a deadline; `closed` asks nothing of anybody.
 */
import { assign, fromEventObservable, setup } from 'xstate'
import { backoffDelay, curveOf, nothingSpent, type Spent, spend } from './delay.ts'
import { type Fault, isFault } from './fault.ts'

export type BreakerEvent =
  /** The scout failed; or a dial failed or a session was lost, and no other link has a session there. */
  | { type: 'endpoint.lost'; fault: Fault }
  /** A dial failed while other links have sessions there. */
  | { type: 'dial.failed' }
  /** A link was welcomed. One that was refused for a reason of its own, or held by a person, says nothing. */
  | { type: 'endpoint.answered' }
  /** No link waits for this endpoint any more, or none that may come yet: the peer told them when. */
  | { type: 'queue.emptied' }
  /** A link may come, and no other has a session there that says how the endpoint is. */
  | { type: 'queue.filled' }

export interface BreakerContext {
  /** Names the endpoint: `host:port`. It moves the jitter. */
  readonly id: string
  /** Scouts used up, by curve, as a link counts its dials. */
  readonly spent: Spent
  readonly fault: Fault | null
  /** How many dials may be under way at once while ramping. */
  readonly window: number
}

/** Wider than this, the peer's own speed is the limit. */
export const WINDOW_MAX = 32

export const breakerDeadlines = {
  /** A scout that has neither failed nor succeeded by then is forgotten: its dial ends within 35 s by itself. */
  probeDeadline: 40_000,
  /** Nobody got in for so long: what looked like a recovery was none. */
  rampDeadline: 40_000,
  /** So long healthy that past scouts are forgiven. */
  provenAfter: 120_000,
} as const

const activity = fromEventObservable<BreakerEvent, { id: string }>(() => ({
  subscribe: () => ({ unsubscribe: () => undefined }),
}))

const input = ({ context }: { context: BreakerContext }) => ({ id: context.id })

/** XState ends an actor for good when the failure of a child meets no arrow, even of a child that was left already. */
const lateFailures = { 'xstate.error.actor.scout': {}, 'xstate.error.actor.inviter': {} }

export const breakerMachine = setup({
  types: {} as {
    context: BreakerContext
    events: BreakerEvent
    input: { id: string }
    tags: 'open'
  },
  actors: {
    /** Invites one waiting link to dial. */
    scout: activity,
    /** Invites waiting links, as many at a time as the window is wide. */
    inviter: activity,
  },
  actions: {
    noteFault: assign({
      fault: ({ event }) => ('fault' in event && isFault(event.fault) ? event.fault : { code: 'unknown' }),
    }),
    countScout: assign({ spent: ({ context }) => spend(context.spent, curveOf(context.fault)) }),
    forgive: assign({ spent: nothingSpent }),
    narrowest: assign({ window: 1 }),
    widen: assign({ window: ({ context }) => Math.min(context.window * 2, WINDOW_MAX) }),
    narrow: assign({ window: ({ context }) => Math.max(1, context.window / 2) }),
  },
  delays: {
    ...breakerDeadlines,
    scoutDelay: ({ context }) => backoffDelay(context.id, context.spent, context.fault),
  },
}).createMachine({
  id: 'breaker',
  context: ({ input }) => ({ id: input?.id ?? '', spent: nothingSpent, fault: null, window: 1 }),
  initial: 'closed',
  on: { ...(lateFailures as object) },
  states: {
    closed: {
      on: {
        'endpoint.lost': { target: 'open', actions: 'noteFault', description: 'nobody has a session there' },
        'queue.filled': { target: 'probing', description: 'nobody knows how it is, so one goes first' },
      },
      after: { provenAfter: { actions: 'forgive', description: 'past scouts are forgiven' } },
    },

    open: {
      tags: 'open',
      entry: 'countScout',
      on: {
        'endpoint.answered': { target: 'ramping', description: 'somebody got in who was not sent' },
        'queue.emptied': { target: 'closed', description: 'there is nobody left to hold back' },
      },
      after: { scoutDelay: { target: 'probing', description: 'time for the next scout' } },
    },

    probing: {
      tags: 'open',
      invoke: { id: 'scout', src: 'scout', input, onDone: 'open', onError: 'open' },
      on: {
        'endpoint.answered': { target: 'ramping', description: 'the scout got through' },
        'endpoint.lost': { target: 'open', actions: 'noteFault', description: 'the scout failed' },
        'queue.emptied': { target: 'closed', description: 'there is nobody left to hold back' },
      },
      after: { probeDeadline: { target: 'open', description: 'the scout was never heard of again' } },
    },

    ramping: {
      entry: 'narrowest',
      invoke: { id: 'inviter', src: 'inviter', input, onDone: 'closed', onError: 'closed' },
      initial: 'inviting',
      on: {
        'endpoint.lost': { target: 'open', actions: 'noteFault', description: 'it was down again at once' },
        'queue.emptied': { target: 'closed', description: 'all have been invited' },
      },
      states: {
        inviting: {
          on: {
            'endpoint.answered': { target: 'inviting', reenter: true, actions: 'widen', description: 'twice as many' },
            'dial.failed': { actions: 'narrow', description: 'half as many' },
          },
          after: { rampDeadline: { target: '#breaker.open', description: 'nobody got in for too long' } },
        },
      },
    },
  },
})
