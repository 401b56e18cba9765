/** What enemies and broken peers send in etcd's place, at every step of the way in and after it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { etcd } from '../../src/adapter/etcd.ts'
import { type Question, readQuestion } from '../../src/exchange.ts'
import { hostileFrames, hostileObject, hostileValue, type Stage, stage } from './fake-io.ts'

const register = { key: 'bots/a', value: 'x', ttlSeconds: 3 }
const adapter = etcd({
  url: 'http://127.0.0.1:2379',
  register,
  watch: { prefix: 'svc/' },
  username: 'bot',
  password: 'canary-0123456789',
})

const header = { revision: '7' }
/** What etcd says on the way in, in order. */
const way = [{ token: 'abc.1' }, { header, ID: '1', TTL: '3' }, { header }, { header, kvs: [] }] as const

const questions = ({ asked }: Stage): Question[] =>
  asked.flatMap(([what, frame]) => {
    const question = what === 'send' ? readQuestion(frame as string) : undefined
    return question && 'key' in question ? [question] : []
  })

/** The question that was asked last, but for those that watch our own key. */
const latest = (own: Stage): Question => questions(own).findLast(({ body }) => !body?.includes('NOPUT'))!

const whole = (key: string, body: string, status = 200) =>
  JSON.stringify({ key, kind: 'whole', status, headers: {}, body })

/** So far on the way in. */
const been = (steps: number, id?: string): Stage => {
  const own = stage(adapter, id === undefined ? {} : { id, cursor: '5' })
  own.dialogue.opened!()
  for (const said of way.slice(0, steps)) own.dialogue.frame(whole(latest(own).key, JSON.stringify(said)))
  return own
}

const steps: Record<string, () => Stage> = {
  authenticating: () => been(0),
  granting: () => been(1),
  resuming: () => been(1, '1'),
  putting: () => been(2),
  listing: () => been(3),
  watching: () => been(4),
}

const numbers = ['0', '-1', '1e9', '0x10', '9'.repeat(30), 'NaN', '', ' 1', '9223372036854775807']
const values: readonly unknown[] = [
  ...[0, -1, 0.5, 2 ** 53, Number.MAX_VALUE, '\ud800', '\u202e\u001b[2J', '__proto__', null, true, [], [null], {}],
  ...numbers,
  ...[[[]], { toString: 1 }, { toJSON: 'x' }, { length: 1e9 }, 'x'.repeat(50_000), false],
]

/** T6: objects in which one field or all of them hold what does not belong there. */
const objects = (): string[] => {
  const fields = ['token', 'ID', 'TTL', 'header', 'kvs', 'result', 'error', 'code', 'message', 'count']
  const one = values.flatMap((value) => fields.map((field) => ({ header, ID: '5', [field]: value })))
  const nested = values.flatMap((value) => [
    { result: { TTL: value, header: value } },
    { header: { revision: value }, kvs: [{ key: value, value, mod_revision: value, lease: value }] },
    { header, kvs: [{ key: 'YQ==', mod_revision: '3', lease: value, value }] },
    { result: { events: [value], header } },
    { result: { events: [{ type: value, kv: { key: 'YQ==', mod_revision: '8' } }] } },
    { result: { canceled: true, compact_revision: value, cancel_reason: value } },
    { error: { grpc_code: value, message: value } },
  ])
  const text = [...one, ...nested].map((object) => JSON.stringify(object))
  const polluted = [
    '{"__proto__":{"TTL":"3"}}',
    '{"result":{"__proto__":{"TTL":"9"}}}',
    '{"ID":"1","ID":"2","TTL":"3"}',
  ]
  return [...text, ...polluted, ...hostileFrames.map(String)]
}

describe('T6: an etcd that is none', () => {
  const bodies = objects()

  it.each(
    Object.entries(steps),
  )('never makes the adapter throw, or leave what is open open, while %s', (_step, make) => {
    expect(bodies.length).toBeGreaterThanOrEqual(500)
    for (const body of bodies) {
      for (const status of [200, 503]) {
        const own = make()
        const { key } = latest(own)
        const before = own.asked.length
        own.dialogue.frame(whole(key, body, status))
        // the next question, or the end: nothing waits for ever
        expect(own.asked.length, body.slice(0, 200)).toBeGreaterThan(before)
        if (status !== 200) expect(own.asked.slice(before).map(([what]) => what)).not.toContain('welcome')
      }
      const own = make()
      const { key } = latest(own)
      own.dialogue.frame(JSON.stringify({ key, kind: 'opened', status: 200, headers: {} }))
      expect(['taken', 'unknown', 'malformed']).toContain(
        own.dialogue.frame(JSON.stringify({ key, kind: 'line', line: body })),
      )
    }
    expect(Object.prototype).not.toHaveProperty('TTL')
  })

  it('is never believed to be live before it has granted, put and listed', () => {
    for (const make of [steps.authenticating!, steps.granting!, steps.putting!]) {
      for (const body of bodies) {
        const own = make()
        own.dialogue.frame(whole(latest(own).key, body))
        expect(own.asked.map(([what]) => what)).not.toContain('welcome')
      }
    }
  })

  it('frames that are no answers change nothing', () => {
    for (const frame of hostileFrames) {
      const own = been(4)
      const before = own.asked.length
      expect(own.dialogue.frame(frame)).toBe('malformed')
      expect(own.asked.length).toBe(before)
    }
    expect(been(4).dialogue.frame(whole('v3/nobody 99', '{}'))).toBe('unknown')
  })

  it('whatever a watch says, what is delivered has keys and revisions', () => {
    const kv = hostileObject({ key: hostileValue, value: hostileValue, mod_revision: hostileValue }).map((text) =>
      JSON.parse(text),
    )
    const good = fc.constant({ key: 'YQ==', value: 'Yg==', mod_revision: '9' })
    const event = fc.record({
      type: fc.oneof(fc.constantFrom('PUT', 'DELETE', undefined), hostileValue),
      kv: fc.oneof(good, kv),
    })
    let delivered = 0
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 3 }), (events) => {
        const own = been(4)
        const { key } = latest(own)
        const before = own.asked.length
        own.dialogue.frame(JSON.stringify({ key, kind: 'opened', status: 200, headers: {} }))
        own.dialogue.frame(JSON.stringify({ key, kind: 'line', line: JSON.stringify({ result: { events } }) }))
        for (const [what, message] of own.asked.slice(before)) {
          if (what !== 'deliver') continue
          delivered++
          expect(message).toMatchObject({ key: expect.any(String), revision: expect.stringMatching(/^\d+$/) })
        }
      }),
      { numRuns: 500 },
    )
    expect(delivered).toBeGreaterThan(0)
  })
})
