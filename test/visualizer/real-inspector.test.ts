/** The page in a real browser, told by the real inspector about a real link. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realClock } from '../../src/clock.ts'
import { connect } from '../../src/link.ts'
import { inspect } from '../../src/observe/inspect/index.ts'
import { STREAM } from '../../src/observe/inspect/protocol.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { chromium, launchChromium } from '../chromium.ts'
import { tokenOf } from '../observe/viewer-client.ts'
import { politePeer, smallTalk } from '../small-talk.ts'
import { visit } from './visit.ts'

const title =
  'missing' in chromium ? `the page and the inspector (left out: ${chromium.missing})` : 'the page and the inspector'

/** What the inspector says first to a page that knows the token. */
const firstWord = (page: Page, port: string, token: string): Promise<string> =>
  page.evaluate(
    ([at, auth]) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(at!)
        socket.onopen = () => socket.send(auth!)
        socket.onmessage = ({ data }) => resolve(String(data))
        socket.onclose = () => resolve('closed')
      }),
    [`ws://127.0.0.1:${port}/${STREAM}`, JSON.stringify({ t: 'auth', token })],
  )

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

  test('a page of another origin gets nothing, be it that it knows the token or has its name point here', async () => {
    const inspector = await inspect([])
    const stranger = createServer((_, response) => response.end('<!doctype html><title>elsewhere</title>'))
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
    const rebound = await launchChromium(['--host-resolver-rules=MAP rebound.test 127.0.0.1'])
    const { port } = new URL(inspector.url)
    const token = tokenOf(inspector.url)
    try {
      const page = await rebound.newPage()
      await page.goto(`http://127.0.0.1:${(stranger.address() as AddressInfo).port}/`)
      expect(await firstWord(page, port, token)).toBe('closed')
      const answer = await page.goto(`http://rebound.test:${port}/`)
      expect(answer!.status()).toBe(403)
      // the same from where it is allowed
      expect((await page.goto(inspector.url))!.status()).toBe(200)
      expect(await firstWord(page, port, token)).toContain('"t":"hello"')
    } finally {
      await rebound.close()
      stranger.close()
      await inspector.close()
    }
  })
})
