/** What of a link outlives its process, in the store of its options: accepted messages, and the session to resume. */
import type { Session } from './adapter/adapter.ts'
import type { Clock } from './clock.ts'
import { isHoldfastError, textOf } from './error.ts'
import { checkSession } from './hand-over.ts'
import type { LedgerOptions, Recovery } from './outbox/outbox.ts'
import type { Store } from './store.ts'

export class Keeping {
  readonly #store: Store
  readonly #key: string
  readonly #warn: (text: string) => void
  readonly ledger: LedgerOptions
  /** What is to be written next: of several only the last counts. */
  #due: Session | undefined
  #writing: Promise<void> | undefined
  /** The latest write failed, and that was told. */
  #isFailing = false

  constructor(store: Store, id: string, warn: (text: string) => void) {
    this.#store = store
    // ids are of any characters: none of them may end the part that is the id, and half a surrogate pair has no UTF-8
    const name = encodeURIComponent(Buffer.from(id).toString())
    this.#key = `session/${name}`
    this.#warn = warn
    this.ledger = { store, prefix: `outbox/${name}/` }
  }

  /** What an earlier process left; nothing if it cannot be read, or is not what we write. */
  async session(): Promise<Session | undefined> {
    try {
      const found = await this.#store.read(this.#key)
      const [, session] = found.find(([key]) => key === this.#key) ?? []
      return session === undefined ? undefined : checkSession(session)
    } catch (error) {
      this.#warn(`the session that was kept is not resumed: ${messageOf(error)}`)
      return undefined
    }
  }

  /** What could not be taken in again lies where it was. */
  tell({ damaged, trouble }: Recovery): void {
    if (trouble !== undefined) this.#warn(`no message is accepted until the store can be read: ${trouble}`)
    if (damaged > 0) this.#warn(`${damaged} of the messages that were kept are left out: they are damaged or not ours`)
  }

  /** A crash may lose the latest change: then a little more is replayed. */
  save(session: Session): void {
    this.#due = session
    this.#writing ??= this.#write()
  }

  async #write(): Promise<void> {
    await undefined
    while (this.#due) {
      const value = this.#due
      this.#due = undefined
      try {
        await this.#store.write([{ key: this.#key, value }])
        this.#isFailing = false
      } catch (error) {
        // a session changes with each message: once is enough
        if (!this.#isFailing) this.#warn(`the session is not kept: ${messageOf(error)}`)
        this.#isFailing = true
      }
    }
    this.#writing = undefined
  }

  /** Resolves when nothing is under way, neither here nor in the ledger; a store that hangs is not waited for. */
  close(ledgerClosed: Promise<void>, withinMs: number, clock: Clock): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.setTimeout(() => {
        this.#warn(`the store did not answer within ${withinMs} ms: the latest changes may not be kept`)
        resolve()
      }, withinMs)
      void Promise.allSettled([ledgerClosed, this.#writing]).then(() => {
        clock.clearTimeout(timer)
        resolve()
      })
    })
  }
}

const messageOf = (error: unknown): string => (isHoldfastError(error) ? error.message : textOf(error))
