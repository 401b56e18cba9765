/** What is asked of a store, each question with an end: its answer, the caller's signal, the end of the store, or 5 s. */
import type { Clock } from '../clock.ts'
import { HoldfastError, isHoldfastError, textOf } from '../error.ts'
import type { Scrub } from '../secret.ts'
import { abortedError } from './store.ts'

/** From the question to the answer, in milliseconds. */
export const ANSWER_WITHIN_MS = 5_000

export class Questions {
  readonly #name: string
  readonly #clock: Clock
  readonly #scrub: Scrub
  readonly #open = new Set<(error: HoldfastError) => void>()
  #isClosed = false

  /** `name`: what the store is called in errors. */
  constructor(name: string, clock: Clock, scrub: Scrub) {
    this.#name = name
    this.#clock = clock
    this.#scrub = scrub
  }

  /**
   * Rejects with HoldfastError only, whatever becomes of what was begun; the signal tells that nobody waits for it any
   * more.
   */
  ask<T>(signal: AbortSignal, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const abort = new AbortController()
      const settle = (tell: () => void) => {
        this.#clock.clearTimeout(timer)
        signal.removeEventListener('abort', aborted)
        this.#open.delete(fail)
        tell()
        abort.abort()
      }
      const fail = (error: HoldfastError) => settle(() => reject(error))
      const aborted = () => fail(abortedError(`${this.#name} had not answered yet`))
      const late = () => fail(new HoldfastError('store-failed', `${this.#name} did not answer within 5 s.`))
      const timer = this.#clock.setTimeout(late, ANSWER_WITHIN_MS)
      if (this.#isClosed) return fail(this.#closedError())
      if (signal.aborted) return aborted()
      signal.addEventListener('abort', aborted)
      this.#open.add(fail)
      // also if it throws at once
      const begun = (async () => begin(abort.signal))()
      begun.then(
        (answer) => settle(() => resolve(answer)),
        (error) => fail(this.#told(error)),
      )
    })
  }

  /** Whatever is under way will have no answer. */
  fail(reason: string): void {
    for (const fail of [...this.#open]) fail(this.#told(new Error(reason)))
  }

  close(): void {
    this.#isClosed = true
    for (const fail of [...this.#open]) fail(this.#closedError())
  }

  #closedError(): HoldfastError {
    return new HoldfastError('stopped', `${this.#name} was closed.`)
  }

  #told(error: unknown): HoldfastError {
    if (isHoldfastError(error)) return error
    const reason = this.#scrub(error instanceof Error ? error.message || error.name : textOf(error))
    return new HoldfastError('store-failed', `${this.#name} failed: ${reason.replace(/\.$/, '')}.`)
  }
}
