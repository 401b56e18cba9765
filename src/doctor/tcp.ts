/** The second layer: every address at once and none racing, so that each path shows what it is by itself. */
import { connect } from 'node:net'
import type { FaultCode } from '../../machines/fault.ts'
import { faultFrom } from '../error.ts'
import type { Address } from '../net/resolve.ts'
import { codeOf, LATE, NO_ANSWER, type Time } from './time.ts'

/** What became of one address. */
export interface Path {
  readonly address: string
  readonly family: 4 | 6
  readonly ok: boolean
  readonly ms: number
  /** The system's code, or `no-answer`. Null when it connected. */
  readonly code: string | null
}

export interface TcpLayer {
  readonly name: 'tcp'
  readonly ok: boolean
  readonly ms: number
  readonly port: number
  /** In the order of the system. */
  readonly paths: readonly Path[]
  /** Addresses beyond the first eight, which were left alone. */
  readonly left: number
  /** What the failures come to, where no path is open. */
  readonly fault: FaultCode | null
}

const ADDRESSES_MAX = 8
const CONNECT_MS = 5_000

export const tryPaths = async (addresses: readonly Address[], port: number, time: Time): Promise<TcpLayer> => {
  const startedAt = time.now()
  const tried = addresses.slice(0, ADDRESSES_MAX)
  const paths = await Promise.all(tried.map((address) => tryPath(address, port, time)))
  const ok = paths.some((path) => path.ok)
  return {
    name: 'tcp',
    ok,
    ms: time.since(startedAt),
    port,
    paths,
    left: addresses.length - tried.length,
    fault: ok ? null : faultOf(paths.map(({ code }) => code ?? NO_ANSWER)),
  }
}

const tryPath = async ({ address, family }: Address, port: number, time: Time): Promise<Path> => {
  const startedAt = time.now()
  const code = await time.attempt<string | null>(CONNECT_MS, (settle) => {
    const socket = connect({ host: address, port, family, autoSelectFamily: false })
    socket.once('connect', () => {
      settle(null)
      socket.destroy()
    })
    // stays: an error after destroy() must not become an uncaught exception
    socket.on('error', (error) => settle(codeOf(error)))
    return () => socket.destroy()
  })
  return { address, family, ok: code === null, ms: time.since(startedAt), code: code === LATE ? NO_ANSWER : code }
}

/** The classifier of the house, which knows that a timeout beside "no route" is a slow network and not a missing one. */
export const faultOf = (codes: readonly string[]): FaultCode => {
  const errors = codes.map((code) => ({ code: code === NO_ANSWER ? 'ETIMEDOUT' : code, syscall: 'connect' }))
  return faultFrom({ errors }, 'connecting').code
}
