/** Links to which Telegram posts, in virtual time: what is set, what is taken, and how it is noticed that no post comes. */
import { afterEach, describe, expect, it } from 'vitest'
import type { TelegramWebhook } from '../../src/adapter/telegram/berth.ts'
import { type TelegramOptions, type TelegramUpdate, telegram } from '../../src/adapter/telegram.ts'
import { connect } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { memoryStore } from '../../src/store.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { BotApi, type Hook, refusal, TOKEN, tooMany, unauthorized } from '../peers/bot-api.ts'
import { botApiTransport } from './bot-api-transport.ts'
import { virtualListener } from './virtual-listener.ts'

const URL_ = 'https://bots.example.test/canary-path'
const SECRET = 'canary-secret-0123456789'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

const rig = (
  webhook: Partial<TelegramWebhook> = {},
  more: Partial<TelegramOptions> = {},
  options: LinkOptions = {},
  seed = 1,
) => {
  const clock = heapClock(seed)
  const api = new BotApi({ clock })
  const network = botApiTransport(api, clock)
  const { listener, post } = virtualListener(clock)
  const statuses: number[] = []
  const deliver = ({ url, secret_token }: Hook, body: string): number => {
    const { pathname } = new URL(url)
    const status = post(pathname, { 'x-telegram-bot-api-secret-token': secret_token }, body)
    statuses.push(status)
    return status
  }
  api.post = deliver
  const lookup = async () => [{ address: '192.0.2.7', family: 4 as const }]
  const start = (own: LinkOptions = {}) => {
    const adapter = telegram({ token: TOKEN, webhook: { listener, url: URL_, ...webhook }, ...more })
    const { transport } = network
    const link = connect(adapter, { id: 'bot', clock, transport, lookup, proxy: false, ...options, ...own })
    ends.push(async () => {
      const stopped = link.stop({ drainMs: 0 })
      await clock.advance(100)
      await stopped
    })
    return link
  }
  return { clock, api, network, post, deliver, statuses, start }
}

type Rigged = ReturnType<ReturnType<typeof rig>['start']>

const textOf = ({ message }: TelegramUpdate) => (message as { text: string }).text
const textsOf = (link: Rigged): string[] => {
  const got: string[] = []
  link.inbound$.subscribe((update) => void got.push(textOf(update)))
  return got
}

const reasonsOf = ({ recording }: Rigged) =>
  recording.kept.filter(({ to }) => to === 'backoff').map(({ reason }) => reason)

const methods = ({ asked }: BotApi) => asked.map(({ method }) => method)

describe('a webhook', () => {
  it('is set and looked at before the link is live, and no poll is ever made', async () => {
    const { clock, api, start } = rig({ secret: SECRET, maxConnections: 7 }, { allowedUpdates: ['message'] })
    const link = start()
    await clock.advance(100)
    expect(link.status.state).toBe('live')
    expect(methods(api).slice(0, 3)).toEqual(['getMe', 'setWebhook', 'getWebhookInfo'])
    expect(api.of('setWebhook')[0]!.params).toEqual({
      url: URL_,
      secret_token: SECRET,
      max_connections: 7,
      allowed_updates: ['message'],
    })
    await clock.advance(600_000)
    expect(new Set(methods(api))).toEqual(new Set(['getMe', 'setWebhook', 'getWebhookInfo']))
    expect([link.status.state, api.count('setWebhook')]).toEqual(['live', 1])
  })

  it('has a secret of its own in each process, and one connection, unless told', async () => {
    const params = []
    for (let i = 0; i < 2; i++) {
      const { clock, api, start } = rig()
      start()
      await clock.advance(100)
      params.push(api.of('setWebhook')[0]!.params)
    }
    const [one, other] = params as [Record<string, unknown>, Record<string, unknown>]
    expect(one.max_connections).toBe(1)
    expect(one.secret_token).toMatch(/^[\w-]{43}$/)
    expect(one.secret_token).not.toBe(other.secret_token)
    expect(one).not.toHaveProperty('drop_pending_updates')
  })

  it('throws away what is pending once in a process, and only where that was allowed', async () => {
    const { clock, api, start } = rig({}, { dropPending: true })
    api.receive('old')
    const link = start()
    const got = textsOf(link)
    await clock.advance(1_000)
    link.replace()
    api.receive('new')
    await clock.advance(10_000)
    expect(got).toEqual(['new'])
    expect(api.of('setWebhook').map(({ params }) => params.drop_pending_updates)).toEqual([true, undefined])
  })

  it.each([
    [false, URL_],
    [true, ''],
  ])('is removed at the end of the link if that was allowed: %s', async (deleteWebhook, left) => {
    const { clock, api, start } = rig({}, { deleteWebhook })
    const link = start()
    await clock.advance(1_000)
    const stopped = link.stop()
    await clock.advance(1_000)
    await stopped
    expect(api.webhook).toBe(left)
  })

  it('of another bot is not touched', async () => {
    const { clock, api, start } = rig()
    api.botId = 4712
    const link = start()
    await clock.advance(1_000)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
    expect(methods(api)).toEqual(['getMe'])
  })

  it('that Telegram does not want is tried five times, and then a person is called', async () => {
    const { clock, api, start } = rig()
    api.failAlways('setWebhook', refusal(400, 'Bad Request: bad webhook: Failed to resolve host'))
    const link = start()
    await clock.advance(60_000)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'setup-refused' } })
    expect(link.status.fault?.detail).toContain('Failed to resolve host')
    expect(reasonsOf(link)).toEqual(Array(4).fill('handshake-refused'))
    expect(api.count('setWebhook')).toBe(5)
    api.failAlways('setWebhook', undefined)
    api.fail('setWebhook', refusal(400, 'Bad Request: bad webhook: Failed to resolve host'))
    link.resume()
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
  })

  it('that Telegram wants the fifth time is live, and five more are counted anew', async () => {
    const { clock, api, start } = rig()
    api.fail('setWebhook', refusal(400, 'Bad Request: bad webhook: Failed to resolve host'), 4)
    const link = start()
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
    api.fail('setWebhook', refusal(400, 'Bad Request: bad webhook: Failed to resolve host'), 4)
    link.replace()
    await clock.advance(600_000)
    expect(link.status.state).toBe('live')
    expect(api.count('setWebhook')).toBe(10)
  })

  it.each([
    ['429', tooMany(30), 'throttled'],
    ['500', refusal(500, 'Internal Server Error'), 'peer-unavailable'],
    ['a page', { status: 200, body: '<html>' }, 'protocol-violated'],
    ['nothing', 'silence', 'answer-timeout'],
    ['half a body', 'half', 'answer-timeout'],
  ] as const)('whose setting, and the look at it, is answered by %s is set again in time', async (_what, mishap, code) => {
    for (const method of ['setWebhook', 'getWebhookInfo']) {
      const { clock, api, start } = rig()
      api.fail(method, mishap)
      const link = start()
      await clock.advance(11_000)
      expect(reasonsOf(link)).toEqual([code])
      await clock.advance(40_000)
      expect(link.status.state).toBe('live')
    }
  })

  it('with a token that was revoked parks the link, also when only the look is told so', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(1_000)
    api.failAlways('getWebhookInfo', unauthorized)
    await clock.advance(40_000)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
  })
})

describe('updates', () => {
  it('are delivered as they come, those that waited first, and each once', async () => {
    const { clock, api, deliver, statuses, start } = rig({ secret: SECRET })
    api.receive('waited')
    const got = textsOf(start())
    await clock.advance(1_000)
    const update = api.receive('two')
    await clock.advance(1_000)
    const again = { url: URL_, secret_token: SECRET }
    expect(deliver(again, JSON.stringify(update))).toBe(204)
    // written in another way it is another body with the same number
    expect(deliver(again, JSON.stringify(update, null, 1))).toBe(204)
    expect(got).toEqual(['waited', 'two'])
    expect(new Set(statuses)).toEqual(new Set([204]))
    expect(api.pending).toEqual([])
  })

  it('that come before the link is live, or between two transports, stay at Telegram and come then', async () => {
    const { clock, api, network, statuses, start } = rig({ secret: SECRET })
    api.webhook = URL_
    const link = start()
    const got = textsOf(link)
    const told: string[] = []
    link.continuity$.subscribe(({ kind }) => void told.push(kind))
    await clock.advance(1_000)
    api.failAlways('getMe', 'silence')
    link.replace()
    await clock.advance(1_000)
    expect(network.open).toBe(1)
    api.receive('meanwhile')
    await clock.advance(1_000)
    expect([got, statuses]).toEqual([[], [503]])
    api.failAlways('getMe', undefined)
    await clock.advance(40_000)
    expect(link.status.state).toBe('live')
    expect(got).toEqual(['meanwhile'])
    // 503 was our own word: Telegram does get through
    expect(link.recording.kept.map(({ reason }) => reason)).not.toContain('deaf')
    expect(told).toEqual(['new', 'recovered'])
  })

  it('without the secret, or with another, are refused, and those of Telegram are taken all the same', async () => {
    const { clock, api, post, statuses, start } = rig({ secret: SECRET })
    const got = textsOf(start())
    await clock.advance(1_000)
    const body = JSON.stringify({ update_id: 1, message: { text: 'forged' } })
    const guesses = [undefined, '', SECRET.slice(0, -1), `${SECRET}0`, SECRET.toUpperCase()]
    const answers = [...guesses, ...guesses, 'guess'].map((guess) =>
      post('/canary-path', { 'x-telegram-bot-api-secret-token': guess }, body),
    )
    expect(answers).toEqual([...Array(10).fill(403), 429])
    api.receive('true')
    await clock.advance(1_000)
    expect([got, statuses]).toEqual([['true'], [204]])
  })

  it('that the user has not taken are held up to a hundred; the others stay at Telegram until he goes on', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(1_000)
    for (let i = 0; i < 250; i++) api.receive(`${i}`)
    await clock.advance(60_000)
    expect(api.pending).toHaveLength(150)
    expect(link.stats.inbound).toMatchObject({ waiting: 100, dropped: 0 })
    expect(link.status.state).toBe('live')
    const got = textsOf(link)
    await clock.advance(20_000)
    expect(got).toEqual(Array.from({ length: 250 }, (_, i) => `${i}`))
    expect(api.pending).toEqual([])
    await clock.advance(60_000)
    expect(link.recording.kept.map(({ reason }) => reason)).not.toContain('deaf')
  })

  it('that came twice over two transports do not count for ever as not taken', async () => {
    const { clock, api, deliver, start } = rig({ secret: SECRET })
    const link = start()
    const got = textsOf(link)
    await clock.advance(1_000)
    const updates = Array.from({ length: 100 }, (_, i) => api.receive(`${i}`))
    await clock.advance(1_000)
    link.replace()
    await clock.advance(10_000)
    expect(link.status.state).toBe('live')
    for (const update of updates) deliver({ url: URL_, secret_token: SECRET }, JSON.stringify(update, null, 1))
    api.receive('last')
    await clock.advance(60_000)
    expect(got.at(-1)).toBe('last')
    expect(got).toHaveLength(101)
  })

  it('before this process are a gap if it has a store: what the last one held and did not take is gone', async () => {
    const store = memoryStore()
    const { clock, api, start } = rig({}, {}, { store })
    const first = start()
    textsOf(first)
    await clock.advance(1_000)
    api.receive('one')
    await clock.advance(1_000)
    void first.stop()
    await clock.advance(5_000)
    const second = start()
    const told: string[] = []
    second.continuity$.subscribe(({ kind }) => void told.push(kind))
    await clock.advance(5_000)
    expect([second.status.state, told]).toEqual(['live', ['gap']])
  })
})

describe('a webhook to which nothing gets through', () => {
  it('makes the link deaf with the words of Telegram, until a post comes', async () => {
    const { clock, api, deliver, start } = rig()
    const link = start()
    const got = textsOf(link)
    await clock.advance(20_000)
    api.post = () => `Connection refused at ${URL_}?token=${TOKEN}`
    api.receive('lost in the proxy')
    await clock.advance(40_000)
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'deaf' } })
    expect(link.status.fault?.detail).toContain('Telegram cannot post to the webhook: Connection refused at ')
    expect(link.status.fault?.detail).toContain('updates that wait: 1')
    expect(JSON.stringify([link.status, link.recording.kept])).not.toContain(TOKEN)
    api.post = deliver
    await clock.advance(10_000)
    expect([link.status.state, got]).toEqual(['live', ['lost in the proxy']])
    expect(reasonsOf(link)).toEqual([])
  })

  it('is not told of because of an error that is over, or older than the link', async () => {
    const { clock, api, start } = rig()
    api.failed = { last_error_date: 1_700_000_000, last_error_message: 'Connection timed out' }
    const link = start()
    await clock.advance(60_000)
    api.failed = { last_error_date: 1_800_000_000, last_error_message: 'Connection timed out' }
    await clock.advance(60_000)
    const states = new Set(link.recording.kept.map(({ to }) => to))
    expect(states).not.toContain('degraded.impaired')
    expect(link.status.state).toBe('live')
  })

  it('is noticed although the bot calls all the time, and although nobody is there to say why', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(20_000)
    api.post = () => ''
    api.receive('never')
    const calls = setCalls(link, clock)
    await clock.advance(70_000)
    clock.clearTimeout(calls())
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'deaf' } })
    expect(link.status.fault?.detail).toContain('it does not say why')
  })
})

/** A call each second; the returned function gives the timer of the next. */
const setCalls = (link: Rigged, clock: ReturnType<typeof heapClock>) => {
  let timer = clock.setTimeout(call, 1_000)
  function call() {
    link.call('getMe', {}).catch(() => undefined)
    timer = clock.setTimeout(call, 1_000)
  }
  return () => timer
}

describe('a conflict', () => {
  it.each([
    ['another webhook', 'https://other.example.test/their-path', 'set to another url'],
    ['its removal', '', 'was removed'],
  ])('with %s is shown within 30 s, and the webhook is taken back', async (_what, url, says) => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(10_000)
    api.webhook = url
    await clock.advance(31_000)
    expect(reasonsOf(link)).toEqual(['poll-conflict'])
    const shown = JSON.stringify(link.recording.kept)
    expect(shown).toContain(says)
    expect(shown).not.toContain('their-path')
    await clock.advance(5_000)
    expect([link.status.state, api.webhook]).toEqual(['live', URL_])
  })

  it('that does not end calls a person, however long it was quiet before', async () => {
    const { clock, api, start } = rig()
    const link = start()
    await clock.advance(3_600_000)
    for (let i = 0; i < 200 && link.status.state !== 'parked'; i++) {
      await clock.advance(10_000)
      if (link.status.state === 'live') api.webhook = 'https://other.example.test/'
    }
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'kicked' } })
    expect(api.count('setWebhook')).toBe(10)
  })

  it('that comes once an hour is no fight', async () => {
    const { clock, api, start } = rig()
    const link = start()
    for (let i = 0; i < 15; i++) {
      await clock.advance(3_600_000)
      api.webhook = ''
    }
    await clock.advance(60_000)
    expect([link.status.state, api.webhook]).toEqual(['live', URL_])
    expect(api.count('setWebhook')).toBe(16)
  })

  it('is none if Telegram writes the same url in another way', async () => {
    const { clock, api, start } = rig({ url: 'https://Bots.Example.test' })
    const link = start()
    await clock.advance(1_000)
    api.webhook = 'https://bots.example.test/'
    await clock.advance(60_000)
    expect([link.status.state, reasonsOf(link)]).toEqual(['live', []])
  })
})

it('T1: shows neither the token nor the secret, although a server repeats them in all that it says', async () => {
  const repeated = `no https://api.telegram.org/bot${TOKEN}/x for ${TOKEN} with ${SECRET}`
  for (const method of ['getMe', 'setWebhook', 'getWebhookInfo'])
    for (const code of [400, 401, 429, 500]) {
      const { clock, api, start } = rig({ secret: SECRET })
      api.failAlways(method, refusal(code, repeated))
      const link = start()
      await clock.advance(30_000)
      const { status, recording } = link
      expect(status.fault?.detail, `${method} ${code}`).toContain('with ***')
      const shown = JSON.stringify([status, recording.kept, link.explain()])
      expect(shown).not.toContain('canary')
    }
})
