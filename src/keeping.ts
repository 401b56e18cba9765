/** What of a link outlives its process, in the store of its options: accepted messages, and the session to resume. */
import type { Session } from './adapter/adapter.ts'
import { isHoldfastError, textOf } from './error.ts'
import { checkSession } from './hand-over.ts'
import type { LedgerOptions } from './outbox/outbox.ts'
import type { Store } from './store.ts'

export class Keeping {
  readonly #store: Store
  readonly #key: string
  readonly #warn: (text: string) => void
  readonly ledger: LedgerOptions
  /** What is to be written next: of several only the last counts. */
  #due: Session | undefined
  #writing: Promise<void> | undefined

  constructor(store: Store, id: string, warn: (text: string) => void) {
    this.#store = store
    this.#key = `session/${id}`
    this.#warn = warn
    // ids are of any characters: none of them may end the part that is the id
    this.ledger = { store, prefix: `outbox/${encodeURIComponent(id)}/` }
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
      } catch (error) {
        this.#warn(`the session is not kept: ${messageOf(error)}`)
      }
    }
    this.#writing = undefined
  }

  /** Resolves when nothing is under way. */
  async close(): Promise<void> {
    await this.#writing
  }
}

const messageOf = (error: unknown): string => (isHoldfastError(error) ? error.message : textOf(error))
