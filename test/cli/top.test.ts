/** `holdfast top` and `holdfast watch` on a running inspector, as people and scripts have them. */
import { afterEach, describe, expect, test } from 'vitest'
import { type Inspector, inspect } from '../../src/observe/inspect/index.ts'
import { FakeLink, fakeFleet } from '../observe/fake-link.ts'
import { holdfast } from './run.ts'
import { hasTerminal, terminal } from './terminal.ts'

const ending: Inspector[] = []
afterEach(async () => {
  for (const inspector of ending.splice(0)) await inspector.close()
})

const start = async (...links: FakeLink[]) => {
  const inspector = await inspect(fakeFleet(...links))
  ending.push(inspector)
  return inspector
}

const many = (count: number) =>
  Array.from({ length: count }, (_, i) => {
    const link = new FakeLink(`bot-${i}`, Date.now())
    link.go(i === 7_777 % count ? 'parked' : 'live')
    return link
  })

// biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal obeys
const CODES = /\u001b\[[0-9;?]*[a-zA-Z]/g
/** The pictures that `top` drew, one after the other, as lines. */
const pictures = (text: string) =>
  text
    .split('\u001b[H')
    .slice(1)
    .map((picture) => picture.replace(CODES, '').split(/\r*\n/))

describe('in a pipe', () => {
  test('top --once draws one picture, the worst first, and --json the same as data', async () => {
    const { url } = await start(...many(10_000))
    const { out, err, exitCode } = await holdfast('top', url, '--once')
    expect({ err, exitCode }).toEqual({ err: '', exitCode: 0 })
    const lines = out.trimEnd().split('\n')
    expect(lines[0]).toMatch(/10000 links/)
    expect(lines[1]).toBe('■ 1 parked   ● 9999 live')
    expect(lines[4]).toMatch(/^■ parked .* bot-7777 \(fake\)/)
    expect(lines.at(-1)).toMatch(/^… \d+ more$/)
    expect(out).not.toMatch(CODES)
    const json = JSON.parse((await holdfast('top', url, '--once', '--json')).out)
    expect(json).toMatchObject({ links: 10_000, states: { parked: 1, live: 9_999 } })
    expect(json.worst[0]).toMatchObject({ id: 'bot-7777', state: 'parked', fault: null })
  })

  test('watch --once tells what is kept of a link, and how much is not', async () => {
    const link = new FakeLink('qq-main', 1_000_000, 4)
    for (let i = 0; i < 10; i++) link.go(i % 2 === 0 ? 'backoff' : 'live')
    const { url } = await start(link, new FakeLink('other'))
    const { out, exitCode } = await holdfast('watch', url, 'qq-main', '--once')
    expect(exitCode).toBe(0)
    const lines = out.trimEnd().split('\n')
    expect(lines[0]).toBe('… 6 transitions of qq-main before this are not kept')
    expect(lines).toHaveLength(1 + 4 + 1)
    expect(lines.at(-1)).toMatch(/^qq-main is live/)
    const json = await holdfast('watch', url, 'qq-main', '--once', '--json')
    expect(JSON.parse(json.out.split('\n')[0]!)).toEqual({ link: 'qq-main', notKept: 6 })
  })

  test.each(['top', 'watch'])('%s: a wrong URL, a wrong token, an inspector that is not there', async (command) => {
    const inspector = await start(new FakeLink('a'))
    const { url } = inspector
    expect(await holdfast(command, url.replace(/#.*/, ''))).toMatchObject({ exitCode: 64, out: '' })
    expect(await holdfast(command, 'nonsense')).toMatchObject({ exitCode: 64, out: '' })
    const wrong = await holdfast(command, `${url.slice(0, -4)}AAAA`)
    expect(wrong).toMatchObject({ exitCode: 1, err: 'The inspector is gone: the first message must be the token.\n' })
    ending.splice(0)
    await inspector.close()
    const gone = await holdfast(command, url)
    expect(gone.exitCode).toBe(1)
    expect(gone.err).toMatch(/^The inspector is gone: .*ECONNREFUSED/)
  })

  test('watch: no such link', async () => {
    const { url } = await start(new FakeLink('a'))
    expect(await holdfast('watch', url, 'b')).toMatchObject({
      exitCode: 64,
      err: 'The inspector has no link "b".\n',
    })
  })
})

describe.skipIf(!hasTerminal)('in a terminal', () => {
  test('top draws on a screen of its own, as wide and high as the terminal becomes, and gives it back', async () => {
    const links = many(10_000)
    const { url } = await start(...links)
    const { text, press, ended } = await terminal(['top', url], {
      columns: 70,
      rows: 20,
      resizeTo: { columns: 30, rows: 8 },
    })
    await expect.poll(() => pictures(text()).at(-1)?.join('\n') ?? '', { timeout: 10_000 }).toContain('10000 links')
    await expect.poll(() => pictures(text()).at(-1)!.length, { timeout: 10_000 }).toBeLessThanOrEqual(8)
    const last = pictures(text()).at(-1)!
    for (const line of last) expect(line.length, line).toBeLessThanOrEqual(30)
    expect(text()).toContain('\u001b[31m')
    // what happens is seen
    links[5]!.go('backoff', { fault: { code: 'refused' }, delayMs: 900 })
    await expect.poll(() => pictures(text()).at(-1)!.join('\n'), { timeout: 5_000 }).toContain('○ backoff')
    press('q')
    expect(await ended).toBe(0)
    expect(text().startsWith('\u001b[?1049h\u001b[?25l')).toBe(true)
    expect(text().trimEnd().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true)
  })

  test('top without colour, and an inspector that goes away: the screen is given back, and the reason is on it', async () => {
    const inspector = await start(new FakeLink('a'))
    const { text, ended } = await terminal(['top', inspector.url], { env: { NO_COLOR: '1' } })
    await expect.poll(text, { timeout: 10_000 }).toContain('1 links')
    ending.splice(0)
    await inspector.close()
    expect(await ended).toBe(1)
    expect(text()).not.toContain('\u001b[3')
    expect(text()).toContain('\u001b[?1049lThe inspector is gone: the inspector was closed.')
  })

  test('watch follows a link until q, and then says where it is', async () => {
    const link = new FakeLink('qq-main', Date.now())
    link.go('connecting', { event: 'endpoint.resolved' })
    const { url } = await start(link)
    const { text, press, ended } = await terminal(['watch', url, 'qq-main'])
    await expect.poll(text, { timeout: 10_000 }).toContain('endpoint.resolved')
    link.go('backoff', { event: 'transport.lost', fault: { code: 'refused', detail: 'ECONNREFUSED' }, delayMs: 60_000 })
    await expect.poll(text, { timeout: 5_000 }).toContain('next dial in 60.0 s')
    press('q')
    expect(await ended).toBe(0)
    expect(text().replace(CODES, '')).toMatch(/qq-main is waiting before the next dial/)
  })
})
