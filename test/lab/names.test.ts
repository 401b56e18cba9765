/** Proves the laboratory's DNS: each fault has the effect that it has on getaddrinfo and on c-ares in the wild. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addresses, describeInLab, type Lab, startLab } from './lab.ts'
import type { Looked, Query } from './programs/lookup.ts'

interface Row extends Query {
  readonly via: 'system' | 'cares'
  /** An error's code, or addresses. */
  readonly expected: string | readonly string[]
  /** Seconds; 0 is at once. */
  readonly after: number
}

const [a] = addresses.v4
const [aaaa] = addresses.v6
/** Its defaults take 25 s to give up. */
const twice = { timeout: 1_000, tries: 2 }

const rows: readonly Row[] = [
  { name: 'nowhere.test', via: 'system', expected: 'ENOTFOUND', after: 0 },
  { name: 'nodata.test', via: 'system', expected: 'ENOTFOUND', after: 0 },
  { name: 'servfail.test', via: 'system', expected: 'EAI_AGAIN', after: 0 },
  { name: 'refused.test', via: 'system', expected: 'EAI_AGAIN', after: 0 },
  { name: 'localhost', via: 'system', family: 4, expected: ['127.0.0.1'], after: 0 },
  { name: 'dual.test', via: 'system', expected: [aaaa, a], after: 0 },
  { name: 'slowaaaa.test', via: 'system', family: 4, expected: [a], after: 0 },
  { name: 'one.slow.test', via: 'system', expected: [a], after: 2 },
  { name: 'slowaaaa.test', via: 'system', expected: [aaaa, a], after: 2 },
  { name: 'silent.test', via: 'system', expected: 'EAI_AGAIN', after: 10 },
  { name: 'noaaaa-answer.test', via: 'system', expected: [a], after: 15 },
  { name: 'nowhere.test', via: 'cares', expected: 'ENOTFOUND', after: 0 },
  { name: 'nodata.test', via: 'cares', expected: 'ENODATA', after: 0 },
  { name: 'servfail.test', via: 'cares', expected: 'ESERVFAIL', after: 0 },
  { name: 'refused.test', via: 'cares', expected: 'EREFUSED', after: 0 },
  { name: 'localhost', via: 'cares', expected: 'ENOTFOUND', after: 0 },
  { name: 'dual.test', via: 'cares', family: 6, expected: [aaaa], after: 0 },
  { name: 'slowaaaa.test', via: 'cares', family: 4, expected: [a], after: 0 },
  // It asks again before the answer comes, and then does not know the answer any more.
  { name: 'late.test', via: 'cares', options: twice, expected: 'ETIMEOUT', after: 3 },
  { name: 'silent.test', via: 'cares', options: { timeout: 1_500, tries: 2 }, expected: 'ETIMEOUT', after: 5 },
]

const titleOf = ({ name, via, family, expected, after }: Row): string => {
  const how = family ? `${via}, IPv${family} alone` : via
  return `${name} (${how}): ${[expected].flat().join(' and ')} ${after ? `after ${after} s` : 'at once'}`
}

describeInLab('the laboratory: names', () => {
  const looked = new Map<Row, Looked>()
  let crowd: readonly Looked[] = []
  let lab: Lab

  beforeAll(async () => {
    lab = await startLab('dual')
    await lab.zone({ 'late.test': { a: { addresses: [a], delayMs: 2_500 } } })
    const lookUp = async (row: Row) => looked.set(row, await lab.run<Looked>('lookup', { queries: [row] }))
    for (const row of rows.filter(({ after }) => after === 0)) await lookUp(row)
    const eight = Array.from({ length: 8 }, (_, index): Query => ({ name: `n${index}.slow.test` }))
    const late: Query = { name: 'v4.test', afterMs: 10 }
    // All at once, and each in a process of its own: one process runs two lookups at a time, as the last test shows.
    const [all] = await Promise.all([
      lab.runAll<Looked>('lookup', { queries: [...eight, late] }),
      ...rows.filter(({ after }) => after > 0).map(lookUp),
    ])
    crowd = all
  }, 40_000)
  afterAll(() => lab?.stop())

  test.each(rows.map((row) => [titleOf(row), row] as const))('%s', (_title, row) => {
    const { ms, addresses: found, error } = looked.get(row)!
    expect(error?.code ?? found).toEqual(row.expected)
    // The timers of c-ares have whole seconds.
    const slackMs = row.options ? 1_000 : 20
    expect(ms).toBeGreaterThanOrEqual(row.after * 1_000 - slackMs)
    expect(ms).toBeLessThan(row.after * 1_000 + slackMs + 400)
  })

  test('eight slow lookups make a fast one of the same process wait for 8 s', () => {
    const fast = crowd.find(({ name }) => name === 'v4.test')
    expect(fast?.ok).toBe(true)
    expect(fast?.ms).toBeGreaterThan(7_500)
    expect(fast?.ms).toBeLessThan(8_700)
  })

  test('the zone changes, and each query is on record', async () => {
    await lab.queries()
    await lab.zone({ 'new.test': { a: { addresses: [addresses.v4[1]] } }, 'v4.test': null })
    const queries = [{ name: 'new.test' }, { name: 'v4.test' }]
    const found = await lab.runAll<Looked>('lookup', { queries })
    expect(found.find(({ name }) => name === 'new.test')?.addresses).toEqual([addresses.v4[1]])
    expect(found.find(({ name }) => name === 'v4.test')?.error?.code).toBe('ENOTFOUND')
    const asked = (await lab.queries()).map(({ name, type }) => `${name} ${type}`)
    expect(new Set(asked)).toEqual(new Set(['new.test a', 'new.test aaaa', 'v4.test a', 'v4.test aaaa']))
  })
})
