/** Telegram's webhook without an engine: options, the place at the listener, and hostile answers and posts. */
import fc from 'fast-check'
import { NEVER } from 'rxjs'
import { describe, expect, it } from 'vitest'
import type { Target } from '../../src/adapter/adapter.ts'
import type { TelegramWebhook } from '../../src/adapter/telegram/berth.ts'
import { type TelegramOptions, telegram } from '../../src/adapter/telegram.ts'
import type { Listener, WebhookTerms } from '../../src/berth.ts'
import { readQuestion, writeAnswer } from '../../src/exchange.ts'
import { secret } from '../../src/secret.ts'
import { html, refusal, TOKEN } from '../peers/bot-api.ts'
import { hostileFrames, hostileObject, hostileValue, type Stage, stage } from './fake-io.ts'

const URL_ = 'https://bots.example.test/canary-path'
const SECRET = 'canary-secret-0123456789'

/** A listener that only notes the terms of the webhook that it was asked for. */
const noted = () => {
  const terms: WebhookTerms[] = []
  const transport = () => () => undefined
  const webhook = (asked: WebhookTerms) => {
    terms.push(asked)
    return { transport, arrivals$: NEVER }
  }
  return { listener: { webhook } as unknown as Listener, terms, transport }
}

const { listener } = noted()
const make = (webhook: Partial<TelegramWebhook> = {}, more: Partial<TelegramOptions> = {}) =>
  telegram({ token: TOKEN, webhook: { listener, url: URL_, secret: SECRET, ...webhook }, ...more })

const whole = (key: string, status: number, body: string) =>
  writeAnswer({ key, kind: 'whole', status, headers: {}, body })
const result = (key: string, value: unknown) => whole(key, 200, JSON.stringify({ ok: true, result: value }))
const posted = (body: unknown) =>
  writeAnswer({ key: '/canary-path', kind: 'posted', body: typeof body === 'string' ? body : JSON.stringify(body) })
const info = (more: object = {}) => ({ url: URL_, pending_update_count: 0, ...more })

const steps: Record<string, () => Stage> = {
  'when it asked who we are': () => {
    const on = stage(make())
    on.dialogue.opened!()
    return on
  },
  'when it set the webhook': () => {
    const on = steps['when it asked who we are']!()
    on.tell(result('me', { id: 4711, is_bot: true }))
    return on
  },
  'when it looked for the first time': () => {
    const on = steps['when it set the webhook']!()
    on.tell(result('setting', true))
    return on
  },
  'when it is live': () => {
    const on = steps['when it looked for the first time']!()
    on.tell(result('look', info()))
    return on
  },
}

const says = (asked: unknown[][]) => asked.map(([what]) => what)
describe('the options', () => {
  it.each<[string, object, string]>([
    ['no listener', { listener: undefined }, 'listener({ port })'],
    ['a listener that is none', { listener: {} }, 'listener({ port })'],
    ['no url', { url: undefined }, 'telegram({ webhook })'],
    ['a url without TLS', { url: 'http://bots.example.test/' }, 'https'],
    ['a port to which Telegram does not post', { url: 'https://bots.example.test:8095/' }, '8443'],
    ['a secret that is too short', { secret: 'canary' }, '8 to 256'],
    ['a secret that cannot be sent', { secret: 'canary canary' }, '8 to 256'],
    ['a secret that is a number', { secret: 12_345_678 }, '8 to 256'],
    ['no connections', { maxConnections: 0 }, 'from 1 to 100'],
    ['too many connections', { maxConnections: 101 }, 'from 1 to 100'],
    ['an option of another', { port: 8095 }, '"port"'],
  ])('%s is refused at once, by its name and without a secret', (_what, webhook, words) => {
    let message = ''
    expect(() => {
      try {
        make(webhook)
      } catch (error) {
        message = (error as Error).message
        throw error
      }
    }).toThrow(expect.objectContaining({ code: 'bad-option' }))
    expect(message).toContain(words)
    expect(message).not.toContain('canary')
  })

  it('that belong to polls are refused beside a webhook, and so is a webhook that is nothing', () => {
    for (const more of [{ pollMs: 25_000 }, { overdueMs: 10_000 }])
      expect(() => make({}, more)).toThrow('because there is a webhook')
    expect(() => telegram({ token: TOKEN, webhook: null as never })).toThrow(/webhook/)
  })

  it('of a Bot API server of your own may name any port, and http', () => {
    const { listener, terms } = noted()
    make({ listener, url: 'http://127.0.0.1:8095/bot' }, { apiRoot: 'http://127.0.0.1:8081' })
    expect(terms[0]!.path).toBe('/bot')
  })

  it('lead to a target with the posts, and the secrets of both directions', async () => {
    const { listener, terms, transport } = noted()
    const { signal } = new AbortController()
    const adapter = make({ listener, secret: secret(SECRET), url: `${URL_}?key=canary-query`, path: '/inside' })
    const target = (await adapter.target({ signal })) as Target
    expect(target).toMatchObject({ url: `https://api.telegram.org/bot${TOKEN}/`, posts: transport })
    expect(target.secrets).toEqual(expect.arrayContaining([TOKEN, SECRET, 'canary-query']))
    expect(adapter.arrivals$).toBe(NEVER)
    expect(terms).toMatchObject([{ path: '/inside', identity: 'telegram' }])
  })

  it('make terms by which only the secret is Telegram', () => {
    const { listener, terms } = noted()
    make({ listener })
    const { identify, verify, identity, path } = terms[0]!
    expect(path).toBe('/canary-path')
    const shown = (token: string | undefined) => ({ 'x-telegram-bot-api-secret-token': token })
    expect([identify(shown(SECRET)), verify(shown(SECRET), Buffer.from('{}'))]).toEqual([identity, true])
    for (const guess of [undefined, '', SECRET.slice(1), `${SECRET} `, SECRET.toUpperCase(), `${SECRET}, ${SECRET}`]) {
      expect(identify(shown(guess)), guess).not.toBe(identity)
      expect(verify(shown(guess), Buffer.from('{}')), guess).toBe(false)
    }
  })
})

describe('the posts', () => {
  it('are taken from when the webhook is set until a hundred are not taken, and again when they are', () => {
    const { listener, terms } = noted()
    const adapter = make({ listener })
    const isFull = () => terms[0]!.isFull!()
    expect(isFull()).toBe(true)
    const on = stage(adapter)
    on.dialogue.opened!()
    expect(isFull()).toBe(true)
    on.tell(result('me', { id: 4711 }))
    expect(isFull()).toBe(false)
    for (let id = 1; id <= 99; id++) on.tell(posted({ update_id: id }))
    expect(isFull()).toBe(false)
    on.tell(posted({ update_id: 100 }))
    expect(isFull()).toBe(true)
    on.dialogue.taken!('4711:7')
    expect(isFull()).toBe(false)
    on.dialogue.taken!('someone else’s')
    expect(isFull()).toBe(false)
    stage(adapter)
    expect(isFull()).toBe(true)
  })

  it('wait until what is pending was thrown away', () => {
    const { listener, terms } = noted()
    const on = stage(make({ listener }, { dropPending: true }))
    on.dialogue.opened!()
    on.tell(result('me', { id: 4711 }))
    expect(terms[0]!.isFull!()).toBe(true)
    on.tell(result('setting', true))
    expect(terms[0]!.isFull!()).toBe(false)
  })

  it('that come again are known by their number, the latest ten thousand of them', () => {
    const on = steps['when it is live']!()
    const post = (update_id: number) => says(on.tell(posted({ update_id })))
    for (let id = 1; id <= 10_000; id++) expect(post(id)).toEqual(['deliver'])
    expect([post(1), post(10_000), post(10_001), post(2), post(1)]).toEqual([[], [], ['deliver'], [], ['deliver']])
  })

  it('cannot pass for an answer, nor an answer for a post', () => {
    const first = steps['when it asked who we are']!()
    expect(first.tell(posted({ ok: true, result: { id: 4711 } }))).toEqual([])
    expect(first.tell(posted({ update_id: 5 }))).toEqual([])
    expect(steps['when it is live']!().tell(whole('/canary-path', 200, '{"update_id":5}'))).toEqual([])
  })
})

describe('a probe', () => {
  it('asks who we are until the webhook is set, and then whether it is ours', () => {
    const before = steps['when it set the webhook']!()
    expect(readQuestion(before.dialogue.probe!('p1'))).toMatchObject({ key: 'p1', path: 'getMe' })
    expect(before.tell(result('p1', info({ url: 'https://other.example.test/' })))).toEqual([])
    const live = steps['when it is live']!()
    expect(readQuestion(live.dialogue.probe!('p2'))).toMatchObject({ key: 'p2', path: 'getWebhookInfo' })
    expect(live.tell(result('p1', { id: 4711 }))).toEqual([])
    expect(live.tell(result('p2', info()))).toEqual([])
    expect(live.tell(whole('p2', 500, refusal(500, 'Internal').body))).toEqual([])
    expect(live.tell(whole('p2', 502, html.body))).toEqual([])
    expect(live.tell(writeAnswer({ key: 'p2', kind: 'fault', fault: { code: 'refused' } }))).toEqual([])
    expect(live.tell(result('p3', info({ url: '' })))).toEqual([
      ['fail', 'poll-conflict', { detail: 'the webhook was removed' }],
    ])
  })

  it('tells nothing of an error that is older than the webhook', () => {
    const on = steps['when it looked for the first time']!()
    const trouble = { pending_update_count: 2, last_error_date: 7, last_error_message: 'Connection timed out' }
    expect(on.tell(result('look', info(trouble)))).toEqual([['caughtUp']])
    expect(on.tell(result('p', info(trouble)))).toEqual([])
    expect(says(on.tell(result('p', info({ ...trouble, last_error_date: 8 }))))).toEqual(['impaired'])
  })

  it('tells once that nothing gets through, and once that it does', () => {
    const on = steps['when it is live']!()
    const look = (more: object) => on.tell(result('p', info(more)))
    const trouble = { pending_update_count: 2, last_error_date: 7, last_error_message: 'Connection timed out' }
    const detail = 'Telegram cannot post to the webhook: Connection timed out (updates that wait: 2)'
    expect(look(trouble)).toEqual([['impaired', 'deaf', detail]])
    expect(look(trouble)).toEqual([])
    expect(look({ ...trouble, last_error_date: 6 })).toEqual([])
    expect(look({ ...trouble, pending_update_count: 0 })).toEqual([['recovered']])
    expect(look({ ...trouble, pending_update_count: 0, last_error_date: 9 })).toEqual([])
    expect(says(look({ ...trouble, last_error_date: 10 }))).toEqual(['impaired'])
    expect(says(on.tell(posted({ update_id: 1 })))).toEqual(['recovered', 'deliver'])
  })
})

describe('a goodbye', () => {
  it('is said where it was allowed, and only for a webhook that we set', () => {
    expect(steps['when it is live']!().dialogue.goodbye!()).toBe(undefined)
    const on = stage(make({}, { deleteWebhook: true }))
    on.dialogue.opened!()
    on.tell(result('me', { id: 4711 }))
    expect(on.dialogue.goodbye!()).toBe(undefined)
    on.tell(result('setting', true))
    expect(readQuestion(on.dialogue.goodbye!()!)).toMatchObject({ path: 'deleteWebhook', isGoodbye: true })
    for (const answer of [result('goodbye', true), whole('goodbye', 500, refusal(500, 'x').body)])
      expect(on.tell(answer)).toEqual([])
  })
})

/** T6: values in every place of an answer and of a post that has a meaning. */
const values: readonly unknown[] = [
  ...[0, -1, 0.5, 1e12, 2 ** 53, -(2 ** 63), Number.MAX_VALUE, '7', '', null, true, false, [], [null], [[]], {}],
  ...['__proto__', 'constructor', '\ud800', '\u202e\u001b[2J', 'x'.repeat(100_000)],
  ...[{ toString: 1 }, { toJSON: 'x' }, { length: 1e9 }, [{}], [{ update_id: 5 }]],
]

const corpus = (): string[] => {
  const bodies = [
    ...hostileFrames.map((frame) => (typeof frame === 'string' ? frame : Buffer.from(frame).toString('latin1'))),
    ...values.flatMap((value) => [
      { ok: value, result: value },
      { ok: false, error_code: value, description: value, parameters: { retry_after: value } },
      { ok: false, error_code: 429, parameters: value },
      { ok: true, result: { id: value, url: value } },
      { ok: true, result: info({ last_error_date: value, last_error_message: value, pending_update_count: value }) },
      // those that are numbers of updates are not
      { update_id: value === 0 || value === 1e12 ? -1 : value },
      { update_id: [value] },
    ]),
  ].map((body) => (typeof body === 'string' ? body : JSON.stringify(body)))
  const answers = bodies.flatMap((body) => [
    ...['me', 'setting', 'look', 'goodbye', 'p1'].map((key) => whole(key, body.length % 2 ? 200 : 418, body)),
    posted(body),
  ])
  const kinds = ['opened', 'line', 'event', 'ended', 'nonsense', 'fault', 'posted'].map((kind) =>
    JSON.stringify({ key: 'look', kind }),
  )
  return [...answers.map(String), ...kinds, ...hostileFrames.map(String)]
}

describe('T6: hostile answers and posts', () => {
  it.each(Object.entries(steps))('never make it throw, welcome or deliver %s', (_step, begin) => {
    const frames = corpus()
    expect(frames.length).toBeGreaterThanOrEqual(500)
    const verdicts = new Set<string>()
    for (const frame of frames) {
      const { dialogue, asked } = begin()
      const before = asked.length
      verdicts.add(dialogue.frame(frame))
      const done = asked.slice(before)
      expect(says(done), frame.slice(0, 200)).not.toContain('deliver')
      expect(says(done), frame.slice(0, 200)).not.toContain('welcome')
      // a look that finds our url is an answer like any other
      if (!frame.includes(URL_)) expect(says(done), frame.slice(0, 200)).not.toContain('caughtUp')
      for (const [what, code, more] of done) {
        if (what === 'send') expect(() => readQuestion(String(code))).not.toThrow()
        const { retryAfterMs = 1 } = (more ?? {}) as { retryAfterMs?: number }
        if (what === 'fail') expect(retryAfterMs).toBeGreaterThan(0)
      }
    }
    expect([...verdicts].sort()).toEqual(['malformed', 'taken'])
    expect(Object.prototype).not.toHaveProperty('update_id')
  })

  it.each(
    Object.entries(steps),
  )('whatever comes in a row, updates are delivered once, with their own number, behind the welcome, %s', (_step, begin) => {
    const some = hostileObject({
      ok: fc.oneof(fc.constantFrom(true, true, false), hostileValue),
      result: fc.oneof(
        hostileValue,
        fc.record({ id: fc.oneof(fc.constant(4711), hostileValue), url: fc.oneof(fc.constant(URL_), hostileValue) }),
        fc.record({
          url: fc.constant(URL_),
          last_error_date: fc.oneof(fc.nat(9), hostileValue),
          last_error_message: hostileValue,
          pending_update_count: fc.oneof(fc.nat(2), hostileValue),
        }),
      ),
      error_code: fc.oneof(fc.constantFrom(400, 401, 404, 429, 500), hostileValue),
      parameters: fc.oneof(hostileValue, fc.record({ retry_after: hostileValue })),
    })
    const answer = fc
      .tuple(fc.constantFrom('me', 'setting', 'look', 'p1'), fc.constantFrom(200, 409, 502), some)
      .map((given) => whole(...given))
    const post = hostileObject({ update_id: fc.oneof(fc.nat(9), hostileValue), message: hostileValue }).map(posted)
    fc.assert(
      fc.property(fc.array(fc.oneof(answer, post), { minLength: 1, maxLength: 8 }), (frames) => {
        const { dialogue, asked } = begin()
        for (const frame of frames) dialogue.frame(frame)
        const deliveries = asked.filter(([what]) => what === 'deliver')
        for (const [, message, mark] of deliveries) {
          const { update_id } = message as { update_id: number }
          expect(Number.isSafeInteger(update_id)).toBe(true)
          expect(mark).toEqual({ id: `4711:${update_id}`, cursor: `4711:${update_id}` })
        }
        const ids = deliveries.map(([, message]) => (message as { update_id: number }).update_id)
        expect(new Set(ids).size).toBe(ids.length)
        const order = says(asked)
        expect(order.filter((what) => what === 'welcome').length).toBeLessThanOrEqual(1)
        if (ids.length > 0) expect(order.indexOf('welcome')).toBeLessThan(order.indexOf('deliver'))
        if (ids.length > 0) expect(order).toContain('welcome')
      }),
      { numRuns: 300 },
    )
  })
})
