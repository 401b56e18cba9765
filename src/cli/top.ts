/** `holdfast top`: many links in a terminal, the worst first. */
import { realClock } from '../clock.ts'
import { HoldfastError } from '../error.ts'
import type { Language } from '../explain.ts'
import type { Row } from '../observe/inspect/protocol.ts'
import { column, cut, lookOf, type Paint, printable, seconds } from './print.ts'
import { quit } from './quit.ts'
import { Picture, view } from './view.ts'

export interface TopOptions {
  readonly url: string
  readonly json: boolean
  /** Whole pictures one after another, for pipes and files. */
  readonly plain: boolean
  /** One picture, and no more. */
  readonly once: boolean
  readonly language: Language
}

const REDRAW_MS = 250
const PLAIN = { columns: 120, rows: 24 }

/** What needs a person comes first, what is well comes last. */
const WORST_FIRST = [
  'parked',
  'degraded.impaired',
  'backoff',
  'degraded.suspect',
  'handshaking',
  'connecting',
  'resolving',
  'registered',
  'closing',
  'live',
  'stopped',
]

/** Resolves when the person has had enough. Throws HoldfastError for a wrong URL, and where the inspector ends first. */
export const top = async (options: TopOptions, out: NodeJS.WriteStream, paint: Paint): Promise<void> => {
  const { url, json, once, language } = options
  const isScreen = out.isTTY && !json && !once && !options.plain
  const picture = new Picture()
  let enough: () => void = () => undefined
  const satisfied = new Promise<void>((resolve) => {
    enough = resolve
  })
  const seen = view(url, (message) => {
    picture.hear(message)
    // the counts come once a second: a whole picture then
    if (isScreen || message.t !== 'agg' || !picture.isWhole) return
    const { columns, rows } = { columns: out.columns || PLAIN.columns, rows: PLAIN.rows }
    out.write(
      json
        ? `${JSON.stringify(summaryOf(picture))}\n`
        : `${draw(picture, columns, rows, language, paint).join('\n')}\n\n`,
    )
    if (once) enough()
  })
  const asked = quit()
  const stopDrawing = isScreen
    ? drawOn(out, (columns, rows) => draw(picture, columns, rows, language, paint))
    : undefined
  try {
    const broken = await Promise.race([asked.asked, satisfied, seen.ended])
    if (typeof broken === 'string') throw new HoldfastError('stopped', `The inspector is gone: ${printable(broken)}.`)
  } finally {
    stopDrawing?.()
    asked.release()
    seen.close()
  }
}

const SCREEN = {
  begin: '\x1b[?1049h\x1b[?25l',
  home: '\x1b[H',
  clearLine: '\x1b[K',
  clearBelow: '\x1b[J',
  end: '\x1b[?25h\x1b[?1049l',
}

/** Four times a second, on a screen of its own. Returns what gives the screen back. */
const drawOn = (out: NodeJS.WriteStream, frame: (columns: number, rows: number) => readonly string[]) => {
  out.write(SCREEN.begin)
  let timer: object | undefined
  const redraw = () => {
    const lines = frame(out.columns, out.rows).map((line) => line + SCREEN.clearLine)
    out.write(SCREEN.home + lines.join('\r\n') + SCREEN.clearBelow)
    timer = realClock.setTimeout(redraw, REDRAW_MS)
  }
  redraw()
  return () => {
    realClock.clearTimeout(timer)
    out.write(SCREEN.end)
  }
}

const TEXT = {
  waiting: { en: 'waiting for the inspector …', zh: '等待检查器 …' },
  links: { en: 'links', zh: '个连接' },
  rate: { en: 'transitions/s', zh: '次转换/秒' },
  causes: { en: 'causes of the last minute:', zh: '最近一分钟的原因：' },
  more: { en: 'more', zh: '个未显示' },
  header: {
    en: {
      state: 'state',
      since: 'since',
      attempt: '#',
      roundTrip: 'round trip',
      due: 'due in',
      id: 'link',
      cause: 'cause',
    },
    zh: { state: '状态', since: '已持续', attempt: '#', roundTrip: '往返', due: '剩余', id: '连接', cause: '原因' },
  },
} as const

/** One line per link; none is wider than the terminal, and all fit on it. */
export const draw = (picture: Picture, columns: number, rows: number, language: Language, paint: Paint): string[] => {
  const { hello, agg } = picture
  if (!hello) return [TEXT.waiting[language]]
  const states = countsOf(picture).map(([state, count]) => `${lookOf(state)[0]} ${count} ${state}`)
  const causes = (agg?.causes ?? []).map(([fault, count]) => `${hello.faults[fault]?.code ?? '?'} ${count}`)
  const head = [
    cut(
      `holdfast ${printable(hello.version)}   ${picture.rows.size} ${TEXT.links[language]}   ${agg?.rate ?? 0} ${TEXT.rate[language]}`,
      columns,
    ),
    cut(states.join('   '), columns),
    cut(causes.length > 0 ? `${TEXT.causes[language]} ${printable(causes.join(', '))}` : '', columns),
    paint('bold', cut(lineOf(TEXT.header[language]), columns)),
  ]
  const room = Math.max(1, rows - head.length - 1)
  const worst = worstOf(picture)
  const shown = worst.slice(0, room).map((row) => {
    const state = picture.stateOf(row)
    return paint(lookOf(state)[1], cut(lineOf(cellsOf(picture, row)), columns))
  })
  const hidden = worst.length - shown.length
  return [...head, ...shown, ...(hidden > 0 ? [paint('gray', cut(`… ${hidden} ${TEXT.more[language]}`, columns))] : [])]
}

type Cells = Record<keyof (typeof TEXT.header)['en'], string>

const lineOf = ({ state, since, attempt, roundTrip, due, id, cause }: Cells): string =>
  `${column(state, 19)} ${since.padStart(9)} ${attempt.padStart(4)} ${roundTrip.padStart(10)} ${due.padStart(9)}  ${column(id, 28)} ${cause}`.trimEnd()

const cellsOf = (picture: Picture, row: Row): Cells => {
  const [, id, adapter, , since, attempt, , roundTripMs, dueAt] = row
  const state = picture.stateOf(row)
  const now = realClock.wall()
  return {
    state: `${lookOf(state)[0]} ${printable(state)}`,
    since: seconds(Math.max(0, now - since)),
    attempt: String(attempt),
    roundTrip: roundTripMs < 0 ? '–' : `${roundTripMs.toFixed(1)} ms`,
    due: dueAt < 0 ? '–' : seconds(Math.max(0, dueAt - now)),
    id: printable(`${id} (${adapter})`),
    cause: printable(picture.faultOf(row)),
  }
}

const rankOf = (state: string): number => {
  const rank = WORST_FIRST.indexOf(state)
  return rank < 0 ? 0 : rank
}

/** Of two in the same state the one with more attempts is worse, then the one that has been in it longer. */
const worstOf = (picture: Picture): Row[] =>
  [...picture.rows.values()].sort(
    (a, b) => rankOf(picture.stateOf(a)) - rankOf(picture.stateOf(b)) || b[5] - a[5] || a[4] - b[4],
  )

const countsOf = (picture: Picture): [string, number][] => {
  const counts = new Map<string, number>()
  for (const row of picture.rows.values()) {
    const state = printable(picture.stateOf(row))
    counts.set(state, (counts.get(state) ?? 0) + 1)
  }
  return [...counts].sort(([a], [b]) => rankOf(a) - rankOf(b))
}

const summaryOf = (picture: Picture) => {
  const { hello, agg } = picture
  return {
    at: realClock.wall(),
    links: picture.rows.size,
    states: Object.fromEntries(countsOf(picture)),
    rate: agg?.rate ?? 0,
    causes: Object.fromEntries(
      (agg?.causes ?? []).map(([fault, count]) => [printable(hello?.faults[fault]?.code ?? '?'), count]),
    ),
    worst: worstOf(picture)
      .slice(0, PLAIN.rows)
      .map((row) => ({
        id: printable(row[1]),
        adapter: printable(row[2]),
        state: printable(picture.stateOf(row)),
        since: row[4],
        attempt: row[5],
        fault: printable(picture.faultOf(row)) || null,
        roundTripMs: row[7] < 0 ? null : row[7],
        dueAt: row[8] < 0 ? null : row[8],
      })),
  }
}
