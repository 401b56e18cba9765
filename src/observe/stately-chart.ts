/** The link's chart as an inspector of Stately's kind knows it: by its definition, its nested values and XState's names. */
import { linkMachine, type StateName, stateName } from '../../machines/link.ts'

/** The chart's own words, as JSON; a function is known by its name. */
export const definition: string = JSON.stringify(linkMachine.config, (_key, value: unknown) =>
  typeof value === 'function' ? { type: value.name } : value,
)

export interface Place {
  /** Such as `{ attached: { session: 'live' } }`. */
  readonly value: unknown
  readonly tags: readonly string[]
}

/** Where a state lies in the chart. */
export const placeOf = (name: StateName): Place => places.get(name)!

/** The event as XState names it: a record says `after connectDeadline`, and the chart has one state with that deadline. */
export const eventTypeOf = (event: string): string => deadlineEvents.get(event) ?? event

/** As much of XState's nodes as is read here. */
interface ChartNode {
  readonly path: readonly string[]
  readonly tags: readonly string[]
  readonly after: readonly { readonly delay: unknown; readonly eventType: string }[]
  readonly states: Readonly<Record<string, ChartNode>>
}

const nodesIn = (node: ChartNode): ChartNode[] => [node, ...Object.values(node.states).flatMap(nodesIn)]

const nodes = nodesIn(linkMachine.root as unknown as ChartNode)

const nested = ([head, ...rest]: readonly string[]): unknown => (rest.length === 0 ? head : { [head!]: nested(rest) })

/** A state has the tags of all states around it too. */
const tagsAt = (path: readonly string[]): string[] =>
  nodes.filter((node) => node.path.every((key, depth) => path[depth] === key)).flatMap(({ tags }) => tags)

const places: ReadonlyMap<StateName, Place> = new Map(
  nodes
    .filter(({ states }) => Object.keys(states).length === 0)
    .map(({ path }) => ({ value: nested(path), tags: tagsAt(path) }))
    .map((place) => [stateName(place.value), place]),
)

const deadlineEvents: ReadonlyMap<string, string> = new Map(
  nodes.flatMap(({ after }) => after.map(({ delay, eventType }) => [`after ${String(delay)}`, eventType] as const)),
)
