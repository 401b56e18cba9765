/** Our clock against the peer's: a wrong clock makes good certificates bad, and signed logins fail. */
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { hostOf } from '../net/resolve.ts'
import { LATE, type Time } from './time.ts'

/** Less is nothing that anybody would notice. */
export const SKEW_MIN_MS = 300_000

/** How far our clock is ahead of the Date header of an answer; null without one. It is given in whole seconds. */
export const skewOf = (date: string | undefined, roundTripMs: number, time: Time): number | null => {
  const theirs = date === undefined ? Number.NaN : Date.parse(date)
  return Number.isNaN(theirs) ? null : Math.round(time.clock.wall() - roundTripMs / 2 - theirs)
}

const ASK_MS = 2_000

/** Asks over a connection that did not prove itself, so without a path, a token or anything else that is ours. */
export const askTheTime = async (socket: Socket, url: string, time: Time): Promise<number | null> => {
  const startedAt = time.now()
  const date = await time.attempt<string | undefined>(ASK_MS, (settle) => {
    const asking = request({ method: 'HEAD', path: '/', host: hostOf(url), createConnection: () => socket })
    asking.once('response', (response) => settle(response.resume().headers.date))
    // a HEAD that asks for an upgrade is not what it is, but some servers answer so
    asking.once('upgrade', (response) => settle(response.headers.date))
    asking.on('error', () => settle(undefined))
    asking.end()
    return () => asking.destroy()
  })
  return date === LATE ? null : skewOf(date, time.since(startedAt), time)
}
