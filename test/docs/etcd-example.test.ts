/** The example of a bot that registers at etcd, as it stands, at a real one. */
import { spawn } from 'node:child_process'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { hasEtcd, startEtcd } from '../peers/etcd.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act()
})

const until = (check: () => unknown) => vi.waitFor(check, { timeout: 15_000, interval: 20 })
const title = hasEtcd ? 'etcd' : 'etcd (left out: there is none here, package etcd-server)'

;(hasEtcd ? describe : describe.skip)(title, () => {
  test('the bot of examples/ registers, sees the others, registers anew after a loss, and is gone when it is told to stop', async () => {
    const etcd = await startEtcd()
    undo.push(() => etcd.stop())
    const own = { ETCD_URL: etcd.url, BOT_NAME: 'a', BOT_ADDRESS: 'ws://10.0.0.1:80', TTL_SECONDS: '60' }
    const bot = spawn(process.execPath, ['examples/etcd-register/bot.mjs'], { env: { ...process.env, ...own } })
    undo.push(() => bot.kill('SIGKILL'))
    let output = ''
    for (const stream of [bot.stdout, bot.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
      })
    }
    await until(() => expect(output).toContain('bots: {"bots/a":"ws://10.0.0.1:80"}'))
    const encode = (text: string) => Buffer.from(text).toString('base64')
    await etcd.ask('kv/put', { key: encode('bots/b'), value: encode('ws://10.0.0.2:80') })
    await until(() => expect(output).toContain('"bots/b":"ws://10.0.0.2:80"'))
    const lease = await etcd.holder('bots/a')
    const before = output.length
    await etcd.ask('lease/revoke', { ID: lease! })
    await until(async () => expect([undefined, lease]).not.toContain(await etcd.holder('bots/a')))
    // until it is live there is nobody to say goodbye to
    await until(() => expect(output.slice(before)).toContain('is live'))
    bot.kill('SIGTERM')
    await until(() => expect(bot.exitCode ?? bot.signalCode).not.toBeNull())
    expect(await etcd.holder('bots/a')).toBeUndefined()
  })
})
