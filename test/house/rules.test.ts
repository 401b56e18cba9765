/** docs/rules.md is the specification: no rule without a test, and no numbered test without its rule. */
import { expect, test } from 'vitest'
import { linkRules } from '../model/rules.ts'
import { read, sourcesUnder } from './source.ts'

interface Proof {
  readonly number: string
  readonly file: string
}

/** The numbers at the start of test titles. */
const titled: Proof[] = sourcesUnder('test')
  .filter((file) => file.endsWith('.test.ts'))
  .flatMap((file) =>
    [...read(file).matchAll(/\b(?:test|it)(?:\.\w+)?\(\s*(?:\[[^\]]*\],\s*)?['"`](HF-[A-Z]+\d+)\b/g)].map((match) => ({
      number: match[1]!,
      file,
    })),
  )

/** The rows `| HF-X1 | the rule | files that prove it |`. */
const rows = [...read('docs/rules.md').matchAll(/^\| (HF-[A-Z]+\d+) \|.*\| ([^|]+) \|$/gm)]
const written: Proof[] = rows.flatMap(([, number, files]) =>
  [...files!.matchAll(/`([^`]+)`/g)].map(([, file]) => ({ number: number!, file: file! })),
)

const sorted = (proofs: readonly Proof[]): string[] =>
  [...new Set(proofs.map(({ number, file }) => `${number} ${file}`))].sort()

test('HF-H7 every rule of docs/rules.md is the title of a test, and every numbered test is a rule there', () => {
  expect(sorted(written)).toEqual(sorted(titled))
  expect(rows.length, 'a number has one row').toBe(new Set(rows.map(([, number]) => number)).size)
})

test('HF-H8 every rule that judges mutants has a test of its own', () => {
  const numbers = titled.filter(({ file }) => file === 'test/model/link.test.ts').map(({ number }) => number)
  expect(Object.keys(linkRules).filter((number) => !numbers.includes(number))).toEqual([])
})
