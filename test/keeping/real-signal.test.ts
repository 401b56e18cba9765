/** A bot that is asked to end in the middle of its work, and the next one, which goes on where it was. */
import { existsSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { runnable } from '../lab/bundle.ts'
import type { BotSetup } from './bot.ts'
import { Bot, disordered, freshDir } from './lives.ts'
import { Platform } from './platform.ts'

const running: (() => void)[] = []
afterEach(() => {
  for (const end of running.splice(0)) end()
})

const begin = async () => {
  const platform = await Platform.start()
  const dir = freshDir()
  let events = 0
  let talking: NodeJS.Timeout | undefined
  const talk = () => {
    talking = setInterval(() => platform.say(`e${++events}`), 10)
  }
  running.push(() => {
    clearInterval(talking)
    platform.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const stopTalking = () => {
    clearInterval(talking)
    return Array.from({ length: events }, (_, index) => `e${index + 1}`)
  }
  return { platform, dir, talk, stopTalking }
}

const begun = async (setup: BotSetup): Promise<Bot> => {
  const bot = new Bot(await runnable('test/keeping/bot.ts'), setup)
  running.push(() => bot.kill('SIGKILL'))
  return bot
}

const texts = (bots: readonly Bot[], event: 'got' | 'continuity' | 'warned' | 'accepted') =>
  bots.flatMap(({ news }) => news.flatMap((each) => (each.event === event ? [each.text] : [])))

describe.each([
  ['memory alone', false],
  ['a store', true],
])('on SIGTERM a bot with %s', (_what, hasStore) => {
  test('hands over and dies of it; the next one resumes, and nothing is lost or doubled', async () => {
    const { platform, dir, talk, stopTalking } = await begin()
    const file = join(dir, 'bot.handover')
    const setup = { url: platform.url, file, idempotentEach: 3, ...(hasStore && { dir: join(dir, 'store') }) }
    // more than the platform takes, so that there are always some that wait
    const first = await begun({ ...setup, life: 0, everyMs: 10, perSecond: 50 })
    await first.until(() => first.isLive())
    talk()
    await first.until(() => texts([first], 'accepted').length > 60)
    first.kill('SIGTERM')
    expect(await first.ended).toBe('SIGTERM')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(platform.said.length).toBeLessThan(texts([first], 'accepted').length)

    const second = await begun({ ...setup, life: 1, everyMs: 0 })
    const arrived = () => new Set(platform.said.map(({ text }) => text))
    await second.until(() => second.isLive() && texts([first], 'accepted').every((text) => arrived().has(text)))
    expect(existsSync(file)).toBe(false)
    await pause(100)
    const events = stopTalking()
    await second.until(() => texts([second], 'got').at(-1) === events.at(-1))
    expect(platform.asked).toEqual(['identify', 'resume'])
    expect(texts([first, second], 'got')).toEqual(events)
    expect(texts([first, second], 'continuity')).toEqual(['new', 'recovered'])
    expect(platform.said).toHaveLength(arrived().size)
    expect(arrived()).toEqual(new Set(Array.from({ length: arrived().size }, (_, n) => `0.${n}`)))
    expect(disordered([...arrived()])).toEqual([])
    expect(texts([first, second], 'warned')).toEqual([])
    second.kill('SIGTERM')
    expect(await second.ended).toBe('SIGTERM')
  })
})
