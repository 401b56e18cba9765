/** `npm run docs` writes the generated pages; with --check it changes nothing and fails if a page is out of date. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { loadTypeScript, root } from './setup.mjs'

const unknown = process.argv.slice(2).filter((argument) => argument !== '--check')
if (unknown.length > 0) {
  console.error(`docs: unknown argument ${unknown.join(' ')}; the only one is --check`)
  process.exit(64)
}
const check = process.argv.includes('--check')

const current = (path) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

const { pages } = await loadTypeScript('scripts/pages.ts')
let stale = 0
for (const [name, text] of Object.entries(await pages(root))) {
  const path = join(root, name)
  const before = current(path)
  if (before === text) continue
  if (check) {
    stale++
    console.error(`${name} ${before === undefined ? 'is missing' : 'differs from the code'}: run npm run docs`)
    continue
  }
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  console.log(`wrote ${name}`)
}
if (check && stale === 0) console.log('docs: up to date')
process.exitCode = stale > 0 ? 1 : 0
