/** An adapter's world without an engine: what it is told to do is noted, nothing happens. And input that wants to hurt it. */
import fc from 'fast-check'
import type { Adapter, Calls, Dialogue, Frame, Io, Session } from '../../src/adapter/adapter.ts'

export interface Stage {
  readonly dialogue: Dialogue
  /** What the adapter asked for, oldest first: `[method, …arguments]`. */
  readonly asked: unknown[][]
  /** Hands it a frame and returns what it asked for because of it. */
  tell(frame: Frame | object): unknown[][]
}

const METHODS = [
  'send',
  'ping',
  'welcome',
  'caughtUp',
  'leaving',
  'heartbeat',
  'deliver',
  'answer',
  'refuse',
  'impaired',
  'recovered',
  'fail',
] as const satisfies readonly (keyof Io<unknown>)[]

export const stage = <In, Out, C extends Calls>(adapter: Adapter<In, Out, C>, session: Session = {}): Stage => {
  const asked: unknown[][] = []
  const calls = METHODS.map((name) => [name, (...given: unknown[]) => void asked.push([name, ...given])])
  const io = { ...Object.fromEntries(calls), session } as unknown as Io<In>
  const dialogue = adapter.dialogue(io)
  return {
    dialogue,
    asked,
    tell: (frame) => {
      const before = asked.length
      const isRaw = typeof frame === 'string' || frame instanceof Uint8Array
      dialogue.frame(isRaw ? frame : JSON.stringify(frame))
      return asked.slice(before)
    },
  }
}

const deep = (open: string, close: string, depth: number): string => `${open.repeat(depth)}0${close.repeat(depth)}`

/** Things that peers, proxies and enemies send. */
export const hostileFrames: readonly Frame[] = [
  '',
  ' ',
  '\u0000',
  '<!doctype html><title>502 Bad Gateway</title>',
  'HTTP/1.1 400 Bad Request\r\n\r\n',
  'null',
  'true',
  '0',
  '"text"',
  '[]',
  '[{}]',
  '[{"op":4,"body":{}}]',
  '{',
  '{"op":}',
  '{"op":4,"body":{}}}',
  "{'op':4}",
  'NaN',
  '{"op":NaN}',
  '{"a":1}\n{"a":2}',
  '\ufeff{"post_type":"meta_event","meta_event_type":"lifecycle"}',
  deep('[', ']', 100_000),
  deep('{"a":', '}', 100_000),
  `{"op":0,"body":${deep('{"a":', '}', 100_000)}}`,
  `{"post_type":"message","message":${deep('[', ']', 100_000)}}`,
  `{"op":0,"body":${'['.repeat(100_000)}`,
  `{"a":"${'\\"['.repeat(50_000)}"`,
  new Uint8Array(),
  new Uint8Array([0, 255, 254, 0]),
  new TextEncoder().encode('{"post_type":"meta_event","meta_event_type":"lifecycle"}'),
]

/** Values for fields that a protocol gives a meaning to. */
export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    0.5,
    1e12,
    2 ** 53,
    -(2 ** 63),
    Number.MAX_VALUE,
    '',
    '41250',
    '\ud800',
    '\u202e\u001b[2J',
    '__proto__',
    'constructor',
    'toString',
    [],
    [null],
    {},
    { toString: 1, valueOf: 1 },
    { toJSON: 'x' },
    { length: 1e9 },
    [[{ toString: null }]],
  ),
  fc.json({ maxDepth: 4 }).map((text) => JSON.parse(text)),
  fc.string({ unit: 'binary' }),
  fc.double(),
)

/** A frame as text: some object with some of these fields, `__proto__` and doubled keys among them. */
export const hostileObject = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<string> =>
  fc
    .record(
      { ...fields, constructor: hostileValue, __proto__x: hostileValue },
      { requiredKeys: [], noNullPrototype: true },
    )
    .map((object) => JSON.stringify(object).replaceAll('__proto__x', '__proto__'))
