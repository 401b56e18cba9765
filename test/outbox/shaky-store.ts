/** A store that fails, hangs, and loses its process, as it is told. */
import { HoldfastError } from '../../src/error.ts'
import { type Change, memoryStore, type Store } from '../../src/store.ts'

/** What outlives a process: the disk. */
export class Disk {
  readonly #store = memoryStore()
  /** All writes that took effect. */
  readonly writes: { changes: readonly Change[]; toDisk: boolean }[] = []
  /** What is on it now. */
  readonly kept = new Map<string, unknown>()
  /** Decides what becomes of each call. `half` fails although it took effect. */
  mood: () => 'fine' | 'failed' | 'half' = () => 'fine'
  #hanging: (() => void)[] = []
  hangs = false
  #life = 0

  /** The store of a new process: what an older one still had in hand is lost. */
  open(): Store {
    const life = ++this.#life
    this.#hanging = []
    const unlessDead = async <T>(act: () => Promise<T>): Promise<T> => {
      if (this.hangs) await new Promise<void>((resolve) => this.#hanging.push(resolve))
      if (life !== this.#life) return new Promise(() => undefined)
      const mood = this.mood()
      if (mood === 'failed') throw failed()
      const result = await act()
      if (mood === 'half') throw failed()
      return result
    }
    return {
      read: (prefix) => unlessDead(() => this.#store.read(prefix)),
      write: (changes, { toDisk = false } = {}) =>
        unlessDead(async () => {
          this.#apply(changes, toDisk)
          await this.#store.write(changes)
        }),
      close: async () => undefined,
    }
  }

  #apply(changes: readonly Change[], toDisk: boolean): void {
    this.writes.push({ changes, toDisk })
    for (const { key, value } of changes) {
      if (value === undefined) this.kept.delete(key)
      else this.kept.set(key, value)
    }
  }

  /** Lets go of what hangs. */
  release(): void {
    this.hangs = false
    for (const go of this.#hanging.splice(0)) go()
  }

  entries(prefix = ''): ReturnType<Store['read']> {
    return this.#store.read(prefix)
  }

  async messages(): Promise<unknown[]> {
    return (await this.entries()).map(([, value]) => (value as { message: unknown }).message)
  }

  /** Somebody else's writing. */
  scribble(key: string, value: unknown): Promise<void> {
    return this.#store.write([{ key, value }])
  }
}

const failed = (): HoldfastError => new HoldfastError('store-failed', 'ENOSPC: no space left on device')
