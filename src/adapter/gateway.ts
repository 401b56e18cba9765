/**
 * The gateway protocol that Discord made and QQ took over: the peer says hello, we identify or resume, and what happens
 * comes as dispatches with a sequence number. discord.ts and qq.ts say what differs: who we are, and what a close means.
 */
import { type Fault, type FaultCode, kindOf } from '../../machines/fault.ts'
import type { SessionBudget } from '../budget.ts'
import { HoldfastError, textOf } from '../error.ts'
import { scrubber } from '../secret.ts'
import {
  checkTarget,
  type Dialogue,
  describe,
  type InboundMark,
  type Io,
  type RationedStarts,
  type Verdict,
  type Welcome,
} from './adapter.ts'
import type { Credential } from './credential.ts'
import { asObject, type JsonObject, readObject } from './json.ts'

/** An event as the platform sent it, `READY` and `RESUMED` among them. */
export interface GatewayEvent {
  /** What happened: `MESSAGE_CREATE`. */
  readonly t: string
  /** Its place in the session. */
  readonly s?: number | null
  /** What about it. */
  readonly d?: unknown
  readonly [field: string]: unknown
}

/** What the platform answers to `GET /gateway/bot`, as it came. */
export interface GatewayAnswer {
  readonly url: string
  readonly session_start_limit?: {
    readonly remaining?: number
    /** In milliseconds. */
    readonly reset_after?: number
    readonly max_concurrency?: number
  }
}

/** What tells one platform from the other, for one transport. */
export interface GatewayRules {
  identify(): JsonObject
  resume(id: string): JsonObject
  /** What to resume next time, of a READY that is well-formed. */
  sessionOf(ready: JsonObject): Welcome['session']
  /** The platform would still resume the session in so many milliseconds, but then it is too old to be of use. */
  isTooOld?(id: string, inMs: number): boolean
  readonly closes: CloseTable
}

/**
 * What the close codes of a platform mean. `session-lost` is followed by a new session, a fatal fault by a person, and
 * everything else by a resume; so are the codes that are not in the table.
 */
export type CloseTable = Readonly<Record<number, FaultCode>>

export const OP = {
  DISPATCH: 0,
  HEARTBEAT: 1,
  IDENTIFY: 2,
  RESUME: 6,
  RECONNECT: 7,
  INVALID_SESSION: 9,
  HELLO: 10,
  HEARTBEAT_ACK: 11,
} as const

/** 1000 and 1001 end the session; this one is what @discordjs/ws closes with when it means to come back. */
export const COMING_BACK = 4200

/** Discord asks for 1 to 5 s before the next attempt; the backoff adds its own part. */
const INVALID_SESSION_WAIT_MS = 1_000

/** After a goodbye we are back within so many milliseconds: the longest wait of the backoff. */
const BACK_MS = 120_000

const SESSION_ID_MAX = 256

export const gatewayDialogue = (io: Io<GatewayEvent>, rules: GatewayRules): Dialogue => {
  const { id: earlier, cursor } = io.session
  let id = earlier
  let phase: 'greeting' | 'asked' | 'welcomed' = 'greeting'
  /** Of the last dispatch of this session that we know of. */
  let last: number | null = earlier !== undefined && typeof cursor === 'number' ? cursor : null

  const isTooOld = (inMs: number) => id !== undefined && rules.isTooOld?.(id, inMs) === true
  const beat = () => JSON.stringify({ op: OP.HEARTBEAT, d: last })
  const loseSession = (detail: string, wait: { retryAfterMs?: number } = {}) =>
    io.fail('session-lost', { detail, ...wait })

  const hello = (data: JsonObject | undefined): Verdict => {
    const everyMs = data?.heartbeat_interval
    if (typeof everyMs !== 'number') return 'malformed'
    io.heartbeat({ everyMs })
    if (phase !== 'greeting') return 'taken'
    phase = 'asked'
    if (isTooOld(0)) loseSession('the session is too old to be resumed')
    else if (earlier === undefined) io.send(JSON.stringify({ op: OP.IDENTIFY, d: rules.identify() }))
    else io.send(JSON.stringify({ op: OP.RESUME, d: { ...rules.resume(earlier), seq: last ?? 0 } }))
    return 'taken'
  }

  const dispatch = (event: JsonObject): Verdict => {
    const { t, s } = event
    if (typeof t !== 'string') return 'malformed'
    if (phase === 'greeting') return 'unknown'
    const mark = markOf(s)
    if (phase === 'asked') {
      const verdict = enter(t, asObject(event.d), mark)
      if (verdict !== 'taken') return verdict
    }
    if (mark.cursor !== undefined) last = mark.cursor
    io.deliver(event as unknown as GatewayEvent, mark)
    if (t === 'RESUMED') io.caughtUp()
    return 'taken'
  }

  /** READY starts a session; RESUMED, or what was missed and comes before it, goes on with the one that there was. */
  const enter = (t: string, data: JsonObject | undefined, { cursor }: Mark): Verdict => {
    if (t === 'READY') {
      if (!isSessionId(data?.session_id)) return 'malformed'
      const session = rules.sessionOf(data)
      id = session?.id
      phase = 'welcomed'
      io.welcome({ ...(session && { session }) })
      return 'taken'
    }
    if (earlier === undefined) return 'unknown'
    if (t !== 'RESUMED' && cursor === undefined) return 'malformed'
    phase = 'welcomed'
    io.welcome({ resumed: true, replaying: true })
    return 'taken'
  }

  const leave = () => {
    if (isTooOld(BACK_MS)) loseSession('the peer wants us to reconnect, and the session is too old to be resumed')
    else io.leaving('the peer wants us to reconnect (op 7)')
  }

  const invalid = (isResumable: boolean) => {
    const wait = { retryAfterMs: INVALID_SESSION_WAIT_MS }
    if (!isResumable) loseSession('invalid session (op 9)', wait)
    else {
      const code = phase === 'welcomed' ? 'peer-leaving' : 'handshake-refused'
      io.fail(code, { detail: 'invalid session, to be resumed (op 9)', ...wait })
    }
  }

  return {
    frame: (raw) => {
      const frame = readObject(raw)
      if (!frame) return 'malformed'
      if (frame.op === OP.DISPATCH) return dispatch(frame)
      if (frame.op === OP.HELLO) return hello(asObject(frame.d))
      if (frame.op === OP.HEARTBEAT) io.send(beat())
      else if (frame.op === OP.RECONNECT) leave()
      else if (frame.op === OP.INVALID_SESSION) invalid(frame.d === true)
      else if (frame.op !== OP.HEARTBEAT_ACK) return 'unknown'
      return 'taken'
    },
    closed: (code) => {
      const meaning = Object.hasOwn(rules.closes, code) ? rules.closes[code] : undefined
      return isTooOld(BACK_MS) && sequelOf(meaning) === 'resume' ? 'session-lost' : meaning
    },
    probe: beat,
  }
}

/** What a link does after a close with this meaning. */
export const sequelOf = (meaning: Fault['code'] | undefined): 'resume' | 'identify' | 'stop' => {
  if (meaning === 'session-lost') return 'identify'
  return meaning !== undefined && kindOf({ code: meaning }) === 'fatal' ? 'stop' : 'resume'
}

interface Mark extends InboundMark {
  readonly cursor?: number
}

/** Sequence numbers belong to a session, and the link forgets ids and cursor with it: so the number alone is the id. */
const markOf = (s: unknown): Mark =>
  typeof s === 'number' && Number.isSafeInteger(s) && s >= 0 ? { id: String(s), cursor: s } : {}

const isSessionId = (id: unknown): id is string => typeof id === 'string' && id !== '' && id.length <= SESSION_ID_MAX

// Where to dial, and how often a session may be started

/** Asks the platform where it wants us, and how many sessions may still be started there. */
export type AskGateway = () => Promise<GatewayAnswer> | GatewayAnswer

/** The place to dial, and the starts that are rationed there, as one: one answer of the platform tells both. */
export interface Gate {
  readonly url: string
  readonly starts: RationedStarts
}

interface GateOptions {
  /** Dialed until `ask` has named another place. */
  readonly url: string
  readonly ask: AskGateway | undefined
  /** Names `ask` in errors. */
  readonly where: string
  readonly access: Credential
  readonly budget: SessionBudget
  readonly bucket: number
}

/**
 * `ask` is asked when a session is to be started, before the start is reserved: so a bot whose starts were used up
 * elsewhere learns it in time. A resume does not depend on it.
 */
export const gate = ({ url, ask, where, access, budget, bucket }: GateOptions): Gate => {
  let known = url
  const heed = async (ask: AskGateway) => {
    const answer = checkAnswer(await attempt(ask, where, access), url, where)
    known = answer.url
    const { remaining, reset_after, max_concurrency } = asObject(answer.session_start_limit) ?? {}
    await budget.serverSays({
      ...numberAs('remaining', remaining),
      ...numberAs('resetAfterMs', reset_after),
      ...numberAs('maxConcurrency', max_concurrency),
    })
  }
  return {
    get url() {
      return known
    },
    starts: {
      bucket,
      budget: {
        reserve: async (bucket) => {
          if (ask) await heed(ask)
          return budget.reserve(bucket)
        },
        refund: (ticket) => budget.refund(ticket),
        export: () => budget.export(),
        import: (spent) => budget.import(spent),
      },
    },
  }
}

/** What it throws becomes a fault that people read, and whoever asks the platform shows it the token. */
const attempt = async (ask: AskGateway, where: string, { latest }: Credential): Promise<unknown> => {
  try {
    return await ask()
  } catch (error) {
    throw new Error(scrubber(latest === undefined ? [] : [latest])(`${where} failed: ${textOf(error)}`))
  }
}

/** The token goes there: what was encrypted stays encrypted (threat T4). */
const checkAnswer = (answer: unknown, known: string, where: string): GatewayAnswer => {
  checkTarget(answer, `the answer of ${where}`)
  const { url } = answer as GatewayAnswer
  const [named, wanted] = [new URL(url).protocol, new URL(known).protocol]
  if (named === wanted) return answer as GatewayAnswer
  const got = `The url of the answer of ${where} begins with "${named}"`
  throw new HoldfastError('bad-option', `${got}; it must be "${wanted}", as of the known endpoint.`)
}

const numberAs = (name: string, value: unknown) => (typeof value === 'number' ? { [name]: value } : {})

// The options that both platforms have

export type Shard = readonly [id: number, count: number]

export const checkIntents = (intents: unknown, where: string): void => {
  if (isWhole(intents)) return
  throw new HoldfastError(
    'bad-option',
    `The intents of ${where} are ${describe(intents)}; they must be a whole number.`,
  )
}

export const checkShard = (shard: unknown, where: string): void => {
  const [id, count, ...more] = Array.isArray(shard) ? shard : []
  if (isWhole(id) && isWhole(count) && id < count && more.length === 0) return
  const wants = 'it must be [id, count], two whole numbers of which the first is less.'
  throw new HoldfastError('bad-option', `The shard of ${where} is ${describe(shard)}; ${wants}`)
}

export const checkAsk = (ask: unknown, where: string): void => {
  if (ask === undefined || typeof ask === 'function') return
  throw new HoldfastError('bad-option', `The gateway of ${where} is ${describe(ask)}; it must be a function.`)
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
