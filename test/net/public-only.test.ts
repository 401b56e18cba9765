/**
 * Dialing an endpoint that a peer supplied (T3). Nothing here leaves the machine: where the dialer opens a socket to a
 * public address, a host on loopback stands in for it, and any other address but loopback is an error of the test.
 */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { faultFrom } from '../../src/error.ts'
import { parseProxy } from '../../src/net/proxy.ts'
import { type Address, type AddressFeed, Resolver } from '../../src/net/resolve.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { closeAll, dialTo, frameOf, rawServer, until, upgrading } from '../transport/servers.ts'
import { start } from './dialed.ts'
import { clearLoopback, listen, v4, watchSockets } from './loopback.ts'
import { httpProxy } from './proxies.ts'

const STAND_INS: Readonly<Record<string, string>> = { '93.184.215.14': '127.0.0.2', '2606:4700::1111': '127.0.0.3' }

vi.mock('node:net', async (original) => {
  const net = await original<typeof import('node:net')>()
  const standIn = (host: string): string => {
    if (host.startsWith('127.')) return host
    const found = STAND_INS[host]
    if (!found) throw new Error(`the dialer went for ${host}`)
    return found
  }
  const connect = (options: { host: string }) =>
    net.connect({ ...options, family: 4, host: standIn(options.host) } as never)
  return {
    ...net,
    connect: (to: unknown, ...more: never[]) =>
      typeof to === 'object' ? connect(to as never) : net.connect(to as never, ...more),
  }
})

afterEach(clearLoopback)
afterEach(closeAll)

const [PUBLIC_4, PUBLIC_6] = Object.keys(STAND_INS) as [string, string]
const public4: Address = { address: PUBLIC_4, family: 4 }
const public6: Address = { address: PUBLIC_6, family: 6 }
const metadata: Address = { address: '169.254.169.254', family: 4 }
const loopback6: Address = { address: '::1', family: 6 }

/** A feed that the test fills. */
class GrowingFeed implements AddressFeed {
  readonly known: Address[] = []
  isComplete = false
  readonly staleBecause = undefined
  doubts = 0
  #changed: () => void = () => undefined

  constructor(...known: Address[]) {
    this.known.push(...known)
  }

  listen(changed: () => void) {
    this.#changed = changed
    return () => {
      this.#changed = () => undefined
    }
  }

  doubt() {
    this.doubts++
  }

  add(...late: Address[]) {
    this.known.push(...late)
    this.#changed()
  }

  end() {
    this.isComplete = true
    this.#changed()
  }
}

const memory = 'gateway.example:443'
const publicOnly = { publicOnly: true, memory }

describe('T3: with publicOnly', () => {
  it('a host without a public address is not dialed at all, and the fault names host and addresses', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port)
    const made = watchSockets()
    const { won, failures, connections, told } = start([...v4(1), metadata, loopback6], port, publicOnly)
    await told
    expect(won).toEqual([])
    expect(connections).toEqual([])
    expect(made).toEqual([])
    expect(met).toEqual([])
    expect(faultFrom(failures[0], 'connecting')).toEqual({
      code: 'endpoint-refused',
      detail: `${memory} has addresses that are not public, which were not dialed: 127.0.0.1, 169.254.169.254, ::1`,
    })
  })

  it('the same is dialed without it', async () => {
    const port = await freePort()
    await listen('127.0.0.1', port)
    const { paths, told } = start(v4(1), port, { memory })
    await told
    expect(paths.map(({ address }) => address)).toEqual(['127.0.0.1'])
  })

  it('of a mixed list the public ones are dialed, wherever they stand in it', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port)
    await listen('127.0.0.2', port)
    for (const addresses of [
      [...v4(1), metadata, public4],
      [public4, ...v4(1)],
      [loopback6, public6, ...v4(1), public4],
    ]) {
      const { paths, told } = start(addresses, port, publicOnly)
      await told
      expect(paths.map(({ address }) => address)).toEqual([PUBLIC_4])
    }
    expect(met).toEqual([])
  })

  it('when those fail they are to blame, and the others are still left alone', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port)
    const { failures, told } = start([public4, ...v4(1), public6], port, publicOnly)
    await told
    expect(failures[0]!.attempts.map(({ address, code }) => [address, code])).toEqual([
      [PUBLIC_4, 'ECONNREFUSED'],
      [PUBLIC_6, 'ECONNREFUSED'],
    ])
    expect(faultFrom(failures[0], 'connecting')).toMatchObject({
      code: 'refused',
      detail: expect.stringContaining('which were not dialed: 127.0.0.1'),
    })
    expect(met).toEqual([])
  })

  it('eight addresses that are left out do not stand in the way of the ninth', async () => {
    const port = await freePort()
    await listen('127.0.0.2', port)
    const { paths, told } = start([...v4(1, 3, 4, 5, 6, 7, 8, 9, 10), public4], port, publicOnly)
    await told
    expect(paths.map(({ address }) => address)).toEqual([PUBLIC_4])
  })

  it('a late answer is judged like the first: a public one is dialed', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port)
    await listen('127.0.0.2', port)
    const feed = new GrowingFeed(...v4(1))
    const { paths, failures, told } = start(feed, port, publicOnly)
    feed.add(metadata)
    feed.add(public4)
    await told
    expect(failures).toEqual([])
    expect(paths.map(({ address }) => address)).toEqual([PUBLIC_4])
    expect(met).toEqual([])
  })

  it('a late answer is judged like the first: a private one is not dialed', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port)
    const feed = new GrowingFeed(public4)
    const { failures, told } = start(feed, port, publicOnly)
    feed.add(...v4(1))
    feed.end()
    await told
    expect(failures[0]!.attempts.map(({ address }) => address)).toEqual([PUBLIC_4])
    expect(met).toEqual([])
  })

  it('with private addresses alone it waits for late answers no longer than for any', async () => {
    const port = await freePort()
    const feed = new GrowingFeed(...v4(1))
    const { failures, told } = start(feed, port, publicOnly)
    expect(await told).toBeLessThan(1_000)
    expect(failures[0]!.fault).toEqual({ code: 'endpoint-refused' })
    // whoever asks next is not given the same answer from the cache
    expect(feed.doubts).toBe(1)
  })

  it('a name that is rebound to a private address after the first dial is refused at the second', async () => {
    const port = await freePort()
    const met = await listen('127.0.0.1', port)
    await listen('127.0.0.2', port)
    const clock = heapClock()
    const answers = [[public4], v4(1), [public4]]
    const lookups: string[] = []
    const lookup = async (host: string) => {
      lookups.push(host)
      return answers[lookups.length - 1]!
    }
    const resolver = new Resolver(clock)
    const dialOnce = async () => {
      const { paths, failures, told } = start(await resolver.find('gateway.example', { lookup }), port, publicOnly)
      await told
      return paths[0]?.address ?? failures[0]!.fault?.code
    }
    expect(await dialOnce()).toBe(PUBLIC_4)
    await clock.advance(31_000)
    expect(await dialOnce()).toBe('endpoint-refused')
    // a refusal is not remembered: it is looked up and judged anew
    expect(await dialOnce()).toBe(PUBLIC_4)
    expect(lookups).toHaveLength(3)
    expect(met).toEqual([])
  })

  it('the address that was judged is the one that is dialed: the name is not looked up in between', async () => {
    const port = await freePort()
    await listen('127.0.0.2', port)
    const lookups: string[] = []
    const lookup = async (host: string) => {
      lookups.push(host)
      return lookups.length === 1 ? [public4] : v4(1)
    }
    const feed = await new Resolver(heapClock()).find('gateway.example', { lookup })
    const { won, told } = start(feed, port, publicOnly)
    await told
    expect(won[0]!.remoteAddress).toBe('127.0.0.2')
    expect(lookups).toHaveLength(1)
  })
})

describe('T3: a WebSocket with publicOnly', () => {
  it('to a host without a public address is lost before anything was sent', async () => {
    const { port, open } = await rawServer((socket) => void socket.resume())
    const made = watchSockets()
    const url = `ws://gateway.example:${port}/`
    const dialed = dialTo(port, { url, publicOnly: true, headers: { Authorization: 'Bot secret' } })
    const { fault } = await dialed.loss()
    expect(fault).toEqual({ code: 'endpoint-refused', detail: expect.stringContaining(`gateway.example:${port} has`) })
    expect(fault.detail).not.toContain('secret')
    expect(dialed.told).toEqual(['lost'])
    expect([made.length, open.size]).toEqual([0, 0])
  })

  it('to the literal of a metadata service is lost likewise', async () => {
    const addresses = await new Resolver(heapClock()).find('169.254.169.254')
    const { fault } = await dialTo(80, { url: 'ws://169.254.169.254/', addresses, publicOnly: true }).loss()
    expect(fault.code).toBe('endpoint-refused')
  })

  it('through a proxy dials the proxy, which may be on loopback, and leaves the name to it', async () => {
    const { port } = await rawServer(upgrading((socket) => void socket.write(frameOf(1, 'hi'))))
    const proxy = await httpProxy()
    const dialed = dialTo(port, {
      url: `ws://gateway.example:${port}/`,
      publicOnly: true,
      proxy: parseProxy(`http://127.0.0.1:${proxy.port}`),
    })
    await until(() => dialed.frames.length > 0 || dialed.losses.length > 0)
    expect(dialed.losses).toEqual([])
    expect(proxy.asked).toEqual([`gateway.example:${port}`])
  })
})
