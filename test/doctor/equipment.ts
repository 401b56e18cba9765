/** Peers for one test each: what test/lab and test/transport do not have. */
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { pem, switching } from '../transport/servers.ts'

const cleanups: (() => Promise<void>)[] = []

/** For afterEach or afterAll: ends all that was started here. */
export const endAll = async (): Promise<void> => {
  for (const end of cleanups.splice(0)) await end()
}

const listen = async (server: Server): Promise<number> => {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(
    () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  )
  return (server.address() as AddressInfo).port
}

export const httpServer = (answer: RequestListener): Promise<number> => listen(createHttpServer(answer))

export const httpsServer = (certificate: Parameters<typeof pem>[0], answer: RequestListener): Promise<number> =>
  listen(createHttpsServer({ key: pem('key'), cert: pem(certificate) }, answer))

/** Upgrades by hand, with more headers than a WebSocket server sends by itself. */
export const switchingWith = (request: string, headers: Readonly<Record<string, string>>): string => {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return switching(request).replace(/\r\n$/, `${lines.join('')}\r\n`)
}

/** A proxy that opens tunnels for whoever knows the password; `seen` are the places that were asked for. */
export const connectProxy = async (password?: string): Promise<{ readonly port: number; readonly seen: string[] }> => {
  const seen: string[] = []
  const server = createHttpServer()
  server.on('connect', (request, client: Socket) => {
    seen.push(request.url ?? '')
    const shown = Buffer.from(request.headers['proxy-authorization']?.split(' ')[1] ?? '', 'base64').toString()
    if (password !== undefined && shown !== `user:${password}`) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
      return
    }
    const [host, port] = (request.url ?? '').split(':')
    const far = connect({ host: host ?? '', port: Number(port) }, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      far.pipe(client).pipe(far)
    })
    far.on('error', () => client.destroy())
    client.on('error', () => far.destroy()).on('close', () => far.destroy())
  })
  return { port: await listen(server), seen }
}

const OP = { PING: 1, PONG: 2, IDENTIFY: 3, READY: 4 } as const

/** As much of a Satori server as a handshake and heartbeats need. */
export const satoriServer = async (token: string): Promise<number> => {
  const http = createHttpServer()
  const sockets = new WebSocketServer({ server: http, path: '/v1/events' })
  sockets.on('connection', (socket: WebSocket) => {
    socket.on('message', (data) => {
      const { op, body } = JSON.parse(data.toString()) as { op: number; body?: { token?: string } }
      if (op === OP.PING) socket.send(JSON.stringify({ op: OP.PONG }))
      if (op !== OP.IDENTIFY) return
      if (body?.token === token) socket.send(JSON.stringify({ op: OP.READY, body: { logins: [] } }))
      else socket.close(4004, 'invalid token')
    })
  })
  return listen(http)
}

/** MaiBot's core, as far as its door: it lets everybody in, and closes at once on those without the token. */
export const maimCore = async (token: string): Promise<{ url: string; platforms: unknown[] }> => {
  const http = createHttpServer()
  const platforms: unknown[] = []
  new WebSocketServer({ server: http, path: '/ws' }).on('connection', (socket, { headers }) => {
    if (headers.authorization !== token) socket.close(1008, '无效的令牌')
    else platforms.push(headers.platform)
  })
  return { url: `ws://127.0.0.1:${await listen(http)}/ws`, platforms }
}
