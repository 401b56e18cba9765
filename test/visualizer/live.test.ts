/** The page in a real browser, told by an inspector that does what the test says. */
import type { Browser, BrowserContextOptions } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { linkMachine, stateNames } from '../../machines/link.ts'
import { edgeId, nodeId } from '../../src/diagram/layout.ts'
import { chartOf, edgesOf } from '../../src/diagram/model.ts'
import { lookOf } from '../../visualizer/palette.ts'
import { chromium, launchChromium } from '../chromium.ts'
import { FakeInspector, type FakeOptions, TOKEN } from './fake-inspector.ts'
import { payloads } from './payloads.ts'
import { barriers, colours, rgb, type Visit, visit } from './visit.ts'

const title = 'missing' in chromium ? `the live page (left out: ${chromium.missing})` : 'the live page'
const stateOf = (name: (typeof stateNames)[number]) => stateNames.indexOf(name)

describe.skipIf('missing' in chromium)(title, () => {
  let browser: Browser
  let inspector: FakeInspector
  let visits: Visit[]

  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser.close())
  beforeEach(() => {
    visits = []
  })
  afterEach(async () => {
    const wrong = visits.flatMap((each) => each.wrong)
    await Promise.all(visits.map((each) => each.close()))
    await inspector.stop()
    expect(wrong, 'requests that left, violations of the policy, errors').toEqual([])
  })

  const start = (options: FakeOptions = {}): Promise<string> => {
    inspector = new FakeInspector(options)
    return inspector.start()
  }
  const look = async (url: string, options: BrowserContextOptions = {}) => {
    const seen = await visit(browser, url, options)
    visits.push(seen)
    return seen.page
  }
  const threeLinks = async () => {
    const url = await start()
    const links = ['a-one', 'b-two', 'c-three'].map((id) => inspector.add(id, { roundTripMs: 12 }))
    return { url, links }
  }

  test('every state and every arrow of the machine is drawn, and nothing else is', async () => {
    const { url } = await threeLinks()
    const page = await look(url)
    await page.waitForSelector('#chart svg')
    const drawn = await page
      .locator('#chart [id^="n-"], #chart [id^="e-"]')
      .evaluateAll((elements) => elements.map(({ id }) => id).sort())
    const model = chartOf(linkMachine)
    const nodes = model.states.map(({ path }) => nodeId(path))
    const arrows = edgesOf(model).map(({ from, to }) => edgeId(from || model.id, to))
    expect(drawn).toEqual([...nodes, ...arrows].sort())
    expect(arrows.length).toBeGreaterThan(25)
  })

  test.each([
    { locale: 'en-US', colorScheme: 'light' as const, links: 'Links', lang: 'en' },
    { locale: 'en-US', colorScheme: 'dark' as const, links: 'Links', lang: 'en' },
    { locale: 'zh-CN', colorScheme: 'light' as const, links: '连接', lang: 'zh-CN' },
    { locale: 'zh-CN', colorScheme: 'dark' as const, links: '连接', lang: 'zh-CN' },
  ])('every view in $locale, $colorScheme, and nothing that keeps people out', async (wanted) => {
    const { url, links } = await threeLinks()
    const page = await look(url, wanted)
    await page.waitForSelector('#n-live.here')
    inspector.move(links[0]!, 'transport.lost', 'backoff', { reason: 'connection-lost', delayMs: 9_000 })
    await page.waitForSelector('#n-backoff.here')
    expect(await page.locator('html').getAttribute('lang')).toBe(wanted.lang)
    expect(await page.locator('html').getAttribute('data-theme')).toBe(wanted.colorScheme)
    expect(await page.locator('#fleet-title').textContent()).toBe(wanted.links)
    const why =
      wanted.lang === 'en' ? /is waiting before the next dial.*in \d\.\d s/ : /等待下一次拨号.*最迟 \d\.\d 秒后/
    await expect.poll(() => page.locator('#why').textContent()).toMatch(why)
    await expect.poll(() => page.locator('#log .line').count()).toBe(1)
    for (const drawing of ['#grid', '#timeline']) {
      // a band grows with time
      const seen = (state: 'live' | 'backoff') => async () => (await colours(page, drawing))[rgb(lookOf(state).color)]
      await expect.poll(seen('live'), { message: drawing }).toBeGreaterThan(200)
      await expect.poll(seen('backoff'), { message: drawing }).toBeGreaterThan(20)
    }
    expect(await page.locator('#trip').textContent()).toMatch(/^12 ms/)
    expect(await barriers(page)).toEqual([])
    await page.keyboard.press('?')
    await page.waitForSelector('dialog[open]')
    expect(await barriers(page)).toEqual([])
  })

  test('language and colours change by their buttons', async () => {
    const { url } = await threeLinks()
    const page = await look(url)
    await page.locator('#language').click()
    expect(await page.locator('#fleet-title').textContent()).toBe('连接')
    for (const wanted of ['light', 'dark', 'light']) {
      await page.locator('#theme').click()
      await expect.poll(() => page.locator('html').getAttribute('data-theme')).toBe(wanted)
    }
  })

  test('all can be done with the keyboard', async () => {
    const { url, links } = await threeLinks()
    const page = await look(url)
    const chosen = () => page.locator('.state .id').textContent()
    const focused = () => page.evaluate(() => document.activeElement?.id)
    await expect.poll(chosen).toBe('a-one')
    await page.keyboard.press('j')
    await expect.poll(chosen).toBe('b-two')
    await page.keyboard.press('k')
    await expect.poll(chosen).toBe('a-one')
    await page.keyboard.press('g')
    expect(await focused()).toBe('grid')
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('ArrowRight')
    await expect.poll(chosen).toBe('c-three')
    await page.keyboard.press('Home')
    await expect.poll(chosen).toBe('a-one')
    await page.keyboard.press('/')
    expect(await focused()).toBe('filter')
    await page.keyboard.type('tw')
    await expect.poll(() => page.locator('#grid-table tbody tr').count()).toBe(1)
    await page.keyboard.press('Escape')
    expect(await focused()).not.toBe('filter')
    await page.keyboard.press('t')
    expect(await focused()).toBe('timeline')
    const before = await page.locator('#timeline canvas').evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL())
    for (const key of ['w', 'w', 'a', 's', 'd', 'f', 'w']) await page.keyboard.press(key)
    const drawn = () => page.locator('#timeline canvas').evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL())
    await expect.poll(drawn).not.toBe(before)
    await page.keyboard.press('Space')
    expect(await page.locator('#pause').getAttribute('aria-pressed')).toBe('true')
    inspector.move(links[1]!, 'heartbeat.missed', 'degraded.suspect')
    await page.waitForTimeout(400)
    expect(await page.locator('.chip').count()).toBe(1)
    await page.keyboard.press('Space')
    await expect.poll(() => page.locator('.chip .name').allTextContents()).toContain('degraded.suspect')
    await page.keyboard.press('?')
    await page.waitForSelector('dialog[open]')
    await page.keyboard.press('Escape')
    await expect.poll(() => page.locator('dialog[open]').count()).toBe(0)
  })

  test('a fault pressed in the panel reaches the process, and the chart shows what follows', async () => {
    const { url, links } = await threeLinks()
    inspector.onOrder = ({ cmd, fault }) => {
      if (fault === 'refuse') return 'the peer is down already'
      if (cmd === 'fault')
        inspector.move(links[0]!, 'transport.lost', 'backoff', { reason: 'connection-lost', delayMs: 9_000 })
      return undefined
    }
    const page = await look(url)
    await page.waitForSelector('#n-live.here')
    // what is told before the page has asked for it is history, and history does not flash
    await page.waitForTimeout(500)
    await page.locator('[data-fault=drop]').click()
    await page.waitForSelector('#e-attached-backoff.flash')
    await page.waitForSelector('#n-backoff.here')
    expect(inspector.orders).toEqual([{ t: 'cmd', n: 1, cmd: 'fault', fault: 'drop' }])
    await expect.poll(() => page.locator('#answers li').allTextContents()).toEqual(['drop TCP: done'])
    await expect.poll(() => page.locator('#log .line .way').last().textContent()).toContain('live → backoff')
    expect(await page.locator('#chart .ring').evaluate((ring) => ring.getAttribute('stroke-dasharray'))).toMatch(
      /^0\.\d+ 1$/,
    )
    await page.locator('[data-fault=refuse]').click()
    await expect.poll(() => page.locator('#answers li').first().textContent()).toBe('refuse: the peer is down already')
    await page.locator('#order-retry').click()
    await expect.poll(() => inspector.orders.at(-1)).toEqual({ t: 'cmd', n: 3, cmd: 'retry', index: 0 })
    await expect.poll(() => page.locator('#e-attached-backoff.flash').count()).toBe(0)
  })

  test('without leave to control there is nothing to press', async () => {
    const url = await start({ control: false })
    inspector.add('only')
    const page = await look(url)
    await page.waitForSelector('#n-live.here')
    expect(await page.locator('.orders, #faults').count()).toBe(0)
  })

  test('the token leaves the address, outlives a reload, and a wrong one is told', async () => {
    const { url } = await threeLinks()
    const page = await look(url)
    await page.waitForSelector('#n-live.here')
    expect(page.url()).not.toContain(TOKEN)
    await page.reload()
    await page.waitForSelector('#n-live.here')
    expect(inspector.tokens).toEqual([TOKEN, TOKEN])
    const other = await look(url.replace(TOKEN, 'wrong'))
    await expect.poll(() => other.locator('#banner').textContent()).toContain('The token was refused')
    await other.waitForTimeout(1_500)
    expect(inspector.tokens).toEqual([TOKEN, TOKEN, 'wrong'])
  })

  test('a lost process is told, the view is called old, and it comes back by itself', async () => {
    const { url } = await threeLinks()
    const page = await look(url)
    await page.locator('#grid').press('End')
    await expect.poll(() => page.locator('.state .id').textContent()).toBe('c-three')
    const { port } = inspector
    await inspector.stop()
    await expect.poll(() => page.locator('#banner').textContent()).toMatch(/this is how it was .* ago\. Next try in/)
    inspector = new FakeInspector()
    for (const id of ['zero', 'c-three']) inspector.add(id)
    await inspector.start(port)
    await expect.poll(() => page.locator('#banner').count(), { timeout: 15_000 }).toBe(0)
    expect(await page.locator('.state .id').textContent()).toBe('c-three')
  })

  test('10,000 links are drawn, filtered, and told to those who hear the page', async () => {
    const url = await start()
    for (let i = 0; i < 10_000; i++) inspector.add(`bot-${i}`, { state: stateOf(i % 100 === 0 ? 'parked' : 'live') })
    const page = await look(url)
    await expect.poll(() => page.locator('#grid').getAttribute('aria-label')).toBe('Links: 10000')
    expect(await page.locator('.chip b').allTextContents()).toEqual(['100', '9900'])
    expect(await page.locator('#grid-table tbody tr').count()).toBe(200)
    expect((await colours(page, '#grid'))[rgb(lookOf('parked').color)]).toBeGreaterThan(3_000)
    await page.locator('#filter').fill('bot-99')
    await expect.poll(() => page.locator('#grid').getAttribute('aria-label')).toBe('Links: 111')
    await page.locator('.chip', { hasText: 'parked' }).click()
    await expect.poll(() => page.locator('#grid').getAttribute('aria-label')).toBe('Links: 1')
    await expect.poll(() => page.locator('#grid-table tbody th').allTextContents()).toEqual(['bot-9900'])
  })

  test('links come and go, by state, by name and by how long', async () => {
    const { url, links } = await threeLinks()
    const page = await look(url)
    inspector.add('aa-late', { state: stateOf('parked'), since: Date.now() - 90_000 })
    inspector.remove(links[1]!)
    const rows = () => page.locator('#grid-table tbody th').allTextContents()
    await expect.poll(rows).toEqual(['aa-late', 'a-one', 'c-three'])
    await page.locator('#sort').selectOption('id')
    await expect.poll(rows).toEqual(['a-one', 'aa-late', 'c-three'])
    await page.locator('#sort').selectOption('for')
    await expect.poll(rows).toEqual(['aa-late', 'a-one', 'c-three'])
  })

  test('what was dropped is said, what is asked for is found, what is copied can be pasted', async () => {
    const url = await start()
    const link = inspector.add('qq|main', { total: 700 })
    inspector.move(link, 'transport.lost', 'backoff', {
      reason: 'connection-lost',
      detail: 'reset `now` | <b>',
      delayMs: 900,
    })
    inspector.move(link, 'after backoffDelay', 'resolving')
    const page = await look(url, { permissions: ['clipboard-read', 'clipboard-write'] })
    await expect.poll(() => page.locator('#dropped').textContent()).toBe('700 earlier transitions were dropped')
    await page.locator('#log-filter').fill('RESET')
    await expect.poll(() => page.locator('#log .line').count()).toBe(1)
    expect(await page.locator('#log .line .why').textContent()).toContain('reset `now` | <b>')
    await page.locator('#copy').click()
    await expect.poll(() => page.locator('#copy').textContent()).toBe('copied')
    const text = await page.evaluate(() => navigator.clipboard.readText())
    expect(text).toContain('## holdfast 0.1.0: qq&#124;main')
    expect(text).toContain('1 × connection-lost')
    expect(text).toContain(
      '| live | backoff | transport.lost | connection-lost (reset &#96;now&#96; &#124; &#60;b&#62;) | 1 | 900 ms |',
    )
    expect(text).toContain(
      'flowchart LR\n  s0["live"]\n  s1["backoff"]\n  s2["resolving"]\n  s0 -->|1| s1\n  s1 -->|1| s2',
    )
  })

  test('who wants no motion gets none, and who listens hears the chosen link at most every three seconds', async () => {
    const { url, links } = await threeLinks()
    const page = await look(url, { reducedMotion: 'reduce' })
    await expect.poll(() => page.locator('#announcement').textContent()).toBe('a-one: live')
    await page.evaluate(() => {
      const told: [number, string][] = []
      Object.assign(globalThis, { told })
      const said = document.getElementById('announcement')!
      new MutationObserver(() => told.push([performance.now(), said.textContent!])).observe(said, {
        childList: true,
        characterData: true,
        subtree: true,
      })
    })
    for (const to of ['degraded.suspect', 'live', 'degraded.suspect', 'backoff'] as const) {
      inspector.move(links[0]!, to === 'live' ? 'heartbeat.seen' : 'heartbeat.missed', to)
      await page.waitForTimeout(150)
      expect(await page.locator('.flash').count()).toBe(0)
    }
    await expect.poll(() => page.locator('#announcement').textContent(), { timeout: 5_000 }).toBe('a-one: backoff')
    const told = await page.evaluate(() => (globalThis as unknown as { told: [number, string][] }).told)
    expect(told.length).toBe(1)
  })

  test('T9 names, reasons and states stay text: 40 payloads, none runs, none breaks the page', async () => {
    expect(payloads.length).toBe(40)
    const url = await start({
      states: [...stateNames, ...payloads],
      faults: payloads.map((code) => ({ code })),
    })
    payloads.forEach((payload, i) => {
      const link = inspector.add(payload, { adapter: payload, state: stateNames.length + i, fault: i })
      link.records.push({
        link: payload,
        seq: 1,
        at: Date.now(),
        elapsedMs: 1,
        from: payload as 'live',
        event: payload,
        to: payload as 'live',
        reason: payload,
        detail: payload,
        attempt: 1,
      })
    })
    const page = await look(url)
    await expect.poll(() => page.locator('#grid-table tbody tr').count()).toBe(40)
    const before = await page.evaluate(
      () => document.querySelectorAll('script, style, iframe, img, object, embed, base, link').length,
    )
    const seen = new Set<string>()
    await page.locator('#grid').press('Home')
    for (let i = 0; i < 40; i++) {
      await expect.poll(() => page.locator('#log .line .event').count()).toBe(1)
      const name = (await page.locator('.state .id').textContent())!
      await expect.poll(() => page.locator('#log .line .event').textContent()).toBe(name)
      seen.add(name)
      expect(await page.locator('#why').textContent()).toContain(name)
      await page.mouse.move(650, 480 + (i % 12) * 20)
      await page.keyboard.press('j')
    }
    expect(seen.size).toBe(40)
    expect(await page.evaluate(() => (globalThis as { pwned?: unknown }).pwned)).toBeUndefined()
    expect(
      await page.evaluate(
        () => document.querySelectorAll('script, style, iframe, img, object, embed, base, link').length,
      ),
    ).toBe(before)
    // the page still works
    await page.locator('#filter').fill('javascript')
    await expect.poll(() => page.locator('#grid-table tbody tr').count()).toBeGreaterThan(0)
    expect(await page.title()).toBe('holdfast')
  })
})
