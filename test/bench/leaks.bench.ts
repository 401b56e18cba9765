/** What is left behind: after many reconnects, after stop(), and at the end of a process. */
import { spawn } from 'node:child_process'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { onebot } from '../../src/adapter/onebot.ts'
import { connect, type Link } from '../../src/link.ts'
import { startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { Churn } from '../delivery/churn.ts'
import { ms, type Report } from './report.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const RECONNECTS = 1_000
const VIRTUAL_RECONNECTS = 100_000
const GROWTH_MAX = 5_000_000
const WARM_UP = 50

const heapBytes = async (): Promise<number> => {
  for (let i = 0; i < 3; i++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
}

/** Gone by themselves within a turn of the loop. */
const PASSING = new Set(['Immediate', 'CloseReq', 'FSReqCallback', 'FSReqPromise'])

const resources = (): string =>
  process
    .getActiveResourcesInfo()
    .filter((kind) => kind !== 'TTYWrap' && kind !== 'PipeWrap' && !PASSING.has(kind))
    .sort()
    .join(' ')

/** The first probe of a session and the like are over by then. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 200))

const until = (link: Link, state: string): Promise<void> =>
  new Promise((resolve) => {
    const subscription = link.state$.subscribe((status) => {
      if (status.state !== state) return
      queueMicrotask(() => subscription.unsubscribe())
      resolve()
    })
  })

const PEER = `
import { WebSocketServer } from 'ws'
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
server.on('connection', (socket) =>
  socket.send(JSON.stringify({ post_type: 'meta_event', meta_event_type: 'lifecycle', sub_type: 'connect' })))
server.on('listening', () => process.send(server.address().port))
process.on('message', () => { for (const socket of server.clients) socket.terminate() })
process.on('disconnect', () => process.exit())
`

/** Welcomes everybody and remembers nothing, in a process of its own: what the heap gains is the link's. */
const forgetfulPeer = async () => {
  const stdio: ['ignore', 'inherit', 'inherit', 'ipc'] = ['ignore', 'inherit', 'inherit', 'ipc']
  const child = spawn(process.execPath, ['--input-type=module', '-e', PEER], { stdio })
  const port = await new Promise<unknown>((resolve) => child.once('message', resolve))
  return {
    url: `ws://127.0.0.1:${port}/`,
    cut: () => void child.send('cut'),
    close: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.disconnect()
      await gone
    },
  }
}

const reconnect = async (peer: { cut(): void }, link: Link, times: number) => {
  for (let i = 0; i < times; i++) {
    peer.cut()
    await until(link, 'backoff')
    link.retry()
    await until(link, 'live')
  }
}

const manyReconnects = async (report: Report) => {
  const before = resources()
  const listenersBefore = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
  const peer = await forgetfulPeer()
  const link = connect(onebot({ url: peer.url })) as Link
  await link.ready()
  await reconnect(peer, link, WARM_UP)
  await settled()
  const held = resources()
  const heapBefore = await heapBytes()
  await reconnect(peer, link, RECONNECTS)
  const grown = (await heapBytes()) - heapBefore
  report(`${RECONNECTS} reconnects: heap growth`, `${Math.round(grown / 1024)} KiB`, '< 5 MB', grown < GROWTH_MAX)
  await settled()
  const same = resources() === held
  report(
    `${RECONNECTS} reconnects: timers and sockets`,
    same ? 'as before' : `${held} -> ${resources()}`,
    'as before',
    same,
  )
  await link.stop()
  await peer.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
  report(
    'after stop(): listeners on the process',
    String(listeners),
    String(listenersBefore),
    listeners === listenersBefore,
  )
  report('after stop(): timers and sockets', resources() || 'none', before || 'none', resources() === before)
}

/** Lost and resumed, refused and moved, in virtual time. */
const manyVirtualReconnects = async (report: Report) => {
  const churn = new Churn()
  await churn.clock.advance(100)
  await churn.reconnect(2_000)
  await churn.rest()
  const [heapBefore, early] = [await heapBytes(), churn.left]
  const begun = performance.now()
  await churn.reconnect(VIRTUAL_RECONNECTS)
  const took = performance.now() - begun
  await churn.rest()
  const grown = (await heapBytes()) - heapBefore
  const what = `${VIRTUAL_RECONNECTS} reconnects in virtual time`
  const { moved, resumed } = churn.done
  console.log(`  ${what}: ${ms(took)}, ${moved} of them moves, ${resumed} resumes`)
  report(`${what}: heap growth`, `${Math.round(grown / 1024)} KiB`, '< 5 MB', grown < GROWTH_MAX)
  const [was, is] = [JSON.stringify(early), JSON.stringify(churn.left)]
  report(`${what}: timers, listeners`, was === is ? 'as before' : `${was} -> ${is}`, 'as before', was === is)
  await churn.stop()
  const { timers, transports, abortListeners } = churn.left
  const left = timers + transports + abortListeners
  report(`${what}, then stop(): left`, String(left), '0', left === 0)
}

const stops = async (report: Report) => {
  const states = {
    backoff: { behaviour: { refuse: 503 } },
    handshaking: { behaviour: 'silent' },
    live: { behaviour: 'healthy' },
    parked: { behaviour: { refuse: 401 } },
  } as const
  for (const [state, config] of Object.entries(states)) {
    const peer = await startOnebotPeer(config)
    const link = connect(onebot({ url: peer.url })) as Link
    await until(link, state)
    const begun = performance.now()
    await link.stop()
    const took = performance.now() - begun
    report(`stop() from ${state}`, ms(took), '<= 4 s', took <= 4_000)
    await peer.close()
  }
  const peer = await startOnebotPeer()
  const link = connect(onebot({ url: peer.url })) as Link
  await link.ready()
  peer.behave('silent')
  const begun = performance.now()
  await link.stop()
  const took = performance.now() - begun
  report('stop() from live, peer frozen', ms(took), '<= 4 s', took <= 4_000)
  await peer.close()
}

const SCRIPT = `
import { connect } from './dist/index.mjs'
import { onebot } from './dist/onebot.mjs'
const link = connect(onebot({ url: process.argv[1] }))
await link.ready().catch(() => undefined)
await link.stop()
console.log('stopped')
`

const exits = async (report: Report) => {
  const peer = await startOnebotPeer()
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, peer.url])
  let stoppedAt = 0
  child.stdout.on('data', () => {
    stoppedAt = performance.now()
  })
  await new Promise((resolve) => child.once('exit', resolve))
  const took = stoppedAt === 0 ? Number.POSITIVE_INFINITY : performance.now() - stoppedAt
  report('after stop() the process exits by itself within', ms(took), '<= 1 s', took <= 1_000)
  await peer.close()
}

export const bench = async (report: Report): Promise<void> => {
  await manyReconnects(report)
  await manyVirtualReconnects(report)
  await stops(report)
  await exits(report)
}
