/**
 * The browser for tests that have to see something drawn. A machine without one leaves those tests out, and the test
 * command says so; it never counts them as passed.
 */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium as playwright } from 'playwright-core'

const executable = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => folder !== '')
  .flatMap((folder) => ['chromium', 'chromium-browser'].map((name) => join(folder, name)))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** Either the browser or, in plain words, why there is none. */
export const chromium: { readonly executable: string } | { readonly missing: string } =
  executable === undefined ? { missing: 'no chromium on the PATH' } : { executable }

/** No sandbox, because tests in containers run as root; and nothing that would look for a network. */
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export const launchChromium = (more: readonly string[] = []): Promise<Browser> => {
  if ('missing' in chromium) throw new Error(chromium.missing)
  return playwright.launch({ executablePath: chromium.executable, args: [...flags, ...more] })
}
