/** Regressions of other libraries in what their users order: from within listeners, again and again, in the wrong moment. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FaultCode, faults } from '../../machines/fault.ts'
import { stateNames } from '../../machines/link.ts'
import type { Link } from '../../src/link.ts'
import { follow, politePeer, type Rig, rig } from '../small-talk.ts'

const LONGEST_WAIT_MS = 150_000

const orders = {
  hold: (link: Pick<Link, 'hold'>) => link.hold(),
  resume: (link: Pick<Link, 'resume'>) => link.resume(),
  retry: (link: Pick<Link, 'retry'>) => link.retry(),
  replace: (link: Pick<Link, 'replace'>) => link.replace(),
}
type Order = keyof typeof orders
const anOrder = fc.constantFrom(...(Object.keys(orders) as Order[]))

describe('orders from within listeners', () => {
  /** So often a listener does the same in the same state: whoever answers hold with resume for ever gets what he asks for. */
  const TIMES = 4

  const obey = ({ link }: Rig, plan: Record<string, Order>): void => {
    const done: Record<string, number> = {}
    const act = (where: string) => {
      const [order, key] = [plan[where], `${where} ${plan[where]}`]
      done[key] = (done[key] ?? 0) + 1
      if (order && done[key] <= TIMES) orders[order](link)
    }
    link.state$.subscribe(({ state }) => act(state))
    link.transitions$.subscribe(({ to }) => act(to))
    link.inbound$.subscribe(() => act('inbound'))
    link.continuity$.subscribe(() => act('continuity'))
    link.settled$.subscribe(() => act('settled'))
  }

  it('R08 at every transition: records follow one another, and the link is live when it is let', async () => {
    const places = [...stateNames, 'inbound', 'continuity', 'settled']
    const plans = fc.dictionary(fc.constantFrom(...places), anOrder, { minKeys: 1 })
    const troubles = fc.array(fc.constantFrom('lose', 'mute', 'news', 'send', 'offline', 'fatal'), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(plans, troubles, async (plan, list) => {
        const made = rig({ recordsMax: 10_000 })
        const { clock, network, link } = made
        obey(made, plan)
        for (const trouble of list) {
          network.healthy = trouble !== 'mute'
          if (trouble === 'lose') network.current?.lose({ code: 'connection-lost' })
          if (trouble === 'fatal') network.current?.frame({ op: 'fail', code: 'kicked' })
          if (trouble === 'news') network.current?.frame({ op: 'news' })
          if (trouble === 'offline') network.current?.frame({ op: 'offline' })
          if (trouble === 'send') void link.send({ text: 'hello' })
          await clock.advance(7_000)
        }
        const { kept } = link.recording
        kept.slice(1).forEach(({ seq, from }, i) => {
          expect([seq, from]).toEqual([kept[i]!.seq + 1, kept[i]!.to])
        })
        network.healthy = true
        for (let n = 0; n < 10 * TIMES && link.status.state !== 'live'; n++) {
          network.current?.frame({ op: 'online' })
          link.resume()
          await clock.advance(LONGEST_WAIT_MS)
        }
        expect(link.status.state).toBe('live')
        expect(network.openCount).toBe(1)
        await made.end()
      }),
      { numRuns: 150 },
    )
  })
})

describe('orders in any number', () => {
  it('R21 R22 R62 from the first moment on: the last hold or resume counts', async () => {
    const steps = fc.array(fc.tuple(anOrder, fc.nat({ max: 2_000 })), { minLength: 1, maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (list, healthy) => {
        const made = rig({ healthy })
        const { clock, network, link } = made
        for (const [order, ms] of list) {
          orders[order](link)
          await clock.advance(ms)
        }
        network.healthy = true
        await clock.advance(LONGEST_WAIT_MS)
        const last = list.filter(([order]) => order === 'hold' || order === 'resume').at(-1)?.[0]
        expect(link.status.state).toBe(last === 'hold' ? 'parked' : 'live')
        expect(network.openCount).toBe(last === 'hold' ? 0 : 1)
        if (last === 'hold') expect(clock.pending).toBe(0)
        link.resume()
        await clock.advance(LONGEST_WAIT_MS)
        expect(link.status.state).toBe('live')
        await made.end()
      }),
      { numRuns: 150 },
    )
  })
})

const fall = async (made: Rig, code: FaultCode = 'connection-lost'): Promise<void> => {
  await made.live()
  made.network.healthy = false
  made.network.current!.lose({ code })
}

describe('a link that waits', () => {
  it('R17 says at each entry when it will dial, and dials then', async () => {
    const made = rig()
    const { clock, network, link } = made
    const announced: (number | null)[] = []
    link.state$.subscribe(({ state, nextDialAt }) => {
      if (state === 'backoff') announced.push(nextDialAt)
      else expect(nextDialAt).toBeNull()
    })
    await fall(made)
    for (let n = 0; n < 30; n++) {
      const dials = network.transports.length
      const at = link.status.nextDialAt!
      expect(at).toBe(announced.at(-1))
      await clock.advance(at - clock.wall() - 1)
      expect(network.transports).toHaveLength(dials)
      await clock.advance(1)
      expect(network.transports).toHaveLength(dials + 1)
      network.current!.lose({ code: n % 2 ? 'dropped' : 'refused' })
    }
    expect(announced).toHaveLength(31)
    await made.end()
  })

  it('R27 dials when it said, whatever its users send, ask, read and leave meanwhile', async () => {
    const made = rig({ outbox: { messagesMax: 4 } })
    const { clock, network, link } = made
    await fall(made)
    const { nextDialAt } = link.status
    for (let n = 0; n < 10; n++) {
      void link.send({ text: 'x' }, { withinMs: 5 })
      void link.send({ text: 'x' }, { idempotencyKey: `k${n}` })
      follow(link.call('ask', { text: 'x' }, { failFast: n % 2 === 0, withinMs: 7 }))
      link.inbound$.subscribe().unsubscribe()
      link.state$.subscribe().unsubscribe()
      link.settled$.subscribe().unsubscribe()
      const reader = link[Symbol.asyncIterator]()
      follow(reader.next())
      void reader.return?.()
      const abort = new AbortController()
      follow(link.ready({ signal: abort.signal }))
      abort.abort()
      link.replace()
      link.resume()
      link.explain()
      await clock.advance(10)
      expect(link.status).toMatchObject({ state: 'backoff', nextDialAt })
    }
    network.healthy = true
    await clock.advance(nextDialAt! - clock.wall() - 1)
    expect(network.transports).toHaveLength(1)
    await clock.advance(1)
    expect(network.transports).toHaveLength(2)
    await made.live()
    await made.end()
  })

  it.each(['hold', 'stop'] as const)('R57 R68 is told to %s: the timer is gone in the same turn', async (order) => {
    const made = rig()
    const { clock, network, link } = made
    await fall(made)
    // its own timer, and that of the breaker of its endpoint, which outlives a link that rests
    expect(clock.pending).toBe(2)
    if (order === 'hold') link.hold()
    else void link.stop()
    expect(clock.pending).toBe(order === 'hold' ? 1 : 0)
    await clock.advance(3_600_000)
    expect(clock.pending).toBe(0)
    expect(network.transports).toHaveLength(1)
    await made.end()
  })
})

describe('retry() and resume()', () => {
  it.each([1, 50, 500])('R61 after %i failures the next dial is made at once', async (failures) => {
    const made = rig()
    const { clock, network, link } = made
    await fall(made)
    for (let n = 0; n < failures; n++) {
      await clock.advance(link.status.nextDialAt! - clock.wall())
      network.current!.lose({ code: n % 3 ? 'refused' : 'connection-lost' })
    }
    const dials = network.transports.length
    link.retry()
    await clock.advance(0)
    expect(network.transports).toHaveLength(dials + 1)
    network.current!.frame({ op: 'fail', code: 'kicked' })
    expect(link.status.state).toBe('parked')
    link.retry()
    await clock.advance(60_000)
    expect(network.transports).toHaveLength(dials + 1)
    network.healthy = true
    link.resume()
    await clock.advance(100)
    expect(link.status.state).toBe('live')
    await made.end()
  })
})

describe('a link that gives up', () => {
  const final = (Object.keys(faults) as FaultCode[]).filter((code) => faults[code].kind === 'fatal')

  it.each(
    final,
  )('R23 for %s says which fault, of which kind, what the peer said, and what a person can do', async (code) => {
    const made = rig({ script: { ...politePeer, greeting: [{ op: 'fail', code, why: 'because I say so' }] } })
    const { clock, link } = made
    await clock.advance(100)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code, detail: 'because I say so' } })
    expect(link.recording.kept.at(-1)).toMatchObject({
      event: 'transport.lost',
      to: 'parked',
      reason: code,
      detail: 'because I say so',
    })
    const { text, next } = link.explain()
    expect(text).toContain(faults[code].because.en)
    expect(text).toContain('because I say so')
    expect(text).toContain(faults[code].advice.en)
    expect(next).toContain('resume()')
    await clock.advance(3_600_000)
    expect(made.network.transports).toHaveLength(1)
    await made.end()
  })
})
