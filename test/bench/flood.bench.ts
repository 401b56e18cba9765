/**
 * Memory under a flood: a million messages at ten times the reader's speed, and a million sends while the link is down.
 * The control is the same link with its bound lifted, under a tenth of the flood so that the machine survives it.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Report } from './report.ts'

const MESSAGES = 1_000_000
const CONTROL_SHARE = 10
const WAITING_MAX = 1_000
const BOUND_BYTES = 150 * 1024 * 1024

interface Flood {
  readonly seconds: number
  readonly heapPeak: number
  /** When it has found its level. */
  readonly rss: number
  readonly rssPeak: number
}

interface Inbound extends Flood {
  readonly read: number
  readonly dropped: number
  readonly waiting: number
}

interface Outbound extends Flood {
  readonly waiting: number
  readonly settledBefore: number
  readonly inAll: number
  readonly refused: number
}

const mib = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`

const flood = async <T>(direction: string, count: number, waitingMax: number): Promise<T> => {
  const script = join(process.cwd(), 'test/bench/flood-link.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [script, direction, `${count}`, `${waitingMax}`])
  return JSON.parse(stdout) as T
}

const memory = async (report: Report, direction: string, what: string, held: Flood) => {
  // what a process needs before anything comes is no part of what grows
  const idle = await flood<Flood>(direction, 1, 1)
  const count = MESSAGES / CONTROL_SHARE
  const control = await flood<Flood>(direction, count, MESSAGES)
  const grown = (of: 'heapPeak' | 'rssPeak') => mib(idle[of] + (control[of] - idle[of]) * CONTROL_SHARE)
  const beside = (of: 'heapPeak' | 'rssPeak') => `<= ${mib(BOUND_BYTES)}; unbounded about ${grown(of)}`
  report(`${what}: peak heap`, mib(held.heapPeak), beside('heapPeak'), held.heapPeak <= BOUND_BYTES)
  const rss = `${mib(held.rss)} (peak ${mib(held.rssPeak)})`
  report(`${what}: RSS of the process`, rss, beside('rssPeak'), held.rss <= BOUND_BYTES)
  console.log(
    `      in ${held.seconds.toFixed(1)} s; idle ${mib(idle.rssPeak)}; ${count} unbounded ${mib(control.rssPeak)}`,
  )
}

export const bench = async (report: Report): Promise<void> => {
  const came = await flood<Inbound>('inbound', MESSAGES, WAITING_MAX)
  const { read, dropped, waiting } = came
  const name = '10^6 inbound, ten times too fast'
  report(
    `${name}: read + dropped + waiting`,
    `${read + dropped + waiting}`,
    `${MESSAGES}`,
    read + dropped + waiting === MESSAGES,
  )
  report(`${name}: waiting, of ${read} read`, `${waiting}`, `<= ${WAITING_MAX}`, waiting <= WAITING_MAX)
  await memory(report, 'inbound', name, came)

  const sent = await flood<Outbound>('outbound', MESSAGES, WAITING_MAX)
  const down = '10^6 sends while down'
  const open = sent.settledBefore + sent.waiting
  report(`${down}: settled + waiting`, `${open}`, `${MESSAGES}`, open === MESSAGES)
  report(`${down}: waiting`, `${sent.waiting}`, `<= ${WAITING_MAX}`, sent.waiting <= WAITING_MAX)
  const whole = sent.inAll === MESSAGES && sent.refused === MESSAGES
  report(`${down}: refused, once the link has stopped`, `${sent.refused}`, `${MESSAGES}`, whole)
  await memory(report, 'outbound', down, sent)
}
