/**
 * Frames and clock to `heartbeat.missed` and `heartbeat.seen`: the activity that watches a session.
 *
 * Any inbound counts as life, and it is told here before it is queued anywhere. When it is quiet for a while, or a message
 * waits for its answer, the peer is probed; a probe that stays unanswered is one missed heartbeat, and the next probe
 * follows at once. The contract that makes `live` a watched state: within `quietMs + answerMaxMs` of silence this stream
 * says `missed`, and again for each further probe. The verdict is the chart's, after its grace.
 *
 * It never blames the peer for our own stall: a timer that fires late means that we slept, so the window starts anew with
 * a probe (regressions R10, R75, R96).
 */
import { Observable, type Subject } from 'rxjs'
import { type Clock, STALL_MS, type Timer } from './clock.ts'

/**
 * All in milliseconds. An idle peer that is gone is given up within `quietMs + answerMaxMs` and the link's
 * `deadlines.graceMs` of its last sign of life: 13 s by the defaults, 3 s with 2,000 + 500 + 500.
 */
export interface HeartbeatOptions {
  /** Quiet for so long: probe. */
  readonly quietMs: number
  /** The same while a message waits for its answer. */
  readonly quietWaitingMs: number
  /** An answer is awaited for the measured round trip and some time for its changes, within these bounds. */
  readonly answerMinMs: number
  readonly answerMaxMs: number
  /**
   * No message for so long, although the heartbeat is fine: `degraded.impaired`, which holds back what is to be sent until
   * one comes. For bots in lively groups only. Default: what the adapter says, and most say nothing.
   */
  readonly deafMs?: number | undefined
}

export const heartbeatDefaults: HeartbeatOptions = {
  quietMs: 8_000,
  quietWaitingMs: 750,
  answerMinMs: 1_000,
  answerMaxMs: 3_000,
  deafMs: undefined,
}

/** What the peer wants or announces: see `Io.heartbeat`. */
export interface Rhythm {
  readonly expectMs?: number | undefined
  readonly everyMs?: number | undefined
  readonly payloadMs?: number | undefined
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
  /** Something arrived at this time of the clock, the welcome first. */
  heard?(at: number): void
  /** The smoothed round trip has changed. */
  measured?(roundTripMs: number): void
}

export type Beat = { type: 'heartbeat.missed' } | { type: 'heartbeat.seen' }

const RHYTHM_MIN_MS = 1_000
const RHYTHM_MAX_MS = 600_000
const PAYLOAD_MAX_MS = 86_400_000

const clamp = (ms: number | undefined, maxMs: number): number | undefined =>
  ms === undefined || Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, RHYTHM_MIN_MS), maxMs)

/**
 * The rhythm with what a peer says anew. What it says is bounded, so that 0 is no busy loop and 1e12 no eternity; what it
 * does not say, or says as NaN, stays as it was.
 */
export const adjust = (rhythm: Rhythm, { expectMs, everyMs, payloadMs }: Rhythm): Rhythm => ({
  expectMs: clamp(expectMs, RHYTHM_MAX_MS) ?? rhythm.expectMs,
  everyMs: clamp(everyMs, RHYTHM_MAX_MS) ?? rhythm.everyMs,
  payloadMs: clamp(payloadMs, PAYLOAD_MAX_MS) ?? rhythm.payloadMs,
})

/** An announced beat may be lost, or late by a whole interval, before the peer is asked. */
const BEATS_EXPECTED = 2

/** The round trip as TCP keeps it: smoothed, with its mean deviation (RFC 6298, section 2). */
interface RoundTrip {
  readonly meanMs: number
  readonly deviationMs: number
}

const measure = (known: RoundTrip | undefined, sampleMs: number): RoundTrip => {
  if (known === undefined) return { meanMs: sampleMs, deviationMs: sampleMs / 2 }
  const errorMs = sampleMs - known.meanMs
  return {
    meanMs: known.meanMs + errorMs / 8,
    deviationMs: known.deviationMs + (Math.abs(errorMs) - known.deviationMs) / 4,
  }
}

/** TCP waits for four deviations. Behind our deadline lies the grace, so half as many will do. */
const DEVIATIONS = 2
/** However steady the round trip is, an answer may be late by so much. */
const SLACK_MS = 250

export const heartbeat = (pulse: Pulse, clock: Clock, options: HeartbeatOptions): Observable<Beat> =>
  new Observable((subscriber) => {
    const begunAt = clock.now()
    /** Where in the peer's interval the first beat falls: links that came up together must not beat together. */
    const lot = clock.random()
    let lastInboundAt = begunAt
    let lastProbeAt: number | undefined
    /** When the first and the latest of the probes that are still unanswered were sent. */
    let asked: { readonly firstAt: number; readonly lastAt: number } | undefined
    let roundTrip: RoundTrip | undefined
    let missed = false
    let timer: Timer | undefined
    let dueAt = begunAt

    const answerMs = () => {
      const { answerMinMs, answerMaxMs } = options
      const hasteMs = pulse.waiting() ? answerMinMs + SLACK_MS : answerMaxMs
      const wanted = roundTrip ? roundTrip.meanMs + Math.max(SLACK_MS, DEVIATIONS * roundTrip.deviationMs) : hasteMs
      return Math.min(Math.max(wanted, answerMinMs), answerMaxMs)
    }

    const nextAt = () => {
      if (asked) return asked.lastAt + answerMs()
      const { expectMs = Number.POSITIVE_INFINITY, everyMs } = pulse.rhythm()
      const quietMs = Math.min(pulse.waiting() ? options.quietWaitingMs : options.quietMs, BEATS_EXPECTED * expectMs)
      return Math.min(lastInboundAt + quietMs, nextBeatAt(everyMs))
    }

    /** The first probe measures the round trip before it is needed, unless the peer says when it wants to be probed. */
    const nextBeatAt = (everyMs: number | undefined) => {
      if (lastProbeAt === undefined) return begunAt + (everyMs ?? 0) * lot
      return lastProbeAt + (everyMs ?? Number.POSITIVE_INFINITY)
    }

    const stalled = () => clock.now() - dueAt > STALL_MS

    const arm = () => {
      clock.clearTimeout(timer)
      dueAt = Math.max(nextAt(), clock.now())
      timer = clock.setTimeout(tick, dueAt - clock.now())
    }

    /** A timer that is early looks again when it fires; one that would be too late is set anew. */
    const hasten = () => {
      if (!stalled() && nextAt() < dueAt) arm()
    }

    const probe = () => {
      lastProbeAt = clock.now()
      asked = { firstAt: asked?.firstAt ?? lastProbeAt, lastAt: lastProbeAt }
      pulse.probe()
    }

    const tick = () => {
      if (stalled()) {
        lastInboundAt = clock.now()
        asked = undefined
        probe()
      } else if (clock.now() >= nextAt()) {
        if (asked) {
          missed = true
          subscriber.next({ type: 'heartbeat.missed' })
        }
        if (!subscriber.closed) probe()
      }
      if (!subscriber.closed) arm()
    }

    const noticeInbound = () => {
      lastInboundAt = clock.now()
      pulse.heard?.(lastInboundAt)
      if (!asked) return
      // what our own stall took is no part of the round trip
      if (!stalled()) {
        roundTrip = measure(roundTrip, lastInboundAt - asked.firstAt)
        pulse.measured?.(roundTrip.meanMs)
      }
      asked = undefined
      hasten()
      if (!missed) return
      missed = false
      subscriber.next({ type: 'heartbeat.seen' })
    }

    pulse.heard?.(begunAt)
    subscriber.add(pulse.inbound$.subscribe(noticeInbound))
    subscriber.add(pulse.changed$.subscribe(hasten))
    subscriber.add(
      pulse.doubted$.subscribe(() => {
        if (asked) return
        probe()
        arm()
      }),
    )
    subscriber.add(() => clock.clearTimeout(timer))
    // In a turn of its own: this turn may still be reading the welcome, which would pass for the answer, and the peer's
    // rhythm, which comes with it.
    timer = clock.setTimeout(tick, 0)
  })
