/**
 * A trace as Chrome trace events, which Perfetto (https://ui.perfetto.dev) and the DevTools of Chromium open: a band of states
 * for each link, and every transition as a mark on it. Plain, as the format of the trace is.
 */
import type { TransitionRecord } from './recorder.ts'

/** https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU, "Trace Event Format"; microseconds. */
export interface ChromeEvent {
  readonly name: string
  /** Metadata, complete event or instant. */
  readonly ph: 'M' | 'X' | 'i'
  readonly pid: number
  readonly tid: number
  readonly ts?: number
  readonly dur?: number
  /** An instant of its thread. */
  readonly s?: 't'
  readonly cat?: string
  readonly args?: Readonly<Record<string, unknown>>
}

const PID = 1

export const chromeEvents = (records: readonly TransitionRecord[]): ChromeEvent[] => {
  const end = records.reduce((latest, { at }) => Math.max(latest, at), 0)
  const byLink = new Map<string, TransitionRecord[]>()
  for (const record of records) {
    const own = byLink.get(record.link)
    if (own) own.push(record)
    else byLink.set(record.link, [record])
  }
  if (records.length === 0) return []
  const links = [...byLink].flatMap(([link, own], index) => {
    const tid = index + 1
    return [
      { name: 'thread_name', ph: 'M' as const, pid: PID, tid, args: { name: link } },
      ...bandsOf(own, end, tid),
      ...own.map((record) => markOf(record, tid)),
    ]
  })
  return [{ name: 'process_name', ph: 'M', pid: PID, tid: 0, args: { name: 'holdfast' } }, ...links]
}

/** The states of the link itself: what its successor does before it takes over is seen in the marks. */
const bandsOf = (records: readonly TransitionRecord[], end: number, tid: number): ChromeEvent[] =>
  records
    .filter(({ role }) => role === undefined)
    .flatMap((record, index, own) => {
      const next = own[index + 1]
      // a smaller number is a link of the same name in another process: between the two nothing is known
      const until = next === undefined ? end : next.seq > record.seq ? next.at : record.at
      if (record.to === 'stopped') return []
      const { reason, attempt } = record
      const dur = Math.max(0, until - record.at) * 1_000
      return [
        {
          name: record.to,
          ph: 'X',
          cat: 'state',
          pid: PID,
          tid,
          ts: record.at * 1_000,
          dur,
          args: { reason, attempt },
        },
      ]
    })

const markOf = (
  { event, at, from, to, reason, detail, attempt, role, delayMs }: TransitionRecord,
  tid: number,
): ChromeEvent => ({
  name: event,
  ph: 'i',
  s: 't',
  cat: 'transition',
  pid: PID,
  tid,
  ts: at * 1_000,
  args: { from, to, reason, attempt, detail, role, delayMs },
})
