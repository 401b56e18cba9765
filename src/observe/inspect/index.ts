/**
 * holdfast/inspect: a page in the browser that shows every link as it lives. It watches and never influences, unless
 * `control` is given.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { describe, refuseUnknown } from '../../adapter/adapter.ts'
import { type Clock, realClock } from '../../clock.ts'
import { HoldfastError } from '../../error.ts'
import { tokenCheck } from '../../secret.ts'
import type { Links } from '../each-link.ts'
import { Board } from './board.ts'
import { bracketed, checkHosts, gate } from './gate.ts'
import { type LabPort, obeyer } from './obey.ts'
import { answer, page } from './page.ts'
import { CLOSE, MESSAGE_BYTES_MAX, STREAM, TOKEN_KEY, VIEWERS_MAX } from './protocol.ts'
import { Viewer, type ViewerSocket } from './viewer.ts'

export type { Fleet } from '../../fleet.ts'
export { type XStateInspectionEvent, xstateInspection } from '../../inspection.ts'
export type { Link } from '../../link.ts'
export type { Links } from '../each-link.ts'
export type { LabPort } from './obey.ts'
export type { ViewerSocket } from './viewer.ts'

export interface InspectOptions {
  /** Where to listen; 0, the default, lets the system choose. False: not at all, `handler` and `upgrade` are mounted. */
  readonly port?: number | false
  /** The address to listen to. Default 127.0.0.1: only programs on this machine come in. */
  readonly host?: string
  /** Lets viewers retry, hold, resume and stop links. Default false. */
  readonly control?: boolean
  /** Further names that a browser may use for this server: those of a proxy in front of it, or of a server it is mounted in. */
  readonly allowedHosts?: readonly string[]
  /** What is before `/` and `/stream` in the URLs that `handler` and `upgrade` get. Default `/`. */
  readonly path?: string
  /** Faults that a viewer may order from a peer of your own, if there is `control`: never from a real one. */
  readonly lab?: LabPort
  /** Time. Default: the real one. */
  readonly clock?: Clock
}

export interface Inspector extends AsyncDisposable {
  /** Open this in a browser. It holds the token; of a mounted inspector it is the part behind the host. */
  readonly url: string
  /** For a server of your own: `server.on('request', …)`, or `app.use(…)` below a path. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void
  /** For a server of your own: `server.on('upgrade', …)`. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** For a server that upgrades by itself and hands out WebSockets of `ws`: Koishi's `server.ws('/inspect/stream', …)`. */
  readonly connection: (socket: ViewerSocket, request: IncomingMessage) => void
  /** Sends the viewers away and ends the server. */
  close(): Promise<void>
}

const TOKEN_BYTES = 16
const GONE = 1001

/**
 * Starts an inspector of a fleet, or of some links. It does not keep the process alive. Rejects with HoldfastError
 * `bad-option` for a wrong option, and with the system's error if it cannot listen.
 */
export const inspect = async (links: Links, options: InspectOptions = {}): Promise<Inspector> => {
  const { port, host, path, control, allowedHosts, lab, clock } = checkOptions(links, options)
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const board = new Board(links, clock)
  const { admits, admitsStream } = gate(host, allowedHosts)
  const files = page()
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_BYTES_MAX, clientTracking: false })
  const viewers = new Set<Viewer>()
  let isClosed = false
  const ports = {
    board,
    clock,
    control,
    labFaults: control && lab ? lab.faults : [],
    labLink: control ? lab?.link : undefined,
    isToken: tokenCheck(token),
    obey: obeyer(board, control, lab),
  }

  /** What is behind `path`, without the query; undefined for what is elsewhere. */
  const nameOf = (request: IncomingMessage & { originalUrl?: string }): string | undefined => {
    // Express cuts off what a handler is mounted below, and keeps the whole beside it
    const { url = '', originalUrl = url } = request
    const pathname = originalUrl.replace(/[?#].*$/s, '')
    return pathname.startsWith(path) ? pathname.slice(path.length) : undefined
  }

  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    const { method } = request
    if (!admits(request)) answer(response, 403, 'Not under this name.\n')
    else if (method !== 'GET' && method !== 'HEAD') answer(response, 405, 'Only GET.\n')
    else files(nameOf(request), response, method === 'GET')
  }

  /** Why there is no stream for this request. */
  const refusalOf = (request: IncomingMessage): string | undefined => {
    if (!admitsStream(request)) return '403 Forbidden'
    if (nameOf(request) !== STREAM) return '404 Not Found'
    return isClosed || viewers.size >= VIEWERS_MAX ? '503 Service Unavailable' : undefined
  }

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy())
    const refusal = refusalOf(request)
    if (refusal !== undefined) {
      // whoever does not hang up must not keep a socket of ours
      socket.once('finish', () => socket.destroy())
      socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => admit(webSocket, request))
  }

  const connection = (socket: ViewerSocket, request: IncomingMessage): void => {
    const refusal = refusalOf(request)
    if (refusal === undefined) admit(socket, request)
    else socket.close(CLOSE.unauthorized, refusal)
  }

  const admit = (socket: ViewerSocket, request: IncomingMessage): void => {
    // a viewer whose machine has gone must not keep its place
    request.socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const viewer = new Viewer(socket, ports)
    viewers.add(viewer)
    socket.on('close', () => viewers.delete(viewer))
  }

  const server = port === false ? undefined : await listen(port, host, handler, upgrade)
  const fragment = `#${TOKEN_KEY}=${token}`
  const close = async (): Promise<void> => {
    isClosed = true
    for (const viewer of viewers) viewer.end(GONE, 'the inspector was closed')
    if (!server) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    await closed
  }
  return {
    url: server
      ? `http://${bracketed(host)}:${(server.address() as AddressInfo).port}${path}${fragment}`
      : path + fragment,
    handler,
    upgrade,
    connection,
    close,
    [Symbol.asyncDispose]: close,
  }
}

const KEEP_ALIVE_MS = 10_000

const listen = (
  port: number,
  host: string,
  handler: Inspector['handler'],
  upgrade: Inspector['upgrade'],
): Promise<Server> =>
  new Promise((resolve, reject) => {
    // a request without a name is for us to refuse
    const server = createServer({ requireHostHeader: false }, handler)
    server.on('upgrade', upgrade)
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject).on('error', () => undefined)
      server.unref()
      resolve(server)
    })
  })

const LOOPBACK = /^127\.\d+\.\d+\.\d+$|^::1$|^localhost$/

const OPTIONS = ['port', 'host', 'control', 'allowedHosts', 'path', 'lab', 'clock'] as const

const checkOptions = (links: Links, options: InspectOptions) => {
  refuseUnknown(options, OPTIONS, 'options of inspect()')
  const { port = 0, host = '127.0.0.1', control = false, path = '/', lab, clock = realClock } = options
  if (typeof links?.[Symbol.iterator] !== 'function') throw wrong('links', links, 'a fleet, or a list of links')
  if (port !== false && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    throw wrong('port', port, 'a port, 0 for any, or false')
  }
  if (typeof host !== 'string' || (isIP(host) === 0 && host !== 'localhost')) throw wrong('host', host, 'an IP address')
  if (typeof control !== 'boolean') throw wrong('control', control, 'true or false')
  if (typeof path !== 'string' || !/^\/([\w.~-]+\/)*$/.test(path))
    throw wrong('path', path, 'a path such as "/inspect/"')
  if (lab !== undefined && (!Array.isArray(lab?.faults) || typeof lab.play !== 'function')) {
    throw wrong('lab', lab, 'an object with a list "faults" and a function "play"')
  }
  if (!LOOPBACK.test(host)) {
    const who = 'everybody who can reach this machine can try the token, and it crosses the network in the clear'
    process.emitWarning(`The inspector listens to ${host}: ${who}.`, 'HoldfastWarning')
  }
  return { port, host, control, path, lab, clock, allowedHosts: checkHosts(options.allowedHosts) }
}

const wrong = (name: string, got: unknown, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `inspect(): ${name} is ${describe(got)}; it must be ${wants}.`)
