/**
 * A Bot API such as Telegram's: updates with numbers, long polls of which a new one ends the old one, webhooks that forbid
 * polls and to which it posts, one update after the other, and whatever a test wants broken. It has no sockets: `serveBotApi` puts it on a port, `botApiTransport` of
 * test/adapter into virtual time. What it does is held against a real client by the oracle test.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock, Timer } from '../../src/clock.ts'
import { realClock } from '../../src/clock.ts'

export interface Answer {
  readonly status: number
  readonly body: string
}

/** In place of what a healthy API would say: an answer, none at all, or the beginning of one. */
export type Mishap = Answer | 'silence' | 'half'

export interface Asked {
  /** Of the clock. */
  readonly at: number
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
}

export interface Update {
  readonly update_id: number
  readonly message: { readonly text: string; readonly chat: { readonly id: number }; readonly [field: string]: unknown }
}

/** A webhook as it was set. */
export interface Hook {
  readonly url: string
  readonly secret_token?: string
}

/** How a post ended: with an HTTP status, or with words because there was none. */
export type Posted = number | string

type Tell = (answer: Answer | 'half') => void

interface Poller {
  readonly offset: number
  readonly tell: Tell
  readonly timer: Timer
}

export const TOKEN = '4711:canary-0123456789'
/** After a post that failed. */
const REPOST_MS = 5_000
/** It tells of a conflict at once, or so long after the last time. */
const CONFLICT_MS = 3_000

export const refusal = (error_code: number, description: string, parameters?: object): Answer => ({
  status: error_code,
  body: JSON.stringify({ ok: false, error_code, description, ...(parameters && { parameters }) }),
})

export const unauthorized = refusal(401, 'Unauthorized')
export const tooMany = (retry_after: number) =>
  refusal(429, `Too Many Requests: retry after ${retry_after}`, { retry_after })
export const html: Answer = { status: 502, body: '<html><title>502 Bad Gateway</title></html>' }
const terminated = refusal(
  409,
  'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running',
)
const webhookIsActive = refusal(
  409,
  "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
)

const result = (value: unknown): Answer => ({ status: 200, body: JSON.stringify({ ok: true, result: value }) })

export class BotApi {
  readonly token: string
  readonly asked: Asked[] = []
  /** What bots sent: chat and text. */
  readonly sent: { readonly chat_id: unknown; readonly text: unknown }[] = []
  /** The id that getMe gives. */
  botId: number
  webhook = ''
  /** How a post goes out; without it nothing is posted. */
  post: ((hook: Hook, body: string) => Posted | Promise<Posted>) | undefined
  /** What became of the latest post that failed. */
  failed: { readonly last_error_date?: number; readonly last_error_message?: string } = {}
  /** Updates that no poll has confirmed, and no post has brought. */
  pending: Update[] = []
  readonly #clock: Clock
  readonly #mishaps: { readonly method: string; readonly mishap: Mishap }[] = []
  readonly #always = new Map<string, Mishap>()
  #poller: Poller | undefined
  #nextId: number
  #hook: Hook = { url: '' }
  #isPosting = false
  #conflictAt = Number.NEGATIVE_INFINITY

  constructor({
    clock = realClock,
    token = TOKEN,
    firstId = 5,
  }: { clock?: Clock; token?: string; firstId?: number } = {}) {
    this.#clock = clock
    this.token = token
    this.botId = Number(token.split(':')[0])
    this.#nextId = firstId
  }

  /** For the next question of this kind, or the next so many. */
  fail(method: string, mishap: Mishap, times = 1): void {
    for (let i = 0; i < times; i++) this.#mishaps.push({ method, mishap })
  }

  /** Until it is taken back. */
  failAlways(method: string, mishap: Mishap | undefined): void {
    if (mishap === undefined) this.#always.delete(method)
    else this.#always.set(method, mishap)
  }

  count(method: string): number {
    return this.asked.filter((asked) => asked.method === method).length
  }

  of(method: string): Asked[] {
    return this.asked.filter((asked) => asked.method === method)
  }

  /** Somebody writes to the bot. */
  receive(text: string, chat = 200): Update {
    const update_id = this.#nextId++
    const person = { id: chat, first_name: 'Ada', is_bot: false }
    const message = {
      message_id: update_id,
      date: 1_767_225_600,
      chat: { id: chat, type: 'private' },
      from: person,
      text,
    }
    const update = { update_id, message }
    this.pending.push(update)
    this.#feed()
    void this.#post()
    return update
  }

  /** Numbers are skipped, as if another poller had taken the updates, or a day had passed. */
  skip(count: number): void {
    this.#nextId += count
  }

  /** Another instance polls, and so ends the poll that is open. */
  intrude(): void {
    this.#conflict(this.#endPoll())
  }

  /** The returned function says that nobody waits for the answer any more. */
  ask(token: string, method: string, params: Readonly<Record<string, unknown>>, tell: Tell): () => void {
    this.asked.push({ at: this.#clock.now(), method, params })
    if (token !== this.token) tell(unauthorized)
    else {
      const mishap = this.#mishap(method)
      if (mishap === undefined) return this.#answer(method, params, tell)
      if (mishap !== 'silence') tell(mishap)
    }
    return () => undefined
  }

  #mishap(method: string): Mishap | undefined {
    const index = this.#mishaps.findIndex((planned) => planned.method === method)
    return index < 0 ? this.#always.get(method) : this.#mishaps.splice(index, 1)[0]!.mishap
  }

  #answer(method: string, params: Readonly<Record<string, unknown>>, tell: Tell): () => void {
    if (method === 'getUpdates') return this.#poll(params, tell)
    if (method === 'getMe') tell(result({ id: this.botId, is_bot: true, first_name: 'Bot', username: 'a_bot' }))
    else if (method === 'getWebhookInfo')
      tell(result({ url: this.webhook, pending_update_count: this.pending.length, ...this.failed }))
    else if (method === 'getUserProfilePhotos') tell(result({ total_count: 0, photos: [] }))
    else if (method === 'sendMessage') {
      this.sent.push({ chat_id: params.chat_id, text: params.text })
      tell(
        result({ message_id: this.sent.length, chat: { id: params.chat_id }, date: 1_767_225_600, text: params.text }),
      )
    } else {
      if (method === 'setWebhook' || method === 'deleteWebhook') this.#setHook(params)
      tell(result(true))
    }
    return () => undefined
  }

  #setHook({ url = '', secret_token, drop_pending_updates }: Readonly<Record<string, unknown>>): void {
    this.webhook = String(url)
    this.#hook = { url: this.webhook, ...(secret_token !== undefined && { secret_token: String(secret_token) }) }
    if (drop_pending_updates === true) this.pending = []
    void this.#post()
  }

  /** The oldest first, and it again until it was taken. */
  async #post(): Promise<void> {
    const [update] = this.pending
    if (this.#isPosting || this.webhook === '' || !update || !this.post) return
    this.#isPosting = true
    const posted = await this.post(this.#hook, JSON.stringify(update))
    const isTaken = typeof posted === 'number' && posted >= 200 && posted < 300
    if (isTaken) this.pending = this.pending.filter((other) => other !== update)
    else {
      const said = typeof posted === 'number' ? `Wrong response from the webhook: ${posted}` : posted
      this.failed = { last_error_date: Math.floor(this.#clock.wall() / 1_000), last_error_message: said }
    }
    this.#clock.setTimeout(
      () => {
        this.#isPosting = false
        void this.#post()
      },
      isTaken ? 0 : REPOST_MS,
    )
  }

  /** A new poll ends the old one, and what is below its offset is forgotten. */
  #poll(params: Readonly<Record<string, unknown>>, tell: Tell): () => void {
    if (this.webhook !== '') {
      tell(webhookIsActive)
      return () => undefined
    }
    const old = this.#endPoll()
    const offset = Number(params.offset ?? 0)
    this.pending = offset < 0 ? this.pending.slice(offset) : this.pending.filter(({ update_id }) => update_id >= offset)
    const seconds = Number(params.timeout ?? 0)
    const timer = this.#clock.setTimeout(() => this.#endPoll()?.tell(result([])), seconds * 1_000)
    const poller = { offset, tell, timer }
    this.#poller = poller
    this.#conflict(old)
    if (this.#poller === poller) this.#feed(seconds === 0)
    return () => {
      if (this.#poller === poller) this.#endPoll()
    }
  }

  #feed(atOnce = false): void {
    if (this.pending.length > 0 || atOnce) this.#endPoll()?.tell(result(this.pending.slice(0, 100)))
  }

  #endPoll(): Poller | undefined {
    const poller = this.#poller
    this.#poller = undefined
    this.#clock.clearTimeout(poller?.timer)
    return poller
  }

  #conflict(poller: Poller | undefined): void {
    if (!poller) return
    const now = this.#clock.now()
    const waitMs = Math.max(0, this.#conflictAt + CONFLICT_MS - now)
    this.#conflictAt = now + waitMs
    this.#clock.setTimeout(() => poller.tell(terminated), waitMs)
  }
}

export interface BotApiServer {
  readonly url: string
  readonly port: number
  /** Connections that are open now. */
  readonly open: number
  stop(): Promise<void>
}

/** The API on a port of its own. */
export const serveBotApi = async (api: BotApi): Promise<BotApiServer> => {
  const server: Server = createServer((request, response) => void serve(api, request, response))
  let open = 0
  server.on('connection', (socket) => {
    open++
    socket.on('close', () => open--).on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get open() {
      return open
    },
    stop: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

const serve = async (api: BotApi, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const url = new URL(request.url ?? '/', 'http://localhost')
  const [, token = '', method = ''] = /^\/bot([^/]+)\/(\w+)$/.exec(url.pathname) ?? []
  let body = ''
  for await (const chunk of request) body += chunk
  const params = { ...Object.fromEntries(url.searchParams), ...parse(body) }
  const gone = api.ask(token, method, params, (answer) => {
    if (answer === 'half') response.writeHead(200, { 'Content-Length': '1000' }).write('{"ok":true,"resu')
    else response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(answer.body)
  })
  response.on('close', gone)
}

/** Bots may send JSON or a form. */
const parse = (body: string): object => {
  if (body.startsWith('{')) return JSON.parse(body)
  return Object.fromEntries(new URLSearchParams(body))
}
