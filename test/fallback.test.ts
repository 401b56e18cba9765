/** Another channel while the link is down: what goes there, what does not, and what the receipts say. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { readObject } from '../src/adapter/json.ts'
import type { Handed } from '../src/outbox/outbox.ts'
import { follow, politePeer, type Rig, type RigOptions, rig, type Saying } from './small-talk.ts'

interface Taken extends Handed {
  readonly text: string
  settle(): void
}

const world = (options: RigOptions = {}, afterMs = 30_000) => {
  const handed: Taken[] = []
  const send = ({ text }: Saying, more: Handed) =>
    new Promise((resolve) => {
      handed.push({ ...more, text, settle: () => resolve(`mail ${text}`) })
    })
  const made = rig({ fallback: { afterMs, send }, ...options })
  return { ...made, handed, texts: () => handed.map(({ text }) => text) }
}

/** What the peer was told, by all transports. */
const saidTo = ({ network }: Rig): unknown[] =>
  network.transports.flatMap(({ sent }) => sent.map((frame) => readObject(frame)!.text))

const lose = ({ network }: Rig) => {
  network.healthy = false
  network.current!.lose({ code: 'connection-lost' })
}

const untilLive = async ({ clock, network, link }: Rig) => {
  network.healthy = true
  while (link.status.state !== 'live') await clock.advance(clock.nextInMs!)
}

afterEach(() => vi.restoreAllMocks())

describe('the fallback', () => {
  it('gets what waits when the link has been down for long, and its receipt says so', async () => {
    const made = world()
    const { clock, link, handed, texts } = made
    await made.live()
    lose(made)
    const first = follow(link.send({ text: 'one' }))
    await clock.advance(29_999)
    expect(texts()).toEqual([])
    await clock.advance(1)
    const second = follow(link.send({ text: 'two' }))
    await clock.advance(0)
    expect(texts()).toEqual(['one', 'two'])
    for (const { settle } of handed) settle()
    await clock.advance(0)
    expect(first.value).toEqual({ fate: 'delivered', via: 'fallback', result: 'mail one' })
    expect(second.value).toEqual({ fate: 'delivered', via: 'fallback', result: 'mail two' })
    await untilLive(made)
    await clock.advance(5_000)
    expect(saidTo(made)).toEqual([])
    await made.end()
  })

  it('gets nothing of a short outage, and no more once the link is live', async () => {
    const made = world()
    const { clock, link, texts } = made
    await made.live()
    lose(made)
    const receipt = follow(link.send({ text: 'soon' }))
    await clock.advance(1_000)
    await untilLive(made)
    await clock.advance(60_000)
    const after = follow(link.send({ text: 'now' }))
    await clock.advance(1_000)
    expect([receipt.value, after.value]).toEqual([{ fate: 'delivered' }, { fate: 'delivered' }])
    expect([texts(), saidTo(made)]).toEqual([[], ['soon', 'now']])
    await made.end()
  })

  it('that does not take a message is asked again, and the link delivers it when it is back', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const keys: string[] = []
    const send = async (_message: unknown, { key }: Handed) => {
      keys.push(key)
      throw new Error('no mail')
    }
    const made = world({ fallback: { afterMs: 30_000, send } })
    const { clock, link } = made
    await made.live()
    lose(made)
    const receipt = follow(link.send({ text: 'one' }))
    await clock.advance(33_000)
    expect(keys).toEqual([keys[0], keys[0], keys[0]])
    await untilLive(made)
    await clock.advance(1_000)
    expect(receipt.value).toEqual({ fate: 'delivered' })
    expect(saidTo(made)).toEqual(['one'])
    expect(link.stats.listenerErrors).toBe(keys.length)
    await made.end()
  })

  it('that throws leaves the message waiting until its time has ended', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const send = () => {
      throw new Error('broken')
    }
    const made = world({ fallback: { afterMs: 1_000, send }, healthy: false })
    const receipt = follow(made.link.send({ text: 'one' }, { withinMs: 20_000 }))
    await made.clock.advance(20_000)
    expect(receipt.value).toEqual({ fate: 'expired', detail: 'the link was not live within 20000 ms' })
    await made.end()
  })

  it('that has a message when the link comes back keeps it: it never goes both ways', async () => {
    const made = world()
    const { clock, link, handed } = made
    await made.live()
    lose(made)
    const receipt = follow(link.send({ text: 'one' }, { conversation: 'a' }))
    await clock.advance(30_000)
    const behind = follow(link.send({ text: 'two' }, { conversation: 'a' }))
    await untilLive(made)
    await clock.advance(1_000)
    expect(saidTo(made)).toEqual([])
    handed[0]!.settle()
    await clock.advance(1_000)
    expect(receipt.value).toMatchObject({ fate: 'delivered', via: 'fallback' })
    expect(behind.value).toEqual({ fate: 'delivered' })
    expect(saidTo(made)).toEqual(['two'])
    await made.end()
  })

  it('that never says what became of a message makes it uncertain, and hears that it need not go on', async () => {
    const made = world({ healthy: false }, 1_000)
    const receipt = follow(made.link.send({ text: 'one' }, { withinMs: 5_000 }))
    await made.clock.advance(5_000)
    expect(made.handed[0]!.signal.aborted).toBe(true)
    expect(receipt.value).toMatchObject({ fate: 'uncertain' })
    await made.end()
  })

  it('gets messages of one conversation one after another, in their order', async () => {
    const made = world({ healthy: false }, 1_000)
    for (const text of ['a1', 'a2', 'b1']) void made.link.send({ text }, { conversation: text[0]! })
    await made.clock.advance(1_000)
    expect(made.texts()).toEqual(['a1', 'b1'])
    made.handed[0]!.settle()
    await made.clock.advance(0)
    expect(made.texts()).toEqual(['a1', 'b1', 'a2'])
    await made.end()
  })

  it('gets no call, and no message that the peer may have', async () => {
    const mute = { ...politePeer, answer: () => undefined }
    const made = world({ script: mute })
    const { clock, link, texts } = made
    await made.live()
    const maybe = follow(link.send({ text: 'maybe' }, { idempotencyKey: 'k' }))
    lose(made)
    const call = follow(link.call('ask', { text: 'what?' }, { withinMs: 60_000 }))
    const fast = follow(link.call('ask', { text: 'now?' }, { failFast: true }))
    await clock.advance(40_000)
    const faster = follow(link.call('ask', { text: 'now?' }, { failFast: true }))
    await clock.advance(0)
    expect([texts(), maybe.settled, call.settled]).toEqual([[], false, false])
    expect([fast.error, faster.error]).toMatchObject([{ code: 'refused' }, { code: 'refused' }])
    await made.end()
  })

  it('stands in for a link that is parked, and for none that is stopped', async () => {
    const made = world({ script: { greeting: [{ op: 'fail', code: 'kicked', why: 'elsewhere' }] } })
    const parked = follow(made.link.send({ text: 'one' }))
    await made.clock.advance(60_000)
    expect(made.link.status.state).toBe('parked')
    made.handed[0]!.settle()
    await made.clock.advance(0)
    expect(parked.value).toMatchObject({ via: 'fallback' })
    await made.end()
    await made.clock.advance(60_000)
    expect(made.texts()).toEqual(['one'])
  })
})
