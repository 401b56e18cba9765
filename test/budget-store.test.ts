import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type BudgetOptions, fileBudgetStore, sessionBudget } from '../src/budget.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { busiestDay, DAY_MS, discord, HELD, spendAll, USABLE, waitOf } from './session-starts.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'holdfast-budget-'))
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))
const freshDir = () => fs.mkdtempSync(join(scratch, 'd-'))

const digest = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16)
/** A file whose checksum is right, whatever it says. */
const sealed = (state: unknown) => JSON.stringify({ check: digest(JSON.stringify(state)), state })

const fileOf = (dir: string): string => join(dir, fs.readdirSync(dir).find((name) => name.endsWith('.json')) ?? 'none')

describe('the file', () => {
  test('the same through a file: rate and day are known to the next instance', async () => {
    const clock = heapClock()
    const dir = freshDir()
    const next = () => sessionBudget({ ...discord, perDay: 4, clock, store: fileBudgetStore(dir) })
    expect(waitOf(await next().reserve())).toBe(0)
    expect(waitOf(await next().reserve())).toBe(5_000)
    clock.advanceSync(6_000)
    expect(waitOf(await next().reserve())).toBe(4_000)
    expect(await next().reserve()).toEqual({ exhausted: true, untilMs: DAY_MS - 6_000 })
  })

  test('mode 0600 in a folder of its own, no key in its name or text, nothing else left behind', async () => {
    const dir = join(freshDir(), 'deep', 'er')
    const key = 'MTk4NjIyNDgzNDcx.secret-token'
    await sessionBudget({ ...discord, key, store: fileBudgetStore(dir) }).reserve()
    expect(fs.readdirSync(dir)).toEqual([expect.stringMatching(/^budget-[0-9a-f]{32}\.json$/)])
    expect(fs.statSync(fileOf(dir)).mode & 0o777).toBe(0o600)
    expect(fs.statSync(dir).mode & 0o777).toBe(0o700)
    expect(fs.readFileSync(fileOf(dir), 'utf8')).not.toContain('secret')
  })

  test('a thousand reservations at once are made in few writes, and each counts', async () => {
    const dir = freshDir()
    const budget = sessionBudget({ ...discord, store: fileBudgetStore(dir), perInterval: { count: 5_000, ms: 1 } })
    const began = performance.now()
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => budget.reserve()))
    console.log(`1,000 reservations at once: ${(performance.now() - began).toFixed(0)} ms`)
    expect(answers.filter(({ exhausted }) => !exhausted)).toHaveLength(USABLE)
    const { state } = JSON.parse(fs.readFileSync(fileOf(dir), 'utf8'))
    expect(state.starts).toHaveLength(USABLE)
  })

  test('two stores of one process on the same folder never pass the limit together', async () => {
    const dir = freshDir()
    const budgets = [1, 2, 3].map(() =>
      sessionBudget({ ...discord, perDay: 50, store: fileBudgetStore(dir), perInterval: { count: 100, ms: 1 } }),
    )
    const spendOn = async (budget: (typeof budgets)[number]) => {
      let count = 0
      while (!(await budget.reserve()).exhausted) count++
      return count
    }
    const counts = await Promise.all(budgets.map(spendOn))
    expect(counts.reduce((sum, count) => sum + count)).toBe(45)
  })

  test('a change that throws harms only itself', async () => {
    const store = fileBudgetStore(freshDir())
    const failing = store.update('a', () => {
      throw new Error('mine')
    })
    const fine = store.update('a', (stored) => [{ n: 1 }, stored])
    await expect(failing).rejects.toThrow('mine')
    expect(await fine).toBeUndefined()
    expect(await store.update('a', (stored) => [{ n: 2 }, stored])).toEqual({ n: 1 })
  })

  test('a folder that is a file is a clear error, and the next call asks anew', async () => {
    const dir = join(freshDir(), 'state')
    fs.writeFileSync(dir, '')
    const budget = sessionBudget({ ...discord, store: fileBudgetStore(dir) })
    await expect(budget.reserve()).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(new RegExp(`^The budget cannot be kept: EEXIST at ${dir}/.* another folder`)),
      cause: expect.objectContaining({ code: 'EEXIST' }),
    })
    fs.rmSync(dir)
    expect(waitOf(await budget.reserve())).toBe(0)
  })

  test('so is a folder in place of the file, and nothing is left behind', async () => {
    const dir = freshDir()
    await sessionBudget({ ...discord, store: fileBudgetStore(dir) }).reserve()
    const file = fileOf(dir)
    fs.rmSync(file)
    fs.mkdirSync(file)
    const budget = sessionBudget({ ...discord, store: fileBudgetStore(dir) })
    await expect(budget.reserve()).rejects.toMatchObject({ code: 'store-failed' })
    expect(fs.readdirSync(dir)).toHaveLength(1)
  })
})

/** A file as it was after three starts, and what may have become of it. */
const damages: [string, (text: string, state: Record<string, unknown>) => string | Buffer][] = [
  ['empty', () => ''],
  ['a space', () => ' '],
  ['cut in the middle', (text) => text.slice(0, text.length / 2)],
  ['without its last byte', (text) => text.slice(0, -1)],
  ['without its first byte', (text) => text.slice(1)],
  ['zeros, as after a power cut', (text) => Buffer.alloc(text.length)],
  ['half zeros', (text) => text.slice(0, 100) + '\0'.repeat(100)],
  ['random bytes', () => Buffer.from(Array.from({ length: 500 }, (_, n) => (n * 7_919) % 256))],
  ['one digit changed', (text) => text.replace(/"starts":\[\[(\d)/, (_, digit) => `"starts":[[${9 - Number(digit)}`)],
  ['one start removed', (_, state) => JSON.stringify({ check: '0'.repeat(16), state: { ...state, starts: [] } })],
  ['twice the same', (text) => text + text],
  ['something behind it', (text) => `${text}x`],
  ['null', () => 'null'],
  ['a number', () => '42'],
  ['a string', () => '"holdfast"'],
  ['an array', () => '[]'],
  ['an empty object', () => '{}'],
  ['of another program', () => '{"sessions":{"a":1}}'],
  ['HTML', () => '<!doctype html><title>404</title>'],
  ['deeply nested', () => '['.repeat(100_000)],
  ['bigger than any of ours', (text) => text + ' '.repeat(9 * 1024 * 1024)],
  ['no state', () => JSON.stringify({ check: '0'.repeat(16) })],
  ['state null', () => sealed(null)],
  ['a later version', (_, state) => sealed({ ...state, version: 2 })],
  ['time is text', (_, state) => sealed({ ...state, at: '2026' })],
  ['time is null (NaN)', (_, state) => sealed({ ...state, at: Number.NaN })],
  ['wall is missing', (_, state) => sealed({ ...state, wall: undefined })],
  ['revision is an object', (_, state) => sealed({ ...state, revision: {} })],
  ['starts are no list', (_, state) => sealed({ ...state, starts: { length: 1 } })],
  ['a start is no list', (_, state) => sealed({ ...state, starts: [1, 2, 3] })],
  ['a start is too short', (_, state) => sealed({ ...state, starts: [[1, 2]] })],
  ['a start is in a year', (_, state) => sealed({ ...state, starts: [[1, Number(state.at) + 365 * DAY_MS, 0]] })],
  ['a bucket is negative', (_, state) => sealed({ ...state, starts: [[1, Number(state.at), -1]] })],
  ['too many starts', (_, state) => sealed({ ...state, starts: Array(100_001).fill([1, 1, 1]) })],
  ['a server that is none', (_, state) => sealed({ ...state, server: 7 })],
  ['a server for ever', (_, state) => sealed({ ...state, server: { remaining: 0, at: 0, until: 1e18 } })],
  ['no buckets', (_, state) => sealed({ ...state, buckets: 0 })],
  ['lost in the future', (_, state) => sealed({ ...state, lostAt: 1e18 })],
]

describe('a file that is damaged or not ours', () => {
  const start = async () => {
    const clock = heapClock()
    const dir = freshDir()
    const openNext = (more: Partial<BudgetOptions> = {}) =>
      sessionBudget({ ...discord, clock, store: fileBudgetStore(dir), ...more })
    for (let n = 0; n < 3; n++) await openNext().reserve()
    return { clock, dir, openNext }
  }
  const PACE_MS = DAY_MS / HELD

  test(`${damages.length} kinds of damage: a warning, and starts come out of the reserve, one in 864 s`, async () => {
    expect(damages.length).toBeGreaterThanOrEqual(30)
    for (const [name, damage] of damages) {
      const { clock, dir, openNext } = await start()
      const text = fs.readFileSync(fileOf(dir), 'utf8')
      fs.writeFileSync(fileOf(dir), damage(text, JSON.parse(text).state))
      const first = await openNext().reserve()
      expect(first, name).toMatchObject({ waitMs: PACE_MS, warning: 'history-lost' })
      clock.advanceSync(PACE_MS)
      expect(await openNext().reserve(), name).toMatchObject({ waitMs: PACE_MS, warning: 'history-lost' })
      fs.rmSync(dir, { recursive: true })
    }
  })

  test('after 24 h the warning is over and the budget is whole, less what was spent', async () => {
    const { clock, dir, openNext } = await start()
    fs.writeFileSync(fileOf(dir), 'damage')
    const starts = await spendAll(clock, DAY_MS - PACE_MS, () => openNext())
    expect(starts).toHaveLength(HELD - 1)
    clock.advanceSync(PACE_MS)
    expect(await openNext().reserve()).toEqual({ waitMs: 0, ticket: expect.any(Number) })
  })

  test('the word of the server ends it at once', async () => {
    const { dir, openNext } = await start()
    fs.writeFileSync(fileOf(dir), 'damage')
    await openNext().serverSays({ remaining: 800, resetAfterMs: 3_600_000 })
    expect(await openNext().reserve()).toEqual({ waitMs: 0, ticket: expect.any(Number) })
  })

  test('without a reserve there is nothing to pay with: exhausted for a day', async () => {
    const { clock, dir, openNext } = await start()
    fs.writeFileSync(fileOf(dir), 'damage')
    const bare = () => openNext({ reserve: 0 })
    const answer = { exhausted: true, untilMs: DAY_MS, warning: 'history-lost' }
    expect(await bare().reserve()).toEqual(answer)
    clock.advanceSync(DAY_MS - 1)
    expect(await bare().reserve()).toEqual({ ...answer, untilMs: 1 })
    clock.advanceSync(1)
    expect(waitOf(await bare().reserve())).toBe(0)
  })

  test('a file that is damaged at every restart opens no way past the limit', async () => {
    const { clock, dir, openNext } = await start()
    const next = () => openNext({ perDay: 200 })
    const before = await spendAll(clock, 175 * 5_000, next)
    const after = await spendAll(clock, DAY_MS, () => {
      fs.writeFileSync(fileOf(dir), 'damage')
      return next()
    })
    expect(after).toHaveLength(20)
    // and three were made before the count; the twentieth comes when these are more than a day old
    expect([before.length, busiestDay([...before, ...after])]).toEqual([173, 173 + 19])
  })
})
