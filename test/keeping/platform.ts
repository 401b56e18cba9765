/** The platform of test/gateway.ts on a real socket, in real time: it keeps sessions, and writes down what it is told. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import type { JsonObject } from '../../src/adapter/json.ts'

export interface Said {
  readonly text: string
  readonly key: string
}

export class Platform {
  /** Every message as it arrived, doubles too. */
  readonly said: Said[] = []
  /** `identify` and `resume`, as they were asked for. */
  readonly asked: string[] = []
  readonly #server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  readonly #sessions = new Set<string>()
  readonly #events: { seq: number; text: string }[] = []
  readonly #inside = new Set<WebSocket>()
  /** Whether the connection breaks now, asked at each message, before the platform has it. */
  readonly #breaks: () => boolean

  private constructor(breaks: () => boolean) {
    this.#breaks = breaks
    this.#server.on('connection', (socket) => {
      socket.on('message', (raw) => this.#hear(socket, JSON.parse(String(raw))))
      socket.on('close', () => this.#inside.delete(socket))
      socket.on('error', () => undefined)
    })
  }

  static async start(breaks: () => boolean = () => false): Promise<Platform> {
    const platform = new Platform(breaks)
    await once(platform.#server, 'listening')
    return platform
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  /** Something happened. */
  say(text: string): void {
    const event = { seq: this.#events.length + 1, text }
    this.#events.push(event)
    for (const socket of this.#inside) tell(socket, { op: 'event', ...event })
  }

  #hear(socket: WebSocket, { op, text, key, id, seq }: JsonObject): void {
    // what came in one chunk is still told of after a break
    if (socket.readyState !== socket.OPEN) return
    if (op === 'say') this.#note(socket, { text: String(text), key: String(key) })
    else if (op === 'identify') this.#welcome(socket)
    else this.#resume(socket, String(id), Number(seq))
  }

  #note(socket: WebSocket, said: Said): void {
    if (this.#breaks()) {
      socket.terminate()
      return
    }
    this.said.push(said)
    tell(socket, { op: 'heard', key: said.key })
  }

  #welcome(socket: WebSocket): void {
    this.asked.push('identify')
    const id = `s${this.#sessions.size + 1}`
    this.#sessions.add(id)
    this.#inside.add(socket)
    tell(socket, { op: 'ready', id })
  }

  #resume(socket: WebSocket, id: string, from: number): void {
    this.asked.push('resume')
    if (!this.#sessions.has(id)) {
      tell(socket, { op: 'invalid' })
      return
    }
    for (const event of this.#events) if (event.seq > from) tell(socket, { op: 'event', ...event })
    this.#inside.add(socket)
    tell(socket, { op: 'resumed' })
  }

  close(): void {
    for (const socket of this.#server.clients) socket.terminate()
    this.#server.close()
  }
}

const tell = (socket: WebSocket, frame: object): void => socket.send(JSON.stringify(frame))
