/** What depends on a link, from its first start to its last stop, in virtual time. */
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { serviceDeadlines } from '../machines/service.ts'
import { HoldfastError } from '../src/error.ts'
import { type ServiceOptions, service } from '../src/service.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { Dependent, type Outcome, portInUse, reconnect, serviceRig } from './dependent.ts'
import { follow, rig } from './small-talk.ts'

const { startDeadline, stopDeadline, provenAfter } = serviceDeadlines

afterEach(() => {
  vi.restoreAllMocks()
})

describe('it starts', () => {
  it('when the link is live, and shows each state with its time', async () => {
    const { clock, link, http, served, live, end } = serviceRig()
    expect(served.status).toEqual({
      name: 'http',
      state: 'waiting',
      since: clock.wall(),
      attempt: 1,
      fault: null,
      nextAt: null,
    })
    await live()
    await clock.advance(0)
    expect(served.status).toMatchObject({ state: 'running', since: link.status.since, attempt: 1 })
    expect(served.links).toEqual(['bot'])
    expect(http).toMatchObject({ started: 1, up: 1 })
    await end()
  })

  it('at once under a link that is live already', async () => {
    const { clock, link, live, end } = rig()
    await live()
    const http = new Dependent()
    const served = service(link, { name: 'http', start: http.start, clock })
    await clock.advance(0)
    expect(served.status.state).toBe('running')
    await end()
  })

  it('only when the link was live for the stable time without a break', async () => {
    const made = serviceRig({ service: { stableMs: 5_000 } })
    const { clock, http, live, end } = made
    await live()
    await clock.advance(4_900)
    await reconnect(made)
    await clock.advance(4_999)
    expect(http.started).toBe(0)
    await clock.advance(1)
    expect(http.started).toBe(1)
    await end()
  })

  it('when each of several links is live, and stops with the first that has stopped', async () => {
    const clock = heapClock()
    const [first, second] = [rig({ clock }), rig({ clock, healthy: false })]
    const http = new Dependent()
    const served = service([first.link, second.link], { name: 'http', start: http.start, clock })
    await clock.advance(100)
    expect(first.link.status.state).toBe('live')
    expect(http.started).toBe(0)
    second.network.healthy = true
    await clock.advance(60_000)
    expect(served.status.state).toBe('running')
    void second.link.stop()
    await clock.advance(1_000)
    expect(served.status.state).toBe('stopped')
    expect(http).toMatchObject({ started: 1, stopped: 1, up: 0 })
    await first.end()
  })

  it.each([
    ['nothing', undefined],
    ['a function that stops it', () => undefined],
    ['an object that says when it ended', { ended: new Promise(() => undefined) }],
  ])('whose start gives %s', async (_what, given) => {
    const { clock, served, live, end } = serviceRig({ service: { start: () => given as never } })
    await live()
    await clock.advance(0)
    expect(served.status.state).toBe('running')
    await end()
  })

  it.each([
    ['a number', 7, 'the number 7'],
    ['an object without anything', {}, 'an object'],
    ['a stop that is none', { stop: 'now' }, 'an object'],
    ['an end that is no promise', { ended: true }, 'an object'],
  ])('again after a start that gives %s, which is told', async (_what, given, words) => {
    const { clock, served, live, end } = serviceRig({ service: { start: () => given as never } })
    await live()
    await clock.advance(0)
    expect(served.status).toMatchObject({ state: 'backoff', fault: { code: 'service-failed' } })
    expect(served.status.fault?.detail).toContain(`start() gave ${words}; it must give nothing`)
    await end()
  })
})

describe('a failure', () => {
  it('is noted, shows when it is tried again, and is tried ever more slowly', async () => {
    const outcomes = Array.from({ length: 9 }, portInUse)
    const { clock, http, served, live, end } = serviceRig({ outcomes })
    await live()
    const waits: number[] = []
    for (let i = 1; i <= 9; i++) {
      await clock.advance(0)
      expect(served.status).toMatchObject({ state: 'backoff', attempt: i + 1 })
      expect(served.status.fault).toEqual({ code: 'service-failed', detail: expect.stringContaining('EADDRINUSE') })
      waits.push(served.status.nextAt! - clock.wall())
      await clock.advance(waits.at(-1)! - 1)
      expect(http.started).toBe(i)
      await clock.advance(1)
    }
    await clock.advance(0)
    expect(served.status).toMatchObject({ state: 'running', fault: null, nextAt: null })
    expect(waits[0]).toBeLessThanOrEqual(1_000)
    expect(Math.max(...waits)).toBeLessThanOrEqual(32_000)
    expect(waits.at(-1)).toBeGreaterThan(10 * waits[0]!)
    await end()
  })

  it('of somebody who asks for patience is waited out', async () => {
    const busy = new HoldfastError('refused', 'not now', { fault: { code: 'throttled', retryAfterMs: 90_000 } })
    const { clock, served, live, end } = serviceRig({ outcomes: [busy] })
    await live()
    await clock.advance(0)
    expect(served.status.nextAt! - clock.wall()).toBeGreaterThanOrEqual(90_000)
    await end()
  })

  it('is not retried while the link is away', async () => {
    const { clock, network, http, served, live, end } = serviceRig({ outcomes: [portInUse()] })
    await live()
    await clock.advance(0)
    network.healthy = false
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(60_000)
    expect(http.started).toBe(1)
    expect(served.status.state).toBe('waiting')
    network.healthy = true
    await clock.advance(60_000)
    expect(http.started).toBe(2)
    await end()
  })

  it('is forgotten when it has run for long', async () => {
    const { clock, http, served, live, end } = serviceRig({ outcomes: [portInUse(), portInUse()] })
    await live()
    await clock.advance(10_000)
    expect(served.status).toMatchObject({ state: 'running', attempt: 3 })
    await clock.advance(provenAfter)
    expect(served.status).toMatchObject({ state: 'running', attempt: 1 })
    expect(http.started).toBe(3)
    await end()
  })

  it.each([
    ['without a word', undefined, 'it ended by itself'],
    ['with an error', new Error('the socket is gone'), 'Error: the socket is gone'],
  ])('is an end %s too', async (_how, error, detail) => {
    const { clock, http, served, live, end } = serviceRig()
    await live()
    await clock.advance(0)
    http.end(error)
    await clock.advance(0)
    expect(served.status).toMatchObject({ state: 'backoff', fault: { code: 'service-failed', detail } })
    await clock.advance(1_000)
    expect(http).toMatchObject({ started: 2, up: 1, stopped: 0 })
    await end()
  })

  it('parks after the declared retries, until a person restarts it', async () => {
    const outcomes = Array.from({ length: 6 }, portInUse)
    const { clock, http, served, live, end } = serviceRig({ outcomes, service: { retriesMax: 2 } })
    await live()
    await clock.advance(3_600_000)
    expect(http.started).toBe(3)
    expect(served.status).toMatchObject({ state: 'parked', fault: { code: 'service-failed' }, nextAt: null })
    served.restart()
    await clock.advance(3_600_000)
    expect(http.started).toBe(6)
    served.restart()
    await clock.advance(0)
    expect(served.status).toMatchObject({ state: 'running', attempt: 1 })
    await end()
  })

  it('shows no password that was in it', async () => {
    const { clock, served, live, end } = serviceRig({
      outcomes: [new Error('https://bot:hunter22@db.example/?key=abcd')],
    })
    await live()
    await clock.advance(0)
    expect(served.status.fault?.detail).toContain('db.example')
    expect(served.status.fault?.detail).not.toMatch(/hunter22|abcd/)
    await end()
  })
})

describe('a start that does not answer', () => {
  it('is called off at its deadline, tried again, and stopped if it comes late', async () => {
    const { clock, link, http, served, live, end } = serviceRig({ outcomes: ['hangs'] })
    await live()
    await clock.advance(link.status.since + startDeadline - clock.wall() - 1)
    expect(served.status.state).toBe('starting')
    expect(http.signal!.aborted).toBe(false)
    const late = http.signal!
    await clock.advance(1)
    expect(late.aborted).toBe(true)
    expect(served.status).toMatchObject({ state: 'withdrawing', fault: { code: 'service-failed' } })
    await clock.advance(1_000)
    http.answer()
    await clock.advance(0)
    expect(served.status.state).toBe('backoff')
    expect(http).toMatchObject({ up: 0, late: { up: 1, stopped: 1 } })
    await clock.advance(2_000)
    expect(http).toMatchObject({ started: 2, up: 1, mostUp: 1 })
    await end()
  })

  it('not even when it is called off holds up the next one no longer than its stop may take', async () => {
    const { clock, http, served, live, end } = serviceRig({ outcomes: ['hangs'] })
    await live()
    await clock.advance(startDeadline + stopDeadline)
    expect(served.status.state).toBe('backoff')
    await clock.advance(1_000)
    expect(served.status.state).toBe('running')
    expect(http.started).toBe(2)
    await end()
  })

  it('keeps its own deadlines', async () => {
    const { clock, served, live, end } = serviceRig({ outcomes: ['hangs'], service: { startMs: 100, stopMs: 200 } })
    await live()
    await clock.advance(100)
    expect(served.status.state).toBe('withdrawing')
    await clock.advance(200)
    expect(served.status.state).toBe('backoff')
    await end()
  })
})

describe('when the link is lost', () => {
  it('it stays up, unless told otherwise', async () => {
    const made = serviceRig()
    await made.live()
    await reconnect(made)
    expect(made.served.status.state).toBe('running')
    expect(made.http).toMatchObject({ started: 1, stopped: 0 })
    await made.end()
  })

  it('it stops where that was declared, and starts once with each comeback', async () => {
    const made = serviceRig({ service: { whenLost: 'stop' } })
    const { clock, http, states } = made
    await made.live()
    for (let i = 1; i <= 3; i++) {
      await reconnect(made)
      await clock.advance(0)
      expect(http).toMatchObject({ started: i + 1, stopped: i, up: 1, mostUp: 1 })
    }
    expect(states.filter((state) => state === 'stopping')).toHaveLength(3)
    await made.end()
  })

  it('a start under way is called off where it stops with the link, and goes on where it stays', async () => {
    for (const whenLost of ['stop', 'keep'] as const) {
      const { clock, network, http, served, live, end } = serviceRig({ outcomes: ['hangs'], service: { whenLost } })
      await live()
      await clock.advance(100)
      network.healthy = false
      network.current!.lose({ code: 'connection-lost' })
      await clock.advance(100)
      expect(http.signal!.aborted).toBe(whenLost === 'stop')
      http.answer()
      await clock.advance(0)
      expect(served.status.state).toBe(whenLost === 'stop' ? 'waiting' : 'running')
      await end()
    }
  })

  it('a heartbeat in doubt that is answered after all is no loss', async () => {
    const { clock, network, http, link, live, end } = serviceRig({ service: { whenLost: 'stop' } })
    await live()
    network.healthy = false
    while (link.status.state !== 'degraded.suspect') await clock.advance(clock.nextInMs!)
    network.healthy = true
    network.current!.frame({ op: 'news' })
    await clock.advance(0)
    expect(link.status.state).toBe('live')
    expect(http).toMatchObject({ started: 1, stopped: 0 })
    await end()
  })

  it('an account that is offline is a loss', async () => {
    const { clock, network, http, served, live, end } = serviceRig({ service: { whenLost: 'stop' } })
    await live()
    await clock.advance(0)
    network.current!.frame({ op: 'offline', why: 'logged out' })
    await clock.advance(0)
    expect(served.status.state).toBe('waiting')
    network.current!.frame({ op: 'online' })
    await clock.advance(0)
    expect(http).toMatchObject({ started: 2, up: 1, mostUp: 1 })
    await end()
  })
})

describe('stop()', () => {
  it('calls the stop that its start gave, once, and resolves when it is over', async () => {
    const { clock, http, served, live, end } = serviceRig()
    await live()
    await clock.advance(0)
    const [first, second] = [follow(served.stop()), follow(served.stop())]
    await clock.advance(0)
    expect([first.settled, second.settled]).toEqual([true, true])
    expect(http).toMatchObject({ stopped: 1, up: 0 })
    expect(http.signal!.aborted).toBe(true)
    expect(served.status.state).toBe('stopped')
    served.restart()
    await clock.advance(60_000)
    expect(http.started).toBe(1)
    await end()
  })

  it('calls the stop of the options where its start gave none', async () => {
    const stop = vi.fn()
    const { clock, served, live, end } = serviceRig({ service: { start: () => undefined, stop } })
    await live()
    await clock.advance(0)
    void served[Symbol.asyncDispose]()
    await clock.advance(0)
    expect(stop).toHaveBeenCalledOnce()
    await end()
  })

  it('resolves in any state, and nothing is started after it', async () => {
    for (const outcomes of [[], ['hangs'], [portInUse()]] satisfies Outcome[][]) {
      for (const waitMs of [0, 30, 31, startDeadline + 40]) {
        const { clock, http, served, end } = serviceRig({ outcomes })
        await clock.advance(waitMs)
        const { started } = http
        const stopped = follow(served.stop())
        await clock.advance(stopDeadline)
        expect({ settled: stopped.settled, up: http.up, waitMs }).toEqual({ settled: true, up: 0, waitMs })
        await clock.advance(600_000)
        expect(http.started).toBe(started)
        await end()
      }
    }
  })

  it('leaves one alone that does not stop in time, and warns of one that cannot', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    for (const stop of [() => new Promise(() => undefined), () => Promise.reject(new Error('it is stuck'))]) {
      const { clock, served, live, end } = serviceRig({ service: { start: () => stop } })
      await live()
      await clock.advance(0)
      const stopped = follow(served.stop())
      await clock.advance(stopDeadline)
      expect(stopped.settled).toBe(true)
      await end()
    }
    expect(warned.mock.calls.map(([text]) => text)).toEqual([
      'The service "http" could not be stopped well: Error: it is stuck',
    ])
  })

  it('of the link stops what depends on it', async () => {
    const { clock, http, served, live, end, states } = serviceRig()
    await live()
    await clock.advance(0)
    await end()
    expect(http).toMatchObject({ stopped: 1, up: 0 })
    expect(served.status.state).toBe('stopped')
    expect(states.at(-1)).toBe('stopped')
    expect(clock.pending).toBe(0)
  })

  it('of the link before makes a service that has stopped', async () => {
    const { clock, link, end } = rig()
    await end()
    const http = new Dependent()
    const served = service(link, { name: 'http', start: http.start, clock })
    expect(served.status.state).toBe('stopped')
    await served.stop()
    expect(http.started).toBe(0)
  })
})

describe('restart()', () => {
  it('stops what runs and starts it anew, one at a time', async () => {
    const { clock, http, served, live, end } = serviceRig()
    await live()
    await clock.advance(0)
    served.restart()
    served.restart()
    await clock.advance(0)
    expect(http).toMatchObject({ started: 2, stopped: 1, up: 1, mostUp: 1 })
    await end()
  })

  it('cuts a wait short', async () => {
    const { clock, http, served, live, end } = serviceRig({ outcomes: [portInUse()] })
    await live()
    await clock.advance(0)
    served.restart()
    await clock.advance(0)
    expect(served.status.state).toBe('running')
    expect(http.started).toBe(2)
    await end()
  })
})

it('a listener that throws is warned of, and harms nobody', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const { clock, served, live, end } = serviceRig()
  served.state$.subscribe(() => {
    throw new Error('mine')
  })
  await live()
  await clock.advance(0)
  expect(served.status.state).toBe('running')
  expect(warned.mock.calls[0]![0]).toBe('A listener of the service "http" threw Error: mine.')
  await end()
})

describe('whatever happens', () => {
  const ops = ['lose', 'heal', 'harm', 'end', 'crash', 'restart', 'answer', 'short', 'long', 'longer'] as const
  const outcome = fc.constantFrom<'fails' | 'hangs' | 'runs'>('fails', 'hangs', 'runs', 'runs')

  it('one instance at most is wanted and each other is stopped, none is started without a live link, and in health one runs', async () => {
    let starts = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...ops), { minLength: 10, maxLength: 40 }),
        fc.array(outcome, { maxLength: 12 }),
        fc.constantFrom('keep', 'stop'),
        fc.constantFrom(0, 3_000),
        async (steps, wanted, whenLost, stableMs) => {
          const outcomes = wanted.map((each) => (each === 'fails' ? portInUse() : each))
          const made = serviceRig({ outcomes, service: { whenLost, stableMs } })
          const { clock, network, link, http, served } = made
          let liveSince = Number.POSITIVE_INFINITY
          // told before the state, so that this is known when the service hears of it
          link.transitions$.subscribe(({ to }) => {
            if (to === 'live') liveSince = Math.min(liveSince, clock.now())
            else if (to !== 'degraded.suspect') liveSince = Number.POSITIVE_INFINITY
          })
          const early: number[] = []
          let { started } = http
          served.state$.subscribe(({ state }) => {
            if (state === 'starting' && clock.now() - liveSince < stableMs) early.push(clock.now())
          })
          const acts: Record<(typeof ops)[number], () => unknown> = {
            lose: () => network.current?.lose({ code: 'connection-lost' }),
            heal: () => {
              network.healthy = true
            },
            harm: () => {
              network.healthy = false
            },
            end: () => served.status.state === 'running' && http.up === 1 && http.end(),
            crash: () => served.status.state === 'running' && http.up === 1 && http.end(new Error('crashed')),
            restart: () => served.restart(),
            answer: () => http.answer(),
            short: () => clock.advance(50),
            long: () => clock.advance(5_000),
            longer: () => clock.advance(60_000),
          }
          for (const step of steps) {
            await acts[step]()
            await clock.advance(0)
          }
          network.healthy = true
          http.outcomes.length = 0
          http.answer()
          await clock.advance(300_000)
          expect(early).toEqual([])
          expect(http.mostUp).toBeLessThanOrEqual(1)
          expect(http.late.stopped).toBe(http.late.up)
          expect({ state: served.status.state, up: http.up }).toEqual({ state: 'running', up: 1 })
          started = http.started
          starts += started
          await clock.advance(600_000)
          expect(http.started, 'a service in health is left alone').toBe(started)
          await made.end()
          expect(http.up).toBe(0)
        },
      ),
      { numRuns: 60, ...(process.env.HF_SEED ? { seed: Number(process.env.HF_SEED) } : {}) },
    )
    console.log(`60 runs, ${starts} starts`)
  })
})

describe('bad-option', () => {
  const start = () => undefined
  const good = { name: 'http', start }
  it.each<[string, unknown, string]>([
    ['no options', undefined, 'options is undefined; it must be an object'],
    ['no name', { start }, 'name is undefined; it must be a string of 1 to 128 characters'],
    ['no start', { name: 'http' }, 'start is undefined; it must be a function'],
    ['a stop that is none', { ...good, stop: 1 }, 'stop is the number 1'],
    ['a policy that there is not', { ...good, whenLost: 'maybe' }, '"keep" or "stop"'],
    ['a negative time', { ...good, stableMs: -1 }, 'stableMs is the number -1; it must be a whole number from 0'],
    ['no time at all', { ...good, startMs: 0 }, 'startMs is the number 0; it must be a whole number from 1'],
    ['too many retries', { ...good, retriesMax: 37 }, 'a whole number from 0 to 36'],
    ['half a decision', { ...good, required: 'yes' }, 'required is a string; it must be true or false'],
    ['no clock', { ...good, clock: 5 }, 'The option "clock" is the number 5'],
    ['what there is not', { ...good, retries: 1 }, '"retries" is not one of the options of service()'],
  ])('%s', (_what, options, words) => {
    const { link } = rig()
    const make = () => service(link, options as ServiceOptions)
    expect(make).toThrow(HoldfastError)
    expect(make).toThrow(words)
    void link.stop()
  })

  it.each([
    ['nothing', undefined],
    ['an empty list', []],
    ['a list with something else', [{ id: 'bot' }]],
  ])('links: %s', (_what, links) => {
    expect(() => service(links as never, good)).toThrow('it must be a link, or a list of links with at least one')
  })
})
