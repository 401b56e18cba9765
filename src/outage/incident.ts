/**
 * Outages of many links that are told as one: from the line that tells of them until the last of these links is back.
 * A link that is put on hold, stopped or parked meanwhile is not waited for.
 */
import type { Fault, FaultCode } from '../../machines/fault.ts'
import type { LinkStatus } from '../explain.ts'
import type { Outage } from './outage.ts'

/** A link, as much of it as is told. */
export interface Member {
  readonly id: string
  readonly status: LinkStatus
  readonly outage: Outage | null
}

export const isParked = ({ status }: Member): boolean => status.state === 'parked'

/** An incident as it is told. */
export interface ShownIncident {
  readonly isParked: boolean
  /** How many links are or were in it. */
  readonly total: number
  /** The ids of those that are not back. */
  readonly out: readonly string[]
  /** What most of them began with; its detail only if it was the same for all of these. */
  readonly cause: Fault
  /** How many links began with which fault, and how many faults there were in all. */
  readonly causes: Outage['faults']
  readonly faults: Outage['faults']
  readonly durationMs: number
  /** How long the link was out that was out longest. */
  readonly longestMs: number
  readonly ends: Readonly<Record<NonNullable<Outage['end']>, number>>
}

type Counts = Map<FaultCode, number>

export class Incident {
  readonly isParked: boolean
  readonly toldAt: number
  readonly #startedAt: number
  readonly #out = new Map<string, Member>()
  readonly #causes = new Map<FaultCode, { count: number; fault: Fault }>()
  readonly #ends = { recovered: 0, held: 0, stopped: 0 }
  /** The faults of those that are not in it any more. */
  readonly #past: Counts = new Map()
  #total = 0
  #longestMs = 0

  constructor(isParked: boolean, startedAt: number, toldAt: number) {
    this.isParked = isParked
    this.toldAt = toldAt
    this.#startedAt = startedAt
  }

  get isOver(): boolean {
    return this.#out.size === 0
  }

  get total(): number {
    return this.#total
  }

  /** The only link that was ever in it, while it is out. */
  get single(): Member | undefined {
    const [first] = this.#out.values()
    return this.#total === 1 ? first : undefined
  }

  get codes(): FaultCode[] {
    return [...this.#causes.keys()]
  }

  has(id: string): boolean {
    return this.#out.has(id)
  }

  add(member: Member, outage: Outage): void {
    const fault = this.isParked ? outage.latest : outage.cause
    const known = this.#causes.get(fault.code)
    const isSame = known?.fault.detail === fault.detail
    this.#causes.set(fault.code, {
      count: (known?.count ?? 0) + 1,
      fault: !known || isSame ? fault : { code: fault.code },
    })
    this.#out.set(member.id, member)
    this.#total++
  }

  /** Without `end` it has become part of another incident. */
  remove(id: string, { durationMs, faults }: Outage, end?: Outage['end']): void {
    this.#out.delete(id)
    if (end) this.#ends[end]++
    this.#longestMs = Math.max(this.#longestMs, durationMs)
    count(this.#past, faults)
  }

  shown(now: number): ShownIncident {
    const causes = [...this.#causes.values()].sort((a, b) => b.count - a.count)
    const faults = new Map(this.#past)
    let longestMs = this.#longestMs
    for (const { outage } of this.#out.values()) {
      if (!outage) continue
      count(faults, outage.faults)
      longestMs = Math.max(longestMs, outage.durationMs)
    }
    return {
      isParked: this.isParked,
      total: this.#total,
      out: [...this.#out.keys()],
      cause: causes[0]!.fault,
      causes: Object.fromEntries(causes.map(({ fault, count }) => [fault.code, count])),
      faults: Object.fromEntries(faults),
      durationMs: now - this.#startedAt,
      longestMs,
      ends: this.#ends,
    }
  }
}

const count = (counts: Counts, more: Outage['faults']): void => {
  for (const [code, times] of Object.entries(more) as [FaultCode, number][]) {
    counts.set(code, (counts.get(code) ?? 0) + times)
  }
}
