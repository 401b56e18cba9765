/**
 * The servers of the Lagrange replay: two that are well, each at a host of its own, and on request a dead one before them.
 * Together they are one account's peer: it keeps each message until the bot says that it got it, and greets the first
 * connections with the faults of the incident.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { ecdh, lengthPrefixed } from '../../src/adapter/adapter.ts'
import type { Sealer } from '../../src/key-exchange.ts'

export const framing = lengthPrefixed({ bytes: 4, includesItself: true, maxBytes: 65_536 })
export const keyExchange = ecdh({ curve: 'prime256v1', cipher: 'aes-256-gcm' })

/** What becomes of a connection. */
type Reception = 'dropped before registration' | 'greeted with a wrong key' | 'dropped when it serves' | 'well'

/** Each for one connection, in this order; all later ones are well. */
const FAULTS: readonly Reception[] = [
  'dropped before registration',
  'greeted with a wrong key',
  'dropped when it serves',
]
const SERVES_MS = 1_000

export interface PeerServer {
  readonly host: string
  readonly port: number
  /** Answers a datagram, as a host answers a ping. */
  readonly probePort: number
}

export interface LagrangePeer {
  /** The dead one first. */
  readonly servers: readonly PeerServer[]
  /** Connections so far. */
  readonly connections: number
  /** When the second fault was over, by performance.now(); from then on whoever comes is let in. */
  readonly wellAt: number | undefined
  /** The last of the faults is over. */
  readonly calm: Promise<void>
  say(id: string): void
  close(): Promise<void>
}

export const startPeer = async ({ withDead = false, faults = FAULTS } = {}): Promise<LagrangePeer> => {
  const peer = new Peer([...faults])
  if (withDead) await peer.addDead('127.0.0.2')
  await peer.addServer('127.0.0.3', 12)
  await peer.addServer('127.0.0.4', 7)
  return peer
}

class Peer implements LagrangePeer {
  readonly servers: PeerServer[] = []
  readonly calm: Promise<void>
  connections = 0
  wellAt: number | undefined
  readonly #faults: Reception[]
  readonly #got = new Set<string>()
  readonly #kept: string[] = []
  readonly #open = new Set<Socket>()
  readonly #listening: Server[] = []
  readonly #probes: UdpSocket[] = []
  #registered: ((packet: object) => void) | undefined
  #dead: ChildProcess | undefined
  #calmDown: () => void = () => undefined

  constructor(faults: Reception[]) {
    this.#faults = faults
    this.calm = new Promise((resolve) => {
      this.#calmDown = resolve
    })
    if (faults.length > 0) return
    this.wellAt = performance.now()
    this.#calmDown()
  }

  /** Neither a ping nor a SYN is answered. */
  async addDead(host: string): Promise<void> {
    const script = fileURLToPath(new URL('./dead-server.mjs', import.meta.url))
    const child = spawn(process.execPath, [script, host], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#dead = child
    const [line] = await once(child.stdout, 'data')
    this.servers.push({ host, port: Number(line), probePort: Number(line) })
  }

  async addServer(host: string, pingMs: number): Promise<void> {
    const server = createServer((socket) => this.#meet(socket)).listen(0, host)
    this.#listening.push(server)
    const probe = createSocket('udp4').bind(0, host)
    this.#probes.push(probe)
    probe.on('message', (_, from) => setTimeout(() => probe.send('pong', from.port, from.address), pingMs))
    await Promise.all([once(server, 'listening'), once(probe, 'listening')])
    this.servers.push({ host, port: (server.address() as AddressInfo).port, probePort: probe.address().port })
  }

  say(id: string): void {
    this.#kept.push(id)
    this.#registered?.({ op: 'message', id })
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    for (const probe of this.#probes) probe.close()
    for (const server of this.#listening) server.close()
    if (!this.#dead) return
    this.#dead.kill('SIGKILL')
    await once(this.#dead, 'exit')
  }

  #meet(socket: Socket): void {
    this.connections++
    const reception = this.#faults.shift() ?? 'well'
    this.#open.add(socket)
    socket.on('error', () => undefined)
    const exchange = keyExchange()
    let sealer: Sealer | undefined
    const say = (packet: object) => {
      if (sealer) socket.write(framing.encode(sealer.seal(Buffer.from(JSON.stringify(packet)))))
    }
    socket.on('close', () => {
      this.#open.delete(socket)
      if (this.#registered === say) this.#registered = undefined
      if (reception === 'greeted with a wrong key') this.wellAt = performance.now()
      if (reception === 'dropped when it serves') this.#calmDown()
    })
    const hello = reception === 'greeted with a wrong key' ? keyExchange().begin() : exchange.begin()
    socket.write(framing.encode(hello))
    const decoder = framing.decoder(65_536)
    socket.on('data', (chunk) => {
      try {
        for (const frame of decoder.push(chunk)) {
          if (sealer) this.#take(JSON.parse(Buffer.from(sealer.open(frame)).toString()), say, socket, reception)
          else sealer = exchange.accept(frame)
        }
      } catch {
        // what the wrong key sealed: the account is refused, and the socket with it
        say({ op: 'refused' })
        socket.end()
      }
    })
  }

  #take(
    packet: { op: string; id?: string },
    say: (packet: object) => void,
    socket: Socket,
    reception: Reception,
  ): void {
    if (packet.op === 'heartbeat') say({ op: 'alive' })
    else if (packet.op === 'got') this.#got.add(String(packet.id))
    else if (reception === 'dropped before registration') socket.resetAndDestroy()
    else {
      this.#registered = say
      say({ op: 'registered' })
      for (const id of this.#kept) if (!this.#got.has(id)) say({ op: 'message', id })
      if (reception === 'dropped when it serves') setTimeout(() => socket.destroy(), SERVES_MS)
    }
  }
}
