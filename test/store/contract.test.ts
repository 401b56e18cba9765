/** What every store promises, asked of both. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { fileStore } from '../../src/file-store.ts'
import { type Change, memoryStore, type Store } from '../../src/store.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-store-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const makers: Record<string, () => Store> = {
  memoryStore,
  fileStore: () => fileStore(mkdtempSync(join(scratch, 'd-'))),
}

const put = (key: string, value: unknown): Change => ({ key, value })

describe.each(Object.entries(makers))('%s', (_, make) => {
  const opened: Store[] = []
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
  })
  const start = (): Store => {
    const store = make()
    opened.push(store)
    return store
  }

  test('is empty at first', async () => {
    expect(await start().read('')).toEqual([])
  })

  test('gives back what was written, whatever JSON carries', async () => {
    const store = start()
    const values = [
      null,
      true,
      0,
      -1.5,
      '',
      'text',
      '\ud800 half a pair',
      '\0',
      [],
      [1, [2]],
      {},
      { a: { b: '世界 🌍' } },
    ]
    await store.write(values.map((value, n) => put(`v/${String(n).padStart(2, '0')}`, value)))
    expect((await store.read('v/')).map(([, value]) => value)).toEqual(values)
  })

  test('a later value replaces an earlier one, and undefined deletes; what is not there may be deleted', async () => {
    const store = start()
    await store.write([put('a', 1), put('b', 1), put('c', 1)])
    await store.write([put('a', 2), put('b', undefined), put('z', undefined)])
    expect(await store.read('')).toEqual([
      ['a', 2],
      ['c', 1],
    ])
  })

  test('within one write the last change of a key counts', async () => {
    const store = start()
    await store.write([put('a', 1), put('a', 2), put('b', 1), put('b', undefined), put('c', undefined), put('c', 3)])
    expect(await store.read('')).toEqual([
      ['a', 2],
      ['c', 3],
    ])
  })

  test('read takes exactly the keys with this beginning', async () => {
    const store = start()
    const keys = ['a', 'a/', 'a/1', 'a/10', 'a/2', 'a0', 'b', 'a/\u{10ffff}', 'a/\uffff', 'é/1']
    await store.write(keys.map((key) => put(key, key)))
    for (const prefix of ['', 'a', 'a/', 'a/1', 'a/1x', 'é', 'c']) {
      const found = (await store.read(prefix)).map(([key]) => key)
      expect([...found].sort(), prefix).toEqual(keys.filter((key) => key.startsWith(prefix)).sort())
    }
  })

  test('in the order of the code points, beyond the basic plane too', async () => {
    const store = start()
    const ordered = ['', '\0', '0', '10', '9', 'A', 'Z', 'a', 'aa', 'ab', 'b', 'é', '世', '\uffff', '🌍']
    await store.write([...ordered].reverse().map((key) => put(key, 1)))
    expect((await store.read('')).map(([key]) => key)).toEqual(ordered)
  })

  test('calls take effect in their order, and a read sees all writes before it and none behind it', async () => {
    const store = start()
    const seen: Promise<unknown>[] = []
    const written: Promise<void>[] = []
    for (let n = 0; n < 50; n++) {
      written.push(store.write([put('n', n)], { toDisk: n % 10 === 0 }))
      if (n % 3 === 0) seen.push(store.read('n').then(([entry]) => entry?.[1]))
    }
    await Promise.all(written)
    expect(await Promise.all(seen)).toEqual(Array.from({ length: 17 }, (_, n) => 3 * n))
    expect(await store.read('')).toEqual([['n', 49]])
  })

  test('keeps what the value was at the time of the call, and hands out copies', async () => {
    const store = start()
    const value = { list: [1] }
    const changes = [put('a', value)]
    const written = store.write(changes)
    value.list.push(2)
    changes.push(put('b', 1))
    await written
    const [[, first] = []] = await store.read('')
    ;(first as typeof value).list.push(3)
    expect(await store.read('')).toEqual([['a', { list: [1] }]])
  })

  test('nothing to change is fine', async () => {
    const store = start()
    await store.write([])
    await store.write([], { toDisk: true })
    expect(await store.read('')).toEqual([])
  })

  const circle: Record<string, unknown> = {}
  circle.itself = circle
  const unfit: [string, unknown][] = [
    ['a circle', circle],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    [
      'what throws when it is asked',
      {
        toJSON: () => {
          throw new Error('mine')
        },
      },
    ],
    ['what gives nothing when it is asked', { toJSON: () => undefined }],
  ]

  test.each(unfit)('%s is refused, all of its write with it, and no other write', async (_, value) => {
    const store = start()
    const before = store.write([put('a', 1)])
    const refused = store.write([put('b', 2), put('secret-key', value)])
    const after = store.write([put('c', 3)])
    await expect(refused).rejects.toMatchObject({ code: 'bad-option', message: expect.stringContaining('secret-key') })
    await Promise.all([before, after])
    expect(await store.read('')).toEqual([
      ['a', 1],
      ['c', 3],
    ])
  })

  test('a key that is no text, or half of a surrogate pair, is refused', async () => {
    const store = start()
    for (const key of ['\ud83c', 'a\udf0d', 7 as unknown as string]) {
      await expect(store.write([put(key, 1)])).rejects.toMatchObject({ code: 'bad-option' })
    }
    expect(await store.read('')).toEqual([])
  })

  test('2,000 random changes in groups and turns: the same as a map', async () => {
    const store = start()
    const random = seededRandom(7)
    const model = new Map<string, number>()
    for (let n = 0; n < 2_000; ) {
      const changes = Array.from({ length: Math.floor(5 * random()) }, () => {
        const value = random() < 0.3 ? undefined : n++
        return put(`k${Math.floor(40 * random())}`, value)
      })
      const written = store.write(changes, { toDisk: random() < 0.1 })
      for (const { key, value } of changes) {
        if (value === undefined) model.delete(key)
        else model.set(key, value as number)
      }
      if (random() < 0.05) await written
    }
    const expected = [...model].sort(([one], [other]) => (one < other ? -1 : 1))
    expect(expected.length).toBeGreaterThan(10)
    expect(await store.read('')).toEqual(expected)
  })

  test('close waits for what was asked for, and may be called twice', async () => {
    const store = start()
    let written = 0
    for (let n = 0; n < 20; n++) void store.write([put(`k${n}`, n)], { toDisk: true }).then(() => written++)
    const read = store.read('')
    await Promise.all([store.close(), store.close()])
    expect(written).toBe(20)
    expect(await read).toHaveLength(20)
  })
})
