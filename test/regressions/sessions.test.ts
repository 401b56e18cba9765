/** Regressions of other libraries in what shall outlive a transport: listeners, subscriptions at the peer, messages, the account. */
import { describe, expect, it } from 'vitest'
import { defineAdapter } from '../../src/adapter/adapter.ts'
import { readObject } from '../../src/adapter/json.ts'
import { connect, type Link } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { gatewayRig } from '../gateway.ts'
import { follow, politePeer, rig, smallTalk, URL_OF_PEER } from '../small-talk.ts'

describe('listeners', () => {
  it('R44 of every stream, and a loop, hear on over any number of losses, and are told of the end once', async () => {
    const made = rig()
    const { clock, network, link } = made
    const heard = { state: 0, inbound: 0, loop: 0, transitions: 0, continuity: 0, ends: 0 }
    const hear = (name: Exclude<keyof typeof heard, 'ends' | 'loop'>, stream$: Link['inbound$']) =>
      stream$.subscribe({ next: () => heard[name]++, complete: () => heard.ends++ })
    hear('state', link.state$)
    hear('inbound', link.inbound$)
    hear('transitions', link.transitions$)
    hear('continuity', link.continuity$)
    const loop = (async () => {
      for await (const _ of link) heard.loop++
    })()
    for (let n = 1; n <= 20; n++) {
      await clock.advance(130_000)
      const before = { ...heard }
      network.current!.frame({ op: 'news', id: `n${n}` })
      await clock.advance(0)
      expect(heard).toMatchObject({ inbound: n, loop: n, continuity: n })
      if (n % 3 === 0) network.current!.lose({ code: 'closed-by-peer' }, { code: 1000, reason: '' })
      else if (n % 3 === 1) network.current!.lose({ code: 'connection-lost' })
      else network.current!.frame({ op: 'fail', code: 'session-lost' })
      expect(heard.state).toBeGreaterThan(before.state)
      expect(heard.transitions).toBeGreaterThan(before.transitions)
    }
    expect(heard.ends).toBe(0)
    await made.end()
    await loop
    expect(heard.ends).toBe(4)
  })
})

describe('subscriptions at the peer', () => {
  /** A protocol with rooms: welcomed is who has been let into all that he wants. */
  const roomsOf = (wanted: Set<string>) =>
    defineAdapter({
      name: 'rooms',
      target: { url: URL_OF_PEER },
      dialogue: (io) => {
        const missing = new Set(wanted)
        return {
          opened: () => {
            for (const room of wanted) io.send(JSON.stringify({ op: 'join', room }))
          },
          frame: (raw) => {
            const { op, room } = readObject(raw) ?? {}
            if (op !== 'joined') return 'unknown'
            if (missing.delete(String(room)) && missing.size === 0) io.welcome()
            return 'taken'
          },
        }
      },
    })

  const hold = (wanted: Set<string>, latencyMs: number) => {
    const clock = heapClock()
    const network = new FakeNetwork(clock, {
      answer: (frame) => ({ ...readObject(frame), op: 'joined' }),
    })
    network.latencyMs = latencyMs
    const { transport, lookup } = network
    const link = connect(roomsOf(wanted), { id: 'bot', clock, transport, lookup })
    const joined = () => network.transports.map(({ sent }) => sent.map((frame) => String(readObject(frame)?.room)))
    return { clock, network, link, joined }
  }

  it('R93 are a set: after each loss the peer is told each of them once, those that came meanwhile too', async () => {
    const wanted = new Set(['a', 'b'])
    const { clock, network, link, joined } = hold(wanted, 10)
    const expected: string[][] = []
    for (let n = 0; n < 10; n++) {
      await clock.advance(130_000)
      expect(link.status.state).toBe('live')
      expected.push([...wanted])
      wanted.add('a').add(`c${n}`)
      network.current!.lose({ code: 'connection-lost' })
    }
    expect(joined()).toEqual(expected)
    await link.stop()
    expect(clock.pending).toBe(0)
  })

  it.each([
    10, 2_750, 7_400,
  ])('R56 are complete, each once, with %i ms for every step of the handshake', async (latencyMs) => {
    const rooms = Array.from({ length: 50 }, (_, n) => `r${n}`)
    const { clock, network, link, joined } = hold(new Set(rooms), latencyMs)
    for (let n = 1; n <= 3; n++) {
      await clock.advance(3 * latencyMs + 2)
      expect(link.status.state).toBe('live')
      expect(joined()).toEqual(Array(n).fill(rooms))
      network.current!.lose({ code: 'connection-lost' })
      await clock.advance(link.status.nextDialAt! - clock.wall())
    }
    await link.stop()
  })
})

describe('a message', () => {
  it.each([0, 5, 12, 19])('E1 that is sent %i ms into a resume is written when the peer has resumed', async (ms) => {
    const { clock, gateway, link, end } = gatewayRig()
    await clock.advance(100)
    gateway.drop()
    await clock.advance(link.status.nextDialAt! - clock.wall() + ms)
    expect(link.status.state).not.toBe('live')
    const receipt = follow(link.send('hello'))
    await clock.advance(200)
    expect(gateway.dials.at(-1)).toMatchObject({ asked: 'resume' })
    expect(receipt.value).toMatchObject({ fate: 'delivered' })
    expect(gateway.heard.filter(({ op }) => op === 'say')).toHaveLength(1)
    await end()
  })
})

describe('an account that one at a time may hold', () => {
  it('R85 two links that take it from each other: each is thrown out once at most, and neither dials by itself', async () => {
    const clock = heapClock()
    const network = new FakeNetwork(clock, politePeer)
    const { transport, lookup } = network
    const make = (id: string) => connect(smallTalk(), { id, clock, transport, lookup })
    const first = make('first')
    await clock.advance(100)
    const second = make('second')
    await clock.advance(100)
    network.transports[0]!.frame({ op: 'fail', code: 'kicked', why: 'logged in elsewhere' })
    await clock.advance(86_400_000)
    expect(first.status).toMatchObject({ state: 'parked', fault: { code: 'kicked', detail: 'logged in elsewhere' } })
    expect(second.status.state).toBe('live')
    expect(network.transports).toHaveLength(2)
    first.resume()
    await clock.advance(100)
    network.transports[1]!.frame({ op: 'fail', code: 'kicked', why: 'logged in elsewhere' })
    await clock.advance(86_400_000)
    expect([first.status.state, second.status.state]).toEqual(['live', 'parked'])
    expect(network.transports).toHaveLength(3)
    void first.stop()
    void second.stop()
    await clock.advance(4_000)
    expect([network.openCount, clock.pending]).toEqual([0, 0])
  })
})
