/**
 * Choosing among the endpoints of one link, and judging those that a peer supplies.
 *
 * The measure is the time of a connect to the real port, never an ICMP ping: a ping that timed out was once read as 0
 * ms, and the dead server sorted first (Lagrange, incident 3). Here a failure has no number that could be compared: it
 * is a class of its own, behind all others.
 */
import { isIP } from 'node:net'
import type { Clock } from '../clock.ts'
import { HoldfastError } from '../error.ts'

export interface EndpointBook {
  /**
   * The same URLs, best first, without repeats: those that connect, the fastest first; those never measured, in the
   * order given; those that failed, the longest ago first. At most 256 are returned.
   */
  rank(urls: readonly string[]): string[]
  /**
   * A connect to the real port (TCP, and TLS where there is one) took so many milliseconds: `totalMs` of the dialer's path.
   * Infinity is a failure.
   */
  connected(url: string, ms: number): void
  /**
   * The connect or the handshake failed: the others come first from now on, until it welcomes us or 5 min have passed.
   */
  failed(url: string): void
  /** The peer accepted us there: it is forgiven, and preferred until another one is clearly better. */
  welcomed(url: string): void
  /**
   * Whether all URLs ranked last have failed since the last welcome or `resolved()`: time to resolve anew, then to back
   * off.
   */
  allFailedOnce(): boolean
  /** The names were looked up anew: `allFailedOnce` starts from nothing. The ranking stays. */
  resolved(): void
}

/** More are no choice but a mistake, or an attack. */
const ENDPOINTS_MAX = 256
/** A failure counts for so long: an endpoint that is well again must not wait until all others fail. */
const FAILURE_LASTS_MS = 300_000
/** Weight of a new sample. */
const SMOOTHING = 1 / 4
/** Another endpoint must be better by both to take over from the one that we use: a switch is not free. */
const BETTER_BY_PART = 0.2
const BETTER_BY_MS = 10
const URL_LENGTH_MAX = 2_048

interface Entry {
  /** Smoothed connect time. */
  ms: number | undefined
  failed: { readonly at: number; readonly order: number } | undefined
  /** Since the last welcome or resolve. */
  failedInRound: boolean
}

/** What one link knows about its endpoints. The clock tells how long ago a failure was. */
export const endpointBook = (clock: Clock): EndpointBook => {
  const entries = new Map<string, Entry>()
  let ranked: string[] = []
  let preferred: string | undefined
  /** Failures in order: several may fall into one millisecond. */
  let failures = 0

  /** The most recently touched come last, so that the first can be dropped. */
  const touch = (url: string): Entry => {
    const key = keyOf(url)
    const entry = entries.get(key) ?? { ms: undefined, failed: undefined, failedInRound: false }
    entries.delete(key)
    entries.set(key, entry)
    if (entries.size > ENDPOINTS_MAX) entries.delete(entries.keys().next().value!)
    return entry
  }

  const standing = (url: string): Standing => {
    const { ms, failed } = entries.get(keyOf(url)) ?? {}
    if (failed && clock.now() - failed.at < FAILURE_LASTS_MS) return [FAILED, failed.order]
    return ms === undefined ? [UNMEASURED, 0] : [MEASURED, ms]
  }

  const fail = (url: string): void => {
    const entry = touch(url)
    entry.failed = { at: clock.now(), order: failures++ }
    entry.failedInRound = true
    if (preferred === keyOf(url)) preferred = undefined
  }

  const newRound = (): void => {
    for (const entry of entries.values()) entry.failedInRound = false
  }

  return {
    rank: (urls) => {
      ranked = [...new Set(urls)].slice(0, ENDPOINTS_MAX)
      // sort is stable: equal ones keep the order in which the user wrote them
      const sorted = ranked.map((url) => ({ url, at: standing(url) })).sort((a, b) => compare(a.at, b.at))
      const ours = sorted.find(({ url }) => keyOf(url) === preferred)
      const keep = ours && sorted[0] && !clearlyBetter(sorted[0].at, ours.at)
      const best = keep ? [ours, ...sorted.filter((each) => each !== ours)] : sorted
      return best.map(({ url }) => url)
    },
    connected: (url, ms) => {
      if (ms === Number.POSITIVE_INFINITY) fail(url)
      // no measurement: it proves nothing, and must not look like a fast one
      if (!(ms >= 0 && ms < Number.POSITIVE_INFINITY)) return
      const entry = touch(url)
      entry.ms = entry.ms === undefined ? ms : entry.ms + SMOOTHING * (ms - entry.ms)
    },
    failed: fail,
    welcomed: (url) => {
      touch(url).failed = undefined
      preferred = keyOf(url)
      newRound()
    },
    allFailedOnce: () => ranked.length > 0 && ranked.every((url) => entries.get(keyOf(url))?.failedInRound === true),
    resolved: newRound,
  }
}

const MEASURED = 0
const UNMEASURED = 1
const FAILED = 2

/** The class, and the order within it. */
type Standing = readonly [rank: typeof MEASURED | typeof UNMEASURED | typeof FAILED, order: number]

const compare = (a: Standing, b: Standing): number => a[0] - b[0] || a[1] - b[1]

const clearlyBetter = (other: Standing, ours: Standing): boolean => {
  if (other[0] !== MEASURED || ours[0] !== MEASURED) return other[0] < ours[0]
  const gain = ours[1] - other[1]
  return gain >= BETTER_BY_MS && gain >= BETTER_BY_PART * ours[1]
}

/**
 * An endpoint is its scheme, host, port and path: tokens in the query come and go, and are none of our business. The
 * path stays, because one host may serve several peers.
 */
const keyOf = (url: string): string => {
  if (url.length > URL_LENGTH_MAX || !URL.canParse(url)) return url.slice(0, URL_LENGTH_MAX)
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname}`
}

/** Why an endpoint that a peer supplied is refused; in the order in which it is checked. */
export type EndpointRefusal =
  | 'not-text'
  | 'too-long'
  /** Control characters, spaces and backslashes, plain or percent-encoded: parsers disagree about them. */
  | 'bad-characters'
  /** Not ASCII, or punycode: it may look like the name on the list without being it. */
  | 'not-ascii'
  | 'scheme'
  | 'malformed'
  | 'userinfo'
  | 'ip-literal'
  | 'port'
  | 'fragment'
  | 'host'

export type EndpointVerdict =
  | { readonly allowed: true; readonly url: string }
  | { readonly allowed: false; readonly reason: EndpointRefusal }

export interface EndpointRule {
  /**
   * Names that may be dialed, and with them all names that end in a dot and one of them: `['discord.gg']`. With the
   * scheme `ws`, exact hosts with their port instead: `['127.0.0.1:3001']`.
   */
  readonly hosts: readonly string[]
  /**
   * The scheme of the endpoint that the user gave. With `ws` the hosts must be loopback, and nothing else is allowed.
   */
  readonly scheme: 'wss' | 'ws'
}

const refuse = (reason: EndpointRefusal): EndpointVerdict => ({ allowed: false, reason })

/**
 * Whether an endpoint that the peer supplied (Discord's `resume_gateway_url`) may be dialed. It is about to be sent the
 * bot's token, so everything is refused but what is plainly one of our hosts; dial the known endpoint instead. Judge
 * before every dial, and dial the `url` of the verdict, not the text that was judged: it is as our parser reads it.
 * What the name resolves to is for the dialer to refuse: dial with `publicOnly` (but not where the rule is `ws`, on
 * loopback). Redirects are never followed.
 *
 * Throws HoldfastError `bad-option` if the rule itself is wrong. Source: threat T3 of the threat model, server-side
 * request forgery.
 */
export const isAllowedEndpoint = (url: unknown, rule: EndpointRule): EndpointVerdict => {
  checkRule(rule)
  if (typeof url !== 'string') return refuse('not-text')
  if (url.length > URL_LENGTH_MAX) return refuse('too-long')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  if (/[\u0000-\u0020\u007f-\u009f\\]|%(?:[01][0-9a-f]|20|5c|7f)/i.test(url)) return refuse('bad-characters')
  if (/[^\u0021-\u007e]/.test(url)) return refuse('not-ascii')
  const [scheme = '', rest] = url.split(/:(.*)/s)
  if (scheme.toLowerCase() !== rule.scheme) return refuse('scheme')
  const authority = /^\/\/([^/?#]+)(?:[/?]|$|#)/.exec(rest ?? '')?.[1]
  if (authority === undefined || !URL.canParse(url)) return refuse('malformed')
  const reason = rule.scheme === 'ws' ? loopbackFlaw(authority, rule) : authorityFlaw(authority, rule)
  if (reason) return refuse(reason)
  if (url.includes('#')) return refuse('fragment')
  const parsed = new URL(url)
  // the two readings of one text must agree, or the check was of another host than the dial
  const port = parsed.port === '' ? '' : `:${parsed.port}`
  const same = `${parsed.hostname}${port}` === authority.toLowerCase().replace(DEFAULT_PORT[rule.scheme], '')
  return same ? { allowed: true, url: parsed.href } : refuse('host')
}

const authorityFlaw = (authority: string, { hosts }: EndpointRule): EndpointRefusal | undefined => {
  if (authority.includes('@')) return 'userinfo'
  if (authority.startsWith('[')) return 'ip-literal'
  const [name = '', port] = authority.toLowerCase().split(/:(.*)/s)
  if (isIP(name) !== 0 || looksNumeric(name)) return 'ip-literal'
  if (name.length > NAME_LENGTH_MAX || !name.split('.').every((label) => LABEL.test(label))) return 'malformed'
  const known = hosts.map((host) => host.toLowerCase()).find((host) => name === host || name.endsWith(`.${host}`))
  const own = known === undefined ? name : name.slice(0, -known.length)
  if (/(^|\.)xn--/.test(own)) return 'not-ascii'
  if (known === undefined) return 'host'
  return port === undefined || port === '443' ? undefined : 'port'
}

/** On loopback there is nobody to be fooled but ourselves; the other ports of this machine are still not the peer's. */
const loopbackFlaw = (authority: string, { hosts }: EndpointRule): EndpointRefusal | undefined => {
  if (authority.includes('@')) return 'userinfo'
  return hosts.includes(authority.toLowerCase()) ? undefined : 'host'
}

const DEFAULT_PORT = { wss: /:443$/, ws: /:80$/ }
const NAME_LENGTH_MAX = 253
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const LOOPBACK = /^(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]):\d{1,5}$/

/** What URL parsers take for an IPv4 address: a last label that is a number, decimal, octal or hexadecimal. */
const looksNumeric = (name: string): boolean => /^(?:\d+|0x[0-9a-f]*)$/.test(name.replace(/\.$/, '').split('.').at(-1)!)

const checkRule = ({ hosts, scheme }: EndpointRule): void => {
  if (scheme !== 'wss' && scheme !== 'ws') throw wrong('scheme', '"wss", or "ws" on loopback')
  if (!Array.isArray(hosts) || hosts.length === 0) throw wrong('hosts', 'a list of host names')
  for (const host of hosts) {
    const isName = /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(host) && !looksNumeric(host)
    if (scheme === 'wss' ? !isName : !LOOPBACK.test(host)) {
      throw wrong('hosts', scheme === 'wss' ? 'names such as "discord.gg"' : 'loopback hosts such as "127.0.0.1:3001"')
    }
  }
}

const wrong = (name: string, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `The option "${name}" of an endpoint rule must be ${wants}.`)
