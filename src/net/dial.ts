/**
 * Addresses to one socket that can be used. Attempts start one after another and run side by side until one of them wins,
 * through TLS (RFC 8305, section 5): Node's own autoSelectFamily destroys each attempt but the last after 250 ms, which is
 * how the founding incident came about. Whoever dials owns the socket, so its errors can be told apart after the upgrade too.
 */
import type { Socket } from 'node:net'
import type { Fault } from '../../machines/fault.ts'
import type { Clock, Timer } from '../clock.ts'
import { Attempt, type AttemptError, type AttemptRecord, type Layer, tooLate } from './attempt.ts'
import { type Paths, pathsOf } from './paths.ts'
import { isPublicAddress } from './public.ts'
import { type Address, type AddressFeed, feedOf } from './resolve.ts'

/** So many addresses of one name are tried in a dial, and so many at the same time. */
const ADDRESSES_MAX = 8
const IN_FLIGHT_MAX = 4
/** Milliseconds: three SYNs, sent after 0, 1 and 3 s, and an answer that takes 3 s more. */
export const CONNECT_MS = 10_000
/** An address whose TCP stands has earned more patience, in milliseconds, before another one starts beside its TLS. */
const LAYERS_DELAY_MS = 2_000
/** How long a dial whose addresses have all failed waits for those that the resolver may still find, in milliseconds. */
const LATE_ANSWER_MS = 500

export interface Dial {
  readonly addresses: readonly Address[] | AddressFeed
  readonly port: number
  readonly clock: Clock
  /** What is put on TCP, bottom up; the race is run to the top. */
  readonly layers?: readonly Layer[]
  /** Absolute, in milliseconds: when TCP has to stand. Each layer has a deadline of its own. Default 10,000. */
  readonly withinMs?: number
  /** What is learnt about the way is remembered under this name, such as `host:port`. Without it nothing is. */
  readonly memory?: string
  /**
   * Addresses that are not public are left out: for an endpoint that a peer supplied. They are judged as they are dialed,
   * so a name that means another address today than yesterday is judged by what it means today.
   */
  readonly publicOnly?: boolean
  /** Goes before the message of a failure: `proxy 10.0.0.1:3128`. */
  readonly via?: string
  /** The first TCP connection stands. */
  connected?(): void
  opened(socket: Socket, path: DialPath): void
  failed(error: DialError): void
}

export interface DialPath {
  readonly address: string
  readonly family: 4 | 6
  /** How long TCP took on this address, and the whole dial, in milliseconds. */
  readonly connectMs: number
  readonly totalMs: number
  /** All that was tried, in the order in which it ended. */
  readonly attempts: readonly AttemptRecord[]
}

/** No address led to a socket. The message says for each of them how far it came, how it failed and when. */
export class DialError extends AggregateError {
  override readonly name = 'DialError'
  override readonly errors: AttemptError[]
  readonly attempts: readonly AttemptRecord[]
  /** Set when the addresses were of the past, because the lookup failed with this. */
  readonly staleBecause: Error | undefined
  /** Set when all addresses were left out because they are not public. */
  readonly fault: Fault | undefined

  constructor(errors: AttemptError[], { via, stale, untried = [], refused = [], name }: DialAccount) {
    const parts = [
      ...errors.map(told),
      ...listed('not tried', untried),
      ...listed(`${name ?? 'the name'} has addresses that are not public, which were not dialed`, refused),
    ]
    const lookup = stale ? `${stale.message}; last known addresses: ` : ''
    super(errors, `${via ? `${via}: ` : ''}${lookup}${parts.join('; ') || 'there is no address to dial'}`)
    this.errors = errors
    this.attempts = errors.map(recordOf)
    this.staleBecause = stale
    const isRefused = errors.length === 0 && untried.length === 0 && refused.length > 0
    this.fault = isRefused ? { code: 'endpoint-refused' } : undefined
  }
}

/** What there is to say beside the errors. */
interface DialAccount {
  readonly via?: string | undefined
  readonly stale?: Error | undefined
  readonly untried?: readonly Address[]
  /** Left out because they are not public. */
  readonly refused?: readonly Address[]
  readonly name?: string | undefined
}

const listed = (what: string, addresses: readonly Address[]): string[] =>
  addresses.length === 0 ? [] : [`${what}: ${addresses.map(({ address }) => address).join(', ')}`]

const recordOf = ({ address, family, code, ms, step }: AttemptError): AttemptRecord => ({
  address,
  family,
  code: code ?? 'UNKNOWN',
  ms,
  step,
})

/** `127.0.0.1:443 IPv4 ETIMEDOUT 250 ms`, with the layer if it came so far, and in words where no code says it. */
const told = (error: AttemptError & { readonly port?: number }): string => {
  const { address, family, code, ms, step, port, message } = error
  const at = family === 6 ? `[${address}]:${port}` : `${address}:${port}`
  const where = step === 'tcp' ? '' : step === 'tls' ? ' in TLS' : ' at the proxy'
  return `${at} IPv${family} ${step === 'proxy' || !code ? message : code} ${Math.round(ms)} ms${where}`
}

/** Starts dialing; exactly one of `opened` and `failed` is called, unless the returned function cancels first. */
export const dial = (options: Dial): (() => void) => {
  const race = new Race(options)
  race.start()
  return () => race.cancel()
}

class Race {
  readonly #options: Dial
  readonly #feed: AddressFeed
  readonly #paths: Paths
  readonly #startedAt: number
  readonly #tried = new Set<string>()
  readonly #inFlight = new Set<Attempt>()
  readonly #errors: AttemptError[] = []
  #lastFamily: Address['family'] | undefined
  /** When the next attempt may start. */
  #dueAt: number
  /** Set when there is nothing left but an answer of the resolver. */
  #waitingSince: number | undefined
  #timer: Timer | undefined
  #deadline: Timer | undefined
  #deaf: () => void = () => undefined
  #isConnected = false
  #isLate = false
  #isSettled = false

  constructor(options: Dial) {
    this.#options = options
    this.#feed = 'known' in options.addresses ? options.addresses : feedOf(options.addresses)
    this.#paths = pathsOf(options.clock)
    this.#startedAt = options.clock.now()
    this.#dueAt = this.#startedAt
  }

  start(): void {
    const { clock, withinMs = CONNECT_MS } = this.#options
    this.#deadline = clock.setTimeout(() => this.#stopConnecting(withinMs), withinMs)
    this.#deaf = this.#feed.listen(() => this.#go())
    this.#go()
  }

  cancel(): void {
    if (!this.#isSettled) this.#settle()
  }

  get #untried(): readonly Address[] {
    return this.#feed.known.filter((known) => !this.#tried.has(known.address) && this.#admits(known))
  }

  #admits({ address }: Address): boolean {
    return !this.#options.publicOnly || isPublicAddress(address)
  }

  /** Starts the next attempt if it is due; decides what is waited for if it is not, and whether all is lost. */
  readonly #go = (): void => {
    const { clock } = this.#options
    clock.clearTimeout(this.#timer)
    if (this.#isSettled) return
    const isFull = this.#tried.size >= ADDRESSES_MAX
    const untried = this.#isLate || isFull ? [] : this.#untried
    if (untried.length === 0) {
      if (this.#inFlight.size === 0) this.#waitForMore(this.#isLate || isFull)
      return
    }
    this.#waitingSince = undefined
    if (this.#inFlight.size >= IN_FLIGHT_MAX) return
    const waitMs = this.#dueAt - clock.now()
    if (waitMs > 0) this.#timer = clock.setTimeout(this.#go, waitMs)
    else this.#try(this.#paths.choose(this.#options.memory, untried, this.#lastFamily))
  }

  #waitForMore(isEnough: boolean): void {
    const { clock } = this.#options
    this.#waitingSince ??= clock.now()
    const waitMs = this.#waitingSince + LATE_ANSWER_MS - clock.now()
    if (isEnough || this.#feed.isComplete || waitMs <= 0) this.#fail()
    else this.#timer = clock.setTimeout(this.#go, waitMs)
  }

  #try(to: Address): void {
    const { clock, port, layers = [], memory } = this.#options
    this.#tried.add(to.address)
    this.#lastFamily = to.family
    this.#dueAt = clock.now() + this.#paths.patienceMs(memory, to.address)
    const attempt = new Attempt({
      to,
      port,
      layers,
      clock,
      connected: () => this.#noticeConnect(),
      opened: (winner, socket) => this.#win(winner, socket),
      failed: (loser, error) => this.#lose(loser, error),
    })
    this.#inFlight.add(attempt)
    attempt.start()
    this.#go()
  }

  #noticeConnect(): void {
    this.#dueAt = this.#options.clock.now() + LAYERS_DELAY_MS
    this.#tellConnected()
    this.#go()
  }

  #tellConnected(): void {
    if (this.#isConnected) return
    this.#isConnected = true
    this.#options.connected?.()
  }

  #lose(attempt: Attempt, error: AttemptError): void {
    this.#inFlight.delete(attempt)
    this.#errors.push(error)
    this.#paths.failed(this.#options.memory, attempt.to.address)
    this.#dueAt = this.#options.clock.now()
    this.#go()
  }

  #win(winner: Attempt, socket: Socket): void {
    const { clock, memory, opened } = this.#options
    this.#tellConnected()
    // whoever heard that may have called it off
    if (this.#isSettled) return
    this.#inFlight.delete(winner)
    const { address, family } = winner.to
    const { connectMs = 0 } = winner
    const attempts = [...this.#errors.map(recordOf), ...this.#settle(), winner.won]
    this.#paths.won(memory, address, connectMs)
    opened(socket, { address, family, connectMs, totalMs: clock.now() - this.#startedAt, attempts })
  }

  /** The deadline of TCP: attempts that are past it have deadlines of their own. */
  #stopConnecting(withinMs: number): void {
    this.#isLate = true
    for (const attempt of [...this.#inFlight]) {
      if (attempt.step === 'tcp') attempt.fail(tooLate(withinMs))
    }
    this.#go()
  }

  #fail(): void {
    const { via, memory: name, failed } = this.#options
    const { known, staleBecause: stale } = this.#feed
    this.#settle()
    this.#feed.doubt()
    const refused = known.filter((address) => !this.#admits(address))
    failed(new DialError(this.#errors, { via, stale, untried: this.#untried, refused, name }))
  }

  /** Ends all that still runs. */
  #settle(): AttemptRecord[] {
    const { clock } = this.#options
    this.#isSettled = true
    clock.clearTimeout(this.#timer)
    clock.clearTimeout(this.#deadline)
    this.#deaf()
    const abandoned = [...this.#inFlight].map((attempt) => attempt.abandon())
    this.#inFlight.clear()
    return abandoned
  }
}
