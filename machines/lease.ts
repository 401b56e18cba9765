/**
 * Who owns a link in a fleet of processes: the specification, as one of the processes sees it.
 *
 * A lease is ownership for a time. It is a record in a store that all processes share, and everybody who writes it says
 * which version he has seen: of two who want it one alone gets it. Nobody trusts the clock of another, nor that of the
 * store. The owner counts the time from *before* it asked for it, and stops at its end by itself; who waits counts it from
 * *after* it saw the record change, and a little longer. So whoever takes over is later than whoever gives up, as long as
 * their clocks run equally fast within two percent.
 *
 * `owned` is the life of the link, exactly: entering makes it, leaving cuts it at once, whatever it was doing. Within it
 * every state is on the deadline `fenceDelay`, the end of what was last granted, and each renewal enters `serving` anew.
 *
 * Every state has a deadline, so no answer of the store has to come for it to go on; nothing waits for a person.
 */
import { assign, fromEventObservable, setup } from 'xstate'
import { backoffDelay, nothingSpent, SPENT_MAX } from './delay.ts'
import { type Fault, type FaultCode, isFault } from './fault.ts'

export type LeaseEvent =
  /** Another process has it. Told anew each time that its record has changed. */
  | { type: 'lease.found' }
  /** Nobody has it: there is no record, its owner gave it away, or it is our own from before. */
  | { type: 'lease.vacated' }
  /** It is ours from before we asked for it. */
  | { type: 'lease.granted' }
  /** Another process was faster. */
  | { type: 'lease.refused' }
  /** It is ours for another time. */
  | { type: 'lease.renewed' }
  /** Somebody else has written the record that was ours. */
  | { type: 'lease.taken' }
  | { type: 'store.failed'; fault: Fault }
  /** The link could not be made. */
  | { type: 'link.failed'; fault: Fault }
  /** The link was stopped by its own program. */
  | { type: 'link.ended' }
  | { type: 'operator.stop' }
  | { type: 'operator.yield' }
  | { type: 'operator.claim' }

export interface LeaseContext {
  /** Names the lease. It moves the jitter. */
  readonly id: string
  /** Failures in a row: of the store, or of the link that could not be made. */
  readonly failed: number
  /** What went wrong last, or null. */
  readonly fault: Fault | null
}

/** What the store is given to answer a question that nobody's safety waits for. */
export const storeDeadlines = {
  lookDeadline: 5_000,
  claimDeadline: 5_000,
} as const

export interface LeaseTimes {
  /** How long a grant lasts, in milliseconds. */
  readonly ttlMs: number
  /** So long before its end the owner gives up: what the clocks differ, and what it takes to stop. */
  readonly marginMs: number
  /** How much longer than that somebody else waits. */
  readonly graceMs: number
}

/** 3 s of 15: 2 % for the clocks, and the rest for a process that is late. */
export const leaseTimes: LeaseTimes = { ttlMs: 15_000, marginMs: 3_000, graceMs: 0 }

/** Clocks may run apart by so much, one against the other. */
export const DRIFT = 0.02

/** From its last change that we saw until we may take a record that says so, in whole milliseconds. */
export const takeoverMs = ({ ttlMs, graceMs }: Pick<LeaseTimes, 'ttlMs' | 'graceMs'>): number =>
  Math.ceil(ttlMs * (1 + DRIFT) + graceMs)

/** From before we asked until we stop by ourselves. */
export const fenceMs = ({ ttlMs, marginMs }: Pick<LeaseTimes, 'ttlMs' | 'marginMs'>): number => ttlMs - marginMs

/** So long the others have it to themselves: they hear at once that it is free. */
export const ASIDE_MS = 10_000

/** How long the store is left alone after it failed: 1, 2, 4, 8, 12 s, less the jitter. */
export const storeDelay = ({ id, failed }: Pick<LeaseContext, 'id' | 'failed'>): number =>
  backoffDelay(id, { ...nothingSpent, dropped: failed }, { code: 'lease-store-failed' })

/** How long it is left to the others, and longer each time that our link could not be made. */
export const asideDelay = ({ id, failed }: Pick<LeaseContext, 'id' | 'failed'>): number =>
  ASIDE_MS + backoffDelay(id, { ...nothingSpent, costly: failed }, null)

const activity = fromEventObservable<LeaseEvent, { id: string }>(() => ({
  subscribe: () => ({ unsubscribe: () => undefined }),
}))

const input = ({ context }: { context: LeaseContext }) => ({ id: context.id })

const faultOf = (event: object, fallback: Fault | null): Fault | null =>
  !('fault' in event) ? fallback : isFault(event.fault) ? event.fault : { code: 'unknown' }

const blame = <C extends FaultCode>(code: C) => ({ type: 'blame', params: { code } }) as const

/** No activity of ours ends by itself while its state lasts. If one does, the lease goes on. */
const endedByItself = { target: '#lease.backoff', actions: blame('engine-failed') } as const

const storeFailed = { target: '#lease.backoff', actions: 'noteFault', description: 'ask again, later' } as const
const storeSilent = { target: '#lease.backoff', actions: blame('lease-store-failed') } as const

export const leaseMachine = setup({
  types: {} as { context: LeaseContext; events: LeaseEvent; input: { id: string } },
  actors: {
    /** Asks the store who has it. */
    reader: activity,
    /** Sees the record change while another process has it. */
    watcher: activity,
    /** Writes our name into the record. */
    claimer: activity,
    /** Makes the link, and is it; to be left is to be cut. */
    tenant: activity,
    /** Renews the grant, once, before it ends. */
    keeper: activity,
    /** Hands the link over, then gives the record away; is finished when both are done. */
    yielder: activity,
  },
  actions: {
    noteFault: assign({ fault: ({ context, event }) => faultOf(event, context.fault) }),
    blame: assign({ fault: (_, params: { code: FaultCode }) => ({ code: params.code }) }),
    countFailure: assign({ failed: ({ context }) => Math.min(context.failed + 1, SPENT_MAX) }),
    clearFault: assign({ fault: null }),
    forgive: assign({ failed: 0, fault: null }),
  },
  delays: {
    ...storeDeadlines,
    /** The shell counts from when the record was seen to change, by what it says. */
    takeoverDelay: takeoverMs(leaseTimes),
    /** The shell counts from before it asked. */
    fenceDelay: fenceMs(leaseTimes),
    storeDelay: ({ context }) => storeDelay(context),
    asideDelay: ({ context }) => asideDelay(context),
  },
}).createMachine({
  id: 'lease',
  context: ({ input }) => ({ id: input?.id ?? '', failed: 0, fault: null }),
  initial: 'looking',
  on: {
    'operator.stop': { target: '.stopped', description: 'nothing is owned' },
    // XState ends an actor for good when the failure of a child meets no arrow, even of a child that was left already.
    'xstate.error.actor.reader': {},
    'xstate.error.actor.watcher': {},
    'xstate.error.actor.claimer': {},
    'xstate.error.actor.tenant': {},
    'xstate.error.actor.keeper': {},
    'xstate.error.actor.yielder': {},
  },
  states: {
    looking: {
      invoke: { id: 'reader', src: 'reader', input, onDone: endedByItself, onError: endedByItself },
      on: {
        'lease.found': { target: 'standby', description: 'another process has it' },
        'lease.vacated': { target: 'claiming', description: 'nobody has it' },
        'store.failed': storeFailed,
      },
      after: { lookDeadline: storeSilent },
    },

    standby: {
      entry: 'forgive',
      invoke: { id: 'watcher', src: 'watcher', input, onDone: endedByItself, onError: endedByItself },
      on: {
        'lease.found': { target: 'standby', reenter: true, description: 'its owner lives: its time begins anew' },
        'lease.vacated': { target: 'claiming', description: 'its owner gave it away' },
      },
      after: { takeoverDelay: { target: 'claiming', description: 'its owner has given up by now' } },
    },

    claiming: {
      invoke: { id: 'claimer', src: 'claimer', input, onDone: endedByItself, onError: endedByItself },
      on: {
        'lease.granted': { target: 'owned', actions: 'clearFault', description: 'it is ours' },
        'lease.refused': {
          target: 'backoff',
          actions: blame('lease-taken'),
          description: 'another process was faster, or lives',
        },
        'store.failed': storeFailed,
      },
      after: { claimDeadline: storeSilent },
    },

    owned: {
      initial: 'serving',
      invoke: { id: 'tenant', src: 'tenant', input },
      states: {
        serving: {
          invoke: { id: 'keeper', src: 'keeper', input, onDone: endedByItself, onError: endedByItself },
          on: {
            'lease.renewed': { target: 'serving', reenter: true, actions: 'forgive', description: 'for another time' },
            'lease.taken': {
              target: '#lease.looking',
              actions: blame('lease-taken'),
              description: 'cut: another process has it',
            },
            'link.ended': { target: 'closing', description: 'its own program stopped it' },
            'link.failed': {
              target: 'yielding',
              actions: ['noteFault', 'countFailure'],
              description: 'it could not be made here: let another process try',
            },
            'operator.yield': { target: 'yielding', description: 'a person wants it elsewhere' },
            'operator.stop': { target: 'closing', description: 'hand over, then rest for good' },
            'xstate.done.actor.tenant': endedByItself,
            'xstate.error.actor.tenant': endedByItself,
          },
          after: {
            fenceDelay: {
              target: '#lease.backoff',
              actions: blame('lease-expired'),
              description: 'cut: from here on another process may have it',
            },
          },
        },
        yielding: {
          invoke: { id: 'yielder', src: 'yielder', input, onDone: '#lease.aside', onError: '#lease.aside' },
          on: { 'operator.stop': { target: 'closing', description: 'and do not come back' } },
          after: { fenceDelay: { target: '#lease.aside', description: 'cut: it takes too long' } },
        },
        closing: {
          invoke: { id: 'yielder', src: 'yielder', input, onDone: '#lease.stopped', onError: '#lease.stopped' },
          on: { 'operator.stop': {} },
          after: { fenceDelay: { target: '#lease.stopped', description: 'cut: it takes too long' } },
        },
      },
    },

    backoff: {
      entry: 'countFailure',
      after: { storeDelay: { target: 'looking', description: 'ask again' } },
    },

    aside: {
      on: { 'operator.claim': { target: 'looking', description: 'a person wants it here' } },
      after: { asideDelay: { target: 'looking', description: 'the others had their chance' } },
    },

    stopped: { type: 'final' },
  },
})

/** The states by the names that people use; `owned` is told by its parts. */
export const leaseStateNames = [
  'looking',
  'standby',
  'claiming',
  'serving',
  'yielding',
  'closing',
  'backoff',
  'aside',
  'stopped',
] as const

export type LeaseState = (typeof leaseStateNames)[number]

export const leaseState = (value: unknown): LeaseState =>
  (typeof value === 'string' ? value : Object.values(value as object)[0]) as LeaseState
