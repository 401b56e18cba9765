/** The sixth layer: what the peer answers to the WebSocket upgrade, or to a plain GET where the URL is http(s). */
import { type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import WebSocket from 'ws'
import type { Fault } from '../../machines/fault.ts'
import { faultFrom, faultFromStatus } from '../error.ts'
import { decodePercent, publicUrl } from '../secret.ts'
import { skewOf } from './skew.ts'
import { LATE, type Time } from './time.ts'

export interface UpgradeLayer {
  readonly name: 'upgrade'
  readonly ok: boolean
  readonly ms: number
  /** Null if there was no answer that can be read. */
  readonly status: number | null
  readonly retryAfterMs: number | null
  readonly subprotocol: string | null
  /** Where it wants to send us, without what may be secret. */
  readonly location: string | null
  /** It answered with a page for people. */
  readonly page: boolean
  /** How far our clock is ahead of the peer's, in milliseconds; null if it did not say. */
  readonly skewMs: number | null
  readonly fault: Fault | null
}

export interface Upgraded {
  readonly layer: UpgradeLayer
  /** Set if it is open. */
  readonly ws: WebSocket | undefined
}

const UPGRADE_MS = 6_000
/** Of a refusal: how much is read and for how long, to see whether it is a page. */
const PAGE_BYTES_MAX = 2_048
const PAGE_MS = 500

interface Answer {
  readonly response?: IncomingMessage
  readonly page?: boolean
  readonly ws?: WebSocket
  readonly error?: unknown
}

export const upgrade = async (
  url: string,
  socket: Socket,
  headers: Readonly<Record<string, string>>,
  time: Time,
): Promise<Upgraded> => {
  const startedAt = time.now()
  const isWebSocket = isWebSocketUrl(url)
  const answer = await time.attempt<Answer>(UPGRADE_MS, (settle) => {
    let isAnswering = false
    const begun = () => {
      isAnswering = true
    }
    socket.once('close', () => {
      // with a refusal the peer often closes, and then what it has said counts
      if (!isAnswering) settle({ error: Object.assign(new Error('closed before any answer'), { code: 'ECONNRESET' }) })
    })
    const { bare, all } = withCredentials(url, headers)
    const stop = (isWebSocket ? ask : get)(bare, socket, all, { time, settle, begun })
    return () => {
      stop()
      socket.destroy()
    }
  })
  const ms = time.since(startedAt)
  if (answer === LATE) {
    const fault: Fault = { code: 'upgrade-timeout', detail: `no answer within ${UPGRADE_MS} ms` }
    return { layer: { ...NOTHING, ms, fault }, ws: undefined }
  }
  const layer = judge(answer, url, ms, time)
  if (layer.ok && answer.ws) return { layer, ws: answer.ws }
  socket.destroy()
  return { layer, ws: undefined }
}

const NOTHING: UpgradeLayer = {
  name: 'upgrade',
  ok: false,
  ms: 0,
  status: null,
  retryAfterMs: null,
  subprotocol: null,
  location: null,
  page: false,
  skewMs: null,
  fault: null,
}

/** There was no socket to ask on, although there had been one a moment before. */
export const unanswered = (fault: Fault): UpgradeLayer => ({ ...NOTHING, fault })

const judge = (answer: Answer, url: string, ms: number, time: Time): UpgradeLayer => {
  const { response, page = false, ws, error } = answer
  if (!response) return { ...NOTHING, ms, fault: faultFrom(error, 'upgrading') }
  const { statusCode: status = 0, headers } = response
  // an upgrade that was answered with 101 and then failed: the wrong key, an extension that nobody asked for
  const broken = error === undefined ? null : faultFrom(error, 'upgrading')
  const isGood = !broken && (isWebSocketUrl(url) ? ws !== undefined : status < 400)
  const fault = isGood ? null : (broken ?? faultFromStatus(status, headers['retry-after'], time.clock.wall()))
  return {
    ...NOTHING,
    ok: isGood,
    ms,
    status,
    retryAfterMs: fault?.retryAfterMs ?? null,
    subprotocol: ws?.protocol || null,
    location: placeOf(headers.location, url),
    page,
    skewMs: skewOf(headers.date, ms, time),
    fault,
  }
}

const isWebSocketUrl = (url: string): boolean => /^wss?:/i.test(url)

const placeOf = (location: string | undefined, url: string): string | null =>
  location !== undefined && URL.canParse(location, url) ? publicUrl(new URL(location, url).href) : null

interface Answering {
  readonly time: Time
  readonly settle: (answer: Answer) => void
  /** The peer has begun to answer. */
  readonly begun: () => void
}

type Ask = (url: URL, socket: Socket, headers: Record<string, string>, answering: Answering) => () => void

const ask: Ask = (url, socket, headers, { time, settle, begun }) => {
  const ws = new WebSocket(url, {
    createConnection: () => socket,
    headers,
    perMessageDeflate: false,
    followRedirects: false,
  })
  let switched: IncomingMessage | undefined
  ws.on('upgrade', (response) => {
    switched = response
    begun()
  })
  ws.on('open', () => settle({ ws, ...(switched && { response: switched }) }))
  ws.on('unexpected-response', (_request, response) => {
    begun()
    sniff(response, time, (page) => settle({ response, page }))
  })
  // stays: ending it before it is open is an error to ws
  ws.on('error', (error) => settle({ error, ...(switched && { response: switched }) }))
  return () => ws.terminate()
}

const get: Ask = (url, socket, headers, { time, settle, begun }) => {
  const asking = request({
    method: 'GET',
    host: url.hostname,
    path: `${url.pathname}${url.search}`,
    headers: { ...headers, Host: url.host },
    createConnection: () => socket,
  })
  asking.once('response', (response) => {
    begun()
    sniff(response, time, (page) => settle({ response, page }))
  })
  asking.on('error', (error) => settle({ error }))
  asking.end()
  return () => asking.destroy()
}

/** Whether the body is a page: a portal, a proxy's apology, a web interface on the same port. */
const sniff = (response: IncomingMessage, time: Time, tell: (isPage: boolean) => void): void => {
  const declared = /\bhtml\b/i.test(response.headers['content-type'] ?? '')
  let body = ''
  const end = () => {
    time.clock.clearTimeout(timer)
    tell(declared || /^\s*<(!doctype html|html)/i.test(body))
  }
  const timer = time.clock.setTimeout(end, time.left(PAGE_MS))
  response.setEncoding('latin1')
  response.on('data', (chunk: string) => {
    body += chunk
    if (body.length >= PAGE_BYTES_MAX) end()
  })
  response.once('end', end).once('error', end).once('close', end)
}

/** User and password of the URL travel in a header. */
const withCredentials = (text: string, headers: Readonly<Record<string, string>>) => {
  const bare = new URL(text)
  const [user, password] = [decodePercent(bare.username), decodePercent(bare.password)]
  bare.username = ''
  bare.password = ''
  const basic = Buffer.from(`${user}:${password}`).toString('base64')
  return { bare, all: { ...((user || password) && { Authorization: `Basic ${basic}` }), ...headers } }
}
