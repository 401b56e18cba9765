/** Incidents of many links in sentences, in English and Chinese: one line each. */
import { sentence } from '../error.ts'
import type { Language } from '../explain.ts'
import type { ShownIncident } from './incident.ts'
import { causeOf, countsOf, durationText, plural, type Untold } from './outage-words.ts'

export interface IncidentWords {
  /** `of`: the name of their adapter. */
  began(of: string, incident: ShownIncident): string
  stillThere(of: string, incident: ShownIncident): string
  ended(of: string, incident: ShownIncident): string
  /** What is put behind a line when there were outages that no line told of; empty when there were none. */
  untold(untold: Untold): string
  steady(of: string, forMs: number, untold: Untold): string
}

const NAMED_MAX = 3

/** Three at most are named. */
const named = (ids: readonly string[], comma: string): [names: string, more: number] => [
  ids.slice(0, NAMED_MAX).join(comma),
  Math.max(0, ids.length - NAMED_MAX),
]

const namedInEnglish = (ids: readonly string[]): string => {
  const [names, more] = named(ids, ', ')
  return more > 0 ? `${names} and ${more} more` : names
}

const english: IncidentWords = {
  began: (of, { total, out, isParked, cause, causes }) => {
    const what = `${plural(total, 'link')} of ${of} ${isParked ? 'are parked' : 'are not live'}`
    const isOne = Object.keys(causes).length === 1
    const why = isOne ? ', because' : `: ${countsOf(causes)}. Most of them because`
    const back = total - out.length
    const who = back > 0 ? `${back} are back, each of the others` : 'Each of them'
    const next = isParked ? 'Nothing happens until somebody calls resume()' : `${who} dials again by itself`
    return `${what}${why} ${sentence(cause)} ${next}: ${namedInEnglish(out)}.`
  },
  stillThere: (of, { total, out, isParked, durationMs, faults, cause }) => {
    const [some, all] = [out.length, plural(total, 'link')]
    const who = some === total ? `${all} of ${of} are` : `${some} of ${all} of ${of} ${some === 1 ? 'is' : 'are'}`
    const after = `after ${durationText(durationMs, 'en')} and ${countsOf(faults)}`
    const why = `The cause: ${causeOf(cause, 'en')}.`
    return `${who} still ${isParked ? 'parked' : 'not live'} ${after}: ${namedInEnglish(out)}. ${why}`
  },
  ended: (of, { total, ends, durationMs, longestMs, faults, cause }) => {
    const parts = [
      [ends.recovered, 'live again'],
      [ends.held, 'on hold'],
      [ends.stopped, 'stopped'],
      [parkedOf(total, ends), 'parked'],
    ] as const
    const others = parts.filter(([count]) => count > 0 && count < total).map(([count, what]) => `${count} ${what}`)
    const whole = parts.find(([count]) => count === total)?.[1]
    const who = `${plural(total, 'link')} of ${of} are ${whole ?? others.join(', ')}`
    const after = `after ${durationText(durationMs, 'en')} and ${countsOf(faults)}`
    return `${who} ${after}; the longest was out for ${durationText(longestMs, 'en')}. The cause: ${causeOf(cause, 'en')}.`
  },
  untold: ({ count, withinMs }) =>
    count > 0 ? ` ${plural(count, 'more outage')} within ${durationText(withinMs, 'en')} were only counted.` : '',
  steady: (of, forMs, { count, withinMs }) => {
    const before = `${plural(count, 'more outage')} within ${durationText(withinMs, 'en')}`
    return `The links of ${of} have had no new outage for ${durationText(forMs, 'en')}, after ${before}.`
  },
}

const namedInChinese = (ids: readonly string[]): string => {
  const [names, more] = named(ids, '、')
  return more > 0 ? `${names} 等 ${ids.length} 个` : names
}

const chinese: IncidentWords = {
  began: (of, { total, out, isParked, cause, causes }) => {
    const what = `${of} 的 ${total} 个连接${isParked ? '已停放' : '不在线'}`
    const isOne = Object.keys(causes).length === 1
    const why = isOne ? '。原因：' : `：${countsOf(causes)}。主要原因：`
    const back = total - out.length
    const who = back > 0 ? `${back} 个已恢复，其余` : '各'
    const next = isParked ? '调用 resume() 之前不会有动作' : `${who}连接会自行再次拨号`
    return `${what}${why}${sentence(cause, 'zh')}${next}：${namedInChinese(out)}。`
  },
  stillThere: (of, { total, out, isParked, durationMs, faults, cause }) => {
    const some = out.length === total ? `${total} 个连接` : `${total} 个连接中有 ${out.length} 个`
    const after = `已持续 ${durationText(durationMs, 'zh')}，故障：${countsOf(faults)}`
    const why = `原因：${causeOf(cause, 'zh')}。`
    return `${of} 的 ${some}仍${isParked ? '停放' : '不在线'}，${after}：${namedInChinese(out)}。${why}`
  },
  ended: (of, { total, ends, durationMs, longestMs, faults, cause }) => {
    const parts = [
      [ends.recovered, '已恢复在线'],
      [ends.held, '已暂停'],
      [ends.stopped, '已停止'],
      [parkedOf(total, ends), '已停放'],
    ] as const
    const others = parts.filter(([count]) => count > 0 && count < total).map(([count, what]) => `${count} 个${what}`)
    const whole = parts.find(([count]) => count === total)?.[1]
    const who = `${of} 的 ${total} 个连接${whole ?? `中 ${others.join('、')}`}`
    const after = `历时 ${durationText(durationMs, 'zh')}，最长中断 ${durationText(longestMs, 'zh')}`
    const why = `故障：${countsOf(faults)}。原因：${causeOf(cause, 'zh')}。`
    return `${who}，${after}，${why}`
  },
  untold: ({ count, withinMs }) =>
    count > 0 ? `另有 ${count} 次中断在 ${durationText(withinMs, 'zh')}内仅计数。` : '',
  steady: (of, forMs, { count, withinMs }) =>
    `${of} 的连接已有 ${durationText(forMs, 'zh')}没有新的中断；此前 ${durationText(withinMs, 'zh')}内另有 ${count} 次。`,
}

/** Those that were parked meanwhile are told of elsewhere. */
const parkedOf = (total: number, ends: ShownIncident['ends']): number =>
  total - ends.recovered - ends.held - ends.stopped

export const incidentWords: Record<Language, IncidentWords> = { en: english, zh: chinese }
