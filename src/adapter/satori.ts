/**
 * Satori v1: events over a WebSocket, calls over HTTP beside it.
 * Facts: satorijs/docs, protocol/events.md and api.md; docs/adapters/satori.md says who sends what.
 */
import { createHash } from 'node:crypto'
import type { Observable } from 'rxjs'
import { HoldfastError } from '../error.ts'
import { scrubber } from '../secret.ts'
import {
  type Adapter,
  type Cursor,
  checkTarget,
  type Dialogue,
  type HttpOutgoing,
  type InboundMark,
  type Io,
  refuseUnknown,
} from './adapter.ts'
import { type Credential, credential, type Token, type TokenProvider } from './credential.ts'
import { asObject, type JsonObject, readObject } from './json.ts'
import { type SatoriLogin, SatoriLogins } from './satori/logins.ts'

export type { SatoriLogin, SatoriLoginStatus } from './satori/logins.ts'

/** The body of an EVENT, as the server sent it. */
export interface SatoriEvent {
  /** Position in the server's stream; old servers call it `id`. */
  readonly sn?: number
  readonly type: string
  readonly [field: string]: unknown
}

/** A message to a channel. */
export interface SatoriMessage {
  readonly platform: string
  /** The account that speaks. */
  readonly userId: string
  readonly channelId: string
  /** Satori message elements, as text. */
  readonly content: string
}

/** Any method of the API by its name, such as `message.create`; `as` says which account acts. */
export type SatoriCalls = Record<
  string,
  { params: { as?: { platform: string; userId: string }; [field: string]: unknown } | undefined; result: unknown }
>

export interface SatoriOptions {
  /** The server's events endpoint, such as `ws://127.0.0.1:5140/satori/v1/events`. */
  readonly url: string
  /** A function is asked on every attempt, and once more when the peer rejects it. */
  readonly token?: Token | TokenProvider
}

/** For one link: it also tells of the accounts behind the server. */
export interface SatoriAdapter extends Adapter<SatoriEvent, SatoriMessage, SatoriCalls> {
  /** As the server last told of them, so of no meaning while the link is down. The link is impaired when none is online. */
  readonly logins: readonly SatoriLogin[]
  /** The same list at each change; replays the latest. */
  readonly logins$: Observable<readonly SatoriLogin[]>
}

const OP = { EVENT: 0, PING: 1, PONG: 2, IDENTIFY: 3, READY: 4, META: 5 } as const
const PING = JSON.stringify({ op: OP.PING })
/** `Unauthorized` in the registry of close codes at IANA; servers made with satori-python send it. */
const CLOSE_UNAUTHORIZED = 3000
const CLOSE_BAD_TOKEN = 4004
const CLOSE_BAD_MESSAGE = 4000
/** The protocol asks for a PING every 10 s. */
const PING_EVERY_MS = 10_000

export const satori = (options: SatoriOptions): SatoriAdapter => {
  checkTarget(options, 'satori({ url })')
  refuseUnknown(options, ['url', 'token'], 'options of satori()')
  const { url, token } = options
  const access = token === undefined ? undefined : credential(token, 'satori({ token })')
  const api = apiOf(url)
  const logins = new SatoriLogins()
  return {
    name: 'satori',
    get logins() {
      return logins.list
    },
    logins$: logins.list$,
    target: async (context) => {
      if (!access) return { url }
      const { token, ...expiry } = await access.get(context)
      return { url, secrets: [token], ...expiry, ...(access.isRenewable ? { renewable: true } : {}) }
    },
    dialogue: (io) => dialogue(io, logins, access?.latest),
    encode: ({ platform, userId, channelId, content }) =>
      post(api, access, 'message.create', { as: { platform, userId }, channel_id: channelId, content }),
    request: (method, params) => post(api, access, method, params ?? {}),
    probe: () => PING,
  }
}

const dialogue = (io: Io<SatoriEvent>, logins: SatoriLogins, token: string | undefined): Dialogue => {
  const { cursor } = io.session
  /** READY does not say whether we are resumed; the frame after it does. */
  let isReady = false
  let isWelcomed = false

  /** One account offline among several is the user's news, not the link's trouble; all of them offline is. */
  const judgeLogins = () => {
    if (logins.list.length === 0) return
    if (logins.list.some(({ status }) => status === 'online')) io.recovered()
    else io.impaired('account-offline', 'no login of this server is online')
  }

  /** The accounts come with the welcome, so the link is not live for a moment with none of them online. */
  const welcome = (resumed: boolean) => {
    isWelcomed = true
    io.welcome({ replaying: true, resumed, session: {} })
    io.heartbeat({ everyMs: PING_EVERY_MS })
    judgeLogins()
    io.caughtUp()
  }

  const ready = (body: JsonObject) => {
    logins.replace(body.logins)
    if (isWelcomed) return judgeLogins()
    isReady = true
    if (cursor === undefined) welcome(false)
    // a server that replays does so before it reads on, so its PONG without an event before it says that there is no replay
    else io.send(PING)
  }

  const event = (body: JsonObject) => {
    if (typeof body.type !== 'string') return 'malformed' as const
    const mark = markOf(body)
    if (isReady && !isWelcomed) {
      const isLastTaken = mark.id !== undefined && mark.id === cursor
      welcome(isLastTaken)
      if (isLastTaken) return 'taken' as const
    }
    if (body.type.startsWith('login-')) {
      logins.note(asObject(body.login), body.timestamp, body.type === 'login-removed')
      judgeLogins()
    }
    io.deliver(body as unknown as SatoriEvent, mark)
    return 'taken' as const
  }

  return {
    opened: () => io.send(JSON.stringify({ op: OP.IDENTIFY, body: { token, ...resumeFrom(cursor) } })),
    frame: (raw) => {
      const frame = readObject(raw)
      if (!frame) return 'malformed'
      const body = asObject(frame.body) ?? {}
      if (frame.op === OP.EVENT) return event(body)
      if (frame.op === OP.READY) ready(body)
      else if (frame.op === OP.PONG) {
        if (isReady && !isWelcomed) welcome(false)
      } else if (frame.op !== OP.META) return 'unknown'
      return 'taken'
    },
    closed: (code) => {
      if (code === CLOSE_BAD_TOKEN || code === CLOSE_UNAUTHORIZED) return 'credentials-rejected'
      return code === CLOSE_BAD_MESSAGE ? 'protocol-violated' : undefined
    },
  }
}

/**
 * A server that restarts counts `sn` from the beginning, so `sn` alone tells no event from another: the time of the
 * event and what it is about belong to its id. The cursor is that id, because what is to be resumed must be known again.
 * An event that has no time has a position and no id. An event about a login has an id and is no position: READY tells
 * of logins, and satori-python leaves them out of its replay.
 */
const markOf = (body: JsonObject): InboundMark => {
  const sn = body.sn ?? body.id
  if (typeof sn !== 'number' || !Number.isSafeInteger(sn) || sn < 0) return {}
  const isLogin = String(body.type).startsWith('login-')
  if (typeof body.timestamp !== 'number') return isLogin ? {} : { cursor: sn }
  const login = asObject(body.login)
  const about = [body.message, body.channel, body.guild, body.user, login?.user].map((part) => asObject(part)?.id)
  const account = [body.platform ?? login?.platform, body.self_id]
  const text = JSON.stringify([body.timestamp, body.type, ...account, ...about])
  const id = `${sn}:${createHash('sha256').update(text).digest('base64url').slice(0, DIGEST_LENGTH)}`
  return isLogin ? { id } : { id, cursor: id }
}

const DIGEST_LENGTH = 22

/**
 * Asks for the event that was taken last once more: if it comes first, this is the same life of the server and nothing
 * before it was thrown away, so whatever was missed comes after it. `sequence` is what older servers call `sn`.
 */
const resumeFrom = (cursor: Cursor | undefined): { sn?: number; sequence?: number } => {
  const last = typeof cursor === 'string' ? Number.parseInt(cursor, 10) - 1 : cursor
  if (last === undefined || Number.isNaN(last)) return {}
  const sn = Math.max(0, last)
  return { sn, sequence: sn }
}

/** `ws://host/path/v1/events` -> `http://host/path/v1/` */
const apiOf = (eventsUrl: string): string => {
  const url = new URL(eventsUrl)
  if (!url.pathname.endsWith('/events')) {
    throw new HoldfastError('bad-option', 'satori({ url }) must end in "/v1/events": calls go to "/v1/" beside it.')
  }
  url.protocol = url.protocol === 'wss:' ? 'https:' : 'http:'
  return new URL('.', url).href
}

const post = (api: string, access: Credential | undefined, method: string, params: JsonObject): HttpOutgoing => {
  const { as, ...body } = params
  const { platform, userId } = asObject(as) ?? {}
  const headers: Record<string, string> = { 'Content-Type': 'application/json' }
  if (typeof platform === 'string' && typeof userId === 'string') {
    // the second pair is what servers before protocol 1.1 read
    Object.assign(headers, { 'Satori-Platform': platform, 'Satori-User-ID': userId })
    Object.assign(headers, { 'X-Platform': platform, 'X-Self-ID': userId })
  }
  return {
    http: {
      url: `${api}${method}`,
      method: 'POST',
      // a call may wait for a live link until the token that it was made with has ended
      get headers() {
        return access?.latest === undefined ? headers : { ...headers, Authorization: `Bearer ${access.latest}` }
      },
      body: JSON.stringify(body),
    },
    read: (status, text) => readAnswer(status, text, access?.latest),
  }
}

/** The token may be newer than the link, which then does not know that it is a secret. */
const readAnswer = (status: number, body: string, token: string | undefined): unknown => {
  if (status >= 200 && status < 300) return body === '' ? undefined : JSON.parse(body)
  const said = scrubber(token === undefined ? [] : [token])(body).slice(0, 200)
  throw new Error(`HTTP ${status}${said === '' ? '' : `: ${said}`}`)
}
