/**
 * Secrets are a type that prints as `***` in every way that JavaScript can print, and a scrubber that takes them out of
 * texts which others wrote (error messages, close reasons). Both work at the source, before anything is recorded.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

const HIDDEN = '***'

const BRAND = Symbol.for('holdfast.secret')

export class Secret {
  readonly #value: string
  readonly [BRAND] = true

  constructor(value: string) {
    this.#value = value
  }

  /** The real value. Call it only where it is written to the peer. */
  reveal(): string {
    return this.#value
  }

  toString(): string {
    return HIDDEN
  }

  toJSON(): string {
    return HIDDEN
  }

  [Symbol.toPrimitive](): string {
    return HIDDEN
  }

  [inspect.custom](): string {
    return HIDDEN
  }
}

/** Wraps a token so that no log, error or trace can show it. */
export const secret = (value: string): Secret => new Secret(value)

/** Like `instanceof`, but true across copies of the package (ESM and CommonJS in one process). */
export const isSecret = (value: unknown): value is Secret =>
  typeof value === 'object' && value !== null && BRAND in value

export const reveal = (value: string | Secret): string => (isSecret(value) ? value.reveal() : value)

/** In a time that tells nothing of the token, nor of its length. */
export const tokenCheck = (token: string): ((text: string) => boolean) => {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  const wanted = hash(token)
  return (text) => timingSafeEqual(hash(text), wanted)
}

/** A function that takes secrets out of a text, in the forms in which they travel. */
export type Scrub = (text: string) => string

/** Shorter values would blank out ordinary words. */
const SECRET_LENGTH_MIN = 4
const TEXT_LENGTH_MAX = 512
/** C0, C1, and the marks that turn lines or text direction: a peer must not write to our terminal (T8). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it removes
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g

export const scrubber = (secrets: Iterable<string>): Scrub => {
  const forms = new Set<string>()
  for (const value of secrets) {
    if (value.length < SECRET_LENGTH_MIN) continue
    for (const form of formsOf(value)) forms.add(form)
  }
  const longestFirst = [...forms].sort((a, b) => b.length - a.length)
  return (text) => {
    let clean = text
    for (const form of longestFirst) clean = clean.replaceAll(form, HIDDEN)
    clean = clean.replace(URL_IN_TEXT, publicUrl).replace(CONTROL, ' ').trim()
    return clean.length > TEXT_LENGTH_MAX ? `${clean.slice(0, TEXT_LENGTH_MAX)}…` : clean
  }
}

/** As it is, in JSON, in a URL, in a form, and as Base64 in its four dialects. */
const formsOf = (value: string): string[] => {
  const json = JSON.stringify(value).slice(1, -1)
  // by way of bytes: half a surrogate pair alone cannot be encoded
  const uri = encodeURIComponent(Buffer.from(value).toString())
  const form = new URLSearchParams([['', value]]).toString().slice(1)
  const base64 = Buffer.from(value).toString('base64')
  const base64url = Buffer.from(value).toString('base64url')
  const padding = base64.slice(base64url.length)
  return [value, json, uri, form, base64, base64.slice(0, base64url.length), base64url, base64url + padding]
}

const URL_IN_TEXT = /\b(?:wss?|https?):\/\/[^\s'"<>]+/g
/** Path parts that are credentials by themselves, such as Telegram's `/bot123:ABC/`. */
const SECRET_PATH = /\/bot\d+:[^/]+/g

/** A URL as it may be shown: without user, password and the values of its query. */
export const publicUrl = (text: string): string => {
  if (!URL.canParse(text)) return HIDDEN
  const url = new URL(text)
  url.username = ''
  url.password = ''
  url.hash = ''
  const query = [...url.searchParams.keys()].map((key) => `${encodeURIComponent(key)}=${HIDDEN}`).join('&')
  return `${url.protocol}//${url.host}${url.pathname.replace(SECRET_PATH, `/bot${HIDDEN}`)}${query && `?${query}`}`
}

/** A URL may hold a percent sign that encodes nothing; then it stands for itself. */
export const decodePercent = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Everything secret in a URL: user, password, both as they travel in a header, query values, credential path parts. */
export const secretsOfUrl = (text: string): string[] => {
  if (!URL.canParse(text)) return []
  const url = new URL(text)
  const path = url.pathname.match(SECRET_PATH) ?? []
  const [user, password] = [decodePercent(url.username), decodePercent(url.password)]
  return [
    user,
    password,
    `${user}:${password}`,
    ...url.searchParams.values(),
    // the id before the colon is no secret; what follows it is one by itself
    ...path.flatMap((part) => [part.slice('/bot'.length), part.slice(part.indexOf(':') + 1)]),
  ]
}
