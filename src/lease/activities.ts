/** The activities of a lease: what it says to the store, and to the link that it lets live. */
import { filter, Observable, switchMap } from 'rxjs'
import type { Fault } from '../../machines/fault.ts'
import { type LeaseEvent, takeoverMs } from '../../machines/lease.ts'
import { hintsOf } from '../awake.ts'
import type { Clock } from '../clock.ts'
import { textOf } from '../error.ts'
import type { Language } from '../explain.ts'
import type { HandOver } from '../hand-over.ts'
import type { Link } from '../link.ts'
import type { Logger } from '../outage/outage-log.ts'
import { scrubber } from '../secret.ts'
import { momentOf, OwnTenure, type Tenure } from '../tenure.ts'
import { type LeaseRecord, readRecord, writeRecord } from './record.ts'
import { seal, unseal } from './seal.ts'
import type { LeaseStore, StoredLease } from './store.ts'

/** The part of a link that a lease looks at. */
export type LinkToOwn = Pick<Link, 'id' | 'state$' | 'stop' | 'handOver'>

export interface CheckedOptions {
  readonly id: string
  readonly store: LeaseStore
  readonly link: (tenure: Tenure) => LinkToOwn
  readonly owner: string
  readonly ttlMs: number
  readonly marginMs: number
  readonly graceMs: number
  readonly drainMs: number
  readonly secret: string | undefined
  readonly logger: Logger | undefined
  readonly logLanguage: Language
  readonly clock: Clock
}

/** What the store said last, and when it said so for the first time. */
export interface Sight extends StoredLease {
  /** Null if it is none of ours. */
  readonly record: LeaseRecord | null
  readonly at: number
}

/** What the activities of one lease share. */
export interface Ports {
  readonly options: CheckedOptions
  /** This start of this process. */
  readonly session: string
  sight: Sight | undefined
  /** Of the record while it is ours. */
  revision: number
  tenure: OwnTenure | undefined
  link: LinkToOwn | undefined
  /** The record says that nobody has it, by our own hand. */
  isGiven: boolean
  /** The sealed hand-over of the owner before, from the claim until it is granted. */
  left: string | undefined
}

/** What one question to the store may take, of the time that a grant lasts. */
const ATTEMPTS = 5
/** A failed renewal is tried again after so many milliseconds, and up to twice that. */
const AGAIN_MS = 400
/** A record with more may be too big for the store: NATS takes 1 MiB, etcd 1.5. */
const SEALED_MAX = 700_000

const storeFailed = (error: unknown): Fault => ({ code: 'lease-store-failed', detail: scrubber([])(textOf(error)) })

export const warn = (text: string): void => process.emitWarning(scrubber([])(text), 'HoldfastWarning')

/** An activity that asks and tells one event; what goes wrong is the store's failure. */
const asking = (ask: (signal: AbortSignal) => Promise<LeaseEvent>): Observable<LeaseEvent> =>
  new Observable((subscriber) => {
    const abort = new AbortController()
    subscriber.add(() => abort.abort())
    ask(abort.signal).then(
      (event) => subscriber.next(event),
      (error) => subscriber.next({ type: 'store.failed', fault: storeFailed(error) }),
    )
  })

const see = (ports: Ports, stored: StoredLease | null): LeaseEvent => {
  const { clock } = ports.options
  // a store that was emptied counts from 1 again, so the number alone does not tell that it is the same record
  const { revision, value } = ports.sight ?? {}
  if (stored?.revision !== revision || stored?.value !== value) {
    ports.sight = stored ? { ...stored, record: readRecord(stored.value), at: clock.now() } : undefined
  }
  if (!ports.sight) return { type: 'lease.vacated' }
  const { record } = ports.sight
  // what a start before this one left, or a grant that came too late, nobody else may act upon either
  const isFree = record !== null && (record.owner === null || record.session === ports.session)
  return { type: isFree ? 'lease.vacated' : 'lease.found' }
}

export const look = (ports: Ports): Observable<LeaseEvent> => {
  const { id, store } = ports.options
  return asking(async (signal) => see(ports, await store.read(id, signal)))
}

/** A hint leads to a look. A store that fails here is met again by whoever has to ask it. */
export const watch = (ports: Ports): Observable<LeaseEvent> => {
  const { id, store } = ports.options
  return store.watch(id).pipe(
    switchMap(() => {
      const before = ports.sight
      return look(ports).pipe(filter(({ type }) => type !== 'store.failed' && ports.sight !== before))
    }),
  )
}

/** It is free, or it is the very record that was seen so long ago. */
const mayClaim = ({ sight, session, options: { clock, ttlMs, graceMs } }: Ports): boolean => {
  if (!sight) return true
  const { record, at } = sight
  if (record && (record.owner === null || record.session === session)) return true
  return clock.now() - at >= takeoverMs({ ttlMs: record?.ttlMs ?? ttlMs, graceMs })
}

export const claim = (ports: Ports): Observable<LeaseEvent> => {
  const { id, store, owner, ttlMs, marginMs, clock } = ports.options
  return asking(async (signal) => {
    // what was seen last may be older than the store, or, by a look that was called off, newer than the chart's timer
    if (ports.sight) see(ports, await store.read(id, signal))
    if (!mayClaim(ports)) return { type: 'lease.refused' }
    const { record, revision = null } = ports.sight ?? {}
    const asked = momentOf(clock)
    const term = (record?.term ?? 0) + 1
    // a claim whose answer was lost has taken what was left; the record that it wrote is our own
    if (record?.session !== ports.session) ports.left = record?.handOver
    const mine = { owner, session: ports.session, term, ttlMs, at: clock.wall() }
    const written = await store.replace(id, revision, writeRecord(mine), signal)
    if (written === null || signal.aborted) return { type: 'lease.refused' }
    ports.revision = written
    ports.isGiven = false
    const tenure = new OwnTenure({ id, term, handOver: open(ports) }, clock, ttlMs - marginMs, asked)
    ports.tenure = tenure
    if (tenure.holds()) return { type: 'lease.granted' }
    return { type: 'store.failed', fault: storeFailed('the answer took as long as the grant lasts') }
  })
}

/** What the owner before has left, once. */
const open = (ports: Ports): HandOver | undefined => {
  const { id, secret } = ports.options
  const { left } = ports
  ports.left = undefined
  if (left === undefined) return undefined
  try {
    if (secret === undefined) throw new Error('there is no option "secret"')
    return unseal(left, secret, id)
  } catch (error) {
    warn(`The hand-over of the lease "${id}" is not used, its link starts anew: ${textOf(error)}.`)
    return undefined
  }
}

/** The life of the link. Whoever leaves cuts it; one that has handed over is gone by then. */
export const beTenant = (ports: Ports): Observable<LeaseEvent> =>
  new Observable((subscriber) => {
    const tenure = ports.tenure!
    subscriber.add(() => tenure.end({ code: 'lease-expired' }))
    ports.link = undefined
    try {
      const link = checkLink(ports.options.link(tenure), tenure)
      ports.link = link
      const ended = () => {
        // one that was cut has not ended by itself
        if (tenure.leftMs > 0) subscriber.next({ type: 'link.ended' })
      }
      subscriber.add(link.state$.subscribe({ complete: ended }))
    } catch (error) {
      const fault = { code: 'link-failed', detail: scrubber([])(textOf(error)) } as const
      subscriber.next({ type: 'link.failed', fault })
    }
  })

const checkLink = (made: LinkToOwn, { isFollowed }: OwnTenure): LinkToOwn => {
  const isLink = typeof made?.state$?.subscribe === 'function' && typeof made.handOver === 'function'
  if (!isLink) throw new TypeError('the option "link" must be a function that returns what connect() or add() gave')
  if (isFollowed) return made
  // it would go on when another process has it
  void made.stop({ drainMs: 0 })
  throw new TypeError('the link does not know its lease: give connect() or add() the option { lease: tenure }')
}

/** Renews once: after a third of the grant, or at once when the machine was asleep. */
export const keep = (ports: Ports): Observable<LeaseEvent> =>
  new Observable((subscriber) => {
    const { clock, ttlMs, marginMs } = ports.options
    const abort = new AbortController()
    subscriber.add(() => abort.abort())
    const inMs = ((ttlMs - marginMs) / 3) * (0.9 + 0.2 * clock.random())
    const timer = clock.setTimeout(() => begin(), inMs)
    const hints = hintsOf(clock).subscribe(() => begin())
    const rest = () => {
      clock.clearTimeout(timer)
      hints.unsubscribe()
    }
    const begin = () => {
      rest()
      void renew(ports, abort.signal).then((type) => subscriber.next({ type }))
    }
    subscriber.add(rest)
  })

/** Until it is renewed or taken. Does not settle when it is called off. */
const renew = async (ports: Ports, signal: AbortSignal): Promise<'lease.renewed' | 'lease.taken'> => {
  const { clock } = ports.options
  let isInDoubt = false
  for (;;) {
    const asked = momentOf(clock)
    try {
      if (isInDoubt) await settleDoubt(ports, signal)
      const revision = await write(ports, recordOf(ports), signal)
      // a store that counts backwards has lost what it had
      if (revision === null || revision <= ports.revision) throw new Taken()
      ports.revision = revision
      ports.tenure?.renewed(asked)
      return 'lease.renewed'
    } catch (error) {
      if (error instanceof Taken) {
        ports.tenure?.end({ code: 'lease-taken' })
        return 'lease.taken'
      }
      isInDoubt = true
    }
    await pause(clock, AGAIN_MS * (1 + clock.random()), signal)
  }
}

class Taken extends Error {}

/** A renewal whose answer was lost may have been written: then its revision is ours. */
const settleDoubt = async (ports: Ports, signal: AbortSignal): Promise<void> => {
  const { id, store } = ports.options
  const stored = await inTime(ports, signal, (late) => store.read(id, late))
  const record = stored && readRecord(stored.value)
  if (record?.session !== ports.session || record.term !== ports.tenure?.term) throw new Taken()
  // a store may show an older one; that leads to a conflict and to another look
  ports.revision = Math.max(ports.revision, stored!.revision)
}

const recordOf = ({ session, tenure, options: { owner, ttlMs, clock } }: Ports): LeaseRecord => ({
  owner,
  session,
  term: tenure!.term,
  ttlMs,
  at: clock.wall(),
})

const write = (ports: Ports, record: LeaseRecord, signal: AbortSignal): Promise<number | null> => {
  const { id, store } = ports.options
  return inTime(ports, signal, (late) => store.replace(id, ports.revision, writeRecord(record), late))
}

/** Hands the link over and gives the record away. Completes also where that fails: the others wait for its end then. */
export const giveAway = (ports: Ports): Observable<never> =>
  new Observable((subscriber) => {
    const abort = new AbortController()
    subscriber.add(() => abort.abort())
    leave(ports, abort.signal)
      .catch((error) => warn(`The lease "${ports.options.id}" was not given away: ${textOf(error)}.`))
      .then(() => subscriber.complete())
  })

const leave = async (ports: Ports, signal: AbortSignal): Promise<void> => {
  const { tenure, link, options } = ports
  const drainMs = Math.min(options.drainMs, Math.floor(tenure!.leftMs / 2))
  const handOver = options.secret === undefined ? undefined : await link?.handOver({ drainMs })
  if (!handOver) await link?.stop({ drainMs })
  if (signal.aborted || !tenure!.holds()) return
  const free = { ...recordOf(ports), owner: null, session: null }
  const record = { ...free, ...(handOver && { handOver: sealed(handOver, options) }) }
  let written = await write(ports, record, signal)
  if (written === null) {
    // a renewal was under way
    await settleDoubt(ports, signal)
    written = await write(ports, record, signal)
  }
  ports.isGiven = written !== null
  tenure!.end({ code: 'lease-taken', detail: 'it was given away' })
}

const sealed = (handOver: HandOver, { id, secret }: CheckedOptions): string => {
  const all = seal(handOver, secret!, id)
  if (all.length <= SEALED_MAX) return all
  warn(`${handOver.outbox.length} messages of the lease "${id}" are too big to be handed over; the session alone is.`)
  return seal({ ...handOver, outbox: [] }, secret!, id)
}

const inTime = <T>(
  { options: { clock, ttlMs, marginMs } }: Pick<Ports, 'options'>,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const withinMs = (ttlMs - marginMs) / ATTEMPTS
  const late = new AbortController()
  return new Promise<T>((resolve, reject) => {
    const settle = () => {
      clock.clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
    }
    const giveUp = () => {
      settle()
      late.abort()
      reject(new Error(`no answer within ${Math.round(withinMs)} ms`))
    }
    const timer = clock.setTimeout(giveUp, withinMs)
    signal.addEventListener('abort', giveUp, { once: true })
    ask(late.signal).then(resolve, reject).finally(settle)
  })
}

/** Does not settle when it is called off. */
const pause = (clock: Clock, ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return
    const callOff = () => clock.clearTimeout(timer)
    const timer = clock.setTimeout(() => {
      signal.removeEventListener('abort', callOff)
      resolve()
    }, ms)
    signal.addEventListener('abort', callOff, { once: true })
  })
