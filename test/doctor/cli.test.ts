/** `holdfast doctor` as a person or a script has it: what it prints, with which exit code, and what it never prints. */
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Report } from '../../src/doctor/examine.ts'
import { layerNames } from '../../src/doctor/layers.ts'
import { type OnebotPeer, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { runnable } from '../lab/bundle.ts'
import { type FaultServer, faultServer, refusingPort } from '../lab/loopback.ts'
import { runDoctor } from './run.ts'

const TOKEN = 'onebot-t0ken'
let faults: FaultServer
let peer: OnebotPeer

beforeAll(async () => {
  faults = await faultServer()
  peer = await startOnebotPeer({ token: TOKEN })
})
afterAll(async () => {
  await faults.stop()
  await peer.close()
})

const doctor = (...args: string[]) => runDoctor(args, { TOKEN, WRONG: 'wr0ng-t0ken', EMPTY: '' })

const echo = (path = '/') => `ws://127.0.0.1:${faults.ports.echo}${path}`

describe.concurrent('exit codes', () => {
  test('0: well', async () => {
    const { exitCode, out, err } = await doctor(echo())
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
    const lines = out.trimEnd().split('\n')
    expect(lines[0]).toMatch(/^✔ DNS +0\.00 s {2}127\.0\.0\.1 is an address: nothing to ask$/)
    expect(lines[1]).toMatch(/^✔ TCP +\d+\.\d\d s {2}127\.0\.0\.1:\d+ {2}open after \d+ ms$/)
    expect(lines.at(-1)).toBe('WELL  Everything works, on every layer.')
  })

  test('1: degraded', async () => {
    const offline = await startOnebotPeer({ heartbeatMs: 0 })
    offline.setOnline(false)
    const { exitCode, out } = await doctor(offline.url, '--adapter', 'onebot')
    expect(exitCode).toBe(1)
    expect(out).toMatch(/^! heartbeats /m)
    expect(out).toContain(
      'DEGRADED  The connection works, but the peer is reachable but says that the account is offline',
    )
    await offline.close()
  })

  test('2: failed, and what comes after is not reached', async () => {
    const { exitCode, out } = await doctor(`ws://127.0.0.1:${await refusingPort()}/`)
    expect(exitCode).toBe(2)
    expect(out).toMatch(/^✘ TCP .*ECONNREFUSED/m)
    expect(out.match(/not reached$/gm)).toHaveLength(6)
    expect(out).toMatch(/^FAILED {2}Nothing listens on port \d+/m)
  })

  test('in Chinese', async () => {
    const { exitCode, out } = await doctor(echo('/status/401'), '--lang', 'zh')
    expect(exitCode).toBe(2)
    expect(out).toMatch(/^✘ 升级 .*HTTP 401/m)
    expect(out).toMatch(/^失败 {2}对端拒绝了令牌/m)
  })

  test.each([
    ['no URL', []],
    ['two URLs', ['ws://127.0.0.1:1/', 'ws://127.0.0.1:2/']],
    ['not a URL', ['pass-w0rd']],
    ['another scheme', ['ftp://127.0.0.1/pass-w0rd']],
    ['a port out of range', ['ws://127.0.0.1:70000/pass-w0rd']],
    ['an adapter that there is not', ['ws://127.0.0.1:1/', '--adapter', 'irc']],
    ['a URL that is not of the adapter', ['ws://127.0.0.1:1/pass-w0rd', '--adapter', 'satori']],
    ['a platform for an adapter that has none', ['ws://127.0.0.1:1/', '--adapter', 'onebot', '--platform', 'qq']],
    ['an empty token', ['ws://127.0.0.1:1/', '--token-env', 'EMPTY']],
    ['a proxy of a kind that there is not', ['ws://127.0.0.1:1/', '--proxy', 'socks4://us3r:pass-w0rd@127.0.0.1:1']],
    ['a proxy without a host', ['ws://127.0.0.1:1/', '--proxy', 'http://']],
    ['a language that there is not', ['ws://127.0.0.1:1/', '--lang', 'fr']],
    ['an option that there is not', ['ws://127.0.0.1:1/', '--tokn-env', 'TOKEN']],
  ])('64: %s', async (_what, args) => {
    const { exitCode, out, err } = await doctor(...args)
    expect({ exitCode, out }).toEqual({ exitCode: 64, out: '' })
    expect(err.split('\n')[0]).toMatch(/\S/)
    expect(err).not.toContain('pass-w0rd')
  })
})

test('whoever has read enough may leave', async () => {
  const command = [process.execPath, await runnable('src/cli/cli.ts'), 'doctor', echo()].map((each) => `'${each}'`)
  const { stdout, stderr } = spawnSync('sh', ['-c', `(${command.join(' ')}; echo $? >&2) | head -n 1`], {
    encoding: 'utf8',
  })
  expect(stdout).toMatch(/^✔ DNS .*\n$/)
  expect(stderr).toBe('141\n')
})

describe.concurrent('--json', () => {
  test('prints one object, whatever the outcome', async () => {
    for (const [path, expected] of [
      ['/', 0],
      ['/status/503', 2],
    ] as const) {
      const { exitCode, out } = await doctor(echo(path), '--json')
      expect(out.trimEnd().split('\n')).toHaveLength(1)
      const report = JSON.parse(out) as Report
      expect([exitCode, report.exitCode]).toEqual([expected, expected])
      expect(Object.keys(report)).toEqual(['url', 'adapter', 'layers', 'diagnosis', 'exitCode'])
      expect(report.layers.map(({ name }) => name)).toEqual(layerNames)
      for (const layer of report.layers) {
        expect(typeof layer.ms, layer.name).toBe(layer.ok === null ? 'object' : 'number')
      }
      expect(report.diagnosis).toMatchObject({
        code: expect.any(String),
        en: expect.any(String),
        zh: expect.any(String),
      })
    }
  })

  test('is the same report as the one for people', async () => {
    const { out } = await doctor(echo('/status/404'), '--json')
    const { diagnosis } = JSON.parse(out) as Report
    const [en, zh] = await Promise.all([doctor(echo('/status/404')), doctor(echo('/status/404'), '--lang', 'zh')])
    expect(en.out).toContain(diagnosis.en)
    expect(zh.out).toContain(diagnosis.zh)
  })
})

describe.concurrent('secrets', () => {
  const SECRETS = /us3r|pass-w0rd|query-s3cret|onebot-t0ken|wr0ng-t0ken/

  test.each([
    [['--token-env', 'TOKEN'], 0],
    [['--token-env', 'TOKEN', '--json'], 0],
    [['--token-env', 'WRONG'], 2],
    [['--token-env', 'WRONG', '--json'], 2],
  ] as const)('of a handshake %j are used and not printed', async (more, expected) => {
    const { exitCode, out, err } = await doctor(peer.url, '--adapter', 'onebot', ...more)
    expect(exitCode).toBe(expected)
    expect(out + err).not.toMatch(SECRETS)
  })

  test('of a URL are not printed, with or without success', async () => {
    for (const path of ['/', '/status/401', '/status/302']) {
      const url = echo(`${path}?key=query-s3cret`).replace('ws://', 'ws://us3r:pass-w0rd@')
      for (const more of [[], ['--json']]) {
        const { out, err } = await doctor(url, ...more)
        expect(out).not.toBe('')
        expect(out + err).not.toMatch(SECRETS)
      }
    }
  })
})
