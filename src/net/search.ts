/** The search for the addresses of one name, shared by all who ask for it while it runs. */
import { isIP } from 'node:net'
import type { Clock, Timer } from '../clock.ts'
import { faultFrom } from '../error.ts'
import type { Address, AddressFeed, Lookup } from './resolve.ts'

/** Milliseconds without an answer after which IPv4 is asked for alone. */
const RESCUE_MS = 300
/** How long IPv4 waits for IPv6 when it comes first: RFC 8305, sections 3 and 8. */
const RESOLUTION_DELAY_MS = 50
/** Milliseconds without any answer after which addresses of the past are used: the rescue had its chance. */
const STALE_MS = RESCUE_MS + RESOLUTION_DELAY_MS
/** The longest that anybody waits for the first address. */
export const RESOLVE_MS = 5_000
/** More are a mistake or an attack. */
const ADDRESSES_MAX = 64

export interface Answer {
  readonly addresses: readonly Address[]
  /** By the monotonic clock. */
  readonly at: number
}

export interface LookupPorts {
  readonly host: string
  readonly lookup: Lookup
  readonly clock: Clock
  /** Runs a lookup now or when there is room; the returned function withdraws it, and says whether it could. */
  readonly run: (family: Family, job: () => Promise<void>) => () => boolean
  readonly lastGood: () => readonly Address[] | undefined
  readonly found: (addresses: readonly Address[]) => void
  readonly doubted: () => void
  readonly ended: () => void
}

/** `undefined` is both. */
type Family = 4 | 6 | undefined

interface Waiter {
  readonly resolve: (feed: AddressFeed) => void
  readonly reject: (error: Error) => void
}

export class Search implements AddressFeed {
  readonly #ports: LookupPorts
  readonly #startedAt: number
  readonly #waiters = new Set<Waiter>()
  readonly #listeners = new Set<() => void>()
  /** Lookups that have not settled, each with its way out of the queue. */
  readonly #asked = new Map<Family, () => boolean>()
  #known: readonly Address[] = []
  /** What lookups have answered, published or not. */
  #fresh: readonly Address[] = []
  /** Until when IPv4 waits for the rest. */
  #heldUntil: number | undefined
  #rescued: boolean
  #error: Error | undefined
  #timer: Timer | undefined
  staleBecause: Error | undefined
  isComplete = false

  constructor(ports: LookupPorts) {
    this.#ports = ports
    this.#startedAt = ports.clock.now()
    this.#rescued = ports.lookup.apart === true || ports.lookup.length < 2
  }

  get known(): readonly Address[] {
    return this.#known
  }

  get #ageMs(): number {
    return this.#ports.clock.now() - this.#startedAt
  }

  get isOverdue(): boolean {
    return this.#ageMs >= RESOLVE_MS
  }

  begin(): void {
    if (this.#ports.lookup.apart) {
      this.#ask(6)
      this.#ask(4)
    } else this.#ask(undefined)
  }

  /** Resolves with the first address; rejects with the lookup's error, or after 5 s. */
  first(signal?: AbortSignal): Promise<AddressFeed> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#ports.clock.clearTimeout(timer)
        signal?.removeEventListener('abort', leave)
        this.#waiters.delete(waiter)
        if (this.#waiters.size === 0) this.#rest()
        act()
      }
      const waiter: Waiter = {
        resolve: (feed) => settle(() => resolve(feed)),
        reject: (error) => settle(() => reject(error)),
      }
      const leave = () => waiter.reject(new Error(`nobody waits for ${this.#ports.host} any more`))
      const timer = this.#ports.clock.setTimeout(() => waiter.reject(this.#error ?? this.#silence()), RESOLVE_MS)
      signal?.addEventListener('abort', leave, { once: true })
      this.#waiters.add(waiter)
      if (this.isComplete) waiter.reject(this.#error ?? this.#silence())
      else if (signal?.aborted) leave()
      else this.#look()
    })
  }

  listen(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => this.#listeners.delete(changed)
  }

  doubt(): void {
    this.#ports.doubted()
  }

  #ask(family: Family): void {
    const { host, lookup } = this.#ports
    // the entry comes first: a lookup without a queue starts at once
    this.#asked.set(family, () => false)
    const job = async (): Promise<void> => {
      try {
        const found = await (family === undefined ? lookup(host) : lookup(host, family))
        this.#answered(family, listOf(host, found))
      } catch (error) {
        this.#failed(family, error instanceof Error ? error : new Error(String(error)))
      }
    }
    this.#asked.set(family, this.#ports.run(family, job))
  }

  #answered(family: Family, found: readonly Address[]): void {
    this.#asked.delete(family)
    const isPartial = family === 4 && this.#asked.size > 0
    // before anybody was told, the order of the whole answer counts; afterwards it can only be added to
    this.#fresh = isPartial ? union(this.#fresh, found) : union(found, this.#fresh)
    this.#ports.found(this.#fresh)
    if (isPartial && this.#known.length === 0) {
      this.#heldUntil = this.#ports.clock.now() + RESOLUTION_DELAY_MS
      this.#look()
    } else this.#publish()
    this.#endIfDone()
  }

  #failed(family: Family, error: Error): void {
    this.#asked.delete(family)
    const isTemporary = faultFrom(error, 'resolving').code !== 'name-not-found'
    if (family === undefined || this.#error === undefined || isTemporary) this.#error = error
    if (this.#fresh.length > 0 && this.#asked.size === 0) this.#publish()
    // some resolvers fail as a whole when only AAAA fails
    if (isTemporary && this.#waiters.size > 0) this.#rescue()
    if (isTemporary && this.#known.length === 0) this.#useStale(error)
    // that there is no such name is said of both families; that one of them has no address is not the end
    if (family === undefined && !isTemporary) this.#rejectAll(error)
    this.#endIfDone()
  }

  #endIfDone(): void {
    if (this.#asked.size > 0) return
    this.isComplete = true
    if (this.#known.length === 0) this.#rejectAll(this.#error ?? this.#silence())
    this.#ports.ended()
    this.#notify()
  }

  /** What is due by its age, and when to look again. Only those who wait keep a timer running. */
  readonly #look = (): void => {
    const { clock } = this.#ports
    clock.clearTimeout(this.#timer)
    if (this.#known.length > 0 || this.#waiters.size === 0) return
    if (this.#heldUntil !== undefined && clock.now() >= this.#heldUntil) {
      this.#publish()
      return
    }
    if (this.#ageMs >= RESCUE_MS) this.#rescue()
    if (this.#ageMs >= STALE_MS && this.#fresh.length === 0 && this.#useStale(this.#silence())) return
    const ages = [this.#rescued ? 0 : RESCUE_MS, STALE_MS].filter((ms) => ms > this.#ageMs)
    const waits = ages.map((ms) => ms - this.#ageMs)
    if (this.#heldUntil !== undefined) waits.push(this.#heldUntil - clock.now())
    if (waits.length > 0) this.#timer = clock.setTimeout(this.#look, Math.min(...waits))
  }

  #rescue(): void {
    if (this.#rescued) return
    this.#rescued = true
    this.#ask(4)
  }

  #useStale(because: Error): boolean {
    const addresses = this.#ports.lastGood()
    if (!addresses) return false
    this.staleBecause = because
    this.#tell(addresses)
    return true
  }

  #publish(): void {
    this.staleBecause = undefined
    this.#tell(union(this.#known, this.#fresh))
  }

  #tell(known: readonly Address[]): void {
    this.#known = known
    this.#ports.clock.clearTimeout(this.#timer)
    for (const waiter of this.#waiters) waiter.resolve(this)
    this.#notify()
  }

  #notify(): void {
    for (const changed of [...this.#listeners]) changed()
  }

  #rejectAll(error: Error): void {
    for (const waiter of this.#waiters) waiter.reject(error)
  }

  /** Nobody waits: no timer runs on, and what waits in the queue gives up its place. */
  #rest(): void {
    this.#ports.clock.clearTimeout(this.#timer)
    if (this.#known.length > 0) return
    for (const [family, withdraw] of this.#asked) {
      if (withdraw()) this.#asked.delete(family)
    }
    if (this.#asked.size > 0 || this.isComplete) return
    this.isComplete = true
    this.#ports.ended()
  }

  #silence(): Error {
    const message = `no answer for ${this.#ports.host} within ${Math.round(this.#ageMs)} ms`
    return Object.assign(new Error(message), { code: 'ETIMEOUT', syscall: 'lookup' })
  }
}

/** Without repeats, in the order of their first mention. */
const union = (first: readonly Address[], second: readonly Address[]): readonly Address[] =>
  [...new Map([...first, ...second].map((each) => [each.address, each])).values()].slice(0, ADDRESSES_MAX)

/** A lookup may be plain JavaScript. What is no address stays in the list: the dialer puts it on record as such. */
const listOf = (host: string, found: unknown): readonly Address[] => {
  if (!Array.isArray(found)) throw coded(`the lookup of ${host} gave no list of addresses`, 'EBADRESP')
  const list = found.map((each: unknown): Address => {
    const { address } = (typeof each === 'object' && each !== null ? each : { address: each }) as { address?: unknown }
    return { address: String(address), family: isIP(String(address)) === 6 ? 6 : 4 }
  })
  // what c-ares says of a name that exists without an address
  if (list.length === 0) throw coded(`${host} has no address`, 'ENODATA')
  return list
}

const coded = (message: string, code: string): Error => Object.assign(new Error(message), { code })
