/** From one process to the next in virtual time: the session, what waits, and the session starts that were spent. */
import { describe, expect, test } from 'vitest'
import { memoryBudgetStore, sessionBudget } from '../../src/budget.ts'
import type { HandOver } from '../../src/hand-over.ts'
import { connect } from '../../src/link.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { Gateway, gatewayAdapter, gatewayRig, RESUME_AT } from '../gateway.ts'
import { follow } from '../small-talk.ts'
import { beginLife, freshWorld, said } from './life.ts'

/** As a file carries it. */
const carried = (handOver: HandOver): HandOver => JSON.parse(JSON.stringify(handOver))

const handedOver = async (clock: HeapClock, link: ReturnType<typeof beginLife>['link'], drainMs?: number) => {
  const outcome = follow(link.handOver(drainMs === undefined ? {} : { drainMs }))
  await clock.advance(5_000)
  if (!outcome.value) throw new Error(`it is not handed over: ${outcome.error}`)
  return carried(outcome.value)
}

const rationed = (clock: HeapClock) => {
  const rules = { key: 'bot', perDay: 10, reserve: 0, perInterval: { count: 1, ms: 5_000 } }
  const make = (store = memoryBudgetStore()) => sessionBudget({ ...rules, store, clock })
  /** How many starts are left: as many as can be reserved. */
  const left = async (budget: ReturnType<typeof make>) => {
    let count = 0
    while (!(await budget.reserve()).exhausted) count++
    return count
  }
  return { make, left }
}

describe('a hand-over', () => {
  test('takes session, messages and budget along: it resumes, and spends no session start', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    const { make, left } = rationed(clock)
    const [oldBudget, newBudget] = [make(), make()]
    const none = { store: undefined }
    const a = beginLife(world, none, { starts: { budget: oldBudget } })
    await clock.advance(100)
    gateway.say('one')
    await clock.advance(10)
    const b = beginLife(
      world,
      { ...none, handOver: await handedOver(clock, a.link) },
      { starts: { budget: newBudget } },
    )
    gateway.say('two')
    await clock.advance(1_000)
    expect(gateway.dials.map(({ host, asked }) => [host, asked])).toEqual([
      ['gateway.test', 'identify'],
      [new URL(RESUME_AT).hostname, 'resume'],
    ])
    expect([...a.got, ...b.got]).toEqual(['<new>', 'one', 'two', '<recovered>'])
    expect(await left(newBudget)).toBe(9)
    await b.end()
  })

  test('delivers what waited, once and in order, before what is sent meanwhile', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    const a = beginLife(world, { store: undefined })
    await clock.advance(100)
    gateway.hosts['gateway.test'] = 'refuses'
    gateway.hosts[new URL(RESUME_AT).hostname] = 'unreachable'
    gateway.drop()
    await clock.advance(10)
    const waiting = [
      follow(a.link.send('1', { conversation: 'c' })),
      follow(a.link.send('2', { conversation: 'c', idempotencyKey: 'k2' })),
      follow(a.link.send('3', { conversation: 'c', coalesceKey: 'typing' })),
      follow(a.link.send('late', { withinMs: 8_000 })),
    ]
    const handOver = await handedOver(clock, a.link)
    for (const { value } of waiting)
      expect(value).toMatchObject({ fate: 'uncertain', detail: expect.stringContaining('handed over') })
    expect(handOver.outbox.map(({ message, idempotent }) => [message, idempotent])).toEqual([
      ['1', false],
      ['2', true],
      ['3', false],
      ['late', false],
    ])
    await clock.advance(5_000)
    gateway.hosts = {}
    const b = beginLife(world, { store: undefined, handOver })
    void b.link.send('4', { conversation: 'c' })
    expect(b.link.stats.outbox).toMatchObject({ entered: 4, waiting: 4 })
    await clock.advance(2_000)
    expect(said(world)).toEqual(['1', '2', '3', '4'])
    expect(b.fates.map(({ fate, recovered }) => [fate, recovered])).toEqual([
      ['expired', true],
      ['delivered', true],
      ['delivered', true],
      ['delivered', true],
      ['delivered', false],
    ])
    expect(b.link.stats.outbox).toMatchObject({ entered: 5, delivered: 4, expired: 1, waiting: 0 })
    await b.end()
  })
})

describe('what was written', () => {
  /** Says nothing to what it is told, until it is asked to. */
  const deafTo = (gateway: Gateway) => {
    gateway.hosts['gateway.test'] = 'deaf'
    return () => {
      gateway.hosts = {}
    }
  }

  test('is waited for: its fate is told here, and it does not go along', async () => {
    const world = freshWorld()
    const { clock, link } = { ...world, ...beginLife(world, { store: undefined }) }
    await clock.advance(100)
    const written = follow(link.send('on its way'))
    const handOver = await handedOver(clock, link)
    expect(written.value).toMatchObject({ fate: 'delivered' })
    expect(handOver.outbox).toEqual([])
  })

  test('and is not answered within the drain is uncertain; it goes along if a second copy is harmless', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    const a = beginLife(world, { store: undefined })
    await clock.advance(100)
    const answering = deafTo(gateway)
    const fates = [follow(a.link.send('once')), follow(a.link.send('again', { idempotencyKey: 'k' }))]
    const outcome = follow(a.link.handOver({ drainMs: 500 }))
    await clock.advance(499)
    expect(outcome.settled).toBe(false)
    await clock.advance(2)
    expect(fates.map(({ value }) => value?.fate)).toEqual(['uncertain', 'uncertain'])
    const handOver = carried(outcome.value!)
    expect(handOver.outbox).toMatchObject([{ key: 'k', message: 'again', idempotent: true }])
    answering()
    const b = beginLife(world, { store: undefined, handOver })
    await clock.advance(1_000)
    expect(said(world)).toEqual(['once', 'again', 'again'])
    expect(b.fates).toMatchObject([{ key: 'k', fate: 'delivered', recovered: true }])
    await b.end()
  })

  test('is all that is written: from the order on nothing new goes out, and goes along instead', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    const a = beginLife(world, { store: undefined, outbox: { backlogPerSecond: 5 } })
    for (let i = 0; i < 30; i++) void a.link.send(`m${i}`, { conversation: 'c' })
    await clock.advance(1_000)
    const before = said(world).length
    expect(before).toBeLessThan(30)
    const outcome = follow(a.link.handOver())
    await clock.advance(1)
    const meanwhile = follow(a.link.send('meanwhile', { conversation: 'c' }))
    await clock.advance(5_000)
    expect(said(world)).toHaveLength(before)
    expect(meanwhile.value).toMatchObject({ fate: 'uncertain' })
    const b = beginLife(world, { store: undefined, handOver: carried(outcome.value!) })
    await clock.advance(5_000)
    expect(said(world)).toEqual([...Array.from({ length: 30 }, (_, i) => `m${i}`), 'meanwhile'])
    expect(gateway.asked('identify')).toBe(1)
    await b.end()
  })
})

describe('calls', () => {
  test('are settled here: whoever made them is here', async () => {
    const clock = heapClock()
    const gateway = new Gateway(clock)
    gateway.hosts['gateway.test'] = 'refuses'
    const adapter = {
      ...gatewayAdapter(),
      request: (_method: string, _params: unknown, key: string) => ({ frame: JSON.stringify({ op: 'say', key }) }),
    }
    const lookup = async () => [{ address: '192.0.2.7', family: 4 as const }]
    const link = connect(adapter, { id: 'bot', clock, lookup, transport: gateway.transport })
    const call = follow(link.call('ask' as never))
    void link.send('a message')
    await clock.advance(100)
    const outcome = follow(link.handOver())
    await clock.advance(100)
    expect(call.error).toMatchObject({ code: 'refused' })
    expect(outcome.value?.outbox).toMatchObject([{ message: 'a message' }])
  })
})

describe('the peer', () => {
  test('is left with the close code that keeps the session', async () => {
    for (const [order, code] of [
      ['handOver', 4900],
      ['stop', undefined],
    ] as const) {
      const { clock, gateway, link } = gatewayRig({ resumableClose: 4900 })
      await clock.advance(100)
      void link[order]()
      await clock.advance(1_000)
      expect(link.status.state).toBe('stopped')
      expect(gateway.closes).toEqual([code])
    }
  })
})

describe('handOver()', () => {
  type Ways = Record<string, (world: ReturnType<typeof freshWorld>, link: ReturnType<typeof beginLife>['link']) => void>
  const ways: Ways = {
    resolving: () => undefined,
    connecting: ({ clock }) => clock.advanceSync(5),
    backoff: ({ gateway }) => gateway.drop(),
    parked: (_world, link) => link.hold(),
    'a move': (_world, link) => link.replace(),
  }

  test.each(Object.keys(ways))('in %s: at once, with all there is', async (way) => {
    const world = freshWorld()
    const { clock, gateway } = world
    const overlap = { overlap: true }
    const a = beginLife(world, { store: undefined }, overlap)
    const isNew = way === 'resolving' || way === 'connecting'
    if (isNew) await clock.advance(way === 'connecting' ? 1 : 0)
    else await clock.advance(100)
    ways[way]!(world, a.link)
    const waits = way !== 'a move'
    void a.link.send('waits')
    const handOver = await handedOver(clock, a.link)
    expect(a.link.status.state).toBe('stopped')
    expect({ open: gateway.open, timers: clock.pending }).toEqual({ open: 0, timers: 0 })
    expect(handOver.session.id).toBe(isNew ? undefined : 's1')
    expect(handOver.outbox.map(({ message }) => message)).toEqual(waits ? ['waits'] : [])
    const b = beginLife(world, { store: undefined, handOver }, overlap)
    await clock.advance(2_000)
    expect(said(world)).toEqual(['waits'])
    expect(gateway.asked('identify')).toBe(1)
    await b.end()
  })

  test.each([5, 15, 25, 35, 45])('%i ms into a move: one session alone goes on, without a gap', async (ms) => {
    const world = freshWorld()
    const { clock, gateway } = world
    const overlap = { overlap: true }
    const a = beginLife(world, { store: undefined }, overlap)
    await clock.advance(100)
    gateway.say('one')
    a.link.replace()
    await clock.advance(ms)
    const handOver = await handedOver(clock, a.link)
    expect(gateway.open).toBe(0)
    const b = beginLife(world, { store: undefined, handOver }, overlap)
    gateway.say('two')
    await clock.advance(2_000)
    expect([...a.got, ...b.got].filter((text) => !text.startsWith('<'))).toEqual(['one', 'two'])
    expect(b.got).not.toContain('<gap>')
    await b.end()
  })

  test('twice is one hand-over, and with a wrong drain none', async () => {
    const world = freshWorld()
    world.gateway.hosts['gateway.test'] = 'refuses'
    const { link } = beginLife(world, { store: undefined })
    void link.send('waits')
    await world.clock.advance(100)
    await expect(link.handOver({ drainMs: -1 })).rejects.toMatchObject({ code: 'bad-option' })
    expect(link.status.state).toBe('backoff')
    const [one, other] = [follow(link.handOver()), follow(link.handOver())]
    await world.clock.advance(100)
    expect(one.value?.outbox).toHaveLength(1)
    expect(other.value).toBe(one.value)
  })

  test('after stop() has the session and no messages: their fates were told', async () => {
    const world = freshWorld()
    const { clock } = world
    const { link } = beginLife(world, { store: undefined })
    await clock.advance(100)
    world.gateway.drop()
    const message = follow(link.send('x'))
    void link.stop({ drainMs: 0 })
    const handOver = await handedOver(clock, link)
    expect(handOver).toMatchObject({ session: { id: 's1' }, outbox: [] })
    expect(message.value).toMatchObject({ fate: 'refused' })
  })

  test('with a wish to stop at once in between still hands over', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    const { link } = beginLife(world, { store: undefined })
    await clock.advance(100)
    gateway.hosts['gateway.test'] = 'deaf'
    void link.send('x', { idempotencyKey: 'k' })
    const outcome = follow(link.handOver())
    await clock.advance(100)
    void link.stop({ drainMs: 0 })
    await clock.advance(1)
    expect(outcome.value?.outbox).toMatchObject([{ key: 'k' }])
  })
})

describe('with a store', () => {
  test('accepted messages stay in it, safe from a crash between the two, and are delivered once', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    const a = beginLife(world)
    await clock.advance(100)
    gateway.say('one')
    await clock.advance(10)
    gateway.drop()
    for (const text of ['1', '2', '3']) void a.link.send(text, { conversation: 'c' })
    await clock.advance(1)
    const handOver = await handedOver(clock, a.link)
    expect(handOver.outbox).toEqual([])
    expect(await world.disk.entries('outbox/')).toHaveLength(3)
    a.kill()
    const b = beginLife(world, { handOver })
    await clock.advance(1_000)
    expect(said(world)).toEqual(['1', '2', '3'])
    expect(gateway.dials.map(({ asked }) => asked)).toEqual(['identify', 'resume'])
    expect(b.got).toEqual(['<recovered>'])
    await b.end()
    expect(await world.disk.entries('outbox/')).toEqual([])
  })

  test('a message that was only on its way to the disk goes along, behind those that are in it', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    gateway.hosts['gateway.test'] = 'refuses'
    const a = beginLife(world)
    await clock.advance(100)
    void a.link.send('kept', { conversation: 'c' })
    await clock.advance(1)
    const late = a.link.send('on its way', { conversation: 'c' })
    const outcome = follow(a.link.handOver())
    world.disk.hangs = true
    await clock.advance(1)
    world.disk.release()
    await clock.advance(5_000)
    expect(outcome.value?.outbox).toMatchObject([{ message: 'on its way' }])
    await expect(late.accepted).rejects.toMatchObject({ code: 'refused' })
    gateway.hosts = {}
    const b = beginLife(world, { handOver: carried(outcome.value!) })
    await clock.advance(1_000)
    expect(said(world)).toEqual(['kept', 'on its way'])
    await b.end()
  })
})

describe('the option handOver', () => {
  const good: HandOver = { version: 1, adapter: 'gateway', id: 'bot', at: 0, session: {}, outbox: [] }
  test.each([
    [
      { ...good, adapter: 'onebot' },
      /it is of a link with another adapter than "gateway"\. Give what link\.handOver\(\)/,
    ],
    [{ ...good, version: 2 }, /version is the number 2; .*another version of holdfast\. Give what/],
    [{ ...good, session: { id: 7 } }, /session\.id is the number 7; .*leave it out and start anew/],
    [{ ...good, outbox: [{ key: 'k' }] }, /outbox\[0\]\.message is undefined/],
    ['a file.json', /the hand-over is a string; it must be an object/],
  ])('that is not what it should be is refused at once, and it is said what to do: %#', (handOver, problem) => {
    const connectWith = () => connect(gatewayAdapter(), { handOver: handOver as HandOver })
    expect(connectWith).toThrow(
      expect.objectContaining({ code: 'bad-option', message: expect.stringMatching(problem) }),
    )
  })

  test('names the link; one of another name is refused, for it would get the session of another bot', () => {
    const { clock } = freshWorld()
    const options = { clock, handOver: good, signal: AbortSignal.abort() }
    expect(connect(gatewayAdapter(), options).id).toBe('bot')
    expect(connect(gatewayAdapter(), { ...options, id: 'bot' }).id).toBe('bot')
    expect(() => connect(gatewayAdapter(), { ...options, id: 'other' })).toThrow(/link "bot", and this one is "other"/)
  })

  test('bounds a time that nobody could have asked for', async () => {
    const world = freshWorld()
    world.gateway.hosts['gateway.test'] = 'refuses'
    const handOver = { ...good, outbox: [{ key: 'k', message: 'x', expiresAt: 1e300, idempotent: false }] }
    const b = beginLife(world, { store: undefined, handOver })
    b.link.hold()
    await world.clock.advance(86_400_000 + 1_000)
    expect(b.fates).toMatchObject([{ fate: 'expired' }])
    await b.end()
  })
})
