/** What the live page promises: smooth with ten thousand links, and a trace of a million records opens while you wait. */

import { once } from 'node:events'
import { createWriteStream, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import { stateNames } from '../../machines/link.ts'
import { launchChromium } from '../chromium.ts'
import { FakeInspector } from '../visualizer/fake-inspector.ts'
import { median, ms, type Report } from './report.ts'

const LINKS = 10_000
const RATE = 20_000
const SECONDS = 10
const WARM_MS = 3_000
const RECORDS = 1_000_000
const TRACED = 1_000
const TURN_MS = 10

/** Frames in each of so many seconds. In the page's own words, as no file here knows a browser's types. */
const framesPerSecond = (page: Page, seconds: number): Promise<number[]> =>
  page.evaluate(`new Promise((resolve) => {
    const counts = []
    let frames = 0
    let since = performance.now()
    const count = (now) => {
      frames++
      if (now - since >= 1000) {
        counts.push((frames * 1000) / (now - since))
        frames = 0
        since = now
      }
      if (counts.length < ${seconds}) requestAnimationFrame(count)
      else resolve(counts)
    }
    requestAnimationFrame(count)
  })`)

/** How long the page's own thread has worked in all: unlike frames, this hardly depends on what else the machine does. */
const workOf = async (page: Page): Promise<() => Promise<number>> => {
  const session = await page.context().newCDPSession(page)
  await session.send('Performance.enable', { timeDomain: 'threadTicks' })
  return async () => {
    const { metrics } = await session.send('Performance.getMetrics')
    return (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? 0) * 1000
  }
}

const percentile = (values: number[], share: number): number =>
  values.sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.POSITIVE_INFINITY

const fleet = async (browser: Browser, report: Report): Promise<void> => {
  const control = await browser.newPage({ viewport: { width: 1400, height: 900 } })
  const idle = median(await framesPerSecond(control, 3))
  await control.close()

  const inspector = new FakeInspector()
  const links = Array.from({ length: LINKS }, (_, i) => inspector.add(`bot-${String(i).padStart(5, '0')}`))
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } })
  await page.goto(await inspector.start())
  await page.waitForSelector('#n-live.here')
  await page.evaluate(`
    globalThis.painted = []
    new PerformanceObserver((list) => {
      for (const { detail, startTime } of list.getEntries()) painted.push([detail, performance.timeOrigin + startTime])
    }).observe({ type: 'mark' })
  `)
  let since: number[] = []
  const told = new Map<number, number[]>()
  inspector.onDelta = (at) => {
    told.set(at, since)
    since = []
  }
  let next = 0
  let begun = performance.now()
  let owed = 0
  let moved = 0
  const crowd = setInterval(() => {
    const now = performance.now()
    owed += ((now - begun) / 1000) * RATE
    begun = now
    for (; owed >= 1; owed--) {
      const link = links[next++ % LINKS]!
      inspector.crowd(link, (link.state + 1 + (next % 3)) % stateNames.length)
      since.push(link.since)
      moved++
    }
  }, TURN_MS)
  await new Promise((resolve) => setTimeout(resolve, WARM_MS))
  moved = 0
  const busyMs = await workOf(page)
  const before = await busyMs()
  const frames = await framesPerSecond(page, SECONDS)
  const busy = (await busyMs()) - before
  const rate = moved / SECONDS
  clearInterval(crowd)
  const painted = (await page.evaluate('painted')) as [number, number][]
  const waits = painted.flatMap(([at, when]) => (told.get(at) ?? []).map((moment) => when - moment))
  await page.close()
  await inspector.stop()

  const fps = median(frames)
  report(
    `frames a second, ${LINKS} links, ${Math.round(rate)} transitions/s, median of ${SECONDS} s`,
    `${fps.toFixed(1)} (idle page ${idle.toFixed(1)}, least ${Math.min(...frames).toFixed(1)})`,
    '>= 55',
    fps >= 55,
  )
  console.log(`    of each second the page worked ${ms(busy / SECONDS)}`)
  const late = percentile(waits, 0.95)
  report(`transition to pixels, p95 of ${waits.length}`, ms(late), '<= 200 ms', late <= 200)
}

const cycle = [
  ['backoff', 'after backoffDelay', 'resolving'],
  ['resolving', 'endpoint.resolved', 'connecting'],
  ['connecting', 'transport.opened', 'handshaking'],
  ['handshaking', 'peer.welcomed', 'registered'],
  ['registered', 'replay.completed', 'live'],
  ['live', 'heartbeat.missed', 'degraded.suspect'],
  ['degraded.suspect', 'after suspectGrace', 'backoff'],
] as const

const writeTrace = async (file: string): Promise<number> => {
  const out = createWriteStream(file)
  let lines = ['{"holdfast":1}']
  let bytes = 0
  for (let i = 0; i < RECORDS; i++) {
    const turn = Math.floor(i / TRACED)
    const [from, event, to] = cycle[turn % cycle.length]!
    const elapsedMs = turn * 1_000 + (i % TRACED)
    lines.push(
      JSON.stringify({
        link: `bot-${i % TRACED}`,
        seq: turn + 1,
        at: 1_790_000_000_000 + elapsedMs,
        elapsedMs,
        from,
        event,
        to,
        reason: to === 'backoff' ? 'heartbeat-timeout' : event,
        ...(to === 'backoff' && { detail: 'no answer within 2000 ms', delayMs: 1_234.5 }),
        attempt: turn % 9,
      }),
    )
    if (lines.length < 10_000) continue
    const text = `${lines.join('\n')}\n`
    bytes += text.length
    lines = []
    if (!out.write(text)) await once(out, 'drain')
  }
  out.end(`${lines.join('\n')}\n`)
  await once(out, 'finish')
  return bytes
}

const trace = async (browser: Browser, report: Report): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-page-'))
  try {
    const file = join(folder, 'million.hf.ndjson')
    const bytes = await writeTrace(file)
    const page = await browser.newPage({ viewport: { width: 1400, height: 900 } })
    await page.goto(pathToFileURL('dist/visualizer/index.html').href)
    await page.evaluate(`
      globalThis.opened = new Promise((resolve) => {
        let since
        document.addEventListener('change', () => (since = performance.now()), { capture: true })
        new MutationObserver(() => {
          if (document.getElementById('moment')) requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - since)))
        }).observe(document.body, { childList: true, subtree: true })
      })
      void 0
    `)
    await page.setInputFiles('#file', file)
    const opened = (await page.evaluate('opened')) as number
    const facts = await page.locator('#trace-facts').textContent()
    const all = facts?.includes(`${RECORDS} `) ?? false
    report(
      `a trace of ${RECORDS} records, ${Math.round(bytes / 1e6)} MB, opens`,
      ms(opened),
      '<= 3000 ms',
      all && opened <= 3_000,
    )
    await page.waitForTimeout(500)
    const frames = (await page.evaluate(`new Promise((resolve) => {
      const range = document.getElementById('moment')
      const deltas = []
      let before = performance.now()
      let n = 0
      const scrub = (now) => {
        deltas.push(now - before)
        before = now
        range.value = String(Number(range.max) * ((n * 37) % 100) / 100)
        range.dispatchEvent(new Event('input', { bubbles: true }))
        if (++n < 200) requestAnimationFrame(scrub)
        else resolve(deltas.slice(1))
      }
      requestAnimationFrame(scrub)
    })`)) as number[]
    const longest = Math.max(...frames)
    report(
      'the longest frame while scrubbing it',
      `${ms(longest)} (median ${ms(median(frames))})`,
      '<= 100 ms',
      longest <= 100,
    )
    await page.close()
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export const bench = async (report: Report): Promise<void> => {
  console.log(
    `  load of the machine before: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}`,
  )
  const size = readdirSync('dist/visualizer').reduce(
    (sum, name) => sum + gzipSync(readFileSync(join('dist/visualizer', name))).length,
    0,
  )
  report('the page, all files, gzipped', `${(size / 1024).toFixed(1)} KB`, '<= 60 KB', size <= 60 * 1024)
  const browser = await launchChromium()
  try {
    await fleet(browser, report)
    await trace(browser, report)
  } finally {
    await browser.close()
  }
  console.log(
    `  load of the machine after: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}`,
  )
}
