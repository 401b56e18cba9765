/** Messages on their way to the user: order, bounds, doubles, and the cursor that follows what was taken. */
import fc from 'fast-check'
import { firstValueFrom, type Subscription, take, toArray } from 'rxjs'
import { describe, expect, it } from 'vitest'
import type { InboundMark } from '../src/adapter/adapter.ts'
import { Inbound, type InboundOptions, inboundDefaults } from '../src/inbound.ts'
import { type HeapClock, heapClock } from '../src/testing/heap-clock.ts'
import { follow, type Outcome } from './small-talk.ts'

interface Desk {
  readonly clock: HeapClock
  readonly inbound: Inbound<number>
  readonly taken: unknown[]
  readonly lost: string[]
  /** Messages with these numbers arrive; the cursor of 5 is 'c5'. */
  arrive(...numbers: number[]): void
}

const desk = (options: Partial<InboundOptions> = {}): Desk => {
  const clock = heapClock()
  const taken: unknown[] = []
  const lost: string[] = []
  const inbound = new Inbound<number>({ ...inboundDefaults, ...options }, clock, {
    taken: (cursor) => taken.push(cursor),
    lost: (count, because) => lost.push(`${count} ${because}`),
  })
  const arrive = (...numbers: number[]) => {
    for (const n of numbers) inbound.push(n, { cursor: `c${n}` })
  }
  return { clock, inbound, taken, lost, arrive }
}

const reader = <T>(inbound: Inbound<T>) => inbound[Symbol.asyncIterator]()
const nextOf = async <T>(reading: AsyncIterator<T>) => (await reading.next()).value as T
const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('the cursor', () => {
  it('is told when the next message is asked for, in order, and never for what arrived only', async () => {
    const { inbound, taken, arrive } = desk()
    arrive(1, 2)
    expect(taken).toEqual([])
    const reading = reader(inbound)
    expect(await nextOf(reading)).toBe(1)
    arrive(3)
    expect(taken).toEqual([])
    expect(await nextOf(reading)).toBe(2)
    expect(taken).toEqual(['c1'])
    expect(await nextOf(reading)).toBe(3)
    const waits = follow(reading.next())
    expect(taken).toEqual(['c1', 'c2', 'c3'])
    arrive(4)
    await settled()
    expect(waits.value).toEqual({ done: false, value: 4 })
    expect(taken).toEqual(['c1', 'c2', 'c3'])
  })

  it('is told for each turn of a loop, and for the last one when the stream has ended', async () => {
    const { inbound, taken, arrive } = desk()
    arrive(1, 2, 3)
    const seen: [number, number][] = []
    inbound.end()
    for await (const n of inbound) seen.push([n, taken.length])
    expect(seen).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
    ])
    expect(taken).toEqual(['c1', 'c2', 'c3'])
  })

  it.each<[string, () => void]>([
    ['break', () => undefined],
    [
      'an error',
      () => {
        throw new Error('my own')
      },
    ],
  ])('is not told for the message at which a loop was left by %s; the rest waits for the next reader', async (_, leave) => {
    const { inbound, taken, arrive } = desk()
    arrive(1, 2, 3, 4)
    const seen: number[] = []
    const loop = async () => {
      for await (const n of inbound) {
        seen.push(n)
        if (n < 2) continue
        leave()
        break
      }
    }
    await loop().catch(() => undefined)
    expect({ seen, taken }).toEqual({ seen: [1, 2], taken: ['c1'] })
    arrive(5)
    expect(inbound.counts.waiting).toBe(3)
    const next = reader(inbound)
    expect(await nextOf(next)).toBe(3)
    expect(taken).toEqual(['c1'])
    expect(await nextOf(next)).toBe(4)
    expect(taken).toEqual(['c1', 'c3'])
  })

  it('is told when the listener of an Observable has returned, and not before', () => {
    const { inbound, taken, arrive } = desk()
    const before: number[] = []
    arrive(1)
    inbound.observable.subscribe(() => before.push(taken.length))
    expect(taken).toEqual(['c1'])
    arrive(2, 3)
    expect({ before, taken }).toEqual({ before: [0, 1, 2], taken: ['c1', 'c2', 'c3'] })
  })

  it('waits for the slowest of several readers, and no longer for one who left', async () => {
    const { inbound, taken, arrive } = desk()
    const slow = reader(inbound)
    const quick = reader(inbound)
    const heard: number[] = []
    inbound.observable.subscribe((n) => heard.push(n))
    arrive(1, 2, 3)
    for (const n of [1, 2, 3]) expect(await nextOf(quick)).toBe(n)
    void quick.next()
    expect({ heard, taken }).toEqual({ heard: [1, 2, 3], taken: [] })
    expect(await nextOf(slow)).toBe(1)
    expect(await nextOf(slow)).toBe(2)
    expect(taken).toEqual(['c1'])
    await slow.return!()
    expect(taken).toEqual(['c1', 'c3'])
  })

  it('does not move because a reader left what no other reader was there to take', async () => {
    const { inbound, taken, arrive } = desk()
    const slow = reader(inbound)
    arrive(1, 2)
    const heard: number[] = []
    inbound.observable.subscribe((n) => heard.push(n))
    await slow.return!()
    expect(taken).toEqual([])
    arrive(3)
    expect({ heard, taken }).toEqual({ heard: [3], taken: ['c3'] })
  })

  it('skips messages that have none, and is told once for several that share one', () => {
    const { inbound, taken } = desk()
    inbound.observable.subscribe()
    const marks: (InboundMark | undefined)[] = [undefined, {}, { cursor: 0 }, {}, { cursor: 0 }, { cursor: 7 }]
    for (const mark of marks) inbound.push(1, mark)
    expect(taken).toEqual([0, 7])
  })

  it('counts dropped messages as taken, but not before those that are still with the reader', async () => {
    const { inbound, taken, arrive } = desk({ messagesMax: 2 })
    const reading = reader(inbound)
    arrive(1, 2, 3)
    expect(taken).toEqual(['c1'])
    expect(await nextOf(reading)).toBe(2)
    arrive(4, 5, 6)
    expect(taken).toEqual(['c1'])
    expect(await nextOf(reading)).toBe(5)
    expect(taken).toEqual(['c1', 'c4'])
  })

  it('counts the newest that were dropped as taken when all before them were', async () => {
    const { inbound, taken, arrive } = desk({ messagesMax: 2, whenFull: 'drop-newest' })
    const reading = reader(inbound)
    arrive(1, 2, 3, 4)
    expect(await nextOf(reading)).toBe(1)
    expect(await nextOf(reading)).toBe(2)
    expect(taken).toEqual(['c1'])
    void reading.next()
    expect(taken).toEqual(['c1', 'c4'])
  })

  it('of a session that is over is not told to the next one, though its messages are read', async () => {
    const { inbound, taken, arrive } = desk()
    arrive(8, 9)
    inbound.beginSession()
    const reading = reader(inbound)
    expect(await nextOf(reading)).toBe(8)
    arrive(1)
    expect(await nextOf(reading)).toBe(9)
    expect(await nextOf(reading)).toBe(1)
    expect(taken).toEqual([])
    void reading.next()
    expect(taken).toEqual(['c1'])
    inbound.beginSession()
    arrive(1)
    void reading.next()
    expect(taken).toEqual(['c1', 'c1'])
  })
})

describe('readers', () => {
  it('each get every message from where they began; the first one gets what was kept', async () => {
    const { inbound, arrive } = desk()
    arrive(1, 2)
    const first: number[] = []
    const second: number[] = []
    inbound.observable.subscribe((n) => first.push(n))
    inbound.observable.subscribe((n) => second.push(n))
    const reading = reader(inbound)
    arrive(3, 4)
    expect({ first, second }).toEqual({ first: [1, 2, 3, 4], second: [3, 4] })
    expect([await nextOf(reading), await nextOf(reading)]).toEqual([3, 4])
  })

  it('may come and go: what arrives in between waits for the next one, within the bound', async () => {
    const { inbound, lost, arrive } = desk({ messagesMax: 3 })
    const firsts: number[] = []
    for (let n = 1; n <= 3; n++) {
      arrive(n)
      firsts.push(await firstValueFrom(inbound.observable))
    }
    expect(firsts).toEqual([1, 2, 3])
    arrive(4, 5, 6, 7, 8)
    expect(await firstValueFrom(inbound.observable.pipe(take(2), toArray()))).toEqual([6, 7])
    expect(inbound.counts).toEqual({ arrived: 8, duplicates: 0, dropped: 2, waiting: 1 })
    expect(lost).toEqual(['2 no-reader'])
  })

  it('get what a message causes after that message, in one order for all', () => {
    const { inbound, arrive } = desk()
    const heard: string[] = []
    inbound.observable.subscribe((n) => {
      if (n < 3) arrive(n + 1)
      heard.push(`a${n}`)
    })
    inbound.observable.subscribe((n) => heard.push(`b${n}`))
    arrive(1)
    expect(heard.filter((text) => text.startsWith('a'))).toEqual(['a1', 'a2', 'a3'])
    expect(heard.filter((text) => text.startsWith('b'))).toEqual(['b1', 'b2', 'b3'])
  })

  it('that leave in the middle of a message have taken it, and the next one stays', () => {
    const { inbound, taken, arrive } = desk()
    let subscription: Subscription | undefined
    subscription = inbound.observable.subscribe(() => subscription?.unsubscribe())
    arrive(1, 2)
    expect(taken).toEqual(['c1'])
    expect(inbound.counts.waiting).toBe(1)
  })

  it('may ask for several messages at once, and all of it ends when they leave or the stream does', async () => {
    for (const end of ['return', 'end'] as const) {
      const { inbound, arrive } = desk()
      const reading = reader(inbound)
      const asked: Outcome<IteratorResult<number>>[] = [1, 2, 3, 4].map(() => follow(reading.next()))
      arrive(1, 2)
      await settled()
      expect(asked.map(({ value }) => value?.value)).toEqual([1, 2, undefined, undefined])
      if (end === 'return') await reading.return!()
      else inbound.end()
      await settled()
      expect(asked.map(({ value }) => value?.done)).toEqual([false, false, true, true])
      expect(await reading.next()).toEqual({ done: true, value: undefined })
    }
  })

  it('that have left get nothing more, also of what they left unread', async () => {
    const { inbound, arrive } = desk()
    const reading = reader(inbound)
    arrive(1, 2)
    await reading.return!()
    expect(await reading.next()).toEqual({ done: true, value: undefined })
    expect(inbound.counts.waiting).toBe(2)
  })

  it('that are through after the end do not stand in the way of those who come later', async () => {
    const { inbound, arrive } = desk()
    const [quick, slow] = [reader(inbound), reader(inbound)]
    arrive(1, 2)
    inbound.end()
    for (const n of [1, 2, undefined]) expect(await nextOf(quick)).toBe(n)
    await slow.return!()
    expect(await nextOf(reader(inbound))).toBe(1)
  })

  it('keep their order through many messages', async () => {
    const { inbound, arrive } = desk({ messagesMax: 500 })
    const reading = reader(inbound)
    const read: number[] = []
    for (let n = 0; n < 3_000; n++) {
      arrive(n)
      // now and then it falls behind, and beyond the bound
      if (n % 1_000 < 600) continue
      for (let i = 0; i < 3 && inbound.counts.waiting > 0; i++) read.push(await nextOf(reading))
    }
    expect(read).toEqual([...new Set(read)].sort((a, b) => a - b))
    const { arrived, dropped, waiting } = inbound.counts
    expect([read.length + dropped + waiting, dropped]).toEqual([arrived, 303])
  })

  it('that come after the end still get what was kept, and then the end', async () => {
    const { inbound, taken, arrive } = desk()
    arrive(1, 2)
    inbound.end()
    arrive(3)
    const read: number[] = []
    for await (const n of inbound) read.push(n)
    let completed = false
    inbound.observable.subscribe({ next: (n) => read.push(n), complete: () => (completed = true) })
    expect({ read, completed, taken }).toEqual({ read: [1, 2], completed: true, taken: ['c1', 'c2'] })
  })
})

describe('duplicates', () => {
  const push = ({ inbound }: Desk, ...ids: string[]) => {
    for (const id of ids) inbound.push(0, { id })
  }

  it('are dropped by id and counted; without an id nothing is, whatever the cursor', () => {
    const made = desk()
    push(made, 'a', 'b', 'a')
    made.arrive(1, 1)
    made.inbound.push(2)
    made.inbound.push(2)
    expect(made.inbound.counts).toEqual({ arrived: 7, duplicates: 1, dropped: 0, waiting: 6 })
  })

  it('are known among the latest ids only', () => {
    const made = desk({ dedupeMax: 3 })
    push(made, 'a', 'b', 'c', 'a')
    expect(made.inbound.counts.duplicates).toBe(1)
    push(made, 'd', 'a')
    expect(made.inbound.counts.duplicates).toBe(1)
    push(made, 'c', 'd', 'a')
    expect(made.inbound.counts.duplicates).toBe(4)
  })

  it('are known for a while only, counted from the first', () => {
    const made = desk({ dedupeMs: 1_000 })
    push(made, 'a')
    made.clock.sleep(600)
    push(made, 'a', 'b')
    made.clock.sleep(400)
    push(made, 'a')
    expect(made.inbound.counts.duplicates).toBe(2)
    made.clock.sleep(1)
    push(made, 'a', 'b')
    expect(made.inbound.counts.duplicates).toBe(3)
  })

  it('are forgotten with the session', () => {
    const made = desk()
    push(made, 'a')
    made.inbound.beginSession()
    push(made, 'a')
    expect(made.inbound.counts.duplicates).toBe(0)
  })

  it('need an id that is a text of a sane length', () => {
    const made = desk()
    const [longest, tooLong] = ['x'.repeat(256), 'x'.repeat(257)]
    push(made, longest, longest, tooLong, tooLong, null as never, null as never)
    expect(made.inbound.counts.duplicates).toBe(1)
  })

  it('set no timer', () => {
    const made = desk()
    push(made, 'a', 'b')
    expect(made.clock.pending).toBe(0)
  })
})

describe('a reader that is too slow', () => {
  it('loses the oldest, and is told once, with the number, when it has caught up', async () => {
    const { inbound, lost, arrive } = desk({ messagesMax: 2 })
    const reading = reader(inbound)
    arrive(1, 2, 3, 4, 5)
    expect([await nextOf(reading), lost]).toEqual([4, []])
    arrive(6, 7)
    expect([await nextOf(reading), lost]).toEqual([6, []])
    expect([await nextOf(reading), lost]).toEqual([7, ['4 slow-reader']])
    arrive(8, 9, 10)
    expect([await nextOf(reading), await nextOf(reading), lost]).toEqual([9, 10, ['4 slow-reader', '1 slow-reader']])
    expect(inbound.counts).toEqual({ arrived: 10, duplicates: 0, dropped: 5, waiting: 0 })
  })

  it('loses what arrives, if that was asked for', async () => {
    const { inbound, lost, arrive } = desk({ messagesMax: 2, whenFull: 'drop-newest' })
    const reading = reader(inbound)
    arrive(1, 2, 3)
    expect(await nextOf(reading)).toBe(1)
    arrive(4, 5)
    expect([await nextOf(reading), await nextOf(reading)]).toEqual([2, 4])
    expect(lost).toEqual(['2 slow-reader'])
  })

  it('loses for itself alone', async () => {
    const { inbound, arrive } = desk({ messagesMax: 1, whenFull: 'drop-newest' })
    const slow = reader(inbound)
    const heard: number[] = []
    inbound.observable.subscribe((n) => heard.push(n))
    arrive(1, 2, 3)
    expect(heard).toEqual([1, 2, 3])
    expect(await nextOf(slow)).toBe(1)
    expect(inbound.counts.dropped).toBe(2)
  })

  it('that never catches up is told each minute, and the rest when it leaves', async () => {
    const { clock, inbound, lost, arrive } = desk({ messagesMax: 1 })
    const reading = reader(inbound)
    arrive(1, 2, 3)
    clock.sleep(59_999)
    arrive(4)
    expect(lost).toEqual([])
    clock.sleep(1)
    arrive(5, 6)
    expect(lost).toEqual(['4 slow-reader'])
    await reading.return!()
    expect(lost).toEqual(['4 slow-reader', '1 slow-reader'])
    arrive(7, 8)
    reader(inbound)
    expect(lost).toEqual(['4 slow-reader', '1 slow-reader', '2 no-reader'])
  })

  it('has no cursor while it has taken nothing, also when messages wait', () => {
    const { inbound, taken, arrive } = desk()
    void reader(inbound)
    arrive(1, 2, 3)
    expect(taken).toEqual([])
  })
})

type Move =
  | { do: 'push'; id: number | undefined; marked: boolean }
  | { do: 'join' | 'listen' | 'session' | 'end' }
  | { do: 'ask' | 'leave'; who: number }

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('push' as const),
      id: fc.option(fc.nat(12), { nil: undefined }),
      marked: fc.boolean(),
    }),
  },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('ask' as const), who: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), who: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('join' as const, 'listen' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('session' as const, 'end' as const) }) },
)

const SEED = Number(process.env.HF_SEED ?? 20_261_121)
const MESSAGES_MAX = 4

/** One reader of the model: what it got, how much of that it is done with, and whether it is still there. */
interface Seat {
  readonly got: number[]
  done: number
  left: boolean
  ask(): void
  leave(): void
}

/** Every message is its own number and its own cursor, so all that is known of it can be read off. */
const play = async (moves: readonly Move[], whenFull: InboundOptions['whenFull']) => {
  let pushed = 0
  let told = -1
  let lost = 0
  let sessionFrom = 0
  const seats: Seat[] = []
  const present = () => seats.filter(({ left }) => !left)
  const inbound = new Inbound<number>({ ...inboundDefaults, messagesMax: MESSAGES_MAX, whenFull }, heapClock(), {
    taken: (cursor) => {
      const n = cursor as number
      expect(n, 'the cursor goes on').toBeGreaterThan(told)
      expect(n, 'the cursor is of this session').toBeGreaterThanOrEqual(sessionFrom)
      expect(present().length, 'somebody took it').toBeGreaterThan(0)
      for (const { got, done } of present()) {
        const open = got.slice(done).find((each) => each <= n)
        expect(open, `${n} is told while ${open} is with a reader`).toBeUndefined()
      }
      told = n
    },
    lost: (count) => {
      lost += count
    },
  })
  const give = ({ got }: Seat, n: number) => {
    expect(n > told || n < sessionFrom, `${n} is given after ${told} was told`).toBe(true)
    got.push(n)
  }
  const sit = (make: (seat: Seat) => Pick<Seat, 'ask' | 'leave'>) => {
    const seat: Seat = { got: [], done: 0, left: false, ask: () => undefined, leave: () => undefined }
    seats.push(seat)
    Object.assign(seat, make(seat))
  }
  const join = () =>
    sit((seat) => {
      const reading = reader(inbound)
      return {
        ask: () => {
          seat.done = seat.got.length
          void reading.next().then(({ done, value }) => {
            if (!done) give(seat, value)
            else seat.left = true
          })
        },
        leave: () => {
          seat.left = true
          void reading.return!()
        },
      }
    })
  const listen = () =>
    sit((seat) => {
      const subscription = inbound.observable.subscribe({
        next: (n) => {
          give(seat, n)
          // it returns right after this
          seat.done = seat.got.length
        },
        complete: () => {
          seat.left = true
        },
      })
      const leave = () => {
        seat.left = true
        subscription.unsubscribe()
      }
      return { ask: () => undefined, leave }
    })
  for (const each of moves) {
    if (each.do === 'push') {
      const n = pushed++
      inbound.push(n, {
        ...(each.id !== undefined && { id: `${each.id}` }),
        ...(each.marked && { cursor: n }),
      })
    } else if (each.do === 'join') join()
    else if (each.do === 'listen') listen()
    else if (each.do === 'session') {
      inbound.beginSession()
      sessionFrom = pushed
    } else if (each.do === 'end') inbound.end()
    else if (each.do === 'ask' || each.do === 'leave') present()[each.who]?.[each.do]()
    await settled()
    expect(inbound.counts.waiting).toBeLessThanOrEqual(MESSAGES_MAX)
  }
  return { inbound, seats, lostTold: () => lost }
}

describe('whatever comes in whatever order', () => {
  it.each(['drop-oldest', 'drop-newest'] as const)('%s: order, bound, sums and cursor hold', async (whenFull) => {
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 60, size: 'max' }), async (moves) => {
        const { seats, inbound } = await play(moves, whenFull)
        const { arrived, duplicates } = inbound.counts
        expect(duplicates).toBeLessThanOrEqual(arrived)
        for (const { got } of seats) {
          expect(got, 'each once, and in order').toEqual([...new Set(got)].sort((a, b) => a - b))
        }
      }),
      { seed: SEED, numRuns: 500 },
    )
  })

  it.each([
    'drop-oldest',
    'drop-newest',
  ] as const)('%s: with one reader at a time all the counts add up', async (whenFull) => {
    const alone = fc.array(move, { maxLength: 60, size: 'max' }).map((moves) => {
      let isThere = false
      return moves.filter((each) => {
        if (each.do === 'end') return false
        const comes = each.do === 'join' || each.do === 'listen'
        if (comes && isThere) return false
        if (comes) isThere = true
        if (each.do === 'leave' && each.who === 0) isThere = false
        return true
      })
    })
    let dropped = 0
    await fc.assert(
      fc.asyncProperty(alone, async (moves) => {
        const { inbound, seats, lostTold } = await play(moves, whenFull)
        const given = seats.reduce((sum, { got }) => sum + got.length, 0)
        const { counts } = inbound
        expect(given + counts.duplicates + counts.dropped + counts.waiting).toBe(counts.arrived)
        for (const { leave } of seats) leave()
        expect(lostTold()).toBeLessThanOrEqual(counts.dropped)
        reader(inbound)
        expect(lostTold()).toBe(counts.dropped)
        dropped += counts.dropped
      }),
      { seed: SEED, numRuns: 500 },
    )
    expect(dropped).toBeGreaterThan(100)
  })
})
