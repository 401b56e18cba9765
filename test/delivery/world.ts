/** One link, its platform, and its user: sends a message and reads what comes; every event of the clock is looked at. */
import { type Adapter, defineAdapter } from '../../src/adapter/adapter.ts'
import type { JsonObject } from '../../src/adapter/json.ts'
import type { Clock } from '../../src/clock.ts'
import { connect, type Link } from '../../src/link.ts'
import { type HeapClock, heapClock, seededRandom } from '../../src/testing/heap-clock.ts'
import { gatewayAdapter } from '../gateway.ts'
import { Inbox } from './inbox.ts'
import { Letters } from './letters.ts'
import { Platform } from './platform.ts'
import { Verdicts } from './verdicts.ts'

/** `proved`: the peer answers each message and knows their keys. `told`: it does neither, so the fates have to be true. */
export type Mode = 'proved' | 'told'

export interface WorldOptions {
  readonly seed: number
  readonly mode: Mode
  /** Who keeps doubles away: the adapter says that the peer dedupes, or each message has a key of the caller's. */
  readonly keys: boolean
  readonly overlap: boolean
  /** A small outbox refuses, a slow one takes long to empty. */
  readonly isSmall: boolean
  /** For controls: what is not as the link was told. */
  readonly lie?: 'no-dedupe' | 'no-resume'
}

/** Short, so that twenty faults fit into a few seconds. */
const DEADLINES = { connectMs: 800, handshakeMs: 800, resumeMs: 500, graceMs: 200, closeMs: 500 }
const HEARTBEAT = { quietMs: 400, quietWaitingMs: 200, answerMinMs: 100, answerMaxMs: 300 }

/** From the moment in which the new transport is live until the old one is closed or cut, with a stall of ours between. */
const OLD_ENDS_WITHIN_MS = DEADLINES.closeMs + 6_500

const SENDS_EVERY_MS = 10
const SMALL = 40
const CONVERSATIONS = 4
const TOLD_WITHIN_MS = [150, 600, 3_000, 300_000]

export class World {
  readonly clock: HeapClock
  readonly platform: Platform
  readonly link: Link<JsonObject, string>
  readonly verdicts: Verdicts
  readonly letters: Letters
  readonly inbox: Inbox
  readonly dice: () => number
  isSending = true
  readonly #options: WorldOptions

  constructor(options: WorldOptions) {
    const { seed, mode, overlap, isSmall, lie } = options
    this.#options = options
    this.clock = heapClock(seed)
    this.dice = seededRandom(seed)
    this.verdicts = new Verdicts(() => this.clock.now())
    const clock = watched(this.clock, () => this.look())
    const habits = {
      answers: mode === 'proved',
      dedupes: mode === 'proved' && lie !== 'no-dedupe',
      resumes: lie !== 'no-resume',
    }
    this.platform = new Platform(clock, habits, this.dice)
    this.letters = new Letters(this.verdicts, this.platform, () => this.clock.now())
    this.link = connect(this.#adapter(overlap), {
      id: 'bot',
      clock,
      transport: this.platform.transport,
      lookup: async () => [{ address: '192.0.2.7', family: 4 }],
      deadlines: DEADLINES,
      heartbeat: HEARTBEAT,
      outbox: isSmall && mode === 'told' ? { messagesMax: SMALL } : { messagesMax: 100_000, backlogPerSecond: 200 },
    })
    this.inbox = new Inbox(this.verdicts, this.link, () => this.clock.now(), overlap ? OLD_ENDS_WITHIN_MS : 0)
    this.letters.listen(this.link)
    this.#sendSoon(clock)
  }

  #adapter(overlap: boolean): Adapter<JsonObject, string> {
    const { mode, keys, lie } = this.#options
    const gateway = gatewayAdapter({ overlap, target: { url: 'wss://gateway.test/' } })
    return defineAdapter<JsonObject, string>({
      ...gateway,
      dedupes: mode === 'proved' && !keys,
      dialogue: (io) => {
        const liar = { ...io, welcome: (welcome = {}) => io.welcome({ ...welcome, resumed: true }) }
        return gateway.dialogue(lie === 'no-resume' ? liar : io)
      },
      encode: (text, key) => ({
        frame: JSON.stringify({ op: 'say', key, text }),
        proof: mode === 'proved' ? 'answer' : 'pong',
      }),
    })
  }

  #sendSoon(clock: Clock): void {
    clock.setTimeout(() => {
      if (!this.isSending) return
      this.#send()
      this.#sendSoon(clock)
    }, SENDS_EVERY_MS)
  }

  #send(): void {
    const { mode, keys } = this.#options
    const n = this.letters.all.length
    const conversation = `c${Math.floor(this.dice() * CONVERSATIONS)}`
    const withinMs = mode === 'proved' ? 3_600_000 : TOLD_WITHIN_MS[n % TOLD_WITHIN_MS.length]!
    const key = mode === 'proved' && keys ? { idempotencyKey: `k${n}` } : {}
    this.letters.follow(conversation, (text) => this.link.send(text, { conversation, withinMs, ...key }))
  }

  /** After every event of the clock. */
  look(): void {
    this.letters.judgeSums(this.link.stats.outbox)
  }
}

const watched = (clock: HeapClock, look: () => void): Clock => ({
  now: clock.now,
  wall: clock.wall,
  random: clock.random,
  clearTimeout: clock.clearTimeout,
  setTimeout: (run, delayMs) =>
    clock.setTimeout(() => {
      run()
      look()
    }, delayMs),
})
