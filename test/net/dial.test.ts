/** Addresses to one socket, against real listeners on loopback. */
import { Socket } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { faultFrom } from '../../src/error.ts'
import { forgetPaths, pathsOf } from '../../src/net/paths.ts'
import type { Address } from '../../src/net/resolve.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { start } from './dialed.ts'
import { blackHole, clearLoopback, listen, pendingDials, sleep, v4, watchSockets } from './loopback.ts'

afterEach(clearLoopback)

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('dial()', () => {
  it('opens the one address there is, without delay for small frames', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port)
    const setNoDelay = vi.spyOn(Socket.prototype, 'setNoDelay')
    const { won, failures, told } = start(v4(1), port)
    await told
    expect([won.length, failures.length]).toEqual([1, 0])
    expect(won[0]).toMatchObject({ remoteAddress: '127.0.0.1', remotePort: port, connecting: false })
    expect(won[0]!.listenerCount('connect')).toBe(0)
    expect(setNoDelay.mock.contexts).toContain(won[0])
    setNoDelay.mockRestore()
    await expect.poll(() => met.length).toBe(1)
  })

  it('does not try the second address while the first still has time', async () => {
    const port = await freePort()
    const [first, second] = [await listen('127.0.0.2', port), await listen('127.0.0.3', port)]
    const { won, told } = start(v4(2, 3), port)
    await told
    await sleep(350)
    expect(won.map(({ remoteAddress }) => remoteAddress)).toEqual(['127.0.0.2'])
    expect([first.length, second.length]).toEqual([1, 0])
  })

  it('goes on at once when an address refuses', async () => {
    const port = await freePort()
    await listen('127.0.0.4', port)
    const { won, failures, told } = start(v4(2, 3, 4), port)
    expect(await told).toBeLessThan(200)
    expect(won[0]!.remoteAddress).toBe('127.0.0.4')
    expect(failures).toEqual([])
  })

  it('tries the next address beside one that is slow, and ends the slow one when the other has won', async () => {
    const port = await freePort()
    await blackHole('127.0.0.2', port)
    await listen('127.0.0.3', port)
    const before = pendingDials()
    const made = watchSockets()
    const { won, told } = start(v4(2, 3), port)
    await turn()
    expect(pendingDials()).toBe(before + 1)
    const afterMs = await told
    expect(afterMs).toBeGreaterThanOrEqual(245)
    expect(afterMs).toBeLessThan(1_000)
    expect(won.map(({ remoteAddress }) => remoteAddress)).toEqual(['127.0.0.3'])
    await expect.poll(pendingDials).toBe(before)
    // without a listener a late error would be an uncaught exception
    const late = new Error('late')
    for (const { socket } of made) expect(socket.emit('error', late)).toBe(true)
  })

  it('lets a slow address win when all others fail: it is never given up before there is a winner', async () => {
    const port = await freePort()
    await blackHole('127.0.0.2', port, { stuckMs: 500 })
    // the kernel repeats the SYN that was dropped after a second
    const { won, failures, told } = start(v4(2, 3, 4), port)
    expect(await told).toBeGreaterThan(500)
    expect(won.map(({ remoteAddress }) => remoteAddress)).toEqual(['127.0.0.2'])
    expect(failures).toEqual([])
  })

  it('fails with every attempt on record when all of them fail', async () => {
    const port = await freePort()
    const { won, failures, told } = start(v4(2, 3, 4), port)
    await told
    expect(won).toEqual([])
    expect(failures).toHaveLength(1)
    expect(failures[0]).toBeInstanceOf(AggregateError)
    expect(failures[0]!.errors.map(({ code, address }) => `${code} ${address}`)).toEqual([
      'ECONNREFUSED 127.0.0.2',
      'ECONNREFUSED 127.0.0.3',
      'ECONNREFUSED 127.0.0.4',
    ])
    for (const { address } of v4(2, 3, 4)) expect(failures[0]!.message).toContain(`${address}:${port}`)
  })

  it('says so when there is nothing to dial', async () => {
    const { failures, told } = start([], 1)
    await told
    expect(failures[0]!.message).toBe('there is no address to dial')
  })

  it('dials 8 addresses at most', async () => {
    const { failures, told } = start(v4(2, 3, 4, 5, 6, 7, 8, 9, 10, 11), await freePort())
    await told
    expect(failures[0]!.errors).toHaveLength(8)
  })

  it('starts an attempt every 250 ms, keeps 4 in flight at most, and leaves nothing when it is cancelled', async () => {
    const port = await freePort()
    await blackHole('0.0.0.0', port)
    const clock = heapClock()
    const before = pendingDials()
    const inFlight = () => pendingDials() - before
    const { won, failures, cancel } = start(v4(2, 3, 4, 5, 6, 7, 8, 9), port, { clock })
    const seen: number[] = []
    for (const ms of [0, 249, 1, 250, 250, 250, 8_000]) {
      await clock.advance(ms)
      seen.push(inFlight())
    }
    expect(seen).toEqual([1, 1, 2, 3, 4, 4, 4])
    cancel()
    await expect.poll(inFlight).toBe(0)
    expect(clock.pending).toBe(0)
    expect([won, failures]).toEqual([[], []])
    cancel()
  })

  it('tells nothing after it was cancelled, not even what was under way', async () => {
    const port = await freePort()
    await listen('127.0.0.2', port)
    const winning = start(v4(2), port)
    const losing = start(v4(3), port)
    winning.cancel()
    losing.cancel()
    await sleep(100)
    expect([winning, losing].flatMap(({ won, failures }) => [...won, ...failures])).toEqual([])
  })
})

/** A feed under the hand of a test. */
const growing = (...first: Address[]) => {
  const listeners = new Set<() => void>()
  const feed = {
    known: first as readonly Address[],
    isComplete: false,
    staleBecause: undefined as Error | undefined,
    doubted: 0,
    listen: (changed: () => void) => {
      listeners.add(changed)
      return () => listeners.delete(changed)
    },
    doubt: () => void feed.doubted++,
    grow: (...more: Address[]) => {
      feed.known = [...feed.known, ...more]
      for (const changed of [...listeners]) changed()
    },
    complete: () => {
      feed.isComplete = true
      for (const changed of [...listeners]) changed()
    },
    listeners,
  }
  return feed
}

describe('addresses that come late', () => {
  it('join the dial that is running, after the attempt delay', async () => {
    const port = await freePort()
    await blackHole('127.0.0.2', port)
    await listen('127.0.0.3', port)
    const feed = growing(...v4(2))
    const { won, told } = start(feed, port)
    await sleep(50)
    feed.grow(...v4(3))
    const afterMs = await told
    expect(afterMs).toBeGreaterThanOrEqual(245)
    expect(afterMs).toBeLessThan(500)
    expect(won[0]!.remoteAddress).toBe('127.0.0.3')
    expect(feed.listeners.size).toBe(0)
  })

  it('are dialed at once when all before them have failed', async () => {
    const port = await freePort()
    await listen('127.0.0.3', port)
    const feed = growing(...v4(2))
    const { won, told } = start(feed, port)
    await sleep(100)
    expect(won).toEqual([])
    feed.grow(...v4(3))
    expect(await told).toBeLessThan(300)
    expect(won[0]!.remoteAddress).toBe('127.0.0.3')
  })

  it('are waited for half a second, and not at all when none can come', async () => {
    const port = await freePort()
    const open = start(growing(...v4(2)), port)
    const closed = growing(...v4(2))
    const ended = start(closed, port)
    await sleep(100)
    closed.complete()
    expect(await ended.told).toBeLessThan(400)
    const openMs = await open.told
    expect(openMs).toBeGreaterThanOrEqual(495)
    expect(openMs).toBeLessThan(900)
    expect(closed.doubted).toBe(1)
  })

  it('of the past that fail are the fault of the lookup', async () => {
    const feed = growing(...v4(2))
    feed.isComplete = true
    feed.staleBecause = Object.assign(new Error('getaddrinfo EAI_AGAIN peer.test'), { code: 'EAI_AGAIN' })
    const port = await freePort()
    const { failures, told } = start(feed, port)
    await told
    expect(faultFrom(failures[0], 'connecting')).toEqual({
      code: 'name-unavailable',
      detail: expect.stringMatching(
        /^getaddrinfo EAI_AGAIN peer.test; last known addresses: 127.0.0.2:\d+ IPv4 ECONNREF/,
      ),
    })
  })
})

describe('the order of attempts', () => {
  const order = (addresses: Address[]): string[] => {
    const paths = pathsOf(heapClock())
    const chosen: Address[] = []
    for (let untried = addresses; untried.length > 0; untried = untried.filter((each) => !chosen.includes(each))) {
      chosen.push(paths.choose('h:1', untried, chosen.at(-1)?.family))
    }
    return chosen.map(({ address }) => address)
  }
  const v6: Address[] = ['::1', '::2', '::3'].map((address) => ({ address, family: 6 }))

  it('interleaves the families, beginning with one of the first', async () => {
    expect(order([...v6, ...v4(2, 3)])).toEqual(['::1', '127.0.0.2', '::2', '127.0.0.3', '::3'])
    expect(order([...v4(2, 3, 4), v6[0]!])).toEqual(['127.0.0.2', '::1', '127.0.0.3', '127.0.0.4'])
    const { failures, told } = start([...v4(2, 3), v6[0]!], await freePort())
    await told
    expect(failures[0]!.attempts.map(({ address }) => address)).toEqual(['127.0.0.2', '::1', '127.0.0.3'])
  })

  it('begins with the address that won last, with more patience where it is far, until it fails or is forgotten', async () => {
    const clock = heapClock()
    const paths = pathsOf(clock)
    const [far, near] = v4(2, 3) as [Address, Address]
    const first = () => paths.choose('h:1', [near, far], undefined)
    expect([first(), paths.patienceMs('h:1', far.address)]).toEqual([near, 250])
    for (const [connectMs, patience] of [
      [20, 250],
      [600, 750],
      [9_000, 2_000],
    ] as const) {
      paths.won('h:1', far.address, connectMs)
      expect([first(), paths.patienceMs('h:1', far.address)]).toEqual([far, patience])
    }
    expect(paths.patienceMs('h:1', near.address)).toBe(250)
    expect(paths.choose('h:2', [near, far], undefined)).toBe(near)
    paths.failed('h:1', far.address)
    expect(first()).toBe(near)
    paths.won('h:1', far.address, 600)
    await clock.advance(600_001)
    expect(first()).toBe(near)
    paths.won('h:1', far.address, 600)
    forgetPaths(clock)
    expect([first(), paths.patienceMs('h:1', far.address)]).toEqual([near, 250])
  })

  it('forgets that an address failed when it wins, and after 10 min', async () => {
    const clock = heapClock()
    const paths = pathsOf(clock)
    const [a, b, c] = v4(2, 3, 4) as [Address, Address, Address]
    const first = () => paths.choose('h:1', [a, c], undefined)
    paths.failed('h:1', a.address)
    expect(first()).toBe(c)
    paths.won('h:1', a.address, 1)
    paths.won('h:1', b.address, 1)
    expect(first()).toBe(a)
    paths.failed('h:1', a.address)
    await clock.advance(599_999)
    expect(first()).toBe(c)
    await clock.advance(2)
    expect(first()).toBe(a)
  })

  it('puts those that failed in the last dial behind those that were not tried', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.11', port)
    const memory = `order:${port}`
    const { failures, told } = start(v4(2, 3, 4, 5, 6, 7, 8, 9, 10, 11), port, { memory })
    await told
    expect(failures[0]!.attempts).toHaveLength(8)
    expect(failures[0]!.message).toMatch(/; not tried: 127.0.0.10, 127.0.0.11$/)
    const second = start(v4(2, 3, 4, 5, 6, 7, 8, 9, 10, 11), port, { memory })
    await second.told
    expect(second.paths[0]!.attempts.map(({ address, code }) => `${address} ${code}`)).toEqual([
      '127.0.0.10 ECONNREFUSED',
      '127.0.0.11 CONNECTED',
    ])
    await expect.poll(() => met.length).toBe(1)
    const third = start(v4(2, 11), port, { memory })
    await third.told
    expect(third.paths[0]!.attempts.map(({ address }) => address)).toEqual(['127.0.0.11'])
  })
})
