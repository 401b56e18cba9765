/** One line of a bench: what was measured, what came out, what was promised, and whether it was kept. */
export type Report = (what: string, value: string, wanted: string, kept: boolean) => void

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

export const ms = (value: number): string => `${Math.round(value)} ms`
