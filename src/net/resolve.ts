/**
 * A host name to addresses, for all links of a process together. What it does that `dns.lookup` does not:
 * - links that ask for the same name share one answer, and keep it for 30 s
 * - when the whole answer lags, IPv4 alone is asked for beside it: an AAAA query that nobody answers costs 15 s otherwise
 * - what comes late joins the dial that is already running
 * - when the DNS fails for a while, the last good addresses are used
 */
import { lookup as systemLookup } from 'node:dns'
import { isIP } from 'node:net'
import type { Clock } from '../clock.ts'
import { type Answer, type LookupPorts, Search } from './search.ts'

export interface Address {
  readonly address: string
  readonly family: 4 | 6
}

/**
 * Injectable for tests and for users with a resolver of their own. Rejects with the resolver's error. One that takes a
 * second parameter is asked for IPv4 alone when the whole answer lags.
 */
export interface Lookup {
  (host: string, family?: 4 | 6): Promise<readonly Address[]>
  /** Set where the families shall be asked for apart and at the same time: it takes no place in Node's thread pool. */
  readonly apart?: true
}

/** Addresses that grow while they are dialed. */
export interface AddressFeed {
  /** What is known by now, in the resolver's order. Nothing is ever taken away. */
  readonly known: readonly Address[]
  /** No more will come. */
  readonly isComplete: boolean
  /** Set while these are addresses of the past: why the lookup could not confirm them. */
  readonly staleBecause: Error | undefined
  /** Calls after each change, until the returned function is called. */
  listen(changed: () => void): () => void
  /** They led nowhere: whoever asks next is not given them from the cache. */
  doubt(): void
}

/** A feed that is complete from the start. */
export const feedOf = (known: readonly Address[], doubt: () => void = () => undefined): AddressFeed => ({
  known,
  isComplete: true,
  staleBecause: undefined,
  listen: () => () => undefined,
  doubt,
})

/** getaddrinfo in the system's own order: it keeps /etc/hosts, nsswitch and the address selection of RFC 6724. */
export const lookupBySystem: Lookup = (host, family?: 4 | 6) =>
  new Promise((resolve, reject) => {
    systemLookup(host, { all: true, verbatim: true, ...(family && { family }) }, (error, found) => {
      if (error) reject(error)
      else resolve(found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })))
    })
  })

/** Milliseconds: getaddrinfo tells no TTL, so answers are fresh for a time that fits most. */
const FRESH_MS = 30_000
const GOOD_MS = 24 * 3_600_000
/** Names that are remembered at the same time, for each way of asking. */
const HOSTS_MAX = 256

export interface SearchOptions {
  /** Default: the system's. */
  readonly lookup?: Lookup
  readonly signal?: AbortSignal
}

interface Host {
  /** The last good answer. */
  good: (Answer & { readonly epoch: number; isDoubted: boolean }) | undefined
  search: Search | undefined
}

/** One for a process, one for each test: `resolverOf(clock)`. */
export class Resolver {
  readonly #clock: Clock
  readonly #system: Lookup
  readonly #hosts = new WeakMap<Lookup, Map<string, Host>>()
  /** Lookups of the system cannot be called off, and Node runs two at a time for the whole process: ours queue here. */
  readonly #lanes = { whole: new Lane(), rescue: new Lane() }
  #epoch = 0

  constructor(clock: Clock, system: Lookup = lookupBySystem) {
    this.#clock = clock
    this.#system = system
  }

  /**
   * Addresses of a host, one at least; literals are not looked up. More may join the feed later.
   * Rejects with the lookup's error, with code ENODATA if the name has no address, and with ETIMEOUT after 5 s.
   */
  async find(host: string, { lookup = this.#system, signal }: SearchOptions = {}): Promise<AddressFeed> {
    const family = isIP(host)
    if (family !== 0) return feedOf([{ address: host, family: family === 6 ? 6 : 4 }])
    const entry = this.#entry(host, lookup)
    // one that has found something may still find more
    if (entry.search && entry.search.known.length > 0) return entry.search
    const { good } = entry
    if (good && this.#isFresh(good)) {
      return feedOf(good.addresses, () => {
        good.isDoubted = true
      })
    }
    // the system always answers in the end; a lookup of somebody else's may have lost the question
    if (lookup !== this.#system && entry.search?.isOverdue) entry.search = undefined
    entry.search ??= this.#begin(host, lookup, entry)
    return entry.search.first(signal)
  }

  /** After a change of network: what was found before is a last resort, and is asked for anew. */
  forget(): void {
    this.#epoch++
  }

  #isFresh({ at, epoch, isDoubted }: NonNullable<Host['good']>): boolean {
    return !isDoubted && epoch === this.#epoch && this.#clock.now() - at <= FRESH_MS
  }

  #entry(host: string, lookup: Lookup): Host {
    const hosts = this.#hosts.get(lookup) ?? new Map<string, Host>()
    this.#hosts.set(lookup, hosts)
    const entry = hosts.get(host) ?? { good: undefined, search: undefined }
    hosts.delete(host)
    hosts.set(host, entry)
    if (hosts.size > HOSTS_MAX) hosts.delete(hosts.keys().next().value!)
    return entry
  }

  #begin(host: string, lookup: Lookup, entry: Host): Search {
    const lanes = lookup === this.#system ? this.#lanes : undefined
    const ports: LookupPorts = {
      host,
      lookup,
      clock: this.#clock,
      run: (family, job) => (lanes ? (family === 4 ? lanes.rescue : lanes.whole).enter(job) : start(job)),
      lastGood: () => (entry.good && this.#clock.now() - entry.good.at <= GOOD_MS ? entry.good.addresses : undefined),
      found: (addresses) => {
        entry.good = { addresses, at: this.#clock.now(), epoch: this.#epoch, isDoubted: false }
      },
      doubted: () => {
        if (entry.good) entry.good.isDoubted = true
      },
      ended: () => {
        if (entry.search === search) entry.search = undefined
      },
    }
    const search = new Search(ports)
    search.begin()
    return search
  }
}

const resolvers = new WeakMap<Clock, Resolver>()

/** The resolver of all links that live by the same clock. */
export const resolverOf = (clock: Clock): Resolver => {
  const resolver = resolvers.get(clock) ?? new Resolver(clock)
  resolvers.set(clock, resolver)
  return resolver
}

type Job = () => Promise<void>

const start = (job: Job): (() => boolean) => {
  void job()
  return () => false
}

/** One job at a time, first come, first served. Jobs do not reject. */
class Lane {
  readonly #waiting: Job[] = []
  #isBusy = false

  /** The returned function takes the job out of the queue, and says whether it was still there. */
  enter(job: Job): () => boolean {
    this.#waiting.push(job)
    this.#next()
    return () => {
      const index = this.#waiting.indexOf(job)
      if (index >= 0) this.#waiting.splice(index, 1)
      return index >= 0
    }
  }

  #next(): void {
    const job = this.#isBusy ? undefined : this.#waiting.shift()
    if (!job) return
    this.#isBusy = true
    void job().then(() => {
      this.#isBusy = false
      this.#next()
    })
  }
}

export const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '')

/** Whom the certificate has to name. An address is no name to ask for (RFC 6066, section 3), but it is checked all the same. */
export const identityOf = (url: string): { host: string; servername: string } => {
  const host = hostOf(url)
  return { host, servername: isIP(host) === 0 ? host : '' }
}

/** Whether a URL asks for TLS. */
export const isSecure = (url: string): boolean => /^(?:wss|https|tls):$/.test(new URL(url).protocol)

/** `tcp://` and `tls://` have no port of their own: their targets are checked to name one. */
export const portOf = (url: string): number => {
  const { port } = new URL(url)
  return port === '' ? (isSecure(url) ? 443 : 80) : Number(port)
}
