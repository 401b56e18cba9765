/** Real servers on loopback that behave as badly as they are told to, and a listener that notes what a transport tells. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { vi } from 'vitest'
import type { Fault } from '../../machines/fault.ts'
import type { Frame } from '../../src/adapter/adapter.ts'
import { realClock } from '../../src/clock.ts'
import type { Pipe, TransportListener } from '../../src/transport/transport.ts'
import { openWebSocket, type WebSocketOptions } from '../../src/transport/websocket.ts'

type Pem = 'key' | 'localhost' | 'address' | 'elsewhere' | 'expired' | 'not-yet' | 'issued' | 'chain'

export const pem = (name: Pem): string => readFileSync(new URL(`../certs/${name}.pem`, import.meta.url), 'utf8')

export interface RawServer {
  readonly port: number
  /** Connections that are open at the server. */
  readonly open: ReadonlySet<Socket>
  close(): Promise<void>
}

const cleanups: (() => Promise<void>)[] = []

/** For afterEach: ends all that the test has started. */
export const closeAll = async (): Promise<void> => {
  for (const close of cleanups.splice(0)) await close()
}

/** A TCP or TLS server; `met` decides what becomes of each connection. */
export const rawServer = async (
  met: (socket: Socket) => void,
  certificate?: Parameters<typeof pem>[0],
): Promise<RawServer> => {
  const open = new Set<Socket>()
  const server = certificate ? createTlsServer({ key: pem('key'), cert: pem(certificate) }, met) : createServer(met)
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket)).on('error', () => socket.destroy())
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = (): Promise<void> => {
    for (const socket of open) socket.destroy()
    return new Promise((resolve) => server.close(() => resolve()))
  }
  cleanups.push(close)
  return { port: (server.address() as AddressInfo).port, open, close }
}

/** Answers the first bytes of each connection. */
export const answering = (answer: (socket: Socket, request: string) => void) => (socket: Socket) => {
  socket.once('data', (request) => answer(socket.resume(), request.toString('latin1')))
}

export const refusing = (status: number, headers: Record<string, string> = {}) =>
  answering((socket) => {
    const lines = Object.entries({ 'Content-Length': '5', ...headers }).map(([name, value]) => `${name}: ${value}`)
    socket.write(`HTTP/1.1 ${status} Whatever\r\n${lines.join('\r\n')}\r\n\r\nhello`)
  })

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

export const switching = (request: string): string => {
  const key = /^sec-websocket-key: (.+)$/im.exec(request)?.[1]?.trim()
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64')
  const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
  return `${head}Sec-WebSocket-Accept: ${accept}\r\n\r\n`
}

/** Upgrades by hand, then does what it is told. */
export const upgrading = (then: (socket: Socket) => void) =>
  answering((socket, request) => {
    socket.write(switching(request))
    then(socket)
  })

/** One unmasked frame of RFC 6455; short payloads only. */
export const frameOf = (opcode: number, payload: string | Uint8Array = '', reserved = 0): Buffer => {
  const body = Buffer.from(payload)
  return Buffer.concat([Buffer.from([0x80 | reserved | opcode, body.length]), body])
}

export const closeFrame = (code?: number, reason = ''): Buffer => {
  if (code === undefined) return frameOf(8)
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return frameOf(8, Buffer.concat([head, Buffer.from(reason)]))
}

export interface Lost {
  readonly fault: Fault
  readonly close?: { readonly code: number; readonly reason: string }
  readonly afterMs: number
}

/** A dialed transport and all that it told. */
export class Dialed implements TransportListener {
  readonly told: string[] = []
  readonly frames: Frame[] = []
  readonly losses: Lost[] = []
  readonly startedAt = performance.now()
  pipe: Pipe | undefined
  onFrame: (() => void) | undefined
  end: () => void = () => undefined

  opened = () => void this.told.push('opened')
  ready = (pipe: Pipe) => {
    this.pipe = pipe
    this.told.push('ready')
  }
  frame = (frame: Frame) => {
    this.frames.push(frame)
    this.told.push(`frame ${typeof frame === 'string' ? frame : Buffer.from(frame).toString('hex')}`)
    this.onFrame?.()
  }
  event = (name: string) => void this.told.push(`event ${name}`)
  inbound = () => void this.told.push('inbound')
  answered = (mark: string) => void this.told.push(`answered ${mark}`)
  drained = () => void this.told.push('drained')
  lost = (fault: Fault, close?: { code: number; reason: string }) => {
    this.told.push('lost')
    this.losses.push({ fault, ...(close && { close }), afterMs: performance.now() - this.startedAt })
  }

  async loss(): Promise<Lost> {
    await until(() => this.losses.length > 0)
    return this.losses[0]!
  }

  isReady(): Promise<void> {
    return until(() => this.pipe !== undefined)
  }
}

export const until = (holds: () => boolean): Promise<void> =>
  vi.waitFor(
    () => {
      if (!holds()) throw new Error(`not yet: ${holds}`)
    },
    { timeout: 5_000, interval: 2 },
  )

export type DialOptions = Partial<Omit<WebSocketOptions, 'target'>> & Partial<WebSocketOptions['target']>

/** Dials 127.0.0.1, whatever the host of the URL is. */
export const dialTo = (port: number, { url, headers, protocols, tls, ...options }: DialOptions = {}): Dialed => {
  const dialed = new Dialed()
  const target = { url: url ?? `ws://127.0.0.1:${port}/`, ...(headers && { headers }), ...(protocols && { protocols }) }
  const open = openWebSocket({
    target: { ...target, ...(tls && { tls }) },
    addresses: [{ address: '127.0.0.1', family: 4 }],
    clock: realClock,
    maxPayloadBytes: 1_024,
    perMessageDeflate: false,
    tlsMs: 2_000,
    upgradeMs: 2_000,
    ...options,
  })
  dialed.end = open(dialed)
  cleanups.push(async () => dialed.end())
  return dialed
}
