/** A browser, an inspector that does what the test says, and a check at each end that no reader saw what they should not. */
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { stateNames } from '../../machines/link.ts'
import { launchChromium } from '../chromium.ts'
import { FakeInspector, type FakeOptions } from './fake-inspector.ts'
import { type Visit, visit } from './visit.ts'

export const stateOf = (name: (typeof stateNames)[number]): number => stateNames.indexOf(name)

export interface Theatre {
  readonly inspector: FakeInspector
  start(options?: FakeOptions): Promise<string>
  look(url: string, options?: BrowserContextOptions): Promise<Page>
}

/** To be called where the tests are described. */
export const theatre = (): Theatre => {
  let browser: Browser
  let inspector: FakeInspector | undefined
  let visits: Visit[] = []

  beforeAll(async () => {
    browser = await launchChromium()
  })
  afterAll(() => browser.close())
  beforeEach(() => {
    visits = []
    inspector = undefined
  })
  afterEach(async () => {
    const wrong = visits.flatMap((each) => each.wrong)
    await Promise.all(visits.map((each) => each.close()))
    await inspector?.stop()
    expect(wrong, 'requests that left, violations of the policy, errors').toEqual([])
  })

  return {
    get inspector() {
      return inspector!
    },
    start: (options = {}) => {
      inspector = new FakeInspector(options)
      return inspector.start()
    },
    look: async (url, options = {}) => {
      const seen = await visit(browser, url, options)
      visits.push(seen)
      return seen.page
    },
  }
}
