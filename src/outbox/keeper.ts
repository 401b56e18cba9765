/** Which messages of the outbox lie in the ledger, and what has to be on disk before each next step of theirs. */
import type { Clock } from '../clock.ts'
import { HoldfastError, textOf } from '../error.ts'
import type { Entry } from './entry.ts'
import { type Kept, Ledger, type LedgerOptions } from './ledger.ts'

/** What the ledger has of one message. */
export interface Slip {
  readonly kept: Kept
  /** Rejects with HoldfastError `refused` if it was settled before it was on disk. */
  readonly accepted: Promise<void>
  readonly accept: () => void
  readonly reject: (detail: string) => void
  /** Under which it is on disk, or on the way there. */
  at: string | undefined
  /** It is on disk. */
  isAccepted: boolean
  /** Whether the disk says that it may have been written. */
  mark: 'none' | 'pending' | 'done'
}

/** What another life of this process left behind. */
export interface Recovery {
  /** Taken in again; some may have been settled at once. */
  readonly recovered: number
  /** Left alone: not written by a ledger, or not whole. */
  readonly damaged: number
  /** Why the ledger could not be read. Each message that is to be kept tries again, and is refused until it can. */
  readonly trouble?: string
}

/** The outbox as its keeper needs it. */
export interface Client {
  /** These were accepted in another life of this process; `early` came before they were known. */
  found(kept: readonly (readonly [at: string, kept: Kept])[], early: readonly Entry[]): void
  accepted(entry: Entry): void
  refused(entry: Entry, detail: string): void
  /** The mark could not be made; it may be asked for again. */
  unmarked(entry: Entry): void
  /** Some of this has changed what may be written. */
  flush(): void
}

export class Keeper {
  readonly #ledger: Ledger
  readonly #client: Client
  /** Taken before it was known what lies on disk. */
  #early: Entry[] = []
  #isStarted = false
  #isLoaded = false
  #isClosed = false
  #reading: Promise<Recovery> | undefined

  constructor(options: LedgerOptions, clock: Clock, client: Client) {
    this.#ledger = new Ledger(options, clock, () => client.flush())
    this.#client = client
  }

  /** Reads what was kept. Who comes meanwhile goes behind it, and is refused if it cannot be read. */
  recover(): Promise<Recovery> {
    this.#isStarted = true
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<Recovery> {
    if (this.#isLoaded) return { recovered: 0, damaged: 0 }
    try {
      const { kept, damaged } = await this.#ledger.load()
      if (this.#isClosed) return { recovered: 0, damaged }
      this.#isLoaded = true
      this.#client.found(kept, this.#early)
      for (const entry of this.#takeEarly()) if (!entry.isSettled) this.take(entry)
      this.#client.flush()
      return { recovered: kept.length, damaged }
    } catch (error) {
      const trouble = messageOf(error)
      for (const entry of this.#takeEarly()) this.#client.refused(entry, notKept(trouble))
      return { recovered: 0, damaged: 0, trouble }
    }
  }

  #takeEarly(): Entry[] {
    const early = this.#early
    this.#early = []
    return early
  }

  take(entry: Entry): void {
    const slip = entry.slip!
    if (!this.#isLoaded) {
      this.#early.push(entry)
      // it could not be read before: perhaps it can now
      if (this.#isStarted) void this.recover()
      return
    }
    slip.at = this.#ledger.keep(slip.kept, (trouble) => {
      if (entry.isSettled) return
      if (trouble !== undefined) return this.#client.refused(entry, notKept(trouble))
      slip.isAccepted = true
      slip.accept()
      this.#client.accepted(entry)
    })
  }

  /** Whether it may go to the wire now. If it lacks the mark that it may have been written, that is made. */
  mayWrite(entry: Entry): boolean {
    const { slip } = entry
    if (!slip || entry.repeats || slip.mark === 'done') return true
    if (slip.mark === 'none') this.#mark(entry, slip)
    return false
  }

  #mark(entry: Entry, slip: Slip): void {
    slip.mark = 'pending'
    this.#ledger.mark(slip.at!, slip.kept, (trouble) => {
      slip.mark = trouble === undefined ? 'done' : 'none'
      if (trouble !== undefined && !entry.isSettled) this.#client.unmarked(entry)
    })
  }

  /** It is settled: nothing of it stays on disk. */
  forget({ slip }: Entry, detail: string | undefined): void {
    if (!slip) return
    if (!slip.isAccepted) slip.reject(detail ?? 'it was not accepted')
    if (slip.at !== undefined) this.#ledger.forget(slip.at)
  }

  /** Whether it goes on in the next life of this process: it is then left on disk when it is settled. */
  leave({ slip, flight, repeats }: Entry): boolean {
    if (!slip?.isAccepted || (flight && !repeats)) return false
    slip.at = undefined
    return true
  }

  close(): Promise<void> {
    this.#isClosed = true
    return this.#ledger.close()
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : textOf(error))

const notKept = (trouble: string): string => `it could not be kept: ${trouble}`

export const newSlip = (kept: Kept): Slip => {
  let accept!: () => void
  let fail!: (error: Error) => void
  const accepted = new Promise<void>((resolve, reject) => {
    accept = resolve
    fail = reject
  })
  // whoever does not look at it learns the same from the fate
  accepted.catch(() => undefined)
  const reject = (detail: string) => fail(notAccepted(detail))
  return { kept, accepted, accept, reject, at: undefined, isAccepted: false, mark: 'none' }
}

export const recoveredSlip = (kept: Kept, at: string): Slip => {
  const nobody = () => undefined
  const mark = kept.written ? 'done' : 'none'
  return {
    kept,
    accepted: Promise.resolve(),
    accept: nobody,
    reject: nobody,
    at,
    isAccepted: true,
    mark,
  }
}

export const notAccepted = (detail: string): HoldfastError =>
  new HoldfastError('refused', `The message was not accepted: ${detail}.`)
