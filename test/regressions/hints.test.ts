/** Regressions of other libraries around sleep and changes of the network. The hints are the test's own. */
import fc from 'fast-check'
import { Subject } from 'rxjs'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { type FaultCode, faults } from '../../machines/fault.ts'
import type { Hint } from '../../src/awake.ts'
import { type Rig, rig } from '../small-talk.ts'

let hints = new Subject<Hint>()
vi.mock('../../src/awake.ts', async (original) => ({ ...(await original<object>()), hintsOf: () => hints }))
beforeEach(() => {
  hints = new Subject()
})

const lose = (made: Rig, code: FaultCode): void => {
  made.network.healthy = false
  made.network.current!.lose({ code })
}

describe('the network changes', () => {
  it.each([
    'connection-lost',
    'refused',
    'dropped',
    'unreachable',
  ] as const)('R13 while the link waits after %s: it dials within 100 ms', async (code) => {
    const made = rig()
    const { clock, network, link } = made
    await made.live()
    lose(made, code)
    for (let n = 0; n < 8; n++) {
      await clock.advance(link.status.nextDialAt! - clock.wall())
      network.current!.lose({ code })
    }
    expect(link.status.nextDialAt! - clock.wall()).toBeGreaterThan(500)
    const dials = network.transports.length
    network.healthy = true
    hints.next('network-changed')
    await clock.advance(100)
    expect(network.transports).toHaveLength(dials + 1)
    expect(link.status.state).toBe('live')
    await made.end()
  })

  it('R13 while the peer is in doubt: the verdict comes with the grace of 2 s, and the next dial within a second of it', async () => {
    const made = rig()
    const { clock, network, link } = made
    await made.live()
    network.healthy = false
    while (link.status.state !== 'degraded.suspect') await clock.advance(clock.nextInMs!)
    hints.next('network-changed')
    network.healthy = true
    network.current!.frame = () => undefined
    await clock.advance(2_000)
    expect(link.status.state).not.toBe('degraded.suspect')
    await clock.advance(1_100)
    expect(link.status.state).toBe('live')
    await made.end()
  })

  it('R15 and fails in every way that it can: no order of its faults, and no hint, parks the link', async () => {
    const ofNetworks = (Object.keys(faults) as FaultCode[]).filter((code) => faults[code].side === 'network')
    expect(ofNetworks.length).toBeGreaterThan(5)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...ofNetworks), { minLength: 1, maxLength: 40 }), async (list) => {
        const made = rig({ healthy: false })
        const { clock, network, link } = made
        await clock.advance(0)
        for (const code of list) {
          network.current!.lose({ code })
          expect(link.status.state).toBe('backoff')
          if (code === 'unreachable') hints.next('network-changed')
          while (!network.current) await clock.advance(clock.nextInMs!)
        }
        network.healthy = true
        await clock.advance(200_000)
        expect(link.status.state).toBe('live')
        await made.end()
      }),
      { numRuns: 100 },
    )
  })
})

describe('the machine wakes up', () => {
  it.each([
    'held',
    'parked by the peer',
    'stopped',
  ])('R67 and the link is %s: nothing is dialed, whatever is hinted', async (how) => {
    const made = rig()
    const { clock, network, link } = made
    await made.live()
    if (how === 'held') link.hold()
    else if (how === 'stopped') void link.stop()
    else network.current!.frame({ op: 'fail', code: 'kicked' })
    await clock.advance(5_000)
    const { state } = link.status
    const records = link.recording.total
    for (let n = 0; n < 20; n++) {
      hints.next(n % 2 ? 'awoke' : 'network-changed')
      await clock.advance(60_000)
    }
    expect([link.status.state, link.recording.total]).toEqual([state, records])
    expect([network.transports.length, clock.pending]).toEqual([1, 0])
    await made.end()
  })

  it('R67 before the link was ever open: what was put to rest stays at rest', async () => {
    const made = rig()
    made.link.hold()
    hints.next('awoke')
    await made.clock.advance(60_000)
    expect(made.link.status.state).toBe('parked')
    expect(made.network.transports).toEqual([])
    await made.end()
  })

  it.each([
    ['connecting', 0],
    ['handshaking', 1],
  ])('R69 in the middle of %s with a peer that is gone: the next attempt begins within 4 s', async (state, steps) => {
    const made = rig({ healthy: false })
    const { clock, network, link } = made
    await clock.advance(0)
    if (steps > 0) network.current!.open()
    await clock.advance(3_000)
    expect(link.status.state).toBe(state)
    clock.sleep(3_600_000)
    network.healthy = true
    hints.next('awoke')
    await clock.advance(4_000)
    expect(network.transports).toHaveLength(2)
    expect(link.status.state).toBe('live')
    await made.end()
  })
})
