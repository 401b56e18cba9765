/** One link from its birth to its end, in virtual time: what users see, and what they can tell it to do. */
import { describe, expect, it } from 'vitest'
import type { StateName } from '../machines/link.ts'
import { HoldfastError } from '../src/error.ts'
import type { LinkStatus } from '../src/explain.ts'
import type { TransitionRecord } from '../src/observe/recorder.ts'
import { follow, type Rig, rig } from './small-talk.ts'

const backoff = async (over: Parameters<typeof rig>[0] = {}): Promise<Rig> => {
  const made = rig(over)
  await made.live()
  made.network.current!.lose({ code: 'connection-lost', detail: 'read ECONNRESET' })
  return made
}

describe('the life of a link', () => {
  it('goes from resolving to live, each step on record with its reason', async () => {
    const { clock, link, live, end } = rig()
    expect(link.status).toEqual({
      id: 'bot',
      state: 'resolving',
      since: clock.wall(),
      attempt: 1,
      fault: null,
      nextDialAt: null,
    })
    await live()
    expect(link.recording.kept.map(({ from, event, to }) => [from, event, to])).toEqual([
      ['resolving', 'endpoint.resolved', 'connecting'],
      ['connecting', 'transport.opened', 'handshaking'],
      ['handshaking', 'peer.welcomed', 'registered'],
      ['registered', 'replay.completed', 'live'],
    ])
    await end()
  })

  it('writes plain records: when, from where, by what, to where, why, in which attempt, and how long it will wait', async () => {
    const { clock, link, end } = await backoff()
    const first = link.recording.kept[0]
    expect(first).toEqual({
      link: 'bot',
      seq: 1,
      at: clock.wall() - 30,
      elapsedMs: 0,
      from: 'resolving',
      event: 'endpoint.resolved',
      to: 'connecting',
      reason: 'endpoint.resolved',
      attempt: 1,
    })
    const last = link.recording.kept.at(-1)!
    expect(last).toEqual({
      link: 'bot',
      seq: 5,
      at: clock.wall(),
      elapsedMs: 30,
      from: 'live',
      event: 'transport.lost',
      to: 'backoff',
      reason: 'connection-lost',
      detail: 'read ECONNRESET',
      attempt: 2,
      delayMs: expect.any(Number),
    })
    expect(link.status.nextDialAt).toBe(clock.wall() + last.delayMs!)
    expect(last.delayMs).toBe(clock.nextInMs)
    await end()
  })

  it('keeps the latest records and counts them all', async () => {
    const { link, live, end } = rig({ recordsMax: 3 })
    await live()
    await end()
    expect(link.recording.total).toBe(6)
    expect(link.recording.kept.map(({ seq }) => seq)).toEqual([4, 5, 6])
  })

  it('tells a deadline by its name, and blames it', async () => {
    const { clock, link, network, end } = rig({ healthy: false, deadlines: { connectMs: 100, handshakeMs: 200 } })
    await clock.advance(100)
    expect(link.recording.kept.at(-1)).toMatchObject({ event: 'after connectDeadline', reason: 'connect-timeout' })
    await clock.advance(link.status.nextDialAt! - clock.wall())
    network.current!.open()
    await clock.advance(200)
    expect(link.recording.kept.at(-1)).toMatchObject({ event: 'after handshakeDeadline', reason: 'handshake-timeout' })
    await end()
  })

  it('does not tell of an old fault when something else happens', async () => {
    const { clock, link, network, live } = await backoff()
    network.healthy = true
    await clock.advance(2_000)
    await live()
    void link.stop()
    await clock.advance(100)
    expect(link.recording.kept.slice(-2).map(({ to, reason, detail }) => ({ to, reason, detail }))).toEqual([
      { to: 'closing', reason: 'operator.stop', detail: undefined },
      { to: 'stopped', reason: 'closed-by-peer', detail: undefined },
    ])
    expect(link.explain().text).not.toContain('ECONNRESET')
  })

  it('counts events that mean nothing in their state, and stays where it is', async () => {
    const { link, network, live, end } = rig()
    await live()
    const before = link.stats.eventsIgnored
    network.current!.frame({ op: 'caught-up' })
    link.resume()
    expect(link.stats.eventsIgnored).toBe(before + 2)
    expect(link.status.state).toBe('live')
    await end()
  })
})

describe('state$', () => {
  it('replays the latest status, tells each change, and completes when the link has stopped', async () => {
    const { clock, link, live } = rig()
    const seen: StateName[] = []
    let completed = 0
    link.state$.subscribe({ next: ({ state }) => seen.push(state), complete: () => completed++ })
    await live()
    void link.stop()
    await clock.advance(100)
    expect(seen).toEqual(['resolving', 'connecting', 'handshaking', 'registered', 'live', 'closing', 'stopped'])
    const late: LinkStatus[] = []
    link.state$.subscribe({ next: (status) => late.push(status), complete: () => completed++ })
    expect(late.map(({ state }) => state)).toEqual(['stopped'])
    expect(completed).toBe(2)
  })

  it('keeps `since` while nothing but the attempts changes', async () => {
    const { clock, link, live, end } = await backoff({ deadlines: { provenMs: 5_000 } })
    await clock.advance(link.status.nextDialAt! - clock.wall())
    await live()
    const { since } = link.status
    expect(link.status.attempt).toBe(2)
    await clock.advance(5_000)
    expect(link.status).toMatchObject({ state: 'live', since, attempt: 1 })
    await end()
  })
})

describe('ready()', () => {
  it('resolves when the link is live, also if it is already', async () => {
    const { link, live, end } = rig()
    const early = follow(link.ready())
    await live()
    expect(early).toMatchObject({ settled: true })
    expect(early.error).toBeUndefined()
    await expect(link.ready()).resolves.toBeUndefined()
    await end()
  })

  it('rejects when the link is parked, with the fault and the advice', async () => {
    const { clock, link, network, end } = rig({ script: {} })
    const waiting = follow(link.ready())
    await clock.advance(20)
    network.current!.frame({ op: 'fail', code: 'credentials-rejected', why: 'wrong token' })
    await clock.advance(0)
    expect(waiting.error).toBeInstanceOf(HoldfastError)
    expect(waiting.error).toMatchObject({
      code: 'parked',
      fault: { code: 'credentials-rejected', detail: 'wrong token' },
      message:
        'bot is parked: the peer rejected our credentials (wrong token). Correct the token, then resume the link.',
    })
    await expect(link.ready()).rejects.toMatchObject({ code: 'parked' })
    await end()
  })

  it('rejects when the link has stopped, and when its signal fires', async () => {
    const { link } = rig({ healthy: false })
    const abort = new AbortController()
    const waiting = link.ready({ signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect(waiting).rejects.toMatchObject({ code: 'aborted', cause: { message: 'enough' } })
    await expect(link.ready({ signal: abort.signal })).rejects.toMatchObject({ code: 'aborted' })
    const stopped = link.ready()
    await link.stop()
    await expect(stopped).rejects.toMatchObject({ code: 'stopped' })
    await expect(link.ready()).rejects.toMatchObject({ code: 'stopped' })
  })
})

describe('hold(), resume() and retry()', () => {
  it('rests on hold from any state, and dials anew on resume', async () => {
    const { link, network, live, end } = rig()
    await live()
    link.hold()
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'held' } })
    expect(network.openCount).toBe(0)
    link.resume()
    expect(link.status).toMatchObject({ state: 'resolving', attempt: 1, fault: null })
    await live()
    await end()
  })

  it('R72 dials now on retry, and in no other state changes anything', async () => {
    const { clock, link, live, end } = await backoff()
    expect(link.status.nextDialAt).toBeGreaterThan(clock.wall())
    link.retry()
    expect(link.recording.kept.at(-1)).toMatchObject({ event: 'dial.invited', reason: 'operator', to: 'resolving' })
    await live()
    link.retry()
    expect(link.status.state).toBe('live')
    link.hold()
    link.retry()
    expect(link.status.state).toBe('parked')
    await end()
  })

  it('does not dial before the time that the peer asked for, not even on retry', async () => {
    const { clock, link, network, live, end } = rig()
    await live()
    network.current!.frame({ op: 'fail', code: 'throttled', why: 'HTTP 429', retryAfterMs: 7_000 })
    const lostAt = clock.now()
    link.retry()
    await clock.advance(6_999)
    expect(network.transports).toHaveLength(1)
    await clock.advance(1_400)
    expect(network.transports).toHaveLength(2)
    expect(network.transports[1]!.dialedAt - lostAt).toBeGreaterThanOrEqual(7_000)
    await end()
  })

  it('R90 believes a doubtful refusal when it comes twice in a row', async () => {
    const { clock, link, network, end } = rig({ healthy: false })
    await clock.advance(10)
    network.current!.lose({ code: 'upgrade-forbidden', detail: 'HTTP 403' })
    expect(link.status.state).toBe('backoff')
    await clock.advance(1_000)
    network.current!.lose({ code: 'refused' })
    await clock.advance(2_000)
    network.current!.lose({ code: 'upgrade-forbidden', detail: 'HTTP 403' })
    expect(link.status.state).toBe('backoff')
    await clock.advance(5_000)
    network.current!.lose({ code: 'upgrade-forbidden', detail: 'HTTP 403' })
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'upgrade-forbidden' } })
    await end()
  })
})

describe('commands from listeners', () => {
  it('may stop the link from within state$', async () => {
    const { clock, link } = rig()
    link.state$.subscribe(({ state }) => {
      if (state === 'live') void link.stop()
    })
    await clock.advance(200)
    expect(link.status.state).toBe('stopped')
    expect(clock.pending).toBe(0)
  })

  it('may hold, resume and retry from within transitions$, where status is already the new one', async () => {
    const { clock, link, network, live, end } = rig()
    const seen: [TransitionRecord, LinkStatus][] = []
    link.transitions$.subscribe((record) => {
      seen.push([record, link.status])
      if (record.to === 'backoff') link.retry()
      if (record.to === 'parked') link.resume()
    })
    await live()
    network.current!.lose({ code: 'connection-lost' })
    await live()
    link.hold()
    await live()
    for (const [{ to }, { state }] of seen) expect(state).toBe(to)
    expect(seen.map(([{ to }]) => to).filter((to) => to === 'live')).toHaveLength(3)
    await end()
    expect(clock.pending).toBe(0)
  })
})

describe('explain()', () => {
  const lines: [StateName, string, string][] = []

  it('says in English and Chinese where it is, why, and what comes next', async () => {
    const { clock, link, network, end } = rig({ script: {} })
    const note = () => lines.push([link.status.state, link.explain().text, link.explain({ language: 'zh' }).text])
    await clock.advance(10)
    note()
    network.current!.lose({ code: 'refused', detail: 'connect ECONNREFUSED' })
    expect(link.explain()).toEqual({
      state: 'backoff',
      because:
        'nothing listens on that port (connect ECONNREFUSED). Start the peer, or correct the port. The link comes back by itself.',
      next: 'it dials again',
      inMs: link.status.nextDialAt! - clock.wall(),
      text: expect.stringContaining('bot is waiting before the next dial (attempt 2). Because nothing listens'),
    })
    expect(link.explain({ language: 'zh' })).toMatchObject({
      because: '该端口没有程序在监听（connect ECONNREFUSED）。启动对端，或更正端口；连接会自行恢复。',
      next: '再次拨号',
      inMs: link.status.nextDialAt! - clock.wall(),
    })
    note()
    await clock.advance(2_000)
    network.current!.frame({ op: 'welcome', replaying: true })
    note()
    network.current!.frame({ op: 'caught-up' })
    note()
    link.hold()
    expect(link.explain()).toMatchObject({ inMs: null, next: 'nothing, until somebody calls resume()' })
    note()
    await end()
    note()
    expect(lines.map(([state]) => state)).toEqual(['handshaking', 'backoff', 'registered', 'live', 'parked', 'stopped'])
    for (const [state, en, zh] of lines) {
      expect(en, state).toMatch(/^bot is .+ \(attempt \d+\)\..* Next: .+\.$/)
      expect(zh, state).toMatch(/^bot .+（第 \d+ 次）。.*接下来：.+。$/)
    }
  })

  it('gives no reason where there is none: live is live, and stopped is what was asked for', async () => {
    const { clock, link, live, end } = await backoff()
    await clock.advance(link.status.nextDialAt! - clock.wall())
    await live()
    expect(link.explain().because).toBe('')
    await end()
    expect(link.explain().because).toBe('')
  })
})
