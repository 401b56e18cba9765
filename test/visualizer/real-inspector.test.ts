/** The page in a real browser, told by the real inspector about a real link. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realClock } from '../../src/clock.ts'
import { connect } from '../../src/link.ts'
import { inspect } from '../../src/observe/inspect/index.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { chromium, launchChromium } from '../chromium.ts'
import { politePeer, smallTalk } from '../small-talk.ts'
import { visit } from './visit.ts'

const title =
  'missing' in chromium ? `the page and the inspector (left out: ${chromium.missing})` : 'the page and the inspector'

describe.skipIf('missing' in chromium)(title, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser.close())

  test('a link that is lost and comes back is seen to do so, and an order from the page is obeyed', async () => {
    const network = new FakeNetwork(realClock, politePeer)
    const { transport, lookup } = network
    const link = connect(smallTalk(), { id: 'seen', transport, lookup })
    const inspector = await inspect([link], { control: true })
    const seen = await visit(browser, inspector.url)
    try {
      await seen.page.waitForSelector('#n-live.here')
      await expect.poll(() => seen.page.locator('#why').textContent()).toMatch(/seen/)
      network.healthy = false
      network.current!.lose({ code: 'connection-lost', detail: 'pulled' })
      await expect.poll(() => seen.page.locator('#log').textContent()).toContain('pulled')
      network.healthy = true
      await seen.page.waitForSelector('#n-live.here', { timeout: 30_000 })
      await seen.page.locator('#order-hold').click()
      await seen.page.waitForSelector('#n-parked.here')
      expect(link.status.state).toBe('parked')
      await seen.page.locator('#order-resume').click()
      await seen.page.waitForSelector('#n-live.here')
      expect(seen.wrong).toEqual([])
    } finally {
      await seen.close()
      await inspector.close()
      await link.stop({ drainMs: 0 })
    }
  })
})
