/** OneBot v11 as a dialogue: frames in, and what the adapter makes of them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Target } from '../../src/adapter/adapter.ts'
import { type OnebotOptions, onebot } from '../../src/adapter/onebot.ts'
import { HoldfastError } from '../../src/error.ts'
import { secret } from '../../src/secret.ts'
import { hostileFrames, hostileObject, hostileValue, stage } from './fake-io.ts'

const URL = 'ws://127.0.0.1:3001/'
const TOKEN = 'canary-0123456789'
const signal = new AbortController().signal

const meta = (more: object) => ({ time: 1, self_id: 10_000, post_type: 'meta_event', ...more })
const lifecycle = meta({ meta_event_type: 'lifecycle', sub_type: 'connect' })
const heartbeat = (interval: unknown, status: object = { online: true, good: true }) =>
  meta({ meta_event_type: 'heartbeat', interval, status })
const message = { time: 1, self_id: 10_000, post_type: 'message', message_type: 'private', raw_message: 'hi' }
const on = () => stage(onebot({ url: URL }))

describe('the welcome', () => {
  it.each([
    ['a lifecycle event', lifecycle, []],
    ['a heartbeat', heartbeat(5_000), [['heartbeat', { expectMs: 5_000 }], ['recovered']]],
    ['any event', message, [['deliver', message]]],
  ])('is %s, and it comes once', (_what, frame, more) => {
    const { tell } = on()
    const first = tell(frame)
    expect(first[0]![0]).toBe('welcome')
    expect(first.filter(([what]) => what === 'caughtUp')).toHaveLength(1)
    expect(first.filter(([what]) => what !== 'welcome' && what !== 'caughtUp')).toEqual(more)
    expect(tell(lifecycle)).toEqual([])
    expect(tell(frame).map(([what]) => what)).not.toContain('welcome')
  })

  it('is no reply and no frame of another protocol', () => {
    const { tell } = on()
    expect(tell({ status: 'ok', retcode: 0, data: null, echo: 'x' })).toEqual([['answer', 'x', null]])
    expect(tell({ op: 4, body: {} })).toEqual([])
    expect(tell('<html>')).toEqual([])
  })

  it('for an account that is offline says so before the link is live', () => {
    const asked = on().tell(heartbeat(5_000, { online: false, good: true }))
    expect(asked).toEqual([
      ['welcome', { replaying: true }],
      ['heartbeat', { expectMs: 5_000 }],
      ['impaired', 'account-offline', 'status.online is false'],
      ['caughtUp'],
    ])
  })
})

describe('heartbeats', () => {
  it('announce their own interval, and whether the account is online', () => {
    const { tell } = on()
    tell(lifecycle)
    expect(tell(heartbeat(30_000))).toEqual([['heartbeat', { expectMs: 30_000 }], ['recovered']])
    expect(tell(heartbeat(30_000, { online: false }))).toEqual([
      ['heartbeat', { expectMs: 30_000 }],
      ['impaired', 'account-offline', 'status.online is false'],
    ])
    expect(tell(heartbeat(5_000, { online: null }))).toEqual([['heartbeat', { expectMs: 5_000 }]])
  })

  it.each([null, '5000', undefined, {}, []])('with an interval of %j announce nothing', (interval) => {
    const { tell } = on()
    tell(lifecycle)
    expect(tell(heartbeat(interval))).toEqual([['recovered']])
  })
})

describe('replies', () => {
  it('are matched by echo: an answer, or a refusal with its reason', () => {
    const { tell } = on()
    tell(lifecycle)
    expect(tell({ status: 'ok', retcode: 0, data: { message_id: 7 }, echo: 'h0' })).toEqual([
      ['answer', 'h0', { message_id: 7 }],
    ])
    expect(tell({ status: 'async', retcode: 1, data: null, echo: 'h1' })).toEqual([['answer', 'h1', null]])
    expect(tell({ status: 'failed', retcode: 1404, data: null, wording: '不支持', message: 'x', echo: 'h2' })).toEqual([
      ['refuse', 'h2', 'retcode 1404: 不支持'],
    ])
    expect(tell({ status: 'failed', retcode: 100, data: null, echo: 'h3' })).toEqual([
      ['refuse', 'h3', 'retcode 100: no reason given'],
    ])
  })

  it('without an echo of ours mean nothing', () => {
    const { tell } = on()
    for (const echo of [undefined, null, 7, {}])
      expect(tell({ status: 'ok', retcode: 0, data: null, echo })).toEqual([])
  })

  it('to get_status say whether the account is online', () => {
    const { tell } = on()
    const status = (online: boolean) => ({ status: 'ok', retcode: 0, data: { online, good: true }, echo: 'p' })
    expect(tell(status(false))[0]).toEqual(['impaired', 'account-offline', 'status.online is false'])
    expect(tell(status(true))[0]).toEqual(['recovered'])
  })

  it('incident 2.8 with retcode 1403 before the welcome reject the token, and afterwards only that one action', () => {
    const forbidden = { status: 'failed', retcode: 1403, data: null, message: 'token验证失败', echo: null }
    const { tell } = on()
    expect(tell(forbidden)).toEqual([['fail', 'credentials-rejected', { detail: 'retcode 1403: token验证失败' }]])
    const other = on()
    other.tell(lifecycle)
    expect(other.tell({ ...forbidden, echo: 'h1' })).toEqual([['refuse', 'h1', 'retcode 1403: token验证失败']])
  })
})

describe('frames on the way out', () => {
  const adapter = onebot({ url: URL })

  it('are actions with the key as their echo, proved by the reply', () => {
    const frame = JSON.stringify({ action: 'send_msg', params: { user_id: 1 }, echo: 'h0' })
    expect(adapter.encode!({ action: 'send_msg', params: { user_id: 1 } }, 'h0')).toEqual({ frame, proof: 'answer' })
    expect(adapter.request!('send_msg', { user_id: 1 }, 'h0')).toEqual({ frame, proof: 'answer' })
    expect(adapter.request!('get_status', undefined, 'h1')).toMatchObject({
      frame: JSON.stringify({ action: 'get_status', params: {}, echo: 'h1' }),
    })
    expect(JSON.parse(String(adapter.probe!('p1')))).toEqual({ action: 'get_status', params: {}, echo: 'p1' })
  })

  it('carry the token in the upgrade, as a secret, asked for each time when it is a function', async () => {
    let asked = 0
    for (const accessToken of [TOKEN, secret(TOKEN), () => TOKEN, async () => secret(`${TOKEN}${++asked}`)]) {
      const target = (await onebot({ url: URL, accessToken }).target({ signal })) as Target
      const token = target.secrets?.[0]
      expect(token).toMatch(TOKEN)
      const renewal = typeof accessToken === 'function' ? { renewable: true } : {}
      expect(target).toEqual({ url: URL, headers: { Authorization: `Bearer ${token}` }, secrets: [token], ...renewal })
    }
    expect(asked).toBe(1)
    expect(await adapter.target({ signal })).toEqual({ url: URL })
  })

  it('say when the token ends, and that it was rejected', async () => {
    const questions: unknown[] = []
    const { target } = onebot({
      url: URL,
      accessToken: ({ because }) => {
        questions.push(because)
        return { token: TOKEN, expiresAt: 1_800_000_000_000 }
      },
    })
    expect(await target({ signal })).toMatchObject({ secrets: [TOKEN], expiresAt: 1_800_000_000_000, renewable: true })
    await target({ signal, rejected: true })
    expect(questions).toEqual(['attempt', 'rejected'])
  })

  it.each([
    [''],
    [7],
    [null],
    ['two\nlines'],
  ])('need a token that can be one, also from a function: not %j', async (token) => {
    const { target } = onebot({ url: URL, accessToken: () => token as string })
    await expect((async () => target({ signal }))()).rejects.toThrow(HoldfastError)
  })
})

describe('options', () => {
  it.each([
    [undefined, /url of onebot.* is undefined/],
    [{}, /url of onebot\(\{ url \}\) is undefined; it must be a string/],
    [{ url: 7 }, /url .* is the number 7/],
    [{ url: 'not a url' }, /url .* is not a URL/],
    [{ url: 'ftp://h/' }, /begins with "ftp:"/],
    [{ url: 'ws://h/#part' }, /fragment/],
    [{ url: URL, accessToken: '' }, /accessToken .*is an empty string/],
    [{ url: URL, accessToken: 7 }, /accessToken .*is the number 7; it must be/],
    [{ url: URL, accessToken: null }, /accessToken .*is null; it must be/],
    [{ url: URL, accessToken: { token: TOKEN } }, /accessToken .*is an? object; it must be/],
    [{ url: URL, accessToken: `${TOKEN}\n` }, /accessToken .*on one line/],
    [{ url: URL, accessToken: secret(`${TOKEN}\u540d`) }, /accessToken /],
    [{ url: `ws://u:${TOKEN}@h:0x/` }, /is not a URL/],
    [{ url: URL, token: TOKEN }, /"token" is not one of the .*Known are: url, accessToken/],
  ])('that are wrong are refused at once, by name and without the token: %#', (options, problem) => {
    const make = () => onebot(options as OnebotOptions)
    expect(make).toThrow(HoldfastError)
    expect(make).toThrow(problem)
    expect(make).not.toThrow(TOKEN)
  })
})

describe('hostile input', () => {
  it.each(
    hostileFrames.map((frame) => [String(frame).slice(0, 40), frame] as const),
  )('%j is malformed and changes nothing', (_, frame) => {
    const { dialogue, asked } = on()
    expect(dialogue.frame(frame)).toBe('malformed')
    expect(asked).toEqual([])
  })

  it('never makes it throw, and changes nothing unless it is understood', () => {
    const field = hostileValue
    const frames = hostileObject({
      post_type: fc.oneof(fc.constantFrom('meta_event', 'message'), field),
      meta_event_type: fc.oneof(fc.constantFrom('heartbeat', 'lifecycle'), field),
      interval: field,
      status: fc.oneof(fc.constantFrom('ok', 'failed'), field, fc.record({ online: field, good: field })),
      retcode: fc.oneof(fc.constantFrom(0, 1403), field),
      echo: fc.oneof(fc.constant('h0'), field),
      data: fc.oneof(field, fc.record({ online: field, good: fc.constant(true) })),
      message: field,
      wording: field,
    })
    const seen = new Set<string>()
    fc.assert(
      fc.property(fc.array(frames, { minLength: 1, maxLength: 4 }), (list) => {
        const { dialogue, asked } = on()
        for (const frame of list) {
          const before = asked.length
          const verdict = dialogue.frame(frame)
          seen.add(verdict)
          if (verdict !== 'taken') expect(asked).toHaveLength(before)
          for (const [what, ...given] of asked.slice(before)) {
            if (what === 'heartbeat') expect(given[0]).toEqual({ expectMs: expect.any(Number) })
            if (what === 'refuse') expect(given.map((each) => typeof each)).toEqual(['string', 'string'])
          }
        }
      }),
      { numRuns: 500 },
    )
    expect([...seen].sort()).toEqual(['taken', 'unknown'])
  })
})
