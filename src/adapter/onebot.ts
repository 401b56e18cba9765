/**
 * OneBot v11: we dial the implementation (NapCat, Lagrange, go-cqhttp …), or it dials us.
 * Facts: botuniverse/onebot-11, communication/ws.md, ws-reverse.md and event/meta.md; docs/adapters/onebot.md says who
 * sends what.
 */
import type { CallerHeaders, Listener } from '../berth.ts'
import { HoldfastError } from '../error.ts'
import type { Secret } from '../secret.ts'
import { type Adapter, checkTarget, checkToken, describe, refuseUnknown } from './adapter.ts'
import { credential, type Token, type TokenProvider } from './credential.ts'
import { frameDialogue, type OnebotEvent } from './onebot/events.ts'

export type { OnebotEvent } from './onebot/events.ts'

/** An action of the OneBot v11 API. */
export interface OnebotAction {
  readonly action: string
  readonly params?: Readonly<Record<string, unknown>>
}

/** Any action by its name; the answer is the `data` of the reply. */
export type OnebotCalls = Record<string, { params: Readonly<Record<string, unknown>> | undefined; result: unknown }>

export type OnebotAdapter = Adapter<OnebotEvent, OnebotAction, OnebotCalls>

/** We dial the implementation's WebSocket. */
export interface OnebotForward {
  /** The implementation's forward WebSocket, such as `ws://127.0.0.1:3001/`. */
  readonly url: string
  /** Sent as `Authorization: Bearer …`. A function is asked on every attempt, and once more when the peer rejects it. */
  readonly accessToken?: Token | TokenProvider
}

/** The implementation dials us: reverse WebSocket. */
export interface OnebotReverse {
  /** Where it arrives: `listener({ port })` of holdfast/listen. Many bots can share one. */
  readonly listener: Listener
  /** Its account; nobody else is let in. Without it, whoever comes first, and nobody else while that one is here. */
  readonly selfId?: number | string
  /** The path that it dials. Default `/`. */
  readonly path?: string
  /** What it has to show as `Authorization: Bearer …`. Default: the token of the listener. */
  readonly accessToken?: string | Secret
}

export type OnebotOptions = OnebotForward | OnebotReverse

/** Throws HoldfastError `bad-option` at once for options that cannot work. */
export const onebot = (options: OnebotOptions): OnebotAdapter =>
  isReverse(options) ? reverse(options) : forward(options)

/** What is not even an object is told so where a URL is missing. */
const isReverse = (options: OnebotOptions | undefined): options is OnebotReverse =>
  (options as Partial<OnebotReverse> | undefined)?.listener !== undefined

const forward = (options: OnebotForward): OnebotAdapter => {
  checkTarget(options, 'onebot({ url })')
  refuseUnknown(options, ['url', 'accessToken'], 'options of onebot()')
  const { url, accessToken } = options
  const access = accessToken === undefined ? undefined : credential(accessToken, 'onebot({ accessToken })')
  return {
    ...overWebSocket,
    target: async (context) => {
      if (!access) return { url }
      const { token, ...expiry } = await access.get(context)
      const renewal = access.isRenewable ? { renewable: true } : {}
      return { url, headers: { Authorization: `Bearer ${token}` }, secrets: [token], ...expiry, ...renewal }
    },
  }
}

const reverse = (options: OnebotReverse): OnebotAdapter => {
  refuseUnknown(options, ['listener', 'selfId', 'path', 'accessToken'], 'options of onebot({ listener })')
  const { listener, path, accessToken } = options
  if (typeof listener?.webSocket !== 'function') {
    const must = 'it must be what listener({ port }) of holdfast/listen gives.'
    throw new HoldfastError('bad-option', `onebot({ listener }) is ${describe(listener)}; ${must}`)
  }
  const selfId = checkSelfId(options.selfId)
  const token = accessToken === undefined ? undefined : checkToken(accessToken, 'onebot({ accessToken })')
  const { transport, arrivals$ } = listener.webSocket({
    identify: selfIdOf,
    objection: objectionTo,
    ...(path !== undefined && { path }),
    ...(selfId !== undefined && { identity: selfId }),
    ...(token !== undefined && { token }),
  })
  const target = { url: `peer:${selfId ?? 'onebot'}`, transport, secrets: token === undefined ? [] : [token] }
  return { ...overWebSocket, target: () => target, arrivals$ }
}

const encodeAction = (action: string, params: OnebotAction['params'], key: string) =>
  ({ frame: JSON.stringify({ action, params: params ?? {}, echo: key }), proof: 'answer' }) as const

/** All but where it is. */
const overWebSocket: Omit<OnebotAdapter, 'target'> = {
  name: 'onebot',
  dialogue: frameDialogue,
  encode: ({ action, params }, key) => encodeAction(action, params, key),
  request: (action, params, key) => encodeAction(action, params, key),
  // every implementation has it, it changes nothing, and its answer tells whether the account is online
  probe: (key) => JSON.stringify({ action: 'get_status', params: {}, echo: key }),
}

const SELF_ID = /^\d{1,20}$/

const checkSelfId = (selfId: unknown): string | undefined => {
  if (selfId === undefined) return undefined
  const text = typeof selfId === 'number' && Number.isSafeInteger(selfId) ? String(selfId) : selfId
  if (typeof text === 'string' && SELF_ID.test(text)) return text
  throw new HoldfastError(
    'bad-option',
    `onebot({ selfId }) is ${describe(selfId)}; it must be the number of the account.`,
  )
}

const selfIdOf = (headers: CallerHeaders): string | undefined => {
  const selfId = headers['x-self-id']
  return selfId !== undefined && SELF_ID.test(selfId) ? selfId : undefined
}

/** Events and actions come over one connection; two that each carry half are of no use to a bot that answers. */
const objectionTo = (headers: CallerHeaders): string | undefined => {
  const role = headers['x-client-role'] ?? 'Universal'
  if (/^universal$/i.test(role)) return undefined
  return 'X-Client-Role is not Universal: set one url at the implementation, not api_url and event_url'
}
