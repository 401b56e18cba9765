/** A dial under observation. */
import type { Socket } from 'node:net'
import { type Clock, realClock } from '../../src/clock.ts'
import { type Dial, type DialError, type DialPath, dial } from '../../src/net/dial.ts'
import type { Address, AddressFeed } from '../../src/net/resolve.ts'
import { atEnd, owned } from './loopback.ts'

export interface Dialed {
  readonly won: Socket[]
  readonly paths: DialPath[]
  readonly failures: DialError[]
  /** How often it was told that TCP stands. */
  readonly connections: number[]
  readonly cancel: () => void
  /** Resolves with milliseconds when it has been told one way or the other. */
  readonly told: Promise<number>
}

/** Dials, and notes all that is told; it is called off at the end of the test. */
export const start = (
  addresses: readonly Address[] | AddressFeed,
  port: number,
  { clock = realClock, ...options }: Partial<Dial> & { clock?: Clock } = {},
): Dialed => {
  const won: Socket[] = []
  const paths: DialPath[] = []
  const failures: DialError[] = []
  const connections: number[] = []
  const startedAt = performance.now()
  let cancel: () => void = () => undefined
  const told = new Promise<number>((resolve) => {
    const after = () => resolve(performance.now() - startedAt)
    cancel = dial({
      ...options,
      addresses,
      port,
      clock,
      connected: () => void connections.push(performance.now() - startedAt),
      opened: (socket, path) => {
        won.push(owned(socket))
        paths.push(path)
        after()
      },
      failed: (error) => {
        failures.push(error)
        after()
      },
    })
  })
  atEnd(cancel)
  return { won, paths, failures, connections, cancel, told }
}
