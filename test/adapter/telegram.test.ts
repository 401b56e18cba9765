/** Telegram's rules without an engine: options, calls, and what enemies and broken proxies answer at every step. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HttpOutgoing } from '../../src/adapter/adapter.ts'
import { telegram } from '../../src/adapter/telegram.ts'
import { readQuestion, writeAnswer } from '../../src/exchange.ts'
import { secret } from '../../src/secret.ts'
import { html, refusal, TOKEN, tooMany } from '../peers/bot-api.ts'
import { hostileFrames, hostileObject, hostileValue, type Stage, stage } from './fake-io.ts'

const adapter = telegram({ token: secret(TOKEN) })
const whole = (key: string, status: number, body: string) =>
  writeAnswer({ key, kind: 'whole', status, headers: {}, body })
const result = (key: string, value: unknown) => whole(key, 200, JSON.stringify({ ok: true, result: value }))
const update = (update_id: unknown) => ({ update_id, message: { text: 'hi' } })

const steps: Record<string, () => Stage> = {
  'when it asked who we are': () => {
    const own = stage(telegram({ token: TOKEN }))
    own.dialogue.opened!()
    return own
  },
  'when it asked what is pending': () => {
    const own = steps['when it asked who we are']!()
    own.tell(result('me', { id: 4711, is_bot: true }))
    return own
  },
  'when it polls': () => {
    const own = steps['when it asked what is pending']!()
    own.tell(result('poll', [update(7)]))
    return own
  },
}

describe('the options', () => {
  it.each([
    ['no token', { token: '' }, 'telegram({ token })'],
    ['a token that leads elsewhere', { token: '1:a/../../x' }, 'no token of Telegram'],
    ['the token of another bot', { token: TOKEN, botId: 5 }, 'bot 4711'],
    ['a root that is no URL', { token: TOKEN, apiRoot: 'localhost' }, 'apiRoot'],
    ['a root for a WebSocket', { token: TOKEN, apiRoot: 'ws://127.0.0.1/' }, 'apiRoot'],
    ['a poll of half a second', { token: TOKEN, pollMs: 500 }, 'pollMs'],
    ['a poll of a minute', { token: TOKEN, pollMs: 60_000 }, 'pollMs'],
    ['a wait that is none', { token: TOKEN, overdueMs: 0 }, 'overdueMs'],
    ['updates that are no names', { token: TOKEN, allowedUpdates: [1] }, 'allowedUpdates'],
    ['a word in place of yes', { token: TOKEN, dropPending: 'yes' }, 'dropPending'],
    ['an option of another', { token: TOKEN, offset: 5 }, '"offset"'],
    ['nothing', undefined, 'telegram({ token })'],
  ])('%s is refused at once, by its name and without the token', (_what, options, says) => {
    let message = ''
    expect(() => {
      try {
        telegram(options as never)
      } catch (error) {
        message = (error as Error).message
        throw error
      }
    }).toThrow(expect.objectContaining({ code: 'bad-option' }))
    expect(message).toContain(says)
    expect(message).not.toContain('canary')
  })

  it('lead to the root that was given, with the token as a secret', async () => {
    const { signal } = new AbortController()
    const local = telegram({ token: TOKEN, apiRoot: 'http://127.0.0.1:8081/api/' })
    expect(await local.target({ signal })).toEqual({ url: `http://127.0.0.1:8081/api/bot${TOKEN}/`, secrets: [TOKEN] })
    expect(await adapter.target({ signal })).toMatchObject({ url: `https://api.telegram.org/bot${TOKEN}/` })
  })

  it('may have a provider, of whose token the id is known when it is given', async () => {
    const { signal } = new AbortController()
    const own = telegram({ token: async () => TOKEN, allowedUpdates: ['message'], pollMs: 50_000, overdueMs: 5_000 })
    expect(await own.target({ signal })).toMatchObject({ renewable: true })
    const { dialogue, asked, tell } = stage(own)
    dialogue.opened!()
    tell(result('me', { id: 4711 }))
    tell(result('poll', []))
    const polls = asked.filter(([what]) => what === 'send').map(([, frame]) => readQuestion(frame as string))
    expect(polls.at(-1)).toMatchObject({ withinMs: 55_000, path: 'getUpdates' })
    expect(JSON.parse((polls.at(-1) as { body: string }).body)).toEqual({
      limit: 100,
      timeout: 50,
      allowed_updates: ['message'],
    })
    const wrong = telegram({ token: () => 'nonsense' })
    await expect(Promise.resolve(wrong.target({ signal }))).rejects.toThrow('no token of Telegram')
  })
})

describe('a call', () => {
  const call = (params: object = { chat_id: 7, text: 'hi' }) =>
    adapter.request!('sendMessage', params as Record<string, unknown>, 'k') as HttpOutgoing

  it('is a POST of JSON, and messages to one chat keep their order', () => {
    const { http, conversation } = call()
    expect(http).toMatchObject({ url: `https://api.telegram.org/bot${TOKEN}/sendMessage`, method: 'POST' })
    expect(JSON.parse(http.body!)).toEqual({ chat_id: 7, text: 'hi' })
    expect([conversation, call({ chat_id: '@here' }).conversation, call({}).conversation]).toEqual([
      '7',
      '@here',
      undefined,
    ])
    const sent = adapter.encode!({ chat_id: 7, text: 'hi' }, 'k') as HttpOutgoing
    expect([sent.http.url, sent.http.body]).toEqual([http.url, http.body])
  })

  it('gives the result, and what was refused in the words of Telegram', () => {
    const { read } = call()
    expect(read(200, '{"ok":true,"result":{"message_id":3}}')).toEqual({ message_id: 3 })
    for (const [{ status, body }, words] of [
      [tooMany(7), 'HTTP 429: Too Many Requests: retry after 7'],
      [refusal(403, 'Forbidden: bot was blocked by the user'), 'HTTP 403: Forbidden: bot was blocked by the user'],
      [html, 'HTTP 502, and no answer of the Bot API'],
      [{ status: 200, body: '' }, 'HTTP 200, and no answer of the Bot API'],
    ] as const)
      expect(() => read(status, body)).toThrow(words)
  })

  it('of a method that would lead elsewhere is refused', () => {
    for (const method of ['../x', 'a/b', '', 'getMe?x'])
      expect(() => adapter.request!(method, {}, 'k')).toThrow('no method of the Bot API')
  })
})

describe('a probe', () => {
  it('asks for something harmless, and only a refusal of the bot itself counts', () => {
    const own = steps['when it polls']!()
    expect(readQuestion(own.dialogue.probe!('p1'))).toMatchObject({ key: 'p1', path: 'getMe' })
    expect(own.tell(result('p1', { id: 4711 }))).toEqual([])
    expect(own.tell(whole('p1', 500, refusal(500, 'Internal').body))).toEqual([])
    expect(own.tell(writeAnswer({ key: 'p1', kind: 'fault', fault: { code: 'refused' } }))).toEqual([])
    expect(own.tell(whole('p1', 502, html.body))).toEqual([])
    expect(own.tell(whole('p1', 401, refusal(401, 'Unauthorized').body))).toEqual([
      ['fail', 'credentials-rejected', { detail: 'HTTP 401: Unauthorized' }],
    ])
  })
})

/** T6: values in every place of an answer that has a meaning. */
const values: readonly unknown[] = [
  ...[0, -1, 0.5, 1e12, 2 ** 53, -(2 ** 63), Number.MAX_VALUE, '7', '', null, true, false, [], [null], [[]], {}],
  ...['__proto__', 'constructor', '\ud800', '\u202e\u001b[2J', 'x'.repeat(100_000)],
  ...[
    { toString: 1 },
    { toJSON: 'x' },
    { length: 1e9 },
    [{}],
    [update('7')],
    [update(1.5)],
    [update(-1)],
    [7, update(8)],
  ],
]

const corpus = (): string[] => {
  const bodies = [
    ...hostileFrames.map((frame) => (typeof frame === 'string' ? frame : Buffer.from(frame).toString('latin1'))),
    ...values.flatMap((value) => [
      { ok: value, result: value },
      { ok: false, error_code: value, description: value, parameters: { retry_after: value } },
      { ok: false, error_code: 429, parameters: value },
    ]),
    ...values.filter((value) => value !== null).map((value) => ({ ok: true, result: { id: value, url: value } })),
  ].map((body) => (typeof body === 'string' ? body : JSON.stringify(body)))
  const answers = bodies.flatMap((body) =>
    ['me', 'poll', 'webhook', 'removal', 'p1'].map((key) => whole(key, body.length % 2 ? 200 : 418, body)),
  )
  const kinds = ['opened', 'line', 'event', 'ended', 'nonsense', 'fault'].map((kind) =>
    JSON.stringify({ key: 'poll', kind }),
  )
  return [...answers.map(String), ...kinds, ...hostileFrames.map(String)]
}

describe('T6: hostile answers', () => {
  it.each(Object.entries(steps))('never make it throw, welcome or deliver %s', (_step, make) => {
    const frames = corpus()
    expect(frames.length).toBeGreaterThanOrEqual(500)
    const verdicts = new Set<string>()
    for (const frame of frames) {
      const { dialogue, asked } = make()
      const before = asked.length
      verdicts.add(dialogue.frame(frame))
      const done = asked.slice(before)
      const says = done.map(([what]) => what)
      // an empty list of updates is an answer like any other
      if (!frame.includes('\\"result\\":[]')) expect(says, frame.slice(0, 200)).not.toContain('welcome')
      expect(says, frame.slice(0, 200)).not.toContain('deliver')
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
  )('whatever comes in a row, updates are delivered once and with their own number %s', (_step, make) => {
    const some = hostileObject({
      ok: fc.oneof(fc.constantFrom(true, true, false), hostileValue),
      result: fc.oneof(
        hostileValue,
        fc.array(fc.record({ update_id: fc.oneof(fc.nat(20), hostileValue) }), { maxLength: 4 }),
        fc.record({ id: fc.oneof(fc.constant(4711), hostileValue), url: hostileValue }),
      ),
      error_code: fc.oneof(fc.constantFrom(400, 401, 404, 409, 429, 500), hostileValue),
      parameters: fc.oneof(hostileValue, fc.record({ retry_after: hostileValue })),
    })
    const answer = fc.tuple(
      fc.constantFrom('me', 'poll', 'poll', 'webhook', 'p1'),
      fc.constantFrom(200, 409, 502),
      some,
    )
    fc.assert(
      fc.property(fc.array(answer, { minLength: 1, maxLength: 6 }), (answers) => {
        const { dialogue, asked } = make()
        for (const [key, status, body] of answers) dialogue.frame(whole(key, status, body))
        for (const [what, message, mark] of asked) {
          if (what !== 'deliver') continue
          const { update_id } = message as { update_id: number }
          expect(Number.isSafeInteger(update_id)).toBe(true)
          expect(mark).toEqual({ id: `4711:${update_id}`, cursor: `4711:${update_id}` })
        }
        const ids = asked
          .filter(([what]) => what === 'deliver')
          .map(([, message]) => (message as { update_id: number }).update_id)
        expect(new Set(ids).size).toBe(ids.length)
        expect(asked.filter(([what]) => what === 'welcome').length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 300 },
    )
  })

  it('twenty thousand updates at once take no longer than they must', () => {
    const own = steps['when it polls']!()
    const many = Array.from({ length: 20_000 }, (_, i) => ({ update_id: i + 100 }))
    const done = own.tell(result('poll', many))
    expect(done.filter(([what]) => what === 'deliver')).toHaveLength(20_000)
    for (const { update_id } of many) own.dialogue.taken!(`4711:${update_id}`)
    const last = readQuestion(own.asked.at(-1)![1] as string) as { body: string }
    expect(JSON.parse(last.body).offset).toBe(20_100)
  })
})
