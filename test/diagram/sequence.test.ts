/** A recording as a sequence of messages: every step of a link is told, by whom it was caused, and when. */
import { describe, expect, test } from 'vitest'
import { sequenceOf } from '../../src/diagram/sequence.ts'
import type { TransitionRecord } from '../../src/observe/recorder.ts'
import { rig } from '../small-talk.ts'

const record = (over: Partial<TransitionRecord>): TransitionRecord => ({
  link: 'bot',
  seq: 1,
  at: 0,
  elapsedMs: 1_234,
  from: 'live',
  event: 'heartbeat.missed',
  to: 'degraded.suspect',
  reason: 'heartbeat.missed',
  attempt: 1,
  ...over,
})

/** Without the heading and the participants. */
const linesOf = (over: Partial<TransitionRecord>): string[] =>
  sequenceOf([{ record: record(over) }])
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(sequenceDiagram|participant)/.test(line))

test('a recording of a link alone is a whole picture', async () => {
  const { clock, link, live, network, end } = rig()
  await live()
  network.current!.lose({ code: 'connection-lost', detail: 'read ECONNRESET' })
  await clock.advance(0)
  const picture = sequenceOf(link.recording.kept.map((each) => ({ record: each })))
  expect(picture.split('\n')).toEqual([
    'sequenceDiagram',
    '  participant p0 as bot',
    '  participant p1 as peer',
    '  p0->>p1: 0.000 s dials',
    '  Note over p0: connecting',
    '  p1->>p0: 0.010 s the socket is open',
    '  Note over p0: handshaking',
    '  p1->>p0: 0.020 s welcome',
    '  Note over p0: registered',
    '  p1->>p0: 0.020 s caught up',
    '  Note over p0: live',
    '  p1--xp0: 0.030 s connection-lost#58; read ECONNRESET',
    expect.stringMatching(/^ {2}Note over p0: backoff, at most \d+ ms$/),
    '',
  ])
  await end()
})

describe('a transition', () => {
  test.each([
    [
      'of an operator',
      { event: 'operator.hold', to: 'parked', reason: 'held' },
      ['p0->>p1: 1.234 s hold', 'Note over p1: parked'],
    ],
    [
      'by a deadline',
      { event: 'after suspectGrace', to: 'backoff', reason: 'heartbeat-timeout', delayMs: 1_000 },
      ['p0->>p0: 1.234 s after suspectGrace#58; heartbeat-timeout', 'Note over p0: backoff, at most 1 s'],
    ],
    [
      'by an invitation',
      { event: 'dial.invited', from: 'backoff', to: 'resolving', reason: 'network-changed' },
      ['p0->>p0: 1.234 s invited#58; network-changed', 'Note over p0: resolving'],
    ],
    [
      'that stays where it is',
      { event: 'after provenAfter', to: 'live', reason: 'after provenAfter' },
      ['p0->>p0: 1.234 s after provenAfter'],
    ],
    [
      'of a successor',
      { event: 'transport.opened', to: 'handshaking', role: 'successor' },
      ['p0->>p1: 1.234 s the socket is open', 'Note over p1: successor#58; handshaking'],
    ],
  ] as [string, Partial<TransitionRecord>, string[]][])('%s', (_what, over, lines) => {
    expect(linesOf(over)).toEqual(lines)
  })
})

test('participants stand as they are listed, those that do nothing are left out, others come behind', () => {
  const picture = sequenceOf(
    [
      { elapsedMs: 0, from: 'c', to: 'b', text: 'one' },
      { elapsedMs: 1, from: 'a', to: 'c', text: 'two', lost: true },
    ],
    { a: 'the first', nobody: 'nobody', b: 'the second' },
  )
  expect(picture.match(/participant .*/g)).toEqual([
    'participant p0 as the first',
    'participant p1 as the second',
    'participant p2 as c',
  ])
  expect(picture).toContain('p0--xp2: 0.001 s two')
})

test('nothing that a peer says can be read as an instruction', () => {
  const hostile = 'x\nend; Note over p0: <b>%%{init: {}}%%</b> #35;'
  const [line, ...rest] = sequenceOf([{ elapsedMs: 0, from: 'a', to: 'b', text: hostile }])
    .trimEnd()
    .split('\n')
    .slice(3)
  expect(rest).toEqual([])
  expect(line!.slice(line!.indexOf(':') + 1).replaceAll('<br/>', '')).not.toMatch(/[:<>%{}]|#(?!\d+;)|(?<!#\d+);/)
})
