/** The fourth layer: the proxy that a link would use for this URL, and whether it opens a tunnel. */
import type { Fault } from '../../machines/fault.ts'
import { textOf } from '../error.ts'
import { type ProxyServer, proxyFor } from '../net/proxy.ts'
import { isReached, type Reach, reach } from './reach.ts'

export interface ProxyLayer {
  readonly name: 'proxy'
  readonly ok: boolean
  readonly ms: number
  /** `10.0.0.1:3128`; null if what names the proxy cannot be read. */
  readonly proxy: string | null
  readonly kind: ProxyServer['kind'] | null
  readonly fault: Fault | null
}

/** The proxy for a URL, none, or why what the environment says of it cannot be used. */
export const findProxy = (
  url: string,
  option: string | false | undefined,
): ProxyServer | undefined | { why: string } => {
  try {
    return proxyFor(url, option)
  } catch (error) {
    return { why: error instanceof Error ? error.message : textOf(error) }
  }
}

const PROXY_MS = 6_000

export const tryProxy = async (way: Reach & { readonly proxy: ProxyServer }): Promise<ProxyLayer> => {
  const { time, proxy } = way
  const startedAt = time.now()
  const result = await reach(way, PROXY_MS)
  const ok = isReached(result)
  if (ok) result.socket.destroy()
  return {
    name: 'proxy',
    ok,
    ms: time.since(startedAt),
    proxy: proxy.name,
    kind: proxy.kind,
    fault: ok ? null : result,
  }
}

/** The environment names something that is no proxy. */
export const unusableProxy = (why: string): ProxyLayer => ({
  name: 'proxy',
  ok: false,
  ms: 0,
  proxy: null,
  kind: null,
  fault: { code: 'provider-failed', detail: why },
})
