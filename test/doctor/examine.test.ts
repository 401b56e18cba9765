/** `examine` against real servers on loopback, each wrong in its own way. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ExamineOptions, examine } from '../../src/doctor/examine.ts'
import { layerNames } from '../../src/doctor/layers.ts'
import type { Lookup } from '../../src/net/resolve.ts'
import { type FaultServer, faultServer, refusingPort, type SilentListener, silentListener } from '../lab/loopback.ts'
import { answering, closeAll, closeFrame, frameOf, pem, rawServer, refusing, upgrading } from '../transport/servers.ts'
import { endAll, httpServer, httpsServer, switchingWith } from './equipment.ts'
import { direct, failedAt, hasty, look } from './look.ts'

let faults: FaultServer
let silent: SilentListener

beforeAll(async () => {
  faults = await faultServer()
  silent = await silentListener()
})
afterAll(async () => {
  await faults.stop()
  await silent.stop()
  await closeAll()
  await endAll()
})

const echo = (path = '/') => `ws://127.0.0.1:${faults.ports.echo}${path}`

describe('a peer that is well', () => {
  test('every layer is examined or not needed, and the exit code is 0', async () => {
    const { exitCode, code, known, layers, url } = await look(echo())
    expect([exitCode, code, url]).toEqual([0, 'well', echo()])
    expect(layers.map(({ name }) => name)).toEqual(layerNames)
    expect(layers.filter(({ ok }) => ok === null).map(({ name }) => name)).toEqual(['proxy', 'tls', 'handshake'])
    expect(known.dns).toMatchObject({ ok: true, literal: true })
    expect(known.tcp?.paths).toMatchObject([{ address: '127.0.0.1', family: 4, ok: true, code: null }])
    expect(known.dialers).toMatchObject({ node: { ok: true }, holdfast: { ok: true, address: '127.0.0.1' } })
    expect(known.upgrade).toMatchObject({ ok: true, status: 101, fault: null })
    expect(known.heartbeats).toMatchObject({ ok: true, kind: 'ping', unanswered: 0, fault: null })
    expect(known.heartbeats?.roundTripsMs).toHaveLength(3)
  })

  test('over TLS the certificate is told, and who vouches for it is believed', async () => {
    const server = await rawServer(
      answering((socket, request) => {
        socket.write(switchingWith(request, { Date: new Date().toUTCString() }))
        socket.on('data', () => socket.write(frameOf(10, '0')))
      }),
      'address',
    )
    const { known } = await look(`wss://127.0.0.1:${server.port}/`, { tls: { ca: pem('address') }, clock: hasty })
    expect(known.tls).toMatchObject({ ok: true, protocol: 'TLSv1.3', hostMatches: true, problem: null })
    expect(known.tls?.daysLeft).toBeGreaterThan(365)
    expect(known.tls?.chain).toHaveLength(1)
    expect(known.upgrade).toMatchObject({ ok: true, status: 101 })
    expect(Math.abs(known.upgrade?.skewMs ?? Number.NaN)).toBeLessThan(3_000)
    // it answers every ping as if it were the first, and what does not fit is no answer
    expect(known.heartbeats).toMatchObject({ ok: true, unanswered: 2 })
    await expect.poll(() => server.open.size).toBe(0)
  })

  test('an address of IPv6', async () => {
    const port = await refusingPort()
    const { known, code } = await look(`ws://[::1]:${port}/`)
    expect(known.dns).toMatchObject({ host: '::1', literal: true })
    expect(known.tcp?.paths).toMatchObject([{ address: '::1', family: 6, ok: false }])
    expect(code).toMatch(/^tcp-(refused|unreachable)$/)
  })

  test('http is examined down to its answer', async () => {
    const { exitCode, known, layers } = await look(`http://127.0.0.1:${faults.ports.echo}/`)
    expect(exitCode).toBe(0)
    expect(known.upgrade).toMatchObject({ ok: true, status: 200 })
    expect(layers.slice(-2).map(({ ok }) => ok)).toEqual([null, null])
    const broken = await look(`http://127.0.0.1:${faults.ports.echo}/status/503?retry-after=3`)
    expect([broken.exitCode, broken.code]).toEqual([2, 'upgrade-throttled'])
  })

  test('the layers are told in order, as they come to be known', async () => {
    const told: string[] = []
    await look(echo(), { onLayer: ({ name }, soFar) => told.push(`${name} ${soFar.length}`) })
    expect(told).toEqual(layerNames.map((name, index) => `${name} ${index + 1}`))
  })
})

describe.concurrent('where it ends', () => {
  const lookupOf =
    (answers: Partial<Record<'all' | 4 | 6, readonly string[] | string>>): Lookup =>
    async (_host, family?) => {
      const answer = answers[family ?? 'all'] ?? 'ENOTFOUND'
      if (typeof answer === 'string') throw Object.assign(new Error('lookup failed'), { code: answer })
      return answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    }

  test('a name that does not exist', async () => {
    const report = await look('ws://nobody.invalid/', { lookup: lookupOf({}) })
    expect([report.exitCode, report.code, failedAt(report)]).toEqual([2, 'dns-not-found', 'dns'])
    expect(report.layers.slice(1).every(({ ok }) => ok === null)).toBe(true)
    expect(report.known.dns).toMatchObject({ a: { code: 'ENOTFOUND' }, aaaa: { code: 'ENOTFOUND' } })
  })

  test('a DNS that is ill, and one that is silent', async () => {
    const ill = await look('ws://ill.test/', { lookup: lookupOf({ all: 'EAI_AGAIN', 4: 'EAI_AGAIN', 6: 'EAI_AGAIN' }) })
    expect(ill.code).toBe('dns-unanswered')
    const never = await look('ws://silent.test/', { lookup: () => new Promise(() => undefined) })
    expect(never.code).toBe('dns-unanswered')
    expect(never.known.dns?.ms).toBeGreaterThan(4_900)
    expect(never.known.dns?.ms).toBeLessThan(5_500)
  })

  test('the question for AAAA is never answered: it goes on with A, and says whom that makes wait', async () => {
    const port = String(faults.ports.echo)
    const lookup: Lookup = (_host, family?) =>
      family === 4 ? Promise.resolve([{ address: '127.0.0.1', family: 4 }]) : new Promise(() => undefined)
    const { exitCode, code, known } = await look(`ws://half.test:${port}/`, { lookup })
    expect([exitCode, code]).toEqual([1, 'node-default-fails'])
    expect(known.dialers?.node).toMatchObject({ ok: false, code: 'no-answer' })
    expect(known.dialers?.holdfast).toMatchObject({ ok: true })
    expect(known.dialers?.holdfast.ms).toBeLessThan(1_500)
  }, 20_000)

  test('nothing listens', async () => {
    const report = await look(`ws://127.0.0.1:${await refusingPort()}/`)
    expect([report.exitCode, report.code, failedAt(report)]).toEqual([2, 'tcp-refused', 'tcp'])
  })

  test('nobody answers the connection', async () => {
    const report = await look(`ws://${silent.host}:${silent.port}/`)
    expect([report.exitCode, report.code, failedAt(report)]).toEqual([2, 'tcp-unanswered', 'tcp'])
    expect(report.known.tcp?.paths[0]?.ms).toBeGreaterThan(4_900)
  })

  test('one address of two is dead', async () => {
    const url = `ws://two.test:${silent.port}/`
    const lookup = lookupOf({ all: ['127.0.0.1', '127.0.0.2'], 4: ['127.0.0.1'] })
    const nowhere = await look(url, { lookup, clock: hasty })
    expect(nowhere.known.tcp?.paths.map(({ code }) => code)).toEqual(['no-answer', 'ECONNREFUSED'])
    const half = await look(`ws://two.test:${faults.ports.echo}/`, {
      lookup: lookupOf({ all: ['127.0.0.1', '127.0.0.2'], 4: ['127.0.0.1', '127.0.0.2'] }),
    })
    expect([half.exitCode, half.code]).toEqual([1, 'address-dead'])
  })

  test.each([
    ['expired', 'expired', 'tls-expired'],
    ['elsewhere', 'elsewhere', 'tls-wrong-host'],
    ['address', undefined, 'tls-self-signed'],
  ] as const)('a certificate: %s', async (name, ca, expected) => {
    const server = await rawServer((socket) => socket.resume(), name)
    const report = await look(`wss://127.0.0.1:${server.port}/`, ca && { tls: { ca: pem(ca) } })
    expect([report.exitCode, report.code, failedAt(report)]).toEqual([2, expected, 'tls'])
    expect(report.known.tls?.chain).toHaveLength(1)
    expect(report.known.tls?.hostMatches).toBe(name !== 'elsewhere')
  })

  test.each([
    ['garbage', 'tls-not-tls'],
    ['rstOnData', 'tls-dropped'],
    ['stall', 'tls-no-answer'],
  ] as const)('no TLS on the port %s', async (service, expected) => {
    const report = await look(`wss://127.0.0.1:${faults.ports[service]}/`, { clock: hasty })
    expect([report.exitCode, report.code, failedAt(report)]).toEqual([2, expected, 'tls'])
  })

  test.each([
    ['/status/401', 'upgrade-unauthorized', 401],
    ['/status/403', 'upgrade-forbidden', 403],
    ['/status/404', 'upgrade-not-found', 404],
    ['/status/429?retry-after=7', 'upgrade-throttled', 429],
    ['/status/503?retry-after=3', 'upgrade-throttled', 503],
    ['/status/503', 'upgrade-unavailable', 503],
    ['/status/418', 'upgrade-refused', 418],
    ['/rst', 'upgrade-dropped', null],
    ['/fin', 'upgrade-dropped', null],
    ['/garbage', 'upgrade-not-websocket', null],
    ['/bad-key', 'upgrade-not-websocket', 101],
    ['/stall', 'upgrade-unanswered', null],
    ['/drip?ms=100', 'upgrade-unanswered', null],
  ])('the upgrade %s: %s', async (path, expected, status) => {
    const report = await look(echo(path), { clock: hasty })
    expect([report.exitCode, report.code, failedAt(report)]).toEqual([2, expected, 'upgrade'])
    expect(report.known.upgrade?.status).toBe(status)
    if (path.includes('retry-after=7')) expect(report.known.upgrade?.retryAfterMs).toBe(7_000)
  })

  test('a portal answers with a page, whatever it calls it', async () => {
    for (const type of ['text/html; charset=utf-8', 'text/plain']) {
      const port = await httpServer((_request, response) => {
        response.writeHead(200, { 'content-type': type }).end('<!DOCTYPE html><title>Log in</title>')
      })
      const report = await look(`ws://127.0.0.1:${port}/`)
      expect([report.exitCode, report.code]).toEqual([2, 'upgrade-portal'])
      expect(report.known.upgrade?.page).toBe(true)
    }
  })

  test('a redirect is named, without what it carries', async () => {
    const server = await rawServer(refusing(302, { Location: '/login?next=/events&key=s3cret-key' }))
    const report = await look(`ws://127.0.0.1:${server.port}/`)
    expect(report.code).toBe('upgrade-redirected')
    expect(report.known.upgrade?.location).toBe(`ws://127.0.0.1:${server.port}/login?next=***&key=***`)
  })

  test('the peer ends it, or is silent, right after the upgrade', async () => {
    const strict = await rawServer(upgrading((socket) => socket.write(closeFrame(4004, 'no'))))
    const ended = await look(`ws://127.0.0.1:${strict.port}/`)
    expect([ended.exitCode, ended.code]).toEqual([2, 'heartbeats-ended'])
    expect(ended.known.heartbeats?.fault?.detail).toBe('close 4004: no')
    const server = await rawServer(upgrading((socket) => socket.resume()))
    const mute = await look(`ws://127.0.0.1:${server.port}/`, { clock: hasty })
    expect([mute.exitCode, mute.code]).toEqual([2, 'heartbeats-unanswered'])
    expect(mute.known.heartbeats).toMatchObject({ roundTripsMs: [], unanswered: 3 })
  })
})

describe.concurrent('clocks', () => {
  const HOURS_2 = 7_200_000
  const fast = { ...hasty, wall: () => Date.now() + HOURS_2 }

  test('a clock that differs from the Date of the answer is named', async () => {
    const server = await rawServer(
      answering((socket, request) => {
        socket.write(switchingWith(request, { Date: new Date().toUTCString() }))
        socket.on('data', () => socket.write(frameOf(10, '0')))
      }),
    )
    const { code, exitCode, diagnosis } = await look(`ws://127.0.0.1:${server.port}/`, { clock: fast })
    expect([exitCode, diagnosis.also.map((finding) => finding.code), code]).toEqual([
      1,
      ['clock-skew'],
      'heartbeats-lossy',
    ])
    expect(diagnosis.also[0]?.en).toContain("this machine's clock is 2 h ahead of the peer's")
  })

  test('where the dates of a certificate are wrong, the peer is asked for the time before the certificate is blamed', async () => {
    const asked: string[] = []
    const port = await httpsServer('expired', (request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers.authorization}`)
      response.end()
    })
    const options = { tls: { ca: pem('expired') }, token: 't0ken-of-mine' }
    const url = `wss://127.0.0.1:${port}/secret-path?key=1234`
    const right = await look(url, options)
    expect([right.code, Math.abs(right.known.tls?.skewMs ?? Number.NaN) < 3_000]).toEqual(['tls-expired', true])
    const wrong = await look(url, { ...options, clock: fast })
    expect([wrong.code, wrong.exitCode]).toEqual(['tls-clock', 2])
    // nothing of ours goes over a connection that did not prove itself
    expect(asked).toEqual(['HEAD / undefined', 'HEAD / undefined'])
  })

  test('a certificate near its end is named by our clock', async () => {
    const { known } = await look(await goodTls(), { tls: { ca: pem('address') }, clock: hasty })
    const end = Date.parse(known.tls?.chain[0]?.validTo ?? '')
    const late = { ...hasty, wall: () => end - 10.5 * 86_400_000 }
    const { diagnosis, exitCode } = await look(await goodTls(), { tls: { ca: pem('address') }, clock: late })
    expect([exitCode, diagnosis.also.map(({ code }) => code)]).toEqual([1, ['certificate-expiring']])
    expect(diagnosis.also[0]?.en).toContain('expires in 10 days')
  })

  const goodTls = async (): Promise<string> => {
    const answer = upgrading((socket) => socket.on('data', () => socket.write(frameOf(10, '0'))))
    return `wss://127.0.0.1:${(await rawServer(answer, 'address')).port}/`
  }
})

describe('what it leaves', () => {
  test('no secret in the report, whatever the peer repeats', async () => {
    const seen: string[] = []
    const server = await rawServer(
      answering((socket, request) => {
        seen.push(request)
        const place = 'Location: https://elsewhere.test/?t0ken-in-query&again=query-s3cret#header-t0ken'
        socket.end(`HTTP/1.1 302 No\r\n${place}\r\nContent-Length: 0\r\n\r\n`)
      }),
    )
    const url = `ws://us3r:pass-w0rd@127.0.0.1:${server.port}/path?key=query-s3cret`
    const report = await examine(url, { ...direct, token: 'header-t0ken' })
    expect(seen[0]).toContain('Bearer header-t0ken')
    expect(report.url).toBe(`ws://127.0.0.1:${server.port}/path?key=***`)
    expect(JSON.stringify(report)).not.toMatch(/us3r|pass-w0rd|query-s3cret|header-t0ken/)
  })

  test('no secret of ours that the peer says when it closes, and nothing that writes to a terminal', async () => {
    const reason = 'query-s3cret, header-t0ken\u001b[2J'
    const server = await rawServer(upgrading((socket) => socket.write(closeFrame(4004, reason))))
    const report = await look(`ws://127.0.0.1:${server.port}/?key=query-s3cret`, {
      token: 'header-t0ken',
      clock: hasty,
    })
    expect(report.known.heartbeats?.fault?.detail).toBe('close 4004: ***, *** [2J')
    expect(report.diagnosis.en).toContain('(close 4004: ***, *** [2J)')
  })

  test('no socket, no timer and no listener', async () => {
    const server = await rawServer(upgrading((socket) => socket.resume()))
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const listeners = process.eventNames().map((name) => process.listenerCount(name))
    await look(`ws://127.0.0.1:${server.port}/`, { clock: hasty })
    await look(`ws://127.0.0.1:${await refusingPort()}/`, { clock: hasty })
    await expect.poll(() => server.open.size).toBe(0)
    const after = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    expect(after).toBeLessThanOrEqual(before)
    expect(process.eventNames().map((name) => process.listenerCount(name))).toEqual(listeners)
  })

  test('wrong use is refused at once, without repeating what may be secret', async () => {
    const wrong: readonly [string, ExamineOptions][] = [
      ['pass-w0rd', {}],
      ['ftp://us3r:pass-w0rd@host/', {}],
      ['ws://host/#pass-w0rd', {}],
      ['ws://host/', { token: 'pass-w0rd\n' }],
      ['ws://host/pass-w0rd', { adapter: 'satori' }],
      ['http://host/pass-w0rd', { adapter: 'onebot' }],
      ['ws://host/', { proxy: 'ftp://us3r:pass-w0rd@host' }],
    ]
    for (const [url, options] of wrong) {
      const error: unknown = await examine(url, options).catch((caught: unknown) => caught)
      expect(error, url).toMatchObject({ name: 'HoldfastError', code: 'bad-option' })
      expect(String(error)).not.toContain('pass-w0rd')
    }
  })
})
