/** How fast it writes: what gathered trickles, a protocol's limit holds always, and otherwise nothing is held up. */
import { describe, expect, it } from 'vitest'
import type { HeapClock } from '../../src/testing/heap-clock.ts'
import { Desk, LOST } from './desk.ts'

/** When each message was written, by its number. */
const trace = (desk: Desk, clock: HeapClock) => {
  const at: number[] = []
  const look = () => {
    while (at.length < desk.written.length) at.push(clock.now())
  }
  return {
    at,
    run: async (ms: number) => {
      look()
      for (const until = clock.now() + ms; clock.now() < until; look()) {
        await clock.advance(Math.min(clock.nextInMs ?? ms, until - clock.now()))
      }
    },
  }
}

/** The most that happened in any window of so many milliseconds. */
const mostWithin = (at: readonly number[], ms: number): number =>
  Math.max(...at.map((from) => at.filter((each) => each >= from && each < from + ms - 1e-6).length))

describe('the backlog', () => {
  it('HF-O13 is written at 50 a second after a burst of 50, and what is put meanwhile queues behind it', async () => {
    const desk = new Desk()
    const { at, run } = trace(desk, desk.clock)
    for (let n = 0; n < 200; n++) desk.put(`${n}`, { withinMs: 60_000 })
    desk.attach()
    expect(desk.written).toHaveLength(50)
    for (let n = 200; n < 500; n++) desk.put(`${n}`, { withinMs: 60_000 })
    expect(desk.written).toHaveLength(50)
    await run(1_000)
    expect(desk.written).toHaveLength(100)
    await run(2_000)
    expect(desk.written, 'the rest was put while live, so it goes at once').toHaveLength(500)
    expect(at[199]).toBeCloseTo(3_000)
    expect(desk.texts).toEqual(Array.from({ length: 500 }, (_, n) => `${n}`))
    desk.put('late')
    expect(desk.texts.at(-1)).toBe('late')
  })

  it('HF-O13 does not get a new burst from a link that flaps', async () => {
    const desk = new Desk({ backlogPerSecond: 10 })
    const { at, run } = trace(desk, desk.clock)
    for (let n = 0; n < 100; n++) desk.put(`${n}`, { withinMs: 60_000 })
    for (let n = 0; n < 20; n++) {
      desk.attach()
      await run(100)
      desk.outbox.detach()
    }
    expect(mostWithin(at, 1_000)).toBeLessThanOrEqual(20)
    expect(at).toHaveLength(10 + 20)
  })

  it('HF-O13 includes what is written again', async () => {
    const desk = new Desk({ backlogPerSecond: 5 })
    const old = desk.attach()
    for (let n = 0; n < 20; n++) desk.put(`${n}`, { idempotencyKey: `k${n}`, withinMs: 60_000 })
    expect(old.written).toHaveLength(20)
    const next = desk.dial()
    desk.outbox.attach(next.flight)
    old.flight.lose(LOST)
    expect(next.written).toHaveLength(5)
    await desk.clock.advance(3_000)
    expect(next.written).toHaveLength(20)
  })

  it('HF-O13 of three messages is no reason to wait, nor is a kernel that took no more', () => {
    const desk = new Desk()
    for (const text of ['a', 'b', 'c']) desk.put(text)
    desk.attach()
    expect(desk.texts).toEqual(['a', 'b', 'c'])
    desk.room = false
    for (let n = 0; n < 100; n++) desk.put(`${n}`)
    desk.room = true
    desk.flight.room()
    expect(desk.written).toHaveLength(103)
  })
})

describe('the pace of an adapter', () => {
  it.each([
    [{ count: 3, ms: 1_000 }, 20],
    [{ count: 1, ms: 250 }, 20],
    [{ count: 20, ms: 60_000 }, 50],
  ])('HF-O14 %j is kept in every window, across transports', async (pace, count) => {
    const desk = new Desk({}, { pace })
    const { at, run } = trace(desk, desk.clock)
    for (let n = 0; n < count; n++) {
      if (n % 3 === 0) desk.attach()
      const more = n % 2 === 0 ? { idempotencyKey: `k${n}` } : {}
      desk.put(`${n}`, { withinMs: 3_600_000, ...more })
      await run(n % 5 === 0 ? pace.ms * 0.7 : 1)
      if (n % 4 === 0) desk.lose()
    }
    desk.attach()
    await run(pace.ms * count)
    expect(mostWithin(at, pace.ms)).toBe(pace.count)
    expect(new Set(desk.texts).size).toBe(count)
    expect(desk.outbox.counts).toMatchObject({ expired: 0 })
  })

  it('HF-O14 counts requests too, and is waited for and not asked again and again', async () => {
    const desk = new Desk({}, { pace: { count: 2, ms: 1_000 } })
    desk.attach()
    desk.post('a')
    desk.put('b')
    desk.post('c')
    expect([desk.requests.length, desk.written.length]).toEqual([1, 1])
    expect(desk.clock.pending).toBe(2)
    expect(desk.clock.nextInMs).toBe(1_000)
    await desk.clock.advance(1_000)
    expect(desk.requests).toHaveLength(2)
  })
})
