/**
 * Where leases are kept, so that the processes of a fleet agree on who owns a link: a record under a key, its revision,
 * and a write that happens only if the revision is still the same. Nothing else is asked of a store: no time of its own,
 * no expiry, no session. Whoever watches a lease times it by his own clock.
 *
 * Three implementations: `memoryLeaseStore()`, `natsLeaseStore()` and `etcdLeaseStore()`.
 */
import { type Observable, Subject } from 'rxjs'
import { HoldfastError } from '../error.ts'
import { changesTo } from './changes.ts'

/** A record as the store has it. */
export interface StoredLease {
  readonly value: string
  /** Grows with every write. */
  readonly revision: number
}

export interface LeaseStore {
  /**
   * The record under this key, or null. It may be older than the latest write, and is never torn. Rejects with
   * HoldfastError `store-failed` if the store does not answer (after 5 s at the latest), with `aborted` when the signal
   * fires, with `stopped` when the store was closed, and with `bad-option` for a key or a store that cannot be used.
   */
  read(key: string, signal: AbortSignal): Promise<StoredLease | null>
  /**
   * Writes if the record still has this revision, or if there is none and null is expected. Resolves to the new revision,
   * or to null where somebody else has written: a conflict, and nothing was. Rejects as `read` does; then nobody knows
   * whether it was written, or still will be.
   */
  replace(key: string, expected: number | null, value: string, signal: AbortSignal): Promise<number | null>
  /**
   * Emits when the record may have changed. A hint: it may come late, twice or not at all. It never errors: what is lost
   * is taken up again within seconds, and it completes when the store is closed.
   */
  watch(key: string): Observable<void>
  /** Ends what is under way and lets go of all that it holds. */
  close(): Promise<void>
}

/** Kept by this process alone, and gone with it: for tests, and for several links of one process. */
export const memoryLeaseStore = (): LeaseStore => {
  const kept = new Map<string, StoredLease>()
  const changed = new Subject<string>()
  let revision = 0
  return {
    read: async (key, signal) => {
      check(key, signal)
      return kept.get(key) ?? null
    },
    replace: async (key, expected, value, signal) => {
      check(key, signal)
      if ((kept.get(key)?.revision ?? null) !== expected) return null
      revision++
      kept.set(key, { value, revision })
      changed.next(key)
      return revision
    },
    watch: (key) => {
      checkKey(key)
      return changesTo(key, changed)
    },
    // others may share it
    close: async () => undefined,
  }
}

const check = (key: string, signal: AbortSignal): void => {
  checkKey(key)
  if (signal.aborted) throw abortedError('The lease store was not asked')
}

/** So that every character, escaped for a NATS subject, still fits into the 4,096 bytes of a line of its protocol. */
const KEY_BYTES_MAX = 1_024

/** Throws HoldfastError `bad-option` for what no store can have a record under. */
export const checkKey = (key: string): void => {
  // half a surrogate pair has no UTF-8, so two such keys would be one
  const isText = typeof key === 'string' && key !== '' && !/\p{Surrogate}/u.test(key)
  if (isText && Buffer.byteLength(key) <= KEY_BYTES_MAX) return
  const shown = typeof key === 'string' ? JSON.stringify(key).slice(0, 80) : `a ${typeof key}`
  const wanted = `well-formed text of 1 to ${KEY_BYTES_MAX} bytes`
  throw new HoldfastError('bad-option', `The key of a lease must be ${wanted}; this one is ${shown}.`)
}

export const abortedError = (what: string): HoldfastError =>
  new HoldfastError('aborted', `${what}: the AbortSignal fired.`)
