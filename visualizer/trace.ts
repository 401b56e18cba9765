/**
 * Reads a trace for the page: what src/observe/trace-format.ts makes of each line goes into columns, so that a million
 * records fit in some 50 MB and any moment is found by halving.
 */
import type { TransitionRecord } from '../src/observe/recorder.ts'
import { readLine, type TraceHeader } from '../src/observe/trace-format.ts'
import { edgeOf } from './edges.ts'
import { sought } from './reason.ts'
import type { Records } from './source.ts'

/** How long reading may keep the page from answering. */
const TURN_MS = 30
const NO_EDGE = 0xffff

export interface Trace {
  readonly name: string
  /** Of the holdfast that wrote it, and the hash of its chart, if there is a header. */
  readonly version: string | undefined
  readonly machine: string | undefined
  readonly length: number
  readonly ids: readonly string[]
  readonly begin: number
  readonly end: number
  /** Lines in the middle that are no transition. */
  readonly skipped: number
  /** Transitions that were not written, because the disk did not keep up. */
  readonly lost: number
  /** What follows the last good line: a process that died while it wrote leaves half a line. */
  readonly cut: { readonly lines: number; readonly characters: number } | null
  /** Why the file could not be read to its end. */
  readonly broken: string | null
  /** Records of one link, oldest first. */
  records(link: number): Records
  /** Index in those records of the last one not after a moment; -1 before the first. */
  position(link: number, at: number): number
  /** Where a link is at a record of its own, without making an object for it. */
  state(link: number, position: number): string
  reason(link: number, position: number): string
}

/** Every text once, by number. */
class Words {
  readonly list: string[] = []
  readonly #numbers = new Map<string, number>()

  number(text: string): number {
    const known = this.#numbers.get(text)
    if (known !== undefined) return known
    this.#numbers.set(text, this.list.length)
    return this.list.push(text) - 1
  }

  /** For each text, whether it holds another one. */
  having(text: string): Uint8Array {
    return Uint8Array.from(this.list, (word) => (sought(word).includes(text) ? 1 : 0))
  }
}

type Numbers = Float64Array | Uint32Array | Uint16Array

/** Numbers one below the other; room doubles when it is used up. */
class Column<T extends Numbers> {
  data: T
  readonly #make: (size: number) => T

  constructor(make: (size: number) => T) {
    this.#make = make
    this.data = make(1024)
  }

  set(i: number, value: number): void {
    if (i >= this.data.length) {
      const bigger = this.#make(this.data.length * 2)
      bigger.set(this.data)
      this.data = bigger
    }
    this.data[i] = value
  }
}

const f64 = () => new Column((size) => new Float64Array(size))
const u32 = () => new Column((size) => new Uint32Array(size))
const u16 = () => new Column((size) => new Uint16Array(size))
const roles = [undefined, 'successor', 'predecessor'] as const

class Table {
  length = 0
  readonly links = new Words()
  readonly words = new Words()
  readonly link = u32()
  readonly at = f64()
  readonly elapsed = f64()
  readonly seq = f64()
  readonly from = u32()
  readonly to = u32()
  readonly event = u32()
  readonly reason = u32()
  readonly detail = u32()
  readonly attempt = f64()
  readonly delay = f64()
  readonly role = u16()
  readonly edge = u16()

  constructor() {
    this.words.number('')
  }

  add(record: TransitionRecord): void {
    const i = this.length++
    const { words } = this
    this.link.set(i, this.links.number(record.link))
    this.at.set(i, record.at)
    this.elapsed.set(i, record.elapsedMs)
    this.seq.set(i, record.seq)
    this.from.set(i, words.number(record.from))
    this.to.set(i, words.number(record.to))
    this.event.set(i, words.number(record.event))
    this.reason.set(i, words.number(record.reason))
    this.detail.set(i, typeof record.detail === 'string' ? words.number(record.detail) : 0)
    this.attempt.set(i, record.attempt)
    this.delay.set(i, record.delayMs ?? Number.NaN)
    this.role.set(i, Math.max(0, roles.indexOf(record.role)))
    const edge = edgeOf(record.from, record.event, record.to)
    this.edge.set(i, edge < 0 ? NO_EDGE : edge)
  }

  get(i: number): TransitionRecord {
    const { list } = this.words
    const detail = list[this.detail.data[i]!]!
    const delayMs = this.delay.data[i]!
    const role = roles[this.role.data[i]!]
    return {
      link: this.links.list[this.link.data[i]!]!,
      seq: this.seq.data[i]!,
      at: this.at.data[i]!,
      elapsedMs: this.elapsed.data[i]!,
      from: list[this.from.data[i]!] as TransitionRecord['from'],
      event: list[this.event.data[i]!]!,
      to: list[this.to.data[i]!] as TransitionRecord['to'],
      reason: list[this.reason.data[i]!]!,
      attempt: this.attempt.data[i]!,
      ...(detail !== '' && { detail }),
      ...(role && { role }),
      ...(!Number.isNaN(delayMs) && { delayMs }),
    }
  }
}

/** Numbers of the records of each link, in the order of time, one link after another. */
const byLink = (table: Table): { order: Uint32Array; starts: Uint32Array } => {
  const { length, link, at } = table
  const starts = new Uint32Array(table.links.list.length + 1)
  for (let i = 0; i < length; i++) starts[link.data[i]! + 1]!++
  for (let k = 1; k < starts.length; k++) starts[k]! += starts[k - 1]!
  const next = starts.slice()
  const order = new Uint32Array(length)
  const unsorted = new Set<number>()
  for (let i = 0; i < length; i++) {
    const k = link.data[i]!
    const place = next[k]!++
    order[place] = i
    if (place > starts[k]! && at.data[order[place - 1]!]! > at.data[i]!) unsorted.add(k)
  }
  // A wall clock may be set back.
  for (const k of unsorted) order.subarray(starts[k], starts[k + 1]).sort((a, b) => at.data[a]! - at.data[b]! || a - b)
  return { order, starts }
}

const traceOf = (
  name: string,
  table: Table,
  ends: Pick<Trace, 'skipped' | 'lost' | 'cut' | 'broken' | 'version' | 'machine'>,
): Trace => {
  const { order, starts } = byLink(table)
  const { at, to, reason, edge, from, event, detail, words } = table
  const firstOf = (link: number) => starts[link] ?? 0
  const countOf = (link: number) => (starts[link + 1] ?? 0) - firstOf(link)
  let begin = Number.POSITIVE_INFINITY
  let end = Number.NEGATIVE_INFINITY
  for (let i = 0; i < table.length; i++) {
    begin = Math.min(begin, at.data[i]!)
    end = Math.max(end, at.data[i]!)
  }
  const records = (link: number): Records => {
    const first = firstOf(link)
    const length = countOf(link)
    const row = (i: number) => order[first + i]!
    const last = length > 0 ? table.seq.data[row(length - 1)]! : 0
    return {
      length,
      get: (i) => table.get(row(i)),
      at: (i) => at.data[row(i)]!,
      edge: (i) => (edge.data[row(i)] === NO_EDGE ? -1 : edge.data[row(i)]!),
      find: (text) => {
        if (text === '') return null
        const having = words.having(text)
        const found: number[] = []
        for (let i = 0; i < length; i++) {
          const r = row(i)
          const holds = (column: Column<Uint32Array>) => having[column.data[r]!] === 1
          if (holds(to) || holds(from) || holds(event) || holds(reason) || holds(detail)) found.push(i)
        }
        return found
      },
      dropped: Math.max(0, last - length),
    }
  }
  return {
    name,
    length: table.length,
    ids: table.links.list,
    begin: table.length > 0 ? begin : 0,
    end: table.length > 0 ? end : 0,
    ...ends,
    records,
    position: (link, moment) => {
      const first = firstOf(link)
      let low = first
      let high = first + countOf(link)
      while (low < high) {
        const middle = (low + high) >>> 1
        if (at.data[order[middle]!]! <= moment) low = middle + 1
        else high = middle
      }
      return low - 1 - first
    },
    state: (link, position) => words.list[to.data[order[firstOf(link) + position]!]!]!,
    reason: (link, position) => words.list[reason.data[order[firstOf(link) + position]!]!]!,
  }
}

/** Takes the text of a trace piece by piece. */
export class TraceReader {
  readonly #table = new Table()
  #rest = ''
  /** Bad lines since the last good one. */
  #bad = { lines: 0, characters: 0 }
  #skipped = 0
  #lost = 0
  #header: TraceHeader | undefined

  take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) this.#line(line)
  }

  end(name: string, broken: string | null = null): Trace {
    this.#line(this.#rest)
    this.#rest = ''
    const cut = this.#bad.lines > 0 ? this.#bad : null
    const { version, machine } = this.#header ?? {}
    return traceOf(name, this.#table, { skipped: this.#skipped, lost: this.#lost, cut, broken, version, machine })
  }

  #line(line: string): void {
    if (line.trim() === '') return
    const read = readLine(line)
    if (!read) {
      this.#bad = { lines: this.#bad.lines + 1, characters: this.#bad.characters + line.length }
      return
    }
    if (read.record) this.#table.add(read.record)
    this.#header ??= read.header
    this.#lost += read.lost ?? 0
    this.#skipped += this.#bad.lines
    this.#bad = { lines: 0, characters: 0 }
  }
}

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(0)
  })

/** Reads a file, packed with gzip or not, and tells how far it is: 0 to 1. */
export const readTrace = async (file: File, progress: (share: number) => void): Promise<Trace> => {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer())
  const packed = first === 0x1f && second === 0x8b
  let read = 0
  const counted = file.stream().pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        read += chunk.length
        controller.enqueue(chunk)
      },
    }),
  )
  const bytes = (packed ? counted.pipeThrough(new DecompressionStream('gzip')) : counted).getReader()
  const decoder = new TextDecoder()
  const reader = new TraceReader()
  let since = performance.now()
  try {
    for (;;) {
      const { done, value } = await bytes.read()
      if (done) break
      reader.take(decoder.decode(value, { stream: true }))
      if (performance.now() - since < TURN_MS) continue
      progress(file.size > 0 ? read / file.size : 1)
      await turn()
      since = performance.now()
    }
  } catch (error) {
    return reader.end(file.name, error instanceof Error ? error.message : String(error))
  }
  reader.take(decoder.decode())
  return reader.end(file.name)
}
