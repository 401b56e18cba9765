/**
 * One running link: starts the chart with its activities, obeys it, and shows it to the user. The only lifecycle state
 * there is lives in the chart; what is kept here are queues and streams.
 */
import { type Observable, ReplaySubject, Subject, type Subscription } from 'rxjs'
import { attemptOf } from '../machines/delay.ts'
import type { Fault } from '../machines/fault.ts'
import { type LinkContext, type LinkEvent, type StateName, stateName } from '../machines/link.ts'
import { type LinkPorts, makeActor } from './activities.ts'
import { type Adapter, type Calls, checkAdapter, describe } from './adapter/adapter.ts'
import { type Hint, hintsOf } from './awake.ts'
import type { FrameCounts } from './conversation.ts'
import { type ErrorCode, HoldfastError, sentence } from './error.ts'
import { type Explanation, explain, type Language, type LinkStatus } from './explain.ts'
import { governorOf, type Seat } from './governor.ts'
import { Inbound } from './inbound.ts'
import { endpointBook } from './net/endpoints.ts'
import { forgetPaths } from './net/paths.ts'
import { http } from './net/request.ts'
import { hostOf, portOf } from './net/resolve.ts'
import { eventName, Recorder, type Recording, reasonOf, type TransitionRecord } from './observe/recorder.ts'
import { type CheckedOptions, checkNumber, checkOptions, type LinkOptions } from './options.ts'
import { type Fate, Outbox, type OutboxCounts, RequestError, type Settled, type Ticket } from './outbox/outbox.ts'
import { openWebSocket } from './transport/websocket.ts'

export interface SendOptions {
  /** How long it may take until it is delivered, in milliseconds. Default 300,000 for `send`, 10,000 for `call`. */
  readonly withinMs?: number
  /**
   * Give one if a second copy would be harmless: then a message whose fate is uncertain is written again on the next
   * transport, under this key.
   */
  readonly idempotencyKey?: string
  /** Messages of one conversation are never written in another order than they were sent. Default: what the adapter says. */
  readonly conversation?: string
  /**
   * Replaces the message of the same conversation and key that still waits and was never written: that one is refused.
   * For states of which only the newest matters.
   */
  readonly coalesceKey?: string
}

export interface CallOptions extends SendOptions {
  /** Refused at once if the link is not live, and never carried over the loss of a transport. Default false. */
  readonly failFast?: boolean
  readonly signal?: AbortSignal
}

export interface Receipt {
  readonly fate: Fate
  readonly detail?: string
  /** The peer's answer, where there is one. */
  readonly result?: unknown
}

export interface LinkStats {
  readonly frames: Readonly<FrameCounts>
  readonly outbox: OutboxCounts
  /** Events that the chart did not name in the state that it was in: legal, and nothing changed. */
  readonly eventsIgnored: number
  /** Messages that a slow reader lost. */
  readonly inboundDropped: number
}

/** One bot's connection. */
export interface Link<In = unknown, Out = unknown, C extends Calls = Calls> extends AsyncIterable<In>, AsyncDisposable {
  readonly id: string
  readonly status: LinkStatus
  /** The status, replayed to new subscribers. Completes when the link has stopped; never errors. */
  readonly state$: Observable<LinkStatus>
  /** Messages of the peer. Kept for the first reader; `for await (const m of link)` reads them too. */
  readonly inbound$: Observable<In>
  /** Every transition with its reason, as it happens. */
  readonly transitions$: Observable<TransitionRecord>
  /** The latest transitions. */
  readonly recording: Recording
  readonly stats: LinkStats
  /** Resolves when the link is live, however it got there. Rejects when it is parked or stopped, or by the signal. */
  ready(options?: { signal?: AbortSignal }): Promise<void>
  /** Queues a message. Never rejects for what happens on the way: the receipt tells its fate. */
  send(message: Out, options?: SendOptions): Promise<Receipt>
  /** Asks the peer and resolves to its answer. Waits for a live link within its time; otherwise rejects. */
  call<M extends keyof C & string>(method: M, params?: C[M]['params'], options?: CallOptions): Promise<C[M]['result']>
  /** Where it is, why, and what comes next. */
  explain(options?: { language?: Language }): Explanation
  /** Puts the link to rest until `resume()`. */
  hold(): void
  resume(): void
  /** Dials now instead of waiting, unless the peer asked for the wait. In every other state nothing changes. */
  retry(): void
  /** Delivers what waits within `drainMs`, says goodbye and ends. Resolves once nothing of the link is left. */
  stop(options?: { drainMs?: number }): Promise<void>
}

/** With another endpoint to try, it is tried so soon: Lagrange's rule, incident 3. */
const NEXT_ENDPOINT_MS = 1_000
const SEND_WITHIN_MS = 300_000
const CALL_WITHIN_MS = 10_000
const WITHIN_MAX_MS = 86_400_000

/**
 * Starts a link that holds the adapter's peer, and keeps at it until `stop()`.
 * Throws HoldfastError `bad-option` at once if the adapter or an option is wrong; whatever happens later is a state.
 */
export const connect = <In, Out, C extends Calls>(
  adapter: Adapter<In, Out, C>,
  options: LinkOptions = {},
): Link<In, Out, C> => {
  checkAdapter(adapter)
  const checked = checkOptions(options, adapter.name)
  return new RunningLink(adapter, checked)
}

class RunningLink<In, Out, C extends Calls> implements Link<In, Out, C> {
  readonly id: string
  readonly #adapter: Adapter<In, Out, C>
  readonly #options: CheckedOptions
  readonly #madeAt: number
  readonly #outbox: Outbox
  readonly #ports: LinkPorts
  readonly #closePorts: () => void
  readonly #inbound: Inbound<In>
  readonly #recorder: Recorder
  readonly #transitions$ = new Subject<TransitionRecord>()
  readonly #status$ = new ReplaySubject<LinkStatus>(1)
  #status: LinkStatus
  readonly #frames: FrameCounts = { taken: 0, unknown: 0, malformed: 0, failed: 0 }
  readonly #stopped: Promise<void>
  #finish: () => void = () => undefined
  #eventsIgnored = 0
  #drainMs: number | undefined
  #delayMs = 0
  #dialedAt = 0
  readonly #hints: Subscription
  readonly #seat: Seat
  #latest: object | undefined
  #actor: ReturnType<typeof makeActor>

  constructor(adapter: Adapter<In, Out, C>, options: CheckedOptions) {
    const { clock, id } = options
    this.id = id
    this.#adapter = adapter
    this.#options = options
    this.#madeAt = clock.now()
    this.#outbox = new Outbox(options.outbox, { clock, dedupes: adapter.dedupes, pace: adapter.pace })
    this.#inbound = new Inbound(options.inboundMax)
    this.#recorder = new Recorder(options.recordsMax)
    this.#stopped = new Promise((resolve) => {
      this.#finish = resolve
    })
    const beside = http(options, (delivered, message) => new RequestError(delivered, message))
    this.#closePorts = beside.close
    this.#seat = governorOf(clock).join(() => this.#order({ type: 'dial.invited', reason: 'endpoint-recovered' }))
    this.#ports = this.#makePorts(beside.request)
    this.#status = { id, state: 'resolving', since: clock.wall(), attempt: 1, fault: null, nextDialAt: null }
    this.#hints = hintsOf(clock).subscribe((hint) => this.#hint(hint))
    this.#actor = this.#start()
    this.#stopBySignal(options.signal)
  }

  #makePorts(request: LinkPorts['request']): LinkPorts {
    const { deadlines, ...options } = this.#options
    const { clock, maxPayloadBytes, perMessageDeflate } = options
    const { connectMs, tlsMs, upgradeMs } = deadlines
    const drainMs = () => this.#drainMs
    return {
      adapter: this.#adapter as Adapter,
      options: this.#options,
      deadlines: {
        ...deadlines,
        get closeMs() {
          return drainMs() ?? deadlines.closeMs
        },
      },
      outbox: this.#outbox,
      frames: this.#frames,
      endpoint: undefined,
      conversation: undefined,
      book: endpointBook(clock),
      choices: 1,
      wait: (fault, ownMs) => {
        this.#delayMs = this.#wait(fault, ownMs)
        return this.#delayMs
      },
      request,
      deliver: (message) => this.#inbound.push(message as In),
      open:
        options.transport ??
        ((endpoint) =>
          openWebSocket({ ...endpoint, clock, maxPayloadBytes, perMessageDeflate, connectMs, tlsMs, upgradeMs })),
    }
  }

  /** Called while the chart enters backoff, so the status still shows where it comes from. */
  #wait(fault: Fault | null, ownMs: number): number {
    const { book, choices, endpoint } = this.#ports
    const { state } = this.status
    const failedToGetIn = state === 'connecting' || state === 'handshaking'
    if (endpoint && failedToGetIn) book.failed(endpoint.target.url)
    const wasTold = (fault?.retryAfterMs ?? 0) > 0
    if (choices > 1 && !wasTold && failedToGetIn && !book.allFailedOnce()) {
      // there is one that was not tried: neither the backoff nor the scouts of this one are about it
      return this.#seat.wait(undefined, fault, Math.min(ownMs, NEXT_ENDPOINT_MS))
    }
    if (book.allFailedOnce()) book.resolved()
    return this.#seat.wait(this.#endpointKey, fault, ownMs)
  }

  /** What this step says about the endpoint, for the next choice among several. */
  #learn(to: StateName): void {
    const { book, endpoint } = this.#ports
    if (!endpoint) return
    const now = this.#options.clock.now()
    if (to === 'connecting') this.#dialedAt = now
    else if (to === 'handshaking') book.connected(endpoint.target.url, now - this.#dialedAt)
    else if (to === 'registered') book.welcomed(endpoint.target.url)
  }

  /** The machine slept, or its network changed: a reason to look, and no more. */
  #hint(hint: Hint): void {
    if (hint === 'network-changed') forgetPaths(this.#options.clock)
    this.#ports.conversation?.pulse.doubted$.next()
    if (this.status.state === 'backoff' && this.#seat.mayHurry()) this.#order({ type: 'dial.invited', reason: hint })
  }

  get #endpointKey(): string | undefined {
    const url = this.#ports.endpoint?.target.url
    return url === undefined ? undefined : `${hostOf(url)}:${portOf(url)}`
  }

  #start(): ReturnType<typeof makeActor> {
    const { clock, id } = this.#options
    // two processes may run a link of the same name: their waits must not fall together
    const salt = Math.floor(clock.random() * 2 ** 32).toString(36)
    const actor = makeActor(this.#ports, {
      input: { id: `${id}~${salt}` },
      clock: { setTimeout: clock.setTimeout, clearTimeout: (timer: object) => clock.clearTimeout(timer) },
      inspect: (told) => {
        if (told.type !== '@xstate.snapshot' || told.rootId !== told.actorRef.sessionId) return
        this.#notice(told.event, told.snapshot as unknown as LinkSnapshot)
      },
    })
    // pure actions do not throw; if one ever does, the link must not die in silence
    actor.subscribe({ error: (error) => this.#fail({ code: 'engine-failed', detail: String(error) }) })
    actor.start()
    return actor
  }

  /** Every event comes past here with the snapshot that it led to. */
  #notice(event: { type: string }, snapshot: LinkSnapshot): void {
    if (snapshot.status === 'error') return
    if (snapshot === this.#latest) {
      this.#eventsIgnored++
      return
    }
    this.#latest = snapshot
    const from = this.status.state
    const to = stateName(snapshot.value)
    const { context } = snapshot
    const delayMs = to === 'backoff' ? this.#delayMs : undefined
    this.#obey(from, to, context.fault)
    this.#seat.moved(to, this.#endpointKey)
    this.#learn(to)
    const wall = this.#options.clock.wall()
    const status = {
      id: this.id,
      state: to,
      since: from === to ? this.status.since : wall,
      attempt: attemptOf(context.spent),
      fault: context.fault,
      nextDialAt: delayMs === undefined ? null : wall + delayMs,
    }
    // first, so that whoever hears of the transition finds the status that it led to
    this.#status = status
    if (event.type !== 'xstate.init') this.#record(event, from, status, delayMs)
    this.#status$.next(status)
    if (to === 'stopped') this.#end()
  }

  /** What the chart's states mean for the outbox. */
  #obey(from: StateName, to: StateName, fault: Fault | null): void {
    const { conversation } = this.#ports
    if (to === 'live' && conversation) this.#outbox.attach(conversation.flight)
    else if (from === 'live' && to !== 'closing') this.#outbox.detach()
    if (to !== 'backoff' && to !== 'parked' && to !== 'stopped') return
    this.#ports.conversation = undefined
    conversation?.flight.lose(fault ?? { code: 'closed-by-peer' })
  }

  #record(event: { type: string }, from: StateName, status: LinkStatus, delayMs: number | undefined): void {
    const name = eventName(event.type)
    const detail = 'fault' in event ? (event.fault as Fault).detail : undefined
    const record = this.#recorder.add({
      link: this.id,
      at: this.#options.clock.wall(),
      elapsedMs: this.#options.clock.now() - this.#madeAt,
      from,
      event: name,
      to: status.state,
      reason: reasonOf(event, name, status.state, status.fault),
      attempt: status.attempt,
      ...(detail === undefined ? {} : { detail }),
      ...(delayMs === undefined ? {} : { delayMs }),
    })
    this.#transitions$.next(record)
  }

  #end(): void {
    this.#hints.unsubscribe()
    void this.#outbox.close('the link was stopped')
    this.#closePorts()
    this.#inbound.end()
    this.#transitions$.complete()
    this.#status$.complete()
    this.#finish()
  }

  #fail(fault: Fault): void {
    this.#ports.conversation?.flight.lose(fault)
    this.#ports.conversation = undefined
    this.#show({ ...this.status, state: 'parked', since: this.#options.clock.wall(), fault, nextDialAt: null })
  }

  #show(status: LinkStatus): void {
    this.#status = status
    this.#status$.next(status)
  }

  #stopBySignal(signal: AbortSignal | undefined): void {
    if (!signal) return
    const stop = () => {
      void this.stop()
    }
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    void this.#stopped.then(() => signal.removeEventListener('abort', stop))
  }

  #order(event: LinkEvent): void {
    // an actor that failed cannot be resumed, only made anew
    const { status } = this.#actor.getSnapshot()
    if (status === 'active') this.#actor.send(event)
    else if (status !== 'error') return
    else if (event.type === 'operator.stop') this.#end()
    else this.#actor = this.#start()
  }

  get status(): LinkStatus {
    return this.#status
  }

  get state$(): Observable<LinkStatus> {
    return this.#status$.asObservable()
  }

  get inbound$(): Observable<In> {
    return this.#inbound.observable
  }

  get transitions$(): Observable<TransitionRecord> {
    return this.#transitions$.asObservable()
  }

  get recording(): Recording {
    return this.#recorder.recording
  }

  get stats(): LinkStats {
    return {
      frames: { ...this.#frames },
      outbox: this.#outbox.counts,
      eventsIgnored: this.#eventsIgnored,
      inboundDropped: this.#inbound.dropped,
    }
  }

  ready({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(aborted(signal))
      const settle = (act: () => void) => {
        signal?.removeEventListener('abort', abort)
        // the first status comes while subscribe() still runs
        queueMicrotask(() => subscription.unsubscribe())
        act()
      }
      const abort = () => settle(() => reject(aborted(signal)))
      signal?.addEventListener('abort', abort, { once: true })
      const subscription = this.state$.subscribe(({ state, fault }) => {
        if (state === 'live') settle(resolve)
        else if (state === 'parked') settle(() => reject(parkedError(this.id, fault)))
        else if (state === 'stopped') settle(() => reject(new HoldfastError('stopped', `${this.id} was stopped.`)))
      })
    })
  }

  send(message: Out, options: SendOptions = {}): Promise<Receipt> {
    const { encode, name } = this.#adapter
    if (!encode) throw new HoldfastError('bad-option', `The adapter "${name}" has no send(); use call().`)
    const ticket = checkTicket(options, SEND_WITHIN_MS)
    return this.#outbox.put((key) => this.#adapter.encode!(message, key), ticket, message).settled
  }

  async call<M extends keyof C & string>(
    method: M,
    params?: C[M]['params'],
    options: CallOptions = {},
  ): Promise<C[M]['result']> {
    const { request, name } = this.#adapter
    if (!request) throw new HoldfastError('bad-option', `The adapter "${name}" has no call(); use send().`)
    const { signal } = options
    if (signal?.aborted) throw aborted(signal)
    const ticket = checkTicket(options, CALL_WITHIN_MS)
    const answered = this.#outbox.put((key) => this.#adapter.request!(method, params, key), ticket).settled
    const settled = await (signal ? orAborted(answered, signal) : answered)
    if (settled.fate === 'delivered') return settled.result
    const state = this.status.state === 'live' ? '' : ` The link is ${this.status.state}.`
    const message = `${name} ${method}: ${settled.detail ?? settled.fate}.${state}`
    throw new HoldfastError(errorCodeOf[settled.fate], message, { fault: this.status.fault ?? undefined })
  }

  explain({ language }: { language?: Language } = {}): Explanation {
    return explain(this.status, this.#options.clock.wall(), language)
  }

  hold(): void {
    this.#order({ type: 'operator.hold' })
  }

  resume(): void {
    this.#order({ type: 'operator.resume' })
  }

  retry(): void {
    this.#order({ type: 'dial.invited', reason: 'operator' })
  }

  stop({ drainMs }: { drainMs?: number } = {}): Promise<void> {
    if (drainMs !== undefined && drainMs !== 0) checkNumber('drainMs', drainMs, WITHIN_MAX_MS)
    // stopping twice is asking once, unless it is to be now
    if (this.status.state === 'closing' && drainMs !== 0) return this.#stopped
    this.#drainMs = drainMs
    this.#order({ type: 'operator.stop' })
    return this.#stopped
  }

  [Symbol.asyncIterator](): AsyncIterator<In> {
    return this.#inbound[Symbol.asyncIterator]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

interface LinkSnapshot {
  readonly status: string
  readonly value: unknown
  readonly context: LinkContext
}

const errorCodeOf: Record<Exclude<Fate, 'delivered'>, ErrorCode> = {
  expired: 'expired',
  refused: 'refused',
  uncertain: 'uncertain',
}

const checkTicket = (options: CallOptions, fallback: number): Ticket => {
  const { withinMs = fallback, idempotencyKey, conversation, coalesceKey, failFast = false } = options
  checkName('idempotencyKey', idempotencyKey)
  checkName('conversation', conversation)
  checkName('coalesceKey', coalesceKey)
  if (typeof failFast !== 'boolean') {
    throw new HoldfastError('bad-option', `failFast is ${describe(failFast)}; it must be true or false.`)
  }
  checkNumber('withinMs', withinMs, WITHIN_MAX_MS)
  return { withinMs, idempotencyKey, conversation, coalesceKey, failFast }
}

const checkName = (name: string, value: unknown): void => {
  if (value === undefined || (typeof value === 'string' && value !== '')) return
  throw new HoldfastError('bad-option', `${name} is ${describe(value)}; it must be a non-empty string.`)
}

const aborted = (signal: AbortSignal | undefined): HoldfastError =>
  new HoldfastError('aborted', 'The operation was aborted by its signal.', { cause: signal?.reason })

const parkedError = (id: string, fault: Fault | null): HoldfastError =>
  new HoldfastError('parked', `${id} is parked: ${fault ? sentence(fault) : 'it was put on hold.'}`, {
    fault: fault ?? undefined,
  })

/** The caller stops waiting; the message keeps its own deadline and fate. */
const orAborted = (answered: Promise<Settled>, signal: AbortSignal): Promise<Settled> =>
  new Promise((resolve, reject) => {
    const abort = () => reject(aborted(signal))
    signal.addEventListener('abort', abort, { once: true })
    void answered.then((settled) => {
      signal.removeEventListener('abort', abort)
      resolve(settled)
    })
  })
