/** HTTP beside a link, on undici, over sockets that our own dialer opened. */
import type { Socket } from 'node:net'
import { Agent, type Dispatcher } from 'undici'
import { kindOf } from '../../machines/fault.ts'
import type { HttpOutgoing } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'
import { faultFrom, textOf } from '../error.ts'
import type { Scrub } from '../secret.ts'
import { DialError, dial } from './dial.ts'
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
  close(): void
}

/** `delivered` is `refused` when the peer certainly did nothing, else `uncertain`. */
type Failed = (delivered: 'refused' | 'uncertain', message: string) => Error

export interface HttpOptions {
  readonly clock: Clock
  readonly lookup?: Lookup
  readonly proxy?: string | false | undefined
}

export const http = (options: HttpOptions, failed: Failed): Http => {
  let agent: Agent | undefined
  const undo = new Set<() => void>()
  const connect = connector(options, undo)
  const open = (): Agent => new Agent({ keepAliveTimeout: KEEP_ALIVE_MS, maxResponseSize: ANSWER_BYTES_MAX, connect })
  return {
    request: async ({ http: { url, ...call }, read }, signal, scrub) => {
      agent ??= open()
      const method = call.method as Dispatcher.HttpMethod
      const { status, body } = await exchange(agent, url, { ...call, method, signal }).catch((error) => {
        const fault = faultFrom(error, 'upgrading')
        const reached = kindOf(fault) !== 'vacant' && !neverLeft(error)
        throw failed(reached ? 'uncertain' : 'refused', scrub(fault.detail ?? fault.code))
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
    close: () => {
      for (const end of undo) end()
      agent?.destroy().catch(() => undefined)
      agent = undefined
    },
  }
}

/** RFC 9110, section 15.6: the server broke on it, or a gateway lost the one that had it. 503 and all 4xx are refusals. */
const mayHaveActed: ReadonlySet<number> = new Set([500, 502, 504])

type Call = Omit<Dispatcher.RequestOptions, 'origin' | 'path'>

const exchange = async (agent: Agent, url: string, call: Call): Promise<{ status: number; body: string }> => {
  const { origin, pathname, search } = new URL(url)
  const { statusCode, body } = await agent.request({ ...call, origin, path: `${pathname}${search}` })
  return { status: statusCode, body: await body.text() }
}

/** Whether it failed before there was a socket to write it to. */
const neverLeft = (error: unknown): boolean =>
  error instanceof DialError || (error instanceof Error && error.cause !== undefined && neverLeft(error.cause))

type Connector = (options: { protocol: string; hostname: string; port: string }, tell: Connected) => void
type Connected = (...result: [null, Socket] | [Error, null]) => void

/**
 * Opens sockets for undici: the same race as for a link, through TLS and proxies, with its deadlines. Undici cannot take
 * back what it asked for: `undo` has the way to end each that is under way.
 */
const connector =
  ({ clock, lookup, proxy }: HttpOptions, undo: Set<() => void>): Connector =>
  ({ protocol, hostname, port }, tell) => {
    const abort = new AbortController()
    let cancel: () => void = () => undefined
    const settle: Connected = (...result) => {
      if (!undo.delete(end)) return
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
      const { host, ...route } = routeTo(url, { clock, proxy: proxyFor(url, proxy) })
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
