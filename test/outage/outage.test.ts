/** Outages as a link tells of them: when they begin, what is counted, how they end. And the call when a person is needed. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { FaultCode } from '../../machines/fault.ts'
import { fleet } from '../../src/fleet.ts'
import type { OutageNotice } from '../../src/outage/outage.ts'
import type { ParkedNotice } from '../../src/outage/parked.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { politePeer, type Rig, type RigOptions, rig, smallTalk } from '../small-talk.ts'

const world = (options: RigOptions = {}) => {
  const made = rig(options)
  const notices: OutageNotice[] = []
  made.link.outages$.subscribe((notice) => notices.push(notice))
  return { ...made, notices, kinds: () => notices.map(({ kind }) => kind) }
}

/** Every dial fails with this until the network is healthy. */
const failDials = async ({ clock, network }: Rig, code: FaultCode, ms: number) => {
  const end = clock.now() + ms
  network.healthy = false
  while (clock.now() < end) {
    network.current?.lose({ code })
    await clock.advance(Math.min(clock.nextInMs ?? ms, end - clock.now()))
  }
  network.healthy = true
}

describe('an outage', () => {
  it('begins when a live link is lost, counts what comes, and ends when it is live again', async () => {
    const made = world()
    const { clock, network, link, notices, kinds } = made
    await made.live()
    expect([link.outage, notices]).toEqual([null, []])
    const since = clock.wall()
    network.current!.lose({ code: 'closed-by-peer', detail: 'code 1012' })
    expect(link.outage).toMatchObject({ link: 'bot', since, cause: { code: 'closed-by-peer' }, attempts: 0, end: null })
    await failDials(made, 'refused', 20_000)
    while (link.status.state !== 'live') await clock.advance(clock.nextInMs!)
    expect(link.outage).toBeNull()
    expect(kinds()).toEqual(['began', ...Array(notices.length - 2).fill('fault'), 'ended'])
    const { outage } = notices.at(-1)!
    expect(outage).toMatchObject({ cause: { code: 'closed-by-peer' }, latest: { code: 'refused' }, end: 'recovered' })
    expect(outage.faults).toEqual({ 'closed-by-peer': 1, refused: notices.length - 2 })
    expect(outage.attempts).toBe(network.transports.length - 1)
    expect(outage.durationMs).toBe(clock.wall() - since)
    await made.end()
  })

  it('of a link that never was live lasts since its beginning, from the first fault on', async () => {
    const made = world({ healthy: false })
    const { clock, network, link, notices } = made
    const since = link.status.since
    await clock.advance(1_000)
    expect(link.outage).toBeNull()
    network.current!.lose({ code: 'refused' })
    expect(notices).toMatchObject([{ kind: 'began', outage: { since, durationMs: 1_000, attempts: 1 } }])
    await made.end()
    expect(notices.at(-1)).toMatchObject({ kind: 'ended', outage: { end: 'stopped' } })
  })

  it('is none while a suspect recovers; one that does not has been gone since it was suspected', async () => {
    const made = world()
    const { clock, network, link, notices } = made
    await made.live()
    network.healthy = false
    while (link.status.state !== 'degraded.suspect') await clock.advance(clock.nextInMs!)
    expect(notices).toEqual([])
    network.current!.frame({ op: 'news' })
    expect([link.status.state, notices.length]).toEqual(['live', 0])
    while (link.status.state !== 'degraded.suspect') await clock.advance(clock.nextInMs!)
    const since = clock.wall()
    while (!link.outage) await clock.advance(clock.nextInMs!)
    expect(link.outage).toMatchObject({ since, cause: { code: 'heartbeat-timeout' } })
    await made.end()
  })

  it('is one while the account is offline, although the transport stays', async () => {
    const made = world()
    await made.live()
    made.network.current!.frame({ op: 'offline', why: 'logged out' })
    made.network.current!.frame({ op: 'online' })
    expect(made.notices).toMatchObject([
      { kind: 'began', outage: { cause: { code: 'account-offline', detail: 'logged out' } } },
      { kind: 'ended', outage: { end: 'recovered', attempts: 0 } },
    ])
    await made.end()
  })

  it('is ended by a person who puts the link on hold, and is none while that lasts', async () => {
    const made = world()
    const { network, link, notices } = made
    await made.live()
    link.hold()
    expect([notices, link.outage]).toEqual([[], null])
    link.resume()
    await made.live()
    network.current!.lose({ code: 'connection-lost' })
    link.hold()
    expect(notices.map(({ kind, outage }) => [kind, outage.end])).toEqual([
      ['began', null],
      ['ended', 'held'],
    ])
    await made.end()
  })

  it('takes no harm from a listener that throws', async () => {
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const made = world()
    made.link.outages$.subscribe(() => {
      throw new Error('boom')
    })
    await made.live()
    made.network.current!.lose({ code: 'connection-lost' })
    await made.clock.advance(60_000)
    expect([made.link.status.state, made.kinds()]).toEqual(['live', ['began', 'ended']])
    expect(made.link.stats.listenerErrors).toBe(2)
    await made.end()
  })
})

afterEach(() => vi.restoreAllMocks())

describe('onParked', () => {
  const told = (act: (notice: ParkedNotice) => unknown = () => undefined) => {
    const notices: ParkedNotice[] = []
    const onParked = (notice: ParkedNotice) => {
      notices.push(notice)
      return act(notice)
    }
    return { notices, onParked }
  }
  const scan = { op: 'fail', code: 'login-needed', why: 'scan the code' }

  it('is called once, with the fault and advice in English and Chinese', async () => {
    const { notices, onParked } = told()
    const made = rig({ onParked })
    await made.live()
    made.network.current!.frame(scan)
    const since = made.clock.wall()
    for (let more = 0; more < 10; more++) made.network.transports.at(-1)!.frame(scan)
    await made.clock.advance(86_400_000)
    expect(notices).toEqual([
      {
        id: 'bot',
        fault: { code: 'login-needed', detail: 'scan the code' },
        since,
        advice: { en: expect.stringMatching(/^Log in /), zh: expect.stringContaining('请登录') },
        explanation: {
          en: expect.stringMatching(/^bot is parked: .*\(scan the code\).*resume\(\)/),
          zh: expect.stringMatching(/^bot 已停放：.*（scan the code）/),
        },
        resume: expect.any(Function),
      },
    ])
    await made.end()
  })

  it('is called again when the link is parked again, and not for an order to hold', async () => {
    const { notices, onParked } = told()
    const made = rig({ onParked })
    await made.live()
    made.link.hold()
    made.link.resume()
    await made.live()
    expect(notices).toEqual([])
    made.network.current!.frame(scan)
    await made.clock.advance(1_000)
    notices[0]!.resume()
    await made.live()
    made.network.current!.frame(scan)
    await made.clock.advance(1_000)
    expect(notices).toHaveLength(2)
    await made.end()
  })

  it.each<[string, () => unknown]>([
    ['throws', () => expect.fail('thrown')],
    ['rejects', async () => expect.fail('rejected')],
  ])('that %s is counted, and the link is unharmed', async (_how, act) => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const made = rig({ onParked: told(act).onParked })
    await made.live()
    made.network.current!.frame(scan)
    await made.clock.advance(1_000)
    expect(made.link.stats.listenerErrors).toBe(1)
    expect(String(warned.mock.calls[0]![0])).toContain('the option "onParked"')
    made.link.resume()
    await made.live()
    await made.end()
  })

  it('is called after the link is in the hands of who made it, even if its very first step parks it', async () => {
    const script = { greeting: [scan] }
    let state: string | undefined
    const made: Rig = rig({
      script,
      onParked: () => {
        state = made.link.status.state
      },
    })
    await made.clock.advance(100)
    expect(state).toBe('parked')
    await made.end()
  })
})

describe('a fleet', () => {
  it('hands its log and its call to each link that has none of its own', async () => {
    const clock = heapClock()
    const { transport, lookup } = new FakeNetwork(clock, politePeer, false)
    const lines: string[] = []
    const write = (line: string) => void lines.push(line)
    const logger = { info: write, warn: write, error: write }
    const parked: string[] = []
    const held = fleet({ trace: false, logger, logLanguage: 'zh', onParked: ({ id }) => parked.push(id) })
    const ports = { clock, transport, lookup }
    const refusing = {
      transport: () => (listener: Parameters<ReturnType<typeof transport>>[0]) => {
        listener.lost({ code: 'upgrade-unauthorized' })
        return () => undefined
      },
    }
    held.add(smallTalk(), { ...ports, ...refusing, id: 'first' })
    held.add(smallTalk(), {
      ...ports,
      ...refusing,
      id: 'second',
      onParked: () => parked.push('its own'),
      logLanguage: 'en',
    })
    await clock.advance(1_100)
    expect(parked.sort()).toEqual(['first', 'its own'])
    expect(lines.sort()).toEqual([expect.stringMatching(/^first 已停放/), expect.stringMatching(/^second is parked/)])
    await held.stop({ drainMs: 0 })
    expect(() => fleet({ logger: {} as never })).toThrow(expect.objectContaining({ code: 'bad-option' }))
  })
})
