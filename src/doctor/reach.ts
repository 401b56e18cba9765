/** A socket to the host of a URL, opened as a link of this process would open it: racing, or through the proxy. */
import type { Socket } from 'node:net'
import type { Fault } from '../../machines/fault.ts'
import { faultFrom } from '../error.ts'
import { type DialPath, dial } from '../net/dial.ts'
import type { ProxyServer } from '../net/proxy.ts'
import { hostOf, type Lookup, portOf, resolverOf } from '../net/resolve.ts'
import { routeTo } from '../net/route.ts'
import { LATE, type Time } from './time.ts'

export interface Reach {
  readonly url: string
  readonly lookup: Lookup
  readonly proxy: ProxyServer | undefined
  readonly time: Time
}

export interface Reached {
  readonly socket: Socket
  readonly path: DialPath
}

/** Resolves to a socket before TLS, or to the fault. */
export const reach = async ({ url, lookup, proxy, time }: Reach, withinMs: number): Promise<Reached | Fault> => {
  const { clock } = time
  const { host, ...route } = routeTo(plainOf(url), { proxy, clock })
  const startedAt = time.now()
  try {
    const found = await time.within(withinMs, resolverOf(clock).find(host, { lookup }))
    if (found === LATE) return late(withinMs)
    const result = await time.attempt<Reached | Fault>(withinMs - time.since(startedAt), (settle) =>
      dial({
        ...route,
        addresses: found,
        clock,
        opened: (socket, path) => settle({ socket: quiet(socket), path }),
        failed: (error) => settle(faultFrom(error, 'connecting')),
      }),
    )
    return result === LATE ? late(withinMs) : result
  } catch (error) {
    return faultFrom(error, 'resolving')
  }
}

export const isReached = (result: Reached | Fault): result is Reached => 'socket' in result

const late = (withinMs: number): Fault => ({ code: 'connect-timeout', detail: `no answer within ${withinMs} ms` })

/** The same host and port without TLS: that layer is examined by itself. */
const plainOf = (url: string): string => {
  const host = hostOf(url)
  return `ws://${host.includes(':') ? `[${host}]` : host}:${portOf(url)}/`
}

/** A late error must not become an uncaught exception, whoever has the socket by then. */
const quiet = (socket: Socket): Socket => socket.on('error', () => undefined)
