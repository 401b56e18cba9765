/**
 * OneBot v11, whichever side dials: forward and reverse WebSocket, HTTP with posts, HTTP with NapCat's stream of events.
 * Facts: botuniverse/onebot-11, communication/*.md and event/meta.md; docs/adapters/onebot.md says who sends what.
 */
import type { BerthTerms, CallerHeaders, Listener } from '../berth.ts'
import { HoldfastError } from '../error.ts'
import type { Secret } from '../secret.ts'
import {
  type Adapter,
  checkTarget,
  checkToken,
  describe,
  refuseUnknown,
  type Target,
  type TargetContext,
} from './adapter.ts'
import { type Credential, credential, type Token, type TokenProvider } from './credential.ts'
import { frameDialogue, type OnebotEvent } from './onebot/events.ts'
import { askAction, type HttpSource, httpAction, httpDialogue, signatureCheck } from './onebot/http.ts'

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

/** We ask over HTTP, and the implementation posts what happens. */
export interface OnebotHttp extends Omit<OnebotReverse, 'accessToken'> {
  /** The implementation's HTTP server, such as `http://127.0.0.1:3000/`. */
  readonly url: string
  readonly accessToken?: Token | TokenProvider
  /** Whose posts these are. */
  readonly selfId: number | string
  /** The key of their signatures (`X-Signature`); at NapCat the token of its HTTP client. */
  readonly secret: string | Secret
}

/** We ask over HTTP, and NapCat streams what happens (`/_events`). */
export type OnebotStream = OnebotForward

export type OnebotOptions = OnebotForward | OnebotReverse | OnebotHttp | OnebotStream

/**
 * What is given says which side dials: a `url` that begins with ws is dialed; a `listener` alone is dialed; a `url` that
 * begins with http is asked, and events come to the `listener`, or as a stream where there is none.
 * Throws HoldfastError `bad-option` at once for options that cannot work.
 */
export const onebot = (options: OnebotOptions): OnebotAdapter => {
  // what is not even an object is told so where a URL is missing
  const { url, listener } = (options ?? {}) as Partial<OnebotHttp>
  if (listener !== undefined) return url === undefined ? reverse(options as OnebotReverse) : http(options as OnebotHttp)
  return typeof url === 'string' && /^https?:/.test(url)
    ? stream(options as OnebotStream)
    : forward(options as OnebotForward)
}

const forward = (options: OnebotForward): OnebotAdapter => {
  checkTarget(options, 'onebot({ url })', ['ws', 'wss', 'http', 'https'])
  refuseUnknown(options, ['url', 'accessToken'], 'options of onebot()')
  const { url, accessToken } = options
  return { ...overWebSocket, target: dialed(url, accessOf(accessToken)) }
}

const reverse = (options: OnebotReverse): OnebotAdapter => {
  refuseUnknown(options, ['listener', 'selfId', 'path', 'accessToken'], 'options of onebot({ listener })')
  const { accessToken } = options
  const token = accessToken === undefined ? undefined : checkToken(accessToken, 'onebot({ accessToken })')
  const { transport, arrivals$ } = checkListener(options.listener).webSocket({
    ...termsOf(options),
    objection: objectionTo,
    ...(token !== undefined && { token }),
  })
  const name = options.selfId === undefined ? 'onebot' : String(options.selfId)
  const target = { url: `peer:${name}`, transport, secrets: token === undefined ? [] : [token] }
  return { ...overWebSocket, target: () => target, arrivals$ }
}

const http = (options: OnebotHttp): OnebotAdapter => {
  const known = ['url', 'accessToken', 'listener', 'selfId', 'path', 'secret']
  refuseUnknown(options, known, 'options of onebot({ url, listener })')
  if (options.selfId === undefined) {
    throw new HoldfastError('bad-option', 'onebot({ url, listener }) needs the selfId whose posts it is to take.')
  }
  const secret = checkToken(options.secret, 'onebot({ secret })')
  const terms = termsOf(options)
  const { transport, arrivals$ } = checkListener(options.listener).webhook({ ...terms, verify: signatureCheck(secret) })
  const adapter = overHttp(options, { streams: false, selfId: terms.identity }, { posts: transport, secrets: [secret] })
  return { ...adapter, arrivals$ }
}

const stream = (options: OnebotStream): OnebotAdapter => {
  refuseUnknown(options, ['url', 'accessToken'], 'options of onebot()')
  return overHttp(options, { streams: true })
}

/** `more` belongs to each of its targets. */
const overHttp = (
  { url, accessToken }: Pick<OnebotHttp, 'url' | 'accessToken'>,
  source: HttpSource,
  more: Pick<Target, 'posts' | 'secrets'> = {},
): OnebotAdapter => {
  checkTarget({ url }, 'onebot({ url })', ['http', 'https'])
  const base = baseOf(url)
  const access = accessOf(accessToken)
  const target = dialed(base, access)
  return {
    name: 'onebot',
    target: async (context) => {
      const { secrets = [], ...given } = await target(context)
      return { ...given, ...more, secrets: [...secrets, ...(more.secrets ?? [])] }
    },
    dialogue: (io) => httpDialogue(io, source),
    encode: ({ action, params }) => httpAction(base, access, action, params),
    request: (action, params) => httpAction(base, access, action, params),
    probe: (key) => askAction(key, 'get_status'),
  }
}

/** Actions are asked below it. */
const baseOf = (url: string): string => {
  if (new URL(url).search !== '') {
    throw new HoldfastError('bad-option', 'onebot({ url }) has a query (?…): give the token as accessToken.')
  }
  return url.endsWith('/') ? url : `${url}/`
}

const accessOf = (accessToken: Token | TokenProvider | undefined): Credential | undefined =>
  accessToken === undefined ? undefined : credential(accessToken, 'onebot({ accessToken })')

const dialed =
  (url: string, access: Credential | undefined) =>
  async (context: TargetContext): Promise<Target> => {
    if (!access) return { url }
    const { token, ...expiry } = await access.get(context)
    const renewal = access.isRenewable ? { renewable: true } : {}
    return { url, headers: { Authorization: `Bearer ${token}` }, secrets: [token], ...expiry, ...renewal }
  }

const checkListener = (listener: unknown): Listener => {
  const { webSocket, webhook } = (listener ?? {}) as Partial<Listener>
  if (typeof webSocket === 'function' && typeof webhook === 'function') return listener as Listener
  const must = 'it must be what listener({ port }) of holdfast/listen gives.'
  throw new HoldfastError('bad-option', `onebot({ listener }) is ${describe(listener)}; ${must}`)
}

const termsOf = ({ path, selfId: given }: Pick<OnebotReverse, 'path' | 'selfId'>): BerthTerms => {
  const selfId = checkSelfId(given)
  return { identify: selfIdOf, ...(path !== undefined && { path }), ...(selfId !== undefined && { identity: selfId }) }
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
