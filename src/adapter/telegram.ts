/**
 * Telegram's Bot API: updates come by long polls or by posts to a webhook, calls go beside them. An update is gone at
 * Telegram once a poll asks for one behind it, so no poll asks for more than what the user has taken.
 * Facts: core.telegram.org/bots/api (getUpdates, setWebhook, WebhookInfo, Making requests); tdlib/telegram-bot-api, Client.cpp.
 * docs/adapters/telegram.md says who sends what.
 */
import { HoldfastError } from '../error.ts'
import { secretsOfUrl } from '../secret.ts'
import {
  type Adapter,
  checkTarget,
  describe,
  type HttpOutgoing,
  type PaceLimit,
  refuseUnknown,
  type Target,
} from './adapter.ts'
import { type Credential, credential, type Token, type TokenProvider } from './credential.ts'
import { type TelegramWebhook, webhookBerth, webhookSetup } from './telegram/berth.ts'
import { TelegramPolling } from './telegram/polling.ts'
import { TelegramPosting } from './telegram/posting.ts'
import { isWholeFrom, readReply } from './telegram/reply.ts'

export type { TelegramWebhook } from './telegram/berth.ts'

/** An update, as Telegram sent it: `message`, `callback_query` or another field says what it is. */
export interface TelegramUpdate {
  readonly update_id: number
  readonly [field: string]: unknown
}

/** What `link.send` takes: the parameters of sendMessage. */
export interface TelegramMessage {
  readonly chat_id: number | string
  readonly text: string
  readonly [parameter: string]: unknown
}

/** Any method of the Bot API by its name, such as `sendMessage`; its `result` is the answer. */
export type TelegramCalls = Record<
  string,
  { params: { readonly [parameter: string]: unknown } | undefined; result: unknown }
>

export interface TelegramOptions {
  /** As BotFather gave it. A function is asked on every attempt, and once more when Telegram rejects it. */
  readonly token: Token | TokenProvider
  /** A Bot API server of your own, such as `http://127.0.0.1:8081`. Default `https://api.telegram.org`. */
  readonly apiRoot?: string
  /** The bot that this must be. Default: the number at the beginning of the token. */
  readonly botId?: number
  /** Which updates Telegram shall give. Default: those that it was last asked for. */
  readonly allowedUpdates?: readonly string[]
  /** Throws away what came before this process. Default false: it is delivered. */
  readonly dropPending?: boolean
  /** Telegram posts the updates, and nothing is polled. Default: they are polled. */
  readonly webhook?: TelegramWebhook
  /**
   * Removes a webhook that is in the way of polls; one of our own is removed when the link ends. Default false: the link
   * parks, because the webhook may be somebody's, and one of our own stays for the next process.
   */
  readonly deleteWebhook?: boolean
  /** So long a poll is held when there is nothing new, in whole seconds of milliseconds up to 50,000. Default 25,000. */
  readonly pollMs?: number
  /** So long after that its answer is still awaited, in milliseconds. Default 10,000. */
  readonly overdueMs?: number
}

const KNOWN = [
  'token',
  'apiRoot',
  'botId',
  'allowedUpdates',
  'dropPending',
  'webhook',
  'deleteWebhook',
  'pollMs',
  'overdueMs',
] as const satisfies readonly (keyof TelegramOptions)[]

/** Telegram asks bots to send no more than this in all (core.telegram.org/bots/faq). */
const PACE: PaceLimit = { count: 30, ms: 1_000 }
const POLL_MAX_MS = 50_000

export type TelegramAdapter = Adapter<TelegramUpdate, TelegramMessage, TelegramCalls>

/** Throws HoldfastError `bad-option` at once for options that cannot work. */
export const telegram = (options: TelegramOptions): TelegramAdapter => {
  const given = options ?? {}
  checkOptions(given)
  const { token, apiRoot = 'https://api.telegram.org', botId, webhook } = given
  const access = credential(token, 'telegram({ token })')
  if (access.latest !== undefined) checkBot(access.latest, botId)
  const bot = () => botId ?? botOf(access.latest)
  const way = webhook === undefined ? byPolls(given, bot) : byPosts(given, webhook, bot)
  const call = (method: string, params: object) => post(apiRoot, access, method, params)
  return {
    name: 'telegram',
    target: async (context): Promise<Target> => {
      const { token, ...expiry } = await access.get(context)
      checkBot(token, botId)
      const renewal = access.isRenewable ? { renewable: true } : {}
      const { secrets = [], ...more } = way.target
      return { url: urlOf(apiRoot, token), secrets: [token, ...secrets], ...more, ...expiry, ...renewal }
    },
    dialogue: way.dialogue,
    ...(way.arrivals$ && { arrivals$: way.arrivals$ }),
    encode: (message) => call('sendMessage', message),
    request: (method, params = {}) => call(method, params),
    pace: PACE,
  }
}

/** How updates come: what it adds to each target, and its dialogue. */
interface Way extends Pick<TelegramAdapter, 'dialogue' | 'arrivals$'> {
  readonly target: Pick<Target, 'posts' | 'secrets'>
}

const byPolls = (options: TelegramOptions, bot: () => number): Way => {
  const { allowedUpdates, dropPending = false, deleteWebhook = false, pollMs = 25_000, overdueMs = 10_000 } = options
  const rules = { allowedUpdates, deleteWebhook, pollMs, overdueMs }
  const memory = { drops: dropPending, conflicts: 0 }
  return { target: {}, dialogue: (io) => new TelegramPolling(io, bot(), rules, memory) }
}

const byPosts = (options: TelegramOptions, webhook: TelegramWebhook, bot: () => number): Way => {
  const { apiRoot, allowedUpdates, dropPending = false, deleteWebhook = false } = options
  const setup = webhookSetup(webhook, apiRoot !== undefined)
  const rules = { ...setup, allowedUpdates, deleteWebhook }
  const memory = {
    drops: dropPending,
    isTaking: false,
    wasWelcomed: false,
    recent: new Set<number>(),
    conflicts: 0,
    looksOurs: 0,
    refusals: 0,
  }
  const { transport, arrivals$ } = webhookBerth(webhook, setup.secret, () => !memory.isTaking)
  return {
    target: { posts: transport, secrets: [setup.secret, ...secretsOfUrl(setup.url)] },
    dialogue: (io) => new TelegramPosting(io, bot(), rules, memory),
    arrivals$,
  }
}

const checkOptions = (options: TelegramOptions): void => {
  refuseUnknown(options, KNOWN, 'options of telegram()')
  const { apiRoot, botId, allowedUpdates, dropPending, deleteWebhook, pollMs, overdueMs, webhook } = options
  const check = (name: string, value: unknown, isRight: boolean, wants: string) => {
    if (value === undefined || isRight) return
    throw new HoldfastError('bad-option', `telegram({ ${name} }) is ${describe(value)}; it must be ${wants}.`)
  }
  if (apiRoot !== undefined) checkTarget({ url: apiRoot }, 'telegram({ apiRoot })', ['http', 'https'])
  check('botId', botId, isWholeFrom(1, botId), 'the number before the colon of the token')
  const areNames = Array.isArray(allowedUpdates) && allowedUpdates.every((name) => typeof name === 'string')
  check('allowedUpdates', allowedUpdates, areNames, 'a list of names such as "message"')
  for (const [name, value] of Object.entries({ dropPending, deleteWebhook }))
    check(name, value, typeof value === 'boolean', 'true or false')
  for (const [name, value] of Object.entries({ pollMs, overdueMs }))
    check(name, value, webhook === undefined, 'left out, because there is a webhook and nothing is polled')
  const areSeconds = isWholeFrom(1_000, pollMs) && pollMs <= POLL_MAX_MS && pollMs % 1_000 === 0
  check('pollMs', pollMs, areSeconds, 'whole seconds in milliseconds, from 1000 to 50000')
  check('overdueMs', overdueMs, isWholeFrom(1, overdueMs), 'a whole number of milliseconds from 1')
}

/** The token becomes part of a path: it must not lead elsewhere. */
const TOKEN = /^(\d+):[\w-]+$/

const botOf = (token = ''): number => Number(TOKEN.exec(token)?.[1])

const checkBot = (token: string, botId: number | undefined): void => {
  const must = 'it must be what BotFather gave, such as "123456:ABC-DEF".'
  if (!TOKEN.test(token)) throw new HoldfastError('bad-option', `telegram({ token }) is no token of Telegram; ${must}`)
  const bot = botOf(token)
  if (botId === undefined || botId === bot) return
  throw new HoldfastError('bad-option', `telegram({ token }) is that of bot ${bot}, and botId is ${botId}.`)
}

const urlOf = (apiRoot: string, token: string | undefined): string => `${apiRoot.replace(/\/+$/, '')}/bot${token}/`

const METHOD = /^\w+$/

const post = (apiRoot: string, access: Credential, method: string, params: object): HttpOutgoing => {
  if (!METHOD.test(method)) throw new Error(`${describe(method)} is no method of the Bot API`)
  const { chat_id: chat } = params as { chat_id?: unknown }
  return {
    http: {
      // a call may wait for a live link until the token that it was made with has ended
      get url() {
        return `${urlOf(apiRoot, access.latest)}${method}`
      },
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(params),
    },
    read: (status, body) => {
      const reply = readReply(status, body)
      if (reply?.ok) return reply.result
      throw new Error(reply ? reply.account : `HTTP ${status}, and no answer of the Bot API`)
    },
    ...(typeof chat === 'string' || typeof chat === 'number' ? { conversation: String(chat) } : {}),
  }
}
