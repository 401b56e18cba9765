import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ruleOn, type Step } from '../../src/adapter/wechat/web.ts'
import { type WechatOptions, wechat } from '../../src/adapter/wechat.ts'
import { hostileFrames, hostileValue } from './fake-io.ts'
import { type Api, networkError, script, wechatRig } from './fake-wechat.ts'

describe('an answer of WeChat', () => {
  const data = (reply: unknown) => (reply as { data: unknown }).data

  it.each([
    ['jslogin', 200, data(script.uuid(1)), 'well'],
    ['jslogin', 200, 'window.QRLogin.code = 500;', 'odd'],
    ['jslogin', 200, 'window.QRLogin.code = 200; window.QRLogin.uuid = "a"; process.exit(1)', 'garbled'],
    ['login', 200, 'window.code=408;', 'well'],
    ['login', 200, "window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/4AAQ';", 'well'],
    ['login', 200, data(script.login(200)), 'well'],
    ['login', 200, 'window.code=400;', 'expired'],
    ['login', 200, 'window.code=200;window.redirect_uri="x"+require("fs")', 'garbled'],
    ['redirect', 301, '<error><ret>0</ret></error>', 'well'],
    ['redirect', 301, '', 'well'],
    ['redirect', 301, '<error><ret>1203</ret></error>', 'banned'],
    ['redirect', 200, '<html>', 'garbled'],
    ['init', 200, { BaseResponse: { Ret: 0 } }, 'well'],
    ['init', 200, { BaseResponse: { Ret: '1101' } }, 'logged-out'],
    ['init', 200, { BaseResponse: { Ret: 1 } }, 'banned'],
    ['sync', 200, { BaseResponse: { Ret: 1 } }, 'odd'],
    ['sync', 200, { BaseResponse: { Ret: 3 } }, 'odd'],
    ['sync', 200, { BaseResponse: null }, 'garbled'],
    ['synccheck', 200, 'window.synccheck={retcode:"0",selector:"2"}', 'well'],
    ['synccheck', 200, 'window.synccheck={retcode:"1101",selector:"0"}', 'logged-out'],
    ['synccheck', 200, 'window.synccheck={retcode:"1205",selector:"0"}', 'throttled'],
    ['synccheck', 200, 'window.synccheck={retcode:"0",selector:"0"} <!-- ', 'garbled'],
    ['synccheck', 204, '', 'garbled'],
  ] as const)('%s with status %i and %o is %s', (step, status, body, meaning) => {
    expect(ruleOn(step, status, body).meaning).toBe(meaning)
  })

  it('T6: 500 hostile ones are never well, and never make anything throw', () => {
    const steps: Step[] = ['jslogin', 'login', 'redirect', 'init', 'sync', 'synccheck']
    const hostile = fc.oneof(hostileValue, fc.constantFrom(...hostileFrames))
    fc.assert(
      fc.property(hostile, fc.constantFrom(...steps), hostile, (body, step, status) => {
        expect(ruleOn(step, 200, body).meaning).not.toBe('well')
        expect(ruleOn(step, 200, { BaseResponse: body }).meaning).toBe('garbled')
        if (typeof body !== 'number' && typeof body !== 'string') {
          expect(ruleOn(step, 200, { BaseResponse: { Ret: body } }).meaning).toBe('garbled')
        }
        expect(ruleOn(step, status, '').meaning).toBe('garbled')
      }),
      { numRuns: 500 },
    )
  })
})

it('T6: 500 runs with hostile answers and events at every step: a state of its own, and nothing thrown', async () => {
  const apis: Api[] = ['jslogin', 'login', 'redirect', 'init', 'sync', 'synccheck', 'send']
  const events = ['uuid', 'login', 'logout', 'message', 'error', 'init', 'scan']
  const answers = fc.dictionary(fc.constantFrom(...apis), hostileValue, { maxKeys: 2 })
  const emitted = fc.array(fc.tuple(fc.constantFrom(...events), hostileValue), { maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(answers, emitted, async (hostile, told) => {
      const made = wechatRig()
      made.web.fault = (api) => (Object.hasOwn(hostile, api) ? { data: hostile[api] } : undefined)
      await made.clock.advance(100)
      for (const [event, value] of told) {
        made.clients.at(-1)?.emit(event, value)
        await made.clock.advance(700)
      }
      await made.clock.advance(30_000)
      expect(made.link.stats.frames.failed).toBe(0)
      expect(made.faults.filter((code) => code === 'engine-failed' || code === 'adapter-failed')).toEqual([])
      await made.end()
    }),
    { numRuns: 500 },
  )
})

describe('the login', () => {
  it('outlives a generation and the process, without a scan, and is void after a logout', async () => {
    const saved: unknown[] = []
    const kept = { load: () => ({ PROP: { sid: 'from disk' } }), save: (login: unknown) => saved.push(login) }
    const made = wechatRig({ login: kept })
    await made.live()
    expect([made.codes, made.web.count('jslogin'), made.web.count('init')]).toEqual([[], 0, 1])
    expect(saved).toEqual([{ PROP: { sid: 'from disk' } }])
    made.clients[0]!.emit('logout')
    expect([made.link.status.state, saved.at(-1)]).toEqual(['parked', undefined])
    made.link.resume()
    await made.live()
    expect(made.codes.length).toBe(1)
    await made.end()
  })

  it('that WeChat does not take, for a reason that nobody knows, is void after three times', async () => {
    const made = wechatRig({ login: { load: () => ({ PROP: {} }), save: () => undefined } })
    made.web.fault = (api) => (api === 'init' ? script.object(3) : undefined)
    await made.clock.advance(120_000)
    expect(made.faults).toEqual(['handshake-refused', 'handshake-refused', 'login-needed'])
    made.web.fault = () => undefined
    made.link.resume()
    await made.live()
    expect(made.codes.length).toBe(1)
    await made.end()
  })

  it('that cannot be read costs an attempt; one that cannot be written costs nothing', async () => {
    let reads = 0
    const load = () => (++reads === 1 ? Promise.reject(new Error('disk')) : undefined)
    const made = wechatRig({ login: { load, save: () => Promise.reject(new Error('full')) } })
    await made.clock.advance(5_000)
    expect([made.link.status.state, made.faults]).toEqual(['live', ['client-failed']])
    await made.end()
  })

  it('is kept when the link stops: WeChat is told nothing', async () => {
    const made = wechatRig()
    await made.live()
    await made.end()
    expect(made.web.count('logout')).toBe(0)
    const asked = made.web.asked.length
    void made.clients[0]!.restart()
    await made.clock.advance(60_000)
    expect(made.web.asked.length).toBe(asked)
  })
})

it('a message comes once, by its MsgId', async () => {
  const made = wechatRig()
  const heard: unknown[] = []
  made.link.inbound$.subscribe((message) => heard.push(message))
  await made.live()
  for (const MsgId of ['1', '2', '1']) made.clients[0]!.emit('message', { MsgId, Content: 'x' })
  expect(heard).toEqual([
    { MsgId: '1', Content: 'x' },
    { MsgId: '2', Content: 'x' },
  ])
  await made.end()
})

class Wechaty extends EventEmitter {
  starts = 0
  stops = 0
  start = async () => void this.starts++
  stop = async () => void this.stops++
}

const wechatyRig = (more: Partial<WechatOptions> = {}) => {
  const bot = new Wechaty()
  return Object.assign(wechatRig({ make: () => bot, ...more }), { bot })
}

describe('wechaty', () => {
  it('is shown to a person code by code, is live when logged in, and parked when logged out', async () => {
    const { bot, clock, link, codes, calls, end } = wechatyRig()
    await clock.advance(20_000)
    expect(link.status.state).toBe('handshaking')
    for (const code of ['a', 'a', 'b', 'b']) bot.emit('scan', code, 2)
    expect(codes).toEqual(['a', 'b'])
    await clock.advance(200_000)
    bot.emit('login', { id: 'me' })
    expect(link.status.state).toBe('live')
    await clock.advance(3_600_000)
    expect([link.status.state, calls]).toEqual(['live', []])
    bot.emit('logout', { id: 'me' })
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'login-needed' } })
    expect([bot.starts, bot.stops]).toEqual([1, 1])
    await end()
    expect(bot.listenerCount('scan')).toBe(0)
  })

  it('asks for no fourth code: one call', async () => {
    const made = wechatyRig()
    await made.clock.advance(10)
    for (const code of ['a', 'b', 'c', 'd', 'e']) made.bot.emit('scan', code, 2)
    expect([made.codes, made.calls.length]).toEqual([['a', 'b', 'c'], 1])
    made.link.resume()
    await made.clock.advance(10)
    made.bot.emit('scan', 'e', 2)
    made.bot.emit('login', {})
    expect([made.codes.at(-1), made.link.status.state]).toEqual(['e', 'live'])
    await made.end()
  })

  it('asks for a scan though it was logged in: that is a logout', async () => {
    const made = wechatyRig()
    await made.clock.advance(10)
    made.bot.emit('login', {})
    made.bot.emit('scan', 'a', 2)
    expect([made.link.status.fault?.code, made.codes]).toEqual(['login-needed', []])
    await made.end()
  })

  it('reports errors: by their numbers, and those of the network when they repeat; its texts say nothing', async () => {
    const cases: readonly (readonly [readonly unknown[], string | undefined])[] = [
      [[new Error("'1101' == 0"), new Error('400 != 400'), new Error('-1 == 0')], undefined],
      [[Object.assign(new Error('x'), { code: -1 }), Object.assign(new Error('x'), { retcode: '3' })], undefined],
      [[Object.assign(new Error('x'), { retcode: '1101' })], 'login-needed'],
      [[Object.assign(new Error('x'), { code: 1205 })], 'throttled'],
      [[1, 2].map(() => networkError('ECONNRESET')), undefined],
      [[1, 2, 3].map(() => networkError('ECONNRESET')), 'connection-lost'],
    ]
    for (const [errors, code] of cases) {
      const made = wechatyRig()
      await made.clock.advance(10)
      made.bot.emit('login', {})
      for (const error of errors) made.bot.emit('error', error)
      expect(made.faults[0]).toBe(code)
      await made.end()
    }
  })

  it('is watched by the probe, since its heartbeat proves nothing', async () => {
    const made = wechatyRig({ probe: () => new Promise(() => undefined) })
    await made.clock.advance(10)
    made.bot.emit('login', {})
    for (let n = 0; n < 13; n++) {
      made.bot.emit('heartbeat', 'login')
      await made.clock.advance(1_000)
    }
    expect(made.faults).toEqual(['heartbeat-timeout'])
    await made.end()
  })

  it('needs a send of its own', async () => {
    const made = wechatyRig()
    await made.clock.advance(10)
    made.bot.emit('login', {})
    const receipt = made.link.send({ to: 'x', message: 'y' })
    await made.clock.advance(100)
    expect(await receipt).toMatchObject({ fate: 'refused', detail: expect.stringContaining('wechat({ send })') })
    await made.end()
  })
})

it.each([
  [undefined, 'wechat({ make }) is undefined'],
  [{ make: 'x' }, 'wechat({ make }) is a string'],
  [{ make: () => ({}), qr: 1 }, '"qr" is not one of the options of wechat()'],
  [{ make: () => ({}), scanWithinMs: 0 }, 'wechat({ scanWithinMs })'],
  [{ make: () => ({}), scansMax: 0.5 }, 'wechat({ scansMax })'],
  [{ make: () => ({}), onScan: true }, 'wechat({ onScan }) is true'],
  [{ make: () => ({}), login: { load: 1 } }, '{ load, save }, two functions'],
])('%o is refused: %s', (options, text) => {
  expect(() => wechat(options as unknown as WechatOptions)).toThrow(text)
})
