/** How a link looks in a terminal: one line for each transition, in colour where there is one. */
import { styleText } from 'node:util'
import { faults } from '../../machines/fault.ts'
import type { StateName } from '../../machines/link.ts'
import type { Language } from '../explain.ts'
import type { TransitionRecord } from '../observe/recorder.ts'
import { scrubber } from '../secret.ts'

type Style = Parameters<typeof styleText>[0]
export type Paint = (style: Style, text: string) => string

/** Colour only for a person's terminal that has not declined it (https://no-color.org). */
export const painter = (stream: NodeJS.WriteStream): Paint => {
  const inColour = stream.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  return inColour ? (style, text) => styleText(style, text) : (_style, text) => text
}

/** What others wrote, without what a terminal would obey. */
export const printable = scrubber([])

/** The same for a record that comes from a file or from another process. */
export const printableRecord = (record: TransitionRecord): TransitionRecord =>
  Object.fromEntries(
    Object.entries(record).map(([key, value]) => [key, typeof value === 'string' ? printable(value) : value]),
  ) as unknown as TransitionRecord

/** A glyph beside the colour: colour alone says nothing to some people and to log files. */
const LOOKS: Record<StateName, [glyph: string, style: Style]> = {
  resolving: ['◌', 'cyan'],
  connecting: ['◔', 'cyan'],
  handshaking: ['◑', 'cyan'],
  registered: ['◕', 'blue'],
  live: ['●', 'green'],
  'degraded.suspect': ['◍', 'yellow'],
  'degraded.impaired': ['◍', 'yellow'],
  backoff: ['○', 'magenta'],
  closing: ['◒', 'gray'],
  parked: ['■', 'red'],
  stopped: ['□', 'gray'],
}

/** Another version may have states that this one does not know. */
export const lookOf = (state: string): [glyph: string, style: Style] => LOOKS[state as StateName] ?? ['?', 'gray']

const STATE_WIDTH = 17

/** `  12.345 s  ● live              ← registered    replay.completed` */
export const transitionLine = (
  record: TransitionRecord,
  elapsedMs: number,
  language: Language,
  paint: Paint,
): string => {
  const [glyph, style] = lookOf(record.to)
  const time = paint('gray', `${(elapsedMs / 1000).toFixed(3).padStart(8)} s`)
  const state = paint(style, `${glyph} ${record.to.padEnd(STATE_WIDTH)}`)
  const wait = record.delayMs === undefined ? '' : paint('magenta', `  next dial in ${seconds(record.delayMs)}`)
  return `${time}  ${state} ${cause(record, language, paint)}${wait}`
}

const cause = ({ event, reason, detail, attempt }: TransitionRecord, language: Language, paint: Paint): string => {
  const fault = Object.hasOwn(faults, reason) ? faults[reason as keyof typeof faults] : undefined
  const words = fault ? `${paint('bold', reason)}: ${fault.because[language]}` : event
  const more = detail ? paint('gray', ` (${detail})`) : ''
  return `${words}${more}${attempt > 1 ? paint('gray', `  #${attempt}`) : ''}`
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`

/** Rows under a header, columns as wide as they need; numbers to the right. */
export const table = (header: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string => {
  const widths = header.map((title, i) => Math.max(width(title), ...rows.map((row) => width(row[i] ?? ''))))
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell + pad(cell, widths[i]!) : pad(cell, widths[i]!) + cell)).join('   ')
  const rule = widths.map((each) => '─'.repeat(each)).join('───')
  return [paint('bold', line(header)), paint('gray', rule), ...rows.map(line)].join('\n')
}

/** The blanks that make a cell so wide. */
export const pad = (cell: string, wide: number): string => ' '.repeat(Math.max(0, wide - width(cell)))

/** The beginning of a text that fits into so many columns. */
export const cut = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  let fitting = ''
  for (const char of text) {
    if (width(fitting + char) >= columns) break
    fitting += char
  }
  return `${fitting}…`
}

/** Filled up with spaces, or cut. */
export const column = (text: string, columns: number): string => {
  const fitting = cut(text, columns)
  return fitting + pad(fitting, columns)
}

/** Chinese characters take two columns. */
const width = (text: string): number => [...text].reduce((sum, char) => sum + (/[\u2e80-\uffdc]/.test(char) ? 2 : 1), 0)

const ID_WIDTH = 20

/** The same where there may be several links. */
export const lineOfLink = (
  record: TransitionRecord,
  elapsedMs: number,
  isNamed: boolean,
  language: Language,
  paint: Paint,
): string => {
  const role = record.role === undefined ? '' : paint('gray', `  (${record.role})`)
  const line = transitionLine(record, elapsedMs, language, paint) + role
  return isNamed ? `${paint('bold', column(record.link, ID_WIDTH))} ${line}` : line
}

/** What is not shown is said. */
export const missingText = (count: number, link: string, language: Language): string =>
  language === 'zh'
    ? `… ${link} 此前有 ${count} 次转换未保留`
    : `… ${count} transitions of ${link} before this are not kept`
