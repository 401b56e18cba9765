/** What crosses a link: messages with their fates, calls with their answers, and what the peer sends. */
import { describe, expect, it } from 'vitest'
import { type JsonObject, readObject } from '../src/adapter/json.ts'
import { HoldfastError } from '../src/error.ts'
import { follow, politePeer, type Rig, rig, UNSPEAKABLE } from './small-talk.ts'

const said = ({ network }: Rig, dial = -1): unknown[] =>
  network.transports
    .at(dial)!
    .sent.map((frame) => readObject(frame)!)
    .map(({ text, key }) => `${String(text)} ${String(key)}`)

const balance = ({ link }: Rig): number => {
  const { entered, delivered, expired, refused, uncertain, waiting } = link.stats.outbox
  return entered - delivered - expired - refused - uncertain - waiting
}

describe('send()', () => {
  it('resolves to delivered when the peer has answered a ping that was sent after the message', async () => {
    const made = rig()
    const { clock, link, network, live, end } = made
    await live()
    const receipt = follow(link.send({ text: 'hello' }))
    await clock.advance(network.latencyMs - 1)
    expect(receipt.settled).toBe(false)
    expect(link.stats.outbox).toMatchObject({ entered: 1, waiting: 1 })
    await clock.advance(1)
    expect(receipt.value).toEqual({ fate: 'delivered' })
    expect(said(made)).toEqual(['hello h0'])
    await end()
    expect(balance(made)).toBe(0)
  })

  it('waits for a live link, in order, and is expired when none comes in time', async () => {
    const made = rig({ healthy: false })
    const { clock, link, network, end } = made
    const first = follow(link.send({ text: 'one' }))
    const short = follow(link.send({ text: 'two' }, { withinMs: 1_000 }))
    const third = follow(link.send({ text: 'three' }))
    await clock.advance(1_000)
    expect(short.value).toEqual({ fate: 'expired', detail: 'the link was not live within 1000 ms' })
    network.healthy = true
    await clock.advance(30_000)
    expect(said(made)).toEqual(['one h0', 'three h2'])
    expect([first.value?.fate, third.value?.fate]).toEqual(['delivered', 'delivered'])
    await end()
    expect(balance(made)).toBe(0)
  })

  it('is refused when it cannot be encoded, and the next one is not harmed', async () => {
    const { clock, link, live, end } = rig()
    await live()
    const bad = follow(link.send({ text: UNSPEAKABLE }))
    const good = follow(link.send({ text: 'fine' }))
    await clock.advance(100)
    expect(bad.value).toEqual({ fate: 'refused', detail: 'it cannot be encoded: this cannot be said' })
    expect(good.value).toEqual({ fate: 'delivered' })
    await end()
  })

  it('is uncertain when the transport dies after the write; only an idempotent one is written again, under its key', async () => {
    const made = rig()
    const { clock, link, network, live, end } = made
    await live()
    const plain = follow(link.send({ text: 'plain' }))
    const safe = follow(link.send({ text: 'safe' }, { idempotencyKey: 'order-7' }))
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(0)
    expect(plain.value).toEqual({ fate: 'uncertain', detail: 'the transport was lost (connection-lost)' })
    expect(safe.settled).toBe(false)
    await clock.advance(10_000)
    expect(safe.value).toEqual({ fate: 'delivered' })
    expect(said(made, 0)).toEqual(['plain h0', 'safe order-7'])
    expect(said(made, 1)).toEqual(['safe order-7'])
    await end()
    expect(balance(made)).toBe(0)
  })

  it('holds messages while the account is offline, and proves those that were written before', async () => {
    const made = rig()
    const { clock, link, network, live, end } = made
    await live()
    // the first is under way with its ping, the second waits for the ping after that
    const first = follow(link.send({ text: 'first' }))
    await clock.advance(0)
    const second = follow(link.send({ text: 'second' }))
    network.current!.frame({ op: 'offline', why: 'logged out' })
    const third = follow(link.send({ text: 'third' }))
    await clock.advance(1_000)
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'account-offline' } })
    expect(said(made)).toEqual(['first h0', 'second h1'])
    expect(first.value).toEqual({ fate: 'delivered' })
    expect(third.settled).toBe(false)
    network.current!.frame({ op: 'online' })
    await clock.advance(1_000)
    expect(second.value).toEqual({ fate: 'delivered' })
    expect(third.value).toEqual({ fate: 'delivered' })
    await end()
  })

  it('delivers what waits before it stops, and refuses what comes afterwards', async () => {
    const { clock, link, live, end } = rig()
    await live()
    const last = follow(link.send({ text: 'last words' }))
    const asked = follow(link.call('ask', { text: 'and?' }))
    await end()
    expect(last.value).toEqual({ fate: 'delivered' })
    expect(asked.value).toBe('and?')
    const late = follow(link.send({ text: 'too late' }))
    await clock.advance(0)
    expect(late.value).toEqual({ fate: 'refused', detail: 'the link was stopped' })
    expect(clock.pending).toBe(0)
  })

  it('throws at once for options that are wrong', async () => {
    const { link, end } = rig({ healthy: false })
    const send = (options: object) => () => link.send({ text: 'x' }, options)
    expect(send({ withinMs: 0 })).toThrow(/"withinMs" is the number 0; it must be a whole number from 1 to 86400000/)
    expect(send({ withinMs: Number.NaN })).toThrow(HoldfastError)
    expect(send({ idempotencyKey: '' })).toThrow(/idempotencyKey is a string; it must be a non-empty string/)
    expect(send({ idempotencyKey: 7 })).toThrow(/idempotencyKey is the number 7/)
    expect(link.stats.outbox.entered).toBe(0)
    await end()
  })

  it('keeps the keys of users apart from those of its own', async () => {
    const made = rig()
    const { clock, link, live, end } = made
    await live()
    const taken = follow(link.send({ text: 'mine' }, { idempotencyKey: 'h0' }))
    const own = follow(link.send({ text: 'yours' }))
    await clock.advance(100)
    expect([taken.value, own.value]).toEqual([{ fate: 'delivered' }, { fate: 'delivered' }])
    await end()
  })
})

describe('call()', () => {
  it('resolves to the answer', async () => {
    const { clock, link, live, end } = rig()
    await live()
    const answer = follow(link.call('ask', { text: 'how are you' }))
    await clock.advance(100)
    expect(answer.value).toBe('how are you')
    await end()
  })

  it('rejects with refused when the peer refuses that one call, and the link is unharmed', async () => {
    const { clock, link, network, live, end } = rig({ script: { greeting: politePeer.greeting! } })
    await live()
    const answer = follow(link.call('ask', { text: 'x' }))
    await clock.advance(10)
    network.current!.frame({ op: 'refuse', key: 'h0', why: 'not today' })
    network.current!.frame({ op: 'answer', key: 'h0', value: 'too late' })
    await clock.advance(0)
    expect(answer.error).toMatchObject({ code: 'refused', message: 'small-talk ask: not today.' })
    expect(link.status.state).toBe('live')
    await end()
  })

  it('rejects with expired when no live link comes within its time, and says where the link is', async () => {
    const { clock, link, network, end } = rig({ healthy: false })
    const answer = follow(link.call('ask', { text: 'x' }))
    await clock.advance(20)
    network.current!.lose({ code: 'refused', detail: 'connect ECONNREFUSED' })
    await clock.advance(9_980)
    expect(answer.error).toBeInstanceOf(HoldfastError)
    expect(answer.error).toMatchObject({
      code: 'expired',
      message: expect.stringMatching(/^small-talk ask: the link was not live within 10000 ms\. The link is \w+\.$/),
      fault: { code: 'refused' },
    })
    await end()
  })

  it('rejects with uncertain when it was written and no answer came', async () => {
    const { clock, link, network, live, end } = rig({ script: { greeting: politePeer.greeting! } })
    await live()
    const silent = follow(link.call('ask', { text: 'x' }, { withinMs: 500 }))
    await clock.advance(500)
    expect(silent.error).toMatchObject({ code: 'uncertain', message: 'small-talk ask: no answer within 500 ms.' })
    const lost = follow(link.call('ask', { text: 'x' }))
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(0)
    expect(lost.error).toMatchObject({
      code: 'uncertain',
      message: 'small-talk ask: the transport was lost (connection-lost). The link is backoff.',
    })
    await end()
  })

  it('stops waiting when its signal fires, and not at all when it has fired before', async () => {
    const { clock, link, network, live, end } = rig()
    await live()
    const abort = new AbortController()
    const answer = follow(link.call('ask', { text: 'x' }, { signal: abort.signal }))
    abort.abort()
    await clock.advance(0)
    expect(answer.error).toMatchObject({ code: 'aborted' })
    const written = network.current!.sent.length
    const never = follow(link.call('ask', { text: 'x' }, { signal: abort.signal }))
    await clock.advance(100)
    expect(never.error).toMatchObject({ code: 'aborted' })
    expect(network.current!.sent).toHaveLength(written)
    await end()
  })
})

describe('what the peer sends', () => {
  const news = (n: number): JsonObject => ({ op: 'news', n })
  const numbers = (frames: readonly JsonObject[]) => frames.map(({ n }) => n)

  it('is kept for the first reader, and then goes to all who listen', async () => {
    const { link, network, live, end } = rig()
    await live()
    network.current!.frame(news(1))
    network.current!.frame(news(2))
    const first: JsonObject[] = []
    const second: JsonObject[] = []
    let completed = 0
    link.inbound$.subscribe({ next: (frame) => first.push(frame), complete: () => completed++ })
    link.inbound$.subscribe({ next: (frame) => second.push(frame), complete: () => completed++ })
    network.current!.frame(news(3))
    expect(numbers(first)).toEqual([1, 2, 3])
    expect(numbers(second)).toEqual([3])
    await end()
    expect(completed).toBe(2)
  })

  it('is read by for await until the link has stopped', async () => {
    const { link, network, live, end } = rig()
    await live()
    network.current!.frame(news(1))
    const read: JsonObject[] = []
    const reading = (async () => {
      for await (const frame of link) read.push(frame)
    })()
    network.current!.frame(news(2))
    await end()
    await reading
    expect(numbers(read)).toEqual([1, 2])
  })

  it('drops the oldest for a slow reader, and counts them', async () => {
    const { link, network, live, end } = rig({ inbound: { messagesMax: 2 } })
    await live()
    const slow = link[Symbol.asyncIterator]()
    for (let n = 1; n <= 5; n++) network.current!.frame(news(n))
    expect(link.stats.inbound).toEqual({ arrived: 5, duplicates: 0, dropped: 3, waiting: 2 })
    expect([await slow.next(), await slow.next()].map(({ value }) => value.n)).toEqual([4, 5])
    await end()
    expect(await slow.next()).toEqual({ done: true, value: undefined })
  })

  it('comes once by its id, also over the next transport', async () => {
    const { clock, link, network, live, end } = rig()
    await live()
    const heard: unknown[] = []
    link.inbound$.subscribe(({ n }) => heard.push(n))
    network.current!.frame({ ...news(1), id: 'a' })
    network.current!.frame({ ...news(2), id: 'a' })
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(10_000)
    network.current!.frame({ ...news(3), id: 'a' })
    network.current!.frame({ ...news(4), id: 'b' })
    expect(heard).toEqual([1, 4])
    expect(link.stats.inbound).toEqual({ arrived: 4, duplicates: 2, dropped: 0, waiting: 0 })
    await end()
  })

  it('gives each of several pending reads a message of its own, and ends them all', async () => {
    const { clock, link, network, live, end } = rig()
    await live()
    const reader = link[Symbol.asyncIterator]()
    const pending = [reader.next(), reader.next(), reader.next()].map(follow)
    network.current!.frame(news(1))
    network.current!.frame(news(2))
    await clock.advance(0)
    expect(pending.map(({ value }) => value?.value?.n)).toEqual([1, 2, undefined])
    await end()
    expect(pending[2]).toMatchObject({ settled: true, value: { done: true } })
  })

  it('is nothing more to a reader who left', async () => {
    const { link, network, live, end } = rig()
    await live()
    const reader = link[Symbol.asyncIterator]()
    network.current!.frame(news(1))
    await reader.return!()
    expect(await reader.next()).toEqual({ done: true, value: undefined })
    await end()
  })

  it('is counted by what became of it, and garbage changes nothing', async () => {
    const { link, network, live, end } = rig()
    await live()
    const { state, since } = link.status
    for (const frame of ['<html>', '[]', '{"op":"riddle"}', new Uint8Array([1, 2])]) network.current!.frame(frame)
    network.current!.frame(news(1))
    expect(link.stats.frames).toEqual({ taken: 2, unknown: 1, malformed: 3, failed: 0 })
    expect(link.status).toMatchObject({ state, since })
    await end()
  })
})
