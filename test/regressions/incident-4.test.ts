/** Incident 4: a bot that looked healthy and heard nothing. Its statements about outages, pages of HTML and logouts. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FaultCode } from '../../machines/fault.ts'
import type { HttpOutgoing } from '../../src/adapter/adapter.ts'
import { onebot } from '../../src/adapter/onebot.ts'
import { satori } from '../../src/adapter/satori.ts'
import { connect } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { follow, politePeer, type Rig, rig, UNSPEAKABLE } from '../small-talk.ts'

/** How the peer treats who dials it while it is down; undefined: it accepts TCP, and says nothing. */
const outages: Record<string, FaultCode | undefined> = {
  refused: 'refused',
  dropped: 'dropped',
  erroring: 'peer-unavailable',
  frozen: undefined,
}

describe('after an outage of any length', () => {
  /** Milliseconds from the return of the peer to the answer of a call. */
  const answeredAfter = async (made: Rig, how: string, downMs: number): Promise<number> => {
    const { clock, network, link } = made
    await made.live()
    network.healthy = false
    const downAt = clock.now()
    const code = outages[how]
    if (code) network.current!.lose({ code: 'connection-lost' })
    while (clock.now() - downAt < downMs) {
      await clock.advance(Math.min(clock.nextInMs ?? downMs, downMs - (clock.now() - downAt)))
      if (code) network.current?.lose({ code })
    }
    network.healthy = true
    // what a frozen peer had been sent it answers when it thaws, but for the transport that was given up
    const backAt = clock.now()
    const answer = follow(link.call('ask', { text: 'are you there?' }, { withinMs: 3_600_000 }))
    while (!answer.settled) await clock.advance(clock.nextInMs!)
    expect(answer.value).toBe('are you there?')
    return clock.now() - backAt
  }

  it.each(
    Object.keys(outages).flatMap((how) => [5_000, 37_000, 90_000, 600_000].map((downMs) => [how, downMs] as const)),
  )('incident 4.3 %s for %i ms: a round trip succeeds soon after the return', async (how, downMs) => {
    const made = rig()
    expect(await answeredAfter(made, how, downMs)).toBeLessThanOrEqual(60_000)
    await made.end()
  })

  it.each(Object.keys(outages))('incident 4.3 %s for any time up to 20 min', async (how) => {
    const boundMs = 60_000
    let worstMs = 0
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1_200_000 }), fc.nat(), async (downMs, id) => {
        const made = rig({ id: `bot-${id}` })
        const ms = await answeredAfter(made, how, downMs)
        worstMs = Math.max(worstMs, ms)
        expect(ms).toBeLessThanOrEqual(boundMs)
        await made.end()
      }),
      { numRuns: 60 },
    )
    console.log(`${how}: a round trip ${(worstMs / 1_000).toFixed(1)} s after the return at most`)
  })
})

const PORTAL = '<!doctype html><html><body>Please log in</body></html>'

describe('a page of HTML', () => {
  it.each([
    ['OneBot', onebot({ url: 'ws://127.0.0.1:3001/' })],
    ['Satori', satori({ url: 'ws://127.0.0.1:5140/satori/v1/events' })],
  ])('incident 4.5 in every frame is no welcome for %s: malformed, and a handshake that timed out', async (_name, adapter) => {
    const clock = heapClock()
    const network = new FakeNetwork(clock)
    const { transport, lookup } = network
    const link = connect(adapter as Parameters<typeof connect>[0], { clock, transport, lookup })
    const states = new Set<string>()
    link.state$.subscribe(({ state }) => states.add(state))
    for (let n = 0; n < 20; n++) {
      network.current?.frame(PORTAL)
      await clock.advance(1_000)
    }
    expect(link.recording.kept.map(({ reason }) => reason)).toContain('handshake-timeout')
    expect([...states].sort()).toEqual(['backoff', 'connecting', 'handshaking', 'resolving'])
    expect(link.stats.frames).toMatchObject({ taken: 0, unknown: 0, failed: 0 })
    expect(link.stats.frames.malformed).toBeGreaterThan(10)
    const stopped = follow(link.stop())
    await clock.advance(4_000)
    expect([stopped.settled, clock.pending]).toEqual([true, 0])
  })

  it.each([200, 201, 302, 404, 502])('incident 4.5 with status %i is no answer to a call of Satori', (status) => {
    const { request } = satori({ url: 'ws://127.0.0.1:5140/satori/v1/events' })
    const outgoing = request!('login.get', {}, 'k') as HttpOutgoing
    expect(() => outgoing.read(status, PORTAL)).toThrow()
    expect(() => outgoing.read(200, '{"user":{"id":"1"}}')).not.toThrow()
  })
})

describe('one message that fails', () => {
  it('incident 4.7 in any way changes nothing of the link', async () => {
    const answer = politePeer.answer!
    const made = rig({
      script: { ...politePeer, answer: (frame) => (String(frame).includes('mute') ? undefined : answer(frame)) },
    })
    const { clock, network, link } = made
    await made.live()
    const before = { status: link.status, records: link.recording.total }
    const outcomes = [
      follow(link.send({ text: UNSPEAKABLE })),
      follow(link.call('ask', { text: 'refused' })),
      follow(link.call('ask', { text: 'mute' }, { withinMs: 500 })),
      follow(link.send({ text: 'x'.repeat(20 * 1024 * 1024) })),
    ]
    network.current!.frame({ op: 'refuse', key: 'h1', why: '-1' })
    await clock.advance(1_000)
    expect(outcomes.map(({ settled }) => settled)).toEqual([true, true, true, true])
    expect(outcomes[0]!.value).toMatchObject({ fate: 'refused' })
    expect(outcomes[1]!.error).toMatchObject({ code: 'refused' })
    expect(outcomes[2]!.error).toMatchObject({ code: 'uncertain' })
    expect({ status: link.status, records: link.recording.total }).toEqual(before)
    const next = follow(link.call('ask', { text: 'and now?' }))
    await clock.advance(100)
    expect(next.value).toBe('and now?')
    await made.end()
  })
})

describe('a logout', () => {
  it.each([
    'kicked',
    'account-banned',
    'credentials-rejected',
  ] as const)('incident 4.8 (%s) ends every timer of the link in the same tick, and live too', async (code) => {
    for (const afterMs of [0, 3_000, 8_500, 30_000, 130_000]) {
      const made = rig({ heartbeat: { deafMs: 600_000 } })
      const { clock, network, link } = made
      await made.live()
      network.current!.frame({ op: 'lively', payloadMs: 5_000 })
      await clock.advance(afterMs)
      network.current!.frame({ op: 'online' })
      expect(clock.pending).toBeGreaterThan(1)
      network.current!.frame({ op: 'fail', code, why: 'logged out' })
      expect(link.status).toMatchObject({ state: 'parked', fault: { code } })
      // the breaker of the endpoint, which is no link's, counts on for its 120 s
      expect({ timers: clock.pending, transports: network.openCount }).toEqual({
        timers: afterMs > 120_000 ? 0 : 1,
        transports: 0,
      })
      await clock.advance(3_600_000)
      expect([network.transports.length, clock.pending]).toEqual([1, 0])
      await made.end()
    }
  })
})
