/** `examine` with an adapter, against peers that speak its protocol; and through proxies. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Lookup } from '../../src/net/resolve.ts'
import { startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { type FaultServer, faultServer, refusingPort } from '../lab/loopback.ts'
import { connectProxy, endAll, maimCore, satoriServer } from './equipment.ts'
import { failedAt, hasty, look } from './look.ts'

let faults: FaultServer

beforeAll(async () => {
  faults = await faultServer()
})
afterAll(async () => {
  await faults.stop()
  await endAll()
})

const echo = () => `ws://127.0.0.1:${faults.ports.echo}/`

describe.concurrent('the handshake of an adapter', () => {
  const TOKEN = 'onebot-t0ken'

  test('OneBot: live, and three probes of its own', async () => {
    const peer = await startOnebotPeer({ token: TOKEN })
    const { exitCode, known } = await look(peer.url, { adapter: 'onebot', token: TOKEN })
    expect(exitCode).toBe(0)
    expect(known.handshake).toMatchObject({ ok: true, adapter: 'onebot', state: 'live', fault: null })
    expect(known.heartbeats).toMatchObject({ ok: true, kind: 'probe', unanswered: 0 })
    expect(known.heartbeats?.roundTripsMs).toHaveLength(3)
    await expect.poll(() => peer.connections).toBe(0)
    await peer.close()
  })

  test('OneBot: a wrong token, as NapCat says it', async () => {
    const peer = await startOnebotPeer({ token: TOKEN })
    const report = await look(peer.url, { adapter: 'onebot', token: 'another-t0ken' })
    expect([report.exitCode, report.code, failedAt(report)]).toEqual([2, 'handshake-failed', 'handshake'])
    expect(report.known.handshake).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
    expect(report.diagnosis.en).toContain('Correct the token')
    // without the adapter it is only seen to end
    const blind = await look(peer.url, { token: 'another-t0ken' })
    expect(blind.code).toBe('heartbeats-ended')
    await peer.close()
  })

  test('OneBot: the account is offline', async () => {
    // the one tells of it all the time, the other only when it is asked
    for (const heartbeatMs of [100, 0]) {
      const peer = await startOnebotPeer({ heartbeatMs })
      peer.setOnline(false)
      const { exitCode, code, known } = await look(peer.url, { adapter: 'onebot' })
      expect([exitCode, code]).toEqual([1, 'account-impaired'])
      expect(known.heartbeats).toMatchObject({ ok: true, unanswered: 0 })
      await peer.close()
    }
  })

  test('OneBot: let in and never welcomed', async () => {
    const peer = await startOnebotPeer({ behaviour: 'silent' })
    const report = await look(peer.url, { adapter: 'onebot', clock: hasty })
    expect([report.exitCode, report.code]).toEqual([2, 'handshake-failed'])
    expect(report.known.handshake?.fault?.code).toBe('handshake-timeout')
    await peer.close()
  })

  test('OneBot: events come, and no answers', async () => {
    const peer = await startOnebotPeer({ behaviour: 'no-answers' })
    const report = await look(peer.url, { adapter: 'onebot', clock: hasty })
    expect([report.exitCode, failedAt(report)]).toEqual([2, 'heartbeats'])
    expect(report.known.heartbeats).toMatchObject({ roundTripsMs: [], unanswered: 3 })
    await peer.close()
  })

  test('Satori: the token goes with IDENTIFY, and PING is the probe', async () => {
    const url = `ws://127.0.0.1:${await satoriServer(TOKEN)}/v1/events`
    const good = await look(url, { adapter: 'satori', token: TOKEN })
    expect([good.exitCode, good.known.handshake?.state]).toEqual([0, 'live'])
    expect(good.known.heartbeats?.roundTripsMs).toHaveLength(3)
    const bad = await look(url, { adapter: 'satori', token: 'another-t0ken' })
    expect(bad.known.handshake).toMatchObject({ ok: false, fault: { code: 'credentials-rejected' } })
  })

  test("MaiBot's core: three pings, and under a platform that no bridge has unless one is named", async () => {
    const { url, platforms } = await maimCore(TOKEN)
    const good = await look(url, { adapter: 'maim', token: TOKEN })
    expect([good.exitCode, good.known.handshake?.state]).toEqual([0, 'live'])
    expect(good.known.heartbeats).toMatchObject({ ok: true, kind: 'ping', unanswered: 0 })
    expect(good.known.heartbeats?.roundTripsMs).toHaveLength(3)
    await look(url, { adapter: 'maim', token: TOKEN, platform: 'qq' })
    expect(platforms).toEqual(['holdfast-doctor', 'qq'])
    const bad = await look(url, { adapter: 'maim', token: 'another-t0ken' })
    expect(bad.known.handshake).toMatchObject({ ok: false, fault: { code: 'credentials-rejected' } })
  })
})

describe.concurrent('proxies', () => {
  test('a tunnel is tried, and the rest goes through it', async () => {
    const proxy = await connectProxy('pass-w0rd')
    const options = { proxy: `http://user:pass-w0rd@127.0.0.1:${proxy.port}` }
    const { exitCode, known } = await look(echo(), options)
    expect([exitCode, known.proxy]).toMatchObject([0, { ok: true, kind: 'http', proxy: `127.0.0.1:${proxy.port}` }])
    const place = `127.0.0.1:${faults.ports.echo}`
    expect(proxy.seen).toEqual([place, place])
  })

  test('what only the proxy can see is examined all the same', async () => {
    const proxy = await connectProxy()
    const lookup: Lookup = async () => {
      throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
    }
    const url = `ws://localhost:${faults.ports.echo}/`
    const { exitCode, known, layers } = await look(url, { lookup, proxy: `127.0.0.1:${proxy.port}` })
    expect([exitCode, known.dns?.ok, known.upgrade?.ok]).toEqual([0, false, true])
    expect(layers.slice(1, 3)).toMatchObject([{ skipped: 'not-reached' }, { skipped: 'not-reached' }])
    expect(proxy.seen[0]).toBe(`localhost:${faults.ports.echo}`)
  })

  test('a proxy that is not there, and one that wants a password', async () => {
    const none = await look(echo(), { proxy: `http://127.0.0.1:${await refusingPort()}` })
    expect([none.exitCode, none.code, failedAt(none)]).toEqual([2, 'proxy-failed', 'proxy'])
    const locked = await connectProxy('pass-w0rd')
    const report = await look(echo(), { proxy: `http://user:wr0ng-one@127.0.0.1:${locked.port}` })
    expect([report.code, report.known.proxy?.fault?.code]).toEqual(['proxy-failed', 'upgrade-unauthorized'])
    expect(JSON.stringify(report)).not.toContain('wr0ng-one')
  })
})
