/** What a link writes to a log: few lines, and all of it in them. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { FaultCode } from '../../machines/fault.ts'
import type { Logger } from '../../src/outage/outage-log.ts'
import { type Rig, type RigOptions, rig } from '../small-talk.ts'

const LINES_MAX = 10
const ERRORS = 1_328

const written = () => {
  const lines: string[] = []
  const at = (level: string) => (line: string) => void lines.push(`${level} ${line}`)
  const logger: Logger = { info: at('info'), warn: at('warn'), error: at('error') }
  return { lines, logger }
}

const world = (options: RigOptions = {}) => {
  const { lines, logger } = written()
  return { ...rig({ logger, ...options }), lines }
}

/** The link dials, and fails, this often. */
const failDials = async ({ clock, network, link }: Rig, code: FaultCode, count: number) => {
  network.healthy = false
  for (let failed = 0; failed < count; failed++) {
    while (!network.current) await clock.advance(clock.nextInMs!)
    network.current.lose({ code })
  }
  network.healthy = true
  expect(link.status.fault?.code).toBe(code)
}

const untilLive = async ({ clock, link }: Rig) => {
  while (link.status.state !== 'live') await clock.advance(clock.nextInMs!)
}

afterEach(() => vi.restoreAllMocks())

describe('1,328 identical errors', () => {
  it.each<FaultCode>([
    'refused',
    'dropped',
    'peer-unavailable',
  ])('incident 4.2 dials that end with %s: at most ten lines, and an outage of one beginning and one end', async (code) => {
    const made = world({ recordsMax: 10_000 })
    const kinds: string[] = []
    made.link.outages$.subscribe(({ kind }) => kind !== 'fault' && kinds.push(kind))
    await made.live()
    made.network.current!.lose({ code: 'connection-lost' })
    await failDials(made, code, ERRORS)
    await untilLive(made)
    expect(made.lines.length).toBeLessThanOrEqual(LINES_MAX)
    expect(made.lines.at(-1)).toContain(`1 × connection-lost, ${ERRORS} × ${code}`)
    expect(kinds).toEqual(['began', 'ended'])
    await made.end()
  })

  it('incident 4.2 reports that the account is offline, each with its beat: two lines, two transitions', async () => {
    const made = world()
    await made.live()
    const before = made.link.recording.total
    for (let count = 0; count < ERRORS; count++) {
      made.network.current!.frame({ op: 'offline', why: 'logged out' })
      await made.clock.advance(1_000)
    }
    made.network.current!.frame({ op: 'online' })
    expect(made.link.recording.total - before).toBeLessThanOrEqual(3)
    expect(made.lines).toHaveLength(3)
    expect(made.lines[1]).toMatch(/^warn bot is still not live after 10 min and 1 × account-offline\./)
    await made.end()
  })

  it('incident 4.2 codes that nobody scans: parked by the first, one line, one call', async () => {
    let calls = 0
    const greeting = [{ op: 'fail', code: 'login-needed', why: 'the code expired' }]
    const made = world({ script: { greeting }, onParked: () => calls++ })
    for (let count = 0; count < ERRORS; count++) {
      made.network.current?.frame(greeting[0]!)
      await made.clock.advance(100)
    }
    expect([made.lines.length, calls, made.network.transports.length]).toEqual([1, 1, 1])
    expect(made.link.recording.kept.filter(({ to }) => to === 'parked')).toHaveLength(1)
    await made.end()
  })

  it('incident 4.2 losses of a link that is live for a moment each time: at most ten lines in more than a day', async () => {
    const made = world()
    const startedAt = made.clock.now()
    for (let count = 0; count < ERRORS; count++) {
      await untilLive(made)
      made.network.current!.lose({ code: 'connection-lost' })
    }
    await untilLive(made)
    await made.clock.advance(600_000)
    expect(made.clock.now() - startedAt).toBeGreaterThan(86_400_000)
    expect(made.lines.length).toBeLessThanOrEqual(LINES_MAX)
    expect(made.lines.at(-1)).toMatch(/^info bot has been live for 10 min, after \d+ more outages within \d+ h/)
    const told = made.lines.filter((line) => line.startsWith('warn'))
    expect(told[1]).toMatch(/^warn bot is not live \(\d+ times within 9 min\)/)
    await made.end()
  })

  it('a person who resumes a parked link again and again reads of it at the same pace, and is called each time', async () => {
    let calls = 0
    const made = world({
      script: { greeting: [{ op: 'fail', code: 'login-needed', why: 'no' }] },
      onParked: ({ resume }) => {
        calls++
        if (calls < ERRORS) made.clock.setTimeout(resume, 60_000)
      },
    })
    await made.clock.advance(61_000 * ERRORS)
    expect(calls).toBe(ERRORS)
    expect(made.lines.length).toBeLessThanOrEqual(LINES_MAX)
    await made.end()
  })
})

describe('a log', () => {
  it('has a warning with cause and next step when an outage begins, and one line when it is over', async () => {
    const made = world()
    await made.live()
    made.network.current!.lose({ code: 'closed-by-peer', detail: 'code 1012' })
    await failDials(made, 'refused', 3)
    await untilLive(made)
    await made.clock.advance(3_600_000)
    expect(made.lines).toEqual([
      expect.stringMatching(
        /^warn bot is not live, because the peer closed the connection \(code 1012\)\. Usually .* Next: it dials again in \d\.\d s at the latest\.$/,
      ),
      expect.stringMatching(
        /^info bot is live again after \d+\.\d s, 4 attempts and 1 × closed-by-peer, 3 × refused\. The cause: the peer closed the connection \(code 1012\)\.$/,
      ),
    ])
    await made.end()
  })

  it('speaks Chinese when it is asked to', async () => {
    const made = world({ logLanguage: 'zh' })
    await made.live()
    made.network.current!.lose({ code: 'closed-by-peer' })
    await untilLive(made)
    expect(made.lines).toEqual([
      expect.stringMatching(/^warn bot 不在线。原因：对端关闭了连接。.*接下来：最迟 \d\.\d 秒后再次拨号。$/),
      expect.stringMatching(
        /^info bot 已恢复在线，中断 \d\.\d 秒，尝试 1 次，故障：1 × closed-by-peer。原因：对端关闭了连接。$/,
      ),
    ])
    await made.end()
  })

  it('has one error when the link is parked, with the advice, and says again only that it still is', async () => {
    const made = world()
    await made.live()
    made.network.current!.frame({ op: 'fail', code: 'credentials-rejected', why: 'bad token' })
    await made.clock.advance(600_000 + 1)
    expect(made.lines).toEqual([
      'error bot is parked, because the peer rejected our credentials (bad token). Correct the token, then resume the link. Next: nothing, until somebody calls resume().',
      expect.stringMatching(/^warn bot is still parked after 10 min and 1 × credentials-rejected\./),
    ])
    made.link.resume()
    await made.live()
    expect(made.lines.at(-1)).toMatch(/^info bot is live again after 10 min, 1 attempt and/)
    await made.end()
  })

  it('tells at once of another cause, however little time has passed', async () => {
    const made = world()
    await made.live()
    made.network.current!.lose({ code: 'connection-lost' })
    await untilLive(made)
    made.network.current!.lose({ code: 'connection-lost' })
    await untilLive(made)
    made.network.current!.frame({ op: 'offline', why: 'logged out' })
    expect(made.lines.map((line) => line.slice(0, 16))).toEqual([
      'warn bot is not ',
      'info bot is live',
      'warn bot is not ',
    ])
    expect(made.lines[2]).toContain('the account is offline (logged out)')
    await made.end()
  })

  it('tells of a second outage of the same cause when it lasts, and of an order that ended it', async () => {
    const made = world()
    const { network, clock, link, lines } = made
    await made.live()
    network.current!.frame({ op: 'offline', why: 'logged out' })
    network.current!.frame({ op: 'online' })
    await clock.advance(1_000)
    network.current!.frame({ op: 'offline', why: 'logged out' })
    expect(lines).toHaveLength(2)
    await clock.advance(600_000)
    expect(lines).toHaveLength(3)
    expect(lines[2]).toMatch(/^warn bot is not live, because the peer is reachable/)
    link.hold()
    expect(lines[3]).toMatch(/^info bot was put on hold after \d+ min, 0 attempts and 1 × account-offline/)
    await made.end()
  })

  it('tells of any outage that lasts ten minutes, and counts those before it that it did not tell of', async () => {
    const made = world()
    const { network, clock, lines } = made
    await made.live()
    const offline = () => network.current!.frame({ op: 'offline', why: 'logged out' })
    for (let minute = 0; minute < 16; minute++) {
      offline()
      network.current!.frame({ op: 'online' })
      await clock.advance(60_000)
    }
    expect(lines.map((line) => line.slice(0, 4))).toEqual(['warn', 'info', 'warn', 'info'])
    offline()
    await clock.advance(600_000)
    expect(lines.at(-1)).toMatch(/^warn bot is not live \(6 times within 16 min\)/)
    await made.end()
  })

  it('tells at once of a link that is parked in an outage that was only counted', async () => {
    const made = world()
    await made.live()
    const lost = () => made.network.current!.lose({ code: 'connection-lost' })
    lost()
    await untilLive(made)
    lost()
    while (!made.network.current) await made.clock.advance(made.clock.nextInMs!)
    expect(made.lines).toHaveLength(2)
    made.network.current.lose({ code: 'upgrade-unauthorized' })
    expect(made.lines[2]).toMatch(/^error bot is parked, because/)
    await made.end()
  })

  it('forgets what was after ten good minutes', async () => {
    const made = world()
    for (let day = 0; day < 3; day++) {
      await untilLive(made)
      await made.clock.advance(600_001)
      made.network.current!.lose({ code: 'connection-lost' })
    }
    await untilLive(made)
    expect(made.lines.map((line) => line.slice(0, 4))).toEqual(['warn', 'info', 'warn', 'info', 'warn', 'info'])
    await made.end()
  })

  it('holds no secret and no second line, whatever the peer calls its reason', async () => {
    const made = world({ target: { url: 'ws://127.0.0.1:7000/', secrets: ['canary-0123456789'] } })
    await made.live()
    made.network.current!.frame({
      op: 'fail',
      code: 'kicked',
      why: 'canary-0123456789\r\nerror bot is fine \u001b[2J %s %d',
    })
    expect(made.lines).toHaveLength(1)
    expect(made.lines[0]).not.toContain('canary')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(made.lines[0]).not.toMatch(/[\u0000-\u001f]/)
    expect(made.lines[0]).toContain('%s %d')
    await made.end()
  })

  it('that throws is counted, and the link is unharmed', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const fail = () => {
      throw new Error('the disk is full')
    }
    const made = rig({ logger: { info: fail, warn: fail, error: fail } })
    await made.live()
    made.network.current!.lose({ code: 'connection-lost' })
    await untilLive(made)
    expect(made.link.stats.listenerErrors).toBe(2)
    expect(String(warned.mock.calls[0]![0])).toContain('the option "logger"')
    await made.end()
  })

  it('is called as console and pino want it: with itself as `this`, and one string', async () => {
    const calls: [boolean, unknown[]][] = []
    class Pino {
      readonly #isPino = true
      warn(...given: unknown[]) {
        calls.push([this.#isPino, given])
      }
      info = this.warn
      error = this.warn
    }
    const made = rig({ logger: new Pino() })
    const printed = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
    const beside = rig({ logger: console })
    for (const each of [made, beside]) {
      await each.live()
      each.network.current!.lose({ code: 'connection-lost' })
    }
    expect(calls).toEqual([[true, [expect.stringMatching(/^bot is not live/)]]])
    expect(printed.mock.calls).toEqual([calls[0]![1]])
    await made.end()
    vi.spyOn(console, 'info').mockImplementation(() => undefined)
    await beside.end()
  })
})
