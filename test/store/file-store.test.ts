/** What only a store in files has: a folder, a lock, errors of the system, contents of somebody else. */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { sealed } from '../../src/file-store/record.ts'
import { fileStore } from '../../src/file-store.ts'
import type { Store } from '../../src/store.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'holdfast-file-store-'))
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))
const freshDir = () => fs.mkdtempSync(join(scratch, 'd-'))

const opened: Store[] = []
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

const openStore = (dir: string, warnings: string[] = []): Store => {
  const store = fileStore(dir, { warn: (message) => warnings.push(message) })
  opened.push(store)
  return store
}

describe('the folder', () => {
  test('is made on first use, for this user alone, and so is the one for the database in a folder that was there', async () => {
    const dir = join(freshDir(), 'deep', 'er')
    const store = openStore(dir)
    expect(fs.existsSync(dir)).toBe(false)
    await store.write([{ key: 'a', value: 1 }])
    for (const path of [join(dir, '..'), dir, join(dir, 'db-1')]) expect(fs.statSync(path).mode & 0o777).toBe(0o700)

    const open = freshDir()
    fs.chmodSync(open, 0o755)
    await openStore(open).write([{ key: 'a', value: 1 }])
    expect(fs.statSync(join(open, 'db-1')).mode & 0o777).toBe(0o700)
  })

  test('closing a store that was never used makes nothing', async () => {
    const dir = join(freshDir(), 'unused')
    await openStore(dir).close()
    expect(fs.existsSync(dir)).toBe(false)
  })

  test('what was written is there for the next store', async () => {
    const dir = freshDir()
    for (let n = 0; n < 5; n++) {
      const store = openStore(dir)
      expect(await store.read('')).toHaveLength(n)
      await store.write([{ key: `k${n}`, value: n }], { toDisk: n % 2 === 0 })
      await store.close()
    }
  })

  test.each(['', 7 as unknown as string])('%j is no folder, and said so at once', (dir) => {
    expect(() => fileStore(dir)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  })

  test('after close every call is refused, and changes nothing', async () => {
    const dir = freshDir()
    const store = openStore(dir)
    await store.write([{ key: 'a', value: 1 }])
    const closed = store.close()
    const late = store.write([{ key: 'a', value: 2 }])
    const refusal = { code: 'store-failed', message: expect.stringContaining('closed') }
    await expect(late).rejects.toMatchObject(refusal)
    await closed
    await expect(store.read('')).rejects.toMatchObject(refusal)
    expect(await openStore(dir).read('')).toEqual([['a', 1]])
  })
})

describe('one process at a time', () => {
  test('a second store on the same folder is told so, whatever it calls the folder, and gets it after the first', async () => {
    const dir = freshDir()
    const alias = join(scratch, 'alias')
    fs.symlinkSync(dir, alias)
    const first = openStore(dir)
    await first.write([{ key: 'a', value: 1 }])
    for (const name of [dir, alias, join(dir, '..', dir.split('/').at(-1)!)]) {
      const second = openStore(name)
      const error = await second.read('').catch((reason) => reason)
      expect(error).toMatchObject({ code: 'store-failed', message: expect.stringContaining('has it open') })
      expect(error.message).toContain(name)
    }
    const second = openStore(alias)
    await expect(second.read('')).rejects.toMatchObject({ code: 'store-failed' })
    await first.close()
    expect(await second.read('')).toEqual([['a', 1]])
  })

  test('files that look damaged while somebody has them open are not taken from under them', async () => {
    const dir = freshDir()
    const first = openStore(dir)
    await first.write([{ key: 'a', value: 1 }], { toDisk: true })
    fs.rmSync(join(dir, 'db-1', 'CURRENT'))
    await expect(openStore(dir).read('')).rejects.toMatchObject({ message: expect.stringContaining('has it open') })
    expect(fs.readdirSync(dir)).toEqual(['db-1'])
    expect(await first.read('')).toEqual([['a', 1]])
  })
})

describe('errors of the system', () => {
  test('a file in place of the folder: says where, why and what to do; when it is gone the next call works', async () => {
    const dir = join(freshDir(), 'state')
    fs.writeFileSync(dir, '')
    const store = openStore(dir)
    const error = await store.write([{ key: 'a', value: 1 }]).catch((reason) => reason)
    expect(error).toMatchObject({ code: 'store-failed', cause: expect.objectContaining({ code: 'EEXIST' }) })
    expect(error.message).toBe(
      `The store in ${dir} cannot be used (EEXIST). There is a file of that name: choose another folder.`,
    )
    fs.rmSync(dir)
    await store.write([{ key: 'a', value: 2 }])
    expect(await store.read('')).toEqual([['a', 2]])
  })

  test('a file within its path', async () => {
    const file = join(freshDir(), 'file')
    fs.writeFileSync(file, '')
    await expect(openStore(join(file, 'state')).read('')).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringContaining('ENOTDIR'),
    })
  })

  test('a folder that was taken away from under an open store is made anew in the end', async () => {
    const dir = freshDir()
    const store = openStore(dir)
    await store.write([{ key: 'a', value: 1 }])
    await store.close()
    fs.rmSync(dir, { recursive: true })
    const next = openStore(dir)
    await next.write([{ key: 'b', value: 2 }])
    expect(await next.read('')).toEqual([['b', 2]])
  })
})

/** What may stand in a database under our keys, and is not one of our records. */
const foreign: [string, (key: string, text: string) => string][] = [
  ['nothing', () => ''],
  ['a space', () => ' '],
  ['the bare JSON', (_, text) => text],
  ['a later version', (key, text) => `2${sealed(key, text).slice(1)}`],
  ['an earlier version', (key, text) => `0${sealed(key, text).slice(1)}`],
  ['no version', (key, text) => sealed(key, text).slice(1)],
  ['two versions', (key, text) => `1${sealed(key, text)}`],
  ['the seal alone', (key, text) => sealed(key, text).slice(0, 17)],
  ['half of a seal', (key, text) => sealed(key, text).slice(0, 8)],
  ['a seal in capitals', (key, text) => sealed(key, text).slice(0, 17).toUpperCase() + text],
  ['a seal of zeros', (_, text) => `1${'0'.repeat(16)}${text}`],
  ['the seal of another key', (_, text) => sealed('session/other', text)],
  ['the seal of another value', (key, text) => sealed(key, '{}').slice(0, 17) + text],
  ['cut by one character', (key, text) => sealed(key, text).slice(0, -1)],
  ['cut in half', (key, text) => sealed(key, text).slice(0, 30)],
  ['one character more', (key, text) => `${sealed(key, text)} `],
  ['twice', (key, text) => sealed(key, text) + sealed(key, text)],
  ['one digit changed', (key, text) => sealed(key, text).replace('42', '43')],
  ['one letter changed', (key, text) => sealed(key, text).replace('resume', 'Resume')],
  ['zeros', () => '\0'.repeat(64)],
  ['null', () => 'null'],
  ['a number', () => '42'],
  ['HTML', () => '<!doctype html><title>404</title>'],
  ['of another program', () => '{"version":3,"sessions":{}}'],
  ['deeply nested', () => '['.repeat(100_000)],
  ['a megabyte', () => 'x'.repeat(1_000_000)],
  ['sealed, and no JSON', (key) => sealed(key, 'undefined')],
  ['sealed, and cut JSON', (key, text) => sealed(key, text.slice(0, -5))],
  ['sealed, and nothing', (key) => sealed(key, '')],
  ['sealed, and nested too deep to be ours', (key) => sealed(key, '['.repeat(100_000))],
  ['sealed, and two values', (key, text) => sealed(key, `${text}${text}`)],
  ['sealed, and NaN', (key) => sealed(key, 'NaN')],
]

describe('contents that are damaged or not ours', () => {
  const session = { sessionId: 'resume-me', seq: 42 }

  test(`T15 ${foreign.length} kinds of them are left out and counted, and what is ours is read`, async () => {
    expect(foreign.length).toBeGreaterThanOrEqual(30)
    for (const [name, text] of foreign) {
      const dir = freshDir()
      const store = openStore(dir)
      await store.write(['session/a', 'session/c', 'z'].map((key) => ({ key, value: session })))
      await store.close()
      const level = new ClassicLevel(join(dir, 'db-1'), { compression: false })
      await level.put('session/b', text('session/b', JSON.stringify(session)))
      await level.close()

      const warnings: string[] = []
      const next = openStore(dir, warnings)
      expect(await next.read('session/'), name).toEqual([
        ['session/a', session],
        ['session/c', session],
      ])
      expect(warnings, name).toEqual([expect.stringContaining('1 of its records is damaged or not ours')])
      expect(warnings[0], name).not.toContain('resume-me')
      await next.write([{ key: 'session/b', value: 'mended' }])
      expect(await next.read('session/b'), name).toEqual([['session/b', 'mended']])
      expect(warnings, name).toHaveLength(1)
    }
  })

  test('a database of another program keeps its place, and ours begins beside it', async () => {
    const dir = freshDir()
    const level = new ClassicLevel(join(dir, 'db-1'))
    await level.batch(
      Array.from({ length: 500 }, (_, n) => ({ type: 'put', key: `theirs-${n}`, value: 'x'.repeat(200) })),
    )
    await level.compactRange('', '~')
    await level.close()
    const warnings: string[] = []
    const store = openStore(dir, warnings)
    expect(await store.read('')).toEqual([])
    expect(warnings).toEqual([expect.stringContaining(join(dir, 'db-1'))])
    expect(fs.readdirSync(dir).sort()).toEqual(['db-1', 'db-2'])
  })

  test('without an option the warning is one of the process, and a warn that throws harms nothing', async () => {
    const dir = freshDir()
    fs.mkdirSync(join(dir, 'db-1'))
    fs.writeFileSync(join(dir, 'db-1', '000005.ldb'), 'not a table')
    const heard = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const throwing = fileStore(dir, {
      warn: () => {
        throw new Error('mine')
      },
    })
    expect(await throwing.read('')).toEqual([])
    await throwing.close()
    fs.rmSync(join(dir, 'db-2', 'CURRENT'))
    const plain = fileStore(dir)
    expect(await plain.read('')).toEqual([])
    await plain.close()
    expect(heard.mock.calls).toEqual([
      [expect.stringContaining('db-1'), 'HoldfastWarning'],
      [expect.stringContaining('db-2'), 'HoldfastWarning'],
    ])
    heard.mockRestore()
  })
})
