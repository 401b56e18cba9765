/**
 * Every class of errors, fed with the real error object: as Node and the libraries make it, as undici 7 and 8 wrap it, and
 * three errors deep. Where loopback cannot make one, it is the object as recorded.
 */
import { promises as dns, lookup } from 'node:dns'
import { once } from 'node:events'
import { connect, type NetConnectOpts } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Agent, request, errors as undici } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import type { FaultCode } from '../../machines/fault.ts'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { faultFrom, faultFromStatus, type Phase } from '../../src/error.ts'
import { answering, closeAll, pem, rawServer } from '../transport/servers.ts'
import { blackHole, clearLoopback, owned } from './loopback.ts'
import { nameServer, RCODE } from './name-server.ts'

afterEach(clearLoopback)
afterEach(closeAll)

const caught = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => expect.unreachable(),
    (error: Error) => error,
  )

/** An error that loopback cannot make, as libuv makes it. */
const recorded = (code: string, syscall: string, more: object = {}): Error =>
  Object.assign(new Error(`${syscall} ${code}`), { code, syscall, errno: -1, ...more })

const failed = (options: NetConnectOpts): Promise<Error> => caught(once(owned(connect(options)), 'connect'))

const asked = async (name: string, reply: object | undefined): Promise<Error> => {
  const { server } = await nameServer(reply ? { [name]: { a: reply } } : {})
  const resolver = new dns.Resolver({ timeout: 100, tries: 1 })
  resolver.setServers([server])
  return caught(resolver.resolve4(name))
}

const upgraded = async (met: Parameters<typeof rawServer>[0], options = {}): Promise<Error> => {
  const { port } = await rawServer(met)
  const [error] = await once(new WebSocket(`ws://127.0.0.1:${port}/`, options), 'error')
  return error
}

const secured = async (certificate: 'expired' | 'localhost'): Promise<Error> => {
  const { port } = await rawServer((socket) => void socket.resume(), certificate)
  return caught(once(owned(connectTls({ port, host: '127.0.0.1', ca: pem('expired') })), 'secureConnect'))
}

const called = async (met: Parameters<typeof rawServer>[0], options: Agent.Options = {}, signal?: AbortSignal) => {
  const { port } = await rawServer(met)
  const dispatcher = new Agent(options)
  const body = async () =>
    (await request(`http://127.0.0.1:${port}/`, { dispatcher, ...(signal && { signal }) })).body.text()
  const error = await caught(body())
  await dispatcher.destroy()
  return error
}

/** Node's own race against a black hole and an address without a route: the founding incident. */
const incident = async (): Promise<Error> => {
  const port = await freePort()
  await blackHole('127.0.0.2', port)
  const addresses = [
    { address: '127.0.0.2', family: 4 },
    { address: '::1', family: 6 },
  ]
  const refused = recorded('ENETUNREACH', 'connect', { address: '2001:db8::1', port })
  const error = await failed({
    host: 'peer.test',
    port,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: 10,
    lookup: (_host, _options, tell) => tell(null, addresses),
  })
  // loopback has a route: what the second address says without one is put in its place
  ;(error as AggregateError).errors[1] = refused
  return error
}

type Row = readonly [string, Phase, FaultCode, () => Promise<Error> | Error]

const CLASSES: Record<string, readonly Row[]> = {
  'dns-temporary': [
    ['EAI_AGAIN', 'resolving', 'name-unavailable', () => recorded('EAI_AGAIN', 'getaddrinfo', { hostname: 'p.test' })],
    ['EAI_FAIL', 'resolving', 'name-unavailable', () => recorded('EAI_FAIL', 'getaddrinfo', { hostname: 'p.test' })],
    ['ESERVFAIL', 'resolving', 'name-unavailable', () => asked('p.test', { rcode: RCODE.servfail })],
    ['EREFUSED', 'resolving', 'name-unavailable', () => asked('p.test', { rcode: RCODE.refused })],
    ['ETIMEOUT', 'resolving', 'name-unavailable', () => asked('p.test', undefined)],
    [
      'ECONNREFUSED of a query',
      'resolving',
      'name-unavailable',
      () => recorded('ECONNREFUSED', 'queryA', { hostname: 'p.test' }),
    ],
  ],
  'dns-permanent': [
    ['ENOTFOUND', 'resolving', 'name-not-found', () => asked('p.test', { rcode: RCODE.nxdomain })],
    ['ENODATA', 'resolving', 'name-not-found', () => asked('p.test', {})],
    ['EBADNAME', 'resolving', 'name-not-found', () => caught(new dns.Resolver().resolve4('a..b'))],
    [
      'EAI_NONAME, which Node calls ENOTFOUND',
      'resolving',
      'name-not-found',
      () => new Promise<Error>((resolve) => lookup('a..b', (error) => resolve(error!))),
    ],
  ],
  unreachable: [
    ['ENETUNREACH', 'connecting', 'unreachable', () => recorded('ENETUNREACH', 'connect', { address: '2001:db8::1' })],
    ['EHOSTUNREACH', 'connecting', 'unreachable', () => recorded('EHOSTUNREACH', 'connect', { address: '10.0.0.1' })],
    ['ENETDOWN', 'connecting', 'unreachable', () => recorded('ENETDOWN', 'connect')],
    [
      'EADDRNOTAVAIL',
      'connecting',
      'unreachable',
      async () => failed({ host: '127.0.0.1', port: await freePort(), localAddress: '203.0.113.7' }),
    ],
    ['EACCES of a firewall', 'connecting', 'unreachable', () => recorded('EACCES', 'connect')],
    ['EPERM of a firewall', 'connecting', 'unreachable', () => recorded('EPERM', 'connect')],
    ['EINVAL, no interface', 'connecting', 'unreachable', () => failed({ host: 'fe80::1', port: 9 })],
  ],
  refused: [
    ['ECONNREFUSED', 'connecting', 'refused', async () => failed({ port: await freePort(), host: '127.0.0.1' })],
  ],
  timeout: [
    ['ETIMEDOUT among others', 'connecting', 'connect-timeout', incident],
    ['UND_ERR_CONNECT_TIMEOUT', 'connecting', 'connect-timeout', () => new undici.ConnectTimeoutError()],
    [
      'UND_ERR_HEADERS_TIMEOUT',
      'upgrading',
      'heartbeat-timeout',
      () =>
        called(
          answering(() => undefined),
          { headersTimeout: 50 },
        ),
    ],
    [
      'UND_ERR_BODY_TIMEOUT',
      'upgrading',
      'heartbeat-timeout',
      () =>
        called(
          answering((socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf')),
          { bodyTimeout: 50 },
        ),
    ],
    [
      'TimeoutError of a signal',
      'upgrading',
      'upgrade-timeout',
      () =>
        called(
          answering(() => undefined),
          {},
          AbortSignal.timeout(50),
        ),
    ],
    [
      "ws's own handshakeTimeout",
      'upgrading',
      'upgrade-timeout',
      () => upgraded((socket) => void socket.resume(), { handshakeTimeout: 50 }),
    ],
  ],
  reset: [
    ['ECONNRESET', 'upgrading', 'dropped', () => upgraded(answering((socket) => void socket.resetAndDestroy()))],
    ['socket hang up', 'upgrading', 'dropped', () => upgraded(answering((socket) => void socket.end()))],
    ['UND_ERR_SOCKET', 'upgrading', 'dropped', () => called(answering((socket) => void socket.end()))],
    ['EPIPE', 'open', 'connection-lost', () => recorded('EPIPE', 'write')],
    ['ECONNABORTED', 'open', 'connection-lost', () => recorded('ECONNABORTED', 'read')],
    [
      'ECONNRESET before TLS',
      'securing',
      'dropped',
      async () => {
        const { port } = await rawServer((socket) => void socket.end())
        return caught(once(owned(connectTls({ port, host: '127.0.0.1' })), 'secureConnect'))
      },
    ],
  ],
  tls: [
    ['CERT_HAS_EXPIRED', 'securing', 'tls-certificate', () => secured('expired')],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'securing', 'tls-certificate', () => secured('localhost')],
    ['UNABLE_TO_VERIFY…', 'securing', 'tls-certificate', () => recorded('UNABLE_TO_VERIFY_LEAF_SIGNATURE', '')],
    [
      'EPROTO or ERR_SSL_…',
      'securing',
      'tls-failed',
      async () => {
        const { port } = await rawServer(answering((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
        return caught(once(owned(connectTls({ port, host: '127.0.0.1' })), 'secureConnect'))
      },
    ],
  ],
  protocol: [
    [
      'HPE_…',
      'upgrading',
      'not-websocket',
      () => upgraded(answering((socket) => void socket.write('SSH-2.0-OpenSSH\r\n'))),
    ],
    [
      'HTTPParserError',
      'upgrading',
      'not-websocket',
      () => called(answering((socket) => void socket.write('SSH-2.0-OpenSSH\r\n'))),
    ],
    [
      'WS_ERR_…',
      'open',
      'protocol-violated',
      () => Object.assign(new RangeError('Invalid WebSocket frame'), { code: 'WS_ERR_UNEXPECTED_RSV_2_3' }),
    ],
  ],
}

/** Undici 8.12, as measured: its own timeout around the aggregate, although that came from elsewhere and long before. */
const byUndici8 = (error: Error): Error => {
  const outer = new undici.ConnectTimeoutError(
    'Connect Timeout Error (attempted address: peer.test:443, timeout: 10000ms)',
  )
  return Object.assign(outer, { cause: Object.assign(new AggregateError([error], ''), { code: 'ETIMEDOUT' }) })
}
const byFetch = (error: Error) => new TypeError('fetch failed', { cause: error })
const threeDeep = (error: Error) =>
  new Error('HTTP request failed', { cause: byFetch(new AggregateError([new Error('', { cause: error })], '')) })

describe.each(Object.entries(CLASSES))('network 6.6.16 %s', (_class, rows) => {
  it.each(
    rows.map(([name, phase, code, make]) => ({ name, phase, code, make })),
  )('network 6.6.16 $name is $code, plain and wrapped', async ({ phase, code, make }) => {
    const error = await make()
    const wrapped = [error, byFetch(error), byUndici8(error), threeDeep(error)]
    expect(wrapped.map((each) => faultFrom(each, phase).code)).toEqual([code, code, code, code])
    const { detail } = faultFrom(error, phase)
    expect(detail).toBeTruthy()
    expect(faultFrom(threeDeep(error), phase).detail).toContain(detail)
  })
})

/** The same error with other words all the way down: what a text says may be translated, and is no contract. */
const reworded = (error: unknown, words: string, seen = new Set<unknown>()): void => {
  if (typeof error !== 'object' || error === null || seen.has(error)) return
  seen.add(error)
  const { cause, errors } = error as { cause?: unknown; errors?: unknown[] }
  Object.defineProperty(error, 'message', { value: words })
  for (const inner of [cause, ...(Array.isArray(errors) ? errors : [])]) reworded(inner, words, seen)
}

const OTHER_WORDS = [
  '',
  '连接失败',
  'connect ECONNREFUSED 127.0.0.1:1',
  'getaddrinfo EAI_AGAIN',
  'certificate has expired',
  'HTTP 401',
  'timeout',
]

/** Thrown by ws without a code or a name of its own. We set deadlines ourselves and never ask ws for one. */
const TOLD_BY_ITS_TEXT = ["ws's own handshakeTimeout"]

describe('incident 4.6', () => {
  const rows = Object.values(CLASSES)
    .flat()
    .filter(([name]) => !TOLD_BY_ITS_TEXT.includes(name))

  it.each(
    rows.map(([name, phase, code, make]) => ({ name, phase, code, make })),
  )('incident 4.6 $name is $code, whatever its text says', async ({ phase, code, make }) => {
    for (const words of OTHER_WORDS) {
      const error = await make()
      reworded(error, words)
      expect(faultFrom(error, phase).code, words).toBe(code)
      expect(faultFrom(byFetch(error), phase).code, words).toBe(code)
    }
  })
})

describe('network 6.6.16 statuses', () => {
  it.each([
    ['http-auth', [401, 407], 'upgrade-unauthorized'],
    ['http-auth, perhaps a firewall', [403], 'upgrade-forbidden'],
    ['http-throttled', [429], 'throttled'],
    ['http-server', [500, 502, 503, 504, 408, 425], 'peer-unavailable'],
    ['protocol', [200, 301, 302, 400, 404, 410], 'upgrade-refused'],
  ] as const)('network 6.6.16 %s: %j', (_class, statuses, code) => {
    for (const status of statuses) expect(faultFromStatus(status, undefined, 0).code, String(status)).toBe(code)
  })
})
