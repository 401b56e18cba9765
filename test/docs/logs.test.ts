/** The program of docs/logs.md runs as it stands there: a line when a person is needed, and the call. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, expect, test, vi } from 'vitest'
import { startOnebotPeer } from '../../src/testing/onebot-peer.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act()
})

test('the program of docs/logs.md writes one line when the token is wrong, and tells whoever is on duty', async () => {
  const source = /```js logs\n([\s\S]*?)```/.exec(readFileSync('docs/logs.md', 'utf8'))![1]!
  const peer = await startOnebotPeer({ token: 'a-token' })
  undo.push(() => peer.close())
  const env = { ...process.env, ONEBOT_URL: peer.url, ONEBOT_TOKEN: 'another-token' }
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { env })
  undo.push(() => child.kill('SIGKILL'))
  let [output, errors] = ['', '']
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  await vi.waitFor(() => expect(output).toContain('更正令牌'), { timeout: 15_000, interval: 20 })
  expect(output).toMatch(
    /^to whoever is on duty: qq-main waits for you \(credentials-rejected\)\. 更正令牌，然后恢复连接。\n$/,
  )
  expect(errors).toMatch(/^qq-main is parked, because the peer rejected our credentials \(.*resume\(\)\.\n$/)
  expect(output + errors).not.toContain('another-token')
})
