/**
 * Files of a store that were cut, or have a byte that flipped: it opens, gives back nothing that was not written, and
 * goes on. HF_SEED draws other damage.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileStore } from '../../src/file-store.ts'
import type { Change, StoredEntry } from '../../src/store.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'

const seed = Number(process.env.HF_SEED ?? 20_261_121)
const RECORDS = 50
const TIMES = 320

const scratch = fs.mkdtempSync(join(tmpdir(), 'holdfast-damage-'))
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))
const freshDir = () => fs.mkdtempSync(join(scratch, 'd-'))

const keyOf = (n: number): string => `record/${String(n).padStart(3, '0')}`
const contentOf = (n: number, revision = 0) => ({ n, revision, text: `message ${n} `.repeat(1 + (n % 7)) })
const record = (n: number, revision = 0): Change => ({ key: keyOf(n), value: contentOf(n, revision) })

const writeEach = async (dir: string, changes: readonly Change[]) => {
  const store = fileStore(dir)
  for (const change of changes) await store.write([change])
  await store.close()
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n)

/** All in one log, in the order of writing. */
const makeLog = async (): Promise<string> => {
  const dir = freshDir()
  await writeEach(
    dir,
    numbers(0, RECORDS).map((n) => record(n)),
  )
  return dir
}

/** In three tables and a log, with records that were replaced and deleted across them. */
const makeTables = async (): Promise<string> => {
  const dir = freshDir()
  const all = numbers(0, RECORDS).map((n) => record(n))
  await writeEach(dir, [...all.slice(0, 20), ...numbers(100, 105).map((n) => record(n))])
  await writeEach(dir, [...all.slice(20, 35), ...numbers(5, 10).map((n) => record(n, 1))])
  const deleted = numbers(100, 105).map((n) => ({ key: keyOf(n), value: undefined }))
  await writeEach(dir, [...all.slice(35, 42), ...deleted])
  await writeEach(dir, [...all.slice(42), ...numbers(10, 13).map((n) => record(n, 1))])
  return dir
}

/** Whether this very value was written under this key at some time. */
const wasWritten = ([key, value]: StoredEntry): boolean => {
  const { n, revision } = value as { n: number; revision: number }
  const revised = (n >= 5 && n < 13 && revision === 1) || revision === 0
  const exists = (n >= 0 && n < RECORDS) || (n >= 100 && n < 105)
  return exists && revised && key === keyOf(n) && JSON.stringify(value) === JSON.stringify(contentOf(n, revision))
}

interface Opened {
  readonly entries: StoredEntry[]
  readonly warnings: string[]
}

/** Reads it, and proves that it is still a store. */
const open = async (dir: string): Promise<Opened> => {
  const warnings: string[] = []
  const store = fileStore(dir, { warn: (message) => warnings.push(message) })
  const entries = await store.read('record/')
  await store.write([{ key: 'after', value: entries.length }])
  await store.close()
  const again = fileStore(dir, { warn: () => undefined })
  expect(await again.read('after')).toEqual([['after', entries.length]])
  expect(await again.read('record/')).toEqual(entries)
  await again.close()
  return { entries, warnings }
}

const KINDS = { log: /\.log$/, table: /\.ldb$/, MANIFEST: /^MANIFEST/, CURRENT: /^CURRENT$/ }

const filesOf = (dir: string): string[] => fs.readdirSync(join(dir, 'db-1')).sort()

type Harm = (bytes: Buffer, random: () => number) => Buffer

const cut: Harm = (bytes, random) => bytes.subarray(0, Math.floor(bytes.length * random()))

const flip: Harm = (bytes, random) => {
  const at = Math.floor(bytes.length * random())
  bytes[at] = bytes[at]! ^ (1 + Math.floor(255 * random()))
  return bytes
}

interface Case extends Opened {
  readonly kind: string
  readonly what: string
}

/** Copies a store, harms one file of it, and opens the copy. */
const harmed = async (from: string, kind: keyof typeof KINDS, harm: Harm, random: () => number): Promise<Case> => {
  const dir = freshDir()
  fs.cpSync(from, dir, { recursive: true })
  const files = filesOf(dir).filter((name) => KINDS[kind].test(name))
  const name = files[Math.floor(files.length * random())]!
  const before = fs.readFileSync(join(dir, 'db-1', name))
  const after = harm(Buffer.from(before), random)
  fs.writeFileSync(join(dir, 'db-1', name), after)
  const at = before.findIndex((byte, n) => byte !== after[n])
  const what = `seed ${seed}: ${name} of ${before.length} bytes from byte ${at} on`
  const opened = await open(dir).catch((error) => {
    throw new Error(`${what}: ${error.message}`, { cause: error })
  })
  fs.rmSync(dir, { recursive: true })
  return { kind, what, ...opened }
}

/** Each kind of file so often, from a seed of its own. */
const eachKind = async (harm: Harm): Promise<Case[]> => {
  const kinds = Object.keys(KINDS) as (keyof typeof KINDS)[]
  const lanes = kinds.map(async (kind, lane) => {
    const random = seededRandom(seed + lane)
    const cases: Case[] = []
    for (let n = 0; n < TIMES / kinds.length; n++) cases.push(await harmed(tables, kind, harm, random))
    return cases
  })
  return (await Promise.all(lanes)).flat()
}

const lostIn = ({ entries }: Opened): number => RECORDS - entries.filter(([key]) => key < keyOf(100)).length

const tell = (title: string, cases: readonly Case[]) => {
  const perKind = Object.keys(KINDS).map((kind) => {
    const own = cases.filter((each) => each.kind === kind)
    const lost = own.map(lostIn)
    return `${kind}: ${own.length} times, ${lost.filter((n) => n > 0).length} with loss, at most ${Math.max(0, ...lost)}`
  })
  console.log(`seed ${seed}: ${title}\n  ${perKind.join('\n  ')}`)
}

let log = ''
let tables = ''
beforeAll(async () => {
  log = await makeLog()
  tables = await makeTables()
})

describe('a store that was harmed', () => {
  test('unharmed, all is there and nobody is warned', async () => {
    for (const from of [log, tables]) {
      const dir = freshDir()
      fs.cpSync(from, dir, { recursive: true })
      const { entries, warnings } = await open(dir)
      expect(warnings).toEqual([])
      expect(entries).toHaveLength(RECORDS)
      expect(entries.every(wasWritten)).toBe(true)
    }
    const kinds = Object.values(KINDS).map((kind) => filesOf(tables).filter((name) => kind.test(name)).length)
    expect(kinds).toEqual([1, 3, 1, 1])
  })

  const isSilent = (each: Case): boolean => lostIn(each) > 0 && each.warnings.length === 0

  test(`${TIMES} cuts: it opens, and every record is one that was written`, async () => {
    const cases = await eachKind(cut)
    tell('cuts', cases)
    expect(cases).toHaveLength(TIMES)
    for (const { entries, what } of cases) for (const entry of entries) expect(wasWritten(entry), what).toBe(true)
    expect(cases.filter((each) => lostIn(each) > 0).length).toBeGreaterThan(TIMES / 4)
    // the cut end of a log is what a crash leaves of a write that nobody was promised
    expect(cases.filter((each) => isSilent(each) && each.kind !== 'log').map(({ what }) => what)).toEqual([])
  }, 120_000)

  test(`${TIMES} bytes that flipped: the same, and whoever loses a record is told`, async () => {
    const cases = await eachKind(flip)
    tell('flips', cases)
    expect(cases).toHaveLength(TIMES)
    for (const { entries, what } of cases) for (const entry of entries) expect(wasWritten(entry), what).toBe(true)
    expect(cases.filter((each) => lostIn(each) > 0).length).toBeGreaterThan(TIMES / 4)
    expect(cases.filter(isSilent).map(({ what }) => what)).toEqual([])
  }, 120_000)

  test('a log that was cut keeps what was written first: a prefix, whole', async () => {
    const random = seededRandom(seed)
    const name = filesOf(log).find((file) => KINDS.log.test(file))!
    const bytes = fs.readFileSync(join(log, 'db-1', name))
    const dir = freshDir()
    const counts = new Set<number>()
    for (let n = 0; n < TIMES; n++) {
      fs.rmSync(dir, { recursive: true })
      fs.cpSync(log, dir, { recursive: true })
      const length = Math.floor((bytes.length + 1) * random())
      fs.truncateSync(join(dir, 'db-1', name), length)
      const store = fileStore(dir)
      const entries = await store.read('')
      await store.close()
      const prefix = numbers(0, entries.length).map((each) => [keyOf(each), contentOf(each)])
      expect(entries, `seed ${seed}: ${length} of ${bytes.length} bytes`).toEqual(prefix)
      counts.add(entries.length)
    }
    expect(counts.size).toBeGreaterThan(RECORDS / 2)
  }, 120_000)

  test('without any one of its files it opens, and loses no more than that file', async () => {
    for (const name of filesOf(tables).filter((file) => !/^(LOCK|LOG)/.test(file))) {
      const dir = freshDir()
      fs.cpSync(tables, dir, { recursive: true })
      fs.rmSync(join(dir, 'db-1', name))
      const opened = await open(dir)
      expect(opened.entries.every(wasWritten), name).toBe(true)
      expect(lostIn(opened), name).toBeLessThanOrEqual(/ldb$/.test(name) ? 25 : /log$/.test(name) ? 8 : 0)
      expect(opened.warnings, name).toHaveLength(1)
    }
  })

  test('with all of its files full of zeros, or of somebody else, it starts anew and keeps them aside', async () => {
    const fillings = [(length: number) => Buffer.alloc(length), (length: number) => Buffer.alloc(length, 'not ours\n')]
    for (const filling of fillings) {
      const dir = freshDir()
      fs.cpSync(tables, dir, { recursive: true })
      for (const name of filesOf(dir)) {
        const path = join(dir, 'db-1', name)
        fs.writeFileSync(path, filling(fs.statSync(path).size))
      }
      const { entries, warnings } = await open(dir)
      expect(entries).toEqual([])
      expect(warnings).toEqual([expect.stringContaining(join(dir, 'db-1'))])
      expect(fs.readdirSync(dir).sort()).toEqual(['db-1', 'db-2'])
    }
  })
})
