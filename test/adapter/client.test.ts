import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FaultCode } from '../../machines/fault.ts'
import { client } from '../../src/adapter/client.ts'
import { connect } from '../../src/link.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { follow } from '../small-talk.ts'
import { Toy, toyRig } from './client-rig.ts'
import { hostileValue } from './fake-io.ts'

const never = () => new Promise<never>(() => undefined)

describe("somebody else's client", () => {
  it('is live when it says so, delivers messages, and drops those that were seen', async () => {
    const made = toyRig()
    const { clock, link } = made
    const heard: unknown[] = []
    link.inbound$.subscribe((message) => heard.push(message))
    await clock.advance(10)
    expect(link.status.state).toBe('live')
    made.on.message('a', { id: '1' })
    made.on.message('b', { id: '1' })
    made.on.message('c')
    expect(heard).toEqual(['a', 'c'])
    made.on.offline('asleep')
    expect(link.status).toMatchObject({
      state: 'degraded.impaired',
      fault: { code: 'account-offline', detail: 'asleep' },
    })
    made.on.online()
    expect(link.status.state).toBe('live')
    await made.end()
    expect(made.toy).toMatchObject({ starts: 1, stops: 1 })
  })

  it('is live with its first message, and not because start() resolved', async () => {
    const made = toyRig({ start: async () => undefined })
    await made.clock.advance(5_000)
    expect(made.link.status.state).toBe('handshaking')
    made.on.alive()
    expect(made.link.status.state).toBe('handshaking')
    made.on.message('hello')
    expect(made.link.status.state).toBe('live')
    await made.end()
  })

  it('has 15 s to be ready, or as long as it says', async () => {
    const slow = toyRig({ start: never, startWithinMs: 60_000 })
    const quick = toyRig({ start: never })
    const own = toyRig({ start: never, startWithinMs: 60_000 }, { deadlines: { handshakeMs: 2_000 } })
    for (const each of [slow, quick, own]) await each.clock.advance(16_000)
    expect([slow, quick, own].map(({ faults }) => faults[0])).toEqual([
      undefined,
      'handshake-timeout',
      'handshake-timeout',
    ])
    expect(slow.link.status.state).toBe('handshaking')
    for (const each of [slow, quick, own]) await each.end()
  })

  it('never runs twice: the next generation waits until the one before has stopped', async () => {
    for (const stopMs of [0, 500, 3_000, 8_000]) {
      const made = toyRig({
        stop: () => new Promise<void>((resolve) => made.clock.setTimeout(resolve, stopMs)),
      })
      await made.clock.advance(10)
      for (let n = 0; n < 5; n++) {
        made.on.failed(new Error('broken'))
        made.link.retry()
        await made.clock.advance(stopMs + 6_000)
        expect(made.toys.length).toBe(n + 2)
      }
      expect(made.most).toBe(1)
      await made.end()
    }
  })

  it('that does not stop is waited for 10 s, then given up, and that is told', async () => {
    const made = toyRig({ stop: (toy) => (toy === made.toys[0] ? never() : undefined) })
    await made.clock.advance(10)
    const first = made.on
    first.failed(new Error('broken'))
    await made.clock.advance(9_900)
    expect(made.toys.length).toBe(1)
    await made.clock.advance(10_000)
    expect(made.toys.length).toBe(2)
    expect(made.link.recording.kept.map(({ detail }) => detail)).toContain('the client did not stop within 10000 ms')
    expect(made.link.status.state).toBe('live')
    const frames = { ...made.link.stats.frames }
    first.message('from the past')
    first.failed(new Error('from the past'))
    first.ready()
    expect([made.link.status.state, made.link.stats.frames]).toEqual(['live', frames])
    await made.end()
  })

  it('that hangs in start() is stopped and started anew', async () => {
    const made = toyRig({ start: (_toy, on) => (made.toys.length < 3 ? never() : on.ready()) })
    await made.clock.advance(60_000)
    expect([made.link.status.state, made.toys.map(({ stops }) => stops)]).toEqual(['live', [1, 1, 0]])
    await made.end()
  })

  it('is told to stop while it is still being made: then it is never started', async () => {
    const toy = new Toy()
    const made = toyRig({ make: () => new Promise((resolve) => made.clock.setTimeout(() => resolve(toy), 5_000)) })
    await made.clock.advance(1_000)
    const stopped = follow(made.link.stop())
    await made.clock.advance(10_000)
    expect([stopped.settled, toy.starts, toy.stops]).toEqual([true, 0, 0])
  })

  it('serves one link: a second one is refused, and the first is not disturbed', async () => {
    const clock = heapClock()
    const adapter = client({
      name: 'toy',
      clock,
      make: () => new Toy(),
      start: (_toy, on) => on.ready(),
      stop: () => undefined,
    })
    const [first, second] = [connect(adapter, { clock }), connect(adapter, { clock })]
    await clock.advance(1_000)
    expect([first.status.state, second.status]).toMatchObject([
      'live',
      { state: 'backoff', fault: { code: 'client-failed' } },
    ])
    await Promise.all([first.stop(), second.stop(), clock.advance(4_000)])
    expect(clock.pending).toBe(0)
  })

  it('sends by its own method: the answer, a refusal, an open end, and nobody there', async () => {
    const made = toyRig({
      send: async (_toy, text) => {
        if (text === 'no') throw Object.assign(new Error('not to strangers'), { delivered: 'refused' })
        if (text === 'lost') throw new Error('socket hang up')
        return `sent ${text}`
      },
    })
    await made.clock.advance(10)
    const outcomes = ['yes', 'no', 'lost'].map((text) => follow(made.link.send(text)))
    await made.clock.advance(100)
    expect(outcomes.map(({ value }) => value)).toMatchObject([
      { fate: 'delivered', result: 'sent yes' },
      { fate: 'refused', detail: expect.stringContaining('not to strangers') },
      { fate: 'uncertain' },
    ])
    expect(made.link.status.state).toBe('live')
    await made.end()
  })
})

describe('whatever it throws, rejects with or emits', () => {
  const boom = new Error('boom')
  const ways: Record<string, Parameters<typeof toyRig>[0]> = {
    'make throws': { make: () => Promise.reject(boom) },
    'start throws': {
      start: () => {
        throw boom
      },
    },
    'start rejects': { start: () => Promise.reject(boom) },
    'it emits an error that nobody hears': { start: (toy) => toy.emit('error', boom) },
    'a handler throws': {
      start: (toy, on) => {
        on.listen(toy, 'news', () => {
          throw boom
        })
        toy.emit('news')
      },
    },
    'it ends by itself': { start: (_toy, on) => on.ended('boom') },
    'it throws nothing that can be shown': { start: () => Promise.reject({ toString: null }) },
  }

  it.each(Object.entries(ways))('%s: client-failed, a backoff, and another start', async (_way, rules) => {
    const made = toyRig(rules)
    await made.clock.advance(30_000)
    expect(new Set(made.faults)).toEqual(new Set(['client-failed']))
    expect(made.faults.length).toBeGreaterThan(2)
    expect(made.most).toBeLessThanOrEqual(1)
    await made.end()
  })

  it("an error event after the end reaches nobody, and one that the user hears is the user's", async () => {
    const made = toyRig()
    await made.clock.advance(10)
    const { toy } = made
    toy.on('error', () => undefined)
    toy.emit('error', boom)
    expect(made.link.status.state).toBe('live')
    toy.removeAllListeners('error')
    made.on.failed(boom)
    await made.clock.advance(2_000)
    expect(made.toys.length).toBe(2)
    made.toy.emit('error', boom)
    expect(made.link.status.state).toBe('backoff')
    made.toys[1]!.emit('error', boom)
    await made.end()
    made.toys[1]!.emit('error', boom)
  })

  it('listeners of an object that is used again do not pile up', async () => {
    const toy = new Toy()
    const made = toyRig({
      make: () => toy,
      start: (it, on) => {
        on.listen(it, 'news', (value: unknown) => on.message(value))
        on.ready()
      },
    })
    await made.clock.advance(10)
    for (let n = 0; n < 20; n++) {
      made.on.failed(boom)
      await made.clock.advance(130_000)
    }
    expect([toy.starts, toy.listenerCount('news'), toy.listenerCount('error')]).toEqual([21, 1, 1])
    await made.end()
    expect(toy.listenerCount('news')).toBe(0)
  })

  const typed: readonly (readonly [unknown, FaultCode])[] = [
    [Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), 'refused'],
    [Object.assign(new Error('x'), { code: 'EAI_AGAIN', syscall: 'getaddrinfo' }), 'name-unavailable'],
    [new Error('x', { cause: Object.assign(new Error('y'), { code: 'ECONNRESET' }) }), 'connection-lost'],
    [{ code: 'login-needed', detail: 'scan' }, 'login-needed'],
    [{ code: 'no-such-fault' }, 'client-failed'],
    [new Error('ECONNREFUSED'), 'client-failed'],
    [Object.assign(new Error('x'), { code: 'kicked' }), 'client-failed'],
    ['login-needed', 'client-failed'],
    [undefined, 'client-failed'],
  ]

  it.each(typed)('incident 4.6 an error is judged by its fields, whatever it says: %o is %s', async (error, code) => {
    for (const text of [undefined, '', 'login-needed', '1101 == 0', 'Opening handshake has timed out', 'ETIMEDOUT']) {
      const made = toyRig()
      await made.clock.advance(10)
      if (text !== undefined && error instanceof Error) error.message = text
      made.on.failed(error)
      expect(made.faults).toEqual([code])
      await made.end()
    }
  })

  it('is asked what its own errors mean, and is believed where that is a fault', async () => {
    const meanings: unknown[] = ['credentials-rejected', 'nonsense', undefined]
    const codes: unknown[] = []
    for (const meaning of meanings) {
      const made = toyRig({ classify: () => meaning as FaultCode })
      await made.clock.advance(10)
      made.on.failed(new Error('401: Unauthorized'))
      codes.push(made.faults[0])
      await made.end()
    }
    expect(codes).toEqual(['credentials-rejected', 'client-failed', 'client-failed'])
  })
})

describe('whether it lives', () => {
  it('is proved by its probe: without answers it is given up as any peer', async () => {
    let answers = true
    const made = toyRig({ probe: () => (answers ? Promise.resolve() : never()) })
    await made.clock.advance(60_000)
    expect([made.link.status.state, made.toys.length]).toEqual(['live', 1])
    answers = false
    await made.clock.advance(13_000)
    expect(made.faults[0]).toBe('heartbeat-timeout')
    await made.end()
  })

  it('a probe that is refused is no answer', async () => {
    const made = toyRig({ probe: () => Promise.reject(new Error('no')) })
    await made.clock.advance(15_000)
    expect(made.faults[0]).toBe('heartbeat-timeout')
    await made.end()
  })

  it('incident 4.4 without a probe silence is bounded by silenceMaxMs, and any sign of life puts it off', async () => {
    const made = toyRig({ silenceMaxMs: 30_000 })
    await made.clock.advance(29_000)
    made.on.alive()
    await made.clock.advance(29_000)
    made.on.message('x')
    await made.clock.advance(29_900)
    expect(made.faults).toEqual([])
    await made.clock.advance(200)
    expect(made.faults).toEqual(['heartbeat-timeout'])
    await made.end()
  })

  it('a machine that slept does not blame the client at once', async () => {
    const made = toyRig({ silenceMaxMs: 30_000 })
    await made.clock.advance(10)
    made.clock.sleep(600_000)
    await made.clock.advance(1_000)
    made.on.alive()
    await made.clock.advance(20_000)
    expect(made.faults).toEqual([])
    await made.end()
  })
})

describe('the options', () => {
  const good = { name: 'toy', make: () => new EventEmitter(), start: () => undefined, stop: () => undefined }

  it.each([
    [undefined, 'client(…) got undefined'],
    [{ ...good, name: '' }, 'adapter.name'],
    [{ ...good, make: 1 }, 'client({ make }) is the number 1; it must be a function.'],
    [{ ...good, stop: undefined }, 'client({ stop }) is undefined'],
    [{ ...good, probe: true }, 'client({ probe }) is true'],
    [{ ...good, silenceMaxMs: 0 }, 'client({ silenceMaxMs }) is the number 0'],
    [{ ...good, startWithinMs: '1' }, 'client({ startWithinMs }) is a string'],
    [{ ...good, startWithinMs: 1.5 }, 'adapter.handshakeMs'],
    [{ ...good, begin: 1 }, '"begin" is not one of the options of client()'],
  ])('%o is refused: %s', (options, text) => {
    expect(() => client(options as typeof good)).toThrow(text)
  })
})

it('T6: whatever a client hands on, in any order, the link is in a state of its own and nothing is thrown', async () => {
  const verbs = ['ready', 'message', 'alive', 'offline', 'online', 'failed', 'ended'] as const
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(...verbs), hostileValue, hostileValue), { minLength: 1, maxLength: 8 }),
      async (calls) => {
        const made = toyRig()
        for (const [verb, value, more] of calls) {
          ;(made.toys.at(-1)?.on_?.[verb] as ((...values: unknown[]) => void) | undefined)?.(value, more)
          await made.clock.advance(500)
        }
        expect(made.link.stats.frames.failed).toBe(0)
        expect(made.faults.filter((code) => code === 'engine-failed' || code === 'adapter-failed')).toEqual([])
        await made.end()
      },
    ),
    { numRuns: 500 },
  )
})
