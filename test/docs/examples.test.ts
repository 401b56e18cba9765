/** What the docs show runs as it stands there. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { ecdh, lengthPrefixed, type Sealer } from '../../src/adapter/adapter.ts'
import { readTraceFile } from '../../src/observe/trace.ts'
import { type OnebotPeer, privateMessage, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { holdfast } from '../cli/run.ts'

const block = (file: string, name: string): string => {
  const found = new RegExp(`\`\`\`js ${name}\n([\\s\\S]*?)\`\`\``).exec(readFileSync(file, 'utf8'))
  if (!found) throw new Error(`${file} has no block "${name}"`)
  return found[1]!
}

const running: (() => void)[] = []
afterEach(() => {
  for (const end of running.splice(0)) end()
})

/** Runs a module with the package's own name resolvable, as in a project that installed it. */
const runModule = (source: string, env: Record<string, string> = {}) => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { env: { ...process.env, ...env } })
  running.push(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  const saw = async (text: string) => {
    while (!output.includes(text)) {
      if (child.exitCode !== null) throw new Error(`it ended without "${text}": ${output}`)
      await pause(20)
    }
  }
  return { saw, ended: once(child, 'exit'), output: () => output }
}

const until = async (condition: () => boolean) => {
  while (!condition()) await pause(20)
}

describe.each(['README.md', 'README.zh-CN.md'])('the quick start of %s', (file) => {
  test('has ten lines, answers a message, and survives a peer that goes away', async () => {
    const source = block(file, 'quickstart')
    expect(source.trim().split('\n').filter(Boolean).length).toBeLessThanOrEqual(10)
    const peer: OnebotPeer = await startOnebotPeer({ token: 'a-token' })
    running.push(() => void peer.close())
    const { saw } = runModule(source, { ONEBOT_URL: peer.url, ONEBOT_TOKEN: 'a-token' })
    await saw('qq-main is live')
    peer.emit(privateMessage('ping', 42))
    await saw('delivered')
    expect(peer.records).toContainEqual(
      expect.objectContaining({ kind: 'action', action: 'send_msg', params: { user_id: 42, message: 'pong' } }),
    )
    peer.cut()
    await saw('waiting before the next dial')
    await until(() => peer.connections === 1)
  })
})

test('with the lines of the README its page opens, its terminal looks on, and HOLDFAST_TRACE keeps what happens', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-readme-'))
  running.push(() => rmSync(folder, { recursive: true }))
  const [begin, loop] = block('README.md', 'quickstart').split(/(?=^for await)/m)
  const peer: OnebotPeer = await startOnebotPeer({ token: 'a-token' })
  running.push(() => void peer.close())
  const { saw, output } = runModule(`${begin}${block('README.md', 'see-it')}${loop}`, {
    ONEBOT_URL: peer.url,
    ONEBOT_TOKEN: 'a-token',
    HOLDFAST_TRACE: join(folder, 'bot.hf.ndjson'),
  })
  await saw('#token=')
  await saw('qq-main is live')
  const url = /http:\S+#token=\S+/.exec(output())![0]
  expect(await (await fetch(url)).text()).toContain('page.js')
  expect((await holdfast('watch', url, 'qq-main', '--once')).out).toContain('live')
  const { records } = await readTraceFile(join(folder, 'bot.hf.ndjson'))
  expect(records.map(({ link, to }) => `${link} ${to}`)).toContain('qq-main live')
})

describe('the adapter of docs/adapters.md', () => {
  const source = block('docs/adapters.md', 'adapter')

  /** The server that the page describes. */
  const startServer = async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    running.push(() => {
      for (const socket of server.clients) socket.terminate()
      server.close()
    })
    const said: string[] = []
    server.on('connection', (socket) => {
      const tell = (frame: object) => socket.send(JSON.stringify(frame))
      tell({ op: 'hello', beatMs: 2_000 })
      socket.on('message', (raw) => {
        const { op, token, text, key } = JSON.parse(String(raw))
        if (op === 'login' && token !== 'right') socket.close(4001, 'no')
        else if (op === 'login') {
          tell({ op: 'welcome' })
          tell({ op: 'message', text: 'welcome to you' })
        } else if (text === 'rude') tell({ op: 'no', re: key, why: 'mind your words' })
        else {
          said.push(text)
          tell({ op: 'ok', re: key, data: said.length })
        }
      })
    })
    await once(server, 'listening')
    return { url: `ws://127.0.0.1:${(server.address() as { port: number }).port}/`, said }
  }

  test('is under 40 lines, holds its server, delivers, refuses one message, and is told a wrong token', async () => {
    expect(source.trim().split('\n').length).toBeLessThan(40)
    const { url, said } = await startServer()
    const { saw, ended, output } = runModule(
      `${source}
      import { connect } from 'holdfast'
      const link = connect(mychat({ url: process.env.URL, token: 'right' }))
      for await (const message of link) { console.log(message.text); break }
      console.log(JSON.stringify(await link.send('hi')), JSON.stringify(await link.send('rude')))
      await link.stop()
      const wrong = connect(mychat({ url: process.env.URL, token: 'wrong' }))
      await wrong.ready().catch((error) => console.log(error.code, error.fault.code))
      await wrong.stop()`,
      { URL: url },
    )
    await saw('parked credentials-rejected')
    await ended
    expect(output()).toContain('welcome to you')
    expect(output()).toContain('{"fate":"delivered","result":1} {"fate":"refused","detail":"mind your words"}')
    expect(said).toEqual(['hi'])
  })
})

describe('the bare socket of docs/adapters.md', () => {
  const framing = lengthPrefixed({ bytes: 4, includesItself: true })

  /** Logs in, says something, and takes what it is told; all of it sealed. */
  const startServer = async () => {
    const server = createServer((socket) => {
      running.push(() => socket.destroy())
      const exchange = ecdh({ curve: 'x25519', cipher: 'aes-256-gcm' })()
      const decoder = framing.decoder(1_000)
      let sealer: Sealer | undefined
      const say = (text: string) => socket.write(framing.encode(sealer!.seal(Buffer.from(text))))
      socket.write(framing.encode(exchange.begin()))
      socket.on('data', (chunk) => {
        for (const frame of decoder.push(chunk)) {
          if (!sealer) sealer = exchange.accept(frame)
          else {
            const [op, key] = Buffer.from(sealer.open(frame)).toString().split(' ')
            if (op === 'login') for (const text of ['welcome', 'says 1 hello over TCP']) say(text)
            else say(op === 'say' ? `ok ${key} 7` : 'alive')
          }
        }
      })
    })
    running.push(() => server.close())
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return `127.0.0.1:${(server.address() as { port: number }).port}`
  }

  test('agrees on keys, delivers both ways, and does not talk to whom it does not trust', async () => {
    const { saw, ended, output } = runModule(
      `${block('docs/adapters.md', 'tcp-adapter')}
      import { connect } from 'holdfast'
      const hosts = [process.env.HOST]
      const link = connect(ownchat({ hosts, verify: (key) => key.length === 32 }))
      for await (const message of link) { console.log(message); break }
      console.log(JSON.stringify(await link.send('hi there')))
      await link.stop()
      const wary = connect(ownchat({ hosts, verify: () => false }))
      wary.state$.subscribe(({ fault }) => fault && console.log(fault.code, fault.detail))
      setTimeout(() => wary.stop(), 300)`,
      { HOST: await startServer() },
    )
    await saw('key-exchange-failed Error: the key of the peer was not verified')
    await ended
    expect(output()).toContain('hello over TCP')
    expect(output()).toContain('{"fate":"delivered","result":"7"}')
  })
})

describe('the health of docs/health.md', () => {
  const freePort = async (): Promise<number> => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    return port
  }

  test('is ready when the bot is live and its server runs, and not when the peer is away, which is no reason to restart it', async () => {
    const peer = await startOnebotPeer({})
    running.push(() => void peer.close())
    const port = await freePort()
    const { saw, output } = runModule(block('docs/health.md', 'health'), { ONEBOT_URL: peer.url, PORT: String(port) })
    await saw('/readyz')
    const url = output().trim()
    const answers = async (status: number) => {
      for (;;) {
        const answer = await fetch(url, { headers: { Connection: 'close' } })
        const body = (await answer.json()) as { state: string }
        if (answer.status === status) return { state: body.state, retryAfter: answer.headers.get('Retry-After') }
        await pause(20)
      }
    }
    expect(await answers(200)).toEqual({ state: 'live', retryAfter: null })
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('hello')
    await peer.close()
    const away = await answers(503)
    expect(Number(away.retryAfter)).toBeGreaterThanOrEqual(1)
    expect((await fetch(url.replace('/readyz', '/livez'))).status).toBe(200)
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('hello')
  })
})

describe('the two readmes', () => {
  const headings = (file: string) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('#'))
  const code = (file: string) => readFileSync(file, 'utf8').match(/```[\s\S]*?```/g)

  test('have the same headings and the same code', () => {
    expect(headings('README.zh-CN.md')).toEqual(headings('README.md'))
    expect(code('README.zh-CN.md')).toEqual(code('README.md'))
  })
})
