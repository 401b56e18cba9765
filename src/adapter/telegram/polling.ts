/** One transport's talk with the Bot API: who we are, what is pending, and then one long poll after the other. */
import { readAnswer } from '../../exchange.ts'
import type { Cursor, Dialogue, Frame, Io, Verdict } from '../adapter.ts'
import { asObject } from '../json.ts'
import type { TelegramUpdate } from '../telegram.ts'
import {
  failWith,
  faultOfRefusal,
  isOfBot,
  isUpdate,
  isWholeFrom,
  question,
  type Refusal,
  recognize,
  takeReply,
} from './reply.ts'

export interface PollingRules {
  readonly allowedUpdates: readonly string[] | undefined
  readonly deleteWebhook: boolean
  readonly pollMs: number
  readonly overdueMs: number
}

/** What outlives a transport, in one process. */
export interface PollingMemory {
  /** What is pending shall be thrown away, and has not been yet. */
  drops: boolean
  /** Polls in a row that another one ended. */
  conflicts: number
}

/** After an answer without news: a server that holds no polls is asked four times a second, not thousands of times. */
const PAUSE_MS = 250
/** While the user has not taken what there is. It is asked for sooner than that once he has. */
const BEHIND_MS = 5_000
/** Telegram tells of a conflict once in 3 s at most, so ten in a row are more than one long poll's time. */
const CONFLICT_MS = 3_000
const CONFLICTS_SHOWN = 3
const CONFLICTS_MAX = 10
/** Telegram gives no more at a time. */
const UPDATES_MAX = 100
/** The offset of the last one, with which Telegram forgets those before it. */
const FROM_THE_END = -1

/** The questions, by their keys; all others are probes. */
const ME = 'me'
const POLL = 'poll'
const WEBHOOK = 'webhook'
const REMOVAL = 'removal'

export class TelegramPolling implements Dialogue {
  readonly #io: Io<TelegramUpdate>
  readonly #bot: number
  readonly #rules: PollingRules
  readonly #memory: PollingMemory
  /** Of the update that the user took last. */
  #position: number | undefined
  /** The position as the latest poll had it. */
  #asked: number | undefined
  /** Updates that came over this transport and that the user has not taken, oldest first. */
  readonly #untaken = new Set<Cursor>()
  #isWelcomed = false
  /** The next poll waits for the user. */
  #isHeld = false

  constructor(io: Io<TelegramUpdate>, bot: number, rules: PollingRules, memory: PollingMemory) {
    this.#io = io
    this.#bot = bot
    this.#rules = rules
    this.#memory = memory
    this.#position = this.#positionOf(io.session.cursor)
  }

  opened(): void {
    this.#ask(ME, 'getMe')
  }

  probe(key: string): Frame {
    return question(key, 'getMe')
  }

  taken(cursor: Cursor): void {
    this.#position = this.#positionOf(cursor) ?? this.#position
    if (this.#untaken.has(cursor)) this.#forgetTo(cursor)
    if (this.#isHeld) this.#goOn()
  }

  frame(frame: Frame): Verdict {
    return takeReply(readAnswer(frame), this.#io, {
      isEssential,
      answered: (key, result) => this.#answered(key, result),
      refused: (key, refusal) => this.#refused(key, refusal),
    })
  }

  #ask(key: string, method: string, params: object = {}): void {
    this.#io.send(question(key, method, params))
  }

  #answered(key: string, result: unknown): Verdict {
    if (key === ME) return recognize(result, this.#bot, this.#io, () => this.#poll())
    if (key === POLL) return this.#updated(result)
    if (key === WEBHOOK) this.#seenWebhook(asObject(result)?.url)
    return 'taken'
  }

  #refused(key: string, refusal: Refusal): Verdict {
    if (key === WEBHOOK || key === REMOVAL) return 'taken'
    if (refusal.code === 409 && key === POLL) this.#conflicted(refusal.account)
    else if (isEssential(key) || isOfBot(refusal)) failWith(this.#io, faultOfRefusal(refusal))
    return 'taken'
  }

  /** The first one asks what is pending, and is the proof that we may poll. */
  #poll(afterMs = 0): void {
    const { allowedUpdates: allowed_updates, pollMs, overdueMs } = this.#rules
    const isFirst = !this.#isWelcomed
    const heldMs = isFirst ? 0 : pollMs
    const next = this.#position === undefined ? undefined : this.#position + 1
    const offset = isFirst && this.#memory.drops ? FROM_THE_END : next
    const params = { offset, limit: UPDATES_MAX, timeout: heldMs / 1_000, allowed_updates }
    this.#asked = this.#position
    this.#io.send(question(POLL, 'getUpdates', params, { withinMs: heldMs + overdueMs, afterMs }))
  }

  #updated(result: unknown): Verdict {
    if (!areUpdates(result)) {
      this.#io.fail('protocol-violated', { detail: 'getUpdates gave something else than updates' })
      return 'malformed'
    }
    if (this.#isWelcomed) {
      this.#memory.conflicts = 0
      this.#deliver(result)
    } else this.#begin(result)
    this.#goOn(result.length === 0 ? PAUSE_MS : 0)
    return 'taken'
  }

  #begin(pending: readonly TelegramUpdate[]): void {
    this.#isWelcomed = true
    if (this.#memory.drops) {
      this.#memory.drops = false
      this.#position = pending.at(-1)?.update_id
      this.#io.welcome()
    } else {
      this.#io.welcome({ replaying: true, resumed: this.#isNext(pending[0]) })
      this.#deliver(pending)
      this.#io.caughtUp()
    }
  }

  /** Updates are numbered one by one. Telegram forgets them after 24 hours, and gives each to one poller only. */
  #isNext(first: TelegramUpdate | undefined): boolean {
    return first === undefined || this.#asked === undefined || first.update_id === this.#asked + 1
  }

  #deliver(updates: readonly TelegramUpdate[]): void {
    for (const update of updates) {
      const cursor = `${this.#bot}:${update.update_id}`
      if (this.#untaken.has(cursor) || this.#isTaken(update)) continue
      this.#untaken.add(cursor)
      this.#io.deliver(update, { id: cursor, cursor })
    }
  }

  /** He took it while it was asked for once more. Numbers begin anew after a quiet week, so those before are no proof. */
  #isTaken({ update_id }: TelegramUpdate): boolean {
    const [from, to] = [this.#asked ?? -1, this.#position ?? -1]
    return from < update_id && update_id <= to
  }

  #forgetTo(last: Cursor): void {
    for (const cursor of this.#untaken) {
      this.#untaken.delete(cursor)
      if (cursor === last) return
    }
  }

  /** What was not taken would only come again; it is asked for all the same after a while, for its reader may have left. */
  #goOn(afterMs = 0): void {
    this.#isHeld = this.#untaken.size > 0
    this.#poll(this.#isHeld ? BEHIND_MS : afterMs)
  }

  /** It may be a poll of our own that was given up a moment ago. A webhook conflicts too, and only a question tells. */
  #conflicted(detail: string): void {
    const conflicts = ++this.#memory.conflicts
    if (conflicts >= CONFLICTS_MAX) {
      this.#memory.conflicts = 0
      this.#io.fail('kicked', { detail })
    } else if (conflicts % CONFLICTS_SHOWN === 0) this.#io.fail('poll-conflict', { detail })
    else {
      this.#ask(WEBHOOK, 'getWebhookInfo')
      this.#poll(CONFLICT_MS)
    }
  }

  #seenWebhook(url: unknown): void {
    if (typeof url !== 'string' || url === '') return
    const detail = 'a webhook is set, so nothing can be polled: remove it, or say telegram({ deleteWebhook: true })'
    if (this.#rules.deleteWebhook) this.#ask(REMOVAL, 'deleteWebhook')
    else this.#io.fail('setup-refused', { detail })
  }

  /** A position of another bot, from a store that two have used, means nothing here. */
  #positionOf(cursor: Cursor | undefined): number | undefined {
    const [bot, id] = String(cursor).split(':').map(Number)
    return bot === this.#bot && isWholeFrom(0, id) ? id : undefined
  }
}

const isEssential = (key: string): boolean => key === ME || key === POLL

const areUpdates = (result: unknown): result is TelegramUpdate[] => Array.isArray(result) && result.every(isUpdate)
