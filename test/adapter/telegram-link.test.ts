/** Links to the Bot API in virtual time: the statements of incident 1 as long polls have them. */
import { afterEach, describe, expect, it } from 'vitest'
import { faults } from '../../machines/fault.ts'
import { type TelegramOptions, type TelegramUpdate, telegram } from '../../src/adapter/telegram.ts'
import { connect, type Link } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { memoryStore } from '../../src/store.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { BotApi, html, refusal, TOKEN, tooMany, unauthorized } from '../peers/bot-api.ts'
import { botApiTransport } from './bot-api-transport.ts'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

const rig = (more: Partial<TelegramOptions> = {}, options: LinkOptions = {}, seed = 1) => {
  const clock = heapClock(seed)
  const api = new BotApi({ clock })
  const network = botApiTransport(api, clock)
  const lookup = async () => [{ address: '192.0.2.7', family: 4 as const }]
  const start = (own: LinkOptions = {}) => {
    const adapter = telegram({ token: TOKEN, ...more })
    const link = connect(adapter, {
      id: 'bot',
      clock,
      transport: network.transport,
      lookup,
      proxy: false,
      ...options,
      ...own,
    })
    ends.push(async () => {
      const stopped = link.stop({ drainMs: 0 })
      await clock.advance(10)
      await stopped
    })
    return link
  }
  return { clock, api, network, start }
}

/** Polls for what is new, with their offsets. */
const offsets = (api: BotApi) => api.of('getUpdates').map(({ params }) => params.offset)

const textsOf = (link: Link<TelegramUpdate, never, never> | ReturnType<ReturnType<typeof rig>['start']>): string[] => {
  const got: string[] = []
  link.inbound$.subscribe(({ message }) => void got.push((message as { text: string }).text))
  return got
}

const dialsOf = ({ recording }: ReturnType<ReturnType<typeof rig>['start']>): number =>
  recording.kept.filter(({ to }) => to === 'connecting').length

describe('incident 1', () => {
  it('incident 1.3 the first three handshakes end in a timeout: live with the fourth, and nobody did anything', async () => {
    const { clock, api, start } = rig()
    api.fail('getMe', 'silence', 3)
    const link = start()
    await clock.advance(60_000)
    expect(link.status).toMatchObject({ state: 'live', attempt: 4 })
    const faultsSeen = link.recording.kept.filter(({ to }) => to === 'backoff').map(({ reason }) => reason)
    expect(faultsSeen).toEqual(['answer-timeout', 'answer-timeout', 'answer-timeout'])
  })

  it.each([
    ['is refused', refusal(400, 'Bad Request')],
    ['is not answered', 'silence'],
    ['is answered by a proxy', html],
    ['is answered 401', unauthorized],
  ] as const)('incident 1.4 an optional step that %s gates nothing: the poll goes on', async (_what, mishap) => {
    const { clock, api, start } = rig()
    api.fail('getUpdates', refusal(409, 'Conflict'))
    api.failAlways('getWebhookInfo', mishap)
    const link = start()
    await clock.advance(4_000)
    expect(api.count('getWebhookInfo')).toBe(1)
    expect(link.status.state).toBe('live')
    await clock.advance(20_000)
    expect([link.status.state, dialsOf(link)]).toEqual(['live', 1])
  })

  it.each([
    'getMe',
    'getUpdates',
  ])('incident 1.5 %s is answered with a retry_after of 30 s: no request for 30 s, and one within 33 s', async (method) => {
    for (let seed = 1; seed <= 20; seed++) {
      const { clock, api, start } = rig({}, {}, seed)
      api.fail(method, tooMany(30))
      const link = start()
      while (link.status.state !== 'backoff') await clock.advance(1)
      const asked = api.asked.length
      const since = clock.now()
      await clock.advance(29_999)
      link.retry()
      expect(api.asked).toHaveLength(asked)
      await clock.advance(3_101)
      expect(api.asked.length).toBeGreaterThan(asked)
      expect(api.asked[asked]!.at - since).toBeGreaterThanOrEqual(30_000)
    }
  })

  it('incident 1.5 a long poll and a probe that are answered so end in the same wait', async () => {
    for (const method of ['getUpdates', 'getMe']) {
      const { clock, api, start } = rig()
      const link = start()
      await clock.advance(1_000)
      expect(link.status.state).toBe('live')
      api.failAlways(method, tooMany(30))
      while (link.status.state === 'live') await clock.advance(100)
      expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'throttled', retryAfterMs: 30_000 } })
      const asked = api.asked.length
      await clock.advance(29_000)
      expect(api.asked).toHaveLength(asked)
    }
  })

  it.each([
    ['401', unauthorized],
    ['404', refusal(404, 'Not Found')],
  ])('incident 1.6 %s: no further request in 10 min, parked, and the credentials are blamed', async (_code, answer) => {
    for (const method of ['getMe', 'getUpdates']) {
      const { clock, api, start } = rig()
      api.failAlways(method, answer)
      const link = start()
      await clock.advance(1_000)
      const asked = api.asked.length
      await clock.advance(600_000)
      expect(api.asked).toHaveLength(asked)
      expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
      expect(faults['credentials-rejected'].side).toBe('person')
    }
  })

  it('incident 1.7 a long poll that is never answered: not live after 25 s + 10 s, the sockets gone, and a new attempt', async () => {
    const { clock, api, network, start } = rig()
    const link = start()
    await clock.advance(1_000)
    api.failAlways('getUpdates', 'silence')
    const quietSince = api.of('getUpdates').at(-1)!.at
    // the poll that hangs is the one after that which is open now
    await clock.advance(25_000)
    const stalledSince = api.of('getUpdates').at(-1)!.at
    expect(stalledSince).toBeGreaterThan(quietSince)
    while (link.status.state === 'live') await clock.advance(10)
    expect(clock.now() - stalledSince).toBeLessThanOrEqual(35_010)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'answer-timeout' } })
    expect(network.open).toBe(0)
    api.failAlways('getUpdates', undefined)
    await clock.advance(3_000)
    expect([link.status.state, network.opened]).toEqual(['live', 2])
  })

  it('incident 1.7 a peer that falls silent altogether is found by its probes, long before that', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(1_000)
    for (const method of ['getUpdates', 'getMe']) api.failAlways(method, 'silence')
    const since = clock.now()
    while (link.status.state === 'live') await clock.advance(10)
    expect(clock.now() - since).toBeLessThan(15_000)
    while (link.status.state !== 'backoff') await clock.advance(10)
    expect(clock.now() - since).toBeLessThan(35_000)
  })

  it('incident 1.8 what is pending at the start is delivered, and nothing is confirmed that was not taken', async () => {
    const { clock, api, start } = rig()
    for (const text of ['five', 'six', 'seven']) api.receive(text)
    const link = start()
    const told: string[] = []
    link.continuity$.subscribe(({ kind }) => void told.push(kind))
    await clock.advance(20_000)
    expect(link.status.state).toBe('live')
    expect(told).toEqual(['recovered'])
    // nobody reads: it is asked for again and again, slowly, and stays at Telegram
    expect(new Set(offsets(api))).toEqual(new Set([undefined]))
    expect(api.count('getUpdates')).toBeLessThanOrEqual(6)
    const reader = link[Symbol.asyncIterator]()
    const got: number[] = []
    for (let i = 0; i < 3; i++) got.push((await reader.next()).value.update_id)
    expect(got).toEqual([5, 6, 7])
    // seven is still being worked on
    await clock.advance(20_000)
    expect(offsets(api).at(-1)).toBe(7)
    expect(api.pending.map(({ update_id }) => update_id)).toEqual([7])
    void reader.next()
    await clock.advance(100)
    expect(offsets(api).at(-1)).toBe(8)
    expect(api.pending).toEqual([])
    expect(link.stats.inbound).toMatchObject({ dropped: 0 })
  })

  it('incident 1.8 with dropPending what was pending is gone, what comes later is not, and only the first time', async () => {
    const { clock, api, start } = rig({ dropPending: true })
    for (const text of ['five', 'six']) api.receive(text)
    const link = start()
    const got = textsOf(link)
    await clock.advance(1_000)
    api.receive('seven')
    await clock.advance(1_000)
    api.fail('getMe', unauthorized)
    link.hold()
    api.receive('eight')
    link.resume()
    await clock.advance(1_000)
    link.resume()
    await clock.advance(60_000)
    expect(got).toEqual(['seven', 'eight'])
    expect(offsets(api)[0]).toBe(-1)
    expect(offsets(api).filter((offset) => offset === -1)).toHaveLength(1)
  })
})

describe('updates', () => {
  it('come once each, in order, over losses at every step, and the next process goes on behind them', async () => {
    const store = memoryStore()
    const { clock, api, start } = rig({}, { store })
    const link = start()
    const got = textsOf(link)
    for (let i = 0; i < 30; i++) {
      api.receive(`m${i}`)
      if (i % 3 === 0) api.fail(i % 2 ? 'getUpdates' : 'getMe', i % 4 ? html : 'half')
      await clock.advance(i % 5 ? 1_000 : 40_000)
    }
    await clock.advance(600_000)
    expect(got).toEqual(Array.from({ length: 30 }, (_, i) => `m${i}`))
    void link.stop()
    await clock.advance(5_000)
    api.receive('later')
    // Telegram was not told of the last ones by then, but the store was
    const next = textsOf(start())
    await clock.advance(5_000)
    expect(next).toEqual(['later'])
  })

  it('that a slow reader has not taken hold the next poll back: none is asked for twice in 5 s', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(1_000)
    const before = api.count('getUpdates')
    const reading = (async () => {
      for await (const _ of link) await new Promise<void>((resolve) => void clock.setTimeout(resolve, 12_000))
    })()
    for (let i = 0; i < 10; i++) api.receive(`m${i}`)
    await clock.advance(100_000)
    expect(api.count('getUpdates') - before).toBeLessThanOrEqual(100 / 5 + 5)
    await clock.advance(30_000)
    expect(api.pending).toEqual([])
    expect(link.stats.inbound).toMatchObject({ dropped: 0, waiting: 0 })
    await ends.pop()!()
    await reading
  })

  it('that are taken one by one, however slowly, are confirmed together by the next poll', async () => {
    const { clock, api, start } = rig()
    const link = start()
    for (let i = 0; i < 10; i++) api.receive(`m${i}`)
    await clock.advance(1_000)
    const reader = link[Symbol.asyncIterator]()
    const before = api.count('getUpdates')
    for (let i = 0; i < 10; i++) {
      await reader.next()
      await clock.advance(4_000)
    }
    expect(api.count('getUpdates')).toBe(before)
    void reader.next()
    await clock.advance(100)
    expect(offsets(api).slice(before)).toEqual([15])
  })

  it('reach the next reader although the last one left without a word', async () => {
    const { clock, api, start } = rig()
    const link = start()
    api.receive('one')
    await clock.advance(1_000)
    for await (const _ of link) break
    const got = textsOf(link)
    await clock.advance(1_000)
    api.receive('two')
    await clock.advance(6_000)
    expect(got).toEqual(['two'])
    expect(api.pending).toEqual([])
    expect(offsets(api).at(-1)).toBe(7)
  })

  it('that are missing are a gap, and those that are not are none', async () => {
    const { clock, api, start } = rig()
    const link = start()
    const got = textsOf(link)
    const told: string[] = []
    link.continuity$.subscribe(({ kind }) => void told.push(kind))
    await clock.advance(1_000)
    api.receive('one')
    const cut = async () => {
      await clock.advance(1_000)
      link.replace()
    }
    await cut()
    api.receive('two')
    await cut()
    // another poller took three
    await clock.advance(3_000)
    link.replace()
    api.skip(3)
    api.receive('six')
    await clock.advance(5_000)
    expect(got).toEqual(['one', 'two', 'six'])
    expect(told.at(-1)).toBe('gap')
    expect(told.slice(0, -1)).not.toContain('gap')
  })

  it('that are taken while they are asked for once more are neither a gap nor given again', async () => {
    const { clock, api, start } = rig()
    const link = start()
    const told: string[] = []
    link.continuity$.subscribe(({ kind }) => void told.push(kind))
    for (const text of ['five', 'six', 'seven']) api.receive(text)
    await clock.advance(1_000)
    const reader = link[Symbol.asyncIterator]()
    const read = async () => (await reader.next()).value.message.text
    expect([await read(), await read()]).toEqual(['five', 'six'])
    // five is taken, and six is being worked on
    const polls = api.count('getUpdates')
    link.replace()
    while (api.count('getUpdates') === polls) await clock.advance(1)
    expect(offsets(api).at(-1)).toBe(6)
    expect(await read()).toBe('seven')
    const next = read()
    await clock.advance(1_000)
    expect(told).toEqual(['recovered', 'recovered'])
    expect(offsets(api).at(-1)).toBe(8)
    const since = clock.now()
    api.receive('eight')
    await clock.advance(100)
    expect([await next, clock.now() - since]).toEqual(['eight', 100])
    expect(link.stats.inbound).toMatchObject({ dropped: 0, waiting: 0 })
  })

  it('are asked for once in a quarter of a second by a server that holds no polls', async () => {
    const { clock, api, start } = rig()
    api.failAlways('getUpdates', { status: 200, body: '{"ok":true,"result":[]}' })
    start()
    await clock.advance(60_000)
    expect(api.count('getUpdates')).toBeLessThanOrEqual(240)
    expect(api.count('getUpdates')).toBeGreaterThan(100)
  })

  it('of a server that forgets what was confirmed come once, and do not make it busy', async () => {
    const { clock, api, start } = rig()
    const update = { update_id: 9, message: { text: 'nine', chat: { id: 1 } } }
    api.failAlways('getUpdates', { status: 200, body: JSON.stringify({ ok: true, result: [update] }) })
    const got = textsOf(start())
    await clock.advance(300_000)
    expect(got).toEqual(['nine'])
    expect(api.count('getUpdates')).toBeLessThanOrEqual(62)
  })
})

describe('a conflict', () => {
  it('with another instance is borne for a while, shown, and then a person is called', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(1_000)
    const since = clock.now()
    const intrude = () => {
      api.intrude()
      if (link.status.state !== 'parked') clock.setTimeout(intrude, 3_000)
    }
    clock.setTimeout(intrude, 3_000)
    while (link.status.state !== 'parked') await clock.advance(1_000)
    expect(link.status.fault).toMatchObject({ code: 'kicked' })
    expect(clock.now() - since).toBeGreaterThan(25_000)
    expect(clock.now() - since).toBeLessThan(180_000)
    const reasons = link.recording.kept.map(({ reason }) => reason)
    expect(reasons).toContain('poll-conflict')
    expect(api.count('getUpdates')).toBeLessThanOrEqual(20)
    const asked = api.asked.length
    await clock.advance(600_000)
    expect(api.asked).toHaveLength(asked)
  })

  it('with a poll of our own that was given up a moment ago costs nothing', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(1_000)
    api.fail('getUpdates', refusal(409, 'Conflict: terminated by other getUpdates request'), 2)
    link.replace()
    await clock.advance(30_000)
    expect(link.status.state).toBe('live')
    expect(dialsOf(link)).toBe(2)
  })

  it('that ends is forgotten: two a day are no ten in a row', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(1_000)
    for (let i = 0; i < 15; i++) {
      api.intrude()
      await clock.advance(60_000)
    }
    expect([link.status.state, dialsOf(link)]).toEqual(['live', 1])
  })

  it('with a webhook parks the link, and says what to do; the texts of the answers decide nothing', async () => {
    for (const text of ['Conflict: whatever', '']) {
      const { clock, api, start } = rig()
      api.webhook = 'https://example.test/secret-path'
      api.failAlways('getUpdates', refusal(409, text))
      const link = start()
      await clock.advance(1_000)
      expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'setup-refused' } })
      expect(link.explain().text).toContain('deleteWebhook: true')
      expect(link.explain().text).not.toContain('secret-path')
      expect(api.webhook).not.toBe('')
    }
  })

  it('with a webhook ends where removing it was allowed', async () => {
    const { clock, api, start } = rig({ deleteWebhook: true })
    api.webhook = 'https://example.test/hook'
    api.receive('kept')
    const link = start()
    const got = textsOf(link)
    await clock.advance(5_000)
    expect(link.status.state).toBe('live')
    expect([api.webhook, got]).toEqual(['', ['kept']])
  })
})

describe('what else may answer', () => {
  it('T1: never shows the token, although a server repeats it in all that it says', async () => {
    for (const code of [400, 401, 409, 429, 500]) {
      const { clock, api, start } = rig()
      api.failAlways('getUpdates', refusal(code, `no https://api.telegram.org/bot${TOKEN}/x for ${TOKEN}`))
      const link = start()
      await clock.advance(30_000)
      const { status, recording } = link
      expect(status.fault?.detail, `${code}`).toContain(`HTTP ${code}: no https://api.telegram.org/bot***/x for ***`)
      expect(JSON.stringify([status, recording.kept, link.explain()])).not.toContain('canary')
    }
  })

  it.each([
    ['a page of HTML with 502', html, 'peer-unavailable'],
    ['a page of HTML with 200', { status: 200, body: '<html>log in</html>' }, 'protocol-violated'],
    ['half a body', 'half', 'answer-timeout'],
    ['a server error', refusal(500, 'Internal Server Error: restart'), 'peer-unavailable'],
    ['JSON of another kind', { status: 200, body: '{"ok":true,"result":{"id":"4711"}}' }, 'protocol-violated'],
  ] as const)('%s to getMe, and to the polls, is a fault that passes', async (_what, mishap, code) => {
    for (const method of ['getMe', 'getUpdates']) {
      const { clock, api, start } = rig()
      api.fail(method, mishap)
      const link = start()
      await clock.advance(11_000)
      expect(link.recording.kept.find(({ to }) => to === 'backoff')?.reason).toBe(code)
      await clock.advance(20_000)
      expect(link.status.state).toBe('live')
    }
  })

  it("another bot's id parks the link before anything of that bot is confirmed", async () => {
    const { clock, api, start } = rig()
    api.botId = 4712
    api.receive('not for us')
    const link = start()
    await clock.advance(60_000)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
    expect(link.status.fault?.detail).toBe('the Bot API speaks for bot 4712, not for 4711')
    expect(api.count('getUpdates')).toBe(0)
  })

  it("the position of another bot in the store is not this one's", async () => {
    const store = memoryStore()
    const first = rig({}, { store })
    first.api.receive('one')
    const link = first.start()
    textsOf(link)
    await first.clock.advance(2_000)
    void link.stop()
    await first.clock.advance(5_000)
    const clock = heapClock()
    const api = new BotApi({ clock, token: '99:another-0123456789' })
    const { transport } = botApiTransport(api, clock)
    const other = connect(telegram({ token: api.token }), {
      id: 'bot',
      clock,
      transport,
      store,
      proxy: false,
      lookup: async () => [{ address: '192.0.2.7', family: 4 }],
    })
    await clock.advance(1_000)
    expect(other.status.state).toBe('live')
    expect(offsets(api)[0]).toBe(undefined)
    void other.stop()
    await clock.advance(5_000)
  })
})
