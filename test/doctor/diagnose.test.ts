/** Every diagnosis from a report made by hand, in both languages. */
import { describe, expect, test } from 'vitest'
import { blemishes } from '../../src/doctor/blemishes.ts'
import { type Diagnosis, diagnose, findingsOn } from '../../src/doctor/diagnose.ts'
import { failures } from '../../src/doctor/failures.ts'
import type { TlsLayer } from '../../src/doctor/tls.ts'
import type { UpgradeLayer } from '../../src/doctor/upgrade.ts'
import { layersWith, open, shut, V4, V6 } from './reports.ts'

const silent = (ms = 5_000) => ({ ms, addresses: [], code: 'no-answer' })
const missing = { ms: 4, addresses: [], code: 'ENOTFOUND' }
const nodeFailed = (ms: number, code: string, ...attempts: [code: string, address: string][]) => ({
  ok: false,
  ms,
  address: null,
  code,
  attempts: attempts.map(([code, address]) => ({ code, address })),
  attemptMs: 250,
})
const nodeTook = (ms: number) => ({ ok: true, ms, address: V4, code: null, attempts: [], attemptMs: 250 })
const weTook = (ms: number) => ({ ok: true, ms, address: V4, fault: null })
const refused = (change: Partial<UpgradeLayer>) => layersWith({ upgrade: { ok: false, ...change } })
const badTls = (problem: TlsLayer['problem'], code: string, more: Partial<TlsLayer> = {}) =>
  layersWith({ tls: { ok: false, problem, code, ...more } })

type Case = readonly [code: string, layers: ReturnType<typeof layersWith>, en: string, zh: string]

const failing: readonly Case[] = [
  ['dns-not-found', layersWith({ dns: { ok: false, a: missing, aaaa: missing, order: missing } }), 'spelling', '拼写'],
  [
    'dns-unanswered',
    layersWith({ dns: { ok: false, ms: 5_000, a: silent(), aaaa: silent(), order: silent() } }),
    'did not answer for "bot.example" (no-answer after 5.00 s)',
    '未能应答',
  ],
  [
    'tcp-refused',
    layersWith({ tcp: { ok: false, fault: 'refused', paths: [shut(V4, 'ECONNREFUSED')] } }),
    'Nothing listens on port 443 (192.0.2.1: ECONNREFUSED)',
    '端口 443 没有程序在监听',
  ],
  [
    'tcp-unreachable',
    layersWith({ tcp: { ok: false, fault: 'unreachable', paths: [shut(V6, 'ENETUNREACH')] } }),
    'no way to any address',
    '没有通向',
  ],
  [
    'tcp-unanswered',
    layersWith({ tcp: { ok: false, fault: 'connect-timeout', paths: [shut(V4, 'no-answer', 5_000)] } }),
    '192.0.2.1: no-answer 5.00 s',
    '没有任何地址',
  ],
  [
    'tcp-failed',
    layersWith({ tcp: { ok: false, fault: 'out-of-sockets', paths: [shut(V4, 'EMFILE')] } }),
    'ulimit -n',
    'ulimit -n',
  ],
  [
    'proxy-failed',
    layersWith({ proxy: { ok: false, fault: { code: 'refused', detail: 'ECONNREFUSED 1 ms' } } }),
    'The proxy 10.0.0.1:3128, through which this URL goes, opens no way to it: ECONNREFUSED 1 ms',
    '代理 10.0.0.1:3128',
  ],
  [
    'tls-clock',
    badTls('not-yet-valid', 'CERT_NOT_YET_VALID', { skewMs: -7_380_000 }),
    "This machine's clock is 2 h 3 min behind the peer's",
    '慢 2 h 3 min',
  ],
  ['tls-expired', badTls('expired', 'CERT_HAS_EXPIRED', { skewMs: 900 }), 'expired on 2027-10-01', '2027-10-01 过期'],
  ['tls-not-yet-valid', badTls('not-yet-valid', 'CERT_NOT_YET_VALID'), 'not valid before 2026-10-01', '之前无效'],
  [
    'tls-wrong-host',
    badTls('wrong-host', 'ERR_TLS_CERT_ALTNAME_INVALID'),
    'for another host (bot.example)',
    '另一主机',
  ],
  ['tls-self-signed', badTls('self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'), 'signed by itself', '自签名'],
  ['tls-unknown-issuer', badTls('unknown-issuer', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'Some Authority', '不受本机信任'],
  ['tls-untrusted', badTls('untrusted', 'CERT_REVOKED'), 'not trusted (CERT_REVOKED)', '不受信任'],
  ['tls-not-tls', badTls('not-tls', 'EPROTO'), 'ws:// in place of wss://', '改为 ws://'],
  ['tls-dropped', badTls('dropped', 'ECONNRESET'), 'dropped in the TLS handshake', '握手中断开'],
  ['tls-no-answer', badTls('no-answer', 'no-answer', { ms: 6_000 }), 'not answered within 6.00 s', '没有应答'],
  ['tls-failed', badTls('failed', 'ERR_SSL_SOMETHING'), 'failed (ERR_SSL_SOMETHING)', '握手失败'],
  [
    'upgrade-portal',
    refused({ status: 200, page: true, fault: { code: 'upgrade-refused' } }),
    'captive portal',
    '认证页',
  ],
  [
    'upgrade-unauthorized',
    refused({ status: 401, fault: { code: 'upgrade-unauthorized', detail: 'HTTP 401' } }),
    'The peer refused our token (HTTP 401 or 407) (HTTP 401). Correct the access token',
    '更正访问令牌',
  ],
  ['upgrade-forbidden', refused({ status: 403, fault: { code: 'upgrade-forbidden' } }), 'firewall', '防火墙'],
  [
    'upgrade-not-found',
    refused({ status: 404, fault: { code: 'upgrade-refused' } }),
    'Correct the path',
    '更正 URL 的路径',
  ],
  [
    'upgrade-redirected',
    refused({ status: 302, location: 'https://login.example/', fault: { code: 'upgrade-refused' } }),
    'HTTP 302, https://login.example/',
    'HTTP 302，https://login.example/',
  ],
  [
    'upgrade-throttled',
    refused({ status: 429, retryAfterMs: 7_000, fault: { code: 'throttled', retryAfterMs: 7_000 } }),
    'asks for patience (HTTP 429, for 7.00 s)',
    '要求稍候（HTTP 429，7.00 s）',
  ],
  ['upgrade-unavailable', refused({ status: 502, fault: { code: 'peer-unavailable' } }), 'server error', '服务器错误'],
  ['upgrade-unanswered', refused({ fault: { code: 'upgrade-timeout' } }), 'did not answer', '未在时限内'],
  ['upgrade-dropped', refused({ fault: { code: 'dropped' } }), 'lost before any answer', '应答之前断开'],
  ['upgrade-not-websocket', refused({ fault: { code: 'not-websocket' } }), 'Check host, port and path', '检查主机'],
  ['upgrade-refused', refused({ status: 418, fault: { code: 'upgrade-refused' } }), 'another status', '其他状态码'],
  [
    'handshake-failed',
    layersWith({ handshake: { ok: false, state: 'parked', fault: { code: 'credentials-rejected', detail: '1403' } } }),
    'The peer rejected our credentials (1403). Correct the token',
    '更正令牌',
  ],
  [
    'heartbeats-ended',
    layersWith({
      handshake: null,
      heartbeats: { ok: false, kind: 'ping', fault: { code: 'closed-by-peer', detail: 'close 1005' } },
    }),
    'ended the connection (close 1005). Often it wants a token',
    '指定适配器',
  ],
  [
    'heartbeats-ended',
    layersWith({ heartbeats: { ok: false, fault: { code: 'heartbeat-timeout' } } }),
    'The peer has gone silent',
    '对端失去响应',
  ],
  ['heartbeats-unanswered', layersWith({ heartbeats: { ok: false, roundTripsMs: [] } }), 'no heartbeat', '任何心跳'],
]

const degraded: readonly Case[] = [
  ['heartbeats-slow', layersWith({ heartbeats: { roundTripsMs: [90, 1_500, 1_800] } }), 'takes 1.50 s', '需要 1.50 s'],
  [
    'heartbeats-lossy',
    layersWith({ heartbeats: { roundTripsMs: [20, 21], unanswered: 1 } }),
    '1 of 3',
    '3 次心跳中有 1 次',
  ],
  [
    'account-impaired',
    layersWith({ handshake: { state: 'degraded.impaired', fault: { code: 'account-offline' } } }),
    'the account is offline',
    '账号离线',
  ],
  [
    'account-impaired',
    layersWith({ heartbeats: { fault: { code: 'account-offline' } } }),
    'Log the account in at the peer',
    '请在对端登录账号',
  ],
  ['clock-skew', layersWith({ upgrade: { skewMs: 400_000 } }), '7 min ahead of', '快 7 min'],
  ['clock-skew', layersWith({ upgrade: { skewMs: -400_000 } }), '7 min behind', '慢 7 min'],
  ['certificate-expiring', layersWith({ tls: { daysLeft: 14 } }), 'expires in 14 days (2027-10-01)', '14 天后过期'],
  [
    'dial-unsteady',
    layersWith({ dialers: { ok: false, holdfast: { ok: false, ms: 9, address: null, fault: { code: 'refused' } } } }),
    'One dial failed',
    '一次拨号失败',
  ],
  [
    'family-dead',
    layersWith({ tcp: { paths: [open(V4, 20), shut(V6, 'ENETUNREACH')] } }),
    'IPv4 works but IPv6 is dead on the way to this host (ENETUNREACH)',
    'IPv4 正常，但 IPv6 不通',
  ],
  [
    'family-dead',
    layersWith({ tcp: { paths: [shut(V4, 'no-answer', 5_000), open(V6, 20)] } }),
    'take the A record or IPv4 itself away',
    'IPv6 正常，但 IPv4 不通',
  ],
  [
    'address-dead',
    layersWith({ tcp: { paths: [open(V4, 20), shut('192.0.2.66', 'no-answer')] } }),
    '1 of 2 addresses of this host cannot be reached (192.0.2.66: no-answer)',
    '2 个地址中有 1 个无法到达',
  ],
  [
    'dns-partial',
    layersWith({ dns: { aaaa: { ms: 4, addresses: [], code: 'EAI_AGAIN' } } }),
    'the question for AAAA of "bot.example"',
    '的 AAAA 查询',
  ],
  [
    'dns-slow',
    layersWith({ dns: { order: { ms: 2_004, addresses: [V4, V6], code: null } } }),
    'took 2.00 s to answer for "bot.example"',
    '用了 2.00 s',
  ],
]

const expectBoth = ({ en, zh }: Diagnosis, inEnglish: string, inChinese: string) => {
  expect(en).toContain(inEnglish)
  expect(zh).toContain(inChinese)
  for (const text of [en, zh]) expect(text).not.toMatch(/undefined|null|NaN|\bPORT\b|\. ?\.|。。/)
  expect(zh).toMatch(/[\u4e00-\u9fff]/)
  expect(en).not.toMatch(/[\u4e00-\u9fff]/)
}

describe('what does not work', () => {
  test.each(failing)('%s', (code, layers, en, zh) => {
    const diagnosis = diagnose(layers)
    expect(diagnosis).toMatchObject({ code, exitCode: 2 })
    expectBoth(diagnosis, en, zh)
  })
})

describe('what works, with something wrong', () => {
  test.each(degraded)('%s', (code, layers, en, zh) => {
    const diagnosis = diagnose(layers)
    expect(diagnosis).toMatchObject({ code, exitCode: 1 })
    expectBoth(diagnosis, en, zh)
  })
})

describe("Node's default beside the paths", () => {
  test('the founding incident: slow IPv4 first, IPv6 without a route', () => {
    const diagnosis = diagnose(
      layersWith({
        tcp: { paths: [open(V4, 603), shut(V6, 'ENETUNREACH')] },
        dialers: {
          node: nodeFailed(271, 'ETIMEDOUT', ['ETIMEDOUT', V4], ['ENETUNREACH', V6]),
          holdfast: weTook(604),
        },
      }),
    )
    expect(diagnosis).toMatchObject({ code: 'node-default-fails', layer: 'dialers', exitCode: 1 })
    expect(diagnosis.en).toBe(
      "curl works but Node's default would fail here, because Node tries one address after the other and destroys each " +
        'attempt but the last after 250 ms: 192.0.2.1, which answers after 603 ms, is given up; 2001:db8:5::1 cannot be ' +
        'reached (ENETUNREACH). Measured: Node failed after 271 ms (ETIMEDOUT 192.0.2.1, ENETUNREACH 2001:db8:5::1); ' +
        'holdfast, which lets the addresses race as curl does, connected to 192.0.2.1 after 604 ms. A link of holdfast ' +
        'needs nothing; start Node with --network-family-autoselection-attempt-timeout=2000 for other programs on this ' +
        'machine, or repair its IPv6.',
    )
    expect(diagnosis.zh).toContain('curl 可以连接，但 Node 的默认行为在这里会失败')
    expect(diagnosis.also.map(({ code }) => code)).toEqual(['family-dead'])
  })

  test('a blackhole that comes last: Node hangs on it', () => {
    const diagnosis = diagnose(
      layersWith({
        tcp: { paths: [open(V4, 302), shut(V6, 'no-answer', 5_000)] },
        dialers: { node: nodeFailed(12_000, 'no-answer'), holdfast: weTook(303) },
      }),
    )
    expect(diagnosis.code).toBe('node-default-fails')
    expectBoth(diagnosis, 'would hang here', '会卡住')
    expectBoth(diagnosis, `${V6}, which never answers, comes last and is waited for without a limit`, '被无限期等待')
    expectBoth(diagnosis, 'Node had no connection after 12.0 s', '12.0 s 后仍未连上')
  })

  test('a question that the DNS leaves unanswered: Node waits for it, whatever the paths are', () => {
    const diagnosis = diagnose(
      layersWith({
        dns: { ms: 5_000, aaaa: silent(4_990), order: silent() },
        tcp: { paths: [open(V4, 20)] },
        dialers: { node: nodeFailed(12_000, 'no-answer'), holdfast: weTook(371) },
      }),
    )
    expect(diagnosis.code).toBe('node-default-fails')
    expectBoth(diagnosis, 'AAAA was not answered within 5.00 s', 'AAAA 在 5.00 s 内没有应答')
    expect(diagnosis.en).toContain('Find out why the DNS servers')
    expect(diagnosis.also.map(({ code }) => code)).toEqual(['dns-partial', 'dns-slow'])
  })

  test('two slow addresses: the first attempt is thrown away, the second gets through', () => {
    const layers = layersWith({
      tcp: { paths: [open(V4, 301), open('192.0.2.2', 302)] },
      dialers: { node: nodeTook(562), holdfast: weTook(303) },
    })
    const diagnosis = diagnose(layers)
    expect(diagnosis).toMatchObject({ code: 'node-default-slow', exitCode: 1 })
    expectBoth(diagnosis, 'needs 562 ms here where racing needs 303 ms', '需要 562 ms，而竞速只需 303 ms')
    expectBoth(diagnosis, '192.0.2.1, which answers after 301 ms, is given up', '需要 301 ms 才应答')
  })

  test('the limit that the advice names leaves room for the slowest path', () => {
    const { en } = diagnose(
      layersWith({
        tcp: { paths: [open(V4, 1_400), shut(V6, 'ENETUNREACH')] },
        dialers: { node: nodeFailed(260, 'ETIMEDOUT'), holdfast: weTook(1_401) },
      }),
    )
    expect(en).toContain('attempt-timeout=5000')
  })

  test('where both fail, Node is not to blame', () => {
    const diagnosis = diagnose(
      layersWith({
        dialers: {
          ok: false,
          node: nodeFailed(5, 'ECONNREFUSED'),
          holdfast: { ok: false, ms: 4, address: null, fault: { code: 'refused' } },
        },
        upgrade: { ok: false, fault: { code: 'refused' } },
      }),
    )
    expect(diagnosis).toMatchObject({ code: 'upgrade-refused', exitCode: 2 })
    expect(diagnosis.also.map(({ code }) => code)).toEqual(['dial-unsteady'])
  })
})

describe('which finding tells the story', () => {
  test('nothing is wrong', () => {
    const diagnosis = diagnose(layersWith())
    expect(diagnosis).toMatchObject({ code: 'well', layer: null, also: [], exitCode: 0 })
    expectBoth(diagnosis, 'Everything works', '正常')
    expect(diagnose(layersWith({ tls: null, handshake: null })).exitCode).toBe(0)
  })

  test('a failure goes before what is merely wrong above it, which is told as well', () => {
    const { code, also } = diagnose(
      layersWith({ tls: { daysLeft: 3 }, upgrade: { ok: false, status: 404, fault: { code: 'upgrade-refused' } } }),
    )
    expect([code, also.map((finding) => finding.code)]).toEqual(['upgrade-not-found', ['certificate-expiring']])
  })

  test('of several blemishes the deepest comes first', () => {
    const { code, also } = diagnose(
      layersWith({
        dns: { order: { ms: 1_500, addresses: [V4], code: null } },
        tls: { daysLeft: 3 },
        upgrade: { skewMs: 400_000 },
      }),
    )
    expect([code, ...also.map((finding) => finding.code)]).toEqual(['clock-skew', 'certificate-expiring', 'dns-slow'])
  })

  test('with a proxy, what this machine sees of the host is no finding', () => {
    const { code, exitCode } = diagnose(
      layersWith({
        proxy: {},
        dns: { ok: false, a: missing, aaaa: missing, order: missing },
        tcp: null,
        dialers: null,
      }),
    )
    expect([code, exitCode]).toEqual(['well', 0])
  })

  test('what no row knows is a failure still', () => {
    const diagnosis = diagnose(layersWith({ dns: null, tcp: null, dialers: null, tls: null, upgrade: null }))
    expect(diagnosis).toMatchObject({ code: 'unknown', exitCode: 2 })
    expect(diagnose([])).toMatchObject({ code: 'unknown', exitCode: 2 })
  })

  test('a round trip that the way explains is not slow', () => {
    const { code } = diagnose(
      layersWith({
        tcp: { paths: [open(V4, 1_200)] },
        dialers: { node: nodeTook(1_210), holdfast: weTook(1_205) },
        heartbeats: { roundTripsMs: [1_210, 1_220, 1_230] },
      }),
    )
    expect(code).toBe('well')
  })

  test('the bounds: 14 days of a certificate, 5 minutes of a clock, a second of the DNS', () => {
    const dns = { order: { ms: 1_000, addresses: [V4], code: null } }
    expect(diagnose(layersWith({ tls: { daysLeft: 15 }, upgrade: { skewMs: 300_000 }, dns })).code).toBe('well')
  })

  test('findings can be asked for by layer', () => {
    const layers = layersWith({ tls: { daysLeft: 3 } })
    expect(findingsOn('tls', layers).map(({ code }) => code)).toEqual(['certificate-expiring'])
    expect(findingsOn('tcp', layers)).toEqual([])
  })
})

test('every row of the tables is proven above', () => {
  const proven = new Set([...failing, ...degraded].map(([code]) => code))
  const elsewhere = ['node-default-fails', 'node-default-slow']
  const rows = [...failures, ...blemishes].map(({ code }) => code)
  expect(rows.filter((code) => !proven.has(code) && !elsewhere.includes(code))).toEqual([])
})
