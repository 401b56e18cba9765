/**
 * One run of the chart for a link: its actor, its activities, its seat at the governor. A link has one, and two for the
 * moment in which it moves: a successor that gets in, and a predecessor that drains.
 */
import type { Subscription } from 'rxjs'
import { nothingSpent, TIMER_MAX_MS } from '../machines/delay.ts'
import type { Fault } from '../machines/fault.ts'
import { type LinkContext, type LinkEvent, type StateName, stateName } from '../machines/link.ts'
import { type LinkPorts, makeActor, type RunPorts } from './activities.ts'
import { type Hint, hintsOf } from './awake.ts'
import { Choice, isGettingIn } from './choice.ts'
import { patient, type Timer } from './clock.ts'
import { governorOf, type Seat } from './governor.ts'
import type { EndpointBook } from './net/endpoints.ts'
import { forgetPaths } from './net/paths.ts'
import type { SessionView } from './session.ts'

/** One event and where it led. */
export interface Step {
  readonly event: { readonly type: string }
  readonly from: StateName
  readonly to: StateName
  readonly context: LinkContext
  /** In backoff: how long it lasts, in milliseconds. */
  readonly delayMs: number | undefined
  /** When `to` was entered, in milliseconds since 1970. */
  readonly since: number
}

export interface RunListener {
  stepped(run: Run, step: Step): void
  /** An event that the chart did not name. */
  ignored(): void
  /** The credentials of this run end soon. */
  expiring(): void
  /** The chart itself failed. It never should. */
  failed(run: Run, fault: Fault): void
}

/** Their deadlines blame nobody, so they need not wait again when they are late. */
const UNHURT: ReadonlySet<StateName> = new Set(['backoff', 'closing'])
/**
 * Whoever is turned away before the upgrade has cost no session start, so it comes back within half a minute of the peer's return
 * however long that was away (incident 2, statement 7; incident 4, statement 3): the cap of the chart is for those who got in.
 */
const TURNED_AWAY_MAX_MS = 28_000
/** So long before their end credentials are renewed, in milliseconds; with less than ten times that left, a tenth of it. */
const RENEW_BEFORE_MS = 60_000

export class Run {
  readonly ports: RunPorts
  readonly #link: LinkPorts
  readonly #listener: RunListener
  readonly #seat: Seat
  readonly #choice: Choice
  readonly #hints: Subscription
  #state: StateName = 'resolving'
  #delayMs = 0
  #latest: object | undefined
  #latestStep: Step | undefined
  #renewal: Timer | undefined
  #actor: ReturnType<typeof makeActor> | undefined

  constructor(link: LinkPorts, book: EndpointBook, session: SessionView, listener: RunListener) {
    const { clock } = link.options
    this.#link = link
    this.#listener = listener
    this.#choice = new Choice(book, () => this.ports.session, link.adapter.resumeHosts)
    this.#seat = governorOf(clock).join(() => this.order({ type: 'dial.invited', reason: 'endpoint-recovered' }))
    this.#hints = hintsOf(clock).subscribe((hint) => this.#hint(hint))
    this.#hints.add(
      link.adapter.arrivals$?.subscribe(() => this.order({ type: 'dial.invited', reason: 'peer-arrived' })),
    )
    this.ports = {
      link,
      session,
      choice: this.#choice,
      leaving: undefined,
      endpoint: undefined,
      conversation: undefined,
      wait: (fault, ownMs) => {
        this.#delayMs = this.#wait(fault, ownMs)
        return this.#delayMs
      },
    }
  }

  begin(): void {
    this.#actor = this.#start()
  }

  get hasBegun(): boolean {
    return this.#actor !== undefined
  }

  /** How long its successor waits, so that a herd that is told to move does not move at once. */
  get spreadMs(): number {
    return this.#seat.spreadMs()
  }

  get state(): StateName {
    return this.#state
  }

  /** Undefined until it has begun. */
  get latestStep(): Step | undefined {
    return this.#latestStep
  }

  /** Called while the chart enters backoff, so the state is still the one that it comes from. */
  #wait(fault: Fault | null, chartMs: number): number {
    const wasTold = (fault?.retryAfterMs ?? 0) > 0
    const wasTurnedAway = isGettingIn(this.#state) && !this.ports.conversation?.isOpen
    const ownMs = wasTurnedAway && !wasTold ? Math.min(chartMs, TURNED_AWAY_MAX_MS) : chartMs
    const nextMs = this.#choice.failed(fault, this.#state)
    // there is one that was not tried: neither the backoff nor the scouts of this one are about it
    if (nextMs !== undefined && !wasTold) return this.#seat.wait(undefined, fault, Math.min(ownMs, nextMs))
    this.#choice.startOver()
    return this.#seat.wait(this.#choice.key, fault, ownMs)
  }

  /** The machine slept, or its network changed: a reason to look, and no more. */
  #hint(hint: Hint): void {
    if (hint === 'network-changed') forgetPaths(this.#link.options.clock)
    this.ports.conversation?.pulse.doubted$.next()
    if (this.#state === 'backoff' && this.#seat.mayHurry()) this.order({ type: 'dial.invited', reason: hint })
  }

  #start(): ReturnType<typeof makeActor> {
    const { clock, id } = this.#link.options
    // two processes may run a link of the same name: their waits must not fall together
    const salt = Math.floor(clock.random() * 2 ** 32).toString(36)
    const options = {
      input: { id: `${id}~${salt}` },
      clock: patient(clock, () => !UNHURT.has(this.#state)),
    }
    const actor = makeActor(this.ports, options, (event, snapshot) => this.#notice(event, snapshot))
    // pure actions do not throw; if one ever does, the link must not die in silence
    actor.subscribe({ error: (error) => this.#fail({ code: 'engine-failed', detail: String(error) }) })
    actor.start()
    return actor
  }

  /** Every event comes past here with the snapshot that it led to. */
  #notice(event: { type: string }, snapshot: Snapshot): void {
    if (snapshot === this.#latest) {
      this.#listener.ignored()
      return
    }
    this.#latest = snapshot
    const from = this.#state
    const to = stateName(snapshot.value)
    this.#state = to
    if (to === 'registered') this.#choice.welcomed()
    if (to === 'registered') this.#renewInTime()
    if (hasLost(to)) this.#link.options.clock.clearTimeout(this.#renewal)
    if (to === 'stopped') this.#hints.unsubscribe()
    this.#seat.moved(to, this.#choice.key)
    const delayMs = to === 'backoff' ? this.#delayMs : undefined
    this.#step({ event, from, to, context: snapshot.context, delayMs })
  }

  #step(step: Omit<Step, 'since'>): void {
    const since = (step.from === step.to && this.#latestStep?.since) || this.#link.options.clock.wall()
    this.#latestStep = { ...step, since }
    this.#listener.stepped(this, this.#latestStep)
  }

  #renewInTime(): void {
    const { clock } = this.#link.options
    const { expiresAt } = this.ports.endpoint?.target ?? {}
    clock.clearTimeout(this.#renewal)
    if (expiresAt === undefined) return
    const leftMs = expiresAt - clock.wall()
    const inMs = leftMs - Math.min(RENEW_BEFORE_MS, leftMs / 10)
    if (!(inMs > 0)) return
    this.#renewal = clock.setTimeout(() => this.#listener.expiring(), Math.min(inMs, TIMER_MAX_MS))
  }

  #fail(fault: Fault): void {
    this.#state = 'parked'
    this.#listener.failed(this, fault)
  }

  order(event: LinkEvent): void {
    const { status } = this.#actor?.getSnapshot() ?? {}
    if (status === 'active') this.#actor?.send(event)
    // an actor that failed cannot be resumed, only made anew
    else if (status === 'error' && (event.type === 'operator.stop' || event.type === 'lease.lost')) this.#end(event)
    else if (status === 'error') this.begin()
  }

  #end(event: LinkEvent): void {
    this.#hints.unsubscribe()
    this.#seat.moved('stopped', undefined)
    const from = this.#state
    this.#state = 'stopped'
    const context: LinkContext = {
      id: this.#link.options.id,
      spent: nothingSpent,
      fault: 'fault' in event ? event.fault : null,
    }
    this.#step({ event, from, to: 'stopped', context, delayMs: undefined })
  }
}

/** The transport of a run is gone, and with it whatever was not proved. */
export const hasLost = (state: StateName): boolean => state === 'backoff' || state === 'parked' || state === 'stopped'

interface Snapshot {
  readonly value: unknown
  readonly context: LinkContext
}
