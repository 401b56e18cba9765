/** What the stream says to viewers, and what it does with those that misbehave. Real sockets, virtual time. */
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faults } from '../../machines/fault.ts'
import { type InspectOptions, type Inspector, inspect } from '../../src/observe/inspect/index.ts'
import { CLOSE, type ServerMessage } from '../../src/observe/inspect/protocol.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { FakeLink, fakeFleet } from './fake-link.ts'
import { type Client, connectClient, tokenOf } from './viewer-client.ts'

let clock: HeapClock
let inspector: Inspector
let a: FakeLink
let b: FakeLink
let links: ReturnType<typeof fakeFleet>
const clients: Client[] = []

beforeEach(() => {
  clock = heapClock()
  a = new FakeLink('a')
  b = new FakeLink('b')
  links = fakeFleet(a, b)
})
afterEach(async () => {
  for (const { socket } of clients.splice(0)) socket.terminate()
  const closed = inspector.close()
  await clock.advance(2_000)
  await closed
})

const open = async (options: InspectOptions = {}) => {
  inspector = await inspect(links, { clock, ...options })
}
const enter = async (token?: string | null): Promise<Client> => {
  const client = await connectClient(inspector.url, token)
  clients.push(client)
  return client
}
/** So that it has heard what was said to it. */
const settle = () => pause(30)
/** A line per message, without the parts that another test looks at. */
const line = (message: ServerMessage): string =>
  message.t === 'hello' ? 'hello' : JSON.stringify(message).replaceAll('"', '').slice(1, -1)

describe('a conversation', () => {
  test('from the token to the goodbye', async () => {
    await open()
    expect(a.isWatched).toBe(false)
    const client = await enter()
    await client.until('snap')
    expect(a.isWatched).toBe(true)
    a.go('connecting', { event: 'endpoint.resolved' })
    a.go('backoff', { event: 'transport.lost', fault: { code: 'refused', detail: 'ECONNREFUSED' }, delayMs: 900 })
    await clock.advance(100)
    client.say({ t: 'sub', indexes: [0, 7] })
    await client.until('history')
    a.roundTripMs = 12.345
    a.go('resolving', { event: 'after backoffDelay' })
    b.go('live', { event: 'replay.completed' })
    const late = new FakeLink('late')
    links.add(late)
    links.remove(b)
    await clock.advance(900)
    await client.until('agg')
    client.say({ t: 'cmd', n: 1, cmd: 'retry', index: 0 })
    await client.until('done')
    const refused = String(Object.keys(faults).indexOf('refused'))
    expect(client.heard.map(line)).toEqual(
      [
        'hello',
        't:snap,rows:[[0,a,fake,0,1000000,1,-1,-1,1010000],[1,b,fake,0,1000000,1,-1,-1,1010000]],more:false',
        't:delta,at:1767225600100,changes:[[0,7,1000002,1,#,-1,1000902]],added:[],gone:[]',
        't:history,index:0,kept:[' +
          '{link:a,at:1000001,elapsedMs:1,from:resolving,event:endpoint.resolved,to:connecting,reason:endpoint.resolved,attempt:1,seq:1},' +
          '{link:a,at:1000002,elapsedMs:2,from:connecting,event:transport.lost,to:backoff,reason:refused,attempt:1,delayMs:900,seq:2}' +
          '],total:2,explain:{' +
          'en:a is waiting before the next dial (attempt 1). Because nothing listens on that port (ECONNREFUSED). ' +
          'Start the peer, or correct the port. The link comes back by itself. Next: it dials again in 0.0 s at the latest.,' +
          'zh:a 等待下一次拨号（第 1 次）。原因：该端口没有程序在监听（ECONNREFUSED）。启动对端，或更正端口；连接会自行恢复。接下来：最迟 0.0 秒后再次拨号。},' +
          'deadlines:{resolveMs:10000,connectMs:10000,tlsMs:10000,upgradeMs:10000,handshakeMs:15000,resumeMs:10000,replayMs:15000,graceMs:2000,provenMs:120000,closeMs:3000}',
        't:delta,at:1767225600200,changes:[[0,0,1000003,1,-1,12.3,1010003]],added:[[2,late,fake,0,1000000,1,-1,-1,1010000]],gone:[1]',
        't:tx,records:[[0,{link:a,at:1000003,elapsedMs:3,from:backoff,event:after backoffDelay,to:resolving,reason:after backoffDelay,attempt:1,seq:3}]],lost:0',
        't:delta,at:1767225601000,changes:[[0,0,1000003,1,-1,12.3,1010003]],added:[],gone:[]',
        't:agg,counts:[2,0,0,0,0,0,0,0,0,0,0],rate:4,causes:[[#,1]]',
        't:done,n:1,error:This inspector only watches.',
      ].map((text) => text.replace('#', refused)),
    )
    client.socket.close()
    await client.closed
    await settle()
    expect(a.isWatched).toBe(false)
  })

  test('hello tells the chart, the deadlines and the faults by name', async () => {
    await open({ control: true, lab: { faults: ['killed'], link: 'a', play: async () => undefined } })
    const hello = await (await enter()).until('hello')
    expect(hello).toMatchObject({ protocol: 'holdfast-inspect/1', control: true, labFaults: ['killed'], labLink: 'a' })
    expect(hello.runtime).toBe(`node ${process.versions.node} ${process.platform} ${process.arch}`)
    expect(hello.version).toMatch(/^\d+\.\d+\.\d+/)
    expect(hello.arrows).toContainEqual({ from: 'connecting', to: 'handshaking', events: ['transport.opened'] })
    expect(hello.arrows).toContainEqual({ from: 'link', to: 'parked', events: ['operator.hold'] })
    expect(hello.deadlines).toMatchObject({ connecting: 10_000, handshaking: 15_000, 'degraded.suspect': 2_000 })
    expect(hello.deadlines.live).toBeUndefined()
    expect(hello.faults.find(({ code }) => code === 'refused')).toMatchObject({ kind: 'vacant', side: 'peer' })
  })

  test('more links than fit one message come in several', async () => {
    for (let i = 0; i < 2_500; i++) links.add(new FakeLink(`x${i}`))
    await open()
    const client = await enter()
    await client.until('snap', ({ more }) => !more)
    const snaps = client.heard.filter((message) => message.t === 'snap')
    expect(snaps.map(({ rows, more }) => [rows.length, more])).toEqual([
      [1_000, true],
      [1_000, true],
      [502, false],
    ])
  })

  test('of a thousand transitions in a tick the latest state and 200 records are sent, and the rest is counted', async () => {
    await open()
    const client = await enter()
    await client.until('snap')
    client.say({ t: 'sub', indexes: [0] })
    await client.until('history')
    for (let i = 0; i < 1_000; i++) a.go(i % 2 === 0 ? 'live' : 'backoff')
    await clock.advance(100)
    expect((await client.until('delta')).changes).toHaveLength(1)
    const { records, lost } = await client.until('tx')
    expect([records.length, lost]).toEqual([200, 800])
  })

  test('a subscription again brings no second history of a link that it had', async () => {
    await open()
    const client = await enter()
    await client.until('snap')
    client.say({ t: 'sub', indexes: [0] })
    await client.until('history')
    client.say({ t: 'sub', indexes: [0, 1] })
    await client.until('history', ({ index }) => index === 1)
    expect(client.heard.filter(({ t }) => t === 'history')).toHaveLength(2)
    client.say({ t: 'sub', indexes: [] })
    await settle()
    a.go('live')
    await clock.advance(100)
    await client.until('delta')
    expect(client.heard.some(({ t }) => t === 'tx')).toBe(false)
  })
})

describe('orders', () => {
  test('are obeyed with control, each told when it is done', async () => {
    const played: string[] = []
    const play = async (fault: string) => {
      if (played.push(fault) > 1) throw new Error('one at a time')
    }
    await open({ control: true, lab: { faults: ['killed'], play } })
    const client = await enter()
    await client.until('snap')
    for (const [n, cmd] of (['retry', 'hold', 'resume', 'stop'] as const).entries())
      client.say({ t: 'cmd', n, cmd, index: 0 })
    client.say({ t: 'cmd', n: 4, cmd: 'retry', index: 99 })
    for (const n of [5, 6]) client.say({ t: 'cmd', n, cmd: 'fault', fault: 'killed' })
    client.say({ t: 'cmd', n: 7, cmd: 'fault', fault: 'rm -rf' })
    await client.until('done', ({ n }) => n === 7)
    expect(a.orders).toEqual(['retry', 'hold', 'resume', 'stop'])
    expect(b.orders).toEqual([])
    expect(played).toEqual(['killed', 'killed'])
    const done = client.heard.filter((message) => message.t === 'done').sort((x, y) => x.n - y.n)
    expect(done.map(({ error }) => error)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      'There is no such link any more.',
      undefined,
      'one at a time',
      'There is no such fault.',
    ])
  })

  test('change nothing without control', async () => {
    const play = async () => void b.orders.push('broken')
    await open({ lab: { faults: ['killed'], play } })
    const client = await enter()
    expect((await client.until('hello')).labFaults).toEqual([])
    await client.until('snap')
    client.say({ t: 'cmd', n: 1, cmd: 'stop', index: 0 })
    client.say({ t: 'cmd', n: 2, cmd: 'fault', fault: 'killed' })
    await client.until('done', ({ n }) => n === 2)
    expect(client.heard.flatMap((message) => (message.t === 'done' ? [message.error] : []))).toEqual(
      Array(2).fill('This inspector only watches.'),
    )
    expect([...a.orders, ...b.orders]).toEqual([])
  })
})

describe('the token', () => {
  test('a wrong, a shorter, a longer, an empty and a huge one, and another message first, are sent away and told nothing', async () => {
    await open()
    const token = tokenOf(inspector.url)
    const wrong = [
      `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`,
      token.slice(0, -1),
      `${token}A`,
      '',
      'x'.repeat(300),
      token.toUpperCase(),
    ]
    for (const each of wrong) {
      const client = await enter(each)
      expect(await client.closed, each).toMatchObject({ code: CLOSE.unauthorized })
      expect(client.heard).toEqual([])
    }
    for (const first of [
      '{"t":"sub","indexes":[0]}',
      'hello',
      '{}',
      Buffer.from(JSON.stringify({ t: 'auth', token })),
    ]) {
      const client = await enter(null)
      client.say(first)
      expect(await client.closed).toMatchObject({ code: CLOSE.unauthorized })
      expect(client.heard).toEqual([])
    }
    expect(a.isWatched).toBe(false)
  })

  test('after five seconds it is too late', async () => {
    await open()
    const client = await enter(null)
    await settle()
    await clock.advance(4_999)
    await settle()
    expect(client.socket.readyState).toBe(client.socket.OPEN)
    await clock.advance(1)
    expect(await client.closed).toMatchObject({ code: CLOSE.unauthorized })
  })

  test('is another one for each inspector', async () => {
    await open()
    const other = await inspect(links, { clock })
    expect(tokenOf(other.url)).not.toBe(tokenOf(inspector.url))
    await other.close()
  })
})

describe('viewers that misbehave', () => {
  test('what is no message of the protocol ends the connection', async () => {
    await open({ control: true })
    const wrong: (string | Buffer)[] = [
      'x',
      '',
      'null',
      '[]',
      '1',
      '{}',
      '{"t":"nonsense"}',
      '{"t":"__proto__"}',
      '{"t":"sub"}',
      '{"t":"sub","indexes":"all"}',
      '{"t":"sub","indexes":[-1]}',
      '{"t":"sub","indexes":[0.5]}',
      '{"t":"sub","indexes":[1e99]}',
      '{"t":"sub","indexes":[null]}',
      '{"t":"cmd","n":1,"cmd":"stop"}',
      '{"t":"cmd","cmd":"stop","index":0}',
      '{"t":"cmd","n":1,"cmd":"constructor","index":0}',
      '{"t":"cmd","n":1,"cmd":"fault","index":0}',
      `{"t":"cmd","n":1,"cmd":"fault","fault":"${'x'.repeat(300)}"}`,
      `{"t":"auth","token":"again"}`,
      `${'['.repeat(30_000)}`,
      Buffer.from('{"t":"sub","indexes":[0]}'),
    ]
    for (const each of wrong) {
      const client = await enter()
      await client.until('snap')
      client.say(each)
      expect(await client.closed, String(each).slice(0, 60)).toMatchObject({ code: CLOSE.malformed })
    }
    expect(a.orders).toEqual([])
  })

  test('a message of more than 64 KiB ends the connection', async () => {
    await open()
    const client = await enter()
    await client.until('snap')
    client.say(' '.repeat(64 * 1024 + 1))
    expect(await client.closed).toMatchObject({ code: 1009 })
  })

  test('the seventeenth is turned away, until one leaves', async () => {
    await open()
    for (let i = 0; i < 16; i++) await (await enter()).until('hello')
    await expect(enter()).rejects.toThrow('503')
    clients[0]!.socket.terminate()
    await settle()
    await (await enter()).until('hello')
  })

  test('one that reads is not let go because the inspected process slept', async () => {
    await open()
    const client = await enter()
    await client.until('snap')
    // pinged, and then nobody has a turn: the timer is late, and the pong waits in the kernel
    clock.advanceSync(1_900)
    clock.sleep(60_000)
    clock.advanceSync(100)
    await settle()
    a.go('live')
    await clock.advance(100)
    expect((await client.until('delta')).changes).toHaveLength(1)
    await client.until('agg')
  })

  test('T10 one that reads nothing is sent less, then let go after 10 s; the links and other viewers notice nothing', async () => {
    const many = Array.from({ length: 3_000 }, (_, i) => new FakeLink(`bot-${i}`))
    for (const link of many) links.add(link)
    await open()
    const [stalled, well] = [await enter(), await enter()]
    await stalled.until('snap', ({ more }) => !more)
    await well.until('snap', ({ more }) => !more)
    stalled.say({ t: 'sub', indexes: many.map((_, index) => index) })
    await stalled.until('history')
    stalled.socket.pause()
    const before = stalled.bytes()
    const tick = async () => {
      for (const link of many) link.go(link.status.state === 'live' ? 'backoff' : 'live')
      await clock.advance(100)
      await new Promise((resolve) => setImmediate(resolve))
    }
    let left: unknown
    void stalled.closed.then((how) => {
      left = how
    })
    // asked within a second whether it reads, and given ten to answer
    for (let i = 0; i < 99; i++) await tick()
    const asked = once(stalled.socket, 'ping')
    stalled.socket.resume()
    await asked
    await settle()
    stalled.socket.pause()
    for (let i = 0; i < 99; i++) await tick()
    expect(left).toBeUndefined()
    for (let i = 0; i < 32; i++) await tick()
    expect(many[0]!.isWatched).toBe(true)
    // what it was told until it was let go: what the kernel takes, then nothing, then the reason
    stalled.socket.resume()
    expect([CLOSE.tooSlow, 1006]).toContain((await stalled.closed).code)
    const told = stalled.bytes() - before
    await well.until('delta', ({ at }) => at >= clock.wall() - 2_100)
    const deltas = well.heard.filter(({ t }) => t === 'delta').length
    expect(deltas).toBeGreaterThanOrEqual(230)
    expect(told).toBeLessThan(well.bytes() / 2)
    well.socket.terminate()
    await settle()
    expect(many[0]!.isWatched).toBe(false)
  }, 60_000)
})
