/** The one classifier of raw errors, fed with the real thing wherever loopback can make it. */
import { createSocket } from 'node:dgram'
import { promises as dns } from 'node:dns'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import { Agent, request } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../src/cli/lab/peer-process.ts'
import { faultFrom, HoldfastError, isHoldfastError, type Phase, sentence } from '../src/error.ts'
import { answering, closeAll, pem, rawServer } from './transport/servers.ts'

afterEach(closeAll)

const caught = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not fail')
}

const coded = (code: string, syscall = 'connect'): Error =>
  Object.assign(new Error(`${syscall} ${code} 192.0.2.1:80`), { code, syscall, errno: -1 })

describe('real errors of the network', () => {
  it('refused by the kernel', async () => {
    const [error] = await once(connect(await freePort(), '127.0.0.1'), 'error')
    expect(faultFrom(error, 'connecting')).toMatchObject({ code: 'refused', detail: expect.stringMatching(/ECONNREF/) })
  })

  it('refused at every address: an AggregateError that says nothing by itself', async () => {
    const port = await freePort()
    const socket = connect({
      host: 'both.test',
      port,
      autoSelectFamily: true,
      lookup: (_host, _options, tell) =>
        tell(null, [
          { address: '127.0.0.1', family: 4 },
          { address: '127.0.0.2', family: 4 },
        ]),
    })
    const error = await caught(once(socket, 'connect'))
    const fault = faultFrom(error, 'connecting')
    expect(fault.code).toBe('refused')
    expect(fault.detail).toContain(`127.0.0.1:${port}`)
  })

  it.each([
    ['SERVFAIL', 2, 'name-unavailable'],
    ['NXDOMAIN', 3, 'name-not-found'],
    ['REFUSED', 5, 'name-unavailable'],
    ['no data', 0, 'name-not-found'],
  ] as const)('a DNS server that says %s', async (_what, rcode, code) => {
    const server = createSocket('udp4')
    server.on('message', (query, { port, address }) => {
      const answer = Buffer.from(query)
      answer.writeUInt16BE(0x8180 | rcode, 2)
      server.send(answer, port, address)
    })
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
    const resolver = new dns.Resolver({ timeout: 500, tries: 1 })
    resolver.setServers([`127.0.0.1:${(server.address() as AddressInfo).port}`])
    const error = await caught(resolver.resolve4('peer.test'))
    server.close()
    expect(faultFrom(error, 'resolving')).toMatchObject({ code, detail: expect.stringContaining('peer.test') })
  })

  it('a DNS server that does not answer, or is not there', async () => {
    const silent = createSocket('udp4')
    silent.bind(0, '127.0.0.1')
    await once(silent, 'listening')
    for (const port of [(silent.address() as AddressInfo).port, await freePort()]) {
      const resolver = new dns.Resolver({ timeout: 100, tries: 1 })
      resolver.setServers([`127.0.0.1:${port}`])
      const error = await caught(resolver.resolve4('peer.test'))
      expect(faultFrom(error, 'resolving').code).toBe('name-unavailable')
    }
    silent.close()
  })

  it.each([
    ['self-signed', 'localhost', undefined],
    ['expired', 'expired', 'expired'],
    ['for another host', 'elsewhere', 'elsewhere'],
  ] as const)('a certificate that is %s', async (_what, certificate, trusted) => {
    const { port } = await rawServer((socket) => void socket.resume(), certificate)
    const ca = trusted && { ca: pem(trusted) }
    const error = await caught(
      once(connectTls({ port, host: '127.0.0.1', servername: 'localhost', ...ca }), 'secureConnect'),
    )
    expect(faultFrom(error, 'securing').code).toBe('tls-certificate')
  })

  it('TLS to a port that does not speak it', async () => {
    const { port } = await rawServer(answering((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
    const error = await caught(once(connectTls({ port, host: '127.0.0.1' }), 'secureConnect'))
    expect(faultFrom(error, 'securing').code).toBe('tls-failed')
  })

  it('fetch failed, which hides its cause, three errors deep', async () => {
    const error = await caught(fetch(`http://127.0.0.1:${await freePort()}/`))
    expect(error).toBeInstanceOf(TypeError)
    const wrapped = new Error('outer', { cause: new Error('middle', { cause: error }) })
    expect([error, wrapped].map((each) => faultFrom(each, 'connecting').code)).toEqual(['refused', 'refused'])
  })
})

describe('real errors of undici', () => {
  const fails = async (met: Parameters<typeof rawServer>[0], options: Agent.Options = {}, scheme = 'http') => {
    const { port } = await rawServer(met)
    const dispatcher = new Agent({ connect: { timeout: 100 }, ...options })
    const asked = async () => (await request(`${scheme}://127.0.0.1:${port}/`, { dispatcher })).body.text()
    const error = await caught(asked())
    await dispatcher.destroy()
    return { code: (error as { code?: string }).code, fault: faultFrom(error, 'upgrading').code }
  }
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'

  it.each([
    ['never secures', () => undefined, {}, 'https', 'UND_ERR_CONNECT_TIMEOUT', 'connect-timeout'],
    ['ends without an answer', answering((socket) => void socket.end()), {}, 'http', 'UND_ERR_SOCKET', 'dropped'],
    ['ends in its answer', answering((socket) => void socket.end(head)), {}, 'http', 'UND_ERR_SOCKET', 'dropped'],
    ['resets', answering((socket) => void socket.resetAndDestroy()), {}, 'http', 'ECONNRESET', 'dropped'],
    [
      'sends no headers',
      answering(() => undefined),
      { headersTimeout: 100 },
      'http',
      'UND_ERR_HEADERS_TIMEOUT',
      'heartbeat-timeout',
    ],
    [
      'stops in its body',
      answering((socket) => void socket.write(head)),
      { bodyTimeout: 100 },
      'http',
      'UND_ERR_BODY_TIMEOUT',
      'heartbeat-timeout',
    ],
    [
      'is no HTTP server',
      answering((socket) => void socket.write('SSH-2.0-x\r\n')),
      {},
      'http',
      undefined,
      'not-websocket',
    ],
  ] as const)('against a server that %s', async (_what, met, options, scheme, code, fault) => {
    expect(await fails(met, options, scheme)).toEqual({ code, fault })
  })
})

describe('what a code means', () => {
  const phases: readonly Phase[] = ['resolving', 'connecting', 'securing', 'upgrading', 'open']
  const all = (code: string, syscall?: string) => phases.map((phase) => faultFrom(coded(code, syscall), phase).code)

  it.each([
    ['ENOTFOUND', 'name-not-found'],
    ['ENODATA', 'name-not-found'],
    ['EAI_AGAIN', 'name-unavailable'],
    ['EAI_FAIL', 'name-unavailable'],
    ['ETIMEOUT', 'name-unavailable'],
    ['ENETUNREACH', 'unreachable'],
    ['EHOSTUNREACH', 'unreachable'],
    ['ENETDOWN', 'unreachable'],
    ['EADDRNOTAVAIL', 'unreachable'],
    ['EACCES', 'unreachable'],
    ['EMFILE', 'out-of-sockets'],
    ['ENFILE', 'out-of-sockets'],
    ['CERT_HAS_EXPIRED', 'tls-certificate'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls-certificate'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls-certificate'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls-certificate'],
    ['HOSTNAME_MISMATCH', 'tls-certificate'],
    ['INVALID_PURPOSE', 'tls-certificate'],
    ['INVALID_CA', 'tls-certificate'],
    ['CRL_HAS_EXPIRED', 'tls-certificate'],
    ['EPROTO', 'tls-failed'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls-failed'],
    ['HPE_INVALID_CONSTANT', 'not-websocket'],
    ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH', 'frame-too-big'],
    ['WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH', 'frame-too-big'],
    ['WS_ERR_INVALID_UTF8', 'protocol-violated'],
    ['ENOSUCHCODE', 'unknown'],
    ['toString', 'unknown'],
    ['__proto__', 'unknown'],
  ])('%s is %s, in every phase', (code, fault) => {
    expect(new Set(all(code))).toEqual(new Set([fault]))
  })

  it('a reset, a broken pipe and a timeout depend on the phase', () => {
    const early = ['dropped', 'dropped', 'dropped', 'dropped', 'connection-lost']
    for (const code of ['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'UND_ERR_SOCKET']) expect(all(code), code).toEqual(early)
    const [, connecting, , , open] = all('ETIMEDOUT')
    expect([connecting, open]).toEqual(['connect-timeout', 'connection-lost'])
  })

  it('a refusal is the peer unless it was the name server', () => {
    expect(faultFrom(coded('ECONNREFUSED', 'queryA'), 'resolving').code).toBe('name-unavailable')
    expect(faultFrom(coded('ECONNREFUSED'), 'connecting').code).toBe('refused')
  })

  it('an error of ws without a code is what is left: no WebSocket, if we were upgrading', () => {
    const error = new Error('Invalid Sec-WebSocket-Accept header')
    expect(faultFrom(error, 'upgrading').code).toBe('not-websocket')
    expect(faultFrom(error, 'open').code).toBe('unknown')
  })
})

describe('several addresses that failed in several ways', () => {
  const aggregate = (...codes: string[]) =>
    Object.assign(
      new AggregateError(
        codes.map((code) => coded(code)),
        '',
      ),
      { code: codes[0] },
    )

  it('the founding incident: a slow IPv4 beside an IPv6 without a route is slow, in whatever order', () => {
    for (const error of [aggregate('ETIMEDOUT', 'ENETUNREACH'), aggregate('ENETUNREACH', 'ETIMEDOUT')]) {
      const fault = faultFrom(error, 'connecting')
      expect(fault.code).toBe('connect-timeout')
      expect(fault.detail).toContain('ETIMEDOUT')
      expect(fault.detail).toContain('ENETUNREACH')
    }
  })

  it('the most actionable tells the story, wherever it stands', () => {
    const order = [
      'ETIMEDOUT',
      'ECONNRESET',
      'CERT_HAS_EXPIRED',
      'ECONNREFUSED',
      'ENETUNREACH',
      'EAI_AGAIN',
      'ENOTFOUND',
    ]
    fc.assert(
      fc.property(fc.shuffledSubarray(order, { minLength: 1 }), (codes) => {
        const first = order.find((code) => codes.includes(code))!
        expect(faultFrom(aggregate(...codes), 'connecting').code).toBe(faultFrom(coded(first), 'connecting').code)
      }),
    )
  })
})

describe('the text of an error', () => {
  const codes = ['ECONNREFUSED', 'ETIMEDOUT', 'ENOTFOUND', 'EPROTO', 'CERT_HAS_EXPIRED', 'HPE_X', 'UND_ERR_SOCKET', '']

  it('decides nothing', () => {
    const tree = fc.letrec((tie) => ({
      error: fc.record({
        code: fc.constantFrom(...codes),
        inner: fc.oneof({ maxDepth: 3 }, fc.constant([]), fc.array(tie('error'), { maxLength: 3 })),
      }),
    })).error as fc.Arbitrary<Tree>
    interface Tree {
      code: string
      inner: Tree[]
    }
    const build = ({ code, inner }: Tree, text: () => string): Error =>
      Object.assign(
        new AggregateError(
          inner.map((each) => build(each, text)),
          text(),
        ),
        code ? { code } : {},
      )
    const misleading = fc.constantFrom(
      'connect ECONNREFUSED',
      'getaddrinfo ENOTFOUND',
      'read ECONNRESET',
      '',
      '401',
      'x',
    )
    fc.assert(
      fc.property(tree, misleading, fc.constantFrom<Phase>('connecting', 'upgrading', 'open'), (shape, text, phase) => {
        const plain = faultFrom(
          build(shape, () => 'some words'),
          phase,
        )
        expect(
          faultFrom(
            build(shape, () => text),
            phase,
          ).code,
        ).toBe(plain.code)
      }),
    )
  })

  it('is told once, and the code stands in for a missing one', () => {
    const same = new AggregateError([coded('ECONNREFUSED'), coded('ECONNREFUSED')], 'outer')
    expect(faultFrom(same, 'connecting').detail).toBe('connect ECONNREFUSED 192.0.2.1:80')
    expect(faultFrom(Object.assign(new Error(''), { code: 'EPIPE' }), 'open').detail).toBe('EPIPE')
  })
})

describe('things that are hardly errors', () => {
  it.each([
    [undefined],
    [null],
    [0],
    ['boom'],
    [Symbol('boom')],
    [() => 'boom'],
    [{}],
    [[]],
    [Object.create(null)],
    [{ code: 7, message: {}, errors: 'x' }],
    [{ errors: [null, undefined, 'x'] }],
    [
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('hands off')
          },
        },
      ),
    ],
    [
      {
        get code() {
          throw new Error('hands off')
        },
      },
    ],
  ])('are unknown: %#', (thing) => {
    expect(faultFrom(thing, 'open').code).toBe('unknown')
  })

  it('may go round in circles or go very deep', () => {
    const own: Error & { cause?: unknown } = coded('ECONNREFUSED')
    own.cause = own
    const a = new Error('a') as Error & { cause?: unknown }
    a.cause = new AggregateError([a, new Error('b', { cause: a }), coded('ETIMEDOUT')])
    let deep: Error = new Error('bottom')
    for (let n = 0; n < 100_000; n++) deep = new Error('level', { cause: deep })
    const wide = new AggregateError(Array.from({ length: 100_000 }, () => coded('ENETUNREACH')))
    expect([own, a, deep, wide].map((error) => faultFrom(error, 'connecting').code)).toEqual([
      'refused',
      'connect-timeout',
      'unknown',
      'unreachable',
    ])
  })
})

describe('HoldfastError', () => {
  it('is known across copies of the package, and carries fault and cause', () => {
    const cause = new Error('why')
    const error = new HoldfastError('parked', 'it is parked', { fault: { code: 'held' }, cause })
    expect(error).toMatchObject({ name: 'HoldfastError', code: 'parked', fault: { code: 'held' }, cause })
    const twin = Object.assign(new Error('from another copy'), { [Symbol.for('holdfast.error')]: true })
    expect([error, twin, new Error('x'), null, 'x'].map(isHoldfastError)).toEqual([true, true, false, false, false])
    expect('cause' in new HoldfastError('stopped', 'x')).toBe(false)
  })

  it('tells a fault as a sentence with its advice, in English and Chinese', () => {
    expect(sentence({ code: 'refused', detail: 'connect ECONNREFUSED' })).toBe(
      'nothing listens on that port (connect ECONNREFUSED). Start the peer, or correct the port. The link comes back by itself.',
    )
    expect(sentence({ code: 'refused' }, 'zh')).toBe('该端口没有程序在监听。启动对端，或更正端口；连接会自行恢复。')
  })
})
