/** What the user of the link is given: events by their numbers, and what the link says of those that are missing. */
import type { JsonObject } from '../../src/adapter/json.ts'
import type { Link } from '../../src/link.ts'
import type { Verdicts } from './verdicts.ts'

export class Inbox {
  /** The latest event that was given. */
  last = 0
  got = 0
  missed = 0
  gaps = 0
  readonly #verdicts: Verdicts
  readonly #now: () => number
  /** Events are missing since then, and a gap is still to be told: only where an old transport may tell it by its end. */
  #owedSince: number | undefined
  readonly #owedMaxMs: number
  /** Those that are missing and were not told of: in a move they may still come over the old transport. */
  readonly #holes = new Set<number>()
  /** Whether a gap was told since the latest event: then some may be missing. */
  #isExcused = true

  constructor(verdicts: Verdicts, link: Link<JsonObject, string>, now: () => number, owedMaxMs: number) {
    this.#verdicts = verdicts
    this.#now = now
    this.#owedMaxMs = owedMaxMs
    link.inbound$.subscribe((message) => this.#take(Number(message.seq)))
    link.continuity$.subscribe(({ kind }) => {
      if (kind !== 'gap') return
      this.gaps++
      this.judgeDebt()
      this.#owedSince = undefined
      this.#isExcused = true
    })
  }

  #take(seq: number): void {
    const isLate = this.#holes.delete(seq)
    this.#verdicts.check('HF-E4', isLate || seq > this.last, () => `event ${seq} comes after ${this.last}`)
    if (isLate) this.missed--
    if (this.#holes.size === 0) this.#owedSince = undefined
    if (seq > this.last) this.#takeNext(seq)
    this.judgeDebt()
    this.got++
  }

  #takeNext(seq: number): void {
    const next = this.last + 1
    if (this.last > 0) this.missed += seq - next
    if (seq > next && !this.#isExcused) {
      this.#owedSince ??= this.#now()
      for (let each = next; each < seq; each++) this.#holes.add(each)
    }
    this.last = seq
    this.#isExcused = false
  }

  judgeDebt(): void {
    const owedMs = this.#owedSince === undefined ? 0 : this.#now() - this.#owedSince
    const isTold = this.#owedSince === undefined || (this.#owedMaxMs > 0 && owedMs <= this.#owedMaxMs)
    this.#verdicts.check(
      'HF-E4',
      isTold,
      () => `events before ${this.last} are missing, and no gap was told in ${owedMs} ms`,
    )
  }

  /** When all is over nothing may be owed. */
  judgeEnd(): void {
    this.#verdicts.check('HF-E4', this.#owedSince === undefined, () => `no gap was told before ${this.last}`)
  }
}
