/** One attempt at one address: TCP, and then whatever lies between TCP and a socket that can be used. */
import { connect, isIP, type Socket } from 'node:net'
import type { Clock, Timer } from '../clock.ts'
import type { DialStep } from '../error.ts'
import type { Address } from './resolve.ts'

/** Belt only, in milliseconds: it sees a vanished host when nothing is unacknowledged; the heartbeat sees the rest. */
const TCP_KEEPALIVE_MS = 15_000

/** A layer that is put on an open socket: TLS, or the tunnel of a proxy. */
export interface Layer {
  readonly step: Exclude<DialStep, 'tcp'>
  /** Absolute, in milliseconds from the moment at which the layer below stood. */
  readonly withinMs: number
  /**
   * Begins. `done` is called once at most, with the socket to go on with. What is returned is a socket of its own that is
   * destroyed with the attempt.
   */
  take(socket: Socket, done: Done): Socket | undefined
}

export type Done = (error: Error | undefined, socket?: Socket) => void

/** What went wrong, with all that the record shows of it. */
export type AttemptError = Error & Omit<AttemptRecord, 'code'> & { readonly code?: string }

export interface AttemptRecord {
  readonly address: string
  readonly family: 4 | 6
  /** The system's code, `CONNECTED` for the winner, and `ABANDONED` for those that were ended because of it. */
  readonly code: string
  readonly ms: number
  /** How far it came. */
  readonly step: DialStep
}

interface AttemptOptions {
  readonly to: Address
  readonly port: number
  readonly layers: readonly Layer[]
  readonly clock: Clock
  /** TCP stands and layers follow. */
  readonly connected: (attempt: Attempt) => void
  readonly opened: (attempt: Attempt, socket: Socket) => void
  readonly failed: (attempt: Attempt, error: AttemptError) => void
}

export class Attempt {
  readonly to: Address
  readonly #options: AttemptOptions
  readonly #startedAt: number
  readonly #sockets: Socket[] = []
  #timer: Timer | undefined
  #isOver = false
  step: DialStep = 'tcp'
  /** How long TCP took. */
  connectMs: number | undefined

  constructor(options: AttemptOptions) {
    this.#options = options
    this.to = options.to
    this.#startedAt = options.clock.now()
  }

  start(): void {
    const { address, family } = this.to
    // with a name in its place Node would look it up, and dial by rules of its own
    if (isIP(address) === 0) {
      this.fail(Object.assign(new Error('not an address'), { code: 'EINVAL' }))
      return
    }
    try {
      const socket = connect({
        host: address,
        port: this.#options.port,
        family,
        autoSelectFamily: false,
        keepAlive: true,
        keepAliveInitialDelay: TCP_KEEPALIVE_MS,
      })
      this.#own(socket)
      socket.once('connect', () => {
        if (this.#isOver) return
        socket.setNoDelay(true)
        this.connectMs = this.#ageMs
        this.#climb(socket, 0)
      })
    } catch (error) {
      this.fail(error as Error)
    }
  }

  /** Ends it without telling anybody. */
  abandon(): AttemptRecord {
    this.#end()
    // from the top: a layer says goodbye through the one below it
    for (const socket of this.#sockets.reverse()) socket.destroy()
    return this.#record('ABANDONED')
  }

  fail(error: Error & { code?: string }): void {
    if (this.#isOver) return
    const { address, family, ms, step } = this.abandon()
    const { port } = this.#options
    this.#options.failed(this, Object.assign(error, { address, family, port, ms, step }))
  }

  get won(): AttemptRecord {
    return this.#record('CONNECTED')
  }

  get #ageMs(): number {
    return this.#options.clock.now() - this.#startedAt
  }

  #record(code: string): AttemptRecord {
    const { address, family } = this.to
    return { address, family, code, ms: this.#ageMs, step: this.step }
  }

  readonly #noticeError = (error: Error) => this.fail(error)
  readonly #noticeClose = () => this.fail(closedEarly())

  #own(socket: Socket): void {
    this.#sockets.push(socket)
    socket.on('error', this.#noticeError).on('close', this.#noticeClose)
  }

  /** Puts the layer of this index on a socket, or hands the socket out if there is none. */
  #climb(socket: Socket, index: number): void {
    const layer = this.#options.layers[index]
    if (!layer) {
      this.#end()
      this.#options.opened(this, socket)
      return
    }
    this.step = layer.step
    const { clock } = this.#options
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(() => this.fail(lateIn(layer)), layer.withinMs)
    if (index === 0) this.#options.connected(this)
    if (this.#isOver) return
    try {
      const own = layer.take(socket, (error, next) => {
        if (this.#isOver) return
        if (error || !next) this.fail(error ?? closedEarly())
        else this.#climb(next, index + 1)
      })
      if (own) this.#own(own)
    } catch (error) {
      this.fail(error as Error)
    }
  }

  #end(): void {
    this.#isOver = true
    this.#options.clock.clearTimeout(this.#timer)
    for (const socket of this.#sockets) {
      // an error after destroy(), or in a layer below, must not become an uncaught exception
      socket.on('error', ignore).off('error', this.#noticeError).off('close', this.#noticeClose)
    }
  }
}

const ignore = () => undefined

export const tooLate = (ms: number): Error =>
  Object.assign(new Error(`no answer within ${Math.round(ms)} ms`), { code: 'ETIMEDOUT' })

/** A peer that is there and does not answer is another matter than one that is not. */
const lateIn = ({ step, withinMs }: Layer): Error =>
  Object.assign(tooLate(withinMs), step === 'tls' && { fault: { code: 'tls-timeout' } })

const closedEarly = (): Error => Object.assign(new Error('closed before it was ready'), { code: 'ECONNRESET' })
