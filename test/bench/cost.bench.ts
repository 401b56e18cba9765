/** What a link costs a peer that is in trouble: dials that the peer really saw, in real time. */
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import { onebot } from '../../src/adapter/onebot.ts'
import { satori } from '../../src/adapter/satori.ts'
import { connect, type Link } from '../../src/link.ts'
import { type Behaviour, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import type { Report } from './report.ts'

const dialsSeen = async (behaviour: Behaviour, forMs: number): Promise<number> => {
  const peer = await startOnebotPeer({ behaviour })
  const link = connect(onebot({ url: peer.url }))
  await pause(forMs)
  const dials = peer.records.filter(({ kind }) => kind === 'dial').length
  await link.stop({ drainMs: 0 })
  await peer.close()
  return dials
}

/** A port that was just free: nothing listens there. */
const emptyPort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

const dialsIntoNothing = async (forMs: number): Promise<number> => {
  const link = connect(onebot({ url: `ws://127.0.0.1:${await emptyPort()}` }))
  await pause(forMs)
  const dials = link.recording.kept.filter(({ to }) => to === 'connecting').length
  await link.stop()
  return dials
}

const parked = (link: Link): Promise<string> =>
  link.ready().then(
    () => 'live',
    () => link.explain().text,
  )

const refusals = async (report: Report) => {
  for (const behaviour of [{ refuse: 401 }, 'napcat-1403', { refuse: 403 }] as const) {
    const peer = await startOnebotPeer({ behaviour })
    const link = connect(onebot({ url: peer.url, accessToken: 'wrong-token' }), { id: 'bot' }) as Link
    const text = await parked(link)
    const { state, attempt } = link.status
    const name = typeof behaviour === 'string' ? behaviour : `HTTP ${behaviour.refuse}`
    report(`${name}: parked after`, `${attempt} attempts`, '<= 2 and advice', state === 'parked' && attempt <= 2)
    console.log(`      ${text}`)
    await link.stop()
    await peer.close()
  }
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await new Promise((resolve) => server.once('listening', resolve))
  server.on('connection', (socket) => socket.on('message', () => socket.close(4004, 'invalid token')))
  const { port } = server.address() as { port: number }
  const link = connect(satori({ url: `ws://127.0.0.1:${port}/v1/events`, token: 'wrong-token' }), { id: 'bot' }) as Link
  console.log(`      ${await parked(link)}`)
  const { state, attempt } = link.status
  report('Satori 4004: parked after', `${attempt} attempts`, '<= 2 and advice', state === 'parked' && attempt <= 2)
  await link.stop()
  server.close()
}

const throttled = async (report: Report) => {
  const peer = await startOnebotPeer({ behaviour: { refuse: 429, retryAfter: '7' } })
  const link = connect(onebot({ url: peer.url }))
  await pause(9_500)
  const [first, second] = peer.records.filter(({ kind }) => kind === 'dial').map(({ at }) => at)
  const waited = (second ?? Number.POSITIVE_INFINITY) - first!
  report('429 with Retry-After 7: next dial after', `${Math.round(waited)} ms`, '>= 7 s', waited >= 7_000)
  await link.stop()
  await peer.close()
}

export const bench = async (report: Report): Promise<void> => {
  const [dying, dropping, vacant] = await Promise.all([
    dialsSeen({ closeAfterWelcome: 'destroy' }, 30_000),
    dialsSeen('accept-and-drop', 60_000),
    dialsIntoNothing(60_000),
    refusals(report),
    throttled(report),
  ])
  report('peer accepts, welcomes and dies: dials in 30 s', String(dying), '<= 8', dying <= 8)
  report('peer accepts and drops: dials in 60 s', String(dropping), '<= 10', dropping <= 10)
  report('nothing listens: dials in 60 s', String(vacant), '<= 40', vacant <= 40)
}
