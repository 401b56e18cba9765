/**
 * Who may come in. A page of somebody else's in the same browser can send requests here, and a name of somebody else's can
 * point here (DNS rebinding); so the name that the browser used and the page that it came from must both be ours. That
 * alone is no proof of anything, which is what the token is for.
 */
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { describe } from '../../adapter/adapter.ts'
import { HoldfastError } from '../../error.ts'

export interface Gate {
  /** The request names us, in the only form that browsers use. */
  admits(request: IncomingMessage): boolean
  /** And a page of ours sent it. */
  admitsStream(request: IncomingMessage): boolean
}

/** `host` is what is listened to; `allowedHosts` are names beside it, as browsers write them. */
export const gate = (host: string, allowedHosts: readonly string[]): Gate => {
  const names = new Set(['localhost', '127.0.0.1', '[::1]', ...(ANY.has(host) ? [] : [bracketed(host)])])
  /** Browsers leave out the port that the scheme stands for. */
  const isOwn = (name: string, port: number, usual: number) =>
    [...names].some((each) => name === `${each}:${port}` || (port === usual && name === each))

  const admits = (request: IncomingMessage): boolean => {
    const name = onlyHeader(request, 'host')
    if (name === undefined || !/^\/(?!\/)/.test(request.url ?? '')) return false
    const { localPort = 0 } = request.socket
    return isOwn(name, localPort, isEncrypted(request) ? 443 : 80) || allowedHosts.includes(name)
  }
  const admitsStream = (request: IncomingMessage): boolean => {
    if (!admits(request)) return false
    const name = request.headers.host!
    // a name that was allowed may belong to a proxy that speaks TLS for us
    const schemes = allowedHosts.includes(name) ? ['http', 'https'] : [isEncrypted(request) ? 'https' : 'http']
    const origin = onlyHeader(request, 'origin')
    return schemes.some((scheme) => origin === `${scheme}://${name}`)
  }
  return { admits, admitsStream }
}

/** Addresses that mean all addresses are no name. */
const ANY: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

export const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

/** Node keeps the first of two and drops the second; what stands in front of us may have looked at the other. */
const onlyHeader = ({ rawHeaders, headers }: IncomingMessage, name: 'host' | 'origin'): string | undefined => {
  const count = rawHeaders.filter((each, index) => index % 2 === 0 && each.toLowerCase() === name).length
  return count === 1 ? headers[name] : undefined
}

const isEncrypted = ({ socket }: IncomingMessage): boolean => (socket as Partial<TLSSocket>).encrypted === true

const HOST = /^([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:\d{1,5})?$/

/** Throws HoldfastError `bad-option`. */
export const checkHosts = (hosts: unknown): readonly string[] => {
  if (hosts === undefined) return []
  const stranger = Array.isArray(hosts) ? hosts.find((host) => typeof host !== 'string' || !HOST.test(host)) : hosts
  if (Array.isArray(hosts) && stranger === undefined) return hosts
  throw new HoldfastError(
    'bad-option',
    `allowedHosts has ${describe(stranger)}; it must be a list of hosts as the browser shows them, in small letters, with the port if there is one: "bots.example:8443".`,
  )
}
