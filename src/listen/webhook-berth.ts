/** Where one link hears what its peer posts: a transport that never speaks, and is open as long as the port is. */
import { createHash } from 'node:crypto'
import { Observable } from 'rxjs'
import type { Fault } from '../../machines/fault.ts'
import type { Berth, WebhookTerms } from '../berth.ts'
import { writeAnswer } from '../exchange.ts'
import { RecentIds } from '../inbound/recent-ids.ts'
import type { Frame, OpenTransport, TransportListener } from '../transport/transport.ts'
import { NOT_READY } from './arrival.ts'
import type { Refusal } from './caller.ts'
import type { Moored, Quay } from './quay.ts'

/** More posts than this are not remembered. */
const REMEMBERED_MAX = 10_000
const BYTES_MAX = 1024 * 1024
const DEDUPE_MS = 600_000

const UNSIGNED: Refusal = { status: 403, reason: 'the signature is missing or wrong' }

export class WebhookBerth implements Berth, Moored {
  readonly terms: WebhookTerms
  readonly arrivals$: Observable<void>
  readonly present = undefined
  readonly bytesMax: number
  refused: Refusal | undefined
  readonly #quay: Quay
  /** What was handed on, by its digest. */
  readonly #recent: RecentIds
  #visit: Visit | undefined

  constructor(terms: WebhookTerms, quay: Quay) {
    this.terms = terms
    this.bytesMax = terms.bytesMax ?? BYTES_MAX
    this.#quay = quay
    this.#recent = new RecentIds({ dedupeMax: REMEMBERED_MAX, dedupeMs: terms.dedupeMs ?? DEDUPE_MS }, quay.clock)
    this.arrivals$ = new Observable((subscriber) => subscriber.add(quay.attend(this)))
  }

  /** The body is what proves the sender; it has not been read yet. */
  opensFor(): boolean {
    return true
  }

  get isReady(): boolean {
    return this.#isOpen && !this.#isFull
  }

  get #isOpen(): boolean {
    return this.#visit?.isOpen === true
  }

  /** An adapter may be somebody else's: one that throws takes nothing. */
  get #isFull(): boolean {
    try {
      return this.terms.isFull?.() === true
    } catch {
      return true
    }
  }

  readonly transport: OpenTransport = (listener) => {
    const isFree = this.#visit === undefined
    const visit = new Visit(listener)
    if (isFree) this.#visit = visit
    const leave = this.#quay.attend(this)
    // a transport tells nothing before it has been handed out
    queueMicrotask(() => {
      if (!isFree) visit.lose({ code: 'listener-failed', detail: TAKEN })
      else if (this.#quay.isOpen) visit.begin()
    })
    return () => {
      visit.end()
      if (this.#visit === visit) this.#visit = undefined
      leave()
    }
  }

  opened(): void {
    this.#visit?.begin()
  }

  fail(fault: Fault): void {
    if (!this.#isOpen) this.#visit?.lose(fault)
  }

  close(): void {
    this.refused = undefined
  }

  /** Hands a post on; undefined if it was taken, now or when it came before. */
  take(headers: WebhookHeaders, bytes: Buffer): Refusal | undefined {
    if (!this.#isSigned(headers, bytes)) return UNSIGNED
    if (!this.isReady) return NOT_READY
    const digest = createHash('sha256').update(bytes).digest('base64url')
    if (this.#recent.hadOrAdds(digest)) return undefined
    this.#visit?.hear(writeAnswer({ key: this.terms.path ?? '/', kind: 'posted', body: bytes.toString('utf8') }))
    return undefined
  }

  /** An adapter may be somebody else's: one that throws has not recognized the sender. */
  #isSigned(headers: WebhookHeaders, bytes: Buffer): boolean {
    try {
      return this.terms.verify(headers, bytes) === true
    } catch {
      return false
    }
  }
}

type WebhookHeaders = Parameters<WebhookTerms['verify']>[0]

const TAKEN = 'another link has this webhook: each link needs an adapter of its own'

class Visit {
  readonly #listener: TransportListener
  #state: 'waiting' | 'open' | 'over' = 'waiting'

  constructor(listener: TransportListener) {
    this.#listener = listener
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  begin(): void {
    if (this.#state !== 'waiting') return
    this.#state = 'open'
    this.#listener.opened()
    if (!this.isOpen) return
    this.#listener.ready({
      send: () => this.#mute(),
      ping: () => this.#mute(),
      bufferedBytes: () => 0,
      close: () => queueMicrotask(() => this.lose({ code: 'closed-by-peer' }, { code: 1000, reason: '' })),
    })
  }

  #mute(): never {
    throw new Error('a webhook only hears: what is asked goes over the transport beside it')
  }

  hear(frame: Frame): void {
    this.#listener.frame(frame)
    if (this.isOpen) this.#listener.inbound()
  }

  lose(...lost: Parameters<TransportListener['lost']>): void {
    if (this.#state === 'over') return
    this.end()
    this.#listener.lost(...lost)
  }

  end(): void {
    this.#state = 'over'
  }
}
