/**
 * Two kinds of trouble, never mixed. A *usage* error is the caller's: it throws HoldfastError at once. A *fault* is an
 * operating failure: a value, classified here and nowhere else, and never thrown inside.
 */
import { type Fault, type FaultCode, faults, isFault } from '../machines/fault.ts'

/** What a HoldfastError is about. */
export type ErrorCode =
  /** An option, a URL or an adapter is wrong: the message names it, what it got and what it wants. */
  | 'bad-option'
  /** The link waits for a person; `fault` says why. */
  | 'parked'
  /** The link was stopped. */
  | 'stopped'
  /** The caller's AbortSignal fired. */
  | 'aborted'
  /** No answer, or no live link, before the deadline. */
  | 'expired'
  /** The outbox is full, the message cannot be encoded, or the peer refused it. */
  | 'refused'
  /** It was written, and the transport died before any proof that it arrived. */
  | 'uncertain'
  /** What had to be kept, on disk or in a store of leases, could not be: the message says where and why. */
  | 'store-failed'

const BRAND = Symbol.for('holdfast.error')

/** The one error class that holdfast throws or rejects with. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode
  /** The fault behind it, where there is one; `faults[fault.code]` has advice in English and Chinese. */
  readonly fault: Fault | undefined
  readonly [BRAND] = true

  constructor(code: ErrorCode, message: string, more: { fault?: Fault | undefined; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = code
    this.fault = more.fault
  }
}

/** Like `instanceof`, but true across copies of the package (ESM and CommonJS in one process). */
export const isHoldfastError = (value: unknown): value is HoldfastError =>
  typeof value === 'object' && value !== null && BRAND in value

/** Where an error happened: the same ECONNRESET means different things before and after the upgrade. */
export type Phase = 'resolving' | 'connecting' | 'securing' | 'upgrading' | 'open'

/** How far an attempt at an address came. The dialer writes it on the errors that it collects. */
export type DialStep = 'tcp' | 'proxy' | 'tls'

const PHASE_OF_STEP = new Map<string, Phase>([
  ['tcp', 'connecting'],
  ['proxy', 'connecting'],
  ['tls', 'securing'],
])

interface Cause {
  readonly code: string
  readonly syscall: string
  readonly text: string
  readonly step: string
  /** What it was called where it arose, and more was known. */
  readonly fault: Fault | undefined
}

/** The only classifier of raw errors. Walks `cause` and `errors[]`; decides by code, step and phase. */
export const faultFrom = (error: unknown, phase: Phase): Fault => {
  const { causes, isStale } = flatten(error)
  const ranked = causes
    .map((cause) => ({ cause, fault: cause.fault ?? { code: codeFor(cause, PHASE_OF_STEP.get(cause.step) ?? phase) } }))
    .sort((a, b) => weight(a.fault.code) - weight(b.fault.code))
  const { code, retryAfterMs } = ranked[0]?.fault ?? { code: 'unknown' }
  const certificates = causes.map(({ code }) => (Object.hasOwn(CERTIFICATES, code) ? CERTIFICATES[code] : ''))
  const detail = [...new Set([...certificates, ...causes.map(({ text }) => text)])].filter(Boolean).join('; ')
  return {
    // that addresses of the past lead nowhere says little of the peer
    code: isStale ? 'name-unavailable' : code,
    ...(detail && { detail }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}

/**
 * Of several addresses that failed in several ways, the most actionable tells the story: a timeout beside "no route"
 * is a slow network and not a missing one (the founding incident).
 */
const ACTIONABLE: readonly FaultCode[] = [
  'connect-timeout',
  'tls-timeout',
  'upgrade-timeout',
  'dropped',
  'connection-lost',
  'tls-certificate',
  'tls-failed',
  'refused',
  'unreachable',
  'name-unavailable',
  'name-not-found',
]
const weight = (code: FaultCode): number => {
  const index = ACTIONABLE.indexOf(code)
  return index < 0 ? (code === 'unknown' ? ACTIONABLE.length : -1) : index
}

const CAUSES_MAX = 64

interface Causes {
  readonly causes: readonly Cause[]
  /** The addresses were of the past, because the lookup failed. */
  readonly isStale: boolean
}

/** The leaves of a tree of errors: an AggregateError says nothing by itself, and its own code is only its first child's. */
const flatten = (error: unknown, seen = new Set<unknown>()): Causes => {
  if (typeof error !== 'object' || error === null) return { ...NONE, causes: [{ ...NOTHING, text: textOf(error) }] }
  if (seen.has(error) || seen.size >= CAUSES_MAX) return NONE
  seen.add(error)
  const fields = fieldsOf(error)
  const own = causeOf(fields)
  if (own.fault) return { ...NONE, causes: [own] }
  const { cause, errors, attempts, staleBecause } = fields
  const inner = [...(Array.isArray(errors) ? errors : []), ...(cause === undefined ? [] : [cause])]
  const found = inner.map((each) => flatten(each, seen))
  const leaves = found.flatMap(({ causes }) => causes)
  const isStale = staleBecause !== undefined || found.some((each) => each.isStale)
  // the dialer's own account lists every address, and each of them once
  if (Array.isArray(attempts) && own.text)
    return { isStale, causes: (leaves.length > 0 ? leaves : [own]).map(toldAs(own.text)) }
  return { isStale, causes: leaves.some((leaf) => leaf.code || leaf.fault) ? leaves : [own, ...leaves] }
}

const toldAs =
  (text: string) =>
  (cause: Cause): Cause => ({ ...cause, text })

const causeOf = ({ code, syscall, name, message, step, fault }: Record<string, unknown>): Cause => ({
  code: asText(code),
  syscall: asText(syscall),
  text: asText(message) || asText(code) || asText(name),
  step: asText(step),
  fault: isFault(fault) ? fault : asText(code) ? undefined : codelessFault(`${asText(name)}: ${asText(message)}`),
})

/** Some errors are not plain data: a getter may throw. */
const fieldsOf = (error: object): Record<string, unknown> => {
  try {
    const { cause, errors, code, syscall, message, name } = error as Record<string, unknown>
    const { step, fault, attempts, staleBecause } = error as Record<string, unknown>
    return { cause, errors, code, syscall, message, name, step, fault, attempts, staleBecause }
  } catch {
    return {}
  }
}

/** What somebody threw, as a text. Even that may throw: an object can be without a way to be printed. */
export const textOf = (thrown: unknown): string => {
  try {
    return String(thrown)
  } catch {
    return 'something that cannot be shown'
  }
}

const NOTHING: Cause = { code: '', syscall: '', text: '', step: '', fault: undefined }
const NONE: Causes = { causes: [], isStale: false }

const asText = (value: unknown): string => (typeof value === 'string' ? value : '')

const BY_CODE: Record<string, FaultCode> = {
  ENOTFOUND: 'name-not-found',
  ENODATA: 'name-not-found',
  EAI_NONAME: 'name-not-found',
  EBADNAME: 'name-not-found',
  EBADRESP: 'name-unavailable',
  EAI_AGAIN: 'name-unavailable',
  EAI_FAIL: 'name-unavailable',
  ESERVFAIL: 'name-unavailable',
  EREFUSED: 'name-unavailable',
  ETIMEOUT: 'name-unavailable',
  ENETUNREACH: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EAFNOSUPPORT: 'unreachable',
  // an address of the link without its interface, or what a lookup gave in place of an address
  EINVAL: 'unreachable',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  EMFILE: 'out-of-sockets',
  ENFILE: 'out-of-sockets',
  ENOBUFS: 'out-of-sockets',
  UND_ERR_CONNECT_TIMEOUT: 'connect-timeout',
  UND_ERR_HEADERS_TIMEOUT: 'heartbeat-timeout',
  UND_ERR_BODY_TIMEOUT: 'heartbeat-timeout',
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 'frame-too-big',
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 'frame-too-big',
}

const RESETS = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'UND_ERR_SOCKET', 'ERR_STREAM_PREMATURE_CLOSE'])
/** The names that Node gives to OpenSSL's verdicts on a certificate. */
const CERTIFICATE =
  /^(CERT_|CRL_|ERROR_IN_C|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT|INVALID_(CA|PURPOSE)$|PATH_LENGTH_|HOSTNAME_)/
const TLS = /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|EPROTO$)/

/** What is wrong with a certificate, in words: the codes are OpenSSL's. */
const CERTIFICATES: Record<string, string> = {
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet: look at the clock of this machine',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate chain ends at an unknown self-signed issuer',
  UNABLE_TO_GET_ISSUER_CERT: 'the issuer of the certificate is unknown',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the issuer of the certificate is unknown',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the issuer of the certificate is unknown',
  CERT_REVOKED: 'the certificate was revoked',
}

/** What its makers gave no code to, by name and by the first words of the message. */
const CODELESS: readonly (readonly [RegExp, FaultCode])[] = [
  [/^HTTPParserError: /, 'not-websocket'],
  [/^TimeoutError: /, 'upgrade-timeout'],
  [/^Error: Opening handshake has timed out$/, 'upgrade-timeout'],
]

const codelessFault = (text: string): Fault | undefined => {
  const known = CODELESS.find(([words]) => words.test(text))
  return known && { code: known[1] }
}

const LATE_IN: Record<Phase, FaultCode> = {
  resolving: 'name-unavailable',
  connecting: 'connect-timeout',
  securing: 'connect-timeout',
  upgrading: 'connect-timeout',
  open: 'connection-lost',
}

const codeFor = ({ code, syscall }: Cause, phase: Phase): FaultCode => {
  if (code === 'ECONNREFUSED') return syscall.startsWith('query') ? 'name-unavailable' : 'refused'
  if (code === 'ETIMEDOUT') return LATE_IN[phase]
  // a name that is too long to be one
  if (code === 'EINVAL' && syscall === 'getaddrinfo') return 'name-not-found'
  if (RESETS.has(code)) return phase === 'open' ? 'connection-lost' : 'dropped'
  if (CERTIFICATE.test(code)) return 'tls-certificate'
  if (TLS.test(code)) return 'tls-failed'
  if (code.startsWith('HPE_')) return 'not-websocket'
  if (Object.hasOwn(BY_CODE, code)) return BY_CODE[code]!
  if (code.startsWith('WS_ERR_')) return 'protocol-violated'
  // ws gives no code for a bad accept key or subprotocol; in this phase nothing else is left
  if (code === '' && phase === 'upgrading') return 'not-websocket'
  return 'unknown'
}

/** What an HTTP status says when the peer answers it in place of an upgrade or to a call. */
export const faultFromStatus = (status: number, retryAfter: string | undefined, now: number): Fault => {
  const detail = `HTTP ${status}`
  const asked = retryAfterMs(retryAfter, now)
  const wait = asked === undefined ? {} : { retryAfterMs: asked }
  if (status === 401 || status === 407) return { code: 'upgrade-unauthorized', detail }
  if (status === 403) return { code: 'upgrade-forbidden', detail }
  if (status === 429 || (status === 503 && asked !== undefined)) return { code: 'throttled', detail, ...wait }
  if (status >= 500 || status === 408 || status === 425) return { code: 'peer-unavailable', detail, ...wait }
  return { code: 'upgrade-refused', detail, ...wait }
}

/** Seconds or an HTTP date (RFC 9110, 10.2.3) as milliseconds from now; what is neither, or past, is no answer. */
export const retryAfterMs = (header: string | undefined, now: number): number | undefined => {
  if (header === undefined) return undefined
  const text = header.trim()
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : dateOf(text) - now
  return ms > 0 && Number.isFinite(ms) ? Math.ceil(ms) : undefined
}

/** The three forms of RFC 9110, 5.6.7, and nothing else: Date.parse takes "tomorrow 3000" for a year. */
const HTTP_DATE = /^[A-Z][a-z]{2,8},? [\w -]+\d\d:\d\d:\d\d (GMT|\d{4})$/

const dateOf = (text: string): number => {
  const form = HTTP_DATE.exec(text)
  return form ? Date.parse(form[1] === 'GMT' ? text : `${text} GMT`) : Number.NaN
}

/** "the peer refused our token: HTTP 401. Correct the access token, then resume the link." */
export const sentence = (fault: Fault, language: 'en' | 'zh' = 'en'): string => {
  const { because, advice } = faults[fault.code]
  if (language === 'zh') return `${because.zh}${fault.detail ? `（${fault.detail}）` : ''}。${advice.zh}`
  return `${because.en}${fault.detail ? ` (${fault.detail})` : ''}. ${advice.en}`
}
