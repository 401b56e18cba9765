/** `holdfast health` as a container runs it: one line, and an exit code. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { askHealth } from '../../src/cli/health.ts'
import { health } from '../../src/health.ts'
import { rig } from '../small-talk.ts'
import { holdfast } from './run.ts'

const ending: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

const bot = async (): Promise<{ url: string; hold: () => void }> => {
  const { link, clock, live, end } = rig({ id: 'qq-main' })
  await live()
  const server = await health({ links: [link], clock }).listen({ port: 0 })
  ending.push(server.close, end)
  return { url: server.url, hold: () => link.hold() }
}

/** A server that is none of ours. */
const stranger = async (status: number, body: string | undefined): Promise<string> => {
  const server = createServer((_request, response) => {
    response.writeHead(status)
    if (body !== undefined) response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ending.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('one line', () => {
  test('0 when it is ready, 1 when it is not, in English and in Chinese', async () => {
    const { url, hold } = await bot()
    const ready = await holdfast('health', url)
    expect(ready).toMatchObject({ exitCode: 0, err: '' })
    expect(ready.out).toMatch(/^READY {2}qq-main is live for \d+\.\d\d s {2}\(HTTP 200\)\n$/)
    hold()
    const held = await holdfast('health', `${url}/readyz`)
    expect(held.exitCode).toBe(1)
    expect(held.out).toMatch(
      /^NOT READY {2}qq-main is parked for .* s: held\. Next: nothing, until .* {2}\(HTTP 503\)\n$/,
    )
    const chinese = await holdfast('health', url, '--lang', 'zh')
    expect(chinese.out).toMatch(/^未就绪 {2}qq-main 处于 parked 已 .* s：held。接下来：/)
    const alive = await holdfast('health', `${url}/livez`)
    expect(alive).toMatchObject({ exitCode: 0, out: 'READY  (HTTP 200)\n' })
  })

  test('--json is the report as it came, with what was asked', async () => {
    const { url } = await bot()
    const { out, exitCode } = await holdfast('health', url, '--json')
    expect(exitCode).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      url: `${url}/readyz`,
      exitCode: 0,
      status: 200,
      detail: null,
      report: { ready: true, state: 'live' },
    })
  })

  test('2 where nobody answers in time', async () => {
    const silent = await stranger(200, undefined)
    const late = await holdfast('health', silent, '--timeout', '0.3')
    expect(late).toMatchObject({ exitCode: 2, err: '' })
    expect(late.out).toBe(`NO ANSWER  no answer within 0.30 s  (${silent}/readyz)\n`)
  })
})

describe('in this process', () => {
  const asked = async (url: string, json = false) => {
    const written: string[] = []
    const out = { write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream
    const exitCode = await askHealth({ url, timeoutMs: 3_000, json, language: 'en' }, out, (_style, text) => text)
    return { exitCode, out: written.join('') }
  }

  test('2 where nobody listens, and why', async () => {
    const url = await stranger(200, '')
    for (const end of ending.splice(0)) await end()
    const { exitCode, out } = await asked(`${url}/?key=abcd`, true)
    expect(exitCode).toBe(2)
    const { detail, ...told } = JSON.parse(out)
    expect(told).toEqual({ url: `${url}/readyz?key=***`, exitCode: 2, status: null, report: null })
    expect(detail).toContain('ECONNREFUSED')
  })

  test('a password in the URL is refused, and not repeated', async () => {
    const refused = asked('http://bot:hunter22@127.0.0.1/')
    await expect(refused).rejects.toThrow('http://127.0.0.1/: leave out the user and the password')
  })

  const report = { ready: false, of: null, state: 'absent', since: null, reason: 'absent', next: 'wait', at: 0 }

  test.each([
    ['no JSON', 200, 'fine', 0, 'READY  (HTTP 200)\n'],
    ['a page', 404, '<html>', 1, 'NOT READY  (HTTP 404)\n'],
    ['elsewhere', 302, '', 1, 'NOT READY  (HTTP 302)\n'],
    ['JSON of its own', 503, '{"ready":false,"state":"down"}', 1, 'NOT READY  (HTTP 503)\n'],
    ['no link', 503, JSON.stringify(report), 1, 'NOT READY  a link is absent. Next: wait  (HTTP 503)\n'],
    [
      'what a terminal would obey',
      503,
      JSON.stringify({ ...report, of: '\u001b[2Jbot', reason: 'x\ny' }),
      1,
      'NOT READY  [2Jbot is absent: x y. Next: wait  (HTTP 503)\n',
    ],
  ])('an answer with %s', async (_what, status, body, exitCode, out) => {
    expect(await asked(await stranger(status, body))).toEqual({ exitCode, out })
  })
})

describe('64, with nothing printed but what is wrong', () => {
  test.each([
    ['no URL', [], 'Say which bot'],
    ['another scheme', ['ws://127.0.0.1:1/'], 'ws://127.0.0.1:1/ is no http:// or https:// URL'],
    ['a time that is none', ['http://a', '--timeout', 'soon'], '--timeout soon: it must be a number of seconds'],
  ])('%s', async (_what, args, words) => {
    const { exitCode, out, err } = await holdfast('health', ...args)
    expect({ exitCode, out }).toEqual({ exitCode: 64, out: '' })
    expect(err).toContain(words)
  })
})
