/** What an outbox hands out and takes in, with requests that go beside the transport. */
import { describe, expect, test } from 'vitest'
import type { Outgoing } from '../../src/adapter/adapter.ts'
import { Desk, encode } from '../outbox/desk.ts'

const post = (message: unknown, key: string): Outgoing => ({
  http: { url: 'http://h/', method: 'POST', headers: {}, body: `${message} ${key}` },
  read: (_status, body) => body,
})
const put = (desk: Desk, message: string, idempotencyKey?: string) =>
  desk.enter((key) => post(message, key), { idempotencyKey }, message)

describe('before it is handed over', () => {
  test('requests under way are waited for, as what was written is, and nothing else is written', async () => {
    const desk = new Desk()
    desk.attach()
    const letters = [put(desk, 'request'), desk.put('frame', { proof: 'answer' })]
    let landed = 0
    desk.outbox.whenLanded(() => landed++)
    put(desk, 'too late')
    await desk.settle()
    expect(desk.requests).toHaveLength(1)
    desk.flight.answer(desk.written[0]!.split(' ')[1]!, 'ok')
    await desk.settle()
    expect(landed).toBe(0)
    desk.requests[0]!.answer('ok')
    await desk.settle()
    expect(landed).toBe(1)
    expect(letters.map(({ value }) => value?.fate)).toEqual(['delivered', 'delivered'])
    expect(desk.outbox.takeAway()).toMatchObject([{ message: 'too late' }])
    expect(desk.outbox.counts).toMatchObject({ entered: 3, delivered: 2, uncertain: 1, waiting: 0 })
  })

  test('one whose request failed in the middle has landed too: it waits for another try', async () => {
    const desk = new Desk()
    desk.attach()
    put(desk, 'again', 'k')
    let landed = 0
    desk.outbox.whenLanded(() => landed++)
    desk.requests[0]!.cut('the connection broke')
    await desk.settle()
    expect(landed).toBe(1)
    expect(desk.outbox.takeAway()).toMatchObject([{ key: 'k', idempotent: true }])
  })
})

describe('what is handed over', () => {
  test('has the requests under way that may be made again, before all that waits; they are called off', () => {
    const desk = new Desk()
    desk.attach()
    put(desk, 'once')
    put(desk, 'harmless', 'k')
    desk.outbox.detach()
    put(desk, 'waits')
    expect(desk.outbox.takeAway().map(({ message }) => message)).toEqual(['harmless', 'waits'])
    expect(desk.requests.map(({ signal }) => signal.aborted)).toEqual([false, true])
    void desk.outbox.close('it was stopped')
    expect(desk.fates.map(({ fate }) => fate)).toEqual(['uncertain', 'uncertain', 'uncertain'])
  })

  test('goes before all that the next one was given, and is not refused for want of room', async () => {
    const desk = new Desk({ messagesMax: 3 })
    const handed = ['a', 'b', 'c', 'd'].map((message) => ({ key: message, message, expiresAt: 0, idempotent: false }))
    const expiresAt = desk.clock.wall() + 5_000
    desk.outbox.takeOver(
      handed.map((each) => ({ ...each, expiresAt })),
      encode,
    )
    const refused = desk.keep('e')
    desk.attach()
    await desk.settle()
    expect(desk.texts).toEqual(['a', 'b', 'c', 'd'])
    expect(refused.value).toMatchObject({ fate: 'refused', detail: 'the outbox is full (3 messages)' })
  })

  test('and cannot be encoded any more is told as refused, to those who listen from the beginning', async () => {
    const desk = new Desk()
    const expiresAt = desk.clock.wall() + 5_000
    desk.outbox.takeOver([{ key: 'x', message: 'unspeakable', expiresAt, idempotent: false }], encode)
    const heard: unknown[] = []
    desk.outbox.settled$.subscribe((settled) => void heard.push(settled))
    await desk.settle()
    expect(heard).toMatchObject([
      { fate: 'refused', recovered: true, detail: 'it cannot be encoded: this cannot be said' },
    ])
    expect(desk.outbox.counts).toMatchObject({ entered: 1, waiting: 0 })
  })

  test('has a key of its own where nobody relies on the old one', async () => {
    const desk = new Desk()
    const expiresAt = desk.clock.wall() + 5_000
    const handed = ['h0', 'h1'].map((key) => ({ key, message: key, expiresAt, idempotent: false }))
    desk.outbox.takeOver(handed, encode)
    const letters = [desk.keep('new'), desk.keep('newer')]
    desk.attach()
    for (const line of desk.written) desk.flight.answer(line.split(' ')[1]!, 'ok')
    expect(new Set(desk.written.map((line) => line.split(' ')[1])).size).toBe(4)
    await desk.settle()
    expect(letters.map(({ value }) => value?.fate)).toEqual(['delivered', 'delivered'])
  })
})
