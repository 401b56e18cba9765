/** `holdfast health`: asks a bot whether it is ready, in one line and an exit code, as the HEALTHCHECK of a container does. */
import { realClock } from '../clock.ts'
import { faultFrom, HoldfastError } from '../error.ts'
import type { Language } from '../explain.ts'
import type { HealthReport } from '../health.ts'
import { publicUrl } from '../secret.ts'
import { readWhole } from '../transport/http-body.ts'
import { type Paint, printable, seconds } from './print.ts'

export interface HealthOptions {
  readonly url: string
  readonly timeoutMs: number
  readonly json: boolean
  readonly language: Language
}

/** Ready; not ready, or something else answered; nobody answered in time. */
export type HealthCode = 0 | 1 | 2

/** What came of the question. Plain data: it is what `--json` prints. */
interface Asked {
  readonly url: string
  readonly exitCode: HealthCode
  /** The HTTP status, or null without an answer. */
  readonly status: number | null
  /** Why there is no answer. */
  readonly detail: string | null
  /** Null if what answered is not holdfast. */
  readonly report: HealthReport | null
}

const BYTES_MAX = 16 * 1024 * 1024
const PATH = '/readyz'

/** Resolves to the exit code. Rejects with HoldfastError `bad-option` on a wrong URL. */
export const askHealth = async (options: HealthOptions, out: NodeJS.WriteStream, paint: Paint): Promise<HealthCode> => {
  const { timeoutMs, json, language } = options
  const url = urlFrom(options.url)
  const abort = new AbortController()
  const timer = realClock.setTimeout(() => abort.abort(), timeoutMs)
  const asked = await ask(url, abort.signal, timeoutMs)
  realClock.clearTimeout(timer)
  out.write(`${json ? JSON.stringify(asked) : lineOf(asked, language, paint)}\n`)
  return asked.exitCode
}

const urlFrom = (text: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new HoldfastError(
      'bad-option',
      `${publicUrl(text)} is no http:// or https:// URL, such as http://127.0.0.1:8081`,
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw new HoldfastError(
      'bad-option',
      `${publicUrl(text)}: leave out the user and the password: health asks for none.`,
    )
  }
  if (url.pathname === '/') url.pathname = PATH
  return url
}

const ask = async (url: URL, signal: AbortSignal, timeoutMs: number): Promise<Asked> => {
  const shown = publicUrl(url.href)
  try {
    const response = await fetch(url, { signal, redirect: 'manual' })
    const text = response.body ? await readWhole(response.body, BYTES_MAX) : ''
    const { status } = response
    return { url: shown, exitCode: status === 200 ? 0 : 1, status, detail: null, report: reportIn(text) }
  } catch (error) {
    const late = `no answer within ${seconds(timeoutMs)}`
    const detail = signal.aborted ? late : (faultFrom(error, 'connecting').detail ?? 'no answer')
    return { url: shown, exitCode: 2, status: null, detail: printable(detail), report: null }
  }
}

const reportIn = (text: string): HealthReport | null => {
  try {
    const report = JSON.parse(text)
    return isReport(report) ? report : null
  } catch {
    return null
  }
}

/** As far as it is shown: anybody may answer at that address. */
const isReport = (value: unknown): value is HealthReport => {
  const { ready, of, state, since, reason, next, at } = (value ?? {}) as Record<keyof HealthReport, unknown>
  const areTexts = [state, next, of ?? '', reason ?? ''].every((each) => typeof each === 'string')
  return areTexts && typeof ready === 'boolean' && [at, since ?? 0].every((each) => typeof each === 'number')
}

const VERDICTS = {
  0: { en: 'READY', zh: '就绪', style: 'green' },
  1: { en: 'NOT READY', zh: '未就绪', style: 'yellow' },
  2: { en: 'NO ANSWER', zh: '无应答', style: 'red' },
} as const

/** `NOT READY  qq-main is backoff for 12.0 s: refused. Next: it dials again  (HTTP 503)` */
const lineOf = (asked: Asked, language: Language, paint: Paint): string => {
  const { exitCode, status, report, detail, url } = asked
  const verdict = VERDICTS[exitCode]
  const told = report ? sentenceOf(report, language) : (detail ?? '')
  const source = status === null ? url : `HTTP ${status}`
  const parts = [paint(verdict.style, verdict[language]), printable(told), paint('gray', `(${source})`)]
  return parts.filter(Boolean).join('  ')
}

const sentenceOf = ({ of, state, since, at, reason, next, ready }: HealthReport, language: Language): string => {
  const isChinese = language === 'zh'
  const long = since === null ? '' : seconds(Math.max(0, at - since))
  const why = reason === null || reason === state ? '' : `${isChinese ? '：' : ': '}${reason}`
  const then = ready ? '' : `${isChinese ? '。接下来：' : '. Next: '}${next}`
  const what = isChinese
    ? `${of ?? '连接'} 处于 ${state}${long && ` 已 ${long}`}`
    : `${of ?? 'a link'} is ${state}${long && ` for ${long}`}`
  return what + why + then
}
