/** The watch over a whole link, in virtual time: how soon a dead peer is noticed, and what is no reason to doubt one. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { satori } from '../src/adapter/satori.ts'
import { connect, type Link } from '../src/link.ts'
import { FakeNetwork, FakeTransport } from '../src/testing/fake-network.ts'
import { type HeapClock, heapClock, seededRandom } from '../src/testing/heap-clock.ts'
import { onebotRig } from './onebot-rig.ts'
import { follow, type Rig, type RigOptions, rig } from './small-talk.ts'

/** The states that it went through since it was live, with milliseconds. */
const wayOf = (link: Pick<Link, 'recording'>): string[] =>
  link.recording.kept
    .filter(({ from, to }) => from !== to)
    .map(({ to, elapsedMs }) => `${to} ${elapsedMs}`)
    .slice(4)

/** Milliseconds until the link has given the transport up. */
const noticed = async ({ clock, link }: { clock: HeapClock; link: Pick<Link, 'status'> }): Promise<number> => {
  const since = clock.now()
  while (link.status.state !== 'backoff') await clock.advance(clock.nextInMs!)
  expect(link.status.fault?.code).toBe('heartbeat-timeout')
  return clock.now() - since
}

const frozen = async (afterMs: number, options: RigOptions = {}): Promise<Rig> => {
  const made = rig(options)
  await made.live()
  await made.clock.advance(afterMs)
  made.network.healthy = false
  return made
}

/** When the link pinged from now on, and when it last heard anything. */
const listenIn = ({ clock, network }: Pick<Rig, 'clock' | 'network'>) => {
  const heard = { pings: [] as number[], at: clock.now() }
  const { pinged } = network
  network.pinged = (peer, mark) => {
    heard.pings.push(clock.now())
    pinged.call(network, peer, mark)
  }
  const { frame, pong } = FakeTransport.prototype
  vi.spyOn(FakeTransport.prototype, 'frame').mockImplementation(function (this: FakeTransport, said) {
    heard.at = clock.now()
    frame.call(this, said)
  })
  vi.spyOn(FakeTransport.prototype, 'pong').mockImplementation(function (this: FakeTransport, mark) {
    heard.at = clock.now()
    pong.call(this, mark)
  })
  return heard
}

afterEach(() => vi.restoreAllMocks())

describe('a peer that freezes while the link is idle', () => {
  it.each([
    0, 5, 1_234, 7_999, 8_010, 8_025, 20_000,
  ])('R16 R64 R87 E4 %i ms after it went live is given up within 15 s by the defaults', async (ms) => {
    const made = await frozen(ms)
    expect(await noticed(made)).toBeLessThanOrEqual(15_000)
    await made.end()
  })

  const tightest = {
    heartbeat: { quietMs: 2_000, answerMinMs: 500, answerMaxMs: 500 },
    deadlines: { graceMs: 500 },
  }

  it.each([
    0, 5, 1_234, 1_999, 2_010, 2_025, 20_000,
  ])('R16 %i ms after it went live is given up within 3 s with an interval of 2 s and a deadline of 1 s', async (ms) => {
    const made = await frozen(ms, tightest)
    expect(await noticed(made)).toBeLessThanOrEqual(3_000)
    await made.end()
  })

  it('is asked three times before it is given up: once, and twice while it is suspected', async () => {
    const made = await frozen(4_000)
    const { pings } = listenIn(made)
    await noticed(made)
    expect(pings).toHaveLength(3)
    await made.end()
  })

  it('and thaws within the grace keeps its transport', async () => {
    const made = await frozen(1_000)
    while (made.link.status.state !== 'degraded.suspect') await made.clock.advance(made.clock.nextInMs!)
    await made.clock.advance(500)
    made.network.healthy = true
    await made.clock.advance(1_500)
    expect(made.link.status.state).toBe('live')
    expect(made.network.transports).toHaveLength(1)
    await made.end()
  })
})

describe('a peer that freezes while a call waits', () => {
  it.each([10, 1_234, 7_999, 8_025, 20_000])('%i ms after it went live is given up within 4 s', async (ms) => {
    const made = await frozen(ms)
    const answer = follow(made.link.call('ask', { text: 'are you there' }))
    expect(await noticed(made)).toBeLessThanOrEqual(4_000)
    await made.clock.advance(0)
    expect(answer.error).toMatchObject({ code: 'uncertain' })
    await made.end()
  })

  /** From the call, or from the last sign of life if one was still under way, until the link gave the transport up. */
  const patience = async (roundTrip: () => number, afterMs: number): Promise<number> => {
    const made = rig()
    const { clock, link, network } = made
    Object.defineProperty(network, 'latencyMs', { get: roundTrip })
    await clock.advance(5_000)
    const heard = listenIn(made)
    await clock.advance(60_000 + afterMs)
    network.healthy = false
    const askedAt = clock.now()
    follow(link.call('ask', { text: 'are you there' }))
    await noticed(made)
    expect(wayOf(link)).toHaveLength(2)
    const ms = clock.now() - Math.max(askedAt, heard.at)
    await made.end()
    vi.restoreAllMocks()
    return ms
  }

  const moments = Array.from({ length: 20 }, (_, n) => n * 487)

  it.each([10, 100, 300, 500, 750, 1_000])('is given up within 4 s also with a round trip of %i ms', async (ms) => {
    for (const afterMs of moments) expect(await patience(() => ms, afterMs)).toBeLessThanOrEqual(4_000)
  })

  it.each([
    1, 2, 3,
  ])('is given up within 4.5 s when the round trip is anything up to a second (seed %i)', async (seed) => {
    const random = seededRandom(seed)
    for (const afterMs of moments) {
      expect(await patience(() => random() * 1_000, afterMs)).toBeLessThanOrEqual(4_500)
    }
  })
})

describe('a peer that announced its beats', () => {
  it.each([
    60_000, 3_600_000,
  ])('incident 2.3 every 30 s, and is silent: suspected at 60 to 66 s, given up within 10 s of it (own patience %i ms)', async (quietMs) => {
    const made = await onebotRig({ heartbeat: { quietMs } }, 30_000)
    made.network.healthy = false
    await noticed(made)
    const [suspect, backoff] = wayOf(made.link).map((step) => Number(step.split(' ')[1]))
    // its last sign of life was the answer to the first probe
    const since = 40
    expect(suspect! - since).toBeGreaterThanOrEqual(60_000)
    expect(suspect! - since).toBeLessThanOrEqual(66_000)
    expect(backoff! - suspect!).toBeLessThanOrEqual(10_000)
    await made.end()
  })

  it('incident 2.3 and by the defaults, which do not wait for two beats, is given up within 15 s', async () => {
    const made = await onebotRig({}, 30_000)
    made.network.healthy = false
    expect(await noticed(made)).toBeLessThanOrEqual(15_000)
    await made.end()
  })
})

describe('a peer that wants to be probed', () => {
  it('is not probed with its welcome, but somewhere in its first interval, and then at the interval', async () => {
    const clock = heapClock(3)
    const network = new FakeNetwork(clock, {
      answer: (frame) => {
        const { op } = JSON.parse(String(frame)) as { op: number }
        return op === 3 ? { op: 4, body: { logins: [] } } : op === 1 ? { op: 2 } : undefined
      },
    })
    const { transport, lookup } = network
    const heartbeat = { quietMs: 3_600_000 }
    const link = connect(satori({ url: 'ws://127.0.0.1:5140/satori/v1/events' }), {
      id: 'bot',
      clock,
      transport,
      lookup,
      heartbeat,
    })
    const probes: number[] = []
    const { heard } = network
    network.heard = (peer, frame) => {
      if (JSON.parse(String(frame)).op === 1) probes.push(clock.now())
      heard.call(network, peer, frame)
    }
    await clock.advance(100)
    expect(link.status.state).toBe('live')
    const welcomedAt = link.recording.kept.at(-1)!.elapsedMs
    expect(probes).toEqual([])
    await clock.advance(60_000)
    const [first, ...others] = probes.map((at) => at - welcomedAt)
    expect(first).toBeGreaterThan(0)
    expect(first).toBeLessThan(10_000)
    expect(others.slice(0, 4)).toEqual([1, 2, 3, 4].map((n) => first! + n * 10_000))
    void link.stop()
    await clock.advance(4_000)
    expect(clock.pending).toBe(0)
  })
})

describe('what is no sign of life, and what is one', () => {
  it('incident 2.2 a beat counts within 50 ms although a hundred messages of 500 ms each are queued before it', async () => {
    const made = rig()
    await made.live()
    const { clock, network, link } = made
    const heard = listenIn(made)
    let handled = 0
    const handling = (async () => {
      for await (const _ of link) {
        await new Promise<void>((resolve) => void clock.setTimeout(resolve, 500))
        handled++
      }
    })()
    for (let n = 0; n < 100; n++) network.current!.frame({ op: 'news', n })
    await clock.advance(7_000)
    network.current!.frame({ op: 'a beat, say' })
    const beatAt = clock.now()
    await clock.advance(8_050)
    expect(handled).toBeLessThan(40)
    expect(heard.pings.filter((at) => at > 1_000)).toEqual([beatAt + 8_000])
    await clock.advance(50_000)
    expect(handled).toBe(100)
    await made.end()
    await handling
  })

  it('incident 4.4 a page of HTML every second is none: live is left within 11 s of the last that was', async () => {
    const made = await frozen(3_000)
    const { clock, network, link } = made
    const frozenAt = clock.now()
    const portal = network.current!
    for (let n = 0; n < 60 && link.status.state === 'live'; n++) {
      portal.frame('<html><body>Please log in</body></html>')
      await clock.advance(1_000)
    }
    expect(link.status.state).toBe('degraded.suspect')
    expect(link.recording.kept.at(-1)!.elapsedMs - frozenAt).toBeLessThanOrEqual(11_000)
    await made.end()
  })

  it.each([
    1, 2, 3, 4, 5,
  ])('incident 4.4 whoever is live has heard something valid within 11 s, whatever the peer does (seed %i)', async (seed) => {
    const made = rig()
    const { clock, network, link } = made
    const random = seededRandom(seed)
    const heard = listenIn(made)
    for (let n = 0; n < 2_000; n++) {
      const die = random()
      if (die < 0.02) network.healthy = !network.healthy
      else if (die < 0.3 && link.status.state === 'live' && network.healthy) network.current?.frame({ op: 'news' })
      await clock.advance(Math.floor(random() * 2_000))
      if (link.status.state === 'live') expect(clock.now() - heard.at).toBeLessThanOrEqual(11_000)
    }
    expect(network.transports.length).toBeGreaterThan(3)
    await made.end()
  })
})

describe('a verdict', () => {
  it.each([
    'before',
    'after',
  ])('incident 2.6 with an error and a close in the same tick, %s it: exactly one attempt is scheduled', async (order) => {
    const made = await frozen(4_000)
    const { clock, network, link } = made
    const peer = network.current!
    const break_ = () => {
      peer.lose({ code: 'connection-lost', detail: 'ECONNRESET' })
      peer.lose({ code: 'closed-by-peer' }, { code: 1006, reason: '' })
    }
    const verdictMs = await verdictOf(4_000)
    // timers of the same moment fire in the order in which they were set
    if (order === 'before') clock.setTimeout(break_, verdictMs)
    while (link.status.state !== 'degraded.suspect') await clock.advance(clock.nextInMs!)
    if (order === 'after') clock.setTimeout(break_, 2_000)
    await clock.advance(2_000)
    expect(wayOf(link).at(-1)).toBe(`backoff ${Math.round(clock.now())}`)
    expect(wayOf(link).filter((step) => step.startsWith('backoff'))).toHaveLength(1)
    expect(link.status.attempt).toBe(2)
    network.healthy = true
    await clock.advance(60_000)
    expect(network.transports).toHaveLength(2)
    await made.end()
  })

  /** Milliseconds from the freeze to the verdict, in a world that is the same in every way. */
  const verdictOf = async (afterMs: number): Promise<number> => {
    const made = await frozen(afterMs)
    const ms = await noticed(made)
    await made.end()
    return ms
  }

  it('R65 on one transport leaves nothing behind for the next: no probe, no deadline, no late answer', async () => {
    const made = await frozen(4_000)
    const { clock, network, link } = made
    const { pings } = listenIn(made)
    while (pings.length === 0) await clock.advance(clock.nextInMs!)
    const old = network.current!
    old.lose({ code: 'connection-lost' })
    network.healthy = true
    while (link.status.state !== 'live') await clock.advance(clock.nextInMs!)
    const before = wayOf(link).length
    old.pong('probe.holdfast.2')
    await clock.advance(3_600_000)
    expect(wayOf(link)).toHaveLength(before)
    expect(network.transports).toHaveLength(2)
    await made.end()
  })

  it('R33 is not reached by a beat whose transport is gone', async () => {
    const made = await frozen(4_000)
    const { clock, network, link } = made
    const { pings } = listenIn(made)
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(60_000)
    expect(network.transports.length).toBeGreaterThan(1)
    expect({ pings, live: link.status.state === 'live' }).toEqual({ pings: [], live: false })
    await made.end()
  })
})

describe('our own stall', () => {
  it('R18 after a sleep live is left within a second of waking, unless the probe is answered', async () => {
    const dead = await frozen(10_000)
    dead.clock.sleep(600_000)
    await dead.clock.advance(1_000)
    expect(dead.link.status.state).toBe('degraded.suspect')
    await dead.end()
    const alive = rig()
    await alive.live()
    await alive.clock.advance(10_000)
    alive.clock.sleep(600_000)
    await alive.clock.advance(100_000)
    expect(wayOf(alive.link)).toEqual([])
    await alive.end()
  })

  it.each([1_900, 3_500, 60_000])('of %i ms in the middle of a doubt gives the peer its grace anew', async (ms) => {
    const made = await frozen(4_000)
    const { clock, link, network } = made
    while (link.status.state !== 'degraded.suspect') await clock.advance(clock.nextInMs!)
    await clock.advance(10)
    // the probes so far are lost, and the peer is well again
    network.healthy = true
    clock.sleep(ms)
    await clock.advance(1_500)
    expect(link.status.state).toBe('live')
    await clock.advance(600_000)
    expect(network.transports).toHaveLength(1)
    await made.end()
  })

  it('in the middle of a doubt does not save a peer that is gone', async () => {
    const made = await frozen(4_000)
    const { clock, link } = made
    while (link.status.state !== 'degraded.suspect') await clock.advance(clock.nextInMs!)
    clock.sleep(60_000)
    await clock.advance(0)
    expect(link.status.state).toBe('degraded.suspect')
    await clock.advance(2_000)
    expect(link.status.state).toBe('backoff')
    await made.end()
  })

  it('R10 in a handshake leaves the peer time to finish it', async () => {
    const made = rig()
    const { clock, link, network } = made
    network.latencyMs = 600
    await clock.advance(700)
    expect(link.status.state).toBe('handshaking')
    // our request was on its way when the machine slept; its answer comes half a second after waking
    const greetAt = clock.now() + 60_500
    network.healthy = false
    clock.setTimeout(() => {
      network.current?.ready()
      network.current?.frame({ op: 'welcome' })
    }, greetAt - clock.now())
    clock.sleep(60_000)
    await clock.advance(1_000)
    expect(link.status.state).toBe('live')
    expect(network.transports).toHaveLength(1)
    await made.end()
  })

  it('R75 timers that are throttled to one a minute cause probes, and no doubt', async () => {
    const made = rig()
    await made.live()
    const { clock, network, link } = made
    const { pings } = listenIn(made)
    for (let n = 0; n < 100; n++) {
      clock.sleep(60_000)
      await clock.advance(20)
    }
    expect(pings.length).toBeGreaterThanOrEqual(100)
    expect({ way: wayOf(link), transports: network.transports.length }).toEqual({ way: [], transports: 1 })
    await made.end()
  })

  it('incident 2.4 of 100 s costs one probe', async () => {
    const made = rig()
    await made.live()
    const { clock, link } = made
    await clock.advance(5_000)
    const { pings } = listenIn(made)
    clock.sleep(100_000)
    await clock.advance(500)
    expect({ pings: pings.length, way: wayOf(link) }).toEqual({ pings: 1, way: [] })
    await made.end()
  })

  it.each([-86_400_000, 86_400_000])('R96 a wall clock that is set by %i ms moves no deadline', async (ms) => {
    const made = rig()
    await made.live()
    const { clock, link } = made
    const { pings } = listenIn(made)
    await clock.advance(1_000)
    clock.stepWall(ms)
    await clock.advance(6_900)
    expect({ pings: pings.length, way: wayOf(link) }).toEqual({ pings: 0, way: [] })
    await made.end()
  })

  it.each([0, 1_000, 7_900])('R96 on waking the peer is probed, whatever it last said (%i ms before)', async (ms) => {
    const made = rig()
    await made.live()
    const { clock } = made
    const { pings } = listenIn(made)
    await clock.advance(20)
    made.network.current!.frame({ op: 'news' })
    await clock.advance(ms)
    const before = pings.length
    clock.sleep(60_000)
    await clock.advance(0)
    expect(pings.length).toBe(before + 1)
    await made.end()
  })
})
