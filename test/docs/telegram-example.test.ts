/** The example of a Telegram bot, as it stands, against a Bot API of ours. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { BotApi, html, serveBotApi, TOKEN } from '../peers/bot-api.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act()
})

const startBot = (apiRoot: string, folder: string) => {
  const places = { TELEGRAM_TOKEN: TOKEN, TELEGRAM_API: apiRoot, STATE: folder }
  const bot = spawn(process.execPath, ['examples/telegram-poller/bot.mjs'], { env: { ...process.env, ...places } })
  undo.push(() => bot.kill('SIGKILL'))
  let output = ''
  for (const stream of [bot.stdout, bot.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  return { bot, output: () => output }
}

const until = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 20 })

test('the Telegram bot of examples/ answers what came before it, comes back, and says nothing twice when it is started again', async () => {
  const api = new BotApi()
  const server = await serveBotApi(api)
  undo.push(() => server.stop())
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-example-'))
  undo.push(() => rmSync(folder, { recursive: true }))
  api.receive('/ping', 1)
  const first = startBot(server.url, folder)
  await until(() => expect(api.sent).toEqual([{ chat_id: 1, text: 'pong' }]))
  api.fail('getUpdates', html)
  api.receive('/ping', 2)
  api.receive('/ping', 3)
  await until(() => expect(api.sent.map(({ chat_id }) => chat_id)).toEqual([1, 2, 3]))
  expect(first.output()).toContain('messages before now: recovered')
  first.bot.kill('SIGTERM')
  await until(() => expect([first.bot.exitCode, first.bot.signalCode]).not.toEqual([null, null]))
  api.receive('/ping', 4)
  const second = startBot(server.url, folder)
  await until(() => expect(api.sent.map(({ chat_id }) => chat_id)).toEqual([1, 2, 3, 4]))
  second.bot.kill('SIGTERM')
  expect(first.output() + second.output()).not.toContain(TOKEN)
})
