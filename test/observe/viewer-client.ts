/** A viewer for tests: says the token, keeps what it hears. */
import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { ServerMessage, ViewerMessage } from '../../src/observe/inspect/protocol.ts'

export interface Client {
  readonly socket: WebSocket
  readonly heard: ServerMessage[]
  /** All that came, in bytes. */
  readonly bytes: () => number
  /** As text, or as it is. */
  say(message: ViewerMessage | string | Buffer): void
  /** Resolves to the first message, from now or before, for which it is true. */
  until<T extends ServerMessage['t']>(
    t: T,
    holds?: (message: Extract<ServerMessage, { t: T }>) => boolean,
  ): Promise<Extract<ServerMessage, { t: T }>>
  readonly closed: Promise<{ code: number; reason: string }>
}

export const tokenOf = (url: string): string => new URLSearchParams(new URL(url).hash.slice(1)).get('token')!

export const connectClient = async (url: string, token: string | null = tokenOf(url)): Promise<Client> => {
  const { origin, host, pathname } = new URL(url)
  const socket = new WebSocket(`ws://${host}${pathname}stream`, { origin })
  const heard: ServerMessage[] = []
  let bytes = 0
  const waiting = new Set<() => void>()
  socket.on('message', (data) => {
    bytes += (data as Buffer).length
    heard.push(JSON.parse(String(data)))
    for (const look of waiting) look()
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  socket.on('error', () => undefined)
  await once(socket, 'open')
  const client: Client = {
    socket,
    heard,
    bytes: () => bytes,
    closed,
    say: (message) =>
      socket.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message)),
    until: (t, holds = () => true) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = heard.find((message) => message.t === t && holds(message as never))
          if (!found) return
          waiting.delete(look)
          resolve(found as never)
        }
        waiting.add(look)
        void closed.then(({ code }) => reject(new Error(`closed with ${code} before ${t}`)))
        look()
      }),
  }
  if (token !== null) client.say({ t: 'auth', token })
  return client
}
