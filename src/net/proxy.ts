/**
 * Proxies: which one a URL goes through, and the tunnel through it as a layer of an attempt. The name of the peer is
 * resolved by the proxy, which sees networks that we do not.
 */
import { request } from 'node:http'
import { BlockList, isIP, type Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import { faultFromStatus } from '../error.ts'
import { decodePercent } from '../secret.ts'
import type { Done, Layer } from './attempt.ts'
import { hostOf, isSecure, portOf } from './resolve.ts'

export interface ProxyServer {
  readonly kind: 'http' | 'https' | 'socks5'
  readonly host: string
  readonly port: number
  /** As it may be shown: `10.0.0.1:3128`. */
  readonly name: string
  /** As it was given; user and password are in it. */
  readonly url: string
  readonly user: string
  readonly password: string
}

const KINDS: Record<string, ProxyServer['kind']> = {
  'http:': 'http',
  'https:': 'https',
  'socks:': 'socks5',
  'socks5:': 'socks5',
  'socks5h:': 'socks5',
}
const PORTS: Record<ProxyServer['kind'], number> = { http: 80, https: 443, socks5: 1080 }

/** Undefined where it is no URL of a proxy that we can use. A text without a scheme is an HTTP proxy, as in curl. */
export const parseProxy = (text: string): ProxyServer | undefined => {
  const url = /^[a-z][\w+.-]*:\/\//i.test(text) ? text : `http://${text}`
  if (!URL.canParse(url)) return undefined
  const { protocol, port, username, password, hostname } = new URL(url)
  const kind = KINDS[protocol]
  if (!kind || hostname === '') return undefined
  const host = hostOf(url)
  const at = port === '' ? PORTS[kind] : Number(port)
  const name = `${hostname}:${at}`
  return { kind, host, port: at, name, url, user: decodePercent(username), password: decodePercent(password) }
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The proxy for a URL, if it goes through one. An option decides alone; without it the environment does: HTTPS_PROXY for
 * wss, HTTP_PROXY for ws, else ALL_PROXY (of tcp and tls it alone), in lower case first, and never for loopback or what
 * NO_PROXY names.
 * Throws if the environment names a proxy that cannot be used.
 */
export const proxyFor = (
  url: string,
  option: string | false | undefined,
  environment: Environment = process.env,
): ProxyServer | undefined => {
  if (option === false) return undefined
  if (option !== undefined) return parseProxy(option)
  const read = (name: string) => environment[name.toLowerCase()] || environment[name] || undefined
  const scheme = isSecure(url) ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const variable = read(scheme) && !/^(?:tcp|tls):/.test(url) ? scheme : 'ALL_PROXY'
  const text = read(variable)
  if (text === undefined || isLoopback(hostOf(url)) || isExcepted(url, read('NO_PROXY') ?? '')) return undefined
  const proxy = parseProxy(text)
  // not repeated: there may be a password in it
  if (!proxy) throw new Error(`the environment variable ${variable} is not the URL of an HTTP, HTTPS or SOCKS5 proxy`)
  return proxy
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const familyOf = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

const isLoopback = (host: string): boolean =>
  isIP(host) === 0 ? /(^|\.)localhost\.?$/i.test(host) : loopback.check(host, familyOf(host))

/** `example.org` and `.example.org` mean the name and all below it, `*` all; also addresses, `10.0.0.0/8`, `host:port`. */
const isExcepted = (url: string, list: string): boolean => {
  const host = hostOf(url).toLowerCase().replace(/\.$/, '')
  const port = String(portOf(url))
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '' || entry === '*') return entry === '*'
      const [, name, only] = /^(.*?)(?::(\d+))?$/.exec(isIP(entry) === 0 ? entry : `[${entry}]`)!
      if (only !== undefined && only !== port) return false
      const bare = name!.replace(/^\[|\]$/g, '').replace(/^\*?\./, '')
      return host === bare || host.endsWith(`.${bare}`) || isWithin(host, bare)
    })
}

const isWithin = (host: string, subnet: string): boolean => {
  const [base = '', bits = ''] = subnet.split('/')
  if (isIP(host) === 0 || isIP(base) !== isIP(host) || !/^\d{1,3}$/.test(bits)) return false
  if (Number(bits) > (isIP(base) === 6 ? 128 : 32)) return false
  const list = new BlockList()
  list.addSubnet(base, Number(bits), familyOf(base))
  return list.check(host, familyOf(host))
}

interface TunnelOptions {
  readonly proxy: ProxyServer
  /** Where the tunnel ends. */
  readonly to: { readonly host: string; readonly port: number }
  readonly clock: Clock
  /** Absolute, in milliseconds. */
  readonly withinMs: number
}

/** Asks the proxy for a tunnel. What it refuses is named with the proxy's own reason. */
export const tunnelLayer = ({ proxy, to, clock, withinMs }: TunnelOptions): Layer => ({
  step: 'proxy',
  withinMs,
  take: (socket, done) => {
    if (proxy.kind === 'socks5') void throughSocks(proxy, to, socket, withinMs, done)
    else throughHttp(proxy, to, socket, clock, done)
    return undefined
  },
})

/** CONNECT, RFC 9110, section 9.3.6. */
const throughHttp = (proxy: ProxyServer, to: TunnelOptions['to'], socket: Socket, clock: Clock, done: Done): void => {
  const authority = `${isIP(to.host) === 6 ? `[${to.host}]` : to.host}:${to.port}`
  const basic = Buffer.from(`${proxy.user}:${proxy.password}`).toString('base64')
  const asking = request({
    method: 'CONNECT',
    path: authority,
    setHost: false,
    headers: {
      Host: authority,
      ...((proxy.user || proxy.password) && { 'Proxy-Authorization': `Basic ${basic}` }),
    },
    createConnection: () => socket,
  })
  asking.once('error', done)
  asking.once('connect', ({ statusCode = 0, headers }, _socket, head: Buffer) => {
    if (statusCode >= 200 && statusCode < 300) {
      if (head.length > 0) socket.unshift(head)
      return done(undefined, socket)
    }
    const fault = faultFromStatus(statusCode, headers['retry-after'], clock.wall())
    const message = `CONNECT was answered with HTTP ${statusCode}`
    done(Object.assign(new Error(message), { code: `PROXY_${statusCode}`, fault }))
  })
  asking.end()
}

const throughSocks = async (
  { host, port, user, password }: ProxyServer,
  to: TunnelOptions['to'],
  socket: Socket,
  withinMs: number,
  done: Done,
): Promise<void> => {
  try {
    const { SocksClient } = await loadSocks()
    await SocksClient.createConnection({
      command: 'connect',
      destination: to,
      existing_socket: socket,
      proxy: { host, port, type: 5, ...((user || password) && { userId: user, password }) },
      // its own timer is idle time: the layer's deadline comes first
      timeout: 2 * withinMs,
    })
    done(undefined, socket)
  } catch (error) {
    done(socksError(error))
  }
}

const INSTALL = 'a SOCKS5 proxy needs the package "socks": npm install socks'

const loadSocks = async (): Promise<typeof import('socks')> => {
  try {
    return await import('socks')
  } catch (cause) {
    const fault = { code: 'provider-failed', detail: INSTALL } as const
    throw Object.assign(new Error(INSTALL, { cause }), { code: 'SOCKS_MISSING', fault })
  }
}

/** Replies of RFC 1928, section 6, in the package's words. */
const REPLIES = [
  [/Authentication/i, 'upgrade-unauthorized'],
  [/NotAllowed/, 'upgrade-forbidden'],
  [/NetworkUnreachable|HostUnreachable/, 'unreachable'],
  [/ConnectionRefused/, 'refused'],
  [/TTLExpired|timed out/, 'connect-timeout'],
  [/Socket closed/, 'dropped'],
] as const

/** A new error: the package's own carries the password. */
const socksError = (error: unknown): Error => {
  const { message, fault } = error as Error & { fault?: object }
  if (fault) return error as Error
  const code = REPLIES.find(([words]) => words.test(message))?.[1] ?? 'peer-unavailable'
  return Object.assign(new Error(message), { code: 'SOCKS_REFUSED', fault: { code, detail: message } })
}
