/** The part of the laboratory that runs on every machine. */
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type FaultServer, faultServer, type Relay, refusingPort, relay, silentListener } from './loopback.ts'
import { aliveOwner, ownName } from './owner.ts'

const outcomeOf = (socket: Socket, withinMs: number): Promise<string> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve('silence'), withinMs)
    const end = (what: string) => {
      clearTimeout(timer)
      resolve(what)
    }
    socket.once('connect', () => end('connected'))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => end(code ?? 'error'))
  })

/** What the other side makes of the end of a connection. */
const endOf = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'error'))
    socket.once('end', () => resolve('end'))
    socket.resume()
  })

test('a full backlog drops the SYN: silence, and not a refusal', async () => {
  const silent = await silentListener()
  const socket = connect({ host: silent.host, port: silent.port })
  expect(await outcomeOf(socket, 500)).toBe('silence')
  socket.destroy()
  await silent.stop()
})

test('a port without a listener refuses', async () => {
  const socket = connect({ host: '127.0.0.1', port: await refusingPort() })
  expect(await outcomeOf(socket, 500)).toBe('ECONNREFUSED')
})

test('a name tells whose it is, and whether that process is still there', () => {
  expect(aliveOwner(ownName())).toBe(true)
  expect(aliveOwner(`${ownName()}-c`)).toBe(true)
  // The same process id with another start is another process.
  expect(aliveOwner(`hflab-${process.pid}-1-abcdef-c`)).toBe(false)
  expect(aliveOwner('somebody-else')).toBe(undefined)
})

describe('the relay', () => {
  const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket))
  let wire: Relay

  beforeAll(async () => {
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
    wire = await relay(echo.address() as { port: number })
  })
  afterAll(async () => {
    await wire.stop()
    echo.close()
  })

  const open = async (): Promise<Socket> => {
    const socket = connect({ host: wire.host, port: wire.port, noDelay: true })
    expect(await outcomeOf(socket, 1_000)).toBe('connected')
    return socket
  }
  const echoed = async (socket: Socket, text: string): Promise<number> => {
    const sentAt = performance.now()
    const answer = new Promise((resolve) => socket.once('data', (data) => resolve(data.toString())))
    socket.write(text)
    expect(await answer).toBe(text)
    return performance.now() - sentAt
  }

  test('delays what passes, and the delay can change while it does', async () => {
    const socket = await open()
    expect(await echoed(socket, 'near')).toBeLessThan(50)
    wire.delay(200)
    const far = await echoed(socket, 'far')
    expect(far).toBeGreaterThanOrEqual(199)
    expect(far).toBeLessThan(300)
    wire.delay(0)
    expect(await echoed(socket, 'near again')).toBeLessThan(50)
    socket.destroy()
  })

  test('freezes: nobody is told, and nothing is lost after the thaw', async () => {
    const socket = await open()
    let came = ''
    socket.on('data', (data) => {
      came += data
    })
    wire.freeze()
    socket.write('one')
    await sleep(150)
    socket.write(' two')
    await sleep(50)
    expect({ came, destroyed: socket.destroyed }).toEqual({ came: '', destroyed: false })
    wire.thaw()
    await expect.poll(() => came).toBe('one two')
    socket.destroy()
  })

  test('cuts with RST or with FIN, and still relays what comes after', async () => {
    for (const [how, seen] of [
      ['rst', 'ECONNRESET'],
      ['fin', 'end'],
    ] as const) {
      const socket = await open()
      await echoed(socket, 'through')
      const end = endOf(socket)
      wire.cut(how)
      expect(await end).toBe(seen)
      socket.destroy()
    }
    const after = await open()
    await echoed(after, 'after')
    after.end()
    await expect.poll(() => wire.connections).toBe(0)
  })

  test('refuses while it does not listen, and listens again on the same port', async () => {
    const { port } = wire
    await wire.refuse()
    expect(await outcomeOf(connect({ host: wire.host, port }), 500)).toBe('ECONNREFUSED')
    await wire.listen()
    expect(wire.port).toBe(port)
    const socket = await open()
    socket.destroy()
  })
})

describe('the fault server', () => {
  let server: FaultServer
  beforeAll(async () => {
    server = await faultServer()
  })
  afterAll(() => server.stop())

  const urlOf = (path: string) => `ws://127.0.0.1:${server.ports.echo}${path}`
  const seen = (url: string, withinMs = 2_000): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(url)
      const told: string[] = []
      const end = () => {
        clearTimeout(timer)
        socket.terminate()
        resolve(told.join(', '))
      }
      const timer = setTimeout(() => end(), withinMs)
      socket.on('open', () => told.push('open'))
      socket.on('unexpected-response', (_request, { statusCode, headers }) => {
        told.push([statusCode, headers['retry-after']].filter(Boolean).join(' '))
        end()
      })
      socket.on('error', (error: NodeJS.ErrnoException) => told.push(error.code ?? error.message))
      socket.on('close', (code, reason) => {
        told.push([code, reason.toString()].filter(Boolean).join(' '))
        end()
      })
    })

  test.each([
    ['/status/401', '401'],
    ['/status/429?retry-after=7', '429 7'],
    ['/rst', 'ECONNRESET, 1006'],
    ['/fin', 'ECONNRESET, 1006'],
    ['/garbage', 'HPE_INVALID_CONSTANT, 1006'],
    ['/bad-key', 'Invalid Sec-WebSocket-Accept header, 1006'],
    ['/?rst', 'open, 1006'],
    ['/?fin', 'open, 1006'],
    ['/?nocode', 'open, 1005'],
    ['/?code=1012&reason=soon', 'open, 1012 soon'],
    ['/?code=4004', 'open, 4004'],
    ['/?badframe', 'open, WS_ERR_UNEXPECTED_RSV_2_3, 1006'],
    ['/?badtext', 'open, WS_ERR_INVALID_UTF8, 1006'],
  ])('%s: %s', async (path, expected) => {
    expect(await seen(urlOf(path))).toBe(expected)
  })

  test.each(['/stall', '/drip?ms=50'])('%s: nothing', async (path) => {
    expect(await seen(urlOf(path), 300)).toBe('')
  })

  test.each([
    ['rst', 'ECONNRESET, 1006'],
    ['fin', 'ECONNRESET, 1006'],
    ['rstOnData', 'ECONNRESET, 1006'],
    ['garbage', 'HPE_INVALID_CONSTANT, 1006'],
    ['status503', '503 3'],
  ] as const)('the port %s: %s', async (service, expected) => {
    expect(await seen(`ws://127.0.0.1:${server.ports[service]}/`)).toBe(expected)
  })

  test('tells what it has accepted', async () => {
    await server.accepted()
    await seen(urlOf('/?nocode'))
    expect(await server.accepted()).toMatchObject([{ service: 'echo', address: '127.0.0.1' }])
  })

  test('stopped it accepts and is silent; continued it answers what came meanwhile', async () => {
    const socket = new WebSocket(urlOf('/'))
    await new Promise((resolve) => socket.once('open', resolve))
    let pongs = 0
    socket.on('pong', () => pongs++)
    server.freeze()
    socket.ping()
    await sleep(200)
    expect(pongs).toBe(0)
    expect(await outcomeOf(connect({ host: '127.0.0.1', port: server.ports.echo }), 500)).toBe('connected')
    server.thaw()
    await expect.poll(() => pongs).toBe(1)
    socket.terminate()
  })

  test('killed it is gone at once, and can be started again', async () => {
    const socket = new WebSocket(urlOf('/'))
    await new Promise((resolve) => socket.once('open', resolve))
    const closed = new Promise((resolve) => socket.once('close', resolve))
    const killedAt = performance.now()
    await server.kill()
    expect(await closed).toBe(1006)
    expect(performance.now() - killedAt).toBeLessThan(200)
    await server.start()
    expect(await seen(urlOf('/?nocode'))).toBe('open, 1005')
  })
})
