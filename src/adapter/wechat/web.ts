/**
 * What WeChat's web protocol answers, read strictly. wechat4u evaluates whatever comes, takes a page of HTML for "all is
 * well" and compares "1101" with 1101 (incident 4); here an answer is of the protocol or it is not, and codes are numbers.
 */
import { asObject } from '../json.ts'

/** The requests that a login and its upkeep consist of. All others are single operations. */
export type Step = 'jslogin' | 'login' | 'redirect' | 'init' | 'synccheck' | 'sync'

export type Meaning =
  | 'well'
  /** The code on the screen was not scanned in time. */
  | 'expired'
  /** The session is no more. */
  | 'logged-out'
  /** This account may not use WeChat on the web. */
  | 'banned'
  /** Refused for now, because of too much or for no reason. */
  | 'throttled'
  /** Of the protocol, and not good. */
  | 'odd'
  /** Not of the protocol: a page of HTML, a broken text. */
  | 'garbled'

export interface Ruling {
  readonly meaning: Meaning
  /** WeChat's own number, where there is one. */
  readonly code?: number
}

export const ruleOn = (step: Step, status: unknown, body: unknown): Ruling => {
  if (step === 'redirect') return status === 301 ? ruleOnRedirect(body) : GARBLED
  if (status !== 200) return GARBLED
  return step === 'init' || step === 'sync' ? ruleOnObject(step, body) : ruleOnScript(step, body)
}

/** A retcode comes as a number or as a text. */
export const retcodeOf = (value: unknown): number | undefined => {
  const text = typeof value === 'number' || typeof value === 'string' ? String(value) : ''
  return /^-?\d{1,6}$/.test(text) ? Number(text) : undefined
}

const GARBLED: Ruling = { meaning: 'garbled' }

/** The whole answer, and nothing else in it: wechat4u runs it as a program. */
const SCRIPTS = {
  jslogin: /^\s*window\.QRLogin\.code\s*=\s*(\d+);\s*(?:window\.QRLogin\.uuid\s*=\s*"[\w=+/-]*";?\s*)?$/,
  login:
    /^\s*window\.code\s*=\s*(\d+);?\s*(?:window\.(?:userAvatar|redirect_uri)\s*=\s*(?:"[^"\\\n]*"|'[^'\\\n]*');?\s*)?$/,
  synccheck: /^\s*window\.synccheck\s*=\s*\{\s*retcode\s*:\s*"(-?\d+)"\s*,\s*selector\s*:\s*"\d+"\s*\};?\s*$/,
} as const

const ruleOnScript = (step: keyof typeof SCRIPTS, body: unknown): Ruling => {
  const code = typeof body === 'string' ? retcodeOf(SCRIPTS[step].exec(body)?.[1]) : undefined
  if (code === undefined) return GARBLED
  if (step === 'synccheck') return ruleOnCode(step, code)
  if (step === 'jslogin') return { meaning: code === 200 ? 'well' : 'odd', code }
  if (code === EXPIRED) return { meaning: 'expired', code }
  return { meaning: WAITING.has(code) ? 'well' : 'odd', code }
}

const ruleOnObject = (step: 'init' | 'sync', body: unknown): Ruling => {
  const code = retcodeOf(asObject(asObject(body)?.BaseResponse)?.Ret)
  return code === undefined ? GARBLED : ruleOnCode(step, code)
}

/** Without a number it is the usual redirect, whose cookies are the login. */
const ruleOnRedirect = (body: unknown): Ruling => {
  const text = typeof body === 'string' ? body : ''
  const code = retcodeOf(/<ret>(-?\d{1,6})<\/ret>/.exec(text)?.[1]) ?? 0
  return ruleOnCode('redirect', code)
}

const EXPIRED = 400
/** 408: not scanned yet; 201: scanned, not confirmed yet; 200: confirmed. */
const WAITING = new Set([200, 201, 408])
const LOGGED_OUT = new Set([1100, 1101, 1102])
/** Said at a login only: later the same number means something else. */
const BANNED = new Set([1, 1203])
const THROTTLED = 1205

export const ruleOnCode = (step: Step, code: number): Ruling => {
  if (code === 0) return { meaning: 'well', code }
  if (LOGGED_OUT.has(code)) return { meaning: 'logged-out', code }
  if (code === THROTTLED) return { meaning: 'throttled', code }
  if ((step === 'init' || step === 'redirect') && BANNED.has(code)) return { meaning: 'banned', code }
  return { meaning: 'odd', code }
}
