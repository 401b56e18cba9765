/** Links that wait at a listener: peers come, go, come twice, come early and do not come. */
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { onebot } from '../../src/adapter/onebot.ts'
import { HoldfastError } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { type ListenerOptions, listener } from '../../src/listen/listener.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { privateMessage, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { cleanUp, closeAll, dialing, held, SELF_ID, TOKEN, until, waiting } from './callers.ts'

afterEach(closeAll)

const bearer = { Authorization: `Bearer ${TOKEN}` }
const message = (text: string) => JSON.stringify({ time: 2, self_id: 10_001, post_type: 'message', raw_message: text })

describe('a peer that dials us', () => {
  it('makes the link live by its lifecycle, is heard, is asked and answers', async () => {
    const { link, port } = await waiting()
    const heard: unknown[] = []
    link.inbound$.subscribe((event) => heard.push(event))
    const peer = dialing(port.port)
    await link.ready()
    peer.ws.send(message('hi'))
    await until(() => heard.length === 1)
    expect(heard[0]).toMatchObject({ raw_message: 'hi' })
    expect(await link.call('get_status', {})).toEqual({ online: true, good: true })
  })

  it('finds its own link among many behind one port, by account and by path', async () => {
    const port = listener({ port: 0, token: TOKEN })
    const make = (selfId: number, path = '/') => held(connect(onebot({ listener: port, selfId, path })))
    const links = [make(10_001), make(10_002), make(10_001, '/other')]
    await until(() => port.port > 0)
    dialing(port.port, { ...bearer, 'X-Self-ID': '10002' })
    await until(() => links[1]!.status.state === 'live')
    dialing(port.port, bearer, { path: '/other' })
    await until(() => links[2]!.status.state === 'live')
    expect(links[0]!.status.state).toBe('connecting')
  })

  it('is whoever comes first where no account is named, and nobody else while that one is here', async () => {
    const { link, port } = await waiting({ selfId: undefined } as never)
    const first = dialing(port.port, { ...bearer, 'X-Self-ID': '7' })
    await link.ready()
    expect(await dialing(port.port, { ...bearer, 'X-Self-ID': '8' }).status).toBe(403)
    first.ws.close()
    await until(() => link.status.state !== 'live')
    expect(await dialing(port.port, { ...bearer, 'X-Self-ID': '8' }).status).toBe(101)
    await link.ready()
  })

  it('may announce the role Universal or none, and any other is told what to set', async () => {
    const { port } = await waiting()
    expect(await dialing(port.port, { ...bearer, 'X-Client-Role': 'universal' }).status).toBe(101)
    expect(await dialing(port.port, { ...bearer, 'X-Client-Role': 'API' }).status).toBe(400)
  })

  it('and leaves with 1000 is awaited again, and is in at once when it comes back', async () => {
    const { link, port } = await waiting()
    const peer = dialing(port.port)
    await link.ready()
    peer.ws.close(1000)
    await until(() => link.status.state !== 'live')
    expect(link.status.fault?.code).toBe('closed-by-peer')
    const cameAt = performance.now()
    dialing(port.port)
    await link.ready()
    // the backoff of a close is more than half a second
    expect(performance.now() - cameAt).toBeLessThan(400)
  })

  it('and comes a second time has won: the old connection is closed with 4001, and the link is on the new one', async () => {
    const { link, port } = await waiting()
    const old = dialing(port.port)
    await link.ready()
    const next = dialing(port.port)
    expect(await old.closed).toEqual({ code: 4001, reason: 'a newer connection of the same peer has come' })
    await link.ready()
    expect(await next.status).toBe(101)
    const waits = link.recording.kept.filter(({ to }) => to === 'backoff')
    expect(waits).toHaveLength(1)
    expect(waits[0]).toMatchObject({ reason: 'peer-leaving', detail: 'a newer connection of the same peer has come' })
    await link.call('get_status', {})
    expect(next.frames.some((frame) => frame.includes('get_status'))).toBe(true)
  })

  it('and whose old connection is frozen has won as well: it is cut within a second and a bit', async () => {
    const { link, port } = await waiting()
    const old = dialing(port.port)
    await link.ready()
    old.ws.pause()
    const { _socket: socket } = old.ws as unknown as { _socket: import('node:net').Socket }
    socket.pause()
    dialing(port.port)
    await link.ready()
    socket.resume()
    expect((await old.closed).code).toBeGreaterThan(1000)
  })

  it('and sends a frame that is too big loses that transport alone', async () => {
    const { link, port } = await waiting({}, {}, listener({ port: 0, token: TOKEN, maxPayloadBytes: 1_000 }))
    const peer = dialing(port.port)
    await link.ready()
    peer.ws.send('x'.repeat(2_000))
    expect((await peer.closed).code).toBe(1009)
    await until(() => link.recording.kept.some(({ reason }) => reason === 'frame-too-big'))
  })
})

describe('an implementation in reverse', () => {
  it('that was judged by a real application is live, beats, and is back after a cut', async () => {
    const { link, port } = await waiting({ selfId: 10_000 })
    const peer = await startOnebotPeer({ token: TOKEN, heartbeatMs: 50 })
    cleanUp(() => peer.close())
    peer.dial(`ws://127.0.0.1:${port.port}/`, 100)
    await link.ready()
    const heard: unknown[] = []
    link.inbound$.subscribe((event) => heard.push(event))
    peer.emit(privateMessage('ahoy'))
    await until(() => heard.length === 1)
    expect(await link.call('get_login_info', {})).toMatchObject({ user_id: 10_000 })
    peer.setOnline(false)
    await until(() => link.status.fault?.code === 'account-offline')
    peer.setOnline(true)
    await link.ready()
    peer.cut()
    await until(() => link.status.state !== 'live')
    await link.ready()
    expect(peer.connections).toBe(1)
  })
})

describe('a link whose peer does not come', () => {
  it('says so before its deadline, says who was sent away, and looks at its port again', async () => {
    const port = listener({ port: 0, token: TOKEN, waitMs: 200 })
    const { link } = await waiting({}, {}, port)
    await dialing(port.port, { Authorization: 'Bearer wrong' }).status
    await until(() => link.status.fault)
    expect(link.status.fault).toEqual({
      code: 'peer-absent',
      detail: `nobody came to 127.0.0.1:${port.port} within 200 ms; the latest that came was refused with HTTP 401: the token is wrong`,
    })
    await until(() => link.status.attempt >= 3)
    expect(port.port).toBeGreaterThan(0)
  })

  it('because the port is held by another says so, and is live when the port is free and the peer comes', async () => {
    const other = createTcpServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const taken = (other.address() as AddressInfo).port
    const port = listener({ port: taken, token: TOKEN })
    const link = held(connect(onebot({ listener: port, selfId: SELF_ID })))
    await until(() => link.status.state === 'backoff')
    expect(link.status.fault).toMatchObject({ code: 'listener-failed', detail: expect.stringContaining('EADDRINUSE') })
    expect(port.port).toBe(0)
    await new Promise((resolve) => other.close(resolve))
    await until(() => port.port === taken)
    dialing(taken)
    await link.ready()
  })

  it('is not bothered by a second link that waits for the same peer with its adapter', async () => {
    const port = listener({ port: 0, token: TOKEN })
    const adapter = onebot({ listener: port, selfId: SELF_ID })
    const [link, other] = [held(connect(adapter)), held(connect(adapter))]
    await until(() => other.status.fault)
    expect(other.status.fault).toMatchObject({
      code: 'listener-failed',
      detail: expect.stringContaining('another link'),
    })
    dialing(port.port)
    await link.ready()
  })
})

describe('a peer that comes between two attempts', () => {
  /** Nothing happens to the link between its moments of virtual time. */
  const backingOff = async (options: Partial<ListenerOptions> = {}) => {
    const clock = heapClock()
    const port = listener({ port: 0, token: TOKEN, ...options })
    const link = held(connect(onebot({ listener: port, selfId: SELF_ID }), { clock }))
    await until(() => port.port > 0)
    link.hold()
    await until(() => link.status.state === 'parked')
    return { clock, port, link }
  }

  it('is kept for its link, and not answered before the link takes it', async () => {
    const { link, port } = await backingOff()
    const peer = dialing(port.port)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(peer.ws.readyState).toBe(0)
    link.resume()
    await link.ready()
    expect(peer.ws.readyState).toBe(1)
  })

  it('is sent away with 503 when its link does not take it in time', async () => {
    const { port } = await backingOff({ keepMs: 100 })
    const peer = dialing(port.port)
    expect(await peer.status).toBe(503)
    expect(peer.headers['retry-after']).toBe('5')
  })

  it('and leaves again is forgotten: the link waits for the next one', async () => {
    const { link, port } = await backingOff()
    const early = dialing(port.port)
    await new Promise((resolve) => setTimeout(resolve, 30))
    early.ws.terminate()
    await new Promise((resolve) => setTimeout(resolve, 30))
    link.resume()
    await until(() => link.status.state === 'connecting')
    dialing(port.port)
    await link.ready()
  })

  it('is displaced by one that comes later', async () => {
    const { link, port } = await backingOff()
    const early = dialing(port.port)
    await new Promise((resolve) => setTimeout(resolve, 30))
    const late = dialing(port.port)
    expect(await early.status).toBe(409)
    link.resume()
    expect(await late.status).toBe(101)
  })
})

describe('a listener', () => {
  it('opens with the first link and closes with the last, and is found at the same port when it opens again', async () => {
    const port = listener({ port: 0, token: TOKEN })
    expect(port.port).toBe(0)
    const make = (selfId: number) => held(connect(onebot({ listener: port, selfId })))
    const [first, second] = [make(1), make(2)]
    await until(() => port.port > 0)
    const chosen = port.port
    await first.stop()
    expect(port.port).toBe(chosen)
    await second.stop()
    expect(port.port).toBe(0)
    expect(await dialing(chosen).status).toBe(0)
    make(3)
    await until(() => port.port === chosen)
  })

  it('says goodbye to the peer when its link stops', async () => {
    const { link, port } = await waiting()
    const peer = dialing(port.port)
    await link.ready()
    await link.stop()
    expect((await peer.closed).code).toBe(1000)
    expect(port.port).toBe(0)
  })

  it('lives on a server of the user, takes its own paths alone, and leaves the server as it was', async () => {
    const server = createServer((_, response) => response.end('mine'))
    const upgrades: string[] = []
    server.on('upgrade', ({ url }, socket) => {
      upgrades.push(url ?? '')
      socket.end('HTTP/1.1 418 Mine\r\n\r\n')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const port = listener({ server, token: TOKEN })
    const link = held(connect(onebot({ listener: port, selfId: SELF_ID, path: '/onebot' })))
    await until(() => port.port > 0)
    const get = async (path: string) => (await fetch(`http://127.0.0.1:${port.port}${path}`)).text()
    expect(await dialing(port.port, bearer, { path: '/elsewhere' }).status).toBe(418)
    expect(await dialing(port.port, bearer, { path: '/onebot' }).status).toBe(101)
    await link.ready()
    expect(await get('/')).toBe('mine')
    await link.stop()
    expect(server.listening).toBe(true)
    expect(await dialing((server.address() as AddressInfo).port, bearer, { path: '/onebot' }).status).toBe(418)
    expect(upgrades).toEqual(['/elsewhere', '/onebot'])
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it.each([
    [{}, /port/],
    [{ port: -1 }, /port/],
    [{ port: 70_000 }, /port/],
    [{ port: '8095' }, /port/],
    [{ port: 1, server: createServer() }, /port/],
    [{ port: 1, host: '' }, /host/],
    [{ port: 1, waitMs: 0 }, /waitMs/],
    [{ port: 1, token: '' }, /token/],
    [{ port: 1, tokens: [] }, /tokens/],
  ])('refuses %j at once', (options, problem) => {
    expect(() => listener(options as ListenerOptions)).toThrow(HoldfastError)
    expect(() => listener(options as ListenerOptions)).toThrow(problem)
  })

  it('that other machines can reach wants a token', () => {
    const open = listener({ port: 0, host: '0.0.0.0' })
    expect(() => onebot({ listener: open })).toThrow(/token/)
    expect(onebot({ listener: open, accessToken: TOKEN }).name).toBe('onebot')
    expect(onebot({ listener: listener({ port: 0 }) }).name).toBe('onebot')
  })

  it.each([
    [{ listener: {} }, /listener/],
    [{ listener: listener({ port: 0 }), selfId: 'me' }, /selfId/],
    [{ listener: listener({ port: 0 }), path: 'onebot' }, /path/],
    [{ listener: listener({ port: 0 }), accessToken: () => 'x' }, /accessToken/],
  ])('takes no terms that cannot be kept: %#', (options, problem) => {
    expect(() => onebot(options as never)).toThrow(HoldfastError)
    expect(() => onebot(options as never)).toThrow(problem)
  })
})
