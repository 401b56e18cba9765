/** Outages in sentences, in English and Chinese: one line each. */
import { type Fault, type FaultCode, faults } from '../../machines/fault.ts'
import { sentence } from '../error.ts'
import { explain, type Language, type LinkStatus } from '../explain.ts'
import type { Outage } from './outage.ts'

/** Outages that were not told one by one. */
export interface Untold {
  readonly count: number
  readonly withinMs: number
}

export interface OutageWords {
  /** It is not live, or waits for a person. */
  began(outage: Outage, status: LinkStatus, now: number, untold: Untold): string
  stillThere(outage: Outage, status: LinkStatus, now: number): string
  ended(outage: Outage, untold: Untold): string
  steady(id: string, forMs: number, untold: Untold): string
}

const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

const UNITS: Record<Language, readonly [day: string, hour: string, minute: string, second: string]> = {
  en: ['d', 'h', 'min', 's'],
  zh: ['天', '小时', '分钟', '秒'],
}

/** Its two biggest units: `2 d 3 h`, `1 h 10 min`, `12 min`; below a minute `37.2 s`. */
export const durationText = (ms: number, language: Language): string => {
  const [day, hour, minute, second] = UNITS[language]
  if (ms < MINUTE_MS) return `${(ms / SECOND_MS).toFixed(1)} ${second}`
  const parts = [
    [Math.floor(ms / DAY_MS), day],
    [Math.floor((ms % DAY_MS) / HOUR_MS), hour],
    [Math.floor((ms % HOUR_MS) / MINUTE_MS), minute],
  ] as const
  const first = parts.findIndex(([count]) => count > 0)
  const biggest = parts.slice(first, first + 2).filter(([count]) => count > 0)
  return biggest.map(([count, unit]) => `${count} ${unit}`).join(' ')
}

/** `21 × refused, 2 × dropped`: the codes are what the documents list. */
export const countsOf = (counts: Outage['faults']): string =>
  (Object.entries(counts) as [FaultCode, number][]).map(([code, count]) => `${count} × ${code}`).join(', ')

/** What happened, without the advice: it is over. */
export const causeOf = ({ code, detail }: Fault, language: Language): string => {
  const because = faults[code].because[language]
  if (detail === undefined) return because
  return language === 'zh' ? `${because}（${detail}）` : `${because} (${detail})`
}

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

const english: OutageWords = {
  began: ({ latest }, status, now, untold) => {
    const what = status.state === 'parked' ? 'parked' : 'not live'
    const times = untold.count > 0 ? ` (${untold.count + 1} times within ${durationText(untold.withinMs, 'en')})` : ''
    return `${status.id} is ${what}${times}, because ${sentence(latest)} ${nextInEnglish(status, now)}`
  },
  stillThere: ({ durationMs, faults, latest }, status, now) => {
    const what = status.state === 'parked' ? 'parked' : 'not live'
    const after = `after ${durationText(durationMs, 'en')} and ${countsOf(faults)}`
    return `${status.id} is still ${what} ${after}. The latest: ${sentence(latest)} ${nextInEnglish(status, now)}`
  },
  ended: ({ link, end, durationMs, attempts, faults, cause }, { count }) => {
    const after = `after ${durationText(durationMs, 'en')}, ${plural(attempts, 'attempt')} and ${countsOf(faults)}`
    const before = count > 0 ? ` It had not been live ${plural(count, 'time')} more before that.` : ''
    const what = { recovered: 'is live again', held: 'was put on hold', stopped: 'was stopped' }[end ?? 'recovered']
    return `${link} ${what} ${after}. The cause: ${causeOf(cause, 'en')}.${before}`
  },
  steady: (id, forMs, { count, withinMs }) => {
    const before = `${plural(count, 'more outage')} within ${durationText(withinMs, 'en')}`
    return `${id} has been live for ${durationText(forMs, 'en')}, after ${before}.`
  },
}

const nextInEnglish = (status: LinkStatus, now: number): string => {
  const { next, inMs } = explain(status, now, 'en')
  return `Next: ${next}${inMs === null ? '' : ` in ${durationText(inMs, 'en')} at the latest`}.`
}

const chinese: OutageWords = {
  began: ({ latest }, status, now, untold) => {
    const what = status.state === 'parked' ? '已停放' : '不在线'
    const times = untold.count > 0 ? `（${durationText(untold.withinMs, 'zh')}内第 ${untold.count + 1} 次）` : ''
    return `${status.id} ${what}${times}。原因：${sentence(latest, 'zh')}${nextInChinese(status, now)}`
  },
  stillThere: ({ durationMs, faults, latest }, status, now) => {
    const what = status.state === 'parked' ? '停放' : '不在线'
    const after = `已持续 ${durationText(durationMs, 'zh')}，故障：${countsOf(faults)}`
    return `${status.id} 仍${what}，${after}。最近一次：${sentence(latest, 'zh')}${nextInChinese(status, now)}`
  },
  ended: ({ link, end, durationMs, attempts, faults, cause }, { count }) => {
    const what = { recovered: '已恢复在线', held: '已被暂停', stopped: '已停止' }[end ?? 'recovered']
    const after = `中断 ${durationText(durationMs, 'zh')}，尝试 ${attempts} 次，故障：${countsOf(faults)}`
    const before = count > 0 ? `此前另有 ${count} 次中断。` : ''
    return `${link} ${what}，${after}。原因：${causeOf(cause, 'zh')}。${before}`
  },
  steady: (id, forMs, { count, withinMs }) =>
    `${id} 已稳定在线 ${durationText(forMs, 'zh')}；此前 ${durationText(withinMs, 'zh')}内另有 ${count} 次中断。`,
}

const nextInChinese = (status: LinkStatus, now: number): string => {
  const { next, inMs } = explain(status, now, 'zh')
  return `接下来：${inMs === null ? '' : `最迟 ${durationText(inMs, 'zh')}后`}${next}。`
}

export const outageWords: Record<Language, OutageWords> = { en: english, zh: chinese }
