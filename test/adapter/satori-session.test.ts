/**
 * Where we are in a Satori server's stream of events, and what may be said about it after a reconnect. The protocol's
 * READY does not tell whether a server replays, and a server that restarts counts from the beginning.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Cursor, InboundMark } from '../../src/adapter/adapter.ts'
import { satori } from '../../src/adapter/satori.ts'
import { type Stage, stage } from './fake-io.ts'

const URL = 'ws://127.0.0.1:5140/satori/v1/events'
const READY = { op: 4, body: { logins: [] } }
const PONG = { op: 2, body: {} }
const event = (body: object) => ({ op: 0, body })

const WALL = 1_795_210_880_964
const message = (sn: number, more: object = {}) => ({
  platform: 'mock',
  type: 'message-created',
  self_id: '514',
  user: { id: '100' },
  channel: { id: '200' },
  message: { id: String(sn), content: 'hi' },
  timestamp: WALL + sn,
  login: { sn: 1, status: 1, user: { id: '514' } },
  sn,
  ...more,
})

const adapter = satori({ url: URL })
/** As it is when IDENTIFY has been sent. */
const resume = (cursor?: Cursor): Stage => {
  const own = stage(adapter, cursor === undefined ? {} : { cursor })
  own.dialogue.opened!()
  return own
}
const identified = ({ asked }: Stage): unknown => JSON.parse(String(asked[0]![1])).body
const markOf = (body: object): InboundMark =>
  resume()
    .tell(event(body))
    .find(([what]) => what === 'deliver')![2] as InboundMark
const welcomes = ({ asked }: Stage) =>
  asked.filter(([what]) => what === 'welcome').map(([, options]) => (options as { resumed: boolean }).resumed)
const delivered = ({ asked }: Stage) =>
  asked.filter(([what]) => what === 'deliver').map(([, body]) => (body as { sn: number }).sn)

describe('the mark of an event', () => {
  it('is its position and what it is about, and the same when it is replayed', () => {
    const mark = markOf(message(41))
    expect(mark).toEqual({ id: expect.stringMatching(/^41:[\w-]{22}$/), cursor: mark.id })
    // servers serialise the login when they replay, and it may have changed
    expect(markOf(message(41, { login: { sn: 1, status: 0, user: { id: '514' } } }))).toEqual(mark)
    expect(markOf({ ...message(41), sn: undefined, id: 41 })).toEqual(mark)
  })

  it('is another for whatever tells it from this one', () => {
    const others = [
      { sn: 42 },
      { timestamp: WALL },
      { type: 'message-updated' },
      { platform: 'qq' },
      { self_id: '515' },
      { user: { id: '101' } },
      { channel: { id: '201' } },
      { guild: { id: '201' } },
      { message: { id: '42' } },
      { login: { sn: 1, status: 1, user: { id: '515' } } },
    ]
    const ids = [{}, ...others].map((more) => markOf(message(41, more)).id)
    expect(new Set(ids).size).toBe(others.length + 1)
  })

  it('of an event without a time is a position alone: after a restart it could be another one', () => {
    expect(markOf(message(41, { timestamp: undefined }))).toEqual({ cursor: 41 })
  })

  it('of an event about a login is an id alone: READY tells of logins, and replays may leave them out', () => {
    expect(markOf(message(41, { type: 'login-updated' }))).toEqual({ id: expect.stringMatching(/^41:/) })
    expect(markOf(message(41, { type: 'login-updated', timestamp: undefined }))).toEqual({})
  })

  it.each([-1, 0.5, 2 ** 53, '8', null, {}])('at position %j is none', (sn) => {
    expect(markOf({ ...message(1), sn })).toEqual({})
  })

  it('is small, whatever a peer writes into it', () => {
    const { id } = markOf(message(41, { message: { id: 'x'.repeat(100_000) }, type: 'y'.repeat(100_000) }))
    expect(id!.length).toBeLessThan(40)
  })
})

describe('IDENTIFY', () => {
  it('says nothing about a position that there is not', () => {
    for (const cursor of [undefined, '', 'rubbish']) expect(identified(resume(cursor))).toEqual({})
  })

  it('asks for the event that was taken last once more, so that it can be known again', () => {
    expect(identified(resume(markOf(message(41)).cursor))).toEqual({ sn: 40, sequence: 40 })
    expect(identified(resume(markOf(message(0)).cursor))).toEqual({ sn: 0, sequence: 0 })
  })

  it('names a position without an id as it is', () => {
    expect(identified(resume(41))).toEqual({ sn: 41, sequence: 41 })
  })
})

describe('the welcome of a link that has a position', () => {
  const last = message(41)
  const cursor = markOf(last).cursor

  it('waits for the frame after READY, and asks for one', () => {
    const own = resume(cursor)
    expect(own.tell(READY)).toEqual([['send', '{"op":1}']])
    expect(welcomes(own)).toEqual([])
  })

  it('says resumed when that is the event that was taken last, which is not delivered again', () => {
    const own = resume(cursor)
    for (const frame of [READY, event(last), event(message(42)), PONG, event(message(43))]) own.tell(frame)
    expect(welcomes(own)).toEqual([true])
    expect(delivered(own)).toEqual([42, 43])
    expect(own.asked.filter(([what]) => what === 'caughtUp')).toHaveLength(1)
  })

  it.each([
    ['a PONG: this server replays nothing', PONG, []],
    ['the event after it: of which life of the server?', event(message(42)), [42]],
    ['a later event: some were thrown away', event(message(57)), [57]],
    ['an earlier event: the server was restarted', event(message(3)), [3]],
    ['the same position in another life', event({ ...last, timestamp: WALL + 9_000 }), [41]],
    ['an event without a position', event({ type: 'message-created' }), [undefined]],
  ])('does not when it is %s', (_what, frame, seen) => {
    const own = resume(cursor)
    own.tell(READY)
    own.tell(frame)
    expect(welcomes(own)).toEqual([false])
    expect(delivered(own)).toEqual(seen)
    for (const more of [PONG, event(message(58))]) own.tell(more)
    expect(welcomes(own)).toEqual([false])
  })

  it('does not say it for a position without an id, whatever comes', () => {
    const own = resume(41)
    for (const frame of [READY, event(message(41, { timestamp: undefined }))]) own.tell(frame)
    expect(welcomes(own)).toEqual([false])
    expect(delivered(own)).toEqual([41])
  })

  it('is not a PONG before READY, which proves nothing', () => {
    const own = resume(cursor)
    own.tell(PONG)
    expect(welcomes(own)).toEqual([])
  })

  it('of two links that share an adapter is about each alone', () => {
    const [one, other] = [resume(cursor), resume()]
    other.tell(READY)
    other.tell(event(message(99)))
    one.tell(READY)
    one.tell(event(last))
    expect([welcomes(one), welcomes(other)]).toEqual([[true], [false]])
    expect(identified(resume())).toEqual({})
  })
})

/** What a server does about the past: the reference server, and one that is made with satori-python. */
interface Server {
  readonly cacheMax: number
  readonly firstSn: number
}
const servers: readonly Server[] = [
  { cacheMax: 0, firstSn: 3 },
  { cacheMax: 3, firstSn: 0 },
  { cacheMax: 100, firstSn: 1 },
]

type Step = 'message' | 'login' | 'cut' | 'return' | 'restart'

/** Plays one server and one link; returns how often it was resumed. Throws if it was told so and something is missing. */
const play = ({ cacheMax, firstSn }: Server, steps: readonly Step[]): number => {
  let [sn, wall, resumed] = [firstSn, WALL, 0]
  let cache: { sn: number; type: string }[] = []
  let own: Stage | undefined
  let cursor: Cursor | undefined
  const taken = new Map<string, string>()
  /** What happened and was neither taken nor announced as possibly lost. */
  let missing = new Set<string>()
  const nameOf = ({ timestamp }: { timestamp?: unknown }) => String(timestamp)

  const take = (asked: unknown[][]) => {
    for (const [what, given, mark] of asked) {
      if (what === 'welcome') {
        if ((given as { resumed: boolean }).resumed) resumed++
        else missing = new Set()
      }
      if (what !== 'deliver') continue
      const { id, cursor: next } = mark as InboundMark
      const name = nameOf(given as object)
      if (id !== undefined && (taken.get(id) ?? name) !== name) throw new Error(`two events have the id ${id}`)
      if (id !== undefined) taken.set(id, name)
      missing.delete(name)
      cursor = next ?? cursor
    }
  }
  const happen = (type: string) => {
    const body = { ...message(sn++), type, timestamp: ++wall, message: { id: '1' } }
    cache = [...cache, body].slice(-cacheMax || cache.length + 1)
    if (!type.startsWith('login-')) missing.add(nameOf(body))
    if (own) take(own.tell(event(body)))
  }
  const comeBack = () => {
    own = resume(cursor)
    const { sn: from } = identified(own) as { sn?: number }
    take(own.tell(READY))
    const replay = from === undefined ? [] : cache.filter((body) => body.sn > from && !body.type.startsWith('login-'))
    for (const body of replay) take(own.tell(event(body)))
    take(own.tell(PONG))
    if (missing.size > 0) throw new Error(`resumed, and ${missing.size} events are missing`)
  }
  for (const step of steps) {
    if (step === 'message') happen('message-created')
    else if (step === 'login') happen('login-updated')
    else if (step === 'cut') own = undefined
    else if (step === 'return') comeBack()
    else if (step === 'restart') [sn, cache, own] = [firstSn, [], undefined]
  }
  return resumed
}

describe('resumed', () => {
  it('R80 is said only if nothing is missing: three servers, cuts, restarts and short memories', () => {
    let resumed = 0
    const step = fc.constantFrom<Step>('message', 'message', 'message', 'login', 'cut', 'return', 'return', 'restart')
    const steps = fc.array(step, { minLength: 20, maxLength: 40 })
    fc.assert(
      fc.property(fc.constantFrom(...servers), steps, (server, steps) => {
        resumed += play(server, steps)
      }),
      { numRuns: 2_000 },
    )
    expect(resumed).toBeGreaterThan(100)
  })

  it('is said of a server that remembers, and never of one that does not', () => {
    const steps: Step[] = ['return', 'message', 'message', 'cut', 'message', 'message', 'return', 'cut', 'return']
    expect(servers.map((server) => play(server, steps))).toEqual([0, 2, 2])
  })
})
