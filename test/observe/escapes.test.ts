/** T8: what a peer must not do to a terminal. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { replay } from '../../src/cli/replay.ts'
import { draw, top } from '../../src/cli/top.ts'
import { Picture } from '../../src/cli/view.ts'
import { watch } from '../../src/cli/watch.ts'
import { inspect } from '../../src/observe/inspect/index.ts'
import { openTrace } from '../../src/observe/trace-file.ts'
import { FakeLink } from './fake-link.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-secrets-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A stream that keeps what is written. */
const paper = () => {
  const sheets: string[] = []
  const out = {
    isTTY: false,
    columns: 100,
    write: (text: string) => sheets.push(text) > 0,
  } as unknown as NodeJS.WriteStream
  return { out, text: () => sheets.join('') }
}
const plain = (_style: unknown, text: string) => text

/** What terminals obey, and what makes a line say something else than it does. */
const ESCAPES = [
  '\x1b[2J',
  '\x1b[31m',
  '\x1b[1;1H',
  '\x1b[?1049l',
  '\x1b[6n',
  '\x1b[5i',
  '\x1b]0;title\x07',
  '\x1b]52;c;cm0gLXJm\x07',
  '\x1b]8;;http://evil\x1b\\',
  '\x1bPq#0\x1b\\',
  '\x1b_Gf=24\x1b\\',
  '\x1b^pm\x1b\\',
  '\x1bc',
  '\x1b7',
  '\x1b(0',
  '\x9b2J',
  '\x9d0;title\x9c',
  '\x90q\x9c',
  '\x85',
  '\r\n',
  '\r',
  '\n',
  '\x08\x08\x08',
  '\x07',
  '\x00',
  '\x7f',
  '\u2028',
  '\u2029',
  '\u202eevil',
  '\u2066evil\u2069',
  '\u200f',
  '\u061c',
]
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/

test('T8 thirty texts that a terminal would obey arrive as words in top, watch and replay', async () => {
  expect(ESCAPES.length).toBeGreaterThanOrEqual(30)
  const trace = join(folder, 'escapes.hf.ndjson')
  const links = ESCAPES.map((code, i) => {
    const link = new FakeLink(`bot-${i}${code}x`)
    link.go('backoff', {
      event: `e${code}x`,
      reason: `r${code}x`,
      fault: { code: 'refused', detail: `d${code}x` },
      detail: `d${code}x`,
    })
    return link
  })
  const file = openTrace(trace)
  for (const link of links) for (const record of link.recording.kept) file.add(record)
  await file.close()
  const inspector = await inspect(links.map(({ asLink }) => asLink))
  const sheets = [paper(), paper(), paper()] as const
  const common = { url: inspector.url, once: true, json: false, language: 'en' } as const
  await top({ ...common, plain: true }, sheets[0].out, plain)
  await watch({ ...common, id: undefined }, sheets[1].out, plain)
  await replay(
    { file: trace, speed: 0, json: false, link: undefined, chrome: undefined, language: 'en' },
    sheets[2].out,
    () => undefined,
    plain,
  )
  for (const { text } of sheets) {
    expect(OBEYED.exec(text())?.[0]).toBeUndefined()
    expect(text()).toContain('bot-1')
  }
  // one line for each transition: none of them begins a line of its own
  expect(sheets[2].text().trim().split('\n')).toHaveLength(ESCAPES.length)
  await inspector.close()
})

test('no line of top is wider than the terminal, whatever the links are called', () => {
  const picture = new Picture()
  picture.hear({
    t: 'hello',
    protocol: 'holdfast-inspect/1',
    version: '9.9.9',
    states: ['live', 'parked'],
    arrows: [],
    deadlines: {},
    faults: [],
    now: 0,
    control: false,
    labFaults: [],
  })
  const rows = Array.from(
    { length: 100 },
    (_, i) => [i, '群机器人'.repeat(i), 'fake', i % 2, 0, i, -1, 1.5, -1] as const,
  )
  picture.hear({ t: 'snap', rows, more: false })
  for (const columns of [20, 40, 80, 200]) {
    const lines = draw(picture, columns, 24, 'zh', plain)
    expect(lines.length).toBeLessThanOrEqual(24)
    const width = (line: string) => [...line].reduce((sum, char) => sum + (char > '\u2e80' ? 2 : 1), 0)
    for (const line of lines) expect(width(line), line).toBeLessThanOrEqual(columns)
    // the worst first
    expect(lines[4]).toContain('parked')
  }
})

test('what the chart would show of a link is what the picture adds up to', () => {
  const picture = new Picture()
  picture.hear({
    t: 'snap',
    rows: [
      [0, 'a', 'x', 0, 1, 1, -1, -1, -1],
      [1, 'b', 'x', 0, 1, 1, -1, -1, -1],
    ],
    more: true,
  })
  expect(picture.isWhole).toBe(false)
  picture.hear({ t: 'snap', rows: [], more: false })
  picture.hear({
    t: 'delta',
    at: 2,
    changes: [
      [0, 4, 2, 3, 5, 7, 9],
      [99, 1, 1, 1, 1, 1, 1],
    ],
    added: [[2, 'c', 'y', 1, 1, 1, -1, -1, -1]],
    gone: [1],
  })
  expect([...picture.rows.values()]).toEqual([
    [0, 'a', 'x', 4, 2, 3, 5, 7, 9],
    [2, 'c', 'y', 1, 1, 1, -1, -1, -1],
  ])
})
