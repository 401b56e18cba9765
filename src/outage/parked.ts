/** The one call when a link is parked: a person is needed, and nobody looks. */
import type { Fault, Text } from '../../machines/fault.ts'
import { faults } from '../../machines/fault.ts'
import { explain, type LinkStatus } from '../explain.ts'

export interface ParkedNotice {
  /** The link. */
  readonly id: string
  readonly fault: Fault
  /** Milliseconds since 1970. */
  readonly since: number
  /** What a person can do about it. */
  readonly advice: Text
  /** All that there is to say, in a line. */
  readonly explanation: Text
  /** Sets the link going again, as `link.resume()` does. */
  resume(): void
}

/** Told once for each parking. What it throws, and what it rejects with, is counted and warned of, and harms nothing. */
export type OnParked = (notice: ParkedNotice) => unknown

/** Undefined if the link is not parked, or by the order of a person, who knows. */
export const parkedNotice = (status: LinkStatus, now: number, resume: () => void): ParkedNotice | undefined => {
  const { id, state, since } = status
  const fault = status.fault ?? { code: 'unknown' as const }
  if (state !== 'parked' || fault.code === 'held') return undefined
  const explanation = { en: explain(status, now, 'en').text, zh: explain(status, now, 'zh').text }
  return { id, fault, since, advice: faults[fault.code].advice, explanation, resume }
}
