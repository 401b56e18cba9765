/** The page in a real browser, opened from disk, with a recording that a real link made. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { onebot } from '../../src/adapter/onebot.ts'
import { connect } from '../../src/link.ts'
import type { TransitionRecord } from '../../src/observe/recorder.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { edgesOf, nodeOf, readRecording } from '../../visualizer/recording.ts'
import { chromium, launchChromium } from '../chromium.ts'

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

const svg = readFileSync('docs/link.svg', 'utf8')
const has = (id: string) => svg.includes(`id="${id}"`)

test('every transition of a recording has its state and its arrow in the drawing', async () => {
  const records = await record()
  expect(records.length).toBeGreaterThan(15)
  for (const each of records) {
    expect(has(nodeOf(each.to)), each.to).toBe(true)
    expect(edgesOf(each).some(has), `${each.from} to ${each.to}`).toBe(true)
  }
})

test('lines that are no transition are counted, a cut tail included', async () => {
  const lines = (await record()).map((each) => JSON.stringify(each))
  const text = ['npm start', ...lines, lines[0]!.slice(0, 40), '{"from":1}', 'null'].join('\n')
  expect(readRecording(text)).toMatchObject({ records: { length: lines.length }, skipped: 4 })
})

const title = 'missing' in chromium ? `the page (left out: ${chromium.missing})` : 'the page'

describe.skipIf('missing' in chromium)(title, () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-page-'))
  let browser: Browser
  let page: Page
  const errors: string[] = []
  beforeAll(async () => {
    browser = await launchChromium()
    page = await browser.newPage()
    page.on('pageerror', (error) => errors.push(error.message))
    page.on('request', (request) => {
      if (!request.url().startsWith('file:')) errors.push(`a request left the page: ${request.url()}`)
    })
    await page.goto(pathToFileURL('dist/visualizer/index.html').href)
  })
  afterAll(async () => {
    await browser.close()
    rmSync(folder, { recursive: true })
  })

  const open = async (text: string) => {
    const file = join(folder, 'recording.ndjson')
    writeFileSync(file, text)
    await page.setInputFiles('#file', file)
    await expect.poll(() => page.locator('#log tbody tr').count()).toBe(text.split('\n').length)
  }
  const marked = () => page.locator('.here').evaluateAll((nodes) => nodes.map(({ id }) => id))

  test('plays a recording on the chart, without a server and without a network', async () => {
    const records = await record()
    await open(records.map((each) => JSON.stringify(each)).join('\n'))
    const seen: string[] = []
    for (let i = 0; i < records.length; i++) {
      await page.locator('#moment').fill(String(i))
      seen.push(...(await marked()))
    }
    expect(seen).toEqual(records.map(({ to }) => nodeOf(to)))
    expect(await page.locator('.taken').count()).toBe(1)
    await page.locator('#moment').fill(String(records.findIndex(({ to }) => to === 'backoff')))
    expect(await page.locator('#words').textContent()).toMatch(/^backoff: the peer has gone silent, next dial in/)
    await page.locator('#play').click()
    await page.waitForSelector('#n-resolving.here')
    expect(errors).toEqual([])
  })

  test('what a file says is shown as text and never runs', async () => {
    const [first] = await record()
    const evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    await open(JSON.stringify({ ...first, link: evil, reason: evil, detail: evil, event: evil }))
    expect(await page.locator('#log tbody td').nth(1).textContent()).toBe(evil)
    expect(await page.title()).toBe('holdfast recording')
    expect(await page.locator('#log img, #words img').count()).toBe(0)
  })
})
