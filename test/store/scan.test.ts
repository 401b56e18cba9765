/** Our own reading of LevelDB's files against LevelDB's: what it calls whole opens, and what it finds is what is there. */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { afterAll, expect, test } from 'vitest'
import type { Entry } from '../../src/file-store/entry.ts'
import { scan } from '../../src/file-store/scan.ts'
import { seededRandom } from '../../src/testing/heap-clock.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'holdfast-scan-'))
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))
const freshDir = () => fs.mkdtempSync(join(scratch, 'd-'))

const found = async (dir: string) => {
  const latest = new Map<string, Entry>()
  let entries = 0
  const damaged = await scan(dir, (entry) => {
    entries++
    if (entry.sequence > (latest.get(entry.key)?.sequence ?? -1)) latest.set(entry.key, entry)
  })
  const kept = [...latest.values()].filter(({ value }) => value !== undefined).map(({ key, value }) => [key, value])
  return { damaged, entries, kept: kept.sort(([one], [other]) => (one! < other! ? -1 : 1)) }
}

const count = (dir: string, ending: RegExp): number => fs.readdirSync(dir).filter((name) => ending.test(name)).length

test('an empty folder, and a new database', async () => {
  const dir = freshDir()
  expect(await found(dir)).toEqual({ damaged: 0, entries: 0, kept: [] })
  const level = new ClassicLevel(dir)
  await level.open()
  await level.close()
  expect(await found(dir)).toEqual({ damaged: 0, entries: 0, kept: [] })
})

test('a log whose records end at every place around the border of a block', async () => {
  for (let over = -24; over <= 24; over++) {
    const dir = freshDir()
    const level = new ClassicLevel(dir, { compression: false })
    await level.put('a', 'x'.repeat(32_768 - 40 + over))
    await level.put('b', 'y')
    await level.put('c', 'z'.repeat(70_000))
    await level.close()
    const { damaged, kept } = await found(dir)
    expect(damaged, `${over}`).toBe(0)
    expect(kept.map(([key, value]) => [key, value?.length])).toEqual([
      ['a', 32_728 + over],
      ['b', 1],
      ['c', 70_000],
    ])
  }
})

test('random changes over many openings, with small files that are merged: all that is there, in logs and tables', async () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = seededRandom(seed)
    const dir = freshDir()
    const model = new Map<string, string>()
    const tables = new Set<string>()
    for (let opening = 0; opening < 8; opening++) {
      const level = new ClassicLevel(dir, { compression: false, writeBufferSize: 65_536, maxFileSize: 1_048_576 })
      for (let n = 0; n < 40; n++) {
        const size = Math.floor(random() * (random() < 0.05 ? 60_000 : 900))
        const batch = Array.from({ length: Math.floor(random() * 6) }, () => {
          const key = `${'key/'.repeat(Math.floor(4 * random()))}${Math.floor(150 * random())}`
          if (random() < 0.3) return { type: 'del', key } as const
          return { type: 'put', key, value: `${'世é🌍x'[Math.floor(4 * random())]}`.repeat(size) } as const
        })
        await level.batch(batch)
        for (const each of batch) {
          if (each.type === 'put') model.set(each.key, Buffer.from(each.value).toString())
          else model.delete(each.key)
        }
      }
      await level.close()
      for (const name of fs.readdirSync(dir)) if (name.endsWith('.ldb')) tables.add(name)
      const { damaged, kept } = await found(dir)
      expect(damaged, `seed ${seed}, opening ${opening}`).toBe(0)
      expect(kept, `seed ${seed}, opening ${opening}`).toEqual(
        [...model].sort(([one], [other]) => (one < other ? -1 : 1)),
      )
    }
    // tables were merged: there have been more than there are
    expect(tables.size).toBeGreaterThan(count(dir, /\.ldb$/))
  }
}, 60_000)

test('every byte of a log and of a table that is changed is noticed, but for padding', async () => {
  const dir = freshDir()
  for (let opening = 0; opening < 2; opening++) {
    const level = new ClassicLevel(dir, { compression: false })
    for (let n = 0; n < 6; n++) await level.put(`key-${opening}-${n}`, 'value'.repeat(n))
    await level.close()
  }
  for (const name of fs.readdirSync(dir).filter((each) => /\.(log|ldb)$/.test(each))) {
    const path = join(dir, name)
    const bytes = fs.readFileSync(path)
    const unnoticed: number[] = []
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes)
      changed[at] = changed[at]! ^ 0x55
      fs.writeFileSync(path, changed)
      if ((await scan(dir)) === 0) unnoticed.push(at)
    }
    fs.writeFileSync(path, bytes)
    console.log(`${name}: ${bytes.length} bytes, unnoticed ${unnoticed.length}`)
    const end = name.endsWith('.log') ? 0 : 48
    // of a log only the last record, whose length says more than there is: so looks a write that never ended
    const last = bytes.lastIndexOf(Buffer.from('key-1-5'))
    const excused = (at: number) => (end ? at >= bytes.length - end : at >= last - 30 && at < last)
    expect(unnoticed.filter((at) => !excused(at))).toEqual([])
    expect(unnoticed.length).toBeLessThan(48)
  }
  expect(await scan(dir)).toBe(0)
})

test('a block of zeros: at the end it is what a loss of power leaves, before that it is damage, and nothing is joined over it', async () => {
  const dir = freshDir()
  const level = new ClassicLevel(dir, { compression: false })
  const sizes = [20_000, 70_000, 10, 50_000, 10, 20_000]
  for (const [n, size] of sizes.entries()) await level.put(`k${n}`, String(n).repeat(size))
  await level.close()
  const path = join(dir, fs.readdirSync(dir).find((name) => name.endsWith('.log'))!)
  const bytes = fs.readFileSync(path)
  const blocks = Math.ceil(bytes.length / 32_768)
  expect(blocks).toBe(5)
  for (let block = 0; block < blocks; block++) {
    fs.writeFileSync(path, Buffer.from(bytes).fill(0, block * 32_768, Math.min(bytes.length, (block + 1) * 32_768)))
    const { damaged, kept } = await found(dir)
    expect(damaged > 0, `block ${block}`).toBe(block < blocks - 1)
    for (const [key, value] of kept) expect(value, key).toBe(key!.slice(1).repeat(sizes[Number(key!.slice(1))]!))
    expect(kept.length, `block ${block}`).toBeLessThan(sizes.length)
    expect(kept.length, `block ${block}`).toBeGreaterThan(0)
  }
})
