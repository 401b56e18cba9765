/** The way to a URL: whom to dial, and what is put on TCP until the socket can be used. */
import type { Target } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'
import type { Layer } from './attempt.ts'
import { type ProxyServer, tunnelLayer } from './proxy.ts'
import { hostOf, isSecure, portOf } from './resolve.ts'
import { tlsLayer } from './tls.ts'

/** The TLS handshake, and the proxy's answer: each so long, in milliseconds. */
export const LAYER_MS = 10_000

export interface RouteOptions {
  readonly proxy?: ProxyServer | undefined
  readonly tls?: Target['tls']
  readonly layerMs?: number
  readonly clock: Clock
}

/** For `dial`. */
export interface Route {
  /** Whose addresses are dialed: the proxy's if there is one. */
  readonly host: string
  readonly port: number
  readonly memory: string
  readonly via?: string
  readonly layers: readonly Layer[]
}

export const routeTo = (url: string, { proxy, tls, layerMs = LAYER_MS, clock }: RouteOptions): Route => {
  const to = { host: hostOf(url), port: portOf(url) }
  const secured = isSecure(url) ? [tlsLayer({ url, withinMs: layerMs, ...(tls && { tls }) })] : []
  if (!proxy) return { ...to, memory: `${to.host}:${to.port}`, layers: secured }
  const proxied = proxy.kind === 'https' ? [tlsLayer({ url: proxy.url, withinMs: layerMs })] : []
  const tunnel = tunnelLayer({ proxy, to, clock, withinMs: layerMs })
  const { host, port, name } = proxy
  return { host, port, memory: name, via: `proxy ${name}`, layers: [...proxied, tunnel, ...secured] }
}
