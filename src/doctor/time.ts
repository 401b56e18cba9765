/** Time as the layers share it: each has a deadline of its own, and all of them one end. */
import type { Clock } from '../clock.ts'

export const LATE = Symbol('late')

export class Time {
  readonly clock: Clock
  readonly #endsAt: number
  readonly #running = new Set<() => void>()

  constructor(clock: Clock, totalMs: number) {
    this.clock = clock
    this.#endsAt = clock.now() + totalMs
  }

  now(): number {
    return this.clock.now()
  }

  /** Milliseconds since a moment, as they are shown: a tenth is more than the network is worth. */
  since(startedAt: number): number {
    return Math.round((this.clock.now() - startedAt) * 10) / 10
  }

  /** A deadline, cut short where the whole examination ends before it. */
  left(ms: number): number {
    return Math.max(0, Math.min(ms, this.#endsAt - this.clock.now()))
  }

  /** What a promise gives, or LATE; whoever is late is not waited for, and its error is nobody's any more. */
  within<T>(ms: number, work: Promise<T>): Promise<T | typeof LATE> {
    return new Promise((resolve, reject) => {
      const settle = this.#limit(ms, () => resolve(LATE))
      work.then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error)),
      )
    })
  }

  /** Work of callbacks: `begin` says how to end it, which is done when it is late; the first `settle` counts. */
  attempt<T>(ms: number, begin: (settle: (result: T) => void) => () => void): Promise<T | typeof LATE> {
    return new Promise((resolve) => {
      let end: () => void = () => undefined
      const settle = this.#limit(ms, () => {
        resolve(LATE)
        end()
      })
      end = begin((result) => settle(() => resolve(result)))
    })
  }

  /** Everything that still runs is late now: nothing of it is left behind. */
  end(): void {
    for (const late of [...this.#running]) late()
  }

  /** Calls `late` at the deadline, unless what is returned is called before. */
  #limit(ms: number, late: () => void): (act: () => void) => void {
    let isOver = false
    const finish = (act: () => void) => {
      if (isOver) return
      isOver = true
      this.#running.delete(expire)
      this.clock.clearTimeout(timer)
      act()
    }
    const expire = () => finish(late)
    const timer = this.clock.setTimeout(expire, this.left(ms))
    this.#running.add(expire)
    return finish
  }
}

/** The code of an error; one without a code is named by its message. */
export const codeOf = (error: unknown): string => {
  const { code, message } = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>
  if (typeof code === 'string' && code !== '') return code
  return typeof message === 'string' && message !== '' ? message : 'unknown'
}

/** In place of a code: nobody answered within the deadline. */
export const NO_ANSWER = 'no-answer'
