/** What health says: read from the links and services at the moment of the question, and nothing remembered. */
import type { FaultCode } from '../../machines/fault.ts'
import type { StateName } from '../../machines/link.ts'
import { sentence } from '../error.ts'
import type { Link } from '../link.ts'
import type { RunningService, ServiceState } from '../service.ts'

/** The part of a link that health looks at. */
export type LinkToCheck = Pick<Link, 'id' | 'status' | 'silentMs' | 'explain' | 'state$'>
export type ServiceToCheck = Pick<RunningService, 'name' | 'required' | 'links' | 'status'>

/** `silent`: live, and yet nothing was heard for too long. `absent`: there is no link of this name. */
export type Reason = FaultCode | 'silent' | 'absent'

/** Why something is not as it should be, and what comes next. */
export interface Why {
  /** Null where all is well, and where it is only on its way. */
  readonly reason: Reason | null
  /** The same in a sentence, empty without a reason. */
  readonly because: string
  readonly next: string
  /** Milliseconds until `next`, or null where nobody knows. */
  readonly inMs: number | null
}

export interface LinkHealth extends Why {
  readonly id: string
  readonly state: StateName | 'absent'
  /** Milliseconds since 1970; null for a link that is not there. */
  readonly since: number | null
  readonly attempt: number
  readonly required: boolean
  /** Live and fresh. */
  readonly ready: boolean
  /** How long nothing valid has come from the peer, in milliseconds; null where nobody has welcomed us. */
  readonly silentMs: number | null
  /** The services that depend on it and do not run. */
  readonly missing: readonly string[]
}

/** What the peer says of the account behind a link. */
export interface AccountHealth {
  readonly id: string
  /** Null while nobody knows, because the link is not live. */
  readonly ok: boolean | null
  readonly reason: FaultCode | null
}

export interface DependentHealth extends Why {
  readonly name: string
  readonly links: readonly string[]
  readonly state: ServiceState
  readonly since: number
  readonly attempt: number
  readonly required: boolean
  readonly ready: boolean
}

export interface ProcessHealth {
  /** Since when health has watched: milliseconds since 1970. */
  readonly since: number
  /** How often the process could not run for more than a second meanwhile, and when that was noticed last. */
  readonly stalls: number
  readonly stalledAt: number | null
}

/**
 * At the top what a reader in a hurry needs: the first thing that keeps it from being ready, or else the first link. Below
 * it the layers: this process, the connection of each link, the account behind it, and what depends on them.
 */
export interface HealthReport {
  readonly ready: boolean
  /** What `state` is about: the id of a link or the name of a service. */
  readonly of: string | null
  /** `live`, `backoff`, or `live(degraded: http)` while something that depends on the link is missing. */
  readonly state: string
  readonly since: number | null
  readonly reason: Reason | null
  readonly next: string
  /** When to ask again, in milliseconds from now; null where it is ready. */
  readonly retryAfterMs: number | null
  readonly at: number
  readonly process: ProcessHealth
  readonly connection: readonly LinkHealth[]
  readonly account: readonly AccountHealth[]
  readonly dependents: readonly DependentHealth[]
}

export interface Checked {
  readonly links: readonly LinkToCheck[]
  readonly services: readonly ServiceToCheck[]
  /** The ids of the links without which it is not ready; undefined: all that there are. */
  readonly required: readonly string[] | undefined
  readonly freshMs: number
  readonly process: ProcessHealth
  readonly now: number
}

/** On its way, and nobody knows for how long. */
const SOON_MS = 1_000
/** Waits for a person. */
const LATE_MS = 60_000

export const reportOn = (checked: Checked): HealthReport => {
  const { links, services, required, now, process } = checked
  const dependents = services.map((service) => dependentHealth(service, now))
  const missing = dependents.filter(({ ready }) => !ready)
  const absent = (required ?? []).filter((id) => !links.some((link) => link.id === id)).map(absentHealth)
  const connection = [...links.map((link) => linkHealth(link, checked, missing)), ...absent]
  const blocking = [...connection, ...missing].filter((each) => each.required && !each.ready)
  const ready = blocking.length === 0 && connection.length > 0
  return {
    ready,
    ...headline(connection, dependents),
    retryAfterMs: ready ? null : Math.max(SOON_MS, ...blocking.map(waitOf)),
    at: now,
    process,
    connection,
    account: links.map(accountHealth),
    dependents,
  }
}

type Headline = Pick<HealthReport, 'of' | 'state' | 'since' | 'reason' | 'next'>

const headline = (connection: readonly LinkHealth[], dependents: readonly DependentHealth[]): Headline => {
  const link = connection.find((each) => each.required && !each.ready)
  const dependent = dependents.find((each) => each.required && !each.ready)
  const first = connection.find(({ id }) => dependent?.links.includes(id)) ?? connection[0]
  if (link) return { of: link.id, ...briefly(link) }
  if (dependent) return { ...briefly(dependent), of: dependent.name, state: first ? stateOf(first) : dependent.state }
  if (first) return { of: first.id, ...briefly(first) }
  return { of: null, state: 'absent', since: null, reason: 'absent', next: 'a link has to be added' }
}

const briefly = (told: LinkHealth | DependentHealth): Omit<Headline, 'of'> => {
  const { since, reason, next } = told
  return { state: 'id' in told ? stateOf(told) : told.state, since, reason, next }
}

const stateOf = ({ state, missing }: LinkHealth): string =>
  missing.length === 0 || state !== 'live' ? state : `live(degraded: ${missing.join(', ')})`

const waitOf = ({ state, inMs }: LinkHealth | DependentHealth): number =>
  inMs ?? (state === 'parked' || state === 'stopped' || state === 'absent' ? LATE_MS : SOON_MS)

const linkHealth = (link: LinkToCheck, checked: Checked, missing: readonly DependentHealth[]): LinkHealth => {
  const { id, silentMs, status } = link
  const { state, since, attempt } = status
  const isFresh = silentMs !== null && silentMs <= checked.freshMs
  return {
    id,
    state,
    since,
    attempt,
    required: checked.required?.includes(id) ?? true,
    ready: state === 'live' && isFresh,
    silentMs: silentMs === null ? null : Math.round(silentMs),
    missing: missing.filter(({ links }) => links.includes(id)).map(({ name }) => name),
    ...(state === 'live' && !isFresh ? SILENT : whyOf(link)),
  }
}

const whyOf = (link: LinkToCheck): Why => {
  const { because, next, inMs } = link.explain({ language: 'en' })
  return { reason: because === '' ? null : (link.status.fault?.code ?? null), because, next, inMs }
}

const SILENT: Why = {
  reason: 'silent',
  because: 'nothing valid was heard from the peer for too long',
  next: 'the heartbeat decides: it is heard again, or dialed anew',
  inMs: null,
}

const absentHealth = (id: string): LinkHealth => ({
  id,
  state: 'absent',
  since: null,
  attempt: 0,
  required: true,
  ready: false,
  silentMs: null,
  missing: [],
  reason: 'absent',
  because: 'there is no link of this name',
  next: 'a link of this name has to be added',
  inMs: null,
})

const accountHealth = ({ id, status: { state, fault } }: LinkToCheck): AccountHealth => {
  const isImpaired = state === 'degraded.impaired'
  return {
    id,
    ok: isImpaired ? false : state === 'live' ? true : null,
    reason: isImpaired ? (fault?.code ?? null) : null,
  }
}

const NEXT: Record<ServiceState, string> = {
  waiting: 'it starts when the link is live',
  starting: 'it runs when its start answers, or is tried again',
  running: 'it runs until it is stopped',
  stopping: 'it waits for the link, or starts anew',
  withdrawing: 'it is tried again when the start that took too long is over',
  backoff: 'it is started again',
  closing: 'it stops',
  parked: 'nothing, until somebody calls restart()',
  stopped: 'nothing',
}

const dependentHealth = (service: ServiceToCheck, now: number): DependentHealth => {
  const { name, links, required } = service
  const { state, since, attempt, fault, nextAt } = service.status
  return {
    name,
    links,
    state,
    since,
    attempt,
    required,
    ready: state === 'running',
    reason: fault?.code ?? null,
    because: fault ? sentence(fault) : '',
    next: NEXT[state],
    inMs: nextAt === null ? null : Math.max(0, nextAt - now),
  }
}
