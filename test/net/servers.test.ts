/** DNS servers of one's own, against a name server on loopback. */
import { afterEach, describe, expect, it } from 'vitest'
import { realClock } from '../../src/clock.ts'
import { faultFrom } from '../../src/error.ts'
import { type AddressFeed, Resolver } from '../../src/net/resolve.ts'
import { lookupByServers } from '../../src/net/servers.ts'
import { clearLoopback } from './loopback.ts'
import { nameServer, RCODE } from './name-server.ts'

afterEach(clearLoopback)

const names = (feed: AddressFeed) => feed.known.map(({ address }) => address)

describe('name servers of one’s own', () => {
  const find = (server: string, host: string) =>
    new Resolver(realClock).find(host, { lookup: lookupByServers([server]) })
  const failureOf = async (promise: Promise<unknown>) =>
    promise.then(
      () => expect.unreachable(),
      (error) => error,
    )

  it('are asked for both families at once; A waits 50 ms for AAAA, and AAAA for nobody', async () => {
    const { server, asked } = await nameServer({
      'both.test': { a: { addresses: ['10.0.0.1'] }, aaaa: { addresses: ['2001:db8::1'], afterMs: 20 } },
      'late.test': { a: { addresses: ['10.0.0.1'] }, aaaa: { addresses: ['2001:db8::1'], afterMs: 300 } },
      'slow.test': { a: { addresses: ['10.0.0.1'], afterMs: 300 }, aaaa: { addresses: ['2001:db8::1'] } },
    })
    expect(names(await find(server, 'both.test'))).toEqual(['2001:db8::1', '10.0.0.1'])
    expect(asked.sort()).toEqual(['both.test A', 'both.test AAAA'])
    for (const [host, first, second] of [
      ['late.test', '10.0.0.1', '2001:db8::1'],
      ['slow.test', '2001:db8::1', '10.0.0.1'],
    ] as const) {
      const startedAt = performance.now()
      const feed = await find(server, host)
      const afterMs = performance.now() - startedAt
      expect(names(feed)).toEqual([first])
      expect(afterMs).toBeLessThan(200)
      expect(afterMs).toBeGreaterThanOrEqual(host === 'late.test' ? 49 : 0)
      await expect.poll(() => names(feed)).toEqual([first, second])
    }
  })

  it('that know one family only are enough', async () => {
    const { server } = await nameServer({
      'four.test': { a: { addresses: ['10.0.0.1'] }, aaaa: {} },
      'six.test': { a: {}, aaaa: { addresses: ['2001:db8::1'] } },
      'broken.test': { a: { addresses: ['10.0.0.1'] }, aaaa: { rcode: RCODE.servfail } },
    })
    expect(names(await find(server, 'four.test'))).toEqual(['10.0.0.1'])
    expect(names(await find(server, 'six.test'))).toEqual(['2001:db8::1'])
    expect(names(await find(server, 'broken.test'))).toEqual(['10.0.0.1'])
  })

  it.each([
    ['a name that does not exist', { a: { rcode: RCODE.nxdomain }, aaaa: { rcode: RCODE.nxdomain } }, 'name-not-found'],
    ['a name without an address', { a: {}, aaaa: {} }, 'name-not-found'],
    ['a server that fails', { a: { rcode: RCODE.servfail }, aaaa: { rcode: RCODE.servfail } }, 'name-unavailable'],
    ['a server that refuses', { a: { rcode: RCODE.refused }, aaaa: { rcode: RCODE.refused } }, 'name-unavailable'],
    ['one family that fails and one without', { a: {}, aaaa: { rcode: RCODE.servfail } }, 'name-unavailable'],
  ])('tell %s apart', async (_what, replies, expected) => {
    const { server } = await nameServer({ 'peer.test': replies })
    expect(faultFrom(await failureOf(find(server, 'peer.test')), 'resolving').code).toBe(expected)
  })

  it('network 6.6.8 that say nothing are given up at 5 s', async () => {
    const { server } = await nameServer({})
    const startedAt = performance.now()
    const error = await failureOf(find(server, 'silent.test'))
    expect(Math.abs(performance.now() - startedAt - 5_000)).toBeLessThanOrEqual(100)
    expect(faultFrom(error, 'resolving').code).toBe('name-unavailable')
  })

  it('are not there at all', async () => {
    const { server } = await nameServer({})
    await clearLoopback()
    expect(faultFrom(await failureOf(find(server, 'peer.test')), 'resolving').code).toBe('name-unavailable')
  })

  it('are not asked for localhost, and answer all links that name them', async () => {
    const { server, asked } = await nameServer({})
    const feed = await find(server, 'localhost')
    expect(feed.known.every(({ address }) => ['127.0.0.1', '::1'].includes(address))).toBe(true)
    expect(asked).toEqual([])
    expect(lookupByServers([server])).toBe(lookupByServers([server]))
    expect(() => lookupByServers(['name.test'])).toThrow()
  })
})
