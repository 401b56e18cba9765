/** A link with several endpoints, in virtual time: which it dials, in which order, and how soon. */
import { describe, expect, test } from 'vitest'
import { defineAdapter } from '../src/adapter/adapter.ts'
import { connect } from '../src/link.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import type { TransportListener } from '../src/transport/transport.ts'

type Fate = 'welcomes' | 'fails the handshake' | 'refuses'

const answer = (listener: TransportListener, mark: string) => {
  listener.answered(mark)
  listener.inbound()
}

/** Endpoints E1, E2 …, each with the time that a connect takes and what comes of it. */
const world = (fates: Record<string, { connectMs: number; fate: Fate }>) => {
  const clock = heapClock()
  const dials: { name: string; at: number }[] = []
  let current: TransportListener | undefined
  const adapter = defineAdapter({
    name: 'several',
    target: () => Object.keys(fates).map((name) => ({ url: `ws://${name}.test/` })),
    dialogue: (io) => ({
      frame: () => {
        io.welcome()
        return 'taken'
      },
    }),
  })
  const link = connect(adapter, {
    id: 'bot',
    clock,
    lookup: async () => [{ address: '192.0.2.1', family: 4 }],
    transport:
      ({ target }) =>
      (listener) => {
        const name = new URL(target.url).hostname.replace('.test', '').toUpperCase()
        const { connectMs, fate } = fates[name]!
        dials.push({ name, at: clock.now() })
        const timer = clock.setTimeout(() => {
          if (fate === 'refuses') return listener.lost({ code: 'refused' })
          listener.opened()
          if (fate !== 'welcomes') return listener.lost({ code: 'handshake-refused' })
          current = listener
          listener.ready({
            send: () => undefined,
            ping: (mark) => void clock.setTimeout(() => answer(listener, mark), 1),
            bufferedBytes: () => 0,
            close: () => undefined,
          })
          listener.frame('welcome')
          listener.inbound()
        }, connectMs)
        return () => clock.clearTimeout(timer)
      },
  })
  return { clock, link, dials, lose: () => current?.lost({ code: 'connection-lost' }) }
}

describe('several endpoints', () => {
  test('incident 3.6: one that fails the handshake is followed by the next within a second', async () => {
    const { clock, link, dials } = world({
      E1: { connectMs: 10, fate: 'fails the handshake' },
      E2: { connectMs: 10, fate: 'refuses' },
      E3: { connectMs: 10, fate: 'welcomes' },
    })
    await clock.advance(5_000)
    expect(dials.map(({ name }) => name)).toEqual(['E1', 'E2', 'E3'])
    for (const [i, { at }] of dials.slice(1).entries()) expect(at - dials[i]!.at).toBeLessThanOrEqual(1_010)
    expect(link.status.state).toBe('live')
    const stopped = link.stop({ drainMs: 0 })
    await clock.advance(1)
    await stopped
    expect(clock.pending).toBe(0)
  })

  test('after each has failed once the link backs off, and goes through them again', async () => {
    const { clock, link, dials } = world({
      E1: { connectMs: 10, fate: 'fails the handshake' },
      E2: { connectMs: 10, fate: 'fails the handshake' },
    })
    await clock.advance(30_000)
    expect(dials.slice(0, 4).map(({ name }) => name)).toEqual(['E1', 'E2', 'E1', 'E2'])
    expect(dials.length).toBeLessThanOrEqual(10)
    const stopped = link.stop({ drainMs: 0 })
    await clock.advance(1)
    await stopped
  })

  test('R50 that all go down at once and come back later: the link is live soon after', async () => {
    const fates: Parameters<typeof world>[0] = {
      E1: { connectMs: 10, fate: 'welcomes' },
      E2: { connectMs: 20, fate: 'welcomes' },
      E3: { connectMs: 30, fate: 'welcomes' },
    }
    const { clock, link, dials, lose } = world(fates)
    await clock.advance(5_000)
    for (const name of ['E1', 'E2', 'E3']) fates[name] = { connectMs: 1, fate: 'refuses' }
    lose()
    await clock.advance(60_000)
    expect(link.status.state).toBe('backoff')
    expect(new Set(dials.slice(1).map(({ name }) => name))).toEqual(new Set(['E1', 'E2', 'E3']))
    fates.E2 = { connectMs: 10, fate: 'welcomes' }
    await clock.advance(20_000)
    expect(link.status.state).toBe('live')
    const stopped = link.stop({ drainMs: 0 })
    await clock.advance(1)
    await stopped
  })

  test('one that was lost while live is dialed again first: it had welcomed us', async () => {
    const { clock, link, dials, lose } = world({
      E1: { connectMs: 30, fate: 'refuses' },
      E2: { connectMs: 10, fate: 'welcomes' },
    })
    await clock.advance(5_000)
    lose()
    await clock.advance(5_000)
    expect(dials.map(({ name }) => name)).toEqual(['E1', 'E2', 'E2'])
    expect(link.status.state).toBe('live')
    const stopped = link.stop({ drainMs: 0 })
    await clock.advance(1)
    await stopped
  })
})
