import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { realClock } from '../../src/clock.ts'
import { dial } from '../../src/net/dial.ts'
import { type EndpointRefusal, endpointBook, isAllowedEndpoint } from '../../src/net/endpoints.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'

const E1 = 'wss://e1.example/gateway'
const E2 = 'wss://e2.example/gateway'
const E3 = 'wss://e3.example/gateway'
const all = [E1, E2, E3]

const openBook = () => {
  const clock = heapClock()
  return { clock, book: endpointBook(clock) }
}

describe('ranking', () => {
  test('incident 3.5 given E1 (probe timeout), E2 (12 ms) and E3 (7 ms) the order is E3, E2, E1', () => {
    const { book } = openBook()
    book.failed(E1)
    book.connected(E2, 12)
    book.connected(E3, 7)
    expect(book.rank(all)).toEqual([E3, E2, E1])
  })

  test('incident 3.5 a timeout given as a time is the worst as well, and what is no time is never the best', () => {
    for (const [ms, order] of [
      [Number.POSITIVE_INFINITY, [E3, E2, E1]],
      [Number.NaN, [E3, E2, E1]],
      [-1, [E3, E2, E1]],
      [Number.NEGATIVE_INFINITY, [E3, E2, E1]],
    ] as const) {
      const { book } = openBook()
      book.connected(E1, ms)
      book.connected(E2, 12)
      book.connected(E3, 7)
      expect(book.rank(all), String(ms)).toEqual(order)
    }
  })

  test('incident 3.5 a connect to the real port is the probe: what answers ranks before what refuses', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const open = (server.address() as { port: number }).port
    const book = endpointBook(realClock)
    const probe = (url: string, port: number) =>
      new Promise<void>((resolve) => {
        const began = realClock.now()
        dial({
          addresses: [{ address: '127.0.0.1', family: 4 }],
          port,
          clock: realClock,
          opened: (socket) => {
            book.connected(url, realClock.now() - began)
            socket.destroy()
            resolve()
          },
          failed: () => {
            book.failed(url)
            resolve()
          },
        })
      })
    const closed = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => closed.once('listening', resolve))
    const gone = (closed.address() as { port: number }).port
    await new Promise((resolve) => closed.close(resolve))
    await probe('ws://a/', gone)
    await probe('ws://b/', open)
    server.close()
    expect(book.rank(['ws://a/', 'ws://b/', 'ws://c/'])).toEqual(['ws://b/', 'ws://c/', 'ws://a/'])
  })

  test('incident 3.6 given that E3 accepts, then fails its handshake: E2 at once; when all failed, resolve anew', () => {
    const { clock, book } = openBook()
    for (const [url, ms] of [
      [E1, 30],
      [E2, 12],
      [E3, 7],
    ] as const)
      book.connected(url, ms)
    expect(book.rank(all)[0]).toBe(E3)
    book.connected(E3, 7)
    book.failed(E3)
    const before = clock.now()
    expect(book.rank(all)[0]).toBe(E2)
    expect(clock.now() - before).toBeLessThan(1_000)
    expect(book.allFailedOnce()).toBe(false)
    book.failed(E2)
    expect(book.rank(all)[0]).toBe(E1)
    expect(book.allFailedOnce()).toBe(false)
    book.failed(E1)
    expect(book.allFailedOnce()).toBe(true)
    expect(book.rank(all), 'and then in turn').toEqual([E3, E2, E1])
    book.resolved()
    expect(book.allFailedOnce()).toBe(false)
    book.failed(E3)
    expect(book.allFailedOnce()).toBe(false)
    expect(book.rank(all)).toEqual([E2, E1, E3])
  })

  test('unmeasured ones come after measured ones and before failed ones', () => {
    const { book } = openBook()
    book.failed(E1)
    book.connected(E3, 4_000)
    expect(book.rank(all)).toEqual([E3, E2, E1])
  })

  test('equal ones keep the order of the user, repeats are one', () => {
    const { book } = openBook()
    expect(book.rank([E2, E1, E2, E3])).toEqual([E2, E1, E3])
    for (const url of all) book.connected(url, 20)
    expect(book.rank([E3, E1, E2])).toEqual([E3, E1, E2])
  })

  test('nothing is switched for a difference under 20 % or under 10 ms', () => {
    for (const [ours, other, first] of [
      [12, 7, E1],
      [20, 11, E1],
      [20, 10, E2],
      [1_000, 801, E1],
      [1_000, 800, E2],
      [100, 89, E1],
      [45, 35, E2],
      [30, 60, E1],
    ] as const) {
      const { book } = openBook()
      book.connected(E1, ours)
      book.welcomed(E1)
      book.connected(E2, other)
      expect(book.rank([E2, E1])[0], `${ours} ms against ${other} ms`).toBe(first)
    }
  })

  test('two endpoints whose times cross again and again are not switched at every connect', () => {
    const { book } = openBook()
    let random = 1
    const next = () => {
      random = (random * 48_271) % 2_147_483_647
      return random / 2_147_483_647
    }
    let switches = 0
    let current = E1
    for (let n = 0; n < 1_000; n++) {
      const best = book.rank([E1, E2])[0]!
      if (best !== current) switches++
      current = best
      book.connected(best, 50 + 8 * next())
      book.welcomed(best)
      book.connected(best === E1 ? E2 : E1, 50 + 8 * next())
    }
    expect(switches).toBeLessThanOrEqual(1)
  })

  test('one slow connect does not turn the order over; a lasting change does', () => {
    const { book } = openBook()
    for (let n = 0; n < 10; n++) {
      book.connected(E1, 40)
      book.connected(E2, 100)
    }
    book.welcomed(E1)
    book.connected(E1, 200)
    expect(book.rank([E1, E2])[0]).toBe(E1)
    for (let n = 0; n < 10; n++) book.connected(E1, 200)
    expect(book.rank([E1, E2])[0]).toBe(E2)
  })

  test('a connect does not forgive a failed handshake; a welcome does, and so do five minutes', () => {
    const { clock, book } = openBook()
    book.connected(E1, 5)
    book.failed(E1)
    book.connected(E1, 5)
    expect(book.rank([E1, E2])).toEqual([E2, E1])
    book.welcomed(E1)
    expect(book.rank([E1, E2])).toEqual([E1, E2])
    book.failed(E1)
    clock.advanceSync(299_999)
    expect(book.rank([E1, E2])).toEqual([E2, E1])
    clock.advanceSync(1)
    expect(book.rank([E1, E2])).toEqual([E1, E2])
  })

  test('a welcome ends the round of failures', () => {
    const { book } = openBook()
    book.rank([E1, E2])
    book.failed(E1)
    book.welcomed(E2)
    book.failed(E2)
    expect(book.allFailedOnce()).toBe(false)
    book.failed(E1)
    expect(book.allFailedOnce()).toBe(true)
  })

  test('a single endpoint: every failure asks for a new resolve; none at all asks for nothing', () => {
    const { book } = openBook()
    expect(book.allFailedOnce()).toBe(false)
    expect(book.rank([])).toEqual([])
    expect(book.allFailedOnce()).toBe(false)
    book.rank([E1])
    book.failed(E1)
    expect(book.allFailedOnce()).toBe(true)
    expect(book.rank([E1])).toEqual([E1])
  })

  test('a token in the query that changes with every attempt is the same endpoint', () => {
    const { book } = openBook()
    book.failed(`${E1}?access_token=one`)
    book.connected(`${E2}?access_token=one`, 10)
    expect(book.rank([`${E1}?access_token=two`, E3, `${E2}?access_token=two`])).toEqual([
      `${E2}?access_token=two`,
      E3,
      `${E1}?access_token=two`,
    ])
  })

  test('memory is bounded: of 100,000 endpoints the last are remembered, and no more than 256 are ranked', () => {
    const { book } = openBook()
    const urls = Array.from({ length: 100_000 }, (_, n) => `wss://e${n}.example/`)
    for (const url of urls) book.connected(url, 10)
    expect(book.rank([urls[0]!, urls.at(-1)!])).toEqual([urls.at(-1), urls[0]])
    expect(book.rank(urls)).toHaveLength(256)
    book.failed('not a URL at all')
    book.failed('x'.repeat(100_000))
    expect(book.rank(['not a URL at all', E1])).toEqual([E1, 'not a URL at all'])
  })
})

const discord = { hosts: ['discord.gg'], scheme: 'wss' } as const

const HOSTILE: [url: unknown, reason: EndpointRefusal][] = [
  // other schemes
  ['http://gateway.discord.gg/', 'scheme'],
  ['https://gateway.discord.gg/', 'scheme'],
  ['ws://gateway.discord.gg/', 'scheme'],
  ['ws://gateway.discord.gg:443/', 'scheme'],
  ['file:///etc/passwd', 'scheme'],
  ['javascript:alert(1)', 'scheme'],
  ['data:text/plain,wss://gateway.discord.gg', 'scheme'],
  ['gateway.discord.gg', 'scheme'],
  ['//gateway.discord.gg/', 'scheme'],
  ['blob:wss://gateway.discord.gg/', 'scheme'],
  ['wss', 'malformed'],
  // other hosts that look alike
  ['wss://discord.gg.evil.com/', 'host'],
  ['wss://evildiscord.gg/', 'host'],
  ['wss://evil.com/discord.gg', 'host'],
  ['wss://evil.com/?host=gateway.discord.gg', 'host'],
  ['wss://evil.com/#.discord.gg', 'host'],
  ['wss://discord-gg.com/', 'host'],
  ['wss://gg/', 'host'],
  ['wss://discord.com/', 'host'],
  ['wss://localhost/', 'host'],
  ['wss://metadata.google.internal/', 'host'],
  ['wss://127.0.0.1.nip.io/', 'host'],
  // another authority than it seems
  ['wss://discord.gg@evil.com/', 'userinfo'],
  ['wss://discord.gg:443@evil.com/', 'userinfo'],
  ['wss://user:pass@gateway.discord.gg/', 'userinfo'],
  ['wss://@gateway.discord.gg/', 'userinfo'],
  ['wss://evil.com\\.discord.gg/', 'bad-characters'],
  ['wss://evil.com\\@gateway.discord.gg/', 'bad-characters'],
  ['wss:\\\\gateway.discord.gg/', 'bad-characters'],
  ['wss:gateway.discord.gg', 'malformed'],
  ['wss:///gateway.discord.gg/', 'malformed'],
  ['wss://', 'malformed'],
  ['wss://?.discord.gg', 'malformed'],
  // names that are written in a strange way
  ['wss://gateway.discord.gg./', 'malformed'],
  ['wss://.discord.gg/', 'malformed'],
  ['wss://gateway..discord.gg/', 'malformed'],
  ['wss://-.discord.gg/', 'malformed'],
  ['wss://*.discord.gg/', 'malformed'],
  ['wss://gateway%2ediscord.gg/', 'malformed'],
  [`wss://${'a'.repeat(64)}.discord.gg/`, 'malformed'],
  [`wss://${'a.'.repeat(130)}discord.gg/`, 'malformed'],
  ['wss://dіscord.gg/', 'not-ascii'],
  ['wss://gateway。discord。gg/', 'not-ascii'],
  ['wss://ⓓiscord.gg/', 'not-ascii'],
  ['wss://xn--dscord-q2e.gg/', 'not-ascii'],
  ['wss://xn--e1awd7f.discord.gg/', 'not-ascii'],
  // addresses
  ['wss://127.0.0.1/', 'ip-literal'],
  ['wss://169.254.169.254/latest/meta-data/', 'ip-literal'],
  ['wss://2130706433/', 'ip-literal'],
  ['wss://0x7f.1/', 'ip-literal'],
  ['wss://017700000001/', 'ip-literal'],
  ['wss://0.0.0.0/', 'ip-literal'],
  ['wss://[::1]/', 'ip-literal'],
  ['wss://[::ffff:169.254.169.254]/', 'ip-literal'],
  ['wss://discord.gg.0x7f000001/', 'malformed'],
  // ports
  ['wss://gateway.discord.gg:6379/', 'port'],
  ['wss://gateway.discord.gg:80/', 'port'],
  ['wss://gateway.discord.gg:0443/', 'port'],
  ['wss://gateway.discord.gg:/', 'port'],
  ['wss://gateway.discord.gg:443:443/', 'malformed'],
  ['wss://gateway.discord.gg:99999/', 'malformed'],
  // what does not belong into a URL
  ['wss://gateway.discord.gg/\r\nHost: evil.com', 'bad-characters'],
  ['wss://gateway.discord.gg\u0000.evil.com/', 'bad-characters'],
  ['wss://gateway.discord.gg%00.evil.com/', 'bad-characters'],
  ['wss://gateway.discord.gg/%0d%0aSet-Cookie:x', 'bad-characters'],
  [' wss://gateway.discord.gg/', 'bad-characters'],
  ['wss://gateway.discord.gg/\t', 'bad-characters'],
  ['w\nss://evil.com/', 'bad-characters'],
  ['wss://gateway.discord.gg/%5c..%5cevil', 'bad-characters'],
  ['wss://gateway.discord.gg/#fragment', 'fragment'],
  [`wss://gateway.discord.gg/${'a'.repeat(2_048)}`, 'too-long'],
  ['', 'scheme'],
  [undefined, 'not-text'],
  [null, 'not-text'],
  [42, 'not-text'],
  [{ toString: () => 'wss://gateway.discord.gg/' }, 'not-text'],
  [['wss://gateway.discord.gg/'], 'not-text'],
]

describe('endpoints that a peer supplies', () => {
  test(`T3: ${HOSTILE.length} hostile URLs are refused, each for its reason`, () => {
    expect(HOSTILE.length).toBeGreaterThanOrEqual(60)
    for (const [url, reason] of HOSTILE) {
      expect(isAllowedEndpoint(url, discord), String(url)).toEqual({ allowed: false, reason })
    }
  })

  test.each([
    ['wss://gateway.discord.gg', 'wss://gateway.discord.gg/'],
    ['wss://gateway-us-east1-b.discord.gg', 'wss://gateway-us-east1-b.discord.gg/'],
    ['wss://discord.gg/', 'wss://discord.gg/'],
    ['WSS://Gateway.Discord.GG/', 'wss://gateway.discord.gg/'],
    ['wss://gateway.discord.gg:443/?v=10&encoding=json', 'wss://gateway.discord.gg/?v=10&encoding=json'],
    ['wss://gateway.discord.gg?v=10', 'wss://gateway.discord.gg/?v=10'],
    ['wss://a.b.c.discord.gg/path/%E4%BD%A0', 'wss://a.b.c.discord.gg/path/%E4%BD%A0'],
  ])('%s is allowed as %s', (url, href) => {
    expect(isAllowedEndpoint(url, discord)).toEqual({ allowed: true, url: href })
  })

  test('several hosts, and a list in another case', () => {
    const rule = { hosts: ['Example.org', 'discord.gg'], scheme: 'wss' } as const
    expect(isAllowedEndpoint('wss://resume.example.org/', rule).allowed).toBe(true)
    expect(isAllowedEndpoint('wss://example.com/', rule).allowed).toBe(false)
  })

  test('what is allowed is what will be dialed: the host of the verdict is always on the list', () => {
    let allowed = 0
    const parts = [
      'discord.gg',
      'evil.com',
      '@',
      ':',
      '/',
      '\\',
      '.',
      '#',
      '?',
      '%2e',
      '443',
      '[',
      ']',
      'wss:',
      '//',
      '0x',
    ]
    let random = 7
    const pick = (max: number) => {
      random = (random * 48_271) % 2_147_483_647
      return random % max
    }
    for (let n = 0; n < 20_000; n++) {
      const tail = Array.from({ length: 1 + pick(5) }, () => parts[pick(parts.length)]).join('')
      const verdict = isAllowedEndpoint(`wss://${tail}`, discord)
      if (!verdict.allowed) continue
      allowed++
      expect(new URL(verdict.url).hostname, tail).toMatch(/^(?:[a-z0-9-]+\.)*discord\.gg$/)
    }
    expect(allowed).toBeGreaterThan(100)
  })

  test('ws only where the original was ws on loopback, and only there', () => {
    const rule = { hosts: ['127.0.0.1:3001', '[::1]:3001'], scheme: 'ws' } as const
    expect(isAllowedEndpoint('ws://127.0.0.1:3001/resume', rule)).toEqual({
      allowed: true,
      url: 'ws://127.0.0.1:3001/resume',
    })
    expect(isAllowedEndpoint('ws://[::1]:3001/', rule).allowed).toBe(true)
    for (const url of [
      'ws://127.0.0.1:6379/',
      'ws://127.0.0.1/',
      'ws://127.0.0.2:3001/',
      'ws://2130706433:3001/',
      'ws://x@127.0.0.1:3001/',
      'ws://evil.com:3001/',
      'wss://127.0.0.1:3001/',
      'wss://gateway.discord.gg/',
      'ws://localhost:3001/',
    ]) {
      expect(isAllowedEndpoint(url, rule).allowed, url).toBe(false)
    }
  })

  test('loopback on the default port of ws', () => {
    const rule = { hosts: ['127.0.0.1:80', 'localhost:443'], scheme: 'ws' } as const
    expect(isAllowedEndpoint('ws://127.0.0.1:80/', rule)).toEqual({ allowed: true, url: 'ws://127.0.0.1/' })
    expect(isAllowedEndpoint('ws://localhost:443/', rule)).toEqual({ allowed: true, url: 'ws://localhost:443/' })
  })

  test('an address that our parser reads as another one is refused even where it is on the list', () => {
    const rule = { hosts: ['127.0.0.01:3001'], scheme: 'ws' } as const
    expect(isAllowedEndpoint('ws://127.0.0.01:3001/', rule)).toEqual({ allowed: false, reason: 'host' })
  })

  test.each([
    [{ hosts: [], scheme: 'wss' }],
    [{ hosts: ['gg'], scheme: 'wss' }],
    [{ hosts: [''], scheme: 'wss' }],
    [{ hosts: ['.discord.gg'], scheme: 'wss' }],
    [{ hosts: ['127.0.0.1'], scheme: 'wss' }],
    [{ hosts: ['discord.gg'], scheme: 'ws' }],
    [{ hosts: ['10.0.0.1:3001'], scheme: 'ws' }],
    [{ hosts: ['discord.gg'], scheme: 'https' }],
  ])('a rule that is wrong is a usage error: %o', (rule) => {
    expect(() => isAllowedEndpoint('wss://discord.gg/', rule as never)).toThrow(
      expect.objectContaining({ code: 'bad-option' }),
    )
  })

  test('100,000 characters are judged in under 20 ms', () => {
    for (const url of ['a'.repeat(100_000), `wss://${'a.'.repeat(1_000)}`, `wss://${'-'.repeat(2_000)}`]) {
      const times = [1, 2, 3].map(() => {
        const began = performance.now()
        expect(isAllowedEndpoint(url, discord).allowed).toBe(false)
        return performance.now() - began
      })
      expect(Math.min(...times)).toBeLessThan(20)
    }
  })
})
