/**
 * Outages: from when a link leaves live, or fails to get there, until it is live again. This watches the status of a link
 * and nothing else; whatever it finds changes nothing for the link.
 */
import { type Observable, Subject } from 'rxjs'
import type { Fault, FaultCode } from '../../machines/fault.ts'
import type { StateName } from '../../machines/link.ts'
import type { Clock } from '../clock.ts'
import type { LinkStatus } from '../explain.ts'
import { scrubber } from '../secret.ts'

/** Plain data, as it was when it was given. */
export interface Outage {
  readonly link: string
  /** Since when the link has not been live: when it left live or, before it ever was, began. Milliseconds since 1970. */
  readonly since: number
  /** How long it has lasted, in milliseconds. */
  readonly durationMs: number
  /** The fault that it began with, and the newest. */
  readonly cause: Fault
  readonly latest: Fault
  /** How many faults there were in it, by their codes. */
  readonly faults: Readonly<Partial<Record<FaultCode, number>>>
  /** How often the link has set out to dial. */
  readonly attempts: number
  /** How it ended; null while it lasts. A person who holds or stops the link ends it too. */
  readonly end: 'recovered' | 'held' | 'stopped' | null
}

export interface OutageNotice {
  readonly kind: 'began' | 'fault' | 'ended'
  readonly outage: Outage
}

interface Absence {
  readonly since: number
  readonly startedAt: number
  attempts: number
  /** Both are undefined until the first fault: until then it may be a false alarm, or a start. */
  cause: Fault | undefined
  latest: Fault | undefined
  readonly faults: Map<FaultCode, number>
}

/** What a link is in when something has just gone wrong. A suspect may still turn out to be well. */
const FAILED: ReadonlySet<StateName> = new Set(['backoff', 'parked', 'degraded.impaired'])

export class OutageWatch {
  readonly #id: string
  readonly #clock: Clock
  readonly #notices$ = new Subject<OutageNotice>()
  /** Undefined while the link is live. */
  #absence: Absence | undefined

  constructor(id: string, clock: Clock, status$: Observable<LinkStatus>) {
    this.#id = id
    this.#clock = clock
    status$.subscribe({ next: (status) => this.#notice(status), complete: () => this.#notices$.complete() })
  }

  /** Its beginning, each further fault, and its end. Completes with the link. */
  get notices$(): Observable<OutageNotice> {
    return this.#notices$.asObservable()
  }

  /** The outage that the link is in, or null. */
  get present(): Outage | null {
    const absence = this.#absence
    return absence?.cause ? this.#shown(absence, null) : null
  }

  #notice({ state, since, fault }: LinkStatus): void {
    if (state === 'live') this.#end('recovered')
    else if (state === 'closing' || state === 'stopped') this.#end('stopped')
    else if (state === 'parked' && fault?.code === 'held') this.#end('held')
    else {
      this.#absence ??= this.#begin(since)
      if (state === 'resolving') this.#absence.attempts++
      if (FAILED.has(state)) this.#fault(this.#absence, fault ?? { code: 'unknown' })
    }
  }

  #begin(since: number): Absence {
    const startedAt = this.#clock.now()
    return { since, startedAt, attempts: 0, cause: undefined, latest: undefined, faults: new Map() }
  }

  #fault(absence: Absence, raw: Fault): void {
    const fault = raw.detail === undefined ? raw : { ...raw, detail: printable(raw.detail) }
    const kind = absence.cause ? 'fault' : 'began'
    absence.cause ??= fault
    absence.latest = fault
    absence.faults.set(fault.code, (absence.faults.get(fault.code) ?? 0) + 1)
    this.#notices$.next({ kind, outage: this.#shown(absence, null) })
  }

  #end(end: Outage['end']): void {
    const absence = this.#absence
    this.#absence = undefined
    if (absence?.cause) this.#notices$.next({ kind: 'ended', outage: this.#shown(absence, end) })
  }

  #shown({ since, startedAt, cause, latest, faults, attempts }: Absence, end: Outage['end']): Outage {
    return {
      link: this.#id,
      since,
      durationMs: this.#clock.now() - startedAt,
      cause: cause!,
      latest: latest!,
      faults: Object.fromEntries(faults),
      attempts,
      end,
    }
  }
}

/** A detail is in the words of the system or of the peer: it must not begin a line of its own. */
const printable = scrubber([])
