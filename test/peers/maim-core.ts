/** MaiBot's core as its bridges see it: the message server of maim_message 0.6, on a real socket. */
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

export interface MaimCoreConfig {
  /** Given to clients that have another one: let in, and closed with 1008. */
  readonly token?: string
  /** It cuts whoever does not answer a ping of its own within as long again. Default: it sends none. */
  readonly pingEveryMs?: number
  /** Told of every message as it comes. */
  readonly onMessage?: (message: CoreMessage) => void
}

export interface CoreMessage {
  readonly message_info?: { readonly message_id: string; readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

export class MaimCore {
  readonly received: CoreMessage[] = []
  /** The close code of each connection that has ended. */
  readonly closes: number[] = []
  /** What each client called itself. */
  readonly platforms: unknown[] = []
  readonly #config: MaimCoreConfig
  readonly #server: WebSocketServer
  readonly #timers = new Set<NodeJS.Timeout>()
  #latest: WebSocket | undefined

  private constructor(config: MaimCoreConfig, server: WebSocketServer) {
    this.#config = config
    this.#server = server
    server.on('connection', (socket, { headers }) => this.#admit(socket, headers.platform, headers.authorization))
  }

  static async start(config: MaimCoreConfig = {}): Promise<MaimCore> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/ws' })
    const core = new MaimCore(config, server)
    await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
    return core
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws`
  }

  get dials(): number {
    return this.platforms.length
  }

  get isConnected(): boolean {
    return this.#server.clients.size > 0
  }

  say(message: object): void {
    this.#latest?.send(JSON.stringify(message))
  }

  /** Ends every connection without a word. */
  cut(): void {
    for (const socket of this.#server.clients) socket.terminate()
  }

  stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    this.cut()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #admit(socket: WebSocket, platform: unknown, authorization: string | undefined): void {
    this.platforms.push(platform)
    socket.on('error', () => socket.terminate())
    socket.on('close', (code) => this.closes.push(code))
    if (authorization === this.#config.token) this.#serve(socket)
    else socket.close(1008, '无效的令牌')
  }

  #serve(socket: WebSocket): void {
    this.#latest?.close(1000, '新连接取代')
    this.#latest = socket
    socket.on('close', () => {
      if (this.#latest === socket) this.#latest = undefined
    })
    socket.on('message', (data) => this.#hear(JSON.parse(data.toString())))
    if (this.#config.pingEveryMs) this.#watch(socket, this.#config.pingEveryMs)
  }

  #hear(message: CoreMessage): void {
    this.received.push(message)
    this.#config.onMessage?.(message)
  }

  #watch(socket: WebSocket, everyMs: number): void {
    let isAlive = true
    socket.on('pong', () => {
      isAlive = true
    })
    const timer = setInterval(() => {
      if (!isAlive) return socket.terminate()
      isAlive = false
      socket.ping()
    }, everyMs)
    this.#timers.add(timer)
    socket.on('close', () => {
      clearInterval(timer)
      this.#timers.delete(timer)
    })
  }
}
