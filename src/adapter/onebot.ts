/**
 * OneBot v11, forward WebSocket: we dial the implementation (NapCat, Lagrange, go-cqhttp …).
 * Facts: botuniverse/onebot-11, communication/ws.md and event/meta.md; docs/adapters/onebot.md says who sends what.
 */
import { type Adapter, checkTarget, type Dialogue, type Io, refuseUnknown } from './adapter.ts'
import { credential, type Token, type TokenProvider } from './credential.ts'
import { asObject, type JsonObject, readObject } from './json.ts'

/** An event of OneBot v11 as the implementation sent it: message, notice, request. Heartbeats are not among them. */
export interface OnebotEvent {
  readonly time: number
  readonly self_id: number
  readonly post_type: string
  readonly [field: string]: unknown
}

/** An action of the OneBot v11 API. */
export interface OnebotAction {
  readonly action: string
  readonly params?: Readonly<Record<string, unknown>>
}

/** Any action by its name; the answer is the `data` of the reply. */
export type OnebotCalls = Record<string, { params: Readonly<Record<string, unknown>> | undefined; result: unknown }>

export interface OnebotOptions {
  /** The implementation's forward WebSocket, such as `ws://127.0.0.1:3001/`. */
  readonly url: string
  /** Sent as `Authorization: Bearer …`. A function is asked on every attempt, and once more when the peer rejects it. */
  readonly accessToken?: Token | TokenProvider
}

/** NapCat accepts the upgrade, says this in a frame and then closes without a code. */
const RETCODE_FORBIDDEN = 1403

export const onebot = (options: OnebotOptions): Adapter<OnebotEvent, OnebotAction, OnebotCalls> => {
  checkTarget(options, 'onebot({ url })')
  refuseUnknown(options, ['url', 'accessToken'], 'options of onebot()')
  const { url, accessToken } = options
  const access = accessToken === undefined ? undefined : credential(accessToken, 'onebot({ accessToken })')
  return {
    name: 'onebot',
    target: async (context) => {
      if (!access) return { url }
      const { token, ...expiry } = await access.get(context)
      const renewal = access.isRenewable ? { renewable: true } : {}
      return { url, headers: { Authorization: `Bearer ${token}` }, secrets: [token], ...expiry, ...renewal }
    },
    dialogue,
    encode: ({ action, params }, key) => encodeAction(action, params, key),
    request: (action, params, key) => encodeAction(action, params, key),
    // every implementation has it, it changes nothing, and its answer tells whether the account is online
    probe: (key) => JSON.stringify({ action: 'get_status', params: {}, echo: key }),
  }
}

const encodeAction = (action: string, params: OnebotAction['params'], key: string) =>
  ({ frame: JSON.stringify({ action, params: params ?? {}, echo: key }), proof: 'answer' }) as const

const dialogue = (io: Io<OnebotEvent>): Dialogue => {
  let welcomed = false
  /** `judge` says what the link should know of the account before it is live. */
  const welcome = (judge: () => void = () => undefined) => {
    const isFirst = !welcomed
    welcomed = true
    if (isFirst) io.welcome({ replaying: true })
    judge()
    if (isFirst) io.caughtUp()
  }

  const reply = (frame: JsonObject): 'taken' => {
    const { echo, retcode, status } = frame
    if (!welcomed && retcode === RETCODE_FORBIDDEN) {
      io.fail('credentials-rejected', { detail: `retcode ${RETCODE_FORBIDDEN}: ${textOf(frame)}` })
      return 'taken'
    }
    if (typeof echo !== 'string') return 'taken'
    // the answer of get_status, our probe, means the same as the status in a heartbeat
    const data = asObject(frame.data)
    if (typeof data?.good === 'boolean') judgeStatus(data)
    if (status === 'failed') io.refuse(echo, `retcode ${JSON.stringify(retcode)}: ${textOf(frame)}`)
    else io.answer(echo, frame.data)
    return 'taken'
  }

  const judgeStatus = (status: JsonObject | undefined) => {
    if (status?.online === false) io.impaired('account-offline', 'status.online is false')
    else if (status?.online === true) io.recovered()
  }

  const heartbeat = (frame: JsonObject) =>
    welcome(() => {
      if (typeof frame.interval === 'number') io.heartbeat({ expectMs: frame.interval })
      judgeStatus(asObject(frame.status))
    })

  return {
    frame: (raw) => {
      const frame = readObject(raw)
      if (!frame) return 'malformed'
      if ('retcode' in frame && 'status' in frame) return reply(frame)
      if (typeof frame.post_type !== 'string') return 'unknown'
      if (frame.post_type !== 'meta_event') {
        welcome()
        io.deliver(frame as unknown as OnebotEvent)
        return 'taken'
      }
      if (frame.meta_event_type === 'heartbeat') heartbeat(frame)
      else if (frame.meta_event_type === 'lifecycle') welcome()
      else return 'unknown'
      return 'taken'
    },
  }
}

const textOf = ({ wording, message, msg }: JsonObject): string =>
  [wording, message, msg].find((text) => typeof text === 'string' && text !== '')?.toString() ?? 'no reason given'
