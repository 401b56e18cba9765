/** The bounds of the outbox, and whoever waits for room. */
import { BehaviorSubject, type Observable } from 'rxjs'
import { HoldfastError } from '../error.ts'

export interface Bounds {
  /** Messages that wait or are without proof. Default 1,000. */
  readonly messagesMax: number
  /** Their bytes, as they travel. Default 8 MiB. */
  readonly bytesMax: number
}

export class Room {
  readonly #bounds: Bounds
  readonly #writable$ = new BehaviorSubject(true)
  #messages = 0
  #bytes = 0
  /** Something did not fit, although the bounds were not quite reached. */
  #turnedAway = false

  constructor(bounds: Bounds) {
    this.#bounds = bounds
  }

  enter(bytes: number): void {
    this.#messages++
    this.#bytes += bytes
  }

  leave(bytes: number): void {
    this.#messages--
    this.#bytes -= bytes
  }

  /** Which bound one more message would break, once these have left. */
  refusal(bytes: number, leaving: readonly { readonly bytes: number }[]): string | undefined {
    const { messagesMax, bytesMax } = this.#bounds
    let left = this.#bytes + bytes
    for (const each of leaving) left -= each.bytes
    if (this.#messages - leaving.length >= messagesMax) return `the outbox is full (${messagesMax} messages)`
    return left > bytesMax ? `the outbox is full (${bytesMax} bytes)` : undefined
  }

  turnAway(): void {
    this.#turnedAway = true
  }

  get writable$(): Observable<boolean> {
    return this.#writable$.asObservable()
  }

  /** Tells those who wait, if something changed for them. Last of all: they may send at once. */
  tell(): void {
    const { messagesMax, bytesMax } = this.#bounds
    const isEased = this.#messages <= messagesMax / 2 && this.#bytes <= bytesMax / 2
    if (isEased) this.#turnedAway = false
    const isFull = this.#turnedAway || this.#messages >= messagesMax || this.#bytes >= bytesMax
    const { value } = this.#writable$
    if (value ? isFull : isEased) this.#writable$.next(!value)
  }

  writable({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const aborted = () =>
        reject(new HoldfastError('aborted', 'The operation was aborted by its signal.', { cause: signal?.reason }))
      if (signal?.aborted) return aborted()
      const settle = (act: () => void) => {
        signal?.removeEventListener('abort', abort)
        // the first value comes while subscribe() still runs
        queueMicrotask(() => subscription.unsubscribe())
        act()
      }
      const abort = () => settle(aborted)
      signal?.addEventListener('abort', abort, { once: true })
      const subscription = this.#writable$.subscribe({
        next: (isWritable) => {
          if (isWritable) settle(resolve)
        },
        complete: () => settle(() => reject(new HoldfastError('stopped', 'The link was stopped.'))),
      })
    })
  }

  close(): void {
    this.#writable$.complete()
  }
}
