/** Where one link waits for its peer's WebSocket: one at a time, and the newest wins. */
import type { Duplex } from 'node:stream'
import { Observable, Subject } from 'rxjs'
import type { WebSocket } from 'ws'
import type { Fault } from '../../machines/fault.ts'
import type { Berth, BerthTerms } from '../berth.ts'
import type { Timer } from '../clock.ts'
import { faultFrom } from '../error.ts'
import type { OpenTransport, TransportListener } from '../transport/transport.ts'
import { cut, endingOf, lossOf, type SocketEnding, serve } from '../transport/upgraded.ts'
import { type Arrival, NOT_READY } from './arrival.ts'
import type { Caller, Refusal } from './caller.ts'
import type { Moored, Quay } from './quay.ts'

/** Of the range that is free for us (RFC 6455, section 7.4.2): a newer connection of the same peer has come. */
const CLOSE_DISPLACED = 4001
/** So long an old connection may take to answer that, in milliseconds. */
const FAREWELL_MS = 1_000

export class WebSocketBerth implements Berth, Moored {
  readonly terms: BerthTerms
  readonly arrivals$: Observable<void>
  refused: Refusal | undefined
  readonly #quay: Quay
  readonly #isToken: (shown: string) => boolean
  readonly #arrived$ = new Subject<void>()
  #visit: Visit | undefined
  #kept: Arrival | undefined

  constructor(terms: BerthTerms, isToken: (shown: string) => boolean, quay: Quay) {
    this.terms = terms
    this.#isToken = isToken
    this.#quay = quay
    this.arrivals$ = new Observable((subscriber) => {
      subscriber.add(quay.attend(this))
      subscriber.add(this.#arrived$.subscribe(subscriber))
    })
  }

  opensFor({ token }: Caller): boolean {
    return this.#isToken(token ?? '')
  }

  get present(): string | undefined {
    return this.#visit?.identity ?? this.#kept?.identity
  }

  readonly transport: OpenTransport = (listener) => {
    const visit = new Visit(listener, this.#quay, () => this.#left(visit))
    const leave = this.#quay.attend(this)
    const isFree = this.#visit === undefined
    if (isFree) this.#visit = visit
    // a transport tells nothing before it has been handed out
    queueMicrotask(() => (isFree ? this.#begin(visit) : visit.lose({ code: 'listener-failed', detail: TAKEN })))
    return () => {
      visit.end()
      leave()
    }
  }

  arrive(arrival: Arrival): void {
    const visit = this.#visit
    if (visit?.isWaiting) visit.receive(arrival)
    else {
      this.#kept?.refuse(DISPLACED)
      this.#keep(arrival)
      visit?.displace()
      this.#arrived$.next()
    }
  }

  opened(): void {
    // a peer that came is what it waits for
  }

  fail(fault: Fault): void {
    if (this.#visit?.isWaiting) this.#visit.lose(fault)
  }

  close(): void {
    this.#kept?.refuse(NOT_READY)
    this.#kept = undefined
    this.refused = undefined
  }

  #begin(visit: Visit): void {
    const kept = this.#kept
    this.#kept = undefined
    if (kept && visit.isWaiting) visit.receive(kept)
    else if (kept) this.#keep(kept)
    else visit.wait(() => this.#absence())
  }

  #keep(arrival: Arrival): void {
    this.#kept = arrival
    arrival.keep(this.#quay.clock, this.#quay.keepMs, () => {
      if (this.#kept === arrival) this.#kept = undefined
    })
  }

  #absence(): string {
    const { refused } = this
    const last = refused && `; the latest that came was refused with HTTP ${refused.status}: ${refused.reason}`
    return `${this.#quay.absence()}${last ?? ''}`
  }

  #left(visit: Visit): void {
    if (this.#visit === visit) this.#visit = undefined
  }
}

const TAKEN = 'another link waits for the same peer: each link needs an adapter of its own'
const DISPLACED: Refusal = { status: 409, reason: 'a newer connection of the same peer has come' }

/** One transport of the link: it waits, it is one WebSocket, it is over. */
class Visit {
  identity: string | undefined
  readonly #listener: TransportListener
  readonly #quay: Quay
  readonly #over: () => void
  #timer: Timer | undefined
  #cut: () => void = () => undefined
  #socket: WebSocket | undefined
  #isOver = false

  constructor(listener: TransportListener, quay: Quay, over: () => void) {
    this.#listener = listener
    this.#quay = quay
    this.#over = over
  }

  get isWaiting(): boolean {
    return !this.#isOver && this.identity === undefined
  }

  wait(absence: () => string): void {
    if (!this.isWaiting) return
    const { clock, waitMs } = this.#quay
    this.#timer = clock.setTimeout(() => this.lose({ code: 'peer-absent', detail: absence() }), waitMs)
  }

  receive(arrival: Arrival): void {
    this.#quay.clock.clearTimeout(this.#timer)
    this.identity = arrival.identity
    this.#cut = () => arrival.refuse(NOT_READY)
    this.#listener.opened()
    // whoever heard that may have called it off
    if (this.#isOver) return
    const ending = endingOf(arrival.socket)
    const ws = arrival.accept(this.#quay.upgrades)
    if (ws) this.#serve(ws, arrival.socket, ending)
    else this.lose({ code: 'dropped', detail: 'the peer asked for an upgrade that is no WebSocket' })
  }

  #serve(ws: WebSocket, socket: Duplex, ending: SocketEnding): void {
    this.#socket = ws
    this.#cut = () => cut(ws, socket)
    ws.on('error', (error) => this.lose(faultFrom(error, 'open')))
    ws.on('close', (code, reason) => this.lose(...lossOf(code, reason.toString(), ending)))
    serve(ws, socket, this.#listener, () => this.#isOver)
  }

  /** The old connection may be half open, with nobody behind it: it is told, and it is not waited for. */
  displace(): void {
    const ws = this.#socket
    if (this.#isOver || !ws) return
    const timer = this.#quay.clock.setTimeout(this.#cut, FAREWELL_MS)
    ws.on('close', () => this.#quay.clock.clearTimeout(timer))
    ws.close(CLOSE_DISPLACED, DISPLACED.reason)
    this.#cut = () => undefined
    this.lose({ code: 'peer-leaving', detail: DISPLACED.reason })
  }

  lose(...lost: Parameters<TransportListener['lost']>): void {
    if (this.#isOver) return
    this.end()
    this.#listener.lost(...lost)
  }

  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#quay.clock.clearTimeout(this.#timer)
    this.#cut()
    this.#over()
  }
}
