/** How the page treats its reader: says what is so, asks before what cannot be undone, fits its window, speaks one language. */
import { readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { describe, expect, test } from 'vitest'
import { faults } from '../../machines/fault.ts'
import { linkMachine, stateNames } from '../../machines/link.ts'
import { chartOf, edgesOf } from '../../src/diagram/model.ts'
import { lookOf } from '../../visualizer/palette.ts'
import { chromium } from '../chromium.ts'
import { theatre } from './theatre.ts'
import { barriers, colours, rgb } from './visit.ts'

/** Names that are the same in every language: of states, events, guards, faults, activities and units. */
const model = chartOf(linkMachine)
const arrows = edgesOf(model).flatMap((edge) => edge.arrows)
const names = new Set([
  ...stateNames.flatMap((name) => name.split('.')),
  ...model.states.flatMap(({ name, invokes }) => [name, ...invokes]),
  ...arrows.flatMap(({ trigger, guard, actions }) => [trigger.name, guard ?? '', ...actions.map(({ type }) => type)]),
  ...Object.keys(faults),
  ...[
    'holdfast',
    'link',
    'English',
    'TCP',
    'DNS',
    'Ctrl',
    'Esc',
    'min',
    'after',
    'ended',
    'failed',
    'onebot',
    'heartbeat',
  ],
])

/** Every text that a reader sees, points at or hears. */
const texts = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const told: string[] = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) told.push(walker.currentNode.textContent!)
    for (const each of document.querySelectorAll('*'))
      for (const name of ['title', 'aria-label', 'placeholder', 'aria-valuetext'])
        told.push(each.getAttribute(name) ?? '')
    return told
  })

const latinWords = (text: string): string[] =>
  (text.match(/[A-Za-z][\w.-]*[A-Za-z0-9]/g) ?? []).filter(
    (word) => !names.has(word) && !word.split('.').every((part) => names.has(part)) && word.length > 2,
  )

const title = 'missing' in chromium ? `the page's manners (left out: ${chromium.missing})` : "the page's manners"

describe.skipIf('missing' in chromium)(title, () => {
  const stage = theatre()

  const three = async (options = {}) => {
    const url = await stage.start(options)
    const links = ['a-one', 'b-two', 'c-three'].map((id) => stage.inspector.add(id, { roundTripMs: 12 }))
    return { url, links }
  }
  const chosen = (page: Page) => page.locator('.state .id').textContent()

  test('in Chinese nothing is left in English but names', async () => {
    const { url, links } = await three({ labLink: 'b-two' })
    stage.inspector.onOrder = ({ cmd }) => (cmd === 'hold' ? 'There is no such link any more.' : undefined)
    const page = await stage.look(url, { locale: 'zh-CN' })
    await page.waitForSelector('#n-live.here')
    await page.locator('[data-fault=drop]').click()
    await page.locator('#order-hold').click()
    await page.waitForSelector('#answers .wrong')
    stage.inspector.move(links[1]!, 'transport.lost', 'backoff', { reason: 'refused', delayMs: 60_000 })
    await page.waitForSelector('#n-backoff.due')
    await page.locator('#order-stop').click()
    await page.keyboard.press('?')
    await page.waitForSelector('dialog[open]')
    const left = (await texts(page)).flatMap(latinWords)
    const own = new Set(['a-one', 'b-two', 'c-three', 'p50', 'p95'])
    expect([...new Set(left)].filter((word) => !own.has(word))).toEqual([])
    await stage.inspector.stop()
    await expect
      .poll(() => page.locator('#banner').textContent())
      .toMatch(/^未连接：以下是 .* 秒前的状态，.* 秒后重试。/)
  })

  test('every refusal of an order has Chinese words', () => {
    const told = readFileSync('visualizer/fault-words.ts', 'utf8')
    for (const file of ['observe/inspect/obey', 'cli/lab/playground', 'cli/lab/playground-faults']) {
      const sentences = [...readFileSync(`src/${file}.ts`, 'utf8').matchAll(/new Error\('(.+?)'\)/g)].map(
        ([, text]) => text!,
      )
      expect(sentences.length, file).toBeGreaterThan(0)
      expect(sentences.filter((each) => !told.includes(`'${each}':`))).toEqual([])
    }
  })

  test.each([
    { width: 1280, height: 800 },
    { width: 640, height: 400 },
    { width: 400, height: 800 },
    { width: 320, height: 640 },
  ])('nothing is wider than a window of $width pixels, and the page ends where its last view does', async (viewport) => {
    const url = await stage.start()
    for (let i = 0; i < 300; i++) stage.inspector.add(`bot-with-a-long-name-${i}`)
    const page = await stage.look(url, { viewport })
    await page.waitForSelector('#n-live.here')
    const { sideways, below } = await page.evaluate(() => {
      const root = document.documentElement
      const end = Math.max(
        ...[...document.querySelectorAll('main > .column > *')].map((each) => each.getBoundingClientRect().bottom),
      )
      return {
        sideways: root.scrollWidth - root.clientWidth,
        below: root.scrollHeight - Math.max(end + scrollY, root.clientHeight),
      }
    })
    expect(sideways).toBe(0)
    expect(below).toBeLessThan(40)
    expect(await barriers(page)).toEqual([])
  })

  test.each([
    'light',
    'dark',
  ] as const)('Tab passes through every view and out again, and shows where it is: %s', async (colorScheme) => {
    const { url, links } = await three({ labLink: 'a-one' })
    const page = await stage.look(url, { colorScheme })
    await page.waitForSelector('#n-live.here')
    stage.inspector.move(links[0]!, 'heartbeat.missed', 'degraded.suspect')
    await expect.poll(() => page.locator('#log .line').count()).toBe(1)
    const walked: string[] = []
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press('Tab')
      const at = await page.evaluate(() => {
        const here = document.activeElement as HTMLElement
        if (here === document.body) return null
        const { outlineStyle, outlineWidth } = getComputedStyle(here)
        const name = here.id || here.dataset.fault || here.getAttribute('aria-label') || here.textContent!
        return outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2
          ? name
          : `${name} is not shown to have the focus`
      })
      if (at === null) break
      walked.push(at)
    }
    expect(walked.length).toBeLessThan(80)
    expect(walked.filter((each) => each.endsWith('focus'))).toEqual([])
    expect(new Set(walked).size).toBe(walked.length)
    for (const view of ['filter', 'grid', 'timeline', 'drop', 'copy', 'order-stop', 'chart', 'log-filter', 'log'])
      expect(walked).toContain(view)
  })

  test('stop asks twice, and what the state would not hear is not offered', async () => {
    const { url, links } = await three()
    const page = await stage.look(url)
    await page.waitForSelector('#n-live.here')
    const offered = () =>
      page
        .locator('.state .orders button[aria-disabled=false]')
        .evaluateAll((each) => each.map(({ id }) => id.slice(6)))
    expect(await offered()).toEqual(['hold', 'stop'])
    await page.locator('#order-retry').click({ force: true })
    await page.locator('#order-stop').click()
    expect(await page.locator('#order-stop').textContent()).toBe('stop for good?')
    await page.waitForTimeout(200)
    expect(stage.inspector.orders).toEqual([])
    // another link is another question
    await page.keyboard.press('j')
    await expect.poll(() => chosen(page)).toBe('b-two')
    expect(await page.locator('#order-stop').textContent()).toBe('stop')
    await page.keyboard.press('k')
    await page.locator('#order-stop').focus()
    await page.keyboard.press('Space')
    await page.keyboard.press('Space')
    await expect.poll(() => stage.inspector.orders).toEqual([{ t: 'cmd', n: 1, cmd: 'stop', index: 0 }])
    await expect.poll(() => page.locator('#answers li').allTextContents()).toEqual(['stop a-one: done'])
    stage.inspector.move(links[0]!, 'transport.lost', 'backoff', { reason: 'refused', delayMs: 9_000 })
    await expect.poll(offered).toEqual(['retry', 'hold', 'stop'])
    stage.inspector.move(links[0]!, 'operator.hold', 'parked')
    await expect.poll(offered).toEqual(['resume', 'stop'])
  })

  test('a chosen link that goes is said to be gone; one that nobody chose gives way to another', async () => {
    const { url, links } = await three()
    const page = await stage.look(url)
    await expect.poll(() => chosen(page)).toBe('a-one')
    stage.inspector.remove(links[0]!)
    await expect.poll(() => chosen(page)).toBe('b-two')
    await page.keyboard.press('j')
    await expect.poll(() => chosen(page)).toBe('c-three')
    stage.inspector.remove(links[2]!)
    await expect.poll(() => page.locator('#nobody').textContent()).toContain('c-three is gone')
    await page.keyboard.press('j')
    await expect.poll(() => chosen(page)).toBe('b-two')
  })

  test('when the process is lost time stands still, and nothing can be ordered', async () => {
    const { url, links } = await three()
    const page = await stage.look(url)
    await page.waitForSelector('#n-live.here')
    stage.inspector.move(links[0]!, 'transport.lost', 'backoff', { reason: 'refused', delayMs: 9_000 })
    await page.waitForSelector('#n-backoff.due')
    await stage.inspector.stop()
    await expect.poll(() => page.locator('#banner').count()).toBe(1)
    const told = () => page.locator('.state, #why, #chart .left').allTextContents()
    const ring = () => page.locator('#chart .ring').getAttribute('stroke-dasharray')
    await page.waitForTimeout(200)
    const before = [await told(), await ring()]
    await page.waitForTimeout(700)
    expect([await told(), await ring()]).toEqual(before)
    expect(await page.locator('.orders button[aria-disabled=false]').count()).toBe(0)
    await page.locator('#order-hold').click({ force: true })
    expect(await page.locator('#answers li').count()).toBe(0)
    // what counts down is not read out each time
    expect(await page.locator('#banner [role=status]').textContent()).toBe('Not connected.')
    expect(await page.locator('#banner').getAttribute('role')).toBe(null)
  })

  test('while paused nothing flashes, and what is told to be missed are transitions of the chosen link', async () => {
    const { url, links } = await three()
    const page = await stage.look(url)
    await page.waitForSelector('#n-live.here')
    await page.waitForTimeout(300)
    await page.keyboard.press('Space')
    for (let i = 0; i < 3; i++) {
      for (const link of links.slice(0, 2)) {
        stage.inspector.move(link, 'heartbeat.missed', 'degraded.suspect')
        stage.inspector.move(link, 'heartbeat.seen', 'live')
      }
    }
    await expect.poll(() => page.locator('#pause + .quiet').textContent()).toBe('6 more since')
    expect(await page.locator('.flash').count()).toBe(0)
    expect(await page.locator('#log .line').count()).toBe(0)
    // who looks at another link sees it as it is by then
    await page.keyboard.press('j')
    await expect.poll(() => page.locator('#log .line').count()).toBe(6)
    stage.inspector.move(links[1]!, 'transport.lost', 'backoff', { reason: 'refused', delayMs: 9_000 })
    await expect.poll(() => page.locator('#pause + .quiet').textContent()).toBe('1 more since')
    expect(await page.locator('#log .line').count()).toBe(6)
    await page.keyboard.press('Space')
    await page.waitForSelector('#n-backoff.due')
    await page.keyboard.press('Space')
    const ring = () => page.locator('#chart .ring').getAttribute('stroke-dasharray')
    const before = await ring()
    await page.waitForTimeout(500)
    expect(await ring()).toBe(before)
  })

  test('whoever has no links, no fitting links or no fitting transitions is told which', async () => {
    const url = await stage.start()
    const page = await stage.look(url)
    await expect.poll(() => page.locator('.grid .quiet').textContent()).toBe('There are no links yet.')
    expect(await page.locator('#nobody').textContent()).toBe('There are no links yet.')
    const link = stage.inspector.add('late')
    await page.waitForSelector('#n-live.here')
    stage.inspector.move(link, 'heartbeat.missed', 'degraded.suspect')
    await page.locator('#filter').fill('nobody')
    await expect.poll(() => page.locator('.grid .quiet').textContent()).toBe('Nothing fits the filter.')
    await expect.poll(() => page.locator('#log .line').count()).toBe(1)
    stage.inspector.move(link, 'transport.lost', 'backoff', { reason: 'refused' })
    // what is read can be looked for, in whatever language
    for (const words of ['Nothing Listens', '没有程序']) {
      await page.locator('#log-filter').fill(words)
      await expect
        .poll(() => page.locator('#log .line .way').allTextContents())
        .toEqual([expect.stringContaining('→ backoff')])
    }
    await page.locator('#log-filter').fill('nobody')
    await expect.poll(() => page.locator('#log .quiet').textContent()).toBe('No transition fits the filter.')
  })

  test('the wheel belongs to the page until Ctrl is held; who follows goes on following', async () => {
    const { url, links } = await three()
    const page = await stage.look(url, { viewport: { width: 1280, height: 500 } })
    await page.waitForSelector('#n-live.here')
    const box = (await page.locator('#timeline').boundingBox())!
    await page.mouse.move(box.x + box.width * 0.7, box.y + 40)
    await page.mouse.wheel(0, 120)
    await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(60)
    await page.evaluate(() => scrollTo(0, 0))
    const width = async () => (await colours(page, '#timeline'))[rgb(lookOf('live').color)]!
    const before = await width()
    await page.keyboard.down('Control')
    for (let i = 0; i < 8; i++) await page.mouse.wheel(0, -120)
    await page.keyboard.up('Control')
    // five seconds fill more of a shorter minute
    await expect.poll(width).toBeGreaterThan(before * 2)
    expect(await page.locator('#follow').getAttribute('aria-pressed')).toBe('true')
    stage.inspector.move(links[0]!, 'operator.hold', 'parked')
    await expect
      .poll(async () => (await colours(page, '#timeline'))[rgb(lookOf('parked').color)] ?? 0)
      .toBeGreaterThan(20)
    await page.mouse.move(box.x + box.width * 0.7, box.y + 40)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.8, box.y + 40, { steps: 3 })
    await page.mouse.up()
    expect(await page.locator('#follow').getAttribute('aria-pressed')).toBe('false')
  })

  test('a cell without room for its name tells it when pointed at, and a name in a tip stays within the page', async () => {
    const url = await stage.start()
    for (let i = 0; i < 700; i++) stage.inspector.add(`bot-${String(i).padStart(3, '0')}`)
    const page = await stage.look(url)
    await expect.poll(() => page.locator('#grid').getAttribute('aria-label')).toBe('Links: 700')
    const box = (await page.locator('#grid').boundingBox())!
    await page.mouse.move(box.x + 2 * 14 + 8, box.y + 8)
    await expect.poll(() => page.locator('.grid .tip').innerText()).toMatch(/^bot-002\nonebot\nlive · for /)
    await page.locator('#grid').focus()
    await page.keyboard.press('End')
    await expect.poll(() => chosen(page)).toBe('bot-699')
    const frame = rgb('#1f2328')
    await expect.poll(async () => (await colours(page, '#grid'))[frame] ?? 0).toBeGreaterThan(30)
  })

  test('language and colours are still there after a reload', async () => {
    const { url } = await three()
    const page = await stage.look(url)
    await page.locator('#language').click()
    await page.locator('#theme').click()
    await page.locator('#theme').click()
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark')
    await page.reload()
    await page.waitForSelector('#n-live.here')
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark')
    expect(await page.locator('html').getAttribute('lang')).toBe('zh-CN')
  })

  test('whoever breaks the lab’s peer is shown the link that it strikes; no second fault while one is under way', async () => {
    const { url, links } = await three({ labLink: 'c-three' })
    const page = await stage.look(url)
    // it is the one that a new reader is shown
    await expect.poll(() => chosen(page)).toBe('c-three')
    await page.keyboard.press('k')
    await expect.poll(() => chosen(page)).toBe('b-two')
    stage.inspector.silent = true
    await page.locator('[data-fault=freeze]').click()
    await expect.poll(() => chosen(page)).toBe('c-three')
    await expect.poll(() => page.locator('#answers li').allTextContents()).toEqual(['freeze: under way …'])
    expect(await page.locator('#faults button[aria-disabled=false]').count()).toBe(0)
    await page.locator('[data-fault=drop]').click({ force: true })
    await page.waitForTimeout(200)
    expect(stage.inspector.orders).toEqual([{ t: 'cmd', n: 1, cmd: 'fault', fault: 'freeze' }])
    const buttons = await page
      .locator('#faults button')
      .evaluateAll((all) => all.map((each) => (each as HTMLElement).title))
    for (const does of buttons) expect(does).toMatch(/\.$/)
    stage.inspector.move(links[2]!, 'operator.hold', 'parked')
    await page.reload()
    await expect
      .poll(() => page.locator('#faults').evaluate((each) => each.previousElementSibling!.textContent))
      .toBe('It strikes c-three, once that is live again.')
    expect(await page.locator('#faults button[aria-disabled=false]').count()).toBe(0)
  })

  test('the diagnosis has versions, deadlines, round trips and causes', async () => {
    const { url, links } = await three()
    const page = await stage.look(url, { permissions: ['clipboard-read', 'clipboard-write'] })
    await page.waitForSelector('#n-live.here')
    await expect.poll(() => page.locator('#trip').textContent()).toMatch(/^12 ms/)
    stage.inspector.move(links[0]!, 'transport.lost', 'backoff', { reason: 'refused', delayMs: 9_000 })
    await page.waitForSelector('#n-backoff.due')
    await page.locator('#copy').click()
    await expect.poll(() => page.locator('#copy').textContent()).toBe('copied')
    const text = await page.evaluate(() => navigator.clipboard.readText())
    for (const wanted of [
      /^## holdfast 0\.1\.0: a-one\n/,
      /a-one is waiting before the next dial/,
      /- state: backoff since \S+Z, attempt 1, until \S+Z\n/,
      /- versions: holdfast 0\.1\.0, node 20\.20\.2 linux x64, holdfast-inspect\/1; page in Mozilla.*Chrome/,
      /- adapter: onebot\n- deadlines: graceMs 2000\n- round trip: p50 12 ms, p95 12 ms, of \d+ looks\n/,
      /1 × refused: nothing listens on that port/,
      /```mermaid\nflowchart LR\n/,
    ])
      expect(text).toMatch(wanted)
  })
})
