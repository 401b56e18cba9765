/** One outbound message from the moment it is taken until its fate is known. */
import type { Outgoing } from '../adapter/adapter.ts'
import type { Flight } from './flight.ts'
import type { Slip } from './keeper.ts'

/**
 * What became of an outbound message.
 *
 * - `delivered`  the peer proved it: its answer, or its pong to a ping sent after the message
 * - `expired`    it was never written within its time
 * - `refused`    it was certainly not delivered: outbox full, not encodable, replaced, or the peer said no
 * - `uncertain`  it was written, and no proof came: it may have arrived or not
 */
export type Fate = 'delivered' | 'expired' | 'refused' | 'uncertain'

export interface Settled {
  readonly fate: Fate
  /** The peer's answer, where there is one. */
  readonly result?: unknown
  /** Why it was not delivered. */
  readonly detail?: string
  /** It went over the fallback channel, because the link was down. */
  readonly via?: 'fallback'
}

/** What the caller asks for a message. */
export interface Ticket {
  readonly withinMs: number
  /** Given by the caller: the peer, or the meaning of the message, makes a second copy harmless. */
  readonly idempotencyKey?: string | undefined
  /** Messages of one conversation are never written in another order than they were put. */
  readonly conversation?: string | undefined
  /** Replaces the message of the same conversation and key that still waits and was never written. */
  readonly coalesceKey?: string | undefined
  /** Refused at once while the link is not live, and never carried over the loss of a transport. */
  readonly failFast?: boolean | undefined
}

/** What is known of a message when it is taken. */
interface Taken {
  readonly key: string
  readonly outgoing: Outgoing
  /** What the user sent; undefined for a call. */
  readonly message: unknown
  readonly bytes: number
  readonly withinMs: number
  readonly expiresAt: number
  readonly conversation: string | undefined
  readonly coalesceKey: string | undefined
  /** May be written again if it may have arrived. */
  readonly repeats: boolean
  readonly failFast: boolean
  /** It was accepted in another life of this process. */
  readonly recovered: boolean
  /** Its record in the ledger, if it is kept. */
  readonly slip: Slip | undefined
  readonly resolve: ((settled: Settled) => void) | undefined
  /** Its turn among all that wait. */
  place: number
}

export interface Entry extends Taken {
  /** Where it was written; undefined while it waits. */
  flight: Flight | undefined
  /** Its request, while one is under way. */
  beside: AbortController | undefined
  /** It was written and lost, and goes before all that wait for their first time. */
  again: boolean
  /** It waits, and still the peer may have it: from a transport that was lost, or from another life of this process. */
  mayHaveArrived: boolean
  /** What went wrong when it was last written. */
  trouble: string | undefined
  /** Not before this moment on this flight; on any other at once. */
  pause: { readonly until: number; readonly flight: Flight } | undefined
  tries: number
  isSettled: boolean
}

/** Spelled out, because a spread of so many fields costs more than all else that is done for a message. */
export const newEntry = (taken: Taken): Entry => ({
  key: taken.key,
  outgoing: taken.outgoing,
  message: taken.message,
  bytes: taken.bytes,
  withinMs: taken.withinMs,
  expiresAt: taken.expiresAt,
  conversation: taken.conversation,
  coalesceKey: taken.coalesceKey,
  repeats: taken.repeats,
  failFast: taken.failFast,
  recovered: taken.recovered,
  slip: taken.slip,
  resolve: taken.resolve,
  place: taken.place,
  flight: undefined,
  beside: undefined,
  again: false,
  mayHaveArrived: false,
  trouble: undefined,
  pause: undefined,
  tries: 0,
  isSettled: false,
})
