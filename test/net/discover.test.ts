/** Endpoints from a provider: one, a list, or a registry that is watched. Nothing here is ever a connect error. */
import { BehaviorSubject, NEVER, of, Subject, throwError } from 'rxjs'
import { describe, expect, it } from 'vitest'
import type { Target, Targets } from '../../src/adapter/adapter.ts'
import { discover } from '../../src/net/discover.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { rig, smallTalk, type TalkAdapter } from '../small-talk.ts'

const at = (port: number): Target => ({ url: `ws://127.0.0.1:${port}/` })

const search = (target: TalkAdapter['target'], adapter = smallTalk(target), clock = heapClock()) => {
  const found: string[][] = []
  const errors: unknown[] = []
  const abort = new AbortController()
  const subscription = discover(adapter, clock, { signal: abort.signal }).subscribe({
    next: (targets) => found.push(targets.map(({ url }) => new URL(url).port)),
    error: (error) => errors.push(error),
  })
  return { adapter, clock, found, errors, subscription }
}

describe('the targets of an adapter', () => {
  it.each([
    ['one', () => at(1), ['1']],
    ['one that is promised', async () => at(1), ['1']],
    ['a list', () => [at(1), at(2)], ['1', '2']],
    ['a list that is promised', async () => [at(1), at(2)], ['1', '2']],
    ['a registry that knows one', () => of(at(1)), ['1']],
    ['a registry that knows several', () => new BehaviorSubject<Targets>([at(1), at(2)]), ['1', '2']],
  ] as [string, TalkAdapter['target'], string[]][])('may be %s', async (_what, target, ports) => {
    const { clock, found, errors } = search(target)
    await clock.advance(0)
    expect([found, errors]).toEqual([[ports], []])
    expect(clock.pending).toBe(0)
  })

  it('are told once, and the registry is left', async () => {
    const registry$ = new BehaviorSubject<Targets>([])
    const { clock, found } = search(() => registry$)
    await clock.advance(5_000)
    expect([found, registry$.observed]).toEqual([[], true])
    registry$.next([at(3)])
    registry$.next([at(4)])
    expect([found, registry$.observed]).toEqual([[['3']], false])
  })

  it('are asked for again after 250, 500, 1,000, 2,000 and 2,000 ms while a provider has none', async () => {
    const asked: number[] = []
    const clock = heapClock()
    const { found, subscription } = search(
      () => {
        asked.push(clock.now())
        return asked.length < 6 ? [] : [at(5)]
      },
      undefined,
      clock,
    )
    await clock.advance(6_000)
    expect(asked).toEqual([0, 250, 750, 1_750, 3_750, 5_750])
    expect(found).toEqual([['5']])
    expect(subscription.closed).toBe(true)
  })

  it('that nobody looks for any more are not asked for, and leave no timer', async () => {
    const registry$ = new Subject<Targets>()
    for (const target of [() => [], () => registry$] as TalkAdapter['target'][]) {
      const { clock, subscription } = search(target)
      await clock.advance(10)
      subscription.unsubscribe()
      await clock.advance(10_000)
      expect([clock.pending, registry$.observed]).toEqual([0, false])
    }
  })

  it.each([
    ['a provider that throws', () => Promise.reject(new Error('no token today')), 'no token today'],
    ['a registry that fails', () => throwError(() => new Error('the registry is gone')), 'the registry is gone'],
    ['a registry that ends', () => of<Targets[]>(), 'the provider ended without a target'],
    ['what is no target', () => of({ url: 'ftp://x/' }), 'begins with "ftp:"'],
    ['a list with a bad one in it', () => [at(1), { url: 'ws://h:70000/' }], 'is not a URL'],
  ] as [string, TalkAdapter['target'], string][])('%s is an error', async (_what, target, words) => {
    const { clock, found, errors } = search(target)
    await clock.advance(0)
    expect(found).toEqual([])
    expect(String(errors[0])).toContain(words)
    expect(clock.pending).toBe(0)
  })
})

describe('incident 5.2: no endpoint for the moment', () => {
  it('keeps the link in resolving: no dial, no fault, until there is one', async () => {
    const registry$ = new BehaviorSubject<Targets>([])
    const { clock, link, network, live, end } = rig({ target: () => registry$ })
    await clock.advance(9_000)
    expect(link.status).toMatchObject({ state: 'resolving', fault: null })
    expect(network.transports).toHaveLength(0)
    registry$.next([at(7_001), at(7_002)])
    await live()
    expect(network.current!.endpoint.target.url).toBe('ws://127.0.0.1:7001/')
    await end()
  })

  it.each([
    ['an empty list', () => []],
    ['an empty registry', () => new BehaviorSubject<Targets>([])],
    ['a silent registry', () => NEVER],
  ] as [string, TalkAdapter['target']][])('%s: the last known one is used after 1 s', async (_what, empty) => {
    let target: TalkAdapter['target'] = () => at(7_000)
    const { clock, link, network, live, end } = rig({ target: (context) => target(context) })
    await live()
    target = empty
    network.current!.lose({ code: 'refused' })
    await clock.advance(link.status.nextDialAt! - clock.wall())
    expect(link.status.state).toBe('resolving')
    await clock.advance(999)
    expect([link.status.state, network.transports.length]).toEqual(['resolving', 1])
    await clock.advance(1)
    expect([link.status.state, network.transports.length]).toEqual(['connecting', 2])
    await live()
    await end()
  })

  it('for ever is a matter of the resolve deadline, and still no connect error', async () => {
    const { clock, link, network, end } = rig({ target: () => [] })
    await clock.advance(10_000)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'resolve-timeout' } })
    expect(network.transports).toHaveLength(0)
    await end()
  })
})
