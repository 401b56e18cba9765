/** A disk that takes no more: what is said of it, and that nothing is left behind. */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { fileBudgetStore, sessionBudget } from '../src/budget.ts'
import { discord, waitOf } from './session-starts.ts'

let failing: string | undefined
vi.mock('node:fs/promises', async (original) => {
  const system = await original<typeof import('node:fs/promises')>()
  const open: typeof system.open = async (...args) => {
    const file = await system.open(...args)
    const code = failing
    if (code === undefined) return file
    // as a full disk does it: the file is made, and what is to stand in it finds no room
    return Object.assign(file, { writeFile: () => Promise.reject(Object.assign(new Error('no'), { code })) })
  }
  return { ...system, open }
})

const dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-budget-'))
afterEach(() => {
  failing = undefined
})
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))

test.each([
  ['ENOSPC', 'Make room on that disk.'],
  ['EDQUOT', 'Make room on that disk.'],
  ['EROFS', 'another folder is named with fileBudgetStore(dir).'],
  ['ENFILE', 'Raise the limit of open files (ulimit -n).'],
])('%s: nothing is reserved, the message says what, where and what to do, and what was kept stays', async (code, advice) => {
  const budget = sessionBudget({ ...discord, key: code, store: fileBudgetStore(dir) })
  expect(waitOf(await budget.reserve())).toBe(0)
  const before = fs.readdirSync(dir).map((name) => fs.readFileSync(join(dir, name), 'utf8'))
  failing = code
  await expect(budget.reserve()).rejects.toMatchObject({
    name: 'HoldfastError',
    code: 'store-failed',
    message: expect.stringMatching(
      new RegExp(`^The budget cannot be kept: ${code} at ${dir}/budget-\\w+\\.json\\. No session`),
    ),
    cause: expect.objectContaining({ code }),
  })
  await expect(budget.reserve()).rejects.toThrow(advice)
  expect(fs.readdirSync(dir).map((name) => fs.readFileSync(join(dir, name), 'utf8'))).toEqual(before)
  failing = undefined
  // the one reserved start is all that counts
  expect(waitOf(await budget.reserve())).toBeGreaterThan(4_000)
})
