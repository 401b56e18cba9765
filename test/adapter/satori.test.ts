/** Satori v1 as a dialogue: frames in, and what the adapter makes of them; calls beside it, over HTTP. */
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import type { HttpOutgoing } from '../../src/adapter/adapter.ts'
import { type SatoriOptions, satori } from '../../src/adapter/satori.ts'
import { HoldfastError } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { secret } from '../../src/secret.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { hostileFrames, hostileObject, hostileValue, stage } from './fake-io.ts'

const URL = 'ws://127.0.0.1:5140/satori/v1/events'
const TOKEN = 'canary-0123456789'
const signal = new AbortController().signal
const WELCOME = ['welcome', { replaying: true, resumed: false, session: {} }]
const BEAT = ['heartbeat', { everyMs: 10_000 }]

const login = (id: string, status: unknown) => ({ platform: 'mock', user: { id }, status })
const ready = (...logins: unknown[]) => ({ op: 4, body: { logins } })
const event = (body: object) => ({ op: 0, body })
const on = () => stage(satori({ url: URL, token: TOKEN }))

describe('the handshake', () => {
  it('begins with IDENTIFY: the token, and nothing about a position that there is not', () => {
    const { dialogue, asked } = on()
    dialogue.opened!()
    expect(asked).toEqual([['send', JSON.stringify({ op: 3, body: { token: TOKEN } })]])
  })

  it('ends with READY: welcome, our rhythm, and the accounts before the link is live', () => {
    expect(on().tell(ready(login('1', 1)))).toEqual([WELCOME, BEAT, ['recovered'], ['caughtUp']])
    expect(on().tell(ready(login('1', 0), login('2', 4)))).toEqual([
      WELCOME,
      BEAT,
      ['impaired', 'account-offline', 'no login of this server is online'],
      ['caughtUp'],
    ])
    expect(on().tell({ op: 4 })).toEqual([WELCOME, BEAT, ['caughtUp']])
  })

  it('said once more tells of the accounts and nothing else', () => {
    const { tell } = on()
    tell(ready(login('1', 1)))
    expect(tell(ready(login('1', 0)))).toEqual([['impaired', 'account-offline', 'no login of this server is online']])
  })
})

describe('events', () => {
  it('are delivered as they came', () => {
    const body = { type: 'message-created', message: { content: '<b>hi</b>' } }
    const { tell } = on()
    expect(tell(event(body))).toEqual([['deliver', body, {}]])
  })

  it('about logins tell whether any account is online', () => {
    const { tell } = on()
    tell(ready(login('1', 1), login('2', 1)))
    const updated = (id: string, status: number) => tell(event({ type: 'login-updated', login: login(id, status) }))
    expect(updated('1', 0)[0]).toEqual(['recovered'])
    expect(updated('2', 3)[0]).toEqual(['impaired', 'account-offline', 'no login of this server is online'])
    expect(updated('1', 1)[0]).toEqual(['recovered'])
  })

  it('about a login that was removed forget it', () => {
    const { tell } = on()
    tell(ready(login('1', 1), login('2', 0)))
    expect(tell(event({ type: 'login-removed', login: login('1', 1) }))[0]).toEqual([
      'impaired',
      'account-offline',
      'no login of this server is online',
    ])
  })

  it.each([undefined, null, 7, {}])('without a type (%j) are malformed', (type) => {
    const { dialogue, asked } = on()
    expect(dialogue.frame(JSON.stringify(event({ sn: 7, type })))).toBe('malformed')
    expect(asked).toEqual([])
  })
})

describe('the accounts behind a server', () => {
  const watched = () => {
    const adapter = satori({ url: URL })
    const told: string[] = []
    adapter.logins$.subscribe((list) =>
      told.push(list.map(({ platform, userId, status }) => `${platform}:${userId} ${status}`).join(', ')),
    )
    return { adapter, told, ...stage(adapter) }
  }
  const mock = (sn: number, id: string, status: number) => ({ sn, ...login(id, status) })

  it('are told one by one, with their status and since when', () => {
    const { adapter, told, tell } = watched()
    tell(ready(mock(1, 'a', 1), mock(2, 'b', 2)))
    tell(event({ type: 'login-updated', timestamp: 1_700, login: mock(2, 'b', 1) }))
    tell(event({ type: 'login-added', login: mock(3, 'c', 0) }))
    tell(event({ type: 'login-updated', login: mock(1, 'a', 4) }))
    tell(event({ type: 'login-updated', login: mock(1, 'a', 3) }))
    tell(event({ type: 'login-removed', login: { sn: 1 } }))
    expect(told).toEqual([
      '',
      'mock:a online, mock:b connect',
      'mock:a online, mock:b online',
      'mock:a online, mock:b online, mock:c offline',
      'mock:a reconnect, mock:b online, mock:c offline',
      'mock:a disconnect, mock:b online, mock:c offline',
      'mock:b online, mock:c offline',
    ])
    expect(adapter.logins[0]).toEqual({ platform: 'mock', userId: 'b', sn: 2, status: 'online', since: 1_700 })
    expect(adapter.logins[1]).toMatchObject({ since: null })
  })

  it('are known by their number before they know their own name, and keep what an event leaves out', () => {
    const { adapter, tell } = watched()
    tell(ready({ sn: 7, platform: 'mock', status: 2 }))
    tell(event({ type: 'login-updated', login: mock(7, 'a', 1) }))
    tell(event({ type: 'login-updated', login: { sn: 7, status: 0 } }))
    expect(adapter.logins).toEqual([{ platform: 'mock', userId: 'a', sn: 7, status: 'offline', since: null }])
  })

  it('are those of the latest welcome: what another life of the server had is forgotten', () => {
    const { adapter, tell } = watched()
    tell(ready(mock(1, 'a', 1), mock(2, 'b', 1)))
    stage(adapter).tell(ready(mock(1, 'b', 0)))
    expect(adapter.logins).toMatchObject([{ userId: 'b', status: 'offline' }])
  })

  it('are at most a thousand', () => {
    const { adapter, tell } = watched()
    tell(ready(...Array.from({ length: 2_000 }, (_, sn) => mock(sn, `u${sn}`, 1))))
    expect(adapter.logins).toHaveLength(1_000)
  })

  it('make the link impaired when the last one leaves, and well when one of them is back', async () => {
    const clock = heapClock()
    const network = new FakeNetwork(clock, { greeting: [ready(mock(1, 'a', 1), mock(2, 'b', 1))] })
    const { transport, lookup } = network
    const adapter = satori({ url: URL })
    const link = connect(adapter, { id: 'bot', clock, transport, lookup })
    await clock.advance(100)
    const states: string[] = []
    link.state$.subscribe(({ state }) => states.push(state))
    const said = (id: string, sn: number, status: number) =>
      network.current!.frame(event({ type: 'login-updated', login: mock(sn, id, status) }))
    said('a', 1, 4)
    expect(link.status.state).toBe('live')
    said('b', 2, 0)
    said('b', 2, 0)
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'account-offline' } })
    said('a', 1, 1)
    expect(states).toEqual(['live', 'degraded.impaired', 'live'])
    expect(adapter.logins.map(({ status }) => status)).toEqual(['online', 'offline'])
    void link.stop({ drainMs: 0 })
    await clock.advance(4_000)
  })

  it('take no harm from a listener that throws', () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const { adapter, tell } = watched()
    adapter.logins$.subscribe(() => {
      throw new Error('boom')
    })
    tell(ready(mock(1, 'a', 1)))
    expect(warned).toHaveBeenCalledTimes(2)
    expect(adapter.logins).toHaveLength(1)
    vi.restoreAllMocks()
  })
})

describe('the rest of the protocol', () => {
  it('takes PONG and META, and does not know what it does not know', () => {
    const { dialogue, asked } = on()
    const verdicts = [{ op: 2 }, { op: 5, body: { proxy_urls: [] } }, { op: 1 }, { op: 9 }, { op: '0' }, {}].map(
      (frame) => dialogue.frame(JSON.stringify(frame)),
    )
    expect(verdicts).toEqual(['taken', 'taken', 'unknown', 'unknown', 'unknown', 'unknown'])
    expect(asked).toEqual([])
  })

  it('probes with PING, and reads its close codes', () => {
    expect(satori({ url: URL }).probe!('p1')).toBe('{"op":1}')
    const { dialogue } = on()
    expect([4004, 3000, 4000, 4001, 1000].map((code) => dialogue.closed!(code, ''))).toEqual([
      'credentials-rejected',
      'credentials-rejected',
      'protocol-violated',
      undefined,
      undefined,
    ])
  })

  it('keeps the token a secret of the target', async () => {
    expect(await satori({ url: URL, token: secret(TOKEN) }).target({ signal })).toEqual({ url: URL, secrets: [TOKEN] })
    expect(await satori({ url: URL }).target({ signal })).toEqual({ url: URL })
  })
})

describe('a token from a provider', () => {
  const renewed = (...tokens: string[]) => {
    const questions: string[] = []
    const adapter = satori({
      url: URL,
      token: ({ because }) => {
        questions.push(because)
        return { token: tokens.shift()!, expiresAt: 1_800_000_000_000 }
      },
    })
    return { adapter, questions }
  }
  const authorization = (call: unknown) => (call as HttpOutgoing).http.headers.Authorization

  it('is asked for on every attempt, named as a secret, and sent with IDENTIFY', async () => {
    const { adapter, questions } = renewed('token-one', 'token-two')
    expect(await adapter.target({ signal })).toEqual({
      url: URL,
      secrets: ['token-one'],
      expiresAt: 1_800_000_000_000,
      renewable: true,
    })
    expect(await adapter.target({ signal, rejected: true })).toMatchObject({ secrets: ['token-two'] })
    const { dialogue, asked } = stage(adapter)
    dialogue.opened!()
    expect(asked).toEqual([['send', JSON.stringify({ op: 3, body: { token: 'token-two' } })]])
    expect(questions).toEqual(['attempt', 'rejected'])
  })

  it('goes with calls as it was given last, also with those that have waited since', async () => {
    const { adapter } = renewed('token-one', 'token-two')
    const early = adapter.request!('login.get', {}, 'h0')
    expect(authorization(early)).toBeUndefined()
    await adapter.target({ signal })
    expect(authorization(early)).toBe('Bearer token-one')
    await adapter.target({ signal })
    expect(authorization(early)).toBe('Bearer token-two')
  })

  it('is not told by a refusal, even when it is newer than the link, or cut in two', async () => {
    const { adapter } = renewed('token-0123456789')
    await adapter.target({ signal })
    const { read } = adapter.request!('login.get', {}, 'h0') as HttpOutgoing
    expect(() => read(403, 'no: token-0123456789')).toThrow(/^HTTP 403: no: \*\*\*$/)
    expect(() => read(403, `${'x'.repeat(192)}token-0123456789`)).not.toThrow('token-01')
  })
})

describe('calls', () => {
  const adapter = satori({ url: 'wss://host:8443/path/v1/events?x=1', token: TOKEN })
  const as = { platform: 'mock', userId: '514' }

  it('go to the API beside the events, in the name of an account', () => {
    const { http } = adapter.request!('login.get', { as, extra: 1 }, 'h0') as HttpOutgoing
    expect(http).toEqual({
      url: 'https://host:8443/path/v1/login.get',
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Authorization: `Bearer ${TOKEN}`,
        'Satori-Platform': 'mock',
        'Satori-User-ID': '514',
        'X-Platform': 'mock',
        'X-Self-ID': '514',
      },
      body: '{"extra":1}',
    })
  })

  it('may be in nobody in particular', () => {
    const { http } = satori({ url: URL }).request!('meta', undefined, 'h0') as HttpOutgoing
    expect(http).toMatchObject({ url: 'http://127.0.0.1:5140/satori/v1/meta', body: '{}' })
    expect(http.headers).toEqual({ 'Content-Type': 'application/json' })
  })

  it('of send() create a message', () => {
    const { http } = adapter.encode!({ ...as, channelId: '200', content: 'hi' }, 'h0') as HttpOutgoing
    expect(http.url).toBe('https://host:8443/path/v1/message.create')
    expect(JSON.parse(http.body!)).toEqual({ channel_id: '200', content: 'hi' })
  })

  it('are answered by JSON or by nothing, and refused by a status', () => {
    const { read } = adapter.request!('login.get', {}, 'h0') as HttpOutgoing
    expect(read(200, '{"id":1}')).toEqual({ id: 1 })
    expect(read(204, '')).toBeUndefined()
    expect(() => read(403, '')).toThrow('HTTP 403')
    expect(() => read(404, 'no such method')).toThrow('HTTP 404: no such method')
    expect(() => read(200, '<html>')).toThrow(/JSON/)
  })
})

describe('options', () => {
  it.each([
    [undefined, /url of satori.* is undefined/],
    [{ url: 'http://h/v1/events' }, /begins with "http:"/],
    [{ url: 'ws://127.0.0.1:5140/satori/v1/' }, /must end in "\/v1\/events"/],
    [{ url: URL, token: '' }, /token .*is an empty string/],
    [{ url: URL, token: 7 }, /token .*is the number 7; it must be/],
    [{ url: URL, token: { token: TOKEN } }, /token .*is an object; it must be/],
    [{ url: URL, token: `${TOKEN}\r\n` }, /token .*on one line/],
    [{ url: URL, accessToken: TOKEN }, /"accessToken" is not one of the .*Known are: url, token/],
  ])('that are wrong are refused at once, by name and without the token: %#', (options, problem) => {
    const make = () => satori(options as SatoriOptions)
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
    const someLogin = fc.oneof(
      field,
      fc.record({ platform: field, user: field, self_id: field, sn: field, status: fc.oneof(fc.nat(4), field) }),
    )
    const body = fc.oneof(
      field,
      fc.record(
        {
          sn: field,
          id: field,
          type: fc.oneof(fc.constantFrom('login-updated', 'login-removed', 'x'), field),
          login: someLogin,
          logins: fc.oneof(field, fc.array(someLogin, { maxLength: 3 })),
        },
        { requiredKeys: [] },
      ),
    )
    const frames = hostileObject({ op: fc.oneof(fc.constantFrom(0, 4, 2, 5), field), body })
    const seen = new Set<string>()
    fc.assert(
      fc.property(fc.array(frames, { minLength: 1, maxLength: 4 }), (list) => {
        const { dialogue, asked } = on()
        for (const frame of list) {
          const before = asked.length
          const verdict = dialogue.frame(frame)
          seen.add(verdict)
          if (verdict !== 'taken') expect(asked).toHaveLength(before)
        }
      }),
      { numRuns: 500 },
    )
    expect([...seen].sort()).toEqual(['malformed', 'taken', 'unknown'])
  })
})
