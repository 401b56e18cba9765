/** A chart as Mermaid's stateDiagram-v2, which GitHub and most readers of Markdown draw by themselves. */
import { type Arrow, type Chart, causesOf, edgesOf, type State } from './model.ts'

export const mermaidOf = (chart: Chart): string => {
  const ids = idsOf(chart)
  const id = (path: string) => ids.get(path)!
  const lines = ['stateDiagram-v2', ...blockOf(chart, '', chart.initial, id, '  ')]
  for (const { from, to, arrows } of edgesOf(chart)) {
    if (from !== '') lines.push(`  ${id(from)} --> ${id(to)} : ${labelOf(arrows)}`)
  }
  for (const state of chart.states) if (state.final) lines.push(`  ${id(state.path)} --> [*]`)
  return [...lines, ...noteOf(chart, id), ''].join('\n')
}

/** What lies directly inside one state: its children, and which of them is entered first. */
const blockOf = (
  chart: Chart,
  parent: string,
  initial: string | null,
  id: (path: string) => string,
  indent: string,
): string[] => {
  const around = chart.states.find(({ path }) => path === parent)
  const children = chart.states.filter((state) => state.parent === parent)
  const lines = initial === null ? [] : [`${indent}[*] --> ${id(initial)}`]
  for (const [index, child] of children.entries()) {
    // The regions of a parallel state are drawn side by side; Mermaid wants a rule between them.
    if (around?.kind === 'parallel' && index > 0) lines.push(`${indent}--`)
    const title = titleOf(child)
    lines.push(indent + (title === id(child.path) ? title : `state "${mermaidText(title)}" as ${id(child.path)}`))
    const inner = blockOf(chart, child.path, child.initial, id, `${indent}  `)
    if (inner.length > 0) lines.push(`${indent}state ${id(child.path)} {`, ...inner, `${indent}}`)
  }
  return lines
}

const titleOf = ({ name, initial, invokes }: State): string =>
  initial !== null && invokes.length > 0 ? `${name} (${invokes.join(', ')})` : name

const labelOf = (arrows: readonly Arrow[]): string =>
  causesOf(arrows)
    .map((cause) => mermaidText(cause))
    .join('<br/>')

/** What holds everywhere would cross every other line, so it is said and not drawn. */
const noteOf = (chart: Chart, id: (path: string) => string): string[] => {
  const anchor = chart.initial ?? chart.states[0]?.path
  const everywhere = edgesOf(chart).filter(({ from }) => from === '')
  if (anchor === undefined || everywhere.length === 0) return []
  const lines = everywhere.map(({ to, arrows }) => {
    const target = to === '' ? 'stays' : to.slice(to.lastIndexOf('.') + 1)
    return `    ${mermaidText(causesOf(arrows).join(', '))} → ${mermaidText(target)}`
  })
  return [`  note left of ${id(anchor)}`, '    In every state that does not say otherwise', ...lines, '  end note']
}

/** Words that the grammar of Mermaid reads as something else, whatever their case. */
const reserved = /^(?:as|class|classdef|click|default|direction|end|fork|hide|href|join|note|root|scale|state|style)$/i

/** Mermaid knows a state by a bare word. The last name of the path is used where it tells the state apart. */
const idsOf = (chart: Chart): Map<string, string> => {
  const ids = new Map<string, string>()
  const taken = new Set<string>()
  for (const { path, name } of chart.states) {
    const unique = chart.states.filter((state) => state.name === name).length === 1
    const word = (unique ? name : path).replaceAll(/[^A-Za-z0-9]+/g, '_')
    const safe = reserved.test(word) || !/^[A-Za-z]/.test(word) ? `s_${word}` : word
    let id = safe
    for (let n = 2; taken.has(id); n++) id = `${safe}_${n}`
    taken.add(id)
    ids.set(path, id)
  }
  return ids
}

/** Whatever Mermaid, Markdown or HTML could take for an instruction becomes a character code. */
export const mermaidText = (text: string): string =>
  text.replaceAll(/[^\p{L}\p{N} .,_()[\]/+=!?'→-]/gu, (character) => `#${character.codePointAt(0)};`)
