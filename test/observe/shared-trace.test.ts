/** Traces by option and by HOLDFAST_TRACE: of a link alone, of several that write to one file, of programs that end. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connect } from '../../src/link.ts'
import { readTraceFile } from '../../src/observe/trace.ts'
import { openTrace, type TraceFile } from '../../src/observe/trace-file.ts'
import type { LinkOptions } from '../../src/options.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { runnable } from '../lab/bundle.ts'
import { smallTalk } from '../small-talk.ts'
import { FakeLink } from './fake-link.ts'

/** What closing a file throws next, if anything. */
const closing = vi.hoisted(() => ({ error: undefined as Error | undefined }))
vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>()
  const closeSync = (fd: number) => {
    real.closeSync(fd)
    const { error } = closing
    closing.error = undefined
    if (error) throw error
  }
  return { ...real, closeSync }
})

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-shared-trace-'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true })
})

const start = (id: string, options: LinkOptions = {}) => {
  const clock = heapClock()
  const { transport, lookup } = new FakeNetwork(clock)
  return connect(smallTalk(), { id, clock, transport, lookup, ...options })
}

/** What is in the file once so many links have stopped in it. */
const read = async (file: string, stopped: number) => {
  await vi.waitFor(async () => {
    const { records } = await readTraceFile(file)
    expect(records.filter(({ to }) => to === 'stopped')).toHaveLength(stopped)
  })
  return readTraceFile(file)
}

test('a link alone writes a trace by option, by HOLDFAST_TRACE, or not at all', async () => {
  const [byOption, byEnvironment] = [join(folder, 'a.hf.ndjson'), join(folder, 'b.hf.ndjson')]
  vi.stubEnv('HOLDFAST_TRACE', byEnvironment)
  for (const link of [start('option', { trace: byOption }), start('environment'), start('nothing', { trace: false })])
    await link.stop({ drainMs: 0 })
  expect((await read(byOption, 1)).records.map(({ link }) => link)).toEqual(['option'])
  expect((await read(byEnvironment, 1)).records.map(({ link }) => link)).toEqual(['environment'])
})

test('links of one process write to one file, under one header, until the last of them has stopped', async () => {
  const file = join(folder, 'all.hf.ndjson')
  vi.stubEnv('HOLDFAST_TRACE', file)
  const links = [start('a'), start('b', { trace: file }), start('c')]
  for (const link of links) await link.stop({ drainMs: 0 })
  const { headers, records, notices } = await read(file, 3)
  expect([headers.length, notices]).toEqual([1, []])
  expect(records.map(({ link, to }) => `${link} ${to}`)).toEqual(['a stopped', 'b stopped', 'c stopped'])
  await start('d').stop({ drainMs: 0 })
  expect((await read(file, 4)).headers).toHaveLength(2)
})

test('a trace that cannot be written is an error by option, and one warning by HOLDFAST_TRACE', async () => {
  const trace = join(folder, 'no/such/folder/x.hf.ndjson')
  expect(() => start('a', { trace })).toThrow(expect.objectContaining({ code: 'store-failed' }))
  expect(() => start('a', { trace: 5 } as never)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  vi.stubEnv('HOLDFAST_TRACE', trace)
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  for (const link of [start('b'), start('c')]) await link.stop({ drainMs: 0 })
  expect(warned.mock.calls.map(([text]) => text)).toEqual([expect.stringContaining('HOLDFAST_TRACE')])
})

test.each([
  '.hf.ndjson',
  '.hf.ndjson.gz',
])('of two that write to one file the second goes after what the first has renamed: %s', async (ending) => {
  const file = join(folder, `two${ending}`)
  const end = async (trace: TraceFile, link: string) => {
    const fake = new FakeLink(link)
    for (let i = 0; i < 20; i++) fake.go(i % 2 === 0 ? 'backoff' : 'resolving', { detail: randomUUID() })
    for (const record of fake.recording.kept) trace.add(record)
    await trace.close()
  }
  const options = { maxBytes: 1_000 }
  const [first, second] = [openTrace(file, options), openTrace(file, options)]
  await end(openTrace(file), 'old')
  await end(first, 'first')
  await end(second, 'second')
  const linksIn = async (name: string) => {
    const { records, notices } = await readTraceFile(name)
    return [records.length, [...new Set(records.map(({ link }) => link))], notices]
  }
  expect(await linksIn(`${file}.1`)).toEqual([20, ['old'], []])
  expect(await linksIn(file)).toEqual([40, ['first', 'second'], []])
})

test.each([
  ['is ended by process.exit()', '.hf.ndjson', 'process.exit(3)'],
  ['is ended by process.exit()', '.hf.ndjson.gz', 'process.exit(3)'],
  ['ends by an error that nobody caught', '.hf.ndjson', "throw new Error('a bug of the user')"],
  ['ends by an error that nobody caught', '.hf.ndjson.gz', "throw new Error('a bug of the user')"],
])('a process that %s in the turn of its last transition has written it: %s', async (_how, ending, end) => {
  const file = join(folder, `ended${ending}`)
  const module = pathToFileURL(await runnable('src/observe/trace-file.ts')).href
  const bot = new FakeLink('bot')
  bot.go('backoff')
  const source = `
    import { openTrace } from ${JSON.stringify(module)}
    openTrace(${JSON.stringify(file)}).add(${JSON.stringify(bot.latest)})
    ${end}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'ignore' })
  expect(await once(child, 'close')).not.toEqual([0, null])
  const { records, notices } = await readTraceFile(file)
  expect([records, notices]).toEqual([[bot.latest], []])
})

test('a file whose end cannot be written, as its disk tells when it is closed, is a warning, and no end of the bot', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const unhandled: unknown[] = []
  const listen = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listen)
  closing.error = new Error('EDQUOT: disk quota exceeded, close')
  await start('a', { trace: join(folder, 'a.hf.ndjson') }).stop({ drainMs: 0 })
  await vi.waitFor(() => expect(closing.error).toBeUndefined())
  await new Promise((resolve) => setTimeout(resolve, 20))
  process.off('unhandledRejection', listen)
  expect(unhandled).toEqual([])
  expect(warned.mock.calls.map(([text]) => text)).toEqual([expect.stringContaining('EDQUOT')])
})

test('the process is listened to only while a file is open', async () => {
  const before = process.listenerCount('exit')
  const traces = [openTrace(join(folder, 'a')), openTrace(join(folder, 'b'))]
  expect(process.listenerCount('exit')).toBe(before + 1)
  for (const trace of traces) await trace.close()
  expect(process.listenerCount('exit')).toBe(before)
})
