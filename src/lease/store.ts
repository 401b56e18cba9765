/**
 * Where leases are kept: a store that all processes of a fleet share. A port of four operations; all safety comes from the
 * second one, so a store needs to know nothing of time.
 */
import { Observable, Subject } from 'rxjs'

/** A record as the store has it. */
export interface StoredLease {
  readonly value: string
  /** Grows with every write. */
  readonly revision: number
}

export interface LeaseStore {
  /**
   * The record under this key, or null. It may be older than the latest write. Rejects if the store does not answer.
   */
  read(key: string, signal: AbortSignal): Promise<StoredLease | null>
  /**
   * Writes if the record still has this revision, or with null if there is none. Resolves to the new revision, or to null if
   * somebody else has written. Rejects where it is not known whether it was written.
   */
  replace(key: string, expected: number | null, value: string, signal: AbortSignal): Promise<number | null>
  /** Emits when the record may have changed: a hint, which may come late, twice or not at all. Never errors. */
  watch(key: string): Observable<void>
  /** Lets go of all that it holds. */
  close(): Promise<void>
}

/** For tests, and for leases within one process: whoever has the object shares it. */
export const memoryLeaseStore = (): LeaseStore => {
  const records = new Map<string, StoredLease>()
  const written$ = new Subject<string>()
  let revisions = 0
  return {
    read: async (key) => records.get(key) ?? null,
    replace: async (key, expected, value) => {
      if ((records.get(key)?.revision ?? null) !== expected) return null
      const revision = ++revisions
      records.set(key, { value, revision })
      written$.next(key)
      return revision
    },
    watch: (key) =>
      new Observable((subscriber) =>
        written$.subscribe((written) => {
          if (written === key) subscriber.next()
        }),
      ),
    close: async () => undefined,
  }
}
