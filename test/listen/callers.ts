/** Peers that dial a listener, good ones and bad ones, and links that wait for them. */
import { connect as connectSocket, type Socket } from 'node:net'
import { vi } from 'vitest'
import { type ClientOptions, WebSocket } from 'ws'
import { type OnebotReverse, onebot } from '../../src/adapter/onebot.ts'
import type { Listener } from '../../src/berth.ts'
import { connect, type Link } from '../../src/link.ts'
import { listener } from '../../src/listen/listener.ts'
import type { LinkOptions } from '../../src/options.ts'

export const TOKEN = 'canary-0123456789'
export const SELF_ID = '10001'
export const lifecycle = JSON.stringify({
  time: 1,
  self_id: 10_001,
  post_type: 'meta_event',
  meta_event_type: 'lifecycle',
  sub_type: 'connect',
})

const cleanups: (() => unknown)[] = []

/** For afterEach: ends all that the test has started. */
export const closeAll = async (): Promise<void> => {
  for (const close of cleanups.splice(0).reverse()) await close()
}

export const cleanUp = (close: () => unknown): void => void cleanups.push(close)

export const until = (check: () => unknown, timeout = 5_000): Promise<unknown> =>
  vi.waitFor(
    () => {
      if (!check()) throw new Error(`not yet: ${check}`)
    },
    { timeout, interval: 5 },
  )

export const held = <L extends { stop(): Promise<unknown> }>(link: L): L => {
  cleanups.push(() => link.stop())
  return link
}

/** A link that waits for a peer, and the listener behind which it does. */
export const waiting = async (
  terms: Partial<OnebotReverse> = {},
  options: LinkOptions = {},
  port = listener({ port: 0, token: TOKEN }),
): Promise<{ link: Link; port: Listener }> => {
  const link = held(connect(onebot({ selfId: SELF_ID, listener: port, ...terms }), options))
  await until(() => port.port > 0)
  return { link: link as unknown as Link, port }
}

export interface Peer {
  readonly ws: WebSocket
  /** The status with which it was sent away, or 101. */
  readonly status: Promise<number>
  readonly headers: Record<string, unknown>
  readonly frames: string[]
  readonly closed: Promise<{ code: number; reason: string }>
}

/** A peer that dials as implementations do, and says the lifecycle when it is in. */
export const dialing = (
  port: number,
  headers: Record<string, string | string[]> = { Authorization: `Bearer ${TOKEN}` },
  { path = '/', ...options }: ClientOptions & { path?: string } = {},
): Peer => {
  const who = { 'X-Self-ID': SELF_ID, 'X-Client-Role': 'Universal' }
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, { ...options, headers: { ...who, ...headers } as never })
  cleanups.push(() => ws.terminate())
  const frames: string[] = []
  const answered: Record<string, unknown> = {}
  ws.on('message', (data) => {
    frames.push(String(data))
    const { action, echo } = JSON.parse(String(data))
    const data_ = action === 'get_status' ? { online: true, good: true } : {}
    ws.send(JSON.stringify({ status: 'ok', retcode: 0, data: data_, echo }))
  })
  const status = new Promise<number>((resolve) => {
    ws.on('open', () => {
      ws.send(lifecycle)
      resolve(101)
    })
    ws.on('unexpected-response', (_, response) => {
      Object.assign(answered, response.headers)
      resolve(response.statusCode ?? 0)
      ws.terminate()
    })
    ws.on('error', () => resolve(0))
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  return { ws, status, headers: answered, frames, closed }
}

export interface RawCall {
  readonly socket: Socket
  /** All that came back, when the other side has closed. */
  readonly answer: Promise<string>
}

/** Bytes as they are. */
export const calling = (port: number, text = ''): RawCall => {
  const socket = connectSocket(port, '127.0.0.1')
  cleanups.push(() => socket.destroy())
  let said = ''
  socket.on('data', (chunk) => {
    said += chunk
  })
  socket.on('error', () => undefined)
  if (text !== '') socket.write(text, 'latin1')
  const answer = new Promise<string>((resolve) => socket.on('close', () => resolve(said)))
  return { socket, answer }
}

/** The request of an upgrade, line by line: what a client library would not send. */
export const upgradeText = (lines: readonly string[], path = '/'): string =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...lines,
    '\r\n',
  ].join('\r\n')
