/** What the Bot API answers to every method: a result, or a refusal. */
import { asObject, readObject } from './json.ts'

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

export const isWholeFrom = (min: number, value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= min
