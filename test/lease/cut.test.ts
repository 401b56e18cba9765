/** A link whose lease is lost: whatever it was doing, nothing of it is left in the same turn. */
import { expect, test, vi } from 'vitest'
import type { stateNames } from '../../machines/link.ts'
import { connect } from '../../src/link.ts'
import { momentOf, OwnTenure } from '../../src/tenure.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { follow, politePeer, smallTalk } from '../small-talk.ts'

const owned = (options: { healthy?: boolean; overlap?: boolean } = {}) => {
  const clock = heapClock()
  const network = new FakeNetwork(clock, politePeer, options.healthy ?? true)
  const { transport, lookup } = network
  const tenure = new OwnTenure({ id: 'bot', term: 1, handOver: undefined }, clock, 60_000, momentOf(clock))
  const adapter = { ...smallTalk(), ...(options.overlap && { overlap: true }) }
  const link = connect(adapter, { clock, transport, lookup, lease: tenure })
  return { clock, network, tenure, link }
}

const taken = { code: 'lease-taken', detail: 'by the process other' } as const

const reach: Partial<Record<(typeof stateNames)[number], (made: ReturnType<typeof owned>) => unknown>> = {
  resolving: () => undefined,
  connecting: ({ clock }) => clock.advance(0),
  handshaking: async ({ clock, network }) => {
    await clock.advance(0)
    network.current!.open()
  },
  registered: async ({ clock, network }) => {
    await clock.advance(0)
    network.current!.open()
    network.current!.ready()
    network.current!.frame({ op: 'welcome', replaying: true })
  },
  live: ({ clock, network }) => {
    network.healthy = true
    return clock.advance(100)
  },
  backoff: async ({ clock, network }) => {
    await clock.advance(0)
    network.current!.lose({ code: 'connection-lost' })
  },
  closing: async ({ clock, network, link }) => {
    network.healthy = true
    await clock.advance(100)
    network.healthy = false
    void link.stop()
  },
  parked: ({ link }) => link.hold(),
}

test.each(Object.keys(reach) as (keyof typeof reach)[])('from %s it is cut at once', async (state) => {
  const made = owned({ healthy: false })
  const { clock, network, tenure, link } = made
  await reach[state]!(made)
  expect(link.status.state).toBe(state)
  const frames = network.transports.flatMap(({ sent }) => sent).length
  tenure.end(taken)
  expect(link.status).toMatchObject({ state: 'stopped', fault: taken })
  expect(network.openCount).toBe(0)
  expect(network.transports.flatMap(({ sent }) => sent)).toHaveLength(frames)
  const ended = follow(link.stop())
  await clock.advance(0)
  expect(ended.settled).toBe(true)
  expect(clock.pending).toBe(0)
})

test('in the middle of a move both transports go', async () => {
  const { clock, network, tenure, link } = owned({ overlap: true })
  await clock.advance(100)
  link.replace()
  await clock.advance(15)
  expect(network.openCount).toBe(2)
  tenure.end(taken)
  expect(network.openCount).toBe(0)
  expect(link.status.state).toBe('stopped')
  await clock.advance(0)
  expect(clock.pending).toBe(0)
})

test('what waits and what is under way has its fate, and a call its end', async () => {
  const { clock, network, tenure, link } = owned()
  await clock.advance(100)
  network.healthy = false
  const call = follow(link.call('ask', { text: 'on its way' }))
  await clock.advance(10)
  network.current!.bufferedBytes = 2 ** 21
  const sent = follow(link.send({ text: 'waits' }))
  await clock.advance(10)
  tenure.end(taken)
  await clock.advance(0)
  expect(call.error).toMatchObject({ code: 'uncertain' })
  expect(sent.settled).toBe(true)
  expect(sent.value?.fate).not.toBe('delivered')
})

test('what nobody has read is dropped and counted, and its cursor is not taken', async () => {
  const { clock, network, tenure, link } = owned()
  await clock.advance(100)
  for (const id of ['a', 'b', 'c']) network.current!.frame({ op: 'news', id })
  const reader = link[Symbol.asyncIterator]()
  expect((await reader.next()).value).toMatchObject({ id: 'a' })
  tenure.end(taken)
  expect(await reader.next()).toEqual({ done: true, value: undefined })
  expect(link.stats.inbound).toMatchObject({ arrived: 3, dropped: 2, waiting: 0 })
  await clock.advance(0)
})

test('nor is it read after the link has stopped in order, once the lease is another one’s', async () => {
  const { clock, network, tenure, link } = owned()
  await clock.advance(100)
  for (const id of ['a', 'b']) network.current!.frame({ op: 'news', id })
  const stopped = follow(link.stop())
  await clock.advance(4_000)
  expect(stopped.settled).toBe(true)
  expect(link.stats.inbound.waiting).toBe(2)
  tenure.end(taken)
  expect(await link[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined })
  expect(link.stats.inbound).toMatchObject({ dropped: 2, waiting: 0 })
})

test('a listener that throws keeps nobody from ending', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const clock = heapClock()
  const network = new FakeNetwork(clock, politePeer)
  const tenure = new OwnTenure({ id: 'bot', term: 1, handOver: undefined }, clock, 60_000, momentOf(clock))
  tenure.whenOver(() => {
    throw new Error('mine')
  })
  const { transport, lookup } = network
  const link = connect(smallTalk(), { clock, transport, lookup, lease: tenure })
  await clock.advance(100)
  tenure.end(taken)
  expect(link.status.state).toBe('stopped')
  expect(warned.mock.calls.map(([text]) => text)).toEqual([expect.stringContaining('mine')])
  warned.mockRestore()
})

test('a link for a tenure that is over dials nothing', async () => {
  const clock = heapClock()
  const network = new FakeNetwork(clock, politePeer)
  const tenure = new OwnTenure({ id: 'bot', term: 1, handOver: undefined }, clock, 60_000, momentOf(clock))
  tenure.end(taken)
  const { transport, lookup } = network
  const link = connect(smallTalk(), { clock, transport, lookup, lease: tenure })
  await clock.advance(1_000)
  expect(link.status.state).toBe('stopped')
  expect(network.transports).toHaveLength(0)
  expect(clock.pending).toBe(0)
})

test('a listener of the tenure hears of its end once, by its signal and by its call', () => {
  const clock = heapClock()
  const tenure = new OwnTenure({ id: 'bot', term: 1, handOver: undefined }, clock, 1_000, momentOf(clock))
  const heard: string[] = []
  const forget = tenure.whenOver(() => heard.push('forgotten'))
  tenure.whenOver(({ code }) => heard.push(code))
  tenure.signal.addEventListener('abort', () => heard.push('signal'))
  forget()
  clock.sleep(999)
  expect(tenure.holds()).toBe(true)
  clock.sleep(1)
  expect(tenure.holds()).toBe(false)
  tenure.end(taken)
  tenure.renewed(momentOf(clock))
  expect(tenure.holds()).toBe(false)
  expect(heard).toEqual(['lease-expired', 'signal'])
  tenure.whenOver(({ code }) => heard.push(`late ${code}`))
  expect(heard.at(-1)).toBe('late lease-expired')
})

test.each([5, {}, { holds: () => true }, null])('the option lease is checked: %j', (lease) => {
  expect(() => connect(smallTalk(), { lease: lease as never })).toThrow('The option "lease" is')
})
