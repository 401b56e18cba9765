/** Leases in a bucket that answers as it is told: what no server on loopback does at will. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type NatsBucket,
  type NatsBucketStatus,
  type NatsEntry,
  type NatsLeaseStoreOptions,
  natsLeaseStore,
} from '../../src/lease/nats.ts'
import type { LeaseStore } from '../../src/lease/store.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'

const signal = new AbortController().signal
const never = () => new Promise<never>(() => undefined)
const refusedWith = (code: number) => Object.assign(new Error('wrong last sequence'), { code })

/** A line of things that are told while somebody listens. */
const line = <T>() => {
  const waiting: T[] = []
  let wake: () => void = () => undefined
  let isEnded = false
  const stop = () => {
    isEnded = true
    wake()
  }
  const tell = (each: T) => {
    waiting.push(each)
    wake()
  }
  async function* told(): AsyncGenerator<T> {
    for (;;) {
      while (waiting.length > 0) yield waiting.shift()!
      if (isEnded) return
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { stop, tell, [Symbol.asyncIterator]: told }
}

class FakeBucket implements NatsBucket {
  readonly puts: [key: string, value: string, previous: number][] = []
  readonly watches: ReturnType<typeof line<NatsEntry>>[] = []
  looks = 0
  answer: () => Promise<number> = async () => 1
  entry: () => Promise<NatsEntry | null> = async () => null
  canWatch = true
  kept: NatsBucketStatus = { bucket: 'own', storage: 'file', ttl: 0, replicas: 1, streamInfo: {} }

  async get() {
    return this.entry()
  }
  async put(key: string, value: string, { previousSeq }: { previousSeq: number }) {
    this.puts.push([key, value, previousSeq])
    return this.answer()
  }
  async watch() {
    if (!this.canWatch) throw new Error('no responders')
    const watch = line<NatsEntry>()
    this.watches.push(watch)
    return watch
  }
  async status() {
    this.looks++
    return this.kept
  }
}

interface Rig {
  readonly clock: HeapClock
  readonly bucket: FakeBucket
  readonly connection: ReturnType<typeof line<{ type: string }>>
  readonly store: LeaseStore
}

const rig = (options: NatsLeaseStoreOptions = {}, version = '2.12.3'): Rig => {
  const [clock, bucket, connection] = [heapClock(), new FakeBucket(), line<{ type: string }>()]
  const store = natsLeaseStore({ info: { version }, status: () => connection }, { kv: bucket, clock, ...options })
  return { clock, bucket, connection, store }
}

describe('a write', () => {
  test('beside another that is under way is made again until that is decided, for or against it', async () => {
    for (const end of [null, 9]) {
      const { clock, bucket, store } = rig()
      let tries = 0
      bucket.answer = async () => {
        tries++
        if (tries <= 3) throw refusedWith(10_164)
        if (end === null) throw refusedWith(10_071)
        return end
      }
      const written = store.replace('k', 7, 'x', signal)
      await clock.advance(1_000)
      expect(await written).toBe(end)
      expect(bucket.puts).toEqual(Array(4).fill(['k', 'x', 7]))
      expect(clock.pending).toBe(0)
    }
  })

  test('beside one that is never decided is given up after 5 s, and not made any more', async () => {
    const { clock, bucket, store } = rig()
    bucket.answer = () => Promise.reject(refusedWith(10_164))
    const written = store.replace('k', 7, 'x', signal)
    const failed = expect(written).rejects.toMatchObject({ code: 'store-failed' })
    await clock.advance(5_000)
    await failed
    await clock.advance(1_000)
    const { length } = bucket.puts
    await clock.advance(10_000)
    expect(bucket.puts).toHaveLength(length)
    expect(clock.pending).toBe(0)
  })

  test.each([
    new Error('timeout'),
    refusedWith(10_070),
    refusedWith(10_163),
    Object.assign(new Error('x'), { code: 503 }),
  ])('that failed in any other way is no conflict (%#)', async (error) => {
    const { bucket, store } = rig()
    bucket.answer = () => Promise.reject(error)
    for (const expected of [null, 3])
      await expect(store.replace('k', expected, 'x', signal)).rejects.toMatchObject({ code: 'store-failed' })
  })

  test('of a new record is made over the mark of a deletion, and of no other record', async () => {
    const { bucket, store } = rig()
    let tries = 0
    bucket.answer = () => (++tries % 2 === 1 ? Promise.reject(refusedWith(10_071)) : Promise.resolve(30))
    bucket.entry = async () => ({ key: 'k', revision: 12, operation: 'DEL', string: () => '' })
    expect(await store.replace('k', null, 'x', signal)).toBe(30)
    expect(bucket.puts.map(([, , previous]) => previous)).toEqual([0, 12])
    tries = 0
    bucket.entry = async () => ({ key: 'k', revision: 13, operation: 'PUT', string: () => '' })
    expect(await store.replace('k', null, 'x', signal)).toBeNull()
  })
})

describe('a question', () => {
  test('has 5 s by the clock, and no timer after its end', async () => {
    const { clock, bucket, store } = rig()
    bucket.entry = never
    let isOver = false
    const read = store.read('k', signal).finally(() => {
      isOver = true
    })
    const failed = expect(read).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(/did not answer within 5 s/),
    })
    await clock.advance(4_999)
    expect(isOver).toBe(false)
    await clock.advance(1)
    expect(isOver).toBe(true)
    await failed
    expect(clock.pending).toBe(0)
  })

  test('ends with the connection at once; the next one waits until that is back', async () => {
    const { clock, bucket, connection, store } = rig()
    bucket.answer = never
    const lost = store.replace('k', 1, 'lost', signal)
    await clock.advance(10)
    connection.tell({ type: 'disconnect' })
    await expect(lost).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(/the connection to NATS was lost/),
    })
    bucket.answer = async () => 5
    const next = store.replace('k', 1, 'next', signal)
    await clock.advance(3_000)
    expect(bucket.puts).toEqual([['k', 'lost', 1]])
    connection.tell({ type: 'reconnect' })
    expect(await next).toBe(5)
    expect(clock.pending).toBe(0)
  })

  test('that nobody waits for any more is not asked when the connection is back', async () => {
    const { clock, bucket, connection, store } = rig()
    connection.tell({ type: 'disconnect' })
    await clock.advance(1)
    const failed = expect(store.replace('k', 1, 'x', signal)).rejects.toMatchObject({ code: 'store-failed' })
    await clock.advance(5_000)
    await failed
    connection.tell({ type: 'reconnect' })
    await clock.advance(1)
    expect(bucket.puts).toEqual([])
    expect(await store.replace('k', 1, 'y', signal)).toBe(1)
  })

  test('is asked, and fails, when the connection is closed for good', async () => {
    const { clock, bucket, connection, store } = rig()
    connection.tell({ type: 'disconnect' })
    await clock.advance(1)
    bucket.entry = () => Promise.reject(new Error('closed connection'))
    const failed = expect(store.read('k', signal)).rejects.toMatchObject({
      message: expect.stringMatching(/closed connection/),
    })
    connection.stop()
    await clock.advance(1)
    await failed
  })
})

describe('a bucket', () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  afterEach(() => void warned.mockClear())

  test('on one server of a cluster is warned of, once', async () => {
    const { bucket, store } = rig()
    bucket.kept = { ...bucket.kept, streamInfo: { cluster: { name: 'eu' } } }
    await store.read('k', signal)
    bucket.entry = () => Promise.reject(new Error('stream not found'))
    await store.read('k', signal).catch(() => undefined)
    bucket.entry = async () => null
    await store.read('k', signal)
    expect(bucket.looks).toBe(2)
    const said = 'The NATS bucket own is on one server of a cluster, and stands still when that one does.'
    expect(warned.mock.calls).toEqual([[`${said} Ask for replicas: 3.`, 'HoldfastWarning']])
  })

  test('on three of them, or on a server that is alone, is not', async () => {
    const { bucket, store } = rig()
    await store.read('k', signal)
    const other = rig({ replicas: 3 })
    other.bucket.kept = { ...bucket.kept, replicas: 3, streamInfo: { cluster: { name: 'eu' } } }
    await other.store.read('k', signal)
    expect(warned).not.toHaveBeenCalled()
  })

  test.each([
    ['2.9.10', 3, true],
    ['2.10.29', 3, true],
    ['2.10.0', 1, false],
    ['2.11.0', 3, false],
    ['2.12.0-RC.1', 3, false],
    ['3.0.0', 3, false],
    ['10.1.0', 5, false],
  ])('at nats-server %s with replicas: %i is refused: %s', async (version, replicas, isRefused) => {
    const { bucket, store } = rig({}, version)
    bucket.kept = { ...bucket.kept, replicas }
    const read = store.read('k', signal)
    if (!isRefused) return expect(await read).toBeNull()
    const message = `The NATS bucket own has 3 replicas at nats-server ${version}: before 2.11 such a bucket may give a lease`
    await expect(read).rejects.toMatchObject({ code: 'bad-option', message: expect.stringContaining(message) })
  })

  test('is looked at once while all goes well, and again after a failure', async () => {
    const { bucket, store } = rig()
    for (let i = 0; i < 3; i++) await store.read('k', signal)
    expect(bucket.looks).toBe(1)
    bucket.kept = { ...bucket.kept, ttl: 60_000 }
    bucket.entry = () => Promise.reject(new Error('stream not found'))
    await expect(store.read('k', signal)).rejects.toMatchObject({ code: 'store-failed' })
    await expect(store.read('k', signal)).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringMatching(/older than 60000 ms/),
    })
  })
})

describe('a watch', () => {
  const put = (key: string): NatsEntry => ({ key, revision: 1, operation: 'PUT', string: () => '' })

  test('is one for all who listen, and taken up again a second after it ended or failed', async () => {
    const { clock, bucket, store } = rig()
    const hints = { a: 0, b: 0 }
    const watching = [store.watch('a').subscribe(() => hints.a++), store.watch('b').subscribe(() => hints.b++)]
    await clock.advance(1)
    expect([bucket.watches.length, hints]).toEqual([1, { a: 1, b: 1 }])
    bucket.watches[0]!.tell(put('a'))
    await clock.advance(1)
    expect(hints).toEqual({ a: 2, b: 1 })
    bucket.canWatch = false
    bucket.watches[0]!.stop()
    await clock.advance(10_000)
    expect([bucket.watches.length, hints]).toEqual([1, { a: 2, b: 1 }])
    bucket.canWatch = true
    await clock.advance(1_000)
    expect([bucket.watches.length, hints]).toEqual([2, { a: 3, b: 2 }])
    bucket.watches[1]!.tell(put('b'))
    await clock.advance(1)
    expect(hints).toEqual({ a: 3, b: 3 })
    for (const each of watching) each.unsubscribe()
    await clock.advance(10_000)
    expect([bucket.watches.length, clock.pending]).toEqual([2, 0])
  })

  test('that nobody listens to any more is not taken up again', async () => {
    const { clock, bucket, store } = rig()
    const watching = store.watch('a').subscribe()
    await clock.advance(1)
    bucket.watches[0]!.stop()
    await clock.advance(500)
    watching.unsubscribe()
    expect(clock.pending).toBe(0)
    await clock.advance(10_000)
    expect(bucket.watches).toHaveLength(1)
  })

  test('ends with the store, also one that begins later', async () => {
    const { clock, bucket, store } = rig()
    const ends: string[] = []
    store.watch('a').subscribe({ complete: () => ends.push('a') })
    await clock.advance(1)
    await store.close()
    store.watch('b').subscribe({ complete: () => ends.push('b') })
    await clock.advance(10_000)
    expect([ends, bucket.watches.length, clock.pending]).toEqual([['a', 'b'], 1, 0])
  })
})
