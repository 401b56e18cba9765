/** Every message and call of the user in a run, followed from the promise to its end. */
import type { Frame } from '../../src/adapter/adapter.ts'
import { asObject, readObject } from '../../src/adapter/json.ts'
import { isHoldfastError } from '../../src/error.ts'
import type { LinkStats } from '../../src/link.ts'
import type { Verdicts } from './verdicts.ts'
import type { Wire } from './wire.ts'

export interface Letter {
  readonly n: number
  readonly kind: 'say' | 'ask'
  readonly expiresAt: number
  readonly idempotent: boolean
  written: number
  proven: boolean
  /** Fates are counted by the link; `aborted` means that only the caller stopped waiting. */
  ending: string | undefined
}

export class Letters {
  readonly all: Letter[] = []
  readonly #verdicts: Verdicts
  readonly #now: () => number
  readonly #byKey = new Map<string, Letter>()
  readonly #onWire = new Map<Wire, Letter[]>()
  readonly #provedBy = new Map<Wire, Map<string, readonly Letter[]>>()

  constructor(verdicts: Verdicts, now: () => number) {
    this.#verdicts = verdicts
    this.#now = now
  }

  /** `post` gets the number to write on the letter. */
  follow(kind: Letter['kind'], withinMs: number, idempotent: boolean, post: (n: number) => Promise<unknown>): Letter {
    const n = this.all.length
    const letter: Letter = {
      n,
      kind,
      expiresAt: this.#now() + withinMs,
      idempotent,
      written: 0,
      proven: false,
      ending: undefined,
    }
    this.all.push(letter)
    post(n).then(
      (receipt) => this.#end(letter, String(asObject(receipt)?.fate ?? 'delivered')),
      (error) => this.#end(letter, isHoldfastError(error) ? error.code : `threw ${String(error)}`),
    )
    return letter
  }

  #end(letter: Letter, ending: string): void {
    const known = ['delivered', 'expired', 'refused', 'uncertain', 'aborted']
    this.#verdicts.check('HF-S10', known.includes(ending), () => `message ${letter.n} ended as "${ending}"`)
    this.#verdicts.check('HF-O1', letter.ending === undefined, () => `message ${letter.n} settled twice`)
    this.#verdicts.check('HF-O4', ending !== 'delivered' || letter.proven, () => `no proof of message ${letter.n}`)
    const unwritten = ending === 'expired'
    this.#verdicts.check('HF-O4', !unwritten || letter.written === 0 || letter.idempotent, () => {
      return `message ${letter.n} was written and is called expired`
    })
    letter.ending = ending
  }

  /** The letter in a frame that the link writes, if it is one. */
  wrote(wire: Wire, frame: Frame): boolean {
    const { op, n, key } = readObject(frame) ?? {}
    if (op !== 'say' && op !== 'ask') return false
    const letter = this.all[Number(n)]!
    letter.written++
    this.#verdicts.check('HF-O2', this.#now() <= letter.expiresAt, () => `message ${letter.n} is written too late`)
    this.#judgeOrder(letter)
    const again = letter.written > 1 && !letter.idempotent
    const settled = letter.ending !== undefined && letter.ending !== 'aborted'
    this.#verdicts.check('HF-O3', !again && !settled, () => {
      return `message ${letter.n} (${letter.ending ?? 'open'}) is written, time ${letter.written}`
    })
    this.#byKey.set(String(key), letter)
    if (op === 'say') this.#onWire.set(wire, [...(this.#onWire.get(wire) ?? []), letter])
    return true
  }

  /** One that waited before it, and still may be written, has been written too. */
  #judgeOrder(letter: Letter): void {
    if (letter.written > 1) return
    const now = this.#now()
    const overtaken = this.all
      .slice(0, letter.n)
      .find(({ written, ending, expiresAt }) => written === 0 && ending === undefined && expiresAt > now)
    this.#verdicts.check('HF-O6', overtaken === undefined, () => `message ${letter.n} overtakes ${overtaken?.n}`)
  }

  pinged(wire: Wire, mark: string): void {
    const marks = this.#provedBy.get(wire) ?? new Map<string, readonly Letter[]>()
    this.#provedBy.set(wire, marks.set(mark, this.#onWire.get(wire) ?? []))
  }

  ponged(wire: Wire, mark: string): void {
    for (const letter of this.#provedBy.get(wire)?.get(mark) ?? []) letter.proven = true
  }

  told(frame: Frame): void {
    const { op, key } = readObject(frame) ?? {}
    const letter = this.#byKey.get(String(key))
    if (op === 'answer' && letter) letter.proven = true
  }

  /** To be asked when promises have settled. */
  judge({ outbox }: LinkStats): void {
    const { entered, delivered, expired, refused, uncertain, waiting } = outbox
    const ended = delivered + expired + refused + uncertain
    this.#verdicts.check('HF-O1', entered === ended + waiting, () => `counts do not add up: ${JSON.stringify(outbox)}`)
    this.#verdicts.check('HF-O1', entered === this.all.length, () => `${entered} of ${this.all.length} entered`)
    const open = this.all.filter(({ ending }) => ending === undefined)
    const aborted = this.all.filter(({ ending }) => ending === 'aborted')
    const bounded = open.length <= waiting && waiting <= open.length + aborted.length
    this.#verdicts.check('HF-O1', bounded, () => `${waiting} wait, ${open.length} promises are open`)
    const late = open.find(({ expiresAt }) => expiresAt < this.#now())
    this.#verdicts.check('HF-O1', late === undefined, () => `message ${late?.n} is open after its time`)
    for (const fate of ['delivered', 'expired', 'refused', 'uncertain'] as const) {
      const seen = this.all.filter(({ ending }) => ending === fate).length
      const fits = seen <= outbox[fate] && outbox[fate] <= seen + aborted.length
      this.#verdicts.check('HF-O1', fits, () => `${outbox[fate]} ${fate}, but ${seen} promises say so`)
    }
  }
}
