/** What it costs to accept a message so that a loss of power cannot undo it, beside the bare disk. */
import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { fileStore } from '../../src/file-store.ts'
import { median, type Report } from './report.ts'

const TIMES = 2_000
const WARM_UP = 50
const text = 'a chat message of ordinary length, as bots send them all day long. '.repeat(3)
const record = (n: number) => ({ key: `outbox/bot/${String(n).padStart(8, '0')}`, value: { n, text } })

const timed = async (times: number, once: (n: number) => Promise<unknown>): Promise<number[]> => {
  for (let n = 0; n < WARM_UP; n++) await once(n)
  const took: number[] = []
  for (let n = WARM_UP; n < WARM_UP + times; n++) {
    const begun = performance.now()
    await once(n)
    took.push(performance.now() - begun)
  }
  return took
}

const p99 = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)]!
const fine = (value: number): string => `${value.toFixed(2)} ms`

/** An append and an fdatasync: less than this no store can do. */
const bareDisk = async (dir: string): Promise<number[]> => {
  const file = await open(join(dir, 'control'), 'a')
  const took = await timed(TIMES, async (n) => {
    await file.write(`${JSON.stringify(record(n))}\n`)
    await file.datasync()
  })
  await file.close()
  return took
}

const GROUP = 100
const GROUPS = 100

const inDir = async (dir: string, report: Report): Promise<void> => {
  const bare = await bareDisk(dir)
  report('control: append and fdatasync, p50', fine(median(bare)), '(the disk)', true)
  report('control: append and fdatasync, p99', fine(p99(bare)), '(the disk)', true)

  const store = fileStore(join(dir, 'state'))
  const alone = await timed(TIMES, (n) => store.write([record(n)], { toDisk: true }))
  report('accept one message to disk, p50', fine(median(alone)), '< 1 ms', median(alone) < 1)
  report('accept one message to disk, p99', fine(p99(alone)), '< 10 ms', p99(alone) < 10)

  const groups = await timed(GROUPS, (n) =>
    Promise.all(Array.from({ length: GROUP }, (_, i) => store.write([record(n * GROUP + i)], { toDisk: true }))),
  )
  const perSecond = (1_000 * GROUP) / median(groups)
  report(`${GROUP} callers at once, each to disk`, `${Math.round(perSecond)} a second`, '(no promise)', true)

  const lazy = await timed(TIMES, (n) => store.write([record(n)]))
  report('the same without toDisk, p50', fine(median(lazy)), '(no promise)', true)
  await store.close()

  const begun = performance.now()
  const again = fileStore(join(dir, 'state'))
  const { length } = await again.read('outbox/')
  report(`open and read ${length} records`, fine(performance.now() - begun), '(no promise)', true)
  await again.close()
}

export const bench = async (report: Report): Promise<void> => {
  // beside the project, as the temporary folder of the system may be in memory
  const dir = mkdtempSync(join(process.cwd(), 'node_modules/.cache/holdfast/store-bench-'))
  try {
    await inDir(dir, report)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
