/** `npm start -- incidents`: what it refuses, and that nothing is left of it however it ends. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { until } from '../transport/servers.ts'

const START = 'scripts/start.mjs'

/** All that descends from a process, as Linux sees it now. */
const descendants = (of: number): number[] => {
  const rows = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => [Number(pid), parentOf(pid)] as const)
  const below = (parent: number): number[] =>
    rows.filter(([, ppid]) => ppid === parent).flatMap(([pid]) => [pid, ...below(pid)])
  return below(of)
}

/** proc(5): the second field is the name in parentheses, the fourth the parent. */
const parentOf = (pid: string): number => {
  try {
    return Number(
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')[1],
    )
  } catch {
    // it has ended meanwhile
    return 0
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('npm start -- incidents', () => {
  it('knows its incidents by name', () => {
    const { status, stderr } = spawnSync(process.execPath, [START, 'incidents', 'titanic'], { encoding: 'utf8' })
    expect(status).toBe(64)
    expect(stderr).toMatch(/incidents: there is no "titanic"; known are .*lagrange/)
  })

  it.each(['SIGINT', 'SIGKILL'] as const)('leaves nothing behind on %s', async (signal) => {
    const runner = spawn(process.execPath, [START, 'incidents', 'lagrange'], { stdio: 'ignore' })
    const ended = once(runner, 'exit')
    // the player, two bots and a dead server, or most of them
    let started: number[] = []
    for (let n = 0; n < 200 && started.length < 3; n++) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      started = descendants(runner.pid!)
    }
    expect(started.length).toBeGreaterThanOrEqual(3)
    runner.kill(signal)
    expect(await ended).toEqual([null, signal])
    await until(() => !started.some(isAlive))
  })
})
