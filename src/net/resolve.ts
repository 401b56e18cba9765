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

/** Addresses of the host of a URL; literals are not looked up. Rejects with the resolver's error. */
export const resolve = async (url: string, lookup: Lookup): Promise<Address[]> => {
  const host = hostOf(url)
  const family = isIP(host)
  return family === 0 ? lookup(host) : [{ address: host, family: family === 6 ? 6 : 4 }]
}

export const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '')

export const portOf = (url: string): number => {
  const { port, protocol } = new URL(url)
  return port === '' ? (protocol === 'wss:' ? 443 : 80) : Number(port)
}
