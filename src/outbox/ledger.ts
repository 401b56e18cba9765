/** Accepted messages on disk: one write for all that come in one turn, and what is settled is deleted sooner or later. */
import type { Clock, Timer } from '../clock.ts'
import { textOf } from '../error.ts'
import type { Change, Store } from '../store.ts'

/** A message as it lies on disk. */
export interface Kept {
  readonly v: 1
  readonly key: string
  /** What the user sent, as plain data: it is encoded anew when it is found again. */
  readonly message: unknown
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  readonly conversation?: string | undefined
  readonly coalesceKey?: string | undefined
  /** A second copy is harmless, says the caller: no mark is made before it is written. */
  readonly idempotent: boolean
  /** It may have been written. */
  readonly written: boolean
}

export interface LedgerOptions {
  readonly store: Store
  /** All of the ledger is kept under keys with this beginning, and nothing else is. */
  readonly prefix: string
}

interface Job {
  readonly change: Change
  readonly toDisk: boolean
  /** `trouble` says why nothing of it can be relied on. */
  readonly told: (trouble?: string) => void
}

const RETRY_MIN_MS = 1_000
const RETRY_MAX_MS = 30_000
const DIGITS = 15

export class Ledger {
  readonly #store: Store
  readonly #prefix: string
  readonly #clock: Clock
  readonly #written: () => void
  #jobs: Job[] = []
  #running: Promise<void> | undefined
  #next = 0
  /** What could not be deleted yet. */
  readonly #doomed = new Set<string>()
  #retry: Timer | undefined
  #retryMs = RETRY_MIN_MS
  #isClosed = false

  /** `written` is told after each write, when all that were in it have been told. */
  constructor({ store, prefix }: LedgerOptions, clock: Clock, written: () => void) {
    this.#store = store
    this.#prefix = prefix
    this.#clock = clock
    this.#written = written
  }

  /** All that was kept, in the order of its acceptance. To be called before anything else; rejects as the store does. */
  async load(): Promise<{ kept: (readonly [at: string, kept: Kept])[]; damaged: number }> {
    const found = await this.#store.read(this.#prefix)
    const kept: (readonly [string, Kept])[] = []
    for (const [at, value] of found) {
      const number = at.slice(this.#prefix.length)
      if (!NUMBER.test(number)) continue
      this.#next = Math.max(this.#next, Number(number) + 1)
      if (isKept(value)) kept.push([at, value])
    }
    return { kept, damaged: found.length - kept.length }
  }

  /** Puts it behind all that is there, and says where. */
  keep(kept: Kept, told: Job['told']): string {
    const at = `${this.#prefix}${String(this.#next++).padStart(DIGITS, '0')}`
    this.#add({ change: { key: at, value: kept }, toDisk: true, told })
    return at
  }

  /** From now on it may have been written. A crash of the process cannot undo it; a loss of power may. */
  mark(at: string, kept: Kept, told: Job['told']): void {
    this.#add({ change: { key: at, value: { ...kept, written: true } }, toDisk: false, told })
  }

  forget(at: string): void {
    const told = (trouble?: string) => (trouble === undefined ? this.#doomed.delete(at) : this.#forgetLater(at))
    this.#add({ change: { key: at, value: undefined }, toDisk: false, told })
  }

  #forgetLater(at: string): void {
    this.#doomed.add(at)
    if (this.#isClosed || this.#retry) return
    this.#retry = this.#clock.setTimeout(() => this.#forgetNow(), this.#retryMs)
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MAX_MS)
  }

  #forgetNow(): void {
    this.#retry = undefined
    for (const at of this.#doomed) this.forget(at)
  }

  #add(job: Job): void {
    this.#jobs.push(job)
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    // the rest of this turn comes along
    await undefined
    while (this.#jobs.length > 0) {
      const jobs = this.#jobs
      this.#jobs = []
      const trouble = await this.#commit(jobs)
      if (trouble === undefined) this.#retryMs = RETRY_MIN_MS
      for (const { told } of jobs) told(trouble)
      this.#written()
    }
    this.#running = undefined
  }

  /** All changes or none; of several to the same place the last one counts. */
  async #commit(jobs: readonly Job[]): Promise<string | undefined> {
    const changes = [...new Map(jobs.map(({ change }) => [change.key, change])).values()]
    try {
      await this.#store.write(changes, { toDisk: jobs.some(({ toDisk }) => toDisk) })
      return undefined
    } catch (error) {
      return error instanceof Error ? error.message : textOf(error)
    }
  }

  /** Resolves when nothing is under way any more, so that the store may be closed. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#clock.clearTimeout(this.#retry)
    this.#forgetNow()
    await this.#running
  }
}

const NUMBER = new RegExp(`^\\d{${DIGITS}}$`)

const isKept = (value: unknown): value is Kept => {
  if (typeof value !== 'object' || value === null) return false
  const { v, key, expiresAt, conversation, coalesceKey, idempotent, written, ...rest } = value as Record<
    string,
    unknown
  >
  const isName = (name: unknown): boolean => name === undefined || typeof name === 'string'
  const isWhole = typeof key === 'string' && key !== '' && Number.isFinite(expiresAt) && 'message' in rest
  const isMarked = typeof idempotent === 'boolean' && typeof written === 'boolean'
  return v === 1 && isWhole && isMarked && isName(conversation) && isName(coalesceKey)
}

/** A copy that will come back from disk as it went. Throws an Error that says what would not. */
export const plainCopy = (message: unknown): unknown => {
  const text = JSON.stringify(message)
  const problem = strangerIn(message, 'the message')
  if (problem !== undefined) throw new Error(`${problem}, which JSON cannot carry`)
  return JSON.parse(text)
}

/** Called after JSON.stringify was through with it, so there is no cycle. */
const strangerIn = (value: unknown, where: string): string | undefined => {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${where} is ${value}`
  if (typeof value !== 'object') return `${where} is ${value === undefined ? 'undefined' : `a ${typeof value}`}`
  if (Array.isArray(value)) return firstOf(value.entries(), (each, index) => strangerIn(each, `${where}[${index}]`))
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    return `${where} is a ${String(value.constructor?.name ?? 'strange object')}`
  }
  // a property that is undefined is as good as none
  return firstOf(Object.entries(value), (each, name) =>
    each === undefined ? undefined : strangerIn(each, `${where}.${name}`),
  )
}

const firstOf = <Name>(
  entries: Iterable<readonly [Name, unknown]>,
  judge: (value: unknown, name: Name) => string | undefined,
): string | undefined => {
  for (const [name, value] of entries) {
    const problem = judge(value, name)
    if (problem !== undefined) return problem
  }
  return undefined
}
