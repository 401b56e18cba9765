/**
 * The acceptance statements of the network layer, 1 to 9: from a name to an open socket, by their numbers. Each with our
 * own dialer, ten times, and beside it what Node makes of the same network. Times are from the call in a warm process.
 */
import { expect, test, vi } from 'vitest'
import { faultFrom } from '../../src/error.ts'
import { addresses, describeInLab, type Outcome, type Setup, setups, zone } from './lab.ts'
import { connectIn, dialIn, labFor, slowest, startDial, take, takeAll } from './measuring.ts'
import type { Reached } from './programs/dial.ts'
import type { Looked, Query } from './programs/lookup.ts'
import { TOO_LATE } from './programs/program.ts'

const RUNS = 10
/** The machine may be busy with something else for a moment; a number that does not hold does not hold three times. */
const patient = { retry: 2 }

const far = (setup: Setup, rttMs: number): Setup => ({ ...setup, shape: { ...setup.shape, v4: { rttMs } } })

const expectWithin = (ms: number, outcomes: readonly Outcome[]) => {
  expect(outcomes).toHaveLength(RUNS)
  expect(outcomes.filter(({ ok }) => !ok)).toEqual([])
  expect(slowest(outcomes)).toBeLessThanOrEqual(ms)
}

describeInLab('network 6.6, to an open socket: IPv6 without a route, IPv4 at 600 ms', () => {
  const held = labFor(far(setups.v6unreach, 600))

  test('network 6.6.1 a socket within 650 ms; net.connect fails within 350 ms', patient, async () => {
    expectWithin(650, await dialIn(held.lab, { runs: RUNS }))
    const node = await connectIn(held.lab, { runs: RUNS, together: true })
    expect(node.map(({ ok }) => ok)).toEqual(Array(RUNS).fill(false))
    expect(slowest(node)).toBeLessThanOrEqual(350)
    for (const { error } of node) expect(error?.errors?.map(({ code }) => code)).toEqual(['ETIMEDOUT', 'ENETUNREACH'])
  })

  test(
    'network 6.6.2 a WebSocket within 2 RTT + 60 ms, TLS and a request within 3 RTT + 250 ms; ws and fetch fail',
    patient,
    async () => {
      const { lab } = held
      const port = lab.server.ports.tls
      expectWithin(2 * 600 + 60, await dialIn(lab, { kind: 'ws', runs: RUNS }))
      expectWithin(3 * 600 + 250, await dialIn(lab, { kind: 'ws', secure: true, port, runs: RUNS }))
      expectWithin(3 * 600 + 250, await dialIn(lab, { kind: 'http', secure: true, port, runs: RUNS }))
      const node = await Promise.all([
        connectIn(lab, { kind: 'ws' }),
        connectIn(lab, { kind: 'ws', secure: true, port }),
        connectIn(lab, { kind: 'fetch', secure: true, port }),
      ])
      expect(node.flat().map(({ ok }) => ok)).toEqual([false, false, false])
    },
  )
})

describeInLab('network 6.6, to an open socket: IPv6 blackholed, IPv4 at 300 ms', () => {
  const aFirst = labFor(far(setups.v6blackhole, 300))
  const aaaaFirst = labFor(far(setups['v6blackhole-gua'], 300))
  const v4 = labFor(far(setups.multi4, 300))

  test(
    'network 6.6.4 AAAA first: within 600 ms, and from memory within 350 ms; Node is as late each time',
    patient,
    async () => {
      const { lab } = aaaaFirst
      const ours = await dialIn(lab, { runs: RUNS, turns: 2 })
      const node = await connectIn(lab, { runs: 2 })
      const turn = (wanted: number) => ours.filter(({ turn }) => turn === wanted)
      expectWithin(250 + 300 + 50, turn(0))
      expectWithin(350, turn(1))
      expect(Math.min(...node.map(({ ms }) => ms))).toBeGreaterThanOrEqual(550)
    },
  )

  test(
    'network 6.6.5 two addresses of each family: within 600 ms by 4 sockets at most; of IPv4 alone within 350 ms',
    patient,
    async () => {
      const { lab } = aaaaFirst
      await lab.wire()
      const ours = await dialIn(lab, { host: 'multi4bh.test', runs: RUNS })
      expectWithin(600, ours)
      expect(Math.max(...ours.map(({ attempts = Number.NaN }) => attempts))).toBeLessThanOrEqual(4)
      expect((await lab.wire()).syns.length).toBeLessThanOrEqual(4 * RUNS)
      expectWithin(350, await dialIn(v4.lab, { runs: RUNS }))
      const node = await Promise.all([connectIn(lab, { host: 'multi4bh.test' }), connectIn(v4.lab, {})])
      expect(slowest(node[0])).toBeGreaterThan(1_000)
      expect(slowest(node[1])).toBeGreaterThan(550)
    },
  )

  test('network 6.6.6 two good addresses at 100 ms: SYNs go to one of them', patient, async () => {
    const { lab } = v4
    await lab.shape({ v4: { rttMs: 100 } })
    await lab.wire()
    expectWithin(150, await dialIn(lab, { runs: RUNS }))
    const { syns } = await lab.wire()
    expect(syns).toHaveLength(RUNS)
    expect(new Set(syns.map(({ address }) => address)).size).toBe(1)
  })

  // What getaddrinfo makes of the same names, 2 s, 15 s and 10 s, is in names.test.ts.
  test('network 6.6.8 an AAAA that is late or never answered: within 400 ms + RTT', patient, async () => {
    const { lab } = aaaaFirst
    await lab.zone({
      '*.late.test': zone['slowaaaa.test']!,
      '*.never.test': zone['noaaaa-answer.test']!,
    })
    const [late, never] = await Promise.all([
      dialIn(lab, { host: 'n*.late.test', runs: RUNS }),
      dialIn(lab, { host: 'n*.never.test', runs: RUNS }),
    ])
    expectWithin(400 + 300, late)
    expectWithin(400 + 300, never)
  })

  test.concurrent('network 6.6.3 A first: within 350 ms; net.connect is not there after 5 s', patient, async () => {
    const { lab } = aFirst
    // one after the other: the tests beside this one only wait by then, and do not disturb
    const node = await connectIn(lab, { runs: RUNS, together: true, withinMs: 5_000 })
    expectWithin(350, await dialIn(lab, { runs: RUNS }))
    expect(node.map(({ error }) => error?.code)).toEqual(Array(RUNS).fill(TOO_LATE))
  })

  test.concurrent(
    'network 6.6.7 all blackholed: one error at the deadline, with every address; no socket is left',
    patient,
    async () => {
      const { lab } = aaaaFirst
      // the clock is that of dial(): names are looked up before it
      const argument = { host: 'allbh.test', addresses: addresses.dead, runs: RUNS, connectMs: 5_000 }
      const ours = await startDial(lab, argument)
      const open = () => lab.sockets().filter(({ peer }) => addresses.dead.some((dead) => peer.includes(dead)))
      await vi.waitFor(() => expect(open()).toHaveLength(addresses.dead.length * RUNS), {
        timeout: 4_000,
        interval: 200,
      })
      const outcomes = await take<Reached>(ours, RUNS)
      expect(open()).toEqual([])
      await ours.close()
      for (const { ms, error } of outcomes) {
        expect(Math.abs(ms - 5_000)).toBeLessThanOrEqual(50)
        expect(error?.name).toBe('DialError')
        for (const dead of addresses.dead) expect(error?.message).toContain(dead)
        expect(error?.errors?.map(({ address }) => address).sort()).toEqual([...addresses.dead].sort())
      }
    },
  )

  test.concurrent(
    'network 6.6.8 silence: with a warm cache within 400 ms + RTT, without it a fault of the DNS at 5 s',
    patient,
    async () => {
      const { lab } = aaaaFirst
      await lab.zone({ '*.warm.test': zone['v4.test']!, '*.cold.test': zone['silent.test']! })
      const argument = { host: 'n*.warm.test', runs: RUNS, turns: 2, waits: true }
      const [warm, cold] = await Promise.all([
        startDial(lab, argument),
        dialIn(lab, { host: 'n*.cold.test', runs: RUNS }),
      ])
      expectWithin(400 + 300, await take<Reached>(warm, RUNS))
      await lab.zone({ '*.warm.test': zone['silent.test']! })
      // an answer is fresh for 30 s
      warm.send({ aheadMs: 31_000 })
      expectWithin(400 + 300, await take<Reached>(warm, RUNS))
      await warm.close()
      for (const { ms, error } of cold) {
        expect(Math.abs(ms - 5_000)).toBeLessThanOrEqual(100)
        expect(faultFrom(error, 'resolving').code).toBe('name-unavailable')
      }
    },
  )

  // That eight lookups of getaddrinfo make the ninth wait for 8 s, is in names.test.ts.
  test.concurrent(
    'network 6.6.9 eight names of 2 s: a lookup elsewhere in the process waits for 2.1 s at most',
    patient,
    async () => {
      const eight = Array.from({ length: 8 }, (_, n): Query => ({ name: `n${n}.slow.test`, via: 'ours' }))
      const others = Array.from({ length: RUNS }, (_, n): Query => ({ name: 'v4.test', afterMs: 10 + 450 * n }))
      const queries = [...eight, ...others]
      const looked = await takeAll<Looked>(await v4.lab.start('lookup', { queries }), queries.length)
      expectWithin(
        2_100,
        looked.filter(({ name }) => name === 'v4.test'),
      )
    },
  )
})
