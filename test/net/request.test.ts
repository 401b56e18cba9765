/** HTTP beside a link, against real servers: what a call's failure says about whether it had an effect. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { HttpOutgoing } from '../../src/adapter/adapter.ts'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { realClock } from '../../src/clock.ts'
import { type Http, http } from '../../src/net/request.ts'
import type { Lookup } from '../../src/net/resolve.ts'
import { BesideError } from '../../src/outbox/outbox.ts'
import { scrubber } from '../../src/secret.ts'
import { answering, closeAll, rawServer, until } from '../transport/servers.ts'

const open: Http[] = []
afterEach(async () => {
  for (const each of open.splice(0)) each.close()
  await closeAll()
})

const toLoopback: Lookup = async () => [{ address: '127.0.0.1', family: 4 }]

const notFound: Lookup = async () => {
  throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
}

const client = (lookup: Lookup = toLoopback): Http => {
  const made = http(
    { clock: realClock, lookup, proxy: false },
    (delivered, message) => new BesideError(delivered, message),
  )
  open.push(made)
  return made
}

const outgoing = (url: string, read: HttpOutgoing['read'] = (status, body) => ({ status, body })): HttpOutgoing => ({
  http: { url, method: 'POST', headers: { Authorization: 'Bearer canary-token' }, body: '{"a":1}' },
  read,
})

const never = new AbortController().signal
const scrub = scrubber(['canary-token'])
const ask = (made: Http, url: string, read?: HttpOutgoing['read'], signal = never) =>
  made.request(outgoing(url, read), signal, scrub)

const failure = async (asked: Promise<unknown>): Promise<BesideError> => {
  const error = await asked.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(BesideError)
  return error as BesideError
}

const replying = (body: string) =>
  answering((socket) => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`))

describe('a socket that breaks', () => {
  it('after the request was written leaves the call uncertain, whatever the system calls it', async () => {
    let socket: Socket | undefined
    const note = (told: unknown) => {
      socket = (told as { socket: Socket }).socket
    }
    subscribe('undici:client:connected', note)
    // the way to the peer is gone, and the peer has the request
    const unreachable = Object.assign(new Error('write EHOSTUNREACH'), { code: 'EHOSTUNREACH', syscall: 'write' })
    const { port } = await rawServer(answering(() => void socket?.destroy(unreachable)))
    const { delivered } = await failure(ask(client(), `http://peer.test:${port}/`))
    unsubscribe('undici:client:connected', note)
    expect(socket).toBeDefined()
    expect(delivered).toBe('uncertain')
  })
})

describe('a request', () => {
  it('is sent as it was described, and its answer is read', async () => {
    const heard: string[] = []
    const { port } = await rawServer(
      answering((socket, request) => {
        heard.push(request)
        socket.write('HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok')
      }),
    )
    expect(await ask(client(), `http://api.test:${port}/v1/call?x=1`)).toEqual({ status: 201, body: 'ok' })
    expect(heard[0]).toMatch(/^POST \/v1\/call\?x=1 HTTP\/1\.1\r\n/)
    expect(heard[0]).toContain(`host: api.test:${port}`)
    expect(heard[0]).toContain('Authorization: Bearer canary-token')
    expect(heard[0]!.endsWith('{"a":1}')).toBe(true)
  })

  it.each([
    ['nobody listens', async (): Promise<string> => `http://127.0.0.1:${await freePort()}/`, toLoopback],
    ['the name is unknown', async (): Promise<string> => 'http://api.test/', notFound],
  ] as const)('has certainly had no effect when %s', async (_what, url, lookup) => {
    expect(await failure(ask(client(lookup), await url()))).toMatchObject({ delivered: 'refused' })
  })

  it('has certainly had no effect when there never was a socket to write it to', async () => {
    const { port } = await rawServer((socket) => void socket.resume(), 'localhost')
    const error = await failure(ask(client(), `https://localhost:${port}/`))
    expect(error).toMatchObject({ delivered: 'refused', message: expect.stringContaining('self-signed') })
  })

  it.each([
    ['resets', answering((socket) => void socket.resetAndDestroy())],
    ['ends', answering((socket) => void socket.end())],
    ['ends in its answer', answering((socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx'))],
    ['is no HTTP server', answering((socket) => void socket.write('SSH-2.0\r\n'))],
  ] as const)('may have had one when the server %s', async (_what, met) => {
    const { port } = await rawServer(met)
    expect(await failure(ask(client(), `http://127.0.0.1:${port}/`))).toMatchObject({ delivered: 'uncertain' })
  })

  it('was refused when the answer cannot be read, and the token in it is not told', async () => {
    const { port } = await rawServer(replying('{"why":"canary-token"}'))
    const refusing = (_status: number, body: string) => {
      throw new Error(`no: ${body}`)
    }
    const error = await failure(ask(client(), `http://127.0.0.1:${port}/`, refusing))
    expect(error).toMatchObject({ delivered: 'refused', message: 'no: {"why":"***"}' })
  })

  it.each([
    [500, 'uncertain'],
    [502, 'uncertain'],
    [503, 'refused'],
    [504, 'uncertain'],
    [429, 'refused'],
  ])('that is answered with HTTP %i and cannot be read is %s', async (status, delivered) => {
    const { port } = await rawServer(
      answering((socket) => void socket.write(`HTTP/1.1 ${status} Sorry\r\nContent-Length: 0\r\n\r\n`)),
    )
    const refusing = (status: number) => {
      throw new Error(`HTTP ${status}`)
    }
    expect(await failure(ask(client(), `http://127.0.0.1:${port}/`, refusing))).toMatchObject({ delivered })
  })

  it('ends at once when it is aborted', async () => {
    const { port, open: sockets } = await rawServer((socket) => void socket.resume())
    const abort = new AbortController()
    const asked = failure(ask(client(), `http://127.0.0.1:${port}/`, undefined, abort.signal))
    await until(() => sockets.size === 1)
    abort.abort()
    expect((await asked).delivered).toBe('uncertain')
  })

  // Against a server that closes after 1 s, with a round trip of 200 ms: test/lab/holding.test.ts.
  it('network 6.6.15 takes the socket of the one before, but not when that was half a second ago', async () => {
    let served = 0
    const { port } = await rawServer((socket) => {
      served++
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
    })
    const made = client()
    const askThenPause = async (pauseMs: number) => {
      await ask(made, `http://127.0.0.1:${port}/`)
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
      return served
    }
    expect([await askThenPause(100), await askThenPause(600), await askThenPause(0)]).toEqual([1, 1, 2])
  })

  it('to a URL that is none fails like any other', async () => {
    expect(await failure(ask(client(), 'nowhere'))).toMatchObject({ delivered: expect.any(String) })
  })
})

describe('close()', () => {
  const idle = (): string[] =>
    process.getActiveResourcesInfo().filter((name) => name === 'ConnectWrap' || name === 'TCPSocketWrap')

  it('ends the sockets that are kept alive', async () => {
    const { port, open: sockets } = await rawServer(replying('ok'))
    const made = client()
    await ask(made, `http://127.0.0.1:${port}/`)
    expect(sockets.size).toBe(1)
    made.close()
    await until(() => sockets.size === 0)
    made.close()
  })

  it('ends a dial that is still under way, and one that is not yet secure', async () => {
    const before = idle().length
    // 192.0.2.1 is nobody's (RFC 5737): its packets vanish, or there is no route to it
    const vanishing = client(async () => [{ address: '192.0.2.1', family: 4 }])
    const asked = failure(ask(vanishing, 'http://api.test/'))
    const { port, open: sockets } = await rawServer((socket) => void socket.resume())
    const insecure = client()
    const secured = failure(ask(insecure, `https://api.test:${port}/`))
    await until(() => sockets.size === 1)
    vanishing.close()
    insecure.close()
    await Promise.all([asked, secured])
    await until(() => sockets.size === 0)
    await expect.poll(() => idle().length).toBeLessThanOrEqual(before)
  })

  it('while a name is looked up dials no more', async () => {
    const { port, open: sockets } = await rawServer(replying('ok'))
    let found: () => void = () => undefined
    const slow: Lookup = () =>
      new Promise((resolve) => {
        found = () => resolve([{ address: '127.0.0.1', family: 4 }])
      })
    const made = client(slow)
    const asked = failure(ask(made, `http://api.test:${port}/`))
    await new Promise((resolve) => setImmediate(resolve))
    made.close()
    found()
    await asked
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(sockets.size).toBe(0)
  })
})
