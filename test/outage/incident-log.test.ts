/** What a fleet writes to a log: as of a link alone if one is in trouble, and a line for all of them if many are. */
import { Subject } from 'rxjs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Fault, FaultCode } from '../../machines/fault.ts'
import type { LinkStatus } from '../../src/explain.ts'
import { fleet } from '../../src/fleet.ts'
import { FleetLog } from '../../src/fleet-log.ts'
import { OutageWatch } from '../../src/outage/outage.ts'
import type { Logger } from '../../src/outage/outage-log.ts'
import { FakeNetwork, type FakeTransport } from '../../src/testing/fake-network.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { politePeer, rig, smallTalk } from '../small-talk.ts'

const LINKS = 1_000
const LINES_MAX = 10
const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

afterEach(() => vi.restoreAllMocks())

/** As much of a link as its log needs: states in, notices out. */
const fakeLink = (id: string, clock: HeapClock, adapterName: string) => {
  const status$ = new Subject<LinkStatus>()
  const outages = new OutageWatch(id, clock, status$)
  let status: LinkStatus = { id, state: 'live', since: clock.wall(), attempt: 1, fault: null, nextDialAt: null }
  const show = (state: LinkStatus['state'], fault: Fault | null = null) => {
    status = { ...status, state, since: clock.wall(), fault }
    status$.next(status)
  }
  const link = {
    id,
    adapterName,
    outages$: outages.notices$,
    get status() {
      return status
    },
    get outage() {
      return outages.present
    },
  }
  return {
    link,
    fall: (code: FaultCode, detail?: string) => show('backoff', { code, ...(detail && { detail }) }),
    park: (code: FaultCode) => show('parked', { code }),
    recover: () => show('live'),
    hold: () => show('parked', { code: 'held' }),
    stop: () => {
      show('closing')
      status$.complete()
    },
  }
}

const world = (count = LINKS, language: 'en' | 'zh' = 'en') => {
  const clock = heapClock()
  const written: { at: number; text: string }[] = []
  const log = new FleetLog(({ level, text }) => written.push({ at: clock.now(), text: `${level} ${text}` }))
  const links = Array.from({ length: count }, (_, index) => fakeLink(`qq-${index + 1}`, clock, 'onebot'))
  for (const { link } of links) log.follow(link, clock, language)
  return {
    clock,
    links,
    log,
    written,
    lines: () => written.map(({ text }) => text),
    end: () => {
      for (const { stop } of links) stop()
      expect(clock.pending).toBe(0)
    },
  }
}

/** The most lines in any 24 hours. */
const busiestDay = (written: readonly { at: number }[]): number =>
  Math.max(0, ...written.map(({ at }) => written.filter((line) => line.at >= at && line.at < at + DAY_MS).length))

describe('links that fall together', () => {
  it('incident 4.2 are one warning with a count and three names, and one line when the last is back', () => {
    const { clock, links, lines, end } = world(312)
    for (const { fall } of links) {
      fall('closed-by-peer', 'code 1012')
      clock.advanceSync(2)
    }
    clock.advanceSync(SECOND_MS)
    expect(lines()).toEqual([
      "warn 312 links of onebot are not live, because the peer closed the connection (code 1012). Usually a restart of the peer. If it repeats, read the peer's log. Each of them dials again by itself: qq-1, qq-2, qq-3 and 309 more.",
    ])
    for (const { fall, recover } of links) {
      fall('refused')
      clock.advanceSync(SECOND_MS)
      recover()
    }
    expect(lines().slice(1)).toEqual([
      'info 312 links of onebot are live again after 5 min and 312 × closed-by-peer, 312 × refused; the longest was out for 5 min. The cause: the peer closed the connection (code 1012).',
    ])
    end()
  })

  it('are told of again after ten minutes, two hours and then each day, with who is left', () => {
    const { clock, links, lines, end } = world(5)
    for (const { fall } of links) fall('refused')
    clock.advanceSync(5 * MINUTE_MS)
    links[0]!.recover()
    clock.advanceSync(3 * DAY_MS)
    expect(lines().slice(1)).toEqual([
      'warn 4 of 5 links of onebot are still not live after 10 min and 5 × refused: qq-2, qq-3, qq-4 and 1 more. The cause: nothing listens on that port.',
      expect.stringMatching(/^warn 4 of 5 links of onebot are still not live after 2 h 10 min and/),
      expect.stringMatching(/^warn 4 of 5 links of onebot are still not live after 1 d 2 h and/),
      expect.stringMatching(/^warn 4 of 5 links of onebot are still not live after 2 d 2 h and/),
    ])
    end()
    expect(lines().at(-1)).toMatch(/^info 5 links of onebot are 1 live again, 4 stopped after 3 d/)
  })

  it('speak Chinese when they are asked to', () => {
    const { clock, links, lines, end } = world(312, 'zh')
    for (const { fall } of links) fall('closed-by-peer')
    clock.advanceSync(10 * MINUTE_MS + SECOND_MS)
    for (const { recover } of links) recover()
    expect(lines()).toEqual([
      'warn onebot 的 312 个连接不在线。原因：对端关闭了连接。通常是对端重启；若反复出现，请查看对端日志。各连接会自行再次拨号：qq-1、qq-2、qq-3 等 312 个。',
      'warn onebot 的 312 个连接仍不在线，已持续 10 分钟，故障：312 × closed-by-peer：qq-1、qq-2、qq-3 等 312 个。原因：对端关闭了连接。',
      'info onebot 的 312 个连接已恢复在线，历时 10 分钟，最长中断 10 分钟，故障：312 × closed-by-peer。原因：对端关闭了连接。',
    ])
    end()
  })

  it('of different faults are one line with the faults counted, and a detail that they do not share is left out', () => {
    const { clock, links, lines, end } = world(10)
    links.forEach(({ fall }, index) => {
      fall(index < 7 ? 'connection-lost' : 'closed-by-peer', `port ${index}`)
    })
    clock.advanceSync(SECOND_MS)
    expect(lines()).toHaveLength(1)
    expect(lines()[0]).toMatch(
      /^warn 10 links of onebot are not live: 7 × connection-lost, 3 × closed-by-peer\. Most of them because the connection broke without a goodbye\. Nothing/,
    )
    end()
  })

  it('take in who falls of the same later: a frozen server is found out within a minute, and is one story', () => {
    const { clock, links, lines, end } = world()
    for (const { fall } of links) {
      fall('heartbeat-timeout')
      clock.advanceSync(45)
    }
    clock.advanceSync(9 * MINUTE_MS + 20 * SECOND_MS)
    for (const { recover } of links) recover()
    expect(lines()).toEqual([
      expect.stringMatching(/^warn \d\d links of onebot are not live, because the peer has gone silent\./),
      expect.stringMatching(/^warn 1000 links of onebot are still not live after 10 min/),
      expect.stringMatching(/^info 1000 links of onebot are live again after 10 min/),
    ])
    end()
  })

  it('and are back before the line is written are in it, and if all of them are, that line is all', () => {
    const { clock, links, lines, end } = world(100)
    for (const { fall } of links) fall('closed-by-peer')
    clock.advanceSync(500)
    for (const { recover } of links.slice(0, 40)) recover()
    clock.advanceSync(500)
    for (const { recover } of links.slice(40)) recover()
    clock.advanceSync(3 * HOUR_MS)
    for (const { fall, recover } of links) {
      fall('closed-by-peer')
      recover()
    }
    clock.advanceSync(SECOND_MS)
    expect(lines()).toEqual([
      expect.stringMatching(
        / 40 are back, each of the others dials again by itself: qq-41, qq-42, qq-43 and 57 more\.$/,
      ),
      expect.stringMatching(/^info 100 links of onebot are live again after 1\.0 s/),
      expect.stringMatching(/^info 100 links of onebot are live again after 0\.0 s/),
    ])
    end()
  })

  it('and stop before the line is written leave no timer, and a line of one alone is not lost', () => {
    const { links, lines, end } = world(3)
    links[0]!.fall('closed-by-peer')
    expect(lines()).toEqual([])
    end()
    expect(lines()).toEqual([
      expect.stringMatching(/^warn qq-1 is not live, because/),
      expect.stringMatching(/^info qq-1 was stopped after 0\.0 s/),
    ])
  })

  it('are not mixed with those of another adapter, and one that was put on hold is not waited for', () => {
    const { clock, links, log, lines } = world(2)
    const other = fakeLink('tg-1', clock, 'telegram')
    log.follow(other.link, clock, 'en')
    other.fall('closed-by-peer')
    for (const { fall } of links) fall('closed-by-peer')
    clock.advanceSync(SECOND_MS)
    expect(lines().map((line) => line.slice(0, 17))).toEqual(['warn tg-1 is not ', 'warn 2 links of o'])
    links[0]!.hold()
    links[1]!.recover()
    expect(lines()[2]).toMatch(/^info 2 links of onebot are 1 live again, 1 on hold after/)
  })
})

describe('links that wait for a person', () => {
  it('are one error with the advice, also in an incident that was told already', () => {
    const { clock, links, lines, end } = world(100)
    for (const { fall } of links) fall('connection-lost')
    clock.advanceSync(2 * SECOND_MS)
    for (const { park } of links.slice(0, 60)) park('credentials-rejected')
    clock.advanceSync(SECOND_MS)
    for (const { recover } of links.slice(60)) recover()
    expect(lines().slice(1)).toEqual([
      'error 60 links of onebot are parked, because the peer rejected our credentials. Correct the token, then resume the link. Nothing happens until somebody calls resume(): qq-1, qq-2, qq-3 and 57 more.',
      expect.stringMatching(/^info 100 links of onebot are 40 live again, 60 parked after 3\.0 s/),
    ])
    for (const { recover } of links.slice(0, 60)) recover()
    expect(lines().at(-1)).toMatch(/^info 60 links of onebot are live again after 3\.0 s/)
    end()
  })

  it('for months do not keep the others from being told of', () => {
    const { clock, links, lines } = world(3)
    links[0]!.park('credentials-rejected')
    clock.advanceSync(60 * DAY_MS)
    const before = lines().length
    links[1]!.fall('closed-by-peer')
    clock.advanceSync(MINUTE_MS)
    links[1]!.recover()
    expect(lines().slice(before)).toEqual([
      expect.stringMatching(/^warn qq-2 is not live, because the peer closed the connection\./),
      expect.stringMatching(/^info qq-2 is live again after 1 min/),
    ])
    clock.advanceSync(2 * DAY_MS)
    expect(lines().slice(before + 2)).toEqual([
      expect.stringMatching(/^warn qq-1 is still parked after 60 d 4 h/),
      expect.stringMatching(/^warn qq-1 is still parked after 61 d 4 h/),
    ])
  })
})

describe('1,000 links and any number of faults', () => {
  const CODES = ['connection-lost', 'closed-by-peer', 'dropped', 'try-later', 'heartbeat-timeout', 'unknown'] as const

  /** Each second of two days a few links fall, and come back when their time has come. */
  const churn = (seed: number, fallsPerHour: number, outMaxMs: number, codes: readonly FaultCode[]) => {
    const made = world()
    const { clock, links } = made
    const dice = heapClock(seed)
    let falls = 0
    const next = () => {
      const { fall, recover, link } = links[Math.floor(dice.random() * links.length)]!
      if (!link.outage) {
        falls++
        fall(codes[Math.floor(dice.random() * codes.length)]!)
        clock.setTimeout(recover, dice.random() * outMaxMs)
      }
      clock.setTimeout(next, (dice.random() * 2 * HOUR_MS) / fallsPerHour)
    }
    next()
    clock.advanceSync(2 * DAY_MS)
    return { ...made, falls }
  }

  it.each([
    [1, 3_000, 10 * SECOND_MS, CODES],
    [2, 1_000, 30 * MINUTE_MS, CODES],
    [3, 30, MINUTE_MS, CODES.slice(0, 1)],
    [4, 10, 20 * MINUTE_MS, CODES],
    [5, 3, 5 * HOUR_MS, CODES],
  ] as const)('incident 4.2 are ten lines a day at most, and no silent day (dice %i: %i falls an hour)', (seed, perHour, outMaxMs, codes) => {
    const { written, falls } = churn(seed, perHour, outMaxMs, codes)
    expect(falls).toBeGreaterThan(perHour * 30)
    expect(busiestDay(written)).toBeLessThanOrEqual(LINES_MAX)
    expect(written.filter(({ at }) => at > DAY_MS)).not.toEqual([])
  })

  it('incident 4.2 a server that restarts every hour for a day, 1,000 links each time: ten lines at most', () => {
    const { clock, links, written, end } = world()
    for (let hour = 0; hour < 24; hour++) {
      for (const { fall } of links) fall('closed-by-peer')
      for (let times = 0; times < 20; times++) for (const { fall } of links) fall('refused')
      clock.advanceSync(MINUTE_MS)
      for (const { recover } of links) recover()
      clock.advanceSync(HOUR_MS - MINUTE_MS)
    }
    expect(written.length).toBeLessThanOrEqual(LINES_MAX)
    expect(written.filter(({ text }) => text.includes('1000 links')).length).toBeGreaterThanOrEqual(4)
    expect(written.map(({ text }) => text).join()).toMatch(/, after 1000 more outages within 1 h/)
    end()
  })

  it.each([
    [600, MINUTE_MS / 2],
    [30, 15 * MINUTE_MS],
  ])('all of them falling is told, whatever few of them did before on that day (%i times, %i ms)', (times, outMs) => {
    const { clock, links, lines, written, end } = world()
    for (let count = 0; count < times; count++) {
      const { fall, recover } = links[count % 50]!
      fall(CODES[count % CODES.length]!)
      clock.advanceSync(outMs)
      recover()
      clock.advanceSync(30 * SECOND_MS)
    }
    for (const { fall } of links) fall('refused')
    clock.advanceSync(10 * MINUTE_MS)
    expect(lines().at(-1)).toMatch(
      /^warn 1000 links of onebot are not live, .* more outages within .* were only counted\.$/,
    )
    for (const { recover } of links) recover()
    expect(lines().at(-1)).toMatch(/^info 1000 links of onebot are live again/)
    expect(written.length).toBeLessThanOrEqual(LINES_MAX)
    end()
  })
})

describe('a fleet', () => {
  const log = () => {
    const lines: string[] = []
    const at = (level: string) => (line: string) => void lines.push(`${level} ${line}`)
    const logger: Logger = { info: at('info'), warn: at('warn'), error: at('error') }
    return { lines, logger }
  }

  const untilAll = async (clock: HeapClock, links: Iterable<{ status: LinkStatus }>, state: string) => {
    while ([...links].some(({ status }) => status.state !== state)) clock.advanceSync(clock.nextInMs!)
  }

  it('incident 4.2 of 1,000 links whose server goes down writes two lines, and calls for each link that is parked', async () => {
    const clock = heapClock()
    const { lines, logger } = log()
    const parked: string[] = []
    const held = fleet({ logger, trace: false, onParked: ({ id }) => parked.push(id) })
    const networks = Array.from({ length: LINKS }, () => new FakeNetwork(clock, politePeer))
    for (const { transport, lookup } of networks) held.add(smallTalk(), { clock, transport, lookup })
    await clock.advance(SECOND_MS)
    expect([...held].every(({ status }) => status.state === 'live')).toBe(true)
    for (const { current } of networks) current!.lose({ code: 'closed-by-peer', detail: 'code 1012' })
    await clock.advance(2 * MINUTE_MS)
    await untilAll(clock, held, 'live')
    expect(lines).toEqual([
      expect.stringMatching(
        /^warn 1000 links of small-talk are not live, because the peer closed the connection \(code 1012\)/,
      ),
      expect.stringMatching(/^info 1000 links of small-talk are live again after/),
    ])
    for (const { current } of networks) current!.frame({ op: 'fail', code: 'kicked', why: 'elsewhere' })
    await clock.advance(2 * SECOND_MS)
    expect(new Set(parked).size).toBe(LINKS)
    expect(lines[2]).toMatch(
      /^error 1000 links of small-talk are parked, because another session took the account over/,
    )
    expect(lines).toHaveLength(3)
    const stopped = held.stop({ drainMs: 0 })
    await clock.advance(5 * SECOND_MS)
    await stopped
    expect(clock.pending).toBe(0)
  })

  it('of which one link alone is in trouble reads exactly as that link by itself', async () => {
    const story = async (clock: HeapClock, current: () => FakeTransport | undefined) => {
      for (const code of ['connection-lost', 'connection-lost', 'closed-by-peer', 'credentials-rejected'] as const) {
        while (!current()) await clock.advance(clock.nextInMs!)
        await clock.advance(2 * MINUTE_MS)
        current()!.frame({ op: 'fail', code, why: 'as it is' })
        await clock.advance(SECOND_MS)
      }
      await clock.advance(3 * HOUR_MS)
    }
    const alone = log()
    const made = rig({ id: 'bot', logger: alone.logger })
    await story(made.clock, () => made.network.current)

    const clock = heapClock()
    const among = log()
    const held = fleet({ logger: among.logger, trace: false })
    const network = new FakeNetwork(clock, politePeer)
    held.add(smallTalk(), { id: 'bot', clock, transport: network.transport, lookup: network.lookup })
    await story(clock, () => network.current)
    expect(alone.lines.length).toBeGreaterThan(5)
    expect(among.lines).toEqual(alone.lines)
    void held.stop({ drainMs: 0 })
    await clock.advance(5 * SECOND_MS)
    expect(clock.pending).toBe(0)
  })

  it('tells of a link with a logger of its own there, alone', async () => {
    const clock = heapClock()
    const [ours, own] = [log(), log()]
    const held = fleet({ logger: ours.logger, trace: false })
    const networks = [new FakeNetwork(clock, politePeer), new FakeNetwork(clock, politePeer)]
    networks.forEach(({ transport, lookup }, index) => {
      held.add(smallTalk(), {
        id: `bot-${index}`,
        clock,
        transport,
        lookup,
        ...(index === 0 && { logger: own.logger }),
      })
    })
    await clock.advance(SECOND_MS)
    for (const { current } of networks) current!.lose({ code: 'connection-lost' })
    await clock.advance(SECOND_MS)
    expect(own.lines[0]).toMatch(/^warn bot-0 is not live/)
    expect(ours.lines[0]).toMatch(/^warn bot-1 is not live/)
  })

  it('whose logger throws warns of it and holds its links', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const clock = heapClock()
    const fail = () => {
      throw new Error('the disk is full')
    }
    const held = fleet({ logger: { info: fail, warn: fail, error: fail }, trace: false })
    const network = new FakeNetwork(clock, politePeer)
    const link = held.add(smallTalk(), { clock, transport: network.transport, lookup: network.lookup })
    await clock.advance(SECOND_MS)
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(MINUTE_MS)
    expect(String(warned.mock.calls[0]![0])).toContain('The option "logger" of fleet() threw Error: the disk is full')
    expect(link.status.state).toBe('live')
  })
})
