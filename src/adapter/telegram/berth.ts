/** Where Telegram posts to: the options of a webhook, and its place at the listener. */
import { randomBytes } from 'node:crypto'
import type { Berth, CallerHeaders, Listener } from '../../berth.ts'
import { HoldfastError } from '../../error.ts'
import { reveal, type Secret, tokenCheck } from '../../secret.ts'
import { checkTarget, describe, refuseUnknown } from '../adapter.ts'
import { isWholeFrom } from './reply.ts'

export interface TelegramWebhook {
  /** Where the posts arrive, behind your proxy: `listener({ port })` of holdfast/listen. Many bots can share one. */
  readonly listener: Listener
  /** What Telegram posts to: the public address of your proxy, with a path of its own for each bot. */
  readonly url: string
  /** The path under which your proxy hands the posts on. Default: that of `url`. */
  readonly path?: string
  /** What Telegram shows with each post: 8 to 256 letters, digits, `_` and `-`. Default: a new one for each process. */
  readonly secret?: string | Secret
  /** So many posts at a time, up to 100. Default 1. Updates of one chat keep their order, those of several may not. */
  readonly maxConnections?: number
}

/** A webhook as it is set, with its secret in the clear. */
export interface WebhookSetup {
  readonly url: string
  readonly secret: string
  readonly maxConnections: number
}

const KNOWN = [
  'listener',
  'url',
  'path',
  'secret',
  'maxConnections',
] as const satisfies readonly (keyof TelegramWebhook)[]

const SECRET = /^[\w-]{8,256}$/
const SECRET_BYTES = 32
const CONNECTIONS_MAX = 100
/** Those that Telegram posts to; a Bot API server of one's own posts to any. */
const PORTS: readonly string[] = ['', '80', '88', '443', '8443']

/** `isOwnApi`: not Telegram's own server, so the limits of that one do not count. */
export const webhookSetup = (webhook: TelegramWebhook, isOwnApi: boolean): WebhookSetup => {
  refuseUnknown(webhook ?? {}, KNOWN, 'options of telegram({ webhook })')
  const { url, secret, maxConnections = 1 } = webhook ?? {}
  checkTarget({ url }, 'telegram({ webhook })', isOwnApi ? ['https', 'http'] : ['https'])
  if (!isOwnApi && !PORTS.includes(new URL(url).port))
    throw wrong('url', 'has a port to which Telegram does not post', 'one of 443, 80, 88 and 8443')
  if (!isWholeFrom(1, maxConnections) || maxConnections > CONNECTIONS_MAX)
    throw wrong('maxConnections', `is ${describe(maxConnections)}`, 'a whole number from 1 to 100')
  return { url, secret: secretOf(secret), maxConnections }
}

const secretOf = (given: unknown): string => {
  if (given === undefined) return randomBytes(SECRET_BYTES).toString('base64url')
  const text = reveal(given as string | Secret)
  if (typeof text === 'string' && SECRET.test(text)) return text
  throw wrong('secret', 'cannot be sent', '8 to 256 letters, digits, _ and -')
}

/** `isFull` says whether posts shall stay at Telegram for now. */
export const webhookBerth = (
  { listener, url, path = new URL(url).pathname }: TelegramWebhook,
  secret: string,
  isFull: () => boolean,
): Berth => {
  if (typeof listener?.webhook !== 'function')
    throw wrong('listener', `is ${describe(listener)}`, 'what listener({ port }) of holdfast/listen gives')
  const isSecret = tokenCheck(secret)
  const isTelegram = (headers: CallerHeaders) => isSecret(headers['x-telegram-bot-api-secret-token'] ?? '')
  return listener.webhook({
    path,
    identity: TELEGRAM,
    // by the secret alone: the body of a stranger is not read, and what it guesses is not held against Telegram
    identify: (headers) => (isTelegram(headers) ? TELEGRAM : 'somebody else'),
    verify: isTelegram,
    isFull,
  })
}

const TELEGRAM = 'telegram'

const wrong = (name: string, what: string, must: string): HoldfastError =>
  new HoldfastError('bad-option', `telegram({ webhook: { ${name} } }) ${what}; it must be ${must}.`)
