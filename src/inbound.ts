/** Messages on their way to the user. Bounded; whatever is dropped is counted. */
import { Observable, Subject } from 'rxjs'

export class Inbound<T> implements AsyncIterable<T> {
  readonly #max: number
  readonly #messages$ = new Subject<T>()
  /** What came before anybody listened: a bot that awaits `ready()` first must not miss it. */
  #early: T[] | undefined = []
  #ended = false
  dropped = 0

  constructor(max: number) {
    this.#max = max
  }

  push(message: T): void {
    if (this.#early) this.#keep(this.#early, message)
    else this.#messages$.next(message)
  }

  #keep(queue: T[], message: T): void {
    if (queue.length >= this.#max) {
      queue.shift()
      this.dropped++
    }
    queue.push(message)
  }

  readonly observable = new Observable<T>((subscriber) => {
    const early = this.#early ?? []
    this.#early = undefined
    for (const message of early) subscriber.next(message)
    return this.#messages$.subscribe(subscriber)
  })

  end(): void {
    this.#ended = true
    this.#messages$.complete()
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    const queue: T[] = []
    /** One for each read that waits: a reader may ask for several messages at once. */
    const waiting: (() => void)[] = []
    const wakeAll = () => {
      for (const wake of waiting.splice(0)) wake()
    }
    const subscription = this.observable.subscribe({
      next: (message) => {
        this.#keep(queue, message)
        waiting.shift()?.()
      },
      complete: wakeAll,
    })
    const finished = { done: true, value: undefined } as const
    return {
      next: async () => {
        while (queue.length === 0) {
          if (this.#ended || subscription.closed) return finished
          await new Promise<void>((resolve) => {
            waiting.push(resolve)
          })
        }
        return { done: false, value: queue.shift() as T }
      },
      return: async () => {
        subscription.unsubscribe()
        queue.length = 0
        wakeAll()
        return finished
      },
    }
  }
}
