/** Whether links are live: the one question that decides whether what depends on them starts. */
import { combineLatest, Observable } from 'rxjs'
import type { StateName } from '../../machines/link.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Link } from '../link.ts'

/** `ready`: all of them are live, and were for the stable time. `stopped`: one of them will never be live again. */
export type Readiness = 'ready' | 'lost' | 'stopped'

/** What has been ready stays so while a heartbeat is in doubt: within two seconds that is live again, or lost. */
const isHeld = (state: StateName): boolean => state === 'live' || state === 'degraded.suspect'

/** Says it at once if one is lost or stopped, and then each change. It looks at states alone, and never at reasons. */
export const readinessOf = (
  links: readonly Pick<Link, 'state$'>[],
  stableMs: number,
  clock: Clock,
): Observable<Readiness> =>
  new Observable((subscriber) => {
    let said: Readiness | undefined
    let timer: Timer | undefined

    const say = (readiness: Readiness) => {
      if (said === readiness) return
      said = readiness
      subscriber.next(readiness)
    }
    const forget = () => {
      clock.clearTimeout(timer)
      timer = undefined
    }
    const judge = (states: readonly StateName[]) => {
      const areLive = states.every((state) => state === 'live')
      if (!areLive) forget()
      if (states.includes('stopped')) say('stopped')
      else if (!states.every(isHeld)) say('lost')
      else if (!areLive || said === 'ready') return
      else if (stableMs === 0) say('ready')
      else timer ??= clock.setTimeout(() => say('ready'), stableMs)
    }

    subscriber.add(
      combineLatest(links.map(({ state$ }) => state$)).subscribe((all) => judge(all.map(({ state }) => state))),
    )
    subscriber.add(forget)
  })
