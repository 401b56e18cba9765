/** A chart as tables in Markdown: what a picture has no room for, above all the reason of every transition. */
import { type FaultCode, type FaultRow, faults } from '../../machines/fault.ts'
import { type Arrow, arrowText, type Chart, duration, holdOf, type State, type Trigger } from './model.ts'

/** The state table: one row for each transition, in the order of the chart. */
export const stateTable = (chart: Chart): string =>
  markdownTable(
    ['state', 'deadline', 'on', 'to', 'because'],
    [
      ...rowsOf('any state', 'unless it says otherwise', chart.arrows),
      ...chart.states.flatMap((state) => rowsOf(code(state.path), holdText(chart, state), state.arrows)),
    ],
  )

/** A state without transitions has a row too: a final state is worth saying. */
const rowsOf = (state: string, hold: string, arrows: readonly Arrow[]): string[][] =>
  arrows.length === 0
    ? [[state, hold, '', '', '']]
    : arrows.map((arrow, index) => [
        index === 0 ? state : '',
        index === 0 ? hold : '',
        code(arrowText(arrow)),
        arrow.target === null ? '(stays)' : code(arrow.target),
        becauseOf(arrow),
      ])

const holdText = (chart: Chart, state: State): string => {
  const hold = holdOf(chart, state)
  switch (hold.kind) {
    case 'deadline':
      return deadlineText(hold.after.name, hold.after.ms)
    case 'watched':
      return `watched by ${code(hold.by)}`
    case 'waits':
      return `waits for ${hold.events.map(code).join(', ')}`
    case 'final':
      return 'final'
    case 'nested':
      return state.invokes.length > 0 ? `runs ${state.invokes.map(code).join(', ')}` : ''
  }
}

const deadlineText = (name: string, ms: number | null): string =>
  ms === null ? `${code(name)}, worked out` : `${code(name)}, ${duration(ms)}`

/** The chart's own words where it has some; else those of the fault that is blamed; else what the event itself says. */
export const becauseOf = ({ because, actions, target, trigger }: Arrow): string => {
  if (because !== null) return text(because)
  const blamed = actions.map(({ params }) => faultIn(params)).find((row) => row !== undefined)
  if (blamed) return text(blamed.because.en)
  if (actions.some(({ type }) => type === 'noteFault')) return 'the fault it carries'
  if (target === null && actions.length === 0) return 'nothing to do here'
  return text(eventText(trigger))
}

const faultIn = (params: unknown): FaultRow | undefined => {
  const named = typeof params === 'object' && params !== null && 'code' in params ? params.code : undefined
  return typeof named === 'string' && Object.hasOwn(faults, named) ? faults[named as FaultCode] : undefined
}

const eventText = (trigger: Trigger): string => {
  switch (trigger.kind) {
    case 'after':
      return 'the time is up'
    case 'ended':
      return `${trigger.name} is finished`
    case 'failed':
      return `${trigger.name} failed`
    case 'done':
      return 'all inside is finished'
    case 'always':
      return 'at once'
    case 'event':
      return trigger.name.startsWith('operator.') ? 'a person ordered it' : `the ${trigger.name.replace('.', ' ')}`
  }
}

/** Every wait of the chart with its length, and what it leads to. */
export const deadlineTable = (chart: Chart): string =>
  markdownTable(
    ['deadline', 'length', 'in state', 'then'],
    [chart, ...chart.states]
      .flatMap(({ arrows }) => arrows)
      .flatMap((arrow) => {
        if (arrow.trigger.kind !== 'after') return []
        const { name, ms } = arrow.trigger
        const then = arrow.target === null ? becauseOf(arrow) : code(arrow.target)
        return [[code(name), ms === null ? 'worked out each time' : duration(ms), code(arrow.from), then]]
      }),
  )

/** The fault table in one language. */
export const faultTable = (language: 'en' | 'zh'): string =>
  markdownTable(
    language === 'en' ? ['code', 'kind', 'side', 'because', 'advice'] : ['代码', '类别', '责任方', '原因', '建议'],
    Object.entries<FaultRow>(faults).map(([name, { kind, side, because, advice }]) => [
      code(name),
      kind,
      side,
      text(because[language]),
      text(advice[language]),
    ]),
  )

export const markdownTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows]
    .map((cells) => `|${cells.map((cell) => (cell === '' ? ' ' : ` ${cell} `)).join('|')}|`)
    .join('\n')

/** A bar ends a cell even within backticks. */
const code = (name: string): string => `\`${name.replaceAll('`', "'").replaceAll('|', '\\|')}\``

const text = (words: string): string => words.replaceAll(/[\\`*_<|[\]]/g, '\\$&').replaceAll(/\s+/g, ' ')
