/** One WebSocket against real servers on loopback: every way of failing has its name, its time and no aftermath. */
import { afterEach, describe, expect, it } from 'vitest'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import {
  answering,
  closeAll,
  closeFrame,
  type Dialed,
  dialTo,
  frameOf,
  pem,
  rawServer,
  refusing,
  switching,
  until,
  upgrading,
} from './servers.ts'

afterEach(closeAll)

const servers: WebSocketServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    for (const client of server.clients) client.terminate()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** A server of ws, and the first client it meets. */
const wsServer = async (options: ServerOptions = {}) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options })
  servers.push(server)
  await new Promise((resolve) => server.once('listening', resolve))
  const clients: WebSocket[] = []
  const requests: { url?: string | undefined; headers: Record<string, unknown> }[] = []
  server.on('connection', (client, { url, headers }) => {
    clients.push(client.on('error', () => undefined))
    requests.push({ url, headers })
  })
  return { port: (server.address() as { port: number }).port, clients, requests }
}

const talk = async (): Promise<{ dialed: Dialed; client: WebSocket }> => {
  const { port, clients } = await wsServer()
  const dialed = dialTo(port)
  await dialed.isReady()
  await until(() => clients.length > 0)
  return { dialed, client: clients[0]! }
}

describe('before the upgrade is answered', () => {
  it('a port where nobody listens has refused us', async () => {
    const { fault } = await dialTo(await freePort()).loss()
    expect(fault).toMatchObject({ code: 'refused', detail: expect.stringContaining('ECONNREFUSED') })
  })

  it.each([
    ['a reset at once', (socket) => void socket.resetAndDestroy()],
    ['an end at once', (socket) => void socket.end()],
    ['a reset in answer to the upgrade', answering((socket) => void socket.resetAndDestroy())],
    ['an end in answer to the upgrade', answering((socket) => void socket.end())],
    ['an end in the middle of the answer', answering((socket) => void socket.end('HTTP/1.1 101 Swi'))],
  ] satisfies [string, Parameters<typeof rawServer>[0]][])('%s is dropped', async (_what, met) => {
    const { port } = await rawServer(met)
    const dialed = dialTo(port)
    expect((await dialed.loss()).fault.code).toBe('dropped')
    expect(dialed.losses).toHaveLength(1)
    expect(dialed.told).not.toContain('ready')
  })

  it('a server that never answers is given up at the deadline', async () => {
    const { port } = await rawServer((socket) => void socket.resume())
    const { fault, afterMs } = await dialTo(port, { upgradeMs: 150 }).loss()
    expect(fault).toEqual({ code: 'upgrade-timeout', detail: 'no answer within 150 ms' })
    expect(afterMs).toBeGreaterThanOrEqual(149)
    expect(afterMs).toBeLessThan(600)
  })

  it('a server that drips a header line every 100 ms does not move the deadline', async () => {
    const drips: NodeJS.Timeout[] = []
    const { port } = await rawServer(
      answering((socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\n')
        drips.push(setInterval(() => socket.write('X-Drip: 1\r\n'), 100))
      }),
    )
    const { fault, afterMs } = await dialTo(port, { upgradeMs: 350 }).loss()
    for (const drip of drips) clearInterval(drip)
    expect(fault.code).toBe('upgrade-timeout')
    expect(afterMs).toBeGreaterThanOrEqual(349)
    expect(afterMs).toBeLessThan(1_000)
  })

  it.each([
    ['speaks another protocol', answering((socket) => void socket.write('SSH-2.0-OpenSSH_9.2\r\n'))],
    ['cannot hash', answering((socket, request) => void socket.write(switching(request.replace(/key: ./i, 'key: 0'))))],
    [
      'chooses a subprotocol that nobody offered',
      answering(
        (socket, request) =>
          void socket.write(switching(request).replace(/\r\n\r\n$/, '\r\nSec-WebSocket-Protocol: x\r\n\r\n')),
      ),
    ],
  ] satisfies [string, Parameters<typeof rawServer>[0]][])('a server that %s is no WebSocket', async (_what, met) => {
    const { port } = await rawServer(met)
    expect((await dialTo(port).loss()).fault.code).toBe('not-websocket')
  })

  it.each([
    [200, {}, { code: 'upgrade-refused', detail: 'HTTP 200' }],
    [302, { Location: 'ws://127.0.0.1:1/' }, { code: 'upgrade-refused', detail: 'HTTP 302' }],
    [401, {}, { code: 'upgrade-unauthorized', detail: 'HTTP 401' }],
    [403, {}, { code: 'upgrade-forbidden', detail: 'HTTP 403' }],
    [404, {}, { code: 'upgrade-refused', detail: 'HTTP 404' }],
    [407, {}, { code: 'upgrade-unauthorized', detail: 'HTTP 407' }],
    [429, {}, { code: 'throttled', detail: 'HTTP 429' }],
    [429, { 'Retry-After': '7' }, { code: 'throttled', detail: 'HTTP 429', retryAfterMs: 7_000 }],
    [503, {}, { code: 'peer-unavailable', detail: 'HTTP 503' }],
    [503, { 'Retry-After': '2' }, { code: 'throttled', detail: 'HTTP 503', retryAfterMs: 2_000 }],
  ] as const)('R59 R81 HTTP %i with headers %j is told apart', async (status, headers, expected) => {
    const { port, open } = await rawServer(refusing(status, headers))
    const dialed = dialTo(port)
    expect((await dialed.loss()).fault).toEqual(expected)
    await until(() => open.size === 0)
    expect(dialed.losses).toHaveLength(1)
  })

  it('a header that cannot be sent is our own fault, and the socket is given back', async () => {
    const { port, open } = await rawServer((socket) => void socket.resume())
    const { fault } = await dialTo(port, { headers: { 'X-Name': '名前' } }).loss()
    expect(fault.code).toBe('provider-failed')
    await until(() => open.size === 0)
  })
})

describe('TLS', () => {
  const wss = (port: number, host = 'localhost') => `wss://${host}:${port}/`

  it('carries a WebSocket when the certificate is for the name, or for the address, that was dialed', async () => {
    for (const [host, certificate] of [
      ['localhost', 'localhost'],
      ['127.0.0.1', 'address'],
    ] as const) {
      const { port } = await rawServer(
        upgrading((socket) => void socket.write(frameOf(1, 'hi'))),
        certificate,
      )
      const dialed = dialTo(port, { url: wss(port, host), tls: { ca: pem(certificate) } })
      await until(() => dialed.frames.length > 0 || dialed.losses.length > 0)
      expect(dialed.told, host).toEqual(['opened', 'ready', 'frame hi', 'inbound'])
    }
  })

  it.each([
    ['self-signed', 'localhost', 'localhost', undefined],
    ['expired', 'localhost', 'expired', 'expired'],
    ['for another host', 'localhost', 'elsewhere', 'elsewhere'],
    ['for a name, where an address was dialed', '127.0.0.1', 'localhost', 'localhost'],
  ] as const)('refuses a certificate that is %s', async (_what, host, certificate, trusted) => {
    const { port } = await rawServer((socket) => void socket.resume(), certificate)
    const tls = trusted && { tls: { ca: pem(trusted) } }
    expect((await dialTo(port, { url: wss(port, host), ...tls }).loss()).fault.code).toBe('tls-certificate')
  })

  it('that breaks once it is open is a lost connection', async () => {
    const broken = upgrading((socket) => void setTimeout(() => socket.destroy(), 20))
    const { port } = await rawServer(broken, 'localhost')
    const { fault } = await dialTo(port, { url: wss(port), tls: { ca: pem('localhost') } }).loss()
    expect(fault.code).toBe('connection-lost')
  })

  it('that is never answered is given up at its own deadline', async () => {
    const { port } = await rawServer((socket) => void socket.resume())
    const { fault, afterMs } = await dialTo(port, { url: wss(port), tlsMs: 150 }).loss()
    expect(fault).toEqual({ code: 'tls-timeout', detail: expect.stringMatching(/ IPv4 ETIMEDOUT 1[45]\d ms in TLS$/) })
    expect(afterMs).toBeLessThan(600)
  })

  it.each([
    ['answered in plain HTTP has failed', refusing(400), 'tls-failed'],
    ['cut off by a reset is dropped', answering((socket) => void socket.resetAndDestroy()), 'dropped'],
    ['cut off by an end is dropped', answering((socket) => void socket.end()), 'dropped'],
  ] as const)('%s', async (_what, met, code) => {
    const { port } = await rawServer(met)
    expect((await dialTo(port, { url: wss(port) }).loss()).fault.code).toBe(code)
  })

  it('that the peer expects and we do not speak is dropped', async () => {
    const { port } = await rawServer(() => undefined, 'localhost')
    expect((await dialTo(port).loss()).fault.code).toBe('dropped')
  })
})

describe('once it is open', () => {
  it.each([
    [1000, 'closed-by-peer'],
    [1001, 'closed-by-peer'],
    [1008, 'closed-by-peer'],
    [1009, 'protocol-violated'],
    [1011, 'peer-unavailable'],
    [1012, 'closed-by-peer'],
    [1013, 'try-later'],
    [4004, 'closed-by-peer'],
  ] as const)('close code %i is told, with its reason', async (code, fault) => {
    const { dialed, client } = await talk()
    client.close(code, 'so long')
    const lost = await dialed.loss()
    expect(lost.fault).toEqual({ code: fault, detail: `close ${code}: so long` })
    expect(lost.close).toEqual({ code, reason: 'so long' })
  })

  it('a close frame without a code is a close all the same', async () => {
    const { dialed, client } = await talk()
    client.close()
    expect(await dialed.loss()).toMatchObject({
      fault: { code: 'closed-by-peer', detail: 'close without a code' },
      close: { code: 1005, reason: '' },
    })
  })

  it('a reset and a bare end are told apart', async () => {
    const reset = await rawServer(upgrading((socket) => void setTimeout(() => socket.resetAndDestroy(), 20)))
    const end = await rawServer(upgrading((socket) => void setTimeout(() => socket.end(), 20)))
    const [byReset, byEnd] = [await dialTo(reset.port).loss(), await dialTo(end.port).loss()]
    expect(byReset.fault).toEqual({ code: 'connection-lost', detail: expect.stringContaining('ECONNRESET') })
    expect(byEnd.fault).toEqual({ code: 'connection-lost', detail: 'the socket ended without a close frame' })
    expect([byReset.close, byEnd.close]).toEqual([undefined, undefined])
  })

  it('what the peer said in its close frame counts, even if it resets the connection right behind it', async () => {
    const { port } = await rawServer(
      upgrading((socket) => {
        // its end of the socket is shut before our answer to the close frame arrives there
        socket.write(closeFrame(4004, 'invalid token'), () => setImmediate(() => socket.resetAndDestroy()))
      }),
    )
    for (let round = 0; round < 10; round++) {
      expect((await dialTo(port).loss()).close).toEqual({ code: 4004, reason: 'invalid token' })
    }
  })

  it.each([
    ['a message over maxPayload', frameOf(2, 'x'.repeat(125)), 'frame-too-big'],
    ['bad UTF-8', frameOf(1, new Uint8Array([0xc3, 0x28])), 'protocol-violated'],
    ['a reserved bit', frameOf(1, 'x', 0x40), 'protocol-violated'],
    ['an unknown opcode', frameOf(3, 'x'), 'protocol-violated'],
    ['a masked frame', Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x78]), 'protocol-violated'],
  ] as const)('%s ends it', async (_what, bytes, code) => {
    const { port, open } = await rawServer(upgrading((socket) => void socket.write(bytes)))
    const dialed = dialTo(port, { maxPayloadBytes: 100 })
    expect((await dialed.loss()).fault.code).toBe(code)
    expect(dialed.frames).toEqual([])
    await until(() => open.size === 0)
  })

  it('frames of one chunk come in order, before the chunk is reported, also those that came with the upgrade', async () => {
    const { port } = await rawServer(
      answering((socket, request) => {
        const frames = [frameOf(1, 'one'), frameOf(2, new Uint8Array([0, 255])), frameOf(1, 'three')]
        socket.write(Buffer.concat([Buffer.from(switching(request)), ...frames]))
      }),
    )
    const dialed = dialTo(port)
    await until(() => dialed.told.includes('inbound'))
    expect(dialed.told).toEqual(['opened', 'ready', 'frame one', 'frame 00ff', 'frame three', 'inbound'])
    expect(dialed.frames[1]).toBeInstanceOf(Uint8Array)
  })

  it('a ping is answered with its mark, and any bytes are inbound', async () => {
    const { dialed, client } = await talk()
    dialed.pipe!.ping('m7')
    await until(() => dialed.told.includes('inbound'))
    expect(dialed.told.slice(2)).toEqual(['answered m7', 'inbound'])
    client.ping('are you there')
    await until(() => dialed.told.length === 5)
    expect(dialed.told.at(-1)).toBe('inbound')
  })

  it('what is sent arrives in order, as text and as bytes', async () => {
    const { dialed, client } = await talk()
    const heard: string[] = []
    client.on('message', (data: Buffer, isBinary) => heard.push(`${isBinary} ${data.toString('latin1')}`))
    dialed.pipe!.send('one')
    dialed.pipe!.send(new Uint8Array([65, 66]))
    dialed.pipe!.send('three')
    await until(() => heard.length === 3)
    expect(heard).toEqual(['false one', 'true AB', 'false three'])
    expect(dialed.pipe!.bufferedBytes()).toBe(0)
  })
})

describe('from our side', () => {
  it('a goodbye reaches the peer as close 1000, and the answer to it ends the transport', async () => {
    const { dialed, client } = await talk()
    const closed = new Promise((resolve) =>
      client.on('close', (code, reason) => resolve({ code, reason: `${reason}` })),
    )
    dialed.pipe!.close()
    expect(await closed).toEqual({ code: 1000, reason: '' })
    expect(await dialed.loss()).toMatchObject({
      fault: { code: 'closed-by-peer', detail: 'close 1000' },
      close: { code: 1000 },
    })
  })

  it('nothing is told any more once it was ended, not even the rest of the chunk', async () => {
    const { port, open } = await rawServer(
      upgrading((socket) => {
        setTimeout(
          () => socket.write(Buffer.concat([frameOf(1, 'first'), frameOf(1, 'second'), frameOf(10, 'm1')])),
          20,
        )
      }),
    )
    const dialed = dialTo(port)
    dialed.onFrame = () => dialed.end()
    await until(() => dialed.frames.length > 0 && open.size === 0)
    expect(dialed.told).toEqual(['opened', 'ready', 'frame first'])
    dialed.pipe!.send('into the void')
    dialed.pipe!.ping('p')
    dialed.pipe!.close()
    dialed.end()
    expect(dialed.losses).toEqual([])
  })

  it.each([
    ['connecting', (dialed: Dialed) => dialed.told.length === 0, 'ws'],
    ['securing', (dialed: Dialed) => dialed.told.length === 1, 'wss'],
    ['upgrading', (dialed: Dialed) => dialed.told.length === 1, 'ws'],
  ] as const)('R63 ending it while it is %s leaves no socket, no timer and no error', async (_phase, reached, scheme) => {
    const { port, open } = await rawServer((socket) => void socket.resume())
    const before = timers()
    const dialed = dialTo(port, { url: `${scheme}://127.0.0.1:${port}/` })
    await until(() => reached(dialed))
    dialed.end()
    await until(() => open.size === 0)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(timers()).toBeLessThanOrEqual(before)
    expect(dialed.losses).toEqual([])
  })

  it('ending it while it is open, or while it says goodbye to a peer that does not answer, leaves nothing either', async () => {
    const { port, open } = await rawServer(upgrading(() => undefined))
    for (const goodbye of [false, true]) {
      const before = timers()
      const dialed = dialTo(port)
      await dialed.isReady()
      if (goodbye) dialed.pipe!.close()
      await new Promise((resolve) => setTimeout(resolve, 20))
      dialed.end()
      await until(() => open.size === 0)
      expect(timers()).toBeLessThanOrEqual(before)
      expect(dialed.losses).toEqual([])
    }
  })

  it('offers compression only when asked to, and the subprotocols and headers of the target', async () => {
    const { port, requests } = await wsServer({ handleProtocols: () => 'chat.v1' })
    const headers = { Authorization: 'Bearer abc' }
    await dialTo(port, { headers, protocols: ['chat.v1', 'chat.v2'] }).isReady()
    await dialTo(port, { protocols: ['chat.v1'], perMessageDeflate: true }).isReady()
    expect(requests.map(({ headers }) => headers['sec-websocket-extensions'])).toEqual([
      undefined,
      expect.stringContaining('permessage-deflate'),
    ])
    expect(requests[0]!.headers).toMatchObject({
      authorization: 'Bearer abc',
      'sec-websocket-protocol': 'chat.v1,chat.v2',
    })
  })

  it('sends the credentials of the URL as Basic, and not in the path', async () => {
    const { port, requests } = await wsServer()
    await dialTo(port, { url: `ws://ann:p%40ss%3A1@127.0.0.1:${port}/api?x=1` }).isReady()
    expect(requests[0]).toMatchObject({
      url: '/api?x=1',
      headers: { authorization: `Basic ${Buffer.from('ann:p@ss:1').toString('base64')}`, host: `127.0.0.1:${port}` },
    })
  })

  it('sends credentials as they are where they are not percent-encoded', async () => {
    const { port, requests } = await wsServer()
    await dialTo(port, { url: `ws://ann:100%@127.0.0.1:${port}/` }).isReady()
    expect(requests[0]!.headers.authorization).toBe(`Basic ${Buffer.from('ann:100%').toString('base64')}`)
  })
})

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
