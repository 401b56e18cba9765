/** `holdfast diagram`: a machine, ours or the user's, as a picture or a table. */
import { type BuiltIn, builtIns } from '../diagram/built-in.ts'
import { dotOf } from '../diagram/dot.ts'
import { mermaidOf } from '../diagram/mermaid.ts'
import { chartOf } from '../diagram/model.ts'
import { stackedLayout } from '../diagram/stacked-layout.ts'
import { svgOf } from '../diagram/svg.ts'
import { stateTable } from '../diagram/table.ts'
import type { Language } from '../explain.ts'
import { machineFrom } from './machine-file.ts'

export const machineNames = [...builtIns.keys()]
export const formats = ['mermaid', 'svg', 'dot', 'json', 'table'] as const
export type Format = (typeof formats)[number]

export interface DiagramOptions {
  /** A file of the user's, in place of a machine of ours. */
  readonly file: string | undefined
  /** Under which name the file exports it. */
  readonly exported: string | undefined
  /** One of `machineNames`. */
  readonly machine: string
  readonly format: Format
  readonly language: Language
}

/** The diagram as a text. Rejects with HoldfastError for a file that has no machine. */
export const diagram = async ({ file, exported, machine, format, language }: DiagramOptions): Promise<string> => {
  const drawn: BuiltIn = file === undefined ? builtIns.get(machine)! : { machine: await machineFrom(file, exported) }
  const chart = chartOf(drawn.machine)
  switch (format) {
    case 'mermaid':
      return mermaidOf(chart)
    case 'svg':
      return svgOf(chart, drawn.layout ?? stackedLayout(chart))
    case 'dot':
      return dotOf(chart)
    case 'json':
      return `${JSON.stringify(chart, null, 2)}\n`
    case 'table':
      return `${stateTable(chart, language)}\n`
  }
}
