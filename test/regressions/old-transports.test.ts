/** Regressions of other libraries around a transport that is gone: what it still says, and who waits for its end. */
import { describe, expect, it } from 'vitest'
import { readObject } from '../../src/adapter/json.ts'
import { connect } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { follow, politePeer, type Rig, rig, smallTalk } from '../small-talk.ts'

const untilDial = ({ clock, link }: Rig): Promise<void> => clock.advance(link.status.nextDialAt! - clock.wall())

describe('a transport that is gone', () => {
  it('R20 R40 R76 R88 R92 reaches nothing of the next one, whatever it says and whenever', async () => {
    const made = rig()
    const { clock, network, link } = made
    const heard: unknown[] = []
    link.inbound$.subscribe((message) => heard.push(message))
    await made.live()
    const old = network.current!
    old.lose({ code: 'connection-lost' })
    const babble = () => {
      old.open()
      old.ready()
      old.frame({ op: 'welcome' })
      old.frame({ op: 'news', id: 'late' })
      old.frame({ op: 'offline', why: 'long ago' })
      old.frame({ op: 'fail', code: 'kicked', why: 'long ago' })
      old.frame({ op: 'lively', payloadMs: 1_000 })
      old.pong('probe.holdfast.1')
      old.pong('m1')
      old.lose({ code: 'credentials-rejected' })
      old.lose({ code: 'closed-by-peer' }, { code: 4001, reason: '' })
    }
    const look = () => ({
      status: link.status,
      records: link.recording.total,
      due: [clock.pending, clock.nextInMs],
      open: network.openCount,
      ignored: link.stats.eventsIgnored,
    })
    const states = new Set<string>()
    for (let n = 0; n < 400 && !(states.has('live') && n > 60); n++) {
      const before = look()
      babble()
      expect(look()).toEqual(before)
      states.add(link.status.state)
      await clock.advance(link.status.state === 'backoff' ? untilNext(clock) : 5)
    }
    expect([...states]).toEqual(expect.arrayContaining(['backoff', 'connecting', 'handshaking', 'live']))
    expect(heard).toEqual([])
    expect(network.transports).toHaveLength(2)
    await made.end()
  })

  const untilNext = (clock: HeapClock): number => clock.nextInMs ?? 0

  it('R02 with a peer that never says goodbye is not waited for: the next dial comes when it was announced', async () => {
    const made = rig()
    const { clock, network, link } = made
    await made.live()
    network.healthy = false
    while (link.status.state !== 'backoff') await clock.advance(clock.nextInMs!)
    expect(link.status.fault).toMatchObject({ code: 'heartbeat-timeout' })
    expect(network.openCount).toBe(0)
    await untilDial(made)
    expect(network.transports).toHaveLength(2)
    network.healthy = true
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
    await made.end()
  })

  it.each([
    1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
  ])('R66 E10 that was closed with %i, before or after the welcome, is followed by another', async (code) => {
    const made = rig({ healthy: false })
    const { clock, network, link } = made
    for (const isWelcomed of [false, true, true]) {
      await clock.advance(0)
      const transport = network.current!
      transport.open()
      transport.ready()
      if (isWelcomed) transport.frame({ op: 'welcome' })
      transport.lose({ code: 'closed-by-peer' }, { code, reason: 'so it is' })
      expect(link.status.state).toBe('backoff')
      await untilDial(made)
    }
    expect(network.transports).toHaveLength(4)
    await made.end()
  })
})

describe('numbers on the way out', () => {
  it('R04 E6 keys only rise, through drops and queues and failed dials, and each message is written once', async () => {
    const made = rig({ script: { ...politePeer } })
    const { clock, network } = made
    await made.live()
    const receipts = []
    for (let outage = 0; outage < 10; outage++) {
      network.healthy = false
      network.current!.lose({ code: 'connection-lost' })
      for (let n = 0; n < 5; n++) {
        receipts.push(follow(made.link.send({ text: `${outage}.${n}` })))
        await untilDial(made)
        network.current!.lose({ code: n % 2 ? 'refused' : 'dropped' })
      }
      network.healthy = true
      await clock.advance(130_000)
    }
    const written = network.transports.flatMap(({ sent }) => sent.map((frame) => readObject(frame)!))
    expect(written.map(({ text }) => text)).toEqual(
      Array.from({ length: 50 }, (_, n) => `${Math.floor(n / 5)}.${n % 5}`),
    )
    expect(written.map(({ key }) => key)).toEqual(Array.from({ length: 50 }, (_, n) => `h${n}`))
    expect(receipts.map(({ value }) => value?.fate)).toEqual(Array(50).fill('delivered'))
    await made.end()
  })
})

describe('whatever throws', () => {
  const places = [
    'the URL',
    'the lookup',
    'the transport',
    'the open transport',
    'dialogue()',
    'opened()',
    'probe()',
  ] as const

  it.each(
    places,
  )('R94 %s: no transport is left open, and the link is back when it does not throw any more', async (place) => {
    let isBroken = true
    const throwAt = (here: (typeof places)[number]) => {
      if (isBroken && here === place) throw new Error('not today')
    }
    const clock = heapClock()
    const network = new FakeNetwork(clock, politePeer)
    const { dialogue, ...adapter } = smallTalk(() => {
      throwAt('the URL')
      return { url: 'ws://peer.test/' }
    })
    const link = connect(
      {
        ...adapter,
        probe: (key: string) => {
          throwAt('probe()')
          return JSON.stringify({ op: 'ask', key, text: '' })
        },
        dialogue: (io: Parameters<typeof dialogue>[0]) => {
          throwAt('dialogue()')
          return { ...dialogue(io), opened: () => throwAt('opened()') }
        },
      },
      {
        clock,
        lookup: async () => {
          throwAt('the lookup')
          return network.lookup()
        },
        transport: (endpoint) => {
          throwAt('the transport')
          return (listener) => {
            throwAt('the open transport')
            return network.transport(endpoint)(listener)
          }
        },
      },
    )
    await clock.advance(130_000)
    expect(link.recording.kept.some(({ to }) => to === 'backoff')).toBe(true)
    expect(link.recording.kept.some(({ to }) => to === 'live' && place !== 'probe()')).toBe(false)
    while (link.status.state !== 'backoff') await clock.advance(clock.nextInMs!)
    expect(network.openCount).toBe(0)
    isBroken = false
    await clock.advance(121_000)
    expect(link.status.state).toBe('live')
    expect(network.openCount).toBe(1)
    const stopped = follow(link.stop())
    await clock.advance(60_000)
    expect([stopped.settled, network.openCount, clock.pending]).toEqual([true, 0, 0])
  })
})
