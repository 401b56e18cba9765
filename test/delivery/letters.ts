/** Every message of a run: what was told of it, held against what the platform has. */
import type { JsonObject } from '../../src/adapter/json.ts'
import type { Link, Receipt } from '../../src/link.ts'
import type { Fate, OutboxCounts } from '../../src/outbox/outbox.ts'
import type { Platform } from './platform.ts'
import type { Verdicts } from './verdicts.ts'

interface Letter {
  readonly n: number
  readonly conversation: string
  fate: Fate | undefined
}

export class Letters {
  readonly all: Letter[] = []
  readonly #verdicts: Verdicts
  readonly #platform: Platform
  readonly #now: () => number
  /** By key, in the words of the stream. */
  readonly #told = new Map<string, Fate>()

  constructor(verdicts: Verdicts, platform: Platform, now: () => number) {
    this.#verdicts = verdicts
    this.#platform = platform
    this.#now = now
  }

  listen(link: Link<JsonObject, string>): void {
    link.settled$.subscribe(({ key, fate }) => {
      const before = this.#told.get(key)
      this.#verdicts.check('HF-E2', before === undefined, () => `${key} is told to be ${before}, and then ${fate}`)
      this.#told.set(key, fate)
      const isThere = this.#platform.copies.has(key)
      this.#verdicts.check('HF-E2', fate !== 'delivered' || isThere, () => `${key} is delivered, and not at the peer`)
      this.judgeSums(link.stats.outbox)
    })
  }

  follow(conversation: string, post: (text: string) => Promise<Receipt>): void {
    const letter: Letter = { n: this.all.length, conversation, fate: undefined }
    this.all.push(letter)
    void post(`${conversation}/${letter.n}`).then(({ fate }) => {
      this.#verdicts.check('HF-E2', letter.fate === undefined, () => `message ${letter.n} has two receipts`)
      letter.fate = fate
    })
  }

  judgeSums(counts: OutboxCounts): void {
    const { entered, delivered, expired, refused, uncertain, waiting } = counts
    const sum = delivered + expired + refused + uncertain + waiting
    this.#verdicts.check('HF-E3', entered === sum, () => `at ${this.#now()}: ${JSON.stringify(counts)}`)
  }

  /** When all is drained: what the peer has, against what was sent. */
  judgeProved(): void {
    const lost = this.all.filter(({ fate }) => fate !== 'delivered')
    this.#verdicts.check('HF-E1', lost.length === 0, () => `message ${lost[0]!.n} is ${lost[0]!.fate ?? 'open'}`)
    for (const conversation of new Set(this.all.map((letter) => letter.conversation))) {
      const sent = this.all.filter((letter) => letter.conversation === conversation).map(({ n }) => n)
      const shown = this.#platform.shown.get(conversation) ?? []
      const at = sent.findIndex((n, i) => shown[i] !== n)
      const isSame = at < 0 && shown.length === sent.length
      this.#verdicts.check('HF-E1', isSame, () => `${conversation} has ${shown.slice(at - 1, at + 3)} at ${at}`)
    }
  }

  judgeTold(counts: OutboxCounts): void {
    const open = this.all.find(({ fate }) => fate === undefined)
    this.#verdicts.check('HF-E2', open === undefined, () => `message ${open!.n} has no fate`)
    this.#verdicts.check(
      'HF-E2',
      this.#told.size === this.all.length,
      () => `${this.#told.size} of ${this.all.length} told`,
    )
    for (const fate of ['delivered', 'expired', 'refused', 'uncertain'] as const) {
      const receipts = this.all.filter((letter) => letter.fate === fate).length
      const told = [...this.#told.values()].filter((each) => each === fate).length
      const isSame = receipts === told && told === counts[fate]
      this.#verdicts.check(
        'HF-E2',
        isSame,
        () => `${fate}: ${receipts} receipts, ${told} told, ${counts[fate]} counted`,
      )
    }
    for (const [key, fate] of this.#told) {
      const copies = this.#platform.copies.get(key) ?? 0
      const isTrue = fate === 'delivered' ? copies === 1 : fate === 'uncertain' ? copies <= 1 : copies === 0
      this.#verdicts.check('HF-E2', isTrue, () => `${key} is told to be ${fate}, and came ${copies} times`)
    }
    // what is uncertain may still come when the peer wakes up
    const isCertain = (n: number) => this.all[n]!.fate === 'delivered'
    for (const [conversation, all] of this.#platform.shown) {
      const shown = all.filter(isCertain)
      const late = shown.find((n, i) => i > 0 && n <= shown[i - 1]!)
      this.#verdicts.check('HF-E2', late === undefined, () => `message ${late} of ${conversation} is out of order`)
    }
  }
}
