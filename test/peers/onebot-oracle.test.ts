/**
 * Our fake OneBot peer, judged by somebody else's client: koishi-plugin-adapter-onebot 6.9.4 in a process of its own.
 * Where the client does something surprising, the test says what was observed, because that is what users live with.
 */

import { afterEach, describe, expect, it, vi } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import {
  type OnebotPeer,
  type OnebotPeerConfig,
  privateMessage,
  startOnebotPeer,
} from '../../src/testing/onebot-peer.ts'
import { type OnebotApp, type OnebotAppConfig, startOnebotApp } from './processes.ts'

const retryInterval = 200
const patience = { timeout: 5_000, interval: 20 }
const open: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const it of open.splice(0)) await it.stop()
})

async function meet(peerConfig: OnebotPeerConfig, appConfig: Partial<OnebotAppConfig> = {}) {
  const peer = await startOnebotPeer({ token: 'secret', ...peerConfig })
  open.push({ stop: () => peer.close() })
  const app = await startOnebotApp({
    endpoint: peer.url,
    token: 'secret',
    retryInterval,
    retryLazy: retryInterval,
    ...appConfig,
  })
  open.unshift(app)
  return { peer, app }
}

const until = (check: () => void) => vi.waitFor(check, patience)
const isOnline = (app: OnebotApp) => until(() => expect(app.statuses.at(-1)).toBe('online'))
const dials = (peer: OnebotPeer) => peer.records.filter((record) => record.kind === 'dial').length
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('a real OneBot application and our fake peer', () => {
  it('goes online, and asks who it is', async () => {
    const { peer, app } = await meet({})
    await isOnline(app)
    expect(app.statuses).toEqual(['connect', 'online'])
    const actions = peer.records.flatMap((record) => (record.kind === 'action' ? [record.action] : []))
    expect(actions).toEqual(['get_login_info', 'get_guild_service_profile'])
  })

  it('receives a message that the peer emits, and the peer records and answers what it sends', async () => {
    const { peer, app } = await meet({})
    await isOnline(app)

    const number = peer.emit(privateMessage('ahoy'))
    await until(() => expect(app.messages).toHaveLength(1))
    expect(app.messages[0]).toEqual({
      userId: '10001',
      channelId: 'private:10001',
      messageId: String(number),
      content: 'ahoy',
    })

    app.send('private:10001', 'to one')
    app.send('20001', 'to many')
    await until(() => expect(app.sent).toHaveLength(2))
    expect(app.sent).toEqual([['1'], ['2']])
    const sent = peer.records.filter((record) => record.kind === 'action' && record.action.startsWith('send_'))
    expect(sent).toMatchObject([
      { action: 'send_private_msg', params: { user_id: 10001, message: [{ type: 'text', data: { text: 'to one' } }] } },
      { action: 'send_group_msg', params: { group_id: 20001, message: [{ type: 'text', data: { text: 'to many' } }] } },
    ])
  })

  it('is offline at once when it is cut off, never comes back by itself, and does when a person starts it', async () => {
    const { peer, app } = await meet({})
    await isOnline(app)

    peer.cut()
    // It announces a retry, then calls itself offline in the same moment; the retry sees that and gives up.
    await until(() => expect(app.statuses).toEqual(['connect', 'online', 'reconnect', 'offline']))
    await until(() => expect(app.logs.at(-1)).toContain('will retry in 200ms'))
    await pause(5 * retryInterval)
    expect(dials(peer)).toBe(1)

    app.start()
    await isOnline(app)
    expect(dials(peer)).toBe(2)
    expect(peer.connections).toBe(1)
  })

  it('dials again and again while it has never been let in, at one fixed pace, and takes Retry-After for nothing', async () => {
    const { peer, app } = await meet({ behaviour: { refuse: 429, retryAfter: '60' } })
    await until(() => expect(dials(peer)).toBeGreaterThanOrEqual(4))
    expect(app.statuses).toEqual(['connect', 'reconnect'])
    expect(app.logs).toContain('warn adapter Unexpected server response: 429')

    peer.behave('healthy')
    await isOnline(app)
  })

  it('takes a wrong token for a lost connection: it names no reason', async () => {
    const { peer, app } = await meet({}, { token: 'wrong' })
    await until(() => expect(app.statuses).toEqual(['connect', 'reconnect', 'offline']))
    expect(peer.records.map((record) => record.kind)).toEqual(['dial', 'upgrade', 'refused', 'close'])
    expect(peer.records.at(-1)).toMatchObject({ code: 1005 })
    expect(app.logs.at(-1)).toContain('code: 1005')
    expect(app.logs.join('\n')).not.toMatch(/1403|token/)
  })

  it('does not notice that heartbeats stop, nor that they say the account is offline', async () => {
    const { peer, app } = await meet({ heartbeatMs: 50 })
    await isOnline(app)
    peer.setOnline(false)
    await pause(200)
    peer.behave('no-heartbeat')
    await pause(400)

    expect(app.statuses).toEqual(['connect', 'online'])
    app.send('20001', 'still here')
    await until(() => expect(app.sent).toEqual([['1']]))
  })

  it('says that it timed out when the peer takes a message and does not answer', async () => {
    const { peer, app } = await meet({}, { responseTimeout: 300 })
    await isOnline(app)
    peer.behave('no-answers')
    app.send('20001', 'anybody?')
    await until(() => expect(app.failures).toHaveLength(1))
    expect(app.failures[0]).toMatch(/^Timeout with request send_group_msg/)
    expect(app.statuses).toEqual(['connect', 'online'])
  })
})

describe('a real OneBot application that is dialed by our fake peer', () => {
  it('knows it for an implementation: it is online, receives and sends, and is dialed again after a cut', async () => {
    const peer = await startOnebotPeer({ token: 'secret' })
    open.push({ stop: () => peer.close() })
    const serverPort = await freePort()
    const app = await startOnebotApp({ protocol: 'ws-reverse', path: '/onebot', serverPort })
    open.unshift(app)
    peer.dial(`ws://127.0.0.1:${serverPort}/onebot`, retryInterval)
    await isOnline(app)

    peer.emit(privateMessage('ahoy'))
    await until(() => expect(app.messages).toMatchObject([{ userId: '10001', content: 'ahoy' }]))
    app.send('20001', 'to many')
    await until(() => expect(app.sent).toEqual([['1']]))

    peer.cut()
    await until(() => expect(peer.records.filter(({ kind }) => kind === 'upgrade')).toHaveLength(2))
    app.send('20001', 'still here')
    await until(() => expect(app.sent).toEqual([['1'], ['2']]))
  })
})
