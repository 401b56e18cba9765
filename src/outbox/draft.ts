/** A message as it will be written and kept, or why it can be neither. */
import { isBeside, type Outgoing } from '../adapter/adapter.ts'
import { textOf } from '../error.ts'
import { type Entry, newEntry, type Settled, type Ticket } from './entry.ts'
import { recoveredSlip } from './keeper.ts'
import { type Kept, plainCopy } from './ledger.ts'

export interface Draft {
  readonly outgoing: Outgoing
  readonly bytes: number
  readonly conversation: string | undefined
  /** Undefined if it is not to be kept. */
  readonly kept: Kept | undefined
}

/** Messages as the adapter encodes them. */
export type Encode = (message: unknown, key: string) => Outgoing

/** What is kept beside the ticket. */
interface Keeping {
  readonly message: unknown
  readonly wall: number
}

export const draftOf = (
  key: string,
  make: (key: string) => Outgoing,
  ticket: Ticket,
  keeping: Keeping | undefined,
): Draft | string => {
  let step = 'encoded'
  try {
    const outgoing = make(key)
    const bytes = sizeOf(outgoing)
    step = 'kept'
    const kept = keeping && keptFrom(key, ticket, keeping)
    return { outgoing, bytes, kept, conversation: conversationOf(outgoing, ticket.conversation, kept !== undefined) }
  } catch (error) {
    return `it cannot be ${step}: ${error instanceof Error ? error.message : textOf(error)}`
  }
}

const keptFrom = (key: string, ticket: Ticket, { message, wall }: Keeping): Kept => {
  const { withinMs, conversation, coalesceKey, idempotencyKey } = ticket
  const idempotent = idempotencyKey !== undefined
  return {
    v: 1,
    key,
    message: plainCopy(message),
    expiresAt: wall + withinMs,
    conversation,
    coalesceKey,
    idempotent,
    written: false,
  }
}

/** The conversation of all frames that are kept and name none: their order must not depend on the disk. */
const UNNAMED = ''

const conversationOf = (outgoing: Outgoing, asked: string | undefined, isKept: boolean): string | undefined =>
  asked ?? outgoing.conversation ?? (isKept && !isBeside(outgoing) ? UNNAMED : undefined)

const sizeOf = (outgoing: Outgoing): number => {
  if ('http' in outgoing) return Buffer.byteLength(outgoing.http.body ?? '')
  if ('run' in outgoing) return 0
  const { frame } = outgoing
  if (typeof frame !== 'string' && !(frame instanceof Uint8Array)) throw new TypeError('a frame is a string or bytes')
  return typeof frame === 'string' ? Buffer.byteLength(frame) : frame.byteLength
}

/** A wall clock that was set back must not keep a message alive for years. */
const LEFT_MAX_MS = 86_400_000
const NOTHING: Draft = { outgoing: { frame: '' }, bytes: 0, conversation: undefined, kept: undefined }

/**
 * A message of another life of this process: it waits again, unless its fate is known by now. `at` is where it lies in
 * the ledger, if it does.
 */
export const revive = (
  at: string | undefined,
  kept: Kept,
  encode: Encode,
  { now, wall, dedupes }: { now: number; wall: number; dedupes: boolean },
): { entry: Entry; fate: Settled | undefined } => {
  const { key, message, conversation, coalesceKey } = kept
  const withinMs = Math.min(kept.expiresAt - wall, LEFT_MAX_MS)
  const ticket: Ticket = { withinMs, conversation, coalesceKey }
  const draft = draftOf(key, () => encode(message, key), ticket, undefined)
  const { outgoing, bytes } = typeof draft === 'string' ? NOTHING : draft
  const repeats = kept.idempotent || dedupes
  const entry = newEntry({
    key,
    outgoing,
    message,
    bytes,
    withinMs,
    expiresAt: now + withinMs,
    conversation: conversationOf(outgoing, conversation, true),
    coalesceKey,
    repeats,
    failFast: false,
    recovered: true,
    slip: at === undefined ? undefined : recoveredSlip(kept, at),
    resolve: undefined,
    place: 0,
  })
  // no mark is made of those that repeat
  entry.mayHaveArrived = repeats || kept.written
  return { entry, fate: fateOf(entry, kept.written, draft) }
}

const fateOf = ({ withinMs, repeats }: Entry, written: boolean, draft: Draft | string): Settled | undefined => {
  if (written && !repeats) return { fate: 'uncertain', detail: 'the process ended when it may have been written' }
  if (withinMs <= 0) return { fate: 'expired', detail: 'its time ended before the process began again' }
  return typeof draft === 'string' ? { fate: 'refused', detail: draft } : undefined
}
