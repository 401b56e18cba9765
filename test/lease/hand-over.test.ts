/** What goes along when a lease goes to another process: sealed, once, and by nobody else's hand. */
import { expect, test, vi } from 'vitest'
import type { HandOver } from '../../src/hand-over.ts'
import { readRecord, writeRecord } from '../../src/lease/record.ts'
import { seal, unseal } from '../../src/lease/seal.ts'
import { memoryLeaseStore } from '../../src/lease.ts'
import { follow } from '../small-talk.ts'
import { fleetOf } from './rig.ts'

const secret = 'a secret of all processes'
const never = new AbortController().signal
const CANARY = 'canary-5f2c'

/** One owner with a message that could not be written, which then leaves. */
const moved = async (ofOne: string | undefined, ofOther: string | undefined, text = CANARY) => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const store = memoryLeaseStore()
  const seen: string[] = []
  const replace: typeof store.replace = async (key, expected, value, signal) => {
    const revision = await store.replace(key, expected, value, signal)
    if (revision !== null) seen.push(value)
    return revision
  }
  const { clock, join } = fleetOf({ ...store, replace })
  const one = join('one', { secret: ofOne })
  const other = join('other', { secret: ofOther })
  await clock.advance(1_000)
  one.network.current!.bufferedBytes = 2 ** 21
  const sent = follow(one.links[0]!.send({ text }, { idempotencyKey: 'k1' }))
  void one.lease.stop()
  await clock.advance(8_000)
  const warnings = warned.mock.calls.map(([warning]) => String(warning))
  warned.mockRestore()
  return { clock, one, other, sent, seen, warnings, written: other.network.transports[0]?.sent.map(String) ?? [] }
}

test('with a secret what waits goes along, once', async () => {
  const { other, sent, seen, written, warnings } = await moved(secret, secret)
  expect(sent.value).toMatchObject({ fate: 'uncertain', detail: 'it was handed over to the next process' })
  expect(other.lease.status).toMatchObject({ state: 'serving', term: 2 })
  expect(written.filter((frame) => frame.includes(CANARY))).toHaveLength(1)
  expect(warnings).toEqual([])
  // sealed when it was given away, and gone with the claim
  expect(seen.map((value) => readRecord(value)?.handOver !== undefined).slice(0, 3)).toEqual([false, true, false])
})

test('nobody can read it in the store', async () => {
  const { seen } = await moved(secret, secret)
  const all = seen.flatMap((value) => [
    value,
    Buffer.from(readRecord(value)?.handOver ?? '', 'base64').toString('latin1'),
  ])
  for (const text of all) {
    expect(text).not.toContain(CANARY)
    expect(text).not.toContain(secret)
  }
})

test('without a secret nothing goes along, and the message has its fate', async () => {
  const { sent, seen, written } = await moved(undefined, undefined)
  expect(sent.value?.fate).not.toBe('delivered')
  expect(written.join()).not.toContain(CANARY)
  expect(seen.join()).not.toContain('handOver')
})

test.each([
  [undefined, 'there is no option "secret"'],
  ['another secret of somebody', 'it was sealed with another secret, or is damaged'],
])('a next owner that cannot open it starts anew and says so: %s', async (ofOther, why) => {
  const { other, warnings } = await moved(secret, ofOther)
  expect(other.lease.link?.status.state).toBe('live')
  expect(warnings).toEqual([expect.stringContaining(why)])
  expect(warnings.join()).not.toContain(secret)
})

test('messages that are too big for the store stay behind, told of, and the session goes along', async () => {
  const { other, warnings, seen } = await moved(secret, secret, 'x'.repeat(800_000))
  expect(warnings).toEqual([expect.stringContaining('1 messages of the lease "bot" are too big to be handed over')])
  expect(Math.max(...seen.map(({ length }) => length))).toBeLessThan(700_100)
  expect(other.lease.link?.status.state).toBe('live')
})

const handOver: HandOver = {
  version: 1,
  adapter: 'small-talk',
  id: 'bot',
  at: 1,
  session: { id: 's', endpoint: 'wss://x/', cursor: 5 },
  outbox: [],
}

test('a seal is bound to its lease, its secret and every byte', () => {
  const sealed = seal(handOver, secret, 'bot')
  expect(unseal(sealed, secret, 'bot')).toEqual(handOver)
  expect(seal(handOver, secret, 'bot')).not.toBe(sealed)
  expect(() => unseal(sealed, secret, 'other')).toThrow('sealed with another secret')
  expect(() => unseal('', secret, 'bot')).toThrow('damaged')
  const bytes = Buffer.from(sealed, 'base64')
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i]! ^= 1
    expect(() => unseal(changed.toString('base64'), secret, 'bot'), `byte ${i}`).toThrow('sealed with another secret')
    expect(() => unseal(bytes.subarray(0, i).toString('base64'), secret, 'bot'), `cut at ${i}`).toThrow()
  }
})

test('a record is read as it was written, and nothing else is taken for one', () => {
  const record = { owner: 'one', session: 's', term: 3, ttlMs: 15_000, at: 5, handOver: 'x' }
  expect(readRecord(writeRecord(record))).toEqual(record)
  const spoilt: Record<string, unknown>[] = [
    { v: 2 },
    { owner: 5 },
    { owner: '' },
    { owner: null },
    { session: null },
    { term: -1 },
    { term: 1.5 },
    { term: Number.MAX_SAFE_INTEGER },
    { ttlMs: 1 },
    { ttlMs: 1e12 },
    { ttlMs: '15000' },
    { at: 'now' },
    { handOver: 5 },
  ]
  for (const part of spoilt)
    expect(readRecord(JSON.stringify({ v: 1, ...record, ...part })), JSON.stringify(part)).toBeNull()
  for (const text of ['', 'null', '5', '[]', '{', '{}', '{"__proto__":{"v":1}}', '['.repeat(1e5)])
    expect(readRecord(text)).toBeNull()
})

test('a claim whose answer was lost does not lose what was left', async () => {
  const store = memoryLeaseStore()
  const { clock, join } = fleetOf(store)
  const left = seal({ ...handOver, session: { id: 'kept', cursor: 5 } }, secret, 'bot')
  await store.replace(
    'bot',
    null,
    writeRecord({ owner: null, session: null, term: 4, ttlMs: 15_000, at: 0, handOver: left }),
    never,
  )
  let claims = 0
  const deaf: typeof store = {
    ...store,
    replace: async (...args) => {
      const revision = await store.replace(...args)
      if (++claims === 1) throw new Error('the answer was lost')
      return revision
    },
  }
  const one = join('one', { secret, store: deaf })
  await clock.advance(3_000)
  expect(one.lease.status).toMatchObject({ state: 'serving', term: 6 })
  expect(one.tenures[0]!.handOver?.session.id).toBe('kept')
})
