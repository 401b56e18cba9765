/** Which line of the drawing a transition took: the innermost one that knows the event. */
import { around, edges, next } from 'virtual:chart'

const leaf = (state: string): string => state.slice(state.lastIndexOf('.') + 1)
const framesOf = (state: string): readonly string[] => (Object.hasOwn(around, leaf(state)) ? around[leaf(state)]! : [])
const known = new Map<string, number>()

export const nodeIdOf = (state: string): string => `n-${leaf(state)}`

/** What can happen next: indexes in `edges`. */
export const nextEdges = (state: string): readonly number[] =>
  Object.hasOwn(next, leaf(state)) ? next[leaf(state)]! : []

/** Index in `edges`; -1 for a transition that the chart does not have. */
export const edgeOf = (from: string, event: string, to: string): number => {
  const key = JSON.stringify([from, event, to])
  const before = known.get(key)
  if (before !== undefined) return before
  const ends = framesOf(to)
  const candidates = framesOf(from).flatMap((start) =>
    edges.flatMap((edge, index) => (edge.from === start && ends.includes(edge.to) ? [index] : [])),
  )
  const taken = candidates.find((index) => edges[index]!.events.includes(event)) ?? -1
  // What a stranger writes must not grow the memory for ever.
  if (known.size < 10_000) known.set(key, taken)
  return taken
}
