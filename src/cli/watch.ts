/** `holdfast watch`: the transitions of one link of a running inspector, or of all, line by line. */
import { type Fault, type FaultCode, faults } from '../../machines/fault.ts'
import type { StateName } from '../../machines/link.ts'
import { realClock } from '../clock.ts'
import { HoldfastError } from '../error.ts'
import { explain, type Language } from '../explain.ts'
import type { History, Row, ServerMessage } from '../observe/inspect/protocol.ts'
import type { TransitionRecord } from '../observe/recorder.ts'
import { lineOfLink, missingText, type Paint, printable, printableRecord } from './print.ts'
import { quit } from './quit.ts'
import { Picture, type View, view } from './view.ts'

export interface WatchOptions {
  readonly url: string
  /** One link; all if undefined. */
  readonly id: string | undefined
  readonly json: boolean
  /** What is on record, and no more. */
  readonly once: boolean
  readonly language: Language
}

/** Resolves when the person has had enough. Throws HoldfastError for a wrong URL or id, and if the inspector ends first. */
export const watch = async (options: WatchOptions, out: NodeJS.WriteStream, paint: Paint): Promise<void> => {
  const asked = quit()
  const watching = new Watching(options, (text) => out.write(`${text}\n`), paint)
  try {
    const broken = await Promise.race([asked.asked, watching.done, watching.ended])
    watching.explain()
    if (typeof broken === 'string') throw new HoldfastError('stopped', `The inspector is gone: ${printable(broken)}.`)
  } finally {
    asked.release()
    watching.close()
  }
}

const EXPLAINED_MAX = 10
/** So many fit into one message to the inspector. */
const WATCHED_MAX = 8_000

class Watching {
  readonly ended: Promise<string>
  /** Resolves where only what is on record was wanted; rejects if there is no such link. */
  readonly done: Promise<void>
  readonly close: () => void
  readonly #options: WatchOptions
  readonly #say: (text: string) => void
  readonly #paint: Paint
  readonly #picture = new Picture()
  readonly #view: View
  readonly #details = new Map<string, string | undefined>()
  readonly #told = new Map<number, number>()
  #firstAt: number | undefined
  #awaited = new Set<number>()
  #finish: () => void = () => undefined
  #fail: (error: unknown) => void = () => undefined

  constructor(options: WatchOptions, say: (text: string) => void, paint: Paint) {
    this.#options = options
    this.#say = say
    this.#paint = paint
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
    this.#view = view(options.url, (message) => this.#hear(message))
    this.ended = this.#view.ended
    this.close = this.#view.close
  }

  #hear(message: ServerMessage): void {
    const before = this.#picture.rows.size
    this.#picture.hear(message)
    if (message.t === 'history') this.#tellAll(message)
    else if (message.t === 'tx') this.#tellSome(message.records, message.lost)
    else if (message.t === 'snap' && !message.more) this.#subscribe()
    else if (message.t === 'delta' && this.#picture.rows.size !== before) this.#subscribe()
  }

  /** Again whenever links come or go: a link of the wanted name may be one of them. */
  #subscribe(): void {
    const { id, once } = this.#options
    const chosen = [...this.#picture.rows.values()].filter((row) => id === undefined || row[1] === id)
    if (id !== undefined && chosen.length === 0 && (once || this.#told.size === 0)) {
      this.#fail(new HoldfastError('bad-option', `The inspector has no link "${printable(id)}".`))
      return
    }
    const indexes = chosen.map(([index]) => index).slice(0, WATCHED_MAX)
    this.#awaited = new Set(indexes)
    this.#view.send({ t: 'sub', indexes })
    if (once && indexes.length === 0) this.#finish()
  }

  #tellAll({ index, kept, total }: History): void {
    const missing = total - kept.length - (this.#told.get(index) ?? 0)
    if (missing > 0) this.#tellMissing(missing, this.#picture.rows.get(index)?.[1] ?? '')
    for (const record of kept) this.#tell(index, record)
    this.#awaited.delete(index)
    if (this.#options.once && this.#awaited.size === 0) this.#finish()
  }

  #tellSome(records: readonly (readonly [number, TransitionRecord])[], lost: number): void {
    for (const [index, record] of records) this.#tell(index, record)
    if (lost === 0) return
    const { json, language } = this.#options
    if (json) this.#say(JSON.stringify({ lost }))
    else this.#say(this.#paint('gray', language === 'zh' ? `… 另有 ${lost} 次转换` : `… and ${lost} transitions more`))
  }

  /** The ring of the link has forgotten them. */
  #tellMissing(count: number, id: string): void {
    const { json, language } = this.#options
    if (json) this.#say(JSON.stringify({ link: printable(id), notKept: count }))
    else this.#say(this.#paint('gray', missingText(count, printable(id), language)))
  }

  /** Once each: a history may come again. */
  #tell(index: number, given: TransitionRecord): void {
    if (given.seq <= (this.#told.get(index) ?? 0)) return
    this.#told.set(index, given.seq)
    const { json, language, id } = this.#options
    const record = printableRecord(given)
    this.#details.set(record.link, record.detail)
    this.#firstAt ??= record.at
    this.#say(
      json
        ? JSON.stringify(record)
        : lineOfLink(record, record.at - this.#firstAt, id === undefined, language, this.#paint),
    )
  }

  /** Where they are now: the link that was asked for, or those that are not live. */
  explain(): void {
    const { id, json, language } = this.#options
    if (json) return
    const rows = [...this.#picture.rows.values()]
    const chosen = rows.filter((row) => (id === undefined ? this.#picture.stateOf(row) !== 'live' : row[1] === id))
    for (const row of chosen.slice(0, EXPLAINED_MAX)) this.#say(printable(this.#sentence(row, language)))
  }

  #sentence(row: Row, language: Language): string {
    const [, id, , , since, attempt, , , dueAt] = row
    const code = this.#picture.faultOf(row)
    const state = this.#picture.stateOf(row) as StateName
    const detail = this.#details.get(printable(id))
    const fault: Fault | null = Object.hasOwn(faults, code)
      ? { code: code as FaultCode, ...(detail && { detail }) }
      : null
    const nextDialAt = state === 'backoff' && dueAt >= 0 ? dueAt : null
    return explain({ id, state, since, attempt, fault, nextDialAt }, realClock.wall(), language).text
  }
}
