/** Opens whatever a target asks for: the one place that knows which transports there are. */
import { openHttp } from './http.ts'
import { joined } from './joined.ts'
import { openTcp } from './tcp.ts'
import type { OpenTransport } from './transport.ts'
import { openWebSocket, type WebSocketOptions } from './websocket.ts'

export const openTransport = (options: WebSocketOptions): OpenTransport => {
  const { url, transport, posts } = options.target
  if (transport) return transport
  if (/^(?:tcp|tls):/.test(url)) return openTcp(options)
  const dialed = /^https?:/.test(url) ? openHttp(options) : openWebSocket(options)
  return posts ? joined(dialed, posts) : dialed
}
