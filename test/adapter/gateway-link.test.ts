/** Links to gateways in virtual time: days of them, rhythms that nobody should follow, and places that nobody should dial. */
import { describe, expect, it } from 'vitest'
import { type DiscordOptions, discord } from '../../src/adapter/discord.ts'
import { type JsonObject, readObject } from '../../src/adapter/json.ts'
import { type QqOptions, qq } from '../../src/adapter/qq.ts'
import { connect } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { ACK, dispatch, hello, invalid, memoryBudget, RECONNECT, ready, resumed } from './gateway-frames.ts'

const TOKEN = 'MTAw.canary.0123456789'
const DAY_MS = 86_400_000

interface World {
  readonly interval?: unknown
  readonly resumeAt?: unknown
  /** What is said to a RESUME. */
  readonly toResume?: () => object
}

/** What the link wrote, with the time. */
interface Heard {
  readonly at: number
  readonly frame: JsonObject
}

const rig = ({ interval, resumeAt, toResume = () => resumed(1_000_000) }: World) => {
  const clock = heapClock()
  const heard: Heard[] = []
  let sessions = 0
  const network = new FakeNetwork(clock, {
    greeting: [hello(interval)],
    answer: (raw) => {
      const frame = readObject(raw)!
      heard.push({ at: clock.now(), frame })
      if (frame.op === 1) return ACK
      if (frame.op === 2) return ready(`S${++sessions}`, { resume_gateway_url: resumeAt })
      return frame.op === 6 ? toResume() : undefined
    },
  })
  const of = (op: number) => heard.filter(({ frame }) => frame.op === op)
  return { clock, network, heard, of, budget: memoryBudget(clock) }
}

const discordRig = (world: World = {}, more: Partial<DiscordOptions> = {}, options: LinkOptions = {}) => {
  const own = rig(world)
  const { clock, network, budget } = own
  const adapter = discord({ token: TOKEN, intents: 1, budget, ...more })
  const lookup = async () => [{ address: '192.0.2.7', family: 4 as const }]
  return { ...own, link: connect(adapter, { id: 'bot', clock, transport: network.transport, lookup, ...options }) }
}

const qqRig = (world: World = {}, more: Partial<QqOptions> = {}) => {
  const own = rig(world)
  const { clock, network, budget } = own
  const adapter = qq({ appId: '1', token: TOKEN, intents: 1, budget, clock, ...more })
  const lookup = async () => [{ address: '192.0.2.7', family: 4 as const }]
  return { ...own, link: connect(adapter, { id: 'bot', clock, transport: network.transport, lookup }) }
}

describe('the heartbeat', () => {
  it('begins somewhere in the first interval, and then comes once in each', async () => {
    const firsts = new Set<number>()
    for (let i = 0; i < 5; i++) {
      const { clock, network, of } = discordRig({}, {}, { id: `bot-${i}` })
      // the rest is lively, so nothing but the rhythm asks for a beat
      const tick = () => {
        network.current?.frame(dispatch(7))
        clock.setTimeout(tick, 1_000)
      }
      clock.advanceSync(i)
      clock.setTimeout(tick, 1_000)
      await clock.advance(500_000)
      const beats = of(1).map(({ at }) => at)
      firsts.add(beats[0]!)
      expect(beats[0]).toBeLessThan(41_250 + 1_000)
      for (const [j, at] of beats.slice(1).entries()) expect(at - beats[j]!).toBe(41_250)
    }
    expect(firsts.size).toBeGreaterThan(1)
  })

  it.each([
    0,
    -1,
    1,
    0.5,
    1e12,
    Number.MAX_VALUE,
  ])('T7: at an announced interval of %j comes once a second at most', async (interval) => {
    const { clock, of, link } = discordRig({ interval })
    await clock.advance(600_000)
    expect(link.status.state).toBe('live')
    const beats = of(1).map(({ at }) => at)
    expect(beats.length).toBeLessThanOrEqual(600)
    expect(beats.length).toBeGreaterThan(0)
    for (const [j, at] of beats.slice(1).entries()) expect(at - beats[j]!).toBeGreaterThanOrEqual(1_000)
  })

  it.each([
    '41250',
    null,
    {},
    [],
  ])('T7: with an interval of %j there is no welcome, and no identify', async (interval) => {
    const { clock, network, heard, link } = discordRig({ interval })
    await clock.advance(60_000)
    expect(network.transports.length).toBeGreaterThan(1)
    expect(heard).toEqual([])
    expect(link.status.fault?.code).toBe('handshake-timeout')
  })

  it('R32: that the peer asks for is no sign of trouble', async () => {
    const { clock, network, of, link } = discordRig()
    await clock.advance(1_000)
    const before = of(1).length
    for (let i = 0; i < 20; i++) network.current!.frame({ op: 1, d: null })
    expect(of(1)).toHaveLength(before + 20)
    await clock.advance(100_000)
    expect(link.status.state).toBe('live')
    expect(network.transports).toHaveLength(1)
  })
})

describe('T3: a session', () => {
  const hostsAfter = async (resumeAt: unknown) => {
    const { clock, network, link, of } = discordRig({ resumeAt })
    await clock.advance(1_000)
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(5_000)
    expect(link.status.state).toBe('live')
    expect(of(6)).toHaveLength(1)
    return network.transports.map(({ endpoint }) => endpoint.target.url)
  }
  const KNOWN = 'wss://gateway.discord.gg/?v=10&encoding=json'

  it('is resumed where Discord says', async () => {
    const place = 'wss://gateway-us-east1-b.discord.gg/?v=10&encoding=json'
    expect(await hostsAfter('wss://gateway-us-east1-b.discord.gg')).toEqual([KNOWN, place])
  })

  it.each([
    ...[
      'ws://gateway.discord.gg/',
      'https://gateway.discord.gg/',
      'file:///etc/passwd',
      'wss://discord.gg.evil.example/',
    ],
    ...['wss://evildiscord.gg/', 'wss://discord.gg@evil.example/', 'wss://user:pw@gateway.discord.gg/'],
    ...[
      'wss://169.254.169.254/',
      'wss://2130706433/',
      'wss://0x7f.1/',
      'wss://[::ffff:127.0.0.1]/',
      'wss://localhost/',
    ],
    ...[
      'wss://gateway.discord.gg:8443/',
      'wss://gateway.discord.gg./',
      'wss://dіscord.gg/',
      'wss://discord.gg%00.evil/',
    ],
    ...['wss://evil.example\\.discord.gg/', ' wss://evil.example/', '//evil.example', `wss://${'a'.repeat(5_000)}.gg/`],
    ...['', 7, null, {}, ['wss://gateway.discord.gg/']],
  ])('that %j offers is resumed at the known endpoint', async (resumeAt) => {
    const urls = await hostsAfter(resumeAt)
    expect(urls).toHaveLength(2)
    for (const url of urls) expect(new URL(url).host).toBe('gateway.discord.gg')
  })
})

describe('goodbyes', () => {
  it('op 7: the session goes on a moment later, and no close frame of ours has ended it', async () => {
    const { clock, network, of, link } = discordRig()
    const told: string[] = []
    link.continuity$.subscribe(({ kind }) => void told.push(kind))
    await clock.advance(1_000)
    network.current!.frame(RECONNECT)
    await clock.advance(2_000)
    expect(of(6)).toHaveLength(1)
    expect(told).toEqual(['new', 'recovered'])
  })

  it('R31: an invalid session is followed by one new one, and not before a second has passed', async () => {
    const { clock, network, of } = discordRig({ toResume: () => invalid(false) })
    await clock.advance(10_000)
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(60_000)
    expect([of(6).length, of(2).length]).toEqual([1, 2])
    expect(of(2)[1]!.at - of(6)[0]!.at).toBeGreaterThanOrEqual(1_000)
  })

  it('R41: a peer that never resumes and welcomes every new session gets what is rationed and no more', async () => {
    const { clock, network, of, link } = discordRig({ toResume: () => invalid(false) })
    link.state$.subscribe(({ state }) => {
      if (state === 'live') clock.setTimeout(() => network.current?.lose({ code: 'connection-lost' }), 130_000)
    })
    await clock.advance(DAY_MS)
    expect(of(2).length).toBeGreaterThan(300)
    expect(of(2).length).toBeLessThanOrEqual(900)
  })

  it('QQ: three days of a cut every half hour cost a new session a day, and no dial without a purpose', async () => {
    const { clock, network, of, link } = qqRig()
    const told: string[] = []
    link.continuity$.subscribe(({ kind }) => void told.push(kind))
    const HALF_HOUR_MS = 1_800_000
    const cut = () => {
      network.current?.frame(RECONNECT)
      clock.setTimeout(cut, HALF_HOUR_MS)
    }
    clock.setTimeout(cut, HALF_HOUR_MS)
    await clock.advance(3 * DAY_MS + HALF_HOUR_MS / 2)
    // 144 cuts, of which three come when a session is a day old
    expect(of(2)).toHaveLength(1 + 3)
    expect(of(6)).toHaveLength(144 - 3)
    expect(network.transports).toHaveLength(145)
    expect(told.filter((kind) => kind === 'gap')).toHaveLength(3)
  })
})

describe('what a bot sends', () => {
  it('stays below 120 frames in any minute, heartbeats included', async () => {
    const { clock, heard, link } = discordRig()
    await clock.advance(1_000)
    for (let i = 0; i < 400; i++) void link.send({ op: 3, d: { i } }, { withinMs: 600_000 })
    await clock.advance(300_000)
    expect(heard.filter(({ frame }) => frame.op === 3)).toHaveLength(400)
    for (const [i, { at }] of heard.entries()) {
      const within = heard.slice(i).filter((later) => later.at < at + 60_000)
      expect(within.length).toBeLessThanOrEqual(120)
    }
  })

  it('and has more than 4,096 bytes is refused alone', async () => {
    const { clock, link } = discordRig()
    await clock.advance(1_000)
    const big = link.send({ op: 8, d: { query: 'x'.repeat(5_000) } })
    const small = link.send({ op: 8, d: { query: 'x' } })
    await clock.advance(5_000)
    expect(await big).toMatchObject({ fate: 'refused', detail: expect.stringContaining('Discord takes 4096 at most') })
    expect(await small).toMatchObject({ fate: 'delivered' })
  })
})
