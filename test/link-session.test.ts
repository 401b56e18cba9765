/** A link whose peer keeps sessions: resumed where that can be, started anew where it cannot, and never beyond its ration. */
import { describe, expect, test } from 'vitest'
import { memoryBudgetStore, sessionBudget } from '../src/budget.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { Gateway, gatewayRig, RESUME_AT } from './gateway.ts'

const KNOWN = 'gateway.test'
const RESUME_HOST = new URL(RESUME_AT).hostname

describe('a session', () => {
  test('is resumed at the host that the peer named, from the last message that the user took', async () => {
    const { clock, gateway, link, got, end } = gatewayRig()
    await clock.advance(100)
    gateway.say('one')
    gateway.drop()
    gateway.say('two')
    await clock.advance(2_000)
    expect(link.status.state).toBe('live')
    expect(gateway.dials.map(({ host, asked }) => [host, asked])).toEqual([
      [KNOWN, 'identify'],
      [RESUME_HOST, 'resume'],
    ])
    expect(got).toEqual(['<new>', 'one', 'two', '<recovered>'])
    await end()
  })

  test('R24: is resumed also when nothing was received before', async () => {
    const { clock, gateway, got, end } = gatewayRig()
    await clock.advance(100)
    gateway.drop()
    gateway.say('one')
    await clock.advance(2_000)
    expect(gateway.heard.at(-1)).toMatchObject({ op: 'resume', seq: 0 })
    expect(got).toEqual(['<new>', 'one', '<recovered>'])
    await end()
  })

  test('R25: is resumed as often as the connection is lost', async () => {
    const { clock, gateway, got, end } = gatewayRig()
    await clock.advance(100)
    for (let i = 1; i <= 20; i++) {
      gateway.drop()
      gateway.say(`m${i}`)
      await clock.advance(200_000)
    }
    expect(gateway.asked('identify')).toBe(1)
    expect(gateway.asked('resume')).toBe(20)
    expect(got.filter((text) => text.startsWith('m'))).toEqual(Array.from({ length: 20 }, (_, i) => `m${i + 1}`))
    expect(got).not.toContain('<gap>')
    await end()
  })

  test('R31: one that the peer no longer knows is followed by exactly one new one, and the gap is told before its first message', async () => {
    const { clock, gateway, got, end } = gatewayRig()
    await clock.advance(100)
    gateway.say('one')
    gateway.sessions.clear()
    gateway.drop()
    await clock.advance(10_000)
    gateway.say('two')
    await clock.advance(1_000)
    expect(gateway.dials.map(({ asked }) => asked)).toEqual(['identify', 'resume', 'identify'])
    expect(got).toEqual(['<new>', 'one', '<gap>', 'two'])
    await end()
  })

  test('R05: a new session starts without a position: that of the old one means nothing there', async () => {
    const { clock, gateway, end } = gatewayRig()
    await clock.advance(100)
    gateway.say('one')
    gateway.sessions.clear()
    gateway.drop()
    await clock.advance(10_000)
    gateway.drop()
    await clock.advance(10_000)
    expect(gateway.heard.filter(({ op }) => op === 'resume').map(({ seq }) => seq)).toEqual([1, 0])
    await end()
  })

  test('R38 E2: a resume that is never answered has a deadline of its own, and is given up after three', async () => {
    const { clock, gateway, link, end } = gatewayRig()
    await clock.advance(100)
    gateway.hosts[RESUME_HOST] = 'mute'
    gateway.drop()
    await clock.advance(60_000)
    expect(gateway.dials.map(({ asked }) => asked)).toEqual(['identify', 'resume', 'resume', 'resume', 'identify'])
    const [, first, second] = gateway.dials
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(10_000)
    expect(second!.at - first!.at).toBeLessThan(13_000)
    expect(link.status.state).toBe('live')
    await end()
  })

  test('R39: a host that is dead is left at once, for the known one and a new session', async () => {
    const { clock, gateway, link, got, end } = gatewayRig()
    await clock.advance(100)
    gateway.hosts[RESUME_HOST] = 'refuses'
    gateway.drop()
    await clock.advance(5_000)
    expect(gateway.dials.map(({ host, asked }) => [host, asked])).toEqual([
      [KNOWN, 'identify'],
      [RESUME_HOST, undefined],
      [KNOWN, 'identify'],
    ])
    expect(gateway.dials[2]!.at - gateway.dials[1]!.at).toBeLessThanOrEqual(1_010)
    expect(link.status.state).toBe('live')
    expect(got).toEqual(['<new>', '<gap>'])
    await end()
  })

  test('is kept while it is our own network that fails: both hosts are tried, and then it is resumed', async () => {
    const { clock, gateway, got, end } = gatewayRig()
    await clock.advance(100)
    gateway.hosts[RESUME_HOST] = 'unreachable'
    gateway.hosts[KNOWN] = 'unreachable'
    gateway.drop()
    await clock.advance(60_000)
    const tried = gateway.dials.slice(1).map(({ host }) => host)
    expect(tried.length).toBeGreaterThan(10)
    expect(new Set(tried)).toEqual(new Set([KNOWN, RESUME_HOST]))
    gateway.hosts[RESUME_HOST] = 'fine'
    gateway.hosts[KNOWN] = 'fine'
    gateway.say('one')
    await clock.advance(8_000)
    expect(gateway.asked('identify')).toBe(1)
    expect(got).toEqual(['<new>', 'one', '<recovered>'])
    await end()
  })

  test.each([
    'ws://gateway.test/',
    'wss://gateway.test.evil.example/',
    'wss://evilgateway.test/',
    'wss://user@gateway.test/',
    'wss://169.254.169.254/',
    'https://gateway.test/',
    'not a url',
  ])('that is to be resumed at %s is resumed at the known endpoint', async (url) => {
    const { clock, gateway, end } = gatewayRig()
    gateway.resumeAt = url
    await clock.advance(100)
    gateway.drop()
    await clock.advance(5_000)
    expect(gateway.dials.map(({ host, asked }) => [host, asked])).toEqual([
      [KNOWN, 'identify'],
      [KNOWN, 'resume'],
    ])
    await end()
  })

  test('that may not be resumed where the peer says is not lost when the known endpoint is down for a moment', async () => {
    const { clock, gateway, got, end } = gatewayRig({ resumeHosts: ['elsewhere.test'] })
    await clock.advance(100)
    gateway.hosts[KNOWN] = 'refuses'
    gateway.drop()
    await clock.advance(3_000)
    gateway.hosts[KNOWN] = 'fine'
    await clock.advance(5_000)
    expect(gateway.asked('identify')).toBe(1)
    expect(got).toEqual(['<new>', '<recovered>'])
    await end()
  })

  test('hosts that are no rule for the scheme of the target allow nothing, and harm nothing', async () => {
    const { clock, gateway, link, end } = gatewayRig({ target: { url: 'ws://gateway.test/' } })
    await clock.advance(100)
    gateway.drop()
    await clock.advance(5_000)
    expect(link.status.state).toBe('live')
    expect(gateway.dials.map(({ host, asked }) => [host, asked])).toEqual([
      [KNOWN, 'identify'],
      [KNOWN, 'resume'],
    ])
    await end()
  })

  test('incident 1.8 what is pending at the start is delivered, and a position is told to the peer only after it was taken', async () => {
    const { clock, gateway, link, end } = gatewayRig()
    const taken: string[] = []
    await clock.advance(100)
    const reader = link[Symbol.asyncIterator]()
    gateway.drop()
    for (const text of ['five', 'six', 'seven']) gateway.say(text)
    await clock.advance(2_000)
    for (let i = 0; i < 2; i++) taken.push(String((await reader.next()).value.text))
    // 'six' is still being worked on: the one before it is the last that was taken
    gateway.drop()
    await clock.advance(2_000)
    expect(gateway.heard.filter(({ op }) => op === 'resume').map(({ seq }) => seq)).toEqual([0, 1])
    taken.push(String((await reader.next()).value.text))
    expect(taken).toEqual(['five', 'six', 'seven'])
    await end()
  })

  test('R34: ready() resolves when the link got in by a resume', async () => {
    const { clock, gateway, link, end } = gatewayRig()
    await clock.advance(100)
    gateway.drop()
    let isReady = false
    void link.ready().then(() => {
      isReady = true
    })
    await clock.advance(2_000)
    expect(isReady).toBe(true)
    await end()
  })
})

describe('rationed session starts', () => {
  const ration = (clock = heapClock(), perDay = 10) => {
    const store = memoryBudgetStore()
    const rules = { key: 'bot', perDay, reserve: 0, perInterval: { count: 1, ms: 5_000 }, store, clock }
    return { clock, starts: { budget: sessionBudget(rules) }, again: () => ({ budget: sessionBudget(rules) }) }
  }

  test('R41: a resume costs none, and with none left the link says so and waits', async () => {
    const { clock, starts } = ration(heapClock(), 3)
    const { gateway, link, end } = gatewayRig({ starts }, {}, { clock })
    await clock.advance(100)
    for (let i = 0; i < 10; i++) {
      gateway.drop()
      await clock.advance(130_000)
    }
    expect(gateway.asked('resume')).toBe(10)
    for (let i = 0; i < 4; i++) {
      gateway.sessions.clear()
      gateway.drop()
      await clock.advance(130_000)
    }
    expect(gateway.asked('identify')).toBe(3)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'session-budget' } })
    expect(link.explain().text).toContain('no session may be started')
    await clock.advance(86_400_000)
    expect(link.status.state).toBe('live')
    expect(gateway.asked('identify')).toBe(4)
    await end()
  })

  test('are as far apart as the platform wants, for links that share a budget', async () => {
    const { clock, starts } = ration()
    const gateway = new Gateway(clock)
    const rigs = ['a', 'b', 'c'].map((id) => gatewayRig({ starts }, { id }, { clock, gateway }))
    await clock.advance(30_000)
    const at = gateway.dials.filter(({ asked }) => asked === 'identify').map((dial) => dial.at)
    expect(at).toHaveLength(3)
    for (const [i, when] of at.slice(1).entries()) expect(when - at[i]!).toBeGreaterThanOrEqual(5_000)
    for (const { link } of rigs) expect(link.status.state).toBe('live')
    for (const { link } of rigs) void link.stop({ drainMs: 0 })
    await clock.advance(4_000)
  })

  test('a dial that fails before it identifies spends none', async () => {
    const { clock, starts } = ration(heapClock(), 2)
    const gateway = new Gateway(clock)
    gateway.hosts[KNOWN] = 'refuses'
    const { link, end } = gatewayRig({ starts }, {}, { clock, gateway })
    await clock.advance(30_000)
    expect(gateway.dials.length).toBeGreaterThan(10)
    gateway.hosts[KNOWN] = 'fine'
    await clock.advance(8_000)
    expect(link.status.state).toBe('live')
    expect(await starts.budget.reserve()).toMatchObject({ waitMs: expect.any(Number) })
    expect(await starts.budget.reserve()).toMatchObject({ exhausted: true })
    await end()
  })

  test('what a link reserved and did not use is given back when it stops', async () => {
    const { clock, starts } = ration(heapClock(), 1)
    const gateway = new Gateway(clock)
    gateway.hosts[KNOWN] = 'refuses'
    const { end } = gatewayRig({ starts }, {}, { clock, gateway })
    await clock.advance(3_000)
    expect(await starts.budget.reserve()).toMatchObject({ exhausted: true })
    await end()
    expect(await starts.budget.reserve()).toMatchObject({ ticket: expect.any(Number) })
  })

  test('a budget that takes its time is asked once, however many attempts are given up meanwhile', async () => {
    const clock = heapClock()
    let [asked, refunded] = [0, 0]
    const budget = {
      reserve: () =>
        new Promise<{ waitMs: number; ticket: number }>((resolve) => {
          clock.setTimeout(() => resolve({ waitMs: 0, ticket: ++asked }), 25_000)
        }),
      refund: async () => void refunded++,
    }
    const { gateway, link, end } = gatewayRig({ starts: { budget } }, {}, { clock })
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
    expect(asked).toBe(1)
    gateway.sessions.clear()
    gateway.drop()
    await clock.advance(5_000)
    void link.stop({ drainMs: 0 })
    await clock.advance(30_000)
    expect({ asked, refunded }).toEqual({ asked: 2, refunded: 1 })
    await end()
  })

  test('a budget that cannot be read starts no session, and is asked again', async () => {
    const clock = heapClock()
    let broken = true
    const budget = {
      reserve: async () => {
        if (broken) throw new Error('the disk is gone')
        return { waitMs: 0, ticket: 1 }
      },
      refund: async () => undefined,
    }
    const { gateway, link, end } = gatewayRig({ starts: { budget } }, {}, { clock })
    await clock.advance(5_000)
    expect(gateway.dials).toEqual([])
    expect(link.status.fault).toMatchObject({ code: 'session-budget', detail: expect.stringContaining('disk is gone') })
    broken = false
    await clock.advance(120_000)
    expect(link.status.state).toBe('live')
    await end()
  })
})

describe('credentials that can be renewed', () => {
  test('R26: are asked for once more after a rejection, and then a person is called', async () => {
    const asked: (boolean | undefined)[] = []
    const target = ({ rejected }: { rejected?: boolean }) => {
      asked.push(rejected)
      return { url: 'wss://gateway.test/', renewable: true }
    }
    const { clock, gateway, link, end } = gatewayRig({ target })
    gateway.token = 'another'
    await clock.advance(600_000)
    expect(asked).toEqual([false, true])
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-expired' } })
    gateway.token = 'good'
    link.resume()
    await clock.advance(1_000)
    expect(link.status.state).toBe('live')
    await end()
  })

  test('a welcome ends the doubt: the next rejection gets its own second chance', async () => {
    const asked: (boolean | undefined)[] = []
    const target = ({ rejected }: { rejected?: boolean }) => {
      asked.push(rejected)
      if (rejected) gateway.token = 'good'
      return { url: 'wss://gateway.test/', renewable: true }
    }
    const { clock, gateway, link, end } = gatewayRig({ target })
    gateway.token = 'another'
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
    gateway.token = 'a third'
    gateway.drop()
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
    expect(asked).toEqual([false, true, false, true])
    await end()
  })
})
