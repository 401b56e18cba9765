/** Each program of docs/delivery.md runs as it stands there, and does what the page says. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type OnebotPeer, startOnebotPeer } from '../../src/testing/onebot-peer.ts'

const PAGE = 'docs/delivery.md'
const page = readFileSync(PAGE, 'utf8')
const programs = [...page.matchAll(/```js (\S+)\n/g)].map(([, name]) => name)

const program = (name: string): string => {
  const found = new RegExp(`\`\`\`js ${name}\n([\\s\\S]*?)\`\`\``).exec(page)
  if (!found) throw new Error(`${PAGE} has no block "${name}"`)
  return found[1]!
}

/** As in a project that installed the package. */
let dir = ''
let peer: OnebotPeer
const running: (() => void)[] = []

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-delivery-'))
  const modules = join(dir, 'node_modules')
  peer = await startOnebotPeer()
  mkdirSync(modules)
  symlinkSync(resolve('.'), join(modules, 'holdfast'))
})
afterEach(async () => {
  for (const end of running.splice(0)) end()
  await peer.close()
  rmSync(dir, { recursive: true, force: true })
})

const start = (name: string) => {
  const file = join(dir, `${name}.mjs`)
  writeFileSync(file, program(name))
  const child = spawn(process.execPath, [file], { cwd: dir, env: { ...process.env, ONEBOT_URL: peer.url } })
  running.push(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const ended = once(child, 'close').then(([code, signal]) => signal ?? code)
  const saw = async (text: string) => {
    while (!output.includes(text)) {
      if (child.exitCode !== null) throw new Error(`it ended without "${text}": ${output}`)
      await pause(10)
    }
  }
  return { child, ended, saw, output: () => output }
}

const arrived = () =>
  peer.records.flatMap((record) => (record.kind === 'action' && record.action === 'send_msg' ? [record.params] : []))

describe(PAGE, () => {
  test('has no program without a test', () => {
    expect(programs).toEqual(['fates', 'room', 'durable', 'continuity', 'hand-over'])
  })

  test('fates: both are delivered and told', async () => {
    const { ended, output } = start('fates')
    expect(await ended).toBe(0)
    expect(output()).toContain('the first was delivered')
    expect(output()).toContain('settled greeting-42 delivered')
    expect(arrived()).toHaveLength(2)
  })

  test('room: 50 messages through an outbox of 10', async () => {
    const { ended, output } = start('room')
    expect(await ended).toBe(0)
    expect(output()).toContain('50 delivered')
  })

  test('durable: what was accepted by one that was killed is delivered by the next', async () => {
    peer.behave({ refuse: 503 })
    const first = start('durable')
    await first.saw('accepted: it can no longer be forgotten')
    first.child.kill('SIGKILL')
    await first.ended
    expect(arrived()).toEqual([])
    peer.behave('healthy')
    const second = start('durable')
    expect(await second.ended).toBe(0)
    expect(second.output()).toContain('from before: delivered')
    expect(second.output()).toContain('from now: delivered')
    expect(arrived()).toHaveLength(2)
  })

  test('continuity: a peer without sessions leaves a gap after each break', async () => {
    const { saw } = start('continuity')
    await saw('nothing is missing: new')
    peer.cut()
    await saw('messages may be missing: welcome nobody knows how many')
    expect(peer.records.filter(({ kind }) => kind === 'upgrade')).toHaveLength(2)
  })

  test('hand-over: on SIGTERM what waits goes to a file, and from there to the peer', async () => {
    peer.behave({ refuse: 503 })
    const first = start('hand-over')
    while (peer.records.length === 0) await pause(10)
    first.child.kill('SIGTERM')
    expect(await first.ended).toBe('SIGTERM')
    expect(first.output()).toContain('from now: uncertain')
    expect(existsSync(join(dir, 'qq-main.handover'))).toBe(true)
    peer.behave('healthy')
    const second = start('hand-over')
    await second.saw('from before: delivered')
    await second.saw('from now: delivered')
    expect(arrived()).toHaveLength(2)
    second.child.kill('SIGTERM')
    expect(await second.ended).toBe('SIGTERM')
  })
})
