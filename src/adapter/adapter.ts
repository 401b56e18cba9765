/**
 * The port of a bot protocol. An adapter knows the rules of one protocol and nothing else: it owns no socket, no timer
 * and no retry. It says where to dial, reads frames, says what they mean, and turns messages into frames. Deadlines,
 * heartbeats, backoff, queues and the state of the link are holdfast's.
 *
 * docs/adapters.md is the whole contract in prose with a worked example; this file is the same contract in types.
 */
import type { SecureContextOptions } from 'node:tls'
import { isObservable, type Observable } from 'rxjs'
import type { FaultCode } from '../../machines/fault.ts'
import { HoldfastError } from '../error.ts'
import type { Framing } from '../framing.ts'
import type { KeyExchange } from '../key-exchange.ts'
import { isSecret, reveal } from '../secret.ts'
import type { Frame, OpenTransport } from '../transport/transport.ts'

export { type Answer, type AnswerHeaders, ask, cancel, type Question, readAnswer } from '../exchange.ts'
export { type FrameDecoder, type Framing, type LengthPrefix, lengthPrefixed } from '../framing.ts'
export { type EcdhOptions, ecdh, type KeyExchange, type Sealer } from '../key-exchange.ts'
export type { Frame }

/** Where and how to dial. Asked for again on every attempt, so a URL or a token may change. */
export interface Target {
  /**
   * Its scheme says what is opened: `ws://` or `wss://` a WebSocket, `http://` or `https://` questions and answers
   * (src/exchange.ts), `tcp://host:port` or `tls://host:port` frames on a bare socket. User, password and query values are
   * treated as secrets.
   */
  readonly url: string
  /** Where frames begin and end on a bare socket: needed there, and of no use elsewhere. */
  readonly framing?: Framing
  /** On a bare socket: keys are agreed on before the transport is open, and all frames are sealed. Called for each dial. */
  readonly keyExchange?: () => KeyExchange
  /**
   * For what is not dialed: a listener at which the peer arrives, or somebody else's client. `url` is only the name of it
   * then, such as `peer:10001`: no DNS is asked, and no proxy is used.
   */
  readonly transport?: OpenTransport
  /** Beside what is dialed: a webhook of a listener, by which the peer tells what happens. */
  readonly posts?: OpenTransport
  readonly headers?: Readonly<Record<string, string>>
  /** WebSocket subprotocols to offer. */
  readonly protocols?: readonly string[]
  /** Values that must never be shown: taken out of every fault, record and error of this link. */
  readonly secrets?: readonly string[]
  readonly tls?: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'>
  /**
   * When the credentials in it end, in milliseconds since 1970. An adapter that allows two transports at once is moved to
   * new ones in time; for others nothing follows from it.
   */
  readonly expiresAt?: number
  /** Credentials that the peer rejects shall be asked for once more, with `rejected` set, before a person is called. */
  readonly renewable?: boolean
}

/** A position in what the peer sends. */
export type Cursor = string | number

/** What the peer remembers of us, as it was told at the last welcome: enough to go on where we were. */
export interface Session {
  readonly id?: string
  /** Where the peer wants this session to be resumed. It is dialed only if `resumeHosts` of the adapter allows it. */
  readonly endpoint?: string
  /** Of the last message that the user of the link took. */
  readonly cursor?: Cursor
}

/** One target, or several of which each would do, the best first. An empty list means: none for the moment. */
export type Targets = Target | readonly Target[]

/** What an adapter made of a frame. Only `taken` and `unknown` prove that the peer is alive. */
export type Verdict =
  /** Understood. */
  | 'taken'
  /** Well-formed, of a type that this adapter does not know. Counted, nothing else. */
  | 'unknown'
  /** Not of this protocol: not JSON, too deep, of the wrong shape. Counted, nothing else. */
  | 'malformed'

/** The adapter's side of one transport. Every call after the transport has ended is ignored. */
export interface Io<In> {
  /** Writes a control frame at once (identify, acknowledge), before anything that waits in the outbox. */
  send(frame: Frame): void
  /** Asks the peer's WebSocket layer for a sign of life: `pong()` of the dialogue says that it came. */
  ping(): void
  /** What there is to resume: without `id` if there is nothing. If the peer refuses it, `fail('session-lost')`. */
  readonly session: Session
  /**
   * The peer accepted us. Say `replaying` when missed messages come first, and call `caughtUp()` after them. `session` is
   * what to resume next time; `resumed` says that the peer goes on with the session that there was, so nothing is missed.
   */
  welcome(options?: Welcome): void
  caughtUp(): void
  /** The peer is about to go away, or wants us elsewhere: move before the cut. */
  leaving(detail?: string): void
  /**
   * The peer beat, or said how it beats, in milliseconds, clamped to 1 s … 10 min. Call it at each beat of a peer that
   * announced `expectMs`, with `{}` if there is nothing new: without beats and messages for 3 × `expectMs` the link is
   * impaired (`deaf`), although the peer answers probes.
   * `expectMs`: it announced to beat so often. `everyMs`: it wants to be probed so often; the first time comes somewhere in
   * the first interval, so that links which came up together do not beat together.
   * `payloadMs`: messages for the user come at least so often, or the link is deaf; clamped to 1 s … 24 h.
   */
  heartbeat(rhythm: { expectMs?: number; everyMs?: number; payloadMs?: number }): void
  /** A message for the user of the link. */
  deliver(message: In, mark?: InboundMark): void
  /** The answer to the frame that `encode` or `request` made under this key; late or unknown keys are ignored. */
  answer(key: string, result: unknown): void
  /** The peer refused that one message; the link is unharmed. */
  refuse(key: string, detail: string): void
  /** The transport is fine but the account behind it is not: `account-offline` or `deaf`. */
  impaired(code: Extract<FaultCode, 'account-offline' | 'deaf'>, detail?: string): void
  recovered(): void
  /** Ends this transport. The kind of the fault decides whether the link dials again or waits for a person. */
  fail(code: FaultCode, more?: { detail?: string; retryAfterMs?: number }): void
}

export interface Welcome {
  readonly replaying?: boolean
  readonly resumed?: boolean
  readonly session?: Omit<Session, 'cursor'>
}

/** What tells a message from all others, and where it stands. */
export interface InboundMark {
  /** A message whose id was seen before is dropped and counted. Default: none, so nothing is dropped. */
  readonly id?: string
  /** Becomes the cursor of the session when the user has taken the message. */
  readonly cursor?: Cursor
}

/** The rules of one transport's life, made anew for each: what it remembers cannot leak into the next. */
export interface Dialogue {
  /** The transport is open. Identify here if the protocol has us speak first. */
  opened?(): void
  /** Called for every inbound frame, in order. */
  frame(frame: Frame): Verdict
  /** Called for every event of somebody else's client, in order, in place of frames. */
  event?(name: string, values: readonly unknown[]): Verdict
  /**
   * The peer has answered `io.ping()`. For protocols in which a peer that lets us in says nothing: what it sends to those
   * whom it turns away comes before this.
   */
  pong?(): void
  /** The user took everything up to this position: for peers that are told of it. `io.session` stays what it was. */
  taken?(cursor: Cursor): void
  /** What the peer's close code means, if this protocol says so. Otherwise the codes of RFC 6455 apply. */
  closed?(code: number, reason: string): FaultCode | undefined
  /** The adapter's `probe`, for protocols whose question depends on what came over this transport. It is preferred. */
  probe?(key: string): Frame
  /** Written last where the link ends and nobody comes back for the session, for peers that want to be told. */
  goodbye?(): Frame | undefined
}

/** A message or call on its way out. */
export type Outgoing = FrameOutgoing | BesideOutgoing

/** What goes beside the transport, so its loss says nothing about it. */
export type BesideOutgoing = HttpOutgoing | TaskOutgoing

export const isBeside = (outgoing: Outgoing): outgoing is BesideOutgoing => 'http' in outgoing || 'run' in outgoing

export interface FrameOutgoing {
  readonly frame: Frame
  /**
   * What proves that it arrived. `answer`: the peer's reply, for which the adapter calls `io.answer(key)`.
   * `pong` (default): the peer's answer to a WebSocket ping that was sent after it.
   */
  readonly proof?: 'answer' | 'pong'
  /** Messages of one conversation arrive in order, also when some of them have to be written again. */
  readonly conversation?: string
}

/** For protocols whose calls go beside the transport, over HTTP. The engine sends it; the adapter only describes it. */
export interface HttpOutgoing {
  readonly http: {
    readonly url: string
    readonly method: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: string
  }
  /**
   * Reads the answer. Throw an Error with a message for people if it is a refusal; with the statuses 500, 502 and 504 it is
   * uncertain, because the peer may have acted.
   */
  read(status: number, body: string): unknown
  readonly conversation?: string
}

/** For somebody else's client: a call of its own method. */
export interface TaskOutgoing {
  /**
   * What it resolves to is the answer. An error with `delivered: 'refused'` says that nothing was done; any other leaves
   * that open.
   */
  run(signal: AbortSignal): Promise<unknown>
  readonly conversation?: string
}

/** Methods of `link.call`, for types: name -> parameters and answer. */
export type Calls = Record<string, { params: unknown; result: unknown }>

/** Where session starts are asked for; `sessionBudget()` makes one. */
export interface StartBudget {
  reserve(
    bucket?: number,
  ): Promise<
    | { readonly waitMs: number; readonly ticket: number; readonly exhausted?: never }
    | { readonly exhausted: true; readonly untilMs: number }
  >
  refund(ticket: number): Promise<void>
  /** What was spent, as plain data for the next process; for budgets that are kept nowhere else. */
  export?(): Promise<unknown>
  /** Adds what another process spent. */
  import?(spent: unknown): Promise<void>
}

/** For platforms that count how often a bot says "here I am": see `sessionBudget()`. */
export interface RationedStarts {
  readonly budget: StartBudget
  /** Starts of different buckets do not wait for each other: Discord's shard number. Default 0. */
  readonly bucket?: number
}

export interface TargetContext {
  /** Fires when the attempt is over. */
  readonly signal: AbortSignal
  /** The peer has rejected the credentials that were given last: do not give them again. */
  readonly rejected?: boolean
}

export interface Adapter<In = unknown, Out = unknown, C extends Calls = Calls> {
  /** The protocol, in lower case: `onebot`. */
  readonly name: string
  /**
   * Where to dial. May be async: it is asked on every attempt, under the link's resolve deadline, and the signal fires
   * when that attempt is over. An Observable of a registry is listened to until it has a target. While a list is empty the
   * link stays in `resolving`; after a second it makes do with the targets that it knew last.
   */
  target(context: TargetContext): Targets | Promise<Targets> | Observable<Targets>
  dialogue(io: Io<In>): Dialogue
  /** A message of `link.send`. Throw to refuse a message that cannot be encoded; only that message is harmed. */
  encode?(message: Out, key: string): Outgoing
  /** A call of `link.call`. */
  request?<M extends keyof C & string>(method: M, params: C[M]['params'], key: string): Outgoing
  /** A harmless frame that the peer must answer, to see whether it lives. Without it a WebSocket ping is sent. */
  probe?(key: string): Frame
  /** Session starts are asked for here before a dial that has nothing to resume. */
  readonly starts?: RationedStarts
  /**
   * Hosts at which the peer may want a session to be resumed, and all names that end in a dot and one of them:
   * `['discord.gg']`. An endpoint elsewhere is not dialed: it would be sent the token.
   */
  readonly resumeHosts?: readonly string[]
  /** Emits when the peer has come to us: a link that waits then tries at once. For listeners. */
  readonly arrivals$?: Observable<unknown>
  /**
   * The peer allows two transports of one bot for a moment, and every message comes with an `id`: then a link that has to
   * move opens the new transport before it closes the old one.
   */
  readonly overlap?: boolean
  /** The close code after which the peer keeps the session for a successor. Default 1000. */
  readonly resumableClose?: number
  /**
   * The peer drops a second message with the same key, also when it comes over another transport. Then a message that may
   * or may not have arrived is written again under its key instead of being called uncertain. Default false.
   */
  readonly dedupes?: boolean
  /** What the peer takes of us at most. Default: no limit. */
  readonly pace?: PaceLimit
  /**
   * How long getting in takes here, in milliseconds, where that is not the usual 15,000: because a person has to scan a code
   * first. The link's own `deadlines.handshakeMs` stands before it.
   */
  readonly handshakeMs?: number
}

/** At most `count` messages and calls (frames or requests of the outbox; control frames are free) in any `ms` milliseconds. */
export interface PaceLimit {
  readonly count: number
  readonly ms: number
}

type Spec<In, Out, C extends Calls> = Omit<Adapter<In, Out, C>, 'target'> & {
  readonly target: Target | Adapter<In, Out, C>['target']
}

/**
 * Makes an adapter for a protocol of your own. `target` may be a plain object or a function asked on every attempt.
 * Throws HoldfastError `bad-option` at once if a part is missing or of the wrong kind.
 */
export const defineAdapter = <In = unknown, Out = unknown, C extends Calls = Calls>(
  spec: Spec<In, Out, C>,
): Adapter<In, Out, C> => {
  if (typeof spec !== 'object' || spec === null) throw notAnAdapter(spec)
  const { target } = spec
  const adapter = {
    ...spec,
    target: typeof target === 'function' ? target : () => target,
  }
  checkAdapter(adapter)
  if (typeof target !== 'function') checkAnyTarget(target, `the target of adapter "${spec.name}"`)
  return adapter
}

const REQUIRED = ['target', 'dialogue'] as const
const OPTIONAL = ['encode', 'request', 'probe'] as const

const wants = 'Make one with onebot(…), satori(…) or defineAdapter({ name, target, dialogue }).'

const notAnAdapter = (got: unknown): HoldfastError =>
  new HoldfastError('bad-option', `The adapter is ${describe(got)}, not an adapter. ${wants}`)

/** Throws unless it is an adapter. */
export const checkAdapter = (adapter: unknown): void => {
  if (typeof adapter !== 'object' || adapter === null) throw notAnAdapter(adapter)
  const parts = adapter as Record<string, unknown>
  if (typeof parts.name !== 'string' || parts.name === '') {
    throw new HoldfastError('bad-option', `adapter.name is ${describe(parts.name)}; it must be a non-empty string.`)
  }
  for (const part of [...REQUIRED, ...OPTIONAL]) {
    const value = parts[part]
    const missingIsFine = (OPTIONAL as readonly string[]).includes(part)
    if (typeof value === 'function' || (value === undefined && missingIsFine)) continue
    const got = `adapter.${part} of "${parts.name}" is ${describe(value)}`
    throw new HoldfastError('bad-option', `${got}; it must be a function. ${wants}`)
  }
  checkFacts(parts)
}

/** What an adapter says about its protocol. */
const checkFacts = ({ name, ...parts }: Record<string, unknown>): void => {
  const { starts, resumeHosts, overlap, dedupes, resumableClose, pace, arrivals$, handshakeMs } = parts
  const refuse = (fact: string, value: unknown, wants: string): never => {
    throw new HoldfastError('bad-option', `adapter.${fact} of "${name}" is ${describe(value)}; it must be ${wants}.`)
  }
  for (const [fact, value] of Object.entries({ overlap, dedupes })) {
    if (value !== undefined && typeof value !== 'boolean') refuse(fact, value, 'a boolean')
  }
  if (handshakeMs !== undefined && !(isWhole(handshakeMs) && handshakeMs >= 1)) {
    refuse('handshakeMs', handshakeMs, 'a whole number of milliseconds')
  }
  if (arrivals$ !== undefined && !isObservable(arrivals$)) refuse('arrivals$', arrivals$, 'an Observable')
  const isText = (value: unknown) => typeof value === 'string' && value !== ''
  if (resumeHosts !== undefined && !(Array.isArray(resumeHosts) && resumeHosts.every(isText))) {
    refuse('resumeHosts', resumeHosts, 'a list of host names')
  }
  const isCode = (value: unknown) => value === 1000 || (isWhole(value) && value >= 3000 && value < 5000)
  if (resumableClose !== undefined && !isCode(resumableClose)) {
    refuse('resumableClose', resumableClose, 'a close code: 1000, or one from 3000 to 4999')
  }
  const { count, ms } = (pace ?? {}) as Partial<PaceLimit>
  if (pace !== undefined && !(isWhole(count) && count >= 1 && isWhole(ms) && ms >= 1)) {
    refuse('pace', pace, '{ count, ms }, two whole numbers from 1')
  }
  const { budget, bucket = 0 } = (starts ?? {}) as Partial<RationedStarts>
  const isBudget = typeof budget?.reserve === 'function' && typeof budget.refund === 'function'
  if (starts !== undefined && !(isBudget && isWhole(bucket) && bucket >= 0)) {
    refuse('starts', starts, '{ budget: sessionBudget(…), bucket? }')
  }
}

const isWhole = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value)

/** What can be dialed, with an example of each. */
const schemes = {
  ws: 'ws://127.0.0.1:3001/',
  wss: 'wss://host/path',
  http: 'http://127.0.0.1:3000/',
  https: 'https://host/path',
  tcp: 'tcp://127.0.0.1:8080',
  tls: 'tls://host:8443',
}

export type Scheme = keyof typeof schemes

const WEBSOCKET: readonly Scheme[] = ['ws', 'wss']

/**
 * Throws unless it is a target that can be dialed by one of these schemes. The URL is not repeated in the message: it may
 * hold a token.
 */
export const checkTarget = (target: unknown, where: string, allowed: readonly Scheme[] = WEBSOCKET): void => {
  const {
    url,
    transport,
    posts,
    headers = {},
    protocols = [],
    secrets = [],
    ...more
  } = (target ?? {}) as Record<string, unknown>
  if (transport === undefined) checkUrl(url, where, allowed)
  else if (typeof transport !== 'function' || typeof url !== 'string' || !URL.canParse(url)) {
    throw new HoldfastError('bad-option', `${where} brings its own transport: a function, and a url that names it.`)
  }
  if (transport === undefined) checkBare(String(url), more, where)
  if (posts !== undefined && typeof posts !== 'function') {
    throw new HoldfastError(
      'bad-option',
      `The posts of ${where} are ${describe(posts)}; a berth of a listener has them.`,
    )
  }
  checkHeaders(headers, where)
  for (const [name, list] of Object.entries({ protocols, secrets })) {
    if (Array.isArray(list) && list.every((each) => typeof each === 'string')) continue
    const got = Array.isArray(list) ? 'an array with something else in it' : describe(list)
    throw new HoldfastError('bad-option', `The ${name} of ${where} is ${got}; it must be an array of strings.`)
  }
}

/** Every target that the engine can open. */
export const checkAnyTarget = (target: unknown, where: string): void =>
  checkTarget(target, where, Object.keys(schemes) as Scheme[])

const checkUrl = (url: unknown, where: string, allowed: readonly Scheme[]): void => {
  const wants = `it must be a string such as ${allowed.map((scheme) => `"${schemes[scheme]}"`).join(' or ')}.`
  if (typeof url !== 'string')
    throw new HoldfastError('bad-option', `The url of ${where} is ${describe(url)}; ${wants}`)
  if (!URL.canParse(url)) throw new HoldfastError('bad-option', `The url of ${where} is not a URL; ${wants}`)
  const { protocol, hostname, hash } = new URL(url)
  if (!allowed.some((scheme) => `${scheme}:` === protocol)) {
    throw new HoldfastError('bad-option', `The url of ${where} begins with "${protocol}"; ${wants}`)
  }
  if (hostname === '') throw new HoldfastError('bad-option', `The url of ${where} has no host; ${wants}`)
  if (hash !== '') throw new HoldfastError('bad-option', `The url of ${where} has a fragment (#…); leave it out.`)
}

/** What a bare socket needs, and nothing else can use. */
const checkBare = (url: string, { framing, keyExchange }: Record<string, unknown>, where: string): void => {
  const { protocol, port, username, password, pathname, search } = new URL(url)
  const isBare = protocol === 'tcp:' || protocol === 'tls:'
  if (!isBare && (framing ?? keyExchange) !== undefined) {
    throw new HoldfastError('bad-option', `${where} has a framing or a keyExchange: those are for tcp:// and tls://.`)
  }
  if (!isBare) return
  const { encode, decoder } = (framing ?? {}) as Partial<Framing>
  if (typeof encode !== 'function' || typeof decoder !== 'function') {
    const wants = 'it must be one such as lengthPrefixed({ bytes: 4 }), because a bare socket has no frames of its own.'
    throw new HoldfastError('bad-option', `The framing of ${where} is ${describe(framing)}; ${wants}`)
  }
  if (keyExchange !== undefined && typeof keyExchange !== 'function') {
    const wants = 'it must be a function such as ecdh({ … }), which is called for each dial.'
    throw new HoldfastError('bad-option', `The keyExchange of ${where} is ${describe(keyExchange)}; ${wants}`)
  }
  if (port === '')
    throw new HoldfastError('bad-option', `The url of ${where} has no port, and ${protocol} has none by itself.`)
  if (username + password + search !== '' || !/^\/?$/.test(pathname)) {
    throw new HoldfastError(
      'bad-option',
      `The url of ${where} has more than a host and a port, which ${protocol} cannot carry.`,
    )
  }
}

/** RFC 9110, section 5.6.2. */
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

const checkHeaders = (headers: unknown, where: string): void => {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    throw new HoldfastError('bad-option', `The headers of ${where} are ${describe(headers)}; they must be an object.`)
  }
  for (const [name, value] of Object.entries(headers)) {
    if (HEADER_NAME.test(name) && typeof value === 'string' && HEADER_VALUE.test(value)) continue
    const must = 'must have a name without spaces and be a string of Latin characters on one line.'
    throw new HoldfastError('bad-option', `The header "${name}" of ${where} ${must}`)
  }
}

/** The token itself, if it is one that can be sent. Throws otherwise, without repeating it. */
export const checkToken = (token: unknown, where: string): string => {
  const must = 'it must be a string of Latin characters on one line, or a secret(…) of one.'
  const text = isSecret(token) ? reveal(token) : token
  if (typeof text !== 'string') throw new HoldfastError('bad-option', `${where} is ${describe(text)}; ${must}`)
  if (text === '') throw new HoldfastError('bad-option', `${where} is an empty string. Leave it out if there is none.`)
  if (!HEADER_VALUE.test(text)) throw new HoldfastError('bad-option', `${where} cannot be sent; ${must}`)
  return text
}

/** Throws if an object has a key that means nothing: most often a slip of the pen. */
export const refuseUnknown = (given: object, known: readonly string[], where: string): void => {
  const stranger = Object.keys(given).find((key) => !known.includes(key))
  if (stranger === undefined) return
  throw new HoldfastError('bad-option', `"${stranger}" is not one of the ${where}. Known are: ${known.join(', ')}.`)
}

/** A value for an error message: its kind, and itself only where it cannot be a secret. */
export const describe = (value: unknown): string => {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value === 'object') return Array.isArray(value) ? 'an array' : 'an object'
  return `a ${typeof value}`
}
