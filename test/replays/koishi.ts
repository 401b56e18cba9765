/**
 * Incident 1: a Telegram bot in a dual-stack container. The name of the Bot API has an IPv4 address that answers slowly and an
 * IPv6 address without a route; then the API is unwell for some seconds, and well again.
 */

import { telegram } from '../../src/adapter/telegram.ts'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { connect } from '../../src/link.ts'
import { blackHole } from '../net/loopback.ts'
import { BotApi, refusal, serveBotApi, TOKEN, tooMany } from '../peers/bot-api.ts'
import { startTelegramClients } from '../peers/processes.ts'
import type { Replay, Side } from './replay.ts'

/** SYNs are dropped for so long; the kernel's second one comes after a second, and Node gives an address 250 ms. */
const SLOW_MS = 600
/** The documentation's network: no machine has a route to a host in it. */
const ADDRESSES = ['127.0.0.2', '2001:db8::1']
/** From the start until the API is well, the last part of it with polls that stall; and then until nobody waits any more. */
const UNWELL_MS = 7_000
const STALLED_MS = 2_500
const PATIENCE_MS = 6_000
const POLL_MS = 1_000

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** A bot, as the replay sees it: begun at a URL, it fills `got` with the texts that it was told. */
interface Bot {
  readonly got: readonly string[]
  begin(url: string): void
  /** What it says of itself. */
  status(): string
  end(): Promise<void>
}

const replay = async (bot: Bot, at: string): Promise<Side> => {
  const api = new BotApi()
  const server = await serveBotApi(api)
  const port = Number(at.split(':').at(-1))
  const ways = { stuckMs: SLOW_MS, awake: 'relaying', relayTo: server.port } as const
  const endSlowHost = await blackHole(ADDRESSES[0]!, port, ways)
  try {
    api.fail('getMe', refusal(502, 'Bad Gateway'))
    api.fail('getUpdates', tooMany(1))
    bot.begin(`http://${at}`)
    api.receive('before')
    await pause(UNWELL_MS - STALLED_MS)
    api.failAlways('getUpdates', 'silence')
    api.receive('meanwhile')
    await pause(STALLED_MS)
    return await recover(bot, api)
  } finally {
    await bot.end()
    endSlowHost()
    await server.stop()
  }
}

const recover = async (bot: Bot, api: BotApi): Promise<Side> => {
  api.failAlways('getUpdates', undefined)
  const wellAt = performance.now()
  api.receive('after')
  const texts = ['before', 'meanwhile', 'after']
  while (!bot.got.includes('after') && performance.now() - wellAt < PATIENCE_MS) await pause(10)
  const recovered = bot.got.includes('after')
  const recoveredMs = recovered ? Math.round(performance.now() - wellAt) : null
  const lost = texts.filter((text) => !bot.got.includes(text)).length
  const attempts = api.asked.length
  const end = recovered ? `served ${recoveredMs} ms after the API was well` : 'never served'
  const note = `${end}, with ${attempts} requests; it lost ${lost} of ${texts.length} messages, and its status is ${bot.status()}`
  return { recovered, recoveredMs, attempts, lost, note }
}

export const koishi: Replay = {
  incident: 'koishi',
  fault: 'IPv4 slow and IPv6 without a route, one getMe that fails, a 429, and polls that are not answered',

  naive: async () => {
    const at = `bot-api.test:${await freePort()}`
    const clients = await startTelegramClients({ token: TOKEN, endpoints: [`http://${at}`], addresses: ADDRESSES })
    const bot: Bot = {
      get got() {
        return clients.heard(0)
      },
      begin: () => clients.start(),
      status: () => {
        const codes = clients.logs.join(' ').match(/\bE[A-Z]{6,}\b/g) ?? []
        return [clients.statuses(0).at(-1), ...new Set(codes)].join(', ')
      },
      end: () => clients.kill(),
    }
    return replay(bot, at)
  },

  holdfast: async () => {
    const at = `bot-api.test:${await freePort()}`
    const got: string[] = []
    const abort = new AbortController()
    let link: ReturnType<typeof begin> | undefined
    const begin = (apiRoot: string) => {
      const adapter = telegram({ token: TOKEN, apiRoot, pollMs: POLL_MS, overdueMs: POLL_MS })
      const lookup = async () =>
        ADDRESSES.map((address) => ({ address, family: address.includes(':') ? (6 as const) : (4 as const) }))
      return connect(adapter, { lookup, proxy: false, signal: abort.signal })
    }
    const bot: Bot = {
      got,
      begin: (apiRoot) => {
        link = begin(apiRoot)
        link.inbound$.subscribe(({ message }) => void got.push((message as { text: string }).text))
      },
      status: () => link?.status.state ?? 'none',
      end: async () => link?.stop({ drainMs: 0 }),
    }
    return replay(bot, at)
  },
}
