import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import {
  type Behaviour,
  type OnebotPeer,
  type OnebotPeerConfig,
  privateMessage,
  startOnebotPeer,
} from '../../src/testing/onebot-peer.ts'

type Frame = Readonly<Record<string, unknown>>

/** A raw client that keeps everything it sees. */
class Client {
  readonly frames: Frame[] = []
  readonly socket: WebSocket
  pongs = 0
  error: (Error & { code?: string }) | null = null
  refused: { status: number | undefined; retryAfter: string | undefined } | null = null
  closed: { code: number; reason: string } | null = null

  constructor(url: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(url, { headers })
    this.socket.on('message', (data) => this.frames.push(JSON.parse(data.toString()) as Frame))
    this.socket.on('pong', () => this.pongs++)
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
    })
    this.socket.on('error', (error) => {
      this.error = error
    })
    this.socket.on('unexpected-response', (request, response) => {
      this.refused = { status: response.statusCode, retryAfter: response.headers['retry-after'] }
      request.destroy()
    })
  }

  async call(action: string, params: object = {}): Promise<Frame> {
    const echo = { action, turn: this.frames.length }
    this.socket.send(JSON.stringify({ action, params, echo }))
    return await until(() => {
      const answer = this.frames.find((frame) => JSON.stringify(frame.echo) === JSON.stringify(echo))
      expect(answer).toBeDefined()
      return answer!
    })
  }
}

const until = <T>(check: () => T) => vi.waitFor(check, { timeout: 2_000, interval: 5 })
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const isWelcomed = (client: Client) => until(() => expect(client.frames[0]).toMatchObject({ sub_type: 'connect' }))
const kinds = (peer: OnebotPeer) => peer.records.map((record) => record.kind)

const peers: OnebotPeer[] = []
const clients: Client[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate()
  for (const peer of peers.splice(0)) await peer.close()
})

async function start(config: OnebotPeerConfig = {}): Promise<OnebotPeer> {
  const peer = await startOnebotPeer(config)
  peers.push(peer)
  return peer
}

function dial(peer: OnebotPeer, path = '', headers: Record<string, string> = {}): Client {
  const client = new Client(peer.url + path, headers)
  clients.push(client)
  return client
}

describe('a healthy peer', () => {
  it('welcomes with a lifecycle event, and beats at the interval that it announces', async () => {
    const peer = await start({ heartbeatMs: 30, selfId: 42 })
    const client = dial(peer)
    await until(() => expect(client.frames.length).toBeGreaterThanOrEqual(3))
    const [welcome, beat] = client.frames
    expect(welcome).toEqual({
      time: expect.any(Number),
      self_id: 42,
      post_type: 'meta_event',
      meta_event_type: 'lifecycle',
      sub_type: 'connect',
    })
    expect(beat).toEqual({
      time: expect.any(Number),
      self_id: 42,
      post_type: 'meta_event',
      meta_event_type: 'heartbeat',
      interval: 30,
      status: { online: true, good: true },
    })
    client.socket.ping()
    await until(() => expect(client.pongs).toBe(1))
  })

  it('answers the actions that it knows, and says which it does not', async () => {
    const peer = await start({ selfId: 42 })
    const client = dial(peer)
    await isWelcomed(client)
    expect(await client.call('get_status')).toMatchObject({ status: 'ok', retcode: 0, data: { online: true } })
    expect(await client.call('get_login_info')).toMatchObject({ data: { user_id: 42 } })
    expect(await client.call('get_version_info')).toMatchObject({ data: { protocol_version: 'v11' } })
    expect(await client.call('get_friend_list')).toMatchObject({ data: [{ user_id: 10_001 }] })
    expect(await client.call('get_group_list')).toMatchObject({ data: [{ group_id: 20_001 }] })
    expect(await client.call('send_msg', { user_id: 1, message: 'a' })).toMatchObject({ data: { message_id: 1 } })
    expect(await client.call('send_private_msg', { message: 'b' })).toMatchObject({ data: { message_id: 2 } })
    expect(await client.call('send_group_msg', { message: 'c' })).toMatchObject({ data: { message_id: 3 } })
    expect(await client.call('fly')).toMatchObject({ status: 'failed', retcode: 1404, data: null })
    expect(peer.records).toContainEqual({
      at: expect.any(Number),
      kind: 'action',
      connection: 1,
      action: 'send_msg',
      params: { user_id: 1, message: 'a' },
    })
  })

  it.each(['{"action":', 'null', '[]', '{"action":7}', '"hello"'])('answers 1400 to %s', async (text) => {
    const peer = await start()
    const client = dial(peer)
    await isWelcomed(client)
    client.socket.send(text)
    await until(() => expect(client.frames[1]).toMatchObject({ status: 'failed', retcode: 1400, echo: null }))
    expect(await client.call('get_status')).toMatchObject({ status: 'ok' })
  })

  it('numbers what it emits, and keeps nothing for those who are away', async () => {
    const peer = await start()
    expect(peer.emit(privateMessage('to nobody'))).toBe(1)
    const [one, two] = [dial(peer), dial(peer)]
    await isWelcomed(one)
    await isWelcomed(two)
    expect(peer.emit(privateMessage('to both'))).toBe(2)
    for (const client of [one, two]) {
      await until(() => expect(client.frames[1]).toMatchObject({ message_id: 2, raw_message: 'to both' }))
      expect(client.frames).toHaveLength(2)
    }
    const receivers = peer.records.flatMap((record) => (record.kind === 'event' ? [record.receivers] : []))
    expect(receivers).toEqual([0, 2])
  })

  it('says that the account is offline, in heartbeats and when it is asked', async () => {
    const peer = await start({ heartbeatMs: 20 })
    const client = dial(peer)
    await isWelcomed(client)
    peer.setOnline(false)
    await until(() => expect(client.frames.at(-1)).toMatchObject({ status: { online: false, good: true } }))
    expect(await client.call('get_status')).toMatchObject({ data: { online: false, good: true } })
  })

  it('gives /api no events and takes no actions on /event', async () => {
    const peer = await start()
    const [api, event] = [dial(peer, '/api'), dial(peer, '/event')]
    await isWelcomed(event)
    expect(await api.call('get_status')).toMatchObject({ status: 'ok' })
    event.socket.send(JSON.stringify({ action: 'get_status', echo: 1 }))
    peer.emit(privateMessage('ahoy'))
    await until(() => expect(event.frames).toHaveLength(2))
    expect(event.frames[1]).toMatchObject({ raw_message: 'ahoy' })
    expect(api.frames).toHaveLength(1)
  })

  it('keeps only the latest 10 000 records', async () => {
    const peer = await start()
    for (let i = 0; i < 10_005; i++) peer.emit(privateMessage('x'))
    expect(peer.records).toHaveLength(10_000)
    expect(peer.records[0]).toMatchObject({ number: 6 })
  })
})

describe('tokens', () => {
  it.each([
    ['in the header', '', { authorization: 'Bearer secret' }],
    ['in the query', '/?access_token=secret', {}],
  ])('lets in who shows the token %s, and keeps it out of the records', async (_where, path, headers) => {
    const peer = await start({ token: 'secret' })
    await isWelcomed(dial(peer, path, headers))
    expect(JSON.stringify(peer.records)).not.toContain('secret')
  })

  it.each([
    ['none', '', {}],
    ['a wrong one', '', { authorization: 'Bearer nonsense' }],
    [
      'a wrong one in the query, which counts before the header',
      '/?access_token=x',
      { authorization: 'Bearer secret' },
    ],
  ])('meets %s as NapCat does', async (_what, path, headers) => {
    const peer = await start({ token: 'secret', heartbeatMs: 10 })
    const client = dial(peer, path, headers)
    await until(() => expect(client.closed).toEqual({ code: 1005, reason: '' }))
    expect(client.frames).toEqual([
      { status: 'failed', retcode: 1403, data: null, message: 'token验证失败', wording: 'token验证失败', echo: null },
    ])
    expect(kinds(peer)).toEqual(['dial', 'upgrade', 'refused', 'close'])
  })
})

describe('a peer that misbehaves at the door', () => {
  it.each([200, 401, 403, 404, 429, 503] as const)('refuses with %i', async (status) => {
    const peer = await start({ behaviour: { refuse: status } })
    const client = dial(peer)
    await until(() => expect(client.refused).toEqual({ status, retryAfter: undefined }))
    expect(kinds(peer)).toEqual(['dial', 'refused'])
  })

  it('says when to come again', async () => {
    const peer = await start({ behaviour: { refuse: 429, retryAfter: '7' } })
    const client = dial(peer)
    await until(() => expect(client.refused).toEqual({ status: 429, retryAfter: '7' }))
  })

  it('accepts and drops', async () => {
    const peer = await start({ behaviour: 'accept-and-drop' })
    const client = dial(peer)
    await until(() => expect(client.closed?.code).toBe(1006))
    // `ws` says "socket hang up" or "read ECONNRESET", as the two ends happen to meet; both carry this code.
    expect(client.error?.code).toBe('ECONNRESET')
    expect(kinds(peer)).toEqual(['dial'])
  })

  it('stalls the upgrade, and notices when the client leaves', async () => {
    const peer = await start({ behaviour: 'stall-upgrade' })
    const socket = connect(peer.port, '127.0.0.1')
    let heard = ''
    socket.on('data', (chunk) => {
      heard += chunk.toString()
    })
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    await pause(100)
    expect(heard).toBe('')
    socket.end()
    await once(socket, 'close')
    expect(kinds(peer)).toEqual(['dial'])
  })

  it('answers the upgrade late, and not at all if it is cut before', async () => {
    const peer = await start({ behaviour: { upgradeAfterMs: 60 } })
    const patient = dial(peer)
    const begun = performance.now()
    await isWelcomed(patient)
    expect(performance.now() - begun).toBeGreaterThan(50)
    const cut = dial(peer)
    await until(() => expect(kinds(peer)).toEqual(['dial', 'upgrade', 'dial']))
    peer.cut()
    await until(() => expect(cut.closed?.code).toBe(1006))
    await pause(80)
    expect(kinds(peer).filter((kind) => kind === 'upgrade')).toHaveLength(1)
  })

  it('plays NapCat with a wrong token to everyone', async () => {
    const peer = await start({ behaviour: 'napcat-1403' })
    const client = dial(peer)
    await until(() => expect(client.closed?.code).toBe(1005))
    expect(client.frames).toMatchObject([{ retcode: 1403 }])
  })

  it.each([1000, 1001, 1005, 1012, 1013, 4004])('welcomes and closes with %i', async (code) => {
    const peer = await start({ behaviour: { closeAfterWelcome: code } })
    const client = dial(peer)
    await until(() => expect(client.closed?.code).toBe(code))
    expect(client.frames).toMatchObject([{ sub_type: 'connect' }])
  })

  it('welcomes and, after a while, destroys', async () => {
    const peer = await start({ behaviour: { closeAfterWelcome: 'destroy', afterMs: 50 } })
    const client = dial(peer)
    await isWelcomed(client)
    expect(await client.call('get_status')).toMatchObject({ status: 'ok' })
    await until(() => expect(client.closed?.code).toBe(1006))
  })
})

describe('a peer that misbehaves inside', () => {
  it('is silent from the start: no event, no answer, no pong, no answer to a close frame, whatever comes later', async () => {
    const peer = await start({ behaviour: 'silent', heartbeatMs: 10 })
    const client = dial(peer)
    await once(client.socket, 'open')
    client.socket.ping()
    client.socket.send(JSON.stringify({ action: 'get_status', echo: 1 }))
    await until(() => expect(kinds(peer)).toContain('action'))
    peer.behave('healthy')
    expect(peer.emit(privateMessage('anyone?'))).toBe(1)
    client.socket.close()
    await pause(100)
    expect({ frames: client.frames, pongs: client.pongs, closed: client.closed }).toEqual({
      frames: [],
      pongs: 0,
      closed: null,
    })
    client.socket.terminate()
    await until(() => expect(peer.connections).toBe(0))
  })

  it('falls silent in the middle of a good session, and finds its voice again', async () => {
    const peer = await start({ heartbeatMs: 10 })
    const client = dial(peer)
    await isWelcomed(client)
    peer.behave('silent')
    await pause(20)
    const heard = client.frames.length
    client.socket.ping()
    await pause(50)
    expect(client.frames).toHaveLength(heard)
    expect(client.pongs).toBe(0)
    peer.behave('healthy')
    await until(() => expect(client.frames.length).toBeGreaterThan(heard))
  })

  it.each<[Behaviour, boolean, boolean]>([
    ['no-heartbeat', false, true],
    ['no-answers', true, false],
  ])('%s: heartbeats %s, answers %s', async (behaviour, beats, answers) => {
    const peer = await start({ behaviour, heartbeatMs: 10 })
    const client = dial(peer)
    await isWelcomed(client)
    client.socket.send(JSON.stringify({ action: 'get_status', echo: 1 }))
    await pause(60)
    expect(client.frames.some((frame) => frame.meta_event_type === 'heartbeat')).toBe(beats)
    expect(client.frames.some((frame) => frame.echo === 1)).toBe(answers)
  })
})

describe('the end', () => {
  it('cuts every socket, those that stall included, and goes on listening', async () => {
    const peer = await start({ behaviour: 'stall-upgrade' })
    const stalled = dial(peer)
    await until(() => expect(kinds(peer)).toEqual(['dial']))
    peer.behave('healthy')
    const client = dial(peer)
    await isWelcomed(client)
    peer.cut()
    await until(() => expect([stalled.closed?.code, client.closed?.code]).toEqual([1006, 1006]))
    await isWelcomed(dial(peer))
    expect(peer.connections).toBe(1)
  })

  it.each([
    [1012, 1012],
    [4004, 4004],
    ['destroy', 1006],
    ['reset', 1006],
  ] as const)('dismisses everybody by %s, and goes on listening', async (how, code) => {
    const peer = await start()
    const client = dial(peer)
    await isWelcomed(client)
    peer.dismiss(how)
    await until(() => expect(client.closed?.code).toBe(code))
    await isWelcomed(dial(peer))
  })

  it('resets TCP', async () => {
    const peer = await start()
    const socket = connect(peer.port, '127.0.0.1')
    await until(() => expect(kinds(peer)).toEqual(['dial']))
    peer.dismiss('reset')
    const [error] = (await once(socket, 'error')) as [Error & { code: string }]
    expect(error.code).toBe('ECONNRESET')
  })

  it('leaves no timer and no socket behind', async () => {
    const resources = async () => {
      // Sockets of earlier moments take a while to go.
      await pause(100)
      return process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP') || name === 'Timeout').length
    }
    const before = await resources()
    const peer = await startOnebotPeer({ heartbeatMs: 60_000, behaviour: { closeAfterWelcome: 1000, afterMs: 60_000 } })
    const guests = [dial(peer), dial(peer)]
    for (const guest of guests) await isWelcomed(guest)
    // Four sockets, one listener, a heartbeat and a farewell for each guest.
    expect(await resources()).toBeGreaterThanOrEqual(before + 9)

    await peer.close()
    await peer.close()
    for (const guest of guests) await until(() => expect(guest.closed?.code).toBe(1006))
    expect(peer.connections).toBe(0)
    expect(await resources()).toBe(before)
  })
})
