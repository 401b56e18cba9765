/** `npm start -- incidents`: what it refuses, and that nothing is left of it however it ends. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { until } from '../transport/servers.ts'

const START = 'scripts/start.mjs'

/** All that descends from a process, as the system sees it now. */
const descendants = (of: number): number[] => {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
  const rows = table.trim().split('\n')
  const all = rows.map((line) => line.trim().split(/\s+/).map(Number) as [number, number])
  const below = (parent: number): number[] =>
    all.filter(([, ppid]) => ppid === parent).flatMap(([pid]) => [pid, ...below(pid)])
  return below(of)
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
