/**
 * The file store among real processes: several that spend from one budget, and those that die with the lock in hand.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fileBudgetStore, type Reservation, sessionBudget } from '../src/budget.ts'
import { runnable } from './lab/bundle.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'holdfast-budget-'))
const children: ChildProcess[] = []
let module = ''

beforeAll(async () => {
  module = pathToFileURL(await runnable('src/budget.ts')).href
}, 60_000)
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))

const freshDir = () => fs.mkdtempSync(join(scratch, 'd-'))

/** A Node process with `dir`, `sessionBudget`, `fileBudgetStore`, and `say`, which writes a line at once. */
const run = (dir: string, script: string) => {
  const source = `
    import { writeSync } from 'node:fs'
    import { sessionBudget, fileBudgetStore } from ${JSON.stringify(module)}
    const dir = ${JSON.stringify(dir)}
    const say = (value) => writeSync(1, JSON.stringify(value) + '\\n')
    ${script}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  const ended = once(child, 'close').then(() => undefined)
  const lines = (): unknown[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  const heard = async (count: number) => {
    while (lines().length < count) {
      await Promise.race([once(child.stdout, 'data'), ended.then(() => Promise.reject(new Error(`it ended: ${text}`)))])
    }
  }
  return { child, ended, lines, heard }
}

/** Spends until nothing is left, and says when each start is due. */
const spender = (options: object) => `
  const budget = sessionBudget({ key: 'bot', ...${JSON.stringify(options)}, store: fileBudgetStore(dir) })
  for (;;) {
    const answer = await budget.reserve()
    if (answer.exhausted) break
    say(Date.now() + answer.waitMs)
  }`

const GREEDY = { perDay: 400, perInterval: { count: 1_000, ms: 1 } }
const USABLE = 360

const openHere = (dir: string, options: typeof GREEDY = GREEDY) =>
  sessionBudget({ key: 'bot', ...options, store: fileBudgetStore(dir) })

const budgetFile = (dir: string): string => join(dir, fs.readdirSync(dir).find((name) => name.endsWith('.json'))!)
const lockFile = (dir: string): string => `${budgetFile(dir)}.lock`

const timed = async (work: Promise<Reservation>) => {
  const began = performance.now()
  const outcome = await work.then(
    (reservation) => ({ reservation, error: undefined }),
    (error: unknown) => ({ reservation: undefined, error }),
  )
  return { ...outcome, ms: performance.now() - began }
}

describe('several processes', () => {
  test.each([
    2, 4,
  ])('%i processes that hammer one file spend 360 together, not one more and not one less', async (count) => {
    const dir = freshDir()
    const began = performance.now()
    const spenders = Array.from({ length: count }, () => run(dir, spender(GREEDY)))
    await Promise.all(spenders.map(({ ended }) => ended))
    const counts = spenders.map(({ lines }) => lines().length)
    console.log(`${counts.join(' + ')} starts in ${(performance.now() - began).toFixed(0)} ms`)
    expect(counts.reduce((sum, each) => sum + each)).toBe(USABLE)
    for (const each of counts) expect(each, 'none was starved').toBeGreaterThan(0)
    expect(fs.readdirSync(dir)).toHaveLength(1)
  })

  test('busy processes take turns: neither one with a slow disk nor one with a fast one is kept out', async () => {
    const dir = freshDir()
    const slow = run(
      dir,
      `const store = fileBudgetStore(dir)
      const wait = new Int32Array(new SharedArrayBuffer(4))
      for (;;) {
        await store.update('bot', () => {
          Atomics.wait(wait, 0, 0, 50)
          return [{}, undefined]
        })
        say('had it')
      }`,
    )
    await slow.heard(2)
    const before = slow.lines().length
    const store = fileBudgetStore(dir)
    const turns = 20
    for (let n = 0; n < turns; n++) await store.update('bot', () => [{}, undefined])
    const theirs = slow.lines().length - before
    console.log(`while we had ${turns} turns, it had ${theirs}`)
    expect(theirs).toBeGreaterThanOrEqual(0.6 * turns)
    expect(theirs).toBeLessThanOrEqual(2 * turns)
  })

  test('two processes keep one rate: starts are due at least 500 ms apart, whoever makes them', async () => {
    const dir = freshDir()
    const slow = { perDay: 40, perInterval: { count: 1, ms: 500 } }
    const spenders = [run(dir, spender(slow)), run(dir, spender(slow))]
    await Promise.all(spenders.map(({ ended }) => ended))
    const { state } = JSON.parse(fs.readFileSync(budgetFile(dir), 'utf8'))
    const planned = (state.starts as [number, number, number][]).map(([, at]) => at)
    expect(planned).toHaveLength(36)
    const gaps = planned.slice(1).map((at, n) => at - planned[n]!)
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(500)
    // each process reads the clock after it was answered, so it may start late by that, and never early
    const due = spenders.flatMap(({ lines }) => lines() as number[]).sort((a, b) => a - b)
    expect(due).toHaveLength(36)
    for (const [n, at] of due.entries()) expect(at).toBeGreaterThanOrEqual(planned[n]! - 5)
  })

  test('processes that are killed at random and started again never pass the limit together', async () => {
    const dir = freshDir()
    const paced = `
      const budget = sessionBudget({ key: 'bot', ...${JSON.stringify(GREEDY)}, store: fileBudgetStore(dir) })
      say('up')
      for (;;) {
        const answer = await budget.reserve()
        say(answer.exhausted ? 'exhausted' : 'start')
        if (answer.exhausted) break
      }`
    const all: ReturnType<typeof run>[] = []
    for (let round = 0; round < 12; round++) {
      const pair = [run(dir, paced), run(dir, paced)]
      all.push(...pair)
      await Promise.all(pair.map(({ heard }) => heard(2)))
      await new Promise((resolve) => setTimeout(resolve, 10 + ((round * 37) % 60)))
      for (const { child } of pair) child.kill('SIGKILL')
      await Promise.all(pair.map(({ ended }) => ended))
    }
    let after = 0
    const rest = openHere(dir)
    while (!(await rest.reserve()).exhausted) after++
    const said = all.flatMap(({ lines }) => lines()).filter((line) => line === 'start').length
    const { state } = JSON.parse(fs.readFileSync(budgetFile(dir), 'utf8'))
    console.log(`24 killed processes made ${said} starts, then ${after} were left of ${USABLE}`)
    expect(said).toBeGreaterThan(12)
    // a process may die between its reservation and its word of it: that start is lost, and never one too many
    expect(said + after).toBeLessThanOrEqual(USABLE)
    expect(said + after).toBeGreaterThanOrEqual(USABLE - 24)
    expect(state.starts).toHaveLength(USABLE)
    expect(fs.readdirSync(dir).filter((name) => /\.(lock|tmp)$/.test(name))).toEqual([])
  })
})

/** A process that stops in the middle of a change, with the lock in hand. */
const stopsInside = (signal: string) => `
  const store = fileBudgetStore(dir)
  const change = (stored) => {
    say('inside')
    process.kill(process.pid, '${signal}')
    return [stored, undefined]
  }
  await store.update('bot', change)
  say('kept')`

describe('a lock that was left', () => {
  test('SIGKILL while holding the lock: the next reservation breaks it at once', async () => {
    const dir = freshDir()
    await openHere(dir).reserve()
    const { ended } = run(dir, stopsInside('SIGKILL'))
    await ended
    expect(fs.existsSync(lockFile(dir))).toBe(true)
    const { reservation, ms } = await timed(openHere(dir).reserve())
    console.log(`a dead owner's lock was broken in ${ms.toFixed(0)} ms`)
    expect(reservation).toMatchObject({ waitMs: 0 })
    expect(ms).toBeLessThan(500)
    expect(fs.readdirSync(dir)).toHaveLength(1)
  })

  test('ten stores that find the same dead lock break it once, and none of their starts is lost', async () => {
    const dir = freshDir()
    await openHere(dir).reserve()
    await run(dir, stopsInside('SIGKILL')).ended
    const answers = await Promise.all(Array.from({ length: 10 }, () => openHere(dir).reserve()))
    expect(new Set(answers.map((answer) => answer.ticket)).size).toBe(10)
    expect(JSON.parse(fs.readFileSync(budgetFile(dir), 'utf8')).state.starts).toHaveLength(11)
  })

  test('a process that lives keeps its lock: others get a clear error after 2 s, and go on when it does', async () => {
    const dir = freshDir()
    await openHere(dir).reserve()
    const stopped = run(dir, stopsInside('SIGSTOP'))
    await stopped.heard(1)
    const budget = openHere(dir)
    const held = new RegExp(
      `^The budget file is in use: process ${stopped.child.pid} has kept ${lockFile(dir)} for .* end it`,
    )
    const both = [timed(budget.reserve()), timed(budget.reserve())]
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    for (const { error, ms } of await Promise.all([...both, timed(budget.reserve())])) {
      expect(error).toMatchObject({
        name: 'HoldfastError',
        code: 'store-failed',
        message: expect.stringMatching(held),
      })
      expect(ms).toBeGreaterThan(900)
      expect(ms).toBeLessThan(3_000)
    }
    stopped.child.kill('SIGCONT')
    await stopped.heard(2)
    const { reservation, ms } = await timed(budget.reserve())
    expect(reservation).toMatchObject({ waitMs: 0 })
    expect(ms).toBeLessThan(1_000)
  })

  /** A lock of this process, seen from inside of a change. */
  const ownLock = (): Promise<Record<string, unknown>> => {
    const dir = freshDir()
    return fileBudgetStore(dir).update('bot', () => {
      const name = fs.readdirSync(dir).find((each) => each.endsWith('.lock'))!
      return [{}, JSON.parse(fs.readFileSync(join(dir, name), 'utf8'))]
    })
  }

  const left: [string, (own: Record<string, unknown>) => string, atLeastMs: number][] = [
    ['its number was given to another process', (own) => JSON.stringify({ ...own, start: '1' }), 0],
    ['of another boot or container', (own) => JSON.stringify({ ...own, domain: 'elsewhere' }), 1_000],
    ['of a system that does not tell when processes started', (own) => JSON.stringify({ ...own, start: '' }), 1_000],
    ['empty: killed between making and writing it', () => '', 1_000],
    ['half written', (own) => JSON.stringify(own).slice(0, 30), 1_000],
    ['of another program', () => '4711\n', 1_000],
    ['with a process number that is none', (own) => JSON.stringify({ ...own, pid: -1 }), 1_000],
    ['with a path for a mark', (own) => JSON.stringify({ ...own, nonce: '../../etc/pass' }), 1_000],
  ]
  test.concurrent.each(
    left,
  )('a lock %s is broken, and its age by wall time plays no part', async (_, content, atLeastMs) => {
    const own = await ownLock()
    const attempts = [new Date(), new Date(0), new Date('2100-01-01')].map(async (date) => {
      const dir = freshDir()
      await openHere(dir).reserve()
      const lock = lockFile(dir)
      fs.writeFileSync(lock, content({ ...own, nonce: '0123456789abcdef' }))
      fs.utimesSync(lock, date, date)
      return await timed(openHere(dir).reserve())
    })
    for (const { reservation, ms } of await Promise.all(attempts)) {
      expect(reservation?.waitMs).toBeLessThanOrEqual(1)
      expect(ms).toBeGreaterThanOrEqual(atLeastMs)
      expect(ms).toBeLessThan(atLeastMs + 900)
    }
  })

  test('who was killed while breaking a lock leaves nothing that others would wait for', async () => {
    const own = await ownLock()
    const dir = freshDir()
    await openHere(dir).reserve()
    const dead = (nonce: string) => JSON.stringify({ ...own, start: '1', nonce })
    const lock = lockFile(dir)
    fs.writeFileSync(lock, dead('00000000000000aa'))
    fs.writeFileSync(`${lock}.00000000000000aa`, dead('00000000000000bb'))
    fs.writeFileSync(`${lock}.00000000000000aa.00000000000000bb`, dead('00000000000000cc'))
    fs.writeFileSync(`${budgetFile(dir)}.00000000000000aa.tmp`, 'half')
    const { reservation, ms } = await timed(openHere(dir).reserve())
    expect(reservation?.waitMs).toBeLessThanOrEqual(1)
    expect(ms).toBeLessThan(500)
    expect(fs.readdirSync(dir)).toHaveLength(1)
  })

  test('who lost the lock in the middle notices before the rename: an error, and nothing is changed', async () => {
    const dir = freshDir()
    await openHere(dir).reserve()
    const lock = lockFile(dir)
    const before = fs.readFileSync(budgetFile(dir), 'utf8')
    const lost = fileBudgetStore(dir).update('bot', () => {
      fs.rmSync(lock)
      fs.writeFileSync(lock, 'of somebody else')
      return [{ forged: true }, undefined]
    })
    await expect(lost).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(
        new RegExp(`^The lock of the budget file ${budgetFile(dir)} was taken .* Ask again\\.$`),
      ),
    })
    expect(fs.readFileSync(budgetFile(dir), 'utf8')).toBe(before)
    expect(fs.readFileSync(lock, 'utf8')).toBe('of somebody else')
    expect(fs.readdirSync(dir)).toHaveLength(2)
  })

  test('a folder in place of the lock is an error at once', async () => {
    const dir = freshDir()
    await openHere(dir).reserve()
    fs.mkdirSync(lockFile(dir))
    const { error, ms } = await timed(openHere(dir).reserve())
    expect(error).toMatchObject({ code: 'store-failed', cause: expect.objectContaining({ code: 'EISDIR' }) })
    expect(ms).toBeLessThan(500)
  })

  test.each(['', '.lock'])('a pipe in place of the file%s is not waited for', async (end) => {
    const dir = freshDir()
    await openHere(dir).reserve()
    const path = `${budgetFile(dir)}${end}`
    fs.rmSync(path, { force: true })
    execFileSync('mkfifo', [path])
    const { reservation, ms } = await timed(openHere(dir).reserve())
    expect(reservation?.warning).toBe(end === '' ? 'history-lost' : undefined)
    expect(ms).toBeLessThan(2_000)
  })
})
