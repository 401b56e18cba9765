/** What to put into a bug report, as Markdown. What peers and people wrote stays text. */

import type { Language } from '../src/explain.ts'
import type { TransitionRecord } from '../src/observe/recorder.ts'
import { isFaultCode, reasonText, situation } from './reason.ts'
import type { Link, Records } from './source.ts'

const LAST = 50

export interface Findings {
  readonly version: string | undefined
  readonly link: Link
  readonly now: number
  readonly records: Records
  readonly language: Language
}

export const diagnosis = ({ version, link, now, records, language }: Findings): string => {
  const last = Array.from({ length: Math.min(LAST, records.length) }, (_, i) =>
    records.get(records.length - Math.min(LAST, records.length) + i),
  )
  return [
    `## holdfast ${version ?? '(trace)'}: ${plain(link.id)}`,
    '',
    plain(situation(link, now, language)),
    '',
    `- adapter: ${plain(link.adapter || '?')}`,
    `- state: ${plain(link.state)} since ${iso(link.since)}`,
    `- attempt: ${link.attempt}`,
    `- transitions: ${records.length} kept, ${records.dropped} dropped`,
    '',
    `### Causes`,
    '',
    ...causes(last),
    '',
    `### The last ${last.length} transitions`,
    '',
    '| time | from | to | event | why | attempt | delay |',
    '|---|---|---|---|---|---|---|',
    ...last.map(rowOf),
    '',
    '### The path it took',
    '',
    '```mermaid',
    ...path(last),
    '```',
    '',
  ].join('\n')
}

const iso = (at: number): string => {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? '?' : date.toISOString()
}

/** No line break, no cell, no mark-up. */
const plain = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that must not get through
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ')
    .replaceAll(/[\\`*_[\]<>|#&]/g, (mark) => `&#${mark.charCodeAt(0)};`)

const rowOf = (record: TransitionRecord): string => {
  const { at, from, to, event, reason, detail, attempt, delayMs } = record
  const why = detail === undefined ? reason : `${reason} (${detail})`
  const cells = [
    iso(at),
    from,
    to,
    event,
    why,
    String(attempt),
    delayMs === undefined ? '' : `${Math.round(delayMs)} ms`,
  ]
  return `| ${cells.map(plain).join(' | ')} |`
}

const causes = (records: readonly TransitionRecord[]): string[] => {
  const counts = new Map<string, number>()
  for (const { reason } of records) if (isFaultCode(reason)) counts.set(reason, (counts.get(reason) ?? 0) + 1)
  if (counts.size === 0) return ['none']
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([code, count]) => `- ${'█'.repeat(Math.min(40, count))} ${count} × ${plain(reasonText(code, 'en'))}`)
}

const path = (records: readonly TransitionRecord[]): string[] => {
  const names = new Map<string, string>()
  const node = (state: string): string => {
    const known = names.get(state) ?? `s${names.size}`
    names.set(state, known)
    return known
  }
  const steps = new Map<string, number>()
  for (const { from, to } of records) {
    const step = `${node(from)} ${node(to)}`
    steps.set(step, (steps.get(step) ?? 0) + 1)
  }
  const lines = [...steps].map(([step, count]) => `  ${step.replace(' ', ` -->|${count}| `)}`)
  const label = (state: string) => state.replaceAll(/[^\w. -]/g, ' ')
  return ['flowchart LR', ...[...names].map(([state, name]) => `  ${name}["${label(state)}"]`), ...lines]
}
