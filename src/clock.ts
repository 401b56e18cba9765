/**
 * The only door to time and dice. XState, heartbeat, outbox and transports all share one clock, so a test that brings
 * its own (`heapClock()` in holdfast/testing) holds all of time in its hand.
 */
import { TIMER_MAX_MS } from '../machines/delay.ts'

export type Timer = object

export interface Clock {
  /** Monotonic milliseconds: for every deadline and duration. */
  now(): number
  /** Milliseconds since 1970: for labels that people read, never for decisions. */
  wall(): number
  /** A number in [0, 1). */
  random(): number
  setTimeout(run: () => void, delayMs: number): Timer
  clearTimeout(timer: Timer | undefined): void
}

/** A timer that fires so late was not late because of the peer: our own process slept or was blocked. */
export const STALL_MS = 1_000

/** A timer that fires later than this was held up by something, so there may be answers that nobody has read yet. */
export const LATE_MS = 50

/** After a stall, what judges the peer waits so long for the answer that our probe on waking may bring. */
const AGAIN_MS = 2_000

/** A clock whose timers wait once more if they are late by our own fault, and it is the peer that they would blame. */
export const patient = (clock: Clock, judging: () => boolean): Pick<Clock, 'setTimeout' | 'clearTimeout'> => ({
  setTimeout: (run, delayMs) => {
    const dueAt = clock.now() + delayMs
    const fire = () => {
      const isStalled = clock.now() - dueAt > STALL_MS
      if (isStalled && judging()) timer.inner = clock.setTimeout(run, Math.min(delayMs, AGAIN_MS))
      else run()
    }
    const timer = { inner: clock.setTimeout(fire, delayMs) }
    return timer
  },
  clearTimeout: (timer) => clock.clearTimeout((timer as { inner: Timer } | undefined)?.inner),
})

interface RealTimer {
  timeout?: NodeJS.Timeout
  immediate?: NodeJS.Immediate
}

const setRealTimeout = (run: () => void, delayMs: number): RealTimer => {
  const dueAt = performance.now() + delayMs
  const timer: RealTimer = {}
  timer.timeout = setTimeout(
    () => {
      const late = performance.now() - dueAt
      // After a stall Node runs overdue timers before it reads the sockets, so a deadline would be judged before the
      // answer that has been waiting in the kernel all the while. One turn of the loop lets it be read (regression R10).
      if (late > LATE_MS) timer.immediate = setImmediate(run)
      else run()
    },
    Math.min(delayMs, TIMER_MAX_MS),
  )
  return timer
}

export const realClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  random: () => Math.random(),
  setTimeout: setRealTimeout,
  clearTimeout: (timer) => {
    const { timeout, immediate } = (timer ?? {}) as RealTimer
    clearTimeout(timeout)
    clearImmediate(immediate)
  },
}
