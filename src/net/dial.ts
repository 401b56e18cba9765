/**
 * Addresses to one open TCP socket. Attempts start one after another and run side by side until one wins (RFC 8305,
 * section 5): Node's own autoSelectFamily destroys each attempt but the last after 250 ms, which is how the founding
 * incident came about. Whoever dials owns the socket, so its errors can be told apart after the upgrade too.
 */
import { connect, type Socket } from 'node:net'
import type { Clock, Timer } from '../clock.ts'
import type { Address } from './resolve.ts'

/** RFC 8305, section 8. */
const ATTEMPT_DELAY_MS = 250
const ADDRESSES_MAX = 8
const IN_FLIGHT_MAX = 4
/** Belt only: it sees a vanished host when nothing is unacknowledged; the heartbeat sees the rest. */
const TCP_KEEPALIVE_MS = 15_000

export interface Dial {
  readonly addresses: readonly Address[]
  readonly port: number
  readonly clock: Clock
  opened(socket: Socket): void
  /** An AggregateError of every attempt that was made. */
  failed(error: AggregateError): void
}

/** Starts dialing; exactly one of `opened` and `failed` is called, unless the returned function cancels first. */
export const dial = ({ addresses, port, clock, opened, failed }: Dial): (() => void) => {
  const waiting = addresses.slice(0, ADDRESSES_MAX)
  const inFlight = new Set<Socket>()
  const errors: Error[] = []
  let timer: Timer | undefined
  let settled = false

  const settle = (winner?: Socket) => {
    settled = true
    clock.clearTimeout(timer)
    for (const socket of inFlight) {
      if (socket === winner) socket.off('error', noticeError).off('connect', noticeConnect)
      else socket.destroy()
    }
    inFlight.clear()
  }

  function noticeConnect(this: Socket) {
    if (settled) return
    settle(this)
    this.setNoDelay(true)
    opened(this)
  }

  // stays on the losers: an error after destroy() must not become an uncaught exception
  function noticeError(this: Socket, error: Error) {
    if (settled) return
    inFlight.delete(this)
    errors.push(error)
    next()
  }

  const next = () => {
    clock.clearTimeout(timer)
    if (settled) return
    const address = inFlight.size < IN_FLIGHT_MAX ? waiting.shift() : undefined
    if (address) start(address)
    else if (inFlight.size === 0) fail()
    if (waiting.length > 0 && !settled) timer = clock.setTimeout(next, ATTEMPT_DELAY_MS)
  }

  const start = ({ address, family }: Address) => {
    const socket = connect({
      host: address,
      port,
      family,
      autoSelectFamily: false,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    })
    inFlight.add(socket)
    socket.on('error', noticeError)
    socket.on('connect', noticeConnect)
  }

  const fail = () => {
    settle()
    const told = errors.map((error) => error.message).join('; ')
    failed(new AggregateError(errors, told || 'there is no address to dial'))
  }

  next()
  return () => {
    if (!settled) settle()
  }
}
