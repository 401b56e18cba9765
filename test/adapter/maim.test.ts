import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Target } from '../../src/adapter/adapter.ts'
import { type MaimFrame, type MaimMessage, type MaimOptions, maim } from '../../src/adapter/maim.ts'
import { HoldfastError } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { secret } from '../../src/secret.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { follow } from '../small-talk.ts'
import { hostileFrames, hostileObject, hostileValue, stage } from './fake-io.ts'

const url = 'ws://127.0.0.1:8000/ws'
const TOKEN = 'canary-0123456789'
const { signal } = new AbortController()

const adapter = maim({ url, platform: 'qq', token: TOKEN })
const on = () => stage(adapter)

const say = (text: string, info: MaimMessage['message_info'] = { user_info: { user_id: '1' } }): MaimMessage => ({
  message_info: info,
  message_segment: { type: 'text', data: text },
})
const reply = { message_info: { platform: 'qq', message_id: 'mt17' }, message_segment: { type: 'text', data: 'hi' } }
const custom = { is_custom_message: true, message_type_name: 'message_id_echo', platform: 'qq', content: {} } as const

describe('the welcome', () => {
  it('is the answer to a ping, for the core says nothing to those whom it lets in', () => {
    const { dialogue, asked } = on()
    dialogue.opened!()
    expect(asked).toEqual([['ping']])
    dialogue.pong!()
    dialogue.pong!()
    expect(asked.slice(1)).toEqual([['welcome']])
  })

  it('is a message that comes before that, and no other frame', () => {
    const { tell } = on()
    expect(tell({ hello: 1 })).toEqual([])
    expect(tell(reply)).toEqual([['welcome'], ['deliver', reply]])
    expect(tell(custom)).toEqual([['deliver', custom]])
  })
})

describe('frames on the way in', () => {
  it('are delivered as they came, also two with the same message_id: the parts of a reply share it', () => {
    const { tell, dialogue } = on()
    dialogue.pong!()
    expect(tell(reply)).toEqual([['deliver', reply]])
    expect(tell(reply)).toEqual([['deliver', reply]])
    expect(dialogue.frame('{"message_info":{},"message_segment":{"type":7}}')).toBe('unknown')
    expect(dialogue.frame('[]')).toBe('malformed')
  })
})

describe('close codes', () => {
  it.each([
    [1008, '无效的令牌', 'credentials-rejected'],
    [1008, '', 'credentials-rejected'],
    [1000, '新连接取代', 'poll-conflict'],
    [1000, '新的连接已建立', 'poll-conflict'],
    [1000, '服务器关闭', undefined],
    [1011, 'keepalive ping timeout', undefined],
    [1012, '', undefined],
  ])('%i "%s" means %s', (code, reason, fault) => {
    expect(on().dialogue.closed!(code, reason)).toBe(fault)
  })
})

describe('frames on the way out', () => {
  const encoded = (message: MaimFrame) => {
    const { frame, ...rest } = adapter.encode!(message, 'h0') as { frame: string; conversation: string }
    return { ...rest, frame: JSON.parse(frame) }
  }

  it('are the message itself, with the platform, in the order of its conversation', () => {
    const inGroup = say('hi', { group_info: { group_id: 7 }, user_info: { user_id: 1 } })
    const info = { platform: 'qq', ...inGroup.message_info }
    expect(encoded(inGroup)).toEqual({ frame: { ...inGroup, message_info: info }, conversation: 'group 7' })
    expect(encoded(say('hi'))).toMatchObject({ conversation: 'user 1' })
    expect(encoded(say('hi', { platform: 'other' })).frame.message_info).toEqual({ platform: 'other' })
    const { platform, ...bare } = custom
    expect(encoded(bare)).toEqual({ frame: { ...bare, platform }, conversation: 'custom' })
  })

  it('throw for what is none, so that it alone is refused', () => {
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    const text = { type: 'text', data: 'x' }
    const wrong: unknown[] = [undefined, null, 'hi', {}, { message_info: {} }, { message_segment: text }, cyclic]
    wrong.push({ message_info: cyclic, message_segment: text }, { message_info: { time: 1n }, message_segment: text })
    for (const message of wrong) expect(() => adapter.encode!(message as MaimMessage, 'h0')).toThrow()
    const huge = say('x'.repeat(100 * 1024 * 1024))
    expect(() => adapter.encode!(huge, 'h0')).toThrow('100 MiB')
  })

  it('say who we are in the upgrade, the token as it is', async () => {
    for (const token of [TOKEN, secret(TOKEN), async () => ({ token: TOKEN, expiresAt: 1_800_000_000_000 })]) {
      const target = (await maim({ url, platform: 'qq', token }).target({ signal })) as Target
      expect(target).toMatchObject({ url, headers: { platform: 'qq', Authorization: TOKEN }, secrets: [TOKEN] })
      expect(target.renewable).toBe(typeof token === 'function' ? true : undefined)
    }
    expect(await maim({ url, platform: 'qq' }).target({ signal })).toEqual({ url, headers: { platform: 'qq' } })
  })
})

describe('options', () => {
  it.each([
    [undefined, /url of maim.* is undefined/],
    [{ url: 'http://h/', platform: 'qq' }, /begins with "http:"/],
    [{ url }, /platform .*is undefined; it must be a name such as "qq"/],
    [{ url, platform: '' }, /platform .*name/],
    [{ url, platform: '麦麦' }, /header "platform" of maim\(\{ platform \}\)/],
    [{ url, platform: 'qq', token: 7 }, /token .*is the number 7/],
    [{ url, platform: 'qq', accessToken: TOKEN }, /"accessToken" is not one of the .*Known are: url, platform, token/],
  ])('that are wrong are refused at once, by name and without the token: %#', (options, problem) => {
    const make = () => maim(options as MaimOptions)
    expect(make).toThrow(HoldfastError)
    expect(make).toThrow(problem)
    expect(make).not.toThrow(TOKEN)
  })
})

describe('a link to the core', () => {
  const rig = () => {
    const clock = heapClock()
    const network = new FakeNetwork(clock)
    const { transport, lookup } = network
    const link = connect(maim({ url, platform: 'qq', token: TOKEN }), { id: 'core', clock, transport, lookup })
    return { clock, network, link }
  }

  it('is live when the core has answered a ping, and never for an open socket alone', async () => {
    const { clock, network, link } = rig()
    network.healthy = false
    await clock.advance(100)
    const transport = network.current!
    transport.open()
    transport.ready()
    await clock.advance(10_000)
    expect(link.status.state).toBe('handshaking')
    transport.pong('another')
    expect(link.status.state).toBe('handshaking')
    await clock.advance(10_000)
    expect(link.status.fault).toMatchObject({ code: 'handshake-timeout' })
    network.healthy = true
    await clock.advance(30_000)
    expect(link.status.state).toBe('live')
    void link.stop({ drainMs: 0 })
    await clock.advance(4_000)
    expect(clock.pending).toBe(0)
  })

  it('incident 2.8 let in and closed with 1008: one attempt, and it is parked and blames the token', async () => {
    const { clock, network, link } = rig()
    network.healthy = false
    await clock.advance(100)
    network.current!.open()
    network.current!.ready()
    network.current!.lose({ code: 'closed-by-peer' }, { code: 1008, reason: `无效的令牌 ${TOKEN}` })
    await clock.advance(600_000)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
    expect(network.transports).toHaveLength(1)
    void link.stop()
  })

  it('refuses a message that cannot be encoded, and that alone: the link does not take it for its own (Adapter #49)', async () => {
    const { clock, network, link } = rig()
    await clock.advance(100)
    const bad = follow(link.send({ ...say('x'), raw_message: 1n as never }))
    const good = follow(link.send(say('hello')))
    await clock.advance(1_000)
    expect(bad.value).toMatchObject({ fate: 'refused' })
    expect(good.value).toEqual({ fate: 'delivered' })
    expect(link.status.state).toBe('live')
    expect(network.transports).toHaveLength(1)
    void link.stop()
  })

  it('incident 2.5 sends what waited in backoff when the core is back, and what may have been lost only if it may come twice', async () => {
    const { clock, network, link } = rig()
    await clock.advance(100)
    network.healthy = false
    const once = follow(link.send(say('once')))
    const again = follow(link.send(say('again'), { idempotencyKey: 'again' }))
    await clock.advance(100)
    network.current!.lose({ code: 'connection-lost' })
    const waiting = follow(link.send(say('waiting')))
    await clock.advance(1)
    expect(once.value).toMatchObject({ fate: 'uncertain' })
    network.healthy = true
    await clock.advance(10_000)
    expect([again.value, waiting.value]).toEqual([{ fate: 'delivered' }, { fate: 'delivered' }])
    const texts = network.current!.sent.map((frame) => JSON.parse(String(frame)).message_segment.data)
    expect(texts).toEqual(['again', 'waiting'])
    void link.stop()
  })

  it('notices a core that is gone without a word by pings, although the protocol has no beat', async () => {
    const { clock, network, link } = rig()
    await clock.advance(100)
    expect(link.status.state).toBe('live')
    network.healthy = false
    await clock.advance(15_000)
    expect(link.status.fault).toMatchObject({ code: 'heartbeat-timeout' })
    void link.stop()
  })

  it('says that another bridge took its place', async () => {
    const { clock, network, link } = rig()
    await clock.advance(100)
    network.current!.lose({ code: 'closed-by-peer' }, { code: 1000, reason: '新连接取代' })
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'poll-conflict' } })
    void link.stop()
  })
})

describe('hostile input', () => {
  const values = [...fc.sample(hostileValue, { numRuns: 200, seed: 7 })]
  const corpus = [
    ...hostileFrames,
    ...values.flatMap((value) => [
      JSON.stringify({ message_info: value, message_segment: value }),
      JSON.stringify({ message_info: {}, message_segment: { type: value, data: value } }),
      JSON.stringify({ is_custom_message: value, message_type_name: value, content: value }),
    ]),
    '{"__proto__":{"is_custom_message":true,"message_type_name":"x"}}',
    '{"message_info":{"__proto__":{"user_id":1}},"message_segment":{"type":"text","type":"image"}}',
  ]

  it('T6: 500 inputs never make it throw, and none that is not understood welcomes or is delivered', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(500)
    const verdicts = new Set<string>()
    for (const frame of corpus) {
      const { dialogue, asked } = on()
      const verdict = dialogue.frame(frame)
      verdicts.add(verdict)
      const done = asked.map(([what]) => what)
      expect(done, String(frame).slice(0, 200)).toEqual(verdict === 'taken' ? ['welcome', 'deliver'] : [])
    }
    expect([...verdicts].sort()).toEqual(['malformed', 'taken', 'unknown'])
    expect(Object.prototype).not.toHaveProperty('is_custom_message')
  })

  it('T6: any object, in a row with others, welcomes once at most', () => {
    const field = hostileValue
    const some = hostileObject({
      message_info: fc.oneof(fc.constant({ platform: 'qq' }), field),
      message_segment: fc.oneof(fc.constant({ type: 'text', data: 'x' }), field),
      is_custom_message: fc.oneof(fc.constant(true), field),
      message_type_name: fc.oneof(fc.constant('x'), field),
    })
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 5 }), (list) => {
        const { dialogue, asked } = on()
        const taken = list.filter((frame) => dialogue.frame(frame) === 'taken').length
        expect(asked.filter(([what]) => what === 'deliver')).toHaveLength(taken)
        expect(asked.filter(([what]) => what === 'welcome')).toHaveLength(Math.min(taken, 1))
      }),
      { numRuns: 500 },
    )
  })
})
