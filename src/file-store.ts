/**
 * A store in a folder, on LevelDB. One task at a time, in the order of the calls; writes that wait together are made
 * together, so a hundred of them cost one sync.
 *
 * After an error the database is closed, and the next task opens it anew: LevelDB would go on writing behind the torn
 * end of its log, where the next opening may not find it.
 */
import { HoldfastError } from './error.ts'
import { failureOf, isDamage } from './file-store/failure.ts'
import { type Level, levelIn, type OpenLevel, type Operation, type Warn } from './file-store/level.ts'
import { sealed, unsealed } from './file-store/record.ts'
import { type Change, type Store, type StoredEntry, textOf } from './store.ts'

export interface FileStoreOptions {
  /** Hears in a sentence what was damaged and what became of it. Default: `process.emitWarning`. */
  readonly warn?: Warn
}

/**
 * Keeps everything in files in `dir`, which is made on first use with mode 0700 and belongs to one process at a time.
 * Needs the package classic-level: without it calls reject with HoldfastError `bad-option`.
 *
 * A damaged folder opens: what cannot be read is left out and told to `warn`, and no record is returned that was not
 * written as it is. After damage a record may be back as it was before its last change.
 */
export const fileStore = (dir: string, { warn = emitWarning }: FileStoreOptions = {}): Store => {
  if (typeof dir !== 'string' || dir === '') {
    throw new HoldfastError('bad-option', 'fileStore() needs a folder: give its path, such as "./bot-state".')
  }
  const tell: Warn = (message) => {
    try {
      warn(message)
    } catch {
      emitWarning(message)
    }
  }
  return levelStore({ dir, warn: tell, open: levelIn(dir, tell) })
}

const emitWarning: Warn = (message) => process.emitWarning(message, 'HoldfastWarning')

export interface LevelStoreOptions {
  /** For messages. */
  readonly dir: string
  readonly warn: Warn
  readonly open: OpenLevel
}

/** The store on any database of this kind. */
export const levelStore = (options: LevelStoreOptions): Store => new LevelStore(options)

interface Promised<T> {
  readonly resolve: (result: T) => void
  readonly reject: (error: unknown) => void
}

interface Reading extends Promised<StoredEntry[]> {
  readonly kind: 'read'
  readonly prefix: string
}

interface Writing extends Promised<void> {
  readonly kind: 'write'
  readonly operations: readonly Operation[]
  readonly toDisk: boolean
}

/** So many changes are enough for one batch: its sync costs little beside them, and others wait for it. */
const GROUP_OPERATIONS_MAX = 1_000

class LevelStore implements Store {
  readonly #dir: string
  readonly #warn: Warn
  readonly #open: OpenLevel
  readonly #waiting: (Reading | Writing)[] = []
  #level: Level | undefined
  #working: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor({ dir, warn, open }: LevelStoreOptions) {
    this.#dir = dir
    this.#warn = warn
    this.#open = open
  }

  async read(prefix: string): Promise<StoredEntry[]> {
    return new Promise((resolve, reject) => this.#add({ kind: 'read', prefix, resolve, reject }))
  }

  async write(changes: readonly Change[], { toDisk = false }: { toDisk?: boolean } = {}): Promise<void> {
    const operations = changes.map(operationFor)
    return new Promise((resolve, reject) => this.#add({ kind: 'write', operations, toDisk, resolve, reject }))
  }

  close(): Promise<void> {
    this.#closed ??= this.#finish()
    return this.#closed
  }

  async #finish(): Promise<void> {
    await this.#working
    const level = this.#level
    this.#level = undefined
    await level?.close().catch((error) => {
      throw failureOf(error, this.#dir)
    })
  }

  #add(task: Reading | Writing): void {
    if (this.#closed) {
      task.reject(new HoldfastError('store-failed', `The store in ${this.#dir} is closed: make a new one.`))
      return
    }
    this.#waiting.push(task)
    this.#working ??= this.#work()
  }

  async #work(): Promise<void> {
    // what the same turn asks for is made together
    await undefined
    for (let task = this.#waiting.shift(); task; task = this.#waiting.shift()) {
      if (task.kind === 'read') await this.#readFor(task)
      else await this.#writeFor(this.#groupOf(task))
    }
    this.#working = undefined
  }

  /** A write and those that wait right behind it. */
  #groupOf(first: Writing): Writing[] {
    const group = [first]
    let size = first.operations.length
    for (let next = this.#waiting[0]; next?.kind === 'write'; next = this.#waiting[0]) {
      size += next.operations.length
      if (size > GROUP_OPERATIONS_MAX) break
      group.push(next)
      this.#waiting.shift()
    }
    return group
  }

  async #readFor({ prefix, resolve, reject }: Reading): Promise<void> {
    try {
      const { entries, unreadable } = await this.#use((level) => readAll(level, prefix))
      if (unreadable > 0) {
        const what = `${unreadable} of its records ${unreadable === 1 ? 'is' : 'are'} damaged or not ours`
        this.#warn(`The store in ${this.#dir} was read in part: ${what}, and left out.`)
      }
      resolve(entries)
    } catch (error) {
      reject(failureOf(error, this.#dir))
    }
  }

  async #writeFor(group: readonly Writing[]): Promise<void> {
    try {
      const operations = group.flatMap((each) => each.operations)
      await this.#use((level) => level.batch(operations, { sync: group.some(({ toDisk }) => toDisk) }))
      for (const { resolve } of group) resolve()
    } catch (error) {
      for (const { reject } of group) reject(failureOf(error, this.#dir))
    }
  }

  /** Damage shows on opening or when a table is read: then the work is done once more, on what could be rescued. */
  async #use<T>(work: (level: Level) => Promise<T>): Promise<T> {
    return this.#attempt(work, false).catch((error) => {
      if (!isDamage(error)) throw error
      return this.#attempt(work, true)
    })
  }

  async #attempt<T>(work: (level: Level) => Promise<T>, damaged: boolean): Promise<T> {
    try {
      this.#level ??= await this.#open(damaged)
      return await work(this.#level)
    } catch (error) {
      await this.#level?.close().catch(() => undefined)
      this.#level = undefined
      throw error
    }
  }
}

const readAll = async (level: Level, prefix: string) => {
  const entries: StoredEntry[] = []
  let unreadable = 0
  for await (const [key, kept] of level.iterator({ gte: prefix })) {
    const value = unsealed(key, kept)
    // a key that is damaged itself says nothing about where the others end
    if (value === undefined) unreadable++
    else if (key.startsWith(prefix)) entries.push([key, value])
    else break
  }
  return { entries, unreadable }
}

const operationFor = (change: Change): Operation => {
  const { key } = change
  const text = textOf(change)
  return text === undefined ? { type: 'del', key } : { type: 'put', key, value: sealed(key, text) }
}
