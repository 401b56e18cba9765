/**
 * Discord's gateway, version 10: what the bot is told comes over it. Calls (messages, reactions …) go to Discord's HTTP
 * API and are no part of this.
 * Facts: discord-api-docs, events/gateway and topics/opcodes-and-status-codes; docs/adapters/discord.md says who sends what.
 */
import { type SessionBudget, sessionBudget } from '../budget.ts'
import { HoldfastError } from '../error.ts'
import { type Adapter, checkTarget, describe, type FrameOutgoing, refuseUnknown } from './adapter.ts'
import { type Credential, credential, type Token, type TokenProvider } from './credential.ts'
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
  OP,
  type Shard,
} from './gateway.ts'
import { asObject } from './json.ts'

export type { AskGateway, GatewayAnswer, GatewayEvent } from './gateway.ts'

/** What a bot may send over the gateway: `{ op: 3, d: presence }`, 4 a voice state, 8 a request for guild members. */
export interface DiscordCommand {
  readonly op: number
  readonly d: unknown
}

export interface DiscordOptions {
  /** The bot's token, without "Bot ". A function is asked on every attempt, and once more when Discord rejects it. */
  readonly token: Token | TokenProvider
  /** What the bot wants to be told, as the sum of Discord's intent bits. */
  readonly intents: number
  /** Default `[0, 1]`: one link for all guilds. */
  readonly shard?: Shard
  /** The presence to begin a session with. */
  readonly presence?: Readonly<Record<string, unknown>>
  /** What this client is called. Default: holdfast, on this operating system. */
  readonly properties?: { readonly os: string; readonly browser: string; readonly device: string }
  /**
   * Gives Discord's answer to `GET /gateway/bot`. Asked before each session start, so that the starts which are left are
   * known; the link waits for it then. Default: the fixed URL, and what the budget counted itself.
   */
  readonly gateway?: AskGateway
  /**
   * Default: 1,000 starts a day less a tenth, one in 5 s, kept in a file under the bot's id and shared by the processes
   * of this machine. A must with a function as `token`: it does not say beforehand whose bot it is.
   */
  readonly budget?: SessionBudget
  /** Default `wss://gateway.discord.gg/`. */
  readonly url?: string
}

/** What each close code means. Those that are not here are followed by a resume, as a connection that broke is. */
export const discordCloses: CloseTable = {
  1000: 'session-lost',
  4000: 'closed-by-peer',
  4001: 'protocol-violated',
  4002: 'protocol-violated',
  4003: 'session-lost',
  4004: 'credentials-rejected',
  4005: 'session-lost',
  4007: 'session-lost',
  4008: 'throttled',
  4009: 'closed-by-peer',
  4010: 'setup-refused',
  4011: 'setup-refused',
  4012: 'setup-refused',
  4013: 'setup-refused',
  4014: 'setup-refused',
}

const KNOWN = ['token', 'intents', 'shard', 'presence', 'properties', 'gateway', 'budget', 'url'] as const
const GATEWAY_URL = 'wss://gateway.discord.gg/'
const STARTS = { perDay: 1_000, perInterval: { count: 1, ms: 5_000 } }
/**
 * Discord takes 120 frames in 60 s. Ten are left for what the link says by itself: eight heartbeats at most when it is
 * quiet, the one that Discord may ask for, and the identify.
 */
const PACE = { count: 110, ms: 60_000 }
/** A longer frame is answered with a close (4002). */
const FRAME_BYTES_MAX = 4_096

export const discord = (options: DiscordOptions): Adapter<GatewayEvent, DiscordCommand> => {
  const where = 'discord(…)'
  const { token, intents, shard = [0, 1], gateway, url = GATEWAY_URL } = options ?? {}
  refuseUnknown(options ?? {}, KNOWN, 'options of discord()')
  checkTarget({ url }, 'discord({ url })')
  checkIntents(intents, where)
  checkShard(shard, where)
  checkAsk(gateway, where)
  const access = credential(token, 'discord({ token })')
  const budget = options.budget ?? ownBudget(access)
  const place = { url, ask: gateway, where: 'discord({ gateway })' }
  const known = gate({ ...place, access, budget, bucket: shard[0] })
  const hosts = resumeHosts(url)
  return {
    name: 'discord',
    target: async (context) => {
      const { token, ...expiry } = await access.get(context)
      const renewal = access.isRenewable ? { renewable: true } : {}
      return { url: spoken(known.url), secrets: [token], ...expiry, ...renewal }
    },
    dialogue: (io) => gatewayDialogue(io, rulesOf(options, access.latest)),
    encode,
    starts: known.starts,
    ...(hosts && { resumeHosts: hosts }),
    resumableClose: COMING_BACK,
    pace: PACE,
  }
}

const rulesOf = (
  { intents, shard, presence, properties }: DiscordOptions,
  token: string | undefined,
): GatewayRules => ({
  closes: discordCloses,
  identify: () => ({
    token,
    intents,
    properties: properties ?? { os: process.platform, browser: 'holdfast', device: 'holdfast' },
    ...(shard && { shard }),
    ...(presence && { presence }),
  }),
  resume: (session_id) => ({ token, session_id }),
  sessionOf: ({ session_id, resume_gateway_url: at }) => ({
    id: String(session_id),
    ...(isPlace(at) && { endpoint: `${at}${at.includes('?') ? '&' : '?'}${SPOKEN}` }),
  }),
})

/** The bot's id is the first part of its token, so a token that was made anew goes on with the count of the old one. */
const ownBudget = ({ isRenewable, latest = '' }: Credential): SessionBudget => {
  if (!isRenewable) return sessionBudget({ key: `discord:${latest.split('.')[0]}`, ...STARTS })
  throw new HoldfastError(
    'bad-option',
    'discord({ token }) is a function, so nobody knows yet whose session starts are to be counted. ' +
      "Give discord({ budget: sessionBudget({ key: 'discord:<the bot's id>', … }) }) too.",
  )
}

/** The version and the encoding, for the query of whatever URL is dialed. */
const SPOKEN = 'v=10&encoding=json'

const spoken = (url: string): string => {
  const own = new URL(url)
  for (const [name, value] of new URLSearchParams(SPOKEN)) own.searchParams.set(name, value)
  return own.href
}

const PLACE_LENGTH_MAX = 2_048

/** Whether a place to resume at is worth keeping. It is kept as it came: the link judges it before it dials. */
const isPlace = (at: unknown): at is string =>
  typeof at === 'string' && at.length <= PLACE_LENGTH_MAX && URL.canParse(at)

/** Discord's own hosts, unless the user sent us elsewhere: a peer on this machine may name itself, and no other may. */
const resumeHosts = (url: string): string[] | undefined => {
  const { protocol, hostname, host } = new URL(url)
  if (protocol === 'wss:') return /(^|\.)discord\.gg$/.test(hostname) ? ['discord.gg'] : undefined
  return /^(localhost|127(\.\d+){3}|\[::1\]):\d+$/.test(host) ? [host] : undefined
}

/** What the link sends by itself, or the peer alone. */
const NOT_FOR_USERS: ReadonlySet<unknown> = new Set(Object.values(OP))

const encode = (command: DiscordCommand): FrameOutgoing => {
  const { op, d } = asObject(command) ?? {}
  if (!Number.isSafeInteger(op)) throw new Error(`its op is ${describe(op)}; it must be a number such as 3`)
  if (NOT_FOR_USERS.has(op)) throw new Error(`op ${op} is for the link to send, not for its user`)
  const frame = JSON.stringify({ op, d })
  const bytes = Buffer.byteLength(frame)
  if (bytes > FRAME_BYTES_MAX) throw new Error(`it has ${bytes} bytes; Discord takes ${FRAME_BYTES_MAX} at most`)
  return { frame }
}
