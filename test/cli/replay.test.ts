/** `holdfast replay FILE`: on the page in a real browser, and printed where nobody looks. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { replayPage } from '../../src/cli/replay-page.ts'
import { chromium, launchChromium } from '../chromium.ts'
import { FakeLink } from '../observe/fake-link.ts'
import { holdfast } from './run.ts'
import { hasTerminal, terminal } from './terminal.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-replay-'))
afterAll(() => rmSync(folder, { recursive: true }))

const linesOf = (...links: FakeLink[]): string =>
  links
    .flatMap((link) => link.recording.kept)
    .map((record) => `${JSON.stringify(record)}\n`)
    .join('')

const night = join(folder, 'the night.hf.ndjson')
const day = join(folder, 'day.hf.ndjson.gz')
const header = '{"holdfast":1,"version":"0.1.0","machine":"x","at":0,"redaction":"at-source"}\n'

beforeAll(() => {
  const [a, b] = [new FakeLink('qq-main'), new FakeLink('qq-other')]
  a.go('connecting', { at: 1_000_500 })
  a.go('backoff', { at: 1_010_500, fault: { code: 'refused', detail: 'ECONNREFUSED' }, delayMs: 900 })
  a.go('resolving', { at: 1_011_400, event: 'after backoffDelay' })
  b.go('live', { at: 1_012_000 })
  writeFileSync(night, `${header}${linesOf(a, b)}{"link":"torn`)
  const c = new FakeLink('qq-main')
  c.go('live', { at: 1_000_700 })
  writeFileSync(day, gzipSync(`${header}${linesOf(c)}`))
})

const title = 'missing' in chromium ? `on the page (left out: ${chromium.missing})` : 'on the page'

describe.skipIf('missing' in chromium)(title, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser.close())

  /** The page there, and what no page should do. */
  const visit = async (url: string) => {
    const page = await browser.newPage()
    const wrong: string[] = []
    page.on('pageerror', (error) => wrong.push(error.message))
    page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()))
    page.on('request', (request) => request.url().startsWith(new URL(url).origin) || wrong.push(request.url()))
    await page.goto(url)
    return { page, wrong, close: () => page.close() }
  }

  test('a trace plays at once, from the link that was asked for, and the damaged tail is told', async () => {
    await using shown = await replayPage([night], 'qq-main')
    const { page, wrong, close } = await visit(shown.url)
    await page.waitForSelector('#moment')
    // how many there are, and then what was wrong with the file
    expect(await page.locator('.replay').textContent()).toMatch(/night\.hf\.ndjson: 4 .*night\.hf\.ndjson/s)
    expect(await page.locator('#why').textContent()).toContain('qq-main')
    // the address is a link to this moment, and the token is out of it
    await expect.poll(() => page.url()).toMatch(/#t=0&link=qq-main$/)
    await page.locator('#step').click()
    await page.waitForSelector('#n-backoff.here')
    await page.reload()
    await page.waitForSelector('#moment')
    expect(wrong).toEqual([])
    await close()
  })

  test('two traces are beside each other', async () => {
    await using shown = await replayPage([night, day])
    const { page, wrong, close } = await visit(shown.url)
    await expect.poll(() => page.locator('body').textContent()).toContain('day.hf.ndjson.gz')
    expect(await page.locator('body').textContent()).toContain('the night.hf.ndjson')
    expect(wrong).toEqual([])
    await close()
  })
})

test('the file is for who has the token, uses our name, and only reads', async () => {
  await using shown = await replayPage([night])
  const { origin, hash } = new URL(shown.url)
  const token = new URLSearchParams(hash.slice(1)).get('token')
  const get = (path: string, authorization?: string, more: object = {}) =>
    fetch(`${origin}${path}`, { headers: authorization === undefined ? {} : { authorization }, ...more })
  expect((await get('/trace/0')).status).toBe(401)
  expect((await get('/trace/0', 'Bearer x')).status).toBe(401)
  expect((await get('/trace/0', `Bearer ${token}`, { method: 'POST' })).status).toBe(405)
  for (const path of ['/trace/1', '/trace/-1', '/trace/0/..', '/trace/', '/the%20night.hf.ndjson', '/../etc/passwd'])
    expect((await get(path, `Bearer ${token}`)).status, path).toBe(404)
  const answer = await get('/trace/0', `Bearer ${token}`)
  expect(await answer.text()).toContain('"link":"qq-main"')
  expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  expect(answer.headers.get('cache-control')).toBe('no-store')
  // a file that goes away while the page is open
  const gone = join(folder, 'gone.hf.ndjson')
  writeFileSync(gone, header)
  await using other = await replayPage([gone])
  rmSync(gone)
  const { origin: there, hash: key } = new URL(other.url)
  const headers = { authorization: `Bearer ${new URLSearchParams(key.slice(1)).get('token')}` }
  expect((await fetch(`${there}/trace/0`, { headers })).status).toBe(404)
})

describe('as a command', () => {
  test('where nobody looks it is printed, with what was wrong with the file beside it', async () => {
    const { out, err, exitCode } = await holdfast('replay', night)
    expect({ exitCode, err }).toEqual({
      exitCode: 0,
      err: 'line 6: the last line is incomplete, as a crash leaves it, and was left out\n',
    })
    expect(out.trim().split('\n')).toHaveLength(4)
    expect(out).toContain('qq-main')
    expect((await holdfast('replay', day, '--json')).out).toBe(linesOfDay())
  })

  test('what cannot be read, what is no trace, and what is not asked right', async () => {
    const empty = join(folder, 'empty')
    writeFileSync(empty, 'hello\n')
    for (const [args, words] of [
      [[join(folder, 'nowhere')], 'The trace cannot be read: Error: ENOENT'],
      [[empty], 'has no transitions'],
      [[night, '--link', 'nobody'], 'has no link "nobody"'],
      [[], 'Say which trace'],
      [[night, day], 'one file to print'],
      [[night, '--speed', 'fast'], '--speed: it must be a number'],
    ] as const) {
      const { out, err, exitCode } = await holdfast('replay', ...args)
      expect({ out, exitCode }, words).toEqual({ out: '', exitCode: 64 })
      expect(err).toContain(words)
    }
    await expect(replayPage([folder])).rejects.toMatchObject({ code: 'bad-option' })
  })

  test.skipIf(!hasTerminal)('in a terminal it prints where the page is, until q', async () => {
    const { text, press, ended } = await terminal(['replay', night])
    await expect.poll(text, { timeout: 10_000 }).toContain('#token=')
    press('q')
    expect(await ended).toBe(0)
    expect(text()).toMatch(/Open in a browser \(q ends it\):\s+http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{22}\s/)
  })

  test('--chrome writes Chrome trace events, field by field as their format has them, whatever the texts are', async () => {
    const file = join(folder, 'two.hf.ndjson')
    const [a, b] = [new FakeLink('群 "a" \\ </script>'), new FakeLink('b')]
    for (const link of [a, b]) {
      link.go('connecting')
      link.go('backoff', { fault: { code: 'refused', detail: 'he said "no"' }, detail: 'he said "no"\t', delayMs: 1.5 })
    }
    writeFileSync(file, `${header}${linesOf(a, b)}`)
    const target = join(folder, 'two.json')
    expect(await holdfast('replay', file, '--chrome', target)).toEqual({ exitCode: 0, out: '', err: '' })
    const { traceEvents, displayTimeUnit } = JSON.parse(readFileSync(target, 'utf8'))
    expect(displayTimeUnit).toBe('ms')
    expect(traceEvents).toHaveLength(1 + 2 * (1 + 2 + 2))
    for (const event of traceEvents) {
      const { name, ph, pid, tid, ts, dur, s, args } = event
      expect(name, JSON.stringify(event)).toBeTypeOf('string')
      expect([Number.isInteger(pid), Number.isInteger(tid), typeof args]).toEqual([true, true, 'object'])
      if (ph === 'M') expect(name).toMatch(/^(process|thread)_name$/)
      else expect(ts).toBeGreaterThan(0)
      if (ph === 'X') expect(dur).toBeGreaterThanOrEqual(0)
      if (ph === 'i') expect(s).toBe('t')
      expect('MXi').toContain(ph)
    }
    const names = traceEvents.flatMap(({ ph, args }: { ph: string; args: { name: string } }) =>
      ph === 'M' ? args.name : [],
    )
    expect(names).toEqual(['holdfast', '群 "a" \\ </script>', 'b'])
  })

  test('what is missing between the lines is said', async () => {
    const file = join(folder, 'gap.hf.ndjson')
    const link = new FakeLink('a')
    for (let i = 0; i < 6; i++) link.go(i % 2 === 0 ? 'live' : 'backoff')
    const lines = link.recording.kept.filter(({ seq }) => seq > 2 && seq !== 4).map((each) => JSON.stringify(each))
    writeFileSync(file, `${header}${lines.join('\n')}\n`)
    const { out } = await holdfast('replay', file)
    expect(out.match(/^….*$/gm)).toEqual([
      '… 2 transitions of a before this are not kept',
      '… 1 transitions of a before this are not kept',
    ])
  })
})

/** What a record comes back as: the same fields, in the order of the format. */
const linesOfDay = (): string =>
  `${JSON.stringify({ link: 'qq-main', seq: 1, at: 1_000_700, elapsedMs: 700, from: 'resolving', event: 'transport.opened', to: 'live', reason: 'transport.opened', attempt: 1 })}\n`
