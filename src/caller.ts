/** The caller's side of a link: what may be asked along with a message, checked, and the errors that come back. */
import type { Fault } from '../machines/fault.ts'
import { describe } from './adapter/adapter.ts'
import { type ErrorCode, HoldfastError, sentence } from './error.ts'
import { checkNumber } from './options.ts'
import type { Fate, Settled, Ticket } from './outbox/outbox.ts'

export interface SendOptions {
  /** How long it may take until it is delivered, in milliseconds. Default 300,000 for `send`, 10,000 for `call`. */
  readonly withinMs?: number
  /**
   * Give one if a second copy would be harmless: then a message whose fate is uncertain is written again on the next
   * transport, under this key.
   */
  readonly idempotencyKey?: string
  /** Messages of one conversation are never written in another order than they were sent. Default: what the adapter says. */
  readonly conversation?: string
  /**
   * Replaces the message of the same conversation and key that still waits and was never written: that one is refused.
   * For states of which only the newest matters.
   */
  readonly coalesceKey?: string
}

export interface CallOptions extends SendOptions {
  /** Refused at once if the link is not live, and never carried over the loss of a transport. Default false. */
  readonly failFast?: boolean
  readonly signal?: AbortSignal
}

export const SEND_WITHIN_MS = 300_000
export const CALL_WITHIN_MS = 10_000
const WITHIN_MAX_MS = 86_400_000

export const errorCodeOf: Record<Exclude<Fate, 'delivered'>, ErrorCode> = {
  expired: 'expired',
  refused: 'refused',
  uncertain: 'uncertain',
}

export const checkTicket = (options: CallOptions, fallback: number): Ticket => {
  const { withinMs = fallback, idempotencyKey, conversation, coalesceKey, failFast = false } = options
  checkName('idempotencyKey', idempotencyKey)
  checkName('conversation', conversation)
  checkName('coalesceKey', coalesceKey)
  if (typeof failFast !== 'boolean') {
    throw new HoldfastError('bad-option', `failFast is ${describe(failFast)}; it must be true or false.`)
  }
  checkNumber('withinMs', withinMs, WITHIN_MAX_MS)
  return { withinMs, idempotencyKey, conversation, coalesceKey, failFast }
}

export const checkDrain = (drainMs: number | undefined): void => {
  if (drainMs !== undefined && drainMs !== 0) checkNumber('drainMs', drainMs, WITHIN_MAX_MS)
}

const checkName = (name: string, value: unknown): void => {
  if (value === undefined || (typeof value === 'string' && value !== '')) return
  throw new HoldfastError('bad-option', `${name} is ${describe(value)}; it must be a non-empty string.`)
}

export const aborted = (signal: AbortSignal | undefined): HoldfastError =>
  new HoldfastError('aborted', 'The operation was aborted by its signal.', { cause: signal?.reason })

export const parkedError = (id: string, fault: Fault | null): HoldfastError =>
  new HoldfastError('parked', `${id} is parked: ${fault ? sentence(fault) : 'it was put on hold.'}`, {
    fault: fault ?? undefined,
  })

/** The caller stops waiting; the message keeps its own deadline and fate. */
export const orAborted = (answered: Promise<Settled>, signal: AbortSignal): Promise<Settled> =>
  new Promise((resolve, reject) => {
    const abort = () => reject(aborted(signal))
    signal.addEventListener('abort', abort, { once: true })
    void answered.then((settled) => {
      signal.removeEventListener('abort', abort)
      resolve(settled)
    })
  })
