/**
 * What dialing has taught about the ways to a host: which address answered, how fast, and which led nowhere. It changes
 * the order of the next race and never who runs in it (RFC 8305, sections 4 and 5).
 */
import type { Clock } from '../clock.ts'
import { type Address, resolverOf } from './resolve.ts'

/** RFC 6555, section 4.2: the network may have changed by then. */
const REMEMBERED_MS = 600_000
const KEYS_MAX = 256
/** RFC 8305, sections 5 and 8, in milliseconds. */
const ATTEMPT_DELAY_MS = 250
const ATTEMPT_DELAY_MAX_MS = 2_000
/** How much longer than last time an address may take before the next one is tried beside it. */
const PATIENCE = 1.25

interface Path {
  winner: { readonly address: string; readonly connectMs: number; readonly at: number } | undefined
  /** Addresses that failed, and when. */
  readonly dead: Map<string, number>
}

export class Paths {
  readonly #clock: Clock
  readonly #paths = new Map<string, Path>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The address to try next: who won before, then the other family than last time, those that failed before at last. */
  choose(key: string | undefined, untried: readonly Address[], last: Address['family'] | undefined): Address {
    const { winner, dead } = this.#fresh(key)
    const remembered = untried.find(({ address }) => address === winner?.address)
    if (remembered) return remembered
    const alive = untried.filter(({ address }) => !dead.has(address))
    const pool = alive.length > 0 ? alive : untried
    return pool.find(({ family }) => last !== undefined && family !== last) ?? pool[0]!
  }

  /** How long an attempt may run before the next one starts beside it. */
  patienceMs(key: string | undefined, address: string): number {
    const { winner } = this.#fresh(key)
    if (winner?.address !== address) return ATTEMPT_DELAY_MS
    return Math.min(Math.max(winner.connectMs * PATIENCE, ATTEMPT_DELAY_MS), ATTEMPT_DELAY_MAX_MS)
  }

  won(key: string | undefined, address: string, connectMs: number): void {
    if (key === undefined) return
    const path = this.#open(key)
    path.winner = { address, connectMs, at: this.#clock.now() }
    path.dead.delete(address)
  }

  failed(key: string | undefined, address: string): void {
    if (key === undefined) return
    const path = this.#open(key)
    if (path.winner?.address === address) path.winner = undefined
    path.dead.set(address, this.#clock.now())
    if (path.dead.size > KEYS_MAX) path.dead.delete(path.dead.keys().next().value!)
  }

  forget(): void {
    this.#paths.clear()
  }

  #open(key: string): Path {
    const path = this.#fresh(key)
    this.#paths.delete(key)
    this.#paths.set(key, path)
    if (this.#paths.size > KEYS_MAX) this.#paths.delete(this.#paths.keys().next().value!)
    return path
  }

  #fresh(key: string | undefined): Path {
    const path = (key === undefined ? undefined : this.#paths.get(key)) ?? { winner: undefined, dead: new Map() }
    const since = this.#clock.now() - REMEMBERED_MS
    if (path.winner && path.winner.at < since) path.winner = undefined
    for (const [address, at] of path.dead) if (at < since) path.dead.delete(address)
    return path
  }
}

const pathsByClock = new WeakMap<Clock, Paths>()

/** The paths of all links that live by the same clock. */
export const pathsOf = (clock: Clock): Paths => {
  const paths = pathsByClock.get(clock) ?? new Paths(clock)
  pathsByClock.set(clock, paths)
  return paths
}

/**
 * For a change of network: what was learnt on another one must not be used here (RFC 8305, section 4). Addresses are
 * looked up anew, and the old ones are kept as a last resort.
 */
export const forgetPaths = (clock: Clock): void => {
  pathsOf(clock).forget()
  resolverOf(clock).forget()
}
