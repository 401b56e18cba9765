/**
 * One WebSocket on `ws`, over a socket that we dialed ourselves.
 *
 * Why not hand `ws` the URL: its handshakeTimeout is an inactivity timer that a dripping server keeps alive, it loses the
 * headers of a refused upgrade, it hides socket errors after the upgrade, and close() waits 30 s for a peer that is gone.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import WebSocket from 'ws'
import type { Fault } from '../../machines/fault.ts'
import type { Target } from '../adapter/adapter.ts'
import type { Timer } from '../clock.ts'
import { faultFrom, faultFromStatus, textOf } from '../error.ts'
import type { DialPath } from '../net/dial.ts'
import { decodePercent } from '../secret.ts'
import { type DialedOptions, dialTarget } from './dialed.ts'
import type { OpenTransport, TransportListener } from './transport.ts'
import { cut, endingOf, lossOf, type SocketEnding, serve } from './upgraded.ts'

export interface WebSocketOptions extends DialedOptions {
  /** Off unless asked for: it costs memory per connection and opens the door to compression bombs. */
  readonly perMessageDeflate: boolean
  /** Absolute, in milliseconds, from the secured socket. */
  readonly upgradeMs: number
}

export const openWebSocket =
  (options: WebSocketOptions): OpenTransport =>
  (listener) => {
    const transport = new WebSocketTransport(options, listener)
    transport.dial()
    return () => transport.end()
  }

class WebSocketTransport {
  readonly #options: WebSocketOptions
  readonly #listener: TransportListener
  readonly #undo: (() => void)[] = []
  #deadline: Timer | undefined
  #isEnded = false
  #isOpen = false
  #ending: SocketEnding | undefined

  constructor(options: WebSocketOptions, listener: TransportListener) {
    this.#options = options
    this.#listener = listener
  }

  dial(): void {
    const cancel = dialTarget(this.#options, {
      connected: () => this.#listener.opened(),
      opened: (socket, path) => this.#upgrade(socket, path),
      failed: (error) => this.#lose(faultFrom(error, 'connecting')),
    })
    this.#undo.push(cancel)
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#options.clock.clearTimeout(this.#deadline)
    for (const step of this.#undo.reverse()) step()
  }

  #lose(fault: Fault, close?: { code: number; reason: string }): void {
    if (this.#isEnded) return
    this.end()
    this.#listener.lost(fault, close)
  }

  #upgrade(socket: Socket, path: DialPath): void {
    const { clock, upgradeMs, dialed } = this.#options
    this.#own(socket)
    dialed?.(path)
    // whoever heard that may have called it off
    if (this.#isEnded) return
    const late = { code: 'upgrade-timeout', detail: `no answer within ${upgradeMs} ms` } as const
    this.#deadline = clock.setTimeout(() => this.#lose(late), upgradeMs)
    let ws: WebSocket
    try {
      ws = startUpgrade(this.#options, socket)
    } catch (error) {
      // a header or a password that cannot be sent
      this.#lose({ code: 'provider-failed', detail: textOf(error) })
      return
    }
    this.#undo.push(() => cut(ws, socket))
    ws.on('error', (error) => this.#lose(faultFrom(error, this.#isOpen ? 'open' : 'upgrading')))
    ws.on('unexpected-response', (_request, response: IncomingMessage) =>
      this.#lose(faultFromStatus(response.statusCode ?? 0, response.headers['retry-after'], clock.wall())),
    )
    ws.on('open', () => {
      this.#isOpen = true
      clock.clearTimeout(this.#deadline)
      if (!this.#isEnded) serve(ws, socket, this.#listener, () => this.#isEnded)
    })
    ws.on('close', (code, reason) => {
      if (this.#isOpen) this.#lose(...lossOf(code, reason.toString(), this.#ending))
    })
  }

  #own(socket: Socket): void {
    this.#undo.push(() => socket.destroy())
    socket.on('error', (error) => {
      // once it is open, ws tells of the end a moment later, and knows what the peer said before the socket broke
      if (!this.#isOpen) this.#lose(faultFrom(error, 'upgrading'))
    })
    this.#ending = endingOf(socket)
    socket.once('close', () => {
      if (!this.#isOpen) this.#lose({ code: 'dropped', detail: 'the peer closed the socket before it answered' })
    })
  }
}

const startUpgrade = ({ target, maxPayloadBytes, perMessageDeflate }: WebSocketOptions, socket: Socket): WebSocket => {
  const { url, headers } = authorized(target)
  return new WebSocket(url, [...(target.protocols ?? [])], {
    createConnection: () => socket,
    headers,
    maxPayload: maxPayloadBytes,
    perMessageDeflate,
    followRedirects: false,
  })
}

/** User and password of a URL go into a header. */
export const authorized = ({ url: text, headers }: Target): { url: URL; headers: Record<string, string> } => {
  const url = new URL(text)
  const { username, password } = url
  const basic: Record<string, string> =
    username || password ? { Authorization: `Basic ${basicOf(username, password)}` } : {}
  url.username = ''
  url.password = ''
  return { url, headers: { ...basic, ...headers } }
}

const basicOf = (user: string, password: string): string =>
  Buffer.from(`${decodePercent(user)}:${decodePercent(password)}`).toString('base64')
