/**
 * Somebody else's client as a link: wechaty, discord.js, grammY, mineflayer … holdfast starts it, watches it, stops it and
 * starts it anew, never two at once; the client keeps its protocol. docs/adapters/client.md says what each part owes.
 */
import { TIMER_MAX_MS } from '../../machines/delay.ts'
import type { FaultCode } from '../../machines/fault.ts'
import { type Clock, realClock } from '../clock.ts'
import { HoldfastError } from '../error.ts'
import { type ClientListener, Generations } from '../generation.ts'
import { type Adapter, type Dialogue, defineAdapter, describe, type Io, refuseUnknown } from './adapter.ts'

export type { ClientListener }

export interface ClientOptions<T, In = unknown, Out = unknown> {
  /** Of the client, in lower case: `grammy`. */
  readonly name: string
  /** A new client for each generation, or always the same one. */
  readonly make: () => T | Promise<T>
  /**
   * Starts it and says what its events mean, by `on`. That it resolves says nothing, since many clients resolve when they
   * end; that it throws or rejects ends the generation.
   */
  readonly start: (client: T, on: ClientListener<In>) => unknown
  /** Stops it. It is waited for, 10 s at most, before the next generation begins. */
  readonly stop: (client: T) => unknown
  /** A harmless call that proves that the platform answers. Without it a ready client is believed, but for `silenceMaxMs`. */
  readonly probe?: (client: T) => unknown
  /** In milliseconds: without a message, `on.alive()` or a probe that was answered for so long, it is started anew. */
  readonly silenceMaxMs?: number
  /** Sends a message of `link.send`. Reject with an error that has `delivered: 'refused'` if nothing was done. */
  readonly send?: (client: T, message: Out, signal: AbortSignal) => unknown
  /** The fault that an error of this client means, by its fields. Default: by the codes of Node, else `client-failed`. */
  readonly classify?: (error: unknown) => FaultCode | undefined
  /** Until it is ready, in milliseconds. Default: `deadlines.handshakeMs` of the link, 15,000. */
  readonly startWithinMs?: number
  /** Values that must never be shown. */
  readonly secrets?: readonly string[]
  /** For tests. */
  readonly clock?: Clock
}

const NEEDED = ['make', 'start', 'stop'] as const
const FUNCTIONS = ['probe', 'send', 'classify'] as const
const TIMES = ['silenceMaxMs', 'startWithinMs'] as const
const KNOWN = ['name', ...NEEDED, ...FUNCTIONS, ...TIMES, 'secrets', 'clock']

/** Throws HoldfastError `bad-option` at once if a part is missing or of the wrong kind. One link holds one `client(…)`. */
export const client = <T, In = unknown, Out = unknown>(options: ClientOptions<T, In, Out>): Adapter<In, Out> => {
  check(options)
  const { name, make, start, stop, send, probe, classify, silenceMaxMs, startWithinMs, secrets = [] } = options
  const { clock = realClock } = options
  const generations = new Generations<T, In>({ make, start, stop, probe, classify, silenceMaxMs, clock })
  return defineAdapter<In, Out>({
    name,
    target: { url: `client:${encodeURIComponent(name)}`, transport: generations.open, secrets },
    dialogue,
    ...(startWithinMs !== undefined && { handshakeMs: startWithinMs }),
    ...(send && {
      encode: (message: Out) => ({
        run: async (signal: AbortSignal) => {
          const ready = generations.client
          if (ready === undefined) throw refusal('the client is not ready')
          return await send(ready, message, signal)
        },
      }),
    }),
  })
}

/** An error that says that nothing was done. */
export const refusal = (text: string): Error => Object.assign(new Error(text), { delivered: 'refused' })

const check = (options: unknown): void => {
  if (typeof options !== 'object' || options === null) {
    throw new HoldfastError('bad-option', `client(…) got ${describe(options)}; it wants { name, make, start, stop }.`)
  }
  refuseUnknown(options, KNOWN, 'options of client()')
  const parts = options as Record<string, unknown>
  for (const part of [...NEEDED, ...FUNCTIONS]) {
    const value = parts[part]
    const mayMiss = (FUNCTIONS as readonly string[]).includes(part)
    if (typeof value === 'function' || (value === undefined && mayMiss)) continue
    throw new HoldfastError('bad-option', `client({ ${part} }) is ${describe(value)}; it must be a function.`)
  }
  for (const part of TIMES) if (parts[part] !== undefined) checkTime(parts[part], `client({ ${part} })`)
}

/** Throws unless it is a time in milliseconds that can be waited. */
export const checkTime = (value: unknown, where: string): void => {
  if (typeof value === 'number' && value >= 1 && value <= TIMER_MAX_MS) return
  throw new HoldfastError('bad-option', `${where} is ${describe(value)}; it must be milliseconds, 1 or more.`)
}

const dialogue = <In>(io: Io<In>): Dialogue => ({
  frame: () => 'unknown',
  event: (name, [value, mark]) => {
    if (name === 'ready') io.welcome()
    else if (name === 'message') io.deliver(value as In, markOf(mark))
    else if (name === 'offline') io.impaired('account-offline', typeof value === 'string' ? value : undefined)
    else if (name === 'online') io.recovered()
    else if (name !== 'alive') return 'unknown'
    return 'taken'
  },
})

/** Clients in plain JavaScript give ids of any kind. */
const markOf = (mark: unknown) => {
  const { id, cursor } = (mark ?? {}) as { id?: unknown; cursor?: unknown }
  const isPlace = typeof cursor === 'string' || typeof cursor === 'number'
  return { ...(typeof id === 'string' && id !== '' && { id }), ...(isPlace && { cursor }) }
}
