/**
 * A plain WebSocket which is held and watched: one line for each thing that happens to it. Orders: {"send": text},
 * {"ping": true}, {"close": code}, {"terminate": true}; the end of stdin ends it.
 */
import { WebSocket } from 'ws'
import { argument, monotonicMs, obey, print, type ToldError, tell } from './program.ts'

export interface WsEvent {
  readonly event: 'open' | 'message' | 'pong' | 'close' | 'error' | 'answer'
  /** On the clock that all processes share. */
  readonly atMs: number
  readonly text?: string
  readonly code?: number
  readonly reason?: string
  readonly status?: number
  readonly retryAfter?: string
  readonly error?: ToldError
}

export interface WsOrder {
  readonly send?: string
  readonly ping?: boolean
  readonly close?: number
  readonly terminate?: boolean
}

export interface WsArgument {
  readonly url: string
  readonly handshakeTimeoutMs?: number
  /** For setKeepAlive of its TCP socket. */
  readonly keepAliveMs?: number
}

const { url, handshakeTimeoutMs, keepAliveMs } = argument<WsArgument>()

const happened = (event: WsEvent['event'], details: Partial<WsEvent> = {}) => {
  print({ event, atMs: monotonicMs(), ...details } satisfies WsEvent)
}

const socket = new WebSocket(url, { ...(handshakeTimeoutMs && { handshakeTimeout: handshakeTimeoutMs }) })
socket.on('open', () => happened('open'))
if (keepAliveMs) socket.on('upgrade', ({ socket: tcp }) => tcp.setKeepAlive(true, keepAliveMs))
socket.on('message', (data) => happened('message', { text: data.toString() }))
socket.on('pong', () => happened('pong'))
socket.on('error', (error) => happened('error', { error: tell(error) }))
socket.on('close', (code, reason) => happened('close', { code, reason: reason.toString() }))
socket.on('unexpected-response', (request, { statusCode, headers }) => {
  happened('answer', { ...(statusCode && { status: statusCode }), retryAfter: headers['retry-after'] ?? '' })
  request.destroy()
})

obey((order: WsOrder) => {
  if (order.send !== undefined) socket.send(order.send)
  if (order.ping) socket.ping()
  if (order.close !== undefined) socket.close(order.close)
  if (order.terminate) socket.terminate()
})
