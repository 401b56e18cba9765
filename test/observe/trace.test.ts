/** Trace files: whole after a crash at any byte, bounded, and the same for the page and for Node. */
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { chromeEvents } from '../../src/observe/chrome-trace.ts'
import type { TransitionRecord } from '../../src/observe/recorder.ts'
import { readTraceFile, traceTo } from '../../src/observe/trace.ts'
import { openTrace } from '../../src/observe/trace-file.ts'
import { noticeText, readTrace } from '../../src/observe/trace-format.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { FakeLink, fakeFleet } from './fake-link.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-trace-'))
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0
const newFile = (ending = '.hf.ndjson') => join(folder, `${++files}${ending}`)

const recordsOf = (count: number, link = 'bot 群'): TransitionRecord[] => {
  const fake = new FakeLink(link)
  for (let i = 0; i < count; i++) {
    const fault = { code: 'refused', detail: `ECONNREFUSED "${i}" \\ 拒绝` } as const
    fake.go(i % 2 === 0 ? 'backoff' : 'resolving', i % 2 === 0 ? { fault, delayMs: 900 + i } : {})
  }
  return [...fake.recording.kept]
}

/** Writes the records as one process would. */
const write = async (file: string, records: readonly TransitionRecord[]) => {
  const trace = openTrace(file)
  for (const record of records) trace.add(record)
  await trace.close()
}

describe.each(['.hf.ndjson', '.hf.ndjson.gz'])('a trace *%s', (ending) => {
  test('gives back what was written, under a header', async () => {
    const file = newFile(ending)
    const records = recordsOf(50)
    await write(file, records)
    const trace = await readTraceFile(file)
    expect(trace.records).toEqual(records)
    expect(trace.notices).toEqual([])
    expect(trace.headers).toHaveLength(1)
    expect(trace.headers[0]).toMatchObject({
      holdfast: 1,
      redaction: 'at-source',
      machine: expect.stringMatching(/^[0-9a-f]{16}$/),
    })
    expect(statSync(file).mode & 0o077).toBe(0)
  })

  test('a second process appends under a header of its own', async () => {
    const file = newFile(ending)
    await write(file, recordsOf(3))
    await write(file, recordsOf(2))
    const { headers, records, notices } = await readTraceFile(file)
    expect([headers.length, records.length, notices]).toEqual([2, 5, []])
  })

  test('torn at every byte, and written to again by the next process, it loses the torn part alone', async () => {
    const whole = newFile(ending)
    const records = recordsOf(50)
    const packed = ending.endsWith('.gz')
    await write(whole, records.slice(0, 25))
    await write(whole, records.slice(25))
    const bytes = readFileSync(whole)
    const file = newFile(ending)
    for (let length = packed ? 0 : 1; length < bytes.length; length += packed ? 1 : 7) {
      writeFileSync(file, bytes.subarray(0, length))
      const torn = await readTraceFile(file)
      // in order, from the first, and no word of what is torn
      expect(torn.records, `${length}`).toEqual(records.slice(0, torn.records.length))
      await write(file, recordsOf(1))
      const mended = await readTraceFile(file)
      expect(mended.records, `${length}`).toEqual([...records.slice(0, torn.records.length), ...recordsOf(1)])
    }
  }, 60_000)

  test('grown beyond its bound it becomes the older of two', async () => {
    const file = newFile(ending)
    const clock = heapClock()
    const trace = openTrace(file, { maxBytes: 2_000, clock })
    for (const record of recordsOf(200)) {
      trace.add(record)
      await clock.advance(1_000)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await trace.close()
    for (const each of [file, `${file}.1`]) {
      expect(statSync(each).size).toBeLessThan(4_000)
      const { headers, records, notices } = await readTraceFile(each)
      expect([headers.length, notices]).toEqual([1, []])
      expect(records.length).toBeGreaterThan(1)
    }
    expect(existsSync(`${file}.2`)).toBe(false)
  })
})

test('a plain trace torn at each byte of its fifty records is read up to the tear, with a notice', async () => {
  const file = newFile()
  const records = recordsOf(50)
  await write(file, records)
  const bytes = readFileSync(file)
  const ends = [...bytes.entries()].filter(([, byte]) => byte === 10).map(([at]) => at)
  for (let length = 0; length <= bytes.length; length++) {
    const { headers, records: read, notices } = readTrace(bytes.subarray(0, length).toString())
    // a line is whole without the newline behind it, too
    const lines = ends.filter((end) => length >= end).length
    expect(headers.length + read.length, `${length}`).toBe(lines)
    expect(read).toEqual(records.slice(0, read.length))
    const isTorn = length > 0 && !ends.includes(length) && !ends.includes(length - 1)
    expect(notices.filter(({ kind }) => kind === 'torn').length, `${length}`).toBe(isTorn ? 1 : 0)
  }
})

test('a compressed trace cut anywhere loses one batch at most', async () => {
  const file = newFile('.hf.ndjson.gz')
  const clock = heapClock()
  const trace = openTrace(file, { clock })
  const records = recordsOf(10)
  const sizes: number[] = []
  for (const record of records) {
    trace.add(record)
    await clock.advance(1_000)
    while (statSync(file).size === sizes.at(-1)) await new Promise((resolve) => setTimeout(resolve, 1))
    sizes.push(statSync(file).size)
  }
  await trace.close()
  // the first is known to have been written when the second is
  const text = gunzipSync(readFileSync(file)).toString()
  expect(text.trim().split('\n')).toHaveLength(11)
  truncateSync(file, statSync(file).size - 3)
  expect((await readTraceFile(file)).records.length).toBeGreaterThanOrEqual(9)
})

test('in whatever pieces it comes, it is the same trace', () => {
  const records = recordsOf(20)
  const text = `\n${records.map((record) => JSON.stringify(record)).join('\n')}\n\nno line of a trace\n{"link":"torn`
  const whole = readTrace(text)
  expect(whole.records).toEqual(records)
  expect(whole.notices.map(({ kind, line }) => `${kind} ${line}`)).toEqual(['no-header 2', 'damaged 23', 'torn 24'])
  for (const size of [1, 2, 3, 7, 64, 1_000]) {
    const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size))
    expect(readTrace(pieces), `pieces of ${size}`).toEqual(whole)
  }
})

test('what is damaged in the middle is left out and told; what follows is read', () => {
  const [one, two] = recordsOf(2).map((record) => JSON.stringify(record))
  const text = `${one}\n\u0000\u0000garbage\n[]\n{"from":"live"}\n{"lost":12}\n${two}\n`
  const { records, notices } = readTrace([text.slice(0, 30), text.slice(30)])
  expect(records).toEqual(recordsOf(2))
  expect(notices.map((notice) => noticeText(notice, 'en'))).toEqual([
    'line 1: there is no header: not a trace, or a part of one',
    'line 2: damaged, and left out',
    'line 3: damaged, and left out',
    'line 4: damaged, and left out',
    'line 5: 12 transitions were not written: the disk did not keep up',
  ])
})

test('a record is read field by field: nothing else comes in, and no field of another kind', () => {
  const record = recordsOf(1)[0]!
  const read = (more: object) => readTrace(JSON.stringify({ ...record, ...more })).records
  expect(read({ extra: 1, constructor: 2 })).toEqual([record])
  expect(readTrace(`{"__proto__":{"polluted":1},${JSON.stringify(record).slice(1)}`).records).toEqual([record])
  for (const wrong of [
    { link: 1 },
    { seq: -1 },
    { seq: 1.5 },
    { at: 'now' },
    { at: null },
    { to: '<b>' },
    { from: '__proto__' },
    { attempt: 2 ** 60 },
    { event: {} },
  ]) {
    expect(read(wrong), JSON.stringify(wrong)).toEqual([])
  }
  expect(read({ detail: 5, delayMs: 'soon', role: 'king' })[0]).not.toMatchObject({ role: expect.anything() })
})

test('an archive made by gzip itself is read too', async () => {
  const file = newFile('.hf.ndjson.gz')
  const plain = newFile()
  await write(plain, recordsOf(5))
  writeFileSync(file, gzipSync(readFileSync(plain)))
  expect((await readTraceFile(file)).records).toHaveLength(5)
})

test('bytes that are no gzip behind whole batches are told', async () => {
  const file = newFile('.hf.ndjson.gz')
  for (let i = 0; i < 30; i++) await write(file, recordsOf(5))
  expect(statSync(file).size).toBeGreaterThan(8 * 1024)
  const bad = gzipSync('x'.repeat(100))
  bad[15]! ^= 0xff
  appendFileSync(file, bad)
  const { records, notices } = await readTraceFile(file)
  expect(records.length).toBeGreaterThan(70)
  expect(records.length).toBeLessThanOrEqual(150)
  expect(notices.map(({ kind }) => kind)).toEqual(['torn'])
})

test('traceTo begins with what each link has on record, and goes on with links that come', async () => {
  const file = newFile()
  const [early, late] = [new FakeLink('early'), new FakeLink('late')]
  early.go('connecting')
  const links = fakeFleet(early)
  const tracing = traceTo(file, links)
  early.go('backoff')
  links.add(late)
  late.go('live')
  await tracing.close()
  late.go('backoff')
  const { records } = await readTraceFile(file)
  expect(records.map(({ link, to }) => `${link} ${to}`)).toEqual(['early connecting', 'early backoff', 'late live'])
  expect([early.isWatched, late.isWatched, links.changes$.observed]).toEqual([false, false, false])
})

test('a folder that is not there and a wrong option are told at once', () => {
  expect(() => traceTo(join(folder, 'no/such/folder/x.hf.ndjson'), [])).toThrow(
    expect.objectContaining({ code: 'store-failed' }),
  )
  expect(() => traceTo('', [])).toThrow(expect.objectContaining({ code: 'bad-option' }))
  expect(() => traceTo(newFile(), [], { maxBytes: 0 })).toThrow(expect.objectContaining({ code: 'bad-option' }))
})

test('nothing is nothing as Chrome trace events too', () => {
  expect(chromeEvents([])).toEqual([])
})

test('as Chrome trace events: a band for each state, a mark for each transition, a thread for each link', () => {
  const link = new FakeLink('a')
  link.go('connecting', { at: 1_000_010 })
  link.go('live', { at: 1_000_030 })
  link.go('connecting', { at: 1_000_040, role: 'successor' })
  link.go('backoff', { at: 1_000_100, fault: { code: 'closed-by-peer' } })
  const again = new FakeLink('a')
  again.go('live', { at: 1_005_000 })
  const events = chromeEvents([...link.recording.kept, ...again.recording.kept, ...recordsOf(1, 'b')])
  const bands = events.filter(({ ph, tid }) => ph === 'X' && tid === 1)
  expect(bands.map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
    ['connecting', 1_000_010_000, 20_000],
    ['live', 1_000_030_000, 70_000],
    // another process: what happened between is not known
    ['backoff', 1_000_100_000, 0],
    ['live', 1_005_000_000, 0],
  ])
  expect(events.filter(({ ph }) => ph === 'i')).toHaveLength(6)
  expect(events.filter(({ ph }) => ph === 'M').map(({ args, tid }) => [args?.name, tid])).toEqual([
    ['holdfast', 0],
    ['a', 1],
    ['b', 2],
  ])
})
