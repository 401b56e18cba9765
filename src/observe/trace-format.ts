/**
 * A trace as text: one JSON object per line, first a header, then transitions. Plain: no module of Node and nothing that
 * runs but JSON, so the page reads traces with this very file.
 */
import type { TransitionRecord } from './recorder.ts'

/** The first line, and again wherever a process began to write to the same file. */
export interface TraceHeader {
  /** The version of the format. */
  readonly holdfast: 1
  /** The version of the library that wrote it. */
  readonly version: string
  /** A hash of the chart: traces of the same chart have the same states and arrows. */
  readonly machine: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** How secrets were kept out: `at-source`, before anything was recorded. */
  readonly redaction: string
}

/** Something about the file that a reader should know. */
export interface TraceNotice {
  /**
   * - `no-header` the file begins with something else: what `hold --json` printed, or a part of a trace
   * - `damaged`   this line is none of a trace, and was left out
   * - `torn`      the last line is incomplete, as a crash leaves it, and was left out
   * - `lost`      so many transitions were not written, because the disk did not keep up
   */
  readonly kind: 'no-header' | 'damaged' | 'torn' | 'lost'
  /** From 1. */
  readonly line: number
  /** Of `lost`. */
  readonly count?: number
}

export interface Trace {
  readonly headers: readonly TraceHeader[]
  /** In the order of the file. */
  readonly records: readonly TransitionRecord[]
  readonly notices: readonly TraceNotice[]
}

/** Reads what can be read. Never throws: whatever is wrong with the file becomes a notice. */
export const readTrace = (chunks: string | Iterable<string>): Trace => {
  const reader = new TraceReader()
  for (const chunk of typeof chunks === 'string' ? [chunks] : chunks) reader.push(chunk)
  return reader.end()
}

/** Reads a trace as it comes, in pieces that may end anywhere: the whole text may be longer than a string can be. */
export class TraceReader {
  readonly #headers: TraceHeader[] = []
  readonly #records: TransitionRecord[] = []
  readonly #notices: TraceNotice[] = []
  /** Of the line whose end has not come. */
  #pieces: string[] = []
  #line = 0
  #isFirst = true

  push(chunk: string): void {
    const [piece, ...lines] = chunk.split('\n')
    this.#pieces.push(piece!)
    for (const line of lines) {
      this.#read('damaged')
      this.#pieces = [line]
    }
  }

  end(): Trace {
    this.#read('torn')
    return { headers: this.#headers, records: this.#records, notices: this.#notices }
  }

  #read(wrong: 'damaged' | 'torn'): void {
    const text = this.#pieces.join('')
    const line = ++this.#line
    if (text.trim() === '') return
    const { header, record, lost } = readLine(text) ?? {}
    if (this.#isFirst && !header) this.#notices.push({ kind: 'no-header', line })
    this.#isFirst = false
    if (header) this.#headers.push(header)
    else if (record) this.#records.push(record)
    else if (lost !== undefined) this.#notices.push({ kind: 'lost', line, count: lost })
    else this.#notices.push({ kind: wrong, line })
  }
}

/** What one line of a trace is: exactly one of these. */
export interface TraceLine {
  readonly header?: TraceHeader
  readonly record?: TransitionRecord
  /** So many transitions were not written. */
  readonly lost?: number
}

/** Undefined if the line is none of a trace. Never throws. */
export const readLine = (text: string): TraceLine | undefined => {
  const entry = readObject(text)
  const record = entry && readRecord(entry)
  if (record) return { record }
  const header = entry && readHeader(entry)
  if (header) return { header }
  return isCount(entry?.lost) ? { lost: entry.lost } : undefined
}

type Entry = Readonly<Record<string, unknown>>

const readObject = (text: string): Entry | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Entry) : undefined
  } catch {
    return undefined
  }
}

const readHeader = ({ holdfast, version, machine, at, redaction }: Entry): TraceHeader | undefined =>
  holdfast === 1 && isText(version) && isText(machine) && isTime(at) && isText(redaction)
    ? { holdfast, version, machine, at, redaction }
    : undefined

/** Field by field, so that nothing else comes in with it. */
const readRecord = (entry: Entry): TransitionRecord | undefined => {
  const { link, seq, at, elapsedMs, from, event, to, reason, detail, attempt, role, delayMs } = entry
  if (!isText(link) || !isText(event) || !isText(reason) || !isState(from) || !isState(to)) return undefined
  if (!isCount(seq) || !isTime(at) || !isTime(elapsedMs) || !isCount(attempt)) return undefined
  return {
    link,
    seq,
    at,
    elapsedMs,
    from: from as TransitionRecord['from'],
    event,
    to: to as TransitionRecord['to'],
    reason,
    ...(isText(detail) && { detail }),
    attempt,
    ...((role === 'successor' || role === 'predecessor') && { role }),
    ...(isTime(delayMs) && { delayMs }),
  }
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
/** Another version may have states that this one does not know; what is no name is no state. */
const isState = (value: unknown): value is string => isText(value) && /^[a-z]+(\.[a-z]+)?$/.test(value)

const WORDS = {
  'no-header': {
    en: 'there is no header: not a trace, or a part of one',
    zh: '缺少文件头：不是轨迹文件，或仅为其一部分',
  },
  damaged: { en: 'damaged, and left out', zh: '已损坏，已忽略' },
  torn: {
    en: 'the last line is incomplete, as a crash leaves it, and was left out',
    zh: '最后一行不完整（崩溃所致），已忽略',
  },
  lost: { en: 'transitions were not written: the disk did not keep up', zh: '条转换未写入：磁盘未能跟上' },
} as const

/** `line 12: damaged, and left out` */
export const noticeText = ({ kind, line, count }: TraceNotice, language: 'en' | 'zh'): string => {
  const words = count === undefined ? WORDS[kind][language] : `${count} ${WORDS[kind][language]}`
  return language === 'zh' ? `第 ${line} 行：${words}` : `line ${line}: ${words}`
}
