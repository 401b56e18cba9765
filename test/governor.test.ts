/** Many links and one peer, in virtual time: what the peer sees of them. */
import { describe, expect, test } from 'vitest'
import { defineAdapter } from '../src/adapter/adapter.ts'
import type { Clock } from '../src/clock.ts'
import { connect, type Link } from '../src/link.ts'
import { type HeapClock, heapClock } from '../src/testing/heap-clock.ts'
import type { OpenTransport, TransportListener } from '../src/transport/transport.ts'

const adapter = defineAdapter({
  name: 'herd',
  target: { url: 'ws://127.0.0.1:9/' },
  dialogue: (io) => ({
    frame: () => {
      io.welcome()
      return 'taken'
    },
  }),
})

/** A peer that is up or down, and completes so many handshakes a second, first come first served. */
class Peer {
  readonly clock: HeapClock
  handshakesPerSecond: number
  readonly dials: number[] = []
  readonly accepted: number[] = []
  up = true
  #freeAt = 0
  readonly #inside = new Set<TransportListener>()

  constructor(clock: HeapClock, handshakesPerSecond = 10_000) {
    this.clock = clock
    this.handshakesPerSecond = handshakesPerSecond
  }

  readonly transport = (): OpenTransport => (listener) => {
    this.dials.push(this.clock.now())
    let left = false
    const timer = this.clock.setTimeout(() => {
      if (!this.up) return listener.lost({ code: 'refused' })
      listener.opened()
      // work that was begun is done, even for those who have gone meanwhile: that is how overload feeds itself
      this.#freeAt = Math.max(this.#freeAt, this.clock.now()) + 1_000 / this.handshakesPerSecond
      this.clock.setTimeout(() => {
        if (!left && this.up) this.#welcome(listener)
      }, this.#freeAt - this.clock.now())
    }, 1)
    return () => {
      left = true
      this.clock.clearTimeout(timer)
      this.#inside.delete(listener)
    }
  }

  #welcome(listener: TransportListener) {
    this.accepted.push(this.clock.now())
    this.#inside.add(listener)
    listener.ready({
      send: () => undefined,
      ping: (mark) => {
        this.clock.setTimeout(() => {
          if (!this.up || !this.#inside.has(listener)) return
          listener.answered(mark)
          listener.inbound()
        }, 1)
      },
      bufferedBytes: () => 0,
      close: () => listener.lost({ code: 'closed-by-peer' }),
    })
    listener.frame('welcome')
    listener.inbound()
  }

  down() {
    this.up = false
    for (const listener of [...this.#inside]) listener.lost({ code: 'connection-lost' })
  }
}

const start = (clock: HeapClock, peer: Peer, count: number, clockOf = (same: HeapClock): Clock => same): Link[] =>
  Array.from({ length: count }, (_, i) =>
    connect(adapter, { id: `bot-${i}`, clock: clockOf(clock), transport: peer.transport, recordsMax: 16 }),
  )

const live = (links: Link[]) => links.filter(({ status }) => status.state === 'live').length

/** Milliseconds until all are live again. */
const untilAllLive = async (clock: HeapClock, links: Link[], atMostMs: number): Promise<number> => {
  const begun = clock.now()
  while (live(links) < links.length && clock.now() - begun < atMostMs) await clock.advance(25)
  return clock.now() - begun
}

const busiest = (times: number[], withinMs: number): number => {
  let most = 0
  for (let from = 0, to = 0; to < times.length; to++) {
    while (times[from]! <= times[to]! - withinMs) from++
    most = Math.max(most, to - from + 1)
  }
  return most
}

const dialsOf = (link: Link) => link.status.attempt - 1

describe('the governor', () => {
  test('2,000 links lose their peer for 5 s: one scout at a time, a paced return, two dials each at most', async () => {
    const clock = heapClock()
    const peer = new Peer(clock)
    const links = start(clock, peer, 2_000)
    await untilAllLive(clock, links, 60_000)
    const before = peer.dials.length
    peer.down()
    await clock.advance(5_000)
    expect(peer.dials.length - before).toBeLessThanOrEqual(20)
    peer.up = true
    const accepted = peer.accepted.length
    const took = await untilAllLive(clock, links, 60_000)
    console.log(`2,000 links: ${peer.dials.length - before} dials, all live ${took} ms after the return`)
    expect(took).toBeLessThanOrEqual(10_000)
    expect(busiest(peer.accepted.slice(accepted), 100)).toBeLessThanOrEqual(60)
    expect(Math.max(...links.map(dialsOf))).toBeLessThanOrEqual(2)
    await Promise.all(links.map((link) => link.stop({ drainMs: 0 })))
    expect(clock.pending).toBe(0)
  })

  test('20 links through an outage of 30 s: live within a second of the return, three dials each at most', async () => {
    const took: number[] = []
    for (let seed = 1; seed <= 20; seed++) {
      const clock = heapClock(seed)
      const peer = new Peer(clock)
      const links = start(clock, peer, 20)
      await untilAllLive(clock, links, 60_000)
      peer.down()
      await clock.advance(30_000)
      peer.up = true
      took.push(await untilAllLive(clock, links, 60_000))
      expect(Math.max(...links.map(dialsOf))).toBeLessThanOrEqual(3)
      await Promise.all(links.map((link) => link.stop({ drainMs: 0 })))
    }
    took.sort((a, b) => a - b)
    console.log(`20 links, 30 s: all live after ${took[10]} ms (median of 20), ${took.at(-1)} ms (worst)`)
    expect(took[10]).toBeLessThanOrEqual(1_000)
    expect(took.at(-1)).toBeLessThanOrEqual(2_500)
  })

  /** 5,000 links lose a peer that then completes 100 handshakes a second: N/R is 50 s. */
  const slowReturn = async (clockOf: (clock: HeapClock) => Clock) => {
    const clock = heapClock()
    const peer = new Peer(clock)
    const links = start(clock, peer, 5_000, clockOf)
    await clock.advance(30_000)
    expect(live(links)).toBe(5_000)
    const before = peer.dials.length
    peer.handshakesPerSecond = 100
    peer.down()
    peer.up = true
    const took = await untilAllLive(clock, links, 66_000)
    const attempts = (peer.dials.length - before) / links.length
    for (const link of links) void link.stop({ drainMs: 0 })
    return { took, attempts, live: live(links) }
  }

  test('5,000 links and a peer of 100 handshakes a second: all live within 1.3 N/R, 1.2 attempts each', async () => {
    const { took, attempts } = await slowReturn((clock) => clock)
    console.log(`5,000 links, governed: all live after ${took / 1000} s, ${attempts.toFixed(2)} attempts each`)
    expect(took).toBeLessThanOrEqual(65_000)
    expect(attempts).toBeLessThanOrEqual(1.2)
  })

  test('the same without the governor is what it is there for: they trample the peer and each other', async () => {
    // a clock of its own gives each link a governor of its own
    const { took, attempts } = await slowReturn((clock) => ({ ...clock }))
    console.log(`5,000 links, each for itself: ${took / 1000} s or more, ${attempts.toFixed(2)} attempts each`)
    expect(took > 65_000 || attempts > 1.2).toBe(true)
  })
})
