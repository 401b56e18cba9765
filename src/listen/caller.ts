/** Who calls: what a request says of its sender, before anything of it is believed, and how it is sent away. */
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { CallerHeaders } from '../berth.ts'

export interface Caller {
  readonly address: string
  readonly path: string
  readonly headers: CallerHeaders
  /** What it shows to be let in. */
  readonly token: string | undefined
  /** A header that decides was sent twice: whoever stands before us may have looked at the other one. */
  readonly isAmbiguous: boolean
}

export interface Refusal {
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 415 | 426 | 429 | 503
  readonly reason: string
  /** In seconds. */
  readonly retryAfterS?: number
}

/** go-cqhttp says `Token`, all others `Bearer`. */
const AUTHORIZATION = /^(?:bearer|token) +(\S.*)$/i

export const callerOf = (request: IncomingMessage, readsQuery: boolean): Caller => {
  const { rawHeaders, headers, socket } = request
  const url = urlOf(request)
  const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  const inQuery = (readsQuery && url.searchParams.get('access_token')) || undefined
  return {
    address: socket.remoteAddress ?? '',
    path: url.pathname,
    headers: headers as CallerHeaders,
    token: headers.authorization === undefined ? inQuery : AUTHORIZATION.exec(headers.authorization)?.[1],
    isAmbiguous: names.some((name, index) => DECIDING.test(name) && names.indexOf(name) !== index),
  }
}

/** Every header of a protocol's own begins with an x. */
const DECIDING = /^(authorization|x-.+)$/

/** A target that is no path of ours is the root: `//host/`, `*`, an absolute URL with a port that is none. */
const urlOf = ({ url = '/' }: IncomingMessage): URL => {
  const base = 'http://listener'
  return /^\/(?!\/)/.test(url) && URL.canParse(url, base) ? new URL(url, base) : new URL('/', base)
}

/** Of an answer that says no; the connection ends with it. */
export const headersOf = ({ status, reason, retryAfterS }: Refusal): Record<string, string> => ({
  Connection: 'close',
  'Content-Type': 'text/plain; charset=utf-8',
  'Content-Length': String(Buffer.byteLength(reason)),
  ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
  ...(status === 405 && { Allow: 'POST' }),
  ...(status === 426 && { Upgrade: 'websocket' }),
  ...(retryAfterS !== undefined && { 'Retry-After': String(retryAfterS) }),
})

/** Answers an upgrade that is not wanted. */
export const refuseUpgrade = (socket: Duplex, refusal: Refusal): void => {
  const { status, reason } = refusal
  const lines = Object.entries(headersOf(refusal)).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`
  // what is left unread makes the kernel send a reset, which overtakes the answer
  socket.resume()
  socket.once('finish', () => socket.destroy()).end(head + reason)
}
