/** What to put into a bug report, as Markdown. What peers and people wrote stays text. */

import type { Language } from '../src/explain.ts'
import { type Hello, PROTOCOL } from '../src/observe/inspect/protocol.ts'
import type { TransitionRecord } from '../src/observe/recorder.ts'
import { isFaultCode, reasonText, situation } from './reason.ts'
import type { Link, Records } from './source.ts'
import type { Trace } from './trace.ts'

const LAST = 50

export interface Findings {
  /** Of the inspected process; absent in a trace. */
  readonly hello: Hello | undefined
  readonly trace: Trace | undefined
  /** What the link was made with; there are no secrets among numbers. */
  readonly deadlines: Readonly<Record<string, number>> | undefined
  /** Milliseconds, as they were seen. */
  readonly trips: readonly number[] | undefined
  readonly browser: string
  readonly link: Link
  readonly now: number
  readonly records: Records
  /** So many of them have happened: in a trace there is a future. */
  readonly reached: number
  readonly language: Language
}

export const diagnosis = (findings: Findings): string => {
  const { hello, trace, link, now, records, reached, language } = findings
  const length = Math.min(LAST, reached)
  const last = Array.from({ length }, (_, i) => records.get(reached - length + i))
  return [
    `## holdfast ${hello ? plain(hello.version) : `trace ${plain(trace?.name ?? '')}`}: ${plain(link.id)}`,
    '',
    plain(situation(link, now, language)),
    '',
    `- state: ${plain(link.state)} since ${iso(link.since)}, attempt ${link.attempt}${due(link)}`,
    `- told at: ${iso(now)}`,
    `- transitions: ${reached} kept, ${records.dropped} dropped`,
    ...versions(findings),
    ...config(findings),
    '',
    `### Causes in the last ${last.length} transitions`,
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

const due = ({ dueAt }: Link): string => (dueAt < 0 ? '' : `, until ${iso(dueAt)}`)

const versions = ({ hello, trace, browser }: Findings): string[] => {
  const { runtime = '?' } = hello ?? {}
  const inspected = hello
    ? [`holdfast ${hello.version}`, runtime, PROTOCOL]
    : [`written by holdfast ${trace?.version ?? '?'}`, `chart ${trace?.machine ?? '?'}`]
  return [`- versions: ${plain(inspected.join(', '))}; page in ${plain(browser)}`]
}

/** Secrets never come here: addresses and tokens are not among what an inspected process tells. */
const config = ({ link, deadlines, trips }: Findings): string[] => {
  const own = Object.entries(deadlines ?? {}).map(([name, ms]) => `${name} ${ms}`)
  const sorted = [...(trips ?? [])].sort((a, b) => a - b)
  const trip = (share: number) => `${sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]} ms`
  return [
    `- adapter: ${plain(link.adapter || '?')}`,
    ...(own.length > 0 ? [`- deadlines: ${plain(own.join(', '))}`] : []),
    ...(sorted.length > 0 ? [`- round trip: p50 ${trip(0.5)}, p95 ${trip(0.95)}, of ${sorted.length} looks`] : []),
  ]
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
