/** The race of attempts: through TLS, with the spacing and the deadlines that were promised. */
import { connect as connectTcp } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { realClock } from '../../src/clock.ts'
import { faultFrom } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { dial } from '../../src/net/dial.ts'
import { tlsLayer } from '../../src/net/tls.ts'
import { smallTalk } from '../small-talk.ts'
import { closeAll, pem, rawServer } from '../transport/servers.ts'
import { start } from './dialed.ts'
import { blackHole, clearLoopback, listen, owned, pendingDials, sleep, v4, watchSockets } from './loopback.ts'

afterEach(clearLoopback)
afterEach(closeAll)

describe('the race through TLS', () => {
  const secured = (port: number) => ({
    layers: [tlsLayer({ url: `wss://localhost:${port}/`, tls: { ca: pem('localhost') }, withinMs: 1_500 })],
  })

  it('is won by whoever is secured, not by an open port that says nothing', async () => {
    const { port } = await rawServer((socket) => void socket.resume(), 'localhost')
    await listen('127.0.0.2', port, (socket) => void socket.resume())
    const { won, paths, connections, told } = start([...v4(2), ...v4(1)], port, secured(port))
    const afterMs = await told
    // TCP stands at once, so the next attempt waits until 2 s; the silence ends before, at the deadline of TLS
    expect(afterMs).toBeGreaterThanOrEqual(1_495)
    expect(afterMs).toBeLessThan(1_950)
    expect(connections).toHaveLength(1)
    expect(connections[0]).toBeLessThan(300)
    expect(won[0]).toMatchObject({ encrypted: true, authorized: true, remoteAddress: '127.0.0.1' })
    expect(paths[0]!.attempts.map(({ address, code, step }) => [address, code, step])).toEqual([
      ['127.0.0.2', 'ETIMEDOUT', 'tls'],
      ['127.0.0.1', 'CONNECTED', 'tls'],
    ])
  })

  it('starts beside an open port that says nothing after 2 s, and ends the loser', async () => {
    const { port } = await rawServer((socket) => void socket.resume(), 'localhost')
    const met = await listen('127.0.0.2', port, (socket) => void socket.resume())
    const layers = [tlsLayer({ url: `wss://localhost:${port}/`, tls: { ca: pem('localhost') }, withinMs: 10_000 })]
    const { paths, told } = start([...v4(2), ...v4(1)], port, { layers })
    const afterMs = await told
    expect(afterMs).toBeGreaterThanOrEqual(1_995)
    expect(afterMs).toBeLessThan(2_400)
    expect(paths[0]!.attempts[0]).toMatchObject({ address: '127.0.0.2', code: 'ABANDONED', step: 'tls' })
    await expect.poll(() => met[0]!.destroyed || met[0]!.readableEnded).toBe(true)
  })

  it('goes on with the next address at once when a certificate is wrong, and names what is wrong if all are', async () => {
    const bad = await rawServer((socket) => void socket.resume(), 'elsewhere')
    const mixed = start([...v4(1), ...v4(2)], bad.port, secured(bad.port))
    expect(await mixed.told).toBeLessThan(1_000)
    expect(mixed.failures[0]!.attempts.map(({ code, step }) => `${code} ${step}`)).toEqual([
      'DEPTH_ZERO_SELF_SIGNED_CERT tls',
      'ECONNREFUSED tcp',
    ])
    expect(faultFrom(mixed.failures[0], 'connecting').code).toBe('tls-certificate')
  })

  it('goes on past the deadline of TCP where TCP stands: TLS has a deadline of its own', async () => {
    const { port } = await rawServer((socket) => void socket.resume(), 'localhost')
    const slow = await freePort()
    await listen('127.0.0.1', slow, (socket) => {
      const upstream = owned(connectTcp(port, '127.0.0.1'))
      setTimeout(() => socket.pipe(upstream).pipe(socket), 500)
    })
    const { won, told } = start(v4(1), slow, { ...secured(slow), withinMs: 200 })
    expect(await told).toBeGreaterThanOrEqual(495)
    expect(won[0]).toMatchObject({ encrypted: true })
  })

  it('is over when it is called off by whoever hears that TCP stands, also where nothing follows', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port, (socket) => void socket.resume())
    const told: string[] = []
    const cancel = dial({
      addresses: v4(1),
      port,
      clock: realClock,
      connected: () => cancel(),
      opened: () => told.push('opened'),
      failed: () => told.push('failed'),
    })
    await expect.poll(() => met[0]?.readableEnded || met[0]?.destroyed).toBe(true)
    expect(told).toEqual([])
  })

  it('is over when it is called off by whoever hears that TCP stands', async () => {
    const { port, open } = await rawServer((socket) => void socket.resume(), 'localhost')
    let cancel: () => void = () => undefined
    const told: string[] = []
    cancel = dial({
      ...secured(port),
      addresses: v4(1),
      port,
      clock: realClock,
      connected: () => cancel(),
      opened: () => told.push('opened'),
      failed: () => told.push('failed'),
    })
    await sleep(200)
    expect(told).toEqual([])
    await expect.poll(() => open.size).toBe(0)
  })
})

describe('network 6.6.6', () => {
  it('network 6.6.6 one good address: one attempt, in each of 10 dials', async () => {
    const port = await freePort()
    await listen('127.0.0.2', port)
    const made = watchSockets()
    for (let run = 0; run < 10; run++) await start(v4(2, 3, 4), port).told
    await sleep(300)
    expect(made).toHaveLength(10)
  })

  it('network 6.6.6 no second attempt before 245 ms, none less than 10 ms apart, unless one failed: then within 10 ms', async () => {
    const port = await freePort()
    await blackHole('127.0.0.2', port)
    await blackHole('127.0.0.4', port)
    await listen('127.0.0.5', port)
    const gaps: number[][] = []
    for (let run = 0; run < 10; run++) {
      const made = watchSockets()
      const { told } = start(v4(2, 3, 4, 5), port)
      await told
      gaps.push(made.slice(1).map(({ at }, index) => at - made[index]!.at))
    }
    for (const [toRefusing, afterRefusal, toGood] of gaps) {
      expect(toRefusing).toBeGreaterThanOrEqual(245)
      expect(toGood).toBeGreaterThanOrEqual(245)
      expect(toRefusing).toBeLessThan(350)
      expect(toGood).toBeLessThan(350)
      expect(afterRefusal).toBeLessThan(100)
    }
    const afterRefusal = gaps.map(([, gap]) => gap!).sort((a, b) => a - b)
    expect(afterRefusal[5]).toBeLessThanOrEqual(10)
  })
})

describe('network 6.6.7', () => {
  it('network 6.6.7 a link tells of every address: the dialer gives up just before the chart would', async () => {
    const port = await freePort()
    await blackHole('127.0.0.2', port)
    const link = connect(smallTalk({ url: `ws://peer.test:${port}/` }), {
      lookup: async () => v4(2, 3),
      proxy: false,
      deadlines: { connectMs: 600 },
    })
    await expect.poll(() => link.status.state, { timeout: 2_000 }).toBe('backoff')
    expect(link.status.fault).toEqual({
      code: 'connect-timeout',
      detail: expect.stringMatching(/^127.0.0.3:\d+ IPv4 ECONNREFUSED \d+ ms; 127.0.0.2:\d+ IPv4 ETIMEDOUT 58\d ms$/),
    })
    await link.stop()
  })

  it('network 6.6.7 all black holes: one error at the deadline, every address in it, and no socket left', async () => {
    const port = await freePort()
    await blackHole('0.0.0.0', port)
    const before = pendingDials()
    const { failures, told } = start(v4(2, 3, 4, 5, 6), port, { withinMs: 2_000 })
    const afterMs = await told
    expect(Math.abs(afterMs - 2_000)).toBeLessThanOrEqual(50)
    const [error] = failures
    expect(error!.message).toMatch(/^(127\.0\.0\.[2-5]:\d+ IPv4 ETIMEDOUT \d+ ms; ){4}not tried: 127\.0\.0\.6$/)
    expect(error!.attempts.map(({ address, family, code, step }) => ({ address, family, code, step }))).toEqual(
      v4(2, 3, 4, 5).map((address) => ({ ...address, code: 'ETIMEDOUT', step: 'tcp' })),
    )
    error!.attempts.forEach(({ ms }, index) => {
      expect(Math.abs(ms - (2_000 - 250 * index))).toBeLessThanOrEqual(60)
    })
    expect(faultFrom(error, 'connecting')).toEqual({ code: 'connect-timeout', detail: error!.message })
    await expect.poll(pendingDials).toBe(before)
  })
})
