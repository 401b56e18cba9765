/** The outbox under random orders: whatever happens, the sums are right and no settled message is written again. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Frame } from '../src/adapter/adapter.ts'
import { type Fate, Outbox, RequestError, type Writer } from '../src/outbox/outbox.ts'
import { heapClock } from '../src/testing/heap-clock.ts'

type Order =
  | { do: 'put'; size: number; withinMs: number; key: number | undefined; proof: 'answer' | 'pong' | 'http' }
  | { do: 'answer' | 'refuse' | 'proven' | 'settle-http'; which: number }
  | { do: 'advance' | 'sleep'; ms: number }
  | { do: 'attach' | 'detach' | 'lose' | 'clog' | 'unclog' | 'close' }

const which = fc.nat(30)
const order: fc.Arbitrary<Order> = fc.oneof(
  {
    weight: 32,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      size: fc.nat(400),
      withinMs: fc.integer({ min: 1, max: 3_000 }),
      key: fc.option(fc.nat(5), { nil: undefined, freq: 2 }),
      proof: fc.constantFrom('answer' as const, 'pong' as const, 'pong' as const, 'http' as const),
    }),
  },
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constantFrom('answer' as const, 'refuse' as const, 'proven' as const, 'settle-http' as const),
      which,
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom('advance' as const, 'sleep' as const), ms: fc.nat(1_500) }) },
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'attach' as const,
        'attach' as const,
        'attach' as const,
        'detach' as const,
        'lose' as const,
        'clog' as const,
        'unclog' as const,
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'close' as const }) },
)

interface Message {
  readonly n: number
  readonly expiresAt: number
  readonly idempotent: boolean
  key: string
  written: number
  fate: Fate | undefined
}

const BOUNDS = { messagesMax: 8, bytesMax: 2_000 }
const seen: Partial<Record<Fate | 'rewritten', number>> = {}
const note = (what: Fate | 'rewritten') => {
  seen[what] = (seen[what] ?? 0) + 1
}

const run = async (orders: readonly Order[]): Promise<void> => {
  const clock = heapClock()
  const outbox = new Outbox(BOUNDS, clock)
  const messages: Message[] = []
  const requests: ((ok: boolean) => void)[] = []
  let room = true
  let attached = false
  let mark = 0
  let lastWritten = -1

  const wrote = (n: number) => {
    const message = messages[n]!
    expect(attached, 'it is written to a live link').toBe(true)
    expect(message.fate, `a settled message is not written: ${n}`).toBeUndefined()
    expect(clock.now(), 'it is not written after its time').toBeLessThan(message.expiresAt)
    if (message.written++ > 0) {
      expect(message.idempotent, `a second copy of ${n} is harmless`).toBe(true)
      note('rewritten')
    } else if (!message.idempotent) {
      expect(n, 'first copies are in order').toBeGreaterThan(lastWritten)
      lastWritten = n
    }
  }
  const writer: Writer = {
    write: (frame: Frame) => {
      const [n, key] = String(frame).split(' ')
      expect(key, 'a message keeps its key').toBe(messages[Number(n)]!.key)
      wrote(Number(n))
    },
    awaitProof: () => expect(outbox.awaitsProof).toBe(true),
    mark: (next) => {
      mark = next
    },
    hasRoom: () => room,
    request: (outgoing) => {
      wrote(Number(outgoing.http.body!.split(' ')[0]))
      return new Promise((resolve, reject) =>
        requests.push((ok) => (ok ? resolve('ok') : reject(new RequestError('refused', 'no')))),
      )
    },
  }

  const recent = (which: number): Message | undefined => messages.at(-1 - (which % 10))

  const put = ({ size, withinMs, key, proof }: Extract<Order, { do: 'put' }>) => {
    const n = messages.length
    const idempotent = key !== undefined
    const message: Message = { n, expiresAt: clock.now() + withinMs, idempotent, key: '', written: 0, fate: undefined }
    messages.push(message)
    const make = (given: string) => {
      message.key = given
      if (size === 13) throw new Error('unlucky')
      const text = `${n} ${given} ${'x'.repeat(size)}`
      if (proof !== 'http') return { frame: text, proof }
      return { http: { url: 'http://h/', method: 'POST', headers: {}, body: text }, read: () => undefined }
    }
    const ticket = { withinMs, idempotencyKey: key === undefined ? undefined : `k${key}` }
    outbox.put(make, ticket).then(({ fate }) => {
      expect(message.fate, 'settled once').toBeUndefined()
      if (fate === 'expired') expect(message.written, 'expired means never written').toBe(0)
      if (fate === 'delivered' || fate === 'uncertain') expect(message.written).toBeGreaterThan(0)
      message.fate = fate
      note(fate)
    })
  }

  const obey = async (it: Order): Promise<void> => {
    switch (it.do) {
      case 'put':
        return put(it)
      case 'answer':
        return outbox.answer(recent(it.which)?.key ?? 'nobody', it.which)
      case 'refuse':
        return outbox.refuse(recent(it.which)?.key ?? 'nobody', 'no')
      case 'proven':
        return outbox.proven(it.which % 3 === 0 ? it.which : mark)
      case 'settle-http':
        return requests.at(-1 - (it.which % 5))?.(it.which % 2 === 0)
      case 'advance':
        return clock.advance(it.ms)
      case 'sleep':
        return clock.sleep(it.ms)
      case 'attach':
        attached = true
        return outbox.attach(writer)
      case 'detach':
        attached = false
        return outbox.detach()
      case 'lose':
        attached = false
        return outbox.lose({ code: 'connection-lost' })
      case 'clog':
        room = false
        return
      case 'unclog':
        room = true
        return outbox.flush()
      case 'close':
        attached = false
        return outbox.close('over')
    }
  }

  const judge = () => {
    const { entered, delivered, expired, refused, uncertain, waiting } = outbox.counts
    expect(entered).toBe(messages.length)
    expect(entered).toBe(delivered + expired + refused + uncertain + waiting)
    expect(waiting).toBeLessThanOrEqual(BOUNDS.messagesMax)
    expect(messages.filter(({ fate }) => fate === undefined)).toHaveLength(waiting)
    for (const fate of ['delivered', 'expired', 'refused', 'uncertain'] as const) {
      expect(messages.filter((message) => message.fate === fate)).toHaveLength(outbox.counts[fate])
    }
    expect(clock.pending).toBeLessThanOrEqual(1)
  }

  for (const each of orders) {
    await obey(each)
    await new Promise((resolve) => setImmediate(resolve))
    judge()
  }
  // everything has a fate after its time, and then the outbox is as empty as at first
  if (!orders.some((each) => each.do === 'close')) {
    await clock.advance(3_000)
    expect(outbox.counts.waiting).toBe(0)
    outbox.detach()
    let full = false
    void outbox
      .put(() => ({ frame: 'x'.repeat(BOUNDS.bytesMax) }), { withinMs: 1 })
      .then(() => {
        full = true
      })
    await clock.advance(0)
    expect(full, 'all bytes are free again').toBe(false)
  }
  outbox.close('over')
  await clock.advance(0)
  expect(outbox.counts.waiting).toBe(0)
  expect(clock.pending).toBe(0)
}

it('under any orders the sums are right, every message has one fate, and no settled one is written again', async () => {
  await fc.assert(fc.asyncProperty(fc.array(order, { maxLength: 60, size: 'max' }), run), { numRuns: 400 })
  // the orders reached every fate, many times
  for (const what of ['delivered', 'expired', 'refused', 'uncertain', 'rewritten'] as const) {
    expect(seen[what], what).toBeGreaterThan(10)
  }
})
