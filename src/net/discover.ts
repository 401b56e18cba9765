/**
 * Which targets there are: an adapter may name one, give a list, or watch a registry. That there is none for the moment is
 * not an error: the link stays in `resolving`, asks again or listens on, and after a second makes do with the last known.
 */
import { isObservable, Observable } from 'rxjs'
import { type Adapter, checkAnyTarget, type Target, type TargetContext, type Targets } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'

/** Milliseconds until the last known targets are used: incident 5, statement 2. */
const LAST_KNOWN_MS = 1_000
/** How soon a provider without targets is asked again, in milliseconds; doubled each time. */
const POLL_MS = 250
const POLL_MAX_MS = 2_000
const TARGETS_MAX = 256

/** By adapter: several links of one adapter have one provider. */
const lastKnown = new WeakMap<object, readonly Target[]>()

/**
 * The targets of an adapter, one at least, checked, in the provider's order; told once. Errors with the provider's error,
 * and with HoldfastError `bad-option` for what is no target. It has no deadline: whoever waits sets one, and unsubscribes.
 */
export const discover = (adapter: Adapter, clock: Clock, context: TargetContext): Observable<readonly Target[]> =>
  new Observable((subscriber) => {
    let pollMs = POLL_MS
    let isMakingDo = false
    const fail = (error: unknown) => subscriber.error(error)
    const after = (ms: number, run: () => void) => {
      const timer = clock.setTimeout(run, ms)
      subscriber.add(() => clock.clearTimeout(timer))
    }
    const tell = (targets: readonly Target[]) => {
      subscriber.next(targets)
      subscriber.complete()
    }
    const makeDo = () => {
      const known = lastKnown.get(adapter)
      if (isMakingDo || !known) return
      isMakingDo = true
      after(LAST_KNOWN_MS, () => tell(known))
    }
    const take = (given: Targets) => {
      const targets = Array.isArray(given) ? given.slice(0, TARGETS_MAX) : [given as Target]
      for (const target of targets) checkAnyTarget(target, `adapter "${adapter.name}"`)
      if (targets.length === 0) return makeDo()
      lastKnown.set(adapter, targets)
      tell(targets)
    }
    const watch = (targets$: Observable<Targets>) => {
      // a registry that has said nothing is as good as an empty one
      makeDo()
      const next = (given: Targets) => {
        try {
          take(given)
        } catch (error) {
          fail(error)
        }
      }
      const complete = () => fail(new Error('the provider ended without a target'))
      subscriber.add(targets$.subscribe({ next, error: fail, complete }))
    }
    const ask = async (): Promise<void> => {
      const given = await adapter.target(context)
      if (subscriber.closed) return
      if (isObservable(given)) return watch(given as Observable<Targets>)
      take(given as Targets)
      if (subscriber.closed) return
      after(pollMs, () => void ask().catch(fail))
      pollMs = Math.min(2 * pollMs, POLL_MAX_MS)
    }
    ask().catch(fail)
  })
