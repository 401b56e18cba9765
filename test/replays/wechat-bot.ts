/**
 * A WeChat bot on the real wechat4u, in a process of its own: held as wechaty's puppet holds it, or by a link. All time in
 * this process runs faster by `scale`: wechat4u's timers are of 2, 4, 5 and 60 s and cannot be set. Each line that it
 * prints is a thing that happened; {"start": name} and {"stop": name} on its input are orders for one bot.
 */
import { createRequire } from 'node:module'
import type { Wechat4u } from '../../src/adapter/wechat/wechat4u.ts'
import { wechat } from '../../src/adapter/wechat.ts'
import { connect } from '../../src/link.ts'
import { argument, obey, print } from '../lab/programs/program.ts'

export interface WechatBotSetup {
  readonly kind: 'naive' | 'holdfast'
  readonly scale: number
  /** A file beside which wechat4u is installed. */
  readonly beside: string
  /** WeChat's address for each bot. */
  readonly bots: Readonly<Record<string, string>>
}

export type WechatBotNews = { readonly bot: string } & (
  | { readonly event: 'message'; readonly text: string }
  | { readonly event: 'state'; readonly state: string; readonly fault?: string | undefined }
  | { readonly event: 'error' | 'code' }
)

interface Client extends Wechat4u {
  on(name: string, react: (...values: never[]) => void): unknown
}

const { kind, scale, beside, bots } = argument<WechatBotSetup>()

const hasten = () => {
  const [setReal, nowReal, dateReal] = [setTimeout, performance.now.bind(performance), Date.now]
  const [now0, date0] = [nowReal(), dateReal()]
  const faster = (run: () => void, ms = 0, ...rest: []) => setReal(run, ms / scale, ...rest)
  Object.assign(globalThis, { setTimeout: faster })
  performance.now = () => now0 + (nowReal() - now0) * scale
  Date.now = () => date0 + (dateReal() - date0) * scale
}

hasten()
const before = process.listeners('uncaughtException')
const Wechat: new (saved?: unknown) => Client = createRequire(beside)('wechat4u')
// it installs one that swallows every crash of the process that loads it
for (const listener of process.listeners('uncaughtException')) {
  if (!before.includes(listener)) process.off('uncaughtException', listener)
}

const tell = (news: WechatBotNews) => print(news)

/** wechat4u on this address; it forgets what it was told at each login. */
const makeAt = (url: string, saved?: unknown): Client => {
  const client = new Wechat(saved)
  const apis = Object.entries(client.CONF).map(([name, value]) => {
    const isApi = name.startsWith('API_')
    return [name, isApi ? `${url}/${new URL(String(value)).pathname.split('/').at(-1)}` : value]
  })
  const conf = Object.fromEntries(apis)
  Object.defineProperty(client, 'CONF', { get: () => conf, set: () => undefined })
  return client
}

const textOf = (message: unknown): string => String((message as { Content?: unknown }).Content)

/** The rule of wechaty-puppet-wechat4u: after a logout it starts again, at once. */
const holdNaively = (bot: string, url: string): (() => void) => {
  const client = makeAt(url)
  let isStopped = false
  const see = () => tell({ bot, event: 'state', state: String(client.state) })
  client.on('uuid', () => tell({ bot, event: 'code' }))
  client.on('login', see)
  client.on('error', () => tell({ bot, event: 'error' }))
  client.on('message', (message: unknown) => tell({ bot, event: 'message', text: textOf(message) }))
  client.on('logout', () => {
    if (!isStopped) void client.start()
  })
  void client.start()
  return () => {
    see()
    isStopped = true
  }
}

const holdByLink = (bot: string, url: string): (() => void) => {
  const link = connect(wechat({ make: (saved) => makeAt(url, saved), onScan: () => tell({ bot, event: 'code' }) }), {
    id: bot,
  })
  link.state$.subscribe(({ state, fault }) => tell({ bot, event: 'state', state, fault: fault?.code }))
  link.inbound$.subscribe((message) => tell({ bot, event: 'message', text: textOf(message) }))
  return () => void link.stop()
}

const hold = kind === 'naive' ? holdNaively : holdByLink
const stops = new Map<string, () => void>()

obey(({ start, stop }: { start?: string; stop?: string }) => {
  if (start) stops.set(start, hold(start, bots[start]!))
  if (stop) stops.get(stop)?.()
})
