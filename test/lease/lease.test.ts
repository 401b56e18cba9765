/** What the processes of a fleet see of a lease, in virtual time. */
import { describe, expect, test } from 'vitest'
import { readRecord, writeRecord } from '../../src/lease/record.ts'
import { type LeaseStore, memoryLeaseStore } from '../../src/lease.ts'
import { follow } from '../small-talk.ts'
import { type Fleet, fleetOf, type Member } from './rig.ts'

const states = (...members: Member[]) => members.map(({ lease }) => lease.status.state)
const never = new AbortController().signal

/** The longest that a fleet may be without an owner: its time, what clocks may differ, and a second to connect. */
const FAILOVER_MS = 15_300 + 1_000

describe('one owner', () => {
  test('of two processes one has the link, and the other one knows who', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    // who lost the race looks again after a second
    await clock.advance(1_100)
    expect(states(one, other)).toEqual(['serving', 'standby'])
    expect(one.lease.link?.status).toMatchObject({ id: 'bot', state: 'live' })
    expect(other.lease.status).toMatchObject({ owner: 'one', term: 1, fault: null })
    expect(other.lease.link).toBeUndefined()
    expect(other.network.transports).toHaveLength(0)
  })

  test('it stays where it is for as long as its owner renews it', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(3_600_000)
    expect(states(one, other)).toEqual(['serving', 'standby'])
    expect(one.links).toHaveLength(1)
    expect(one.lease.status.term).toBe(1)
  })

  test('of many that wait for a dead owner one gets it, in time', async () => {
    const { clock, join } = fleetOf()
    const dead = join('dead')
    await clock.advance(5_000)
    const waiting = Array.from({ length: 10 }, (_, n) => join(`n${n}`))
    dead.weather = 'silent'
    await clock.advance(FAILOVER_MS)
    const owners = waiting.filter(({ lease }) => lease.status.state === 'serving')
    expect(owners).toHaveLength(1)
    expect(owners[0]!.lease.link?.status.state).toBe('live')
    expect(owners[0]!.lease.status.term).toBe(2)
    expect(waiting.flatMap(({ links }) => links)).toHaveLength(1)
  })

  test('a process that was started anew is not the one that died', async () => {
    const { clock, join } = fleetOf()
    const before = join('host:1')
    await clock.advance(5_000)
    before.weather = 'silent'
    const after = join('host:1')
    await clock.advance(1_000)
    expect(after.lease.status).toMatchObject({ state: 'standby', owner: 'host:1' })
    await clock.advance(FAILOVER_MS)
    expect(after.lease.status).toMatchObject({ state: 'serving', term: 2 })
  })
})

describe('an owner that cannot reach the store', () => {
  test.each(['down', 'silent'] as const)('%s: is cut before another one takes over', async (weather) => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(20_000)
    one.weather = weather
    let [cutAt, takenAt] = [0, 0]
    one.links[0]!.state$.subscribe({ complete: () => (cutAt = clock.now()) })
    other.lease.state$.subscribe(({ state }) => (takenAt = state === 'serving' ? clock.now() : takenAt))
    await clock.advance(FAILOVER_MS)
    expect(cutAt - 20_000).toBeLessThanOrEqual(12_000)
    expect(takenAt).toBeGreaterThan(cutAt)
    expect(one.network.openCount).toBe(0)
    expect(one.links[0]!.status).toMatchObject({ state: 'stopped', fault: { code: 'lease-expired' } })
    expect(states(other)).toEqual(['serving'])
    expect(one.lease.link).toBeUndefined()
    one.weather = 'fair'
    await clock.advance(15_000)
    expect(one.lease.status).toMatchObject({ state: 'standby', owner: 'other', term: 2, fault: null })
  })

  test('one that writes and does not hear that it has written is cut by what it was told', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(20_000)
    one.weather = 'deaf'
    await clock.advance(12_000)
    expect(one.links[0]!.status).toMatchObject({ state: 'stopped', fault: { code: 'lease-expired' } })
    expect(states(other)).toEqual(['standby'])
    await clock.advance(FAILOVER_MS)
    expect(states(other)).toEqual(['serving'])
  })

  test('an answer that was lost once costs nothing', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(3_000)
    one.weather = 'deaf'
    await clock.advance(2_000)
    one.weather = 'fair'
    await clock.advance(60_000)
    expect(states(one, other)).toEqual(['serving', 'standby'])
    expect(one.links).toHaveLength(1)
  })

  test('a grant that is answered when its time is over is none', async () => {
    const store = memoryLeaseStore()
    const slow = {
      ...store,
      replace: async (...args: Parameters<typeof store.replace>) => {
        const answer = store.replace(...args)
        clock.sleep(4_500)
        return answer
      },
    }
    const { clock, join } = fleetOf(slow)
    const one = join('one', { ttlMs: 5_000, marginMs: 1_000 })
    await clock.advance(100)
    expect(one.links).toHaveLength(0)
    expect(one.lease.status).toMatchObject({ state: 'backoff', fault: { code: 'lease-store-failed' } })
  })
})

describe('somebody else’s word', () => {
  const overwrite = async (kind: 'taken' | 'deleted') => {
    const store = memoryLeaseStore()
    const { clock, join } = fleetOf(store)
    const one = join('one')
    await clock.advance(1_000)
    const { revision } = (await store.read('bot', never))!
    const record = { owner: 'else', session: 's', term: 7, ttlMs: 15_000, at: 0 }
    if (kind === 'taken') await store.replace('bot', revision, writeRecord(record), never)
    else await store.replace('bot', revision, 'null', never)
    await clock.advance(4_500)
    return { clock, one }
  }

  test('a record that another process has written ends the link at once', async () => {
    const { clock, one } = await overwrite('taken')
    expect(one.links[0]!.status).toMatchObject({ state: 'stopped', fault: { code: 'lease-taken' } })
    expect(one.lease.status).toMatchObject({ state: 'standby', owner: 'else', term: 7 })
    await clock.advance(FAILOVER_MS)
    expect(one.lease.status).toMatchObject({ state: 'serving', term: 8 })
  })

  test('a record that is none of ours is waited for as long as one of ours', async () => {
    const { clock, one } = await overwrite('deleted')
    expect(one.lease.status).toMatchObject({ state: 'standby', owner: null, term: null })
    await clock.advance(9_000)
    expect(one.links).toHaveLength(1)
    await clock.advance(FAILOVER_MS)
    expect(states(one)).toEqual(['serving'])
  })

  test('a store that was emptied and counts up to the same number again has not kept the record for so long', async () => {
    const stores = [memoryLeaseStore(), memoryLeaseStore()]
    let present = 0
    const store = {
      ...stores[0]!,
      read: (...args: Parameters<LeaseStore['read']>) => stores[present]!.read(...args),
      replace: (...args: Parameters<LeaseStore['replace']>) => stores[present]!.replace(...args),
    }
    const { clock, join } = fleetOf(store)
    join('owner')
    await clock.advance(10)
    const one = join('one')
    await clock.advance(10)
    const { revision } = (await stores[0]!.read('bot', never))!
    one.weather = 'silent'
    await clock.advance(14_000)
    // by now it has waited almost long enough for the record with this revision
    present = 1
    for (let n = 1; n <= revision; n++) {
      const record = { owner: 'else', session: 'anew', term: 1, ttlMs: 15_000, at: n }
      await store.replace('bot', n === 1 ? null : n - 1, writeRecord(record), never)
    }
    one.weather = 'fair'
    await clock.advance(5_000)
    expect(one.links).toHaveLength(0)
    expect(one.lease.status).toMatchObject({ state: 'standby', owner: 'else' })
  })

  test('a store that counts backwards has lost what it had, and is not believed', async () => {
    const store = memoryLeaseStore()
    let writes = 0
    const lossy = {
      ...store,
      replace: async (...args: Parameters<typeof store.replace>) => {
        const revision = await store.replace(...args)
        return ++writes === 2 ? 0 : revision
      },
    }
    const { clock, join } = fleetOf(lossy)
    const one = join('one')
    await clock.advance(4_500)
    expect(one.links[0]!.status).toMatchObject({ state: 'stopped', fault: { code: 'lease-taken' } })
  })
})

describe('the gate', () => {
  const frozen = async () => {
    const { clock, join } = fleetOf()
    const one = join('one')
    await clock.advance(3_000)
    // nothing runs: no timer, no renewal
    clock.sleep(20_000)
    return { clock, one, link: one.links[0]!, transport: one.network.transports[0]! }
  }

  test('a process that wakes too late writes nothing, before any of its timers has fired', async () => {
    const { clock, link, transport } = await frozen()
    const written = transport.sent.length
    const receipt = follow(link.send({ text: 'hello' }))
    await clock.advance(0)
    expect(transport.sent).toHaveLength(written)
    expect(transport.ended).toBe(true)
    expect(link.status).toMatchObject({ state: 'stopped', fault: { code: 'lease-expired' } })
    expect(receipt.value?.fate).not.toBe('delivered')
  })

  test('nor does it hand on what had arrived before', async () => {
    const { clock, join } = fleetOf()
    const one = join('one')
    await clock.advance(1_000)
    const link = one.links[0]!
    const reader = link[Symbol.asyncIterator]()
    for (const text of ['a', 'b']) one.network.current!.frame({ op: 'news', text })
    expect((await reader.next()).value).toMatchObject({ text: 'a' })
    clock.sleep(20_000)
    expect(await reader.next()).toEqual({ done: true, value: undefined })
    expect(link.status.state).toBe('stopped')
  })

  test('nor what arrives then', async () => {
    const { link, transport } = await frozen()
    const heard: unknown[] = []
    link.inbound$.subscribe((message) => heard.push(message))
    transport.frame({ op: 'news', text: 'late' })
    expect(heard).toEqual([])
    expect(link.status.state).toBe('stopped')
  })

  test('a wall clock that says that the machine slept is believed', async () => {
    const { clock, join } = fleetOf()
    const one = join('one')
    await clock.advance(3_000)
    clock.stepWall(60_000)
    expect(one.tenures[0]!.holds()).toBe(false)
    expect(one.tenures[0]!.signal.reason).toMatchObject({ fault: { code: 'lease-expired' } })
    expect(one.links[0]!.status.state).toBe('stopped')
    clock.stepWall(-60_000)
    expect(one.tenures[0]!.holds()).toBe(false)
    await clock.advance(6_000)
    expect(one.lease.status).toMatchObject({ state: 'serving', term: 2 })
  })

  test('it dials nothing for a tenure that is over', async () => {
    const { clock, join } = fleetOf()
    const one = join('one')
    await clock.advance(3_000)
    one.network.current!.lose({ code: 'connection-lost' })
    clock.sleep(20_000)
    await clock.advance(0)
    expect(one.network.transports).toHaveLength(1)
    expect(one.links[0]!.status.state).toBe('stopped')
  })
})

describe('giving it away', () => {
  test('stop() hands the link over, and the other process has it within a second', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(10_000)
    const stopped = follow(one.lease.stop())
    await clock.advance(1_000)
    expect(stopped.settled).toBe(true)
    expect(states(one, other)).toEqual(['stopped', 'serving'])
    expect(one.network.openCount).toBe(0)
    expect(other.lease.link?.status.state).toBe('live')
    expect(other.lease.status.term).toBe(2)
  })

  test('also while a renewal is under way', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(3_000)
    one.weather = 'deaf'
    await clock.advance(1_500)
    one.weather = 'fair'
    void one.lease.stop()
    await clock.advance(1_000)
    expect(states(one, other)).toEqual(['stopped', 'serving'])
  })

  test('yield() leaves it to the others, and asks again where nobody wants it', async () => {
    const { clock, join } = fleetOf()
    const one = join('one')
    await clock.advance(1_000)
    one.lease.yield()
    await clock.advance(1_000)
    expect(one.lease.status).toMatchObject({ state: 'aside', owner: null })
    expect(one.lease.status.nextAt! - clock.wall()).toBeGreaterThan(8_000)
    await clock.advance(12_000)
    expect(one.lease.status).toMatchObject({ state: 'serving', term: 2 })
    one.lease.yield()
    await clock.advance(1_000)
    one.lease.claim()
    await clock.advance(100)
    expect(one.lease.status).toMatchObject({ state: 'serving', term: 3 })
  })

  test('where the record could not be given away it stands aside until another one could have it', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(1_000)
    one.weather = 'silent'
    one.lease.yield()
    await clock.advance(7_000)
    one.weather = 'fair'
    await clock.advance(20_000)
    expect(states(one, other)).toEqual(['aside', 'serving'])
    expect(one.lease.status.nextAt).toBeGreaterThan(clock.wall())
  })

  test('a link that its own program stops gives its lease away', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(1_000)
    void one.links[0]!.stop()
    await clock.advance(1_000)
    expect(states(one, other)).toEqual(['stopped', 'serving'])
  })

  test('where the store does not answer it ends all the same, and the others wait', async () => {
    const { clock, join } = fleetOf()
    const [one, other] = [join('one'), join('other')]
    await clock.advance(1_000)
    one.weather = 'silent'
    const stopped = follow(one.lease.stop())
    await clock.advance(12_000)
    expect(stopped.settled).toBe(true)
    await clock.advance(5_000)
    expect(states(one, other)).toEqual(['stopped', 'serving'])
  })

  const reach: Record<'looking' | 'standby' | 'serving' | 'backoff' | 'aside', (one: Member, fleet: Fleet) => unknown> =
    {
      looking: (one) => Object.assign(one, { weather: 'silent' }),
      standby: (_, { clock }) => clock.advance(30_000),
      serving: (_, { clock }) => clock.advance(100),
      backoff: (one, { clock }) => {
        one.weather = 'down'
        return clock.advance(0)
      },
      aside: async (one, { clock }) => {
        await clock.advance(100)
        one.lease.yield()
        await clock.advance(1_000)
      },
    }
  test.each(Object.keys(reach) as (keyof typeof reach)[])('from %s it can be stopped', async (state) => {
    const fleet = fleetOf()
    if (state === 'standby') fleet.join('owner')
    await fleet.clock.advance(0)
    const one = fleet.join('one')
    await reach[state](one, fleet)
    expect(states(one)).toEqual([state])
    const stopped = follow(one.lease.stop())
    await fleet.clock.advance(4_000)
    expect(stopped.settled).toBe(true)
    expect(one.network.openCount).toBe(0)
    if (state !== 'standby') expect(fleet.clock.pending).toBe(0)
  })
})

describe('its log', () => {
  const logged = (logLanguage: 'en' | 'zh') => {
    const lines: string[] = []
    const at = (level: string) => (text: string) => lines.push(`${level} ${text}`)
    return { lines, logger: { info: at('info'), warn: at('warn'), error: at('error') }, logLanguage }
  }
  const troubled = async (logLanguage: 'en' | 'zh') => {
    const { lines, ...telling } = logged(logLanguage)
    const { clock, join } = fleetOf()
    const one = join('one', telling)
    await clock.advance(20_000)
    one.weather = 'down'
    await clock.advance(60_000)
    one.weather = 'fair'
    await clock.advance(30_000)
    void one.lease.stop()
    await clock.advance(1_000)
    return lines
  }

  test('a cut is told once with its cause, however often the store fails behind it', async () => {
    const lines = await troubled('en')
    expect(lines).toEqual([
      'info bot: this process has it now (term 1)',
      expect.stringMatching(/^warn bot: cut off here, because the lease could not be renewed in time/),
      expect.stringMatching(/^warn bot: nobody can be asked who has it, because .*ECONNREFUSED/),
      'info bot: this process has it now (term 2)',
      'info bot: handed over',
    ])
    expect((await troubled('zh')).map((line) => line.slice(0, 14))).toEqual([
      'info bot：现由本进程',
      'warn bot：本进程已切',
      'warn bot：无法得知由',
      'info bot：现由本进程',
      'info bot：已移交',
    ])
  })

  test('who stands by says when the store fails and when it answers again', async () => {
    const { lines, ...telling } = logged('en')
    const { clock, join } = fleetOf()
    const owner = join('owner')
    await clock.advance(100)
    const one = join('one', telling)
    await clock.advance(100)
    one.weather = 'down'
    await clock.advance(25_000)
    one.weather = 'fair'
    await clock.advance(15_000)
    expect(states(owner, one)).toEqual(['serving', 'standby'])
    expect(lines).toEqual([expect.stringMatching(/^warn bot: nobody/), 'info bot: the lease store answers again'])
  })
})

describe('a link that cannot be made', () => {
  test('leaves the lease to the others, with its fault told', async () => {
    const { clock, join } = fleetOf()
    const one = join('one', {
      link: () => {
        throw new Error('no token in the environment')
      },
    })
    await clock.advance(0)
    const other = join('other')
    await clock.advance(1_000)
    expect(states(one, other)).toEqual(['aside', 'serving'])
    expect(one.lease.status.fault).toMatchObject({ code: 'link-failed', detail: expect.stringContaining('no token') })
    await clock.advance(30_000)
    expect(states(one, other)).toEqual(['standby', 'serving'])
  })

  test('one that does not know its lease is stopped, and the text says what to write', async () => {
    const { clock, join } = fleetOf()
    const one = join('one', {}, { lease: undefined as never })
    await clock.advance(5_000)
    expect(one.lease.status.fault?.detail).toContain('{ lease: tenure }')
    expect(one.links[0]!.status.state).toBe('stopped')
    expect(one.network.openCount).toBe(0)
  })
})

test('the record says who, which start of it, which term and how long, and nothing else', async () => {
  const store = memoryLeaseStore()
  const { clock, join } = fleetOf(store)
  join('one')
  await clock.advance(100)
  const { value } = (await store.read('bot', never))!
  const at = expect.any(Number)
  expect(readRecord(value)).toEqual({ owner: 'one', session: expect.any(String), term: 1, ttlMs: 15_000, at })
  expect(Object.keys(JSON.parse(value))).toEqual(['v', 'owner', 'session', 'term', 'ttlMs', 'at'])
})

test.each<[Record<string, unknown>, string]>([
  [{ store: undefined }, 'lease(): store is undefined; it must be natsLeaseStore()'],
  [{ link: 5 }, 'lease(): link is the number 5; it must be a function that makes the link.'],
  [{ ttlMs: 10 }, 'lease(): ttlMs is the number 10; it must be a whole number from 1000 to 600000.'],
  [{ marginMs: 1 }, 'lease(): marginMs is the number 1; it must be a whole number from 750 to 7500.'],
  [{ graceMs: -1 }, 'lease(): graceMs is the number -1'],
  [{ owner: '' }, 'lease(): owner is a string; it must be well-formed text of 1 to 128'],
  [{ owner: '\ud800' }, 'well-formed text'],
  [{ secret: 'short' }, 'lease(): secret must be a string of 16 characters at least.'],
  [{ colour: 'red' }, '"colour"'],
])('a wrong option is refused at once, by name: %j', (options, text) => {
  expect(() => fleetOf().join('one', options)).toThrow(text)
})
