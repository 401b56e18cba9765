/** `holdfast lab`: a bot with default settings is held against a peer that we break in nine ways. */
import type { Language } from '../../explain.ts'
import { fleet } from '../../fleet.ts'
import { type Paint, seconds, table, transitionLine } from '../print.ts'
import { quit } from '../quit.ts'
import { type LabFault, labFaults } from './faults.ts'
import { measure, type Outcome } from './measure.ts'
import { openPlayground } from './playground.ts'

export interface LabOptions {
  /** Do not wait for a person between two faults. */
  readonly once: boolean
  readonly json: boolean
  readonly language: Language
  /** Names of the faults to play; all if empty. */
  readonly only: readonly string[]
  /** Open an inspector on this port, 0 for any: of the bot that is measured, and of one to play with. */
  readonly inspect: number | undefined
}

const TEXT = {
  intro: {
    en: 'One bot with default settings, one peer in a process of its own, nine faults. The bot sends 5 messages a second.',
    zh: '一个默认设置的机器人，一个独立进程中的对端，九种故障。机器人每秒发送 5 条消息。',
  },
  inspector: {
    en: 'The page of this lab, with a bot of its own that you can break:',
    zh: '本实验的页面，含一个可供您破坏的机器人：',
  },
  next: { en: 'Enter: next fault · q: enough ', zh: '回车：下一个故障 · q：结束 ' },
  header: {
    en: ['fault', 'noticed after', 'live after return', 'dials', 'lost', 'twice', ''],
    zh: ['故障', '发现用时', '恢复用时', '拨号', '丢失', '重复', ''],
  },
  untouched: { en: 'not blamed on the peer', zh: '未归咎于对端' },
  parked: { en: 'parked, then resumed by a person', zh: '停放，由人工恢复' },
  back: { en: 'back by itself', zh: '自行恢复' },
  failed: { en: 'NOT RECOVERED', zh: '未恢复' },
} as const

/** Resolves to true if every fault ended as it should. */
export const lab = async (options: LabOptions, out: NodeJS.WriteStream, paint: Paint): Promise<boolean> => {
  const { language, json } = options
  const chosen = labFaults.filter(({ name }) => options.only.length === 0 || options.only.includes(name))
  const say = (text: string) => {
    if (!json) out.write(`${text}\n`)
  }
  say(paint('bold', 'holdfast lab'))
  say(`${TEXT.intro[language]}\n`)
  const bots = fleet({ trace: false })
  await using playground =
    options.inspect === undefined ? undefined : await openPlayground(bots, { port: options.inspect })
  if (playground) process.stderr.write(`${TEXT.inspector[language]}\n  ${playground.url}\n\n`)
  const outcomes: Outcome[] = []
  for (const [index, fault] of chosen.entries()) {
    if (index > 0 && !options.once && !(await wantsMore(TEXT.next[language]))) break
    say(paint('bold', `${index + 1}/${chosen.length}  ${fault.title[language]}`))
    const outcome = await measure(fault, bots, (record) =>
      say(transitionLine(record, record.elapsedMs, language, paint)),
    )
    outcomes.push(outcome)
    if (json) out.write(`${JSON.stringify(outcome)}\n`)
    say('')
  }
  say(summary(chosen, outcomes, language, paint))
  return outcomes.every((outcome, i) => isGood(chosen[i]!, outcome))
}

/** Enter plays the next fault, q ends the show. */
const wantsMore = async (question: string): Promise<boolean> => {
  process.stderr.write(question)
  let goOn: () => void = () => undefined
  const entered = new Promise<boolean>((resolve) => {
    goOn = () => resolve(true)
  })
  const { asked, release } = quit((keys) => /[\r\n]/.test(keys) && goOn())
  try {
    return await Promise.race([entered, asked.then(() => false)])
  } finally {
    release()
    process.stderr.write('\n\n')
  }
}

const isGood = ({ endsIn, keepsLink }: LabFault, { recovered, parked, attempts }: Outcome): boolean =>
  recovered && parked === (endsIn === 'parked') && (!keepsLink || attempts === 0)

const summary = (
  chosen: readonly LabFault[],
  outcomes: readonly Outcome[],
  language: Language,
  paint: Paint,
): string => {
  const time = (ms: number | null) => (ms === null ? '–' : seconds(ms))
  const rows = outcomes.map((outcome, i) => {
    const fault = chosen[i]!
    const verdict = isGood(fault, outcome)
      ? fault.keepsLink
        ? TEXT.untouched
        : outcome.parked
          ? TEXT.parked
          : TEXT.back
      : TEXT.failed
    const { noticedMs, recoveredMs, attempts, lost, duplicated } = outcome
    return [
      fault.title[language],
      time(noticedMs),
      fault.keepsLink ? '–' : time(recoveredMs),
      String(attempts),
      String(lost),
      String(duplicated),
      paint(verdict === TEXT.failed ? 'red' : 'green', verdict[language]),
    ]
  })
  return table(TEXT.header[language], rows, paint)
}
