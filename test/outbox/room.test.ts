/** The bounds, what happens at them, and how a sender learns of it. */
import { describe, expect, it } from 'vitest'
import { follow } from '../small-talk.ts'
import { Desk, fatesOf } from './desk.ts'

describe('a full outbox', () => {
  it('HF-O7 R28 never holds more than its bounds, and refuses the new one by default', async () => {
    const desk = new Desk({ messagesMax: 3, bytesMax: 30 })
    const letters = [desk.put('12345'), desk.put('123456789012345678'), desk.put('1234'), desk.put(''), desk.put('')]
    await desk.settle()
    // each has a space and its key behind it
    expect(fatesOf(letters)).toEqual([undefined, undefined, 'refused', 'refused', 'refused'])
    expect(letters[2]!.value?.detail).toBe('the outbox is full (30 bytes)')
    expect(letters[2]!.accepted.error).toMatchObject({
      code: 'refused',
      message: 'The message was not accepted: the outbox is full (30 bytes).',
    })
    expect(letters[0]!.accepted).toEqual({ settled: true, value: undefined })
  })

  it('HF-O7 with drop-oldest the oldest that was never written goes until the new one fits', async () => {
    const desk = new Desk({ messagesMax: 3, bytesMax: 40, whenFull: 'drop-oldest' })
    const letters = [desk.put('one'), desk.put('two'), desk.put('three'), desk.put('four')]
    await desk.settle()
    expect(fatesOf(letters)).toEqual(['refused', undefined, undefined, undefined])
    expect(letters[0]!.value?.detail).toBe('dropped for a newer one: the outbox is full (3 messages)')
    letters.push(desk.put('x'.repeat(26)))
    await desk.settle()
    expect(fatesOf(letters)).toEqual(['refused', 'refused', 'refused', undefined, undefined])
    expect(letters[2]!.value?.detail).toBe('dropped for a newer one: the outbox is full (3 messages)')
    desk.attach()
    expect(desk.texts).toEqual(['four', 'x'.repeat(26)])
  })

  it('HF-O7 with drop-oldest nothing is dropped that is written, or for a message that does not fit anyway', async () => {
    const desk = new Desk({ messagesMax: 2, bytesMax: 20, whenFull: 'drop-oldest' })
    desk.attach()
    const written = desk.put('a')
    desk.room = false
    const waiting = desk.put('b')
    const giant = desk.put('x'.repeat(17))
    await desk.settle()
    expect(fatesOf([written, waiting, giant])).toEqual([undefined, undefined, 'refused'])
    desk.room = true
    desk.flight.room()
    const none = desk.put('c')
    await desk.settle()
    expect(fatesOf([written, waiting, none])).toEqual([undefined, undefined, 'refused'])
  })

  it('HF-O7 what may have arrived is dropped last, and is uncertain then', async () => {
    const desk = new Desk({ messagesMax: 2, whenFull: 'drop-oldest' })
    desk.attach()
    const safe = desk.put('safe', { idempotencyKey: 'k' })
    desk.lose()
    const letters = [safe, desk.put('one'), desk.put('two')]
    await desk.settle()
    expect(fatesOf(letters)).toEqual([undefined, 'refused', undefined])
    const again = new Desk({ messagesMax: 1, whenFull: 'drop-oldest' })
    again.attach()
    const only = again.put('only', { idempotencyKey: 'k' })
    again.lose()
    again.put('next')
    await again.settle()
    expect(only.value?.fate).toBe('uncertain')
  })
})

describe('backpressure', () => {
  it('HF-O16 is false from full until half of both bounds is free again', async () => {
    const desk = new Desk({ messagesMax: 4, bytesMax: 1_000 })
    const seen: boolean[] = []
    desk.outbox.writable$.subscribe((isWritable) => seen.push(isWritable))
    desk.attach()
    for (let n = 0; n < 4; n++) desk.put(`${n}`, { proof: 'answer' })
    expect(seen).toEqual([true, false])
    desk.put('refused')
    desk.flight.answer('h0', 1)
    expect(seen).toEqual([true, false])
    desk.flight.answer('h1', 1)
    expect(seen).toEqual([true, false, true])
    const late: boolean[] = []
    desk.outbox.writable$.subscribe((isWritable) => late.push(isWritable))
    expect(late).toEqual([true])
  })

  it('HF-O16 counts bytes as well, and a message that is too big for an empty outbox blocks nobody', async () => {
    const desk = new Desk({ bytesMax: 100 })
    const seen: boolean[] = []
    desk.outbox.writable$.subscribe((isWritable) => seen.push(isWritable))
    desk.put('x'.repeat(200))
    expect(seen).toEqual([true])
    desk.attach()
    desk.put('x'.repeat(60), { proof: 'answer' })
    desk.put('x'.repeat(60))
    expect(seen).toEqual([true, false])
    desk.flight.answer('h1', 1)
    expect(seen).toEqual([true, false, true])
  })

  it('HF-O16 writable() resolves when there is room, and rejects by its signal and at the end', async () => {
    const desk = new Desk({ messagesMax: 2 })
    desk.attach()
    await desk.outbox.writable()
    for (let n = 0; n < 2; n++) desk.put(`${n}`, { proof: 'answer' })
    const abort = new AbortController()
    const [patient, hasty] = [desk.outbox.writable(), desk.outbox.writable({ signal: abort.signal })].map(follow)
    abort.abort()
    await desk.settle()
    expect([patient!.settled, hasty!.error]).toMatchObject([false, { code: 'aborted' }])
    desk.flight.answer('h0', 1)
    await desk.settle()
    expect(patient!.settled).toBe(true)
    desk.put('2', { proof: 'answer' })
    const last = follow(desk.outbox.writable())
    void desk.outbox.close('over')
    await desk.settle()
    expect(last.error).toMatchObject({ code: 'stopped' })
    expect(follow(desk.outbox.writable({ signal: abort.signal })).settled).toBe(false)
    await expect(desk.outbox.writable({ signal: abort.signal })).rejects.toMatchObject({ code: 'aborted' })
  })
})

describe('who sends while being told of something', () => {
  it('R37 is accepted or refused, never lost, and the sums are right', async () => {
    const desk = new Desk({ messagesMax: 5, whenFull: 'drop-oldest' })
    const letters = [desk.put('first')]
    let left = 40
    const again = (text: string) => () => {
      if (left-- > 0) letters.push(desk.put(text, left % 3 === 0 ? { coalesceKey: 'c', conversation: 'd' } : {}))
    }
    desk.outbox.settled$.subscribe(again('settled'))
    desk.outbox.writable$.subscribe(again('writable'))
    desk.outbox.whenEmpty(again('empty'))
    for (let round = 0; round < 12; round++) {
      desk.attach()
      desk.outbox.whenEmpty(again('empty'))
      letters.push(desk.put(`${round}`, { proof: 'answer', ...(round % 2 === 0 && { idempotencyKey: `k${round}` }) }))
      await desk.settle()
      desk.flight.proven(desk.marks.at(-1) ?? 0)
      if (round % 3 === 0) desk.lose()
      await desk.clock.advance(1_000)
    }
    await desk.clock.advance(20_000)
    const { entered, waiting, ...ends } = desk.outbox.counts
    expect(letters.every(({ settled }) => settled)).toBe(true)
    expect({ entered, waiting }).toEqual({ entered: letters.length, waiting: 0 })
    expect(Object.values(ends).reduce((sum, each) => sum + each)).toBe(entered)
    expect(left).toBeLessThan(0)
  })

  it('R37 goes behind those that are being written', () => {
    const desk = new Desk()
    for (const text of ['one', 'two', 'three']) desk.put(text)
    desk.onWrite = (text) => {
      if (!text.startsWith('re:')) desk.put(`re:${text}`)
    }
    desk.attach()
    expect(desk.texts).toEqual(['one', 'two', 'three', 're:one', 're:two', 're:three'])
  })

  it('R48 every message settles by its deadline in every state', async () => {
    const states: ((desk: Desk) => void)[] = [
      () => undefined,
      (desk) => void desk.attach(),
      (desk) => {
        desk.attach()
        desk.outbox.detach()
      },
      (desk) => {
        desk.attach()
        desk.room = false
      },
      (desk) => {
        desk.attach()
        desk.lose()
      },
    ]
    for (const enter of states) {
      const desk = new Desk({}, { pace: { count: 1, ms: 60_000 } })
      enter(desk)
      const letters = [
        desk.put('pong', { withinMs: 2_000 }),
        desk.put('answer', { withinMs: 2_000, proof: 'answer' }),
        desk.put('again', { withinMs: 2_000, idempotencyKey: 'k', conversation: 'a' }),
        desk.put('behind', { withinMs: 2_000, conversation: 'a' }),
        desk.post('request', { withinMs: 2_000, idempotencyKey: 'l' }),
      ]
      for (const { cut } of desk.requests) cut('socket hang up')
      await desk.clock.advance(2_000)
      expect(letters.every(({ settled }) => settled)).toBe(true)
      expect(desk.clock.pending).toBe(0)
    }
  })
})

describe('settled$', () => {
  it('HF-O17 tells the fate of every message once, of those refused at the door too', async () => {
    const desk = new Desk({ messagesMax: 2 })
    desk.attach()
    desk.put('a', { proof: 'answer' })
    desk.put('b', { idempotencyKey: 'k', proof: 'answer' })
    desk.put('c')
    desk.flight.answer('h0', 7)
    desk.flight.refuse('k', 'no')
    expect(desk.fates).toEqual([
      { key: 'h1', fate: 'refused', detail: 'the outbox is full (2 messages)', recovered: false },
      { key: 'h0', fate: 'delivered', result: 7, recovered: false },
      { key: 'k', fate: 'refused', detail: 'no', recovered: false },
    ])
  })
})
