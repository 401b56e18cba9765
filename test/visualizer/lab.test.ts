/** Every fault of the panel, pressed on the real page, struck at a real peer, and seen in the chart. */
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPlayground } from '../../src/cli/lab/playground.ts'
import { fleet } from '../../src/fleet.ts'
import { chromium, launchChromium } from '../chromium.ts'
import { runnable } from '../lab/bundle.ts'
import { visit } from './visit.ts'

interface Struck {
  readonly fault: string
  /** Where the chart must have been. */
  readonly at: string
  /** What the log must say of it. */
  readonly says: string
}

/** Side by side, so that nobody waits for the slowest; in each row one curve of backoff is used once. */
const rows: readonly (readonly Struck[])[] = [
  [{ fault: 'freeze', at: 'n-suspect', says: 'heartbeat-timeout: the peer has gone silent' }],
  [
    { fault: 'drop', at: 'n-backoff', says: 'the peer reset the connection' },
    { fault: 'dns-failure', at: 'n-backoff', says: 'name-not-found' },
  ],
  [
    { fault: 'close-1006', at: 'n-backoff', says: 'the socket ended without a close frame' },
    { fault: 'slow-handshake', at: 'n-handshaking', says: 'connection-lost' },
    { fault: 'refuse', at: 'n-backoff', says: 'refused: nothing listens on that port' },
  ],
  [
    { fault: 'close-1012', at: 'n-backoff', says: 'close 1012' },
    { fault: 'close-4004', at: 'n-backoff', says: 'close 4004' },
    { fault: 'upgrade-401', at: 'n-parked', says: 'upgrade-unauthorized: the peer refused our token' },
    { fault: 'upgrade-429', at: 'n-backoff', says: 'throttled: the peer asks for patience' },
  ],
]

/** Notes each state that the chart lights up. */
const noteStates = (page: Page) =>
  page.evaluate(() => {
    const been: string[] = []
    Object.assign(globalThis, { been })
    const note = () => {
      const here = document.querySelector('#chart .here')?.id
      if (here && been.at(-1) !== here) been.push(here)
    }
    new MutationObserver(note).observe(document.getElementById('chart')!, {
      subtree: true,
      attributeFilter: ['class'],
    })
  })

const beenAt = (page: Page): Promise<string[]> =>
  page.evaluate(() => (globalThis as unknown as { been: string[] }).been.splice(0))

const title =
  'missing' in chromium ? `the faults of the panel (left out: ${chromium.missing})` : 'the faults of the panel'

describe.skipIf('missing' in chromium)(title, () => {
  let browser: Browser
  let entry: string
  beforeAll(async () => {
    entry = await runnable('src/cli/lab/peer.ts')
    browser = await launchChromium()
  })
  afterAll(() => browser.close())

  test('are those that the rows here strike', async () => {
    const bots = fleet({ trace: false })
    await using ground = await openPlayground(bots, { port: 0, entry })
    const seen = await visit(browser, ground.url)
    const offered = await seen.page
      .locator('#faults button')
      .evaluateAll((all) => all.map((each) => each.dataset.fault))
    await seen.close()
    expect(offered.sort()).toEqual(rows.flatMap((row) => row.map(({ fault }) => fault)).sort())
  })

  const play = async (row: readonly Struck[]) => {
    const bots = fleet({ trace: false })
    await using ground = await openPlayground(bots, { port: 0, entry })
    const { page, wrong, close } = await visit(browser, ground.url)
    try {
      await page.waitForSelector('#n-live.here')
      await noteStates(page)
      for (const { fault, at, says } of row) {
        await page.locator(`[data-fault=${fault}]`).click()
        const answer = page.locator('#answers li').first()
        await expect.poll(() => answer.textContent(), { timeout: 40_000, message: fault }).toMatch(/: done$/)
        await expect.poll(() => page.locator('#log').textContent(), { message: fault }).toContain(says)
        expect(await beenAt(page), fault).toContain(at)
        if (at === 'n-parked') await page.locator('#order-resume').click()
        await page.waitForSelector('#n-live.here')
      }
      expect(wrong).toEqual([])
    } finally {
      await close()
    }
  }

  test('each strikes, is seen in the chart and told in the log, and the link is live again', async () => {
    await Promise.all(rows.map(play))
  })
})
