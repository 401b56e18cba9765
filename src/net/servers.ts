/** Names by DNS servers of one's own: an opt-in, because c-ares knows neither /etc/hosts nor nsswitch nor mDNS. */
import { promises, type ResolverOptions } from 'node:dns'
import { type Address, type Lookup, lookupBySystem } from './resolve.ts'

/** Each retry discards the answer to the one before, so a slow server needs few that are long. */
const OPTIONS: ResolverOptions = { timeout: 2_500, tries: 2 }
const LISTS_MAX = 64

/** Links that ask the same servers share their answers. */
const lookups = new Map<string, Lookup>()

/**
 * A lookup that asks these servers (`1.1.1.1`, `[2606:4700::1111]:53`) for A and AAAA apart. Throws if one is no address.
 * Names below localhost never leave this machine: RFC 6761, section 6.3.
 */
export const lookupByServers = (servers: readonly string[]): Lookup => {
  const key = servers.join()
  const known = lookups.get(key)
  if (known) return known
  const resolver = new promises.Resolver(OPTIONS)
  resolver.setServers(servers)
  const ask = async (host: string, family?: 4 | 6): Promise<readonly Address[]> => {
    if (/(^|\.)localhost\.?$/i.test(host)) return lookupBySystem(host, family)
    if (family === undefined) return (await Promise.all([ask(host, 6), ask(host, 4)])).flat()
    const found = await (family === 6 ? resolver.resolve6(host) : resolver.resolve4(host))
    return found.map((address) => ({ address, family }))
  }
  const lookup: Lookup = Object.assign(ask, { apart: true as const })
  lookups.set(key, lookup)
  if (lookups.size > LISTS_MAX) lookups.delete(lookups.keys().next().value!)
  return lookup
}
