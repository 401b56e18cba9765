/** A host name to addresses. */
import { lookup as systemLookup } from 'node:dns'
import { isIP } from 'node:net'

export interface Address {
  readonly address: string
  readonly family: 4 | 6
}

/** Injectable for tests and for users with a resolver of their own. */
export type Lookup = (host: string) => Promise<Address[]>

/** getaddrinfo in the system's own order: it keeps /etc/hosts, nsswitch and the address selection of RFC 6724. */
export const lookupBySystem: Lookup = (host) =>
  new Promise((resolve, reject) => {
    systemLookup(host, { all: true, verbatim: true }, (error, found) => {
      if (error) reject(error)
      else resolve(found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })))
    })
  })

/** Addresses of the host of a URL, one at least; literals are not looked up. Rejects with the resolver's error. */
export const resolve = async (url: string, lookup: Lookup): Promise<Address[]> => {
  const host = hostOf(url)
  const family = isIP(host)
  if (family !== 0) return [{ address: host, family: family === 6 ? 6 : 4 }]
  const found = await lookup(host)
  // what c-ares says of a name that exists without an address
  if (found.length === 0) throw Object.assign(new Error(`${host} has no address`), { code: 'ENODATA' })
  return found
}

export const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '')

/** Whom the certificate has to name. An address is no name to ask for (RFC 6066, section 3), but it is checked all the same. */
export const identityOf = (url: string): { host: string; servername: string } => {
  const host = hostOf(url)
  return { host, servername: isIP(host) === 0 ? host : '' }
}

export const portOf = (url: string): number => {
  const { port, protocol } = new URL(url)
  return port === '' ? (protocol === 'wss:' ? 443 : 80) : Number(port)
}
