/** The plugin of examples/koishi-plugin in a real Koishi: a bot that needs nobody when its peer has gone and come back. */
import { afterEach, expect, it, vi } from 'vitest'
import { type OnebotPeer, privateMessage, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { type KoishiApp, startKoishiApp } from './processes.ts'

const TOKEN = 'canary-0123456789'
const open: { stop(): unknown }[] = []

afterEach(async () => {
  for (const it of open.splice(0).reverse()) await it.stop()
})

const startPeer = async (port = 0, token = TOKEN): Promise<OnebotPeer> => {
  const peer = await startOnebotPeer({ token, port, heartbeatMs: 1_000 })
  open.push({ stop: () => peer.close() })
  return peer
}

const startApp = async (endpoint: string): Promise<KoishiApp> => {
  const app = await startKoishiApp({ endpoint, token: TOKEN, selfId: '10000' })
  open.push(app)
  return app
}

const until = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 20 })

/** The texts that the bot said, in order. */
const said = (peer: OnebotPeer): unknown[] =>
  peer.records.flatMap((record) => {
    if (record.kind !== 'action' || record.action !== 'send_msg') return []
    const { message } = record.params as { message: { data: { text?: string } }[] }
    return [message.map(({ data }) => data.text).join('')]
  })

it('a Koishi bot answers, is RECONNECT while its peer is gone, and ONLINE again without a person', async () => {
  const peer = await startPeer()
  const app = await startApp(peer.url)
  await until(() => expect(app.statuses).toEqual(['connect', 'online']))
  peer.emit(privateMessage('1 < 2 & "so"', 42))
  await until(() => expect(said(peer)).toEqual(['you said: 1 < 2 & "so"']))
  const first = { userId: '42', channelId: 'private:42', messageId: '1', isDirect: true }
  await until(() => expect(app.messages[0]).toMatchObject(first))

  const { port } = peer
  await peer.close()
  await until(() => expect(app.statuses).toEqual(['connect', 'online', 'reconnect']))
  const again = await startPeer(port)
  await until(() => expect(app.statuses).toEqual(['connect', 'online', 'reconnect', 'online']))
  again.emit({ ...privateMessage('back?', 43), message_type: 'group', group_id: 77 })
  await until(() => expect(said(again)).toEqual(['you said: back?']))
  await until(() => expect(app.messages[1]).toMatchObject({ userId: '43', channelId: '77', isDirect: false }))
  expect(app.failures).toEqual([])
  const lines = [expect.stringContaining('不在线'), expect.stringContaining('已恢复在线')]
  await until(() => expect(app.logs.filter((line) => line.includes('holdfast'))).toEqual(lines))

  app.unload()
  await until(() => expect(again.records.at(-1)).toMatchObject({ kind: 'close', code: 1000 }))
})

it('a Koishi bot whose token is wrong is OFFLINE with the reason and the advice, and comes back when a person starts it', async () => {
  const peer = await startPeer(0, 'another-token')
  const app = await startApp(peer.url)
  await until(() => expect(app.statuses.at(-1)).toBe('offline'))
  // what the plugin does is told by the process piece by piece
  await until(() => expect(app.errors).toEqual([expect.stringMatching(/已停放.*更正/)]))
  const { port } = peer
  await peer.close()
  await startPeer(port)
  app.start()
  await until(() => expect(app.statuses.at(-1)).toBe('online'))
  expect(app.logs.join()).not.toContain(TOKEN)
})
