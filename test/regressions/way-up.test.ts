/** Regressions of other libraries on the way from a dial to live: orders of events, refusals, flapping, first attempts. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { curves } from '../../machines/delay.ts'
import { type FaultCode, faults } from '../../machines/fault.ts'
import type { FakeTransport } from '../../src/testing/fake-network.ts'
import { DIALS_MAX_A_MINUTE } from '../sim/bounds.ts'
import { follow, politePeer, type Rig, rig } from '../small-talk.ts'

type Telling = (transport: FakeTransport) => void

/** Until it is called off, each transport is told these things, a millisecond apart. */
const script = ({ network, link, clock }: Rig, tellings: () => readonly Telling[]): (() => void) => {
  network.healthy = false
  const subscription = link.state$.subscribe(({ state }) => {
    const transport = network.current
    if (state !== 'connecting' || !transport) return
    tellings().forEach((tell, i) => void clock.setTimeout(() => transport.ended || tell(transport), i + 1))
  })
  return () => subscription.unsubscribe()
}

const open: Telling = (transport) => transport.open()
const ready: Telling = (transport) => transport.ready()
const errs: Telling = (transport) => transport.lose({ code: 'dropped' })
const closes: Telling = (transport) => transport.lose({ code: 'closed-by-peer' }, { code: 1006, reason: '' })
const says =
  (...frames: (object | string)[]): Telling =>
  (transport) => {
    for (const frame of frames) transport.frame(frame)
  }

/** The most that fell into any span of this length. */
const mostWithin = (spanMs: number, at: readonly number[]): number =>
  Math.max(0, ...at.map((from) => at.filter((each) => each >= from && each < from + spanMs).length))

/** No retry needs a person for these. */
const passing = (Object.keys(faults) as FaultCode[]).filter(
  (code) => !['fatal', 'doubtful', 'impaired'].includes(faults[code].kind),
)

const ATTEMPT_MAX_MS = 25_000

describe('events in an odd order', () => {
  const tellings = { open, ready, errs, closes }
  const orders = (names: readonly (keyof typeof tellings)[]): (keyof typeof tellings)[][] =>
    names.length === 0
      ? [[]]
      : names.flatMap((name) => orders(names.filter((each) => each !== name)).map((rest) => [name, ...rest]))
  const all = orders(['open', 'ready', 'errs', 'closes']).flatMap((order) => order.map((_, i) => order.slice(0, i + 1)))

  it.each([
    ...new Set(all.map((order) => order.join(' '))),
  ])('R06 %s: live or waiting within the deadlines, and live when the peer is well', async (order) => {
    const made = rig()
    const { clock, network, link } = made
    const end = script(made, () => order.split(' ').map((name) => tellings[name as keyof typeof tellings]))
    await clock.advance(ATTEMPT_MAX_MS)
    const reached = new Set(link.recording.kept.map(({ to }) => to))
    expect(reached.has('live') || reached.has('backoff')).toBe(true)
    end()
    network.healthy = true
    await clock.advance(ATTEMPT_MAX_MS + 60_000)
    expect(link.status.state).toBe('live')
    await made.end()
  })
})

describe('a server that says what it likes, before and after the welcome', () => {
  const NEWS = { op: 'news' }
  const whims: Telling[] = [
    open,
    ready,
    errs,
    closes,
    says(NEWS, NEWS, NEWS),
    says('<html>', '[]', '{"op":"riddle"}'),
    says({ op: 'welcome' }),
    says({ op: 'welcome', replaying: true }, NEWS),
    says({ op: 'caught-up' }),
    says({ op: 'fail', code: 'session-lost' }),
    says({ op: 'fail', code: 'peer-unavailable' }),
    (transport) => transport.lose({ code: 'refused' }),
    (transport) => transport.lose({ code: 'unreachable' }),
  ]

  it('R09 R49 gets 4 dials out of a second, 52 out of a minute, and 6 transitions for each dial', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(whims.length - 1), { maxLength: 6 }), { minLength: 1 }),
        async (list) => {
          const made = rig()
          const { clock, link } = made
          let dial = 0
          script(made, () => list[dial++ % list.length]!.map((n) => whims[n]!))
          const dials: number[] = []
          const steps: number[] = []
          link.transitions$.subscribe(({ elapsedMs, to }) => {
            steps.push(elapsedMs)
            if (to === 'connecting') dials.push(elapsedMs)
          })
          await clock.advance(180_000)
          expect(mostWithin(1_000, dials)).toBeLessThanOrEqual(4)
          expect(mostWithin(60_000, dials)).toBeLessThanOrEqual(DIALS_MAX_A_MINUTE)
          expect(mostWithin(1_000, steps)).toBeLessThanOrEqual(6 * 4)
          expect(dials.length).toBeGreaterThan(0)
          await made.end()
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('a peer that refuses in the handshake and keeps TCP open', () => {
  it.each(
    passing,
  )('R11 R43 R70 E11 with %s: the socket is given up and dialed again, for ever, by an adapter without any optional hook', async (code) => {
    const made = rig({ script: { ...politePeer, greeting: [{ op: 'fail', code, why: 'not now' }] } })
    const { clock, network, link } = made
    await clock.advance(100)
    expect(network.openCount).toBe(0)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code } })
    await clock.advance(1_800_000)
    expect(network.transports.length).toBeGreaterThan(12)
    expect(link.recording.kept.map(({ to }) => to)).not.toContain('parked')
    network.script.greeting = politePeer.greeting!
    await clock.advance(curves.costly.capMs + 1_000)
    expect(link.status.state).toBe('live')
    await made.end()
  })

  it('R70 says nothing at all: the handshake has a deadline, and its own fault', async () => {
    const made = rig({ script: {} })
    await made.clock.advance(15_100)
    expect(made.network.openCount).toBe(0)
    expect(made.link.status).toMatchObject({ state: 'backoff', fault: { code: 'handshake-timeout' } })
    await made.end()
  })
})

describe('the first attempts', () => {
  it.each([
    'name-unavailable',
    'refused',
    'dropped',
    'peer-unavailable',
    'handshake-timeout',
  ] as const)('R79 fail with %s as the later ones do: the waits grow alike, and ready() waits through them', async (code) => {
    const waits = async (afterLive: boolean) => {
      const made = rig({ healthy: false })
      const { clock, network, link } = made
      if (afterLive) {
        network.healthy = true
        await clock.advance(130_000)
        network.healthy = false
        network.current!.lose({ code })
      }
      const ready = follow(link.ready())
      for (let n = 0; n < 8; n++) {
        await clock.advance((link.status.nextDialAt ?? clock.wall()) - clock.wall() + network.latencyMs)
        network.current?.lose({ code })
      }
      expect(ready.settled).toBe(false)
      const delays = link.recording.kept.flatMap(({ delayMs }) => delayMs ?? []).slice(0, 8)
      network.healthy = true
      await clock.advance(300_000)
      expect([ready.settled, ready.error, link.status.state]).toEqual([true, undefined, 'live'])
      await made.end()
      return delays
    }
    const [first, later] = [await waits(false), await waits(true)]
    expect(first).toHaveLength(8)
    first.forEach((ms, n) => {
      expect(ms / later[n]!).toBeGreaterThan(0.7)
      expect(ms / later[n]!).toBeLessThan(1.4)
    })
  })
})

describe('an hour without a network', () => {
  it('R29 costs what the curve says: 33 quick dials and then one in 5.1 s at most, three transitions each', async () => {
    const made = rig()
    const { clock, network, link } = made
    script(made, () => [(transport) => transport.lose({ code: 'unreachable' })])
    let steps = 0
    link.transitions$.subscribe(() => steps++)
    await clock.advance(3_600_000)
    const { patience, floor } = curves.vacant
    const dialsMax = 1 + patience!.after + 3_600_000 / (floor * patience!.capMs)
    expect(network.transports.length).toBeLessThanOrEqual(dialsMax)
    expect(network.transports.length).toBeGreaterThan(500)
    expect(steps).toBeLessThanOrEqual(3 * dialsMax)
    await made.end()
  })
})

describe('a peer that welcomes and dies', () => {
  const flap = async ({ clock, network, link }: Rig, times: number) => {
    for (let n = 0; n < times; n++) {
      while (link.status.state !== 'live') await clock.advance(clock.nextInMs!)
      network.current!.lose({ code: 'connection-lost' })
    }
  }

  it('R47 5,000 times in a row is dialed still, and held when it is well', async () => {
    const made = rig()
    await flap(made, 5_000)
    expect(made.network.transports).toHaveLength(5_000)
    await made.clock.advance(curves.costly.capMs + 1_000)
    expect(made.link.status.state).toBe('live')
    expect(made.link.recording.total).toBe(6 * 5_000 + 4)
    await made.end()
  })

  it('R53 R73 is dialed ever more slowly although each dial succeeds, says how often, and is forgiven after 120 s', async () => {
    const made = rig()
    const { clock, network, link } = made
    await flap(made, 12)
    const waits = link.recording.kept.flatMap(({ delayMs }) => delayMs ?? [])
    waits.forEach((ms, n) => {
      const full = Math.min(curves.costly.capMs, curves.costly.baseMs * 2 ** n)
      expect(ms).toBeGreaterThanOrEqual(full * curves.costly.floor)
      expect(ms).toBeLessThanOrEqual(full)
    })
    expect(network.transports).toHaveLength(12)
    expect(link.explain().text).toContain('(attempt 13)')
    await clock.advance(curves.costly.capMs + 1_000)
    expect(link.status).toMatchObject({ state: 'live', attempt: 13 })
    await clock.advance(120_000)
    expect(link.status).toMatchObject({ state: 'live', attempt: 1 })
    await made.end()
  })
})
