/** Incident 1: a bot in a dual-stack container cannot connect although curl can. Its statements, by their numbers. */
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { realClock } from '../../src/clock.ts'
import { faultFrom } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { dial } from '../../src/net/dial.ts'
import type { Address } from '../../src/net/resolve.ts'
import { smallTalk } from '../small-talk.ts'
import { closeAll, frameOf, until, upgrading } from '../transport/servers.ts'
import { atEnd, blackHole, clearLoopback, listen, watchSockets } from './loopback.ts'

afterEach(clearLoopback)
afterEach(closeAll)

/** The documentation's network: no machine has a route to a host in it. */
const NOWHERE: Address = { address: '2001:db8::1', family: 6 }

const linkTo = (port: number, addresses: readonly Address[]) => {
  const link = connect(smallTalk({ url: `ws://peer.test:${port}/` }), { lookup: async () => addresses, proxy: false })
  atEnd(() => void link.stop({ drainMs: 0 }))
  return link
}

describe('incident 1', () => {
  it.each([
    ['1 s', 600, 900, 2_000],
    ['3 s', 2_600, 2_900, 4_500],
  ])('incident 1.1 R55 IPv4 that takes %s beside IPv6 without a route: live within 5 s, and the slow attempt was left alone', async (_what, stuckMs, fromMs, toMs) => {
    const port = await freePort()
    await blackHole('127.0.0.2', port, { stuckMs, awake: 'greeting' })
    const made = watchSockets()
    const startedAt = performance.now()
    const link = linkTo(port, [{ address: '127.0.0.2', family: 4 }, NOWHERE])
    await link.ready()
    const afterMs = performance.now() - startedAt
    expect(afterMs).toBeGreaterThanOrEqual(fromMs)
    expect(afterMs).toBeLessThanOrEqual(toMs)
    // one attempt for each address: the kernel's own repetition of the first SYN came through
    expect(made).toHaveLength(2)
    expect(made[0]!.socket).toMatchObject({ remoteAddress: '127.0.0.2', destroyed: false })
  })

  it('incident 1.2 IPv4 that refuses beside IPv6 that works: connected within 300 ms', async () => {
    const port = await freePort()
    const greet = upgrading((socket) => void socket.write(frameOf(1, '{"op":"welcome"}')))
    await listen('::1', port, greet)
    const startedAt = performance.now()
    const link = linkTo(port, [
      { address: '127.0.0.2', family: 4 },
      { address: '::1', family: 6 },
    ])
    await link.ready()
    expect(performance.now() - startedAt).toBeLessThanOrEqual(300)
  })

  it('R52 addresses without a route cost nothing: six of them are tried in less than the time of three attempts', async () => {
    const port = await freePort()
    const greet = upgrading((socket) => void socket.write(frameOf(1, '{"op":"welcome"}')))
    await listen('::1', port, greet)
    // an address of the link without its interface: the kernel has no route, and says so at once on every machine
    const nowhere = Array.from({ length: 6 }, (_, n): Address => ({ address: `fe80::${n + 1}`, family: 6 }))
    const startedAt = performance.now()
    await linkTo(port, [...nowhere, { address: '::1', family: 6 }]).ready()
    expect(performance.now() - startedAt).toBeLessThanOrEqual(750)
  })

  it('R46 a dial that fails at every one of eight addresses is one attempt', async () => {
    const port = await freePort()
    const eight = Array.from({ length: 8 }, (_, n): Address => ({ address: `127.0.0.${n + 2}`, family: 4 }))
    const link = linkTo(port, eight)
    for (let attempt = 2; attempt <= 4; attempt++) {
      await until(() => link.status.state === 'backoff' && link.status.attempt >= attempt)
      expect(link.status.attempt).toBe(attempt)
    }
    expect(link.status.fault!.detail!.match(/ECONNREFUSED/g)).toHaveLength(8)
  })

  it('incident 1.9 the record, the status and the explanation carry every address, family, code and time', async () => {
    const port = await freePort()
    const link = linkTo(port, [
      { address: '127.0.0.2', family: 4 },
      { address: '::1', family: 6 },
      { address: '127.0.0.3', family: 4 },
    ])
    await until(() => link.status.state === 'backoff')
    const all = new RegExp(
      [`127\\.0\\.0\\.2:${port} IPv4`, `\\[::1\\]:${port} IPv6`, `127\\.0\\.0\\.3:${port} IPv4`]
        .map((address) => `${address} ECONNREFUSED \\d+ ms`)
        .join('; '),
    )
    expect(link.status.fault).toMatchObject({ code: 'refused', detail: expect.stringMatching(all) })
    expect(link.recording.kept.at(-1)!.detail).toMatch(all)
    expect(link.explain().text).toMatch(all)
  })

  it('incident 1.9 three errors deep', async () => {
    const port = await freePort()
    const error = await new Promise((resolve, reject) => {
      const addresses: Address[] = [
        { address: '127.0.0.2', family: 4 },
        { address: '::1', family: 6 },
      ]
      dial({ addresses, port, clock: realClock, opened: reject, failed: resolve })
    })
    const deep = new Error('HttpError', {
      cause: new TypeError('fetch failed', { cause: new AggregateError([error], '') }),
    })
    const all = new RegExp(
      `^127\\.0\\.0\\.2:${port} IPv4 ECONNREFUSED \\d+ ms; \\[::1\\]:${port} IPv6 ECONNREFUSED \\d+ ms$`,
    )
    expect(faultFrom(deep, 'connecting')).toEqual({ code: 'refused', detail: expect.stringMatching(all) })
    // also when it was the provider of the URL that could not get through
    const link = connect(
      smallTalk(() => Promise.reject(deep)),
      { proxy: false },
    )
    atEnd(() => void link.stop())
    await until(() => link.status.state === 'backoff')
    expect(link.status.fault!.code).toBe('provider-failed')
    expect(link.status.fault!.detail).toMatch(new RegExp(all.source.replace(/^\^|\$$/g, '')))
  })
})
