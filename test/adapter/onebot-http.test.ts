/** OneBot v11 over HTTP, with posts and with a stream of events: as a dialogue, and as a link in virtual time. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { NEVER } from 'rxjs'
import { describe, expect, it } from 'vitest'
import type { Target } from '../../src/adapter/adapter.ts'
import { signatureCheck } from '../../src/adapter/onebot/http.ts'
import { type OnebotOptions, onebot } from '../../src/adapter/onebot.ts'
import type { Listener, WebhookTerms } from '../../src/berth.ts'
import { HoldfastError } from '../../src/error.ts'
import { type Question, readQuestion } from '../../src/exchange.ts'
import { connect } from '../../src/link.ts'
import { secret } from '../../src/secret.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { hostileFrames, hostileObject, hostileValue, type Stage, stage } from './fake-io.ts'

const URL = 'http://127.0.0.1:3000/'
const TOKEN = 'canary-0123456789'
const SECRET = 'canary-secret'
const signal = new AbortController().signal

/** A listener that only notes the terms of the webhook that it was asked for. */
const noted = () => {
  const terms: WebhookTerms[] = []
  const posts = () => () => undefined
  const webhook = (asked: WebhookTerms) => {
    terms.push(asked)
    return { transport: posts, arrivals$: NEVER }
  }
  return { listener: { webhook, webSocket: webhook, port: 0 } as unknown as Listener, terms, posts }
}

const { listener } = noted()
const posted = () => onebot({ url: URL, accessToken: TOKEN, listener, selfId: 10_000, secret: SECRET })
const streamed = () => onebot({ url: URL, accessToken: TOKEN })

const reply = (key: string, data: unknown, more: object = {}) => ({
  key,
  kind: 'whole',
  status: 200,
  headers: {},
  body: JSON.stringify({ status: 'ok', retcode: 0, data, ...more }),
})
const status = (key: string, code: number, body = '', headers: object = {}) => ({
  key,
  kind: 'whole',
  status: code,
  headers,
  body,
})
const login = reply('login', { user_id: 10_000, nickname: 'Ann' })
const online = reply('status', { online: true, good: true })
const streaming = { key: 'events', kind: 'opened', status: 200, headers: {} }
const message = { time: 1, self_id: 10_000, post_type: 'message', raw_message: 'hi' }
const post = (body: unknown) => ({
  key: '/',
  kind: 'posted',
  body: typeof body === 'string' ? body : JSON.stringify(body),
})
const event = (body: unknown) => ({ key: 'events', kind: 'event', type: 'message', data: JSON.stringify(body) })

const kinds = (asked: unknown[][]) => asked.map(([what]) => what)
const questions = (asked: unknown[][]) =>
  asked.flatMap(([what, frame]) => (what === 'send' ? [readQuestion(frame as string) as Question] : []))

/** Everything that comes before the welcome. */
const opened = (adapter = posted()): Stage => {
  const on = stage(adapter)
  on.dialogue.opened?.()
  return on
}
const inside = (adapter = posted()): Stage => {
  const on = opened(adapter)
  for (const frame of [login, streaming, online]) on.tell(frame)
  expect(kinds(on.asked)).toContain('welcome')
  return on
}

describe('the handshake', () => {
  it('asks who is logged in, then whether it is online, and is welcomed by that', () => {
    const on = opened()
    expect(questions(on.asked)).toMatchObject([{ key: 'login', method: 'POST', path: 'get_login_info', body: '{}' }])
    expect(questions(on.tell(login))).toMatchObject([{ key: 'status', path: 'get_status', withinMs: 10_000 }])
    expect(on.tell(online)).toEqual([
      ['welcome', { replaying: true }],
      ['heartbeat', { everyMs: 30_000 }],
      ['recovered'],
      ['caughtUp'],
    ])
    expect(on.tell(online)).toEqual([['recovered']])
  })

  it.each([
    ['before the status', [streaming, login, online]],
    ['behind the status', [login, online, streaming]],
  ])('with a stream needs its beginning as well, also %s', (_when, frames) => {
    const on = opened(streamed())
    expect(questions(on.asked).map(({ path, stream }) => [path, stream])).toEqual([
      ['get_login_info', undefined],
      ['_events', 'events'],
    ])
    const steps = frames.map((frame) => kinds(on.tell(frame)).includes('welcome'))
    expect(steps).toEqual([false, false, true])
  })

  it('says that the account is offline before the link is live', () => {
    const on = opened()
    on.tell(login)
    const asked = on.tell(reply('status', { online: false, good: true }))
    expect(kinds(asked)).toEqual(['welcome', 'heartbeat', 'impaired', 'caughtUp'])
  })

  it('with another account than the one expected waits for a person, who is told which it is', () => {
    const [fail] = opened().tell(reply('login', { user_id: 7 }))
    expect(fail).toEqual(['fail', 'login-needed', { detail: 'the account that is logged in is 7, not 10000' }])
  })

  it.each<[what: string, frame: object, code: string, detail: RegExp]>([
    ['HTTP 401', status('login', 401), 'credentials-rejected', /HTTP 401/],
    ['HTTP 403, as NapCat says it always', status('login', 403), 'credentials-rejected', /HTTP 403/],
    ['retcode 1403', reply('login', null, { status: 'failed', retcode: 1403 }), 'credentials-rejected', /1403/],
    ['HTTP 404', status('login', 404), 'upgrade-refused', /no OneBot at this address/],
    ['no stream', status('events', 404), 'upgrade-refused', /no stream of events/],
    ['a stream that is a page', status('events', 200, '<html>'), 'protocol-violated', /none of OneBot/],
    ['HTTP 400', status('login', 400), 'upgrade-refused', /HTTP 400/],
    ['HTTP 406', status('login', 406), 'upgrade-refused', /HTTP 406/],
    ['HTTP 500', status('status', 500), 'peer-unavailable', /HTTP 500/],
    ['HTTP 429', status('login', 429, '', { 'retry-after': '7' }), 'throttled', /HTTP 429/],
    ['a login page', status('login', 200, '<html>'), 'protocol-violated', /none of OneBot/],
    ['an object of something else', status('login', 200, '{"ok":true}'), 'protocol-violated', /none of OneBot/],
  ])('that is answered by %s ends as %s', (_what, frame, code, detail) => {
    const [fail] = opened(streamed()).tell(frame)
    expect(fail).toEqual(['fail', code, expect.objectContaining({ detail: expect.stringMatching(detail) })])
  })

  it('that asks for patience is believed', () => {
    const [fail] = opened().tell(status('login', 503, '', { 'retry-after': '7' }))
    expect(fail![2]).toMatchObject({ retryAfterMs: 7_000 })
  })

  it('that is not answered ends by what became of the question', () => {
    const fault = { code: 'answer-timeout', detail: 'no answer within 10000 ms' }
    expect(opened().tell({ key: 'login', kind: 'fault', fault })).toEqual([['fail', 'answer-timeout', fault]])
  })
})

describe('events', () => {
  it.each([
    ['by post', () => inside(posted()), post],
    ['by stream', () => inside(streamed()), event],
  ])('%s are handed on as they came; beats announce themselves and tell of the account', (_how, make, wrap) => {
    const { tell } = make()
    expect(tell(wrap(message))).toEqual([['deliver', message]])
    const beat = { self_id: 10_000, post_type: 'meta_event', meta_event_type: 'heartbeat', interval: 5_000 }
    expect(tell(wrap({ ...beat, status: { online: false } }))).toEqual([
      ['heartbeat', { expectMs: 5_000 }],
      ['impaired', 'account-offline', 'status.online is false'],
    ])
    expect(tell(wrap({ ...beat, meta_event_type: 'lifecycle' }))).toEqual([])
  })

  it('of another account are not handed on: a header that says who posts is not signed', () => {
    const { tell, dialogue } = inside()
    expect(tell(post({ ...message, self_id: 7 }))).toEqual([])
    expect(dialogue.frame(JSON.stringify(post({ ...message, self_id: 7 })))).toBe('malformed')
  })

  it('cannot pass for an answer', () => {
    const { tell } = opened()
    expect(tell(post(login))).toEqual([])
    expect(tell(post(online))).toEqual([])
  })

  it('end with their stream', () => {
    const { tell } = inside(streamed())
    expect(tell({ key: 'events', kind: 'ended' })).toEqual([
      ['fail', 'closed-by-peer', { detail: 'the stream of events ended' }],
    ])
    const fault = { code: 'connection-lost', detail: 'reset' }
    expect(tell({ key: 'events', kind: 'fault', fault })).toEqual([['fail', 'connection-lost', fault]])
  })
})

describe('the status', () => {
  it('is asked as the probe, and tells of the account each time', () => {
    const adapter = streamed()
    expect(readQuestion(adapter.probe!('p1'))).toMatchObject({ key: 'p1', path: 'get_status' })
    const { tell } = inside(adapter)
    expect(kinds(tell(reply('p1', { online: false, good: true })))).toEqual(['impaired'])
    expect(kinds(tell(reply('p2', { online: true, good: true })))).toEqual(['recovered'])
  })

  it('that gets no answer is the affair of the heartbeat, unless nobody listens there any more', () => {
    const { tell } = inside()
    expect(tell({ key: 'p1', kind: 'fault', fault: { code: 'answer-timeout' } })).toEqual([])
    expect(tell({ key: 'p1', kind: 'fault', fault: { code: 'refused' } })).toEqual([
      ['fail', 'refused', { code: 'refused' }],
    ])
  })

  it('that is refused later means that the token was changed', () => {
    expect(inside().tell(status('p1', 403))).toMatchObject([['fail', 'credentials-rejected', {}]])
  })
})

describe('actions', () => {
  const request = (options: OnebotOptions = { url: 'http://h:1/one/bot', accessToken: TOKEN }) => {
    const outgoing = onebot(options).request!('send_msg', { user_id: 1, message: 'x' }, 'k')
    if (!('http' in outgoing)) throw new Error('not over HTTP')
    return outgoing
  }

  it('are posted below the url, in the order of their conversation', () => {
    const { http, conversation } = request()
    expect({ ...http, headers: { ...http.headers } }).toEqual({
      url: 'http://h:1/one/bot/send_msg',
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${TOKEN}` },
      body: '{"user_id":1,"message":"x"}',
    })
    expect(conversation).toBe('user 1')
  })

  it('never leave their host, whatever they are called', () => {
    const outgoing = onebot({ url: URL }).request!('../../x?y#z', {}, 'k')
    expect(outgoing).toMatchObject({ http: { url: `${URL}..%2F..%2Fx%3Fy%23z` } })
  })

  it.each<[number, string, string]>([
    [400, '', 'HTTP 400: it could not read the parameters'],
    [401, '', 'HTTP 401: the access token is missing'],
    [403, '', 'HTTP 403: the access token is wrong'],
    [404, '', 'HTTP 404: it does not know this action'],
    [406, '', 'HTTP 406: it does not take JSON'],
    [502, '<html>', 'HTTP 502: the answer is none of OneBot'],
    [200, '{"status":"failed","retcode":100,"wording":"muted"}', 'retcode 100: muted'],
  ])('answered by HTTP %i %s are refused: %s', (code, body, problem) => {
    expect(() => request().read(code, body)).toThrow(problem)
  })

  it('give the data of their answer', () => {
    expect(request().read(200, '{"status":"ok","retcode":0,"data":{"message_id":7}}')).toEqual({ message_id: 7 })
    expect(request().read(200, '{"status":"async","retcode":1,"data":null}')).toBeNull()
  })
})

describe('options', () => {
  it('of posts ask for a webhook of this account, and each target has it', async () => {
    const { listener, terms, posts } = noted()
    const adapter = onebot({
      url: 'http://h:1',
      listener,
      selfId: 10_000,
      secret: secret(SECRET),
      path: '/in',
      accessToken: TOKEN,
    })
    const target = (await adapter.target({ signal })) as Target
    expect(target).toEqual({
      url: 'http://h:1/',
      headers: { Authorization: `Bearer ${TOKEN}` },
      posts,
      secrets: [TOKEN, SECRET],
    })
    expect(terms).toMatchObject([{ path: '/in', identity: '10000' }])
    expect(terms[0]!.identify({ 'x-self-id': '10000' })).toBe('10000')
    const body = Buffer.from('{"早":1}')
    const right = `sha1=${createHmac('sha1', SECRET).update(body).digest('hex')}`
    expect(terms[0]!.verify({ 'x-signature': right }, body)).toBe(true)
    for (const wrong of [
      undefined,
      '',
      right.slice(5),
      `${right}0`,
      right.toUpperCase(),
      right.replace('sha1', 'sha256'),
    ]) {
      expect(signatureCheck(SECRET)({ 'x-signature': wrong }, body)).toBe(false)
    }
  })

  it.each<[options: object, problem: RegExp]>([
    [{ url: URL, listener, secret: SECRET }, /selfId/],
    [{ url: URL, listener, selfId: 1 }, /secret/],
    [{ url: URL, listener, selfId: 'me', secret: SECRET }, /selfId/],
    [{ url: 'ws://h:1/', listener, selfId: 1, secret: SECRET }, /begins with "ws:"/],
    [{ url: `${URL}?access_token=${TOKEN}` }, /query/],
    [{ url: URL, listener: {}, selfId: 1, secret: SECRET }, /listener/],
    [{ url: URL, secret: SECRET }, /secret/],
    [{ url: 'ftp://h/' }, /begins with "ftp:"/],
    [{ listener, secret: SECRET }, /secret/],
  ])('that cannot work are refused at once: %#', (options, problem) => {
    const make = () => onebot(options as OnebotOptions)
    expect(make).toThrow(HoldfastError)
    expect(make).toThrow(problem)
    expect(make).not.toThrow(TOKEN)
  })
})

describe('a link', () => {
  const rig = async (adapter: ReturnType<typeof posted>) => {
    const clock = heapClock()
    const asked: string[] = []
    const account = { online: true, good: true }
    const network = new FakeNetwork(clock, {
      answer: (frame) => {
        const question = readQuestion(frame)
        if ('cancel' in question) return undefined
        const { key, path } = question
        asked.push(path)
        if (path === '_events') return streaming
        return path === 'get_login_info' ? { ...login, key } : reply(key, account)
      },
    })
    const { transport, lookup } = network
    const link = connect(adapter, { id: 'bot', clock, transport, lookup })
    await clock.advance(100)
    expect(link.status.state).toBe('live')
    return { clock, network, link, asked, account }
  }

  it('over a stream polls the status at least every 30 s, although events come all the time', async () => {
    const { clock, network, asked, link } = await rig(streamed())
    asked.length = 0
    for (let second = 0; second < 300; second++) {
      network.current!.frame(event({ ...message, message_id: second }))
      await clock.advance(1_000)
    }
    expect(asked.length).toBeGreaterThanOrEqual(10)
    expect(asked.length).toBeLessThanOrEqual(12)
    void link.stop()
  })

  it('learns from the status alone that the account went offline and came back, and stays connected', async () => {
    const { clock, network, link, account } = await rig(streamed())
    account.online = false
    await clock.advance(30_100)
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'account-offline' } })
    account.online = true
    await clock.advance(30_100)
    expect(link.status.state).toBe('live')
    expect(network.transports).toHaveLength(1)
  })

  it('whose stream is silent because the peer is gone is given up within 15 s', async () => {
    const { clock, network, link } = await rig(streamed())
    await clock.advance(60_000)
    network.healthy = false
    await clock.advance(15_000)
    expect(link.status.state).not.toBe('live')
    expect(link.status.fault?.code).toBe('heartbeat-timeout')
  })

  it('has nothing left when it is stopped', async () => {
    const { clock, network, link } = await rig(posted())
    void link.stop()
    await clock.advance(4_000)
    expect([clock.pending, network.openCount]).toEqual([0, 0])
  })
})

describe('T6: what enemies send', () => {
  const values: unknown[] = [
    ...[0, -1, 0.5, 1e12, 2 ** 53, Number.MAX_VALUE, '41250', '', null, true, false, [], [null], {}, [[]]],
    ...['__proto__', 'constructor', '\ud800', '\u202e\u001b[2J', { toString: 1 }, { toJSON: 'x' }, 'x'.repeat(10_000)],
  ]
  const bodies = values.flatMap((value) => [
    value,
    { self_id: 10_000, post_type: value },
    { self_id: 10_000, post_type: 'meta_event', meta_event_type: value, interval: value, status: value },
    {
      self_id: 10_000,
      post_type: 'meta_event',
      meta_event_type: 'heartbeat',
      interval: value,
      status: { online: value },
    },
    { self_id: value, post_type: 'message' },
    { status: value, retcode: value, data: value },
    { status: 'ok', retcode: 0, data: { user_id: value, online: value } },
  ])
  const wrapped = bodies.flatMap((body) => [
    post(body),
    event(body),
    status('login', 200, JSON.stringify(body)),
    status('x', 200, JSON.stringify(body)),
  ])
  const raw = hostileFrames.flatMap((frame) => [post(String(frame)), status('status', 200, String(frame))])
  const corpus = [...hostileFrames, ...[...wrapped, ...raw].map((frame) => JSON.stringify(frame))]

  it.each([
    ['posts, before the welcome', () => opened(posted())],
    ['posts, inside', () => inside(posted())],
    ['a stream, before the welcome', () => opened(streamed())],
    ['a stream, inside', () => inside(streamed())],
  ])('over %s never makes it throw, welcome or deliver what is no event', (_where, make) => {
    expect(corpus.length).toBeGreaterThanOrEqual(500)
    for (const frame of corpus) {
      const { dialogue, asked } = make()
      const before = asked.length
      expect(['taken', 'unknown', 'malformed']).toContain(dialogue.frame(frame))
      const done = asked.slice(before)
      expect(kinds(done)).not.toContain('welcome')
      for (const [what, given] of done) {
        if (what === 'deliver') expect(given).toMatchObject({ post_type: expect.any(String) })
        if (what === 'heartbeat') expect(Number.isFinite((given as { expectMs: number }).expectMs)).toBe(true)
      }
    }
    expect(({} as Record<string, unknown>).online).toBeUndefined()
  })

  it('never makes it throw, whatever it is', () => {
    const body = hostileObject({
      retcode: hostileValue,
      status: hostileValue,
      data: hostileValue,
      self_id: hostileValue,
    })
    const envelope = fc.record({
      key: fc.constantFrom('login', 'status', 'events', 'p1', '/'),
      kind: fc.constantFrom('whole', 'event', 'posted', 'line', 'opened', 'ended'),
      status: fc.oneof(fc.constant(200), fc.integer({ min: 100, max: 599 })),
      headers: fc.constant({}),
      body,
      data: body,
    })
    fc.assert(
      fc.property(envelope, (frame) => {
        for (const make of [opened, inside]) {
          expect(['taken', 'unknown', 'malformed']).toContain(make(streamed()).dialogue.frame(JSON.stringify(frame)))
        }
      }),
      { numRuns: 500 },
    )
  })
})
