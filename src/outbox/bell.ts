/** Calls back once those who wait for a moment, unless they changed their minds. */
export class Bell {
  readonly #waiting = new Set<() => void>()

  get isAwaited(): boolean {
    return this.#waiting.size > 0
  }

  /** The returned function forgets it. */
  wait(tell: () => void, isNow: boolean): () => void {
    if (isNow) {
      tell()
      return () => undefined
    }
    const told = () => tell()
    this.#waiting.add(told)
    return () => {
      this.#waiting.delete(told)
    }
  }

  ring(): void {
    if (this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const tell of waiting) tell()
  }
}
