/** Incident 4 as it happened: WeChat's web through wechat4u. The client is a twin of wechat4u 0.7.14, its own retries included. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FaultCode } from '../../machines/fault.ts'
import {
  type Api,
  networkError,
  PORTAL,
  type Reply,
  script,
  type WechatRig,
  wechatRig,
} from '../adapter/fake-wechat.ts'
import { follow } from '../small-talk.ts'

describe('a code that nobody scans', () => {
  it('incident 4.1 expired at once, every time: 3 attempts, one notification, and none after it', async () => {
    for (const id of ['a', 'b', 'c', 'd']) {
      const made = wechatRig({}, { id })
      const { clock, web, link } = made
      web.fault = (api) => (api === 'login' ? script.login(400) : undefined)
      await clock.advance(60_000)
      expect(web.count('jslogin')).toBeLessThanOrEqual(5)
      const inFirstMinute = web.count('jslogin')
      await clock.advance(3_600_000)
      expect(web.count('jslogin') - inFirstMinute).toBeLessThanOrEqual(60)
      expect(made.calls.length).toBe(1)
      expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'login-needed' } })
      expect([made.codes.length, new Set(made.codes).size, web.count('logout')]).toEqual([3, 3, 0])
      await made.end()
    }
  })

  it('incident 4.1 between two codes lies half a second at least', async () => {
    const made = wechatRig()
    made.web.fault = (api) => (api === 'login' ? script.login(400) : undefined)
    await made.clock.advance(60_000)
    const at = made.web.asked.filter(({ api }) => api === 'jslogin').map((each) => each.at)
    for (let n = 1; n < at.length; n++) expect(at[n]! - at[n - 1]!).toBeGreaterThanOrEqual(500)
    await made.end()
  })

  it('incident 4.1 no answer to the code at all: one notification after 240 s, and each order to resume begins anew', async () => {
    const made = wechatRig()
    const { clock, web, link } = made
    web.scansAfterMs = undefined
    for (let n = 1; n <= 3; n++) {
      await clock.advance(200_000)
      expect(link.status.state).toBe('handshaking')
      await clock.advance(3_600_000)
      expect([link.status.state, made.calls.length, made.codes.length]).toEqual(['parked', n, n])
      link.resume()
    }
    web.scansAfterMs = 1_000
    await clock.advance(250_000)
    link.resume()
    await clock.advance(3_000)
    expect(link.status.state).toBe('live')
    await made.end()
  })

  it('incident 4.1 somebody scans the third code: live, and nobody was called', async () => {
    const made = wechatRig()
    made.web.fault = (api, nth) => (api === 'login' && nth < 3 ? script.login(400) : undefined)
    await made.clock.advance(20_000)
    expect([made.link.status.state, made.calls, made.codes.length]).toEqual(['live', [], 3])
    await made.end()
  })
})

describe('the same error again and again', () => {
  it('incident 4.2 1,328 of them in an hour: 3 transitions at most, and no word of a client to a log', async () => {
    const made = wechatRig()
    await made.live()
    const before = made.link.recording.total
    const error = Object.assign(new Error("'1205' == 0"), { response: { data: {} } })
    for (let n = 0; n < 1_328; n++) {
      made.clients[0]!.emit('error', error)
      await made.clock.advance(2_700)
    }
    expect(made.link.recording.total - before).toBeLessThanOrEqual(3)
    expect([made.link.status.state, made.clients.length]).toEqual(['live', 1])
    await made.end()
  })
})

/** How WeChat fails while it is away. */
const outages: Record<string, Reply> = {
  EAI_AGAIN: networkError('EAI_AGAIN'),
  ECONNREFUSED: networkError('ECONNREFUSED'),
  ECONNRESET: networkError('ECONNRESET'),
  ETIMEDOUT: networkError('ETIMEDOUT'),
  'axios timeout': networkError('ECONNABORTED'),
  'no answer at all': 'silence',
  'a page of HTML': PORTAL,
  'HTTP 502': { status: 502, data: 'Bad Gateway' },
}

/** From the return of WeChat to its first good sync, in milliseconds. */
const syncedAfter = async (
  { clock, web, live }: WechatRig,
  reply: Reply,
  downMs: number,
  quietMs: number,
): Promise<number> => {
  await live()
  await clock.advance(quietMs)
  web.fault = () => reply
  await clock.advance(downMs)
  web.fault = () => undefined
  const backAt = clock.now()
  const before = web.syncedAt.length
  while (web.syncedAt.length === before && clock.now() - backAt < 600_000) await clock.advance(1_000)
  return web.syncedAt.at(-1)! - backAt
}

describe('after an outage', () => {
  const cases = Object.keys(outages).flatMap((how) => [5_000, 37_000, 90_000, 600_000].map((ms) => [how, ms] as const))

  it.each(
    cases,
  )('incident 4.3 (%s for %i ms) a successful poll comes within 60 s, with the login that there was', async (how, downMs) => {
    const made = wechatRig()
    // the poll that proves it is itself a long one, of 25 s, so what is left for the way back is 35 s
    expect(await syncedAfter(made, outages[how]!, downMs, 60_000)).toBeLessThanOrEqual(60_000)
    await made.clock.advance(5_000)
    expect([made.link.status.state, made.calls, made.codes.length, made.web.count('logout')]).toEqual([
      'live',
      [],
      1,
      0,
    ])
    await made.end()
  })

  it.each(Object.keys(outages))('incident 4.3 (%s) for any time up to 20 min, begun at any time', async (how) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1_200_000 }),
        fc.nat(90_000),
        fc.nat(),
        async (downMs, quietMs, id) => {
          const made = wechatRig({}, { id: `wechat-${id}` })
          expect(await syncedAfter(made, outages[how]!, downMs, quietMs)).toBeLessThanOrEqual(60_000)
          await made.end()
        },
      ),
      // the outage that ends with the poll whose answer it swallowed
      { numRuns: 20, examples: [[4_822, 69_238, 0]] },
    )
  })
})

describe('while it is live', () => {
  it('incident 4.4 a valid sync lies 60 s back at most, whatever the client says of itself', async () => {
    const made = wechatRig()
    await made.live()
    await made.clock.advance(55_000)
    const last = made.web.syncedAt.at(-1)!
    made.web.fault = (api) => (api === 'synccheck' ? 'silence' : undefined)
    while (made.link.status.state === 'live') {
      made.clients[0]!.emit('heartbeat', 'login')
      await made.clock.advance(500)
    }
    expect([made.clients[0]!.state === 'login', made.faults]).toEqual([false, ['heartbeat-timeout']])
    expect(made.clock.now() - last).toBeLessThanOrEqual(60_500)
    await made.end()
  })

  it.each([
    'synccheck',
    'sync',
    'init',
    'jslogin',
    'login',
    'redirect',
  ] as const)('incident 4.5 a page of HTML in place of %s is no success but protocol-violated', async (step) => {
    const made = wechatRig()
    made.web.fault = (api) => {
      if (api === step) return PORTAL
      return api === 'synccheck' ? script.synccheck('0', 2) : undefined
    }
    await made.clock.advance(3_000)
    expect(made.faults[0]).toBe('protocol-violated')
    await made.end()
  })
})

describe('what an answer means', () => {
  type Row = readonly [api: Api, reply: Reply, code: FaultCode | undefined]
  const rows: Row[] = [
    ...[1100, 1101, 1102].flatMap((n): Row[] => [
      ['synccheck', script.synccheck(n), 'login-needed'],
      ['init', script.object(n), 'login-needed'],
      ['init', script.object(String(n)), 'login-needed'],
    ]),
    ['init', script.object(1), 'account-banned'],
    ['redirect', script.redirect(1203), 'account-banned'],
    ['synccheck', script.synccheck(1203), undefined],
    ['synccheck', script.synccheck(1205), 'throttled'],
    ['init', script.object(1205), 'throttled'],
    ['send', script.object(-1), undefined],
    ['send', script.object(3), undefined],
  ]

  it.each(rows)('incident 4.6 %s %o: %s, and no text changes that', async (api, reply, code) => {
    for (const text of ['', '3 == 0', '-1 == 0', "'1101' == 0", '400 != 400']) {
      const made = wechatRig()
      made.web.fault = (asked, nth) => (asked === api && nth === 1 ? reply : undefined)
      await made.clock.advance(1_200)
      made.clients[0]!.emit('error', new Error(text))
      if (api === 'send') made.link.send({ to: 'somebody', message: text }).catch(() => undefined)
      await made.clock.advance(500)
      expect(made.faults[0]).toBe(code)
      await made.end()
    }
  })

  it('1205 is waited out for 5 min, and the third time a person is called', async () => {
    const made = wechatRig()
    made.web.fault = (api) => (api === 'init' ? script.object('1205') : undefined)
    await made.clock.advance(290_000)
    expect(made.web.count('init')).toBe(1)
    await made.clock.advance(900_000)
    expect([made.web.count('init'), made.faults, made.calls.length]).toEqual([
      3,
      ['throttled', 'throttled', 'login-needed'],
      1,
    ])
    await made.end()
  })

  it('Ret 3 three times in a row, while synccheck is fine: started anew with the same login', async () => {
    const made = wechatRig()
    made.web.fault = (api) => {
      if (made.clients.length > 1) return undefined
      return api === 'synccheck' ? script.synccheck('0', 2) : api === 'sync' ? script.object(3) : undefined
    }
    await made.clock.advance(30_000)
    expect([made.faults, made.web.count('sync'), made.codes.length]).toEqual([['client-failed'], 3, 1])
    expect(made.link.status.state).toBe('live')
    await made.end()
  })
})

describe('one message that fails', () => {
  it.each([
    ['-1', script.object(-1), 'refused'],
    ['a reset', networkError('ECONNRESET'), 'uncertain'],
    ['a page of HTML', PORTAL, 'uncertain'],
  ] as const)('incident 4.7 by %s changes nothing of the link', async (_how, reply, fate) => {
    const made = wechatRig()
    await made.live()
    const before = { status: made.link.status, records: made.link.recording.total }
    made.web.fault = (api, nth) => (api === 'send' && nth === 1 ? reply : undefined)
    const first = follow(made.link.send({ to: 'somebody', message: 'one' }))
    await made.clock.advance(500)
    const second = follow(made.link.send({ to: 'somebody', message: 'two' }))
    await made.clock.advance(500)
    expect([first.value?.fate, second.value?.fate]).toEqual([fate, 'delivered'])
    expect({ status: made.link.status, records: made.link.recording.total }).toEqual(before)
    await made.end()
  })
})

describe('a logout', () => {
  const logouts: Record<string, (made: WechatRig) => void | Promise<void>> = {
    'a person said so on the phone': ({ clients }) => clients.at(-1)!.stop(),
    'the client says so': ({ clients }) => void clients.at(-1)!.emit('logout'),
  }

  it.each(
    Object.entries(logouts),
  )('incident 4.8 (%s) ends every timer of that generation in the same tick, and live too', async (_how, logOut) => {
    for (const afterMs of [0, 10_000, 59_000]) {
      const made = wechatRig()
      await made.live()
      await made.clock.advance(afterMs)
      void logOut(made)
      expect([made.link.status.state, made.link.status.fault?.code]).toEqual(['parked', 'login-needed'])
      // what is left is the request of the phone's own logout, where there was one
      expect(made.clock.pending).toBe(made.web.count('logout'))
      const asked = made.web.asked.length
      await made.clock.advance(3_600_000)
      expect([made.clock.pending, made.web.asked.length, made.calls.length]).toEqual([0, asked, 1])
      await made.end()
    }
  })

  it("incident 4.8 no retry of the client's own outlives a generation: in backoff the one timer is the link's", async () => {
    for (const reply of Object.values(outages)) {
      const made = wechatRig()
      await made.live()
      made.web.fault = () => reply
      while (made.faults.length < 4) {
        await made.clock.advance(1)
        if (made.link.status.state === 'backoff') expect(made.clock.pending).toBe(1)
      }
      await made.end()
    }
  })

  it('incident 4.8 by 1101 at the next sync: not after three errors and a restart', async () => {
    const made = wechatRig()
    await made.live()
    made.web.fault = (api) => (api === 'synccheck' ? script.synccheck('1101') : undefined)
    made.web.fault = (api, nth) => (api === 'synccheck' && nth > 1 ? script.synccheck('1101') : undefined)
    await made.clock.advance(26_000)
    expect([made.link.status.state, made.clock.pending]).toEqual(['parked', 0])
    made.web.fault = () => undefined
    made.link.resume()
    await made.live()
    expect([made.codes.length, made.web.count('logout')]).toEqual([2, 0])
    await made.end()
  })
})

it('incident 4.9 a link to WeChat adds no listener to the process, and leaves none', async () => {
  const listeners = () => process.eventNames().map((name) => `${String(name)} ${process.listenerCount(name)}`)
  const before = listeners()
  const made = wechatRig()
  await made.live()
  expect(listeners()).toEqual(before)
  await made.end()
  expect(listeners()).toEqual(before)
})
