/** The file of a hand-over: kept whole or not at all, taken once, and not believed when it is damaged or not ours. */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { checkHandOver, type HandOver, loadHandOver, saveHandOver } from '../src/hand-over.ts'

const scratch = fs.mkdtempSync(join(tmpdir(), 'holdfast-hand-over-'))
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }))
const freshDir = () => fs.mkdtempSync(join(scratch, 'd-'))
const freshFile = () => join(freshDir(), 'bot.handover')

const SECRET = 'canary-session-0123456789'
const WALL = 1_795_210_880_964
const handOver: HandOver = {
  version: 1,
  adapter: 'satori',
  id: 'bot',
  at: WALL,
  session: { id: SECRET, endpoint: 'wss://peer.test/', cursor: '41:abc' },
  outbox: [
    {
      key: 'k1',
      message: { content: '你好 \ud800\u2028', list: [1, null, true] },
      expiresAt: WALL + 1,
      idempotent: true,
    },
    { key: 'k2', message: 'hi', expiresAt: WALL, conversation: '200', coalesceKey: 'c', idempotent: false },
  ],
  budget: { starts: [1, 2] },
}

const load = async (file: string) => {
  const warnings: string[] = []
  const loaded = await loadHandOver(file, { warn: (message) => warnings.push(message) })
  return { loaded, warnings }
}
const saved = async (file = freshFile()) => {
  await saveHandOver(file, handOver)
  return file
}

describe('a hand-over', () => {
  test('is kept as it is, by mode 0600, with nothing beside it', async () => {
    const dir = join(freshDir(), 'deep', 'er')
    const file = await saved(join(dir, 'bot.handover'))
    expect(fs.readdirSync(dir)).toEqual(['bot.handover'])
    expect(fs.statSync(file).mode & 0o777).toBe(0o600)
    expect(fs.statSync(dir).mode & 0o777).toBe(0o700)
    expect(await load(file)).toEqual({ loaded: handOver, warnings: [] })
  })

  test('is gone once it was loaded; where there is none there is nothing to warn of', async () => {
    const file = await saved()
    await load(file)
    expect(fs.readdirSync(join(file, '..'))).toEqual([])
    expect(await load(file)).toEqual({ loaded: undefined, warnings: [] })
    expect(await load(join(file, 'no', 'folder'))).toEqual({ loaded: undefined, warnings: [] })
  })

  test('goes to one of two successors alone', async () => {
    for (let round = 0; round < 20; round++) {
      const file = await saved()
      const all = await Promise.all(Array.from({ length: 8 }, () => load(file)))
      expect(all.filter(({ loaded }) => loaded)).toHaveLength(1)
      expect(all.flatMap(({ warnings }) => warnings)).toEqual([])
    }
  })

  test('replaces the one before it, whatever that has become', async () => {
    const file = freshFile()
    fs.writeFileSync(file, 'damaged')
    await saved(file)
    expect(await load(file)).toMatchObject({ loaded: { id: 'bot' } })
  })
})

const digest = (text: string) => createHash('sha256').update(text).digest('hex')
/** A file whose seal is right, whatever it says. */
const sealedText = (content: string) => `{"holdfast":"hand-over","check":"${digest(content)}"}\n${content}\n`
const sealed = (more: object) => sealedText(JSON.stringify({ ...handOver, ...more }))
const first = handOver.outbox[0]!
const half = (text: string) => text.slice(0, text.length / 2)

/** What may have become of a file that begins like one of ours: such a file is deleted. */
const damages: [string, (text: string) => string][] = [
  ['cut in the middle', half],
  ['cut in its first line', (text) => text.slice(0, 40)],
  ['without its last byte', (text) => text.slice(0, -1)],
  ['without its last two bytes', (text) => text.slice(0, -2)],
  ['half zeros', (text) => half(text).padEnd(text.length, '\0')],
  ['one digit changed', (text) => text.replace('"expiresAt":1', '"expiresAt":2')],
  ['one letter changed', (text) => text.replace('"hi"', '"ho"')],
  ['another seal', (text) => text.replace(/"check":"\w/, '"check":"x')],
  ['no seal', (text) => text.replace(/,"check":"\w+"/, '')],
  ['a seal that is a number', (text) => text.replace(/"check":"\w+"/, '"check":7')],
  ['one line', (text) => text.replaceAll('\n', ' ')],
  ['twice the same', (text) => text + text],
  ['something behind it', (text) => `${text}x`],
  ['a mark of Windows', (text) => text.replaceAll('\n', '\r\n')],
  ['sealed garbage', () => sealedText('garbage')],
  ['sealed nothing', () => sealedText('')],
  ['sealed null', () => sealedText('null')],
  ['a sealed array', () => sealedText('[]')],
  ['deeply nested', () => sealedText('['.repeat(100_000))],
  ['deeply nested data', () => sealed({ budget: JSON.parse(`${'['.repeat(500)}${']'.repeat(500)}`) })],
  ['a later version', () => sealed({ version: 2 })],
  ['no version', () => sealed({ version: undefined })],
  ['an adapter that is no name', () => sealed({ adapter: '' })],
  ['an id that is a number', () => sealed({ id: 7 })],
  ['a time that is text', () => sealed({ at: '2026' })],
  ['a time that is null (NaN)', () => sealed({ at: Number.NaN })],
  ['a time before 1970', () => sealed({ at: -1 })],
  ['no session', () => sealed({ session: undefined })],
  ['a session that is a list', () => sealed({ session: [] })],
  ['a session id that is an object', () => sealed({ session: { id: {} } })],
  ['a cursor that is an object', () => sealed({ session: { cursor: { sn: SECRET } } })],
  ['an endpoint that is a number', () => sealed({ session: { endpoint: 7 } })],
  ['an outbox that is no list', () => sealed({ outbox: { length: 1 } })],
  ['a message that is none', () => sealed({ outbox: [null] })],
  ['a message without a key', () => sealed({ outbox: [{ ...first, key: undefined }] })],
  ['a message of nothing', () => sealed({ outbox: [{ ...first, message: undefined }] })],
  ['a message that never expires', () => sealed({ outbox: [{ ...first, expiresAt: Number.POSITIVE_INFINITY }] })],
  ['a conversation that is a number', () => sealed({ outbox: [{ ...first, conversation: 7 }] })],
  ['a message that may be idempotent', () => sealed({ outbox: [{ ...first, idempotent: 'yes' }] })],
  ['a key that comes twice', () => sealed({ outbox: [first, first] })],
  ['bigger than any of ours', (text) => text + ' '.repeat(64 * 1024 * 1024)],
]

/** What stands there and is not recognised as ours: it is left as it is. */
const strangers: [string, (text: string) => string][] = [
  ['empty', () => ''],
  ['zeros, as after a power cut', (text) => '\0'.repeat(text.length)],
  ['without its first byte', (text) => text.slice(1)],
  ['a space before it', (text) => ` ${text}`],
  ['of another program', () => '{"name":"my-bot","version":"1.0.0"}'],
  ['HTML', () => '<!doctype html><title>404</title>'],
  ['null', () => 'null'],
  ['a byte-order mark before it', (text) => `\ufeff${text}`],
]

describe('a file that cannot be used', () => {
  test(`T15 ${damages.length} kinds of damage: none is thrown, none is used, all are deleted with a warning`, async () => {
    expect(damages.length).toBeGreaterThanOrEqual(30)
    for (const [name, damage] of damages) {
      const file = await saved()
      const text = fs.readFileSync(file, 'utf8')
      const damaged = damage(text)
      expect(damaged, name).not.toBe(text)
      fs.writeFileSync(file, damaged)
      const { loaded, warnings } = await load(file)
      expect(loaded, name).toBeUndefined()
      expect(warnings, name).toEqual([expect.stringContaining(`The hand-over ${file} is not used and was deleted: `)])
      expect(warnings[0], name).not.toContain(SECRET)
      expect(fs.readdirSync(join(file, '..')), name).toEqual([])
    }
  })

  test('T15 any single changed byte is noticed', async () => {
    const file = await saved()
    const bytes = fs.readFileSync(file)
    for (let at = 0; at < bytes.length; at += 3) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= 1 << (at % 8)
      fs.writeFileSync(file, changed, { mode: 0o600 })
      const { loaded, warnings } = await load(file)
      expect([loaded, warnings.length], `byte ${at}`).toEqual([undefined, 1])
    }
  })

  test.each(strangers)('%s: it may be anybody’s, so it is left as it is', async (_name, make) => {
    const file = await saved()
    const text = make(fs.readFileSync(file, 'utf8'))
    fs.writeFileSync(file, text)
    expect(await load(file)).toEqual({
      loaded: undefined,
      warnings: [`The hand-over ${file} is not used and was left as it is: it is not one of ours.`],
    })
    expect(fs.readFileSync(file, 'utf8')).toBe(text)
  })

  test.each([
    0o644, 0o660, 0o640, 0o604,
  ])('mode %o: others could have changed it; it waits for who trusts it', async (mode) => {
    const file = await saved()
    fs.chmodSync(file, mode)
    const { loaded, warnings } = await load(file)
    expect([loaded, warnings]).toEqual([
      undefined,
      [expect.stringMatching(/its mode is 06\d\d, .* set the mode to 0600/)],
    ])
    fs.chmodSync(file, 0o600)
    expect(await load(file)).toEqual({ loaded: handOver, warnings: [] })
  })

  test('a folder and a symbolic link are no files of ours', async () => {
    const dir = freshDir()
    const link = join(dir, 'link')
    fs.symlinkSync(await saved(), link)
    for (const file of [dir, link]) {
      const { loaded, warnings } = await load(file)
      expect([loaded, warnings]).toEqual([undefined, [expect.stringContaining('it is not a regular file')]])
    }
    expect(fs.existsSync(link)).toBe(true)
  })

  test('is told on the console, unless somebody else wants to know', async () => {
    const file = freshFile()
    fs.writeFileSync(file, 'x', { mode: 0o600 })
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    expect(await loadHandOver(file)).toBeUndefined()
    expect(await warned).toMatchObject({ name: 'HoldfastWarning', message: expect.stringContaining('not one of ours') })
  })
})

describe('saving', () => {
  const wrong: [unknown, RegExp][] = [
    [undefined, /^the hand-over is undefined; it must be an object/],
    [{ ...handOver, version: 2 }, /^version is the number 2; it must be the number 1/],
    [
      { ...handOver, outbox: [{ ...first, message: { at: new Date(0) } }] },
      /outbox\[0\]\.message is an object; .*plain/,
    ],
    [{ ...handOver, outbox: [{ ...first, message: new Map() }] }, /plain data/],
    [{ ...handOver, outbox: [{ ...first, message: [undefined] }] }, /outbox\[0\]\.message is an array; .*plain/],
    [{ ...handOver, outbox: [{ ...first, message: () => 1 }] }, /outbox\[0\]\.message is a function/],
    [{ ...handOver, outbox: [{ ...first, message: 10n }] }, /is a bigint/],
    [{ ...handOver, outbox: [{ ...first, message: { toJSON: () => 1 } }] }, /plain data/],
    [{ ...handOver, budget: Number.NaN }, /budget is the number NaN/],
  ]
  test.each(wrong)('refuses what would not come back as it was: %#', async (given, problem) => {
    const file = freshFile()
    await expect(saveHandOver(file, given as HandOver)).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringMatching(problem),
    })
    expect(fs.readdirSync(join(file, '..'))).toEqual([])
  })

  test('refuses a circle, and says how deep is too deep', async () => {
    const circle: unknown[] = []
    circle.push(circle)
    await expect(saveHandOver(freshFile(), { ...handOver, budget: circle })).rejects.toThrow(/at most 64 levels deep/)
  })

  test('says which file could not be kept and why, and leaves nothing behind', async () => {
    const dir = freshDir()
    fs.writeFileSync(join(dir, 'file'), '')
    await expect(saveHandOver(join(dir, 'file', 'x'), handOver)).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(/file\/x could not be kept: (ENOTDIR|EEXIST)\.$/),
      cause: expect.any(Error),
    })
    fs.mkdirSync(join(dir, 'taken', 'in'), { recursive: true })
    await expect(saveHandOver(join(dir, 'taken'), handOver)).rejects.toMatchObject({ code: 'store-failed' })
    expect(fs.readdirSync(dir).sort()).toEqual(['file', 'taken'])
    const huge = { ...handOver, budget: 'x'.repeat(64 * 1024 * 1024) }
    await expect(saveHandOver(join(dir, 'huge'), huge)).rejects.toThrow(/at most 67108864 are read/)
  })

  test.each(['', 7, undefined])('refuses %j as a path', async (file) => {
    await expect(saveHandOver(file as string, handOver)).rejects.toMatchObject({ code: 'bad-option' })
    await expect(loadHandOver(file as string)).rejects.toMatchObject({ code: 'bad-option' })
  })
})

test('checkHandOver() gives back what is one, and names what is wrong without repeating it', () => {
  expect(checkHandOver(handOver)).toBe(handOver)
  const bare = { version: 1, adapter: 'a', id: 'b', at: 0, session: {}, outbox: [] }
  expect(checkHandOver(bare)).toBe(bare)
  const check = () => checkHandOver({ ...handOver, session: { cursor: [SECRET] } })
  expect(check).toThrow('session.cursor is an array; it must be a string or a number.')
})
