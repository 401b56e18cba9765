/** HTTP beside a link, on undici, over sockets that our own dialer opened. */
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { Agent, type Dispatcher } from 'undici'
import { kindOf } from '../../machines/fault.ts'
import type { HttpOutgoing } from '../adapter/adapter.ts'
import type { Clock } from '../clock.ts'
import { faultFrom, textOf } from '../error.ts'
import type { Scrub } from '../secret.ts'
import { dial } from './dial.ts'
import { hostOf, type Lookup, portOf, resolve } from './resolve.ts'

/** Shorter than any server's own, so that a request is never written into a socket that is just being closed. */
const KEEP_ALIVE_MS = 1_000
const ANSWER_BYTES_MAX = 16 * 1024 * 1024

export interface Http {
  /** Rejects with an error whose `delivered` says whether the request can have had an effect. */
  request(outgoing: HttpOutgoing, signal: AbortSignal, scrub: Scrub): Promise<unknown>
  close(): void
}

/** `delivered` is `refused` when the peer certainly did nothing, else `uncertain`. */
type Failed = (delivered: 'refused' | 'uncertain', message: string) => Error

export const http = (clock: Clock, lookup: Lookup, failed: Failed): Http => {
  let agent: Agent | undefined
  const open = (): Agent =>
    new Agent({ keepAliveTimeout: KEEP_ALIVE_MS, maxResponseSize: ANSWER_BYTES_MAX, connect: connector(clock, lookup) })
  return {
    request: async ({ http: { url, ...call }, read }, signal, scrub) => {
      agent ??= open()
      const method = call.method as Dispatcher.HttpMethod
      const { status, body } = await exchange(agent, url, { ...call, method, signal }).catch((error) => {
        const fault = faultFrom(error, 'upgrading')
        const reached = kindOf(fault) !== 'vacant'
        throw failed(reached ? 'uncertain' : 'refused', scrub(fault.detail ?? fault.code))
      })
      try {
        return read(status, body)
      } catch (error) {
        throw failed('refused', scrub(error instanceof Error ? error.message : textOf(error)))
      }
    },
    close: () => {
      agent?.destroy().catch(() => undefined)
      agent = undefined
    },
  }
}

type Call = Omit<Dispatcher.RequestOptions, 'origin' | 'path'>

const exchange = async (agent: Agent, url: string, call: Call): Promise<{ status: number; body: string }> => {
  const { origin, pathname, search } = new URL(url)
  const { statusCode, body } = await agent.request({ ...call, origin, path: `${pathname}${search}` })
  return { status: statusCode, body: await body.text() }
}

type Connector = (options: { protocol: string; host?: string; hostname: string; port: string }, tell: Connected) => void
type Connected = (...result: [null, Socket] | [Error, null]) => void

const connector =
  (clock: Clock, lookup: Lookup): Connector =>
  ({ protocol, hostname, port }, tell) => {
    const url = `${protocol === 'https:' ? 'wss:' : 'ws:'}//${hostname}${port && `:${port}`}`
    resolve(url, lookup).then(
      (addresses) => {
        dial({
          addresses,
          port: portOf(url),
          clock,
          failed: (error) => tell(error, null),
          opened: (socket) => {
            if (protocol !== 'https:') return tell(null, socket)
            const tls = connectTls({ socket, servername: hostOf(url), ALPNProtocols: ['http/1.1'] })
            tls.once('error', (error) => tell(error, null))
            tls.once('secureConnect', () => tell(null, tls))
          },
        })
      },
      (error: Error) => tell(error, null),
    )
  }
