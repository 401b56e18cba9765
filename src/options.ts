/** The options of a link: their defaults, and a check that names what is wrong, what it got and what it wants. */
import { type Deadline, deadlines, TIMER_MAX_MS } from '../machines/delay.ts'
import { describe, refuseUnknown } from './adapter/adapter.ts'
import { type Clock, realClock } from './clock.ts'
import type { Endpoint } from './conversation.ts'
import { HoldfastError, textOf } from './error.ts'
import type { Language } from './explain.ts'
import { checkHandOver, type HandOver } from './hand-over.ts'
import { type HeartbeatOptions, heartbeatDefaults } from './heartbeat.ts'
import { type InboundOptions, inboundDefaults } from './inbound.ts'
import { parseProxy } from './net/proxy.ts'
import { type Lookup, lookupBySystem } from './net/resolve.ts'
import { lookupByServers } from './net/servers.ts'
import { RECORDS_MAX } from './observe/recorder.ts'
import type { Logger } from './outage/outage-log.ts'
import type { OnParked } from './outage/parked.ts'
import { type FallbackOptions, type OutboxOptions, outboxDefaults } from './outbox/outbox.ts'
import type { Store } from './store.ts'
import type { Tenure } from './tenure.ts'
import type { OpenTransport } from './transport/transport.ts'

/** How long each step may take, in milliseconds. */
export interface Deadlines {
  /** DNS and the adapter's `target`. Default 10,000. */
  readonly resolveMs: number
  /** TCP. Default 10,000. */
  readonly connectMs: number
  /** The TLS handshake. Default 10,000. */
  readonly tlsMs: number
  /** The WebSocket upgrade. Default 10,000. */
  readonly upgradeMs: number
  /** From the open socket to the peer's welcome, TLS and upgrade included. Default 15,000, or what the adapter says. */
  readonly handshakeMs: number
  /** The same where a session is resumed. Default 10,000. */
  readonly resumeMs: number
  /** From the welcome until missed messages are replayed. Default 15,000. */
  readonly replayMs: number
  /** From the first unanswered probe until the transport is given up. Default 2,000. */
  readonly graceMs: number
  /** So long live that past attempts are forgiven. Default 120,000. */
  readonly provenMs: number
  /** From `stop()` until the transport is cut, whatever is left to deliver. Default 3,000. */
  readonly closeMs: number
}

export interface LinkOptions {
  /** Names the link in records, logs and on the page. Default: the adapter's name and four random digits. */
  readonly id?: string
  /** Stops the link when it fires. */
  readonly signal?: AbortSignal
  readonly deadlines?: Partial<Deadlines>
  readonly heartbeat?: Partial<HeartbeatOptions>
  readonly outbox?: Partial<OutboxOptions>
  /** What waits for a slow reader, and what is known by its id. */
  readonly inbound?: Partial<InboundOptions>
  /** A bigger frame ends the transport. Default 16 MiB. */
  readonly maxPayloadBytes?: number
  /** Ask the peer for compression. Default false. */
  readonly perMessageDeflate?: boolean
  /** Transition records kept. Default 256. */
  readonly recordsMax?: number
  /**
   * A file that every transition is written to: see `traceTo`. Several links, and several processes, may write to one file.
   * Default: what the environment variable HOLDFAST_TRACE names, if it is set; false for none.
   */
  readonly trace?: string | false
  /** A resolver of your own. Default: the system's. */
  readonly lookup?: Lookup
  /** DNS servers of your own, such as `['1.1.1.1']`, in place of the system's resolver: /etc/hosts is not asked then. */
  readonly dns?: { readonly servers: readonly string[] }
  /**
   * The URL of a proxy (`http://`, `https://`, `socks5://`; user and password are never shown) that everything goes
   * through, or false for none. Default: what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say.
   */
  readonly proxy?: string | false
  /** Time and dice. Default: the real ones. */
  readonly clock?: Clock
  /**
   * Keeps accepted messages and the session over a crash: `fileStore(dir)`. Default: neither outlives the process.
   */
  readonly store?: Store
  /** What the link of the process before gave with `link.handOver()`, or `loadHandOver(file)`. */
  readonly handOver?: HandOver | undefined
  /**
   * What `lease()` gives to the function that makes its link: the link lives and acts for as long as this process owns it,
   * and not a moment longer. Its id and its hand-over are the link's unless these options say otherwise.
   */
  readonly lease?: Tenure
  /** Gets a line when an outage begins and when it is over, and few in between: `console`, or a `pino()`. Default: none. */
  readonly logger?: Logger
  /** The language of its lines. Default `en`. */
  readonly logLanguage?: Language
  /** Called once each time that the link is parked and waits for a person; not for `hold()`. It may be async. */
  readonly onParked?: OnParked
  /**
   * Another channel for the messages of `send` while the link is down. What it delivers settles as `delivered`, with
   * `via: 'fallback'` in the receipt; what it does not take waits on. It gets no message that may have arrived already.
   */
  readonly fallback?: FallbackOptions
  /** A transport of your own, for tests and other pipes. Default: what the target asks for. */
  readonly transport?: (endpoint: Endpoint) => OpenTransport
}

export interface CheckedOptions
  extends Required<
    Omit<
      LinkOptions,
      | 'id'
      | 'signal'
      | 'transport'
      | 'store'
      | 'handOver'
      | 'lease'
      | 'deadlines'
      | 'heartbeat'
      | 'outbox'
      | 'inbound'
      | 'dns'
      | 'proxy'
      | 'trace'
      | 'logger'
      | 'onParked'
      | 'fallback'
    >
  > {
  readonly id: string
  readonly signal: AbortSignal | undefined
  readonly transport: LinkOptions['transport'] | undefined
  readonly store: Store | undefined
  readonly handOver: HandOver | undefined
  readonly lease: Tenure | undefined
  readonly proxy: LinkOptions['proxy'] | undefined
  readonly trace: LinkOptions['trace'] | undefined
  readonly logger: Logger | undefined
  readonly onParked: OnParked | undefined
  readonly fallback: Required<FallbackOptions> | undefined
  readonly deadlines: Deadlines
  readonly heartbeat: HeartbeatOptions
  readonly outbox: OutboxOptions
  readonly inbound: InboundOptions
}

/** The chart's names for the deadlines that it keeps itself. */
export const chartDeadlines = {
  resolveDeadline: 'resolveMs',
  connectDeadline: 'connectMs',
  handshakeDeadline: 'handshakeMs',
  replayDeadline: 'replayMs',
  suspectGrace: 'graceMs',
  provenAfter: 'provenMs',
  closeDeadline: 'closeMs',
} as const satisfies Record<Deadline, keyof Deadlines>

const deadlineDefaults: Deadlines = {
  resolveMs: deadlines.resolveDeadline,
  connectMs: deadlines.connectDeadline,
  tlsMs: 10_000,
  upgradeMs: 10_000,
  handshakeMs: deadlines.handshakeDeadline,
  resumeMs: 10_000,
  replayMs: deadlines.replayDeadline,
  graceMs: deadlines.suspectGrace,
  provenMs: deadlines.provenAfter,
  closeMs: deadlines.closeDeadline,
}

const KNOWN = [
  'id',
  'signal',
  'deadlines',
  'heartbeat',
  'outbox',
  'inbound',
  'maxPayloadBytes',
  'perMessageDeflate',
  'recordsMax',
  'trace',
  'lookup',
  'dns',
  'proxy',
  'clock',
  'store',
  'handOver',
  'lease',
  'logger',
  'logLanguage',
  'onParked',
  'fallback',
  'transport',
] as const satisfies readonly (keyof LinkOptions)[]

const ID_LENGTH_MAX = 128
const COUNT_MAX = 1_000_000
const BYTES_MAX = 1024 ** 3
const DEDUPE_MAX_MS = 86_400_000

/** Fills in the defaults. Throws HoldfastError `bad-option` at the first wrong one. */
export const checkOptions = (
  options: LinkOptions,
  adapterName: string,
  adapterHandshakeMs = deadlineDefaults.handshakeMs,
): CheckedOptions => {
  checkObject(options, 'options')
  refuseUnknown(options, KNOWN, 'options')
  const clock = checkClock(options.clock ?? realClock)
  const four = Math.floor(clock.random() * 0x10000)
  const lease = checkLease(options.lease)
  const handOver = checkHanded({ ...options, handOver: options.handOver ?? lease?.handOver }, adapterName)
  const id = options.id ?? handOver?.id ?? lease?.id ?? `${adapterName}-${four.toString(16).padStart(4, '0')}`
  if (typeof id !== 'string' || id === '' || id.length > ID_LENGTH_MAX) {
    throw wrong('id', id, `a string of 1 to ${ID_LENGTH_MAX} characters`)
  }
  const { perMessageDeflate = false, signal } = options
  if (typeof perMessageDeflate !== 'boolean') throw wrong('perMessageDeflate', perMessageDeflate, 'true or false')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrong('signal', signal, 'an AbortSignal')
  checkFunction('lookup', options.lookup)
  checkFunction('transport', options.transport)
  return {
    id,
    signal,
    perMessageDeflate,
    clock,
    lookup: checkLookup(options),
    proxy: checkProxy(options.proxy),
    trace: checkTrace(options.trace),
    transport: options.transport,
    store: checkStore(options.store),
    handOver,
    lease,
    ...checkTelling(options),
    fallback: checkFallback(options.fallback),
    deadlines: checkNumbers(
      'deadlines',
      options.deadlines,
      { ...deadlineDefaults, handshakeMs: adapterHandshakeMs },
      TIMER_MAX_MS,
    ),
    heartbeat: checkHeartbeat(options.heartbeat),
    outbox: checkOutbox(options.outbox),
    inbound: checkInbound(options.inbound),
    maxPayloadBytes: checkNumber('maxPayloadBytes', options.maxPayloadBytes ?? 16 * 1024 * 1024, BYTES_MAX),
    recordsMax: checkNumber('recordsMax', options.recordsMax ?? RECORDS_MAX, COUNT_MAX),
  }
}

const wrong = (name: string, got: unknown, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `The option "${name}" is ${describe(got)}; it must be ${wants}.`)

const checkObject = (value: unknown, name: string): void => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, value, 'an object')
}

const checkLookup = ({ lookup, dns }: LinkOptions): Lookup => {
  if (dns === undefined) return lookup ?? lookupBySystem
  if (lookup !== undefined) throw wrong('dns', dns, 'left out when there is a "lookup"')
  checkObject(dns, 'dns')
  refuseUnknown(dns, ['servers'], 'dns')
  const { servers } = dns
  try {
    if (Array.isArray(servers) && servers.length > 0) return lookupByServers(servers)
  } catch {
    // one of them is no address
  }
  throw wrong('dns.servers', servers, 'a list of IP addresses, each with a port if need be: "1.1.1.1:53"')
}

/** Throws HoldfastError `bad-option` for what is no proxy. */
export const checkProxy = (proxy: unknown): LinkOptions['proxy'] => {
  if (proxy === undefined || proxy === false || (typeof proxy === 'string' && parseProxy(proxy))) return proxy
  throw wrong('proxy', proxy, 'false or the URL of a proxy: http://, https:// or socks5://')
}

/** Of a link, or of a fleet. Throws HoldfastError `bad-option`. */
export const checkTrace = (trace: unknown): LinkOptions['trace'] => {
  if (trace === undefined || trace === false || (typeof trace === 'string' && trace !== '')) return trace
  throw wrong('trace', trace, 'the name of a file, or false')
}

const checkHanded = ({ handOver, id }: LinkOptions, adapterName: string): HandOver | undefined => {
  if (handOver === undefined) return undefined
  const problem = problemOf(handOver, adapterName, id)
  if (problem === undefined) return handOver
  const advice = 'Give what link.handOver() or loadHandOver() gave, as it is, or leave it out and start anew.'
  throw new HoldfastError('bad-option', `The option "handOver" cannot be used: ${problem} ${advice}`)
}

const problemOf = (handOver: HandOver, adapterName: string, asked: string | undefined): string | undefined => {
  try {
    const { adapter, id } = checkHandOver(handOver)
    if (adapter !== adapterName) return `it is of a link with another adapter than "${adapterName}".`
    // the session of one bot in the hands of another would give it the other's messages
    return asked === undefined || asked === id ? undefined : `it is of the link "${id}", and this one is "${asked}".`
  } catch (error) {
    return error instanceof Error ? error.message : textOf(error)
  }
}

const checkLease = (lease: Tenure | undefined): Tenure | undefined => {
  if (lease === undefined) return lease
  const isOne = typeof lease === 'object' && lease && typeof lease.holds === 'function'
  if (isOne && lease.signal instanceof AbortSignal) return lease
  throw wrong('lease', lease, 'what lease() gives to its function "link"')
}

const STORE = ['read', 'write', 'close'] as const satisfies readonly (keyof Store)[]

const checkStore = (store: Store | undefined): Store | undefined => {
  if (store === undefined) return store
  if (typeof store === 'object' && store && STORE.every((name) => typeof store[name] === 'function')) return store
  throw wrong('store', store, `memoryStore(), fileStore(dir) or an object with the functions ${STORE.join(', ')}`)
}

const LOGGER = ['info', 'warn', 'error'] as const satisfies readonly (keyof Logger)[]

type Telling = Pick<CheckedOptions, 'logger' | 'logLanguage' | 'onParked'>

/** Of a link, or of a fleet. Throws HoldfastError `bad-option`. */
export const checkTelling = ({ logger, logLanguage = 'en', onParked }: Pick<LinkOptions, keyof Telling>): Telling => {
  if (logLanguage !== 'en' && logLanguage !== 'zh') throw wrong('logLanguage', logLanguage, '"en" or "zh"')
  checkFunction('onParked', onParked)
  const isLogger = typeof logger === 'object' && logger && LOGGER.every((name) => typeof logger[name] === 'function')
  if (logger === undefined || isLogger) return { logger, logLanguage, onParked }
  throw wrong('logger', logger, `console, or an object with the functions ${LOGGER.join(', ')}`)
}

const FALLBACK_AFTER_MS = 30_000

const checkFallback = (given: FallbackOptions | undefined): CheckedOptions['fallback'] => {
  if (given === undefined) return given
  checkObject(given, 'fallback')
  refuseUnknown(given, ['afterMs', 'send'], 'fallback')
  if (typeof given.send !== 'function') throw wrong('fallback.send', given.send, 'a function')
  const afterMs = checkNumber('fallback.afterMs', given.afterMs ?? FALLBACK_AFTER_MS, TIMER_MAX_MS)
  return { afterMs, send: (message, handed) => given.send(message, handed) }
}

const checkFunction = (name: string, value: unknown): void => {
  if (value !== undefined && typeof value !== 'function') throw wrong(name, value, 'a function')
}

const CLOCK = ['now', 'wall', 'random', 'setTimeout', 'clearTimeout'] as const satisfies readonly (keyof Clock)[]

/** Throws HoldfastError `bad-option` for what is no clock. */
export const checkClock = (clock: Clock): Clock => {
  if (typeof clock === 'object' && clock && CLOCK.every((name) => typeof clock[name] === 'function')) return clock
  throw wrong('clock', clock, `an object with the functions ${CLOCK.join(', ')}`)
}

const checkHeartbeat = (given: Partial<HeartbeatOptions> | undefined): HeartbeatOptions => {
  const checked = checkNumbers('heartbeat', given, heartbeatDefaults, TIMER_MAX_MS)
  const { answerMinMs, answerMaxMs } = checked
  if (answerMinMs <= answerMaxMs) return checked
  throw wrong('heartbeat.answerMinMs', answerMinMs, `at most heartbeat.answerMaxMs, which is ${answerMaxMs}`)
}

const checkInbound = (given: Partial<InboundOptions> | undefined): InboundOptions => {
  if (given === undefined) return inboundDefaults
  checkObject(given, 'inbound')
  refuseUnknown(given, Object.keys(inboundDefaults), 'inbound')
  const { messagesMax, whenFull, dedupeMax, dedupeMs } = withDefaults(given, inboundDefaults)
  if (whenFull !== 'drop-oldest' && whenFull !== 'drop-newest') {
    throw wrong('inbound.whenFull', whenFull, '"drop-oldest" or "drop-newest"')
  }
  return {
    messagesMax: checkNumber('inbound.messagesMax', messagesMax, COUNT_MAX),
    whenFull,
    dedupeMax: checkNumber('inbound.dedupeMax', dedupeMax, COUNT_MAX),
    dedupeMs: checkNumber('inbound.dedupeMs', dedupeMs, DEDUPE_MAX_MS),
  }
}

const WHEN_FULL: readonly unknown[] = ['reject', 'drop-oldest'] satisfies OutboxOptions['whenFull'][]

const checkOutbox = (given: Partial<OutboxOptions> | undefined): OutboxOptions => {
  if (given === undefined) return outboxDefaults
  checkObject(given, 'outbox')
  refuseUnknown(given, Object.keys(outboxDefaults), 'outbox')
  const { whenFull = outboxDefaults.whenFull, ...numbers } = given
  if (!WHEN_FULL.includes(whenFull)) throw wrong('outbox.whenFull', whenFull, '"reject" or "drop-oldest"')
  const { whenFull: _, ...defaults } = outboxDefaults
  return { ...checkNumbers('outbox', numbers, defaults, BYTES_MAX), whenFull }
}

/** A whole number from 1 to `max`. */
export const checkNumber = (name: string, value: unknown, max: number): number => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) return value
  throw wrong(name, value, `a whole number from 1 to ${max}`)
}

const checkNumbers = <T extends object>(group: string, given: Partial<T> | undefined, defaults: T, max: number): T => {
  if (given === undefined) return defaults
  checkObject(given, group)
  refuseUnknown(given, Object.keys(defaults), group)
  for (const [key, value] of Object.entries(given)) {
    if (value !== undefined) checkNumber(`${group}.${key}`, value, max)
  }
  return withDefaults(given, defaults)
}

/** Something that is undefined counts as left out. */
const withDefaults = <T extends object>(given: Partial<T>, defaults: T): T => {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { ...defaults, ...set }
}
