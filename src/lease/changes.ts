/** What tells that records may have changed, from a source that may end at any time and is then begun again. */
import { filter, map, Observable, share } from 'rxjs'
import type { Clock, Timer } from '../clock.ts'

/** The key that changed; undefined where it may be any. */
export type Change = string | undefined

/** How soon a source that ended is begun again, in milliseconds. */
const AGAIN_MS = 1_000

/**
 * What a source tells, for as long as somebody listens. However it ends, or fails to begin, it is begun again after a
 * second: a change in between is missed.
 */
export const changesOf = (
  clock: Clock,
  source: (tell: (change: Change) => void, signal: AbortSignal) => Promise<void>,
): Observable<Change> =>
  new Observable<Change>((subscriber) => {
    const abort = new AbortController()
    let timer: Timer | undefined
    const again = () => {
      if (!abort.signal.aborted) timer = clock.setTimeout(begin, AGAIN_MS)
    }
    const begin = () => void source((change) => subscriber.next(change), abort.signal).then(again, again)
    begin()
    return () => {
      abort.abort()
      clock.clearTimeout(timer)
    }
  }).pipe(share())

export const changesTo = (key: string, changes$: Observable<Change>): Observable<void> =>
  changes$.pipe(
    filter((change) => change === undefined || change === key),
    map(() => undefined),
  )
