/** What every lease store promises, asked of all of them. */
import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { HoldfastError } from '../../src/error.ts'
import type { LeaseStore } from '../../src/lease/store.ts'
import type { RealProcess } from '../peers/processes.ts'

/** Another process's store of the records that are in that place, a bucket or a prefix. */
export type ConnectStore = (place: string) => Promise<LeaseStore>
export type OpenStore = () => Promise<LeaseStore>

const signal = () => new AbortController().signal
const WITHIN = { timeout: 10_000 }

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** `hintsArrive`: what has been written is told of by then, or not at all. */
export const promisesOf = (name: string, connect: ConnectStore, hintsArrive = () => pause(50)): void => {
  const opened: LeaseStore[] = []
  afterAll(async () => {
    for (const store of opened) await store.close()
  })
  const openAt = async (place: string) => {
    const store = await connect(place)
    opened.push(store)
    return store
  }
  // each attempt of each test has a place of its own
  const open = () => openAt(randomUUID())
  const openTwo = async () => {
    const place = randomUUID()
    return [await openAt(place), await openAt(place)] as const
  }
  const read = (store: LeaseStore, key: string) => store.read(key, signal())
  const replace = (store: LeaseStore, key: string, expected: number | null, value: string) =>
    store.replace(key, expected, value, signal())

  describe(name, () => {
    test('has no record at first', async () => {
      expect(await read(await open(), 'nobody')).toBeNull()
    })

    test('a record is made once', async () => {
      const [one, other] = await openTwo()
      const revision = await replace(one, 'made', null, 'mine')
      expect(revision).toBeGreaterThan(0)
      expect(await replace(other, 'made', null, 'mine too')).toBeNull()
      expect(await replace(one, 'made', null, 'mine again')).toBeNull()
      expect(await read(other, 'made')).toEqual({ value: 'mine', revision })
    })

    test('is replaced at its latest revision alone, and revisions grow', async () => {
      const store = await open()
      const first = (await replace(store, 'grown', null, '1'))!
      const second = (await replace(store, 'grown', first, '2'))!
      const third = (await replace(store, 'grown', second, '3'))!
      expect([second > first, third > second]).toEqual([true, true])
      for (const wrong of [first, second, third + 1, third + 1_000_000])
        expect(await replace(store, 'grown', wrong, 'never')).toBeNull()
      expect(await read(store, 'grown')).toEqual({ value: '3', revision: third })
    })

    test('a revision that a record never had makes none', async () => {
      const store = await open()
      expect(await replace(store, 'absent', 1_000_000, 'never')).toBeNull()
      expect(await read(store, 'absent')).toBeNull()
    })

    test('one record does not move the others', async () => {
      const store = await open()
      const revision = (await replace(store, 'still', null, 'a'))!
      await replace(store, 'moved', null, 'b')
      expect(await read(store, 'still')).toEqual({ value: 'a', revision })
      expect(await replace(store, 'still', revision, 'c')).toBeGreaterThan(revision)
    })

    test('keys of any text are different records, up to 200 characters and more', async () => {
      const store = await open()
      const long = '链'.repeat(200)
      const keys = ['机器人 一号', 'qq.main', 'qq/main', '*', '>', '.a.', 'a..b', 'A', 'a', '=41', '%41', ' ', long]
      keys.push(`${long}2`, 'bot\n1', '🤖'.repeat(100), "~!()'", 'a=2Eb', 'a.b', 'k'.repeat(1_024))
      for (const key of keys) expect(await replace(store, key, null, `of ${key}`), key).not.toBeNull()
      for (const key of keys) expect((await read(store, key))?.value).toBe(`of ${key}`)
    })

    test.each(['', 'half \ud800', 'k'.repeat(1_025)])('a key that no store can have is refused (%#)', async (key) => {
      const store = await open()
      await expect(read(store, key)).rejects.toMatchObject({ code: 'bad-option' })
      await expect(replace(store, key, null, '')).rejects.toMatchObject({ code: 'bad-option' })
      expect(() => store.watch(key)).toThrow('The key of a lease')
    })

    test('values are kept as they are, up to 256 KiB', async () => {
      const store = await open()
      for (const [i, value] of ['', '{"owner":"世界 🌍"}', '\0\r\n', 'x'.repeat(256 * 1_024)].entries()) {
        expect(await replace(store, `value-${i}`, null, value)).not.toBeNull()
        expect((await read(store, `value-${i}`))?.value).toBe(value)
      }
    })

    test('of two who write at once exactly one wins, 500 times', async () => {
      const writers = await openTwo()
      let revision = (await replace(writers[0], 'raced', null, 'begun'))!
      const wins = [0, 0]
      for (let round = 0; round < 500; round++) {
        const order = round % 2 === 0 ? [0, 1] : [1, 0]
        const results = await Promise.all(
          order.map((i) => replace(writers[i]!, 'raced', revision, `${i} in round ${round}`)),
        )
        const winner = order[results.findIndex((result) => result !== null)]!
        expect(results.filter((result) => result !== null)).toHaveLength(1)
        wins[winner]!++
        revision = results.find((result) => result !== null)!
        expect(await read(writers[1 - winner]!, 'raced')).toEqual({ value: `${winner} in round ${round}`, revision })
      }
      expect(wins[0]! + wins[1]!).toBe(500)
    })

    test('of two who make a record at once exactly one wins', async () => {
      const writers = await openTwo()
      for (let round = 0; round < 50; round++) {
        const results = await Promise.all(writers.map((store) => replace(store, `new-${round}`, null, 'x')))
        expect(results.filter((result) => result !== null)).toHaveLength(1)
      }
    })

    test('a write whose answer is lost either counts or does not, and never counts late', async () => {
      const [one, other] = await openTwo()
      for (let round = 0; round < 30; round++) {
        const key = `lost-${round}`
        const revision = await replace(one, key, null, 'begun')
        const abort = new AbortController()
        const lost = one.replace(key, revision, 'lost', abort.signal).catch((error) => error)
        if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
        abort.abort()
        const next = await replace(other, key, revision, 'next')
        const answer = await lost
        if (typeof answer === 'object' && answer !== null) expect(answer).toMatchObject({ code: 'aborted' })
        const found = (await read(other, key))!
        expect(found.value).toBe(next === null ? 'lost' : 'next')
        await new Promise((resolve) => setImmediate(resolve))
        expect(await read(one, key)).toEqual(found)
      }
    })

    test('a signal that has fired already asks nothing', async () => {
      const store = await open()
      await expect(store.read('k', AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' })
      await expect(store.replace('aborted', null, 'x', AbortSignal.abort())).rejects.toMatchObject({ code: 'aborted' })
      expect(await read(store, 'aborted')).toBeNull()
    })

    test('who watches a record gets a hint when another has written', async () => {
      const [one, other] = await openTwo()
      let revision = (await replace(other, 'watched 的', null, '0'))!
      let hints = 0
      const watching = one.watch('watched 的').subscribe(() => hints++)
      for (let i = 1; i <= 5; i++) {
        // one that comes before the watch stands is a hint too, so it is written until one comes
        const before = hints
        await vi.waitFor(
          async () => {
            revision = (await replace(other, 'watched 的', revision, String(i)))!
            await hintsArrive()
            expect(hints).toBeGreaterThan(before)
          },
          { ...WITHIN, interval: 1 },
        )
      }
      watching.unsubscribe()
      const atEnd = hints
      await replace(other, 'watched 的', revision, 'end')
      await hintsArrive()
      expect(hints).toBe(atEnd)
    })

    test('several watch, of the same record and of others', async () => {
      const [one, other] = await openTwo()
      const hints: Record<string, number> = { a: 0, b: 0, c: 0 }
      const count = (name: string) => () => void hints[name]!++
      const watching = [one.watch('w-1').subscribe(count('a')), one.watch('w-1').subscribe(count('b'))]
      watching.push(one.watch('w-2').subscribe(count('c')))
      const made = (await replace(other, 'w-1', null, 'x'))!
      await vi.waitFor(() => expect([hints.a! > 0, hints.b! > 0]).toEqual([true, true]), WITHIN)
      await hintsArrive()
      const [a, c] = [hints.a!, hints.c!]
      await replace(other, 'w-1', made, 'y')
      await vi.waitFor(() => expect(hints.a).toBeGreaterThan(a), WITHIN)
      expect(hints.c).toBe(c)
      for (const each of watching) each.unsubscribe()
    })
  })
}

export const outagesOf = (name: string, start: () => Promise<{ server: RealProcess; open: OpenStore }>): void => {
  describe(name, () => {
    test('frozen, it is not waited for longer than 5 s or the signal; thawed, it answers', async () => {
      const { server, open } = await start()
      const store = await open()
      const revision = (await store.replace('k', null, 'before', signal()))!
      server.freeze()
      // a busy machine brings the signal to a thread that is answering a moment later
      await pause(200)
      const begun = performance.now()
      const abort = new AbortController()
      setTimeout(() => abort.abort(), 300)
      await expect(store.read('k', abort.signal)).rejects.toMatchObject({ code: 'aborted' })
      expect(performance.now() - begun).toBeLessThan(2_000)
      const late = [store.read('k', signal()), store.replace('k', revision, 'in the freeze', signal())]
      for (const each of await Promise.allSettled(late))
        expect(each).toMatchObject({ status: 'rejected', reason: { code: 'store-failed' } })
      expect(performance.now() - begun).toBeLessThan(8_000)
      server.thaw()
      // what nobody waits for any more may still be written
      await vi.waitFor(async () => expect(await store.read('k', signal())).not.toBeNull(), WITHIN)
      const found = (await store.read('k', signal()))!
      expect(['before', 'in the freeze']).toContain(found.value)
      expect(await store.replace('k', found.revision, 'after', signal())).toBeGreaterThan(revision)
    })

    test('killed and started again, it has the records, and watching goes on', async () => {
      const { server, open } = await start()
      const [store, other] = [await open(), await open()]
      let revision = (await store.replace('k', null, 'before', signal()))!
      let hints = 0
      const watching = store.watch('k').subscribe(() => hints++)
      await server.kill()
      await expect(store.read('k', AbortSignal.timeout(500))).rejects.toBeInstanceOf(HoldfastError)
      await server.restart()
      await vi.waitFor(async () => expect(await store.read('k', signal())).toEqual({ value: 'before', revision }), {
        ...WITHIN,
        interval: 50,
      })
      await vi.waitFor(
        async () => {
          const before = hints
          revision = (await other.replace('k', revision, 'after', signal()))!
          await pause(50)
          expect(hints).toBeGreaterThan(before)
        },
        { ...WITHIN, interval: 50 },
      )
      watching.unsubscribe()
    })

    test('closed, it ends what is under way, completes what watches and answers nothing more', async () => {
      const { server, open } = await start()
      const store = await open()
      await store.replace('k', null, 'x', signal())
      let isComplete = false
      store.watch('k').subscribe({ complete: () => (isComplete = true) })
      server.freeze()
      const waiting = store.read('k', signal())
      await Promise.all([expect(waiting).rejects.toMatchObject({ code: 'stopped' }), store.close()])
      expect(isComplete).toBe(true)
      await expect(store.read('k', signal())).rejects.toMatchObject({ code: 'stopped' })
      server.thaw()
    })
  })
}
