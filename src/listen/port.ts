/** One port, open while somebody waits behind it. What opens it again is the next who comes to wait. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Fault } from '../../machines/fault.ts'
import { textOf } from '../error.ts'

export interface PortOptions {
  readonly port: number
  readonly host: string
  /** A server of the user's: it is listened on, and neither opened nor closed. */
  readonly server: Server | undefined
  /** For the headers of a request, and for all of it. */
  readonly requestMs: number
}

export interface PortListener {
  /** What is not ours goes to those who listened on the user's server before us. */
  readonly isOurs: (request: IncomingMessage) => boolean
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  readonly request: (request: IncomingMessage, response: ServerResponse) => void
  readonly opened: () => void
  /** It could not be opened, or is not open any more. */
  readonly failed: (fault: Fault) => void
}

/** How often node looks for requests that take too long. */
const CHECK_EVERY_MS = 1_000
const HEADER_BYTES_MAX = 16 * 1024

export class Port {
  readonly #options: PortOptions
  readonly #listener: PortListener
  #server: Server | undefined
  /** The one that the system chose is kept: the peers know it. */
  #port: number
  #leave: () => void = () => undefined

  constructor(options: PortOptions, listener: PortListener) {
    this.#options = options
    this.#listener = listener
    this.#port = options.port
  }

  get port(): number {
    return (this.#server?.address() as AddressInfo | null)?.port ?? 0
  }

  /** A server of the user's is taken as open: when it is is the user's affair. */
  get isOpen(): boolean {
    return this.#server !== undefined && (this.#server.listening || this.#server === this.#options.server)
  }

  get name(): string {
    const { host, server } = this.#options
    return server ? 'the server that was given' : `${host.includes(':') ? `[${host}]` : host}:${this.#port}`
  }

  /** Nothing happens if it is open; `failed` follows if it cannot be. */
  open(): void {
    if (this.#server) return
    const { server } = this.#options
    if (server) this.#join(server)
    else this.#listen()
  }

  #listen(): void {
    const { host, requestMs } = this.#options
    const own = createServer({
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.min(CHECK_EVERY_MS, requestMs),
      maxHeaderSize: HEADER_BYTES_MAX,
    })
    own.on('error', (error) => this.#fail(own, error))
    own.once('listening', () => {
      this.#port = this.port
      this.#listener.opened()
    })
    this.#join(own)
    own.listen(this.#port, host)
  }

  close(): void {
    const server = this.#server
    this.#leave()
    if (!server || server === this.#options.server) return
    server.close()
    server.closeAllConnections()
  }

  #fail(server: Server, error: Error): void {
    if (server !== this.#server) return
    this.close()
    this.#listener.failed({ code: 'listener-failed', detail: textOf(error) })
  }

  #join(server: Server): void {
    const { isOurs, request, upgrade } = this.#listener
    const leave = [
      takeOver(server, 'request', isOurs, request),
      takeOver(server, 'upgrade', isOurs, (asked: IncomingMessage, socket: Duplex, head: Buffer) => {
        // whoever comes is not our bug, however it leaves
        socket.on('error', () => socket.destroy())
        upgrade(asked, socket, head)
      }),
    ]
    this.#server = server
    this.#leave = () => {
      this.#leave = () => undefined
      this.#server = undefined
      for (const undo of leave) undo()
    }
  }
}

/** Those who listened before us get what is not ours, as before. */
const takeOver = <More extends unknown[]>(
  server: Server,
  event: 'request' | 'upgrade',
  isOurs: (request: IncomingMessage) => boolean,
  serve: (request: IncomingMessage, ...more: More) => void,
): (() => void) => {
  const before = server.listeners(event) as (typeof serve)[]
  const divide = (request: IncomingMessage, ...more: More) => {
    if (before.length === 0 || isOurs(request)) serve(request, ...more)
    else for (const listener of before) listener.call(server, request, ...more)
  }
  server.removeAllListeners(event).on(event, divide)
  return () => {
    server.off(event, divide)
    for (const listener of before) server.on(event, listener)
  }
}
