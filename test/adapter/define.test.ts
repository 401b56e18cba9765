/** The port of adapters: what defineAdapter() accepts, and what the engine makes of an adapter that misbehaves. */
import { describe, expect, it } from 'vitest'
import {
  type Adapter,
  type Dialogue,
  defineAdapter,
  type Frame,
  type Io,
  lengthPrefixed,
} from '../../src/adapter/adapter.ts'
import { isHoldfastError } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import type { TransportListener } from '../../src/transport/transport.ts'
import { follow } from '../small-talk.ts'

type Mischief = { [K in keyof Adapter]?: unknown }

const TOKEN = 'canary-0123456789'
const target = { url: 'ws://127.0.0.1:7000/', secrets: [TOKEN] }
const willing = (io: Io<unknown>): Dialogue => ({
  opened: () => io.welcome(),
  frame: (frame) => {
    if (frame === 'garbage') return 'malformed'
    if (frame === 'bug') throw new Error('a bug of the adapter')
    return frame === 'riddle' ? 'unknown' : 'taken'
  },
})
const framing = lengthPrefixed({ bytes: 4 })
const spec = { name: 'own', target, dialogue: willing }

/** A link on an adapter of which some parts are replaced. */
const hold = async (parts: Mischief, script = {}) => {
  const clock = heapClock()
  const network = new FakeNetwork(clock, script)
  const ios: Io<unknown>[] = []
  const { dialogue = willing } = parts as { dialogue?: typeof willing }
  const adapter = defineAdapter({
    ...spec,
    ...parts,
    dialogue: (io: Io<unknown>) => {
      ios.push(io)
      return dialogue(io)
    },
  } as typeof spec)
  const { transport, lookup } = network
  const link = connect(adapter as Adapter, { id: 'bot', clock, transport, lookup })
  await clock.advance(30)
  const end = async () => {
    const stopped = follow(link.stop())
    await clock.advance(4_000)
    expect([stopped.settled, clock.pending, network.openCount]).toEqual([true, 0, 0])
  }
  return { clock, network, link, ios, end }
}

const usageError = (make: () => unknown): string => {
  try {
    make()
  } catch (error) {
    if (isHoldfastError(error) && error.code === 'bad-option') return error.message
    throw error
  }
  throw new Error('it was accepted')
}

describe('defineAdapter()', () => {
  it('takes a target as it is, or as a function that is asked on every attempt', async () => {
    const signal = new AbortController().signal
    for (const each of [target, () => target, async () => target]) {
      expect(await defineAdapter({ ...spec, target: each }).target({ signal })).toEqual(target)
    }
  })

  it.each([
    [undefined, /^The adapter is undefined, not an adapter\. Make one with/],
    [null, /^The adapter is null/],
    ['onebot', /^The adapter is a string/],
    [{ ...spec, name: undefined }, /adapter\.name is undefined; it must be a non-empty string/],
    [{ ...spec, name: '' }, /adapter\.name is a string; it must be a non-empty string/],
    [{ ...spec, dialogue: undefined }, /adapter\.dialogue of "own" is undefined; it must be a function/],
    [{ ...spec, dialogue: {} }, /adapter\.dialogue of "own" is an object; it must be a function/],
    [{ ...spec, encode: 'x' }, /adapter\.encode of "own" is a string; it must be a function/],
    [{ ...spec, overlap: 1 }, /adapter\.overlap of "own" is the number 1; it must be a boolean/],
    [{ ...spec, dedupes: 'yes' }, /adapter\.dedupes of "own" is a string; it must be a boolean/],
    [{ ...spec, resumeHosts: 'a.test' }, /adapter\.resumeHosts of "own" is a string; it must be a list of host names/],
    [{ ...spec, resumableClose: 1006 }, /adapter\.resumableClose of "own" is the number 1006; it must be a close code/],
    [{ ...spec, pace: { count: 0, ms: 1 } }, /adapter\.pace of "own" is an object; it must be \{ count, ms \}/],
    [{ ...spec, starts: {} }, /adapter\.starts of "own" is an object; it must be \{ budget: sessionBudget/],
    [{ ...spec, request: 1 }, /adapter\.request of "own" is the number 1/],
    [{ ...spec, probe: null }, /adapter\.probe of "own" is null/],
    [{ ...spec, target: undefined }, /url of the target of adapter "own" is undefined/],
    [{ ...spec, target: { url: 'x' } }, /is not a URL/],
    [{ ...spec, target: { url: 'ftp://h/' } }, /begins with "ftp:"/],
    [{ ...spec, target: { url: 'ws://h/#x' } }, /has a fragment/],
    [{ ...spec, target: { ...target, headers: 'x' } }, /headers of .* are a string; they must be an object/],
    [{ ...spec, target: { ...target, headers: { 'A B': 'x' } } }, /header "A B" of .* must have a name without spaces/],
    [{ ...spec, target: { ...target, headers: { A: `${TOKEN}\n` } } }, /header "A" of .* on one line/],
    [{ ...spec, target: { ...target, headers: { A: 7 } } }, /header "A" of .* be a string/],
    [
      { ...spec, target: { ...target, protocols: 'chat' } },
      /protocols of .* is a string; it must be an array of strings/,
    ],
    [{ ...spec, target: { url: 'tcp://h:1' } }, /framing of .* is undefined; it must be one such as lengthPrefixed/],
    [{ ...spec, target: { url: 'tls://h:1', framing: {} } }, /framing of .* is an object; it must be one such as/],
    [{ ...spec, target: { url: 'tcp://h', framing } }, /url of .* has no port, and tcp: has none by itself/],
    [{ ...spec, target: { url: `tcp://u:${TOKEN}@h:1`, framing } }, /has more than a host and a port/],
    [{ ...spec, target: { url: `tls://h:1/?t=${TOKEN}`, framing } }, /has more than a host and a port/],
    [{ ...spec, target: { url: 'tcp://h:1', framing, keyExchange: {} } }, /keyExchange of .* is an object; it must be/],
    [{ ...spec, target: { ...target, framing } }, /has a framing or a keyExchange: those are for tcp:\/\/ and tls:/],
    [{ ...spec, target: { ...target, secrets: [TOKEN, 7] } }, /secrets of .* is an array with something else in it/],
  ])('refuses what is no adapter, by name and without secrets: %#', (given, problem) => {
    const message = usageError(() => defineAdapter(given as typeof spec))
    expect(message).toMatch(problem)
    expect(message).not.toContain(TOKEN)
  })

  it('is not the only way: connect() looks at what it gets', () => {
    expect(usageError(() => connect({} as Adapter))).toMatch(/adapter\.name is undefined/)
    expect(usageError(() => connect(undefined as unknown as Adapter))).toMatch(/The adapter is undefined/)
    expect(usageError(() => connect({ ...spec, target: 'ws://h/' } as unknown as Adapter))).toMatch(/adapter\.target/)
  })
})

describe('a dialogue', () => {
  it('is made anew for each transport', async () => {
    const { clock, link, network, ios, end } = await hold({})
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(2_000)
    expect(ios).toHaveLength(2)
    expect(ios[0]).not.toBe(ios[1])
    expect(link.status.state).toBe('live')
    await end()
  })

  it.each([
    ['cannot begin', { dialogue: () => fail(`no: ${TOKEN}`) }],
    ['is missing', { dialogue: () => undefined }],
    ['throws when the transport opens', { dialogue: () => ({ opened: () => fail(TOKEN), frame: () => 'taken' }) }],
  ])('R83 that %s is a fault of the adapter, and no secret is told', async (_what, parts) => {
    const { link, end } = await hold(parts)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'adapter-failed' } })
    expect(JSON.stringify(link.recording)).not.toContain(TOKEN)
    await end()
  })

  it('that throws on a frame, or gives no verdict, costs that frame alone', async () => {
    const { link, network, end } = await hold({
      dialogue: (io: Io<unknown>) => ({
        ...willing(io),
        frame: (frame: Frame) => (frame === 'bug' ? fail('x') : frame),
      }),
    })
    for (const frame of ['bug', 'no verdict', 'toString', 'taken', 'unknown', 'malformed'])
      network.current!.frame(frame)
    expect(link.stats.frames).toEqual({ taken: 1, unknown: 1, malformed: 1, failed: 3 })
    expect(link.status.state).toBe('live')
    await end()
  })

  it('says what a close code means, and otherwise RFC 6455 does', async () => {
    const closed = (code: number) => (code === 4001 ? 'kicked' : code === 4002 ? fail('x') : undefined)
    for (const [code, expected] of [
      [4001, 'kicked'],
      [4002, 'adapter-failed'],
      [1000, 'closed-by-peer'],
    ] as const) {
      const { link, network, end } = await hold({ dialogue: (io: Io<unknown>) => ({ ...willing(io), closed }) })
      network.current!.lose({ code: 'closed-by-peer', detail: `close ${code}` }, { code, reason: '' })
      expect(link.status.fault).toEqual({ code: expected, detail: `close ${code}` })
      await end()
    }
  })

  it('is not heard any more when its transport has ended', async () => {
    const { clock, link, network, ios, end } = await hold({
      encode: (_message: unknown, key: string) => ({ frame: key, proof: 'answer' }),
    })
    const receipt = follow(link.send('x', { idempotencyKey: 'k' }))
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(2_000)
    const [old] = ios
    const written = [...network.current!.sent]
    const { total } = link.recording
    old!.send('late')
    old!.welcome()
    old!.deliver('late')
    old!.answer('k', 'late')
    old!.refuse('k', 'late')
    old!.impaired('deaf')
    old!.recovered()
    old!.heartbeat({ expectMs: 1 })
    old!.fail('kicked')
    await clock.advance(0)
    expect(receipt.settled).toBe(false)
    expect(network.current!.sent).toEqual(written)
    expect(link.recording.total).toBe(total)
    await end()
  })
})

describe('what an adapter reports', () => {
  it.each([
    ['impaired', (io: Io<unknown>) => io.impaired('account-offline', `no ${TOKEN}`), 'degraded.impaired'],
    ['fail', (io: Io<unknown>) => io.fail('closed-by-peer', { detail: `no ${TOKEN}` }), 'backoff'],
  ] as const)('by %s() is shown without secrets', async (_how, report, state) => {
    const { link, ios, end } = await hold({})
    report(ios[0]!)
    expect(link.status).toMatchObject({ state, fault: { detail: 'no ***' } })
    expect(JSON.stringify([link.recording, link.explain()])).not.toContain(TOKEN)
    await end()
  })

  it('by refuse() too', async () => {
    const { clock, link, ios, end } = await hold({ encode: () => ({ frame: 'x', proof: 'answer' }) })
    const receipt = follow(link.send('x', { idempotencyKey: 'k' }))
    ios[0]!.refuse('k', `bad ${TOKEN}`)
    await clock.advance(0)
    expect(receipt.value).toEqual({ fate: 'refused', detail: 'bad ***' })
    await end()
  })

  it.each([
    Number.NaN,
    -1,
    0,
    Number.POSITIVE_INFINITY,
  ])('a wait of %s ms is no wait that was asked for', async (ms) => {
    const { link, ios, end } = await hold({})
    ios[0]!.fail('closed-by-peer', { retryAfterMs: ms })
    expect(link.status.state).toBe('backoff')
    expect(link.status.fault).toEqual({ code: 'closed-by-peer' })
    link.retry()
    expect(link.status.state).toBe('resolving')
    await end()
  })

  it('as a fault that does not exist is unknown, and the link goes on', async () => {
    const { link, ios, end } = await hold({})
    ios[0]!.fail('no-such-fault' as 'unknown')
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'unknown' } })
    await end()
  })
})

describe('a probe of its own', () => {
  const probing = (parts: Mischief = {}) => {
    const keys: string[] = []
    const probe = (key: string) => {
      keys.push(key)
      return `probe ${key}`
    }
    return { keys, parts: { probe, ...parts } }
  }

  it('is sent in place of a ping', async () => {
    const { keys, parts } = probing()
    const { clock, network, end } = await hold(parts)
    await clock.advance(3_000)
    expect(keys.length).toBeGreaterThan(1)
    expect(network.transports[0]!.sent).toEqual(keys.map((key) => `probe ${key}`))
    await end()
  })

  it('may be the dialogue’s, which knows what came over its own transport', async () => {
    const { keys, parts } = probing()
    const dialogue = (io: Io<unknown>) => {
      let last = 'nothing'
      const frame = (raw: Frame) => {
        last = String(raw)
        return willing(io).frame(raw)
      }
      return { ...willing(io), frame, probe: () => `after ${last}` }
    }
    const { clock, network, end } = await hold({ ...parts, dialogue })
    network.current!.frame('news')
    await clock.advance(20_000)
    network.current!.lose({ code: 'connection-lost' })
    await clock.advance(20_000)
    const [first, second] = network.transports.map(({ sent }) => sent)
    expect(first!.slice(0, 2)).toEqual(['after nothing', 'after news'])
    expect(second![0]).toBe('after nothing')
    expect(keys).toEqual([])
    await end()
  })

  it('has a key that no message has, whatever keys users choose', async () => {
    const { keys, parts } = probing({ encode: (_message: unknown, key: string) => ({ frame: key, proof: 'answer' }) })
    const { clock, link, ios, end } = await hold(parts)
    const chosen = ['p1', 'p2', 'm1', '1', 'h0', 'probe'].map((key) => follow(link.send('x', { idempotencyKey: key })))
    await clock.advance(500)
    for (const key of keys) ios[0]!.answer(key, { online: true })
    await clock.advance(0)
    expect(keys.length).toBeGreaterThan(0)
    expect(chosen.map(({ settled }) => settled)).toEqual(chosen.map(() => false))
    await end()
  })

  it('that throws is a fault of the adapter, at the start and later', async () => {
    for (const good of [0, 1]) {
      let probes = 0
      const { clock, link, end } = await hold({ probe: () => (probes++ < good ? 'p' : fail(`no ${TOKEN}`)) })
      await clock.advance(good * 4_000)
      expect(link.recording.kept.map(({ reason }) => reason)).toContain('adapter-failed')
      expect(JSON.stringify(link.recording)).not.toContain(TOKEN)
      await end()
    }
  })
})

describe('life', () => {
  /** The listener of a transport that the test plays by hand, frame by frame and chunk by chunk. */
  const suspect = async () => {
    const clock = heapClock()
    let listener!: TransportListener
    const pipe = { send: () => undefined, ping: () => undefined, bufferedBytes: () => 0, close: () => undefined }
    const transport = () => (told: TransportListener) => {
      listener = told
      return () => undefined
    }
    const link = connect(defineAdapter(spec) as Adapter, { clock, transport, deadlines: { graceMs: 60_000 } })
    await clock.advance(0)
    listener.opened()
    listener.ready(pipe)
    await clock.advance(5_000)
    expect(link.status.state).toBe('degraded.suspect')
    return { link, listener }
  }

  it.each([
    [['taken'], 'live'],
    [['riddle'], 'live'],
    [[], 'live'],
    [['taken', 'garbage'], 'live'],
    [['garbage', 'taken'], 'live'],
    [['garbage'], 'degraded.suspect'],
    [['garbage', 'garbage'], 'degraded.suspect'],
    [['bug'], 'degraded.suspect'],
  ])('a chunk of %j leaves the link %s', async (frames, state) => {
    const { link, listener } = await suspect()
    for (const frame of frames) listener.frame(frame)
    listener.inbound()
    expect(link.status.state).toBe(state)
  })

  it('is seen in a pong, even beside garbage', async () => {
    const { link, listener } = await suspect()
    listener.frame('garbage')
    listener.answered('p1')
    listener.inbound()
    expect(link.status.state).toBe('live')
  })
})

describe('a transport of the user', () => {
  it('that cannot be made is a fault, and no secret is told', async () => {
    const clock = heapClock()
    const transport = () => fail(`cannot dial ${TOKEN}`)
    const link = connect(defineAdapter(spec) as Adapter, { clock, transport })
    await clock.advance(0)
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'engine-failed' } })
    expect(JSON.stringify(link.recording)).not.toContain(TOKEN)
    const stopped = follow(link.stop())
    await clock.advance(1)
    expect([stopped.settled, clock.pending]).toEqual([true, 0])
  })
})

describe('an adapter without a way to speak', () => {
  it('says so when it is asked to', async () => {
    const { link, end } = await hold({})
    expect(() => link.send('x')).toThrow('The adapter "own" has no send(); use call().')
    await expect(link.call('x')).rejects.toThrow('The adapter "own" has no call(); use send().')
    await end()
  })
})

const fail = (message: string): never => {
  throw new Error(message)
}
