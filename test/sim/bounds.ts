/** What the properties promise, in numbers that follow from the delays. */
import { curves, deadlines } from '../../machines/delay.ts'
import type { LinkStatus } from '../../src/explain.ts'
import { heartbeatDefaults } from '../../src/heartbeat.ts'

/** What the governor grants one link in any minute: dials that fail, and dials that the peer accepts. */
export const DIALS_MAX_A_MINUTE = 40 + 12

/** From stop() to the end of everything. */
export const STOP_MAX_MS = deadlines.closeDeadline + 1_000

/** Four steps of a healthy peer and the settling between them. */
export const PATH_MAX_MS = 100

/** Until a probe that a waiting message hastens has proven what an earlier ping did not. */
export const PROOF_MAX_MS = 2 * heartbeatDefaults.answerMaxMs

/**
 * HF-L1. What is left of the old attempt runs into its deadline, or into the heartbeat if it looked alive; then comes at
 * most the longest backoff, and a way up that a healthy world makes short. A link that waits already says how long.
 */
export const recoveryBound = ({ nextDialAt }: LinkStatus, wall: number): number => {
  if (nextDialAt !== null) return nextDialAt - wall + PATH_MAX_MS
  const { quietMs, answerMaxMs } = heartbeatDefaults
  const { resolveDeadline, connectDeadline, handshakeDeadline, replayDeadline, suspectGrace } = deadlines
  const silence = quietMs + answerMaxMs + suspectGrace
  const noticing = Math.max(resolveDeadline, connectDeadline, handshakeDeadline, replayDeadline, silence)
  return noticing + curves.costly.capMs + PATH_MAX_MS
}
