/** The inspector within servers of somebody else's, and behind a proxy: the page, the stream, and the same gate. */
import { request as ask, createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { Picture, view } from '../../src/cli/view.ts'
import { type Inspector, inspect } from '../../src/observe/inspect/index.ts'
import { CLOSE, MESSAGE_BYTES_MAX } from '../../src/observe/inspect/protocol.ts'
import { FakeLink } from './fake-link.ts'
import { connectClient, tokenOf } from './viewer-client.ts'

const ending: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ending.push(
    () => server.closeAllConnections(),
    () => server.close(),
  )
  return (server.address() as AddressInfo).port
}

const links = () => [new FakeLink('a').asLink]

/** The page is served there, and `top` and a viewer are told of the links. */
const expectServed = async (url: string) => {
  const answer = await fetch(url)
  expect(answer.status).toBe(200)
  expect(await answer.text()).toContain('<script defer src="page.js">')
  expect((await fetch(new URL('page.js', url))).status).toBe(200)
  const client = await connectClient(url)
  expect((await client.until('snap')).rows[0]![1]).toBe('a')
  client.socket.terminate()
  const picture = new Picture()
  const seen = view(url, (message) => picture.hear(message))
  await expect.poll(() => picture.isWhole).toBe(true)
  seen.close()
}

const hasIPv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'))

test.skipIf(!hasIPv6)('on the loopback of IPv6', async () => {
  const inspector = await inspect(links(), { host: '::1' })
  ending.push(() => inspector.close())
  expect(inspector.url).toMatch(/^http:\/\/\[::1\]:\d+\/#token=/)
  await expectServed(inspector.url)
})

test('in a server of node:http, beside what it serves itself', async () => {
  const inspector = await inspect(links(), { port: false, path: '/inspect/' })
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/inspect/')) inspector.handler(request, response)
    else response.end('mine')
  })
  server.on('upgrade', inspector.upgrade)
  const port = await listen(server)
  await expectServed(`http://127.0.0.1:${port}${inspector.url}`)
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('mine')
})

test('below a path in a server that cuts the path off, as Express does', async () => {
  const inspector = await inspect(links(), { port: false, path: '/inspect/' })
  type Cut = IncomingMessage & { originalUrl?: string }
  const server = createServer((request: Cut, response) => {
    request.originalUrl = request.url!
    request.url = request.url!.slice('/inspect'.length)
    inspector.handler(request, response)
  })
  server.on('upgrade', inspector.upgrade)
  await expectServed(`http://127.0.0.1:${await listen(server)}${inspector.url}`)
})

describe('in a server that upgrades by itself', () => {
  const start = async () => {
    const inspector = await inspect(links(), { port: false, path: '/inspect/' })
    const server = createServer(inspector.handler)
    new WebSocketServer({ server }).on('connection', inspector.connection)
    return { inspector, url: `http://127.0.0.1:${await listen(server)}${inspector.url}` }
  }

  test('it is served as well', async () => {
    const { url } = await start()
    await expectServed(url)
  })

  test('and the gate is the same: origins, paths, seats, tokens, sizes', async () => {
    const { url } = await start()
    const { host, origin } = new URL(url)
    const closed = (path: string, from: string) =>
      new Promise<number>((resolve) => new WebSocket(`ws://${host}${path}`, { origin: from }).on('close', resolve))
    expect(await closed('/inspect/stream', 'http://evil.com')).toBe(CLOSE.unauthorized)
    expect(await closed('/elsewhere', origin)).toBe(CLOSE.unauthorized)
    const stranger = await connectClient(url, 'wrong')
    expect(await stranger.closed).toMatchObject({ code: CLOSE.unauthorized })
    const loud = await connectClient(url)
    await loud.until('snap')
    loud.say(`{"t":"sub","indexes":[0]${' '.repeat(MESSAGE_BYTES_MAX)}}`)
    expect(await loud.closed).toMatchObject({ code: CLOSE.malformed })
    const seated = await Promise.all(Array.from({ length: 16 }, () => connectClient(url)))
    for (const client of seated) await client.until('snap')
    expect(await closed('/inspect/stream', origin)).toBe(CLOSE.unauthorized)
  })
})

describe('behind a proxy', () => {
  /** Cuts its own prefix off and passes everything on, as nginx does with `proxy_pass http://…/` and `Host $http_host`. */
  const startProxy = async (inspector: () => Inspector) => {
    const on = ({ url = '', method, headers }: IncomingMessage) => {
      const { port } = new URL(inspector().url)
      return ask({ port, host: '127.0.0.1', path: url.replace(/^\/bots\//, '/'), method, headers })
    }
    const server = createServer((request, response: ServerResponse) => {
      on(request)
        .on('response', (answer) => answer.pipe(response.writeHead(answer.statusCode!, answer.headers)))
        .end()
    })
    server.on('upgrade', (request, socket: Socket) => {
      on(request)
        .on('upgrade', ({ headers }, upstream) => {
          const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
          socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`)
          upstream.pipe(socket).pipe(upstream)
          upstream.on('error', () => socket.destroy())
          socket.on('error', () => upstream.destroy())
        })
        .on('response', ({ statusCode }) => socket.end(`HTTP/1.1 ${statusCode} No\r\n\r\n`))
        .end()
    })
    return listen(server)
  }

  test('under its name and its prefix, if that name is allowed', async () => {
    let inspector: Inspector | undefined
    const port = await startProxy(() => inspector!)
    const url = () => `http://127.0.0.1:${port}/bots/#token=${tokenOf(inspector!.url)}`
    inspector = await inspect(links())
    ending.push(() => inspector?.close())
    expect((await fetch(url())).status).toBe(403)
    await inspector.close()
    inspector = await inspect(links(), { allowedHosts: [`127.0.0.1:${port}`] })
    await expectServed(url())
  })
})

test('T10 a thousand that ask for the stream and never hang up: sixteen are in, and nothing is left of the others', async () => {
  const inspector = await inspect(links(), { port: false })
  const server = createServer(inspector.handler)
  server.on('upgrade', inspector.upgrade)
  const port = await listen(server)
  const answers: string[] = []
  const handshake = [
    'GET /stream HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    `Origin: http://127.0.0.1:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ]
  const sockets = Array.from({ length: 1_000 }, () => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => undefined)
    socket.once('data', (chunk) => answers.push(String(chunk).slice(9, 12)))
    socket.write(`${handshake.join('\r\n')}\r\n\r\n`)
    return socket
  })
  ending.push(() => sockets.map((socket) => socket.destroy()))
  await expect.poll(() => answers.length, { timeout: 20_000 }).toBe(1_000)
  expect(answers.filter((status) => status === '101')).toHaveLength(16)
  expect(answers.filter((status) => status === '503')).toHaveLength(984)
  const open = () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)))
  await expect.poll(open, { timeout: 3_000 }).toBeLessThanOrEqual(16)
  // without a token they are not in for long
  await expect.poll(open, { timeout: 10_000 }).toBe(0)
}, 60_000)
