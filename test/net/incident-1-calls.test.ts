/**
 * Incident 1, statements 3 to 7: what a bot of Telegram's shape makes of its first calls. The protocol is the test's own,
 * over our WebSocket transport and real sockets; time is virtual. What needs a long poll (8, and that of 7) is not here.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { faults } from '../../machines/fault.ts'
import { type Adapter, defineAdapter } from '../../src/adapter/adapter.ts'
import { readObject } from '../../src/adapter/json.ts'
import { connect, type Link } from '../../src/link.ts'
import type { Recording } from '../../src/observe/recorder.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { closeAll, rawServer, refusing, until } from '../transport/servers.ts'
import { atEnd, clearLoopback, sleep } from './loopback.ts'

afterEach(clearLoopback)
afterEach(closeAll)

type Call = 'getMe' | 'getAvatar'
type Calls = Record<Call, { params: undefined; result: unknown }>

/** The handshake is a call, `getMe`, and beside it goes one that is nice to have. */
const botApi = (port: number): Adapter<unknown, never, Calls> =>
  defineAdapter({
    name: 'bot-api',
    target: { url: `ws://127.0.0.1:${port}/` },
    dialogue: (io) => ({
      opened: () => {
        io.heartbeat({ expectMs: 25_000 })
        for (const method of ['getMe', 'getAvatar']) io.send(JSON.stringify({ method, key: method }))
      },
      frame: (raw) => {
        const { key, ok, code, retryAfter } = readObject(raw) ?? {}
        if (key !== 'getMe') ok ? io.answer(String(key), ok) : io.refuse(String(key), String(code))
        else if (ok) io.welcome()
        else if (code === 401) io.fail('credentials-rejected')
        else io.fail('throttled', { retryAfterMs: Number(retryAfter) * 1_000 })
        return 'taken'
      },
    }),
    request: (method, _params, key) => ({ frame: JSON.stringify({ method, key }), proof: 'answer' }),
  })

interface Peer {
  readonly port: number
  readonly sockets: readonly WebSocket[]
  /** Every call and ping, with the number of its connection. */
  readonly heard: readonly string[]
  /** Says nothing from now on, not even a pong. */
  mute(): void
}

/** A server that answers each call of each connection, from 1, as `reply` says, or not at all. */
const peer = async (reply: (method: Call, connection: number) => object | undefined): Promise<Peer> => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, autoPong: false })
  const sockets: WebSocket[] = []
  const heard: string[] = []
  let isMute = false
  server.on('connection', (socket) => {
    const connection = sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('ping', (mark) => {
      heard.push(`${connection} ping`)
      if (!isMute) socket.pong(mark)
    })
    socket.on('message', (data) => {
      const { method, key } = JSON.parse(String(data)) as { method: Call; key: string }
      heard.push(`${connection} ${method}`)
      const answer = reply(method, connection)
      if (answer) socket.send(JSON.stringify({ key, ...answer }))
    })
  })
  atEnd(() => {
    for (const socket of sockets) socket.terminate()
    server.close()
  })
  await once(server, 'listening')
  const mute = () => {
    isMute = true
  }
  return { port: (server.address() as AddressInfo).port, sockets, heard, mute }
}

const linkTo = (port: number, seed = 1): { clock: HeapClock; link: Link<unknown, never, Calls> } => {
  const clock = heapClock(seed)
  const link = connect(botApi(port), { clock, proxy: false })
  atEnd(() => {
    void link.stop({ drainMs: 1 })
    clock.advanceSync(10)
  })
  return { clock, link }
}

const dialsOf = ({ recording }: { recording: Recording }): number =>
  recording.kept.filter(({ to }) => to === 'connecting').length

const RETRY_AFTER_S = 30

describe('incident 1', () => {
  it('incident 1.3 three handshakes whose first call times out: live with the fourth, and nobody did anything', async () => {
    const { port, heard } = await peer((_method, connection) => (connection <= 3 ? undefined : { ok: true }))
    const { clock, link } = linkTo(port)
    for (let attempt = 1; attempt <= 3; attempt++) {
      await until(() => heard.includes(`${attempt} getMe`))
      await clock.advance(15_000)
      expect(link.status).toMatchObject({
        state: 'backoff',
        fault: { code: 'handshake-timeout' },
        attempt: attempt + 1,
      })
      await clock.advance(link.status.nextDialAt! - clock.wall())
    }
    await until(() => link.status.state === 'live')
    expect(link.status.attempt).toBe(4)
  })

  it.each([
    ['is refused', { code: 400 }],
    ['is never answered', undefined],
  ])('incident 1.4 an optional call that %s keeps nobody from the welcome, nor ends what is live', async (_what, reply) => {
    const { port, heard } = await peer((method) => (method === 'getMe' ? { ok: true } : reply))
    const { clock, link } = linkTo(port)
    await until(() => link.status.state === 'live' && heard.includes('1 getAvatar'))
    const asked = link.call('getAvatar', undefined, { withinMs: 500 }).then(
      () => expect.unreachable(),
      ({ code }) => code,
    )
    if (reply === undefined) await clock.advance(500)
    expect(await asked).toBe(reply === undefined ? 'uncertain' : 'refused')
    expect(link.recording.kept.map(({ to }) => to)).toEqual(['connecting', 'handshaking', 'registered', 'live'])
  })

  it.each([
    ['the upgrade', () => rawServer(refusing(429, { 'Retry-After': String(RETRY_AFTER_S) }))],
    ['the call', () => peer(() => ({ code: 429, retryAfter: RETRY_AFTER_S }))],
  ])('incident 1.5 %s is answered with a retry_after of 30 s: nobody dials for 30 s, and each does within 33 s', async (_what, open) => {
    const { port } = await open()
    for (let seed = 1; seed <= 20; seed++) {
      const { clock, link } = linkTo(port, seed)
      await until(() => link.status.state === 'backoff')
      await clock.advance(1_000 * RETRY_AFTER_S - 1)
      link.retry()
      expect(dialsOf(link)).toBe(1)
      await clock.advance(100 * RETRY_AFTER_S + 1)
      expect(dialsOf(link)).toBe(2)
    }
  })

  it.each([
    ['the upgrade', () => rawServer(refusing(401)), 'upgrade-unauthorized'],
    ['the call', () => peer(() => ({ code: 401 })), 'credentials-rejected'],
  ] as const)('incident 1.6 %s is answered with 401: no further request in 10 min, and the credentials are blamed', async (_what, open, code) => {
    const { port } = await open()
    const { clock, link } = linkTo(port)
    await until(() => link.status.state === 'parked')
    await clock.advance(600_000)
    expect(dialsOf(link)).toBe(1)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code } })
    expect(faults[code].side).toBe('person')
  })

  it('incident 1.7 a peer that falls silent: not live for 35 s without a byte, the socket gone, and a new attempt', async () => {
    const { port, sockets, heard, mute } = await peer(() => ({ ok: true }))
    const { clock, link } = linkTo(port)
    await until(() => link.status.state === 'live')
    // the first probe is answered: from now on the link knows that this peer is quick
    await clock.advance(1)
    await until(() => heard.includes('1 ping'))
    await sleep(50)
    mute()
    const silentSince = clock.now()
    while (link.status.state === 'live') await clock.advance(100)
    expect(clock.now() - silentSince).toBeLessThanOrEqual(35_000)
    expect(link.status.state).toBe('degraded.suspect')
    while (link.status.state !== 'backoff') await clock.advance(100)
    await until(() => sockets[0]!.readyState === sockets[0]!.CLOSED)
    await clock.advance(link.status.nextDialAt! - clock.wall())
    await until(() => link.status.state === 'live')
    expect(sockets).toHaveLength(2)
  })
})
