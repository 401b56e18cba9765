/**
 * One running link: starts the chart with its activities, obeys it, and shows it to the user. The only lifecycle state
 * there is lives in the chart; what is kept here are queues and streams.
 */
import { type Observable, ReplaySubject, Subject } from 'rxjs'
import { attemptOf } from '../machines/delay.ts'
import type { Fault } from '../machines/fault.ts'
import type { LinkEvent } from '../machines/link.ts'
import type { LinkPorts } from './activities.ts'
import { type Adapter, type Calls, checkAdapter, describe } from './adapter/adapter.ts'
import type { FrameCounts } from './conversation.ts'
import { type ErrorCode, HoldfastError, sentence } from './error.ts'
import { type Explanation, explain, type Language, type LinkStatus } from './explain.ts'
import { ListenerErrors } from './guarded.ts'
import { Inbound, type InboundCounts, type LossReason } from './inbound.ts'
import { type EndpointBook, endpointBook } from './net/endpoints.ts'
import { http } from './net/request.ts'
import { eventName, Recorder, type Recording, reasonOf, type TransitionRecord } from './observe/recorder.ts'
import { type CheckedOptions, checkNumber, checkOptions, type Deadlines, type LinkOptions } from './options.ts'
import { type Fate, Outbox, type OutboxCounts, RequestError, type Settled } from './outbox.ts'
import { hasLost, Run, type Step } from './run.ts'
import { scrubber } from './secret.ts'
import { type Continuity, LinkSession, type SessionView } from './session.ts'
import { Starts } from './starts.ts'
import { openWebSocket } from './transport/websocket.ts'

export interface SendOptions {
  /** How long it may take until it is delivered, in milliseconds. Default 300,000 for `send`, 10,000 for `call`. */
  readonly withinMs?: number
  /**
   * Give one if a second copy would be harmless: then a message whose fate is uncertain is written again on the next
   * transport, under this key.
   */
  readonly idempotencyKey?: string
}

export interface CallOptions extends SendOptions {
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
  readonly inbound: InboundCounts
  /** What listeners to the streams of the link threw: each ended nothing but its own call. */
  readonly listenerErrors: number
}

export interface ContinuityRecord {
  readonly kind: Continuity
  /** What told so: the peer's welcome, or a bound of ours that was reached. */
  readonly because: 'welcome' | LossReason
  /** How many messages are missing, where that is known. */
  readonly missed?: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** One bot's connection. */
export interface Link<In = unknown, Out = unknown, C extends Calls = Calls> extends AsyncIterable<In>, AsyncDisposable {
  readonly id: string
  /** The name of its adapter. */
  readonly adapterName: string
  /** How long each step may take, in milliseconds. */
  readonly deadlines: Deadlines
  readonly status: LinkStatus
  /** The smoothed round trip of the present transport in milliseconds, or null until a probe was answered. */
  readonly roundTripMs: number | null
  /** The status, replayed to new subscribers. Completes when the link has stopped; never errors. */
  readonly state$: Observable<LinkStatus>
  /**
   * Messages of the peer; `for await (const m of link)` reads them too, and each of several readers gets every message.
   * While nobody reads they are kept for who comes next, within the bound of the option `inbound`.
   */
  readonly inbound$: Observable<In>
  /** Every transition with its reason, as it happens. */
  readonly transitions$: Observable<TransitionRecord>
  /**
   * What each welcome means for the messages that came before it: `new` (there was nothing to miss), `recovered` (all that
   * was missed has been replayed), `gap` (messages may be missing).
   */
  readonly continuity$: Observable<ContinuityRecord>
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
  /**
   * Moves a live link to a new transport: the new one goes live before the old one closes where the adapter allows two at
   * a time, otherwise after it. In every other state nothing changes: it is on its way already.
   */
  replace(): void
  /** Delivers what waits within `drainMs`, says goodbye and ends. Resolves once nothing of the link is left. */
  stop(options?: { drainMs?: number }): Promise<void>
}

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
  readonly state$: Observable<LinkStatus>
  readonly inbound$: Observable<In>
  readonly continuity$: Observable<ContinuityRecord>
  readonly transitions$: Observable<TransitionRecord>
  readonly #adapter: Adapter<In, Out, C>
  readonly #options: CheckedOptions
  readonly #madeAt: number
  readonly #outbox: Outbox
  readonly #ports: LinkPorts
  readonly #closePorts: () => void
  readonly #book: EndpointBook
  readonly #session: LinkSession
  readonly #inbound: Inbound<In>
  readonly #listenerErrors: ListenerErrors
  readonly #recorder: Recorder
  readonly #transitions$ = new Subject<TransitionRecord>()
  readonly #continuity$ = new Subject<ContinuityRecord>()
  readonly #status$ = new ReplaySubject<LinkStatus>(1)
  #status: LinkStatus
  readonly #frames: FrameCounts = { taken: 0, unknown: 0, malformed: 0, failed: 0 }
  readonly #stopped: Promise<void>
  #finish: () => void = () => undefined
  #eventsIgnored = 0
  #drainMs: number | undefined
  /** The run whose state is the link's; beside it one that shall take over, and those that it took over from. */
  #run: Run
  #successor: Run | undefined
  readonly #predecessors = new Set<Run>()

  constructor(adapter: Adapter<In, Out, C>, options: CheckedOptions) {
    const { clock, id } = options
    this.id = id
    this.#adapter = adapter
    this.#options = options
    this.#madeAt = clock.now()
    this.#outbox = new Outbox(options.outbox, clock)
    this.#session = new LinkSession()
    this.#inbound = new Inbound(options.inbound, clock, {
      taken: (cursor) => this.#session.taken(cursor),
      lost: (missed, because) => this.#tell({ kind: 'gap', because, missed }),
    })
    this.#listenerErrors = new ListenerErrors(id, clock, (text) =>
      (this.#run?.ports.endpoint?.scrub ?? scrubber([]))(text),
    )
    this.state$ = this.#listenerErrors.guard(this.#status$, 'state$')
    this.inbound$ = this.#listenerErrors.guard(this.#inbound.observable, 'inbound$')
    this.transitions$ = this.#listenerErrors.guard(this.#transitions$, 'transitions$')
    this.continuity$ = this.#listenerErrors.guard(this.#continuity$, 'continuity$')
    this.#recorder = new Recorder(options.recordsMax)
    this.#stopped = new Promise((resolve) => {
      this.#finish = resolve
    })
    const beside = http(options, (delivered, message) => new RequestError(delivered, message))
    this.#closePorts = beside.close
    this.#book = endpointBook(clock)
    this.#ports = this.#makePorts(beside.request)
    this.#status = { id, state: 'resolving', since: clock.wall(), attempt: 1, fault: null, nextDialAt: null }
    this.#run = this.#makeRun(this.#session)
    this.#run.begin()
    this.#stopBySignal(options.signal)
  }

  #makePorts(request: LinkPorts['request']): LinkPorts {
    const { deadlines, ...options } = this.#options
    const { clock, maxPayloadBytes, perMessageDeflate } = options
    const { connectMs, tlsMs, upgradeMs } = deadlines
    const drainMs = () => this.#drainMs
    const starts = new Starts(this.#adapter.starts, clock)
    return {
      adapter: this.#adapter as Adapter,
      options: this.#options,
      deadlines: {
        ...deadlines,
        get closeMs() {
          return drainMs() ?? deadlines.closeMs
        },
      },
      starts,
      restored: Promise.resolve(),
      outbox: this.#outbox,
      frames: this.#frames,
      credentials: { wereRejected: false },
      request,
      deliver: (message, mark) => this.#inbound.push(message as In, mark),
      announce: (continuity) => this.#announce(continuity),
      starting: () => starts.spend(),
      move: () => this.#move(),
      open:
        options.transport ??
        ((endpoint) =>
          openWebSocket({ ...endpoint, clock, maxPayloadBytes, perMessageDeflate, connectMs, tlsMs, upgradeMs })),
    }
  }

  #makeRun(session: SessionView): Run {
    return new Run(this.#ports, this.#book, session, {
      stepped: (run, step) => this.#notice(run, step),
      ignored: () => {
        this.#eventsIgnored++
      },
      expiring: () => void this.#move(),
      failed: (run, fault) => this.#fail(run, fault),
    })
  }

  #notice(run: Run, step: Step): void {
    this.#settle(run, step)
    if (run === this.#successor) this.#noticeSuccessor(run, step)
    else if (run === this.#run) this.#noticeCurrent(step)
    else {
      this.#record(step, 'predecessor')
      if (step.to === 'stopped') this.#predecessors.delete(run)
      this.#endIfOver()
    }
  }

  #noticeCurrent(step: Step): void {
    const status = this.#statusOf(step)
    // first, so that whoever hears of the transition finds the status that it led to
    this.#status = status
    if (step.event.type !== 'xstate.init') this.#record(step)
    this.#status$.next(status)
    if (this.#successor && hasLost(step.to)) this.#promote(this.#successor)
    else if (step.to === 'parked') this.#ports.starts.release()
    this.#endIfOver()
  }

  #statusOf({ from, to, context, delayMs }: Step): LinkStatus {
    const wall = this.#options.clock.wall()
    return {
      id: this.id,
      state: to,
      since: from === to ? this.status.since : wall,
      attempt: attemptOf(context.spent),
      fault: context.fault,
      nextDialAt: delayMs === undefined ? null : wall + delayMs,
    }
  }

  /** What the chart's states mean for the outbox. */
  #settle(run: Run, { from, to, context }: Step): void {
    const { conversation } = run.ports
    if (to === 'live' && conversation) this.#outbox.attach(conversation.writer)
    else if (from === 'live' && to !== 'closing') this.#outbox.detach()
    if (!hasLost(to)) return
    run.ports.conversation = undefined
    this.#outbox.lose(context.fault ?? { code: 'closed-by-peer' })
  }

  #record({ event, from, to, context, delayMs }: Step, role?: TransitionRecord['role']): void {
    const name = eventName(event.type)
    const detail = 'fault' in event ? (event.fault as Fault).detail : undefined
    const record = this.#recorder.add({
      link: this.id,
      at: this.#options.clock.wall(),
      elapsedMs: this.#options.clock.now() - this.#madeAt,
      from,
      event: name,
      to,
      reason: reasonOf(event, name, to, context.fault),
      attempt: attemptOf(context.spent),
      ...(role === undefined ? {} : { role }),
      ...(detail === undefined ? {} : { detail }),
      ...(delayMs === undefined ? {} : { delayMs }),
    })
    this.#transitions$.next(record)
  }

  /** Opens a successor while the transport still serves, where the peer allows two. */
  #move(): boolean {
    if (!this.#adapter.overlap || this.#run.state !== 'live') return false
    if (this.#successor) return true
    // two at a time and no more: the last move was so short ago that its predecessor still drains
    for (const run of this.#predecessors) run.order({ type: 'operator.stop' })
    this.#successor = this.#makeRun(this.#session.besides())
    this.#successor.begin()
    return true
  }

  #noticeSuccessor(run: Run, step: Step): void {
    if (step.event.type !== 'xstate.init') this.#record(step, 'successor')
    if (step.to === 'live') this.#promote(run)
    // what it cannot do the link will meet by itself when it has lost what it has
    else if (step.to === 'parked' || step.to === 'stopped') {
      this.#successor = undefined
      run.order({ type: 'operator.stop' })
    }
  }

  /** From now on the successor is the link; what was written before is still proved where it was written. */
  #promote(successor: Run): void {
    const predecessor = this.#run
    this.#successor = undefined
    this.#run = successor
    predecessor.ports.isSucceeded = true
    this.#predecessors.add(predecessor)
    predecessor.order({ type: 'operator.stop' })
    this.#show({ ...this.#status, state: successor.state, since: this.#options.clock.wall(), nextDialAt: null })
  }

  /** Positions and ids of an old session mean nothing in a new one. A peer without sessions has ids for all its life. */
  #announce(kind: Continuity): void {
    if (kind !== 'recovered' && this.#session.isResumable) this.#inbound.beginSession()
    this.#tell({ kind, because: 'welcome' })
  }

  #tell(record: Omit<ContinuityRecord, 'at'>): void {
    this.#continuity$.next({ ...record, at: this.#options.clock.wall() })
  }

  #endIfOver(): void {
    if (this.#run.state !== 'stopped' || this.#predecessors.size > 0) return
    this.#ports.starts.release()
    this.#outbox.close('the link was stopped')
    this.#closePorts()
    this.#inbound.end()
    this.#transitions$.complete()
    this.#continuity$.complete()
    this.#status$.complete()
    this.#finish()
  }

  #fail(run: Run, fault: Fault): void {
    run.ports.conversation = undefined
    this.#outbox.lose(fault)
    if (run === this.#successor) this.#successor = undefined
    if (run !== this.#run) return
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
    this.#run.order(event)
  }

  get status(): LinkStatus {
    return this.#status
  }

  get adapterName(): string {
    return this.#adapter.name
  }

  get deadlines(): Deadlines {
    return this.#options.deadlines
  }

  get roundTripMs(): number | null {
    return this.#run.ports.conversation?.roundTripMs ?? null
  }

  get recording(): Recording {
    return this.#recorder.recording
  }

  get stats(): LinkStats {
    return {
      frames: { ...this.#frames },
      outbox: this.#outbox.counts,
      eventsIgnored: this.#eventsIgnored,
      inbound: this.#inbound.counts,
      listenerErrors: this.#listenerErrors.count,
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
    return this.#outbox.put((key) => this.#adapter.encode!(message, key), ticket)
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
    const answered = this.#outbox.put((key) => this.#adapter.request!(method, params, key), ticket)
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
    this.#dropSuccessor()
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
    this.#dropSuccessor()
    if (drainMs === 0) for (const run of this.#predecessors) run.order({ type: 'operator.stop' })
    this.#order({ type: 'operator.stop' })
    return this.#stopped
  }

  replace(): void {
    if (!this.#move() && this.status.state === 'live') this.#run.ports.conversation?.lose({ code: 'peer-leaving' })
  }

  #dropSuccessor(): void {
    const successor = this.#successor
    this.#successor = undefined
    if (!successor) return
    this.#predecessors.add(successor)
    successor.order({ type: 'operator.stop' })
  }

  [Symbol.asyncIterator](): AsyncIterator<In> {
    return this.#inbound[Symbol.asyncIterator]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

const errorCodeOf: Record<Exclude<Fate, 'delivered'>, ErrorCode> = {
  expired: 'expired',
  refused: 'refused',
  uncertain: 'uncertain',
}

const checkTicket = ({ withinMs, idempotencyKey }: SendOptions, fallback: number) => {
  if (idempotencyKey !== undefined && (typeof idempotencyKey !== 'string' || idempotencyKey === '')) {
    throw new HoldfastError(
      'bad-option',
      `idempotencyKey is ${describe(idempotencyKey)}; it must be a non-empty string.`,
    )
  }
  return { withinMs: checkNumber('withinMs', withinMs ?? fallback, WITHIN_MAX_MS), idempotencyKey }
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
