/** The pictures of docs/page.md: the page with links that do what an inspector of ours says, and with a trace. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { type StateName, stateNames } from '../../machines/link.ts'
import { onebot } from '../../src/adapter/onebot.ts'
import { connect } from '../../src/link.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { launchChromium } from '../chromium.ts'
import { FakeInspector, type FakeLink, faultIndex } from './fake-inspector.ts'
import { visit } from './visit.ts'

const SECOND = 1_000

/** What the chosen link went through in the minute before: seconds, and the transition. */
const story: readonly (readonly [ago: number, from: StateName, event: string, to: StateName, more?: object])[] = [
  [58, 'resolving', 'endpoint.resolved', 'connecting'],
  [57.9, 'connecting', 'transport.opened', 'handshaking'],
  [57.5, 'handshaking', 'peer.welcomed', 'registered'],
  [57, 'registered', 'replay.completed', 'live'],
  [40, 'live', 'heartbeat.missed', 'degraded.suspect'],
  [38, 'degraded.suspect', 'after suspectGrace', 'backoff', { reason: 'heartbeat-timeout', attempt: 2, delayMs: 700 }],
  [37.3, 'backoff', 'after backoffDelay', 'resolving', { attempt: 2 }],
  [37.2, 'resolving', 'endpoint.resolved', 'connecting', { attempt: 2 }],
  [37.1, 'connecting', 'transport.lost', 'backoff', { reason: 'refused', attempt: 3, delayMs: 1_900 }],
  [35.2, 'backoff', 'after backoffDelay', 'resolving', { attempt: 3 }],
  [35.1, 'resolving', 'endpoint.resolved', 'connecting', { attempt: 3 }],
  [34.5, 'connecting', 'transport.opened', 'handshaking', { attempt: 3 }],
  [33.9, 'handshaking', 'peer.welcomed', 'registered', { attempt: 3 }],
  [33.2, 'registered', 'replay.completed', 'live', { attempt: 3 }],
  [12, 'live', 'account.impaired', 'degraded.impaired', { reason: 'account-offline', attempt: 3 }],
  [7, 'degraded.impaired', 'account.recovered', 'live', { attempt: 3 }],
]

const tell = (link: FakeLink): void => {
  const now = Date.now()
  for (const [i, [ago, from, event, to, more]] of story.entries()) {
    const at = now - ago * SECOND
    link.records.push({
      link: link.id,
      seq: i + 1,
      at,
      elapsedMs: 1,
      from,
      event,
      to,
      reason: event,
      attempt: 1,
      ...more,
    })
  }
  link.since = now - 7 * SECOND
}

/** Most are well; of every hundred a few are not. */
const crowd = (inspector: FakeInspector, count: number): void => {
  const now = Date.now()
  const troubles: Partial<Record<number, Partial<FakeLink> & { readonly name: StateName }>> = {
    3: { name: 'parked', fault: faultIndex('upgrade-unauthorized') },
    17: { name: 'backoff', fault: faultIndex('refused'), dueAt: now + 40 * SECOND },
    23: { name: 'degraded.impaired', fault: faultIndex('account-offline') },
    34: { name: 'backoff', fault: faultIndex('connection-lost'), dueAt: now + 20 * SECOND },
    41: { name: 'connecting', dueAt: now + 9 * SECOND, since: now - SECOND },
  }
  for (let i = 0; i < count; i++) {
    const { name = 'live', ...more } = troubles[i % 100] ?? {}
    const since = now - (15 + ((i * 37) % 300)) * SECOND
    inspector.add(`bot-${String(i).padStart(2, '0')}`, { since, state: stateNames.indexOf(name), ...more })
  }
}

const shown = async (page: Page, inspector: FakeInspector, link: FakeLink): Promise<void> => {
  await page.waitForSelector('#n-live.here')
  for (let i = 0; i < 20; i++) {
    link.roundTripMs = 28 + ((i * 7) % 13)
    inspector.touch(link)
    await page.waitForTimeout(110)
  }
}

interface Picture {
  readonly name: string
  readonly links: number
  readonly options: BrowserContextOptions
  readonly act: (inspector: FakeInspector, link: FakeLink) => void
}

const fails = (inspector: FakeInspector, link: FakeLink): void =>
  inspector.move(link, 'transport.lost', 'backoff', { reason: 'connection-lost', attempt: 4, delayMs: 6 * SECOND })

const pictures: readonly Picture[] = [
  { name: 'page-fleet', links: 48, options: { colorScheme: 'light' }, act: fails },
  { name: 'page-10000', links: 10_000, options: { colorScheme: 'dark' }, act: fails },
  {
    name: 'page-dark-zh',
    links: 12,
    options: { colorScheme: 'dark', locale: 'zh-CN' },
    act: (inspector, link) => {
      inspector.move(link, 'heartbeat.missed', 'degraded.suspect')
      link.dueAt = Date.now() + 2 * SECOND
    },
  },
]

/** Two minutes of eight links in virtual time: each loses its peer once, for longer than the one before. */
const recorded = async (): Promise<string> => {
  const clock = heapClock(7)
  const hello = { post_type: 'meta_event', meta_event_type: 'lifecycle', sub_type: 'connect' }
  const well = { online: true, good: true }
  const held = Array.from({ length: 8 }, (_, i) => {
    const network = new FakeNetwork(clock, {
      greeting: [hello],
      answer: (frame) => ({ status: 'ok', retcode: 0, data: well, echo: JSON.parse(String(frame)).echo }),
    })
    const { transport, lookup } = network
    const link = connect(onebot({ url: 'ws://peer.test/' }), { id: `bot-${i}`, clock, transport, lookup })
    clock.setTimeout(() => (network.healthy = false), (15 + 6 * i) * SECOND)
    clock.setTimeout(() => (network.healthy = true), (20 + 12 * i) * SECOND)
    return link
  })
  await clock.advance(120 * SECOND)
  const records = held.flatMap((link) => link.recording.kept).sort((a, b) => a.at - b.at)
  for (const link of held) void link.stop({ drainMs: 0 })
  await clock.advance(10 * SECOND)
  return records.map((record) => `${JSON.stringify(record)}\n`).join('')
}

const takeReplay = async (browser: Browser, path: string): Promise<void> => {
  const page = await browser.newPage({ viewport: { width: 1400, height: 960 }, colorScheme: 'light' })
  await page.goto(pathToFileURL('dist/visualizer/index.html').href)
  const buffer = Buffer.from(await recorded())
  await page.setInputFiles('#file', { name: 'monday.hf.ndjson', mimeType: 'application/x-ndjson', buffer })
  await page.locator('#moment').fill(String(52.2 * SECOND))
  await page.waitForTimeout(900)
  await page.screenshot({ path })
  await page.close()
}

export const takePictures = async (folder: string): Promise<void> => {
  const browser = await launchChromium()
  await takeReplay(browser, join(folder, 'page-replay.png'))
  for (const { name, links, options, act } of pictures) {
    const inspector = new FakeInspector({ labLink: 'qq-main' })
    const url = await inspector.start()
    const link = inspector.add('qq-main')
    tell(link)
    crowd(inspector, links - 1)
    const { page, close } = await visit(browser, url, { viewport: { width: 1400, height: 960 }, ...options })
    await shown(page, inspector, link)
    act(inspector, link)
    await page.waitForSelector('#chart .due')
    await page.waitForTimeout(900)
    await page.screenshot({ path: join(folder, `${name}.png`) })
    await close()
    await inspector.stop()
  }
  await browser.close()
}
