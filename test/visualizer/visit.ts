/** Opens the page as a reader would, and notes what no reader should ever cause: errors, strange requests, violations. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'

export interface Visit {
  readonly page: Page
  /** Requests that did not go to where the page came from, violations of the content policy, errors. */
  readonly wrong: string[]
  close(): Promise<void>
}

export const visit = async (browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> => {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, locale: 'en-US', ...options })
  const page = await context.newPage()
  const wrong: string[] = []
  const home = new URL(url)
  const strange = (address: string) => {
    const { protocol, host } = new URL(address)
    if (protocol !== 'data:' && host !== home.host) wrong.push(`a request left the host: ${address}`)
  }
  page.on('request', (request) => strange(request.url()))
  page.on('websocket', (socket) => strange(socket.url()))
  page.on('pageerror', (error) => wrong.push(error.stack ?? error.message))
  page.on('dialog', (dialog) => {
    wrong.push(`a dialog opened: ${dialog.message()}`)
    void dialog.dismiss()
  })
  page.on('popup', (other) => wrong.push(`a window opened: ${other.url()}`))
  await page.exposeFunction('violated', (what: string) => wrong.push(`content policy: ${what}`))
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      (globalThis as unknown as { violated(what: string): void }).violated(`${violatedDirective} ${blockedURI}`),
    )
  })
  await page.goto(url)
  return { page, wrong, close: () => context.close() }
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe-core finds that keeps people out, in one line each. */
export const barriers = async (page: Page): Promise<string[]> => {
  await page.evaluate(axe)
  return page.evaluate(async () => {
    interface Finding {
      id: string
      impact: string
      nodes: { html: string; failureSummary: string }[]
    }
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Finding[] }> } }
    const { violations } = await axe.run()
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary}`),
      )
  })
}

/** How many points of a canvas have each colour, by `r,g,b`. */
export const colours = (page: Page, selector: string): Promise<Record<string, number>> =>
  page.locator(`${selector} canvas`).evaluate((canvas: HTMLCanvasElement) => {
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height)
    const found: Record<string, number> = {}
    for (let i = 0; i < data.length; i += 4) {
      const key = `${data[i]},${data[i + 1]},${data[i + 2]}`
      found[key] = (found[key] ?? 0) + 1
    }
    return found
  })

export const rgb = (color: string): string => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16)).join()
