/** The curves of backoff as tables. */
import { backoffDelay, type Curve, curves, nothingSpent } from '../machines/delay.ts'
import type { FaultCode } from '../machines/fault.ts'
import { duration } from '../src/diagram/model.ts'
import { markdownTable } from '../src/diagram/table.ts'

export const curveTable = (): string =>
  markdownTable(
    ['curve', 'base', 'cap', 'floor', 'after many dials'],
    Object.entries(curves).map(([name, { baseMs, capMs, creepMs, floor, patience }]) => [
      `\`${name}\``,
      duration(baseMs),
      creepMs ? `${duration(capMs)}, and ${duration(creepMs)} more with each dial` : duration(capMs),
      `${floor * 100} %`,
      patience ? `cap ${duration(patience.capMs)} after ${patience.after} dials` : '',
    ]),
  )

const COUNTS = [1, 2, 3, 4, 5, 6, 8, 12, 34]
const IDS = Array.from({ length: 500 }, (_, n) => `link-${n}`)
const faultOf: Record<Curve, FaultCode> = { vacant: 'refused', dropped: 'dropped', costly: 'peer-unavailable' }

/** In seconds, from the least to the most that many links would draw. */
export const waitTable = (): string =>
  markdownTable(
    ['failed dials', ...COUNTS.map(String)],
    (Object.keys(curves) as Curve[]).map((curve) => [`\`${curve}\``, ...COUNTS.map((count) => waitOf(curve, count))]),
  )

const waitOf = (curve: Curve, count: number): string => {
  const spent = { ...nothingSpent, [curve]: count }
  const waits = IDS.map((id) => backoffDelay(id, spent, { code: faultOf[curve] }))
  return `${seconds(Math.min(...waits))}–${seconds(Math.max(...waits))}`
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(ms < 1_000 ? 2 : ms < 10_000 ? 1 : 0)
