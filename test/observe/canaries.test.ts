/** T1: twelve secrets of links, told back by their peers, on every way out of the process. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect as printed } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { merge } from 'rxjs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { onebot } from '../../src/adapter/onebot.ts'
import { doctor } from '../../src/cli/doctor.ts'
import { hold } from '../../src/cli/hold.ts'
import { replay } from '../../src/cli/replay.ts'
import { top } from '../../src/cli/top.ts'
import { watch } from '../../src/cli/watch.ts'
import { fileStore } from '../../src/file-store.ts'
import { type Fleet, fleet } from '../../src/fleet.ts'
import { loadHandOver, saveHandOver } from '../../src/hand-over.ts'
import { health } from '../../src/health.ts'
import type { Link } from '../../src/link.ts'
import { type Inspector, inspect } from '../../src/observe/inspect/index.ts'
import { stately } from '../../src/observe/stately.ts'
import { traceTo } from '../../src/observe/trace.ts'
import { canaries, formsOf, type Parrot, startParrot } from './canaries.ts'
import { connectClient } from './viewer-client.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-canaries-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A stream that keeps what is written. */
const paper = () => {
  const sheets: string[] = []
  const write = (text: string) => sheets.push(text) > 0
  return { out: { isTTY: false, columns: 200, write } as unknown as NodeJS.WriteStream, text: () => sheets.join('') }
}
const plain = (_style: unknown, text: string) => text

/** What a command prints. */
const print = async (command: (out: NodeJS.WriteStream) => Promise<unknown>): Promise<string> => {
  const { out, text } = paper()
  await command(out)
  return text()
}

const filesIn = (dir: string): string =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n')

/** Lives through every telling of the peer: a call that is refused, a message that is, and a transport that is closed. */
const hearAll = async (link: Link, parrot: Parrot, wrong: unknown[]): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) {
    link.retry()
    await link.ready()
    wrong.push(await link.call('get_status').catch((error: unknown) => error))
    wrong.push(await link.send({ action: 'send_msg', params: {} }))
    void link.send({ action: 'bye', params: {} })
    await expect.poll(() => link.status.state, { timeout: 10_000 }).toBe('backoff')
  }
  expect(parrot.told(), 'tellings of the peer').toBe(10)
}

/** What a viewer is told: everything, of every link. */
const streamed = async ({ url }: Inspector): Promise<string> => {
  const client = await connectClient(url)
  const { rows } = await client.until('snap')
  client.say({ t: 'sub', indexes: rows.map(([index]) => index) })
  await client.until('history', ({ index }) => index === rows.at(-1)![0])
  await client.until('agg')
  client.socket.terminate()
  return JSON.stringify(client.heard)
}

test('T1 twelve canaries over fifteen sinks and more: none of them sees one', async () => {
  const parrot = await startParrot()
  const warnings: string[] = []
  const warned = (warning: Error) => warnings.push(`${warning.stack} ${(warning as { detail?: string }).detail}`)
  process.on('warning', warned)
  const lines: string[] = []
  const logger = { info: lines.push.bind(lines), warn: lines.push.bind(lines), error: lines.push.bind(lines) }
  const plainTrace = join(folder, 'all.hf.ndjson')
  const packedTrace = join(folder, 'all.hf.ndjson.gz')
  const storeDir = join(folder, 'store')
  const messages: object[] = []
  const wrong: unknown[] = []

  const held: Fleet = fleet({ trace: plainTrace, logger: logger as never })
  const packed = traceTo(packedTrace, held)
  const { url, token, proxy } = parrot
  const link = held.add(onebot({ url, accessToken: token }), { id: 'bot', store: fileStore(storeDir) }) as Link
  const everything: unknown[] = []
  const listen = (each: Link) => {
    const { state$, transitions$, outages$, settled$, continuity$ } = each
    merge<unknown[]>(state$, transitions$, outages$, settled$, continuity$).subscribe((value) => everything.push(value))
    stately([each], { send: (message) => messages.push(message), details: true })
  }
  listen(link)
  const inspector = await inspect(held)
  await hearAll(link, parrot, wrong)
  const behind = held.add(onebot({ url, accessToken: token }), { id: 'behind', proxy }) as Link
  listen(behind)
  // somebody's own code, with the secrets in its words
  link.state$.subscribe(() => {
    throw new Error(`${Object.values(canaries).slice(0, 10)} and ${encodeURIComponent(canaries.token)}`)
  })
  await expect.poll(() => behind.status.state).toMatch(/^(backoff|parked)$/)
  await expect.poll(() => parrot.told()).toBe(12)
  wrong.push(await behind.ready({ signal: AbortSignal.timeout(1) }).catch((error: unknown) => error))

  const common = { url: inspector.url, once: true, language: 'en' } as const
  const replayed = { file: plainTrace, speed: 0, link: undefined, chrome: undefined, language: 'zh' } as const
  const chromeFile = join(folder, 'chrome.json')
  const asked = { url, adapter: 'onebot', token, platform: undefined, language: 'en' } as const
  const { readyz, check, fetch: answer } = health({ links: held })
  expect(readyz).toBeTypeOf('function')
  const errors = wrong.filter((each): each is Error => each instanceof Error)
  expect(errors.length).toBeGreaterThanOrEqual(11)
  const store = filesIn(storeDir)

  const sinks: Record<string, string> = {
    logger: lines.join('\n'),
    'inspector, WebSocket': await streamed(inspector),
    'trace file': readFileSync(plainTrace, 'utf8'),
    'status and recording as JSON': JSON.stringify(
      [link, behind].map(({ status, recording, stats }) => [status, recording, stats]),
    ),
    'the link as JSON': JSON.stringify([link, behind]),
    'util.inspect, depth 10': printed([link, behind, held, inspector], {
      depth: 10,
      showHidden: true,
      maxStringLength: null,
    }),
    'the streams of the link': JSON.stringify(everything) + printed(everything, { depth: 10 }),
    'receipts of messages': JSON.stringify(wrong),
    'error message': errors.map(({ message }) => message).join('\n'),
    'error stack': errors.map(({ stack }) => stack).join('\n'),
    'error cause': errors.map(({ cause, ...rest }) => printed([cause, rest], { depth: 10 })).join('\n'),
    'error as JSON': JSON.stringify(errors) + printed(errors, { depth: 10, showHidden: true }),
    health: JSON.stringify(check()) + (await answer(new Request('http://127.0.0.1/readyz')).text()),
    sentences: [link, behind]
      .flatMap((each) => [each.explain().text, each.explain({ language: 'zh' }).text])
      .join('\n'),
    'stately bridge, with details': JSON.stringify(messages),
    'store on disk': store,
    'warnings of the process': warnings.join('\n'),
    top: await print((out) => top({ ...common, json: false, plain: true }, out, plain)),
    'top --json': await print((out) => top({ ...common, json: true, plain: true }, out, plain)),
    watch: await print((out) => watch({ ...common, json: false, id: undefined }, out, plain)),
    'watch --json': await print((out) => watch({ ...common, json: true, id: undefined }, out, plain)),
    replay: await print((out) => replay({ ...replayed, json: false }, out, () => undefined, plain)),
    'replay --json': await print((out) => replay({ ...replayed, json: true }, out, () => undefined, plain)),
    'Chrome trace events': await print(async (out) => {
      await replay({ ...replayed, json: false, chrome: chromeFile }, out, () => undefined, plain)
      out.write(readFileSync(chromeFile, 'utf8'))
    }),
    doctor: await print((out) => doctor({ ...asked, proxy: false, json: false }, out, plain)),
    'doctor --json, behind the proxy': await print((out) => doctor({ ...asked, proxy, json: true }, out, plain)),
    'hold --json': await print(async (out) => {
      const held = hold(
        {
          protocol: 'onebot',
          url,
          token,
          platform: undefined,
          id: 'held',
          inspect: undefined,
          trace: undefined,
          json: true,
          language: 'en',
        },
        out,
        plain,
      )
      setTimeout(() => process.emit('SIGINT'), 500)
      await held
    }),
  }
  const handOver = await link.handOver()
  await held.stop({ drainMs: 0 })
  await packed.close()
  sinks['packed trace file'] = gunzipSync(readFileSync(packedTrace)).toString()

  let checks = 0
  const hits: string[] = []
  for (const [sink, text] of Object.entries(sinks)) {
    expect(text.length, `${sink} is empty`).toBeGreaterThan(20)
    for (const [place, secret] of Object.entries(canaries)) {
      checks++
      if (formsOf(secret).some((form) => text.includes(form))) hits.push(`${place} in ${sink}`)
    }
  }
  expect(hits).toEqual([])
  expect(Object.keys(sinks).length).toBeGreaterThanOrEqual(15)
  expect(checks).toBeGreaterThanOrEqual(180)
  // they were told, and taken out there: a sink that nothing reached would prove nothing
  for (const sink of [
    'logger',
    'inspector, WebSocket',
    'trace file',
    'error message',
    'receipts of messages',
    'watch',
    'replay',
    'warnings of the process',
  ])
    expect(sinks[sink], sink).toContain('***')
  console.log(`T1: ${checks} checks, ${hits.length} hits`)

  // the one place where a secret may be: a file for this user alone, read once
  const file = join(folder, 'hand-over')
  await saveHandOver(file, handOver)
  expect(await loadHandOver(file)).toEqual(handOver)
  process.off('warning', warned)
  await inspector.close()
  await parrot.close()
}, 120_000)
