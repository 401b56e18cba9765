/** What watching costs the process that is watched, and what nobody watching costs: 10,000 links, 20,000 transitions a second. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { WebSocket, WebSocketServer } from 'ws'
import { createActor } from 'xstate'
import { type LinkEvent, linkMachine, type StateName, stateName } from '../../machines/link.ts'
import { inspect } from '../../src/observe/inspect/index.ts'
import { eventName, Recorder, reasonOf } from '../../src/observe/recorder.ts'
import { steppingActor } from '../../src/steps.ts'
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
  report('… and an inspector that nobody has open', `${(cost / 1_000).toFixed(2)} µs`, '< 1 µs', cost < 1_000)
}

/** The chart through its life again and again, as nothing that costs more is bound to it. */
const circle = [
  { type: 'endpoint.resolved' },
  { type: 'transport.opened' },
  { type: 'peer.welcomed' },
  { type: 'replay.completed' },
  { type: 'transport.lost', fault: { code: 'refused' } },
  { type: 'dial.invited', reason: 'operator' },
] as const satisfies LinkEvent[]

const noClock = { setTimeout: () => 0, clearTimeout: () => undefined }

/** Microseconds of the processor for each transition of an actor that says its steps to nobody, to us, or to XState's inspection. */
const perTransition = (way: 'alone' | 'told' | 'inspected'): number => {
  const recorder = new Recorder()
  const note = (event: { type: string }, to: StateName) => {
    const reason = reasonOf(event, event.type, to, null)
    recorder.add({
      link: 'bot',
      at: 1,
      elapsedMs: 1,
      from: 'live',
      event: eventName(event.type),
      to,
      reason,
      attempt: 1,
    })
  }
  const options = { input: { id: 'bot' }, clock: noClock }
  const actor =
    way === 'told'
      ? steppingActor(linkMachine, options, (event, snapshot) => note(event, stateName(snapshot.value)))
      : createActor(linkMachine, {
          ...options,
          ...(way === 'inspected' && {
            inspect: (told) => {
              if (told.type !== '@xstate.snapshot' || told.rootId !== told.actorRef.sessionId) return
              note(told.event, stateName((told.snapshot as unknown as { value: unknown }).value))
            },
          }),
        })
  actor.start()
  const before = process.cpuUsage()
  for (let i = 0; i < STEPS; i++) actor.send(circle[i % circle.length]!)
  // of the processor, as others may be busy on this machine
  const { user, system } = process.cpuUsage(before)
  actor.stop()
  return (user + system) / STEPS
}

const STEPS = 100_000
const ROUNDS = 15

/** What a link pays for its own record, which its ring, its log and its trace are made of. */
const recordCost = (report: Report): void => {
  const ways = ['alone', 'told', 'inspected'] as const
  const rounds = Array.from({ length: ROUNDS + 1 }, () => ways.map(perTransition)).slice(1)
  const [alone, told, inspected] = ways.map((_, way) => Math.min(...rounds.map((round) => round[way]!)))
  const cost = told! - alone!
  report('nobody watches: the record of a transition', `${cost.toFixed(2)} µs`, '< 1 µs', cost < 1)
  console.log(
    `      the chart alone ${alone!.toFixed(2)} µs; control, by XState's inspection ${(inspected! - alone!).toFixed(2)} µs more`,
  )
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** The garbage of 20,000 transitions a second is nobody's viewer. */
const rssWithoutGarbage = (): number => {
  collect()
  return process.memoryUsage().rss
}

/** Viewers that read nothing, until all are let go. */
const stalled = async (report: Report): Promise<void> => {
  const links = makeLinks()
  const inspector = await inspect(fakeFleet(...links))
  const { origin, host, hash } = new URL(inspector.url)
  // the rings are full and the heap has its size when it begins
  await cpuOf(links, 4)
  const before = rssWithoutGarbage()
  let refused = 0
  const sockets: WebSocket[] = []
  for (let i = 0; i < SLOW; i++) {
    const socket = new WebSocket(`ws://${host}/stream`, { origin })
    socket.on('error', () => refused++)
    socket.on('open', () => {
      socket.send(JSON.stringify({ t: 'auth', token: hash.slice('#token='.length) }))
      socket.once('message', () => socket.pause())
      sockets.push(socket)
    })
  }
  while (sockets.length + refused < SLOW) await pause(10)
  const startedAt = performance.now()
  let peak = before
  let heldS = 0
  while (links[0]!.isWatched && heldS < 60) {
    await cpuOf(links, 0.5)
    peak = Math.max(peak, rssWithoutGarbage())
    heldS = (performance.now() - startedAt) / 1_000
  }
  const mib = (peak - before) / 1024 ** 2
  const who = `${SLOW} viewers that read nothing (${sockets.length} are let in)`
  report(`${who}: memory`, `${mib.toFixed(0)} MiB`, '<= 150 MiB', mib <= 150)
  report('… and they are let go after', `${heldS.toFixed(1)} s`, '10 s, asked each second', heldS >= 9 && heldS <= 13)
  for (const socket of sockets) socket.terminate()
  await inspector.close()
}

const SLOW = 1_000

export const bench = async (report: Report): Promise<void> => {
  recordCost(report)
  await unwatchedCost(report)
  await watched(report)
  await stalled(report)
}
