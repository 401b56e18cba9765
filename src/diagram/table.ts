/** A chart as tables in Markdown: what a picture has no room for, above all the reason of every transition. */
import { type FaultCode, type FaultRow, faults } from '../../machines/fault.ts'
import type { Language } from '../explain.ts'
import { type Arrow, arrowText, type Chart, duration, holdOf, type State, type Trigger } from './model.ts'

const WORDS = {
  en: {
    stateHead: ['state', 'deadline', 'on', 'to', 'because'],
    deadlineHead: ['deadline', 'length', 'in state', 'then'],
    faultHead: ['code', 'kind', 'side', 'because', 'advice'],
    anyState: 'any state',
    otherwise: 'unless it says otherwise',
    stays: '(stays)',
    final: 'final',
    computed: 'worked out',
    computedEachTime: 'worked out each time',
    watchedBy: (names: string) => `watched by ${names}`,
    waitsFor: (names: string) => `waits for ${names}`,
    runs: (names: string) => `runs ${names}`,
    carried: 'the fault it carries',
    nothing: 'nothing to do here',
    timeIsUp: 'the time is up',
    ended: (name: string) => `${name} is finished`,
    failed: (name: string) => `${name} failed`,
    done: 'all inside is finished',
    always: 'at once',
    ordered: 'a person ordered it',
    event: (name: string) => `the ${name.replace('.', ' ')}`,
  },
  zh: {
    stateHead: ['状态', '期限', '事件', '转到', '原因'],
    deadlineHead: ['期限', '时长', '所在状态', '之后'],
    faultHead: ['代码', '类别', '责任方', '原因', '建议'],
    anyState: '任何状态',
    otherwise: '除非该状态另有规定',
    stays: '（不变）',
    final: '终态',
    computed: '临时计算',
    computedEachTime: '每次临时计算',
    watchedBy: (names: string) => `由 ${names} 监视`,
    waitsFor: (names: string) => `等待 ${names}`,
    runs: (names: string) => `运行 ${names}`,
    carried: '事件所带的故障',
    nothing: '此处无需处理',
    timeIsUp: '时间已到',
    ended: (name: string) => `${name} 已结束`,
    failed: (name: string) => `${name} 失败`,
    done: '内部全部结束',
    always: '立即',
    ordered: '有人下令',
    event: (name: string) => `发生 ${name}`,
  },
} as const

type Words = (typeof WORDS)[Language]

/**
 * The state table: one row for each transition, in the order of the chart. What the chart itself says of a transition is
 * told in the chart's own words, whatever the language.
 */
export const stateTable = (chart: Chart, language: Language = 'en'): string => {
  const words = WORDS[language]
  return markdownTable(words.stateHead, [
    ...rowsOf(words.anyState, words.otherwise, chart.arrows, language),
    ...chart.states.flatMap((state) => rowsOf(code(state.path), holdText(chart, state, words), state.arrows, language)),
  ])
}

/** A state without transitions has a row too: a final state is worth saying. */
const rowsOf = (state: string, hold: string, arrows: readonly Arrow[], language: Language): string[][] =>
  arrows.length === 0
    ? [[state, hold, '', '', '']]
    : arrows.map((arrow, index) => [
        index === 0 ? state : '',
        index === 0 ? hold : '',
        code(arrowText(arrow)),
        arrow.target === null ? WORDS[language].stays : code(arrow.target),
        becauseOf(arrow, language),
      ])

const holdText = (chart: Chart, state: State, words: Words): string => {
  const hold = holdOf(chart, state)
  switch (hold.kind) {
    case 'deadline':
      return `${code(hold.after.name)}, ${hold.after.ms === null ? words.computed : duration(hold.after.ms)}`
    case 'watched':
      return words.watchedBy(code(hold.by))
    case 'waits':
      return words.waitsFor(hold.events.map(code).join(', '))
    case 'final':
      return words.final
    case 'nested':
      return state.invokes.length > 0 ? words.runs(state.invokes.map(code).join(', ')) : ''
  }
}

/** The chart's own words where it has some; else those of the fault that is blamed; else what the event itself says. */
export const becauseOf = (arrow: Arrow, language: Language = 'en'): string => {
  const { because, actions, target, trigger } = arrow
  const words = WORDS[language]
  if (because !== null) return text(because)
  const blamed = actions.map(({ params }) => faultIn(params)).find((row) => row !== undefined)
  if (blamed) return text(blamed.because[language])
  if (actions.some(({ type }) => type === 'noteFault')) return words.carried
  if (target === null && actions.length === 0) return words.nothing
  return text(eventText(trigger, words))
}

const faultIn = (params: unknown): FaultRow | undefined => {
  const named = typeof params === 'object' && params !== null && 'code' in params ? params.code : undefined
  return typeof named === 'string' && Object.hasOwn(faults, named) ? faults[named as FaultCode] : undefined
}

const eventText = (trigger: Trigger, words: Words): string => {
  switch (trigger.kind) {
    case 'after':
      return words.timeIsUp
    case 'ended':
      return words.ended(trigger.name)
    case 'failed':
      return words.failed(trigger.name)
    case 'done':
      return words.done
    case 'always':
      return words.always
    case 'event':
      return trigger.name.startsWith('operator.') ? words.ordered : words.event(trigger.name)
  }
}

/** Every wait of the chart with its length, and what it leads to. */
export const deadlineTable = (chart: Chart, language: Language = 'en'): string =>
  markdownTable(
    WORDS[language].deadlineHead,
    [chart, ...chart.states]
      .flatMap(({ arrows }) => arrows)
      .flatMap((arrow) => {
        if (arrow.trigger.kind !== 'after') return []
        const { name, ms } = arrow.trigger
        const then = arrow.target === null ? becauseOf(arrow, language) : code(arrow.target)
        const length = ms === null ? WORDS[language].computedEachTime : duration(ms)
        return [[code(name), length, code(arrow.from), then]]
      }),
  )

/** The fault table in one language. */
export const faultTable = (language: Language): string =>
  markdownTable(
    WORDS[language].faultHead,
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
