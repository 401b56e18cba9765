/**
 * Twelve canaries, each in a place of its own where people put secrets, and a peer that tells each of them back in a form
 * of its own. They are tokens that nobody else has, so whoever shows one has shown a secret.
 */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

const canary = (name: string): string => `canary-${name}+/=&9Zq`

export const canaries = {
  token: canary('token'),
  user: canary('user'),
  password: canary('password'),
  path: canary('path').replaceAll(/[^\w-]/g, '-'),
  encoded: canary('encoded'),
  base64: canary('base64'),
  base64url: canary('base64url'),
  form: canary('form'),
  key: canary('key'),
  chunks: canary('chunks'),
  proxyUser: canary('proxy-user'),
  proxyPassword: canary('proxy-pass'),
} as const

export type Place = keyof typeof canaries

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** How the peer tells it back. What is not here it says as it is. */
const tellings: Partial<Record<Place, (secret: string) => string>> = {
  token: (secret) => `your header was Bearer ${secret}`,
  user: (secret) => base64(`${secret}:${canaries.password}`),
  path: (secret) => `/bot123:${secret}/`,
  encoded: encodeURIComponent,
  base64,
  base64url: (secret) => Buffer.from(secret).toString('base64url'),
  form: (secret) => `${new URLSearchParams({ q: secret })}`,
  key: (secret) => JSON.stringify({ [secret]: 1 }),
}

const direct = (Object.keys(canaries) as Place[]).filter((place) => !place.startsWith('proxy'))

/** All forms in which somebody could still read one. */
export const formsOf = (secret: string): readonly string[] => [
  secret,
  secret.slice(0, -4),
  encodeURIComponent(secret),
  base64(secret),
  Buffer.from(secret).toString('base64url'),
  JSON.stringify(secret).slice(1, -1),
]

export interface Parrot {
  readonly url: string
  readonly token: string
  /** A proxy that tells back whom it heard, and lets nobody through. */
  readonly proxy: string
  /** How many of its twelve it has told. */
  readonly told: () => number
  close(): Promise<void>
}

/** Welcomes, refuses each call with a canary in its words, and closes with the same in its reason; each time the next one. */
export const startParrot = async (): Promise<Parrot> => {
  const told = new Set<Place>()
  let turn = 0
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  server.on('connection', (socket) => {
    const place = direct[turn++ % direct.length]!
    const words = (tellings[place] ?? String)(canaries[place])
    socket.send(JSON.stringify({ post_type: 'meta_event', meta_event_type: 'lifecycle' }))
    socket.on('message', (raw: Buffer) => {
      const { action, echo } = JSON.parse(String(raw))
      if (action === 'bye') socket.close(4000, words.slice(0, 120))
      else sendInPieces(socket, JSON.stringify({ status: 'failed', retcode: 100, wording: words, echo }), words)
      told.add(place)
    })
  })
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const proxy = createServer((socket) => refuse(socket, () => told.add('proxyUser').add('proxyPassword')))
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const { port: proxyPort } = proxy.address() as { port: number }

  const encoded = (place: Place) => encodeURIComponent(canaries[place])
  const query = (['encoded', 'base64', 'base64url', 'form', 'key', 'chunks'] as const).map(
    (place) => `${place}=${encoded(place)}`,
  )
  return {
    url: `ws://${encoded('user')}:${encoded('password')}@127.0.0.1:${port}/bot123:${canaries.path}/?${query.join('&')}`,
    token: canaries.token,
    proxy: `http://${encoded('proxyUser')}:${encoded('proxyPassword')}@127.0.0.1:${proxyPort}`,
    told: () => told.size,
    close: async () => {
      for (const client of server.clients) client.terminate()
      await Promise.all([server, proxy].map((each) => new Promise((resolve) => each.close(resolve))))
    },
  }
}

/** Each piece a frame of the WebSocket of its own, and the secret torn between two of them. */
const sendInPieces = (socket: WebSocket, text: string, words: string): void => {
  const at = text.indexOf(JSON.stringify(words).slice(1, -1)) + 9
  socket.send(text.slice(0, at), { fin: false })
  socket.send(text.slice(at), { fin: true })
}

const refuse = (socket: Socket, heard: () => void): void => {
  socket.on('error', () => undefined)
  socket.once('data', (head) => {
    const basic = /authorization: basic (\S+)/i.exec(String(head))?.[1] ?? ''
    const [user, password] = Buffer.from(basic, 'base64').toString().split(':')
    if (user === canaries.proxyUser && password === canaries.proxyPassword) heard()
    socket.end(`HTTP/1.1 407 not ${user} with ${password} nor ${basic}\r\nContent-Length: 0\r\n\r\n`)
  })
}
