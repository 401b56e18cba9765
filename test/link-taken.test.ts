/** What an adapter is told of what the user took. */
import { expect, test } from 'vitest'
import type { Dialogue } from '../src/adapter/adapter.ts'
import { defineAdapter } from '../src/adapter/adapter.ts'
import { readObject } from '../src/adapter/json.ts'
import { connect } from '../src/link.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { heapClock } from '../src/testing/heap-clock.ts'

/** Frames are numbers, which are their own cursors; `taken` is the adapter's hook. */
const numbersRig = (taken: NonNullable<Dialogue['taken']>) => {
  const clock = heapClock()
  const network = new FakeNetwork(clock, { greeting: [{ op: 'welcome' }] })
  const begunAt: unknown[] = []
  const adapter = defineAdapter<number>({
    name: 'numbers',
    target: { url: 'ws://127.0.0.1:7000/' },
    dialogue: (io) => {
      begunAt.push(io.session.cursor)
      return {
        taken,
        frame: (raw) => {
          const { n } = readObject(raw) ?? {}
          if (n === undefined) io.welcome({ resumed: true })
          else io.deliver(Number(n), { id: String(n), cursor: Number(n) })
          return 'taken'
        },
      }
    },
  })
  const { transport, lookup } = network
  const link = connect(adapter, { id: 'bot', clock, transport, lookup })
  const say = (...numbers: number[]) => {
    for (const n of numbers) network.current!.frame({ n })
  }
  const end = async () => {
    void link.stop()
    await clock.advance(5_000)
  }
  return { clock, network, link, begunAt, say, end }
}

test('the dialogue is told each position when the user has taken it, and the next one begins behind what was taken meanwhile', async () => {
  const told: unknown[] = []
  const { clock, network, link, begunAt, say, end } = numbersRig((cursor) => told.push(cursor))
  await clock.advance(100)
  say(1, 2, 3)
  const reader = link[Symbol.asyncIterator]()
  for (let n = 1; n <= 3; n++) expect(await reader.next()).toMatchObject({ value: n })
  expect(told).toEqual([1, 2])
  network.current!.lose({ code: 'connection-lost' })
  void reader.next()
  expect(told).toEqual([1, 2])
  await clock.advance(5_000)
  expect(begunAt).toEqual([undefined, 3])
  say(4)
  // `void reader.next()` above has it, and has not asked for more
  expect(told).toEqual([1, 2])
  void reader.next()
  expect(told).toEqual([1, 2, 4])
  await end()
})

test('a dialogue that throws because of it costs its transport, and nobody else anything', async () => {
  const { clock, link, say, end } = numbersRig(() => {
    throw new Error('no')
  })
  const got: number[] = []
  link.inbound$.subscribe((n) => got.push(n))
  await clock.advance(100)
  say(1)
  expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'adapter-failed', detail: 'Error: no' } })
  await clock.advance(5_000)
  expect([link.status.state, got]).toEqual(['live', [1]])
  await end()
})
