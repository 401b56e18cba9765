/**
 * A lease: which process of several may hold a link. Starts the chart of machines/lease.ts with its activities, and obeys
 * it. Two promises, and they differ: never do two processes *act* for one bot, whatever happens to them (each asks its own
 * clock before it dials, writes or hands a message on); and never are two *connected*, unless one of them was frozen, for
 * then its kernel keeps the connection until it wakes.
 */
import { hostname } from 'node:os'
import { type Observable, ReplaySubject } from 'rxjs'
import { type Actor, createActor, fromEventObservable } from 'xstate'
import { TIMER_MAX_MS } from '../machines/delay.ts'
import type { Fault } from '../machines/fault.ts'
import {
  asideDelay,
  type LeaseContext,
  type LeaseEvent,
  type LeaseState,
  leaseMachine,
  leaseState,
  leaseTimes,
  storeDelay,
  takeoverMs,
} from '../machines/lease.ts'
import { describe, refuseUnknown } from './adapter/adapter.ts'
import { type Clock, realClock, type Timer } from './clock.ts'
import { HoldfastError, textOf } from './error.ts'
import type { Language } from './explain.ts'
import { guarded } from './guarded.ts'
import {
  beTenant,
  type CheckedOptions,
  claim,
  giveAway,
  keep,
  type LinkToOwn,
  look,
  type Ports,
  warn,
  watch,
} from './lease/activities.ts'
import { TTL_MAX_MS, TTL_MIN_MS } from './lease/record.ts'
import type { LeaseStore } from './lease/store.ts'
import { leaseLog } from './lease/telling.ts'
import type { Link } from './link.ts'
import { checkClock, checkTelling } from './options.ts'
import type { Logger } from './outage/outage-log.ts'
import { reveal, type Secret } from './secret.ts'
import type { Tenure } from './tenure.ts'

export type { LeaseState } from '../machines/lease.ts'
export { type EtcdLeaseStoreOptions, etcdLeaseStore } from './lease/etcd.ts'
export {
  type NatsBucket,
  type NatsBucketStatus,
  type NatsConnection,
  type NatsEntry,
  type NatsLeaseStoreOptions,
  natsLeaseStore,
} from './lease/nats.ts'
export { type LeaseStore, memoryLeaseStore, type StoredLease } from './lease/store.ts'
export type { Tenure } from './tenure.ts'

export interface LeaseOptions<L extends LinkToOwn = Link> {
  /** Shared by all processes that may own the link. It stays open when the lease stops. */
  readonly store: LeaseStore
  /**
   * Makes the link, each time that this process becomes its owner: `(tenure) => connect(adapter, { lease: tenure })`. The
   * link is stopped when the lease is given away, and cut when it is lost.
   */
  readonly link: (tenure: Tenure) => L
  /** What the others and people see of this process. Default: the host's name and the process id. */
  readonly owner?: string
  /** How long a grant lasts, in milliseconds from 1,000 to 600,000. Default 15,000. The same in all processes, best. */
  readonly ttlMs?: number
  /**
   * So long before its end the owner cuts its link, in milliseconds: what clocks may differ by (2 %), and how late this
   * process may be. Default: a fifth of `ttlMs`.
   */
  readonly marginMs?: number
  /**
   * How much longer the others wait, in milliseconds. Default 0: the platform ends the older of two connections, or does
   * not mind. Otherwise the time after which it takes a silent connection for dead.
   */
  readonly graceMs?: number
  /** How long the link may take to deliver what waits when the lease is given away, in milliseconds. Default 3,000. */
  readonly drainMs?: number
  /**
   * With it the session and what waits go along to the next owner, through the store and encrypted: the same text in all
   * processes, 16 characters at least. Without it the next owner starts a new session.
   */
  readonly secret?: string | Secret
  /** Gets a line when this process gets the link, one when it loses it and why, and one when the store fails. Default: none. */
  readonly logger?: Logger
  /** The language of its lines. Default `en`. */
  readonly logLanguage?: Language
  /** Time and dice. Default: the real ones. */
  readonly clock?: Clock
}

/** What a lease shows of itself. Plain data. */
export interface LeaseStatus {
  readonly id: string
  readonly state: LeaseState
  /** Since when it is in this state: milliseconds since 1970. */
  readonly since: number
  /** Who has it, as far as this process has seen; null: nobody, or nobody knows. */
  readonly owner: string | null
  /** The number of the present owner, or null. */
  readonly term: number | null
  /** What went wrong last, or null. */
  readonly fault: Fault | null
  /** When it acts next if nothing happens before, in milliseconds since 1970; null while it owns or asks. */
  readonly nextAt: number | null
}

export interface Lease<L extends LinkToOwn = Link> extends AsyncDisposable {
  readonly id: string
  readonly status: LeaseStatus
  /** The status, replayed to new subscribers. Completes when the lease has stopped; never errors. */
  readonly state$: Observable<LeaseStatus>
  /** The link, while this process owns it. */
  readonly link: L | undefined
  /** Gives the link to another process, and asks for it again after 10 s. Does nothing where it is not owned. */
  yield(): void
  /** Asks for it now that it stands aside after `yield()`. */
  claim(): void
  /** Gives the link to another process and asks for it no more. Resolves when nothing of it is left here. */
  stop(): Promise<void>
}

/**
 * Takes part in owning the link with this id: all processes that call it with one store and one id have the link in turn,
 * one at a time. Throws HoldfastError `bad-option` at once if an option is wrong; whatever happens later is a state.
 */
export const lease = <L extends LinkToOwn = Link>(id: string, options: LeaseOptions<L>): Lease<L> =>
  new RunningLease<L>(checkOptions(id, options))

const portsBySystem = new WeakMap<object, Ports>()

const portsOf = (system: object): Ports => {
  const ports = portsBySystem.get(system)
  if (!ports) throw new Error('this machine was started outside of a lease')
  return ports
}

const activity = (run: (ports: Ports) => Observable<LeaseEvent>) =>
  fromEventObservable<LeaseEvent, { id: string }>(({ system }) => run(portsOf(system)))

/** Until its owner has given up, from when its record was seen to change. */
const takeoverDelay = ({ sight, options: { clock, ttlMs, graceMs } }: Ports): number => {
  const waitMs = takeoverMs({ ttlMs: sight?.record?.ttlMs ?? ttlMs, graceMs })
  return Math.max(0, waitMs - (clock.now() - (sight?.at ?? clock.now())))
}

/** Where the record could not be given away the others have to wait for its end, and then they shall have their time. */
const standAsideMs = ({ isGiven, options }: Ports, context: LeaseContext): number =>
  asideDelay(context) + (isGiven ? 0 : takeoverMs(options))

/** The chart with its activities: one object for every lease of the process. */
const boundMachine = leaseMachine.provide({
  actors: {
    reader: activity(look),
    watcher: activity(watch),
    claimer: activity(claim),
    tenant: activity(beTenant),
    keeper: activity(keep),
    yielder: activity(giveAway),
  },
  delays: {
    takeoverDelay: ({ system }: { system: object }) => takeoverDelay(portsOf(system)),
    asideDelay: ({ context, system }) => standAsideMs(portsOf(system), context),
    fenceDelay: ({ system }: { system: object }) => portsOf(system).tenure?.leftMs ?? 0,
  },
})

class RunningLease<L extends LinkToOwn> implements Lease<L> {
  readonly id: string
  readonly state$: Observable<LeaseStatus>
  readonly #options: CheckedOptions
  readonly #ports: Ports
  readonly #status$ = new ReplaySubject<LeaseStatus>(1)
  readonly #stopped: Promise<void>
  #finish: () => void = () => undefined
  #actor: Actor<typeof boundMachine>
  #latest: object | undefined
  #status: LeaseStatus

  constructor(options: CheckedOptions) {
    const { id, clock } = options
    this.id = id
    this.#options = options
    const session = Array.from({ length: 4 }, () => Math.floor(clock.random() * 2 ** 32).toString(36)).join('-')
    this.#ports = {
      options,
      session,
      sight: undefined,
      revision: 0,
      tenure: undefined,
      link: undefined,
      left: undefined,
      isGiven: false,
    }
    this.state$ = guarded(this.#status$, (error) => warn(`A listener of the lease "${id}" threw ${textOf(error)}.`))
    this.#stopped = new Promise((resolve) => {
      this.#finish = resolve
    })
    this.#status = { id, state: 'looking', since: clock.wall(), owner: null, term: null, fault: null, nextAt: null }
    this.#tell(options)
    this.#status$.next(this.#status)
    this.#actor = this.#begin()
  }

  #tell({ logger, logLanguage }: CheckedOptions): void {
    if (!logger) return
    const lineOf = leaseLog(logLanguage)
    this.state$.subscribe((status) => {
      const line = lineOf(status)
      if (line) logger[line.level](line.text)
    })
  }

  #begin(): Actor<typeof boundMachine> {
    const { clock } = this.#options
    const actor = createActor(boundMachine, {
      input: { id: `${this.id}~${this.#ports.session}` },
      clock: {
        setTimeout: (run: () => void, ms: number) => clock.setTimeout(run, ms),
        clearTimeout: (timer: Timer | undefined) => clock.clearTimeout(timer),
      },
    })
    portsBySystem.set(actor.system, this.#ports)
    actor.subscribe({
      next: (snapshot) => this.#notice(snapshot),
      // pure actions do not throw; if one ever does, the link must not be held by nobody
      error: (error) => this.#fail({ code: 'engine-failed', detail: textOf(error) }),
    })
    return actor.start()
  }

  #notice(snapshot: Snapshot): void {
    if (snapshot === this.#latest) return
    this.#latest = snapshot
    const { context, value } = snapshot
    const state = leaseState(value)
    const since = state === this.#status.state && state !== 'standby' ? this.#status.since : this.#options.clock.wall()
    this.#show({
      id: this.id,
      state,
      since,
      ...this.#ownerIn(state),
      fault: context.fault,
      nextAt: this.#nextAt(state, context),
    })
  }

  #ownerIn(state: LeaseState): Pick<LeaseStatus, 'owner' | 'term'> {
    const { sight, tenure, options } = this.#ports
    if (isOwned(state)) return { owner: options.owner, term: tenure!.term }
    if (state !== 'standby') return { owner: null, term: null }
    const { owner = null, term = null } = sight?.record ?? {}
    return { owner, term }
  }

  #nextAt(state: LeaseState, context: LeaseContext): number | null {
    const wall = this.#options.clock.wall()
    if (state === 'backoff') return wall + storeDelay(context)
    if (state === 'aside') return wall + standAsideMs(this.#ports, context)
    return state === 'standby' ? wall + takeoverDelay(this.#ports) : null
  }

  #show(status: LeaseStatus): void {
    this.#status = status
    this.#status$.next(status)
    if (status.state !== 'stopped') return
    this.#status$.complete()
    this.#finish()
  }

  /** A chart that fails lets go: the others take over when its time has passed. */
  #fail(fault: Fault): void {
    this.#ports.tenure?.end(fault)
    this.#show({
      ...this.#status,
      state: 'stopped',
      since: this.#options.clock.wall(),
      owner: null,
      term: null,
      fault,
      nextAt: null,
    })
  }

  #order(event: LeaseEvent): void {
    if (this.#actor.getSnapshot().status === 'active') this.#actor.send(event)
  }

  get status(): LeaseStatus {
    return this.#status
  }

  get link(): L | undefined {
    return isOwned(this.#status.state) ? (this.#ports.link as L | undefined) : undefined
  }

  yield(): void {
    this.#order({ type: 'operator.yield' })
  }

  claim(): void {
    this.#order({ type: 'operator.claim' })
  }

  stop(): Promise<void> {
    this.#order({ type: 'operator.stop' })
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

interface Snapshot {
  readonly value: unknown
  readonly context: LeaseContext
}

const isOwned = (state: LeaseState): boolean => state === 'serving' || state === 'yielding' || state === 'closing'

const OPTIONS = [
  'store',
  'link',
  'owner',
  'ttlMs',
  'marginMs',
  'graceMs',
  'drainMs',
  'secret',
  'logger',
  'logLanguage',
  'clock',
] as const satisfies readonly (keyof LeaseOptions)[]

const STORE = ['read', 'replace', 'watch', 'close'] as const satisfies readonly (keyof LeaseStore)[]
const NAME_LENGTH_MAX = 128
const SECRET_LENGTH_MIN = 16
/** Clocks may differ by 2 % of a grant, and a process is late by some milliseconds. */
const MARGIN_LEAST = 0.05

const checkOptions = <L extends LinkToOwn>(id: unknown, options: LeaseOptions<L>): CheckedOptions => {
  if (typeof options !== 'object' || options === null) throw wrong('options', options, 'an object')
  refuseUnknown(options, OPTIONS, 'options of lease()')
  const { store, link, owner = `${hostname()}:${process.pid}`, secret, clock = realClock } = options
  if (typeof store !== 'object' || !store || !STORE.every((name) => typeof store[name] === 'function')) {
    throw wrong(
      'store',
      store,
      `natsLeaseStore(), etcdLeaseStore() or an object with the functions ${STORE.join(', ')}`,
    )
  }
  if (typeof link !== 'function') throw wrong('link', link, 'a function that makes the link')
  const ttlMs = checkWhole('ttlMs', options.ttlMs ?? leaseTimes.ttlMs, TTL_MIN_MS, TTL_MAX_MS)
  const marginMs = options.marginMs ?? Math.ceil(ttlMs / 5)
  return {
    id: checkName('id', id),
    store,
    link,
    owner: checkName('owner', owner),
    ttlMs,
    marginMs: checkWhole('marginMs', marginMs, Math.ceil(ttlMs * MARGIN_LEAST), Math.floor(ttlMs / 2)),
    graceMs: checkWhole('graceMs', options.graceMs ?? leaseTimes.graceMs, 0, TTL_MAX_MS),
    drainMs: checkWhole('drainMs', options.drainMs ?? 3_000, 0, TIMER_MAX_MS),
    secret: checkSecret(secret),
    ...checkTelling(options),
    clock: checkClock(clock),
  }
}

const checkName = (name: string, value: unknown): string => {
  // half a surrogate pair is no key for a store
  const isText = typeof value === 'string' && !/\p{Surrogate}/u.test(value)
  if (isText && value !== '' && value.length <= NAME_LENGTH_MAX) return value
  throw wrong(name, value, `well-formed text of 1 to ${NAME_LENGTH_MAX} characters`)
}

const checkSecret = (secret: string | Secret | undefined): string | undefined => {
  if (secret === undefined) return undefined
  const text: unknown = reveal(secret)
  if (typeof text === 'string' && text.length >= SECRET_LENGTH_MIN) return text
  throw new HoldfastError('bad-option', `lease(): secret must be a string of ${SECRET_LENGTH_MIN} characters at least.`)
}

const checkWhole = (name: string, value: unknown, min: number, max: number): number => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw wrong(name, value, `a whole number from ${min} to ${max}`)
}

const wrong = (name: string, got: unknown, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `lease(): ${name} is ${describe(got)}; it must be ${wants}.`)
