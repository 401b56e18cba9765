import { expect, test } from 'vitest'
import { codeOf, LATE, Time } from '../../src/doctor/time.ts'
import { day, duration, span } from '../../src/doctor/words.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'

const never = new Promise<never>(() => undefined)

test('each has a deadline, and all of them one end', async () => {
  const clock = heapClock()
  const time = new Time(clock, 1_000)
  expect([time.left(400), time.left(4_000)]).toEqual([400, 1_000])
  const own = time.within(400, never)
  const common = time.within(4_000, never)
  await clock.advance(400)
  expect(await own).toBe(LATE)
  expect(time.left(4_000)).toBe(600)
  await clock.advance(600)
  expect(await common).toBe(LATE)
  expect(time.left(4_000)).toBe(0)
})

test('what settles in time leaves no timer behind, and what it says later counts no more', async () => {
  const clock = heapClock()
  const time = new Time(clock, 1_000)
  expect(await time.within(400, Promise.resolve('in time'))).toBe('in time')
  await expect(time.within(400, Promise.reject(new Error('as it is')))).rejects.toThrow('as it is')
  let ends = 0
  const result = time.attempt<string>(400, (settle) => {
    settle('first')
    settle('second')
    return () => ends++
  })
  expect([await result, ends, clock.pending]).toEqual(['first', 0, 0])
})

test('the end of all ends what still runs, once', async () => {
  const clock = heapClock()
  const time = new Time(clock, 1_000)
  let ends = 0
  const running = time.attempt<string>(400, () => () => ends++)
  time.end()
  time.end()
  await clock.advance(1_000)
  expect([await running, ends, clock.pending]).toEqual([LATE, 1, 0])
})

test.each([
  [Object.assign(new Error('words'), { code: 'ECODE' }), 'ECODE'],
  [new Error('words'), 'words'],
  ['text', 'unknown'],
  [null, 'unknown'],
])('the code of %s', (error, expected) => {
  expect(codeOf(error)).toBe(expected)
})

test('figures for people', () => {
  expect([0, 602.6, 999.4, 5_000, 12_000.4].map(duration)).toEqual(['0 ms', '603 ms', '999 ms', '5.00 s', '12.0 s'])
  expect([0, -400_000, 7_380_000, 86_400_000 * 3 + 7_200_000].map(span)).toEqual([
    '0 min',
    '7 min',
    '2 h 3 min',
    '3 d 2 h',
  ])
  expect(day('2026-11-20T22:45:00.000Z')).toBe('2026-11-20')
})
