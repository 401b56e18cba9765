/** The example of a Discord bot, as it stands, against a platform of ours. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { GatewayPlatform } from '../peers/gateway-platform.ts'

const TOKEN = 'MTAw.a-token'
const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act()
})

/** Its session starts are counted in a home of its own. */
const startBot = (platform: GatewayPlatform) => {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-example-'))
  undo.push(() => rmSync(home, { recursive: true }))
  const own = { HOME: home, XDG_STATE_HOME: home, DISCORD_TOKEN: TOKEN }
  const places = { ...own, DISCORD_API: `http://${platform.host}`, DISCORD_GATEWAY: platform.url }
  const bot = spawn(process.execPath, ['examples/discord-gateway/bot.mjs'], { env: { ...process.env, ...places } })
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

test('the Discord bot of examples/ answers, comes back to what it missed, and leaves when it is told to', async () => {
  const platform = await GatewayPlatform.start({ dialect: 'discord', token: TOKEN })
  undo.push(() => platform.stop())
  const { bot, output } = startBot(platform)
  const ping = (id: string) => platform.say('MESSAGE_CREATE', { id, channel_id: '5', content: '!ping' })
  const answered = () =>
    platform.posted.map(({ body }) => (body?.message_reference as { message_id: string }).message_id)

  await until(() => expect(platform.of('command').map(({ frame }) => frame.op)).toEqual([3]))
  ping('one')
  await until(() => expect(answered()).toEqual(['one']))
  expect(platform.posted[0]!.path).toBe('/channels/5/messages')
  platform.closeAll('destroy')
  ping('two')
  await until(() => expect(answered()).toEqual(['one', 'two']))
  await until(() => expect(output()).toContain('messages before now: recovered'))
  expect([platform.count('identify'), platform.count('resume')]).toEqual([1, 1])
  bot.kill('SIGTERM')
  await until(() => expect(platform.of('close').at(-1)).toMatchObject({ code: 1000 }))
  expect(output()).not.toContain(TOKEN)
})
