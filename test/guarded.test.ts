/** Listeners that throw: told and counted, and nobody else is touched; everything else is as RxJS has it. */
import fc from 'fast-check'
import {
  delay,
  EMPTY,
  finalize,
  firstValueFrom,
  from,
  lastValueFrom,
  map,
  merge,
  mergeMap,
  NEVER,
  Observable,
  of,
  publish,
  ReplaySubject,
  refCount,
  Subject,
  share,
  switchMap,
  take,
  takeUntil,
  tap,
  throwError,
  toArray,
} from 'rxjs'
import { describe, expect, it } from 'vitest'
import { guarded, ListenerErrors } from '../src/guarded.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { rig } from './small-talk.ts'

const throwing = () => {
  throw new Error('boom')
}

const later = () => new Promise((resolve) => setTimeout(resolve, 5))

type ProcessEvent = 'uncaughtException' | 'unhandledRejection' | 'warning'

/** All that the process is told while `act` runs and shortly after, in place of whoever hears it otherwise. */
const overhear = async (event: ProcessEvent, act: () => unknown): Promise<(Error & { detail?: string })[]> => {
  const heard: Error[] = []
  const others = process.listeners(event as 'warning')
  process.removeAllListeners(event)
  process.on(event as 'warning', (error) => heard.push(error))
  try {
    await act()
    await later()
  } finally {
    process.removeAllListeners(event)
    for (const other of others) process.on(event as 'warning', other)
  }
  return heard
}

/** What would end the process. */
const escaping = async (act: () => unknown) => (await overhear('uncaughtException', act)).map(({ message }) => message)

/** The warnings that are ours. */
const warnings = async (act: () => unknown) =>
  (await overhear('warning', act)).filter(({ name }) => name === 'HoldfastWarning')

const told = <T>(source$: Observable<T>) => {
  const failures: unknown[] = []
  const messages = () => failures.map((error) => (error as Error).message)
  return { messages, stream$: guarded(source$, (error) => failures.push(error)) }
}

describe('a listener that throws', () => {
  it('would end the process by RxJS alone', async () => {
    expect(await escaping(() => of(1).subscribe(throwing))).toEqual(['boom'])
  })

  it.each<[string, (stream$: Observable<number>) => unknown, string[]]>([
    ['as a function', (s$) => s$.subscribe(throwing), ['boom', 'boom']],
    ['in next', (s$) => s$.subscribe({ next: throwing }), ['boom', 'boom']],
    ['in complete', (s$) => s$.subscribe({ complete: throwing }), ['boom']],
    ['in complete, given as the third', (s$) => s$.subscribe(null, null, throwing), ['boom']],
    ['behind an operator', (s$) => s$.pipe(map((n) => n + 1)).subscribe(throwing), ['boom', 'boom']],
    ['behind two', (s$) => s$.pipe(map(String), toArray()).subscribe(throwing), ['boom']],
    ['behind a timer', (s$) => s$.pipe(delay(0)).subscribe(throwing), ['boom', 'boom']],
    ['behind share()', (s$) => s$.pipe(share()).subscribe(throwing), ['boom', 'boom']],
    ['behind publish()', (s$) => s$.pipe(publish(), refCount()).subscribe(throwing), ['boom', 'boom']],
    ['in a function of a pipe', (s$) => s$.pipe(map(throwing)).subscribe(), ['boom']],
    ['in a function that makes streams', (s$) => s$.pipe(switchMap(throwing)).subscribe(), ['boom']],
    ['in a stream that a pipe made', (s$) => s$.pipe(mergeMap(() => throwError(throwing))).subscribe(), ['boom']],
    ['in error', (s$) => s$.pipe(map(throwing)).subscribe({ error: throwing }), ['boom']],
    ['in error, given as the second', (s$) => s$.pipe(map(throwing)).subscribe(null, throwing), ['boom']],
    ['in tap', (s$) => s$.pipe(tap(throwing)).subscribe({ next: () => undefined }), ['boom']],
    ['in finalize', (s$) => s$.pipe(finalize(throwing)).subscribe(), [expect.stringContaining('boom') as never]],
  ])('%s: is told, nothing escapes, and the others hear everything', async (_, listen, failures) => {
    const source$ = new Subject<number>()
    const { stream$, messages } = told(source$)
    const heard: unknown[] = []
    const escaped = await escaping(() => {
      stream$.subscribe((n) => heard.push(`first ${n}`))
      listen(stream$)
      stream$.subscribe({ next: (n) => heard.push(`last ${n}`), complete: () => heard.push('end') })
      source$.next(1)
      source$.next(2)
      source$.complete()
    })
    expect(heard).toEqual(['first 1', 'last 1', 'first 2', 'last 2', 'end'])
    expect({ escaped, failures: messages() }).toEqual({ escaped: [], failures })
  })

  it('is told at once when it threw while it subscribed', async () => {
    const { stream$, messages } = told(of(1, 2))
    const escaped = await escaping(() => stream$.subscribe(throwing))
    expect({ escaped, failures: messages() }).toEqual({ escaped: [], failures: ['boom', 'boom'] })
  })

  it('who handles an error of the pipe is told of it, and nobody else', async () => {
    const { stream$, messages } = told(of(1))
    const handled: unknown[] = []
    stream$.pipe(map(throwing)).subscribe({ error: (error) => handled.push(error) })
    await expect(firstValueFrom(stream$.pipe(map(throwing)))).rejects.toThrow('boom')
    await expect(stream$.forEach(throwing)).rejects.toThrow('boom')
    expect(handled).toHaveLength(1)
    expect(messages()).toEqual([])
  })

  it('an error of the source itself that nobody handles is told too', async () => {
    const { stream$, messages } = told(throwError(() => new Error('the source')))
    expect(await escaping(() => stream$.subscribe(() => undefined))).toEqual([])
    expect(messages()).toEqual(['the source'])
  })

  it('a promise that a handler returns is the affair of the handler', async () => {
    const { stream$, messages } = told(of(1))
    const rejected = await overhear('unhandledRejection', () => stream$.subscribe(async () => throwing()))
    expect(rejected.map(({ message }) => message)).toEqual(['boom'])
    expect(messages()).toEqual([])
  })
})

describe('everything else is as in RxJS', () => {
  const { stream$ } = told(of(1, 2, 3))

  it('works with its functions', async () => {
    expect(await firstValueFrom(stream$)).toBe(1)
    expect(await lastValueFrom(stream$.pipe(toArray()))).toEqual([1, 2, 3])
    expect(await lastValueFrom(merge(stream$, stream$).pipe(toArray()))).toEqual([1, 2, 3, 1, 2, 3])
    expect(await lastValueFrom(of(7, 8).pipe(takeUntil(guarded(NEVER, throwing)), toArray()))).toEqual([7, 8])
    expect(await lastValueFrom(guarded(NEVER, throwing).pipe(takeUntil(of(1)), toArray()))).toEqual([])
    await expect(firstValueFrom(guarded(EMPTY, throwing))).rejects.toThrow('no elements')
  })

  it('is an Observable for everybody who asks', async () => {
    const interop = (stream$ as unknown as Record<symbol, () => unknown>)[Symbol.observable ?? '@@observable']
    expect(stream$).toBeInstanceOf(Observable)
    expect(from(stream$)).toBe(stream$)
    expect(interop?.call(stream$) ?? stream$).toBe(stream$)
    // as another copy of RxJS would: by a subscriber of its own
    const heard: number[] = []
    let added = 0
    const foreign = {
      closed: false,
      next: (n: number) => heard.push(n),
      error: throwing,
      complete: () => undefined,
      add: () => void added++,
      remove: () => undefined,
      unsubscribe: () => undefined,
    }
    stream$.subscribe(foreign)
    expect({ heard, ended: added > 0 }).toEqual({ heard: [1, 2, 3], ended: true })
  })

  it('takes a Subject, a part of an observer, and none', () => {
    const replayed: number[] = []
    const subject = new ReplaySubject<number>()
    stream$.subscribe(subject)
    stream$.subscribe()
    stream$.subscribe(null)
    stream$.subscribe({})
    subject.subscribe((n) => replayed.push(n))
    expect(replayed).toEqual([1, 2, 3])
  })

  it('calls the handlers on their observer, as they are at the time of the call', () => {
    class Counting {
      sum = 0
      next(n: number) {
        this.sum += n
        if (n === 2) this.next = () => undefined
      }
    }
    const counting = new Counting()
    stream$.subscribe(counting)
    expect(counting.sum).toBe(3)
  })

  it('ends a source that still emits when its only listener has enough', () => {
    const emitted: number[] = []
    const endless$ = new Observable<number>((subscriber) => {
      for (let n = 0; !subscriber.closed; n++) {
        emitted.push(n)
        subscriber.next(n)
      }
    })
    const heard: number[] = []
    guarded(endless$, throwing)
      .pipe(take(2))
      .subscribe((n) => heard.push(n))
    expect({ emitted, heard }).toEqual({ emitted: [0, 1], heard: [0, 1] })
  })

  const moves = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('next' as const), n: fc.nat(9) }),
      fc.record({ kind: fc.constantFrom('listen' as const, 'leave' as const, 'pipe' as const), n: fc.nat(3) }),
      fc.record({ kind: fc.constantFrom('complete' as const, 'error' as const), n: fc.nat(3) }),
    ),
    { maxLength: 30 },
  )
  type Move = { kind: 'next' | 'listen' | 'leave' | 'pipe' | 'complete' | 'error'; n: number }

  const play = (list: readonly Move[], wrap: (source$: Observable<number>) => Observable<number>): string[] => {
    const log: string[] = []
    const source$ = new ReplaySubject<number>(1)
    const stream$ = wrap(source$)
    const subscriptions: { unsubscribe(): void; closed: boolean }[] = []
    for (const { kind, n } of list) {
      const name = subscriptions.length
      const observer = {
        next: (value: unknown) => {
          log.push(`${name} ${value}`)
          // in the middle of a value: leaves, makes another leave, or makes the source say something
          if (value === 7) subscriptions[name]?.unsubscribe()
          if (value === 8) subscriptions[0]?.unsubscribe()
          if (value === 9) source$.next(1)
        },
        error: (error: unknown) => log.push(`${name} ${error}`),
        complete: () => log.push(`${name} end`),
      }
      if (kind === 'next') source$.next(n)
      else if (kind === 'listen') subscriptions.push(stream$.subscribe(observer))
      else if (kind === 'pipe') {
        subscriptions.push(
          stream$
            .pipe(
              map((value) => value % 5),
              finalize(() => log.push(`${name} gone`)),
              take(3),
            )
            .subscribe(observer),
        )
      } else if (kind === 'leave') subscriptions[n]?.unsubscribe()
      else if (kind === 'complete') source$.complete()
      else source$.error('broken')
      log.push(subscriptions.map(({ closed }) => (closed ? '-' : '+')).join(''), `${source$.observed}`)
    }
    return log
  }

  it('whatever source and listeners do', () => {
    fc.assert(
      fc.property(moves, (list) => {
        expect(play(list, (source$) => guarded(source$, throwing))).toEqual(play(list, (source$) => source$))
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('the warning', () => {
  it('names the link, the stream and the error, shows no secret, and comes at most once a minute', async () => {
    const clock = heapClock()
    const source$ = new Subject<number>()
    const errors = new ListenerErrors('qq\u001b[31m', clock, (text) => text.replaceAll('canary', '***'))
    errors.guard(source$, 'state$').subscribe((n) => {
      throw new Error(`no ${n} for canary`)
    })
    const seen = await warnings(() => {
      for (let n = 1; n <= 4; n++) source$.next(n)
      clock.sleep(59_999)
      source$.next(5)
      clock.sleep(1)
      source$.next(6)
      source$.next(7)
    })
    expect(errors.count).toBe(7)
    expect(seen.map(({ message }) => message)).toEqual([
      'A listener of state$ of the link "qq\\u001b[31m" threw Error: no 1 for ***. The link is unharmed.',
      'A listener of state$ of the link "qq\\u001b[31m" threw Error: no 6 for ***. The link is unharmed. ' +
        '4 more since the last warning were not shown.',
    ])
    expect(seen[0]!.detail).toMatch(/at .*guarded\.test\.ts/)
    expect(seen[0]!.detail).not.toContain('canary')
  })

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['an object without a text', Object.create(null)],
    [
      'an error whose stack throws',
      Object.defineProperty(new Error('x'), 'stack', {
        get: () => throwing(),
      }),
    ],
  ])('can be given for %s too', async (_, thrown) => {
    const errors = new ListenerErrors('bot', heapClock(), (text) => text)
    const seen = await warnings(() =>
      errors.guard(of(1), 'inbound$').subscribe(() => {
        throw thrown
      }),
    )
    expect(seen).toHaveLength(1)
    expect(errors.count).toBe(1)
  })
})

describe('the streams of a link', () => {
  it('incident 2.1 listeners of one link that throw change nothing on another, nor on their own', async () => {
    const [a, b] = [rig({ id: 'a' }), rig({ id: 'b' })]
    const events = async () => {
      for (const stream$ of [b.link.state$, b.link.inbound$, b.link.transitions$] as Observable<unknown>[]) {
        stream$.subscribe({ next: throwing, complete: throwing })
        stream$.pipe(map(throwing)).subscribe()
        stream$.pipe(finalize(throwing)).subscribe()
      }
      const states: string[] = []
      b.link.state$.subscribe(({ state }) => states.push(state))
      await a.live()
      const before = a.link.status
      await b.live()
      b.network.current!.frame({ op: 'news', n: 1 })
      b.network.current!.lose({ code: 'connection-lost' })
      await b.clock.advance(10_000)
      expect(states).toEqual(expect.arrayContaining(['connecting', 'live', 'backoff']))
      expect(b.link.status.state).toBe('live')
      await b.end()
      expect(states.at(-1)).toBe('stopped')
      await a.clock.advance(10_000)
      expect(a.link.status).toEqual(before)
      expect(a.network.transports.map(({ ended }) => ended)).toEqual([false])
      expect(a.link.stats.listenerErrors).toBe(0)
      expect(b.link.stats.listenerErrors).toBeGreaterThan(20)
      await a.end()
    }
    let seen: Error[] = []
    const escaped = await escaping(async () => {
      seen = await warnings(events)
    })
    expect(escaped).toEqual([])
    expect(seen.map(({ message }) => message)).toEqual([expect.stringContaining('of the link "b" threw Error: boom')])
  })
})
