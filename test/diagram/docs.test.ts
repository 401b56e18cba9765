import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pages } from '../../scripts/pages.ts'

const root = join(import.meta.dirname, '../..')

const written = await pages()

test.each(Object.entries(written))('%s is what the code says', (name, text) => {
  expect(readFileSync(join(root, name), 'utf8'), 'run npm run docs').toBe(text)
})

test('two runs write the same', async () => {
  expect(await pages()).toEqual(written)
})

describe('npm run docs', () => {
  // A copy of its own, so that a test never changes the pages that others read.
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-docs-'))
  const docs = (...args: string[]) =>
    spawnSync(process.execPath, [join(folder, 'scripts/docs.mjs'), ...args], { encoding: 'utf8' })

  beforeAll(() => {
    cpSync(join(root, 'scripts'), join(folder, 'scripts'), { recursive: true })
    for (const name of ['src', 'machines', 'node_modules', 'package.json', 'tsconfig.json']) {
      symlinkSync(join(root, name), join(folder, name))
    }
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('writes the pages, and then finds nothing to do', () => {
    expect(docs().stdout).toBe(
      Object.keys(written)
        .map((name) => `wrote ${name}\n`)
        .join(''),
    )
    expect(docs()).toMatchObject({ status: 0, stdout: '' })
    expect(docs('--check')).toMatchObject({ status: 0, stderr: '' })
  })

  test('--check names the page that differs or is missing, fails, and changes nothing', () => {
    docs()
    const edited = join(folder, 'docs/faults.md')
    writeFileSync(edited, 'by hand')
    rmSync(join(folder, 'docs/link.svg'))
    const { status, stderr } = docs('--check')
    expect(status).toBe(1)
    expect(stderr).toContain('docs/faults.md differs from the code')
    expect(stderr).toContain('docs/link.svg is missing')
    expect(stderr).not.toContain('link.md')
    expect(readFileSync(edited, 'utf8')).toBe('by hand')
  })

  test('an argument that it does not know is refused', () => {
    expect(docs('--cheque')).toMatchObject({ status: 64, stdout: '' })
  })
})
