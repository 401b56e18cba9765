/** One WebSocket after its upgrade, whoever of the two has dialed: its frames, and what its end means. */
import type { Duplex } from 'node:stream'
import type WebSocket from 'ws'
import type { Fault } from '../../machines/fault.ts'
import { endOf, flush, gather } from './socket.ts'
import type { Frame, TransportListener } from './transport.ts'

/** RFC 6455, section 7.4.1: there was no close frame, or one without a code. */
const NO_STATUS = 1005
const ABNORMAL = 1006
const NORMAL = 1000
const INTERNAL_ERROR = 1011
const TRY_LATER = 1013
const VIOLATIONS = new Set([1002, 1003, 1007, 1009, 1010])

/** The chunk that is being read may hold more than the frame that ended us: `isOver` is asked each time. */
export const serve = (ws: WebSocket, socket: Duplex, listener: TransportListener, isOver: () => boolean): void => {
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
      // ws alone makes a system call for each frame
      gather(socket)
      ws.send(frame)
    },
    ping: (mark) => ws.ping(mark),
    bufferedBytes: () => ws.bufferedAmount,
    close: (code = NORMAL) => ws.close(code),
  })
}

/** Ends it at once. */
export const cut = (ws: WebSocket, socket: Duplex): void => {
  flush(socket)
  ws.terminate()
}

/** What broke a socket, and whether the peer ended its side: ws tells neither. */
export interface SocketEnding {
  readonly broken: unknown
  readonly hasFinished: boolean
}

export const endingOf = (socket: Duplex): SocketEnding => {
  const ending = { broken: undefined as unknown, hasFinished: false }
  // also after destroy(): a late error must not become an uncaught exception
  socket.on('error', (error) => {
    ending.broken ??= error
  })
  socket.once('end', () => {
    ending.hasFinished = true
  })
  return ending
}

/** The arguments of `lost` for the end of an upgraded WebSocket. */
export const lossOf = (
  code: number,
  reason: string,
  ending?: SocketEnding,
): [fault: Fault, close?: { code: number; reason: string }] =>
  code === ABNORMAL
    ? [{ code: 'connection-lost', detail: accountOf(ending) }]
    : [faultFromClose(code, reason), { code, reason }]

/** ws shows every end without a close frame as close 1006. */
const accountOf = ({ broken, hasFinished }: Partial<SocketEnding> = {}): string =>
  endOf(broken, hasFinished ? 'the socket ended without a close frame' : undefined)

/** What a close code of RFC 6455 means. 1000 too is a reason to come back: only a person's stop is wanted (R66). */
const faultFromClose = (code: number, reason: string): Fault => {
  const said = code === NO_STATUS ? 'close without a code' : `close ${code}${reason && `: ${reason}`}`
  if (code === TRY_LATER) return { code: 'try-later', detail: said }
  if (code === INTERNAL_ERROR) return { code: 'peer-unavailable', detail: said }
  return { code: VIOLATIONS.has(code) ? 'protocol-violated' : 'closed-by-peer', detail: said }
}
