/**
 * The lives of somebody else's client, as transports: each start of it is a generation. A generation begins when the one
 * before has stopped, and what an old one still says is heard by nobody. Whatever the client throws, rejects with or emits
 * is a fault of this one link.
 */
import { type Fault, type FaultCode, isFault } from '../machines/fault.ts'
import type { InboundMark } from './adapter/adapter.ts'
import { type Clock, patient, type Timer } from './clock.ts'
import { faultFrom, type Phase, textOf } from './error.ts'
import type { OpenTransport, Pipe, TransportListener } from './transport/transport.ts'

/**
 * What is told about a client. Its functions may be handed on as they are; they never throw, and do nothing once the
 * generation is over.
 */
export interface ClientListener<In = unknown> {
  /** The platform has accepted us. Nothing else makes the link live, but a message. */
  readonly ready: () => void
  /** A message for the user of the link; one whose `id` was seen before is dropped. */
  readonly message: (value: In, mark?: InboundMark) => void
  /** Something came from the platform that shows that it still talks to us. */
  readonly alive: () => void
  /** The client is fine, the account behind it is not; `online()` takes it back. */
  readonly offline: (detail?: string) => void
  readonly online: () => void
  /** This generation is over: an error of any kind, or a fault such as `{ code: 'login-needed', detail }`. */
  readonly failed: (error: unknown) => void
  /** The client has stopped by itself. */
  readonly ended: (detail?: string) => void
  /** It is over with this fault unless `ready` or the next `within` comes in so many milliseconds. */
  readonly within: (ms: number, fault: Fault) => void
  /** Listens to an event of the client until the generation is over. What `react` throws ends the generation. */
  readonly listen: <V extends unknown[]>(emitter: object, name: string, react: (...values: V) => void) => void
  /** Fires when the generation is over. */
  readonly signal: AbortSignal
}

export interface ClientRules<T, In> {
  make(): T | Promise<T>
  start(client: T, on: ClientListener<In>): unknown
  stop(client: T): unknown
  probe?: ((client: T) => unknown) | undefined
  classify?: ((error: unknown) => FaultCode | undefined) | undefined
  readonly silenceMaxMs?: number | undefined
  readonly clock: Clock
}

/** A client that has not stopped after so long is given up. */
export const STOP_MS = 10_000

export class Generations<T, In> {
  readonly #rules: ClientRules<T, In>
  /** The latest one, and the latest whose client was started. */
  #latest: Generation<T, In> | undefined
  #started: Generation<T, In> | undefined
  readonly #guarded = new WeakSet<object>()

  constructor(rules: ClientRules<T, In>) {
    this.#rules = rules
  }

  /** The client, while it is ready. */
  get client(): T | undefined {
    return this.#latest?.readyClient
  }

  readonly open: OpenTransport = (listener) => {
    if (this.#latest && !this.#latest.isEnded) {
      listener.lost({ code: 'client-failed', detail: 'another link holds this client: each link needs one of its own' })
      return () => undefined
    }
    const generation = new Generation(this.#rules, listener)
    this.#latest = generation
    void generation.begin(this.#started, {
      abandoned: () => {
        this.#started = undefined
      },
      starting: (client) => {
        this.#started = generation
        this.#guard(client)
      },
    })
    return () => generation.end()
  }

  /** An 'error' that nobody listens to ends the process. This listener stays, also for what comes when all is over. */
  #guard(client: T): void {
    if (!isEmitter(client) || this.#guarded.has(client)) return
    this.#guarded.add(client)
    client.on('error', (error: unknown) => {
      const isOurs = (client.listenerCount?.('error') ?? 1) > 1
      if (!isOurs) this.#latest?.blame(client, error)
    })
  }
}

interface Beginning<T> {
  /** The one before did not stop in time. */
  abandoned(): void
  starting(client: T): void
}

class Generation<T, In> {
  readonly #rules: ClientRules<T, In>
  readonly #listener: TransportListener
  readonly #clock: Clock
  readonly #timers: Pick<Clock, 'setTimeout' | 'clearTimeout'>
  readonly #abort = new AbortController()
  readonly #undo: (() => void)[] = []
  #client: { readonly it: T } | undefined
  #timer: Timer | undefined
  #isReady = false
  #isProbing = false
  /** The client is told to stop: what it says is heard no more. */
  #isOver = false
  #isEnded = false
  #overAt = 0
  #isGone = false
  #gone: Promise<void> | undefined

  constructor(rules: ClientRules<T, In>, listener: TransportListener) {
    this.#rules = rules
    this.#listener = listener
    this.#clock = rules.clock
    // a deadline that is late by our own fault is judged again, as those of the chart are
    this.#timers = patient(rules.clock, () => true)
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get readyClient(): T | undefined {
    return this.#isReady && !this.#isOver ? this.#client?.it : undefined
  }

  async begin(before: Generation<T, In> | undefined, told: Beginning<T>): Promise<void> {
    try {
      if (before && !(await this.#outlives(before))) {
        if (this.#isOver) return
        told.abandoned()
        return this.#lose({ code: 'client-failed', detail: `the client did not stop within ${STOP_MS} ms` })
      }
      const client = this.#isOver ? undefined : { it: await this.#rules.make() }
      if (!client || this.#isOver) return
      this.#client = client
      told.starting(client.it)
      this.#listener.opened()
      await this.#rules.start(client.it, this.#on)
    } catch (error) {
      this.#on.failed(error)
    }
  }

  /** Whether the one before has stopped, as soon as that is known. */
  async #outlives(before: Generation<T, In>): Promise<boolean> {
    const leftMs = before.#overAt + STOP_MS - this.#clock.now()
    if (before.#isGone || leftMs <= 0) return before.#isGone
    const late = new Promise<void>((resolve) => {
      this.#timer = this.#timers.setTimeout(resolve, leftMs)
    })
    await Promise.race([before.#gone, late])
    this.#timers.clearTimeout(this.#timer)
    return before.#isGone
  }

  end(): void {
    this.#isEnded = true
    this.#stop()
  }

  /** An 'error' event that the client's own users left to us. */
  blame(client: T, error: unknown): void {
    if (this.#client?.it === client) this.#on.failed(error)
  }

  #stop(): Promise<void> {
    if (this.#gone) return this.#gone
    this.#isOver = true
    this.#overAt = this.#clock.now()
    this.#timers.clearTimeout(this.#timer)
    this.#abort.abort()
    for (const step of this.#undo) attempt(step)
    const stopping = this.#client && attempt(() => this.#rules.stop(this.#client!.it))
    this.#isGone = !isPromise(stopping)
    this.#gone = Promise.resolve(stopping).then(
      () => this.#leave(),
      () => this.#leave(),
    )
    return this.#gone
  }

  #leave(): void {
    this.#isGone = true
  }

  #lose(fault: Fault, close?: { code: number; reason: string }): void {
    if (this.#isEnded) return
    this.end()
    this.#listener.lost(fault, close)
  }

  #tell(name: string, ...values: unknown[]): void {
    if (this.#isOver) return
    this.#listener.event(name, values)
    if (!this.#isOver) this.#listener.inbound()
    this.#watch()
  }

  /** Any sign of life puts the end of the client's patience off. */
  #watch(): void {
    const { silenceMaxMs: ms } = this.#rules
    if (!this.#isReady || ms === undefined) return
    this.#within(ms, { code: 'heartbeat-timeout', detail: `no sign of life from the client for ${ms} ms` })
  }

  #within(ms: number, fault: Fault): void {
    if (this.#isOver) return
    this.#timers.clearTimeout(this.#timer)
    this.#timer = this.#timers.setTimeout(() => this.#lose(fault), ms)
  }

  #becomeReady(): void {
    if (this.#isOver || this.#isReady) return
    this.#isReady = true
    this.#timers.clearTimeout(this.#timer)
    this.#listener.ready(this.#pipe)
    this.#tell('ready')
  }

  #listen<V extends unknown[]>(emitter: object, name: string, react: (...values: V) => void): void {
    if (this.#isOver || !isEmitter(emitter)) return
    const hear = (...values: unknown[]) => {
      if (this.#isOver) return
      try {
        react(...(values as V))
      } catch (error) {
        this.#on.failed(error)
      }
    }
    emitter.on(name, hear)
    this.#undo.push(() => (emitter.off ?? emitter.removeListener)?.call(emitter, name, hear))
  }

  readonly #on: ClientListener<In> = {
    signal: this.#abort.signal,
    ready: () => this.#becomeReady(),
    message: (value, mark) => {
      this.#becomeReady()
      this.#tell('message', value, mark)
    },
    alive: () => this.#tell('alive'),
    offline: (detail) => this.#tell('offline', detail),
    online: () => this.#tell('online'),
    failed: (error) => {
      if (!this.#isOver) this.#lose(faultOf(error, this.#isReady ? 'open' : 'connecting', this.#rules.classify))
    },
    ended: (detail) => {
      const more = typeof detail === 'string' ? `: ${detail}` : ''
      if (!this.#isOver) this.#lose({ code: 'client-failed', detail: `the client ended by itself${more}` })
    },
    within: (ms, fault) => this.#within(ms, fault),
    listen: (emitter, name, react) => this.#listen(emitter, name, react),
  }

  readonly #pipe: Pipe = {
    send: () => {
      throw new Error('a client takes no frames: its adapter sends by `run`')
    },
    ping: (mark) => void this.#probe(mark),
    bufferedBytes: () => 0,
    close: () => {
      const goodbye = { code: 1000, reason: '' }
      void this.#stop().then(() => this.#lose({ code: 'closed-by-peer', detail: 'the client was stopped' }, goodbye))
    },
  }

  /** Without a probe there is no proof: then the watch over its silence is the only one. */
  async #probe(mark: string): Promise<void> {
    const { probe } = this.#rules
    if (this.#isProbing) return
    this.#isProbing = true
    try {
      await probe?.(this.#client!.it)
    } catch {
      // no answer: the heartbeat of the link decides what follows
      return
    } finally {
      this.#isProbing = false
    }
    if (this.#isOver) return
    this.#listener.answered(mark)
    this.#listener.inbound()
    if (probe) this.#watch()
  }
}

const DETAIL_MAX = 300

/** By typed fields alone: what a text says decides nothing. */
const faultOf = (error: unknown, phase: Phase, classify: ClientRules<never, never>['classify']): Fault => {
  try {
    const detail = textOf(error).slice(0, DETAIL_MAX)
    const said = { code: classify?.(error), detail }
    if (isFault(said)) return said
    if (!(error instanceof Error) && isFault(error)) return copyOf(error)
    const { code } = faultFrom(typedFields(error), phase)
    return { code: code === 'unknown' ? 'client-failed' : code, detail }
  } catch {
    return { code: 'client-failed', detail: 'an error that cannot be read' }
  }
}

const copyOf = ({ code, detail, retryAfterMs }: Fault): Fault => ({
  code,
  ...(detail !== undefined && { detail: textOf(detail).slice(0, DETAIL_MAX) }),
  ...(retryAfterMs !== undefined && { retryAfterMs }),
})

const CAUSES_MAX = 8
const DEPTH_MAX = 4

/** An error without its words. */
const typedFields = (error: unknown, left = DEPTH_MAX): object => {
  if (typeof error !== 'object' || error === null || left === 0) return {}
  const { code, syscall, cause, errors } = error as Record<string, unknown>
  const inner = Array.isArray(errors) ? errors.slice(0, CAUSES_MAX).map((each) => typedFields(each, left - 1)) : []
  return { code, syscall, errors: inner, ...(cause !== undefined && { cause: typedFields(cause, left - 1) }) }
}

interface Emitter {
  on(name: string, react: (...values: never[]) => void): unknown
  off?(name: string, react: unknown): unknown
  removeListener?(name: string, react: unknown): unknown
  listenerCount?(name: string): number
}

const isEmitter = (value: unknown): value is Emitter & object =>
  typeof value === 'object' && value !== null && typeof (value as Partial<Emitter>).on === 'function'

const isPromise = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as Partial<Promise<unknown>>).then === 'function'

/** Somebody else's code, on the way out: what it throws changes nothing any more. */
const attempt = (act: () => unknown): unknown => {
  try {
    return act()
  } catch {
    return undefined
  }
}
