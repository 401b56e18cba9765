/** What watching costs the process that is watched: 10,000 links, 20,000 transitions a second. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { inspect } from '../../src/observe/inspect/index.ts'
import { FakeLink, fakeFleet } from '../observe/fake-link.ts'
import { median, type Report } from './report.ts'

const LINKS = 10_000
const PER_SECOND = 20_000
const TURN_MS = 20
const SECONDS = 5

/** Short records: what is measured is the inspector, and not how the rings of the links fill. */
const RECORDS_MAX = 4
const makeLinks = () => Array.from({ length: LINKS }, (_, i) => new FakeLink(`bot-${i}`, 0, RECORDS_MAX))

/** CPU of this process in milliseconds, for so many seconds of transitions at the rate. */
const cpuOf = async (
  links: readonly FakeLink[],
  seconds: number,
  after: (link: FakeLink) => void = () => undefined,
) => {
  const perTurn = (PER_SECOND * TURN_MS) / 1_000
  const before = process.cpuUsage()
  const startedAt = performance.now()
  let next = 0
  for (let turn = 0; turn < (seconds * 1_000) / TURN_MS; turn++) {
    for (let i = 0; i < perTurn; i++) {
      const link = links[next++ % LINKS]!
      link.go(link.status.state === 'live' ? 'backoff' : 'live')
      after(link)
    }
    await pause(Math.max(0, startedAt + (turn + 1) * TURN_MS - performance.now()))
  }
  const { user, system } = process.cpuUsage(before)
  return { cpuMs: (user + system) / 1_000, wallMs: performance.now() - startedAt }
}

/** A viewer in a process of its own, so that its work is not counted: says the token, reads, counts. */
const VIEWER = `
  import { WebSocket } from 'ws'
  const [url, token, origin] = process.argv.slice(2)
  const socket = new WebSocket(url, { origin })
  let bytes = 0, messages = 0
  socket.on('open', () => token && socket.send(JSON.stringify({ t: 'auth', token })))
  socket.on('message', (data) => { bytes += data.length; messages++ })
  socket.on('message', () => process.connected && messages === 1 && process.send('on'))
  process.on('message', () => process.send({ bytes, messages }))
  process.on('disconnect', () => process.exit())`

const startViewer = async (url: string, token: string, origin: string) => {
  const child = fork('-', [url, token, origin], {
    execArgv: ['--input-type=module', '--eval', VIEWER],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  return {
    on: once(child, 'message'),
    count: async (): Promise<{ bytes: number; messages: number }> => {
      child.send('count')
      const [counted] = await once(child, 'message')
      return counted
    },
    end: () => child.kill('SIGKILL'),
  }
}

const percent = ({ cpuMs, wallMs }: { cpuMs: number; wallMs: number }, less: { cpuMs: number; wallMs: number }) =>
  100 * (cpuMs / wallMs - less.cpuMs / less.wallMs)

const watched = async (report: Report): Promise<void> => {
  const links = makeLinks()
  await cpuOf(links, 1)
  const alone = await cpuOf(links, SECONDS)

  const inspector = await inspect(fakeFleet(...links))
  const unwatched = await cpuOf(links, SECONDS)
  const { origin, host, hash } = new URL(inspector.url)
  const viewer = await startViewer(`ws://${host}/stream`, hash.slice('#token='.length), origin)
  await viewer.on
  await cpuOf(links, 1)
  const before = await viewer.count()
  const one = await cpuOf(links, SECONDS)
  const after = await viewer.count()
  viewer.end()
  await inspector.close()

  const control = await onePerEvent(links)
  const share = percent(one, alone)
  report(
    'one viewer, 20,000 transitions/s over 10,000 links: CPU',
    `${share.toFixed(1)} % of a core`,
    '<= 5 %',
    share <= 5,
  )
  const perS = (counted: number) => Math.round(counted / SECONDS)
  console.log(
    `      ${perS(after.messages - before.messages)} messages/s, ${Math.round(perS(after.bytes - before.bytes) / 1_000)} kB/s`,
  )
  console.log(
    `      control, one message per event: ${percent(control.cpu, alone).toFixed(1)} % of a core, ${Math.round(control.messages / SECONDS)} messages/s`,
  )
  console.log(
    `      the links themselves: ${percent(alone, { cpuMs: 0, wallMs: 1 }).toFixed(1)} %, with an inspector that nobody opens ${percent(unwatched, { cpuMs: 0, wallMs: 1 }).toFixed(1)} %`,
  )
}

const onePerEvent = async (links: readonly FakeLink[]) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const joined = once(server, 'connection')
  const viewer = await startViewer(`ws://127.0.0.1:${port}`, '', 'http://127.0.0.1')
  const [socket] = (await joined) as [WebSocket]
  socket.send('on')
  await viewer.on
  const cpu = await cpuOf(links, SECONDS, (link) => socket.send(JSON.stringify(link.latest)))
  const { messages } = await viewer.count()
  viewer.end()
  server.close()
  return { cpu, messages }
}

/** Nanoseconds per transition of links with an inspector that nobody looks at, above links without. */
const unwatchedCost = async (report: Report): Promise<void> => {
  const time = (links: readonly FakeLink[]) => {
    const startedAt = performance.now()
    for (let i = 0; i < 200_000; i++) {
      const link = links[i % 100]!
      link.go(link.status.state === 'live' ? 'backoff' : 'live')
    }
    return ((performance.now() - startedAt) * 1e6) / 200_000
  }
  const links = makeLinks().slice(0, 100)
  const more: number[] = []
  time(links)
  for (let round = 0; round < 9; round++) {
    const without = time(links)
    const inspector = await inspect(fakeFleet(...links))
    more.push(time(links) - without)
    await inspector.close()
  }
  const cost = median(more)
  report('nobody watches: cost per transition', `${(cost / 1_000).toFixed(2)} µs`, '< 1 µs', cost < 1_000)
}

/** A viewer that reads nothing, until it is let go. */
const stalled = async (report: Report): Promise<void> => {
  const links = makeLinks()
  const inspector = await inspect(fakeFleet(...links))
  const { origin, host, hash } = new URL(inspector.url)
  const socket = new WebSocket(`ws://${host}/stream`, { origin })
  await once(socket, 'open')
  socket.send(JSON.stringify({ t: 'auth', token: hash.slice('#token='.length) }))
  await once(socket, 'message')
  // the rings are full and the heap has its size when it begins
  await cpuOf(links, 4)
  const before = process.memoryUsage().rss
  socket.pause()
  const startedAt = performance.now()
  let peak = before
  let heldS = 0
  while (links[0]!.isWatched && heldS < 60) {
    await cpuOf(links, 0.5)
    peak = Math.max(peak, process.memoryUsage().rss)
    heldS = (performance.now() - startedAt) / 1_000
  }
  const mib = (peak - before) / 1024 ** 2
  report('a viewer that reads nothing: memory until it is let go', `${mib.toFixed(0)} MiB`, '<= 64 MiB', mib <= 64)
  report('… and it is let go after', `${heldS.toFixed(1)} s`, '<= 30 s', heldS <= 30)
  socket.terminate()
  await inspector.close()
}

export const bench = async (report: Report): Promise<void> => {
  await unwatchedCost(report)
  await watched(report)
  await stalled(report)
}
