/**
 * The peer of the simulation: it keeps sessions and replays what a bot missed, takes messages and, where it is told to,
 * answers them and drops those whose key it has seen. It writes down what it took, as its users would see it.
 */
import type { Fault } from '../../machines/fault.ts'
import type { Frame } from '../../src/adapter/adapter.ts'
import { readObject } from '../../src/adapter/json.ts'
import type { Clock } from '../../src/clock.ts'
import type { OpenTransport } from '../../src/transport/transport.ts'
import { LATENCY_MS, Wire } from './wire.ts'

export interface Habits {
  /** Each message is answered; otherwise only pings are. */
  readonly answers: boolean
  /** A second message with the same key is answered and dropped. */
  readonly dedupes: boolean
  /** Otherwise it remembers no session: everybody starts anew. */
  readonly resumes: boolean
}

const SPEAKS_EVERY_MS = 10

export class Platform {
  readonly wires: Wire[] = []
  /** What its users see, by conversation, in order. */
  readonly shown = new Map<string, number[]>()
  /** How often each key came. */
  readonly copies = new Map<string, number>()
  /** Every dial is lost with this fault, until then. */
  refuses: { fault: Fault; until: number } | undefined
  /** Who wants to resume gets no answer, until then. */
  muteUntil = 0
  isSpeaking = true
  said = 0
  readonly #clock: Clock
  readonly #habits: Habits
  readonly #dice: () => number
  /** The first event of each session that is remembered. */
  readonly #sessions = new Map<string, number>()
  #spokeAt = 0
  #made = 0

  constructor(clock: Clock, habits: Habits, dice: () => number) {
    this.#clock = clock
    this.#habits = habits
    this.#dice = dice
    this.#speakSoon()
  }

  /** Those that the peer holds to be alive. */
  get open(): Wire[] {
    return this.wires.filter(({ isLeft, isOver }) => !isLeft && !isOver)
  }

  readonly transport = (): OpenTransport => (listener) => {
    const wire = new Wire(this.#clock, listener, { heard: (from, frame) => this.#heard(from, frame) }, this.#dice)
    this.wires.push(wire)
    wire.later(LATENCY_MS, () => {
      const { refuses } = this
      if (refuses && refuses.until > this.#clock.now()) wire.lose(refuses.fault)
      else wire.accept()
    })
    return () => wire.leave()
  }

  #heard(wire: Wire, frame: Frame): void {
    const { op, id, seq, key, text } = readObject(frame) ?? {}
    if (op === 'identify') this.#welcome(wire)
    else if (op === 'resume') this.#resume(wire, String(id), Number(seq))
    else if (op === 'say') this.#took(wire, String(key), String(text))
  }

  #took(wire: Wire, key: string, text: string): void {
    const copies = (this.copies.get(key) ?? 0) + 1
    this.copies.set(key, copies)
    if (copies === 1 || !this.#habits.dedupes) {
      const [conversation = '', n] = text.split('/')
      const shown = this.shown.get(conversation) ?? []
      this.shown.set(conversation, shown)
      shown.push(Number(n))
    }
    if (this.#habits.answers) wire.tell({ op: 'heard', key })
  }

  #welcome(wire: Wire): void {
    wire.session = `s${++this.#made}`
    this.#sessions.set(wire.session, this.said + 1)
    wire.tell({ op: 'ready', id: wire.session })
  }

  #resume(wire: Wire, id: string, seq: number): void {
    if (this.muteUntil > this.#clock.now()) return
    const first = this.#habits.resumes ? this.#sessions.get(id) : undefined
    if (first === undefined) {
      wire.tell({ op: 'invalid' })
      return
    }
    wire.session = id
    for (let each = Math.max(first, seq + 1); each <= this.said; each++) this.#tellOf(wire, each)
    wire.tell({ op: 'resumed' })
  }

  #tellOf(wire: Wire, seq: number): void {
    wire.tell({ op: 'event', seq })
  }

  /** No session can be resumed any more. */
  forget(): void {
    this.#sessions.clear()
  }

  #speakSoon(): void {
    this.#clock.setTimeout(() => {
      if (!this.isSpeaking) return
      // our process may have slept: the peer did not
      for (; this.#spokeAt + SPEAKS_EVERY_MS <= this.#clock.now(); this.#spokeAt += SPEAKS_EVERY_MS) this.speakOnce()
      this.#speakSoon()
    }, SPEAKS_EVERY_MS)
  }

  /** Something happened: it is sent to those who are there, and those who are not may ask for it later. */
  speakOnce(): void {
    const seq = ++this.said
    for (const wire of this.open) if (wire.session !== undefined) this.#tellOf(wire, seq)
  }
}
