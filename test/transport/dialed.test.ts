/** What a WebSocket tells of its dial, and where it never goes: real servers on loopback. */
import { connect as connectTcp } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import type { DialPath } from '../../src/net/dial.ts'
import { endpointBook } from '../../src/net/endpoints.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { clearLoopback, listen, owned } from '../net/loopback.ts'
import { closeAll, type DialOptions, dialTo, frameOf, pem, rawServer, refusing, until, upgrading } from './servers.ts'

afterEach(closeAll)
afterEach(clearLoopback)

const greeting = upgrading((socket) => void socket.write(frameOf(1, 'hi')))
const secured = (port: number): DialOptions => ({ url: `wss://localhost:${port}/`, tls: { ca: pem('localhost') } })

/** Dials, and notes the paths that were told, and what had been told of the transport by then. */
const noting = (port: number, options: DialOptions = {}) => {
  const paths: DialPath[] = []
  const before: string[][] = []
  const dialed = dialTo(port, {
    ...options,
    dialed: (path) => {
      paths.push(path)
      before.push([...dialed.told])
    },
  })
  return { dialed, paths, before, isOver: () => until(() => dialed.frames.length > 0 || dialed.losses.length > 0) }
}

/** Takes connections at once, and lets the first byte through after a while: TCP is quick, and TLS is not. */
const lagging = async (port: number, lagMs: number): Promise<number> => {
  const slow = await freePort()
  await listen('127.0.0.1', slow, (socket) => {
    const upstream = owned(connectTcp(port, '127.0.0.1'))
    setTimeout(() => socket.pipe(upstream).pipe(socket), lagMs)
  })
  return slow
}

describe('dialed', () => {
  it('is told once, when the socket stands and before the upgrade, with the way and its time', async () => {
    const { port } = await rawServer(greeting)
    const { paths, before, isOver } = noting(port)
    await isOver()
    expect(before).toEqual([['opened']])
    expect(paths).toMatchObject([{ address: '127.0.0.1', family: 4, attempts: [{ code: 'CONNECTED' }] }])
    const [{ connectMs, totalMs }] = paths as [DialPath]
    expect(connectMs).toBeGreaterThan(0)
    expect(totalMs).toBeGreaterThanOrEqual(connectMs)
    expect(totalMs).toBeLessThan(1_000)
  })

  it('counts TLS in, and leaves the upgrade out', async () => {
    const LAG_MS = 300
    const { port } = await rawServer(greeting, 'localhost')
    const slow = await lagging(port, LAG_MS)
    const { paths, isOver } = noting(slow, secured(slow))
    await isOver()
    expect(paths[0]!.totalMs).toBeGreaterThanOrEqual(LAG_MS - 5)
    expect(paths[0]!.connectMs).toBeLessThan(LAG_MS / 2)
    const slowAnswer = await rawServer((socket) => void setTimeout(() => greeting(socket), LAG_MS))
    const upgraded = noting(slowAnswer.port)
    await upgraded.isOver()
    expect(upgraded.paths[0]!.totalMs).toBeLessThan(LAG_MS / 2)
  })

  it('is what ranks endpoints: the one whose TLS is slow comes after the one that is quick', async () => {
    const { port } = await rawServer(greeting, 'localhost')
    const slow = await lagging(port, 200)
    const book = endpointBook(heapClock())
    const urls = [slow, port].map((each) => `wss://localhost:${each}/`)
    for (const [i, each] of [slow, port].entries()) {
      const { paths, isOver } = noting(each, secured(each))
      await isOver()
      book.connected(urls[i]!, paths[0]!.totalMs)
    }
    expect(book.rank(urls)).toEqual([...urls].reverse())
  })

  it('is not told when there is no socket in the end', async () => {
    const refused = noting(await freePort())
    const { port } = await rawServer(() => undefined, 'elsewhere')
    const untrusted = noting(port, secured(port))
    await Promise.all([refused.isOver(), untrusted.isOver()])
    expect([refused.dialed, untrusted.dialed].map(({ losses }) => losses[0]!.fault.code)).toEqual([
      'refused',
      'tls-certificate',
    ])
    expect([...refused.paths, ...untrusted.paths]).toEqual([])
  })

  it('may call the transport off: nothing is sent then, and nothing is left', async () => {
    const heard: Buffer[] = []
    const { port, open } = await rawServer((socket) => void socket.on('data', (bytes) => heard.push(bytes)))
    let calls = 0
    const dialed = dialTo(port, {
      dialed: () => {
        calls++
        dialed.end()
      },
    })
    await until(() => calls > 0)
    await until(() => open.size === 0)
    expect(dialed.told).toEqual(['opened'])
    expect(heard).toEqual([])
  })
})

describe('T4: a redirect', () => {
  it.each([301, 302, 303, 307, 308])('%i is not followed, neither to another host nor out of TLS', async (status) => {
    const met: string[] = []
    const plain = await rawServer((socket) => void met.push(`plain ${socket.remotePort}`))
    const other = await rawServer((socket) => void met.push(`secured ${socket.remotePort}`), 'localhost')
    for (const Location of [
      `ws://127.0.0.1:${plain.port}/`,
      `http://localhost:${plain.port}/`,
      `wss://localhost:${other.port}/`,
    ]) {
      for (const certificate of [undefined, 'localhost'] as const) {
        const { port, open } = await rawServer(refusing(status, { Location }), certificate)
        const dialed = dialTo(port, { ...(certificate && secured(port)), headers: { Authorization: 'Bot secret' } })
        expect((await dialed.loss()).fault).toEqual({ code: 'upgrade-refused', detail: `HTTP ${status}` })
        await until(() => open.size === 0)
      }
    }
    expect(met).toEqual([])
  })

  it('a peer of wss that answers in plain text gets nothing but the greeting of TLS', async () => {
    const heard: Buffer[] = []
    const { port } = await rawServer((socket) => {
      socket.once('data', (bytes) => {
        heard.push(bytes)
        socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      })
    })
    const dialed = dialTo(port, { ...secured(port), headers: { Authorization: 'Bot secret' } })
    expect((await dialed.loss()).fault.code).toBe('tls-failed')
    // RFC 8446, section 5.1: a record of the handshake
    expect(heard[0]![0]).toBe(22)
    expect(Buffer.concat(heard).toString('latin1')).not.toContain('secret')
  })
})
