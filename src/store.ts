/**
 * Where a link keeps what must outlive its process: accepted messages and the session. A port of three functions with two
 * implementations: `memoryStore()` for tests, and `fileStore()`, which needs the optional package classic-level.
 */
import { HoldfastError } from './error.ts'

/** `value` is plain data, as JSON can carry it; undefined deletes. */
export interface Change {
  readonly key: string
  readonly value: unknown
}

export type StoredEntry = readonly [key: string, value: unknown]

export interface Store {
  /**
   * All that is kept under keys with this beginning, in the order of the keys (of their code points), with every write
   * that was asked for before.
   */
  read(prefix: string): Promise<StoredEntry[]>
  /**
   * Makes all the changes or none. Once it resolves a crash of the process cannot undo them; with `toDisk` a loss of power
   * cannot either. Changes take effect in the order of the calls. Rejects with HoldfastError `bad-option` if a value is
   * nothing that JSON can carry, which harms no other write, and with `store-failed` if they could not be kept; whether
   * they were is then unknown until it is read.
   */
  write(changes: readonly Change[], options?: { toDisk?: boolean }): Promise<void>
  /** Writes what is under way and lets go of all it holds. */
  close(): Promise<void>
}

/** Keeps everything for as long as the process lives. */
export const memoryStore = (): Store => {
  const kept = new Map<string, string>()
  return {
    read: async (prefix) => {
      const keys = [...kept.keys()].filter((key) => key.startsWith(prefix)).sort(byCodePoint)
      return keys.map((key) => [key, JSON.parse(kept.get(key)!) as unknown] as const)
    },
    write: async (changes) => {
      const texts = changes.map((change) => [change.key, textOf(change)] as const)
      for (const [key, text] of texts) {
        if (text === undefined) kept.delete(key)
        else kept.set(key, text)
      }
    },
    close: async () => undefined,
  }
}

/** As a file has them: sort() goes by UTF-16 and puts emoji before the last characters of the basic plane. */
const byCodePoint = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other))

/** What is kept for a change, or undefined where its key is deleted. Throws `bad-option` if it cannot be kept. */
export const textOf = ({ key, value }: Change): string | undefined => {
  // half a surrogate pair has no UTF-8, so two such keys would be one
  if (typeof key !== 'string' || /\p{Surrogate}/u.test(key)) {
    throw new HoldfastError('bad-option', `A key of a store must be well-formed text; this one is ${shown(key)}.`)
  }
  if (value === undefined) return undefined
  const text = jsonOf(key, value)
  if (text === undefined) throw unfit(key, `it is a ${typeof value}`)
  return text
}

const jsonOf = (key: string, value: unknown): string | undefined => {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw unfit(key, 'JSON cannot carry it', cause)
  }
}

const unfit = (key: string, why: string, cause?: unknown): HoldfastError =>
  new HoldfastError('bad-option', `The value for ${shown(key)} cannot be kept: ${why}. Give plain data.`, { cause })

const shown = (key: unknown): string => (typeof key === 'string' ? JSON.stringify(key) : `a ${typeof key}`)
