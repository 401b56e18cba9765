/**
 * Where the parts of a chart's picture stand. Ours are placed by hand, because the eye learns places. Only coordinates are
 * kept; every word in a picture comes from its chart.
 */

export interface Point {
  readonly x: number
  readonly y: number
}

export interface Box extends Point {
  readonly width: number
  readonly height: number
}

/** What a state means to somebody who looks at the picture for a second. */
export type Tone = 'way' | 'live' | 'worse' | 'wait' | 'person' | 'end'

export interface Label extends Point {
  readonly anchor?: 'start' | 'middle' | 'end'
  /** All causes on one line. */
  readonly oneLine?: true
}

export interface Line {
  /** Corners of the line; the last one is the tip of the arrow. */
  readonly points: readonly Point[]
  readonly label: Label
  /** The way to `live`, drawn stronger. */
  readonly main?: true
}

export interface Layout {
  readonly width: number
  readonly height: number
  readonly states: Readonly<Record<string, Box & { readonly tone: Tone }>>
  /** The title stands in the upper left corner unless a line passes there. */
  readonly frames: Readonly<Record<string, Box & { readonly title?: Point }>>
  /** By `from>to`, in paths. */
  readonly lines: Readonly<Record<string, Line>>
  /** Dots that mark the state entered first, with the tip of their arrow. */
  readonly initials: readonly { readonly from: Point; readonly to: Point }[]
  /** Room for the orders that hold everywhere, if there are any: beside each other, or one below the other. */
  readonly everywhere?: Box & { readonly isStacked?: boolean }
  readonly legend?: Point
}

export const at = (x: number, y: number): Point => ({ x, y })
export const box = (left: number, top: number, right: number, bottom: number): Box => ({
  ...at(left, top),
  width: right - left,
  height: bottom - top,
})
export const state = (tone: Tone, left: number, top: number, right: number, bottom: number) => ({
  ...box(left, top, right, bottom),
  tone,
})
export const down = (x: number, from: number, to: number, label: Label): Line => ({
  points: [at(x, from), at(x, to)],
  label,
})
export const along = (y: number, from: number, to: number, label: Label): Line => ({
  points: [at(from, y), at(to, y)],
  label,
})

/** Names that the picture and the page that animates it share; the last name of a path tells a state apart. */
export const leafOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1)
export const nodeId = (path: string): string => `n-${leafOf(path)}`
export const edgeId = (from: string, to: string): string => `e-${leafOf(from)}-${leafOf(to)}`
