/** Our own process blocked for 100 s in one piece beside a healthy peer: incident 2.4, and the same with a plain client. */
import { setTimeout as pause } from 'node:timers/promises'
import { type Bot, startBot } from '../stall/bot-process.ts'
import { programFrom } from './program.ts'
import type { Report } from './report.ts'

const STALL_MS = 100_000
const SETTLE_MS = 3_000

interface Outcome {
  readonly reconnects: number
  readonly probes: number
}

const outcome = async (bot: Bot, stall: (bot: Bot) => Promise<void>): Promise<Outcome> => {
  await bot.until(() => bot.isLive())
  await pause(SETTLE_MS)
  const { dials, probes } = bot
  await stall(bot)
  await pause(SETTLE_MS)
  const seen = { reconnects: bot.dials - dials, probes: bot.probes - probes }
  await bot.end()
  return seen
}

const blocked = async (bot: Bot) => {
  bot.order({ block: STALL_MS, when: 'now' })
  await bot.until(() => bot.has('goes on'), 2 * STALL_MS)
}

const blockedWhenProbing = async (bot: Bot) => {
  bot.order({ block: STALL_MS, when: 'probing' })
  await bot.until(() => bot.has('goes on'), 2 * STALL_MS)
}

export const bench = async (report: Report): Promise<void> => {
  const program = await programFrom('test/stall/bot.ts')
  const start = (kind: 'link' | 'naive') => startBot(program, { kind })
  const [idle, suspended, naive] = await Promise.all([
    start('link').then((bot) => outcome(bot, blocked)),
    start('link').then((bot) => outcome(bot, () => bot.suspend(STALL_MS))),
    start('naive').then((bot) => outcome(bot, blockedWhenProbing)),
  ])
  for (const [how, { reconnects, probes }] of Object.entries({
    'blocked for 100 s': idle,
    'stopped for 100 s': suspended,
  })) {
    report(`${how}, the peer is well: reconnects`, String(reconnects), '0', reconnects === 0)
    report(`${how}, the peer is well: probes`, String(probes), '<= 1', probes <= 1)
  }
  const control = 'control, ws with a ping every 5 s, blocked: reconnects'
  report(control, String(naive.reconnects), '(no promise)', true)
}
