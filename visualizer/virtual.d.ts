/** What vite.config.ts makes of the machine while it builds. */
declare module 'virtual:chart' {
  /** The drawing, without style. */
  export const svg: string
  /** Every line of the drawing; names are the last ones of the paths, `link` is the chart itself. */
  export const edges: readonly {
    readonly id: string
    readonly from: string
    readonly to: string
    readonly events: readonly string[]
  }[]
  /** A state and the frames around it, innermost first. */
  export const around: Readonly<Record<string, readonly string[]>>
  /** For each state, the lines that can be taken from it: indexes in `edges`. */
  export const next: Readonly<Record<string, readonly number[]>>
  /** Deadlines of the states that have a fixed one, in milliseconds. */
  export const deadlines: Readonly<Record<string, number>>
}
declare module '*.css'
