/**
 * The fault server. Argument: { host, fixed, certificates }; with `fixed` each service has the port of its name below,
 * else one that is free. Prints { ports }. Orders: {"report": true} answers what has been accepted since the last one.
 *
 * echo and the TLS services speak HTTP and WebSocket, and the path says what goes wrong (upgrades.ts, requests.ts). The
 * others go wrong by themselves: they are for what happens before a path can be sent.
 */
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Certificate, Certificates } from '../certificates.ts'
import { argument, monotonicMs, obey, print } from './program.ts'
import { answerRequest } from './requests.ts'
import { answerUpgrade } from './upgrades.ts'

export const fixedPorts = {
  echo: 8080,
  tls: 8443,
  tlsWrongName: 8444,
  tlsExpired: 8445,
  tlsSelfSigned: 8446,
  /** Accepts and says nothing: a stalled upgrade, and as well a stalled TLS handshake. */
  stall: 7001,
  /** Accepts, and answers with RST or FIN: at once, or when the first bytes have come. */
  rst: 7002,
  fin: 7003,
  rstOnData: 7004,
  finOnData: 7005,
  /** Not HTTP. */
  garbage: 7006,
  /** Closes an idle connection after 1 s and does not say so beforehand. */
  stale: 8092,
  status401: 9401,
  status403: 9403,
  status429: 9429,
  status503: 9503,
} as const

export type Service = keyof typeof fixedPorts
export type Ports = Readonly<Record<Service, number>>

export interface FaultsArgument {
  readonly host: string
  readonly fixed: boolean
  readonly certificates?: Omit<Certificates, 'authorityFile'>
}

export interface Accepted {
  readonly atMs: number
  readonly service: Service
  /** Of the server's side: which of its addresses was dialed. */
  readonly address: string
}

const STALE_AFTER_MS = 1_000
const { host, fixed, certificates } = argument<FaultsArgument>()
let accepted: Accepted[] = []

const speaking = (server: HttpServer, path?: string): HttpServer => {
  server.keepAliveTimeout = 60_000
  server.on('request', (request, response) => answerRequest(path ?? request.url ?? '/', request, response))
  server.on('upgrade', (request, socket: Socket, head) => {
    socket.on('error', () => undefined)
    answerUpgrade(path ?? request.url ?? '/', request, socket, head)
  })
  return server
}

const overTls = ({ cert, key }: Certificate): HttpServer =>
  speaking(createHttpsServer({ cert, key, ALPNProtocols: ['http/1.1'] }).on('tlsClientError', () => undefined))

const status = (path: string): HttpServer => speaking(createHttpServer(), path)

const raw = (accept: (socket: Socket) => void): Server =>
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    accept(socket)
  })

const onData = (run: (socket: Socket) => void) => raw((socket) => socket.once('data', () => run(socket)))

const stale = (): HttpServer => {
  // Node's own keepAliveTimeout also sends a hint about it, and the hint is what makes it harmless.
  const server = createHttpServer((request, response) => {
    clearTimeout(idle.get(request.socket))
    response.shouldKeepAlive = true
    response.setHeader('connection', 'keep-alive')
    request.resume().once('end', () => response.end('{"ok":true}'))
    response.once('finish', () => {
      idle.set(
        request.socket,
        setTimeout(() => request.socket.end(), STALE_AFTER_MS),
      )
    })
  })
  server.keepAliveTimeout = 0
  return server
}
const idle = new WeakMap<Socket, NodeJS.Timeout>()

const services: Partial<Record<Service, Server>> = {
  echo: speaking(createHttpServer()),
  ...(certificates && {
    tls: overTls(certificates.good),
    tlsWrongName: overTls(certificates.wrongName),
    tlsExpired: overTls(certificates.expired),
    tlsSelfSigned: overTls(certificates.selfSigned),
  }),
  stall: raw((socket) => socket.resume()),
  rst: raw((socket) => socket.resetAndDestroy()),
  fin: raw((socket) => socket.end()),
  rstOnData: onData((socket) => socket.resetAndDestroy()),
  finOnData: onData((socket) => socket.end()),
  garbage: onData((socket) => socket.end('this is not HTTP\r\n\r\n')),
  stale: stale(),
  status401: status('/status/401'),
  status403: status('/status/403'),
  status429: status('/status/429?retry-after=7'),
  status503: status('/status/503?retry-after=3'),
}

const listen = (service: Service, server: Server): Promise<[Service, number]> =>
  new Promise((resolve, reject) => {
    server.on('connection', ({ localAddress = '' }: Socket) => {
      accepted.push({ atMs: monotonicMs(), service, address: localAddress.replace('::ffff:', '') })
    })
    server.once('error', reject)
    server.listen({ host, port: fixed ? fixedPorts[service] : 0, backlog: 1024 }, () => {
      resolve([service, (server.address() as AddressInfo).port])
    })
  })

const listening = Object.entries(services).map(([service, server]) => listen(service as Service, server))
print({ ports: Object.fromEntries(await Promise.all(listening)) })

obey((_order: { report: true }) => {
  const report = accepted
  accepted = []
  return report
})
