/**
 * A platform with a gateway, on a real port: Discord's, or QQ's. It keeps sessions, replays what was missed, notes what
 * clients do, and breaks whatever a test wants broken. What it does is held against real clients by the oracle tests.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { asObject, type JsonObject, readObject } from '../../src/adapter/json.ts'

export type PlatformRecord = { readonly at: number; readonly connection: number } & (
  | { readonly kind: 'connect'; readonly path: string }
  | { readonly kind: 'identify'; readonly data: JsonObject }
  | { readonly kind: 'resume'; readonly session: string; readonly seq: number }
  | { readonly kind: 'beat'; readonly frame: JsonObject }
  | { readonly kind: 'command'; readonly frame: JsonObject }
  | { readonly kind: 'close'; readonly code: number }
)

type Happening = PlatformRecord extends infer R ? (R extends unknown ? Omit<R, 'at' | 'connection'> : never) : never

export interface PlatformConfig {
  /** QQ names no place to resume at, and wants a word before its tokens. */
  readonly dialect: 'discord' | 'qq'
  /** The token that clients must show. */
  readonly token?: string
  readonly intervalMs?: number
}

interface Guest {
  readonly connection: number
  readonly socket: WebSocket
  session: string | undefined
}

type Event = { readonly op: 0; readonly s: number; readonly t: string; readonly d: unknown }

export class GatewayPlatform {
  readonly records: PlatformRecord[] = []
  readonly sessions = new Map<string, Event[]>()
  /** Beats are answered. */
  acks = true
  /** What happens to a RESUME: it is answered, kept until `answerResumes()`, or answered as an invalid session. */
  resumes: 'answered' | 'held' | 'refused' | 'invalid-but-resumable' = 'answered'
  /** The first connection that is READY is closed with this code a moment later; `destroy` is no close frame at all. */
  closesFirst: number | 'destroy' | undefined
  token: string
  /** How often the HTTP side gave a token out: `POST /app/getAppAccessToken`. */
  tokensGiven = 0
  /** What was posted to the HTTP side: the path, and the body as it came. */
  readonly posted: { readonly path: string; readonly body: JsonObject | undefined }[] = []
  /** What `GET /gateway/bot` says is left. */
  startsLeft = 1_000
  readonly #config: PlatformConfig
  readonly #http = createServer((request, response) => this.#answerHttp(request, response))
  readonly #ws = new WebSocketServer({ server: this.#http })
  readonly #guests = new Set<Guest>()
  readonly #held: (() => void)[] = []
  #connections = 0
  #made = 0

  constructor(config: PlatformConfig) {
    this.#config = config
    this.token = config.token ?? 'a-token'
    this.#ws.on('connection', (socket, request) => this.#meet(socket, request))
  }

  static async start(config: PlatformConfig): Promise<GatewayPlatform> {
    const platform = new GatewayPlatform(config)
    await new Promise<void>((resolve) => platform.#http.listen(0, '127.0.0.1', resolve))
    return platform
  }

  get host(): string {
    return `127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  get url(): string {
    return `ws://${this.host}/`
  }

  get connections(): number {
    return this.#guests.size
  }

  count(kind: PlatformRecord['kind']): number {
    return this.of(kind).length
  }

  of<K extends PlatformRecord['kind']>(kind: K): Extract<PlatformRecord, { kind: K }>[] {
    return this.records.filter((record) => record.kind === kind) as never
  }

  /** Something happened: it is kept for every session, and sent to those who are there. */
  say(t: string, d: unknown): void {
    for (const id of this.sessions.keys()) this.#dispatch(id, t, d)
  }

  tellAll(frame: object): void {
    for (const guest of this.#guests) this.#tell(guest, frame)
  }

  answerResumes(): void {
    this.resumes = 'answered'
    for (const answer of this.#held.splice(0)) answer()
  }

  closeAll(code: number | 'destroy'): void {
    for (const { socket } of this.#guests) end(socket, code)
  }

  async stop(): Promise<void> {
    for (const { socket } of this.#guests) socket.terminate()
    this.#http.closeAllConnections()
    await new Promise((resolve) => this.#http.close(resolve))
  }

  #note(guest: Guest, happening: Happening): void {
    this.records.push({ at: Date.now(), connection: guest.connection, ...happening })
  }

  #meet(socket: WebSocket, request: IncomingMessage): void {
    const guest: Guest = { connection: ++this.#connections, socket, session: undefined }
    this.#guests.add(guest)
    this.#note(guest, { kind: 'connect', path: request.url ?? '' })
    socket.on('error', () => socket.terminate())
    socket.on('close', (code) => {
      this.#guests.delete(guest)
      this.#note(guest, { kind: 'close', code })
    })
    socket.on('message', (data) => this.#hear(guest, readObject(data.toString()) ?? {}))
    this.#tell(guest, { op: 10, d: { heartbeat_interval: this.#config.intervalMs ?? 41_250 } })
  }

  #hear(guest: Guest, frame: JsonObject): void {
    const data = asObject(frame.d) ?? {}
    if (frame.op === 1) {
      this.#note(guest, { kind: 'beat', frame })
      if (this.acks) this.#tell(guest, { op: 11 })
    } else if (frame.op === 2) {
      this.#note(guest, { kind: 'identify', data })
      this.#identify(guest, data)
    } else if (frame.op === 6) {
      this.#note(guest, { kind: 'resume', session: String(data.session_id), seq: Number(data.seq) })
      this.#resume(guest, data)
    } else this.#note(guest, { kind: 'command', frame })
  }

  /** QQ takes `QQBot <access token>`, and still `Bot <id>.<token>`. */
  #accepts(shown: unknown): boolean {
    const words = this.#config.dialect === 'qq' ? [`QQBot ${this.token}`, `Bot 1020.${this.token}`] : [this.token]
    return words.includes(String(shown))
  }

  #identify(guest: Guest, data: JsonObject): void {
    if (!this.#accepts(data.token)) {
      refuse(guest)
      return
    }
    const id = `s${++this.#made}`
    guest.session = id
    this.sessions.set(id, [])
    const place = this.#config.dialect === 'discord' ? { resume_gateway_url: `${this.url}resume` } : {}
    const user = { id: '7', username: 'bot', bot: true }
    this.#dispatch(id, 'READY', { version: 1, session_id: id, user, shard: data.shard ?? [0, 1], ...place })
    const ending = this.closesFirst
    this.closesFirst = undefined
    if (ending !== undefined) setTimeout(() => end(guest.socket, ending), 50)
  }

  #resume(guest: Guest, data: JsonObject): void {
    if (!this.#accepts(data.token)) refuse(guest)
    else if (this.resumes === 'held') this.#held.push(() => this.#goOn(guest, data))
    else if (this.resumes === 'answered') this.#goOn(guest, data)
    else this.#tell(guest, { op: 9, d: this.resumes === 'invalid-but-resumable' })
  }

  #goOn(guest: Guest, data: JsonObject): void {
    const id = String(data.session_id)
    const missed = this.sessions.get(id)?.filter(({ s }) => s > Number(data.seq))
    if (!missed) {
      this.#tell(guest, { op: 9, d: false })
      return
    }
    for (const event of missed) this.#tell(guest, event)
    guest.session = id
    this.#dispatch(id, 'RESUMED', {})
  }

  #dispatch(id: string, t: string, d: unknown): void {
    const events = this.sessions.get(id)!
    const event: Event = { op: 0, s: events.length + 1, t, d }
    events.push(event)
    for (const guest of this.#guests) if (guest.session === id) this.#tell(guest, event)
  }

  #tell({ socket }: Guest, frame: object): void {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(frame))
  }

  #answerHttp(request: IncomingMessage, response: ServerResponse): void {
    const limit = { total: 1_000, remaining: this.startsLeft, reset_after: 3_600_000, max_concurrency: 1 }
    const path = new URL(request.url ?? '/', this.url).pathname
    const answers: Record<string, () => object> = {
      '/gateway/bot': () => ({ url: this.url, shards: 1, session_start_limit: limit }),
      '/users/@me': () => ({ id: '7', username: 'bot', avatar: '' }),
      '/app/getAppAccessToken': () => {
        this.tokensGiven++
        return { access_token: this.token, expires_in: '7200' }
      },
    }
    if (request.method === 'POST') void this.#notePost(path, request)
    const answer = answers[path]
    response.writeHead(answer ? 200 : 404, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(answer?.() ?? { message: 'not found', code: 404 }))
  }

  async #notePost(path: string, request: IncomingMessage): Promise<void> {
    let body = ''
    for await (const chunk of request) body += chunk
    this.posted.push({ path, body: readObject(body) })
  }
}

const refuse = ({ socket }: Guest): void => socket.close(4004, 'Authentication failed.')

const end = (socket: WebSocket, how: number | 'destroy'): void => {
  if (how === 'destroy') socket.terminate()
  else socket.close(how)
}
