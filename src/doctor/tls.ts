/**
 * The fifth layer: TLS. The certificate is read whatever is wrong with it, so that it can be named; nothing of ours is
 * sent over a connection that did not prove itself but a question for the time.
 */
import type { Socket } from 'node:net'
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect,
  type DetailedPeerCertificate,
  type TLSSocket,
} from 'node:tls'
import type { Target } from '../adapter/adapter.ts'
import { identityOf } from '../net/resolve.ts'
import { askTheTime } from './skew.ts'
import { codeOf, LATE, NO_ANSWER, type Time } from './time.ts'

export interface Certificate {
  readonly subject: string
  readonly issuer: string
  /** ISO 8601. */
  readonly validFrom: string
  readonly validTo: string
}

export type TlsProblem =
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-host'
  | 'self-signed'
  | 'unknown-issuer'
  /** Some other verdict on the certificate. */
  | 'untrusted'
  /** What answers there does not speak TLS. */
  | 'not-tls'
  | 'dropped'
  | 'no-answer'
  | 'failed'

export interface TlsLayer {
  readonly name: 'tls'
  readonly ok: boolean
  readonly ms: number
  readonly protocol: string | null
  /** The peer's own certificate first. */
  readonly chain: readonly Certificate[]
  /** By our clock; negative when it has expired. */
  readonly daysLeft: number | null
  readonly hostMatches: boolean | null
  readonly problem: TlsProblem | null
  /** OpenSSL's or the system's code. */
  readonly code: string | null
  /** How far our clock is ahead of the peer's, in milliseconds; asked for only where the certificate's dates are wrong. */
  readonly skewMs: number | null
}

const TLS_MS = 6_000
const DAY_MS = 86_400_000
const CHAIN_MAX = 10

export interface Secured {
  readonly layer: TlsLayer
  /** Set if it may be used. */
  readonly socket: TLSSocket | undefined
}

export const secure = async (url: string, socket: Socket, tls: Target['tls'], time: Time): Promise<Secured> => {
  const startedAt = time.now()
  const options: ConnectionOptions = {
    ...tls,
    ...identityOf(url),
    socket,
    ALPNProtocols: ['http/1.1'],
    // the verdict is asked for below, and counts
    rejectUnauthorized: false,
  }
  const secured = await time.attempt<TLSSocket | Error>(TLS_MS, (settle) => {
    const begun = connect(options)
    begun.once('secureConnect', () => settle(begun)).on('error', settle)
    begun.once('close', () => settle(Object.assign(new Error('closed'), { code: 'ECONNRESET' })))
    return () => begun.destroy()
  })
  const ms = time.since(startedAt)
  if (secured === LATE || secured instanceof Error) {
    socket.destroy()
    const code = secured === LATE ? NO_ANSWER : codeOf(secured)
    return { layer: { ...NOTHING, ms, code, problem: problemOf(code) }, socket: undefined }
  }
  const layer = judge(url, secured, ms, time)
  if (layer.ok) return { layer, socket: secured }
  const isDated = layer.problem === 'expired' || layer.problem === 'not-yet-valid'
  const skewMs = isDated ? await askTheTime(secured, url, time) : null
  secured.destroy()
  return { layer: { ...layer, skewMs }, socket: undefined }
}

const NOTHING: TlsLayer = {
  name: 'tls',
  ok: false,
  ms: 0,
  protocol: null,
  chain: [],
  daysLeft: null,
  hostMatches: null,
  problem: null,
  code: null,
  skewMs: null,
}

/** There was no socket to secure, although there had been one a moment before. */
export const unsecured = (code: string): TlsLayer => ({ ...NOTHING, code, problem: 'failed' })

const judge = (url: string, secured: TLSSocket, ms: number, time: Time): TlsLayer => {
  const leaf = secured.getPeerCertificate(true)
  const chain = chainOf(leaf)
  const [own] = chain
  const hostMatches = own ? checkServerIdentity(identityOf(url).host, leaf) === undefined : null
  // the types say Error; it is the code
  const verdict: unknown = secured.authorizationError
  const code = secured.authorized ? null : typeof verdict === 'string' ? verdict : codeOf(verdict)
  const daysLeft = own ? Math.floor((Date.parse(own.validTo) - time.clock.wall()) / DAY_MS) : null
  return {
    ...NOTHING,
    ok: code === null,
    ms,
    protocol: secured.getProtocol(),
    chain,
    daysLeft,
    hostMatches,
    problem: code === null ? null : problemOf(code),
    code,
  }
}

const chainOf = (leaf: DetailedPeerCertificate): Certificate[] => {
  const chain: Certificate[] = []
  const seen = new Set<string>()
  let next: DetailedPeerCertificate | undefined = leaf
  // the last one is its own issuer
  while (next?.valid_to && !seen.has(next.fingerprint256) && chain.length < CHAIN_MAX) {
    seen.add(next.fingerprint256)
    chain.push({
      subject: nameOf(next.subject),
      issuer: nameOf(next.issuer),
      validFrom: isoOf(next.valid_from),
      validTo: isoOf(next.valid_to),
    })
    next = next.issuerCertificate
  }
  return chain
}

/** The common name, else whatever the certificate calls itself. */
const nameOf = (name: DetailedPeerCertificate['subject'] | undefined): string => {
  const { CN, O } = (name ?? {}) as Record<string, string | string[] | undefined>
  return [CN, O].flat().filter(Boolean).join(', ') || '(no name)'
}

const isoOf = (text: string): string => {
  const at = Date.parse(text)
  return Number.isNaN(at) ? text : new Date(at).toISOString()
}

const PROBLEMS: readonly (readonly [RegExp, TlsProblem])[] = [
  [/^CERT_HAS_EXPIRED$/, 'expired'],
  [/^CERT_NOT_YET_VALID$/, 'not-yet-valid'],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$|^HOSTNAME_MISMATCH$/, 'wrong-host'],
  [/^DEPTH_ZERO_SELF_SIGNED_CERT$/, 'self-signed'],
  [/^SELF_SIGNED_CERT_IN_CHAIN$|^UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)/, 'unknown-issuer'],
  [/^(CERT_|CRL_|INVALID_|PATH_LENGTH|UNABLE_TO_|ERR_TLS_CERT)/, 'untrusted'],
  [/^(EPROTO|ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|ERR_SSL_HTTP_REQUEST)$/, 'not-tls'],
  [/^(ECONNRESET|EPIPE|ECONNABORTED)$/, 'dropped'],
  [new RegExp(`^${NO_ANSWER}$`), 'no-answer'],
]

const problemOf = (code: string): TlsProblem => PROBLEMS.find(([words]) => words.test(code))?.[1] ?? 'failed'
