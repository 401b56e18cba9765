/** Traces on the page, opened from disk: no server, no network. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { onebot } from '../../src/adapter/onebot.ts'
import { nodeId } from '../../src/diagram/layout.ts'
import { connect } from '../../src/link.ts'
import type { TransitionRecord } from '../../src/observe/recorder.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { lookOf } from '../../visualizer/palette.ts'
import { chromium, launchChromium } from '../chromium.ts'
import { payloads } from './payloads.ts'
import { barriers, colours, rgb, type Visit, visit } from './visit.ts'

const hello = { post_type: 'meta_event', meta_event_type: 'lifecycle', sub_type: 'connect' }

/** Live, in doubt, given up, back, parked by a person, resumed, stopped. */
const record = async (): Promise<readonly TransitionRecord[]> => {
  const clock = heapClock()
  const network = new FakeNetwork(clock, { greeting: [hello] })
  const { transport, lookup } = network
  const link = connect(onebot({ url: 'ws://peer.test/' }), { id: 'qq-main', clock, transport, lookup })
  await clock.advance(1_000)
  network.healthy = false
  await clock.advance(20_000)
  network.healthy = true
  await clock.advance(30_000)
  link.hold()
  link.resume()
  await clock.advance(1_000)
  void link.stop()
  await clock.advance(5_000)
  return link.recording.kept
}

const textOf = (records: readonly object[]) => `${records.map((each) => JSON.stringify(each)).join('\n')}\n`
const header = '{"holdfast":1,"version":"0.1.0","machine":"link","at":0,"redaction":"strict"}\n'
const title = 'missing' in chromium ? `traces on the page (left out: ${chromium.missing})` : 'traces on the page'

describe.skipIf('missing' in chromium)(title, () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-page-'))
  const address = pathToFileURL('dist/visualizer/index.html').href
  let records: readonly TransitionRecord[]
  let browser: Browser
  let visits: Visit[]

  beforeAll(async () => {
    browser = await launchChromium()
    records = await record()
    expect(records.length).toBeGreaterThan(15)
  })
  afterAll(async () => {
    await browser.close()
    rmSync(folder, { recursive: true })
  })
  beforeEach(() => {
    visits = []
  })
  afterEach(async () => {
    const wrong = visits.flatMap((each) => each.wrong)
    await Promise.all(visits.map((each) => each.close()))
    expect(wrong, 'requests that left, violations of the policy, errors').toEqual([])
  })

  const look = async (url = address, options: BrowserContextOptions = {}) => {
    const seen = await visit(browser, url, options)
    visits.push(seen)
    return seen.page
  }
  const open = async (page: Page, content: string | Buffer, name = 'trace.hf.ndjson', input = '#file') => {
    const file = join(folder, name)
    writeFileSync(file, content)
    await page.setInputFiles(input, file)
    await page.waitForSelector('#moment')
  }
  const here = (page: Page) => page.locator('#chart .here').evaluateAll((nodes) => nodes.map(({ id }) => id))
  const notices = (page: Page) => page.locator('.notice').allInnerTexts()

  test('every transition of a recording lights its state, takes its arrow and is counted', async () => {
    const page = await look()
    await open(page, header + textOf(records))
    expect(await page.locator('#trace-facts').textContent()).toBe(
      `trace.hf.ndjson: ${records.length} transitions of 1 link`,
    )
    expect(await notices(page)).toEqual([])
    for (const [i, { to, at }] of records.entries()) {
      // Several transitions may share a millisecond: the last of them is what is seen.
      if (records[i + 1]?.at === at) continue
      await page.locator('#moment').fill(String(at - records[0]!.at))
      expect(await here(page), `record ${i}`).toEqual([nodeId(to)])
    }
    const counted = await page.locator('#chart .badge:not(.off) text').allTextContents()
    expect(counted.reduce((sum, text) => sum + Number(text), 0)).toBe(records.length)
    expect(await page.locator('#log .line.current').count()).toBe(1)
    const drawn = await colours(page, '#timeline')
    for (const state of ['live', 'backoff']) expect(drawn[rgb(lookOf(state).color)], state).toBeGreaterThan(50)
  })

  test('steps, plays and goes back; the address names the moment and the link, and leads back there', async () => {
    const page = await look()
    await open(page, textOf(records))
    await page.locator('#step').click()
    await page.locator('#step').click()
    await page.locator('#step-back').click()
    const moment = () => page.locator('#moment').inputValue()
    const before = await moment()
    await page.keyboard.press('.')
    await expect.poll(moment).not.toBe(before)
    await page.keyboard.press(',')
    await expect.poll(moment).toBe(before)
    await page.locator('#speed').selectOption('50')
    await page.locator('#moment').focus()
    await page.keyboard.press('Space')
    await expect.poll(() => here(page), { timeout: 5_000 }).toEqual(['n-stopped'])
    expect(await page.locator('#play').getAttribute('aria-pressed')).toBe('false')
    const parked = records.find(({ to }) => to === 'degraded.suspect')!
    await page.locator('#moment').fill(String(parked.at - records[0]!.at))
    await expect.poll(() => page.url()).toContain(`#t=${parked.at - records[0]!.at}&link=qq-main`)
    const again = await look(page.url())
    expect(await again.locator('#banner').textContent()).toContain('link qq-main, at +')
    await again.waitForTimeout(500)
    // who reloads now has lost nothing
    expect(again.url()).toBe(page.url())
    await open(again, textOf([{ ...records[0], link: 'another' }, ...records]))
    expect(await here(again)).toEqual(['n-suspect'])
    expect(await again.locator('.state .id').textContent()).toBe('qq-main')
  })

  test('time has the width of the page, and what is no fault is not told as one', async () => {
    const page = await look()
    await open(page, textOf(records))
    const missed = records.find(({ event }) => event === 'heartbeat.missed')!
    await page.locator('#moment').fill(String(missed.at - records[0]!.at))
    await expect.poll(() => here(page)).toEqual(['n-suspect'])
    expect(await page.locator('#why').textContent()).not.toContain('heartbeat.missed')
    const share = await page
      .locator('#timeline')
      .evaluate((timeline) => timeline.clientWidth / document.body.clientWidth)
    expect(share).toBeGreaterThan(0.95)
  })

  test('a damaged tail is cut and told; so are lines that are no transitions', async () => {
    const page = await look()
    const whole = textOf(records)
    await open(page, `npm start\n${whole}{"lost":7}\n${JSON.stringify(records[0]).slice(0, 40)}`)
    expect(await notices(page)).toEqual([
      [
        'trace.hf.ndjson',
        'A damaged tail was cut: 1 line (40 B)',
        '7 transitions were not written: the disk did not keep up',
        '1 line is no transition and was left out',
      ].join('\n'),
    ])
    expect(await page.locator('#trace-facts').textContent()).toContain(`: ${records.length} transitions`)
    await open(page, 'nothing\nof the kind\n', 'empty.ndjson')
    await expect.poll(() => notices(page)).toEqual([expect.stringContaining('There is no transition in this file.')])
  })

  test('a packed trace is read, and one whose end is missing as far as it goes', async () => {
    const page = await look()
    const many = Array.from({ length: 200 }, (_, i) => ({ ...records[i % records.length]!, at: 1_000 + i, seq: i + 1 }))
    const packed = gzipSync(textOf(many))
    await open(page, packed, 'trace.hf.ndjson.gz')
    expect(await page.locator('#trace-facts').textContent()).toContain(': 200 transitions')
    expect(await notices(page)).toEqual([])
    await open(page, packed.subarray(0, packed.length - 20), 'cut.hf.ndjson.gz')
    await expect.poll(async () => (await notices(page)).join()).toContain('The file could not be read to its end')
  })

  test('two traces stand side by side, dropped together, each from its own beginning', async () => {
    const page = await look()
    const later = records.map((each) => ({ ...each, link: 'other', at: each.at + 86_400_000 }))
    await page.evaluate(
      ([a, b]) => {
        const dataTransfer = new DataTransfer()
        dataTransfer.items.add(new File([a!], 'a.ndjson'))
        dataTransfer.items.add(new File([b!], 'b.ndjson'))
        document.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true }))
      },
      [textOf(records), textOf(later)],
    )
    await page.waitForSelector('#timeline-2')
    expect(await page.locator('.tag').allTextContents()).toEqual(['a.ndjson', 'b.ndjson'])
    const live = rgb(lookOf('live').color)
    await expect.poll(async () => (await colours(page, '#timeline-2'))[live] ?? 0).toBeGreaterThan(50)
    const [one, two] = [await colours(page, '#timeline'), await colours(page, '#timeline-2')]
    expect(Math.abs(one[live]! - two[live]!) / one[live]!).toBeLessThan(0.1)
    expect(await barriers(page)).toEqual([])
    await page.locator('#close-trace').click()
    await expect.poll(() => page.locator('#timeline-2, #moment').count()).toBe(0)
  })

  test('pointing at a band tells how long it lasted and why', async () => {
    const page = await look(address, { colorScheme: 'dark', locale: 'zh-CN' })
    const at = 1_790_000_000_000
    const base = { link: 'one', elapsedMs: 0, attempt: 1, event: 'x' }
    await open(
      page,
      textOf([
        { ...base, seq: 1, at, from: 'registered', to: 'live', reason: 'replay.completed' },
        { ...base, seq: 2, at: at + 10_000, from: 'live', to: 'backoff', reason: 'heartbeat-timeout', delayMs: 5_000 },
        { ...base, seq: 3, at: at + 12_000, from: 'backoff', to: 'backoff', reason: 'heartbeat-timeout' },
        { ...base, seq: 4, at: at + 20_000, from: 'backoff', to: 'resolving', reason: 'after backoffDelay' },
      ]),
    )
    const box = (await page.locator('#timeline').boundingBox())!
    await page.mouse.move(box.x + 128 + (box.width - 128) * 0.75, box.y + 32)
    const tip = await page.locator('.tip').textContent()
    expect(tip).toContain('已持续 10 秒')
    expect(tip).toContain('对端失去响应')
    expect(await barriers(page)).toEqual([])
  })

  test('T9 what a trace says stays text, payload by payload', async () => {
    const page = await look()
    const base = { seq: 1, elapsedMs: 0, attempt: 1 }
    const evil = payloads.map((p, i) => ({
      ...base,
      at: 1_000 + i,
      link: p,
      from: 'resolving',
      to: 'connecting',
      event: p,
      reason: p,
      detail: p,
    }))
    const states = evil
      .map((each) => ({ ...each, from: each.link, to: each.link }))
      .filter(({ to }) => !/^[a-z]+$/.test(to))
    expect(states.length).toBeGreaterThan(35)
    await open(page, textOf([...states, ...evil]))
    // what is no name is no state, so nothing of it is drawn
    expect(await notices(page)).toEqual([
      `trace.hf.ndjson\n${states.length} lines are no transitions and were left out`,
    ])
    await page.locator('#moment').fill('40')
    await expect.poll(() => page.locator('#grid-table tbody tr').count()).toBe(40)
    // A lone half of a character does not survive the way out of the browser.
    const whole = (texts: readonly string[]) => texts.map((text) => text.replace(/^[\ud800\ufffd]+/, '')).sort()
    const told = await page.locator('#grid-table tbody th').allTextContents()
    expect(whole(told)).toEqual(whole(payloads))
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('j')
      expect(await page.locator('#log .line').count()).toBe(1)
    }
    expect(await page.evaluate(() => (globalThis as { pwned?: unknown }).pwned)).toBeUndefined()
    expect(await page.locator('#page img, #page iframe, #page script, #page style').count()).toBe(0)
  })
})
