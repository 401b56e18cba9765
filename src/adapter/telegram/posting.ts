/**
 * One transport's talk with the Bot API while Telegram posts the updates: who we are, where to post, and then whether the
 * webhook is still ours and whether Telegram gets through to it. Posts alone do not tell: none may come for a day.
 */
import { readAnswer } from '../../exchange.ts'
import type { Cursor, Dialogue, Frame, Io, Verdict } from '../adapter.ts'
import { asObject, type JsonObject, readObject } from '../json.ts'
import type { TelegramUpdate } from '../telegram.ts'
import type { WebhookSetup } from './berth.ts'
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

export interface PostingRules extends WebhookSetup {
  readonly allowedUpdates: readonly string[] | undefined
  /** Removed when the link ends. */
  readonly deleteWebhook: boolean
}

/** What outlives a transport, in one process. */
export interface PostingMemory {
  /** What is pending shall be thrown away, and has not been yet. */
  drops: boolean
  /** Whether a post is taken now; if not, it stays at Telegram. */
  isTaking: boolean
  /** Telegram has kept for us what came since. */
  wasWelcomed: boolean
  /** The numbers of the latest updates, for one may be posted again. */
  readonly recent: Set<number>
  /** How often the webhook was found to be another's, and how often in a row since then it was ours. */
  conflicts: number
  looksOurs: number
  /** Webhooks in a row that Telegram did not want. */
  refusals: number
}

/** As many as one poll would give. */
const UNTAKEN_MAX = 100
/** As many as the link knows by their ids. */
const RECENT_MAX = 10_000
/** Posts keep the link from being probed. */
const LOOK_EVERY_MS = 30_000
const CONFLICTS_MAX = 10
const CONFLICTS_FORGIVEN = 60
/** Telegram looks the host up, which may fail for a while. */
const REFUSALS_MAX = 5

/** The questions, by their keys; all others are probes. */
const ME = 'me'
const SETTING = 'setting'
const LOOK = 'look'
const GOODBYE = 'goodbye'

export class TelegramPosting implements Dialogue {
  readonly #io: Io<TelegramUpdate>
  readonly #bot: number
  readonly #rules: PostingRules
  readonly #memory: PostingMemory
  /** Updates that were posted over this transport and that the user has not taken, oldest first. */
  readonly #untaken = new Set<Cursor>()
  #isWelcomed = false
  #isSet = false
  /** Since the last look posts were refused, so errors may be our own. */
  #hasRefused = false
  /** When Telegram last failed to post, by its own clock; undefined before the first look. */
  #failedAt: number | undefined
  #isDeaf = false

  constructor(io: Io<TelegramUpdate>, bot: number, rules: PostingRules, memory: PostingMemory) {
    this.#io = io
    this.#bot = bot
    this.#rules = rules
    this.#memory = memory
    memory.isTaking = false
  }

  opened(): void {
    this.#io.send(question(ME, 'getMe'))
  }

  /** What a look would see before the webhook is set is not ours. */
  probe(key: string): Frame {
    return question(key, this.#isSet ? 'getWebhookInfo' : 'getMe')
  }

  goodbye(): Frame | undefined {
    if (!this.#isSet || !this.#rules.deleteWebhook) return undefined
    return question(GOODBYE, 'deleteWebhook', {}, { isGoodbye: true })
  }

  taken(cursor: Cursor): void {
    if (!this.#untaken.has(cursor)) return
    for (const earlier of this.#untaken) {
      this.#untaken.delete(earlier)
      if (earlier === cursor) break
    }
    this.#judgeRoom()
  }

  frame(frame: Frame): Verdict {
    const answer = readAnswer(frame)
    if (answer?.kind === 'posted') return this.#posted(answer.body)
    return takeReply(answer, this.#io, {
      isEssential,
      answered: (key, result) => this.#answered(key, result),
      refused: (key, refusal) => this.#refused(key, refusal),
    })
  }

  #posted(body: string): Verdict {
    const update = readObject(body)
    if (!this.#isWelcomed || !isUpdate(update)) return 'malformed'
    this.#hear()
    if (this.#isRepeated(update.update_id)) return 'taken'
    const cursor = `${this.#bot}:${update.update_id}`
    this.#untaken.add(cursor)
    this.#judgeRoom()
    this.#io.deliver(update, { id: cursor, cursor })
    return 'taken'
  }

  #isRepeated(id: number): boolean {
    const { recent } = this.#memory
    if (recent.has(id)) return true
    recent.add(id)
    const [oldest] = recent
    if (recent.size > RECENT_MAX && oldest !== undefined) recent.delete(oldest)
    return false
  }

  #judgeRoom(): void {
    this.#memory.isTaking = !this.#memory.drops && this.#untaken.size < UNTAKEN_MAX
    this.#hasRefused ||= !this.#memory.isTaking
  }

  #refused(key: string, refusal: Refusal): Verdict {
    const fault = faultOfRefusal(refusal)
    if (key === SETTING && fault.code === 'protocol-violated') this.#unwanted(refusal.account)
    else if (isEssential(key) || isOfBot(refusal)) failWith(this.#io, fault)
    return 'taken'
  }

  /** The address may be one that Telegram never posts to, or one whose host it did not find just now. */
  #unwanted(detail: string): void {
    const isFinal = ++this.#memory.refusals >= REFUSALS_MAX
    if (isFinal) this.#memory.refusals = 0
    failWith(this.#io, { code: isFinal ? 'setup-refused' : 'handshake-refused', detail })
  }

  #answered(key: string, result: unknown): Verdict {
    if (key === GOODBYE) return 'taken'
    if (key === ME) return recognize(result, this.#bot, this.#io, () => this.#begin())
    if (key !== SETTING) return this.#looked(key, asObject(result))
    this.#memory.drops = false
    this.#memory.refusals = 0
    this.#isSet = true
    this.#judgeRoom()
    this.#io.send(question(LOOK, 'getWebhookInfo'))
    return 'taken'
  }

  /**
   * What waits at Telegram is posted as soon as the webhook is set, also before that is answered. Telegram keeps for 24
   * hours what it cannot post; what an earlier process held and did not take is gone.
   */
  #begin(): void {
    if (this.#isWelcomed) return
    this.#isWelcomed = true
    this.#io.heartbeat({ everyMs: LOOK_EVERY_MS })
    this.#io.welcome({ replaying: true, resumed: this.#memory.wasWelcomed })
    this.#memory.wasWelcomed = true
    this.#judgeRoom()
    this.#set()
  }

  #set(): void {
    const { url, secret: secret_token, maxConnections: max_connections, allowedUpdates: allowed_updates } = this.#rules
    const drop = this.#memory.drops ? { drop_pending_updates: true } : {}
    const params = { url, secret_token, max_connections, allowed_updates, ...drop }
    this.#io.send(question(SETTING, 'setWebhook', params))
  }

  #looked(key: string, info: JsonObject | undefined): Verdict {
    if (typeof info?.url !== 'string') {
      if (key === LOOK) failWith(this.#io, { code: 'protocol-violated', detail: 'getWebhookInfo gave no url' })
      return key === LOOK ? 'malformed' : 'taken'
    }
    if (!this.#isSet) return 'taken'
    if (!isSameUrl(info.url, this.#rules.url)) this.#conflicted(info.url)
    else {
      this.#forgive()
      this.#judgePosts(info)
      if (key === LOOK) this.#io.caughtUp()
    }
    return 'taken'
  }

  /** An error alone is no news: it may be old, our own, or mended by the next post. */
  #judgePosts({ last_error_date: at, last_error_message: message, pending_update_count: pending }: JsonObject): void {
    const failedAt = isWholeFrom(0, at) ? at : 0
    const isNews = this.#failedAt !== undefined && failedAt > this.#failedAt && !this.#hasRefused
    this.#failedAt = failedAt
    this.#hasRefused = !this.#memory.isTaking
    if (!isWholeFrom(1, pending)) this.#hear()
    else if (isNews) {
      this.#isDeaf = true
      const said = typeof message === 'string' && message !== '' ? message : 'it does not say why'
      this.#io.impaired('deaf', `Telegram cannot post to the webhook: ${said} (updates that wait: ${pending})`)
    }
  }

  /** Telegram gets through to us, or has nothing to say. */
  #hear(): void {
    if (!this.#isDeaf) return
    this.#isDeaf = false
    this.#io.recovered()
  }

  /** Another process has set a webhook of its own, or polls. The next attempt takes it back; two that do so never end. */
  #conflicted(url: string): void {
    const detail = url === '' ? 'the webhook was removed' : 'the webhook was set to another url'
    const conflicts = ++this.#memory.conflicts
    this.#memory.looksOurs = 0
    if (conflicts >= CONFLICTS_MAX) this.#memory.conflicts = 0
    failWith(this.#io, { code: conflicts >= CONFLICTS_MAX ? 'kicked' : 'poll-conflict', detail })
  }

  #forgive(): void {
    if (++this.#memory.looksOurs >= CONFLICTS_FORGIVEN) this.#memory.conflicts = 0
  }
}

const isEssential = (key: string): boolean => key === ME || key === SETTING || key === LOOK

const isSameUrl = (one: string, other: string): boolean =>
  one === other || (URL.canParse(one) && new URL(one).href === new URL(other).href)
