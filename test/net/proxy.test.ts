/** Proxies: which one, the tunnel through it, and what is said when it fails. */
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { realClock } from '../../src/clock.ts'
import { faultFrom, HoldfastError } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { type DialError, dial } from '../../src/net/dial.ts'
import { parseProxy, proxyFor, tunnelLayer } from '../../src/net/proxy.ts'
import { http } from '../../src/net/request.ts'
import { routeTo } from '../../src/net/route.ts'
import { tlsLayer } from '../../src/net/tls.ts'
import { scrubber } from '../../src/secret.ts'
import { smallTalk } from '../small-talk.ts'
import {
  answering,
  closeAll,
  dialTo,
  frameOf,
  pem,
  rawServer,
  refusing,
  until,
  upgrading,
} from '../transport/servers.ts'
import { clearLoopback, owned, v4 } from './loopback.ts'
import { httpProxy, type Manner, socksProxy } from './proxies.ts'

afterEach(clearLoopback)
afterEach(closeAll)

const PASSWORD = 'correct-horse'

describe('which proxy', () => {
  const of = (url: string, environment: Record<string, string>, option?: string | false) =>
    proxyFor(url, option, environment)?.name

  it.each([
    ['wss://peer.test/', { HTTPS_PROXY: 'http://p:1' }, 'p:1'],
    ['https://peer.test/', { HTTPS_PROXY: 'http://p:1' }, 'p:1'],
    ['ws://peer.test/', { HTTPS_PROXY: 'http://p:1' }, undefined],
    ['ws://peer.test/', { HTTP_PROXY: 'http://p:1', HTTPS_PROXY: 'http://q:1' }, 'p:1'],
    ['ws://peer.test/', { HTTP_PROXY: 'http://p:1', http_proxy: 'http://q:1' }, 'q:1'],
    ['wss://peer.test/', { ALL_PROXY: 'socks5://p' }, 'p:1080'],
    ['wss://peer.test/', { all_proxy: 'socks5h://p', HTTPS_PROXY: '' }, 'p:1080'],
    ['wss://peer.test/', { HTTPS_PROXY: 'https://p' }, 'p:443'],
    ['wss://peer.test/', { HTTPS_PROXY: 'p.test:3128' }, 'p.test:3128'],
    ['ws://peer.test/', { HTTP_PROXY: 'http://[::1]:3128' }, '[::1]:3128'],
    ['wss://peer.test/', {}, undefined],
    ['tcp://peer.test:9', { HTTP_PROXY: 'http://p:1', HTTPS_PROXY: 'http://q:1' }, undefined],
    ['tls://peer.test:9', { HTTPS_PROXY: 'http://p:1', ALL_PROXY: 'socks5://q:1' }, 'q:1'],
  ])('%s with %j goes through %s', (url, environment, expected) => {
    expect(of(url, environment)).toBe(expected)
  })

  it.each(['localhost', 'api.localhost', '127.0.0.1', '127.8.9.1', '[::1]'])('loopback goes direct: %s', (host) => {
    expect(of(`ws://${host}:7000/`, { ALL_PROXY: 'http://p:1' })).toBeUndefined()
  })

  it.each([
    ['*', 'ws://peer.test/', true],
    ['peer.test', 'ws://peer.test/', true],
    ['PEER.test', 'ws://peer.TEST/', true],
    ['peer.test', 'ws://a.peer.test/', true],
    ['.peer.test', 'ws://a.peer.test/', true],
    ['*.peer.test', 'ws://a.peer.test/', true],
    ['peer.test', 'ws://notpeer.test/', false],
    ['peer.test:7000', 'ws://peer.test:7000/', true],
    ['peer.test:7000', 'ws://peer.test/', false],
    ['a.test, peer.test', 'ws://peer.test/', true],
    ['a.test peer.test', 'ws://peer.test/', true],
    ['10.0.0.1', 'ws://10.0.0.1/', true],
    ['10.0.0.0/8', 'ws://10.9.9.9/', true],
    ['10.0.0.0/8', 'ws://11.0.0.1/', false],
    ['10.0.0.0/99', 'ws://10.0.0.1/', false],
    ['2001:db8::1', 'ws://[2001:db8::1]/', true],
    ['[2001:db8::1]:80', 'ws://[2001:db8::1]/', true],
    ['2001:db8::/32', 'ws://[2001:db8::9]/', true],
    [',', 'ws://peer.test/', false],
  ])('NO_PROXY=%s for %s: direct is %s', (list, url, isDirect) => {
    expect(of(url, { ALL_PROXY: 'http://p:1', NO_PROXY: list })).toBe(isDirect ? undefined : 'p:1')
    expect(of(url, { ALL_PROXY: 'http://p:1', no_proxy: list })).toBe(isDirect ? undefined : 'p:1')
  })

  it('an option decides alone', () => {
    const environment = { ALL_PROXY: 'http://p:1', NO_PROXY: '*' }
    expect(of('ws://peer.test/', environment, false)).toBeUndefined()
    expect(of('ws://127.0.0.1/', environment, 'http://q:2')).toBe('q:2')
  })

  it('an option that is none is refused at once, and its password is not repeated', () => {
    for (const proxy of ['ftp://p:1', 'http://', `gopher://u:${PASSWORD}@p`, 7, true, '']) {
      const failure = (() => {
        try {
          void connect(smallTalk(), { proxy: proxy as string }).stop()
          return undefined
        } catch (error) {
          return error as HoldfastError
        }
      })()
      expect(failure, String(proxy)).toBeInstanceOf(HoldfastError)
      expect(failure!.code).toBe('bad-option')
      expect(failure!.message).not.toContain(PASSWORD)
    }
  })

  it('a variable that names none is a fault that names the variable', () => {
    expect(() => proxyFor('ws://peer.test/', undefined, { HTTP_PROXY: `ftp://u:${PASSWORD}@p` })).toThrow(
      /^the environment variable HTTP_PROXY is not the URL of an HTTP, HTTPS or SOCKS5 proxy$/,
    )
  })

  it('its user and password are decoded', () => {
    expect(parseProxy('http://ann:p%40ss%3A@p.test:3128')).toMatchObject({ user: 'ann', password: 'p@ss:' })
  })
})

const chat = upgrading((socket) => void socket.write(frameOf(1, 'hi')))

/** Through a proxy of this URL to a port of the peer. */
const through = (proxy: string, url: string, options: Parameters<typeof dialTo>[1] = {}) =>
  dialTo(0, { url, proxy: parseProxy(proxy)!, ...options })

describe('a tunnel', () => {
  it('by CONNECT carries a WebSocket, and the proxy resolves the name', async () => {
    const peer = await rawServer(chat)
    const proxy = await httpProxy()
    const dialed = through(`http://127.0.0.1:${proxy.port}`, `ws://peer.test:${peer.port}/`)
    await until(() => dialed.frames.length > 0)
    expect(proxy.asked).toEqual([`peer.test:${peer.port}`])
    dialed.end()
    await until(() => proxy.open.size === 0 && peer.open.size === 0)
  })

  it('by CONNECT carries TLS, checked for the name of the peer', async () => {
    const peer = await rawServer(chat, 'localhost')
    const proxy = await httpProxy()
    const url = `wss://localhost:${peer.port}/`
    const good = through(`http://127.0.0.1:${proxy.port}`, url, { tls: { ca: pem('localhost') } })
    await until(() => good.frames.length > 0)
    const elsewhere = await rawServer(chat, 'elsewhere')
    const bad = through(`http://127.0.0.1:${proxy.port}`, `wss://localhost:${elsewhere.port}/`, {
      tls: { ca: pem('elsewhere') },
    })
    expect((await bad.loss()).fault).toEqual({
      code: 'tls-certificate',
      detail: expect.stringMatching(/^the certificate is for another host; proxy 127\.0\.0\.1:\d+: .* in TLS$/),
    })
  })

  it('within TLS to the proxy itself', async () => {
    const peer = await rawServer(chat, 'localhost')
    const proxy = await httpProxy('tunnel', true)
    const server = parseProxy(`https://localhost:${proxy.port}`)!
    const url = `wss://localhost:${peer.port}/`
    const route = routeTo(url, { proxy: server, clock: realClock })
    expect(route.layers.map(({ step }) => step)).toEqual(['tls', 'proxy', 'tls'])
    const tls = { ca: pem('localhost') }
    const layers = [
      tlsLayer({ url: server.url, tls, withinMs: 2_000 }),
      tunnelLayer({ proxy: server, to: { host: 'localhost', port: peer.port }, clock: realClock, withinMs: 2_000 }),
      tlsLayer({ url, tls, withinMs: 2_000 }),
    ]
    const socket = await new Promise<{ encrypted?: boolean; destroy(): void }>((resolve, reject) => {
      dial({ addresses: v4(1), port: proxy.port, clock: realClock, layers, opened: resolve, failed: reject })
    })
    expect(socket).toMatchObject({ encrypted: true, authorized: true })
    expect(proxy.asked).toEqual([`localhost:${peer.port}`])
    socket.destroy()
    await until(() => proxy.open.size === 0)
  })

  it('by SOCKS5 carries a WebSocket, with TLS and without, by name and by address', async () => {
    const [plain, secure] = [await rawServer(chat), await rawServer(chat, 'localhost')]
    const proxy = await socksProxy()
    for (const [url, tls] of [
      [`ws://peer.test:${plain.port}/`, {}],
      [`ws://127.0.0.1:${plain.port}/`, {}],
      [`wss://localhost:${secure.port}/`, { tls: { ca: pem('localhost') } }],
    ] as const) {
      const dialed = through(`socks5://127.0.0.1:${proxy.port}`, url, tls)
      await until(() => dialed.frames.length > 0 || dialed.losses.length > 0)
      expect(dialed.losses, url).toEqual([])
      dialed.end()
    }
    expect(proxy.asked).toEqual([`peer.test:${plain.port}`, `127.0.0.1:${plain.port}`, `localhost:${secure.port}`])
    await until(() => proxy.open.size === 0)
  })

  it('keeps what the peer says before it is asked', async () => {
    const early = answering((socket) => void socket.write('HTTP/1.1 200 Fine\r\n\r\nearly'))
    const { port } = await rawServer(early)
    const proxy = parseProxy(`http://127.0.0.1:${port}`)!
    const layers = [tunnelLayer({ proxy, to: { host: 'peer.test', port: 1 }, clock: realClock, withinMs: 2_000 })]
    const heard = await new Promise((resolve, reject) => {
      const opened = (socket: Socket) => void owned(socket).once('data', (data) => resolve(String(data)))
      dial({ addresses: v4(1), port, clock: realClock, layers, opened, failed: reject })
    })
    expect(heard).toBe('early')
  })

  it('is given the credentials of its URL', async () => {
    const peer = await rawServer(chat)
    const proxy = await httpProxy()
    await through(`http://ann:${PASSWORD}@127.0.0.1:${proxy.port}`, `ws://peer.test:${peer.port}/`).isReady()
    expect(proxy.asked).toEqual([`peer.test:${peer.port} Basic ${Buffer.from(`ann:${PASSWORD}`).toString('base64')}`])
    const socks = await socksProxy(0, PASSWORD)
    await through(`socks5://ann:${PASSWORD}@127.0.0.1:${socks.port}`, `ws://peer.test:${peer.port}/`).isReady()
    expect(socks.asked).toEqual(['ann true', `peer.test:${peer.port}`])
  })

  it('carries calls over HTTP too', async () => {
    const peer = await rawServer(
      answering((socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')),
    )
    const proxy = await httpProxy()
    const client = http(
      { clock: realClock, proxy: `http://127.0.0.1:${proxy.port}` },
      (_, message) => new Error(message),
    )
    const read = (status: number, body: string) => `${status} ${body}`
    const call = { http: { url: `http://api.test:${peer.port}/x`, method: 'GET', headers: {}, body: '' }, read }
    expect(await client.request(call, new AbortController().signal, scrubber([]))).toBe('200 ok')
    expect(proxy.asked).toEqual([`api.test:${peer.port}`])
    client.close()
    await until(() => proxy.open.size === 0)
  })

  it('holds a whole link', async () => {
    const peer = await rawServer(upgrading((socket) => void socket.write(frameOf(1, '{"op":"welcome"}'))))
    const proxy = await httpProxy()
    const url = `ws://peer.test:${peer.port}/`
    const link = connect(smallTalk({ url }), { proxy: `http://ann:${PASSWORD}@localhost:${proxy.port}` })
    await link.ready()
    expect(proxy.asked).toHaveLength(1)
    await link.stop({ drainMs: 0 })
    await until(() => proxy.open.size === 0)
  })
})

describe('a proxy that fails is named, and so is its reason', () => {
  it.each([
    ['407 Proxy Authentication Required', 'upgrade-unauthorized', 'CONNECT was answered with HTTP 407'],
    ['403 Forbidden', 'upgrade-forbidden', 'CONNECT was answered with HTTP 403'],
    ['502 Bad Gateway', 'peer-unavailable', 'CONNECT was answered with HTTP 502'],
    ['503 Busy\r\nRetry-After: 7', 'throttled', 'CONNECT was answered with HTTP 503'],
    ['404 Not Found', 'upgrade-refused', 'CONNECT was answered with HTTP 404'],
  ] satisfies [Manner, string, string][])('CONNECT answered with %s', async (manner, code, said) => {
    const { port, open } = await httpProxy(manner)
    const { fault } = await through(`http://ann:${PASSWORD}@127.0.0.1:${port}`, 'ws://peer.test/').loss()
    expect(fault.code).toBe(code)
    expect(fault.detail).toMatch(
      new RegExp(`^proxy 127\\.0\\.0\\.1:${port}: 127\\.0\\.0\\.1:${port} IPv4 ${said} \\d+ ms at the proxy$`),
    )
    expect(fault.retryAfterMs).toBe(manner.startsWith('503') ? 7_000 : undefined)
    await until(() => open.size === 0)
  })

  it('nobody listens there', async () => {
    const port = await freePort()
    const { fault } = await through(`http://127.0.0.1:${port}`, 'ws://peer.test/').loss()
    expect(fault).toEqual({
      code: 'refused',
      detail: expect.stringMatching(/^proxy 127\.0\.0\.1:\d+: 127\.0\.0\.1:\d+ IPv4 ECONNREFUSED \d+ ms$/),
    })
  })

  it.each([
    ['says nothing', 'silence', 'connect-timeout', /ETIMEDOUT|no answer/],
    ['resets', 'reset', 'dropped', /ECONNRESET|hang up/],
  ] as const)('it %s', async (_what, manner, code, words) => {
    const { port, open } = await httpProxy(manner)
    const { fault, afterMs } = await through(`http://127.0.0.1:${port}`, 'ws://peer.test/', { tlsMs: 200 }).loss()
    expect(fault.code).toBe(code)
    expect(fault.detail).toMatch(words)
    expect(fault.detail).toMatch(/^proxy .* at the proxy$/)
    expect(afterMs).toBeLessThan(700)
    await until(() => open.size === 0)
  })

  it('it is no proxy', async () => {
    const { port } = await rawServer(answering((socket) => void socket.write('SSH-2.0-OpenSSH_9.2\r\n')))
    expect((await through(`http://127.0.0.1:${port}`, 'ws://peer.test/').loss()).fault.code).toBe('not-websocket')
    const web = await rawServer(refusing(400))
    expect((await through(`http://127.0.0.1:${web.port}`, 'ws://peer.test/').loss()).fault.code).toBe('upgrade-refused')
  })

  it.each([
    [1, 'peer-unavailable'],
    [2, 'upgrade-forbidden'],
    [3, 'unreachable'],
    [4, 'unreachable'],
    [5, 'refused'],
    [6, 'connect-timeout'],
  ])('SOCKS5 reply %i is %s', async (reply, code) => {
    const { port, open } = await socksProxy(reply)
    const { fault } = await through(`socks5://127.0.0.1:${port}`, 'ws://peer.test/').loss()
    expect(fault.code).toBe(code)
    expect(fault.detail).toMatch(/^proxy 127\.0\.0\.1:\d+: .*Socks5 proxy rejected.* at the proxy$/i)
    await until(() => open.size === 0)
  })

  it('SOCKS5 that says nothing, and a wrong password that is never shown', async () => {
    const silent = await socksProxy('silence')
    const { fault } = await through(`socks5://127.0.0.1:${silent.port}`, 'ws://peer.test/', { tlsMs: 150 }).loss()
    expect(fault.code).toBe('connect-timeout')
    const strict = await socksProxy(0, 'another')
    const refused = await through(`socks5://ann:${PASSWORD}@127.0.0.1:${strict.port}`, 'ws://peer.test/').loss()
    expect(refused.fault.code).toBe('upgrade-unauthorized')
    expect(JSON.stringify(refused)).not.toContain(PASSWORD)
    await until(() => silent.open.size === 0 && strict.open.size === 0)
  })

  it('the package for SOCKS is missing: the fault says how to install it', async () => {
    vi.doMock('socks', () => {
      throw Object.assign(new Error("Cannot find package 'socks'"), { code: 'ERR_MODULE_NOT_FOUND' })
    })
    const { port } = await socksProxy()
    const { fault } = await through(`socks5://127.0.0.1:${port}`, 'ws://peer.test/').loss()
    vi.doUnmock('socks')
    expect(fault.code).toBe('provider-failed')
    expect(fault.detail).toContain('npm install socks')
  })

  it('its name does not exist: the fault names the proxy, and the record of the link shows no password', async () => {
    const link = connect(smallTalk({ url: 'ws://peer.test/' }), {
      proxy: `http://ann:${PASSWORD}@proxy.test:3128`,
      lookup: async (host) => {
        throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host} for ${PASSWORD}`), { code: 'ENOTFOUND' })
      },
    })
    await until(() => link.status.state === 'backoff')
    expect(link.status.fault).toEqual({
      code: 'name-not-found',
      detail: 'proxy proxy.test:3128: getaddrinfo ENOTFOUND proxy.test for ***',
    })
    expect(JSON.stringify([link.recording, link.explain()])).not.toContain(PASSWORD)
    await link.stop()
  })

  it('no error of the dialer holds the password, however deep one looks', async () => {
    const { port } = await httpProxy('407 No')
    const proxy = parseProxy(`http://ann:${PASSWORD}@127.0.0.1:${port}`)!
    const { host: _, ...route } = routeTo('ws://peer.test/', { proxy, clock: realClock })
    const error = await new Promise<DialError>((resolve, reject) => {
      dial({ ...route, addresses: v4(1), clock: realClock, opened: reject, failed: resolve })
    })
    const texts = [error.message, ...error.errors.flatMap((each) => [each.message, JSON.stringify(each)])]
    expect(texts.join()).not.toContain(PASSWORD)
    expect(faultFrom(error, 'connecting').code).toBe('upgrade-unauthorized')
  })
})
