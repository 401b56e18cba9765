/**
 * Incident 3: a socket lost between connect and the first registration made the first "online" a "reconnect", and the web
 * services, which were started for a "login" alone, never started. Beside it, the probe that took a dead server for the
 * fastest. Lagrange is .NET, so its rule was written again (naive/lagrange.mjs); all of its times are a tenth.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Adapter, defineAdapter } from '../../src/adapter/adapter.ts'
import { readObject } from '../../src/adapter/json.ts'
import { connect, type Link } from '../../src/link.ts'
import { service } from '../../src/service.ts'
import { framing, keyExchange, type LagrangePeer, type PeerServer, startPeer } from './lagrange-peer.ts'
import type { Replay, Side } from './replay.ts'

/** Some come while nobody is registered, and the last when the peer has no fault left to make. */
const EARLY = ['m1', 'm2', 'm3', 'm4']
const LAST = 'm5'
const MESSAGES = [...EARLY, LAST]
const EVERY_MS = 900
/** So long is watched whether it serves again. */
const NAIVE_MS = 7_000
const HOLDFAST_MS = 25_000
/** So long the naive side is watched on the dead server: 30 s of Lagrange's. */
const DEAD_MS = 3_000

/** A bot on this peer: its HTTP services, by their ports, as they were started. */
interface Bot {
  readonly services: readonly number[]
  stop(): Promise<void>
}

/** What a person sees who asks the HTTP service: the messages, or nothing at all. */
const ask = async (port: number | undefined): Promise<string[] | undefined> => {
  if (port === undefined) return undefined
  try {
    return (await (await fetch(`http://127.0.0.1:${port}/`)).json()) as string[]
  } catch {
    return undefined
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

interface Seen {
  readonly answeredAt: number | undefined
  readonly got: readonly string[]
  readonly services: number
}

/** Sends all messages to a bot, and asks its service until it has handed all of them out, or the time is over. */
const watch = async (peer: LagrangePeer, bot: Bot, withinMs: number): Promise<Seen> => {
  const startedAt = performance.now()
  void peer.calm.then(() => peer.say(LAST))
  const talk = EARLY.map((id, n) => setTimeout(() => peer.say(id), n * EVERY_MS))
  let answeredAt: number | undefined
  let got: string[] = []
  while (got.length < MESSAGES.length && performance.now() - startedAt < withinMs) {
    const answer = await ask(bot.services[0])
    if (answer) answeredAt ??= performance.now()
    got = answer ?? got
    await sleep(20)
  }
  for (const timer of talk) clearTimeout(timer)
  return { answeredAt, got: [...new Set(got)], services: bot.services.length }
}

// The way of Lagrange

interface NaiveBot extends Bot {
  /** What it told, oldest first. */
  readonly told: readonly { readonly event: string; readonly [more: string]: unknown }[]
}

const startNaive = (servers: readonly PeerServer[]): NaiveBot => {
  const script = fileURLToPath(new URL('./naive/lagrange.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, JSON.stringify({ servers })], { stdio: ['pipe', 'pipe', 'inherit'] })
  const told: { event: string; [more: string]: unknown }[] = []
  const services: number[] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    const news = JSON.parse(line)
    told.push(news)
    if (news.event === 'service') services.push(news.port)
  })
  const isGone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    told,
    services,
    stop: () => {
      child.kill('SIGKILL')
      return isGone
    },
  }
}

/** With the dead server in its list it never comes further than that one. */
const naiveOnDead = async (): Promise<string> => {
  const peer = await startPeer({ withDead: true })
  const bot = startNaive(peer.servers)
  await sleep(DEAD_MS)
  await bot.stop()
  await peer.close()
  const order = bot.told.find(({ event }) => event === 'probed')?.order as string[]
  return `with the dead server in the list (${order.join(', ')}) it made ${peer.connections} connections`
}

/** Without it. `faults: []` is the control: the same rule where nothing goes wrong. */
export const naiveOn = async (
  faults?: [],
): Promise<Seen & { connections: number; reasons: string[]; heard: number }> => {
  const peer = await startPeer(faults ? { faults } : {})
  const bot = startNaive(peer.servers)
  const seen = await watch(peer, bot, NAIVE_MS)
  await bot.stop()
  await peer.close()
  const of = (name: string) => bot.told.filter(({ event }) => event === name)
  const heard = new Set(of('message').map(({ id }) => id)).size
  return { ...seen, connections: peer.connections, reasons: of('online').map(({ reason }) => String(reason)), heard }
}

const naive = async (): Promise<Side> => {
  const [onDead, seen] = await Promise.all([naiveOnDead(), naiveOn()])
  const { connections, reasons, heard, services } = seen
  return {
    recovered: services > 0,
    recoveredMs: null,
    attempts: connections,
    lost: MESSAGES.length - seen.got.length,
    note:
      `${onDead}; without it, it was online ${reasons.length} times (${reasons.join(', ')}), heard ${heard} messages, ` +
      `and started its HTTP service ${services} times`,
  }
}

// The way of holdfast

const bot = (servers: readonly PeerServer[]): Adapter<string> =>
  defineAdapter<string>({
    name: 'lagrange',
    target: () => servers.map(({ host, port }) => ({ url: `tcp://${host}:${port}`, framing, keyExchange })),
    dialogue: (io) => ({
      opened: () => io.send(JSON.stringify({ op: 'register' })),
      frame: (raw) => {
        const packet = readObject(Buffer.from(raw as Uint8Array).toString())
        if (!packet) return 'malformed'
        const { op, id } = packet
        if (op === 'registered') io.welcome()
        else if (op === 'refused') io.fail('handshake-refused')
        else if (op === 'message') {
          io.deliver(String(id), { id: String(id) })
          io.send(JSON.stringify({ op: 'got', id }))
        } else if (op !== 'alive') return 'unknown'
        return 'taken'
      },
    }),
    probe: () => JSON.stringify({ op: 'heartbeat' }),
  })

const serveOnceLive = (link: Link<string>): Bot => {
  const services: number[] = []
  const got: string[] = []
  link.inbound$.subscribe((id) => got.push(id))
  const http = service(link, {
    name: 'http',
    start: async () => {
      const server = createServer((_request, response) => response.end(JSON.stringify(got)))
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      services.push((server.address() as AddressInfo).port)
      return () => {
        server.closeAllConnections()
        server.close()
      }
    },
  })
  return {
    services,
    stop: async () => {
      await http.stop()
      await link.stop()
    },
  }
}

const holdfast = async (): Promise<Side> => {
  const peer = await startPeer({ withDead: true })
  const link = connect(bot(peer.servers), { id: 'lagrange', deadlines: { connectMs: 1_000 } })
  const held = serveOnceLive(link)
  const { answeredAt, got, services } = await watch(peer, held, HOLDFAST_MS)
  const why = link.recording.kept.filter(({ to }) => to === 'backoff').map(({ reason }) => reason)
  const times = link.recording.kept.filter(({ event }) => event === 'peer.welcomed').length
  await held.stop()
  await peer.close()
  const { wellAt } = peer
  return {
    recovered: services === 1 && got.length === MESSAGES.length,
    recoveredMs: answeredAt === undefined || wellAt === undefined ? null : Math.max(0, Math.round(answeredAt - wellAt)),
    attempts: peer.connections,
    lost: MESSAGES.length - got.length,
    note: `after ${why.join(', ')} it was live ${times} times and started its HTTP service ${services} times`,
  }
}

export const lagrange: Replay = {
  incident: 'lagrange',
  fault:
    'One of three servers answers neither ping nor SYN; the first connection is lost before it has registered, the key ' +
    'exchange of the second fails, and the third is lost while it serves.',
  naive,
  holdfast,
}
