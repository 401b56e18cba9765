/** Incident 2: a bot between two peers that come and go. The statements about outages and a wrong token, by their numbers. */
import { describe, expect, it } from 'vitest'
import type { FaultCode } from '../../machines/fault.ts'
import { onebot } from '../../src/adapter/onebot.ts'
import { connect } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { rig } from '../small-talk.ts'

const TEN_MINUTES_MS = 600_000

describe('a peer that is down for 10 min', () => {
  it.each([
    ['refuses', 'refused', 30_000],
    ['accepts and drops', 'dropped', 30_000],
    ['answers 503', 'peer-unavailable', 30_000],
    ['lets nobody in', 'upgrade-timeout', 30_000],
  ] satisfies [
    string,
    FaultCode,
    number,
  ][])('incident 2.7 and %s (%s): tried again within 1 s, ever more slowly, and live within %i ms of its return', async (_how, code, backMs) => {
    for (let id = 0; id < 20; id++) {
      const made = rig({ id: `bot-${id}` })
      const { clock, network, link } = made
      await made.live()
      network.healthy = false
      const downAt = clock.now()
      network.current!.lose({ code: 'connection-lost' })
      const waits: number[] = []
      expect(link.status.nextDialAt! - clock.wall()).toBeLessThanOrEqual(1_000)
      while (clock.now() - downAt < TEN_MINUTES_MS) {
        await clock.advance(clock.nextInMs!)
        if (!network.current) continue
        network.current.lose({ code })
        waits.push(link.status.nextDialAt! - clock.wall())
      }
      expect(waits[0]).toBeLessThanOrEqual(2_000)
      expect(waits.at(-1)).toBeGreaterThan(4 * waits[0]!)
      expect(Math.max(...waits)).toBeLessThanOrEqual(backMs)
      const backAt = clock.now()
      network.healthy = true
      while (link.status.state !== 'live') await clock.advance(clock.nextInMs!)
      expect(clock.now() - backAt).toBeLessThanOrEqual(backMs + 100)
      await made.end()
    }
  })
})

describe('a wrong token, as NapCat says it', () => {
  it('incident 2.8 let in and rejected then: one attempt, and the link is parked and blames the credentials', async () => {
    const clock = heapClock()
    const rejection = { status: 'failed', retcode: 1403, data: null, message: 'token验证失败', echo: null }
    const network = new FakeNetwork(clock, { greeting: [rejection] })
    const { transport, lookup } = network
    const link = connect(onebot({ url: 'ws://127.0.0.1:3001/', accessToken: 'wrong' }), { clock, transport, lookup })
    await clock.advance(25)
    network.current?.lose({ code: 'closed-by-peer' }, { code: 1005, reason: '' })
    await clock.advance(86_400_000)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
    expect([network.transports.length, network.openCount, clock.pending]).toEqual([1, 0, 0])
    await link.stop()
  })
})
