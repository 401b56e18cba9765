/** One instance of a service: from the call of its start until nothing of it is left. */
import { describe } from '../adapter/adapter.ts'

export type Stop = () => unknown

/** What a start gives: nothing, how to stop it, or also how it tells that it is over by itself. */
export interface Started {
  readonly stop?: Stop
  /** Settles when it is over by itself and nothing of it is left to stop. */
  readonly ended?: PromiseLike<unknown>
}

// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is the simplest start
export type Start = (signal: AbortSignal) => PromiseLike<Started | Stop | void> | Started | Stop | void

export class Instance {
  /** Rejects with what the start threw. */
  readonly begun: Promise<Started>
  readonly #abort = new AbortController()
  readonly #stop: Stop | undefined
  readonly #stopFailed: (error: unknown) => void
  #over: Promise<void> | undefined

  /** `stop` is called where the start gives none; `stopFailed` is told what either of them threw. */
  constructor(start: Start, stop: Stop | undefined, stopFailed: (error: unknown) => void) {
    this.#stop = stop
    this.#stopFailed = stopFailed
    this.begun = this.#begin(start)
    this.begun.catch(() => undefined)
  }

  async #begin(start: Start): Promise<Started> {
    // in a turn of its own: this one belongs to the link that has just gone live
    await undefined
    this.#abort.signal.throwIfAborted()
    return checkStarted(await start(this.#abort.signal))
  }

  /** Nobody wants it any more, or it is over. */
  release(): void {
    this.#abort.abort()
  }

  /** Resolves when it is over, also where its start has not answered yet; asked twice, it is one stop. Never rejects. */
  stop(): Promise<void> {
    this.release()
    this.#over ??= this.#end()
    return this.#over
  }

  async #end(): Promise<void> {
    const started = await this.begun.catch(() => undefined)
    if (!started) return
    try {
      await (started.stop ? started.stop() : this.#stop?.())
    } catch (error) {
      this.#stopFailed(error)
    }
  }
}

const checkStarted = (given: unknown): Started => {
  if (given === undefined || given === null) return {}
  if (typeof given === 'function') return { stop: given as Stop }
  const { stop, ended } = given as Started
  const isStop = stop === undefined || typeof stop === 'function'
  const isEnded = ended === undefined || typeof (ended as Partial<PromiseLike<unknown>> | null)?.then === 'function'
  if (typeof given === 'object' && isStop && isEnded && (stop || ended))
    return { ...(stop && { stop }), ...(ended && { ended }) }
  throw new TypeError(
    `start() gave ${describe(given)}; it must give nothing, a function that stops it, or { stop, ended }`,
  )
}
