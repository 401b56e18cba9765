/** What a transport needs that is dialed, and its one way to a socket: the same race and deadlines for all of them. */
import type { Target } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'
import { CONNECT_MS, type Dial, type DialPath, dial } from '../net/dial.ts'
import type { ProxyServer } from '../net/proxy.ts'
import type { Address, AddressFeed } from '../net/resolve.ts'
import { routeTo } from '../net/route.ts'

export interface DialedOptions {
  readonly target: Target
  /** Of the proxy, if there is one. */
  readonly addresses: readonly Address[] | AddressFeed
  readonly proxy?: ProxyServer | undefined
  readonly clock: Clock
  /**
   * For an endpoint that the peer supplied: only public addresses of its host are dialed, and if it has none the transport
   * is lost with `endpoint-refused` before anything was sent. Through a proxy it is the proxy that looks the host up, and
   * whom it lets through is up to it.
   */
  readonly publicOnly?: boolean
  readonly maxPayloadBytes: number
  /** Absolute, in milliseconds: TCP, on whatever address. Default 10,000. */
  readonly connectMs?: number
  /** Absolute, in milliseconds, from the open socket: TLS, and the answer of a proxy. */
  readonly tlsMs: number
  /** The socket stands, TLS and proxies included: which way it took, and for how long. */
  dialed?(path: DialPath): void
}

/** The dialer gives up so many milliseconds before the chart would: it knows what became of every address. */
const LEAD_MS = 20

/** One of `opened` and `failed` is called, unless the returned function cancels first. */
export const dialTarget = (options: DialedOptions, on: Pick<Dial, 'connected' | 'opened' | 'failed'>): (() => void) => {
  const { target, addresses, proxy, clock, publicOnly = false, connectMs = CONNECT_MS, tlsMs } = options
  const { host: _, ...route } = routeTo(target.url, { proxy, clock, layerMs: tlsMs, ...(target.tls && target) })
  return dial({
    ...route,
    ...on,
    addresses,
    clock,
    publicOnly: publicOnly && !proxy,
    withinMs: Math.max(1, connectMs - LEAD_MS),
  })
}
