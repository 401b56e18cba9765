/** A report to one sentence: pure, and nothing but the two tables. The deepest finding tells the story. */
import type { Text } from '../../machines/fault.ts'
import { blemishes } from './blemishes.ts'
import { failures } from './failures.ts'
import { type Known, knownOf, type Layer, type LayerName } from './layers.ts'
import type { Row } from './rows.ts'

export type ExitCode = 0 | 1 | 2

export interface Finding extends Text {
  readonly code: string
  readonly layer: LayerName | null
}

export interface Diagnosis extends Finding {
  /** What else is wrong, from the deepest up. */
  readonly also: readonly Finding[]
  /** 0 all is well, 1 it works but something is wrong, 2 it does not work. */
  readonly exitCode: ExitCode
}

const WELL: Finding = {
  code: 'well',
  layer: null,
  en: 'Everything works, on every layer.',
  zh: '每一层都正常。',
}

/** Whatever the tables have forgotten is still no success. */
const UNNAMED: Finding = {
  code: 'unknown',
  layer: null,
  en: 'It does not work, for a reason that this examination does not know. Please report it with the output of --json.',
  zh: '无法连通，原因不在本检查所知之列。请附 --json 的输出上报。',
}

export const diagnose = (layers: readonly Layer[]): Diagnosis => {
  const known = knownOf(layers)
  const [failure] = found(failures, known)
  const wrong = found(blemishes, known)
  if (failure) return { ...failure, also: wrong, exitCode: 2 }
  if (!known.upgrade?.ok) return { ...UNNAMED, also: wrong, exitCode: 2 }
  const [first, ...also] = wrong
  return first ? { ...first, also, exitCode: 1 } : { ...WELL, also, exitCode: 0 }
}

/** What is wrong with one layer, given those before it: for whoever shows them one by one. */
export const findingsOn = (name: LayerName, layers: readonly Layer[]): Finding[] =>
  found(blemishes, knownOf(layers)).filter(({ layer }) => layer === name)

const found = (rows: readonly Row[], known: Known): Finding[] =>
  rows.flatMap(({ code, layer, says }) => {
    const text = says(known)
    return text ? [{ code, layer, ...text }] : []
  })
