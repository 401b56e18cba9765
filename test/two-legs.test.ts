/**
 * Two legs of one bridge in one process: whatever goes wrong on the one, by whoever's fault, the other keeps its socket and
 * its state, nothing escapes into the process, and the harm is told where it happened.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Observable } from 'rxjs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Adapter, Dialogue, Io, StartBudget } from '../src/adapter/adapter.ts'
import type { JsonObject } from '../src/adapter/json.ts'
import { realClock } from '../src/clock.ts'
import { connect, type Link } from '../src/link.ts'
import type { LinkOptions } from '../src/options.ts'
import { memoryStore, type Store } from '../src/store.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { type HeapClock, heapClock } from '../src/testing/heap-clock.ts'
import type { OpenTransport, Pipe } from '../src/transport/transport.ts'
import { follow, politePeer, type Saying, smallTalk, type TalkAdapter, type TalkCalls } from './small-talk.ts'

type Talk = Link<JsonObject, Saying, TalkCalls>

const escaped: unknown[] = []
const note = (error: unknown) => void escaped.push(error)
const warned: string[] = []
const hear = (warning: Error) => void warned.push(warning.message)

beforeEach(() => {
  escaped.length = 0
  warned.length = 0
  process.on('uncaughtException', note)
  process.on('unhandledRejection', note)
  process.on('warning', hear)
})

afterEach(() => {
  process.off('uncaughtException', note)
  process.off('unhandledRejection', note)
  process.off('warning', hear)
})

const boom = (): never => {
  throw new Error('boom')
}
const never = () => new Promise<never>(() => undefined)
const rejects = async () => boom()

interface Leg {
  readonly link: Talk
  readonly network: FakeNetwork
  /** Of all that went wrong so far, in order. */
  readonly faults: string[]
}

const leg = (clock: HeapClock, id: string, adapter: Adapter, options: Partial<LinkOptions> = {}): Leg => {
  const network = new FakeNetwork(clock, politePeer)
  const { transport, lookup } = network
  const link = connect(adapter, { id, clock, transport, lookup, ...options }) as Talk
  const faults: string[] = []
  link.state$.subscribe(({ fault }) => void (fault && faults.push(fault.code)))
  return { link, network, faults }
}

interface Harm {
  /** What the harmed leg is made of. */
  readonly adapter?: (talk: TalkAdapter) => Partial<Adapter>
  readonly options?: (network: FakeNetwork) => Partial<LinkOptions>
  readonly provoke?: (harmed: Leg, clock: HeapClock) => void
  /** Where it is told. */
  readonly said: (harmed: Leg) => void
}

/** Everything that a leg may be asked to do, so that whatever is broken about it is used. */
const use = async (harmed: Leg, clock: HeapClock, provoke: Harm['provoke']): Promise<void> => {
  const { link, network } = harmed
  await clock.advance(100)
  const outcomes = [
    follow(link.send({ text: 'hello' }, { withinMs: 20_000 })),
    follow(link.call('ask', { text: 'how are you' }, { withinMs: 20_000 })),
  ]
  await clock.advance(100)
  network.current?.frame({ op: 'news', text: 'n' })
  provoke?.(harmed, clock)
  await clock.advance(30_000)
  // incident 2.5: told in time, whatever happened
  for (const outcome of outcomes) expect(outcome.settled).toBe(true)
}

const harming = async ({ adapter, options, provoke, said }: Harm): Promise<void> => {
  const clock = heapClock()
  const healthy = leg(clock, 'healthy', smallTalk({ url: 'ws://127.0.0.1:7001/' }) as Adapter)
  await clock.advance(100)
  expect(healthy.link.status.state).toBe('live')
  const moved: unknown[] = []
  healthy.link.transitions$.subscribe((record) => void moved.push(record))
  const talk = smallTalk()
  const network = { of: undefined as FakeNetwork | undefined }
  const lazy = (endpoint: Parameters<FakeNetwork['transport']>[0]) => network.of!.transport(endpoint)
  network.of = new FakeNetwork(clock, politePeer)
  const more = options?.(network.of) ?? {}
  const made = leg(clock, 'harmed', { ...talk, ...adapter?.(talk) } as Adapter, { transport: lazy, ...more })
  const harmed = { ...made, network: network.of }
  await use(harmed, clock, provoke)
  said(harmed)
  const last = follow(healthy.link.send({ text: 'still here' }))
  const stopped = follow(harmed.link.stop())
  await clock.advance(5_000)
  expect(stopped.settled).toBe(true)
  expect(last.value).toMatchObject({ fate: 'delivered' })
  expect(moved).toEqual([])
  expect(healthy.network.transports).toHaveLength(1)
  expect(healthy.network.openCount).toBe(1)
  expect(escaped).toEqual([])
  void healthy.link.stop({ drainMs: 0 })
  await clock.advance(4_000)
  expect(clock.pending).toBe(0)
}

const tells = (code: string) => (harmed: Leg) => expect(harmed.faults).toContain(code)
const stays = ({ link, faults }: Leg) => {
  expect(faults).toEqual([])
  expect(link.status.state).toBe('live')
}

const inDialogue =
  (change: (dialogue: Dialogue, io: Io<JsonObject>) => Partial<Dialogue>) =>
  (talk: TalkAdapter): Partial<Adapter> => ({
    dialogue: (io) => {
      const dialogue = talk.dialogue(io as Io<JsonObject>)
      return { ...dialogue, ...change(dialogue, io as Io<JsonObject>) }
    },
  })

const hooks: Record<string, Harm> = {
  'a target that throws': { adapter: () => ({ target: boom }), said: tells('provider-failed') },
  'a target that rejects': { adapter: () => ({ target: rejects }), said: tells('provider-failed') },
  'a target that never comes': { adapter: () => ({ target: never }), said: tells('resolve-timeout') },
  'a dialogue that throws': { adapter: () => ({ dialogue: boom }), said: tells('adapter-failed') },
  'an opened() that throws': { adapter: inDialogue(() => ({ opened: boom })), said: tells('adapter-failed') },
  'a frame() that throws': {
    adapter: inDialogue(() => ({ frame: boom })),
    said: ({ link }) => expect(link.stats.frames.failed).toBeGreaterThan(0),
  },
  'a closed() that throws': {
    adapter: inDialogue(() => ({ closed: boom })),
    provoke: ({ network }) => network.current!.lose({ code: 'closed-by-peer' }, { code: 4_001, reason: '' }),
    said: tells('adapter-failed'),
  },
  'an encode() that throws': {
    adapter: () => ({ encode: boom }),
    said: (harmed) => {
      stays(harmed)
      expect(harmed.link.stats.outbox.refused).toBe(1)
    },
  },
  'an encode() that gives nonsense': {
    adapter: () => ({ encode: () => undefined as never }),
    said: (harmed) => {
      stays(harmed)
      expect(harmed.link.stats.outbox.refused).toBe(1)
    },
  },
  'a request() that throws': {
    adapter: () => ({ request: boom }),
    said: (harmed) => {
      stays(harmed)
      expect(harmed.link.stats.outbox.refused).toBe(1)
    },
  },
  'a pong() that throws': {
    adapter: inDialogue((dialogue, io) => ({
      opened: () => {
        dialogue.opened?.()
        io.ping()
      },
      pong: boom,
    })),
    said: tells('adapter-failed'),
  },
  'a probe() that throws': { adapter: () => ({ probe: boom }), said: tells('adapter-failed') },
}

describe('R83: a hook of the adapter that fails is told, and harms its own leg at most', () => {
  test.each(Object.keys(hooks))('incident 2.1 %s', (name) => harming(hooks[name]!))

  test('incident 2.1 a read() of a request over HTTP that throws refuses that one message', async () => {
    const server = createServer((_request, response) => response.end('{}')).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const network = new FakeNetwork(realClock, politePeer)
    const talk = smallTalk()
    const { transport, lookup } = network
    const encode = () => ({ http: { url, method: 'POST', headers: {} }, read: boom })
    const link = connect({ ...talk, encode } as unknown as TalkAdapter, { transport, lookup, proxy: false })
    await link.ready()
    expect(await link.send({ text: 'hello' })).toEqual({ fate: 'refused', detail: 'boom' })
    expect(link.status.state).toBe('live')
    expect(network.transports).toHaveLength(1)
    await link.stop()
    server.close()
    expect(escaped).toEqual([])
  })
})

/** A transport of somebody's own, with something wrong about its pipe. */
const pipes = (change: (pipe: Pipe) => Partial<Pipe>) => (network: FakeNetwork) => ({
  transport:
    (endpoint: Parameters<FakeNetwork['transport']>[0]): OpenTransport =>
    (listener) =>
      network.transport(endpoint)({
        ...listener,
        ready: (pipe) => listener.ready({ ...pipe, ...change(pipe) }),
      }),
})

const transports: Record<string, Harm> = {
  'a transport that cannot be made': { options: () => ({ transport: boom }), said: tells('engine-failed') },
  'a transport that throws at the dial': { options: () => ({ transport: () => boom }), said: tells('engine-failed') },
  'a send that throws': { options: pipes(() => ({ send: boom })), said: tells('engine-failed') },
  'a ping that throws': { options: pipes(() => ({ ping: boom })), said: tells('engine-failed') },
  'a bufferedBytes that throws': { options: pipes(() => ({ bufferedBytes: boom })), said: tells('engine-failed') },
  'a close that throws': { options: pipes(() => ({ close: boom })), said: stays },
  'a send into a socket that is CLOSING, which nobody hears': {
    options: pipes(() => ({ send: () => undefined, ping: () => undefined })),
    said: ({ link, faults }) => {
      expect(faults).toContain('heartbeat-timeout')
      const { uncertain, delivered } = link.stats.outbox
      expect({ uncertain, delivered }).toEqual({ uncertain: 2, delivered: 0 })
    },
  },
  'an end that throws': {
    options: (network) => ({
      transport: (endpoint) => (listener) => {
        const end = network.transport(endpoint)(listener)
        return () => {
          end()
          boom()
        }
      },
    }),
    provoke: ({ network }) => network.current!.lose({ code: 'connection-lost' }),
    said: ({ link, faults }) => {
      expect(faults).toContain('connection-lost')
      expect(link.status.state).toBe('live')
    },
  },
  'a transport that reports an error after its end': {
    options: (network) => ({
      transport: (endpoint) => (listener) => {
        const end = network.transport(endpoint)(listener)
        return () => {
          end()
          listener.lost({ code: 'connection-lost', detail: 'late' })
          listener.frame('{"op":"welcome"}')
        }
      },
    }),
    provoke: ({ network }) => network.current!.lose({ code: 'closed-by-peer' }),
    said: tells('closed-by-peer'),
  },
  'a lookup that throws': {
    options: () => ({ lookup: boom }),
    said: (harmed) => expect(harmed.faults).not.toEqual([]),
  },
  'a lookup that rejects': {
    options: () => ({ lookup: rejects }),
    said: (harmed) => expect(harmed.faults).not.toEqual([]),
  },
  'a lookup that never answers': { options: () => ({ lookup: never }), said: tells('name-unavailable') },
}

describe('R63: a transport that fails in any phase is told, and harms its own leg at most', () => {
  test.each(Object.keys(transports))('incident 2.1 %s', (name) => {
    const harm = transports[name]!
    // by name, the lookup is asked
    const named = name.includes('lookup')
      ? { adapter: () => ({ target: () => ({ url: 'ws://peer.test:7000/' }) }) }
      : {}
    return harming({ ...harm, ...named })
  })
})

const budget =
  (part: Partial<StartBudget>): Harm['adapter'] =>
  () => ({
    starts: { budget: { reserve: async () => ({ waitMs: 0, ticket: 1 }), refund: async () => undefined, ...part } },
  })

const store =
  (part: Partial<Store>): Harm['options'] =>
  () => ({ store: { ...memoryStore(), ...part } })

const refused = ({ link, faults }: Leg) => {
  expect(faults).toEqual([])
  expect(link.stats.outbox.refused).toBe(1)
}

const services: Record<string, Harm> = {
  'a budget that throws': { adapter: budget({ reserve: boom }), said: tells('session-budget') },
  'a budget that rejects': { adapter: budget({ reserve: rejects }), said: tells('session-budget') },
  'a budget that never answers': { adapter: budget({ reserve: never }), said: tells('resolve-timeout') },
  'a refund that throws': {
    adapter: (talk) => ({ ...budget({ refund: boom })!(talk), dialogue: boom }),
    provoke: ({ link }) => link.hold(),
    said: tells('adapter-failed'),
  },
  'a refund that rejects': {
    adapter: (talk) => ({ ...budget({ refund: rejects })!(talk), dialogue: boom }),
    provoke: ({ link }) => link.hold(),
    said: tells('adapter-failed'),
  },
  'a budget that cannot import': {
    adapter: budget({ import: boom }),
    options: () => ({
      handOver: { version: 1, adapter: 'small-talk', id: 'harmed', at: 0, session: {}, outbox: [], budget: {} },
    }),
    said: stays,
  },
  'a store that throws when it is read': { options: store({ read: boom }), said: refused },
  'a store that rejects when it is read': { options: store({ read: rejects }), said: refused },
  'a store that throws when it is written': { options: store({ write: boom }), said: refused },
  'a store that rejects when it is written': { options: store({ write: rejects }), said: refused },
}

describe('R58: budgets and stores that fail are told, and harm their own leg at most', () => {
  test.each(Object.keys(services))('incident 2.1 %s', (name) => harming(services[name]!))
})

const streams = ['state$', 'inbound$', 'transitions$', 'continuity$', 'settled$', 'writable$'] as const

describe('listeners', () => {
  test.each(streams)('R58: incident 2.1 a listener of %s that throws is counted, and nobody is harmed', (stream) =>
    harming({
      options: () => ({ outbox: { messagesMax: 1 } }),
      provoke: ({ link, network }) => {
        ;(link[stream] as Observable<unknown>).subscribe({ next: boom, complete: boom })
        void link.send({ text: 'one' })
        network.current!.frame({ op: 'news', text: 'again' })
        network.current!.lose({ code: 'connection-lost' })
      },
      said: ({ link }) => {
        expect(link.status.state).toBe('live')
        expect(link.stats.listenerErrors).toBeGreaterThan(0)
        expect(warned.join()).toContain(stream)
      },
    }))

  test('incident 2.1 a loop over messages that throws ends itself alone', () =>
    harming({
      provoke: ({ link, network }) => {
        const read = async () => {
          for await (const _ of link) boom()
        }
        read().catch((error: Error) => warned.push(error.message))
        network.current!.frame({ op: 'news', text: 'again' })
      },
      said: (harmed) => {
        stays(harmed)
        expect(warned).toEqual(['boom'])
      },
    }))

  test('R37: a send from within any listener is taken and gets its fate', async () => {
    for (const stream of streams) {
      const clock = heapClock()
      const { link, network } = leg(clock, 'bot', smallTalk() as Adapter)
      const sent: ReturnType<typeof follow>[] = []
      ;(link[stream] as Observable<unknown>).subscribe(() => {
        if (sent.length < 20) sent.push(follow(link.send({ text: stream }, { withinMs: 5_000 })))
      })
      await clock.advance(100)
      void link.send({ text: 'first' })
      network.current!.frame({ op: 'news', text: 'again' })
      network.current!.lose({ code: 'connection-lost' })
      await clock.advance(20_000)
      expect(sent.length, stream).toBeGreaterThan(0)
      for (const { value } of sent)
        expect(['delivered', 'uncertain'], stream).toContain((value as { fate: string }).fate)
      const { entered, waiting } = link.stats.outbox
      expect({ entered, waiting }, stream).toEqual({ entered: sent.length + 1, waiting: 0 })
      void link.stop({ drainMs: 0 })
      await clock.advance(4_000)
    }
    expect(escaped).toEqual([])
  })
})

describe('a send while there is no transport', () => {
  test('incident 2.5 in backoff it settles within its time: delivered if the link is back, expired if not', async () => {
    const clock = heapClock()
    const { link, network } = leg(clock, 'bot', smallTalk() as Adapter)
    await clock.advance(100)
    network.healthy = false
    network.current!.lose({ code: 'connection-lost' })
    expect(link.status.state).toBe('backoff')
    const [soon, late] = [follow(link.send({ text: 'a' }, { withinMs: 700 })), follow(link.send({ text: 'b' }))]
    const asked = follow(link.call('ask', { text: 'c' }, { withinMs: 700 }))
    await clock.advance(701)
    expect(soon.value).toMatchObject({ fate: 'expired' })
    expect(asked.error).toMatchObject({ code: 'expired' })
    network.healthy = true
    await clock.advance(60_000)
    expect(late.value).toMatchObject({ fate: 'delivered' })
    void link.stop({ drainMs: 0 })
    await clock.advance(4_000)
    expect(escaped).toEqual([])
  })
})
