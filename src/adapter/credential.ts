/**
 * A token that may change: given once, or by a provider that is asked before every dial. Several links of one adapter
 * that ask at once share one flight, and no answer is kept for a later attempt: only a provider knows what is fresh.
 *
 * There is no limit to how often a provider is asked, because nobody asks without a dial: two rejections in a row park
 * the link, and a peer that welcomes first and rejects then is dialed along the costly curve (regression R26).
 */
import { type Clock, realClock } from '../clock.ts'
import { faultFrom, HoldfastError, isHoldfastError, textOf } from '../error.ts'
import { isSecret, type Secret, scrubber } from '../secret.ts'
import { checkToken, describe, type TargetContext } from './adapter.ts'

export type Token = string | Secret

/** A token that ends. Where both are given, the earlier counts. */
export interface ExpiringToken {
  readonly token: Token
  /** In milliseconds since 1970. */
  readonly expiresAt?: number
  /** Counted from when the provider was asked, so a slow answer makes it end no later. */
  readonly expiresInMs?: number
}

export interface TokenQuestion {
  /** Fires when nobody waits for the answer any more. */
  readonly signal: AbortSignal
  /** `rejected`: the peer does not accept what was given last, so do not take it out of a cache. */
  readonly because: 'attempt' | 'rejected'
}

/** Gives a token for the next attempt. Throwing, or giving something else, costs that attempt and no more. */
export type TokenProvider = (question: TokenQuestion) => Token | ExpiringToken | Promise<Token | ExpiringToken>

/** A token as it can be sent. */
export interface CheckedToken {
  readonly token: string
  /** In milliseconds since 1970. */
  readonly expiresAt?: number
}

export interface Credential {
  /**
   * The token for an attempt. Rejects when the signal fires, and when the provider fails; the message names the option
   * that the provider was given as, and holds no secret.
   */
  get(context: TargetContext): Promise<CheckedToken>
  /** Whether asking again can give another token. */
  readonly isRenewable: boolean
  /** The token that was given last. */
  readonly latest: string | undefined
}

/**
 * `where` names the option in errors, as in `onebot({ accessToken })`.
 * Throws HoldfastError `bad-option` at once if it is neither a token that can be sent nor a function.
 */
export const credential = (
  given: Token | TokenProvider,
  where: string,
  { clock = realClock }: { clock?: Clock } = {},
): Credential => {
  if (typeof given === 'function') return new ProvidedCredential(given, where, clock)
  const token = checkToken(given, where)
  return { get: async () => ({ token }), isRenewable: false, latest: token }
}

interface Waiting {
  resolve(given: CheckedToken): void
  reject(error: unknown): void
  /** Takes its listener off its signal. */
  forget(): void
}

interface Flight {
  readonly because: TokenQuestion['because']
  readonly abort: AbortController
}

class ProvidedCredential implements Credential {
  readonly isRenewable = true
  latest: string | undefined
  readonly #provider: TokenProvider
  readonly #where: string
  readonly #clock: Clock
  readonly #waiting = new Set<Waiting>()
  /** There is one at most: when it is replaced, whoever waited for it waits for its successor. */
  #flight: Flight | undefined

  constructor(provider: TokenProvider, where: string, clock: Clock) {
    this.#provider = provider
    this.#where = where
    this.#clock = clock
  }

  get({ signal, rejected = false }: TargetContext): Promise<CheckedToken> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiting)
        if (this.#waiting.size === 0) this.#abandon()
        reject(new HoldfastError('aborted', `Nobody waits for ${this.#where} any more.`, { cause: signal.reason }))
      }
      const waiting = { resolve, reject, forget: () => signal.removeEventListener('abort', leave) }
      if (signal.aborted) return leave()
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.add(waiting)
      // what was asked before the rejection may be answered with the very token that was rejected
      if (!this.#flight || (rejected && this.#flight.because === 'attempt'))
        this.#ask(rejected ? 'rejected' : 'attempt')
    })
  }

  #ask(because: TokenQuestion['because']): void {
    this.#abandon()
    const flight = { because, abort: new AbortController() }
    this.#flight = flight
    this.#answerTo({ because, signal: flight.abort.signal }).then(
      (given) => {
        if (this.#flight === flight) this.latest = given.token
        this.#settle(flight, ({ resolve }) => resolve(given))
      },
      (error) => this.#settle(flight, ({ reject }) => reject(error)),
    )
  }

  #abandon(): void {
    const flight = this.#flight
    this.#flight = undefined
    flight?.abort.abort()
  }

  /** An answer that comes after its flight was given up belongs to nobody (regression R12). */
  #settle(flight: Flight, tell: (waiting: Waiting) => void): void {
    if (this.#flight !== flight) return
    this.#flight = undefined
    const all = [...this.#waiting]
    this.#waiting.clear()
    for (const waiting of all) {
      waiting.forget()
      tell(waiting)
    }
  }

  async #answerTo(question: TokenQuestion): Promise<CheckedToken> {
    const askedAt = this.#clock.wall()
    let given: unknown
    try {
      given = await this.#provider(question)
    } catch (error) {
      throw this.#failed(error)
    }
    try {
      return checkGiven(given, this.#where, askedAt)
    } catch (error) {
      // what a getter of it threw may say anything
      throw isHoldfastError(error) ? error : this.#failed(error)
    }
  }

  /** Without the cause itself: whoever prints it would print the token that is taken out of its words here. */
  #failed(error: unknown): Error {
    const scrub = scrubber(this.latest === undefined ? [] : [this.latest])
    return new Error(scrub(`${this.#where} failed: ${accountOf(error)}`))
  }
}

/** What was thrown, and what was behind it: "fetch failed" alone helps nobody. */
const accountOf = (error: unknown): string => {
  const text = textOf(error)
  const { detail = '' } = faultFrom(error, 'resolving')
  return text.includes(detail) ? text : `${text}: ${detail}`
}

/** So many milliseconds after 1970 is 1973; as seconds it is the year 5138. */
const LOOKS_LIKE_SECONDS_MAX = 1e11

const checkGiven = (given: unknown, where: string, askedAt: number): CheckedToken => {
  const what = `The token that ${where} gave`
  if (typeof given !== 'object' || given === null || isSecret(given)) return { token: checkToken(given, what) }
  const { token, expiresAt, expiresInMs } = given as Record<string, unknown>
  const checked = checkToken(token, what)
  const ends: number[] = []
  if (expiresAt !== undefined) {
    const min = LOOKS_LIKE_SECONDS_MAX
    ends.push(checkTime(expiresAt, min, `expiresAt that ${where} gave`, 'milliseconds (not seconds) since 1970'))
  }
  if (expiresInMs !== undefined)
    ends.push(askedAt + checkTime(expiresInMs, 0, `expiresInMs that ${where} gave`, 'from 0 on'))
  return ends.length === 0 ? { token: checked } : { token: checked, expiresAt: Math.min(...ends) }
}

const checkTime = (value: unknown, min: number, what: string, wants: string): number => {
  if (typeof value === 'number' && Number.isFinite(value) && value >= min) return value
  throw new HoldfastError('bad-option', `The ${what} is ${describe(value)}; it must be a number, ${wants}.`)
}
