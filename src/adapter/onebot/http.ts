/**
 * OneBot v11 over HTTP: we ask, and what happens comes by posts to a webhook, or as the stream of events that NapCat has.
 * There is no handshake and, over a stream, no beat: the link asks who is logged in and whether it is online, and goes on
 * asking.
 */
import { createHmac } from 'node:crypto'
import { type Fault, kindOf } from '../../../machines/fault.ts'
import type { CallerHeaders } from '../../berth.ts'
import { faultFromStatus } from '../../error.ts'
import { type Answer, ask, readAnswer } from '../../exchange.ts'
import { tokenCheck } from '../../secret.ts'
import type { Dialogue, Frame, HttpOutgoing, Io, Verdict } from '../adapter.ts'
import type { Credential } from '../credential.ts'
import { asObject, type JsonObject, readObject } from '../json.ts'
import { judgeStatus, type OnebotEvent, readEvent, refusalOf } from './events.ts'

export interface HttpSource {
  /** What happens comes as a stream of events, not by posts. */
  readonly streams: boolean
  /** The account that is expected; events of others are not handed on. */
  readonly selfId?: string | undefined
}

const LOGIN = 'login'
const STATUS = 'status'
const EVENTS = 'events'
const ANSWER_MS = 10_000
/** Over a stream silence is all that a dead peer says, and only the status tells of the account. */
const STATUS_EVERY_MS = 30_000
const RETCODES_OF_REJECTION = new Set<unknown>([1401, 1403])

export const askAction = (key: string, action: string): Frame =>
  ask({
    key,
    method: 'POST',
    path: action,
    headers: { 'Content-Type': 'application/json' },
    body: '{}',
    withinMs: ANSWER_MS,
  })

export const httpDialogue = (io: Io<OnebotEvent>, { streams, selfId }: HttpSource): Dialogue => {
  let isStreaming = !streams
  let status: JsonObject | undefined
  let isWelcomed = false

  /** The account is known before the link is live. */
  const welcome = () => {
    if (isWelcomed || !status || !isStreaming) return
    isWelcomed = true
    io.welcome({ replaying: true })
    io.heartbeat({ everyMs: STATUS_EVERY_MS })
    judgeStatus(io, status)
    io.caughtUp()
  }

  const judgeLogin = (reply: JsonObject) => {
    const account = accountOf(asObject(reply.data)?.user_id)
    if (selfId === undefined || account === undefined || account === selfId) io.send(askAction(STATUS, 'get_status'))
    else io.fail('login-needed', { detail: `the account that is logged in is ${account}, not ${selfId}` })
  }

  const beginWith = (reply: JsonObject) => {
    status = asObject(reply.data)
    if (typeof status?.online === 'boolean') welcome()
    else io.fail('protocol-violated', { detail: `get_status does not tell the status: ${refusalOf(reply)}` })
  }

  const judgeReply = (key: string, reply: JsonObject) => {
    if (RETCODES_OF_REJECTION.has(reply.retcode)) io.fail('credentials-rejected', { detail: refusalOf(reply) })
    else if (key === LOGIN) judgeLogin(reply)
    else if (isWelcomed) judgeStatus(io, asObject(reply.data))
    else if (key === STATUS) beginWith(reply)
  }

  const whole = ({ key, status, headers, body }: Extract<Answer, { kind: 'whole' }>): Verdict => {
    const reply = status === 200 && key !== EVENTS ? readObject(body) : undefined
    if (reply && 'retcode' in reply) {
      judgeReply(key, reply)
      return 'taken'
    }
    const fault = status === 200 ? NOT_ONEBOT : faultOfStatus(status, headers['retry-after'], key === EVENTS)
    io.fail(fault.code, fault)
    return 'malformed'
  }

  const event = (text: string): Verdict => {
    const frame = readObject(text)
    if (!frame || (selfId !== undefined && accountOf(frame.self_id) !== selfId)) return 'malformed'
    return readEvent(io, frame, (judge) => judge?.())
  }

  /** The heartbeat judges what goes wrong later, unless nobody is there any more. */
  const fault = (key: string, fault: Fault) => {
    if (!isWelcomed || key === EVENTS || kindOf(fault) === 'vacant') io.fail(fault.code, fault)
  }

  return {
    opened: () => {
      io.send(askAction(LOGIN, 'get_login_info'))
      if (streams) io.send(ask({ key: EVENTS, method: 'GET', path: '_events', withinMs: ANSWER_MS, stream: 'events' }))
    },
    frame: (raw) => {
      const answer = readAnswer(raw)
      if (!answer) return 'malformed'
      if (answer.kind === 'whole') return whole(answer)
      if (answer.kind === 'posted') return event(answer.body)
      if (answer.kind === 'event') return event(answer.data)
      if (answer.kind === 'opened') {
        isStreaming = true
        welcome()
      } else if (answer.kind === 'ended') io.fail('closed-by-peer', { detail: 'the stream of events ended' })
      else if (answer.kind === 'fault') fault(answer.key, answer.fault)
      else return 'unknown'
      return 'taken'
    },
  }
}

/** Some implementations write numbers as texts. */
const accountOf = (value: unknown): string | undefined =>
  typeof value === 'number' || typeof value === 'string' ? String(value) : undefined

const NOT_ONEBOT: Fault = { code: 'protocol-violated', detail: 'the answer is none of OneBot: look at the address' }

const faultOfStatus = (status: number, retryAfter: string | undefined, isStream: boolean): Fault => {
  const fault = faultFromStatus(status, retryAfter, Number.NaN)
  if (status === 401 || status === 403) return { ...fault, code: 'credentials-rejected' }
  if (status !== 404) return fault
  const advice = isStream
    ? 'there is no stream of events: give a listener for posts'
    : 'there is no OneBot at this address'
  return { ...fault, detail: `HTTP 404: ${advice}` }
}

/** The signature of a post, `X-Signature: sha1=…`, is made over its bytes. */
export const signatureCheck =
  (secret: string) =>
  (headers: CallerHeaders, body: Uint8Array): boolean =>
    tokenCheck(`sha1=${createHmac('sha1', secret).update(body).digest('hex')}`)(headers['x-signature'] ?? '')

/** What an action of the user is as a request. Those that go to one place go one after another. */
export const httpAction = (
  base: string,
  access: Credential | undefined,
  action: string,
  params: Readonly<Record<string, unknown>> = {},
): HttpOutgoing => {
  const { group_id: group, user_id: user } = params
  const place = group ?? user
  return {
    http: {
      url: `${base}${encodeURIComponent(action)}`,
      method: 'POST',
      // a call may wait for a live link until the token that it was made with has ended
      get headers(): Record<string, string> {
        const token = access?.latest
        return { 'Content-Type': 'application/json', ...(token !== undefined && { Authorization: `Bearer ${token}` }) }
      },
      body: JSON.stringify(params),
    },
    read: readReply,
    ...(place !== undefined && { conversation: `${group === undefined ? 'user' : 'group'} ${String(place)}` }),
  }
}

const REASONS = new Map([
  [400, 'it could not read the parameters'],
  [401, 'the access token is missing'],
  [403, 'the access token is wrong'],
  [404, 'it does not know this action'],
  [406, 'it does not take JSON'],
])

const readReply = (status: number, body: string): unknown => {
  const reply = readObject(body)
  if (reply && 'retcode' in reply) {
    if (reply.status === 'failed') throw new Error(refusalOf(reply))
    return reply.data
  }
  throw new Error(`HTTP ${status}: ${REASONS.get(status) ?? 'the answer is none of OneBot'}`)
}
