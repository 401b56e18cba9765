/** Proxies on loopback that take every name for 127.0.0.1, and do what they are told. */
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { pem } from '../transport/servers.ts'
import { atEnd, owned } from './loopback.ts'

export interface TestProxy {
  readonly port: number
  /** What was asked for: `host:port`, and the credentials that came with it. */
  readonly asked: string[]
  /** Connections that are open at the proxy. */
  readonly open: ReadonlySet<Socket>
}

const opened = async (server: Server, asked: string[]): Promise<TestProxy> => {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(owned(socket))
    socket.on('close', () => open.delete(socket))
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, asked, open }
}

const pipe = (from: Socket, port: number, ready: (upstream: Socket) => void): void => {
  const upstream = owned(connect(port, '127.0.0.1'))
  upstream.on('connect', () => {
    ready(upstream)
    upstream.pipe(from).pipe(upstream)
  })
  upstream.on('close', () => from.destroy())
  from.on('close', () => upstream.destroy())
}

/** How a proxy answers CONNECT: a tunnel, a status line with headers, silence, or a reset. */
export type Manner = 'tunnel' | 'silence' | 'reset' | `${number}${string}`

export const httpProxy = async (manner: Manner = 'tunnel', secure = false): Promise<TestProxy> => {
  const asked: string[] = []
  const http = createServer((_request, response) => response.writeHead(400).end())
  http.on('connect', ({ url = '', headers }: IncomingMessage, stream) => {
    const socket = owned(stream as Socket)
    asked.push([url, headers['proxy-authorization']].filter(Boolean).join(' '))
    if (manner === 'reset') return void (socket.resetAndDestroy?.() ?? socket.destroy())
    // a server of HTTP keeps its half open otherwise
    if (manner === 'silence') return void socket.resume().on('end', () => socket.destroy())
    if (manner !== 'tunnel') return void socket.end(`HTTP/1.1 ${manner}\r\n\r\n`)
    pipe(socket, Number(url.split(':').at(-1)), () => socket.write('HTTP/1.1 200 Connection established\r\n\r\n'))
  })
  if (!secure) return opened(http, asked)
  const tls = createTlsServer({ key: pem('key'), cert: pem('localhost') }, (socket) => http.emit('connection', socket))
  return opened(tls, asked)
}

/** SOCKS5, RFC 1928 and 1929. `reply` is the code of its answer; with a password it insists on it. */
export const socksProxy = async (reply: number | 'silence' = 0, password?: string): Promise<TestProxy> => {
  const asked: string[] = []
  const server = createTcpServer((socket) => {
    const answer = (request: Buffer) => {
      const { host, port } = destinationOf(request)
      asked.push(`${host}:${port}`)
      if (reply === 'silence') return
      const line = Buffer.from([5, reply, 0, 1, 127, 0, 0, 1, 0, 0])
      if (reply !== 0) return void socket.end(line)
      pipe(socket, port, () => socket.write(line))
    }
    const greet = () => {
      if (password === undefined) {
        socket.write(Buffer.from([5, 0]))
        return void socket.once('data', answer)
      }
      socket.write(Buffer.from([5, 2]))
      socket.once('data', (given) => {
        const userLength = given[1]!
        const secret = given.toString('latin1', 3 + userLength)
        const isRight = secret === password
        asked.push(`${given.toString('latin1', 2, 2 + userLength)} ${isRight}`)
        socket.write(Buffer.from([1, isRight ? 0 : 1]))
        if (isRight) socket.once('data', answer)
      })
    }
    socket.once('data', greet)
  })
  return opened(server, asked)
}

const destinationOf = (request: Buffer): { host: string; port: number } => {
  const kind = request[3]
  if (kind === 1) return { host: [...request.subarray(4, 8)].join('.'), port: request.readUInt16BE(8) }
  const length = request[4]!
  return { host: request.toString('latin1', 5, 5 + length), port: request.readUInt16BE(5 + length) }
}
