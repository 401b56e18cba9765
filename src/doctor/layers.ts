/** The layers in the order of the descent, and what a report holds of each. */
import type { DialersLayer } from './dialers.ts'
import type { DnsLayer } from './dns.ts'
import type { HandshakeLayer } from './handshake.ts'
import type { HeartbeatsLayer } from './heartbeats.ts'
import type { ProxyLayer } from './proxy.ts'
import type { TcpLayer } from './tcp.ts'
import type { TlsLayer } from './tls.ts'
import type { UpgradeLayer } from './upgrade.ts'

export const layerNames = ['dns', 'tcp', 'dialers', 'proxy', 'tls', 'upgrade', 'handshake', 'heartbeats'] as const

export type LayerName = (typeof layerNames)[number]

export type Examined =
  | DnsLayer
  | TcpLayer
  | DialersLayer
  | ProxyLayer
  | TlsLayer
  | UpgradeLayer
  | HandshakeLayer
  | HeartbeatsLayer

/** A layer that nothing is known of. */
export interface Skipped {
  readonly name: LayerName
  readonly ok: null
  readonly ms: null
  /** `not-reached`: one before it failed. `not-needed`: this way has no such layer. `not-asked`: no adapter was named. */
  readonly skipped: 'not-reached' | 'not-needed' | 'not-asked'
}

export type Layer = Examined | Skipped

/** The layers of which something is known, by name. */
export type Known = { readonly [N in LayerName]?: Extract<Examined, { name: N }> }

export const knownOf = (layers: readonly Layer[]): Known =>
  Object.fromEntries(layers.filter(({ ok }) => ok !== null).map((layer) => [layer.name, layer]))
