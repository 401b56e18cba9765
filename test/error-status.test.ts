/** What an HTTP status means, and how long Retry-After asks us to wait. */
import { describe, expect, it } from 'vitest'
import { faultFromStatus, retryAfterMs } from '../src/error.ts'

describe('an HTTP status', () => {
  it.each([
    [200, undefined, 'upgrade-refused', undefined],
    [302, undefined, 'upgrade-refused', undefined],
    [400, undefined, 'upgrade-refused', undefined],
    [401, '5', 'upgrade-unauthorized', undefined],
    [403, undefined, 'upgrade-forbidden', undefined],
    [404, '5', 'upgrade-refused', 5_000],
    [407, undefined, 'upgrade-unauthorized', undefined],
    [408, undefined, 'peer-unavailable', undefined],
    [425, undefined, 'peer-unavailable', undefined],
    [426, undefined, 'upgrade-refused', undefined],
    [429, undefined, 'throttled', undefined],
    [429, '7', 'throttled', 7_000],
    [429, 'soon', 'throttled', undefined],
    [500, undefined, 'peer-unavailable', undefined],
    [502, '3', 'peer-unavailable', 3_000],
    [503, undefined, 'peer-unavailable', undefined],
    [503, '3', 'throttled', 3_000],
    [503, 'soon', 'peer-unavailable', undefined],
    [599, undefined, 'peer-unavailable', undefined],
  ] as const)('%i with Retry-After %s is %s', (status, header, code, wait) => {
    const expected = { code, detail: `HTTP ${status}`, ...(wait === undefined ? {} : { retryAfterMs: wait }) }
    expect(faultFromStatus(status, header, 0)).toEqual(expected)
  })
})

describe('Retry-After', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')

  it.each([
    ['7', 7_000],
    [' 7 ', 7_000],
    ['0.5', 500],
    ['1000000000000', 1e15],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Thursday, 01-Jan-26 00:00:30 GMT', 30_000],
    ['Thu Jan  1 00:00:30 2026', 30_000],
  ])('%j is a wait of %i ms', (header, ms) => {
    expect(retryAfterMs(header, now)).toBe(ms)
  })

  it.each([
    undefined,
    '',
    '0',
    '-1',
    'NaN',
    'Infinity',
    '1e12',
    '0x10',
    '9'.repeat(400),
    '7 s',
    'soon',
    'in 5 minutes',
    'tomorrow 3000',
    '7, 8',
    '2026-06-01',
    'Thu, 01 Jan 2026 00:00:00 GMT',
    'Wed, 31 Dec 2025 00:00:00 GMT',
    'Thu, 99 Foo 2026 00:00:30 GMT',
  ])('%j is no wait that can be kept', (header) => {
    expect(retryAfterMs(header, now)).toBeUndefined()
  })
})
