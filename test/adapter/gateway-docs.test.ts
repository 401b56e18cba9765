/** The tables of close codes in docs/adapters, held against the code. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { discordCloses } from '../../src/adapter/discord.ts'
import { type CloseTable, sequelOf } from '../../src/adapter/gateway.ts'
import { qqCloses } from '../../src/adapter/qq.ts'

const ROW = /^\| (\d{4})(?:–(\d{4}))? \| [^|]+ \| (\w+) \| `([\w-]+)` \|$/gm

/** code -> what follows, and the fault; a row may be about a range of codes. */
const tableOf = (file: string): Record<string, unknown> =>
  Object.fromEntries(
    [...readFileSync(file, 'utf8').matchAll(ROW)].flatMap(([, from, to = from, sequel, fault]) =>
      Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => [Number(from) + i, [sequel, fault]]),
    ),
  )

describe.each<[string, CloseTable]>([
  ['docs/adapters/discord.md', discordCloses],
  ['docs/adapters/qq.md', qqCloses],
])('%s', (file, closes) => {
  it('has every close code, with what follows and its fault, and no other', () => {
    const inCode = Object.entries(closes).map(([code, fault]) => [code, [sequelOf(fault), fault]])
    expect(tableOf(file)).toEqual(Object.fromEntries(inCode))
  })
})
