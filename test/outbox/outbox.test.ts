/** Messages on their way out, in virtual time: each gets one fate, and the sums are right at every moment. */
import { describe, expect, it } from 'vitest'
import type { Outgoing } from '../../src/adapter/adapter.ts'
import { Desk } from './desk.ts'

describe('a message', () => {
  it('is written at once on a live link, and delivered by the pong to a ping behind it', async () => {
    const desk = new Desk()
    desk.attach()
    const receipt = desk.put('one')
    expect(desk.written).toEqual(['one h0'])
    await desk.settle()
    expect([desk.marks, receipt.settled]).toEqual([[1], false])
    desk.flight.proven(1)
    await desk.settle()
    expect(receipt.value).toEqual({ fate: 'delivered' })
  })

  it('shares its ping with all that were written in the same turn; the next ping waits for the pong', async () => {
    const desk = new Desk()
    desk.attach()
    const first = [desk.put('one'), desk.put('two')]
    await desk.settle()
    const second = [desk.put('three'), desk.put('four')]
    await desk.settle()
    expect(desk.marks).toEqual([1])
    desk.flight.proven(1)
    await desk.settle()
    expect(desk.marks).toEqual([1, 2])
    expect([...first, ...second].map(({ settled }) => settled)).toEqual([true, true, false, false])
    desk.flight.proven(1)
    desk.flight.proven(7)
    await desk.settle()
    expect(second.map(({ settled }) => settled)).toEqual([false, false])
    desk.flight.proven(2)
    await desk.settle()
    expect(second.map(({ value }) => value?.fate)).toEqual(['delivered', 'delivered'])
  })

  it('is delivered by its answer, and refused by a refusal; what comes late or under no key is ignored', async () => {
    const desk = new Desk()
    desk.attach()
    const [asked, declined] = [desk.put('a', { proof: 'answer' }), desk.put('b', { proof: 'answer' })]
    desk.flight.answer('nobody', 0)
    desk.flight.answer('h0', { id: 7 })
    desk.flight.refuse('h1', 'no')
    desk.flight.refuse('h0', 'too late')
    desk.flight.answer('h1', 'too late')
    await desk.settle()
    expect(asked.value).toEqual({ fate: 'delivered', result: { id: 7 } })
    expect(declined.value).toEqual({ fate: 'refused', detail: 'no' })
    expect(desk.marks).toEqual([])
    expect(desk.outbox.counts).toMatchObject({ entered: 2, delivered: 1, refused: 1, waiting: 0 })
  })

  it('waits while nothing is attached, in order, and cannot be answered before it is written', async () => {
    const desk = new Desk()
    const receipts = ['one', 'two', 'three'].map((text) => desk.put(text, { proof: 'answer' }))
    desk.dial()
    desk.flight.answer('h0', 'a guess')
    expect(desk.flight.awaitsProof).toBe(false)
    desk.attach()
    expect(desk.written).toEqual(['one h0', 'two h1', 'three h2'])
    expect(desk.flight.awaitsProof).toBe(true)
    expect(desk.awaited).toBe(1)
    await desk.settle()
    expect(receipts.some(({ settled }) => settled)).toBe(false)
  })

  it('waits while the kernel takes no more, and does not overtake', () => {
    const desk = new Desk()
    desk.attach()
    desk.room = false
    desk.put('one')
    desk.put('two')
    desk.flight.room()
    expect(desk.written).toEqual([])
    desk.room = true
    desk.put('three')
    expect(desk.written).toEqual([])
    desk.flight.room()
    expect(desk.written).toEqual(['one h0', 'two h1', 'three h2'])
  })

  it('that was never written in its time is expired; that was written without an answer is uncertain', async () => {
    const desk = new Desk()
    const late = desk.put('late', { withinMs: 1_000 })
    await desk.clock.advance(999)
    expect(late.settled).toBe(false)
    await desk.clock.advance(1)
    expect(late.value).toEqual({ fate: 'expired', detail: 'the link was not live within 1000 ms' })
    desk.attach()
    const silent = desk.put('silent', { withinMs: 1_000, proof: 'answer' })
    await desk.clock.advance(1_000)
    expect(silent.value).toEqual({ fate: 'uncertain', detail: 'no answer within 1000 ms' })
    expect(desk.written).toEqual(['silent h1'])
  })

  it('is not written any more at the moment of its deadline, even if the link goes live before the timer fires', async () => {
    const desk = new Desk()
    const late = desk.put('late', { withinMs: 1_000 })
    desk.clock.sleep(5_000)
    desk.attach()
    expect(desk.written).toEqual([])
    await desk.settle()
    expect(late.value?.fate).toBe('expired')
  })

  it.each([
    ['throws an Error', () => fail(new Error('too long')), 'it cannot be encoded: too long'],
    ['throws a string', () => fail('nope'), 'it cannot be encoded: nope'],
    ['throws what cannot be printed', () => fail(Object.create(null)), /cannot be shown$/],
    ['gives no frame', () => ({ frame: 7 }), 'it cannot be encoded: a frame is a string or bytes'],
    ['gives nothing', () => undefined, /^it cannot be encoded: /],
  ])('whose encoder %s is refused alone', async (_what, make, detail) => {
    const desk = new Desk()
    desk.attach()
    const bad = desk.enter(make as unknown as () => Outgoing, { withinMs: 100 })
    const good = desk.put('good', { proof: 'answer' })
    desk.flight.answer('h1', 'ok')
    await desk.settle()
    expect(bad.value?.fate).toBe('refused')
    expect(bad.value?.detail).toMatch(detail)
    expect(good.value?.fate).toBe('delivered')
  })
})

const fail = (error: unknown): never => {
  throw error
}

describe('when the transport is lost', () => {
  it('what was written is uncertain, what was not waits on', async () => {
    const desk = new Desk()
    desk.attach()
    const written = desk.put('written')
    desk.outbox.detach()
    const waiting = desk.put('waiting')
    desk.lose()
    await desk.settle()
    expect(written.value).toEqual({ fate: 'uncertain', detail: 'the transport was lost (connection-lost)' })
    expect(waiting.settled).toBe(false)
    desk.attach()
    expect(desk.written).toEqual(['written h0', 'waiting h1'])
  })

  it('idempotent messages are written again, first and under their keys', async () => {
    const desk = new Desk()
    desk.attach()
    const safe = desk.put('safe', { idempotencyKey: 'k1' })
    desk.outbox.detach()
    desk.put('later')
    desk.lose()
    desk.attach()
    expect(desk.written).toEqual(['safe k1', 'safe k1', 'later h0'])
    await desk.settle()
    desk.flight.proven(desk.marks.at(-1)!)
    await desk.settle()
    expect(safe.value).toEqual({ fate: 'delivered' })
    desk.lose()
    desk.attach()
    expect(desk.written).toHaveLength(3)
  })

  it('an idempotent message that is not written again in its time is uncertain: it may have arrived', async () => {
    const desk = new Desk()
    desk.attach()
    const expiring = desk.put('a', { idempotencyKey: 'k1', withinMs: 1_000 })
    const stopped = desk.put('b', { idempotencyKey: 'k2', withinMs: 9_000 })
    desk.lose()
    await desk.clock.advance(1_000)
    expect(expiring.value?.fate).toBe('uncertain')
    desk.outbox.close('the link was stopped')
    await desk.settle()
    expect(stopped.value).toEqual({ fate: 'uncertain', detail: 'the link was stopped' })
  })

  it('a proof from before does not count for what is written again', async () => {
    const desk = new Desk()
    desk.attach()
    const safe = desk.put('safe', { idempotencyKey: 'k1' })
    await desk.settle()
    desk.lose()
    desk.attach()
    desk.flight.proven(1)
    await desk.settle()
    expect(safe.settled).toBe(false)
  })
})

describe('keys', () => {
  it('are refused while the same one is under way, and free again afterwards', async () => {
    const desk = new Desk()
    desk.attach()
    desk.put('one', { idempotencyKey: 'k', proof: 'answer' })
    const twice = desk.put('two', { idempotencyKey: 'k' })
    desk.flight.answer('k', 1)
    const after = desk.put('three', { idempotencyKey: 'k', proof: 'answer' })
    desk.flight.answer('k', 3)
    await desk.settle()
    expect(twice.value).toEqual({ fate: 'refused', detail: 'a message with this key is already waiting' })
    expect(after.value).toEqual({ fate: 'delivered', result: 3 })
  })

  it('used again after the first message was given up: a late proof of the first does not settle the second', async () => {
    const desk = new Desk()
    desk.attach()
    const first = desk.put('one', { idempotencyKey: 'k', withinMs: 100 })
    await desk.clock.advance(100)
    const second = desk.put('two', { idempotencyKey: 'k' })
    desk.flight.proven(1)
    await desk.settle()
    expect([first.value?.fate, second.settled]).toEqual(['uncertain', false])
    desk.flight.proven(2)
    await desk.settle()
    expect(second.value?.fate).toBe('delivered')
    expect(desk.outbox.counts).toMatchObject({ entered: 2, delivered: 1, uncertain: 1, waiting: 0 })
  })
})

describe('a pause', () => {
  it('between a ping and its pong ends when all that it would prove was given up', async () => {
    const desk = new Desk()
    desk.attach()
    desk.put('one', { withinMs: 100 })
    await desk.settle()
    const second = desk.put('two')
    await desk.clock.advance(100)
    expect(desk.marks).toEqual([1, 2])
    desk.flight.proven(2)
    await desk.settle()
    expect(second.value?.fate).toBe('delivered')
  })

  it('does not delay the proof of what was written before it', async () => {
    const desk = new Desk()
    desk.attach()
    desk.put('one')
    await desk.settle()
    const second = desk.put('two')
    desk.outbox.detach()
    desk.flight.proven(1)
    await desk.settle()
    expect(desk.marks).toEqual([1, 2])
    desk.flight.proven(2)
    await desk.settle()
    expect(second.value?.fate).toBe('delivered')
  })

  it('in which a ping stayed without a pong is followed by another ping', async () => {
    const desk = new Desk()
    desk.attach()
    const first = desk.put('one')
    await desk.settle()
    const second = desk.put('two')
    desk.outbox.detach()
    await desk.settle()
    expect(desk.marks).toEqual([1])
    desk.attach()
    await desk.settle()
    expect(desk.marks).toEqual([1, 2])
    desk.flight.proven(2)
    await desk.settle()
    expect([first.value?.fate, second.value?.fate]).toEqual(['delivered', 'delivered'])
  })
})

describe('the bounds', () => {
  it('refuse what is over the count, and take more when there is room again', async () => {
    const desk = new Desk({ messagesMax: 2 })
    desk.attach()
    desk.put('one', { proof: 'answer' })
    desk.put('two', { proof: 'answer' })
    const third = desk.put('three')
    desk.flight.answer('h0', null)
    const fourth = desk.put('four')
    await desk.settle()
    expect(third.value).toEqual({ fate: 'refused', detail: 'the outbox is full (2 messages)' })
    expect(fourth.settled).toBe(false)
  })

  it('refuse what is over the bytes, counted as they travel', async () => {
    const desk = new Desk({ bytesMax: 10 })
    desk.put('日本', { idempotencyKey: 'k' })
    const over = desk.put('12', { idempotencyKey: 'l' })
    await desk.settle()
    expect(over.value).toEqual({ fate: 'refused', detail: 'the outbox is full (10 bytes)' })
    const fits = desk.put('', { idempotencyKey: 'm' })
    await desk.settle()
    expect(fits.settled).toBe(false)
  })
})

describe('a call over HTTP', () => {
  it('has the fate that its request ends with, and outlives the transport', async () => {
    const desk = new Desk()
    desk.attach()
    const receipts = [desk.post('x'), desk.post('x'), desk.post('x')]
    desk.lose()
    desk.requests[0]!.answer('done')
    desk.requests[1]!.refuse('HTTP 404')
    desk.requests[2]!.cut('socket hang up')
    await desk.settle()
    expect(receipts.map(({ value }) => value)).toEqual([
      { fate: 'delivered', result: 'done' },
      { fate: 'refused', detail: 'HTTP 404' },
      { fate: 'uncertain', detail: 'socket hang up' },
    ])
  })

  it('is aborted at its deadline and at the end', async () => {
    const desk = new Desk()
    desk.attach()
    const [late, left] = [desk.post('x', { withinMs: 500 }), desk.post('x')]
    await desk.clock.advance(500)
    expect(late.value?.fate).toBe('uncertain')
    desk.outbox.close('over')
    await desk.settle()
    expect(left.value).toEqual({ fate: 'uncertain', detail: 'over' })
    expect(desk.requests.map(({ signal }) => signal.aborted)).toEqual([true, true])
    desk.requests[0]!.answer('too late')
    desk.requests[1]!.refuse('too late')
    await desk.settle()
    expect(desk.outbox.counts).toMatchObject({ entered: 2, uncertain: 2, delivered: 0, refused: 0 })
  })
})

describe('the end', () => {
  it('settles all that is left, takes nothing more, and leaves no timer', async () => {
    const desk = new Desk()
    desk.attach()
    const written = desk.put('written')
    desk.outbox.detach()
    const waiting = desk.put('waiting')
    expect(desk.clock.pending).toBe(1)
    desk.outbox.close('over')
    const after = desk.put('after')
    await desk.settle()
    expect([written, waiting, after].map(({ value }) => value?.fate)).toEqual(['uncertain', 'refused', 'refused'])
    expect(desk.clock.pending).toBe(0)
    expect(desk.outbox.counts).toMatchObject({ entered: 3, waiting: 0 })
  })

  it('is told once to whoever waits for it, at once if nothing is left', () => {
    const desk = new Desk()
    let told = 0
    desk.outbox.whenEmpty(() => told++)
    expect(told).toBe(1)
    desk.attach()
    desk.put('x', { proof: 'answer' })
    const forget = desk.outbox.whenEmpty(() => told++)
    forget()
    desk.flight.answer('h0', null)
    desk.put('y', { proof: 'answer' })
    desk.outbox.whenEmpty(() => told++)
    desk.flight.answer('h1', null)
    desk.lose()
    expect(told).toBe(2)
  })

  it('leaves one timer for a thousand deadlines', () => {
    const desk = new Desk()
    for (let n = 0; n < 1_000; n++) desk.put('x', { withinMs: 1 + ((n * 7_919) % 5_000) })
    expect(desk.clock.pending).toBe(1)
    desk.clock.advanceSync(5_000)
    expect(desk.outbox.counts).toMatchObject({ expired: 1_000, waiting: 0 })
    expect(desk.clock.pending).toBe(0)
  })
})
