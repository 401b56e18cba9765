/** A chart in the language of Graphviz, which lays out machines of any size: `dot -Tsvg`. */
import { leafOf } from './layout.ts'
import { type Chart, causesOf, type Edge, edgesOf, type State } from './model.ts'

export const dotOf = (chart: Chart): string => {
  const edges = edgesOf(chart)
  return [
    `digraph ${quoted(chart.id)} {`,
    '  compound=true',
    '  rankdir=LR',
    '  node [shape=box, style=rounded, fontname="sans-serif"]',
    '  edge [fontname="sans-serif", fontsize=10]',
    ...blockOf(chart, '', chart.initial, '  '),
    ...edges.filter(({ from }) => from !== '').map((edge) => lineOf(chart, edge)),
    ...asideOf(edges.filter(({ from }) => from === '')),
    '}',
    '',
  ].join('\n')
}

/** What lies directly inside one state: its children, and a dot that leads to the one entered first. */
const blockOf = (chart: Chart, parent: string, initial: string | null, indent: string): string[] => [
  ...(initial === null ? [] : startOf(chart, parent, initial).map((line) => indent + line)),
  ...chart.states
    .filter((state) => state.parent === parent)
    .flatMap((child) => (isNested(child) ? clusterOf(chart, child, indent) : [nodeOf(child, indent)])),
]

const startOf = (chart: Chart, parent: string, initial: string): string[] => {
  const start = quoted(`start ${parent}`)
  const { node, frame } = endOf(chart, initial)
  return [`${start} [shape=point, label=""]`, `${start} -> ${quoted(node)}${attributes(frame && ['lhead', frame])}`]
}

const isNested = ({ kind }: State): boolean => kind === 'compound' || kind === 'parallel'

const clusterOf = (chart: Chart, state: State, indent: string): string[] => [
  `${indent}subgraph ${quoted(clusterName(state.path))} {`,
  `${indent}  label=${quoted(titleOf(state))}`,
  `${indent}  style=${state.kind === 'parallel' ? 'dashed' : 'rounded'}`,
  ...blockOf(chart, state.path, state.initial, `${indent}  `),
  `${indent}}`,
]

const nodeOf = (state: State, indent: string): string =>
  `${indent}${quoted(state.path)} [label=${quoted(titleOf(state))}${state.final ? ', peripheries=2' : ''}]`

const titleOf = ({ name, invokes }: State): string => (invokes.length === 0 ? name : `${name}\n(${invokes.join(', ')})`)

const clusterName = (path: string): string => `cluster ${path}`

const lineOf = (chart: Chart, { from, to, arrows }: Edge): string => {
  const tail = endOf(chart, from)
  const head = endOf(chart, to)
  const label = causesOf(arrows).join('\n')
  const ends = attributes(['label', label], tail.frame && ['ltail', tail.frame], head.frame && ['lhead', head.frame])
  return `  ${quoted(tail.node)} -> ${quoted(head.node)}${ends}`
}

/** Graphviz joins nodes only: a line to a frame goes to a node in it, and is cut off at the frame. */
const endOf = (chart: Chart, path: string): { node: string; frame?: string } => {
  const state = chart.states.find((each) => each.path === path)
  if (!state || !isNested(state)) return { node: path }
  const inner = state.initial ?? chart.states.find(({ parent }) => parent === path)?.path
  return { node: inner === undefined ? path : endOf(chart, inner).node, frame: clusterName(path) }
}

/** What holds everywhere would cross every other line, so it is said and not drawn. */
const asideOf = (edges: readonly Edge[]): string[] => {
  if (edges.length === 0) return []
  const lines = edges.map(({ to, arrows }) => `${causesOf(arrows).join(', ')} → ${to === '' ? 'stays' : leafOf(to)}`)
  const label = ['In every state that does not say otherwise', ...lines].join('\n')
  return [`  ${quoted('everywhere ')}${attributes(['shape', 'note'], ['label', label])}`]
}

const attributes = (...pairs: (readonly [name: string, value: string] | undefined | '')[]): string => {
  const set = pairs.flatMap((pair) => (pair ? [`${pair[0]}=${quoted(pair[1])}`] : []))
  return set.length === 0 ? '' : ` [${set.join(', ')}]`
}

/** In a quoted text only quotes and backslashes are special (graphviz.org/doc/info/lang.html). */
const quoted = (text: string): string =>
  `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
