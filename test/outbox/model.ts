/** One run of the outbox in a random world: what was put, what crossed which transport, and whether that was right. */
import { expect } from 'vitest'
import type { HttpOutgoing, Outgoing } from '../../src/adapter/adapter.ts'
import {
  BesideError,
  type Fate,
  type Flight,
  type Handed,
  Outbox,
  type SettledMessage,
} from '../../src/outbox/outbox.ts'
import { type HeapClock, heapClock, seededRandom } from '../../src/testing/heap-clock.ts'
import type { Order, Plan, Put } from './orders.ts'
import { Disk } from './shaky-store.ts'

export const BOUNDS = { messagesMax: 8, bytesMax: 2_000 }
const PREFIX = 'outbox/'
const HOUR_MS = 3_600_000
const DOOR = /^(the outbox is full|a message with this key|the link is not live|it cannot be|over$)/

interface Message {
  readonly n: number
  readonly put: Put
  readonly expiresAt: number
  readonly repeats: boolean
  readonly isKept: boolean
  readonly conversation: string | undefined
  key: string
  /** Its turn: a message that replaces another one takes over its place. */
  place: number
  /** In which life of the process it is open; undefined once it is settled, or was lost in a crash. */
  life: number | undefined
  isAccepted: boolean
  /** How often it was written; as a frame, where. */
  written: number
  readonly lines: Set<Line>
  /** Where it is under way now. */
  on: Line | undefined
  /** It was written before, here or in another life. */
  mayHaveArrived: boolean
  /** The fallback had it once: its turn among others is no longer what it was. */
  wasHanded: boolean
}

interface Line {
  readonly flight: Flight
  mark: number
  isLost: boolean
}

/** What stands in for a transport. Nothing on it is answered but by the function that is the fallback. */
const FALLBACK: Line = {
  flight: { answer: () => undefined, refuse: () => undefined, room: () => undefined } as unknown as Flight,
  mark: 0,
  isLost: false,
}

interface Request {
  readonly message: Message
  read(status: number, body: string): unknown
  resolve(result: unknown): void
  reject(error: BesideError): void
  /** The fallback has it. */
  readonly isHanded?: boolean
}

export type Tally = Partial<
  Record<Fate | 'rewritten' | 'revived' | 'replaced' | 'dropped' | 'marked' | 'handed' | 'declined', number>
>

/** Timers of a process die with it. */
const mortalClock = (clock: HeapClock) => {
  let isAlive = true
  const alive: typeof clock = Object.create(clock)
  alive.setTimeout = (run, delayMs) => clock.setTimeout(() => isAlive && run(), delayMs)
  return {
    alive,
    die: () => {
      isAlive = false
    },
  }
}

export class Model {
  readonly #plan: Plan
  readonly #tally: Tally
  readonly clock = heapClock()
  readonly #disk = new Disk()
  readonly #random: () => number
  readonly #messages: Message[] = []
  #life = 0
  #outbox!: Outbox
  #die: () => void = () => undefined
  #unsubscribe: () => void = () => undefined
  #lines: Line[] = []
  #attached: Line | undefined
  #requests: Request[] = []
  /** What another life accepted and did not settle: it has to come back. */
  readonly #owed = new Set<Message>()
  readonly #byKey = new Map<string, Message[]>()
  #putting: Message | undefined
  #room = true
  #entered = 0
  #fates: Record<Fate, number> = { delivered: 0, expired: 0, refused: 0, uncertain: 0 }
  #promised = 0
  #writtenAt: number[] = []
  #lastPlain = -1
  #ending = false
  /** The first rule that broke where an error would have been the outbox's to catch. */
  #broken: unknown

  constructor(plan: Plan, tally: Tally) {
    this.#plan = plan
    this.#tally = tally
    this.#random = seededRandom(plan.seed)
    this.#begin()
  }

  #note(what: keyof Tally): void {
    this.#tally[what] = (this.#tally[what] ?? 0) + 1
  }

  #watch(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.#broken ??= error
    }
  }

  /** A process begins, with the disk of the one before. */
  #begin(): void {
    const { whenFull, backlogPerSecond, pace, dedupes, hasLedger } = this.#plan
    const { alive, die } = mortalClock(this.clock)
    this.#life++
    this.#entered = 0
    this.#promised = 0
    this.#fates = { delivered: 0, expired: 0, refused: 0, uncertain: 0 }
    this.#lines = []
    this.#attached = undefined
    this.#requests = []
    this.#lastPlain = -1
    this.#byKey.clear()
    const ledger = hasLedger ? { store: this.#disk.open(), prefix: PREFIX } : undefined
    this.#outbox = new Outbox({ ...BOUNDS, whenFull, backlogPerSecond }, { clock: alive, dedupes, pace, ledger })
    const subscription = this.#outbox.settled$.subscribe((settled) => this.#watch(() => this.#settled(settled)))
    this.#unsubscribe = () => subscription.unsubscribe()
    this.#die = () => {
      die()
      subscription.unsubscribe()
    }
    const life = this.#life
    const encode = (message: unknown, key: string) => {
      const found = this.#messages[(message as { n: number }).n]!
      this.#watch(() => this.#revive(found, key))
      return this.#encode(found)
    }
    void this.#outbox.recover(encode).then(({ trouble }) => {
      if (life !== this.#life || trouble !== undefined) return
      this.#watch(() =>
        expect(
          [...this.#owed].map(({ n }) => n),
          'what was accepted comes back',
        ).toEqual([]),
      )
    })
  }

  #end(): void {
    for (const message of this.#messages) {
      if (message.life === undefined) continue
      message.life = undefined
      message.on = undefined
      if (message.isKept && message.isAccepted) this.#owed.add(message)
    }
    this.#die()
  }

  #revive(message: Message, key: string): void {
    expect(key, 'it keeps its key').toBe(message.key)
    this.#note('revived')
    this.#owed.delete(message)
    this.#entered++
    message.life = this.#life
    message.on = undefined
    message.isAccepted = true
    message.mayHaveArrived = message.repeats
    message.place = this.#life * 1e6 + message.n / 1e6
    this.#byKey.set(key, [...(this.#byKey.get(key) ?? []), message])
  }

  #encode({ n, key, put }: Message): Outgoing {
    if (put.size === 13) throw new Error('unlucky')
    const text = `${n} ${key} ${'x'.repeat(put.size)}`
    if (put.proof !== 'http') return { frame: text, proof: put.proof }
    return { http: { url: 'http://h/', method: 'POST', headers: {}, body: text }, read: () => undefined }
  }

  #settled({ key, fate, detail = '', recovered, via }: SettledMessage): void {
    const putting = this.#putting
    const isDoor = putting !== undefined && DOOR.test(detail) && (putting.key === '' || putting.key === key)
    const isOther = isDoor && putting.key === '' && putting.put.key === undefined && this.#byKey.has(key)
    const [message] = isDoor && !isOther ? [putting] : (this.#byKey.get(key)?.splice(0, 1) ?? [])
    if (this.#byKey.get(key)?.length === 0) this.#byKey.delete(key)
    expect(message?.life, `${fate} of ${key}: it is open, and of this life (${detail})`).toBe(this.#life)
    this.#fates[fate]++
    this.#note(fate)
    if (!recovered) this.#promised++
    if (fate === 'expired') expect(message!.written, 'expired means never written').toBe(0)
    if (fate === 'delivered') expect(message!.on, 'delivered is said of what is under way').toBeDefined()
    if (fate === 'delivered')
      expect(via === 'fallback', 'it is said who has delivered it').toBe(message!.on === FALLBACK)
    if (fate === 'uncertain' && !recovered && !detail.includes('it is kept'))
      expect(message!.written).toBeGreaterThan(0)
    if (detail.startsWith('replaced')) this.#replaced(message!)
    if (detail.startsWith('dropped')) this.#note('dropped')
    if (detail.includes('it is kept')) this.#owed.add(message!)
    message!.life = undefined
    message!.on = undefined
  }

  #replaced(old: Message): void {
    this.#note('replaced')
    const { coalesceKey } = old.put
    const heirs = this.#open.filter(
      ({ place, put, conversation }) =>
        place > old.place && put.coalesceKey === coalesceKey && conversation === old.conversation,
    )
    const heir = this.#putting ?? heirs.sort((a, b) => a.place - b.place)[0]
    expect(heir, 'somebody replaces it').toBeDefined()
    heir!.place = old.place
  }

  get #open(): Message[] {
    return this.#messages.filter(({ life }) => life === this.#life)
  }

  #dial(): Line {
    const line: Line = {
      mark: 0,
      isLost: false,
      flight: this.#outbox.flight({
        write: (frame) => this.#watch(() => void this.#wrote(String(frame), line)),
        awaitProof: () => this.#watch(() => expect(line.flight.awaitsProof).toBe(true)),
        mark: (mark) => {
          line.mark = mark
        },
        hasRoom: () => this.#room,
        request: (outgoing) => {
          const { http, read } = outgoing as HttpOutgoing
          this.#watch(() => this.#wrote(http.body!, line))
          const message = this.#messages[Number.parseInt(http.body!, 10)]!
          return new Promise((resolve, reject) => {
            this.#requests.push({ message, read, resolve, reject })
          })
        },
      }),
    }
    this.#lines.push(line)
    return line
  }

  /** The fallback gets a message: one that was never written, and that nobody else has. */
  #handed(message: Message, key: string): void {
    const now = this.clock.now()
    expect(this.#attached, 'the link is down').toBe(FALLBACK)
    expect(message.life, 'a settled message is not handed over').toBe(this.#life)
    expect([message.on, message.written, message.mayHaveArrived], 'nobody else has it').toEqual([undefined, 0, false])
    expect([message.put.kind, key], 'it is a message, under its key').toEqual(['message', message.key])
    expect(now, 'it is not handed over after its time').toBeLessThan(message.expiresAt)
    if (message.isKept) this.#judgeDisk(message)
    if (message.conversation !== undefined) this.#judgeOrder(message, FALLBACK)
    this.#note('handed')
    message.wasHanded = true
    message.written = 1
    message.on = FALLBACK
    this.#judgePace(now)
  }

  #divert(): void {
    if (this.#attached) return
    this.#attached = FALLBACK
    this.#outbox.divert((sent: unknown, { key }: Handed) => {
      const message = this.#messages[(sent as { n: number }).n]!
      this.#watch(() => this.#handed(message, key))
      return new Promise((resolve, decline) => {
        const reject = (error: BesideError) => {
          if (message.life === this.#life && message.on === FALLBACK) {
            this.#note('declined')
            Object.assign(message, { on: undefined, written: 0 })
          }
          decline(error)
        }
        this.#requests.push({ message, read: () => undefined, resolve, reject, isHanded: true })
      })
    })
  }

  /** A request ends: well, with a refusal, before it left, or nobody knows how. */
  #endRequest({ message, read, resolve, reject, isHanded = false }: Request, how: number): void {
    if (isHanded) {
      if (how < 2) resolve('taken')
      else reject(new BesideError('refused', 'the fallback is down too'))
      return
    }
    if (how === 0) resolve(read(200, ''))
    if (how === 1) read(404, '')
    const goesOn = how === 3 || (how === 2 && message.mayHaveArrived)
    if (message.life === this.#life && message.repeats && goesOn) this.#putBack(message)
    reject(new BesideError(how === 3 ? 'uncertain' : 'refused', 'it failed'))
  }

  #putBack(message: Message): void {
    message.on = undefined
    message.mayHaveArrived = true
  }

  #wrote(text: string, line: Line): void {
    const [number, key] = text.split(' ')
    const n = Number(number)
    const message = this.#messages[n]!
    const { put, conversation } = message
    const now = this.clock.now()
    const isFrame = put.proof !== 'http'
    expect(this.#attached, 'it is written to the live transport').toBe(line)
    expect(message.life, `a settled message is not written: ${n}`).toBe(this.#life)
    expect(message.on, 'it is not under way already').toBeUndefined()
    expect(key, 'a message keeps its key').toBe(message.key)
    expect(now, 'it is not written after its time').toBeLessThan(message.expiresAt)
    expect(message.lines.has(line), 'a frame is written once on a transport').toBe(false)
    if (message.written++ > 0) {
      expect(message.repeats, `a second copy of ${n} is harmless`).toBe(true)
      this.#note('rewritten')
    }
    if (message.isKept) this.#judgeDisk(message)
    if (conversation !== undefined) this.#judgeOrder(message, line)
    else if (
      isFrame &&
      !this.#plan.hasLedger &&
      !message.wasHanded &&
      message.lines.size === 0 &&
      message.place > this.#life * 1e6 + n
    ) {
      expect(message.place, 'first copies are in order').toBeGreaterThan(this.#lastPlain)
      this.#lastPlain = message.place
    }
    if (isFrame) message.lines.add(line)
    message.on = line
    this.#judgePace(now)
  }

  #judgeDisk(message: Message): void {
    const found = [...this.#disk.kept.values()].find((each) => (each as { message: Message }).message.n === message.n)
    expect(message.isAccepted || found !== undefined, 'it is on disk before it is written').toBe(true)
    if (message.repeats) return
    this.#note('marked')
    expect(found, 'the disk knows that it may have been written').toMatchObject({ written: true })
  }

  #judgeOrder({ n, place, conversation, put }: Message, line: Line): void {
    const now = this.clock.now()
    const others = this.#open.filter((each) => each.conversation === conversation && each.n !== n)
    const overtaken = others.find((each) => !each.on && each.place < place && each.expiresAt > now)
    expect(overtaken?.n, `${n} overtakes one of its conversation`).toBeUndefined()
    const racing = others.find(
      ({ on, put: { proof } }) => on && (on !== line || line === FALLBACK || put.proof === 'http' || proof === 'http'),
    )
    expect(racing?.n, `${n} may overtake one that is under way elsewhere`).toBeUndefined()
  }

  #judgePace(now: number): void {
    const { pace } = this.#plan
    if (!pace || this.#ending) return
    this.#writtenAt = [...this.#writtenAt.filter((at) => at > now - pace.ms), now]
    // a new process does not know what the one before has written
    if (this.#life === 1) expect(this.#writtenAt.length).toBeLessThanOrEqual(pace.count)
  }

  #put(put: Put): void {
    const { plan, n } = { plan: this.#plan, n: this.#messages.length }
    const isKept = plan.hasLedger && put.kind === 'message' && !put.failFast
    const message: Message = {
      n,
      put,
      expiresAt: this.clock.now() + put.withinMs,
      repeats: !put.failFast && (plan.dedupes || put.key !== undefined),
      isKept,
      conversation: put.conversation ?? (isKept && put.proof !== 'http' ? '' : undefined),
      key: '',
      place: this.#life * 1e6 + 1 + n,
      life: this.#life,
      isAccepted: false,
      written: 0,
      lines: new Set(),
      on: undefined,
      mayHaveArrived: false,
      wasHanded: false,
    }
    this.#messages.push(message)
    this.#entered++
    const make = (key: string) => {
      message.key = key
      const outgoing = this.#encode(message)
      this.#byKey.set(key, [message])
      return outgoing
    }
    const idempotencyKey = put.key === undefined ? undefined : `k${put.key}`
    const { withinMs, conversation, coalesceKey, failFast } = put
    const ticket = { withinMs, idempotencyKey, conversation, coalesceKey, failFast }
    this.#putting = message
    const life = this.#life
    const { accepted, settled } = this.#outbox.put(make, ticket, put.kind === 'message' ? { n } : undefined)
    this.#putting = undefined
    if (this.#byKey.get(message.key)?.[0] === message && message.life === undefined) this.#byKey.delete(message.key)
    accepted.then(
      () => {
        message.isAccepted = true
      },
      ({ code }) => expect(code).toBe('refused'),
    )
    void settled.then(({ fate }) => {
      if (life !== this.#life) return
      expect(message.life, `the promise of ${n} says ${fate}`).toBeUndefined()
      this.#promised--
    })
  }

  /** One that is under way, if there is any; now and then one that is not. */
  #pick(which: number): Message | undefined {
    const written = which % 7 === 0 ? [] : this.#open.filter(({ on }) => on)
    const among = written.length > 0 ? written : this.#open
    return among[which % Math.max(among.length, 1)]
  }

  async obey(order: Order): Promise<void> {
    await this.#do(order)
    await new Promise((resolve) => setImmediate(resolve))
    this.#judge()
  }

  #do(order: Order): unknown {
    switch (order.do) {
      case 'put':
        return this.#put(order)
      case 'answer':
      case 'refuse': {
        const { on, key } = this.#pick(order.which) ?? { on: this.#attached, key: 'nobody' }
        return on?.flight[order.do](key, 'so it is')
      }
      case 'forge': {
        const message = this.#pick(order.which)
        const other = this.#lines.find((line) => line !== message?.on)
        return message && other?.flight.answer(message.key, 'forged')
      }
      case 'prove': {
        const line = this.#lines.at(-1 - (order.which % 2))
        return line?.flight.proven(order.which % 5 === 0 ? order.which : line.mark)
      }
      case 'request':
        for (const request of this.#requests.splice(order.which % 3, 1)) this.#endRequest(request, order.which % 4)
        return
      case 'lose':
        return this.#lose(this.#lines.at(-1 - (order.which % 3)))
      case 'advance':
        return this.clock.advance(order.ms)
      case 'sleep':
        return this.clock.sleep(order.ms)
      case 'attach':
      case 'switch':
        return this.#attach(order.do === 'switch')
      case 'detach':
        this.#attached = undefined
        return this.#outbox.detach()
      case 'divert':
        return this.#divert()
      case 'clog':
        this.#room = false
        return
      case 'unclog':
        this.#room = true
        return this.#attached?.flight.room()
      case 'fill':
        for (let n = 0; n < BOUNDS.messagesMax; n++) this.#put({ ...PLAIN, size: n * 10 })
        return
      case 'disk':
        this.#disk.mood = () => {
          const drawn = this.#random() * 10
          return drawn >= order.fails ? 'fine' : drawn * 2 < order.fails ? 'failed' : 'half'
        }
        return
      case 'crash':
        this.#end()
        return this.#begin()
      case 'stop':
        return this.#stop()
    }
  }

  #attach(isNew: boolean): void {
    const last = this.#lines.at(-1)
    const line = !last || last.isLost || isNew ? this.#dial() : last
    this.#attached = line
    this.#outbox.attach(line.flight)
  }

  #lose(line: Line | undefined): void {
    if (!line || line.isLost) return
    line.isLost = true
    if (this.#attached === line) this.#attached = undefined
    for (const message of this.#open) {
      if (message.on === line && message.put.proof !== 'http' && message.repeats) this.#putBack(message)
    }
    line.flight.lose({ code: 'connection-lost' })
  }

  async #stop(): Promise<void> {
    this.#attached = undefined
    await this.#outbox.close('over')
    expect(this.#open, 'all is settled').toEqual([])
    this.#end()
    this.#begin()
  }

  #judge(): void {
    if (this.#broken) throw this.#broken
    const { entered, waiting, ...fates } = this.#outbox.counts
    expect(fates).toEqual(this.#fates)
    expect(entered).toBe(this.#entered)
    expect(entered).toBe(waiting + fates.delivered + fates.expired + fates.refused + fates.uncertain)
    expect(this.#open).toHaveLength(waiting)
    expect(this.#promised, 'each promise has settled once').toBe(0)
    const revived = this.#open.filter(({ place }) => place < this.#life * 1e6 + 1).length
    // what was accepted once is not refused because others came before it could be read
    expect(waiting).toBeLessThanOrEqual(BOUNDS.messagesMax + revived)
  }

  /** Everything has a fate after its time, and then outbox and disk are as empty as at first. */
  async finish(): Promise<void> {
    this.#ending = true
    this.#disk.mood = () => 'fine'
    // one that is to be kept, so that a ledger that could not be read is read
    await this.obey(PLAIN)
    await this.clock.advance(HOUR_MS)
    this.#judge()
    expect(this.#outbox.counts.waiting).toBe(0)
    expect([...this.#disk.kept.keys()], 'nothing is left on disk').toEqual([])
    this.#outbox.detach()
    this.#unsubscribe()
    const { settled } = this.#outbox.put(() => ({ frame: 'x'.repeat(BOUNDS.bytesMax) }), { withinMs: 1 })
    let fate: string | undefined
    void settled.then((end) => {
      fate = end.fate
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(fate, 'all bytes are free again').toBeUndefined()
    await this.#outbox.close('over')
    expect(this.clock.pending, 'no timer is left').toBe(0)
  }
}

const PLAIN: Put = {
  do: 'put',
  kind: 'message',
  proof: 'answer',
  size: 1,
  withinMs: 6_000,
  key: undefined,
  conversation: undefined,
  coalesceKey: undefined,
  failFast: false,
}
