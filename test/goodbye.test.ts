/** The last frame of a protocol that wants to be told that nobody comes back: when it is written, and when it is not. */
import { expect, test } from 'vitest'
import type { Frame } from '../src/adapter/adapter.ts'
import { connect } from '../src/link.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { smallTalk } from './small-talk.ts'

const rig = async (goodbye: () => Frame | undefined, overlap = false) => {
  const clock = heapClock()
  const network = new FakeNetwork(clock, { greeting: [{ op: 'welcome' }] })
  const { dialogue, ...rest } = smallTalk()
  const adapter = { ...rest, overlap, dialogue: (io: Parameters<typeof dialogue>[0]) => ({ ...dialogue(io), goodbye }) }
  const { transport, lookup } = network
  const link = connect(adapter, { clock, transport, lookup, id: 'bot' })
  await clock.advance(100)
  expect(link.status.state).toBe('live')
  return { clock, network, link, sent: network.current!.sent }
}

test('a link that stops says goodbye, and then closes', async () => {
  const { clock, link, sent } = await rig(() => 'bye')
  await Promise.all([link.stop(), clock.advance(1_000)])
  expect(sent.at(-1)).toBe('bye')
  expect(sent.filter((frame) => frame === 'bye')).toHaveLength(1)
})

test('one that is handed over, moved or held does not: somebody comes back for the session', async () => {
  const handed = await rig(() => 'bye')
  await Promise.all([handed.link.handOver(), handed.clock.advance(1_000)])
  const moved = await rig(() => 'bye', true)
  moved.link.replace()
  await moved.clock.advance(5_000)
  expect(moved.network.transports).toHaveLength(2)
  const held = await rig(() => 'bye')
  held.link.hold()
  await held.clock.advance(1_000)
  for (const { sent } of [handed, moved, held]) expect(sent).not.toContain('bye')
  await Promise.all([held.link.stop(), moved.link.stop(), moved.clock.advance(1_000)])
})

test('an adapter without words, or one that throws, does not keep the link from stopping', async () => {
  const failing = (): never => {
    throw new Error('no words')
  }
  for (const goodbye of [() => undefined, failing]) {
    const { clock, link, sent } = await rig(goodbye)
    const before = sent.length
    await Promise.all([link.stop(), clock.advance(1_000)])
    expect([link.status.state, sent.length]).toEqual(['stopped', before])
  }
})
