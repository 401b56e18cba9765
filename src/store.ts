/**
 * Where a link keeps what must outlive its process: accepted messages and the session. A port of three functions with two
 * implementations: `memoryStore()` for tests, and `fileStore()`, which needs the optional package classic-level.
 */

/** `value` is plain data, as JSON can carry it; undefined deletes. */
export interface Change {
  readonly key: string
  readonly value: unknown
}

export interface Store {
  /** All that is kept under keys with this beginning, in the order of the keys. */
  read(prefix: string): Promise<(readonly [key: string, value: unknown])[]>
  /**
   * Makes all the changes or none. Once it resolves a crash of the process cannot undo them; with `toDisk` a loss of power
   * cannot either. Changes take effect in the order of the calls. Rejects with HoldfastError `store-failed`.
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
      const keys = [...kept.keys()].filter((key) => key.startsWith(prefix)).sort()
      return keys.map((key) => [key, JSON.parse(kept.get(key)!) as unknown] as const)
    },
    write: async (changes) => {
      const texts = changes.map(({ key, value }) => [key, JSON.stringify(value)] as const)
      for (const [key, text] of texts) {
        if (text === undefined) kept.delete(key)
        else kept.set(key, text)
      }
    },
    close: async () => undefined,
  }
}
