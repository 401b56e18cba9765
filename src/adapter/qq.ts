/**
 * The gateway of QQ's official bots: what the bot is told comes over it. Calls go to QQ's HTTP API and are no part of this.
 * Facts: bot-docs, dev-prepare/interface-framework/event-emit and error-trace/websocket; docs/adapters/qq.md says who
 * sends what.
 */
import { type SessionBudget, sessionBudget } from '../budget.ts'
import { type Clock, realClock } from '../clock.ts'
import { HoldfastError } from '../error.ts'
import { type Adapter, checkTarget, describe, refuseUnknown } from './adapter.ts'
import { credential, type Token, type TokenProvider } from './credential.ts'
import {
  type AskGateway,
  type CloseTable,
  COMING_BACK,
  checkAsk,
  checkIntents,
  checkShard,
  type GatewayEvent,
  type GatewayRules,
  gate,
  gatewayDialogue,
  type Shard,
} from './gateway.ts'

export type { AskGateway, GatewayAnswer, GatewayEvent } from './gateway.ts'

export interface QqOptions {
  /** The bot's AppID: whose session starts are counted. */
  readonly appId: string
  /**
   * The access token, without "QQBot ". It ends after two hours at most, so give a function: it is asked on every
   * attempt, and once more when QQ rejects it.
   */
  readonly token: Token | TokenProvider
  /** What the bot wants to be told, as the sum of QQ's intent bits. */
  readonly intents: number
  /** Default `[0, 1]`: one link for all guilds. */
  readonly shard?: Shard
  /**
   * Gives QQ's answer to `GET /gateway/bot`. Asked before each session start, so that the starts which are left are
   * known; the link waits for it then. Default: the fixed URL, and what the budget counted itself.
   */
  readonly gateway?: AskGateway
  /**
   * Default: 1,000 starts a day less a tenth, one in 5 s, kept in a file under the AppID and shared by the processes of
   * this machine.
   */
  readonly budget?: SessionBudget
  /** Default `wss://api.sgroup.qq.com/websocket/`. */
  readonly url?: string
  /** Tells how old a session is. Default: the real one. */
  readonly clock?: Clock
}

/** What each close code means. Those that are not here are followed by a resume, as a connection that broke is. */
export const qqCloses: CloseTable = {
  4001: 'setup-refused',
  4002: 'setup-refused',
  4004: 'credentials-rejected',
  4006: 'session-lost',
  4007: 'session-lost',
  4008: 'throttled',
  4009: 'closed-by-peer',
  4010: 'setup-refused',
  4011: 'setup-refused',
  4012: 'setup-refused',
  4013: 'setup-refused',
  4014: 'setup-refused',
  ...Object.fromEntries(Array.from({ length: 14 }, (_, i) => [4900 + i, 'session-lost' as const])),
  4914: 'account-banned',
  4915: 'account-banned',
}

const KNOWN = ['appId', 'token', 'intents', 'shard', 'gateway', 'budget', 'url', 'clock'] as const
const GATEWAY_URL = 'wss://api.sgroup.qq.com/websocket/'
const STARTS = { perDay: 1_000, perInterval: { count: 1, ms: 5_000 } }
/** Sessions of some days are resumed and then deliver nothing (bot-docs#191). */
const SESSION_MAX_MS = 86_400_000

export const qq = (options: QqOptions): Adapter<GatewayEvent, never> => {
  const where = 'qq(…)'
  const { appId, token, intents, shard = [0, 1], gateway, url = GATEWAY_URL } = options ?? {}
  refuseUnknown(options ?? {}, KNOWN, 'options of qq()')
  checkTarget({ url }, 'qq({ url })')
  if (typeof appId !== 'string' || appId === '') {
    throw new HoldfastError('bad-option', `qq({ appId }) is ${describe(appId)}; it must be a non-empty string.`)
  }
  checkIntents(intents, where)
  checkShard(shard, where)
  checkAsk(gateway, where)
  const access = credential(token, 'qq({ token })')
  const budget = options.budget ?? sessionBudget({ key: `qq:${appId}`, ...STARTS })
  const place = { url, ask: gateway, where: 'qq({ gateway })' }
  const known = gate({ ...place, access, budget, bucket: shard[0] })
  return {
    name: 'qq',
    target: async (context) => {
      const { token, ...expiry } = await access.get(context)
      const renewal = access.isRenewable ? { renewable: true } : {}
      return { url: known.url, secrets: [token], ...expiry, ...renewal }
    },
    dialogue: (io) =>
      gatewayDialogue(io, rulesOf({ intents, shard, clock: options.clock ?? realClock }, access.latest)),
    starts: known.starts,
    resumableClose: COMING_BACK,
  }
}

const rulesOf = (
  { intents, shard, clock }: { intents: number; shard: Shard; clock: Clock },
  latest: string | undefined,
): GatewayRules => {
  const token = `QQBot ${latest}`
  return {
    closes: qqCloses,
    identify: () => ({ token, intents, shard }),
    resume: (id) => ({ token, session_id: splitId(id).name }),
    sessionOf: ({ session_id }) => ({ id: `${session_id}@${clock.wall()}` }),
    isTooOld: (id, inMs) => clock.wall() + inMs - splitId(id).since >= SESSION_MAX_MS,
  }
}

/**
 * QQ never says how old a session is, and the link may be in another process by then: so the time of the welcome is kept
 * in the id. One without a time is not ours, and too old.
 */
const splitId = (id: string): { name: string; since: number } => {
  const at = id.lastIndexOf('@')
  const since = Number(id.slice(at + 1))
  return at < 0 || !Number.isFinite(since)
    ? { name: id, since: Number.NEGATIVE_INFINITY }
    : { name: id.slice(0, at), since }
}
