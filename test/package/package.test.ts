import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Consumer, entries, makeConsumer } from './consumer.ts'

let consumer: Consumer
beforeAll(() => {
  consumer = makeConsumer()
}, 120_000)
afterAll(() => consumer?.remove())

/** Prints the names of a module, and what loading it did to the process. */
const report = `
  const names = Object.keys(module).filter((name) => name !== 'default' && name !== 'module.exports').sort()
  const globals = Object.getOwnPropertyNames(globalThis).filter((name) => !globalsBefore.includes(name))
  const listeners = process.eventNames().filter((name) => !listenersBefore.includes(name)).map(String)
  console.log(JSON.stringify({ names, globals, listeners }))`
const before = `
  const globalsBefore = Object.getOwnPropertyNames(globalThis)
  const listenersBefore = process.eventNames()`

interface Report {
  readonly names: string[]
  readonly globals: string[]
  readonly listeners: string[]
}

const imported = (entry: string): Report =>
  JSON.parse(consumer.node(['--input-type=module'], `${before}; const module = await import('${entry}'); ${report}`))
const required = (entry: string, ...flags: string[]): Report =>
  JSON.parse(
    consumer.node(
      ['--input-type=commonjs', '--no-warnings', ...flags],
      `(() => { ${before}; const module = require('${entry}'); ${report} })()`,
    ),
  )

describe.each(entries)('%s, from the packed package', (entry) => {
  test('gives the same names to import and to require', () => {
    const { names } = imported(entry)
    expect(names.length).toBeGreaterThan(0)
    expect(required(entry).names).toEqual(names)
    // What a Node without require(esm) loads: the CommonJS files.
    expect(required(entry, '--no-experimental-require-module').names).toEqual(names)
  })

  test('incident 4.9 leaves no global and no listener on the process', () => {
    expect(imported(entry)).toMatchObject({ globals: [], listeners: [] })
    expect(required(entry, '--no-experimental-require-module')).toMatchObject({ globals: [], listeners: [] })
  })
})

test('incident 4.9 loading everything keeps no process alive, and what is not exported cannot be reached', () => {
  const code = `${entries.map((entry) => `require('${entry}')`).join('; ')}; console.log('loaded')`
  expect(consumer.node(['--no-warnings'], code)).toBe('loaded\n')
  expect(() => consumer.node(['--no-warnings'], "require('holdfast/dist/index.cjs')")).toThrow('ERR_PACKAGE_PATH')
})

test('what needs an optional package says which command installs it', () => {
  const code = `natsLeaseStore({ status: () => [] }).read('k', new AbortController().signal).catch((error) => console.log(error.code, error.message))`
  const told = 'bad-option natsLeaseStore() needs the package "@nats-io/kv": npm install @nats-io/kv\n'
  expect(consumer.node(['--no-warnings'], `const { natsLeaseStore } = require('holdfast/lease'); ${code}`)).toBe(told)
  const imported = `import { natsLeaseStore } from 'holdfast/lease'; ${code}`
  expect(consumer.node(['--input-type=module'], imported)).toBe(told)
})

/** What a bot's author writes on the first day; it is compiled, not run. */
const bot = `
import { connect, type Health, HoldfastError, health, isHoldfastError, type Link, type LinkOptions, type LinkStatus } from 'holdfast'
import { type RunningService, secret, service } from 'holdfast'
import { type Adapter, defineAdapter } from 'holdfast/adapter'
import { client } from 'holdfast/client'
import { discord } from 'holdfast/discord'
import { maim } from 'holdfast/maim'
import { etcd, etcdTargets } from 'holdfast/etcd'
import { etcdLeaseStore, type LeaseStore, memoryLeaseStore, natsLeaseStore } from 'holdfast/lease'
import { onebot } from 'holdfast/onebot'
import { qq } from 'holdfast/qq'
import { satori } from 'holdfast/satori'
import { stately } from 'holdfast/stately'
import { telegram } from 'holdfast/telegram'
import { wechat } from 'holdfast/wechat'

const options: LinkOptions = { id: 'qq-main' }
const link = connect(onebot({ url: 'ws://127.0.0.1:3001', accessToken: secret('x') }), options)
export type Held = Link
export const state: LinkStatus['state'] = link.status.state
export const http: RunningService = service(link, { name: 'http', start: async (signal) => () => signal.aborted })
export const of: Health = health({ links: [link], services: [http] })
export const answer: Response = of.fetch(new Request('http://127.0.0.1/readyz'))
export const define: (adapter: Adapter) => Adapter = defineAdapter
export const second = () => connect(satori({ url: 'http://127.0.0.1:5140' }))
export const bridge = stately([link], { send: (message) => console.log(message.type) })
export const third = () => connect(discord({ token: secret('x'), intents: 513, shard: [0, 1] }))
export const play = (text: string) => third().send({ op: 3, d: { status: text } })
export const fourth = () => connect(qq({ appId: '1', token: async () => ({ token: 'x', expiresInMs: 7_200_000 }), intents: 1 }))
export const fifth = () => connect(maim({ url: 'ws://127.0.0.1:8000/ws', platform: 'qq', token: secret('x') }))
export const tell = (data: string) =>
  fifth().send({ message_info: { user_info: { user_id: 1 } }, message_segment: { type: 'text', data } })
export const sixth = () => connect(telegram({ token: secret('1:x'), allowedUpdates: ['message'] }))
export const say = (text: string) => sixth().send({ chat_id: 7, text })
class Bot {
  go(): Promise<void> {
    return Promise.resolve()
  }
}
export const seventh = () =>
  connect(
    client<Bot, { text: string }, string>({
      name: 'bot',
      make: () => new Bot(),
      start: (bot, on) => bot.go().then(on.ready, on.failed),
      stop: () => undefined,
      send: async (_bot, text) => text.length,
    }),
  ).send('hello')
export const eighth = (make: (saved: unknown) => { start(): void; stop(): void; on(name: string, react: () => void): void }) =>
  connect(wechat({ make, onScan: (url) => console.log(url) }))
export const ninth = () => connect(etcd({ url: 'http://127.0.0.1:2379', register: { key: 'bots/a', value: 'x', ttlSeconds: 10 } }))
export const found = etcdTargets({ url: 'http://127.0.0.1:2379', prefix: 'bots/', toTarget: ({ value }) => ({ url: value }) })
export const stores = (connection: Parameters<typeof natsLeaseStore>[0]): LeaseStore[] => [
  memoryLeaseStore(),
  natsLeaseStore(connection, { replicas: 3 }),
  etcdLeaseStore({ urls: ['https://etcd:2379'], username: 'bots', password: secret('x') }),
]
export const run = async (signal: AbortSignal): Promise<void> => {
  const watch = link.state$.subscribe((status) => console.log(status.state, status.fault?.code))
  try {
    await link.ready({ signal })
    for await (const message of link) console.log(message)
  } catch (error) {
    if (isHoldfastError(error)) console.log(error.code, error instanceof HoldfastError)
  } finally {
    watch.unsubscribe()
    await link.stop()
  }
}
// @ts-expect-error a URL is text: the types are really read
onebot({ url: 3001 })
// @ts-expect-error there is no such state
export const wrong: LinkStatus['state'] = 'connected'
`

const deeper = `
import { backoffDelay, faults, linkMachine } from 'holdfast/machines'
import * as testing from 'holdfast/testing'

export const states = Object.keys(linkMachine.root.states)
export const delay: number = backoffDelay('a', { vacant: 1, dropped: 0, costly: 0 }, { code: 'refused' })
export const kind: string = faults.refused.kind
export const clock = testing.heapClock()
// @ts-expect-error there is no such fault
backoffDelay('a', { vacant: 1, dropped: 0, costly: 0 }, { code: 'tired' })
`

describe.each(['node16', 'nodenext'] as const)('types with module %s and the libraries checked too', (module) => {
  test('the entries that a bot needs, with exact optional properties', () => {
    const files = { 'bot.mts': bot, 'bot.cts': bot }
    expect(consumer.compile({ module, exactOptionalPropertyTypes: true, files })).toBe('')
  })

  // The types of xstate do not compile with exact optional properties, which is why no other entry mentions them.
  test('the machines and the testing kit', () => {
    const files = { 'deeper.mts': deeper, 'deeper.cts': deeper }
    expect(consumer.compile({ module, exactOptionalPropertyTypes: false, files })).toBe('')
  })
})
