/** In which order messages go out, which of them go out twice, and what a newer one replaces. */
import { describe, expect, it } from 'vitest'
import { Desk, fatesOf, LOST } from './desk.ts'

const texts = (desk: Desk): string[] => desk.requests.map(({ text }) => text.split(' ')[0]!)

describe('a conversation over HTTP', () => {
  it('HF-O9 has one request under way; the next goes when it is settled, and other conversations do not wait', async () => {
    const desk = new Desk()
    desk.attach()
    const letters = ['a1', 'a2', 'b1', 'a3', 'none'].map((text) =>
      desk.post(text, text === 'none' ? {} : { conversation: text[0]! }),
    )
    expect(texts(desk)).toEqual(['a1', 'b1', 'none'])
    desk.requests[0]!.refuse('no')
    await desk.settle()
    expect(texts(desk)).toEqual(['a1', 'b1', 'none', 'a2'])
    desk.requests[3]!.answer('ok')
    await desk.settle()
    expect(texts(desk)).toEqual(['a1', 'b1', 'none', 'a2', 'a3'])
    for (const { answer } of desk.requests) answer('ok')
    await desk.settle()
    expect(fatesOf(letters)).toEqual(['refused', 'delivered', 'delivered', 'delivered', 'delivered'])
  })

  it('HF-O9 is named by the adapter where the caller names none, and by the caller where both do', async () => {
    const desk = new Desk()
    desk.attach()
    const post = (text: string, conversation?: string) =>
      desk.enter(
        () => ({
          http: { url: 'http://h/', method: 'POST', headers: {}, body: text },
          read: () => text,
          conversation: 'room',
        }),
        { conversation },
      )
    post('one')
    post('two')
    post('three', 'elsewhere')
    expect(texts(desk)).toEqual(['one', 'three'])
    desk.requests[0]!.answer('ok')
    await desk.settle()
    expect(texts(desk)).toEqual(['one', 'three', 'two'])
  })

  it('HF-O9 goes on when the message before is given up', async () => {
    const desk = new Desk()
    desk.attach()
    const stuck = desk.post('stuck', { conversation: 'a', withinMs: 1_000 })
    desk.post('next', { conversation: 'a' })
    await desk.clock.advance(1_000)
    expect(stuck.value?.fate).toBe('uncertain')
    expect(texts(desk)).toEqual(['stuck', 'next'])
  })
})

describe('a request whose end is uncertain', () => {
  it('HF-O11 is sent again under its key after 1 s, 2 s, 4 s … 30 s if the caller called it idempotent', async () => {
    const desk = new Desk()
    desk.attach()
    const letter = desk.post('safe', { idempotencyKey: 'k', withinMs: 300_000 })
    const gaps: number[] = []
    let last = 0
    for (let tries = 1; tries <= 8; tries++) {
      desk.requests.at(-1)!.cut('socket hang up')
      await desk.settle()
      await desk.clock.advance(desk.clock.nextInMs!)
      expect(desk.requests).toHaveLength(tries + 1)
      gaps.push(Math.round(desk.clock.now()) - last)
      last = Math.round(desk.clock.now())
    }
    expect(gaps).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
    expect(new Set(desk.requests.map(({ text }) => text))).toEqual(new Set(['safe k']))
    desk.requests.at(-1)!.answer('ok')
    await desk.settle()
    expect(letter.value).toEqual({ fate: 'delivered', result: 'ok' })
  })

  it('HF-O11 is uncertain at once if it may not be sent again, and when its time is over if it may', async () => {
    const desk = new Desk()
    desk.attach()
    const [plain, safe] = [desk.post('plain'), desk.post('safe', { idempotencyKey: 'k', withinMs: 1_500 })]
    for (const { cut } of desk.requests) cut('socket hang up')
    await desk.settle()
    expect(plain.value).toEqual({ fate: 'uncertain', detail: 'socket hang up' })
    expect(safe.settled).toBe(false)
    await desk.clock.advance(1_000)
    desk.requests.at(-1)!.cut('again')
    await desk.clock.advance(500)
    expect(safe.value).toEqual({ fate: 'uncertain', detail: 'no answer within 1500 ms: again' })
    await desk.clock.advance(60_000)
    expect(texts(desk)).toEqual(['plain', 'safe', 'safe'])
  })

  it('HF-O11 is sent again at once on the next transport, and not while there is none', async () => {
    const desk = new Desk()
    desk.attach()
    desk.post('safe', { idempotencyKey: 'k', withinMs: 60_000 })
    desk.lose()
    desk.requests[0]!.cut('socket hang up')
    await desk.clock.advance(20_000)
    expect(desk.requests).toHaveLength(1)
    desk.attach()
    expect(texts(desk)).toEqual(['safe', 'safe'])
    desk.requests[1]!.cut('once more')
    await desk.settle()
    desk.outbox.detach()
    desk.attach()
    expect(desk.requests, 'the same transport is no reason to hurry').toHaveLength(2)
    desk.lose()
    desk.attach()
    expect(desk.requests).toHaveLength(3)
  })

  it('HF-O11 may still have arrived when it cannot be repeated: what never left proves nothing, the peer does', async () => {
    const desk = new Desk()
    desk.attach()
    const [first, second] = [desk.post('a', { idempotencyKey: 'k' }), desk.post('b', { idempotencyKey: 'l' })]
    for (const { cut } of desk.requests) cut('socket hang up')
    await desk.clock.advance(1_000)
    desk.requests[2]!.miss('connect ECONNREFUSED')
    desk.requests[3]!.refuse('HTTP 403')
    await desk.settle()
    expect([first.settled, second.value]).toEqual([false, { fate: 'refused', detail: 'HTTP 403' }])
    await desk.clock.advance(2_000)
    expect(desk.requests).toHaveLength(5)
    const fresh = desk.post('c', { idempotencyKey: 'm' })
    desk.requests[5]!.miss('connect ECONNREFUSED')
    await desk.settle()
    expect(fresh.value).toEqual({ fate: 'refused', detail: 'connect ECONNREFUSED' })
  })

  it('HF-O9 keeps its place in its conversation while it waits', async () => {
    const desk = new Desk()
    desk.attach()
    desk.post('a1', { conversation: 'a', idempotencyKey: 'k' })
    desk.post('a2', { conversation: 'a' })
    desk.requests[0]!.cut('socket hang up')
    await desk.clock.advance(999)
    desk.post('b1', { conversation: 'b' })
    desk.post('a3', { conversation: 'a' })
    expect(texts(desk)).toEqual(['a1', 'b1'])
    await desk.clock.advance(1)
    expect(texts(desk)).toEqual(['a1', 'b1', 'a1'])
    desk.requests[2]!.answer('ok')
    await desk.settle()
    expect(texts(desk)).toEqual(['a1', 'b1', 'a1', 'a2'])
  })
})

describe('after a loss', () => {
  it('HF-O10 what may be written again comes first, in its first order, and the rest is uncertain at once', async () => {
    const desk = new Desk()
    desk.attach()
    const letters = ['s1', 'p1', 's2', 'p2', 's3'].map((text) =>
      desk.put(text, text.startsWith('s') ? { idempotencyKey: text } : {}),
    )
    desk.outbox.detach()
    desk.put('new')
    desk.lose()
    await desk.settle()
    expect(fatesOf(letters)).toEqual([undefined, 'uncertain', undefined, 'uncertain', undefined])
    desk.attach()
    expect(desk.line.written.map((line) => line.split(' ')[0])).toEqual(['s1', 's2', 's3', 'new'])
  })

  it('HF-O10 what is written again goes before an earlier one that waited for its conversation', async () => {
    const desk = new Desk()
    desk.attach()
    desk.post('a1', { conversation: 'a' })
    desk.put('a2', { conversation: 'a' })
    desk.put('b1', { conversation: 'b', idempotencyKey: 'k' })
    desk.lose()
    desk.requests[0]!.answer('ok')
    await desk.settle()
    desk.attach()
    expect(desk.line.written).toEqual(['b1 k', 'a2 h1'])
  })

  it('HF-O10 a transport that is lost by what is written to it gets nothing more', async () => {
    const desk = new Desk()
    for (const text of ['one', 'two', 'three']) desk.put(text, { idempotencyKey: text })
    desk.onWrite = (text) => {
      if (text === 'two') desk.lose()
    }
    desk.attach()
    expect(desk.line.written).toEqual(['one one', 'two two'])
    await desk.settle()
    expect(desk.marks).toEqual([])
    desk.onWrite = () => undefined
    desk.attach()
    expect(desk.line.written).toEqual(['one one', 'two two', 'three three'])
  })

  it('HF-O10 an adapter that dedupes has all of them written again, each under its key', async () => {
    const desk = new Desk({}, { dedupes: true })
    desk.attach()
    desk.put('one')
    desk.put('two')
    desk.lose()
    const [first] = desk.lines
    desk.attach()
    expect(desk.line.written).toEqual(first!.written)
    expect(desk.outbox.counts).toMatchObject({ uncertain: 0, waiting: 2 })
  })

  it('HF-O10 keys of a peer that dedupes are not those of another life of the process', () => {
    const clock = new Desk().clock
    const keys = [1, 2].map(() => {
      const desk = new Desk({}, { dedupes: true, clock })
      desk.attach()
      desk.put('x')
      return desk.written[0]!.split(' ')[1]
    })
    expect(keys[0]).not.toBe(keys[1])
    // the nonces of some peers are as short as that
    expect(Math.max(...keys.map((key) => key!.length))).toBeLessThanOrEqual(25)
  })

  it('HF-O9 nothing of a conversation gets ahead of what is written again', () => {
    const desk = new Desk()
    const old = desk.attach()
    desk.put('a1', { conversation: 'a', idempotencyKey: 'k' })
    const next = desk.dial()
    desk.outbox.attach(next.flight)
    desk.put('a2', { conversation: 'a' })
    desk.put('b1', { conversation: 'b' })
    expect(next.written.map((line) => line.split(' ')[0])).toEqual(['b1'])
    old.flight.lose(LOST)
    expect(next.written.map((line) => line.split(' ')[0])).toEqual(['b1', 'a1', 'a2'])
  })

  it('R74 one message is written at most once on each transport', async () => {
    const desk = new Desk()
    desk.put('again', { idempotencyKey: 'k', withinMs: 1_800_000 })
    for (let n = 0; n < 30; n++) {
      desk.attach()
      desk.outbox.detach()
      await desk.clock.advance(30_000)
      desk.attach()
      desk.flight.room()
      expect(desk.line.written).toEqual(['again k'])
      desk.lose()
      await desk.clock.advance(25_000)
    }
    expect(desk.written).toHaveLength(30)
  })

  it('R03 a settled message is never written afterwards', async () => {
    const desk = new Desk()
    desk.attach()
    const answered = desk.put('answered', { idempotencyKey: 'k', proof: 'answer' })
    const expired = desk.put('expired', { idempotencyKey: 'l', withinMs: 1_000 })
    desk.flight.answer('k', 1)
    desk.lose()
    const late = desk.put('late', { withinMs: 1_000 })
    await desk.clock.advance(1_000)
    expect(fatesOf([answered, expired, late])).toEqual(['delivered', 'uncertain', 'expired'])
    desk.attach()
    await desk.clock.advance(60_000)
    expect(desk.line.written).toEqual([])
  })

  it('R54 leaving live settles or queues again all that was under way', async () => {
    const desk = new Desk()
    desk.attach()
    const letters = [
      desk.put('pong'),
      desk.put('answer', { proof: 'answer' }),
      desk.put('again', { idempotencyKey: 'k' }),
      desk.put('call', { idempotencyKey: 'l', failFast: true }),
    ]
    desk.lose()
    await desk.settle()
    expect(fatesOf(letters)).toEqual(['uncertain', 'uncertain', undefined, 'uncertain'])
    expect(desk.flight.awaitsProof).toBe(false)
    expect(desk.outbox.counts.waiting).toBe(1)
  })
})

describe('a message with a coalesceKey', () => {
  it('HF-O8 takes the place of the one that still waits, which is refused', async () => {
    const desk = new Desk()
    const old = desk.put('old', { coalesceKey: 'state' })
    desk.put('between')
    desk.put('new', { coalesceKey: 'state' })
    await desk.settle()
    expect(old.value).toEqual({ fate: 'refused', detail: 'replaced by a newer message' })
    desk.attach()
    expect(desk.texts).toEqual(['new', 'between'])
  })

  it('HF-O8 replaces nothing that was written, nor what has another key or conversation', async () => {
    const desk = new Desk()
    desk.attach()
    const letters = [desk.put('written', { coalesceKey: 'state', idempotencyKey: 'k' })]
    desk.lose()
    letters.push(
      desk.put('first', { coalesceKey: 'state' }),
      desk.put('other key', { coalesceKey: 'else' }),
      desk.put('other room', { coalesceKey: 'state', conversation: 'b' }),
    )
    await desk.settle()
    expect(fatesOf(letters)).toEqual([undefined, undefined, undefined, undefined])
    desk.put('second', { coalesceKey: 'state' })
    await desk.settle()
    expect(fatesOf(letters)).toEqual([undefined, 'refused', undefined, undefined])
  })

  it('HF-O8 needs no room for itself in a full outbox', async () => {
    const desk = new Desk({ messagesMax: 1 })
    desk.put('old', { coalesceKey: 'state' })
    const next = desk.put('new', { coalesceKey: 'state' })
    const other = desk.put('other')
    await desk.settle()
    expect(fatesOf([next, other])).toEqual([undefined, 'refused'])
    expect(desk.outbox.counts).toMatchObject({ entered: 3, refused: 2, waiting: 1 })
  })
})

describe('a call that fails fast', () => {
  it('HF-O12 is refused at once while the link is not live', async () => {
    const desk = new Desk()
    const call = desk.put('call', { failFast: true })
    await desk.settle()
    expect(call.value).toEqual({ fate: 'refused', detail: 'the link is not live' })
    expect(call.accepted.error).toMatchObject({ code: 'refused' })
  })

  it('HF-O12 that is not written yet is refused when the link ceases to be live, and is never carried over', async () => {
    const desk = new Desk()
    desk.attach()
    desk.room = false
    const waiting = desk.put('waiting', { failFast: true })
    desk.outbox.detach()
    await desk.settle()
    expect(waiting.value).toEqual({ fate: 'refused', detail: 'the link is no longer live' })
    desk.room = true
    desk.attach()
    const written = desk.put('written', { failFast: true, idempotencyKey: 'k' })
    const asked = desk.post('asked', { failFast: true, idempotencyKey: 'l' })
    desk.requests[0]!.cut('socket hang up')
    desk.lose()
    await desk.settle()
    expect(fatesOf([written, asked])).toEqual(['uncertain', 'uncertain'])
  })
})

describe('two transports', () => {
  it('HF-O15 what was written on the first is proved there while the second is written to', async () => {
    const desk = new Desk()
    const old = desk.attach()
    const first = desk.put('first')
    await desk.settle()
    const next = desk.dial()
    desk.outbox.attach(next.flight)
    const second = desk.put('second')
    await desk.settle()
    expect([old.written, next.written]).toEqual([['first h0'], ['second h1']])
    expect([old.flight.awaitsProof, next.flight.awaitsProof]).toEqual([true, true])
    next.flight.proven(1)
    await desk.settle()
    expect([first.settled, second.value?.fate]).toEqual([false, 'delivered'])
    old.flight.proven(1)
    await desk.settle()
    expect(first.value?.fate).toBe('delivered')
  })

  it('HF-O15 an answer that comes over another transport than the message is ignored', async () => {
    const desk = new Desk()
    const old = desk.attach()
    const letter = desk.put('asked', { proof: 'answer' })
    const next = desk.dial()
    desk.outbox.attach(next.flight)
    next.flight.answer('h0', 'forged')
    next.flight.refuse('h0', 'forged')
    await desk.settle()
    expect(letter.settled).toBe(false)
    old.flight.answer('h0', 'true')
    await desk.settle()
    expect(letter.value).toEqual({ fate: 'delivered', result: 'true' })
  })

  it('HF-O15 losing one harms nothing of the other', async () => {
    const desk = new Desk()
    const old = desk.attach()
    const first = desk.put('first')
    const next = desk.dial()
    desk.outbox.attach(next.flight)
    const second = desk.put('second')
    old.flight.lose(LOST)
    old.flight.lose(LOST)
    old.flight.room()
    desk.put('third')
    await desk.settle()
    expect([first.value?.fate, second.settled]).toEqual(['uncertain', false])
    expect(next.written).toEqual(['second h1', 'third h2'])
    desk.outbox.attach(old.flight)
    desk.put('fourth')
    expect(old.written).toEqual(['first h0'])
  })

  it('HF-O15 tells when nothing that was written on one waits for proof; requests go beside it', async () => {
    const desk = new Desk()
    const old = desk.attach()
    let told = 0
    old.flight.whenEmpty(() => told++)
    expect(told).toBe(1)
    desk.put('first', { proof: 'answer' })
    desk.post('beside')
    old.flight.whenEmpty(() => told++)
    const forget = old.flight.whenEmpty(() => told++)
    forget()
    expect(told).toBe(1)
    old.flight.answer('h0', 1)
    expect(told).toBe(2)
    expect(old.flight.awaitsProof).toBe(true)
    desk.put('second')
    old.flight.whenEmpty(() => told++)
    old.flight.lose(LOST)
    expect(told).toBe(3)
  })
})
