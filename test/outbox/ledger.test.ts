/** Messages that outlive the process: what is on disk before which step, and what another life makes of it. */
import { describe, expect, it } from 'vitest'
import type { OutboxOptions, OutboxPorts } from '../../src/outbox/outbox.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { Desk, encode, fatesOf } from './desk.ts'
import { Disk } from './shaky-store.ts'

const PREFIX = 'outbox/bot/'

/** A process with this disk that has read it. */
const start = async (
  disk: Disk,
  { clock = heapClock(), ...ports }: Partial<OutboxPorts> & { clock?: HeapClock } = {},
  options: Partial<OutboxOptions> = {},
) => {
  const desk = new Desk(options, { clock, ...ports, ledger: { store: disk.open(), prefix: PREFIX } })
  const recovery = await desk.outbox.recover(encode)
  await desk.settle()
  return Object.assign(desk, { recovery })
}

describe('a message that is to be kept', () => {
  it('HF-O18 is on disk before it is accepted and before it is written', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    desk.attach()
    disk.hangs = true
    const letter = desk.keep('hello', { conversation: 'room', coalesceKey: 'c', idempotencyKey: 'k' })
    await desk.settle()
    expect([letter.accepted.settled, desk.written]).toEqual([false, []])
    disk.release()
    await desk.settle()
    expect([letter.accepted.settled, desk.written]).toEqual([true, ['hello k']])
    expect(disk.writes).toMatchObject([{ toDisk: true }])
    expect(await disk.entries()).toEqual([
      [
        `${PREFIX}000000000000000`,
        {
          v: 1,
          key: 'k',
          message: 'hello',
          expiresAt: desk.clock.wall() + 10_000,
          conversation: 'room',
          coalesceKey: 'c',
          idempotent: true,
          written: false,
        },
      ],
    ])
    desk.flight.answer('k', 1)
    await desk.settle()
    expect(letter.value?.fate).toBe('delivered')
    expect(await disk.entries()).toEqual([])
  })

  it('HF-O18 shares its write with all that come in the same turn, and while another one is under way', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    disk.hangs = true
    for (const text of ['a', 'b', 'c']) desk.keep(text)
    await desk.settle()
    for (const text of ['d', 'e']) desk.keep(text)
    await desk.settle()
    disk.release()
    await desk.settle()
    expect(disk.writes.map(({ changes }) => changes.length)).toEqual([3, 2])
    expect(await disk.messages()).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  it.each([
    ['a function', () => undefined, 'the message is a function'],
    ['a bigint', { n: [1n] }, 'Do not know how to serialize a BigInt'],
    ['a date', { at: [new Date(0)] }, 'the message.at[0] is a Date'],
    ['bytes', new Uint8Array(2), 'the message is a Uint8Array'],
    ['no number', { n: Number.NaN }, 'the message.n is NaN'],
    ['a hole', [1, undefined], 'the message[1] is undefined'],
    ['a map', new Map(), 'the message is a Map'],
  ])('HF-O18 is refused if JSON cannot carry it: %s', async (_what, message, why) => {
    const disk = new Disk()
    const desk = await start(disk)
    const letter = desk.enter((key) => ({ frame: key }), {}, message)
    await desk.settle()
    expect(letter.value?.fate).toBe('refused')
    expect(letter.value?.detail).toMatch(/^it cannot be kept: /)
    expect(letter.value?.detail).toContain(why)
    expect(disk.writes).toEqual([])
  })

  it('HF-O18 is kept as it was when it was put, whatever its owner does to it', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    const message = { text: 'then', nothing: undefined }
    desk.enter((key) => ({ frame: key }), {}, message)
    message.text = 'now'
    await desk.settle()
    expect(await disk.messages()).toEqual([{ text: 'then' }])
  })

  it('HF-O18 does not hold up calls, which are not kept', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    desk.attach()
    disk.hangs = true
    desk.keep('kept')
    const call = desk.put('call')
    const behind = desk.put('behind', { conversation: 'a' })
    await desk.settle()
    expect(desk.texts).toEqual(['call', 'behind'])
    expect([call.accepted.settled, behind.accepted.settled]).toEqual([true, true])
    disk.release()
    await desk.settle()
    expect(desk.texts).toEqual(['call', 'behind', 'kept'])
  })

  it('HF-O12 is not kept if it fails fast: there is nothing to carry over', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    desk.attach()
    desk.keep('now', { failFast: true })
    expect(desk.texts).toEqual(['now'])
    await desk.settle()
    expect(disk.writes).toEqual([])
  })

  it('HF-O8 replaces an older one only when it is on disk itself', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    const letters = [desk.keep('old', { coalesceKey: 'c' })]
    await desk.settle()
    desk.keep('between')
    await desk.settle()
    disk.mood = () => 'failed'
    letters.push(desk.keep('lost', { coalesceKey: 'c' }))
    await desk.settle()
    expect(fatesOf(letters)).toEqual([undefined, 'refused'])
    disk.mood = () => 'fine'
    letters.push(desk.keep('new', { coalesceKey: 'c' }))
    await desk.settle()
    expect(fatesOf(letters)).toEqual(['refused', 'refused', undefined])
    await desk.clock.advance(1_000)
    expect(await disk.messages()).toEqual(['between', 'new'])
    desk.attach()
    await desk.settle()
    expect(desk.texts).toEqual(['new', 'between'])
  })
})

describe('the mark that a message may have been written', () => {
  it('HF-O19 is on disk before it is written, in one write for all, without waiting for the platters', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    for (const text of ['a', 'b', 'c']) desk.keep(text)
    await desk.settle()
    disk.hangs = true
    desk.attach()
    await desk.settle()
    expect(desk.written).toEqual([])
    disk.release()
    await desk.settle()
    expect(desk.texts).toEqual(['a', 'b', 'c'])
    expect(disk.writes.map(({ changes, toDisk }) => [changes.length, toDisk])).toEqual([
      [3, true],
      [3, false],
    ])
    expect((await disk.entries()).map(([, value]) => (value as { written: boolean }).written)).toEqual([
      true,
      true,
      true,
    ])
  })

  it('HF-O19 is not made for those that may be written again, nor for more than may go now', async () => {
    const disk = new Disk()
    const desk = await start(disk, {}, { backlogPerSecond: 2 })
    await desk.clock.advance(5_000)
    for (const text of ['a', 'b', 'c', 'd']) desk.keep(text, { conversation: text })
    desk.keep('safe', { idempotencyKey: 'k' })
    await desk.settle()
    desk.attach()
    await desk.settle()
    expect(desk.texts).toEqual(['a', 'b'])
    expect(disk.writes.at(-1)!.changes).toHaveLength(2)
    await desk.clock.advance(2_000)
    expect(desk.texts).toEqual(['a', 'b', 'c', 'd', 'safe'])
    expect(disk.writes).toHaveLength(4)
  })

  it('HF-O19 that cannot be made is tried again, and the message waits with its conversation', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    desk.attach()
    desk.outbox.detach()
    const letters = [
      desk.keep('second'),
      desk.keep('third', { idempotencyKey: 'k' }),
      desk.keep('b', { conversation: 'b' }),
    ]
    await desk.settle()
    let failures = 2
    disk.mood = () => (failures-- > 0 ? 'failed' : 'fine')
    desk.attach()
    await desk.settle()
    expect([desk.written, fatesOf(letters)]).toEqual([[], [undefined, undefined, undefined]])
    await desk.clock.advance(999)
    expect(disk.writes).toHaveLength(1)
    await desk.clock.advance(2_001)
    expect(desk.texts).toEqual(['second', 'third', 'b'])
  })

  it('HF-O19 is made for a request only when those before it in its conversation are settled', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    desk.attach()
    for (const text of ['http 1', 'http 2']) desk.keep(text, { conversation: 'a' })
    await desk.settle()
    const marks = async () => (await disk.entries()).map(([, value]) => (value as { written: boolean }).written)
    expect([desk.requests.length, await marks()]).toEqual([1, [true, false]])
    desk.requests[0]!.answer('ok')
    await desk.settle()
    expect([desk.requests.length, await marks()]).toEqual([2, [true]])
  })

  it('HF-O8 that cannot be made does not keep an old message from being replaced', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    const old = desk.keep('http old', { coalesceKey: 'c' })
    await desk.settle()
    desk.attach()
    disk.mood = () => 'failed'
    await desk.settle()
    desk.put('new', { coalesceKey: 'c' })
    expect(desk.texts).toEqual(['new'])
    await desk.settle()
    expect(old.value?.detail).toBe('replaced by a newer message')
  })
})

describe('another life of the process', () => {
  it('HF-O20 finds what was accepted, in its order and under its keys, before what is put meanwhile', async () => {
    const disk = new Disk()
    const clock = heapClock()
    const before = await start(disk, { clock })
    for (const text of ['a', 'b', 'c']) before.keep(text, { idempotencyKey: `k${text}` })
    before.keep('plain')
    await before.settle()
    const desk = new Desk({}, { clock, ledger: { store: disk.open(), prefix: PREFIX } })
    const early = desk.keep('early')
    desk.attach()
    expect((await desk.outbox.recover(encode)).recovered).toBe(4)
    await desk.settle()
    expect(early.accepted.settled).toBe(true)
    expect(desk.texts).toEqual(['a', 'b', 'c', 'plain', 'early'])
    expect(desk.written.slice(0, 3)).toEqual(['a ka', 'b kb', 'c kc'])
    expect((await disk.entries()).map(([key]) => Number(key.slice(PREFIX.length)))).toEqual([0, 1, 2, 3, 4])
    desk.flight.answer('ka', 7)
    expect(desk.fates).toEqual([{ key: 'ka', fate: 'delivered', result: 7, recovered: true }])
    expect(desk.outbox.counts).toMatchObject({ entered: 5, delivered: 1, waiting: 4 })
  })

  it('HF-O20 tells what was written and may not be written again as uncertain, and what is over as expired', async () => {
    const disk = new Disk()
    const clock = heapClock()
    const before = await start(disk, { clock })
    before.keep('short', { withinMs: 1_000, conversation: 'a' })
    before.keep('short and safe', { withinMs: 1_000, idempotencyKey: 'k' })
    await before.settle()
    before.attach()
    before.keep('written', { conversation: 'b' })
    await before.settle()
    expect(before.texts).toContain('written')
    before.outbox.detach()
    before.keep('waits', { withinMs: 9_000, conversation: 'c' })
    await before.settle()
    // the first one was marked as well: take that back, as if it had never been its turn
    const [[at, kept]] = (await disk.entries()) as [[string, object]]
    await disk.scribble(at, { ...kept, written: false })
    clock.sleep(5_000)
    const desk = await start(disk, { clock })
    expect(desk.fates).toMatchObject([
      { fate: 'expired', recovered: true },
      { key: 'k', fate: 'uncertain', recovered: true },
      { fate: 'uncertain', recovered: true, detail: 'the process ended when it may have been written' },
    ])
    expect(await disk.messages()).toEqual(['waits'])
    await clock.advance(4_000)
    expect(desk.fates[3]).toMatchObject({ fate: 'expired', detail: 'the link was not live within 4000 ms' })
    expect(desk.outbox.counts).toMatchObject({ entered: 4, expired: 2, uncertain: 2, waiting: 0 })
  })

  it('HF-O20 counts and skips what is damaged or foreign, and refuses what it cannot encode any more', async () => {
    const disk = new Disk()
    const before = await start(disk)
    before.keep('good', { idempotencyKey: 'k' })
    await before.settle()
    const [[, good]] = (await disk.entries()) as [[string, object]]
    const wrong = [
      { v: 2 },
      { key: '' },
      { message: undefined },
      { expiresAt: null },
      { idempotent: 1 },
      { written: 'no' },
      { conversation: 7 },
    ]
    for (const [n, change] of wrong.entries())
      await disk.scribble(`${PREFIX}10000000000000${n}`, { ...good, ...change })
    for (const [n, value] of [null, 'text', 7, []].entries()) await disk.scribble(`${PREFIX}20000000000000${n}`, value)
    await disk.scribble(`${PREFIX}strange`, good)
    await disk.scribble(`${PREFIX}300000000000000`, { ...good, key: 'l', message: 'unspeakable', idempotent: false })
    const desk = await start(disk)
    expect(desk.recovery).toEqual({ recovered: 2, damaged: 12 })
    expect(desk.fates).toEqual([
      { key: 'l', fate: 'refused', detail: 'it cannot be encoded: this cannot be said', recovered: true },
    ])
    desk.keep('next')
    await desk.settle()
    expect((await disk.entries()).map(([key]) => key)).toContain(`${PREFIX}300000000000001`)
    expect(desk.outbox.counts).toMatchObject({ entered: 3, refused: 1, waiting: 2 })
  })

  it('HF-O20 does not believe a wall clock that was set back for years', async () => {
    const disk = new Disk()
    const before = await start(disk)
    before.keep('old')
    await before.settle()
    const clock = heapClock()
    clock.stepWall(-10 * 365 * 86_400_000)
    const desk = await start(disk, { clock })
    await clock.advance(86_400_000)
    expect(desk.fates).toMatchObject([{ fate: 'expired', recovered: true }])
    expect(clock.pending).toBe(0)
  })

  it('HF-O20 holds the bounds, and lets a key be used once', async () => {
    const disk = new Disk()
    const clock = heapClock()
    const before = await start(disk, { clock })
    for (const text of ['a', 'b', 'c']) before.keep(text, { idempotencyKey: text })
    await before.settle()
    const desk = new Desk({ messagesMax: 4 }, { clock, ledger: { store: disk.open(), prefix: PREFIX } })
    const letters = ['b', 'x', 'y'].map((text) => desk.keep(text, { idempotencyKey: text }))
    await desk.outbox.recover(encode)
    await desk.settle()
    expect(letters.map(({ value }) => value?.detail)).toEqual([
      'a message with this key is already waiting',
      undefined,
      'the outbox is full (4 messages)',
    ])
    expect(desk.outbox.counts).toMatchObject({ entered: 6, refused: 2, waiting: 4 })
    expect(await disk.messages()).toEqual(['a', 'b', 'c', 'x'])
  })

  it('HF-O8 goes on replacing', async () => {
    const disk = new Disk()
    const clock = heapClock()
    const before = await start(disk, { clock })
    before.keep('old', { coalesceKey: 'c' })
    before.keep('between')
    await before.settle()
    const entries = await disk.entries()
    before.keep('new', { coalesceKey: 'c' })
    await before.settle()
    // the crash came before the old one was deleted
    await disk.scribble(...entries[0]!)
    const desk = await start(disk, { clock })
    expect(desk.fates).toMatchObject([{ fate: 'refused', detail: 'replaced by a newer message', recovered: true }])
    desk.attach()
    await desk.settle()
    expect(desk.texts).toEqual(['new', 'between'])
  })

  it('HF-O8 does not replace what is newer than it', async () => {
    const disk = new Disk()
    const clock = heapClock()
    const before = await start(disk, { clock })
    before.keep('old', { coalesceKey: 'c', conversation: 'a' })
    await before.settle()
    const desk = new Desk({}, { clock, ledger: { store: disk.open(), prefix: PREFIX } })
    const call = desk.put('call', { coalesceKey: 'c', conversation: 'a' })
    await desk.outbox.recover(encode)
    await desk.settle()
    expect([call.settled, desk.fates]).toEqual([false, []])
    desk.attach()
    await desk.settle()
    expect(desk.texts).toEqual(['old', 'call'])
  })

  it('HF-O20 goes on with what a stopped link left: that is uncertain until then', async () => {
    const disk = new Disk()
    const clock = heapClock()
    const before = await start(disk, { clock })
    before.attach()
    const written = before.keep('written')
    const safe = before.keep('safe', { idempotencyKey: 'k' })
    await before.settle()
    before.outbox.detach()
    const waits = before.keep('waits')
    await before.settle()
    const hasty = before.keep('hasty')
    await before.outbox.close('the link was stopped')
    await before.settle()
    const left = { fate: 'uncertain', detail: 'the link was stopped; it is kept, and goes on at the next start' }
    expect([written, safe, waits, hasty].map(({ value }) => value)).toEqual([
      { fate: 'uncertain', detail: 'the link was stopped' },
      left,
      left,
      { fate: 'refused', detail: 'the link was stopped' },
    ])
    expect(clock.pending).toBe(0)
    expect(await disk.messages()).toEqual(['safe', 'waits'])
    const desk = await start(disk, { clock })
    desk.attach()
    await desk.settle()
    expect(desk.texts).toEqual(['safe', 'waits'])
  })
})

describe('a store that fails', () => {
  it('HF-O21 refuses that message and says why, and nothing of it stays', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    desk.attach()
    disk.mood = () => 'half'
    const letter = desk.keep('hello')
    await desk.settle()
    const detail = 'it could not be kept: ENOSPC: no space left on device'
    expect(letter.value).toEqual({ fate: 'refused', detail })
    expect(letter.accepted.error).toMatchObject({
      code: 'refused',
      message: `The message was not accepted: ${detail}.`,
    })
    expect(desk.written).toEqual([])
    disk.mood = () => 'fine'
    await desk.clock.advance(1_000)
    expect(await disk.entries()).toEqual([])
    await desk.clock.advance(9_000)
    expect(desk.clock.pending).toBe(0)
  })

  it('HF-O21 is asked again to delete what is settled, ever more slowly', async () => {
    const disk = new Disk()
    const desk = await start(disk)
    desk.attach()
    const letter = desk.keep('hello', { idempotencyKey: 'k' })
    await desk.settle()
    disk.mood = () => 'failed'
    desk.flight.answer('k', 1)
    await desk.settle()
    expect(letter.value?.fate).toBe('delivered')
    await desk.clock.advance(60_000)
    expect(await disk.messages()).toEqual(['hello'])
    disk.mood = () => 'fine'
    await desk.clock.advance(30_000)
    expect([await disk.entries(), desk.clock.pending]).toEqual([[], 0])
  })

  it('HF-O21 that cannot be read refuses what is to be kept, and is read as soon as it can be', async () => {
    const disk = new Disk()
    const clock = heapClock()
    const before = await start(disk, { clock })
    before.keep('old', { idempotencyKey: 'k' })
    await before.settle()
    disk.mood = () => 'failed'
    const desk = await start(disk, { clock })
    expect(desk.recovery).toEqual({ recovered: 0, damaged: 0, trouble: 'ENOSPC: no space left on device' })
    const refused = desk.keep('refused')
    const call = desk.put('call')
    await desk.settle()
    expect([refused.value?.fate, call.settled]).toEqual(['refused', false])
    disk.mood = () => 'fine'
    desk.keep('new')
    await desk.settle()
    desk.attach()
    await desk.settle()
    expect(desk.texts).toEqual(['old', 'call', 'new'])
  })

  it('HF-O21 that throws or never answers blocks nobody', async () => {
    const hopeless = {
      read: async () => [],
      write: () => {
        throw new Error('closed')
      },
      close: async () => undefined,
    }
    const desk = new Desk({}, { ledger: { store: hopeless, prefix: PREFIX } })
    await desk.outbox.recover(encode)
    desk.attach()
    const thrown = desk.keep('thrown')
    await desk.settle()
    expect(thrown.value).toEqual({ fate: 'refused', detail: 'it could not be kept: closed' })
    const disk = new Disk()
    const slow = await start(disk)
    slow.attach()
    disk.hangs = true
    const stuck = slow.keep('stuck', { withinMs: 1_000 })
    slow.put('call')
    await slow.clock.advance(1_000)
    expect([stuck.value?.fate, slow.texts]).toEqual(['expired', ['call']])
  })
})
