/** What stands in the store under the id of a link: who owns it, for how long, and what the owner before left. */

export interface LeaseRecord {
  /** For people. Null: nobody has it. */
  readonly owner: string | null
  /** Of one start of one process: a process of the same name is not the same. */
  readonly session: string | null
  /** Counts the owners. */
  readonly term: number
  /** How long each grant lasts, in milliseconds: who waits for its end must know. */
  readonly ttlMs: number
  /** When it was written, by the clock of whoever wrote it: for people. It also makes every record another one. */
  readonly at: number
  /** Sealed; taken by the next owner together with the lease. */
  readonly handOver?: string
}

export const TTL_MIN_MS = 1_000
export const TTL_MAX_MS = 600_000

const NAME_LENGTH_MAX = 256

/** The record in a text, or null if it is none of ours: it may be damaged, or of a version to come. */
export const readRecord = (text: string): LeaseRecord | null => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const { v, owner, session, term, ttlMs, at, handOver } = value as Record<string, unknown>
  const isOurs =
    v === 1 &&
    isName(owner) &&
    isName(session) &&
    (owner === null) === (session === null) &&
    isWhole(term, 0, Number.MAX_SAFE_INTEGER - 1) &&
    isWhole(ttlMs, TTL_MIN_MS, TTL_MAX_MS) &&
    typeof at === 'number' &&
    (handOver === undefined || typeof handOver === 'string')
  if (!isOurs) return null
  return { owner, session, term, ttlMs, at, ...(handOver !== undefined && { handOver }) }
}

export const writeRecord = (record: LeaseRecord): string => JSON.stringify({ v: 1, ...record })

const isName = (value: unknown): value is string | null =>
  value === null || (typeof value === 'string' && value !== '' && value.length <= NAME_LENGTH_MAX)

const isWhole = (value: unknown, min: number, max: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
