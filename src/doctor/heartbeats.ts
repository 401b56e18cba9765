/** The last layer: three round trips, by WebSocket pings or by the probe of the adapter. */
import type WebSocket from 'ws'
import type { Fault } from '../../machines/fault.ts'
import type { Time } from './time.ts'

export interface HeartbeatsLayer {
  readonly name: 'heartbeats'
  readonly ok: boolean
  readonly ms: number
  readonly kind: 'ping' | 'probe'
  readonly roundTripsMs: readonly number[]
  /** Beats that nobody answered. */
  readonly unanswered: number
  /** The peer ended the connection meanwhile; or the connection is well and the account behind it is not. */
  readonly fault: Fault | null
}

export const BEATS = 3
export const BETWEEN_BEATS_MS = 250
const ANSWER_MS = 2_000
const GOODBYE_MS = 500

/** Three pings, one after another, and a goodbye. */
export const ping = async (ws: WebSocket, time: Time): Promise<HeartbeatsLayer> => {
  const startedAt = time.now()
  const roundTripsMs: number[] = []
  let unanswered = 0
  let fault: Fault | null = null
  ws.on('error', () => undefined)
  ws.once('close', (code, reason) => {
    fault = { code: 'closed-by-peer', detail: `close ${code}${reason.length > 0 ? `: ${reason}` : ''}` }
  })
  if (!isOpen(ws)) {
    // what it says on its way out is read a moment later
    await pause(ws, time)
    fault ??= ENDED
  }
  for (let beat = 0; beat < BEATS && !fault; beat++) {
    if (beat > 0) await pause(ws, time)
    const sentAt = time.now()
    const result = await time.attempt<'answered' | 'ended'>(ANSWER_MS, (settle) => once(ws, String(beat), settle))
    if (result === 'answered') roundTripsMs.push(time.since(sentAt))
    else if (result !== 'ended') unanswered++
  }
  const ms = time.since(startedAt)
  // before the goodbye, whose close is our own
  const ok = fault === null && roundTripsMs.length > 0
  const layer: HeartbeatsLayer = { name: 'heartbeats', ok, ms, kind: 'ping', roundTripsMs, unanswered, fault }
  await sayGoodbye(ws, time)
  return layer
}

/** Long enough for a peer that lets everybody in and throws them out at once to have done so. */
const pause = (ws: WebSocket, time: Time): Promise<unknown> =>
  time.attempt<void>(BETWEEN_BEATS_MS, (settle) => {
    const ended = () => settle()
    ws.once('close', ended)
    return () => ws.off('close', ended)
  })

const ENDED: Fault = { code: 'closed-by-peer', detail: 'closed right after the upgrade' }

const isOpen = (ws: WebSocket): boolean => ws.readyState === ws.OPEN

const once = (ws: WebSocket, mark: string, settle: (result: 'answered' | 'ended') => void): (() => void) => {
  const forget = () => {
    ws.off('pong', heard).off('close', ended)
  }
  const heard = (said: Buffer) => {
    // an answer to the beat before is late, and is not the answer to this one
    if (said.toString('latin1') !== mark) return
    forget()
    settle('answered')
  }
  const ended = () => {
    forget()
    settle('ended')
  }
  ws.on('pong', heard).on('close', ended)
  if (isOpen(ws)) ws.ping(mark)
  return forget
}

/** Closes as the protocol wants it, and leaves nothing behind if the peer does not. */
export const sayGoodbye = async (ws: WebSocket, time: Time): Promise<void> => {
  if (isOpen(ws)) {
    await time.attempt<void>(GOODBYE_MS, (settle) => {
      ws.once('close', () => settle())
      ws.close(1000)
      return () => undefined
    })
  }
  ws.terminate()
}
