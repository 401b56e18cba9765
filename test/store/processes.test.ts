/** The store among real processes: killed at any moment, left open, in use by another one, without its package. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fileStore } from '../../src/file-store.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'
import { runnable } from '../lab/bundle.ts'

const ROUNDS = 200
const LANES = 4
const seed = Number(process.env.HF_SEED ?? 20_261_121)

const scratch = fs.mkdtempSync(join(tmpdir(), 'holdfast-store-processes-'))
const children = new Set<ChildProcess>()
let module = ''

beforeAll(async () => {
  module = await runnable('src/file-store.ts')
}, 60_000)
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
})
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))

const freshDir = () => fs.mkdtempSync(join(scratch, 'd-'))

/** A Node process with `fileStore`, `dir`, and `say`, which writes a line at once. */
const run = (dir: string, script: string) => {
  const source = `
    import { writeSync } from 'node:fs'
    import { fileStore } from ${JSON.stringify(pathToFileURL(module).href)}
    const dir = ${JSON.stringify(dir)}
    const say = (line) => writeSync(1, line + '\\n')
    ${script}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  const ended = once(child, 'close').then(([code]) => {
    children.delete(child)
    return code as number | null
  })
  return {
    child,
    ended,
    /** Whole lines only: the last one may have been cut by the kill. */
    lines: () => text.split('\n').slice(0, -1),
    heard: async (line: string) => {
      while (!text.includes(`${line}\n`)) {
        await Promise.race([once(child.stdout, 'data'), ended.then(() => Promise.reject(new Error(`ended: ${text}`)))])
      }
    },
  }
}

/**
 * Accepts messages, several at once, in two records each, and now and then settles one. `+` says that a message was
 * accepted, `?` that it is about to be settled, `-` that it was.
 */
const acceptor = (round: number) => `
  const store = fileStore(dir, { warn: (message) => say('warning ' + message) })
  await store.read('message/')
  say('up')
  const accepted = []
  for (let n = 0; ; n++) {
    await Promise.all([0, 1, 2].slice(n % 3).map(async (lane) => {
      const id = '${round}-' + n + '-' + lane
      const text = 'message ' + id + ' '.repeat((n * 977 + lane * 131) % 1_500)
      await store.write([
        { key: 'message/' + id, value: { id, text } },
        { key: 'index/' + id, value: text.length },
      ], { toDisk: true })
      accepted.push(id)
      say('+' + id)
    }))
    if (n % 2 === 1) {
      const id = accepted.shift()
      say('?' + id)
      await store.write([{ key: 'message/' + id }, { key: 'index/' + id }], { toDisk: true })
      say('-' + id)
    }
  }`

/** What one folder must hold, by what its processes said before they were killed. */
const ledger = () => {
  const state = new Map<string, 'accepted' | 'settling' | 'settled'>()
  const warnings: string[] = []
  const read = (lines: readonly string[]) => {
    for (const line of lines) {
      const id = line.slice(1)
      if (line[0] === '+') state.set(id, 'accepted')
      else if (line[0] === '?') state.set(id, 'settling')
      else if (line[0] === '-') state.set(id, 'settled')
      else if (line.startsWith('warning')) warnings.push(line)
    }
  }
  return { state, warnings, read }
}

/** Every record, whole and as it was written, in pairs. */
const contentsOf = async (dir: string, warnings: string[]): Promise<Set<string>> => {
  const store = fileStore(dir, { warn: (message) => warnings.push(message) })
  const messages = await store.read('message/')
  const index = new Map(await store.read('index/'))
  await store.close()
  expect(messages.length).toBe(index.size)
  for (const [key, value] of messages) {
    const { id, text } = value as { id: string; text: string }
    expect(key).toBe(`message/${id}`)
    expect(text.trimEnd()).toBe(`message ${id}`)
    expect(index.get(`index/${id}`)).toBe(text.length)
  }
  return new Set(messages.map(([, value]) => (value as { id: string }).id))
}

test(`killed ${ROUNDS} times: what was accepted is there, what was settled is not, and nobody is warned`, async () => {
  console.log(`seed ${seed} (HF_SEED draws other moments)`)
  const began = performance.now()
  const totals = { accepted: 0, settled: 0, unsaid: 0, early: 0 }
  const lane = async (number: number) => {
    const random = seededRandom(seed + number)
    const dir = freshDir()
    const { state, warnings, read } = ledger()
    const unsaid = new Set<string>()
    for (let round = 0; round < ROUNDS / LANES; round++) {
      const { child, ended, lines, heard } = run(dir, acceptor(round))
      // some die while they are starting or opening
      if (random() < 0.25) await pause(150 * random())
      else await heard('up').then(() => pause(25 * random()))
      child.kill('SIGKILL')
      await ended
      if (!lines().includes('up')) totals.early++
      read(lines())
      const there = await contentsOf(dir, warnings)
      for (const [id, fate] of state) {
        if (fate !== 'settling')
          expect(there.has(id), `seed ${seed}, lane ${number}: ${id} ${fate}`).toBe(fate === 'accepted')
      }
      // written, and killed before that was said: at most what was under way in this round, or is known from before
      for (const id of there) {
        if (state.has(id) || unsaid.has(id)) continue
        expect(id, `seed ${seed}, lane ${number}`).toMatch(new RegExp(`^${round}-\\d+-[012]$`))
        unsaid.add(id)
      }
    }
    expect(warnings).toEqual([])
    for (const fate of state.values()) {
      if (fate === 'accepted') totals.accepted++
      if (fate === 'settled') totals.settled++
    }
    totals.unsaid += unsaid.size
  }
  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)))
  console.log(`${ROUNDS} kills in ${((performance.now() - began) / 1000).toFixed(1)} s:`, totals)
  expect(totals.accepted).toBeGreaterThan(ROUNDS)
  expect(totals.settled).toBeGreaterThan(0)
}, 120_000)

test('an open store keeps no process alive, and what it was given is kept', async () => {
  const dir = freshDir()
  const { ended, lines } = run(
    dir,
    `const store = fileStore(dir)
    await store.write([{ key: 'a', value: 1 }])
    say(JSON.stringify(process.getActiveResourcesInfo()))
    void store.write([{ key: 'b', value: 2 }], { toDisk: true }).then(() => say('written'))`,
  )
  expect(await ended).toBe(0)
  expect(lines()).toEqual(['[]', 'written'])
  const store = fileStore(dir)
  expect(await store.read('')).toEqual([
    ['a', 1],
    ['b', 2],
  ])
  await store.close()
})

test('while another process has it open, calls say so; when that one is killed, the next call works', async () => {
  const dir = freshDir()
  const other = run(
    dir,
    `const store = fileStore(dir)
    await store.write([{ key: 'a', value: 1 }])
    say('open')
    setInterval(() => undefined, 1_000)`,
  )
  await other.heard('open')
  const store = fileStore(dir)
  await expect(store.read('')).rejects.toMatchObject({
    code: 'store-failed',
    message: `The store in ${dir} cannot be used (it is locked). Another process has it open: stop that one, or give each process a folder of its own.`,
  })
  other.child.kill('SIGKILL')
  await other.ended
  expect(await store.read('')).toEqual([['a', 1]])
  await store.close()
})

describe('the optional package', () => {
  const formats = ['esm', 'cjs'] as const
  const paths: Record<string, string> = {}

  beforeAll(async () => {
    const { build } = await import('tsdown')
    const outDir = join(module, '..', 'formats')
    for (const format of formats) {
      await build({
        cwd: join(import.meta.dirname, '../..'),
        config: false,
        entry: { 'file-store': 'src/file-store.ts' },
        outDir,
        clean: false,
        format,
        platform: 'node',
        target: 'node20.19',
        fixedExtension: true,
        dts: false,
        logLevel: 'error',
      })
      paths[format] = join(outDir, format === 'esm' ? 'file-store.mjs' : 'file-store.cjs')
    }
  }, 60_000)

  const load = {
    esm: (path: string) => `await import(${JSON.stringify(pathToFileURL(path).href)})`,
    cjs: (path: string) => `require(${JSON.stringify(path)})`,
  }

  const tryIt = (format: (typeof formats)[number], path: string) => {
    const source = `(async () => {
      const { fileStore } = ${load[format](path)}
      const store = fileStore(process.argv[1])
      const outcome = await store.write([{ key: 'a', value: 1 }]).then(() => store.read(''), ({ code, message }) => ({ code, message }))
      console.log(JSON.stringify(outcome))
    })()`
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', source, freshDir()], { encoding: 'utf8' })
    expect(stderr).toBe('')
    return JSON.parse(stdout)
  }

  test.each(
    formats,
  )('%s: found where it is installed, and named with the command that installs it where it is not', (format) => {
    expect(tryIt(format, paths[format]!)).toEqual([['a', 1]])
    const elsewhere = join(freshDir(), paths[format]!.split('/').at(-1)!)
    fs.copyFileSync(paths[format]!, elsewhere)
    expect(tryIt(format, elsewhere)).toEqual({
      code: 'bad-option',
      message: 'fileStore() needs the package "classic-level": npm install classic-level',
    })
  })
})
