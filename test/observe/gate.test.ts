/** Threat T2: pages and names of somebody else's. Raw requests, as no client would send them. */
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { gate } from '../../src/observe/inspect/gate.ts'
import { type Inspector, inspect } from '../../src/observe/inspect/index.ts'
import { FakeLink } from './fake-link.ts'

let inspector: Inspector
let port: number
beforeAll(async () => {
  inspector = await inspect([new FakeLink('a').asLink], { allowedHosts: ['bots.example', 'bots.example:8443'] })
  port = Number(new URL(inspector.url).port)
})
afterAll(() => inspector.close())

/** Resolves to the status line and all that follows. */
const raw = (lines: readonly string[], to = port): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(to, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
      // an upgrade that was granted stays open
      if (text.startsWith('HTTP/1.1 101')) socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
    socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  })

const get = (...headers: string[]) => raw(['GET / HTTP/1.1', 'Connection: close', ...headers])
const upgrade = (host: string, ...headers: string[]) =>
  raw([
    'GET /stream HTTP/1.1',
    `Host: ${host}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  ])

const strangers = (at: number): readonly string[] => [
  '',
  'evil.com',
  `evil.com:${at}`,
  '127.0.0.1',
  'localhost',
  '[::1]',
  `127.0.0.1:${at + 1}`,
  `localhost:${at - 1}`,
  '127.0.0.1:80',
  `127.0.0.1.nip.io:${at}`,
  `localhost.evil.com:${at}`,
  `evil.com.localhost:${at}`,
  `localhost.:${at}`,
  `127.0.0.1.:${at}`,
  `LOCALHOST:${at}`,
  `LocalHost:${at}`,
  `0.0.0.0:${at}`,
  `0:${at}`,
  `127.1:${at}`,
  `127.0.1:${at}`,
  `127.0.0.2:${at}`,
  `2130706433:${at}`,
  `0x7f.1:${at}`,
  `0x7f000001:${at}`,
  `017700000001:${at}`,
  `0177.0.0.1:${at}`,
  `[::]:${at}`,
  `[::ffff:127.0.0.1]:${at}`,
  `[0:0:0:0:0:0:0:1]:${at}`,
  `::1:${at}`,
  `user@localhost:${at}`,
  `localhost:${at}@evil.com`,
  `localhost:${at}/`,
  `localhost:${at}#`,
  `localhost:${at}?`,
  `localhost:0${at}`,
  `localhost: ${at}`,
  `localhost:${at},evil.com`,
  `evil.com,localhost:${at}`,
  `http://localhost:${at}`,
  'bots.example:1',
  'evil.bots.example',
]

describe('T2 the name that the browser used', () => {
  test('only the exact names are served, and they are', async () => {
    for (const host of [
      `localhost:${port}`,
      `127.0.0.1:${port}`,
      `[::1]:${port}`,
      'bots.example',
      'bots.example:8443',
    ]) {
      expect(await get(`Host: ${host}`), host).toMatch(/^HTTP\/1\.1 (200|404) /)
    }
  })

  test('forty others are refused, whatever they ask for', async () => {
    const hosts = strangers(port)
    expect(new Set(hosts).size).toBeGreaterThanOrEqual(40)
    for (const host of hosts) {
      expect(await get(`Host: ${host}`), host).toMatch(/^HTTP\/1\.1 403 /)
      expect(await raw(['POST /stream HTTP/1.1', 'Connection: close', `Host: ${host}`]), host).toMatch(
        /^HTTP\/1\.1 403 /,
      )
      expect(await upgrade(host, `Origin: http://${host}`), host).toMatch(/^HTTP\/1\.1 403 /)
    }
    console.log(`T2: ${hosts.length} names, three requests each, 0 let in`)
  })

  test.each([
    [80, false, 'localhost', true],
    [80, true, 'localhost', false],
    [443, true, 'localhost', true],
    [443, true, '[::1]', true],
    [443, true, 'evil.com', false],
    [443, false, 'localhost', false],
    [8080, false, 'localhost', false],
  ])('at port %i, encrypted %s, the name %s without a port: %s', (localPort, encrypted, host, admitted) => {
    const scheme = encrypted ? 'https' : 'http'
    const headers = { host, origin: `${scheme}://${host}` }
    const rawHeaders = Object.entries(headers).flat()
    const request = { url: '/', headers, rawHeaders, socket: { localPort, encrypted } } as unknown as IncomingMessage
    const { admits, admitsStream } = gate('127.0.0.1', [])
    expect([admits(request), admitsStream(request)]).toEqual([admitted, admitted])
  })

  test('no name, two names, and a name in the request line are refused', async () => {
    const own = `Host: localhost:${port}`
    expect(await get()).toMatch(/^HTTP\/1\.1 403 /)
    expect(await get(own, 'Host: evil.com')).toMatch(/^HTTP\/1\.1 403 /)
    expect(await get('Host: evil.com', own)).toMatch(/^HTTP\/1\.1 403 /)
    expect(await get(own, own)).toMatch(/^HTTP\/1\.1 403 /)
    for (const target of ['http://evil.com/', `http://localhost:${port}/`, '//evil.com/', '*']) {
      expect(await raw([`GET ${target} HTTP/1.1`, 'Connection: close', own]), target).toMatch(/^HTTP\/1\.1 403 /)
    }
  })
})

describe('T2 the page that sent the request', () => {
  test('the stream is for our own page alone', async () => {
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
      expect(await upgrade(host, `Origin: http://${host}`), host).toMatch(/^HTTP\/1\.1 101 /)
    }
    // behind a proxy that speaks TLS
    expect(await upgrade('bots.example', 'Origin: https://bots.example')).toMatch(/^HTTP\/1\.1 101 /)
  })

  test('thirty other origins are refused', async () => {
    const host = `localhost:${port}`
    const origins = [
      'null',
      '',
      'file://',
      `https://${host}`,
      `ws://${host}`,
      `http://${host}/`,
      `http://${host}#`,
      `HTTP://${host}`,
      `http://LOCALHOST:${port}`,
      `http://localhost:${port + 1}`,
      `http://localhost:${port - 1}`,
      'http://localhost',
      `http://localhost.:${port}`,
      `http://localhost:${port}.evil.com`,
      `http://localhost.evil.com:${port}`,
      `http://evil.com`,
      `http://evil.com:${port}`,
      `https://evil.com`,
      `http://evil.com/${host}`,
      `http://evil.com?${host}`,
      `http://${host}@evil.com`,
      `http://evil.com@${host}`,
      `http://127.0.0.1:${port}`,
      `http://[::1]:${port}`,
      `http://127.1:${port}`,
      `http://2130706433:${port}`,
      `http://0.0.0.0:${port}`,
      `http://${host}, http://${host}`,
      `http://${host} http://evil.com`,
      'chrome-extension://abcdefghijklmnop',
      'vscode-webview://abc',
      `data:text/html,${host}`,
      'about:blank',
      host,
    ]
    expect(new Set(origins).size).toBeGreaterThanOrEqual(30)
    for (const origin of origins) expect(await upgrade(host, `Origin: ${origin}`), origin).toMatch(/^HTTP\/1\.1 403 /)
    console.log(`T2: ${origins.length} origins, 0 let in`)
  })

  test('no origin and two of them are refused', async () => {
    const host = `localhost:${port}`
    const own = `Origin: http://${host}`
    expect(await upgrade(host)).toMatch(/^HTTP\/1\.1 403 /)
    expect(await upgrade(host, own, 'Origin: http://evil.com')).toMatch(/^HTTP\/1\.1 403 /)
    expect(await upgrade(host, 'Origin: http://evil.com', own)).toMatch(/^HTTP\/1\.1 403 /)
  })
})

test('T2 nothing but GET, no answer that another page may read, and nothing that may be framed', async () => {
  const own = `Host: localhost:${port}`
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const answer = await raw([`${method} / HTTP/1.1`, 'Connection: close', own, 'Origin: http://evil.com'])
    expect(answer, method).toMatch(/^HTTP\/1\.1 405 /)
    expect(answer, method).not.toMatch(/access-control/i)
  }
  const answer = await get(own, 'Origin: http://evil.com')
  expect(answer).not.toMatch(/access-control/i)
  expect(answer).toContain("frame-ancestors 'none'")
  expect(answer).toContain("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
  expect(answer).toMatch(/x-content-type-options: nosniff/i)
  expect(answer).toMatch(/cache-control: no-store/i)
})

test('only the files of the page are served, by their exact names', async () => {
  const own = `Host: localhost:${port}`
  const paths = [
    '/../package.json',
    '/..%2fpackage.json',
    '/%2e%2e/package.json',
    '/./index.html',
    '//index.html',
    '/etc/passwd',
    '/cli.mjs',
    '/INDEX.HTML',
    '/index.html%00',
    '/a/../index.html',
    '/__proto__',
    '/constructor',
  ]
  for (const path of paths) {
    expect(await raw([`GET ${path} HTTP/1.1`, 'Connection: close', own]), path).toMatch(/^HTTP\/1\.1 (403|404) /)
  }
})

test('T2 it listens to this machine alone, and a wrong option is told at once', async () => {
  const server = await inspect([])
  expect(new URL(server.url).hostname).toBe('127.0.0.1')
  expect(new URL(server.url).hash).toMatch(/^#token=[\w-]{22}$/)
  await server.close()
  const wrong = {
    port: -1,
    host: 'example.com',
    control: 'yes',
    path: 'inspect',
    allowedHosts: ['http://a'],
    lab: {},
    nonsense: 1,
  }
  for (const [name, value] of Object.entries(wrong)) {
    await expect(inspect([], { [name]: value }), name).rejects.toMatchObject({ code: 'bad-option' })
  }
  await expect(inspect(undefined as never)).rejects.toMatchObject({ code: 'bad-option' })
})

test('mounted below a path of a server of one’s own it keeps the same gate', async () => {
  const mounted = await inspect([new FakeLink('a').asLink], { port: false, path: '/inspect/' })
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/inspect/')) mounted.handler(request, response)
    else response.end('mine')
  })
  server.on('upgrade', mounted.upgrade)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port: own } = server.address() as AddressInfo
  expect(mounted.url).toMatch(/^\/inspect\/#token=/)
  const host = `localhost:${own}`
  const stream = (path: string, origin: string) =>
    raw(
      [
        `GET ${path} HTTP/1.1`,
        `Host: ${host}`,
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        `Origin: ${origin}`,
      ],
      own,
    )
  expect(await raw(['GET /inspect/ HTTP/1.1', 'Connection: close', `Host: ${host}`], own)).toMatch(
    /^HTTP\/1\.1 (200|404) [\s\S]*default-src 'none'/,
  )
  expect(await raw(['GET /inspect/ HTTP/1.1', 'Connection: close', 'Host: evil.com'], own)).toMatch(/^HTTP\/1\.1 403 /)
  expect(await stream('/inspect/stream', `http://${host}`)).toMatch(/^HTTP\/1\.1 101 /)
  expect(await stream('/stream', `http://${host}`)).toMatch(/^HTTP\/1\.1 404 /)
  expect(await stream('/inspect/stream', 'http://evil.com')).toMatch(/^HTTP\/1\.1 403 /)
  await mounted.close()
  expect(await stream('/inspect/stream', `http://${host}`)).toMatch(/^HTTP\/1\.1 503 /)
  await new Promise((resolve) => server.close(resolve))
})
