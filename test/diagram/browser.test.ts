import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AnyStateMachine } from 'xstate'
import { linkMachine } from '../../machines/link.ts'
import { builtIns } from '../../src/diagram/built-in.ts'
import { edgeId, nodeId } from '../../src/diagram/layout.ts'
import { linkLayout } from '../../src/diagram/link-layout.ts'
import { mermaidOf } from '../../src/diagram/mermaid.ts'
import { causesOf, chartOf, edgesOf } from '../../src/diagram/model.ts'
import { stackedLayout } from '../../src/diagram/stacked-layout.ts'
import { svgOf } from '../../src/diagram/svg.ts'
import { chromium, launchChromium } from '../chromium.ts'
import { hostile, hostileEvents, hostileNames, rich } from './charts.ts'

const link = chartOf(linkMachine)
const mermaid = join(dirname(createRequire(import.meta.url).resolve('mermaid/package.json')), 'dist/mermaid.min.js')

/** The page's own. */
const SCRIPTS = 2

/** Runs in the page. A label is told line by line, as `<br>` leaves no trace in its text. */
const drawInPage = `
window.draw = async (text) => {
  mermaid.initialize({ startOnLoad: false, securityLevel: 'strict' })
  const { svg } = await mermaid.render('picture', text)
  document.body.innerHTML = svg
  const linesOf = (element) => {
    for (const br of element.querySelectorAll('br')) br.replaceWith('\\n')
    return element.textContent
  }
  const all = (selector) => [...new Set([...document.querySelectorAll(selector)].map(linesOf))].filter((text) => text !== '')
  return { nodes: all('.nodeLabel'), edges: all('.edgeLabel'), everything: document.body.textContent }
}`

/** Runs in the page: every pair of things in the picture that lie on each other and should not. */
const overlapsInPage = `
window.overlaps = () => {
  const named = (element) => element.closest('[id]')?.id ?? ''
  const rect = (element) => {
    const { left, top, right, bottom } = element.getBoundingClientRect()
    return { name: named(element), text: element.textContent, left, top, right, bottom }
  }
  // The box of a text has room for accents and descenders that ours do not have.
  const texts = [...document.querySelectorAll('text')].map(rect).map((box) => ({ ...box, top: box.top + 2, bottom: box.bottom - 2 }))
  const boxes = [...document.querySelectorAll('.node > rect:first-of-type')].map(rect)
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
  const found = []
  for (const [index, text] of texts.entries()) {
    for (const other of texts.slice(index + 1)) if (meet(text, other)) found.push(text.text + ' on ' + other.text)
    for (const box of boxes) {
      if (box.name !== text.name && meet(text, box)) found.push(text.text + ' on the box of ' + box.name)
      if (box.name === text.name && (text.left < box.left + 2 || text.right > box.right - 2)) found.push(text.text + ' out of its box')
    }
  }
  for (const path of document.querySelectorAll('.edge path')) {
    const own = named(path)
    for (let at = 0; at < path.getTotalLength(); at += 2) {
      const { x, y } = path.getPointAtLength(at)
      const spot = { left: x - 1, right: x + 1, top: y - 1, bottom: y + 1 }
      const hit = texts.find((text) => text.name !== own && meet(spot, text))
      if (hit) found.push('the line ' + own + ' through ' + hit.text)
    }
  }
  return [...new Set(found)]
}`

describe.skipIf('missing' in chromium)('in a real browser', () => {
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    browser = await launchChromium()
    const context = await browser.newContext({ offline: true, viewport: { width: 1400, height: 1000 } })
    page = await context.newPage()
    await page.setContent('<style>body { margin: 0 }</style><body></body>')
    await page.addScriptTag({ path: mermaid })
    await page.addScriptTag({ content: drawInPage + overlapsInPage })
  })
  afterAll(() => browser?.close())

  const draw = (text: string) =>
    page.evaluate<{ nodes: string[]; edges: string[]; everything: string }>(`draw(${JSON.stringify(text)})`)

  test('Mermaid draws the diagram of docs/link.md, with every state and every label', async () => {
    const markdown = readFileSync(join(import.meta.dirname, '../../docs/link.md'), 'utf8')
    const { nodes, edges, everything } = await draw(/```mermaid\n(.*?)\n```/s.exec(markdown)![1]!)
    for (const { name } of link.states)
      expect(
        nodes.some((node) => node.split(' ')[0] === name),
        name,
      ).toBe(true)
    const labels = edgesOf(link)
      .filter(({ from }) => from !== '')
      .map(({ arrows }) => causesOf(arrows).join('\n'))
    expect(edges.sort()).toEqual([...new Set(labels)].sort())
    expect(everything).toContain('operator.hold → parked')
  })

  test.each([...builtIns])('Mermaid draws the machine %s as `holdfast diagram` prints it', async (_name, {
    machine,
  }) => {
    const chart = chartOf(machine)
    const { nodes } = await draw(mermaidOf(chart))
    const names = nodes.map((node) => node.split(' ')[0])
    expect(names).toEqual(expect.arrayContaining(chart.states.map(({ name }) => name)))
  })

  test('Mermaid draws names that look like its own grammar as they are', async () => {
    const { nodes, edges, everything } = await draw(mermaidOf(chartOf(hostile)))
    expect(nodes).toEqual(expect.arrayContaining(hostileNames))
    expect(edges.sort()).toEqual([...hostileEvents].sort())
    expect(everything).toContain('ev: ery; "where" → note')
  })

  test('Mermaid draws parallel states', async () => {
    const { nodes } = await draw(mermaidOf(chartOf(rich)))
    expect(nodes).toEqual(expect.arrayContaining(['first', 'left', 'l1', 'right', 'r1', 'passing']))
  })

  test('Mermaid draws every picture of docs/incidents.md, with every message and every state', async () => {
    const markdown = readFileSync(join(import.meta.dirname, '../../docs/incidents.md'), 'utf8')
    const pictures = [...markdown.matchAll(/```mermaid\n(.*?)\n```/gs)].map(([, picture]) => picture!)
    expect(pictures).toHaveLength(5)
    for (const picture of pictures) {
      await draw(picture)
      const drawn = await page.evaluate<string[][]>(`['.messageText', '.noteText'].map((each) =>
        [...document.querySelectorAll(each)].map((element) => element.textContent))`)
      const words = (text: string) => text.replaceAll(/#(\d+);/g, (_all, code) => String.fromCodePoint(Number(code)))
      const said = [...picture.matchAll(/^ {2}p\d+(?:->>|--x)p\d+: (.*)$/gm)].flatMap(([, text]) =>
        text!.split('<br/>'),
      )
      expect(drawn[0]).toEqual(said.map(words))
      expect(drawn[1]).toEqual([...picture.matchAll(/Note over p\d+: (.*)$/gm)].map(([, text]) => words(text!)))
    }
  })

  test('text that Mermaid cannot read is an error here, so the tests above can fail', async () => {
    await expect(draw('stateDiagram-v2\n  a --> --> b')).rejects.toThrow('Parse error')
  })

  test.each([...builtIns.keys()])('nothing in the drawing of the %s lies on anything else', async (name) => {
    const { machine, layout } = builtIns.get(name)!
    await page.evaluate(`document.body.innerHTML = ${JSON.stringify(svgOf(chartOf(machine), layout!))}`)
    expect(await page.evaluate('overlaps()')).toEqual([])
  })

  test.each([
    ['rich', rich],
    ['hostile', hostile],
    ['link', linkMachine],
  ])('nothing in the drawing of %s, whose parts nobody placed, lies on anything else', async (_name, machine) => {
    const chart = chartOf(machine as AnyStateMachine)
    await page.evaluate(`document.body.innerHTML = ${JSON.stringify(svgOf(chart, stackedLayout(chart)))}`)
    expect(await page.evaluate('overlaps()')).toEqual([])
    const drawn = await page.evaluate<string[]>(`[...document.querySelectorAll('[id]')].map(({ id }) => id)`)
    for (const { path } of chart.states) expect(drawn).toContain(nodeId(path))
    for (const { from, to } of edgesOf(chart)) expect(drawn).toContain(edgeId(from === '' ? chart.id : from, to))
    expect(await page.evaluate(`document.querySelectorAll('script').length`)).toBe(SCRIPTS)
  })

  test('a label moved onto another is seen, so the test above can fail', async () => {
    const moved = { ...linkLayout.lines['attached>backoff']!, label: { x: 736, y: 213 } }
    const lines = { ...linkLayout.lines, 'attached>backoff': moved }
    await page.evaluate(`document.body.innerHTML = ${JSON.stringify(svgOf(link, { ...linkLayout, lines }))}`)
    expect(await page.evaluate('overlaps()')).toContain('transport.lost on peer.welcomed')
  })

  test.each(['light', 'dark'] as const)('the drawing is %s where the reader is', async (colorScheme) => {
    await page.emulateMedia({ colorScheme })
    await page.evaluate(`document.body.innerHTML = ${JSON.stringify(svgOf(link, linkLayout))}`)
    const paper = await page.evaluate("getComputedStyle(document.querySelector('.paper')).fill")
    expect(paper).toBe(colorScheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(13, 17, 23)')
  })
})
