/** Every link of the docs leads somewhere, and every page is reached from the README. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

const READMES = ['README.md', 'README.zh-CN.md']
const docs = readdirSync('docs', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => join('docs', name))

/** What a heading is called in a link, as the usual readers of Markdown have it. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')

const anchorsOf = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!))

const linksOf = (file: string) =>
  [...readFileSync(file, 'utf8').matchAll(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)/g)].map(([, path, anchor]) => ({
    to: path ? normalize(join(dirname(file), path)) : file,
    anchor,
  }))

test.each([...READMES, ...docs])('%s: every link leads to a file and a heading that are there', (file) => {
  const links = linksOf(file)
  expect(links.filter(({ to }) => !existsSync(to))).toEqual([])
  const lost = links.filter(({ to, anchor }) => anchor !== undefined && !anchorsOf(to).includes(anchor))
  expect(lost).toEqual([])
})

describe('from the README', () => {
  test.each(READMES)('%s leads to every page, directly or over another one', (readme) => {
    const reached = new Set([readme])
    for (const page of reached) {
      for (const { to } of linksOf(page)) if (to.endsWith('.md')) reached.add(to)
    }
    expect(docs.filter((page) => !reached.has(page))).toEqual([])
  })
})
