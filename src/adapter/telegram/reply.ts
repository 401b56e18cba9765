/** What the Bot API is asked, and what it answers to every method: a result, or a refusal. */
import type { Fault } from '../../../machines/fault.ts'
import { type Answer, ask, type Question } from '../../exchange.ts'
import type { Frame, Io, Verdict } from '../adapter.ts'
import { asObject, readObject } from '../json.ts'
import type { TelegramUpdate } from '../telegram.ts'

/** For an answer that comes at once. */
const ANSWER_MS = 10_000
const HEADERS = { 'Content-Type': 'application/json' }

/** Asks for a method of the Bot API. */
export const question = (
  key: string,
  method: string,
  params: object = {},
  more: Partial<Pick<Question, 'withinMs' | 'afterMs' | 'isGoodbye'>> = {},
): Frame =>
  ask({
    key,
    method: 'POST',
    path: method,
    headers: HEADERS,
    body: JSON.stringify(params),
    withinMs: ANSWER_MS,
    ...more,
  })

export type Reply =
  | { readonly ok: true; readonly result: unknown }
  | {
      readonly ok: false
      /** An HTTP status, whatever that of the answer was. */
      readonly code: number
      /** In words, with the code. */
      readonly account: string
      /** How long Telegram asks us to wait, in milliseconds. */
      readonly retryAfterMs?: number
    }

/** Undefined if it was not the Bot API that answered: a proxy, a login page. */
export const readReply = (status: number, body: string): Reply | undefined => {
  const { ok, result, error_code, description, parameters } = readObject(body) ?? {}
  if (ok === true) return { ok, result }
  if (ok !== false) return undefined
  const code = isWholeFrom(100, error_code) ? error_code : status
  const said = typeof description === 'string' && description !== '' ? `: ${description}` : ''
  const seconds = asObject(parameters)?.retry_after
  const isWait = typeof seconds === 'number' && seconds > 0
  return { ok, code, account: `HTTP ${code}${said}`, ...(isWait && { retryAfterMs: seconds * 1_000 }) }
}

export type Refusal = Reply & { readonly ok: false }

/** What a refusal means for the link. */
export const faultOfRefusal = ({ code, account: detail, retryAfterMs }: Refusal): Fault => {
  if (code === 401 || code === 404) return { code: 'credentials-rejected', detail }
  if (code === 429) return { code: 'throttled', detail, ...(retryAfterMs !== undefined && { retryAfterMs }) }
  return { code: code >= 500 ? 'peer-unavailable' : 'protocol-violated', detail }
}

/** Whether a refusal concerns the bot, whatever was asked. */
export const isOfBot = ({ code }: Refusal): boolean => code === 401 || code === 404 || code === 429

/** What it means that somebody else answered. */
const faultOfStranger = (status: number): Fault => ({
  code: status >= 500 ? 'peer-unavailable' : 'protocol-violated',
  detail: `HTTP ${status}, and no answer of the Bot API`,
})

/** What getMe says must be the bot that the link is for. */
const faultOfBot = (result: unknown, bot: number): Fault | undefined => {
  const id = asObject(result)?.id
  if (id === bot) return undefined
  if (!isWholeFrom(1, id)) return { code: 'protocol-violated', detail: 'getMe gave no id' }
  return { code: 'credentials-rejected', detail: `the Bot API speaks for bot ${id}, not for ${bot}` }
}

/** How one way of coming to updates takes what the Bot API says. */
export interface Asker {
  /** Without an answer to it the transport is of no use; everything else is a probe, which is the heartbeat's affair, or a try. */
  isEssential(key: string): boolean
  answered(key: string, result: unknown): Verdict
  refused(key: string, refusal: Refusal): Verdict
}

/** Hands an answer of the Bot API on to who asked. */
export const takeReply = (answer: Answer | undefined, io: Io<TelegramUpdate>, asker: Asker): Verdict => {
  if (answer?.kind === 'fault') {
    if (asker.isEssential(answer.key)) failWith(io, answer.fault)
    return 'taken'
  }
  if (answer?.kind !== 'whole') return 'malformed'
  const { key, status, body } = answer
  const reply = readReply(status, body)
  if (reply) return reply.ok ? asker.answered(key, reply.result) : asker.refused(key, reply)
  if (asker.isEssential(key)) failWith(io, faultOfStranger(status))
  return 'malformed'
}

export const failWith = (io: Io<TelegramUpdate>, { code, ...more }: Fault): void => io.fail(code, more)

/** Goes on if getMe gave the bot that the link is for. */
export const recognize = (result: unknown, bot: number, io: Io<TelegramUpdate>, goOn: () => void): Verdict => {
  const fault = faultOfBot(result, bot)
  if (fault) failWith(io, fault)
  else goOn()
  return fault?.code === 'protocol-violated' ? 'malformed' : 'taken'
}

export const isUpdate = (value: unknown): value is TelegramUpdate => isWholeFrom(0, asObject(value)?.update_id)

export const isWholeFrom = (min: number, value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= min
