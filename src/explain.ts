/** Where a link is, why, and what happens next: in a sentence, in English or Chinese. */
import type { Fault } from '../machines/fault.ts'
import type { StateName } from '../machines/link.ts'
import { sentence } from './error.ts'

export type Language = 'en' | 'zh'

/** What a link shows of itself. Plain data. */
export interface LinkStatus {
  readonly id: string
  readonly state: StateName
  /** Since when it is in this state: milliseconds since 1970. */
  readonly since: number
  /** The dial that this is, counted from 1 since the link last proved itself. */
  readonly attempt: number
  /** What went wrong last, or null. */
  readonly fault: Fault | null
  /** In backoff: when the next dial comes, in milliseconds since 1970. Otherwise null. */
  readonly nextDialAt: number | null
}

export interface Explanation {
  readonly state: StateName
  readonly because: string
  readonly next: string
  /** Milliseconds until `next`, or null where it waits for the peer or for a person. */
  readonly inMs: number | null
  /** All of it in one line. */
  readonly text: string
}

const IS: Record<StateName, [en: string, zh: string]> = {
  resolving: ['looking for the peer', '正在查找对端'],
  connecting: ['connecting', '正在连接'],
  handshaking: ['connected, and waiting for the welcome', '已连接，等待对端欢迎'],
  registered: ['welcomed, and catching up', '已被接纳，正在补齐消息'],
  live: ['live', '在线'],
  'degraded.suspect': ['in doubt: a heartbeat went unanswered', '存疑：心跳未获应答'],
  'degraded.impaired': ['connected but impaired', '已连接但功能受损'],
  backoff: ['waiting before the next dial', '等待下一次拨号'],
  closing: ['closing', '正在关闭'],
  parked: ['parked: it waits for a person', '已停放：需要人工处理'],
  stopped: ['stopped', '已停止'],
}

const NEXT: Record<StateName, [en: string, zh: string]> = {
  resolving: ['it connects as soon as there is an address', '取得地址后立即连接'],
  connecting: ['it goes on when the peer answers, or tries again', '对端应答后继续，否则重试'],
  handshaking: ['it goes on when the peer welcomes us, or tries again', '对端欢迎后继续，否则重试'],
  registered: ['it is live when the peer has caught us up', '补齐后即在线'],
  live: ['the heartbeat watches it', '由心跳监视'],
  'degraded.suspect': ['any sign of life clears it, silence means a new dial', '有响应即恢复，否则重新拨号'],
  'degraded.impaired': ['it is live again when the peer says so', '对端恢复后即在线'],
  backoff: ['it dials again', '再次拨号'],
  closing: ['it stops when all is delivered, or at its deadline', '送达全部消息或到期后停止'],
  parked: ['nothing, until somebody calls resume()', '调用 resume() 之前不会有动作'],
  stopped: ['nothing', '无'],
}

export const explain = (status: LinkStatus, now: number, language: Language = 'en'): Explanation => {
  const { state, fault, attempt, nextDialAt } = status
  const at = language === 'zh' ? 1 : 0
  const inMs = nextDialAt === null ? null : Math.max(0, nextDialAt - now)
  const because = becauseOf(state, fault, language)
  const next = NEXT[state][at]
  const wait =
    inMs === null
      ? ''
      : language === 'zh'
        ? `最迟 ${(inMs / 1000).toFixed(1)} 秒后`
        : ` in ${(inMs / 1000).toFixed(1)} s at the latest`
  const text =
    language === 'zh'
      ? `${status.id} ${IS[state][at]}（第 ${attempt} 次）。${because && `原因：${because}`}接下来：${wait}${next}。`
      : `${status.id} is ${IS[state][at]} (attempt ${attempt}).${because && ` Because ${because}`} Next: ${next}${wait}.`
  return { state, because, next, inMs, text }
}

/** A live link needs no reason: what went wrong before it is history. */
const becauseOf = (state: StateName, fault: Fault | null, language: Language): string =>
  !fault || state === 'live' || state === 'registered' || state === 'degraded.suspect' ? '' : sentence(fault, language)
