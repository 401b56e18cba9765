/** Opens whatever a target asks for: the one place that knows which transports there are. */
import { openHttp } from './http.ts'
import { openTcp } from './tcp.ts'
import type { OpenTransport } from './transport.ts'
import { openWebSocket, type WebSocketOptions } from './websocket.ts'

export const openTransport = (options: WebSocketOptions): OpenTransport => {
  const { url, transport } = options.target
  if (transport) return transport
  if (/^(?:tcp|tls):/.test(url)) return openTcp(options)
  return /^https?:/.test(url) ? openHttp(options) : openWebSocket(options)
}
