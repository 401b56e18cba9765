/**
 * One WebSocket on `ws`, over a socket that we dialed ourselves.
 *
 * Why not hand `ws` the URL: its handshakeTimeout is an inactivity timer that a dripping server keeps alive, it loses the
 * headers of a refused upgrade, it hides socket errors after the upgrade, and close() waits 30 s for a peer that is gone.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import WebSocket from 'ws'
import type { Fault } from '../../machines/fault.ts'
import type { Frame, Target } from '../adapter/adapter.ts'
import type { Clock, Timer } from '../clock.ts'
import { faultFrom, faultFromStatus, type Phase } from '../error.ts'
import { dial } from '../net/dial.ts'
import { type Address, identityOf, portOf } from '../net/resolve.ts'
import { decodePercent } from '../secret.ts'
import type { OpenTransport, TransportListener } from './transport.ts'

export interface WebSocketOptions {
  readonly target: Target
  readonly addresses: readonly Address[]
  readonly clock: Clock
  readonly maxPayloadBytes: number
  /** Off unless asked for: it costs memory per connection and opens the door to compression bombs. */
  readonly perMessageDeflate: boolean
  /** Absolute, from the open socket. */
  readonly tlsMs: number
  /** Absolute, from the secured socket. */
  readonly upgradeMs: number
}

export const openWebSocket =
  (options: WebSocketOptions): OpenTransport =>
  (listener) => {
    const { target, addresses, clock } = options
    let phase: Phase = 'connecting'
    let ended = false
    /** What broke the socket after the upgrade, if anything did. */
    let broken: unknown
    let deadline: Timer | undefined
    const undo: (() => void)[] = []

    const end = () => {
      if (ended) return
      ended = true
      clock.clearTimeout(deadline)
      for (const step of undo.reverse()) step()
    }
    const lose = (fault: Fault, close?: { code: number; reason: string }) => {
      if (ended) return
      end()
      listener.lost(fault, close)
    }
    const limit = (ms: number, code: Fault['code']) => {
      clock.clearTimeout(deadline)
      deadline = clock.setTimeout(() => lose({ code, detail: `no answer within ${ms} ms` }), ms)
    }
    const fail = (error: unknown) => lose(faultFrom(error, phase))

    const own = (socket: Socket) => {
      // also after destroy(): a late error must not become an uncaught exception
      socket.on('error', (error) => {
        // once it is open, ws tells of the end a moment later, and knows what the peer said before the socket broke
        if (phase === 'open') broken = error
        else fail(error)
      })
      undo.push(() => socket.destroy())
    }
    const closed = (code: number, reason: string) => {
      if (code !== ABNORMAL) lose(faultFromClose(code, reason), { code, reason })
      else if (broken) fail(broken)
      else lose({ code: 'connection-lost', detail: 'the socket ended without a close frame' })
    }

    const upgrade = (socket: Socket) => {
      phase = 'upgrading'
      limit(options.upgradeMs, 'upgrade-timeout')
      let ws: WebSocket
      try {
        ws = startUpgrade(options, socket)
      } catch (error) {
        // a header or a password that cannot be sent
        lose({ code: 'provider-failed', detail: String(error) })
        return
      }
      ws.on('error', fail)
      ws.on('unexpected-response', (_request, response: IncomingMessage) =>
        lose(faultFromStatus(response.statusCode ?? 0, response.headers['retry-after'], clock.wall())),
      )
      socket.on('close', () => {
        if (phase !== 'open') lose({ code: 'dropped', detail: 'the peer closed the socket before it answered' })
      })
      ws.on('open', () => {
        phase = 'open'
        clock.clearTimeout(deadline)
        if (!ended) serve(ws, socket, listener, () => ended)
      })
      ws.on('close', (code, reason) => {
        if (phase === 'open') closed(code, reason.toString())
      })
      undo.push(() => ws.terminate())
    }

    const secure = (socket: Socket) => {
      phase = 'securing'
      limit(options.tlsMs, 'tls-timeout')
      const tls = connectTls({ ...target.tls, ...identityOf(target.url), socket, ALPNProtocols: ['http/1.1'] })
      own(tls)
      tls.once('secureConnect', () => {
        if (!ended) upgrade(tls)
      })
    }

    undo.push(
      dial({
        addresses,
        port: portOf(target.url),
        clock,
        failed: fail,
        opened: (socket) => {
          own(socket)
          listener.opened()
          if (ended) return
          if (new URL(target.url).protocol === 'wss:') secure(socket)
          else upgrade(socket)
        },
      }),
    )
    return end
  }

const startUpgrade = ({ target, maxPayloadBytes, perMessageDeflate }: WebSocketOptions, socket: Socket): WebSocket => {
  const url = new URL(target.url)
  const { username, password } = url
  const basic = username || password ? { Authorization: `Basic ${basicOf(username, password)}` } : {}
  url.username = ''
  url.password = ''
  return new WebSocket(url, [...(target.protocols ?? [])], {
    createConnection: () => socket,
    headers: { ...basic, ...target.headers },
    maxPayload: maxPayloadBytes,
    perMessageDeflate,
    followRedirects: false,
  })
}

const basicOf = (user: string, password: string): string =>
  Buffer.from(`${decodePercent(user)}:${decodePercent(password)}`).toString('base64')

/** RFC 6455, section 7.4.1: there was no close frame, or one without a code. */
const NO_STATUS = 1005
const ABNORMAL = 1006
const NORMAL = 1000
const INTERNAL_ERROR = 1011
const TRY_LATER = 1013
const VIOLATIONS = new Set([1002, 1003, 1007, 1009, 1010])

/** The chunk that is being read may hold more than the frame that ended us: `isOver` is asked each time. */
const serve = (ws: WebSocket, socket: Socket, listener: TransportListener, isOver: () => boolean) => {
  ws.on('message', (data: Buffer, isBinary: boolean) => {
    if (!isOver()) listener.frame(isBinary ? data : data.toString('utf8'))
  })
  ws.on('pong', (mark: Buffer) => {
    if (!isOver()) listener.answered(mark.toString('latin1'))
  })
  // behind ws's own listener, so the frames of a chunk come before the chunk is reported
  socket.on('data', () => {
    if (!isOver()) listener.inbound()
  })
  socket.on('drain', () => {
    if (!isOver()) listener.drained()
  })
  listener.ready({
    send: (frame: Frame) => {
      gather(socket)
      ws.send(frame)
    },
    ping: (mark) => ws.ping(mark),
    bufferedBytes: () => ws.bufferedAmount,
    close: () => ws.close(NORMAL),
  })
}

/** All that is written in one turn leaves in one system call: ws alone makes one for each frame. */
const gather = (socket: Socket) => {
  if (socket.writableCorked > 0) return
  socket.cork()
  process.nextTick(() => socket.uncork())
}

/** What a close code of RFC 6455 means. 1000 too is a reason to come back: only a person's stop is wanted (R66). */
const faultFromClose = (code: number, reason: string): Fault => {
  const said = code === NO_STATUS ? 'close without a code' : `close ${code}${reason && `: ${reason}`}`
  if (code === TRY_LATER) return { code: 'try-later', detail: said }
  if (code === INTERNAL_ERROR) return { code: 'peer-unavailable', detail: said }
  return { code: VIOLATIONS.has(code) ? 'protocol-violated' : 'closed-by-peer', detail: said }
}
