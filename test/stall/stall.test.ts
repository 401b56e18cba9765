/**
 * A real process that is blocked or suspended while its peer is well: nothing is given up. Ten seconds are longer than
 * all that the heartbeat waits for by its defaults; `npm run bench stall` blocks for a hundred.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { runnable } from '../lab/bundle.ts'
import type { BotSetup } from './bot.ts'
import { type Bot, startBot } from './bot-process.ts'

const STALL_MS = 10_000

const bots: Bot[] = []
const start = async (setup: Omit<BotSetup, 'url'>): Promise<Bot> => {
  const bot = await startBot(await runnable('test/stall/bot.ts'), setup)
  bots.push(bot)
  await bot.until(() => bot.states.includes('live'))
  return bot
}

afterEach(async () => {
  for (const bot of bots.splice(0)) await bot.end()
})

/** It woke a good while ago, and is as it was. */
const expectUnharmed = (bot: Bot, before: { dials: number; probes: number; states: string[] }) => {
  expect({ dials: bot.dials, states: bot.states }).toEqual({ dials: before.dials, states: before.states })
  expect(bot.probes - before.probes).toBeLessThanOrEqual(1)
}

const seen = ({ dials, probes, states }: Bot) => ({ dials, probes, states })

describe('a bot whose peer is well', () => {
  it('incident 2.4 R83 blocked for 10 s, or suspended, keeps its connection and asks once at most; a naive one gives up', async () => {
    const [blocked, probing, suspended] = await Promise.all([
      start({ kind: 'link' }),
      start({ kind: 'link', options: { heartbeat: { quietMs: 1_500 } } }),
      start({ kind: 'link' }),
    ])
    // a naive one gives up only if its timer comes before its sockets are read, which the system decides: of six, one
    const naives = await Promise.all(Array.from({ length: 6 }, () => start({ kind: 'naive' })))
    await pause(500)
    const before = { blocked: seen(blocked), suspended: seen(suspended) }
    blocked.order({ block: STALL_MS, when: 'now' })
    probing.order({ block: STALL_MS, when: 'probing' })
    for (const naive of naives) naive.order({ block: STALL_MS, when: 'probing' })
    await probing.until(() => probing.has('blocks'))
    await pause(200)
    const beforeProbing = seen(probing)
    await suspended.suspend(STALL_MS)
    await Promise.all([blocked, probing].map((bot) => bot.until(() => bot.has('goes on'))))
    await pause(1_000)
    expectUnharmed(blocked, before.blocked)
    expectUnharmed(probing, beforeProbing)
    expectUnharmed(suspended, before.suspended)
    await Promise.any(naives.map((naive) => naive.until(() => naive.surrenders > 0)))
  })

  it('R10 blocked beyond its deadlines in a handshake reads the answer first, which has come long since', async () => {
    const bot = await start({
      kind: 'link',
      options: { deadlines: { handshakeMs: 1_500, upgradeMs: 1_500 } },
      blockInHandshakeMs: 4_000,
    })
    const told = bot.news.map((each) => (each.event === 'state' ? each.state : each.event))
    expect(told).toEqual(['resolving', 'connecting', 'handshaking', 'blocks', 'goes on', 'registered', 'live'])
    expect(bot.dials).toBe(1)
  })
})
