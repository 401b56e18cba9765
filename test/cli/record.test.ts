/** A trace recorded by each of the three ways that there are on the command line, from the dial to the goodbye. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { readTraceFile } from '../../src/observe/trace.ts'
import { type OnebotPeer, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { runnable } from '../lab/bundle.ts'

let peer: OnebotPeer
beforeAll(async () => {
  peer = await startOnebotPeer()
})
afterAll(() => peer.close())

let folder: string
// a trace is appended to, so each attempt has a folder of its own
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-record-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test.each([
  ['record … --to', 'a.hf.ndjson', ['record'], '--to'],
  ['hold … --trace', 'b.hf.ndjson.gz', ['hold'], '--trace'],
  ['hold with HOLDFAST_TRACE', 'c.hf.ndjson', ['hold'], undefined],
])('%s', async (_way, name, command, option) => {
  const file = join(folder, name)
  const args = [...command, 'onebot', peer.url, '--id', 'qq-main', ...(option ? [option, file] : [])]
  const HOLDFAST_TRACE = option ? '' : file
  const child = spawn(process.execPath, [await runnable('src/cli/cli.ts'), ...args], {
    env: { ...process.env, LANG: 'C', LC_ALL: '', HOLDFAST_TRACE },
  })
  let printed = ''
  child.stdout.on('data', (chunk) => {
    const wasLive = printed.includes('● live')
    printed += chunk
    // once: a second one may come when all is stopped and nobody listens to it any more, and then it is what ends the process
    if (!wasLive && printed.includes('● live')) child.kill('SIGINT')
  })
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
  const { headers, records, notices } = await readTraceFile(file)
  expect({ headers: headers.length, notices }).toEqual({ headers: 1, notices: [] })
  expect(records.map(({ link, to }) => `${link} ${to}`)).toEqual(
    ['connecting', 'handshaking', 'registered', 'live', 'closing', 'stopped'].map((state) => `qq-main ${state}`),
  )
})
