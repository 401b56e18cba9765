/** The founding incidents as docs/incidents.md plays them: what the pictures show is what the statements ask for. */
import { expect, test } from 'vitest'
import { stories } from '../../scripts/incidents/stories.ts'
import type { Message } from '../../src/diagram/sequence.ts'

const play = async (name: keyof typeof stories) => {
  const { journal, links } = await stories[name]()
  const { clock } = journal
  const happenings = await journal.read()
  const records = happenings.flatMap((each) => ('record' in each ? [each.record] : []))
  const messages = happenings.filter((each): each is Message => !('record' in each))
  const timeOf = (state: string, index = 0) => records.filter(({ to }) => to === state)[index]?.elapsedMs
  for (const link of links) expect(link.status.state).toBe('stopped')
  expect(clock.pending, 'timers that are left').toBe(0)
  return { happenings, records, messages, timeOf }
}

test('incident 1.3 the dial that failed on both addresses is followed by one that goes live, by itself', async () => {
  const { records, timeOf } = await play('slowAndUnreachable')
  const failed = records.find(({ to }) => to === 'backoff')!
  expect(failed).toMatchObject({ reason: 'connect-timeout', detail: expect.stringContaining('IPv6 ENETUNREACH 1 ms') })
  expect(failed.detail).toContain('IPv4 ETIMEDOUT 9979 ms')
  expect(records.at(-1)).toMatchObject({ to: 'live', attempt: 2 })
  expect(timeOf('live')! - timeOf('connecting', 1)!).toBeLessThanOrEqual(5_000)
  expect(records.filter(({ event }) => event.startsWith('operator.'))).toEqual([])
})

test('incident 2.4 the loop is blocked for 100 s while the peer is well: one probe, no reconnect', async () => {
  const { records, messages } = await play('stalledLoop')
  const states = records.filter(({ link }) => link === 'napcat').map(({ to }) => to)
  expect(states).toEqual(['connecting', 'handshaking', 'registered', 'live', 'live'])
  expect(messages.filter(({ from, text }) => from === 'napcat' && text === 'get_status')).toHaveLength(1)
})

test('incident 2.1 and 2.5 the other leg fails and comes back: each message has its fate, and the first leg its peace', async () => {
  const { records, messages } = await play('stalledLoop')
  expect(records.filter(({ link, to }) => link === 'core' && to === 'backoff')).toHaveLength(1)
  const told = messages.filter(({ from, to }) => from === 'core' && to === 'user').map(({ text }) => text)
  expect(told).toEqual(['what cannot be encoded: refused', 'a message: delivered'])
})

test('incident 3.1 dropped before the first registration: what depends on the link starts once, when it is live', async () => {
  const { happenings, messages, timeOf } = await play('droppedBeforeRegistration')
  expect(happenings.findIndex((each) => 'record' in each && each.record.event === 'transport.lost')).toBeLessThan(
    happenings.findIndex((each) => 'record' in each && each.record.to === 'registered'),
  )
  const started = messages.filter(({ to }) => to === 'user')
  expect(started).toHaveLength(1)
  expect(started[0]!.elapsedMs - timeOf('live')!).toBeLessThanOrEqual(100)
  expect(timeOf('live', 1), 'it was live twice').toBeGreaterThan(timeOf('live')!)
})

test('incident 3.6 the next endpoint is tried within a second', async () => {
  const { happenings, timeOf } = await play('droppedBeforeRegistration')
  const dialed = happenings.flatMap((each) => ('record' in each && each.record.to === 'connecting' ? [each.peer] : []))
  expect(dialed.slice(0, 2)).toEqual(['e1', 'e2'])
  expect(timeOf('connecting', 1)! - timeOf('backoff')!).toBeLessThanOrEqual(1_000)
})

test('incident 4.1 expired credentials: asked for once more, then parked with one notice and no further dial', async () => {
  const { records, messages, timeOf } = await play('expiredCredentials')
  expect(messages.filter(({ to }) => to === 'user')).toHaveLength(1)
  expect(messages.filter(({ text }) => text.includes('the last was rejected'))).toHaveLength(2)
  const parked = records.findIndex(({ to }) => to === 'parked')
  expect(records.slice(0, parked).filter(({ to }) => to === 'connecting')).toHaveLength(2)
  expect(records[parked + 1]).toMatchObject({ event: 'operator.resume' })
  expect(records[parked + 1]!.elapsedMs - timeOf('parked')!).toBeGreaterThanOrEqual(600_000)
  expect(records.at(-1)!.to).toBe('live')
})

test('incident 5.2 an empty list: resolving and no dial, the last known address after 1 s, a new one at once', async () => {
  const { records, messages, timeOf } = await play('emptyEndpointList')
  expect(timeOf('connecting', 1)! - timeOf('resolving')!).toBe(1_000)
  const registered = messages.find(({ text }) => text === 'a new address')!
  expect(timeOf('connecting', 2)).toBe(registered.elapsedMs)
  expect(records.at(-1)!.to).toBe('live')
})
