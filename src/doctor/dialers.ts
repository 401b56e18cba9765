/**
 * The third layer: what Node's default makes of this host, and what holdfast's own dialer makes of it, both for real and
 * in the same seconds. It runs beside the others: where Node hangs, it hangs for long.
 */
import { connect, getDefaultAutoSelectFamilyAttemptTimeout, type LookupFunction, type Socket } from 'node:net'
import type { Fault } from '../../machines/fault.ts'
import { type Address, hostOf, portOf } from '../net/resolve.ts'
import { isReached, type Reach, reach } from './reach.ts'
import { codeOf, LATE, NO_ANSWER } from './time.ts'

export interface Attempted {
  readonly address: string
  readonly code: string
}

/** What came of `net.connect` with Node's defaults. */
export interface NodeOutcome {
  readonly ok: boolean
  /** From the call to the result, the lookup included. */
  readonly ms: number
  readonly address: string | null
  /** Node's own code, or `no-answer` when it had no result by the end of our patience. */
  readonly code: string | null
  /** Each address that Node has given up. */
  readonly attempts: readonly Attempted[]
  /** Node gives each address but the last so long. */
  readonly attemptMs: number
}

export interface HoldfastOutcome {
  readonly ok: boolean
  readonly ms: number
  readonly address: string | null
  readonly fault: Fault | null
}

export interface DialersLayer {
  readonly name: 'dialers'
  /** Whether holdfast gets through. */
  readonly ok: boolean
  readonly ms: number
  readonly node: NodeOutcome
  readonly holdfast: HoldfastOutcome
}

const NODE_MS = 12_000
const HOLDFAST_MS = 12_000

/** Both begin at once, and each with the lookup. A proxy is left aside: Node knows of none. */
export const compareDialers = async (way: Reach): Promise<DialersLayer> => {
  const { time } = way
  const startedAt = time.now()
  const [node, holdfast] = await Promise.all([
    time.attempt<NodeOutcome>(NODE_MS, (settle) => startNode(way, settle)),
    dialAsHoldfast(way),
  ])
  const ms = time.since(startedAt)
  return { name: 'dialers', ok: holdfast.ok, ms, node: node === LATE ? hung(ms) : node, holdfast }
}

const startNode = ({ url, lookup, time }: Reach, settle: (outcome: NodeOutcome) => void): (() => void) => {
  const startedAt = time.now()
  const attemptMs = getDefaultAutoSelectFamilyAttemptTimeout()
  const tell = ({ ok, ...outcome }: Omit<NodeOutcome, 'ms' | 'attemptMs'>) =>
    settle({ ok, ms: time.since(startedAt), ...outcome, attemptMs })
  const host = hostOf(url)
  const socket: Socket = connect({ host, port: portOf(url), lookup: lookupIn(() => lookup(host)) })
  socket.once('connect', () => {
    tell({ ok: true, address: socket.remoteAddress ?? null, code: null, attempts: [] })
    socket.destroy()
  })
  socket.on('error', (error) => tell({ ok: false, address: null, code: codeOf(error), attempts: attemptsOf(error) }))
  return () => socket.destroy()
}

/** The system's answer that we have asked for already, at the moment at which Node itself would have had it. */
const lookupIn =
  (whole: () => Promise<readonly Address[]>): LookupFunction =>
  (_host, { all }, tell) => {
    whole().then(
      (found) => {
        if (all) tell(null, [...found])
        else tell(null, found[0]?.address ?? '', found[0]?.family)
      },
      (error: NodeJS.ErrnoException) => tell(error, ''),
    )
  }

const attemptsOf = (error: unknown): Attempted[] => {
  const errors = error instanceof AggregateError ? error.errors : [error]
  return errors.map((each: unknown) => ({
    address: String((each as { address?: unknown }).address ?? '?'),
    code: codeOf(each),
  }))
}

const hung = (ms: number): NodeOutcome => ({
  ok: false,
  ms,
  address: null,
  code: NO_ANSWER,
  attempts: [],
  attemptMs: getDefaultAutoSelectFamilyAttemptTimeout(),
})

const dialAsHoldfast = async (way: Reach): Promise<HoldfastOutcome> => {
  const { time } = way
  const startedAt = time.now()
  const result = await reach({ ...way, proxy: undefined }, HOLDFAST_MS)
  const ms = time.since(startedAt)
  if (!isReached(result)) return { ok: false, ms, address: null, fault: result }
  result.socket.destroy()
  return { ok: true, ms, address: result.path.address, fault: null }
}
