/** Spending a session-start budget in virtual time, and counting what was spent. */
import type { Reservation, SessionBudget } from '../src/budget.ts'
import type { HeapClock } from '../src/testing/heap-clock.ts'

export const DAY_MS = 86_400_000

/** What Discord allows: 1,000 identifies a day, one in 5 s. */
export const discord = { key: 'bot', perDay: 1_000, perInterval: { count: 1, ms: 5_000 } } as const
/** Of these with the reserve of 10 %. */
export const USABLE = 900
export const HELD = 100

export const waitOf = (reservation: Reservation): number => {
  if (reservation.exhausted) throw new Error(`exhausted for ${reservation.untilMs} ms`)
  return reservation.waitMs
}

/** Most starts in any 24 hours, by monotonic time. */
export const busiestDay = (starts: readonly number[]): number => {
  const sorted = [...starts].sort((a, b) => a - b)
  let from = 0
  return sorted.reduce((most, at, to) => {
    while (sorted[from]! <= at - DAY_MS) from++
    return Math.max(most, to - from + 1)
  }, 0)
}

/** Spends as fast as it may for so long, and tells when the sessions were started. */
export const spendAll = async (clock: HeapClock, forMs: number, openBudget: () => SessionBudget) => {
  const until = clock.now() + forMs
  const starts: number[] = []
  while (clock.now() < until) {
    const reservation = await openBudget().reserve()
    clock.advanceSync(reservation.exhausted ? reservation.untilMs : reservation.waitMs)
    if (!reservation.exhausted) starts.push(clock.now())
  }
  return starts
}
