/** An examination as the tests ask for it, and what they look at first. */
import { realClock } from '../../src/clock.ts'
import { type ExamineOptions, examine, type Report } from '../../src/doctor/examine.ts'
import { knownOf, type LayerName } from '../../src/doctor/layers.ts'

/** Whatever proxy this machine goes through. */
export const direct = { proxy: false } as const

export const look = async (url: string, options: ExamineOptions = {}) => {
  const report = await examine(url, { ...direct, ...options })
  return { ...report, code: report.diagnosis.code, known: knownOf(report.layers) }
}

/** Where the descent ended. */
export const failedAt = ({ layers }: Report): LayerName | undefined => layers.find(({ ok }) => ok === false)?.name

/** Loses patience ten times as fast: for what is only to be seen to end. */
export const hasty = { ...realClock, setTimeout: (run: () => void, ms: number) => realClock.setTimeout(run, ms / 10) }
