/**
 * Frames and clock to `heartbeat.missed` and `heartbeat.seen`: the activity that watches a session.
 *
 * Any inbound counts as life. When it is quiet for a while, or a message waits for its answer, the peer is probed; a probe
 * that stays unanswered is one missed heartbeat, and the next probe follows at once. The contract that makes `live` a
 * watched state: within `quietMs + answerMaxMs` of silence this stream says `missed`, and again for each further probe.
 *
 * It never blames the peer for our own stall: a timer that fires late means that we slept, so the window starts anew with
 * a probe (regressions R10, R75, R96).
 */
import { Observable, type Subject } from 'rxjs'
import { type Clock, STALL_MS, type Timer } from './clock.ts'

/** All in milliseconds. */
export interface HeartbeatOptions {
  /** Quiet for so long: probe. */
  readonly quietMs: number
  /** The same while a message waits for its answer. */
  readonly quietWaitingMs: number
  /** An answer is awaited for 4 × the measured round trip, within these bounds. */
  readonly answerMinMs: number
  readonly answerMaxMs: number
}

export const heartbeatDefaults: HeartbeatOptions = {
  quietMs: 8_000,
  quietWaitingMs: 750,
  answerMinMs: 1_000,
  answerMaxMs: 3_000,
}

/** What the peer wants or announces: see `Io.heartbeat`. */
export interface Rhythm {
  readonly expectMs?: number | undefined
  readonly everyMs?: number | undefined
}

/** The heartbeat's view of a conversation. */
export interface Pulse {
  /** Something arrived, and it was of the protocol. */
  readonly inbound$: Subject<void>
  /** The rhythm changed, or a message began to wait. */
  readonly changed$: Subject<void>
  /** There is a reason to doubt the transport: the machine slept, or its network changed. Probe now. */
  readonly doubted$: Subject<void>
  rhythm(): Rhythm
  /** Whether a message waits for its answer. */
  waiting(): boolean
  probe(): void
}

export type Beat = { type: 'heartbeat.missed' } | { type: 'heartbeat.seen' }

const RHYTHM_MIN_MS = 1_000
const RHYTHM_MAX_MS = 600_000

/** An interval from a peer: bounded, so that 0 is no busy loop and 1e12 no eternity. NaN says nothing. */
export const clampRhythm = (ms: number | undefined): number | undefined =>
  ms === undefined || Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, RHYTHM_MIN_MS), RHYTHM_MAX_MS)

/** Weight of a new sample in the smoothed round trip, as in TCP (RFC 6298). */
const SMOOTHING = 1 / 8

export const heartbeat = (pulse: Pulse, clock: Clock, options: HeartbeatOptions): Observable<Beat> =>
  new Observable((subscriber) => {
    let lastInboundAt = clock.now()
    let lastProbeAt = lastInboundAt
    /** When the probe that is still unanswered was sent. */
    let askedAt: number | undefined
    let roundTripMs: number | undefined
    let missed = false
    let timer: Timer | undefined
    let dueAt = 0

    const answerMs = () => {
      const wanted = roundTripMs === undefined ? options.answerMaxMs : 4 * roundTripMs
      return Math.min(Math.max(wanted, options.answerMinMs), options.answerMaxMs)
    }

    const nextAt = () => {
      if (askedAt !== undefined) return askedAt + answerMs()
      const { expectMs, everyMs } = pulse.rhythm()
      const quiet = Math.min(
        pulse.waiting() ? options.quietWaitingMs : options.quietMs,
        expectMs === undefined ? Number.POSITIVE_INFINITY : expectMs * 1.5,
      )
      const beat = everyMs === undefined ? Number.POSITIVE_INFINITY : lastProbeAt + everyMs
      return Math.min(lastInboundAt + quiet, beat)
    }

    const arm = () => {
      clock.clearTimeout(timer)
      dueAt = nextAt()
      timer = clock.setTimeout(tick, Math.max(0, dueAt - clock.now()))
    }

    const probe = () => {
      askedAt = clock.now()
      lastProbeAt = askedAt
      pulse.probe()
    }

    const tick = () => {
      const now = clock.now()
      if (now - dueAt > STALL_MS) {
        lastInboundAt = now
        probe()
      } else if (now >= nextAt()) {
        if (askedAt !== undefined) {
          missed = true
          subscriber.next({ type: 'heartbeat.missed' })
        }
        if (!subscriber.closed) probe()
      }
      if (!subscriber.closed) arm()
    }

    const noticeInbound = () => {
      lastInboundAt = clock.now()
      if (askedAt === undefined) return
      const sample = lastInboundAt - askedAt
      roundTripMs = roundTripMs === undefined ? sample : roundTripMs + SMOOTHING * (sample - roundTripMs)
      askedAt = undefined
      // while probes are answered the armed timer is early at worst; it looks again when it fires
      if (!missed) return
      missed = false
      subscriber.next({ type: 'heartbeat.seen' })
    }

    subscriber.add(pulse.inbound$.subscribe(noticeInbound))
    subscriber.add(
      pulse.changed$.subscribe(() => {
        if (nextAt() < dueAt) arm()
      }),
    )
    subscriber.add(
      pulse.doubted$.subscribe(() => {
        if (askedAt !== undefined) return
        probe()
        arm()
      }),
    )
    subscriber.add(() => clock.clearTimeout(timer))
    // The first probe measures the round trip before it is needed. It goes in a turn of its own: this turn may still be
    // reading the welcome, which would pass for the answer.
    dueAt = clock.now()
    timer = clock.setTimeout(() => {
      probe()
      arm()
    }, 0)
  })
