/**
 * The seventh layer: a real link with the adapter, held just long enough to see it live; and the eighth on the same link,
 * which the adapter's own probes measure.
 */
import type { Fault } from '../../machines/fault.ts'
import type { Adapter, Io } from '../adapter/adapter.ts'
import type { LinkStatus } from '../explain.ts'
import { connect, type Link } from '../link.ts'
import type { Lookup } from '../net/resolve.ts'
import type { Answer } from './adapters.ts'
import { BEATS, BETWEEN_BEATS_MS, type HeartbeatsLayer } from './heartbeats.ts'
import { LATE, type Time } from './time.ts'

export interface HandshakeLayer {
  readonly name: 'handshake'
  /** The peer has welcomed us. What it says of the account behind it is in `fault`. */
  readonly ok: boolean
  readonly ms: number
  readonly adapter: string
  readonly state: LinkStatus['state']
  readonly fault: Fault | null
}

export interface Held {
  readonly adapter: Adapter
  readonly answer: Answer
  readonly lookup: Lookup
  readonly proxy: string | false | undefined
  readonly time: Time
}

const HANDSHAKE_MS = 8_000
const BEATS_MS = 7_000
/** A chatty peer is probed all the same, so often. */
const EVERY_MS = 1_000
const STOP_MS = 500

const ENDS: ReadonlySet<LinkStatus['state']> = new Set(['live', 'degraded.impaired', 'backoff', 'parked', 'stopped'])
const LOST: ReadonlySet<LinkStatus['state']> = new Set(['backoff', 'parked', 'stopped'])

/** The heartbeats come only if there was a welcome. */
export const hold = async (
  { adapter, answer, lookup, proxy, time }: Held,
  tell: (layer: HandshakeLayer | HeartbeatsLayer) => void,
): Promise<void> => {
  const startedAt = time.now()
  const beats = new Beats(time, answer)
  const link = connect(beats.listenTo(adapter), {
    id: 'doctor',
    trace: false,
    clock: time.clock,
    lookup,
    heartbeat: { quietMs: BETWEEN_BEATS_MS },
    deadlines: { handshakeMs: HANDSHAKE_MS },
    ...(proxy !== undefined && { proxy }),
  })
  try {
    const { state, fault } = (await settled(link, ENDS, HANDSHAKE_MS, time)) ?? link.status
    const ok = state === 'live' || state === 'degraded.impaired'
    const late: Fault | null = ok || fault ? fault : { code: 'handshake-timeout' }
    tell({ name: 'handshake', ok, ms: time.since(startedAt), adapter: adapter.name, state, fault: late })
    if (ok) tell(await watch(link, beats, time))
  } finally {
    await time.within(2 * STOP_MS, link.stop({ drainMs: STOP_MS }))
  }
}

const watch = async (link: Link, beats: Beats, time: Time): Promise<HeartbeatsLayer> => {
  const startedAt = time.now()
  const lost = settled(link, LOST, BEATS_MS, time)
  await Promise.race([time.within(BEATS_MS, beats.enough), lost])
  const { state, fault } = link.status
  const { roundTripsMs } = beats
  return {
    name: 'heartbeats',
    ok: roundTripsMs.length > 0 && !LOST.has(state),
    ms: time.since(startedAt),
    kind: beats.kind,
    roundTripsMs: roundTripsMs.slice(0, BEATS),
    unanswered: Math.max(0, BEATS - roundTripsMs.length),
    fault: LOST.has(state) || state === 'degraded.impaired' ? fault : null,
  }
}

/** The status with which the link came to one of these states; undefined if it did not in time. */
const settled = async (
  link: Link,
  states: ReadonlySet<LinkStatus['state']>,
  withinMs: number,
  time: Time,
): Promise<LinkStatus | undefined> => {
  const status = await time.attempt<LinkStatus>(withinMs, (settle) => {
    const subscription = link.state$.subscribe((each) => {
      if (states.has(each.state)) settle(each)
    })
    return () => subscription.unsubscribe()
  })
  return status === LATE ? undefined : status
}

const PING = 'ping'

/** Round trips of the adapter's probes, or of pings, heard between the link and its adapter. */
class Beats {
  readonly roundTripsMs: number[] = []
  readonly enough: Promise<void>
  readonly #time: Time
  readonly #answer: Answer
  #asked: { readonly key: string; readonly at: number } | undefined
  #tell: () => void = () => undefined

  constructor(time: Time, answer: Answer) {
    this.#time = time
    this.#answer = answer
    this.enough = new Promise((resolve) => {
      this.#tell = resolve
    })
  }

  get kind(): HeartbeatsLayer['kind'] {
    return this.#answer === 'pong' ? 'ping' : 'probe'
  }

  listenTo(adapter: Adapter): Adapter {
    return this.#answer === 'pong' ? this.#pinging(adapter) : this.#probing(adapter)
  }

  /** What has no probe of its own is pinged, one answer after another. */
  #pinging(adapter: Adapter): Adapter {
    return {
      ...adapter,
      dialogue: (io) => {
        const ask = () => {
          this.#asked = { key: PING, at: this.#time.now() }
          io.ping()
        }
        const welcome: typeof io.welcome = (options) => {
          io.welcome(options)
          ask()
        }
        const dialogue = adapter.dialogue({ ...io, welcome })
        const pong = () => {
          if (this.#heard(PING)) this.#time.clock.setTimeout(ask, BETWEEN_BEATS_MS)
          dialogue.pong?.()
        }
        return { ...dialogue, pong }
      },
    }
  }

  #probing(adapter: Adapter): Adapter {
    return {
      ...adapter,
      probe: (key) => {
        this.#asked = { key, at: this.#time.now() }
        return adapter.probe?.(key) ?? ''
      },
      dialogue: (io) => {
        const dialogue = adapter.dialogue({
          ...io,
          welcome: (options) => {
            io.welcome(options)
            io.heartbeat({ everyMs: EVERY_MS })
          },
          heartbeat: (rhythm) => io.heartbeat({ ...rhythm, everyMs: EVERY_MS }),
          answer: (key, result) => {
            this.#answered(key, io)
            io.answer(key, result)
          },
          refuse: (key, detail) => {
            this.#answered(key, io)
            io.refuse(key, detail)
          },
        })
        return {
          ...dialogue,
          frame: (frame) => {
            const verdict = dialogue.frame(frame)
            if (verdict === 'taken' && this.#answer === 'any') this.#answered(this.#asked?.key, io)
            return verdict
          },
        }
      },
    }
  }

  #answered(key: string | undefined, io: Io<unknown>): void {
    // the heartbeat looks at its time again when it has read this answer, and not when it would have missed it
    if (this.#heard(key)) this.#time.clock.setTimeout(() => io.heartbeat({}), 0)
  }

  /** Whether it was an answer, and more are wanted. */
  #heard(key: string | undefined): boolean {
    if (this.#asked === undefined || this.#asked.key !== key) return false
    this.roundTripsMs.push(this.#time.since(this.#asked.at))
    this.#asked = undefined
    if (this.roundTripsMs.length < BEATS) return true
    this.#tell()
    return false
  }
}
