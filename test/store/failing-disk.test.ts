/** A database that fails when it is told to: what callers hear, and what is there afterwards. */
import { expect, test } from 'vitest'
import type { Level, Operation } from '../../src/file-store/level.ts'
import { levelStore } from '../../src/file-store.ts'
import type { Change } from '../../src/store.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'

const ioError = (words: string): Error =>
  Object.assign(new Error(`IO error: 000003.log: ${words}`), { code: 'LEVEL_IO_ERROR' })
const corruption = (): Error =>
  Object.assign(new Error('Corruption: block checksum mismatch'), { code: 'LEVEL_CORRUPTION' })

type Call = 'open' | 'batch' | 'read' | 'close'

/** Keeps a map. `fail` is asked before each call; with `late` a batch is kept, and its sync fails behind it. */
const fakeDisk = (fail: (call: Call) => Error | undefined = () => undefined) => {
  const kept = new Map<string, string>()
  const log = {
    opened: [] as boolean[],
    batches: [] as { operations: Operation[]; sync: boolean }[],
    closed: 0,
    open: 0,
  }
  const late = { sync: false }
  const check = (call: Call) => {
    const error = fail(call)
    if (error) throw error
  }
  const level: Level = {
    batch: async (operations, { sync }) => {
      await undefined
      log.batches.push({ operations, sync })
      if (!late.sync) check('batch')
      for (const each of operations) {
        if (each.type === 'put') kept.set(each.key, each.value)
        else kept.delete(each.key)
      }
      if (late.sync) check('batch')
    },
    iterator: async function* ({ gte }) {
      const entries = [...kept].filter(([key]) => key >= gte).sort(([one], [other]) => (one < other ? -1 : 1))
      yield* entries
      check('read')
    },
    close: async () => {
      log.closed++
      log.open--
      check('close')
    },
  }
  const open = async (damaged: boolean): Promise<Level> => {
    log.opened.push(damaged)
    await undefined
    check('open')
    log.open++
    expect(log.open).toBe(1)
    return level
  }
  const warnings: string[] = []
  const store = levelStore({ dir: '/state', warn: (message) => warnings.push(message), open })
  return { store, log, late, warnings, kept }
}

const put = (key: string, value: unknown = 1): Change => ({ key, value })

/** Fails the next call of a kind. */
const nextFails = () => {
  const due: [Call, Error][] = []
  return {
    due,
    fail: (call: Call): Error | undefined => (due[0]?.[0] === call ? due.shift()![1] : undefined),
  }
}

test('a hundred writes of one turn are one batch with one sync, and each caller is answered', async () => {
  const { store, log } = fakeDisk()
  const written = Array.from({ length: 100 }, (_, n) => store.write([put(`k${n}`)], { toDisk: n === 57 }))
  expect(await Promise.all(written)).toHaveLength(100)
  expect(log.batches.map(({ operations, sync }) => [operations.length, sync])).toEqual([[100, true]])
})

test('without toDisk nothing is synced', async () => {
  const { store, log } = fakeDisk()
  await Promise.all([store.write([put('a')]), store.write([put('b')], { toDisk: false })])
  expect(log.batches.map(({ sync }) => sync)).toEqual([false])
})

test('what comes during a batch is made together behind it; a read parts what is before from what is after', async () => {
  const { store, log } = fakeDisk()
  const first = store.write([put('a')])
  await undefined
  await undefined
  const rest = [store.write([put('b')]), store.write([put('c')]), store.read(''), store.write([put('d')])]
  await Promise.all([first, ...rest])
  expect(log.batches.map(({ operations }) => operations.map(({ key }) => key))).toEqual([['a'], ['b', 'c'], ['d']])
  expect((await rest[2])?.map(([key]) => key)).toEqual(['a', 'b', 'c'])
})

test('a batch has its bound, but one big write stays one', async () => {
  const { store, log } = fakeDisk()
  const many = (name: string, count: number) => Array.from({ length: count }, (_, n) => put(`${name}${n}`))
  await Promise.all([
    store.write(many('a', 600)),
    store.write(many('b', 600)),
    store.write(many('c', 3_000)),
    store.write(many('d', 1)),
  ])
  expect(log.batches.map(({ operations }) => operations.length)).toEqual([600, 600, 3_000, 1])
})

test('a thousand calls at once open once', async () => {
  const { store, log } = fakeDisk()
  await Promise.all(
    Array.from({ length: 1_000 }, (_, n) => (n % 7 === 0 ? store.read('') : store.write([put(`k${n}`)]))),
  )
  expect(log.opened).toEqual([false])
})

const words: [string, string, string][] = [
  ['No space left on device', 'ENOSPC', 'make room'],
  ['Disk quota exceeded', 'EDQUOT', 'make room'],
  ['Permission denied', 'EACCES', 'must be able to read and write'],
  ['Read-only file system', 'EROFS', 'choose another folder'],
  ['Input/output error', 'EIO', 'replace it'],
  ['Too many open files', 'EMFILE', 'ulimit'],
  ['Something new', 'LEVEL_IO_ERROR', 'cause'],
]

test.each(
  words,
)('%s: store-failed with %s, where and what to do; the next call opens anew', async (text, code, advice) => {
  const { due, fail } = nextFails()
  const { store, log } = fakeDisk(fail)
  await store.write([put('a')])
  const error = ioError(text)
  due.push(['batch', error])
  const failed = store.write([put('b')])
  await expect(failed).rejects.toMatchObject({ name: 'HoldfastError', code: 'store-failed', cause: error })
  await expect(failed).rejects.toThrow(code)
  await expect(failed).rejects.toThrow('/state')
  await expect(failed).rejects.toThrow(advice)
  // behind a torn end of its log LevelDB would write what nobody finds again
  expect(log.closed).toBe(1)
  await store.write([put('c')])
  expect(log.opened).toEqual([false, false])
  expect((await store.read('')).map(([key]) => key)).toEqual(['a', 'c'])
})

test('all callers of a failed batch hear of it, and those behind it do not', async () => {
  const { due, fail } = nextFails()
  const { store } = fakeDisk(fail)
  due.push(['batch', ioError('No space left on device')])
  const written = [store.write([put('a')]), store.write([put('b')]), store.read(''), store.write([put('c')])]
  const outcomes = await Promise.allSettled(written)
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled'])
  expect((await store.read('')).map(([key]) => key)).toEqual(['c'])
})

test('a folder that cannot be opened fails each call until it can', async () => {
  let full = true
  const { store, log } = fakeDisk((call) => (full && call === 'open' ? ioError('No space left on device') : undefined))
  await expect(store.read('')).rejects.toMatchObject({ code: 'store-failed' })
  await expect(store.write([put('a')])).rejects.toMatchObject({ code: 'store-failed' })
  full = false
  await store.write([put('a')])
  expect(log.opened).toEqual([false, false, false])
  expect(await store.read('')).toHaveLength(1)
})

test('damage that shows in a write or a read is mended once, and the work done again', async () => {
  const { due, fail } = nextFails()
  const { store, log } = fakeDisk(fail)
  await store.write([put('a')])
  due.push(['batch', corruption()])
  await store.write([put('b')])
  expect(log.opened).toEqual([false, true])
  due.push(['read', corruption()])
  expect((await store.read('')).map(([key]) => key)).toEqual(['a', 'b'])
  expect(log.opened).toEqual([false, true, true])
})

test('damage that stays is an error, not a loop', async () => {
  const { due, fail } = nextFails()
  const { store, log } = fakeDisk(fail)
  due.push(['open', corruption()], ['open', corruption()])
  await expect(store.read('')).rejects.toMatchObject({ code: 'store-failed' })
  expect(log.opened).toEqual([false, true])
  expect(await store.read('')).toEqual([])
})

test('a missing package stays what it is', async () => {
  const { due, fail } = nextFails()
  const { store } = fakeDisk(fail)
  const missing = Object.assign(new Error('no'), { code: 'bad-option', [Symbol.for('holdfast.error')]: true })
  due.push(['open', missing])
  await expect(store.read('')).rejects.toBe(missing)
})

test('close that fails says so, once and again, and holds nothing', async () => {
  const { due, fail } = nextFails()
  const { store, log } = fakeDisk(fail)
  await store.write([put('a')])
  due.push(['close', ioError('Input/output error')])
  await expect(store.close()).rejects.toMatchObject({ code: 'store-failed' })
  await expect(store.close()).rejects.toMatchObject({ code: 'store-failed' })
  expect(log.open).toBe(0)
})

test('failures at random calls: what was accepted is there, what was rejected is whole or absent', async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed)
    let rate = 0.25
    const { store, late } = fakeDisk((call) => {
      if (random() >= rate || call === 'close') return undefined
      return random() < 0.3 ? corruption() : ioError(random() < 0.5 ? 'No space left on device' : 'Input/output error')
    })
    late.sync = seed % 2 === 0
    const accepted = new Set<number>()
    const started: Promise<void>[] = []
    for (let n = 0; n < 60; n++) {
      const write = store.write([put(`${n}/x`, n), put(`${n}/y`, n)], { toDisk: true })
      started.push(
        write.then(
          () => void accepted.add(n),
          (error) => expect(error.code).toBe('store-failed'),
        ),
      )
      if (random() < 0.4) await write.catch(() => undefined)
    }
    await Promise.all(started)
    rate = 0
    const keys = new Set((await store.read('')).map(([key]) => key))
    expect(accepted.size, `seed ${seed}`).toBeGreaterThan(0)
    for (let n = 0; n < 60; n++) {
      if (accepted.has(n)) expect(keys.has(`${n}/x`), `seed ${seed}, write ${n}`).toBe(true)
      expect(keys.has(`${n}/x`), `seed ${seed}, write ${n}`).toBe(keys.has(`${n}/y`))
    }
    await store.close()
  }
})
