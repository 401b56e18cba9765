/** Names to addresses: in virtual time, with lookups under control. */
import { describe, expect, it } from 'vitest'
import { realClock } from '../../src/clock.ts'
import { faultFrom } from '../../src/error.ts'
import { forgetPaths } from '../../src/net/paths.ts'
import { type Address, type AddressFeed, type Lookup, Resolver, resolverOf } from '../../src/net/resolve.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { follow } from '../small-talk.ts'
import { v4 } from './loopback.ts'

const [a, b] = v4(2, 3) as [Address, Address]
const aaaa: Address = { address: '::1', family: 6 }

const failing = (code: string) => Object.assign(new Error(`getaddrinfo ${code} peer.test`), { code })

type Reply = readonly Address[] | string | 'never'

/** A lookup that answers what it is told, when it is told: `both` for the whole, `four` for IPv4 alone. */
const scripted = (clock: HeapClock, both: [number, Reply], four: [number, Reply] = [0, 'never']) => {
  const script = { both, four }
  const asked: string[] = []
  const lookup: Lookup = (host, family) => {
    asked.push(`${host} ${family ?? 'both'} @${clock.now()}`)
    const [afterMs, reply] = family === 4 ? script.four : script.both
    return new Promise((resolve, reject) => {
      if (reply === 'never') return
      clock.setTimeout(() => (typeof reply === 'string' ? reject(failing(reply)) : resolve([...reply])), afterMs)
    })
  }
  return { lookup, asked, script }
}

const names = (feed: AddressFeed | undefined) => feed?.known.map(({ address }) => address)

describe('a search', () => {
  it('is not made for addresses', async () => {
    const resolver = new Resolver(heapClock(), async () => expect.unreachable())
    for (const host of ['127.0.0.1', '::1']) expect(names(await resolver.find(host))).toEqual([host])
  })

  it('is shared by all who ask for the same name, and its answer is fresh for 30 s', async () => {
    const clock = heapClock()
    const { lookup, asked } = scripted(clock, [20, [a, aaaa]])
    const resolver = new Resolver(clock)
    const first = follow(Promise.all(Array.from({ length: 100 }, () => resolver.find('peer.test', { lookup }))))
    await clock.advance(20)
    expect(first.value!.map(names)).toEqual(Array(100).fill([a.address, aaaa.address]))
    await clock.advance(29_999)
    expect(names(await resolver.find('peer.test', { lookup }))).toEqual([a.address, aaaa.address])
    expect(asked).toEqual(['peer.test both @0'])
    await clock.advance(2)
    void resolver.find('peer.test', { lookup })
    void resolver.find('other.test', { lookup })
    expect(asked.slice(1)).toEqual(['peer.test both @30021', 'other.test both @30021'])
  })

  it('R51 is made anew after its addresses led nowhere, and after a change of network', async () => {
    const clock = heapClock()
    const { lookup, asked } = scripted(clock, [0, [a]])
    const resolver = resolverOf(clock)
    const find = async () => {
      const found = follow(resolver.find('peer.test', { lookup }))
      await clock.advance(0)
      return found.value!
    }
    await find()
    const cached = await find()
    expect(asked).toHaveLength(1)
    cached.doubt()
    await find()
    expect(asked).toHaveLength(2)
    forgetPaths(clock)
    await find()
    expect(asked).toHaveLength(3)
  })

  it('asks for IPv4 alone after 300 ms, and uses what comes first; the whole answer joins', async () => {
    const clock = heapClock()
    const { lookup, asked } = scripted(clock, [2_000, [aaaa, a, b]], [2, [a]])
    const found = follow(new Resolver(clock).find('peer.test', { lookup }))
    await clock.advance(299)
    expect(asked).toEqual(['peer.test both @0'])
    await clock.advance(1)
    expect(asked).toEqual(['peer.test both @0', 'peer.test 4 @300'])
    // the resolution delay of RFC 8305
    await clock.advance(51)
    expect(found.settled).toBe(false)
    await clock.advance(1)
    const feed = found.value!
    expect([names(feed), feed.isComplete]).toEqual([[a.address], false])
    let changes = 0
    const deafen = feed.listen(() => changes++)
    await clock.advance(1_648)
    expect([names(feed), feed.isComplete]).toEqual([[a.address, aaaa.address, b.address], true])
    expect(changes).toBe(2)
    deafen()
    expect(clock.pending).toBe(0)
  })

  it('takes the whole answer if it comes within the resolution delay, in its order', async () => {
    const clock = heapClock()
    const { lookup } = scripted(clock, [340, [aaaa, a]], [0, [a]])
    const found = follow(new Resolver(clock).find('peer.test', { lookup }))
    await clock.advance(340)
    expect(names(found.value)).toEqual([aaaa.address, a.address])
    expect(clock.pending).toBe(0)
  })

  it('asks for IPv4 alone at once when the whole fails for a while, and not at all when there is no such name', async () => {
    const clock = heapClock()
    const broken = scripted(clock, [10, 'EAI_AGAIN'], [10, [a]])
    const found = follow(new Resolver(clock).find('peer.test', { lookup: broken.lookup }))
    await clock.advance(20)
    expect(names(found.value)).toEqual([a.address])
    const missing = scripted(clock, [10, 'ENOTFOUND'], [10, [a]])
    const lost = follow(new Resolver(clock).find('peer.test', { lookup: missing.lookup }))
    await clock.advance(20)
    expect(lost.error).toMatchObject({ code: 'ENOTFOUND' })
    expect(missing.asked).toHaveLength(1)
  })

  it('is over at once when there is no such name, even while IPv4 is asked for', async () => {
    const clock = heapClock()
    const { lookup } = scripted(clock, [400, 'ENOTFOUND'])
    const found = follow(new Resolver(clock).find('peer.test', { lookup }))
    await clock.advance(400)
    expect(found.error).toMatchObject({ code: 'ENOTFOUND' })
  })

  it('that still goes on is shared by those who come when it has found something', async () => {
    const clock = heapClock()
    const { lookup } = scripted(clock, [2_000, [aaaa, a]], [2, [a]])
    const resolver = new Resolver(clock)
    void follow(resolver.find('peer.test', { lookup }))
    await clock.advance(1_000)
    const later = await resolver.find('peer.test', { lookup })
    expect(names(later)).toEqual([a.address])
    await clock.advance(1_000)
    expect(names(later)).toEqual([a.address, aaaa.address])
  })

  it('asks a lookup once that knows no families', async () => {
    const clock = heapClock()
    let asked = 0
    const lookup: Lookup = (_host) => {
      asked++
      return new Promise(() => undefined)
    }
    void follow(new Resolver(clock).find('peer.test', { lookup }))
    await clock.advance(4_000)
    expect(asked).toBe(1)
  })

  it('ends after 5 s, and leaves no timer; the next one asks anew', async () => {
    const clock = heapClock()
    const { lookup, asked } = scripted(clock, [0, 'never'])
    const resolver = new Resolver(clock)
    const found = follow(resolver.find('peer.test', { lookup }))
    await clock.advance(4_999)
    expect(found.settled).toBe(false)
    await clock.advance(1)
    expect(faultFrom(found.error, 'resolving')).toEqual({
      code: 'name-unavailable',
      detail: 'no answer for peer.test within 5000 ms',
    })
    expect(clock.pending).toBe(0)
    void follow(resolver.find('peer.test', { lookup }))
    expect(asked.filter((each) => each.includes('both'))).toHaveLength(2)
  })

  it('leaves no timer when nobody waits for it any more', async () => {
    const clock = heapClock()
    const { lookup } = scripted(clock, [0, 'never'])
    const abort = new AbortController()
    const found = follow(new Resolver(clock).find('peer.test', { lookup, signal: abort.signal }))
    await clock.advance(100)
    abort.abort()
    await clock.advance(0)
    expect([found.settled, clock.pending]).toEqual([true, 0])
  })

  it('keeps an answer that came too late for those who asked', async () => {
    const clock = heapClock()
    const { lookup } = scripted(clock, [6_000, [a]])
    const resolver = new Resolver(clock)
    const found = follow(resolver.find('peer.test', { lookup }))
    await clock.advance(6_000)
    expect(found.error).toMatchObject({ code: 'ETIMEOUT' })
    expect(names(await resolver.find('peer.test', { lookup }))).toEqual([a.address])
  })
})

describe('addresses of the past', () => {
  const warm = async (reply: [number, Reply]) => {
    const clock = heapClock()
    const { lookup, script } = scripted(clock, [0, [a, b]])
    const resolver = new Resolver(clock)
    void resolver.find('peer.test', { lookup })
    await clock.advance(31_000)
    script.both = reply
    return { clock, resolver, lookup, script }
  }

  it('are used at once when the name server fails', async () => {
    const { clock, resolver, lookup } = await warm([40, 'EAI_AGAIN'])
    const found = follow(resolver.find('peer.test', { lookup }))
    await clock.advance(40)
    expect(names(found.value)).toEqual([a.address, b.address])
    expect(found.value!.staleBecause).toMatchObject({ code: 'EAI_AGAIN' })
  })

  it('network 6.6.8 are used after 350 ms when it says nothing, and the late answer joins them', async () => {
    const { clock, resolver, lookup } = await warm([2_000, [aaaa, a]])
    const startedAt = clock.now()
    const found = follow(resolver.find('peer.test', { lookup }))
    while (!found.settled) await clock.advance(1)
    expect(clock.now() - startedAt).toBe(350)
    const feed = found.value!
    expect([names(feed), feed.staleBecause?.message]).toEqual([
      [a.address, b.address],
      'no answer for peer.test within 350 ms',
    ])
    await clock.advance(1_650)
    expect([names(feed), feed.staleBecause]).toEqual([[a.address, b.address, aaaa.address], undefined])
  })

  it('are not used when there is no such name any more, nor after a day', async () => {
    const gone = await warm([0, 'ENOTFOUND'])
    const lost = follow(gone.resolver.find('peer.test', { lookup: gone.lookup }))
    await gone.clock.advance(0)
    expect(lost.error).toMatchObject({ code: 'ENOTFOUND' })
    const old = await warm([0, 'EAI_AGAIN'])
    old.script.four = [0, 'EAI_AGAIN']
    await old.clock.advance(86_400_000)
    const failed = follow(old.resolver.find('peer.test', { lookup: old.lookup }))
    await old.clock.advance(0)
    expect(failed.error).toMatchObject({ code: 'EAI_AGAIN' })
  })
})

describe('network 6.6.8', () => {
  it.each([
    ['comes 2 s late', [2_000, [aaaa, a]] as [number, Reply]],
    ['is never answered', [15_000, [a]] as [number, Reply]],
  ])('network 6.6.8 an AAAA that %s costs at most 400 ms', async (_what, both) => {
    const clock = heapClock()
    const { lookup } = scripted(clock, both, [2, [a]])
    const found = follow(new Resolver(clock).find('peer.test', { lookup }))
    while (!found.settled) await clock.advance(1)
    expect(clock.now()).toBe(352)
    expect(names(found.value)).toEqual([a.address])
  })
})

describe('network 6.6.9', () => {
  /** Node's thread pool as measured: two lookups at a time, first come, first served, and none can be called off. */
  const threadPool = (clock: HeapClock, slowMs: number) => {
    const queue: (() => void)[] = []
    let running = 0
    const next = () => {
      const job = running < 2 ? queue.shift() : undefined
      if (!job) return
      running++
      job()
    }
    const lookup: Lookup = (host, _family) =>
      new Promise((resolve) => {
        queue.push(() => {
          clock.setTimeout(
            () => {
              running--
              resolve([{ address: '127.0.0.9', family: 4 }])
              next()
            },
            host.endsWith('slow.test') ? slowMs : 1,
          )
        })
        next()
      })
    return { lookup, queued: () => queue.length }
  }

  it('network 6.6.9 eight names of 2 s: a lookup of somebody else waits 2.1 s at most; the control waits 8 s', async () => {
    for (const startsAt of [0, 100, 350, 900, 1_999, 2_350, 5_000]) {
      const clock = heapClock()
      const pool = threadPool(clock, 2_000)
      const resolver = new Resolver(clock, pool.lookup)
      for (let n = 0; n < 8; n++) void follow(resolver.find(`${n}.slow.test`))
      await clock.advance(startsAt)
      expect(pool.queued()).toBe(0)
      const other = follow(pool.lookup('elsewhere.test'))
      const askedAt = clock.now()
      while (!other.settled) await clock.advance(10)
      expect(clock.now() - askedAt, `at ${startsAt}`).toBeLessThanOrEqual(2_100)
    }
    const clock = heapClock()
    const pool = threadPool(clock, 2_000)
    for (let n = 0; n < 8; n++) void pool.lookup(`${n}.slow.test`)
    const other = follow(pool.lookup('elsewhere.test'))
    while (!other.settled) await clock.advance(10)
    expect(clock.now()).toBeGreaterThanOrEqual(8_000)
  })

  it('a lookup that nobody waits for any more gives up its place in the queue', async () => {
    const clock = heapClock()
    const pool = threadPool(clock, 2_000)
    const asked: string[] = []
    const resolver = new Resolver(clock, (host, family) => {
      asked.push(host)
      return pool.lookup(host, family)
    })
    void follow(resolver.find('1.slow.test'))
    const abort = new AbortController()
    void follow(resolver.find('2.slow.test', { signal: abort.signal }))
    await clock.advance(100)
    abort.abort()
    await clock.advance(10_000)
    expect(new Set(asked)).toEqual(new Set(['1.slow.test']))
  })

  it('a name that is slow as a whole does not keep others from IPv4', async () => {
    const clock = heapClock()
    const lookup: Lookup = (host, family) =>
      new Promise((resolve) => {
        clock.setTimeout(() => resolve([a]), host === 'slow.test' && family === undefined ? 15_000 : 2)
      })
    const resolver = new Resolver(clock, lookup)
    void follow(resolver.find('slow.test'))
    const other = follow(resolver.find('other.test'))
    await clock.advance(400)
    expect(names(other.value)).toEqual([a.address])
  })
})

describe('what a lookup gives', () => {
  const given = (found: unknown) =>
    new Resolver(realClock).find('peer.test', { lookup: async () => found as Address[] })

  it.each([
    ['nothing', undefined, 'name-unavailable'],
    ['a text', '10.0.0.1', 'name-unavailable'],
    ['an empty list', [], 'name-not-found'],
  ])('may be %s', async (_what, found, expected) => {
    const error = await given(found).then(
      () => expect.unreachable(),
      (reason) => reason,
    )
    expect(faultFrom(error, 'resolving').code).toBe(expected)
  })

  it('may have wrong families, texts and repeats in it: the dialer says what is no address', async () => {
    const found = [{ address: '::1', family: 4 }, '10.0.0.1', null, { address: 'name.test', family: 4 }, '10.0.0.1']
    expect((await given(found)).known).toEqual([
      { address: '::1', family: 6 },
      { address: '10.0.0.1', family: 4 },
      { address: 'null', family: 4 },
      { address: 'name.test', family: 4 },
    ])
  })

  it('is bounded: 64 addresses, and 256 names are remembered', async () => {
    const many = Array.from({ length: 1_000 }, (_, n) => `10.0.${n >> 8}.${n & 255}`)
    expect((await given(many)).known).toHaveLength(64)
    const resolver = new Resolver(realClock)
    const asked: string[] = []
    const lookup: Lookup = async (host) => {
      asked.push(host)
      return [a]
    }
    for (let n = 0; n <= 256; n++) await resolver.find(`${n}.test`, { lookup })
    await resolver.find('256.test', { lookup })
    expect(asked).toHaveLength(257)
    await resolver.find('0.test', { lookup })
    expect(asked).toHaveLength(258)
  })
})
