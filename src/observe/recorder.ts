/**
 * The one record of what a link did: log, terminal, page, trace and metrics all read it. Plain data without xstate in
 * its types, and without secrets: what comes in here has been scrubbed at the source.
 */
import type { Observable } from 'rxjs'
import type { Fault, FaultCode } from '../../machines/fault.ts'
import type { StateName } from '../../machines/link.ts'

export interface TransitionRecord {
  readonly link: string
  /** From 1; a gap in what is kept shows how many were dropped. */
  readonly seq: number
  /** Milliseconds since 1970, for people. */
  readonly at: number
  /** Milliseconds since the link was made, monotonic. */
  readonly elapsedMs: number
  readonly from: StateName
  /** The fact or order that moved it; for a deadline `after NAME`, for an activity that ended by itself `NAME ended`. */
  readonly event: string
  readonly to: StateName
  /** Why: the code of the fault, the reason of an invitation, or else the event. */
  readonly reason: FaultCode | (string & {})
  /** What exactly, in the words of the system or the peer. */
  readonly detail?: string
  /** The dial that this belongs to, counted from 1 since the link last proved itself. */
  readonly attempt: number
  /** Absent for the run whose state is the link's; set while a link moves from one transport to another. */
  readonly role?: 'successor' | 'predecessor'
  /** On entering backoff: how long until the next dial. */
  readonly delayMs?: number
}

export interface Recording {
  /** Oldest first. */
  readonly kept: readonly TransitionRecord[]
  /** How many were recorded in all; more than `kept.length` when old ones have been dropped. */
  readonly total: number
}

/** What has a record: a link. */
export interface Recorded {
  readonly recording: Recording
  readonly transitions$: Observable<TransitionRecord>
}

export const RECORDS_MAX = 256

/** A bounded ring of records. */
export class Recorder {
  readonly #max: number
  readonly #ring: TransitionRecord[] = []
  #total = 0

  constructor(max = RECORDS_MAX) {
    this.#max = max
  }

  /** Numbers the record and keeps it: the very object, as a copy would cost more than all else here. */
  add(record: Omit<TransitionRecord, 'seq'>): TransitionRecord {
    const full = Object.assign(record, { seq: this.#total + 1 })
    this.#ring[this.#total % this.#max] = full
    this.#total++
    return full
  }

  get recording(): Recording {
    const start = this.#total > this.#max ? this.#total % this.#max : 0
    return { kept: [...this.#ring.slice(start), ...this.#ring.slice(0, start)], total: this.#total }
  }
}

/** `xstate.after.connectDeadline.link.attached.connecting` -> `after connectDeadline` */
export const eventName = (type: string): string => {
  if (!type.startsWith('xstate.')) return type
  const [, kind, name] = /^xstate\.(after|done|error)\.(?:actor\.)?(\w+)/.exec(type) ?? []
  if (kind === undefined) return type
  if (kind === 'after') return `after ${name}`
  return kind === 'done' ? 'activity ended' : 'activity failed'
}

/** Why, in one word: what an invitation gave, the fault's code, or else the event itself. */
export const reasonOf = (event: object, name: string, state: StateName, fault: Fault | null): string => {
  if ('reason' in event) return String(event.reason)
  if ('fault' in event) return (event.fault as Fault).code
  const blamed = state === 'backoff' || state === 'parked'
  return blamed && fault ? fault.code : name
}
