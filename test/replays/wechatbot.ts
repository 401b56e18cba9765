/**
 * Incident 4: the real wechat4u 0.7.14, held by the rule of wechaty's puppet, and held by a link. Three faults: codes that
 * expire at once, an outage of 37 s, a captive portal. All times are a tenth, for both sides: the process of the bot runs
 * its own clock ten times as fast, and this one breaks things ten times as soon.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { runnable } from '../lab/bundle.ts'
import type { Replay, Side } from './replay.ts'
import type { WechatBotNews, WechatBotSetup } from './wechat-bot.ts'
import { WechatWeb } from './wechat-web.ts'

const SCALE = 10
const EXPIRED_MS = 1_500
const OUTAGE_MS = 37_000 / SCALE
const PORTAL_MS = 20_000 / SCALE
/** So long is waited for a good sync after WeChat's return: wechat4u's last restart comes 34 s after it. */
const WATCH_MS = 55_000 / SCALE
const LONG_POLL_MS = 25_000 / SCALE
const SETTLE_MS = 15_000

const BOTS = ['expired', 'outage', 'portal'] as const
type BotName = (typeof BOTS)[number]

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const until = async (isSo: () => boolean, withinMs: number): Promise<boolean> => {
  const giveUpAt = performance.now() + withinMs
  while (!isSo() && performance.now() < giveUpAt) await sleep(20)
  return isSo()
}

/** What became of one bot. */
export interface Held {
  readonly logins: number
  readonly polls: number
  readonly errors: number
  /** From the return of WeChat to the next good sync; null if there was none. */
  readonly recoveredMs: number | null
  /** The last state that the bot told, and all that came before. */
  readonly state: string
  readonly states: readonly string[]
  readonly got: readonly string[]
}

export type Played = Readonly<Record<BotName, Held>>

const startBots = async (kind: WechatBotSetup['kind'], webs: Readonly<Record<BotName, WechatWeb>>) => {
  const setup: WechatBotSetup = {
    kind,
    scale: SCALE,
    beside: fileURLToPath(new URL('../peers/package.json', import.meta.url)),
    bots: Object.fromEntries(BOTS.map((bot) => [bot, webs[bot].url])),
  }
  const program = await runnable('test/replays/wechat-bot.ts')
  const child = spawn(process.execPath, [program, JSON.stringify(setup)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const news: WechatBotNews[] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{"bot"')) news.push(JSON.parse(line))
  })
  const isGone = new Promise((resolve) => child.once('exit', resolve))
  return {
    of: (bot: BotName) => news.filter((each) => each.bot === bot),
    order: (order: 'start' | 'stop', bot: BotName) => child.stdin.write(`${JSON.stringify({ [order]: bot })}\n`),
    end: async () => {
      child.stdin.end()
      child.kill('SIGKILL')
      await isGone
    },
  }
}

type Bots = Awaited<ReturnType<typeof startBots>>

const tell = (bots: Bots, bot: BotName, web: WechatWeb, recoveredMs: number | null = null): Held => {
  const news = bots.of(bot)
  const states = news.flatMap((each) =>
    each.event === 'state' ? [each.fault ? `${each.state} (${each.fault})` : each.state] : [],
  )
  return {
    logins: web.count('jslogin'),
    polls: web.count('synccheck'),
    errors: news.filter(({ event }) => event === 'error').length,
    recoveredMs,
    state: states.at(-1) ?? 'another',
    states,
    got: news.flatMap((each) => (each.event === 'message' ? [each.text] : [])),
  }
}

/** Breaks WeChat for so long, from the first message on, and watches what comes of it. */
const suffer = async (bots: Bots, bot: 'outage' | 'portal', web: WechatWeb, ms: number): Promise<Held> => {
  web.say('before')
  bots.order('start', bot)
  if (!(await until(() => tell(bots, bot, web).got.includes('before'), SETTLE_MS))) return tell(bots, bot, web)
  web.mood = bot === 'outage' ? 'away' : 'portal'
  web.say('during')
  await sleep(ms)
  const during = tell(bots, bot, web)
  const backAt = performance.now()
  const before = web.syncedAt.length
  web.mood = 'well'
  await until(() => web.syncedAt.length > before && tell(bots, bot, web).got.includes('during'), WATCH_MS)
  const syncedAt = web.syncedAt[before]
  const after = tell(bots, bot, web, syncedAt === undefined ? null : Math.round(syncedAt - backAt))
  return { ...after, states: during.states, errors: during.errors, polls: during.polls }
}

/** Plays the three faults against one side. */
export const play = async (kind: WechatBotSetup['kind']): Promise<Played> => {
  const [expired, outage, portal] = await Promise.all(BOTS.map(() => WechatWeb.start(LONG_POLL_MS)))
  const webs = { expired: expired!, outage: outage!, portal: portal! }
  webs.expired.mood = 'expired'
  const bots = await startBots(kind, webs)
  try {
    bots.order('start', 'expired')
    await until(() => webs.expired.count('jslogin') > 0, SETTLE_MS)
    await sleep(EXPIRED_MS)
    const stormed = tell(bots, 'expired', webs.expired)
    // its storm would drown the others
    bots.order('stop', 'expired')
    const [away, page] = await Promise.all([
      suffer(bots, 'outage', webs.outage, OUTAGE_MS),
      suffer(bots, 'portal', webs.portal, PORTAL_MS),
    ])
    return { expired: stormed, outage: away, portal: page }
  } finally {
    await bots.end()
    await Promise.all(Object.values(webs).map((web) => web.stop()))
  }
}

const seconds = (ms: number | null) => (ms === null ? 'never' : `after ${(ms / 1_000).toFixed(1)} s`)

export const sideOf = ({ expired, outage, portal }: Played, isHeld: boolean): Side => ({
  recovered: isHeld,
  recoveredMs: isHeld ? outage.recoveredMs : null,
  attempts: expired.logins,
  lost: [outage, portal].filter(({ got }) => !got.includes('during')).length,
  note: [
    `codes that expire at once: ${expired.logins} logins in ${EXPIRED_MS / 1_000} s, then ${expired.state}`,
    `an outage of ${OUTAGE_MS / 1_000} s: polls again ${seconds(outage.recoveredMs)}, and says ${outage.state}`,
    `a page of HTML for ${PORTAL_MS / 1_000} s: ${portal.polls} polls and ${portal.errors} errors, then says ${portal.states.at(-1)}`,
    `all times are a tenth`,
  ].join('; '),
})

/** Where a person is needed, to wait openly for one is all that can be done. */
export const isHeld = ({ expired, outage, portal }: Played): boolean =>
  expired.state === 'parked (login-needed)' && outage.recoveredMs !== null && portal.recoveredMs !== null

const replay = (kind: WechatBotSetup['kind']) => async (): Promise<Side> => {
  const played = await play(kind)
  return sideOf(played, isHeld(played))
}

export const wechatbot: Replay = {
  incident: 'wechatbot',
  fault: 'Codes expire at once, then WeChat is away for 37 s, then a captive portal answers in its place',
  naive: replay('naive'),
  holdfast: replay('holdfast'),
}
