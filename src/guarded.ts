/**
 * Streams that a listener cannot turn against others. RxJS throws what a listener throws anew from a timer, and that ends
 * the process with every other link in it; here it is counted and told instead. Nothing global is touched for that.
 */
import { Observable, type Observer, Subscriber, type Subscription } from 'rxjs'
import type { Clock } from './clock.ts'
import { textOf } from './error.ts'
import type { Scrub } from './secret.ts'

type Failed = (error: unknown) => void
type Listener<T> = Partial<Observer<T>>

/**
 * Like `source$`, but what a listener throws goes to `failed`, and so does an error that nobody handles, such as that of a
 * function in `pipe(map(…))`. As in RxJS a listener that threw is told of the next value too, and an error in a pipe ends
 * that pipe. This holds for the stream and for whatever `pipe` makes of it; what RxJS makes anew out of several streams
 * (`merge`, `combineLatest`), and the groups and windows within a stream, are as RxJS made them.
 */
export const guarded = <T>(source$: Observable<T>, failed: Failed): Observable<T> =>
  new Guarded<T>(failed, (subscriber) => {
    // a cleanup of the listener's (`finalize`) runs within the source's own call, so this end is guarded as well
    const inner = new Subscriber<T>(careful(subscriber, failed))
    subscriber.add(inner)
    source$.subscribe(inner)
  })

class Guarded<T> extends Observable<T> {
  readonly #failed: Failed

  constructor(failed: Failed, subscribe?: (subscriber: Subscriber<T>) => void) {
    super(subscribe)
    this.#failed = failed
    // not a method: `publish` takes this function along and calls it on an observable of its own
    this.lift = function (this: Observable<T>, operator) {
      const lifted = new Guarded<never>(failed)
      return Object.assign(lifted, { source: this, operator })
    }
  }

  override subscribe(
    listener?: Listener<T> | ((value: T) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    if (isSubscriber(listener)) return super.subscribe(listener)
    const asked = typeof listener === 'function' || !listener ? handlers(listener, error, complete) : listener
    return super.subscribe(careful(asked, this.#failed))
  }
}

const handlers = <T>(
  next: ((value: T) => void) | null | undefined,
  error: ((error: unknown) => void) | null | undefined,
  complete: (() => void) | null | undefined,
): Listener<T> => ({ ...(next && { next }), ...(error && { error }), ...(complete && { complete }) })

/** What RxJS takes as it is: an operator's end of a pipe, or one of another copy of RxJS. No code of a listener is in it. */
const isSubscriber = <T>(listener: unknown): listener is Subscriber<T> => {
  if (listener instanceof Subscriber) return true
  const parts = ['next', 'error', 'complete', 'add', 'remove', 'unsubscribe'] as const
  return parts.every((part) => typeof (listener as Record<string, unknown> | null)?.[part] === 'function')
}

/** Its handlers are looked up at each call, as RxJS does it. */
const careful = <T>(listener: Listener<T>, failed: Failed): Observer<T> => {
  const attempt = (act: () => void) => {
    try {
      act()
    } catch (error) {
      failed(error)
    }
  }
  return {
    next: (value) => attempt(() => listener.next?.(value)),
    error: (error) => attempt(() => (listener.error ? listener.error(error) : failed(error))),
    complete: () => attempt(() => listener.complete?.()),
  }
}

const WARN_EVERY_MS = 60_000
const STACK_LINES_MAX = 8

/** What the listeners of one link threw: all of it counted, and a warning of Node at most once a minute. */
export class ListenerErrors {
  readonly #id: string
  readonly #clock: Clock
  readonly #scrub: Scrub
  #count = 0
  #untold = 0
  #warnAt = Number.NEGATIVE_INFINITY

  constructor(id: string, clock: Clock, scrub: Scrub) {
    this.#id = id
    this.#clock = clock
    this.#scrub = scrub
  }

  get count(): number {
    return this.#count
  }

  /** The stream, guarded: `name` is what the warning calls it. */
  guard<T>(source$: Observable<T>, name: string): Observable<T> {
    return guarded(source$, (error) => this.note(error, name))
  }

  /** Counts it and, at most once a minute, warns of it: `listener` says whose it was. */
  note(error: unknown, listener: string): void {
    this.#count++
    const now = this.#clock.now()
    if (now < this.#warnAt) {
      this.#untold++
      return
    }
    this.#warnAt = now + WARN_EVERY_MS
    const more = this.#untold === 0 ? '' : ` ${this.#untold} more since the last warning were not shown.`
    this.#untold = 0
    const what = `A listener of ${listener} of the link ${JSON.stringify(this.#id)} threw ${this.#scrub(textOf(error))}.`
    const detail = stackOf(error).map(this.#scrub).join('\n    ')
    process.emitWarning(`${what} The link is unharmed.${more}`, { type: 'HoldfastWarning', detail })
  }
}

/** Where it was thrown. */
const stackOf = (error: unknown): string[] => {
  try {
    const lines = String((error as Error | undefined)?.stack ?? '').split('\n')
    return lines.filter((line) => /^\s+at /.test(line)).slice(0, STACK_LINES_MAX)
  } catch {
    return []
  }
}
