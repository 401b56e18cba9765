/**
 * One running service: starts the chart of machines/service.ts with its activities, and obeys it. What is started here is
 * somebody else's: it may throw, hang, or answer when nobody asks any more, and harms nothing but itself.
 */
import { BehaviorSubject, filter, from, ignoreElements, map, Observable, ReplaySubject, type Subscription } from 'rxjs'
import { type Actor, createActor, fromEventObservable } from 'xstate'
import { TIMER_MAX_MS } from '../machines/delay.ts'
import type { Fault } from '../machines/fault.ts'
import {
  RETRIES_MAX,
  type ServiceContext,
  type ServiceEvent,
  type ServiceState,
  serviceDeadlines,
  serviceMachine,
  serviceState,
  startDelay,
  type WhenLost,
} from '../machines/service.ts'
import { describe, refuseUnknown } from './adapter/adapter.ts'
import { type Clock, patient, realClock } from './clock.ts'
import { HoldfastError, isHoldfastError, textOf } from './error.ts'
import { guarded } from './guarded.ts'
import type { Link } from './link.ts'
import { checkClock } from './options.ts'
import { scrubber } from './secret.ts'
import { Instance, type Start, type Stop } from './service/instance.ts'
import { type Readiness, readinessOf } from './service/readiness.ts'

export type { ServiceState, WhenLost } from '../machines/service.ts'

/** The part of a link that a service looks at. */
export type LinkToDependOn = Pick<Link, 'id' | 'state$'>

export interface ServiceOptions {
  /** What health calls it when it is missing, such as `http`. */
  readonly name: string
  /**
   * Starts it. Resolves when it runs, to nothing, to a function that stops it, or to `{ stop, ended }`, where the promise
   * `ended` settles when it is over by itself and nothing is left to stop: then it is started again. Whatever it throws is
   * a reason to start it again, later. The signal fires when it is not wanted any more: its start took too long, or it is
   * about to be stopped. What a start gives after that is stopped at once.
   */
  readonly start: Start
  /** Stops it, where `start` gives nothing to do so. */
  readonly stop?: Stop
  /** So long the link must have been live, in milliseconds. Default 0: with `whenLost: 'stop'` some seconds spare it a link that comes and goes. */
  readonly stableMs?: number
  /**
   * What becomes of it when the link is lost. `keep`, the default: it stays up, as an HTTP server should that then says
   * 503. `stop`: it is stopped, and started again once with each comeback. A heartbeat in doubt is no loss yet.
   */
  readonly whenLost?: WhenLost
  /** So many failures in a row are followed by another start, 0 to 36; then it is parked until `restart()`. Default: all. */
  readonly retriesMax?: number
  /** How long `start` may take, in milliseconds. Default 30,000. */
  readonly startMs?: number
  /** How long it may take to stop, in milliseconds. Default 5,000. */
  readonly stopMs?: number
  /** Whether health says 503 while it does not run. Default true. */
  readonly required?: boolean
  /** Time and dice. Default: the real ones. */
  readonly clock?: Clock
}

/** What a service shows of itself. Plain data. */
export interface ServiceStatus {
  readonly name: string
  readonly state: ServiceState
  /** Since when it is in this state: milliseconds since 1970. */
  readonly since: number
  /** The start that this is, counted from 1 since it last ran for 2 min. */
  readonly attempt: number
  /** What went wrong last, or null; null while it runs. */
  readonly fault: Fault | null
  /** In backoff: when it is tried again, in milliseconds since 1970. Otherwise null. */
  readonly nextAt: number | null
}

/** One thing that depends on one link or several. */
export interface RunningService extends AsyncDisposable {
  readonly name: string
  readonly required: boolean
  /** The ids of the links that it depends on. */
  readonly links: readonly string[]
  readonly status: ServiceStatus
  /** The status, replayed to new subscribers. Completes when the service has stopped; never errors. */
  readonly state$: Observable<ServiceStatus>
  /** Stops what runs and starts it anew; where it waits for its next try or is parked, it is tried now. */
  restart(): void
  /** Stops it for good. Resolves when it has stopped, or has not within `stopMs`. */
  stop(): Promise<void>
}

/**
 * Runs something for as long as it is wanted while a link, or each of several, is live: `start` is called once when the link
 * has been live for `stableMs`, however it got there, and again only if it failed, ended or was stopped. Ends with the
 * link: when that has stopped, what depends on it is stopped too. Throws HoldfastError `bad-option` for a wrong option.
 */
export const service = (links: LinkToDependOn | Iterable<LinkToDependOn>, options: ServiceOptions): RunningService =>
  new Running(checkLinks(links), checkOptions(options))

type Options = ReturnType<typeof checkOptions>

/** What the activities of one service share. */
interface Ports {
  readonly options: Options
  readonly readiness$: BehaviorSubject<Readiness>
  /** The latest that was started. */
  instance: Instance | undefined
}

const portsBySystem = new WeakMap<object, Ports>()

const portsOf = (system: object): Ports => {
  const ports = portsBySystem.get(system)
  if (!ports) throw new Error('this machine was started outside of a service')
  return ports
}

const watchLink = ({ readiness$ }: Ports): Observable<ServiceEvent> =>
  readiness$.pipe(
    filter((readiness) => readiness === 'ready'),
    map(() => ({ type: 'link.ready' })),
  )

const failure = (error: unknown): Fault => {
  const retryAfterMs = isHoldfastError(error) ? error.fault?.retryAfterMs : undefined
  const detail = scrubber([])(textOf(error))
  return { code: 'service-failed', detail, ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

const beInstance = (ports: Ports): Observable<ServiceEvent> =>
  new Observable((subscriber) => {
    const { start, stop, name } = ports.options
    const stopFailed = (error: unknown) => warn(`The service "${name}" could not be stopped well: ${textOf(error)}`)
    const instance = new Instance(start, stop, stopFailed)
    ports.instance = instance
    const end = (fault: Fault) => subscriber.next({ type: 'service.ended', fault })
    instance.begun.then(
      ({ ended }) => {
        subscriber.next({ type: 'service.started' })
        ended?.then(
          () => end({ code: 'service-failed', detail: 'it ended by itself' }),
          (error) => end(failure(error)),
        )
      },
      (error) => subscriber.next({ type: 'service.failed', fault: failure(error) }),
    )
    subscriber.add(
      ports.readiness$.subscribe((readiness) => {
        if (readiness === 'lost') subscriber.next({ type: 'link.lost' })
      }),
    )
    subscriber.add(() => instance.release())
  })

const stopInstance = ({ instance }: Ports): Observable<never> =>
  from(instance?.stop() ?? Promise.resolve()).pipe(ignoreElements())

const warn = (text: string): void => process.emitWarning(scrubber([])(text), 'HoldfastWarning')

const activity = (run: (ports: Ports) => Observable<ServiceEvent>) =>
  fromEventObservable<ServiceEvent, { id: string }>(({ system }) => run(portsOf(system)))

/** The chart with its activities: one object for every service of the process. */
const boundMachine = serviceMachine.provide({
  actors: { link: activity(watchLink), instance: activity(beInstance), stopper: activity(stopInstance) },
  delays: {
    startDeadline: ({ system }: { system: object }) => portsOf(system).options.startMs,
    stopDeadline: ({ system }: { system: object }) => portsOf(system).options.stopMs,
  },
})

class Running implements RunningService {
  readonly name: string
  readonly required: boolean
  readonly links: readonly string[]
  readonly state$: Observable<ServiceStatus>
  readonly #options: Options
  readonly #ports: Ports
  readonly #status$ = new ReplaySubject<ServiceStatus>(1)
  readonly #stopped: Promise<void>
  #finish: () => void = () => undefined
  readonly #watch: Subscription
  #actor: Actor<typeof boundMachine>
  #latest: object | undefined
  #status: ServiceStatus

  constructor(links: readonly LinkToDependOn[], options: Options) {
    const { name, required, stableMs, clock } = options
    this.name = name
    this.required = required
    this.links = links.map(({ id }) => id)
    this.#options = options
    this.#ports = { options, readiness$: new BehaviorSubject<Readiness>('lost'), instance: undefined }
    this.state$ = guarded(this.#status$, (error) => warn(`A listener of the service "${name}" threw ${textOf(error)}.`))
    this.#stopped = new Promise((resolve) => {
      this.#finish = resolve
    })
    this.#status = { name, state: 'waiting', since: clock.wall(), attempt: 1, fault: null, nextAt: null }
    this.#status$.next(this.#status)
    this.#actor = this.#begin()
    this.#watch = readinessOf(links, stableMs, clock).subscribe((readiness) => {
      this.#ports.readiness$.next(readiness)
      if (readiness === 'stopped') this.#order({ type: 'link.stopped' })
    })
    if (this.#status.state === 'stopped') this.#watch.unsubscribe()
  }

  #begin(): Actor<typeof boundMachine> {
    const { clock, name, whenLost, retriesMax } = this.#options
    // services of one name run in many processes: they must not be tried in step
    const salt = Math.floor(clock.random() * 2 ** 32).toString(36)
    const actor = createActor(boundMachine, {
      input: { id: `${name}~${salt}`, whenLost, retriesMax },
      clock: patient(clock, () => this.#status.state === 'starting'),
    })
    portsBySystem.set(actor.system, this.#ports)
    // pure actions do not throw; if one ever does, it must not look as if it ran
    actor.subscribe({
      next: (snapshot) => this.#notice(snapshot),
      error: (error) => this.#fail({ code: 'engine-failed', detail: textOf(error) }),
    })
    return actor.start()
  }

  #notice(snapshot: Snapshot): void {
    if (snapshot === this.#latest) return
    this.#latest = snapshot
    const { context, value } = snapshot
    const state = serviceState(value)
    const since = state === this.#status.state ? this.#status.since : this.#options.clock.wall()
    const nextAt = state === 'backoff' ? since + startDelay(context) : null
    this.#show({ name: this.name, state, since, attempt: context.failed + 1, fault: context.fault, nextAt })
  }

  #show(status: ServiceStatus): void {
    this.#status = status
    this.#status$.next(status)
    if (status.state !== 'stopped') return
    this.#watch?.unsubscribe()
    this.#status$.complete()
    this.#finish()
  }

  #fail(fault: Fault): void {
    void this.#ports.instance?.stop()
    this.#show({ ...this.#status, state: 'parked', since: this.#options.clock.wall(), fault, nextAt: null })
  }

  #order(event: ServiceEvent): void {
    const { status } = this.#actor.getSnapshot()
    if (status === 'active') this.#actor.send(event)
    // an actor that failed can only be made anew
    else if (status === 'error' && event.type === 'operator.restart') this.#actor = this.#begin()
    else if (status === 'error') this.#show({ ...this.#status, state: 'stopped', since: this.#options.clock.wall() })
  }

  get status(): ServiceStatus {
    return this.#status
  }

  restart(): void {
    this.#order({ type: 'operator.restart' })
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
  readonly context: ServiceContext
}

const isLink = (value: unknown): value is LinkToDependOn => {
  const { id, state$ } = (value ?? {}) as Partial<LinkToDependOn>
  return typeof id === 'string' && typeof state$?.subscribe === 'function'
}

const checkLinks = (links: unknown): readonly LinkToDependOn[] => {
  if (isLink(links)) return [links]
  const isList = typeof links === 'object' && links !== null && Symbol.iterator in links
  const all = isList ? [...(links as Iterable<unknown>)] : []
  if (all.length > 0 && all.every(isLink)) return all
  throw wrong('links', links, 'a link, or a list of links with at least one')
}

const OPTIONS = [
  'name',
  'start',
  'stop',
  'stableMs',
  'whenLost',
  'retriesMax',
  'startMs',
  'stopMs',
  'required',
  'clock',
] as const satisfies readonly (keyof ServiceOptions)[]

const NAME_LENGTH_MAX = 128

const checkOptions = (options: ServiceOptions) => {
  if (typeof options !== 'object' || options === null) throw wrong('options', options, 'an object')
  refuseUnknown(options, OPTIONS, 'options of service()')
  const { name, start, stop, stableMs = 0, whenLost = 'keep', required = true } = options
  const { retriesMax, startMs = serviceDeadlines.startDeadline, stopMs = serviceDeadlines.stopDeadline } = options
  if (typeof name !== 'string' || name === '' || name.length > NAME_LENGTH_MAX) {
    throw wrong('name', name, `a string of 1 to ${NAME_LENGTH_MAX} characters`)
  }
  if (typeof start !== 'function') throw wrong('start', start, 'a function')
  if (stop !== undefined && typeof stop !== 'function') throw wrong('stop', stop, 'a function')
  if (whenLost !== 'keep' && whenLost !== 'stop') throw wrong('whenLost', whenLost, '"keep" or "stop"')
  if (typeof required !== 'boolean') throw wrong('required', required, 'true or false')
  return {
    name: scrubber([])(name),
    start,
    stop,
    whenLost,
    required,
    retriesMax: retriesMax === undefined ? null : checkWhole('retriesMax', retriesMax, 0, RETRIES_MAX),
    stableMs: checkWhole('stableMs', stableMs, 0, TIMER_MAX_MS),
    startMs: checkWhole('startMs', startMs, 1, TIMER_MAX_MS),
    stopMs: checkWhole('stopMs', stopMs, 1, TIMER_MAX_MS),
    clock: checkClock(options.clock ?? realClock),
  }
}

const checkWhole = (name: string, value: unknown, min: number, max: number): number => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw wrong(name, value, `a whole number from ${min} to ${max}`)
}

const wrong = (name: string, got: unknown, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `service(): ${name} is ${describe(got)}; it must be ${wants}.`)
