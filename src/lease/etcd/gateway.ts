/**
 * The members of an etcd cluster, asked through their JSON gateways. Who has failed is asked last from then on.
 * Facts: etcd, api-grpc-gateway.md and "Role-based access control"; what 3.4.23 was seen to answer.
 */
import { codeOf, GRPC, textOf } from '../../adapter/etcd/questions.ts'
import { asObject, type JsonObject, readObject } from '../../adapter/json.ts'
import type { Clock } from '../../clock.ts'
import { type Http, type HttpOptions, http } from '../../net/request.ts'
import { type Scrub, scrubber } from '../../secret.ts'
import { readLines } from '../../transport/http-body.ts'
import { ANSWER_WITHIN_MS } from '../questions.ts'

export interface User {
  readonly name: string
  readonly password: string
}

export interface GatewayOptions extends HttpOptions {
  /** Where each member serves clients; each ends with a slash. */
  readonly members: readonly string[]
  readonly user: User | undefined
}

/** Has no secrets in it. */
class Failure extends Error {
  readonly code: number | undefined
  /** Whether it may have had an effect. */
  readonly isUncertain: boolean

  constructor(
    message: string,
    { code, isUncertain = true }: { code?: number | undefined; isUncertain?: boolean } = {},
  ) {
    super(message)
    this.code = code
    this.isUncertain = isUncertain
  }
}

/** How etcd says that a token has ended; the other is that users were changed since it was given. */
const TOKEN_ENDED: readonly unknown[] = [GRPC.UNAUTHENTICATED, GRPC.INVALID_ARGUMENT]
/** A record and what is around it. */
const LINE_BYTES_MAX = 4 * 1024 * 1024

export class Gateway {
  readonly #members: readonly string[]
  readonly #user: User | undefined
  readonly #clock: Clock
  readonly #http: Http
  /** Which member is asked first. */
  #at = 0
  #token: Promise<string | undefined> | undefined
  #scrub: Scrub

  constructor({ members, user, ...options }: GatewayOptions) {
    this.#members = members
    this.#user = user
    this.#clock = options.clock
    this.#scrub = scrubber(user ? [user.password] : [])
    this.#http = http(options, (delivered, text) => new Failure(text, { isUncertain: delivered === 'uncertain' }))
  }

  /**
   * Asks one member after the other until one answers. A question that changes something is asked once only if nobody
   * knows whether it did: the second time it would meet its own change.
   */
  async ask(path: string, body: object, signal: AbortSignal, { changes = false } = {}): Promise<JsonObject> {
    for (let asked = 1; ; asked++) {
      const member = this.#members[this.#at]!
      try {
        return await this.#inTime(signal, (signal) => this.#authorized(member, path, body, signal))
      } catch (error) {
        this.#passOver(member)
        const mayAskAgain = !changes || (error instanceof Failure && !error.isUncertain)
        if (!mayAskAgain || asked >= this.#members.length || signal.aborted) throw error
      }
    }
  }

  /** The results of a stream. Rejects however it ends. */
  async stream(path: string, body: object, signal: AbortSignal, tell: (result: JsonObject) => void): Promise<void> {
    const member = this.#members[this.#at]!
    try {
      const token = await this.#login(member)
      const answer = await this.#http.stream(questionTo(member, path, body, token), signal)
      const take = (line: string) => {
        const result = asObject(readObject(line)?.result)
        if (result && result.canceled !== true) return tell(result)
        this.#token = undefined
        throw new Failure('the stream was refused')
      }
      await readLines(answer.body, LINE_BYTES_MAX, () => undefined, take)
      throw new Failure('the stream has ended')
    } catch (error) {
      this.#passOver(member)
      throw error
    }
  }

  close(): void {
    this.#http.close()
  }

  #passOver(member: string): void {
    if (this.#members[this.#at] === member) this.#at = (this.#at + 1) % this.#members.length
  }

  /** Of several members each has its part of the time. */
  async #inTime<T>(signal: AbortSignal, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController()
    const end = () => abort.abort(new Error('no answer in time'))
    const timer = this.#clock.setTimeout(end, ANSWER_WITHIN_MS / this.#members.length)
    signal.addEventListener('abort', end)
    try {
      return await begin(abort.signal)
    } finally {
      this.#clock.clearTimeout(timer)
      signal.removeEventListener('abort', end)
    }
  }

  async #authorized(member: string, path: string, body: object, signal: AbortSignal): Promise<JsonObject> {
    const login = this.#login(member)
    const token = await login
    try {
      return await this.#post(member, path, body, token, signal)
    } catch (error) {
      if (token === undefined || !(error instanceof Failure) || !TOKEN_ENDED.includes(error.code)) throw error
    }
    if (this.#token === login) this.#token = undefined
    return this.#post(member, path, body, await this.#login(member), signal)
  }

  /** One for all who ask: etcd takes its time to check a password, on purpose. */
  #login(member: string): Promise<string | undefined> {
    if (!this.#user) return Promise.resolve(undefined)
    const login = this.#token ?? this.#authenticate(member, this.#user)
    this.#token = login
    login.catch(() => {
      if (this.#token === login) this.#token = undefined
    })
    return login
  }

  async #authenticate(member: string, user: User): Promise<string | undefined> {
    try {
      const ask = (signal: AbortSignal) => this.#post(member, 'v3/auth/authenticate', user, undefined, signal)
      const { token } = await this.#inTime(new AbortController().signal, ask)
      if (typeof token !== 'string') throw new Failure('no token in the answer of etcd')
      this.#scrub = scrubber([user.password, token])
      return token
    } catch (error) {
      // whoever has a password is let in where none is asked for
      if (error instanceof Failure && error.code === GRPC.FAILED_PRECONDITION) return undefined
      throw error
    }
  }

  async #post(
    member: string,
    path: string,
    body: object,
    token: string | undefined,
    signal: AbortSignal,
  ): Promise<JsonObject> {
    const read = (status: number, text: string): Answer => ({ status, said: readObject(text) })
    const question = { http: questionTo(member, path, body, token), read }
    const { status, said } = (await this.#http.request(question, signal, this.#scrub)) as Answer
    if (status === 200 && said && !('error' in said)) return said
    const why = this.#scrub(`${textOf(said) ?? 'no answer of etcd'} (HTTP ${status})`)
    throw new Failure(why, { code: codeOf(said) })
  }
}

interface Answer {
  readonly status: number
  readonly said: JsonObject | undefined
}

const questionTo = (member: string, path: string, body: object, token: string | undefined) => ({
  url: `${member}${path}`,
  method: 'POST',
  headers: { 'Content-Type': 'application/json', ...(token !== undefined && { Authorization: token }) },
  body: JSON.stringify(body),
})
