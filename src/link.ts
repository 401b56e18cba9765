/** A link: one bot's connection, as its user has it in hand. */
import type { Observable } from 'rxjs'
import { type Adapter, type Calls, checkAdapter } from './adapter/adapter.ts'
import type { CallOptions, SendOptions } from './caller.ts'
import type { FrameCounts } from './conversation.ts'
import type { Explanation, Language, LinkStatus } from './explain.ts'
import type { HandOver } from './hand-over.ts'
import type { InboundCounts, LossReason } from './inbound.ts'
import { RunningLink } from './link/running-link.ts'
import type { Recording, TransitionRecord } from './observe/recorder.ts'
import { traceOf } from './observe/shared-trace.ts'
import { checkOptions, type Deadlines, type LinkOptions } from './options.ts'
import type { Outage, OutageNotice } from './outage/outage.ts'
import type { Fate, OutboxCounts, SettledMessage } from './outbox/outbox.ts'
import type { Continuity } from './session.ts'

export interface Receipt {
  readonly fate: Fate
  readonly detail?: string
  /** The peer's answer, where there is one; or what the fallback gave. */
  readonly result?: unknown
  /** The link was down, and the option `fallback` has delivered it. */
  readonly via?: 'fallback'
}

/** Resolves to the receipt. */
export interface Sending extends Promise<Receipt> {
  /**
   * The outbox has the message; with the option `store` it is on disk, and a crash cannot undo it. Rejects with
   * HoldfastError `refused` if it was not taken.
   */
  readonly accepted: Promise<void>
}

export interface LinkStats {
  readonly frames: Readonly<FrameCounts>
  readonly outbox: OutboxCounts
  /** Events that the chart did not name in the state that it was in: legal, and nothing changed. */
  readonly eventsIgnored: number
  readonly inbound: InboundCounts
  /** What listeners to the streams of the link threw: each ended nothing but its own call. */
  readonly listenerErrors: number
}

export interface ContinuityRecord {
  readonly kind: Continuity
  /**
   * What told so: the peer's welcome, a bound of ours that was reached, or an old transport that broke in a move: before the
   * new one was welcomed, or before it could be closed.
   */
  readonly because: 'welcome' | 'cut-short' | LossReason
  /** How many messages are missing, where that is known. */
  readonly missed?: number
  /** Milliseconds since 1970. */
  readonly at: number
}

export type { CallOptions, SendOptions }

/** One bot's connection. */
export interface Link<In = unknown, Out = unknown, C extends Calls = Calls> extends AsyncIterable<In>, AsyncDisposable {
  readonly id: string
  /** The name of its adapter. */
  readonly adapterName: string
  /** How long each step may take, in milliseconds. */
  readonly deadlines: Deadlines
  readonly status: LinkStatus
  /** The outage that it is in, or null. */
  readonly outage: Outage | null
  /** The smoothed round trip of the present transport in milliseconds, or null until a probe was answered. */
  readonly roundTripMs: number | null
  /**
   * How long the peer has been silent, in milliseconds: since the last frame of the present transport that was of the
   * protocol. Null where nobody has welcomed us.
   */
  readonly silentMs: number | null
  /** The status, replayed to new subscribers. Completes when the link has stopped; never errors. */
  readonly state$: Observable<LinkStatus>
  /**
   * Messages of the peer; `for await (const m of link)` reads them too, and each of several readers gets every message.
   * While nobody reads they are kept for who comes next, within the bound of the option `inbound`.
   */
  readonly inbound$: Observable<In>
  /** Every transition with its reason, as it happens. */
  readonly transitions$: Observable<TransitionRecord>
  /**
   * What each welcome means for the messages that came before it: `new` (there was nothing to miss), `recovered` (all that
   * was missed has been replayed), `gap` (messages may be missing).
   */
  readonly continuity$: Observable<ContinuityRecord>
  /** The beginning of each outage, each further fault in it, and its end. */
  readonly outages$: Observable<OutageNotice>
  /** The fate of every message, also of those that an earlier process accepted. */
  readonly settled$: Observable<SettledMessage>
  /** Whether the outbox takes messages: false from full until half of it is free again. */
  readonly writable$: Observable<boolean>
  /** The latest transitions. */
  readonly recording: Recording
  readonly stats: LinkStats
  /** Resolves when the link is live, however it got there. Rejects when it is parked or stopped, or by the signal. */
  ready(options?: { signal?: AbortSignal }): Promise<void>
  /** Resolves when the outbox has room. Rejects by the signal, or when the link has stopped. */
  writable(options?: { signal?: AbortSignal }): Promise<void>
  /** Queues a message. Never rejects for what happens on the way: the receipt tells its fate. */
  send(message: Out, options?: SendOptions): Sending
  /** Asks the peer and resolves to its answer. Waits for a live link within its time; otherwise rejects. */
  call<M extends keyof C & string>(method: M, params?: C[M]['params'], options?: CallOptions): Promise<C[M]['result']>
  /** Where it is, why, and what comes next. */
  explain(options?: { language?: Language }): Explanation
  /** Puts the link to rest until `resume()`. */
  hold(): void
  resume(): void
  /** Dials now instead of waiting, unless the peer asked for the wait. In every other state nothing changes. */
  retry(): void
  /**
   * Moves a live link to a new transport: the new one goes live before the old one closes where the adapter allows two at
   * a time, otherwise after it. In every other state nothing changes: it is on its way already.
   */
  replace(): void
  /**
   * Ends the link so that the next process goes on where it was: gives what the option `handOver` of its link takes. What
   * was written is waited for, what was not written goes along, and the peer is left so that it keeps the session. With
   * the option `store` accepted messages stay in the store: give the next link the same one. Asked twice, it is one
   * hand-over; after `stop()` there are no messages in it.
   */
  handOver(options?: { drainMs?: number }): Promise<HandOver>
  /** Delivers what waits within `drainMs`, says goodbye and ends. Resolves once nothing of the link is left. */
  stop(options?: { drainMs?: number }): Promise<void>
}

/**
 * Starts a link that holds the adapter's peer, and keeps at it until `stop()`.
 * Throws HoldfastError `bad-option` at once if the adapter or an option is wrong, and `store-failed` if the file of the
 * option `trace` cannot be opened; whatever happens later is a state.
 */
export const connect = <In, Out, C extends Calls>(
  adapter: Adapter<In, Out, C>,
  options: LinkOptions = {},
): Link<In, Out, C> => {
  checkAdapter(adapter)
  const checked = checkOptions(options, adapter.name, adapter.handshakeMs)
  const trace = traceOf(checked.trace)
  const link = new RunningLink(adapter, checked)
  trace?.follow(link)
  return link
}
