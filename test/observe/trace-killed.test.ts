/** Traces of processes that are killed while they write, one after the other into the same file. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { readTraceFile } from '../../src/observe/trace.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'
import { runnable } from '../lab/bundle.ts'

const seed = Number(process.env.HF_SEED ?? 20_261_121)
const KILLS = Number(process.env.HF_RUNS ?? 10)

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-killed-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

let module = ''
beforeAll(async () => {
  module = await runnable('src/observe/trace-file.ts')
}, 60_000)

/** Writes as fast as it can, in big pieces, so that a kill is likely to tear one; a second of the trace's own time is 5 ms. */
const startWriter = (file: string, link: string) => {
  const source = `
    import { randomBytes } from 'node:crypto'
    import { openTrace } from ${JSON.stringify(pathToFileURL(module).href)}
    const clock = {
      now: () => performance.now(),
      wall: () => Date.now(),
      setTimeout: (run, ms) => setTimeout(run, ms / 200),
      clearTimeout,
      random: Math.random,
    }
    const noise = randomBytes(600_000).toString('base64')
    const trace = openTrace(${JSON.stringify(file)}, { clock })
    let seq = 0
    const write = () => {
      for (let i = 0; i < 40; i++) {
        seq++
        trace.add({ link: ${JSON.stringify(link)}, seq, at: seq, elapsedMs: seq, from: 'live', event: 'transport.lost',
          to: 'backoff', reason: 'refused', detail: '拒绝 "' + noise.slice(seq * 97 % 700_000).slice(0, 20_000), attempt: 1 })
      }
      setImmediate(write)
    }
    write()
    process.stdout.write('writing')`
  return spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
}

test.each([
  '.hf.ndjson',
  '.hf.ndjson.gz',
])(`%s: killed ${KILLS} times, at worst the end of each is missing`, async (ending) => {
  const file = join(folder, `killed${ending}`)
  const random = seededRandom(seed)
  for (let life = 0; life < KILLS; life++) {
    const before = existsSync(file) ? statSync(file).size : 0
    const writer = startWriter(file, `life-${life}`)
    await once(writer.stdout, 'data')
    // more than its header
    while (statSync(file).size < before + 1_000) await pause(1)
    await pause(random() * 20)
    writer.kill('SIGKILL')
    await once(writer, 'close')
  }
  const { headers, records, notices } = await readTraceFile(file)
  expect(headers).toHaveLength(KILLS)
  for (let life = 0; life < KILLS; life++) {
    const own = records.filter(({ link }) => link === `life-${life}`).map(({ seq }) => seq)
    expect(own, `life ${life}, seed ${seed}`).toEqual(own.map((_, i) => i + 1))
  }
  const torn = notices.filter(({ kind }) => kind !== 'lost')
  expect(torn.length, JSON.stringify(notices)).toBeLessThanOrEqual(KILLS)
  expect(records.length).toBeGreaterThan(KILLS)
  if (ending.endsWith('.gz')) return
  // one record per line, and nothing between them but what was torn
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  expect(lines).toHaveLength(headers.length + records.length + notices.length)
}, 60_000)
