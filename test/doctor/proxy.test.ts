/** `holdfast doctor --proxy`: through real proxies, and what is never printed of them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Report } from '../../src/doctor/examine.ts'
import { type OnebotPeer, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { refusingPort } from '../lab/loopback.ts'
import { clearLoopback } from '../net/loopback.ts'
import { httpProxy, socksProxy } from '../net/proxies.ts'
import { runDoctor } from './run.ts'

const PASSWORD = 'pass-w0rd'
const basicOf = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
/** As it is written, as a header carries it, and the user beside it. */
const SECRETS = new RegExp(`us3r|${PASSWORD}|${basicOf('us3r', PASSWORD).slice('Basic '.length)}`)

let peer: OnebotPeer
/** The peer by an address that the environment's proxies are not kept from, as they are from loopback. */
let elsewhere: string
beforeAll(async () => {
  peer = await startOnebotPeer()
  elsewhere = peer.url.replace('127.0.0.1', '0.0.0.0')
})
afterAll(async () => {
  await peer.close()
  await clearLoopback()
})

const proxyOf = (report: Report) => report.layers.find(({ name }) => name === 'proxy')

describe.concurrent('--proxy', () => {
  test('an HTTP proxy with a password carries all of it, and neither is printed', async () => {
    const proxy = await httpProxy()
    const url = `http://us3r:${PASSWORD}@127.0.0.1:${proxy.port}`
    const { exitCode, out, err } = await runDoctor([peer.url, '--adapter', 'onebot', '--proxy', url])
    expect(exitCode).toBe(0)
    expect(out).toMatch(
      new RegExp(`^✔ proxy +\\d+\\.\\d\\d s {2}http 127\\.0\\.0\\.1:${proxy.port} opens a tunnel$`, 'm'),
    )
    expect(out + err).not.toMatch(SECRETS)
    // the tunnel that is tried, the one for the upgrade, and that of the link which shakes hands
    const place = new URL(peer.url).host
    expect(proxy.asked).toEqual(Array(3).fill(`${place} ${basicOf('us3r', PASSWORD)}`))
  })

  test('a SOCKS5 proxy likewise', async () => {
    const proxy = await socksProxy(0, PASSWORD)
    const url = `socks5://us3r:${PASSWORD}@127.0.0.1:${proxy.port}`
    const { exitCode, out, err } = await runDoctor([peer.url, '--json', '--proxy', url])
    expect(exitCode).toBe(0)
    expect(proxyOf(JSON.parse(out))).toMatchObject({ ok: true, kind: 'socks5', proxy: `127.0.0.1:${proxy.port}` })
    expect(out + err).not.toMatch(SECRETS)
    expect(proxy.asked[0]).toBe('us3r true')
  })

  test.each([
    ['wants another password', () => httpProxy('407 Proxy Authentication Required'), 'HTTP 407'],
    ['forbids the way', () => httpProxy('403 Forbidden'), 'HTTP 403'],
    ['hangs up', () => httpProxy('reset'), 'ECONNRESET'],
    ['is not there', async () => ({ port: await refusingPort() }), 'ECONNREFUSED'],
  ] as const)('2: one that %s is named, without its password', async (_what, start, told) => {
    const { port } = await start()
    const url = `http://us3r:${PASSWORD}@127.0.0.1:${port}`
    for (const more of [[], ['--json']]) {
      const { exitCode, out, err } = await runDoctor([peer.url, '--proxy', url, ...more])
      expect(exitCode).toBe(2)
      expect(out).toContain(`The proxy 127.0.0.1:${port}, through which this URL goes, opens no way to it`)
      expect(out).toContain(told)
      expect(out + err).not.toMatch(SECRETS)
    }
  })

  test('without it the environment decides, and it wins over the environment', async () => {
    const dead = `http://us3r:${PASSWORD}@127.0.0.1:${await refusingPort()}`
    const environment = { HTTP_PROXY: dead, http_proxy: dead, NO_PROXY: '', no_proxy: '' }
    const proxy = await httpProxy()
    const codes = []
    for (const more of [[], ['--proxy', 'none'], ['--proxy', `127.0.0.1:${proxy.port}`]]) {
      const { exitCode, out, err } = await runDoctor([elsewhere, '--json', ...more], environment)
      const layer = proxyOf(JSON.parse(out))
      codes.push([exitCode, layer?.ok])
      expect(out + err).not.toMatch(SECRETS)
    }
    expect(codes).toEqual([
      [2, false],
      [0, null],
      [0, true],
    ])
    expect(proxy.asked).not.toEqual([])
  })
})
