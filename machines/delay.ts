/**
 * Backoff as a pure value: no clock, no dice, no counter to reset. The same link in the same situation always waits the
 * same time, so a run can be replayed exactly; two links never march in step, because the jitter is a hash of the id.
 */
import { type Fault, kindOf } from './fault.ts'

/** How many dials each curve has used up since the link last proved itself. */
export interface Spent {
  readonly vacant: number
  readonly dropped: number
  readonly costly: number
}

export type Curve = keyof Spent

interface CurveShape {
  readonly baseMs: number
  readonly capMs: number
  /** The delay is drawn from [floor × d, d]. */
  readonly floor: number
  /** The cap grows by so much with each dial. */
  readonly creepMs?: number
  /** After so many dials the cap rises: what has not come back by then will not come back soon. */
  readonly patience?: { readonly after: number; readonly capMs: number }
}

/**
 * Three curves, by what a dial costs the other side. Each number answers to a bound that `npm run bench` measures:
 *
 * - vacant: most restarts end within half a minute, so the first 33 dials come about a second apart and the link is back
 *   within a second of the peer; then 6 s, so that the first minute holds 40 dials at most, whatever the jitter draws.
 * - dropped: the floor of ¾ keeps even the unluckiest draw at 10 dials in the first minute.
 * - costly: 120 s with a floor of ¾ stays under 1,000 session starts a day against a peer that dies after every welcome,
 *   even for an id whose every draw is the least.
 */
export const curves: Record<Curve, CurveShape> = {
  vacant: { baseMs: 250, capMs: 950, creepMs: 10, floor: 0.85, patience: { after: 33, capMs: 6_000 } },
  dropped: { baseMs: 1_000, capMs: 12_000, floor: 0.75 },
  costly: { baseMs: 1_000, capMs: 120_000, floor: 0.75 },
}

/** Counters stop here; beyond it no curve changes any more. It keeps the chart's state space finite. */
export const SPENT_MAX = 36

/** A peer that asks for more than this is not believed. */
export const RETRY_AFTER_MAX_MS = 3_600_000

/** Node fires a longer timer after 1 ms instead (the 32-bit limit of setTimeout). */
export const TIMER_MAX_MS = 2 ** 31 - 1

/** Every wait of the chart, in milliseconds. */
export const deadlines = {
  /** DNS and the provider of the URL. */
  resolveDeadline: 10_000,
  /** TCP. Three SYNs take 7 s when two are lost. */
  connectDeadline: 10_000,
  /** From the open socket to the welcome: TLS, upgrade, identify. */
  handshakeDeadline: 15_000,
  /** From the welcome to caught-up. */
  replayDeadline: 15_000,
  /** From the first unanswered probe to the verdict. */
  suspectGrace: 2_000,
  /** So long live that past attempts are forgiven: 86,400 s / (0.9 × 1,000 session starts a day), rounded up. */
  provenAfter: 120_000,
  /** From the order to stop until the transport is cut whatever is left. */
  closeDeadline: 3_000,
} as const

export type Deadline = keyof typeof deadlines

/** The curve that a dial after this fault moves along. */
export const curveOf = (fault: Fault | null): Curve => {
  const kind = fault ? kindOf(fault) : 'costly'
  return kind === 'vacant' || kind === 'dropped' ? kind : 'costly'
}

/** A fault uses up one dial of its curve and forgives the cheaper curves, never the dearer ones. */
export const spend = (spent: Spent, curve: Curve): Spent => {
  const more = Math.min(spent[curve] + 1, SPENT_MAX)
  if (curve === 'costly') return { vacant: 0, dropped: 0, costly: more }
  if (curve === 'dropped') return { ...spent, vacant: 0, dropped: more }
  return { ...spent, vacant: more }
}

export const nothingSpent: Spent = { vacant: 0, dropped: 0, costly: 0 }

/** The number of the current dial since the link last proved itself, from 1. */
export const attemptOf = (spent: Spent): number => 1 + spent.vacant + spent.dropped + spent.costly

/**
 * How long to wait before the next dial, in whole milliseconds.
 * A delay that the peer asked for is a minimum, plus up to 10 % so that all who were told the same do not return together.
 */
export const backoffDelay = (id: string, spent: Spent, fault: Fault | null): number => {
  const curve = curveOf(fault)
  const { baseMs, capMs, creepMs = 0, floor, patience } = curves[curve]
  const n = Math.max(1, spent[curve])
  const cap = patience && n > patience.after ? patience.capMs : capMs + creepMs * n
  const full = Math.min(cap, baseMs * 2 ** (n - 1))
  const own = full * (floor + (1 - floor) * jitter(id, attemptOf(spent)))
  const asked = askedMs(fault)
  const told = asked + 0.1 * asked * jitter(id, -attemptOf(spent))
  return Math.min(Math.ceil(Math.max(own, told)), TIMER_MAX_MS)
}

/** How long the peer asked us to wait, in milliseconds, as far as it is believed; 0 if it did not ask. */
export const askedMs = (fault: Fault | null): number => {
  const { retryAfterMs: ms } = fault ?? {}
  return ms === undefined || !(ms > 0) ? 0 : Math.min(ms, RETRY_AFTER_MAX_MS)
}

/** A number in [0, 1) that is always the same for the same arguments: FNV-1a over the id, finished as in murmur3. */
export const jitter = (id: string, n: number): number => {
  let hash = 0x811c9dc5 ^ n
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32
}
