/** What enemies and broken peers send to the two gateway adapters, at every step of their handshake. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Adapter, Frame } from '../../src/adapter/adapter.ts'
import { discord } from '../../src/adapter/discord.ts'
import { qq } from '../../src/adapter/qq.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { hostileFrames, hostileObject, hostileValue, type Stage, stage } from './fake-io.ts'
import { dispatch, greeted, hello, inside, memoryBudget } from './gateway-frames.ts'

const clock = heapClock()
const adapters = {
  discord: discord({ token: 'canary-0123456789', intents: 1, budget: memoryBudget() }),
  qq: qq({ appId: '1', token: 'canary-0123456789', intents: 1, budget: memoryBudget(), clock }),
} as const satisfies Record<string, Adapter<never, never>>

/** The adapter before hello, when it has identified, when it has asked to resume, and when it is in. */
const steps = (adapter: Adapter<never, never>): Record<string, () => Stage> => ({
  'before hello': () => stage(adapter),
  identifying: () => greeted(adapter),
  resuming: () => greeted(adapter, { id: `S1@${clock.wall()}`, cursor: 41 }),
  inside: () => inside(adapter),
})

/** T6: values that a field of a gateway may hold instead of what belongs there. */
const values: readonly unknown[] = [
  ...[0, -1, 0.5, 1e12, 2 ** 53, -(2 ** 63), Number.MAX_VALUE, '41250', '', null, true, [], [null], {}],
  ...[
    '__proto__',
    'constructor',
    '\ud800',
    '\u202e\u001b[2J',
    'NaN',
    '1e999',
    false,
    [[]],
    { toString: 1 },
    { toJSON: 'x' },
    'x'.repeat(100_000),
  ],
]

/** What a sequence number may be. */
const isPlace = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

/** T6: 50 inputs and more for each op. */
const corpus = (): Frame[] => {
  const ops = [0, 1, 2, 6, 7, 9, 10, 11, 12, 13, -1, 1e9]
  const dispatches = values.flatMap((value) => [
    { op: 0, t: value, s: value, d: value },
    { op: 0, t: 'READY', s: 1, d: { session_id: typeof value === 'string' && value.length < 256 ? 7 : value } },
    { op: 0, t: 'READY', s: value, d: value },
    { op: 0, t: 'MESSAGE_CREATE', s: isPlace(value) ? value + 0.5 : value, d: {} },
  ])
  const polluted = ops.flatMap((op) => [
    `{"op":${op},"__proto__":{"d":{"heartbeat_interval":1}},"t":"X"}`,
    `{"op":${op},"d":{"__proto__":{"session_id":"S9"},"constructor":{"prototype":{"x":1}}}}`,
    `{"op":${op},"op":99,"d":1}`,
    `{"op":${op},"d":${'9'.repeat(100_000)}}`,
    `{"op":${op},"s":1e999,"t":"X","d":-1e999}`,
  ])
  const odd = ops.flatMap((op) => values.map((value) => ({ op, d: value, s: value })))
  const wrongOps = values.map((op) => ({ op: typeof op === 'number' ? op + 0.25 : op, d: { heartbeat_interval: 1 } }))
  const objects = [...dispatches, ...odd, ...wrongOps].map((object) => JSON.stringify(object))
  return [...hostileFrames, ...polluted, ...objects]
}

describe.each(Object.entries(adapters))('%s', (_name, adapter) => {
  const frames = corpus()

  it.each(Object.entries(steps(adapter)))('T6: is never made to throw or to welcome %s', (_step, make) => {
    expect(frames.length).toBeGreaterThanOrEqual(500)
    const verdicts = new Set<string>()
    for (const frame of frames) {
      const { dialogue, asked } = make()
      const before = asked.length
      const verdict = dialogue.frame(frame)
      verdicts.add(verdict)
      const done = asked.slice(before)
      expect(
        done.filter(([what]) => what === 'welcome'),
        String(frame).slice(0, 200),
      ).toEqual([])
      if (verdict !== 'taken') expect(done).toEqual([])
      for (const [what, sent] of done) if (what === 'send') expect(() => JSON.parse(String(sent))).not.toThrow()
    }
    expect([...verdicts].sort()).toEqual(['malformed', 'taken', 'unknown'])
    expect(Object.prototype).not.toHaveProperty('heartbeat_interval')
  })

  it.each(
    Object.entries(steps(adapter)),
  )('welcomes only by READY or a resume %s, whatever comes in a row', (step, make) => {
    const field = hostileValue
    const text = fc.oneof(fc.constantFrom('READY', 'RESUMED', 'MESSAGE_CREATE'), field)
    const data = fc.oneof(
      field,
      fc.record({
        session_id: fc.oneof(fc.constant('S2'), field),
        resume_gateway_url: field,
        heartbeat_interval: field,
      }),
    )
    const some = hostileObject({
      op: fc.oneof(fc.constantFrom(0, 0, 0, 1, 7, 9, 10, 11), field),
      t: text,
      s: fc.oneof(fc.nat(100), field),
      d: data,
    })
    const seen = new Set<string>()
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 5 }), (list) => {
        const { dialogue, asked } = make()
        for (const frame of list) {
          const before = asked.length
          const verdict = dialogue.frame(frame)
          seen.add(verdict)
          const done = asked.slice(before)
          if (verdict !== 'taken') expect(done).toEqual([])
          if (!done.some(([what]) => what === 'welcome')) continue
          const { t, s, d } = JSON.parse(frame)
          const isReady = t === 'READY' && typeof d.session_id === 'string'
          const isResume = step === 'resuming' && (t === 'RESUMED' || Number.isSafeInteger(s))
          expect(isReady || isResume).toBe(true)
        }
        expect(asked.filter(([what]) => what === 'welcome').length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 500 },
    )
    expect([...seen].sort()).toEqual(['malformed', 'taken', 'unknown'])
  })

  it.each(values)('T7: hears no rhythm in an interval of %j unless it is a number', (heartbeat_interval) => {
    const rhythms = stage(adapter)
      .tell(hello(heartbeat_interval))
      .filter(([what]) => what === 'heartbeat')
    const heard = typeof heartbeat_interval === 'number' ? [['heartbeat', { everyMs: heartbeat_interval }]] : []
    expect(rhythms).toEqual(heard)
  })

  it('T6: forgets nothing of where it is for a dispatch without a place', () => {
    const own = inside(adapter)
    own.tell(dispatch(7))
    for (const s of values) if (!isPlace(s)) own.tell(dispatch(s, 'X', {}))
    expect(own.dialogue.probe!('p')).toBe('{"op":1,"d":7}')
  })
})
