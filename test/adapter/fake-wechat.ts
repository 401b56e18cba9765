/**
 * WeChat's web and wechat4u in virtual time. The client goes through the steps of wechat4u 0.7.14 (src/wechat.js), its own
 * retries, restarts and logouts included, so that a test sees whether they are kept from beginning.
 */
import { EventEmitter } from 'node:events'
import type { Step } from '../../src/adapter/wechat/web.ts'
import type { WechatOptions } from '../../src/adapter/wechat.ts'
import { wechat } from '../../src/adapter/wechat.ts'
import { connect, type Link } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { follow } from '../small-talk.ts'

export type Api = Step | 'send' | 'logout'

/** What the web does with a request: answers, fails as a network does, or leaves it open. */
export type Reply = { readonly data: unknown; readonly status?: number } | Error | 'silence'

export const script = {
  uuid: (n: number): Reply => ({ data: `window.QRLogin.code = 200; window.QRLogin.uuid = "code-${n}==";` }),
  login: (code: number): Reply => ({
    data: `window.code=${code};${code === 200 ? '\nwindow.redirect_uri="https://wx.qq.com/cgi-bin/login?ticket=A";' : ''}`,
  }),
  redirect: (ret: number): Reply => ({ status: 301, data: `<error><ret>${ret}</ret><skey>@s</skey></error>` }),
  object: (ret: unknown): Reply => ({ data: { BaseResponse: { Ret: ret }, AddMsgList: [] } }),
  synccheck: (retcode: number | string, selector = 0): Reply => ({
    data: `window.synccheck={retcode:"${retcode}",selector:"${selector}"}`,
  }),
}

export const PORTAL: Reply = { data: '<!doctype html><html><body>Please log in</body></html>' }

export const networkError = (code: string, message = `${code} wx.qq.com`): Error =>
  Object.assign(new Error(message), { code })

const LONG_POLL_MS = 25_000
const LATENCY_MS = 20

export class FakeWeb {
  readonly clock: HeapClock
  /** What it does in place of what a healthy WeChat does; undefined leaves that. */
  fault: (api: Api, nth: number) => Reply | undefined = () => undefined
  /** Milliseconds until somebody scans a code that is shown; undefined: nobody does. */
  scansAfterMs: number | undefined = 1_000
  readonly asked: { readonly api: Api; readonly at: number }[] = []
  /** When it answered a sync as it should. */
  readonly syncedAt: number[] = []
  #codes = 0

  constructor(clock: HeapClock) {
    this.clock = clock
  }

  count(api: Api): number {
    return this.asked.filter((each) => each.api === api).length
  }

  ask(api: Api, signal: AbortSignal | undefined): Promise<{ data: unknown; status: number }> {
    this.asked.push({ api, at: this.clock.now() })
    const fault = this.fault(api, this.count(api))
    const reply = fault ?? this.#well(api)
    const isQuiet = api === 'synccheck' && fault === undefined
    const inMs = isQuiet ? LONG_POLL_MS : api === 'login' && !fault ? (this.scansAfterMs ?? 1e9) : LATENCY_MS
    return new Promise((resolve, reject) => {
      if (reply === 'silence') return
      const cancel = () => {
        this.clock.clearTimeout(timer)
        reject(Object.assign(new Error('canceled'), { code: 'ERR_CANCELED' }))
      }
      const timer = this.clock.setTimeout(() => {
        signal?.removeEventListener('abort', cancel)
        if (isQuiet && this.fault(api, this.count(api)) !== undefined) return
        if (reply instanceof Error) return reject(reply)
        const { data, status = 200 } = reply
        if (isQuiet) this.syncedAt.push(this.clock.now())
        if (status === 200) resolve({ data, status })
        else reject(Object.assign(new Error(`status ${status}`), { response: { data, status } }))
      }, inMs)
      signal?.addEventListener('abort', cancel)
    })
  }

  #well(api: Api): Reply {
    if (api === 'jslogin') return script.uuid(++this.#codes)
    if (api === 'login') return script.login(200)
    if (api === 'redirect') return script.redirect(0)
    return api === 'synccheck' ? script.synccheck('0') : script.object(0)
  }
}

interface Answered {
  data: unknown
}

const numberIn = (data: unknown): number => Number(/(?:code ?=|retcode:") ?(\d+)/.exec(String(data))?.[1])
const retOf = ({ data }: Answered): unknown => (data as { BaseResponse: { Ret: unknown } }).BaseResponse.Ret

/** As wechat4u's `assert`: the answer goes along with the error. */
const insist = (isWell: boolean, response: Answered, text: string): void => {
  if (!isWell) throw Object.assign(new Error(text), { response })
}

export class FakeWechat4u extends EventEmitter {
  readonly CONF = {
    API_jsLogin: 'jslogin',
    API_login: 'login',
    API_webwxinit: 'init',
    API_synccheck: 'synccheck',
    API_webwxsync: 'sync',
    API_webwxsendmsg: 'send',
    API_webwxlogout: 'logout',
    STATE: { init: 'init', uuid: 'uuid', login: 'login', logout: 'logout' },
  }
  state: unknown = 'init'
  rediUri = ''
  readonly botData: object
  readonly #web: FakeWeb
  #errors = 0

  constructor(web: FakeWeb, saved?: unknown) {
    super()
    this.#web = web
    this.botData = (saved as object) ?? { PROP: { sid: 'secret-sid' } }
  }

  request = (options: object): Promise<unknown> => {
    const { url, signal } = options as { url: string; signal?: AbortSignal }
    return this.#web.ask((url === this.rediUri ? 'redirect' : url) as Api, signal)
  }

  #ask(url: string): Promise<Answered> {
    return this.request({ url }) as Promise<Answered>
  }

  async start(): Promise<void> {
    try {
      await this.#ask('jslogin')
      this.state = 'uuid'
      this.emit('uuid', `code-${this.#web.count('jslogin')}`)
      let code = 0
      while (code !== 200) {
        const answer = await this.#ask('login')
        code = numberIn(answer.data)
        insist(code !== 400, answer, '400 != 400')
      }
      this.rediUri = 'redirect'
      await this.#ask(this.rediUri).catch((error) => {
        if (error.response?.status !== 301) throw error
      })
      await this.#init()
    } catch (error) {
      this.emit('error', error)
      this.stop()
    }
  }

  /** An error without an answer means one more try after 60 s, of `init` alone: nothing polls after it (incident 4b). */
  async restart(): Promise<void> {
    try {
      await this.#init()
    } catch (error) {
      this.emit('error', error)
      if ((error as { response?: unknown }).response) this.stop()
      else this.#web.clock.setTimeout(() => void this.#ask('init'), 60_000)
    }
  }

  async #init(): Promise<void> {
    const answer = await this.#ask('init')
    insist(retOf(answer) === 0, answer, `${retOf(answer)} == 0`)
    this.state = 'login'
    this.#poll()
    this.emit('login')
  }

  #poll(): void {
    if (this.state !== 'login') return
    this.#sync().then(
      () => this.#poll(),
      (error) => {
        if (this.state !== 'login') return
        this.emit('error', error)
        this.#errors++
        if (this.#errors > 2) this.#web.clock.setTimeout(() => this.restart(), 5_000)
        else this.#web.clock.setTimeout(() => this.#poll(), 2_000 * this.#errors)
      },
    )
  }

  async #sync(): Promise<void> {
    const answer = await this.#ask('synccheck')
    const [retcode, selector] = /"(\d+)",selector:"(\d+)"/.exec(String(answer.data))?.slice(1) ?? ['0', '0']
    insist(retcode === '0', answer, `'${retcode}' == 0`)
    if (selector === '0') return
    const news = await this.#ask('sync')
    insist(retOf(news) === 0, news, `${retOf(news)} == 0`)
    for (const message of (news.data as { AddMsgList: unknown[] }).AddMsgList) this.emit('message', message)
  }

  async sendMsg(_message: unknown, _to: string): Promise<unknown> {
    const answer = await this.#ask('send')
    insist(retOf(answer) === 0, answer, `${retOf(answer)} == 0`)
    return answer.data
  }

  stop(): void {
    void this.#ask('logout').catch(() => undefined)
    this.state = 'logout'
    this.emit('logout')
  }
}

export interface WechatRig {
  readonly clock: HeapClock
  readonly web: FakeWeb
  readonly link: Link<unknown, { to: string; message: string }>
  readonly clients: FakeWechat4u[]
  /** What was shown to a person. */
  readonly codes: string[]
  /** When the link parked. */
  readonly calls: number[]
  readonly faults: readonly (string | undefined)[]
  live(): Promise<void>
  end(): Promise<void>
}

export const wechatRig = (more: Partial<WechatOptions> = {}, options: LinkOptions = {}): WechatRig => {
  const clock = heapClock()
  const web = new FakeWeb(clock)
  const clients: FakeWechat4u[] = []
  const codes: string[] = []
  const calls: number[] = []
  const link = connect(
    wechat({
      clock,
      make: (saved) => {
        const made = new FakeWechat4u(web, saved)
        clients.push(made)
        return made
      },
      onScan: (code) => void codes.push(code),
      ...more,
    }),
    { id: 'wechat', clock, ...options },
  ) as WechatRig['link']
  link.transitions$.subscribe(({ to }) => {
    if (to === 'parked') calls.push(clock.now())
  })
  return {
    clock,
    web,
    link,
    clients,
    codes,
    calls,
    get faults() {
      return link.recording.kept.filter(({ to }) => to === 'backoff' || to === 'parked').map(({ reason }) => reason)
    },
    live: async () => {
      await clock.advance(2_000)
      if (link.status.state !== 'live') throw new Error(`the link is ${link.status.state}`)
    },
    end: async () => {
      const stopped = follow(link.stop())
      await clock.advance(4_000)
      if (!stopped.settled || clock.pending > 0) {
        throw new Error(`the link is ${link.status.state}, and ${clock.pending} timers are left`)
      }
    },
  }
}
