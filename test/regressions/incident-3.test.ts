/** Incident 3: Lagrange lost its socket before it had registered. The statements about endpoints, kicks and late frames. */
import { expect, it } from 'vitest'
import { connect } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { politePeer, rig, smallTalk } from '../small-talk.ts'

const DAY_MS = 86_400_000

it('incident 3.5 an endpoint that never answers comes last, not first: of the others each has its turn before it', async () => {
  const clock = heapClock()
  const networks = ['e1', 'e2', 'e3'].map((name) => ({
    name,
    network: new FakeNetwork(clock, politePeer, name !== 'e1'),
  }))
  const dials: string[] = []
  const link = connect(
    smallTalk(() => networks.map(({ name }) => ({ url: `ws://${name}.test/` }))),
    {
      id: 'bot',
      clock,
      lookup: async () => [{ address: '192.0.2.1', family: 4 }],
      transport: (endpoint) => {
        const { name, network } = networks.find(({ name }) => endpoint.target.url.includes(name))!
        dials.push(name)
        return network.transport(endpoint)
      },
    },
  )
  await clock.advance(12_000)
  expect(link.status.state).toBe('live')
  expect(dials).toEqual(['e1', 'e2'])
  const [, second, third] = networks.map(({ network }) => network)
  second!.healthy = false
  third!.healthy = false
  second!.current!.lose({ code: 'connection-lost' })
  while (dials.length < 5) {
    for (const network of [second!, third!]) network.current?.lose({ code: 'refused' })
    await clock.advance(clock.nextInMs!)
  }
  // the one that had welcomed us, the one that nothing is known of, and only then the dead one
  expect(dials).toEqual(['e1', 'e2', 'e2', 'e3', 'e1'])
  const stopped = link.stop({ drainMs: 0 })
  await clock.advance(1)
  await stopped
  expect(clock.pending).toBe(0)
})

it('incident 3.7 kicked by another session: no attempt until an operator resumes the link', async () => {
  const made = rig()
  const { clock, network, link } = made
  await made.live()
  network.current!.frame({ op: 'fail', code: 'kicked', why: 'another terminal' })
  await clock.advance(DAY_MS)
  expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'kicked', detail: 'another terminal' } })
  expect([network.transports.length, clock.pending]).toEqual([1, 0])
  link.resume()
  await made.live()
  expect(network.transports).toHaveLength(2)
  await made.end()
})

it('incident 3.8 a late frame of the socket before changes nothing: no transition, no message, no fault', async () => {
  const made = rig()
  const { clock, network, link } = made
  const heard: unknown[] = []
  link.inbound$.subscribe((message) => heard.push(message))
  await made.live()
  const old = network.current!
  old.lose({ code: 'connection-lost' })
  await clock.advance(link.status.nextDialAt! - clock.wall())
  await made.live()
  const before = [link.status, link.recording.total, link.stats.frames]
  old.frame({ op: 'news', id: 'late' })
  old.frame({ op: 'fail', code: 'kicked', why: 'long ago' })
  old.lose({ code: 'key-exchange-failed' })
  expect([link.status, link.recording.total, link.stats.frames]).toEqual(before)
  expect(heard).toEqual([])
  await made.end()
})
