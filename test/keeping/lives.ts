/** Bots in processes, one life after the other, and what they said before they were killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { seededRandom } from '../../src/testing/heap-clock.ts'
import type { BotNews, BotSetup } from './bot.ts'
import { Platform, type Said } from './platform.ts'

const PATIENCE_MS = 30_000

export class Bot {
  readonly ended: Promise<NodeJS.Signals | number | null>
  readonly #child: ChildProcess
  #text = ''
  #errors = ''

  constructor(program: string, setup: BotSetup) {
    this.#child = spawn(process.execPath, [program, JSON.stringify(setup)], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child.stdout!.on('data', (chunk) => {
      this.#text += chunk
    })
    this.#child.stderr!.on('data', (chunk) => {
      this.#errors += chunk
    })
    this.ended = once(this.#child, 'close').then(([code, signal]) => signal ?? code)
  }

  /** Whole lines only: the last one may have been cut by the kill. */
  get news(): BotNews[] {
    const lines = this.#text.split('\n').slice(0, -1)
    return lines.map((line) => JSON.parse(line) as BotNews)
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async until(happened: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS
    while (!happened()) {
      if (this.#child.exitCode !== null || performance.now() > deadline) {
        throw new Error(`in vain: ${this.#errors} ${this.#text.slice(-500)}`)
      }
      await pause(5)
    }
  }

  isLive(): boolean {
    return this.#text.includes('{"event":"live"}')
  }
}

export const freshDir = (): string => mkdtempSync(join(tmpdir(), 'holdfast-keeping-'))

/** One message in the end. */
interface Message {
  readonly text: string
  readonly idempotent: boolean
  /** How often it is at the platform. */
  readonly arrived: number
  readonly fates: readonly string[]
}

export interface LaneResult {
  readonly kills: number
  /** Killed before the bot was live. */
  readonly early: number
  readonly accepted: readonly Message[]
  readonly said: readonly Said[]
  readonly sent: ReadonlySet<string>
  readonly recovered: number
  readonly warnings: readonly string[]
}

/**
 * A bot that is killed so many times and always comes back to the same folder, and at last may finish in peace. `program`
 * is test/keeping/bot.ts in a form that can be started.
 */
export const killAgainAndAgain = async (program: string, kills: number, seed: number): Promise<LaneResult> => {
  const random = seededRandom(seed)
  let isCalm = false
  const platform = await Platform.start(() => !isCalm && random() < 0.005)
  const dir = freshDir()
  const news: BotNews[] = []
  let early = 0
  try {
    for (let life = 0; life < kills; life++) {
      const bot = new Bot(program, { url: platform.url, dir, life, everyMs: 2, idempotentEach: 2 })
      if (random() < 0.15) await pause(300 * random())
      else await bot.until(() => bot.isLive()).then(() => pause(80 * random()))
      bot.kill('SIGKILL')
      await bot.ended
      if (!bot.isLive()) early++
      news.push(...bot.news)
    }
    isCalm = true
    const last = new Bot(program, { url: platform.url, dir, life: kills, everyMs: 0, idempotentEach: 0 })
    const end = await last.ended
    news.push(...last.news)
    if (end !== 0) throw new Error(`the last life ended by ${end}: ${JSON.stringify(last.news.slice(-3))}`)
    return { kills, early, ...judged(news, platform.said), said: platform.said }
  } finally {
    platform.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

const judged = (news: readonly BotNews[], said: readonly Said[]) => {
  const arrivals = new Map<string, number>()
  for (const { key } of said) arrivals.set(key, (arrivals.get(key) ?? 0) + 1)
  const fates = new Map<string, string[]>()
  const accepted: Message[] = []
  const sent = new Set<string>()
  const warnings: string[] = []
  let recovered = 0
  for (const each of news) {
    if (each.event === 'settled') {
      fates.set(each.key, [...(fates.get(each.key) ?? []), each.fate])
      if (each.recovered) recovered++
    } else if (each.event === 'sends') sent.add(each.text)
    else if (each.event === 'warned') warnings.push(each.text)
  }
  for (const each of news) {
    if (each.event !== 'accepted') continue
    const { text, key, idempotent } = each
    accepted.push({ text, idempotent, arrived: arrivals.get(key) ?? 0, fates: fates.get(key) ?? [] })
  }
  return { accepted, sent, warnings, recovered }
}

export interface Verdict {
  /** Accepted, not at the platform, and nobody was told that it is uncertain. */
  readonly lost: readonly string[]
  /** Without an idempotency key, and more than once at the platform. */
  readonly doubled: readonly string[]
  /** With an idempotency key, accepted, and not at the platform. */
  readonly missing: readonly string[]
  /** At the platform, and nobody sent it. */
  readonly invented: readonly string[]
  readonly disordered: readonly string[]
}

export const judge = ({ accepted, said, sent }: LaneResult): Verdict => {
  const texts = (messages: readonly Message[]) => messages.map(({ text }) => text)
  return {
    lost: texts(accepted.filter(({ arrived, fates }) => arrived === 0 && !fates.includes('uncertain'))),
    doubled: texts(accepted.filter(({ idempotent, arrived }) => !idempotent && arrived > 1)),
    missing: texts(accepted.filter(({ idempotent, arrived }) => idempotent && arrived === 0)),
    invented: said.map(({ text }) => text).filter((text) => !sent.has(text)),
    disordered: disordered(said.map(({ text }) => text)),
  }
}

/** First arrivals behind a later message of their conversation. */
export const disordered = (texts: readonly string[]): string[] => {
  const latest = new Map<number, readonly [life: number, number: number]>()
  const wrong: string[] = []
  for (const text of new Set(texts)) {
    const [life, number] = text.split('.').map(Number) as [number, number]
    const [lifeBefore, numberBefore] = latest.get(number % 3) ?? [-1, -1]
    if (life < lifeBefore || (life === lifeBefore && number < numberBefore)) wrong.push(text)
    else latest.set(number % 3, [life, number])
  }
  return wrong
}
