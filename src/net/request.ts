/** HTTP beside a link, on undici, over sockets that our own dialer opened. */
import type { Socket } from 'node:net'
import { Agent, type Dispatcher } from 'undici'
import type { HttpOutgoing, Target } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'
import { faultFrom, textOf } from '../error.ts'
import type { Scrub } from '../secret.ts'
import { dial } from './dial.ts'
import { proxyFor } from './proxy.ts'
import { type Lookup, resolverOf } from './resolve.ts'
import { routeTo } from './route.ts'

/**
 * Shorter than any server's own, by a round trip: a request that is written into a socket which the server has just
 * closed is lost, and nobody can tell whether it had an effect. Enough for calls that follow one another.
 */
export const KEEP_ALIVE_MS = 500
const ANSWER_BYTES_MAX = 16 * 1024 * 1024

export interface Http {
  /** Rejects with an error whose `delivered` says whether the request can have had an effect. */
  request(outgoing: HttpOutgoing, signal: AbortSignal, scrub: Scrub): Promise<unknown>
  /** An answer as it comes. Rejects with whatever the raw error was; see `faultFrom`. */
  stream(call: HttpOutgoing['http'], signal: AbortSignal): Promise<StreamedAnswer>
  close(): void
}

export interface StreamedAnswer {
  readonly status: number
  /** Errors if the connection is lost, or if it brings nothing for 30 s. */
  readonly body: AsyncIterable<Uint8Array>
}

/** So long a stream may be silent. */
const SILENCE_MS = 30_000

/** `delivered` is `refused` when the peer certainly did nothing, else `uncertain`. */
type Failed = (delivered: 'refused' | 'uncertain', message: string) => Error

export interface HttpOptions {
  readonly clock: Clock
  readonly lookup?: Lookup
  readonly proxy?: string | false | undefined
  readonly tls?: Target['tls']
}

export const http = (options: HttpOptions, failed: Failed): Http => {
  let agent: Agent | undefined
  const undo = new Set<() => void>()
  const connect = connector(options, undo)
  const open = (): Agent => new Agent({ keepAliveTimeout: KEEP_ALIVE_MS, maxResponseSize: ANSWER_BYTES_MAX, connect })
  return {
    request: async ({ http: call, read }, signal, scrub) => {
      agent ??= open()
      const { status, body } = await whole(begin(agent, call, { signal })).catch((error) => {
        const fault = faultFrom(error, 'upgrading')
        throw failed(neverLeft(error) ? 'refused' : 'uncertain', scrub(fault.detail ?? fault.code))
      })
      try {
        return read(status, body)
      } catch (error) {
        throw failed(
          mayHaveActed.has(status) ? 'uncertain' : 'refused',
          scrub(error instanceof Error ? error.message : textOf(error)),
        )
      }
    },
    stream: (call, signal) => {
      agent ??= open()
      return begin(agent, call, { signal, bodyTimeout: SILENCE_MS })
    },
    close: () => {
      for (const end of undo) end()
      agent?.destroy().catch(() => undefined)
      agent = undefined
    },
  }
}

/** RFC 9110, section 15.6: the server broke on it, or a gateway lost the one that had it. 503 and all 4xx are refusals. */
const mayHaveActed: ReadonlySet<number> = new Set([500, 502, 504])

interface Begun {
  readonly status: number
  readonly body: Dispatcher.ResponseData['body']
}

const begin = async (
  agent: Agent,
  { url, method, ...call }: HttpOutgoing['http'],
  more: Pick<Dispatcher.RequestOptions, 'signal' | 'bodyTimeout'>,
): Promise<Begun> => {
  const { origin, pathname, search } = new URL(url)
  const where = { origin, path: `${pathname}${search}`, method: method as Dispatcher.HttpMethod }
  const { statusCode, body } = await agent.request({ ...call, ...where, ...more })
  return { status: statusCode, body }
}

const whole = async (begun: Promise<Begun>): Promise<{ status: number; body: string }> => {
  const { status, body } = await begun
  return { status, body: await body.text() }
}

/** What failed before there was a socket. The code of an error cannot tell: a way may be gone after the request was written. */
const dialFailures = new WeakSet<Error>()

const neverLeft = (error: unknown): boolean =>
  error instanceof Error && (dialFailures.has(error) || (error.cause !== undefined && neverLeft(error.cause)))

type Connector = (options: { protocol: string; hostname: string; port: string }, tell: Connected) => void
type Connected = (...result: [null, Socket] | [Error, null]) => void

/**
 * Opens sockets for undici: the same race as for a link, through TLS and proxies, with its deadlines. Undici cannot take
 * back what it asked for: `undo` has the way to end each that is under way.
 */
const connector =
  ({ clock, lookup, proxy, tls }: HttpOptions, undo: Set<() => void>): Connector =>
  ({ protocol, hostname, port }, tell) => {
    const abort = new AbortController()
    let cancel: () => void = () => undefined
    const settle: Connected = (...result) => {
      if (!undo.delete(end)) return
      if (result[0]) dialFailures.add(result[0])
      tell(...result)
    }
    const end = () => {
      abort.abort()
      cancel()
      settle(new Error('the link was stopped'), null)
    }
    undo.add(end)
    const begin = async () => {
      const url = `${protocol}//${hostname}${port && `:${port}`}`
      const { host, ...route } = routeTo(url, { clock, tls, proxy: proxyFor(url, proxy) })
      const { signal } = abort
      const addresses = await resolverOf(clock).find(host, { signal, ...(lookup && { lookup }) })
      if (signal.aborted) return
      cancel = dial({
        ...route,
        addresses,
        clock,
        opened: (socket) => settle(null, socket),
        failed: (error) => settle(error, null),
      })
    }
    begin().catch((error) => settle(error, null))
  }
