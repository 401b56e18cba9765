/** The example of a bridge between QQ and MaiBot, as it stands, between a NapCat and a core of ours. */
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { privateMessage, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { MaimCore } from '../peers/maim-core.ts'

const TOKEN = 'canary-0123456789'
const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act()
})

const startBridge = (env: Record<string, string>) => {
  const bridge = spawn(process.execPath, ['examples/maimbot-bridge/bridge.mjs'], { env: { ...process.env, ...env } })
  undo.push(() => bridge.kill('SIGKILL'))
  let output = ''
  for (const stream of [bridge.stdout, bridge.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const ended = new Promise((resolve) => bridge.once('exit', (_code, signal) => resolve(signal)))
  return { bridge, ended, output: () => output }
}

const start = async () => {
  const napcat = await startOnebotPeer({ token: TOKEN })
  undo.push(() => napcat.close())
  const core = await MaimCore.start({ token: TOKEN })
  undo.push(() => core.stop())
  const places = { NAPCAT_URL: napcat.url, MAIBOT_URL: core.url }
  const { bridge, ended, output } = startBridge({ ...places, NAPCAT_TOKEN: TOKEN, MAIBOT_TOKEN: TOKEN })
  await until(() => expect(output()).toMatch(/napcat is live[\s\S]*maibot is live|maibot is live[\s\S]*napcat is live/))
  const said = () => napcat.records.flatMap((record) => (record.kind === 'action' && isSend(record) ? [record] : []))
  return { napcat, core, bridge, ended, output, said }
}

const isSend = ({ action }: { action: string }) => action.startsWith('send_')
const until = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 20 })

const startPictures = async () => {
  const server = createServer((request, response) => {
    if (request.url === '/cat') response.end('cat')
    else response.writeHead(404).end()
  }).listen(0, '127.0.0.1')
  undo.push(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('the bridge of examples/ carries text and pictures both ways, and tells the core what its message is called', async () => {
  const { napcat, core, said, output, bridge, ended } = await start()
  const pictures = await startPictures()
  const parts = [
    { type: 'reply', data: { id: '5' } },
    { type: 'text', data: { text: 'look' } },
    { type: 'image', data: { url: `${pictures}/cat` } },
    { type: 'image', data: { url: `${pictures}/none` } },
  ]
  napcat.emit({ ...privateMessage('look', 42), message_type: 'group', group_id: 7, message: parts })
  await until(() => expect(core.received).toHaveLength(1))
  expect(core.platforms).toEqual(['qq'])
  expect(core.received[0]).toMatchObject({
    message_info: {
      platform: 'qq',
      message_id: '1',
      user_info: { platform: 'qq', user_id: '42', user_nickname: 'Ann' },
      group_info: { platform: 'qq', group_id: '7' },
    },
    message_segment: {
      type: 'seglist',
      data: [
        { type: 'reply', data: '5' },
        { type: 'text', data: 'look' },
        { type: 'image', data: Buffer.from('cat').toString('base64') },
        { type: 'text', data: '[image]' },
      ],
    },
    raw_message: 'look',
  })

  const info = { platform: 'qq', message_id: 'mt1', user_info: { user_id: '42' } }
  const data = [
    { type: 'text', data: 'a cat' },
    { type: 'emoji', data: 'Y2F0' },
  ]
  core.say({ message_info: { ...info, group_info: { group_id: '7' } }, message_segment: { type: 'seglist', data } })
  core.say({ message_info: info, message_segment: { type: 'text', data: 'for you' } })
  await until(() => expect(said()).toHaveLength(2))
  expect(said()[0]).toMatchObject({
    action: 'send_group_msg',
    params: {
      group_id: 7,
      message: [
        { type: 'text', data: { text: 'a cat' } },
        { type: 'image', data: { file: 'base64://Y2F0' } },
      ],
    },
  })
  expect(said()[1]).toMatchObject({ action: 'send_private_msg', params: { user_id: 42 } })
  await until(() => expect(core.received).toHaveLength(3))
  expect(core.received[1]).toEqual({
    is_custom_message: true,
    message_type_name: 'message_id_echo',
    platform: 'qq',
    content: { type: 'echo', echo: 'mt1', actual_id: '1' },
  })

  const flood = setInterval(() => napcat.emit(privateMessage('more')), 1)
  undo.push(() => clearInterval(flood))
  bridge.kill('SIGTERM')
  expect(await ended).toBe('SIGTERM')
  await until(() => expect(core.closes).toEqual([1000]))
  expect(napcat.connections).toBe(0)
  expect(output()).not.toContain(TOKEN)
})

test('incident 2.1 the bridge of examples/ holds the one leg whatever happens on the other, and loses no message', async () => {
  const { napcat, core, said, output } = await start()
  const closes = () => napcat.records.filter(({ kind }) => kind === 'close').length
  core.cut()
  for (let n = 1; n <= 20; n++) napcat.emit(privateMessage(`number ${n}`))
  napcat.emit({ post_type: 'message', message_id: 99, message: [null] })
  await until(() => expect(core.received).toHaveLength(20))
  expect(core.received.map(({ raw_message }) => raw_message)).toEqual(
    Array.from({ length: 20 }, (_, n) => `number ${n + 1}`),
  )
  core.say({ message_info: {}, message_segment: { type: 'text', data: 'for nobody' } })
  core.say({ message_info: { user_info: { user_id: 1 } }, message_segment: { type: 'text', data: 'still here' } })
  await until(() => expect(said()).toHaveLength(1))
  await until(() => expect(output().match(/a message was not understood/g)).toHaveLength(2))
  expect(core.dials).toBe(2)
  expect(closes()).toBe(0)
})
