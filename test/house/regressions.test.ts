/** docs/regressions.md against the tests: no number without its row, no row without its proof, no proof without its row. */
import { expect, test } from 'vitest'
import { read, sourcesUnder } from './source.ts'

const page = read('docs/regressions.md')

/** Titles are the first argument of a call and begin with their numbers, beside those of rules and incidents. */
const NUMBERS = /^(?:(?:HF-[A-Z]+\d+|incident \d\.\d|[REQ]\d+):? )+/

const titled = sourcesUnder('test')
  .filter((file) => file.endsWith('.test.ts') && !file.startsWith('test/house/'))
  .flatMap((file) =>
    [...read(file).matchAll(/\(\s*(['"`])((?:(?!\1).)*)\1/g)].flatMap(([, , title]) =>
      [...(NUMBERS.exec(title!)?.[0] ?? '').matchAll(/(?<![\w-])[RE]\d+/g)].map(([number]) => `${number} ${file}`),
    ),
  )

/** The rows `| [R01](link) | what went wrong | what holds here | files |`; no file where nothing can be tested. */
const rows = [...page.matchAll(/^\| \[?([RE]\d+)\b.*\| ([^|]*) \|$/gm)].map(([row, number, files]) => ({
  row,
  number: number!,
  files: [...files!.matchAll(/`(test\/[^`]+)`/g)].map(([, file]) => file!),
}))

const sorted = (all: readonly string[]): string[] => [...new Set(all)].sort()

test('every regression has one row: R01 to R97, and those that were measured', () => {
  const measured = [1, 2, 3, 4, 5, 6, 10, 11, 12].map((n) => `E${n}`)
  const studied = Array.from({ length: 97 }, (_, n) => `R${String(n + 1).padStart(2, '0')}`)
  expect(rows.map(({ number }) => number)).toEqual([...studied, ...measured])
})

test('every file that a row names has a test with its number, and every numbered test is named by its row', () => {
  const written = rows.flatMap(({ number, files }) => files.map((file) => `${number} ${file}`))
  expect(sorted(written)).toEqual(sorted(titled))
})

test('a row without a test says why', () => {
  const bare = rows.filter(({ files }) => files.length === 0).map(({ row }) => row)
  for (const row of bare) expect(row).toMatch(/\| (waits for|does not apply)/)
})
