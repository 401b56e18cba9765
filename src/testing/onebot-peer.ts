/**
 * A fake OneBot v11 implementation: the side that NapCat or Lagrange plays, as a forward WebSocket server.
 *
 * It is test equipment, and it lives in real time: the lab runs it in a process of its own, where no virtual clock
 * reaches. So it uses node's timers directly, and `close()` leaves none of them behind, and no socket either.
 *
 * What it does *at the door* (refuse, drop, stall, close after the welcome) is judged when a client comes, and holds for
 * that connection. How it treats those who are inside (`silent`, `no-heartbeat`, `no-answers`) is judged at each moment,
 * so that a peer can fall silent in the middle of a good session. A client that was let in under `silent` was never
 * welcomed, and stays unanswered for ever.
 */

import { createServer, type IncomingMessage, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type RawData, WebSocket, WebSocketServer } from 'ws'

export type Behaviour =
  | 'healthy'
  /** Answer the upgrade request with this status instead of 101. 200 is a web page: a captive portal, a wrong port. */
  | { readonly refuse: 200 | 401 | 403 | 404 | 429 | 503; readonly retryAfter?: string }
  /** TCP is accepted and destroyed at once, as a container's port proxy does while the container is down. */
  | 'accept-and-drop'
  /** TCP is accepted, the upgrade request is read, and nothing is ever said. */
  | 'stall-upgrade'
  /** TCP is accepted, the upgrade request is read, and answered after so long. */
  | { readonly upgradeAfterMs: number }
  /** 101, and then nothing at all: no event, no answer, no pong, no answer to a close frame. */
  | 'silent'
  /** What NapCat does with a wrong token: 101, a frame with retcode 1403, a close frame without a code. */
  | 'napcat-1403'
  /** Welcomed, then closed with this code (1005: a close frame without one), or destroyed without a word. */
  | { readonly closeAfterWelcome: number | 'destroy'; readonly afterMs?: number }
  /** Everything works, but heartbeat events stop. */
  | 'no-heartbeat'
  /** Events and heartbeats go on, but no action is answered: alive in one direction only. */
  | 'no-answers'

/** With this close code, without a close frame, or with a reset of TCP. */
export type Dismissal = number | 'destroy' | 'reset'

/** One thing that happened at the peer. `connection` numbers the WebSockets from 1, in the order of their upgrades. */
export type PeerRecord = { readonly at: number } & (
  | { readonly kind: 'dial' }
  | { readonly kind: 'upgrade'; readonly connection: number; readonly path: string }
  | { readonly kind: 'refused'; readonly status: number }
  | { readonly kind: 'action'; readonly connection: number; readonly action: string; readonly params: unknown }
  | { readonly kind: 'event'; readonly number: number; readonly receivers: number }
  | { readonly kind: 'close'; readonly connection: number; readonly code: number }
)

type Happening = PeerRecord extends infer R ? (R extends unknown ? Omit<R, 'at'> : never) : never

export type OnebotEvent = { readonly post_type: string } & Readonly<Record<string, unknown>>

export interface OnebotPeerConfig {
  /** 0, the default, lets the system choose one. */
  readonly port?: number
  /** The token that clients must present; none is asked for when it is missing. A wrong one is met as NapCat does. */
  readonly token?: string
  /** Announced in each heartbeat event. 5 000 unless told; 0 turns heartbeats off, as implementations allow. */
  readonly heartbeatMs?: number
  readonly selfId?: number
  readonly behaviour?: Behaviour
  readonly onRecord?: (record: PeerRecord) => void
}

export interface OnebotPeer {
  readonly url: string
  readonly port: number
  /** WebSockets that are open now. */
  readonly connections: number
  /** What happened, oldest first; only the latest 10 000 are kept. */
  readonly records: readonly PeerRecord[]
  behave(behaviour: Behaviour): void
  /**
   * Sends an event to every connection and returns its number: 1, 2, 3 … Messages carry it as `message_id`, so that a
   * reader can count what was lost and what came twice. Nothing is kept for those who are away: OneBot has no resume.
   */
  emit(event: OnebotEvent): number
  /** Whether the account behind the peer is online; the next heartbeat and `get_status` say so. */
  setOnline(online: boolean): void
  /**
   * Dials an application, as implementations do in reverse: one universal connection, again `everyMs` (3 000 unless told)
   * after each end. The token is shown, not asked for, and behaviours at the door do not apply. The returned function ends
   * it for good.
   */
  dial(url: string, everyMs?: number): () => void
  /** Ends every connection. The peer goes on listening. */
  dismiss(how: Dismissal): void
  /** Destroys every socket without a word. The peer goes on listening. */
  cut(): void
  close(): Promise<void>
}

const recordsMax = 10_000
/** NapCat's own. */
const handshakeTimeout = 2_000
const tokenRefusal = 'token验证失败'

/** A message event as an implementation reports it; `emit` adds time, account and number. */
export const privateMessage = (text: string, userId = 10_001): OnebotEvent => ({
  post_type: 'message',
  message_type: 'private',
  sub_type: 'friend',
  user_id: userId,
  message: [{ type: 'text', data: { text } }],
  raw_message: text,
  font: 14,
  sender: { user_id: userId, nickname: 'Ann', sex: 'unknown', age: 0 },
})

export async function startOnebotPeer(config: OnebotPeerConfig = {}): Promise<OnebotPeer> {
  const peer = new Peer(config)
  await peer.listen(config.port ?? 0)
  return peer
}

/** A client that was let in. `welcomed` is false for those who came under `silent`. */
interface Guest {
  readonly connection: number
  readonly socket: WebSocket
  readonly welcomed: boolean
  /** `/api` carries actions only, `/event` events only, everything else both. */
  readonly takesEvents: boolean
  readonly takesActions: boolean
}

class Peer implements OnebotPeer {
  readonly records: PeerRecord[] = []
  readonly #config: OnebotPeerConfig
  readonly #selfId: number
  readonly #heartbeatMs: number
  readonly #http = createServer((_request, response) => response.writeHead(426).end())
  // Pongs are ours to send or to withhold.
  readonly #ws = new WebSocketServer({ noServer: true, autoPong: false })
  readonly #sockets = new Set<Socket>()
  /** Those that we dialed ourselves, and how to dial no more. */
  readonly #reversed = new Set<WebSocket>()
  readonly #dials = new Set<() => void>()
  readonly #guests = new Set<Guest>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #behaviour: Behaviour
  #online = true
  #connections = 0
  #emitted = 0
  #sent = 0

  constructor(config: OnebotPeerConfig) {
    this.#config = config
    this.#selfId = config.selfId ?? 10_000
    this.#heartbeatMs = config.heartbeatMs ?? 5_000
    this.#behaviour = config.behaviour ?? 'healthy'
    this.#http.on('connection', (socket) => this.#accept(socket))
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  get port(): number {
    return (this.#http.address() as AddressInfo | null)?.port ?? 0
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`
  }

  get connections(): number {
    return this.#ws.clients.size + [...this.#reversed].filter(({ readyState }) => readyState === WebSocket.OPEN).length
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#http.once('error', reject)
      this.#http.listen(port, '127.0.0.1', () => resolve())
    })
  }

  behave(behaviour: Behaviour): void {
    this.#behaviour = behaviour
  }

  setOnline(online: boolean): void {
    this.#online = online
  }

  emit(event: OnebotEvent): number {
    const number = ++this.#emitted
    const numbered = event.post_type === 'message' ? { message_id: number, ...event } : event
    const receivers = [...this.#guests].filter((guest) => this.#send(guest, numbered)).length
    this.#note({ kind: 'event', number, receivers })
    return number
  }

  dial(url: string, everyMs = 3_000): () => void {
    let isOver = false
    let client: WebSocket
    const begin = () => {
      client = this.#reverse(url)
      client.on('close', () => {
        if (!isOver) this.#later(everyMs, begin)
      })
    }
    const end = () => {
      isOver = true
      client.terminate()
    }
    begin()
    this.#dials.add(end)
    return end
  }

  dismiss(how: Dismissal): void {
    if (how === 'reset') for (const socket of this.#sockets) socket.resetAndDestroy()
    else for (const { socket } of this.#guests) dismiss(socket, how)
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
    for (const client of this.#reversed) client.terminate()
  }

  close(): Promise<void> {
    for (const end of this.#dials) end()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.cut()
    return new Promise((resolve) => this.#http.close(() => resolve()))
  }

  #note(happening: Happening): void {
    const record: PeerRecord = { at: Date.now(), ...happening }
    this.records.push(record)
    if (this.records.length > recordsMax) this.records.shift()
    this.#config.onRecord?.(record)
  }

  #accept(socket: Socket): void {
    this.#note({ kind: 'dial' })
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Clients that vanish in the middle are what this peer is for.
    socket.on('error', () => socket.destroy())
    if (this.#behaviour === 'accept-and-drop') socket.destroy()
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const behaviour = this.#behaviour
    if (behaviour === 'stall-upgrade') {
      // Read on, or the client's leaving would go unnoticed.
      socket.resume().on('end', () => socket.destroy())
      return
    }
    if (typeof behaviour === 'object' && 'refuse' in behaviour) {
      this.#note({ kind: 'refused', status: behaviour.refuse })
      socket.once('finish', () => socket.destroy()).end(refusal(behaviour.refuse, behaviour.retryAfter))
      return
    }
    const welcome = () =>
      this.#ws.handleUpgrade(request, socket, head, (client) => this.#admit(client, request, behaviour))
    if (typeof behaviour !== 'object' || !('upgradeAfterMs' in behaviour)) {
      welcome()
      return
    }
    const forget = this.#later(behaviour.upgradeAfterMs, () => {
      socket.off('close', forget)
      welcome()
    })
    socket.on('close', forget)
  }

  #admit(client: WebSocket, request: IncomingMessage, behaviour: Behaviour): void {
    const connection = ++this.#connections
    const url = new URL(request.url ?? '/', 'http://peer')
    this.#note({ kind: 'upgrade', connection, path: url.pathname })
    client.on('error', () => client.terminate())
    client.on('close', (code) => this.#note({ kind: 'close', connection, code }))
    if (behaviour === 'napcat-1403' || !holdsToken(this.#config.token, request, url)) {
      this.#note({ kind: 'refused', status: 1403 })
      client.send(JSON.stringify(failed(1403, tokenRefusal, null)))
      client.close()
      return
    }
    const guest: Guest = {
      connection,
      socket: client,
      welcomed: behaviour !== 'silent',
      takesEvents: !/^\/api\/?$/.test(url.pathname),
      takesActions: !/^\/event\/?$/.test(url.pathname),
    }
    this.#serve(guest)
    if (typeof behaviour === 'object' && 'closeAfterWelcome' in behaviour) {
      this.#after(behaviour.afterMs ?? 0, guest, () => dismiss(client, behaviour.closeAfterWelcome))
    }
  }

  #reverse(url: string): WebSocket {
    const { token } = this.#config
    const authorization = token ? { Authorization: `Bearer ${token}` } : {}
    const headers = { 'X-Self-ID': String(this.#selfId), 'X-Client-Role': 'Universal', ...authorization }
    const client = new WebSocket(url, { headers, handshakeTimeout, autoPong: false })
    this.#note({ kind: 'dial' })
    this.#reversed.add(client)
    client.on('unexpected-response', (_request, { statusCode = 0 }) => {
      this.#note({ kind: 'refused', status: statusCode })
      client.terminate()
    })
    client.on('open', () => {
      const connection = ++this.#connections
      this.#note({ kind: 'upgrade', connection, path: new URL(url).pathname })
      client.on('close', (code) => this.#note({ kind: 'close', connection, code }))
      this.#serve({ connection, socket: client, welcomed: true, takesEvents: true, takesActions: true })
    })
    client.on('error', () => client.terminate())
    client.on('close', () => this.#reversed.delete(client))
    return client
  }

  #serve(guest: Guest): void {
    const { socket } = guest
    this.#guests.add(guest)
    socket.on('close', () => this.#guests.delete(guest))
    socket.on('ping', (data) => this.#hushed(guest) || socket.pong(data))
    socket.on('message', (data) => this.#receive(guest, data))
    // `ws` answers a close frame by itself, through this method. A peer that has fallen silent does not even do that.
    const close = socket.close.bind(socket)
    socket.close = (code, reason) => (this.#hushed(guest) ? undefined : close(code, reason))
    this.#send(guest, this.#lifecycle())
    if (this.#heartbeatMs > 0) this.#beat(guest)
  }

  #beat(guest: Guest): void {
    this.#after(this.#heartbeatMs, guest, () => {
      if (this.#behaviour !== 'no-heartbeat') this.#send(guest, this.#heartbeat())
      this.#beat(guest)
    })
  }

  /** A timer that ends with its connection. */
  #after(delayMs: number, guest: Guest, run: () => void): void {
    const forget = this.#later(delayMs, () => {
      guest.socket.off('close', forget)
      run()
    })
    guest.socket.on('close', forget)
  }

  /** A timer that ends with the peer. */
  #later(delayMs: number, run: () => void): () => void {
    const forget = () => {
      clearTimeout(timer)
      this.#timers.delete(timer)
    }
    const timer = setTimeout(() => {
      forget()
      run()
    }, delayMs)
    this.#timers.add(timer)
    return forget
  }

  #hushed(guest: Guest): boolean {
    return !guest.welcomed || this.#behaviour === 'silent'
  }

  #send(guest: Guest, event: OnebotEvent): boolean {
    if (!guest.takesEvents || this.#hushed(guest) || guest.socket.readyState !== WebSocket.OPEN) return false
    guest.socket.send(JSON.stringify({ time: Math.floor(Date.now() / 1000), self_id: this.#selfId, ...event }))
    return true
  }

  #receive(guest: Guest, data: RawData): void {
    if (!guest.takesActions) return
    const request = parse(data)
    if (request) this.#note({ kind: 'action', connection: guest.connection, ...request.call })
    if (this.#hushed(guest) || this.#behaviour === 'no-answers') return
    const answer = request
      ? this.#perform(request.call.action, request.echo)
      : failed(1400, 'json解析失败,请检查数据格式', null)
    guest.socket.send(JSON.stringify(answer))
  }

  #perform(action: string, echo: unknown): Answer {
    switch (action) {
      case 'get_status':
        return done({ ...this.#status(), stat: {} }, echo)
      case 'get_login_info':
        return done({ user_id: this.#selfId, nickname: 'holdfast' }, echo)
      case 'get_version_info':
        return done({ app_name: 'holdfast-peer', app_version: '1', protocol_version: 'v11' }, echo)
      case 'send_msg':
      case 'send_private_msg':
      case 'send_group_msg':
        return done({ message_id: ++this.#sent }, echo)
      case 'get_friend_list':
        return done([{ user_id: 10_001, nickname: 'Ann', remark: '' }], echo)
      case 'get_group_list':
        return done([{ group_id: 20_001, group_name: 'Harbour', member_count: 2, max_member_count: 200 }], echo)
      default:
        return failed(1404, `不支持的API ${action}`, echo)
    }
  }

  /** `good` stays true, as NapCat says it: the process is well even while its account is not. */
  #status() {
    return { online: this.#online, good: true }
  }

  #lifecycle(): OnebotEvent {
    return { post_type: 'meta_event', meta_event_type: 'lifecycle', sub_type: 'connect' }
  }

  #heartbeat(): OnebotEvent {
    const status = this.#status()
    return { post_type: 'meta_event', meta_event_type: 'heartbeat', interval: this.#heartbeatMs, status }
  }
}

interface Answer {
  readonly status: 'ok' | 'failed'
  readonly retcode: number
  readonly data: unknown
  readonly message: string
  readonly wording: string
  readonly echo: unknown
}

function done(data: unknown, echo: unknown): Answer {
  return { status: 'ok', retcode: 0, data, message: '', wording: '', echo }
}

function failed(retcode: number, message: string, echo: unknown): Answer {
  return { status: 'failed', retcode, data: null, message, wording: message, echo }
}

/** Null for whatever is not an action: not JSON, not an object, no action name. */
function parse(data: RawData): { call: { action: string; params: unknown }; echo: unknown } | null {
  try {
    const frame: unknown = JSON.parse(data.toString())
    if (typeof frame !== 'object' || frame === null || !('action' in frame)) return null
    const { action, params, echo }: { action: unknown; params?: unknown; echo?: unknown } = frame
    return typeof action === 'string' ? { call: { action, params: params ?? {} }, echo: echo ?? null } : null
  } catch {
    return null
  }
}

/** The query goes before the header, as in NapCat. */
function holdsToken(token: string | undefined, request: IncomingMessage, url: URL): boolean {
  if (!token) return true
  const shown = url.searchParams.get('access_token') || request.headers.authorization?.replace(/^Bearer /, '')
  return shown === token
}

function refusal(status: number, retryAfter: string | undefined): string {
  const body = `<!doctype html><title>${status} ${STATUS_CODES[status]}</title>`
  const headers = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: text/html',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(retryAfter === undefined ? [] : [`Retry-After: ${retryAfter}`]),
  ]
  return `${headers.join('\r\n')}\r\n\r\n${body}`
}

function dismiss(client: WebSocket, how: number | 'destroy'): void {
  if (how === 'destroy') client.terminate()
  else if (how === 1005) client.close()
  else client.close(how)
}
