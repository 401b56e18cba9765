/**
 * A personal WeChat account through wechat4u, or through wechaty or whatever else has its events. Facts: wechat4u 0.7.14,
 * src/core.js and src/wechat.js; incident 4 (wechatbot-webhook#160). docs/adapters/wechat.md says what happens when.
 */
import type { Fault } from '../../machines/fault.ts'
import { type Clock, realClock } from '../clock.ts'
import { faultFrom, faultFromStatus, HoldfastError } from '../error.ts'
import type { ClientListener } from '../generation.ts'
import { type Adapter, describe, refuseUnknown } from './adapter.ts'
import { checkTime, client, refusal } from './client.ts'
import { asObject } from './json.ts'
import { ODD_MAX, WechatAccount } from './wechat/account.ts'
import { retcodeOf, type Step } from './wechat/web.ts'
import { isWechat4u, overhear, silence, type Wechat4u } from './wechat/wechat4u.ts'

/** A message as the client made it. */
export type WechatMessage = Readonly<Record<string, unknown>>

/** What wechat4u's `sendMsg` takes: a text, or a file with its name. */
export interface WechatOutgoing {
  /** The `UserName` of a contact or a group. */
  readonly to: string
  readonly message: string | { readonly file: unknown; readonly filename: string } | { readonly emoticonMd5: string }
}

/** wechaty, and whatever else is started and stopped and emits scan, login, logout, message and error. */
export interface WechatyLike {
  start(): unknown
  stop(): unknown
  readonly on: (name: never, react: never) => unknown
}

export interface WechatOptions<T = Wechat4u | WechatyLike, Out = WechatOutgoing> {
  /** A new client for each generation: `(saved) => new Wechat(saved)`. `saved` is undefined if there is no login. */
  readonly make: (saved: unknown) => T | Promise<T>
  /** Shows a person what is to be scanned: called once for each code. */
  readonly onScan?: (url: string) => void
  /**
   * Where the login of wechat4u outlives the process. `save` gets plain data that is as good as a password, or undefined
   * when the login is void. Default: it lives as long as the process.
   */
  readonly login?: { load(): unknown; save(login: unknown): unknown }
  /** A person has so long to scan, in milliseconds, however many codes that takes. Default 240,000. */
  readonly scanWithinMs?: number
  /** After so many codes that nobody scanned, a person is called and no more are asked for. Default 3. */
  readonly scansMax?: number
  /**
   * Until there is a code or a login, in milliseconds. Default 6,000, so that a poll succeeds within a minute of WeChat's
   * return; and 60,000 for wechaty, which may have to start a browser.
   */
  readonly startWithinMs?: number
  /**
   * No valid answer to a sync for so long: started anew. Default 55,000, more than two of WeChat's long polls, and little
   * enough that a poll succeeds within a minute of WeChat's return even if the last one was lost at its very end. It does
   * not hold for wechaty, whose syncs cannot be seen.
   */
  readonly syncWithinMs?: number
  /** For wechaty: a harmless call that WeChat itself has to answer. Its `heartbeat` event proves nothing. */
  readonly probe?: (client: T) => unknown
  /** Default: wechat4u's `sendMsg`. */
  readonly send?: (client: T, message: Out, signal: AbortSignal) => unknown
  /** For tests. */
  readonly clock?: Clock
}

const KNOWN = [
  'make',
  'onScan',
  'login',
  'scanWithinMs',
  'scansMax',
  'startWithinMs',
  'syncWithinMs',
  'probe',
  'send',
  'clock',
] as const satisfies readonly (keyof WechatOptions)[]

/** The link's own deadline lies behind ours, which know what was waited for. */
const SLACK_MS = 15_000
const WECHAT4U_START_MS = 6_000
const WECHATY_START_MS = 60_000

export const wechat = <T extends object = Wechat4u | WechatyLike, Out = WechatOutgoing>(
  options: WechatOptions<T, Out>,
): Adapter<WechatMessage, Out> => {
  const checked = check(options)
  const { make, send = sendByWechat4u, probe, clock, scanWithinMs, startWithinMs } = checked
  const account = new WechatAccount(checked)
  return client<T, WechatMessage, Out>({
    name: 'wechat',
    clock,
    startWithinMs: Math.ceil(scanWithinMs + (startWithinMs ?? WECHATY_START_MS) + SLACK_MS),
    make: async () => make(await account.login()),
    start: (held, on) =>
      isWechat4u(held)
        ? startWechat4u(held, on, account, startWithinMs ?? WECHAT4U_START_MS)
        : startWechaty(held as unknown as WechatyLike, on, account, startWithinMs ?? WECHATY_START_MS),
    stop: (held) => {
      if (!isWechat4u(held)) return (held as unknown as WechatyLike).stop()
      account.keep(held)
      silence(held)
      return undefined
    },
    send,
    ...(probe && { probe }),
  })
}

type Checked<T, Out> = WechatOptions<T, Out> & typeof defaults

const defaults = {
  scanWithinMs: 240_000,
  scansMax: 3,
  syncWithinMs: 55_000,
  clock: realClock,
}

const check = <T, Out>(options: WechatOptions<T, Out>): Checked<T, Out> => {
  if (typeof options?.make !== 'function') {
    throw new HoldfastError('bad-option', `wechat({ make }) is ${describe(options?.make)}; it must be a function.`)
  }
  refuseUnknown(options, KNOWN, 'options of wechat()')
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const checked = { ...defaults, ...given } as Checked<T, Out>
  for (const part of ['scanWithinMs', 'startWithinMs', 'syncWithinMs'] as const) {
    if (checked[part] !== undefined) checkTime(checked[part], `wechat({ ${part} })`)
  }
  const { onScan, login, scansMax } = checked
  const refuse = (part: string, value: unknown, wants: string): never => {
    throw new HoldfastError('bad-option', `wechat({ ${part} }) is ${describe(value)}; it must be ${wants}.`)
  }
  if (onScan !== undefined && typeof onScan !== 'function') refuse('onScan', onScan, 'a function')
  if (!(Number.isSafeInteger(scansMax) && scansMax >= 1)) refuse('scansMax', scansMax, 'a whole number from 1')
  if (login !== undefined && (typeof login?.load !== 'function' || typeof login.save !== 'function')) {
    refuse('login', login, '{ load, save }, two functions')
  }
  return checked
}

type On = ClientListener<WechatMessage>

const notIn = (ms: number): Fault => ({ code: 'handshake-timeout', detail: `neither a code nor a login in ${ms} ms` })

const startWechat4u = (held: Wechat4u, on: On, account: WechatAccount, withinMs: number): unknown => {
  let isReady = false
  on.within(withinMs, notIn(withinMs))
  const heard = () => on.within(account.syncWithinMs, SILENT)
  overhear(held, {
    signal: on.signal,
    judge: (step, ruling) => {
      const fault = account.faultOf(step, ruling)
      if (fault) on.failed(fault)
      // a person has done their part
      else if (step === 'login' && ruling.code === CONFIRMED) on.within(withinMs, notIn(withinMs))
      else if (isReady && step === 'synccheck' && ruling.meaning === 'well') {
        heard()
        on.alive()
      }
      return fault === undefined
    },
    failed: (step, error) => on.failed(statusFault(step, error) ?? error),
  })
  on.listen(held, 'uuid', (uuid: unknown) => {
    if (typeof uuid === 'string' && uuid !== '') account.show(`https://login.weixin.qq.com/l/${uuid}`, on)
  })
  on.listen(held, 'login', () => {
    isReady = true
    account.loggedIn(held)
    on.ready()
    heard()
  })
  on.listen(held, 'logout', () =>
    on.failed(isReady ? account.loggedOut(LOGGED_OUT) : { code: 'handshake-refused', detail: 'the login failed' }),
  )
  on.listen(held, 'message', (message: unknown) => on.message(message as WechatMessage, markOf(message, 'MsgId')))
  // whatever matters was judged where it was asked for
  on.listen(held, 'error', () => undefined)
  return account.hasLogin ? held.restart() : held.start()
}

const CONFIRMED = 200
const LOGGED_OUT = 'the client logged out'
const SILENT: Fault = { code: 'heartbeat-timeout', detail: 'no valid sync for too long, though the client says login' }

/** A status in place of the protocol; undefined if there was no answer at all. */
const statusFault = (step: Step, error: unknown): Fault | undefined => {
  const { status } = (error as { response?: { status?: unknown } } | undefined)?.response ?? {}
  if (typeof status !== 'number') return undefined
  if (status === 429 || status >= 500) return faultFromStatus(status, undefined, 0)
  return { code: 'protocol-violated', detail: `${step}: HTTP ${status}` }
}

const startWechaty = (held: WechatyLike, on: On, account: WechatAccount, withinMs: number): unknown => {
  on.within(withinMs, notIn(withinMs))
  let isReady = false
  let failures = 0
  on.listen(held, 'scan', (code: unknown) => {
    if (isReady) on.failed(account.loggedOut('the client asks for another scan'))
    else account.show(code, on)
  })
  on.listen(held, 'login', () => {
    isReady = true
    account.loggedIn(held)
    on.ready()
  })
  on.listen(held, 'logout', () => on.failed(account.loggedOut(LOGGED_OUT)))
  on.listen(held, 'message', (message: unknown) => {
    failures = 0
    on.message(message as WechatMessage, markOf(message, 'id'))
  })
  on.listen(held, 'error', (error: unknown) => {
    const fault = account.faultOfError(error)
    if (fault) on.failed(fault)
    // an error of the network may be that of one operation
    else if (isOfNetwork(error) && (!isReady || ++failures >= ODD_MAX)) on.failed(error)
  })
  return held.start()
}

const isOfNetwork = (error: unknown): boolean =>
  error instanceof Error &&
  typeof (error as NodeJS.ErrnoException).code === 'string' &&
  faultFrom(error, 'open').code !== 'unknown'

const markOf = (message: unknown, name: string) => {
  const id = asObject(message)?.[name]
  return typeof id === 'string' ? { id } : {}
}

const sendByWechat4u = async (held: unknown, outgoing: unknown): Promise<unknown> => {
  if (!isWechat4u(held)) throw refusal('this client needs wechat({ send })')
  const { to, message } = outgoing as WechatOutgoing
  try {
    return await held.sendMsg(message, to)
  } catch (error) {
    const ret = retcodeOf(asObject(asObject(asObject(asObject(error)?.response)?.data)?.BaseResponse)?.Ret)
    throw ret === undefined ? error : refusal(`WeChat refused it: Ret ${ret}`)
  }
}
