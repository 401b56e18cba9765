/**
 * A link as it runs: starts the chart with its activities, obeys it, and shows it to the user. The only lifecycle state
 * there is lives in the chart; what is kept here are queues and streams.
 */
import { type Observable, ReplaySubject, Subject } from 'rxjs'
import { attemptOf } from '../../machines/delay.ts'
import type { Fault } from '../../machines/fault.ts'
import type { LinkPorts } from '../activities.ts'
import type { Adapter, Calls, Outgoing } from '../adapter/adapter.ts'
import {
  aborted,
  CALL_WITHIN_MS,
  type CallOptions,
  checkDrain,
  checkTicket,
  errorCodeOf,
  orAborted,
  parkedError,
  SEND_WITHIN_MS,
  type SendOptions,
} from '../caller.ts'
import type { Endpoint, FrameCounts } from '../conversation.ts'
import { HoldfastError } from '../error.ts'
import { type Explanation, explain, type Language, type LinkStatus } from '../explain.ts'
import { standIn } from '../fallback.ts'
import { ListenerErrors } from '../guarded.ts'
import type { HandedMessage, HandOver } from '../hand-over.ts'
import { Inbound } from '../inbound.ts'
import { Inspection, offerInspection } from '../inspection.ts'
import { Keeping } from '../keeping.ts'
import type { ContinuityRecord, Link, LinkStats, Sending } from '../link.ts'
import { endpointBook } from '../net/endpoints.ts'
import { http } from '../net/request.ts'
import { eventName, Recorder, type Recording, reasonOf, type TransitionRecord } from '../observe/recorder.ts'
import type { CheckedOptions, Deadlines } from '../options.ts'
import { type Outage, type OutageNotice, OutageWatch } from '../outage/outage.ts'
import { BesideError, Outbox, runTask, type SettledMessage } from '../outbox/outbox.ts'
import type { Run, Step } from '../run.ts'
import { type Role, Runs } from '../runs.ts'
import { scrubber } from '../secret.ts'
import { type Continuity, LinkSession } from '../session.ts'
import { Starts } from '../starts.ts'
import { type Subjects, tellOwner } from '../telling.ts'
import { type Gate, gated, gateOf, type Tenure } from '../tenure.ts'
import { openTransport } from '../transport/open.ts'

export class RunningLink<In, Out, C extends Calls> implements Link<In, Out, C> {
  readonly id: string
  readonly state$: Observable<LinkStatus>
  readonly inbound$: Observable<In>
  readonly continuity$: Observable<ContinuityRecord>
  readonly outages$: Observable<OutageNotice>
  readonly settled$: Observable<SettledMessage>
  readonly writable$: Observable<boolean>
  readonly transitions$: Observable<TransitionRecord>
  readonly #adapter: Adapter<In, Out, C>
  readonly #options: CheckedOptions
  readonly #madeAt: number
  readonly #outbox: Outbox
  readonly #ports: LinkPorts
  readonly #closePorts: () => void
  readonly #session: LinkSession
  readonly #inbound: Inbound<In>
  readonly #gate: Gate
  readonly #inspection = new Inspection()
  readonly #listenerErrors: ListenerErrors
  readonly #recorder: Recorder
  readonly #transitions$ = new Subject<TransitionRecord>()
  readonly #continuity$ = new Subject<ContinuityRecord>()
  readonly #status$ = new ReplaySubject<LinkStatus>(1)
  readonly #outages: OutageWatch
  #status: LinkStatus
  readonly #frames: FrameCounts = { taken: 0, unknown: 0, malformed: 0, failed: 0 }
  readonly #stopped: Promise<void>
  #finish: () => void = () => undefined
  #eventsIgnored = 0
  #drainMs: number | undefined
  readonly #runs: Runs
  readonly #keeping: Keeping | undefined
  #handingOver: Promise<HandOver> | undefined
  #handed: readonly HandedMessage[] = []

  constructor(adapter: Adapter<In, Out, C>, options: CheckedOptions) {
    const { clock, id } = options
    this.id = id
    this.#adapter = adapter
    this.#options = options
    this.#madeAt = clock.now()
    const { store, handOver } = options
    this.#keeping = store && new Keeping(store, id, (text) => process.emitWarning(`${id}: ${text}`, 'HoldfastWarning'))
    const { dedupes, pace } = adapter
    this.#outbox = new Outbox(options.outbox, { clock, dedupes, pace, ledger: this.#keeping?.ledger })
    this.#session = new LinkSession((session) => this.#keeping?.save(session))
    if (handOver) this.#takeOver(handOver)
    this.#gate = gateOf(options.lease)
    this.#inbound = new Inbound(
      options.inbound,
      clock,
      {
        taken: (cursor) => {
          this.#session.taken(cursor)
          this.#runs.current.ports.conversation?.taken(cursor)
        },
        lost: (missed, because) => this.#tell({ kind: 'gap', because, missed }),
      },
      this.#gate,
    )
    this.#listenerErrors = new ListenerErrors(id, clock, (text) =>
      (this.#runs?.current.ports.endpoint?.scrub ?? scrubber([]))(text),
    )
    offerInspection(this, this.#listenerErrors.guard(this.#inspection.events$, 'xstateInspection()'))
    this.state$ = this.#listenerErrors.guard(this.#status$, 'state$')
    this.inbound$ = this.#listenerErrors.guard(this.#inbound.observable, 'inbound$')
    this.transitions$ = this.#listenerErrors.guard(this.#transitions$, 'transitions$')
    this.continuity$ = this.#listenerErrors.guard(this.#continuity$, 'continuity$')
    this.settled$ = this.#listenerErrors.guard(this.#outbox.settled$, 'settled$')
    this.writable$ = this.#listenerErrors.guard(this.#outbox.writable$, 'writable$')
    this.#outages = new OutageWatch(id, clock, this.#status$)
    this.outages$ = this.#listenerErrors.guard(this.#outages.notices$, 'outages$')
    tellOwner(options, this.#subjects(), this.#listenerErrors)
    standIn(options, this.#status$, this.#outbox, this.#listenerErrors)
    this.#recorder = new Recorder(options.recordsMax)
    this.#stopped = new Promise((resolve) => {
      this.#finish = resolve
    })
    const beside = http(options, (delivered, message) => new BesideError(delivered, message))
    this.#closePorts = beside.close
    const { request } = beside
    this.#ports = this.#makePorts((outgoing, signal, scrub) =>
      'run' in outgoing ? runTask(outgoing, signal, scrub) : request(outgoing, signal, scrub),
    )
    this.#status = { id, state: 'resolving', since: clock.wall(), attempt: 1, fault: null, nextDialAt: null }
    this.#runs = new Runs(this.#ports, endpointBook(clock), this.#session, {
      stepped: (step, role) => this.#stepped(step, role),
      succeeded: ({ latestStep }) => latestStep && this.#show(this.#statusOf(latestStep)),
      cutShort: () => this.#tell({ kind: 'gap', because: 'cut-short' }),
      ended: () => this.#end(),
      ignored: () => {
        this.#eventsIgnored++
      },
      failed: (run, fault) => this.#fail(run, fault),
    })
    this.#runs.begin()
    this.#stopBySignal(options.signal)
    this.#stopByLease(options.lease)
  }

  #makePorts(request: LinkPorts['request']): LinkPorts {
    const { deadlines, ...options } = this.#options
    const { clock, maxPayloadBytes, perMessageDeflate } = options
    const { connectMs, tlsMs, upgradeMs } = deadlines
    const drainMs = () => this.#drainMs
    const starts = new Starts(this.#adapter.starts, clock)
    const open =
      options.transport ??
      ((endpoint: Endpoint) =>
        openTransport({ ...endpoint, clock, maxPayloadBytes, perMessageDeflate, connectMs, tlsMs, upgradeMs }))
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
      inspection: this.#inspection,
      restored: this.#restore(starts),
      outbox: this.#outbox,
      frames: this.#frames,
      credentials: { wereRejected: false },
      request: (outgoing, signal, scrub) =>
        this.#gate()
          ? request(outgoing, signal, scrub)
          : Promise.reject(new BesideError('refused', 'the lease is over')),
      deliver: (message, mark) => this.#inbound.push(message as In, mark),
      announce: (continuity) => this.#announce(continuity),
      starting: () => starts.spend(),
      move: () => this.#runs.move(),
      open: (endpoint) => gated(this.#gate, open(endpoint)),
    }
  }

  /** What an earlier process left in the store. Nothing is dialed before it has been read. */
  async #restore(starts: Starts): Promise<void> {
    const { handOver } = this.#options
    if (handOver?.budget !== undefined) await starts.import(handOver.budget)
    const session = handOver ? undefined : await this.#keeping?.session()
    if (session) this.#session.restore(session)
    if (this.#keeping) this.#keeping.tell(await this.#outbox.recover(this.#encode))
  }

  #subjects(): Subjects {
    return {
      status$: this.#status$,
      status: () => this.status,
      outages: this.#outages,
      resume: () => this.resume(),
    }
  }

  #takeOver({ session, outbox }: HandOver): void {
    this.#session.restore(session)
    this.#outbox.takeOver(outbox, this.#encode)
  }

  readonly #encode = (message: unknown, key: string): Outgoing => this.#adapter.encode!(message as Out, key)

  #stepped(step: Step, role: Role): void {
    const isFirst = step.event.type === 'xstate.init'
    if (role !== 'current') {
      if (!isFirst) this.#record(step, role)
      return
    }
    // first, so that whoever hears of the transition finds the status that it led to
    this.#status = this.#statusOf(step)
    if (!isFirst) this.#record(step)
    this.#status$.next(this.#status)
    if (step.to === 'parked') this.#ports.starts.release()
  }

  #statusOf({ to, since, context, delayMs }: Step): LinkStatus {
    return {
      id: this.id,
      state: to,
      since,
      attempt: attemptOf(context.spent),
      fault: context.fault,
      nextDialAt: delayMs === undefined ? null : since + delayMs,
    }
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

  /** Positions and ids of an old session mean nothing in a new one. A peer without sessions has ids for all its life. */
  #announce(kind: Continuity): void {
    if (kind !== 'recovered' && this.#session.isResumable) this.#inbound.beginSession()
    this.#tell({ kind, because: 'welcome' })
  }

  #tell(record: Omit<ContinuityRecord, 'at'>): void {
    this.#continuity$.next({ ...record, at: this.#options.clock.wall() })
  }

  #end(): void {
    this.#ports.starts.release()
    if (this.#handingOver) this.#handed = this.#outbox.takeAway()
    const closed = this.#outbox.close('the link was stopped')
    this.#closePorts()
    this.#inbound.end()
    this.#transitions$.complete()
    this.#continuity$.complete()
    this.#inspection.end()
    this.#status$.complete()
    const { clock, deadlines } = this.#options
    if (this.#keeping) void this.#keeping.close(closed, deadlines.closeMs, clock).then(this.#finish)
    else this.#finish()
  }

  #fail(run: Run, fault: Fault): void {
    run.ports.conversation?.flight.lose(fault)
    run.ports.conversation = undefined
    if (run !== this.#runs.current) return
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

  #stopByLease(tenure: Tenure | undefined): void {
    if (!tenure) return
    tenure.whenOver((fault) => {
      this.#inbound.shut()
      this.#runs.cut(fault)
    })
  }

  get status(): LinkStatus {
    return this.#status
  }

  get outage(): Outage | null {
    return this.#outages.present
  }

  get adapterName(): string {
    return this.#adapter.name
  }

  get deadlines(): Deadlines {
    return this.#options.deadlines
  }

  get roundTripMs(): number | null {
    return this.#runs.current.ports.conversation?.roundTripMs ?? null
  }

  get silentMs(): number | null {
    const heardAt = this.#runs.current.ports.conversation?.heardAt
    return heardAt === undefined ? null : this.#options.clock.now() - heardAt
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

  writable(options?: { signal?: AbortSignal }): Promise<void> {
    return this.#outbox.writable(options)
  }

  send(message: Out, options: SendOptions = {}): Sending {
    const { encode, name } = this.#adapter
    if (!encode) throw new HoldfastError('bad-option', `The adapter "${name}" has no send(); use call().`)
    const ticket = checkTicket(options, SEND_WITHIN_MS)
    const { accepted, settled } = this.#outbox.put((key) => this.#encode(message, key), ticket, message)
    return Object.assign(settled, { accepted })
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
    this.#runs.giveUpMoving()
    this.#runs.order({ type: 'operator.hold' })
  }

  resume(): void {
    this.#runs.order({ type: 'operator.resume' })
  }

  retry(): void {
    this.#runs.order({ type: 'dial.invited', reason: 'operator' })
  }

  stop({ drainMs }: { drainMs?: number } = {}): Promise<void> {
    checkDrain(drainMs)
    // stopping twice is asking once, unless it is to be now
    if (this.status.state === 'closing' && drainMs !== 0) return this.#stopped
    this.#drainMs = drainMs
    this.#runs.giveUpMoving()
    if (drainMs === 0) this.#runs.cutPredecessors()
    this.#runs.order({ type: 'operator.stop' })
    return this.#stopped
  }

  replace(): void {
    if (this.status.state !== 'live' || this.#runs.move()) return
    this.#runs.current.ports.conversation?.lose({ code: 'peer-leaving', detail: 'asked for by replace()' })
  }

  async handOver(options: { drainMs?: number } = {}): Promise<HandOver> {
    checkDrain(options.drainMs)
    // of two successors each would send what was handed over
    this.#handingOver ??= Promise.resolve().then(() => this.#leave(options))
    return this.#handingOver
  }

  async #leave(options: { drainMs?: number }): Promise<HandOver> {
    this.#runs.current.ports.leaving = 'handing-over'
    await this.stop(options)
    const budget = await this.#ports.starts.export()
    return {
      version: 1,
      adapter: this.#adapter.name,
      id: this.id,
      at: this.#options.clock.wall(),
      session: this.#session.current,
      outbox: this.#handed,
      ...(budget === undefined ? {} : { budget }),
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<In> {
    return this.#inbound[Symbol.asyncIterator]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
