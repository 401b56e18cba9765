/**
 * wechat4u under supervision. Each request that a login or its upkeep consists of is heard and judged before wechat4u sees
 * the answer. One that ends the generation is never answered: so none of wechat4u's own retries, restarts and logouts
 * begins, and the session at WeChat lives on for the next generation.
 */
import { asObject } from '../json.ts'
import { type Ruling, ruleOn, type Step } from './web.ts'

/** What is used of a wechat4u object. */
export interface Wechat4u {
  request: (options: object) => Promise<unknown>
  readonly CONF: Readonly<Record<string, unknown>>
  /** Everything that a new object needs in order to go on with this login. */
  readonly botData: unknown
  state: unknown
  start(): unknown
  /** Goes on with the login of `botData`. */
  restart(): unknown
  sendMsg(message: unknown, to: string): Promise<unknown>
  readonly on: (name: never, react: never) => unknown
}

export const isWechat4u = (client: unknown): client is Wechat4u => {
  const { request, restart, CONF } = (client ?? {}) as Partial<Wechat4u>
  return typeof request === 'function' && typeof restart === 'function' && asObject(CONF) !== undefined
}

export interface Overhearing {
  readonly signal: AbortSignal
  /** Says whether wechat4u may have this answer. */
  judge(step: Step, ruling: Ruling): boolean
  /** No answer came: an error of the network, or an HTTP status that is none of the protocol. */
  failed(step: Step, error: unknown): void
}

/** As wechat4u made them: the same object may be started again. */
const requests = new WeakMap<object, Wechat4u['request']>()

const never = (): Promise<never> => new Promise(() => undefined)

export const overhear = (client: Wechat4u, { signal, judge, failed }: Overhearing): void => {
  const ask = requests.get(client) ?? client.request
  requests.set(client, ask)
  client.request = async (options) => {
    const step = stepOf(client, (options as { url?: unknown }).url)
    // a single operation has its own end, whatever becomes of the generation
    if (step === undefined) return ask(options)
    const [answer, error] = await ask({ ...options, signal }).then(
      (answer): Outcome => [answer as Answer, undefined],
      (error: unknown): Outcome => [(error as { response?: Answer } | undefined)?.response, error],
    )
    if (signal.aborted) return never()
    // the redirect of a login comes as an error
    const isAnswer = error === undefined || (step === 'redirect' && answer !== undefined)
    if (!isAnswer) failed(step, error)
    else if (judge(step, ruleOn(step, answer?.status, answer?.data))) {
      if (error !== undefined) throw error
      return answer
    }
    return never()
  }
}

type Outcome = [answer: Answer | undefined, error: unknown]

interface Answer {
  readonly status?: unknown
  readonly data?: unknown
}

const APIS = {
  API_jsLogin: 'jslogin',
  API_login: 'login',
  API_webwxinit: 'init',
  API_synccheck: 'synccheck',
  API_webwxsync: 'sync',
} as const satisfies Record<string, Step>

const stepOf = (client: Wechat4u, url: unknown): Step | undefined => {
  if (url === (client as { rediUri?: unknown }).rediUri) return 'redirect'
  const name = (Object.keys(APIS) as (keyof typeof APIS)[]).find((api) => client.CONF[api] === url)
  return name && APIS[name]
}

/** Its own `stop()` would log the account out. So it is left without a network and without a loop. */
export const silence = (client: Wechat4u): void => {
  client.request = never
  const { STATE } = client.CONF as { STATE?: { logout?: unknown } }
  client.state = STATE?.logout
  const { retryPollingId, checkPollingId } = client as { retryPollingId?: number; checkPollingId?: number }
  clearTimeout(retryPollingId)
  clearTimeout(checkPollingId)
}
