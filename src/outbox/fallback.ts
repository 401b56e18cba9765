/** Another way for messages while the link is down: a function of the user's. */
import type { TaskOutgoing } from '../adapter/adapter.ts'
import type { Writer } from './flight.ts'

/** What comes with a message that is handed to the fallback. */
export interface Handed {
  /** The key of the message, the same at each attempt. */
  readonly key: string
  readonly conversation: string | undefined
  /** Fires when the time of the message has ended, or the link has: what then becomes of it nobody waits for. */
  readonly signal: AbortSignal
}

/**
 * Resolves when the message is delivered, and its result is the receipt's. Rejects if it certainly is not: then it waits
 * on, for the link or for the next attempt.
 */
export type FallbackSend = (message: unknown, handed: Handed) => unknown

export interface FallbackOptions {
  /** How long the link must not have been live until messages go this way, in milliseconds. Default 30,000. */
  readonly afterMs?: number
  send(message: unknown, handed: Handed): unknown
}

const nothing = () => undefined

export const fallbackWriter: Writer = {
  write: nothing,
  awaitProof: nothing,
  mark: nothing,
  hasRoom: () => true,
  request: (outgoing, signal) => (outgoing as TaskOutgoing).run(signal),
}
