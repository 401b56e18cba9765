/** Figures as people read them; they are the same in both languages. */

export const duration = (ms: number): string => (Math.abs(ms) < 1_000 ? `${Math.round(ms)} ms` : `${seconds(ms)} s`)

const seconds = (ms: number): string => (ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)

const MINUTE_MS = 60_000
const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [MINUTE_MS, 'min'],
] as const

/** `2 h 3 min`: how wrong a clock is. */
export const span = (ms: number): string => {
  let left = Math.round(Math.abs(ms) / MINUTE_MS) * MINUTE_MS
  const parts = UNITS.map(([size, name]) => {
    const count = Math.floor(left / size)
    left -= count * size
    return count > 0 ? `${count} ${name}` : ''
  })
  return parts.filter(Boolean).slice(0, 2).join(' ') || '0 min'
}

/** `2026-11-20` */
export const day = (iso: string): string => iso.slice(0, 10)
