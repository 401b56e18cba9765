/** The outbox as the user of a link meets it. */
import { describe, expect, it } from 'vitest'
import { readObject } from '../../src/adapter/json.ts'
import { connect } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { follow, type Outcome, politePeer, rig, smallTalk } from '../small-talk.ts'

const hold = (facts: object, healthy = true) => {
  const clock = heapClock()
  const network = new FakeNetwork(clock, politePeer, healthy)
  const { transport, lookup } = network
  const link = connect({ ...smallTalk(), ...facts }, { id: 'bot', clock, transport, lookup })
  const end = async () => {
    const stopped = follow(link.stop())
    await clock.advance(4_000)
    expect([stopped.settled, clock.pending]).toEqual([true, 0])
  }
  return { clock, network, link, end }
}

const textsOf = (network: FakeNetwork, dial = -1): unknown[] =>
  network.transports.at(dial)!.sent.map((frame) => readObject(frame)!.text)

describe('send()', () => {
  it('HF-O8 replaces the state that was not sent yet', async () => {
    const { clock, link, network, end } = rig({ healthy: false })
    const old = follow(link.send({ text: 'away' }, { coalesceKey: 'presence' }))
    link.send({ text: 'hello' })
    link.send({ text: 'back' }, { coalesceKey: 'presence' })
    await clock.advance(0)
    expect(old.value).toEqual({ fate: 'refused', detail: 'replaced by a newer message' })
    network.healthy = true
    await clock.advance(30_000)
    expect(textsOf(network)).toEqual(['back', 'hello'])
    await end()
  })

  it('HF-O10 is written again by itself where the adapter says that the peer dedupes', async () => {
    const { clock, network, link, end } = hold({ dedupes: true })
    await clock.advance(100)
    const receipt = follow(link.send({ text: 'once' }))
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(10_000)
    expect(receipt.value).toEqual({ fate: 'delivered' })
    expect(network.transports[0]!.sent).toEqual(network.transports[1]!.sent)
    await end()
  })

  it('HF-O13 does not flood a peer that has just come back', async () => {
    const { clock, network, link, end } = hold({}, false)
    for (let n = 0; n < 120; n++) void link.send({ text: `${n}` })
    network.healthy = true
    while (link.status.state !== 'live') await clock.advance(1)
    expect(network.current!.sent).toHaveLength(50)
    await clock.advance(1_000)
    expect(network.current!.sent).toHaveLength(100)
    await clock.advance(1_000)
    expect(link.stats.outbox).toMatchObject({ delivered: 120, waiting: 0 })
    await end()
  })

  it('HF-O14 keeps the pace that the adapter names', async () => {
    const { clock, network, link, end } = hold({ pace: { count: 2, ms: 1_000 } })
    await clock.advance(100)
    for (let n = 0; n < 5; n++) void link.send({ text: `${n}` })
    const counts: number[] = []
    for (let second = 0; second < 3; second++) {
      counts.push(network.current!.sent.length)
      await clock.advance(1_000)
    }
    expect(counts).toEqual([2, 4, 5])
    await end()
  })

  it('throws at once for what is not a name', async () => {
    const { link, end } = rig({ healthy: false })
    const send = (options: object) => () => link.send({ text: 'x' }, options)
    expect(send({ conversation: '' })).toThrow(/conversation is a string; it must be a non-empty string/)
    expect(send({ coalesceKey: 7 })).toThrow(/coalesceKey is the number 7; it must be a non-empty string/)
    await expect(link.call('ask', { text: 'x' }, { failFast: 1 as unknown as boolean })).rejects.toThrow(
      /failFast is the number 1; it must be true or false/,
    )
    expect(link.stats.outbox.entered).toBe(0)
    await end()
  })
})

describe('call()', () => {
  it('HF-O12 that fails fast rejects at once unless the link is live', async () => {
    const { clock, link, live, end } = rig()
    const early = follow(link.call('ask', { text: 'x' }, { failFast: true }))
    await clock.advance(0)
    expect(early.error).toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/^small-talk ask: the link is not live\. The link is/),
    })
    await live()
    const answer = follow(link.call('ask', { text: 'x' }, { failFast: true }))
    await clock.advance(100)
    expect(answer.value).toBe('x')
    await end()
  })

  it('R48 settles by its deadline in every state', async () => {
    const { clock, link, network, live, end } = rig({ script: { greeting: politePeer.greeting! } })
    const asked = async (): Promise<Outcome<unknown>> => {
      const answer = follow(link.call('ask', { text: 'x' }, { withinMs: 2_000, idempotencyKey: link.status.state }))
      await clock.advance(2_000)
      return answer
    }
    const seen: Record<string, unknown> = {}
    const ask = async () => {
      const { state } = link.status
      const { settled, error } = await asked()
      seen[state] = [settled, (error as { code: string }).code]
    }
    await ask()
    await live()
    await ask()
    network.current!.frame({ op: 'offline', why: 'logged out' })
    await ask()
    network.healthy = false
    network.current!.lose({ code: 'connection-lost' })
    await ask()
    link.hold()
    await ask()
    expect(seen).toEqual({
      resolving: [true, 'uncertain'],
      live: [true, 'uncertain'],
      'degraded.impaired': [true, 'expired'],
      backoff: [true, 'expired'],
      parked: [true, 'expired'],
    })
    await end()
  })
})

describe('whatever the user does while being told of something', () => {
  it('R37 a message that is sent from inside any callback is accepted or refused, never lost', async () => {
    const { clock, link, network, end } = rig()
    const sent: Outcome<unknown>[] = []
    const say = (text: string) => {
      if (sent.length >= 60) return
      sent.push(follow(link.send({ text }, { withinMs: 20_000, idempotencyKey: `k${sent.length}` })))
      sent.push(follow(link.call('ask', { text }, { withinMs: 20_000 })))
    }
    link.transitions$.subscribe(({ to }) => say(to))
    link.state$.subscribe(({ state }) => say(state))
    link.inbound$.subscribe(() => say('heard'))
    await clock.advance(1_000)
    network.current!.frame({ op: 'news' })
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(5_000)
    network.current!.frame({ op: 'offline', why: 'logged out' })
    network.current!.frame({ op: 'online' })
    await clock.advance(5_000)
    const stopped = follow(link.stop())
    await clock.advance(20_000)
    const { entered, waiting, ...ends } = link.stats.outbox
    expect([stopped.settled, sent.length, sent.every(({ settled }) => settled)]).toEqual([true, 60, true])
    expect([entered, waiting]).toEqual([60, 0])
    expect(Object.values(ends).reduce((sum, each) => sum + each)).toBe(60)
    await end()
  })
})
