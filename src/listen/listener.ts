/**
 * holdfast/listen: the port at which peers arrive that dial us. Many links wait behind one port, each at a berth of its
 * own; who comes is let in by path, token and identity, before anything of the upgrade is answered.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { checkToken, describe, refuseUnknown } from '../adapter/adapter.ts'
import type { Berth, Listener, WebhookTerms, WebSocketTerms } from '../berth.ts'
import { type Clock, realClock } from '../clock.ts'
import { HoldfastError } from '../error.ts'
import { CONNECT_MS } from '../net/dial.ts'
import { type Secret, tokenCheck } from '../secret.ts'
import { Arrival, NOT_READY } from './arrival.ts'
import { type Caller, callerOf, type Refusal, refuseUpgrade } from './caller.ts'
import { Door } from './door.ts'
import { Port } from './port.ts'
import { readBody, refusePost } from './post.ts'
import type { Moored, Quay } from './quay.ts'
import { WebhookBerth } from './webhook-berth.ts'
import { WebSocketBerth } from './websocket-berth.ts'

export type { Berth, BerthTerms, CallerHeaders, Listener, WebhookTerms, WebSocketTerms } from '../berth.ts'
export { tokenCheck } from '../secret.ts'

export interface ListenerOptions {
  /** 0 lets the system choose one, which is kept as long as the listener lives. Needed unless there is a `server`. */
  readonly port?: number
  /** Default `127.0.0.1`: this machine alone. For another one each berth needs a token. */
  readonly host?: string
  /** A server of your own, also one of node:https; its other paths stay yours. It is neither opened nor closed. */
  readonly server?: Server
  /** For berths that have none of their own. */
  readonly token?: string | Secret
  /** Whether a token in the query (`?access_token=`) counts. Default false: queries end up in logs. */
  readonly queryToken?: boolean
  /** A bigger frame ends the transport. Default 16 MiB. */
  readonly maxPayloadBytes?: number
  /** A request that takes longer is cut, in milliseconds. Default 10,000. */
  readonly requestMs?: number
  /** So long one attempt of a link waits for its peer, in milliseconds. Default 9,900, just below the link's deadline. */
  readonly waitMs?: number
  /** So long a peer is kept whose link is between two attempts, in milliseconds. Default 10,000. */
  readonly keepMs?: number
  /** Time and dice. Default: the real ones. */
  readonly clock?: Clock
}

const KNOWN = [
  ...['port', 'host', 'server', 'token', 'queryToken', 'maxPayloadBytes'],
  ...['requestMs', 'waitMs', 'keepMs', 'clock'],
]

const LEAD_MS = 100

/**
 * Makes a listener. Its port opens when the first link waits and closes when the last one has stopped; a port that cannot
 * be opened is a fault of the waiting links (`listener-failed`), and each further attempt tries it again.
 * Throws HoldfastError `bad-option` at once for options that cannot work.
 */
export const listener = (options: ListenerOptions): Listener => new PeerListener(options)

class PeerListener implements Listener, Quay {
  readonly clock: Clock
  readonly waitMs: number
  readonly keepMs: number
  readonly upgrades: WebSocketServer
  readonly #options: ListenerOptions
  readonly #token: string | undefined
  readonly #requestMs: number
  readonly #port: Port
  readonly #door: Door
  /** With how many wait at each, between attempts or in one. */
  readonly #berths = new Map<Moored, number>()
  #posts = 0

  constructor(options: ListenerOptions) {
    const { host, requestMs } = checkOptions(options)
    this.#options = options
    this.#requestMs = requestMs
    this.#token = options.token === undefined ? undefined : checkToken(options.token, 'listener({ token })')
    this.clock = options.clock ?? realClock
    this.waitMs = options.waitMs ?? CONNECT_MS - LEAD_MS
    this.keepMs = options.keepMs ?? 10_000
    this.#door = new Door(this.clock)
    this.upgrades = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.maxPayloadBytes ?? 16 * 1024 * 1024,
    })
    this.#port = new Port(
      { port: options.port ?? 0, host, server: options.server, requestMs },
      {
        isOurs: (request) => this.#isKnown(this.#callerOf(request).path),
        upgrade: (request, socket, head) => this.#upgrade(request, socket, head),
        request: (request, response) => void this.#answer(request, response),
        opened: () => this.#tell((berth) => berth.opened()),
        failed: (fault) => this.#tell((berth) => berth.fail(fault)),
      },
    )
  }

  get port(): number {
    return this.#port.port
  }

  webSocket(terms: WebSocketTerms): Berth {
    const token = terms.token === undefined ? this.#token : checkToken(terms.token, 'the token of a berth')
    checkPath(terms.path)
    if (token === undefined && !this.#isPrivate) {
      const fix = 'Give a token to it or to the listener, or leave `host` out.'
      throw new HoldfastError(
        'bad-option',
        `Other machines can reach this listener, and the berth has no token. ${fix}`,
      )
    }
    return new WebSocketBerth(terms, token === undefined ? () => true : tokenCheck(token), this)
  }

  webhook(terms: WebhookTerms): Berth {
    checkPath(terms.path)
    if (typeof terms.verify !== 'function') {
      throw new HoldfastError('bad-option', `verify of a webhook is ${describe(terms.verify)}; it must be a function.`)
    }
    return new WebhookBerth(terms, this)
  }

  get isOpen(): boolean {
    return this.#port.isOpen
  }

  absence(): string {
    return `nobody came to ${this.#port.name} within ${this.waitMs} ms`
  }

  attend(berth: Moored): () => void {
    this.#berths.set(berth, (this.#berths.get(berth) ?? 0) + 1)
    this.#port.open()
    let isHere = true
    return () => {
      if (isHere) this.#leave(berth)
      isHere = false
    }
  }

  #leave(berth: Moored): void {
    const others = (this.#berths.get(berth) ?? 0) - 1
    if (others > 0) this.#berths.set(berth, others)
    else {
      this.#berths.delete(berth)
      berth.close()
    }
    if (this.#berths.size === 0) this.#port.close()
  }

  get #isPrivate(): boolean {
    const { server, host = LOOPBACK } = this.#options
    return server === undefined && (host === LOOPBACK || host === '::1' || host === 'localhost')
  }

  #tell(tell: (berth: Moored) => void): void {
    for (const berth of [...this.#berths.keys()]) tell(berth)
  }

  #callerOf(request: IncomingMessage): Caller {
    return callerOf(request, this.#options.queryToken ?? false)
  }

  #at<B extends Moored>(path: string, kind: abstract new (...given: never[]) => B): B[] {
    const here = [...this.#berths.keys()].filter(({ terms }) => (terms.path ?? '/') === path)
    return here.filter((berth): berth is B => berth instanceof kind)
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const caller = this.#callerOf(request)
    const found = isUpgrade(request) ? this.#door.admit(caller, this.#at(caller.path, WebSocketBerth)) : NO_UPGRADE
    if ('status' in found) refuseUpgrade(socket, found)
    else found.berth.arrive(new Arrival(found.identity, request, socket, head))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined)
    this.#posts++
    const refusal = await this.#take(request)
    this.#posts--
    if (refusal) refusePost(request, response, refusal)
    else response.writeHead(204).end()
  }

  /** Undefined if it was taken, or its sender has left. */
  async #take(request: IncomingMessage): Promise<Refusal | undefined> {
    const caller = this.#callerOf(request)
    const here = this.#at(caller.path, WebhookBerth)
    if (here.length === 0 && this.#isKnown(caller.path)) return UPGRADE_NEEDED
    if (here.length > 0 && request.method !== 'POST') return { status: 405, reason: 'only POST is taken here' }
    const found = this.#door.admit(caller, here)
    if ('status' in found) return found
    if (!found.berth.isReady || this.#posts > POSTS_MAX) return NOT_READY
    const bounds = { clock: this.clock, withinMs: this.#requestMs, bytesMax: found.berth.bytesMax }
    const body = await readBody(request, bounds)
    if (body === undefined) return undefined
    const refusal = 'status' in body ? body : found.berth.take(caller.headers, body)
    return refusal && found.reject(refusal)
  }

  #isKnown(path: string): boolean {
    return this.#at(path, WebSocketBerth).length + this.#at(path, WebhookBerth).length > 0
  }
}

/** So many posts are read at a time; the sender of one more is asked to come again. */
const POSTS_MAX = 64
const UPGRADE_NEEDED: Refusal = { status: 426, reason: 'a WebSocket is awaited here' }
const LOOPBACK = '127.0.0.1'
const NO_UPGRADE: Refusal = { status: 400, reason: 'this is no upgrade to a WebSocket' }
const PATH = /^\/[\w!$%&'()*+,./:;=@~-]*$/
/** RFC 6455, section 4.2.1: what ws would refuse only when a link has begun to rely on it. */
const KEY = /^[+/0-9A-Za-z]{22}==$/

const isUpgrade = ({ method, headers }: IncomingMessage): boolean =>
  method === 'GET' &&
  headers.upgrade?.toLowerCase() === 'websocket' &&
  KEY.test(headers['sec-websocket-key'] ?? '') &&
  headers['sec-websocket-version'] === '13'

const checkPath = (path: unknown = '/'): void => {
  if (typeof path === 'string' && PATH.test(path) && !path.startsWith('//')) return
  throw new HoldfastError('bad-option', `A path is ${describe(path)}; it must be a text such as "/onebot".`)
}

const checkOptions = (options: ListenerOptions): { host: string; requestMs: number } => {
  refuseUnknown(options, KNOWN, 'options of listener()')
  const { port, host = LOOPBACK, server, requestMs = 10_000 } = options
  const isPort = Number.isInteger(port) && port! >= 0 && port! <= 65_535
  if (server === undefined ? !isPort : port !== undefined || options.host !== undefined) {
    const must = 'it needs a whole number from 0 to 65535, or a `server` and neither port nor host.'
    throw new HoldfastError('bad-option', `listener({ port }) is ${describe(port)}; ${must}`)
  }
  if (typeof host !== 'string' || host === '') {
    throw new HoldfastError('bad-option', `listener({ host }) is ${describe(host)}; it must be an address or a name.`)
  }
  for (const name of ['maxPayloadBytes', 'requestMs', 'waitMs', 'keepMs'] as const) {
    const value = options[name]
    if (value === undefined || (Number.isInteger(value) && value > 0)) continue
    throw new HoldfastError(
      'bad-option',
      `listener({ ${name} }) is ${describe(value)}; it must be a whole number above 0.`,
    )
  }
  return { host, requestMs }
}
