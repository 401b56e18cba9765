/** Graphviz is not installed everywhere, so a small reader of its language looks at what we write. */
import { describe, expect, test } from 'vitest'
import { builtIns } from '../../src/diagram/built-in.ts'
import { dotOf } from '../../src/diagram/dot.ts'
import { causesOf, chartOf, edgesOf } from '../../src/diagram/model.ts'
import { hostile, rich } from './charts.ts'

interface Graph {
  readonly nodes: Map<string, Record<string, string>>
  readonly clusters: Map<string, { readonly parent: string; readonly label: string }>
  readonly edges: { from: string; to: string; attributes: Record<string, string> }[]
}

const QUOTED = '"((?:[^"\\\\]|\\\\.)*)"'
const ATTRIBUTES = '(?: \\[(.*)\\])?'
const unquoted = (text: string): string => text.replace(/\\(.)/g, (_all, char) => (char === 'n' ? '\n' : char))

const attributesOf = (text = ''): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(new RegExp(`(\\w+)=(?:${QUOTED}|(\\w+))`, 'g'))].map(([, name, quoted, bare]) => [
      name!,
      bare ?? unquoted(quoted!),
    ]),
  )

/** Throws at the first line that is none of the language. */
const parse = (text: string): Graph => {
  const graph: Graph = { nodes: new Map(), clusters: new Map(), edges: [] }
  const [head, ...lines] = text.trimEnd().split('\n')
  expect(head).toMatch(new RegExp(`^digraph ${QUOTED} \\{$`))
  const around: string[] = ['']
  for (const line of lines.map((each) => each.trim())) {
    const match = (pattern: string) => new RegExp(`^${pattern}$`).exec(line)
    const cluster = match(`subgraph ${QUOTED} \\{`)
    const edge = match(`${QUOTED} -> ${QUOTED}${ATTRIBUTES}`)
    const node = match(`${QUOTED}${ATTRIBUTES}`)
    const setting = match(`(\\w+)=(?:${QUOTED}|\\w+)`)
    if (line === '}') around.pop()
    else if (cluster) {
      graph.clusters.set(unquoted(cluster[1]!), { parent: around.at(-1)!, label: '' })
      around.push(unquoted(cluster[1]!))
    } else if (edge) {
      const [, from, to, rest] = edge
      graph.edges.push({ from: unquoted(from!), to: unquoted(to!), attributes: attributesOf(rest) })
    } else if (node) graph.nodes.set(unquoted(node[1]!), attributesOf(node[2]))
    else if (setting?.[1] === 'label') {
      graph.clusters.set(around.at(-1)!, { parent: around.at(-2)!, label: unquoted(setting[2]!) })
    } else if (!setting && !/^(node|edge) \[/.test(line)) throw new Error(`not DOT: ${line}`)
  }
  expect(around, 'every brace is closed').toEqual([])
  return graph
}

const charts = [...builtIns.values(), { machine: rich }, { machine: hostile }].map(({ machine }) => chartOf(machine))

describe.each(charts.map((chart) => [chart.id, chart] as const))('%s', (_id, chart) => {
  const graph = parse(dotOf(chart))
  const lines = graph.edges.filter(({ attributes }) => 'label' in attributes)

  test('has a node for every state that one can rest in, and a cluster for every other', () => {
    const nested = chart.states.filter(({ kind }) => kind === 'compound' || kind === 'parallel')
    const leaves = chart.states.filter((state) => !nested.includes(state))
    const nodes = [...graph.nodes.keys()].filter((name) => !/^(start|everywhere) /.test(name))
    expect(nodes.sort()).toEqual(leaves.map(({ path }) => path).sort())
    expect([...graph.clusters.keys()].sort()).toEqual(nested.map(({ path }) => `cluster ${path}`).sort())
    for (const { path, parent } of nested) {
      expect(graph.clusters.get(`cluster ${path}`)!.parent).toBe(parent === '' ? '' : `cluster ${parent}`)
    }
  })

  test('has one labelled line for every edge, between things that are there', () => {
    const edges = edgesOf(chart).filter(({ from }) => from !== '')
    expect(lines.map(({ attributes }) => attributes.label)).toEqual(
      edges.map(({ arrows }) => causesOf(arrows).join('\n')),
    )
    for (const { from, to, attributes } of graph.edges) {
      expect([...graph.nodes.keys()]).toEqual(expect.arrayContaining([from, to]))
      for (const end of [attributes.ltail, attributes.lhead]) if (end) expect([...graph.clusters.keys()]).toContain(end)
    }
  })

  test('a line that begins or ends at a frame says so', () => {
    const edges = edgesOf(chart).filter(({ from }) => from !== '')
    const frames = new Set([...graph.clusters.keys()].map((name) => name.replace('cluster ', '')))
    for (const [index, { from, to }] of edges.entries()) {
      const { attributes } = lines[index]!
      expect(attributes.ltail).toBe(frames.has(from) ? `cluster ${from}` : undefined)
      expect(attributes.lhead).toBe(frames.has(to) ? `cluster ${to}` : undefined)
    }
  })
})

test('what holds everywhere is told in a note, a final state has a double border', () => {
  const { nodes } = parse(dotOf(chartOf(builtIns.get('link')!.machine)))
  expect(nodes.get('everywhere ')!.label).toContain('operator.hold → parked')
  expect(nodes.get('stopped')!.peripheries).toBe('2')
})

test('the reader of these tests refuses what is not the language', () => {
  expect(() => parse('digraph "a" {\n  b -> "c"\n}')).toThrow('not DOT')
})
