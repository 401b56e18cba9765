/** How a link ends from wherever it is, and how it finds its endpoint on each attempt. */
import { describe, expect, it } from 'vitest'
import { type StateName, stateNames } from '../machines/link.ts'
import type { Target } from '../src/adapter/adapter.ts'
import { connect } from '../src/link.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { follow, type Rig, rig, smallTalk, URL_OF_PEER } from './small-talk.ts'

/** How to get a link into each state; the network says nothing by itself. */
const reach: Record<StateName, (made: Rig) => void | Promise<void>> = {
  resolving: () => undefined,
  connecting: ({ clock }) => clock.advance(0),
  handshaking: async ({ clock, network }) => {
    await clock.advance(0)
    network.current!.open()
  },
  registered: async (made) => {
    await reach.handshaking(made)
    made.network.current!.ready()
    made.network.current!.frame({ op: 'welcome', replaying: true })
  },
  live: async (made) => {
    await reach.registered(made)
    made.network.current!.frame({ op: 'caught-up' })
  },
  'degraded.suspect': async (made) => {
    await reach.live(made)
    await made.clock.advance(3_000)
  },
  'degraded.impaired': async (made) => {
    await reach.live(made)
    made.network.current!.frame({ op: 'offline', why: 'logged out' })
  },
  backoff: async (made) => {
    await reach.live(made)
    made.network.current!.lose({ code: 'connection-lost' })
  },
  closing: async (made) => {
    await reach.live(made)
    void made.link.stop()
  },
  parked: async (made) => {
    await reach.live(made)
    made.link.hold()
  },
  stopped: async (made) => {
    await reach.backoff(made)
    await made.link.stop()
  },
}

describe('stop()', () => {
  it.each(
    stateNames,
  )('R07 R30 R77 from %s: resolves within the close deadline, and leaves no timer and no transport', async (state) => {
    const made = rig({ healthy: false, target: { url: 'ws://peer.test/' } })
    const { clock, link, network } = made
    await reach[state](made)
    expect(link.status.state).toBe(state)
    const message = follow(link.send({ text: 'on the way' }))
    const stopped = follow(link.stop())
    await clock.advance(3_000)
    expect(stopped.settled).toBe(true)
    expect(link.status).toMatchObject({ state: 'stopped', nextDialAt: null })
    expect(message.settled).toBe(true)
    expect({ timers: clock.pending, transports: network.openCount }).toEqual({ timers: 0, transports: 0 })
    expect(link.stats.outbox).toMatchObject({ entered: 1, waiting: 0 })
  })

  it('with a drain of 0 it ends now, also when it is closing already', async () => {
    const made = rig({ healthy: false })
    await reach.live(made)
    const written = follow(made.link.send({ text: 'x' }))
    const patient = follow(made.link.stop())
    await made.clock.advance(1_000)
    expect(patient.settled).toBe(false)
    const now = follow(made.link.stop({ drainMs: 0 }))
    await made.clock.advance(0)
    expect([patient.settled, now.settled]).toEqual([true, true])
    expect(written.value?.fate).toBe('uncertain')
    expect(made.clock.pending).toBe(0)
  })

  it('waits for what is under way as long as it was told to', async () => {
    const made = rig({ healthy: false })
    await reach.live(made)
    const written = follow(made.link.send({ text: 'x' }))
    const stopped = follow(made.link.stop({ drainMs: 10_000 }))
    await made.clock.advance(9_999)
    expect(stopped.settled).toBe(false)
    made.network.current!.pong('m1')
    await made.clock.advance(1)
    expect([written.value?.fate, stopped.settled]).toEqual(['delivered', true])
  })

  it('R84 says goodbye before it leaves, and twice is once', async () => {
    const { clock, link, network, live } = rig()
    await live()
    const all = follow(Promise.all([link.stop(), link.stop(), link[Symbol.asyncDispose]()]))
    const { current } = network
    await clock.advance(10)
    expect(all.settled).toBe(true)
    expect(current!.ended).toBe(true)
    expect(link.recording.kept.slice(-2)).toMatchObject([
      { event: 'operator.stop', to: 'closing' },
      { event: 'transport.lost', reason: 'closed-by-peer', to: 'stopped' },
    ])
    await expect(link.stop()).resolves.toBeUndefined()
  })

  it('is also what the signal of the options does, whether it fires later or has fired before', async () => {
    const abort = new AbortController()
    const later = rig({ signal: abort.signal })
    await later.live()
    abort.abort()
    await later.clock.advance(10)
    expect(later.link.status.state).toBe('stopped')
    const never = rig({ signal: abort.signal })
    expect(never.link.status.state).toBe('stopped')
    expect(never.clock.pending).toBe(0)
    expect(never.network.transports).toEqual([])
  })

  it('refuses a drain that makes no sense', async () => {
    const { link, end } = rig()
    for (const drainMs of [-1, 0.5, Number.NaN, 1e12]) expect(() => link.stop({ drainMs })).toThrow(/"drainMs"/)
    expect(link.status.state).toBe('resolving')
    await end()
  })
})

describe('the target', () => {
  it('is asked for on every attempt, so a token may change', async () => {
    let asked = 0
    const target = (): Target => ({ url: URL_OF_PEER, headers: { Authorization: `Bearer token-${++asked}` } })
    const { clock, link, network, live, end } = rig({ target })
    await live()
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(link.status.nextDialAt! - clock.wall())
    await live()
    expect(network.transports.map(({ endpoint }) => endpoint.target.headers?.Authorization)).toEqual([
      'Bearer token-1',
      'Bearer token-2',
    ])
    await end()
  })

  it('may fail once: the link tries again and says whose error it was', async () => {
    let asked = 0
    const target = async (): Promise<Target> => {
      if (++asked === 1) throw new Error('the vault is locked')
      return { url: URL_OF_PEER }
    }
    const { clock, link, live, end } = rig({ target })
    await clock.advance(0)
    expect(link.status).toMatchObject({
      state: 'backoff',
      fault: { code: 'provider-failed', detail: 'Error: the vault is locked' },
    })
    await clock.advance(link.status.nextDialAt! - clock.wall())
    await live()
    await end()
  })

  it.each([
    ['a text', 'no vault', 'no vault'],
    ['nothing', undefined, 'undefined'],
    ['what cannot even be printed', Object.create(null), 'something that cannot be shown'],
  ])('may throw anything, also %s', async (_what, thrown, detail) => {
    const target = () => {
      throw thrown
    }
    const { clock, link, end } = rig({ target })
    await clock.advance(0)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'provider-failed', detail } })
    await end()
  })

  it.each([
    ['no target at all', undefined, /url of adapter "small-talk" is undefined/],
    ['no URL', { url: 'nowhere' }, /is not a URL/],
    ['a wrong scheme', { url: 'ftp://h/' }, /begins with "ftp:"/],
    ['a header on two lines', { url: URL_OF_PEER, headers: { A: 'x\r\ny' } }, /header "A".* on one line/],
  ])('is a fault of the provider when it has %s', async (_what, target, detail) => {
    const { clock, link, end } = rig({ target: () => target as Target })
    await clock.advance(0)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'provider-failed' } })
    expect(link.status.fault?.detail).toMatch(detail)
    await end()
  })

  it('R12 is given up at the resolve deadline; an answer that comes later belongs to nobody', async () => {
    const answers: ((target: Target) => void)[] = []
    const signals: AbortSignal[] = []
    const target = ({ signal }: { signal: AbortSignal }) => {
      signals.push(signal)
      return new Promise<Target>((resolve) => answers.push(resolve))
    }
    const { clock, link, network, end } = rig({ target, deadlines: { resolveMs: 1_000 } })
    await clock.advance(999)
    expect(signals[0]!.aborted).toBe(false)
    await clock.advance(1)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'resolve-timeout' } })
    expect(signals[0]!.aborted).toBe(true)
    answers[0]!({ url: 'ws://127.0.0.1:1/' })
    await clock.advance(1_000)
    expect(link.status.state).toBe('resolving')
    answers[0]!({ url: 'ws://127.0.0.1:2/' })
    answers[1]!({ url: URL_OF_PEER })
    await clock.advance(0)
    expect(network.transports.map(({ endpoint }) => endpoint.target.url)).toEqual([URL_OF_PEER])
    await end()
  })
})

describe('the lookup', () => {
  it('is asked for names and not for addresses', async () => {
    const asked: string[] = []
    const clock = heapClock()
    const { transport } = new FakeNetwork(clock, {}, false)
    const lookup = async (host: string) => {
      asked.push(host)
      return [{ address: '10.0.0.1', family: 4 as const }]
    }
    for (const host of ['127.0.0.1', '[::1]', 'peer.test']) {
      const link = connect(smallTalk({ url: `ws://${host}:7000/` }), { clock, transport, lookup })
      await clock.advance(0)
      expect(link.status.state).toBe('connecting')
      await link.stop()
    }
    expect(asked).toEqual(['peer.test'])
  })

  it.each([
    ['ENOTFOUND', 'name-not-found'],
    ['EAI_AGAIN', 'name-unavailable'],
  ])('R01 that fails with %s leads to %s and to another try', async (code, expected) => {
    const { clock, link, network, live, end } = rig({ target: { url: 'ws://peer.test/' } })
    const { addresses } = network
    network.addresses = () => Promise.reject(Object.assign(new Error(`getaddrinfo ${code} peer.test`), { code }))
    await clock.advance(0)
    expect(link.status.fault).toEqual({ code: expected, detail: `getaddrinfo ${code} peer.test` })
    network.addresses = addresses
    await clock.advance(link.status.nextDialAt! - clock.wall())
    await live()
    await end()
  })

  it('that finds no address has not found the name', async () => {
    const { clock, link, network, end } = rig({ target: { url: 'ws://peer.test/' } })
    network.addresses = () => []
    await clock.advance(0)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'name-not-found' } })
    await end()
  })
})
