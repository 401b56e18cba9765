/** `holdfast replay`: a trace on the page, in the terminal as it happened, or as a file for Perfetto. */
import { writeFileSync } from 'node:fs'
import { realClock } from '../clock.ts'
import { HoldfastError, textOf } from '../error.ts'
import type { Language } from '../explain.ts'
import { chromeEvents } from '../observe/chrome-trace.ts'
import type { TransitionRecord } from '../observe/recorder.ts'
import { readTraceFile } from '../observe/trace.ts'
import { noticeText, type Trace } from '../observe/trace-format.ts'
import { lineOfLink, missingText, type Paint, printable, printableRecord } from './print.ts'
import { quit } from './quit.ts'
import { replayPage } from './replay-page.ts'

export interface ReplayOptions {
  readonly file: string
  /** 1 is as it happened, 10 ten times as fast; 0 does not wait at all. */
  readonly speed: number
  readonly json: boolean
  /** Only this link. */
  readonly link: string | undefined
  /** Write Chrome trace events to this file, and print nothing. */
  readonly chrome: string | undefined
  readonly language: Language
}

/** Nobody sits through the hours in which a link was live. */
const PAUSE_MAX_MS = 3_000

const TEXT = {
  open: { en: 'Open in a browser (q ends it):', zh: '请在浏览器中打开（q 结束）：' },
} as const

/**
 * One trace on the page, or two beside each other, until the person has had enough. Rejects with HoldfastError `bad-option`
 * for a file that cannot be read.
 */
export const showReplay = async (
  files: readonly string[],
  link: string | undefined,
  language: Language,
  out: NodeJS.WriteStream,
): Promise<void> => {
  await using shown = await replayPage(files, link)
  out.write(`${TEXT.open[language]}\n  ${shown.url}\n`)
  const { asked, release } = quit()
  await asked
  release()
}

/** Throws HoldfastError `bad-option` for a file that cannot be read, that is no trace, or that does not have the link. */
export const replay = async (
  options: ReplayOptions,
  out: NodeJS.WriteStream,
  notice: (text: string) => void,
  paint: Paint,
): Promise<void> => {
  const { file, link, chrome, json, language, speed } = options
  const { records, notices } = await read(file)
  const chosen = records.filter((record) => link === undefined || record.link === link)
  for (const each of notices) notice(noticeText(each, language))
  if (chosen.length === 0) {
    const what = link === undefined || records.length === 0 ? 'no transitions' : `no link "${printable(link)}"`
    throw new HoldfastError('bad-option', `${file} has ${what}.`)
  }
  if (chrome !== undefined) {
    writeFileSync(
      chrome,
      JSON.stringify({ traceEvents: chromeEvents(chosen.map(printableRecord)), displayTimeUnit: 'ms' }),
    )
    return
  }
  const isNamed = new Set(chosen.map((record) => record.link)).size > 1
  const firstAt = chosen[0]!.at
  let before = firstAt
  const seen = new Map<string, number>()
  for (const each of chosen) {
    if (speed > 0) await pause(Math.min((each.at - before) / speed, PAUSE_MAX_MS))
    before = each.at
    const missing = each.seq - 1 - (seen.get(each.link) ?? 0)
    seen.set(each.link, each.seq)
    if (missing > 0 && !json) out.write(`${paint('gray', missingText(missing, printable(each.link), language))}\n`)
    out.write(`${textOfRecord(printableRecord(each), each.at - firstAt)}\n`)
  }

  function textOfRecord(record: TransitionRecord, elapsedMs: number): string {
    return json ? JSON.stringify(record) : lineOfLink(record, elapsedMs, isNamed, language, paint)
  }
}

const read = async (file: string): Promise<Trace> => {
  try {
    return await readTraceFile(file)
  } catch (error) {
    throw new HoldfastError('bad-option', `The trace cannot be read: ${textOf(error)}`, { cause: error })
  }
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    if (ms > 0) realClock.setTimeout(resolve, ms)
    else resolve()
  })
