/** A budget that goes from process to process as data: nothing is forgotten, nothing counts twice, nobody is believed blindly. */
import { describe, expect, test } from 'vitest'
import { memoryBudgetStore, type SessionBudget, sessionBudget } from '../../src/budget.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { DAY_MS } from '../session-starts.ts'

const PER_DAY = 10

/** Each with a memory of its own, as in processes that share no store. */
const budget = (clock: HeapClock): SessionBudget =>
  sessionBudget({
    key: 'bot',
    perDay: PER_DAY,
    reserve: 0.2,
    perInterval: { count: 100, ms: 5_000 },
    store: memoryBudgetStore(),
    clock,
  })

const USABLE = 8

const spend = async (from: SessionBudget, count: number) => {
  for (let i = 0; i < count; i++) expect(await from.reserve()).toMatchObject({ ticket: expect.any(Number) })
}

/** How many are left, found out on a copy. */
const left = async (clock: HeapClock, of: SessionBudget): Promise<number> => {
  const copy = budget(clock)
  await copy.import(await of.export())
  let count = 0
  while (!(await copy.reserve()).exhausted) count++
  return count
}

const carried = async (from: SessionBudget) => JSON.parse(JSON.stringify(await from.export())) as unknown

describe('import()', () => {
  test('counts what the other spent, and does so once, however often it is told', async () => {
    const clock = heapClock()
    const [one, other] = [budget(clock), budget(clock)]
    await spend(one, 3)
    // no two processes begin in the same millisecond
    clock.advanceSync(1)
    await spend(other, 2)
    const spent = await carried(one)
    for (let i = 0; i < 3; i++) {
      clock.advanceSync(1_000)
      await other.import(spent)
      expect(await left(clock, other)).toBe(USABLE - 5)
    }
  })

  test('there and back counts each start once, also those that came in between', async () => {
    const clock = heapClock()
    const [one, other] = [budget(clock), budget(clock)]
    for (let i = 0; i < 3; i++) {
      await spend(one, 1)
      await other.import(await carried(one))
      clock.advanceSync(500)
      await spend(other, 1)
      await one.import(await carried(other))
      await one.import(await carried(one))
    }
    expect(await left(clock, one)).toBe(USABLE - 6)
    expect(await left(clock, other)).toBe(USABLE - 6)
  })

  test('keeps tickets apart: a refund gives back one start', async () => {
    const clock = heapClock()
    const [one, other] = [budget(clock), budget(clock)]
    await spend(one, 3)
    await other.import(await carried(one))
    const { ticket } = await other.reserve()
    await other.refund(ticket!)
    expect(await left(clock, other)).toBe(USABLE - 3)
  })

  test('forgets a start after a day, as if it were its own', async () => {
    const clock = heapClock()
    const [one, other] = [budget(clock), budget(clock)]
    await spend(one, USABLE)
    await other.import(await carried(one))
    clock.advanceSync(DAY_MS - 1)
    expect(await other.reserve()).toMatchObject({ exhausted: true })
    clock.advanceSync(1)
    expect(await other.reserve()).toMatchObject({ ticket: expect.any(Number) })
  })

  test.each([
    5_000,
    DAY_MS / 2,
  ])('from a process whose clock is %i ms ahead leaves a history that can be read', async (ms) => {
    const clock = heapClock()
    const ahead = heapClock()
    ahead.advanceSync(ms)
    const [one, other] = [budget(ahead), budget(clock)]
    await spend(one, 2)
    await one.serverSays({ remaining: 7, resetAfterMs: DAY_MS })
    await other.import(await carried(one))
    expect(await other.reserve()).toEqual({ waitMs: expect.any(Number), ticket: expect.any(Number) })
    clock.advanceSync(1_000)
    expect(await other.reserve()).not.toHaveProperty('warning')
  })

  test('takes over what the peer said, where that is stricter and still holds', async () => {
    const clock = heapClock()
    const [one, other] = [budget(clock), budget(clock)]
    await other.serverSays({ remaining: 6, resetAfterMs: DAY_MS })
    await one.serverSays({ remaining: 2, resetAfterMs: 60_000 })
    const said = await carried(one)
    clock.advanceSync(61_000)
    // it was stricter, and is over: what the other knows must not be forgotten for it
    await other.import(said)
    expect(await left(clock, other)).toBe(4)
    await one.serverSays({ remaining: 3, resetAfterMs: DAY_MS })
    await other.import(await carried(one))
    expect(await left(clock, other)).toBe(1)
  })

  test('from one whose history was lost makes careful here too', async () => {
    const clock = heapClock()
    const store = memoryBudgetStore()
    await store.update('bot', () => [{ damaged: true }, undefined])
    const lost = sessionBudget({ key: 'bot', perDay: 10, perInterval: { count: 9, ms: 1_000 }, store, clock })
    const other = budget(clock)
    await other.import(await carried(lost))
    expect(await other.reserve()).toMatchObject({ warning: 'history-lost' })
  })

  describe('of what is none of ours, or cannot be true, changes nothing', () => {
    const at = heapClock().wall()
    const good = { version: 1, revision: at, at, wall: at, starts: [[1, at, 0]] }
    const server = { remaining: 0, at, until: at + DAY_MS }
    const strange: [string, unknown][] = [
      ['nothing', undefined],
      ['null', null],
      ['a text', '[1,2,3]'],
      ['an array', [good]],
      ['a number', 7],
      ['nothing in it', {}],
      ['another version', { ...good, version: 2 }],
      ['a time that is none', { ...good, at: Number.NaN }],
      ['a time as text', { ...good, at: String(at) }],
      ['starts that are none', { ...good, starts: { length: 3 } }],
      ['a start that is none', { ...good, starts: [[1, at, 0], null] }],
      ['a start with a negative bucket', { ...good, starts: [[1, at, -1]] }],
      ['too many starts', { ...good, starts: Array.from({ length: 100_001 }, (_, n) => [n, at, 0]) }],
      ['a start of next week', { ...good, starts: [[1, at + 7 * DAY_MS, 0]] }],
      ['a start that is due in more than a day', { ...good, at: at + DAY_MS / 2, starts: [[1, at + 1.4 * DAY_MS, 0]] }],
      ['next week', { ...good, at: at + 7 * DAY_MS, starts: [[1, at + 7 * DAY_MS, 0]] }],
      ['the end of time', { ...good, at: 1e300, revision: 1e300, starts: [[1, 1e300, 0]] }],
      ['a number from which none can be counted on', { ...good, revision: 2 ** 53 }],
      ['a word of the peer that is none', { ...good, server: { ...server, until: at + 9 * DAY_MS } }],
      ['a word of the peer from the future', { ...good, server: { ...server, at: at + 1 } }],
      ['what pollutes', JSON.parse('{"__proto__": {"version": 1, "starts": []}}')],
    ]
    test.each(strange)('%s', async (_what, spent) => {
      const clock = heapClock()
      const one = budget(clock)
      await spend(one, 2)
      await one.import(spent)
      const { revision, starts, server: word } = (await carried(one)) as Record<string, unknown>
      expect({ starts, word }).toEqual({ starts: [expect.any(Array), expect.any(Array)], word: undefined })
      expect(Number.isSafeInteger(revision)).toBe(true)
      const next = await one.reserve()
      expect(next).not.toHaveProperty('warning')
      await one.refund(next.ticket!)
      expect(await left(clock, one)).toBe(USABLE - 2)
    })
  })
})
