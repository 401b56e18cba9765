/**
 * Satori v1: events over a WebSocket, calls over HTTP beside it.
 * Facts: satorijs/docs, protocol/events.md and api.md; docs/adapters/satori.md says who sends what.
 */
import { HoldfastError } from '../error.ts'
import type { Secret } from '../secret.ts'
import {
  type Adapter,
  checkTarget,
  checkToken,
  type Dialogue,
  type HttpOutgoing,
  type Io,
  refuseUnknown,
} from './adapter.ts'
import { asObject, type JsonObject, readObject } from './json.ts'

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
  readonly token?: string | Secret
}

const OP = { EVENT: 0, PING: 1, PONG: 2, IDENTIFY: 3, READY: 4, META: 5 } as const
const CLOSE_BAD_TOKEN = 4004
const CLOSE_BAD_MESSAGE = 4000
/** The protocol asks for a PING every 10 s. */
const PING_EVERY_MS = 10_000
const LOGIN_ONLINE = 1

export const satori = (options: SatoriOptions): Adapter<SatoriEvent, SatoriMessage, SatoriCalls> => {
  checkTarget(options, 'satori({ url })')
  refuseUnknown(options, ['url', 'token'], 'options of satori()')
  const token = options.token === undefined ? undefined : checkToken(options.token, 'satori({ token })')
  const api = apiOf(options.url)
  // the position survives the transport: it is what a resume names
  const cursor: Cursor = { sn: undefined }
  return {
    name: 'satori',
    target: () => ({ url: options.url, secrets: token === undefined ? [] : [token] }),
    dialogue: (io) => dialogue(io, token, cursor),
    encode: ({ platform, userId, channelId, content }) =>
      post(api, token, 'message.create', { as: { platform, userId }, channel_id: channelId, content }),
    request: (method, params) => post(api, token, method, params ?? {}),
    probe: () => JSON.stringify({ op: OP.PING }),
  }
}

interface Cursor {
  sn: number | undefined
}

const dialogue = (io: Io<SatoriEvent>, token: string | undefined, cursor: Cursor): Dialogue => {
  const logins = new Map<string, number>()

  /** One account offline among several is the user's news, not the link's trouble; all of them offline is. */
  const judgeLogins = () => {
    if (logins.size === 0) return
    if ([...logins.values()].includes(LOGIN_ONLINE)) io.recovered()
    else io.impaired('account-offline', 'no login of this server is online')
  }

  /** The accounts come with the welcome, so the link is not live for a moment with none of them online. */
  const ready = (body: JsonObject) => {
    io.welcome({ replaying: true })
    io.heartbeat({ everyMs: PING_EVERY_MS })
    for (const login of Array.isArray(body.logins) ? body.logins : []) noteLogin(asObject(login))
    judgeLogins()
    io.caughtUp()
  }

  const noteLogin = (login: JsonObject | undefined, isRemoved = false) => {
    if (typeof login?.status !== 'number') return
    const key = JSON.stringify([login.platform, asObject(login.user)?.id ?? login.self_id ?? login.sn])
    if (isRemoved) logins.delete(key)
    else logins.set(key, login.status)
  }

  const event = (body: JsonObject) => {
    if (typeof body.type !== 'string') return 'malformed' as const
    const sn = body.sn ?? body.id
    if (typeof sn === 'number' && Number.isSafeInteger(sn) && sn >= 0) cursor.sn = sn
    if (body.type.startsWith('login-')) {
      noteLogin(asObject(body.login), body.type === 'login-removed')
      judgeLogins()
    }
    io.deliver(body as unknown as SatoriEvent)
    return 'taken' as const
  }

  return {
    opened: () => io.send(JSON.stringify({ op: OP.IDENTIFY, body: { token, sn: cursor.sn, sequence: cursor.sn } })),
    frame: (raw) => {
      const frame = readObject(raw)
      if (!frame) return 'malformed'
      const body = asObject(frame.body) ?? {}
      if (frame.op === OP.EVENT) return event(body)
      if (frame.op === OP.READY) ready(body)
      else if (frame.op !== OP.PONG && frame.op !== OP.META) return 'unknown'
      return 'taken'
    },
    closed: (code) => {
      if (code === CLOSE_BAD_TOKEN) return 'credentials-rejected'
      return code === CLOSE_BAD_MESSAGE ? 'protocol-violated' : undefined
    },
  }
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

const post = (api: string, token: string | undefined, method: string, params: JsonObject): HttpOutgoing => {
  const { as, ...body } = params
  const { platform, userId } = asObject(as) ?? {}
  const headers: Record<string, string> = { 'Content-Type': 'application/json' }
  if (token !== undefined) headers.Authorization = `Bearer ${token}`
  if (typeof platform === 'string' && typeof userId === 'string') {
    // the second pair is what servers before protocol 1.1 read
    Object.assign(headers, { 'Satori-Platform': platform, 'Satori-User-ID': userId })
    Object.assign(headers, { 'X-Platform': platform, 'X-Self-ID': userId })
  }
  return { http: { url: `${api}${method}`, method: 'POST', headers, body: JSON.stringify(body) }, read: readAnswer }
}

const readAnswer = (status: number, body: string): unknown => {
  if (status >= 200 && status < 300) return body === '' ? undefined : JSON.parse(body)
  throw new Error(`HTTP ${status}${body === '' ? '' : `: ${body.slice(0, 200)}`}`)
}
