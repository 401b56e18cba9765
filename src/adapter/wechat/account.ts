/**
 * What is known of a WeChat account over the generations of its client: its login, the codes that wait for a person, and
 * what WeChat's answers mean for it. It decides by numbers; texts are for people.
 */
import type { Fault } from '../../../machines/fault.ts'
import type { Clock } from '../../clock.ts'
import type { ClientListener } from '../../generation.ts'
import { asObject } from '../json.ts'
import { type Ruling, retcodeOf, ruleOnCode, type Step } from './web.ts'
import { isWechat4u, type Wechat4u } from './wechat4u.ts'

export interface AccountOptions {
  readonly onScan?: (url: string) => void
  readonly login?: { load(): unknown; save(login: unknown): unknown }
  readonly scanWithinMs: number
  readonly scansMax: number
  readonly syncWithinMs: number
  readonly clock: Clock
}

/** WeChat says 1205 to who comes too often, and worse to who comes again soon. */
const PATIENCE_MS = 300_000
const REFUSALS_MAX = 3
/** One sync that fails may be a mood of WeChat's. */
export const ODD_MAX = 3

export class WechatAccount {
  readonly #options: AccountOptions
  #login: unknown
  #isLoaded = false
  /** Codes that were shown since the last login, the latest of them, and when the first was. */
  #codes = 0
  #code = ''
  #askedAt = 0
  #refusals = 0
  /** Times that WeChat did not take the login that was kept, for no reason that is known. */
  #unwelcome = 0
  #odd = new Map<Step, number>()
  /** What is ready now: its login is worth keeping. */
  #ready: object | undefined

  constructor(options: AccountOptions) {
    this.#options = options
  }

  async login(): Promise<unknown> {
    if (!this.#isLoaded) this.#login ??= await this.#options.login?.load()
    this.#isLoaded = true
    return this.#login
  }

  get hasLogin(): boolean {
    return this.#login !== undefined && this.#login !== null
  }

  /** A code is to be scanned. Clients say so again and again for the same one. */
  show(code: unknown, on: ClientListener<never>): void {
    if (typeof code !== 'string' || code === '') return
    const { scansMax, scanWithinMs, clock, onScan } = this.#options
    const isNew = code !== this.#code
    if (this.#codes === 0 || clock.now() - this.#askedAt >= scanWithinMs) {
      this.#codes = 0
      this.#askedAt = clock.now()
    }
    this.#code = code
    if (isNew && ++this.#codes > scansMax) {
      on.failed(this.#callPerson(`${scansMax} codes were not scanned`))
      return
    }
    on.within(Math.max(1, this.#askedAt + scanWithinMs - clock.now()), {
      code: 'login-needed',
      detail: `no code was scanned in ${scanWithinMs} ms`,
    })
    if (isNew) onScan?.(code)
  }

  /** Ends the wait for a person; the order to resume begins another. */
  #callPerson(detail: string): Fault {
    this.#codes = 0
    this.#code = ''
    return { code: 'login-needed', detail }
  }

  loggedIn(client: object): void {
    this.#codes = 0
    this.#code = ''
    this.#odd.clear()
    this.#unwelcome = 0
    this.#ready = client
    if (isWechat4u(client)) this.#save(client.botData)
  }

  /** At the end of a generation. */
  keep(client: Wechat4u): void {
    if (this.#ready === client && this.hasLogin) this.#login = client.botData
    this.#ready = undefined
    this.#odd.clear()
  }

  #save(login: unknown): void {
    this.#login = login
    const saving = async () => this.#options.login?.save(login)
    // what cannot be kept costs a scan after the next start of the process, and nothing now
    saving().catch(() => undefined)
  }

  loggedOut(detail: string): Fault {
    this.#save(undefined)
    this.#unwelcome = 0
    return this.#callPerson(detail)
  }

  get syncWithinMs(): number {
    return this.#options.syncWithinMs
  }

  /** Of an error only its number is looked at, and only for what concerns the login. */
  faultOfError(error: unknown): Fault | undefined {
    const { retcode, Ret, code } = asObject(error) ?? {}
    const number = [retcode, Ret, code].map(retcodeOf).find((each) => each !== undefined)
    const ruling = number === undefined ? undefined : ruleOnCode('sync', number)
    const concernsLogin = ruling?.meaning === 'logged-out' || ruling?.meaning === 'throttled'
    return ruling && concernsLogin ? this.faultOf('sync', ruling) : undefined
  }

  /** What an answer means for the generation; undefined if it goes on. */
  faultOf(step: Step, { meaning, code }: Ruling): Fault | undefined {
    const said = code === undefined ? step : `${step}: ${code}`
    switch (meaning) {
      case 'well':
        this.#odd.delete(step)
        if (step === 'synccheck') this.#refusals = 0
        return undefined
      case 'expired':
        if (this.#codes >= this.#options.scansMax) return this.#callPerson(`${this.#codes} codes were not scanned`)
        return { code: 'handshake-refused', detail: `code ${this.#codes} was not scanned (${said})` }
      case 'logged-out':
        return this.loggedOut(`logged out (${said})`)
      case 'banned':
        return { code: 'account-banned', detail: `WeChat does not let this account in on the web (${said})` }
      case 'throttled':
        return this.#refused(said)
      case 'odd':
        return this.#oddly(step, said)
      case 'garbled':
        return { code: 'protocol-violated', detail: `the answer to ${said} is not of WeChat's protocol` }
    }
  }

  #refused(said: string): Fault {
    if (++this.#refusals < REFUSALS_MAX) {
      return { code: 'throttled', detail: `WeChat refuses for now (${said})`, retryAfterMs: PATIENCE_MS }
    }
    this.#refusals = 0
    return this.#callPerson(`refused ${REFUSALS_MAX} times (${said}): wait some hours, then log in`)
  }

  #oddly(step: Step, said: string): Fault | undefined {
    if (step === 'init' && this.hasLogin && ++this.#unwelcome >= ODD_MAX) return this.loggedOut(`not taken (${said})`)
    if (step !== 'sync' && step !== 'synccheck') return { code: 'handshake-refused', detail: said }
    const times = (this.#odd.get(step) ?? 0) + 1
    this.#odd.set(step, times)
    return times < ODD_MAX ? undefined : { code: 'client-failed', detail: `${times} in a row (${said})` }
  }
}
