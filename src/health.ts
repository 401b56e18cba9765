/**
 * Health that tells the truth: whether this process lives, and whether its links do. It asks the links at the moment of the
 * question; a state that says live counts only while the peer is heard (incident 4).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import { forkJoin, last, type Observable, takeUntil } from 'rxjs'
import { describe, refuseUnknown } from './adapter/adapter.ts'
import { type Hint, hintsOf } from './awake.ts'
import { type Clock, realClock } from './clock.ts'
import { HoldfastError } from './error.ts'
import type { Fleet } from './fleet.ts'
import { answerTo, type Probe, probeAt } from './health/answer.ts'
import {
  type HealthReport,
  type LinkToCheck,
  type ProcessHealth,
  reportOn,
  type ServiceToCheck,
} from './health/report.ts'
import { checkClock, checkNumber } from './options.ts'

export type * from './health/report.ts'

export interface HealthOptions {
  /** A fleet, whose links come and go, or a list of links. */
  readonly links: Iterable<LinkToCheck> & Partial<Pick<Fleet, 'changes$'>>
  /** What `service()` gave. Default: none. */
  readonly services?: Iterable<ServiceToCheck>
  /** The ids of the links without which it is not ready; one that is not there counts as not live. Default: all that there are. */
  readonly required?: readonly string[]
  /**
   * A live link must have heard its peer within so many milliseconds. Default 15,000: by its defaults the heartbeat leaves
   * `live` after 11 s of silence. Raise it with `heartbeat.quietMs`.
   */
  readonly freshMs?: number
  /** Time. Default: the real one. */
  readonly clock?: Clock
}

export interface HealthServer extends AsyncDisposable {
  /** Where it listens, without a path. */
  readonly url: string
  close(): Promise<void>
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

export interface Health {
  check(): HealthReport
  /** For a path of your own: 200 as long as this process can answer, whatever the peers do. */
  readonly livez: Handler
  /** For a path of your own: 200 if each required link is live and fresh and each required service runs, otherwise 503. */
  readonly readyz: Handler
  /** Both, at `/livez` and `/readyz`, for node:http and what is made for it. */
  readonly handler: Handler
  /** Both, for servers that speak `fetch`: `Request` to `Response`. */
  readonly fetch: (request: Request) => Response
  /**
   * A server of its own. It does not keep the process alive. `port` 0 lets the system choose; `host` is 127.0.0.1 unless
   * given. Rejects with the system's error if it cannot listen.
   */
  listen(where: { readonly port: number; readonly host?: string }): Promise<HealthServer>
}

const FRESH_MS = 15_000
const FRESH_MAX_MS = 86_400_000

/** Throws HoldfastError `bad-option` for a wrong option. */
export const health = (options: HealthOptions): Health => {
  const { links, services, required, freshMs, clock } = checkOptions(options)
  const processHealth = watchProcess(hintsOf(clock), endOf(links), clock)
  const check = (): HealthReport =>
    reportOn({
      links: [...links],
      services: [...services],
      required,
      freshMs,
      process: processHealth(),
      now: clock.wall(),
    })

  const serve = (probe: Probe | undefined, { method }: IncomingMessage, response: ServerResponse): void => {
    const { status, headers, body } = answerTo(method, probe, check)
    response.writeHead(status, headers)
    response.end(method === 'HEAD' ? undefined : body)
  }
  const handler: Handler = (request, response) => serve(probeAt(request.url ?? ''), request, response)
  return {
    check,
    livez: (request, response) => serve('livez', request, response),
    readyz: (request, response) => serve('readyz', request, response),
    handler,
    fetch: ({ method, url }) => {
      const { status, headers, body } = answerTo(method, probeAt(url), check)
      return new Response(method === 'HEAD' ? null : body, { status, headers })
    },
    listen: async (where) => running(await listen(checkWhere(where), handler)),
  }
}

/** While a link lives, a timer of all links looks whether the process could run; there is no other for this. */
export const watchProcess = (
  hints$: Observable<Hint>,
  end$: Observable<unknown>,
  clock: Clock,
): (() => ProcessHealth) => {
  const since = clock.wall()
  let stalls = 0
  let stalledAt: number | null = null
  hints$.pipe(takeUntil(end$)).subscribe((hint) => {
    if (hint !== 'awoke') return
    stalls++
    stalledAt = clock.wall()
  })
  return () => ({ since, stalls, stalledAt })
}

/** The fleet, or the last of the links, has stopped. */
const endOf = (links: HealthOptions['links']): Observable<unknown> => {
  const lives$: Observable<unknown> = links.changes$ ?? forkJoin([...links].map(({ state$ }) => state$))
  return lives$.pipe(last(undefined, null))
}

const listen = ({ port, host }: { port: number; host: string }, handler: Handler): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer(handler)
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject).on('error', () => undefined)
      server.unref()
      resolve(server)
    })
  })

const running = (server: Server): HealthServer => {
  const { address, port } = server.address() as AddressInfo
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const host = address.includes(':') ? `[${address}]` : address
  return { url: `http://${host}:${port}`, close, [Symbol.asyncDispose]: close }
}

const checkWhere = (where: { readonly port: number; readonly host?: string }) => {
  if (typeof where !== 'object' || where === null) throw wrong('where', where, 'an object such as { port: 8081 }')
  refuseUnknown(where, ['port', 'host'], 'options of listen()')
  const { port, host = '127.0.0.1' } = where
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535)) throw wrong('port', port, 'a port, or 0 for any')
  if (typeof host !== 'string' || (isIP(host) === 0 && host !== 'localhost')) throw wrong('host', host, 'an IP address')
  return { port, host }
}

const OPTIONS = [
  'links',
  'services',
  'required',
  'freshMs',
  'clock',
] as const satisfies readonly (keyof HealthOptions)[]

const isIterable = (value: unknown): boolean => typeof value === 'object' && value !== null && Symbol.iterator in value

const checkOptions = (options: HealthOptions) => {
  if (typeof options !== 'object' || options === null) throw wrong('options', options, 'an object such as { links }')
  refuseUnknown(options, OPTIONS, 'options of health()')
  const { links, services = [], required, freshMs = FRESH_MS } = options
  if (!isIterable(links)) throw wrong('links', links, 'a fleet, or a list of links')
  if (!isIterable(services)) throw wrong('services', services, 'a list of what service() gave')
  const areIds = Array.isArray(required) && required.every((id) => typeof id === 'string' && id !== '')
  if (required !== undefined && !areIds) throw wrong('required', required, 'a list of ids of links')
  return {
    links,
    services,
    required,
    freshMs: checkNumber('freshMs', freshMs, FRESH_MAX_MS),
    clock: checkClock(options.clock ?? realClock),
  }
}

const wrong = (name: string, got: unknown, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `health(): ${name} is ${describe(got)}; it must be ${wants}.`)
