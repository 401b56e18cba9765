/** The reader of numbers: what it takes from a source, and that it never takes silence for a number. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Numbers } from '../../scripts/numbers.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-numbers-'))
afterAll(() => rmSync(root, { recursive: true }))

writeFileSync(
  join(root, 'source.ts'),
  `/** A day. */
const DAY_MS = 24 * 3_600_000
export const HALF_MS = DAY_MS / 2
const SUM_MS = HALF_MS + 500 + 2 * 250
const FILE_BYTES_MAX = 8 * 1024 * 1024
const BETTER_BY_PART = 0.2
const COUNT_MAX = 100_000
const NAMES = ['a']
const read = ({ everyMs = 2_000, reserve = 0.1 }) => [everyMs, reserve]
`,
)
const numbers = new Numbers(root)

test.each([
  ['DAY_MS', 86_400_000, '24 h'],
  ['HALF_MS', 43_200_000, '12 h'],
  ['SUM_MS', 43_201_000, '43201 s'],
  ['FILE_BYTES_MAX', 8_388_608, '8 MiB'],
  ['BETTER_BY_PART', 0.2, '20 %'],
  ['COUNT_MAX', 100_000, '100,000'],
  ['everyMs', 2_000, '2 s'],
  ['reserve', 0.1, '10 %'],
])('%s is %d, shown as %s', (name, value, shown) => {
  expect(numbers.valueOf('source.ts', name)).toBe(value)
  expect(numbers.show('source.ts', name)).toBe(shown)
})

test.each([
  ['MISSING_MS', 'source.ts has no number MISSING_MS'],
  ['missing', 'source.ts has no number missing'],
  ['NAMES', "source.ts: ['a'] is no plain number"],
])('%s is an error', (name, message) => {
  expect(() => numbers.valueOf('source.ts', name)).toThrow(message)
})
