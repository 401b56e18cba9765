/** `holdfast explain`: what a fault code means, and what the link does about it. */
import { type FaultCode, type FaultRow, faults } from '../../machines/fault.ts'
import { kindWords, reactionTo, sideWords } from '../diagram/fault-words.ts'
import type { Language } from '../explain.ts'
import { type Paint, pad } from './print.ts'

const TITLES = {
  en: { because: 'because', advice: 'advice', link: 'the link', kind: 'kind', side: 'side', colon: ': ' },
  zh: { because: '原因', advice: '建议', link: '连接', kind: '类别', side: '责任方', colon: '：' },
} as const

const TITLE_WIDTH = 8

export const faultCodes = Object.keys(faults)

export const isFaultCode = (name: string): name is FaultCode => Object.hasOwn(faults, name)

export const explainFault = (code: FaultCode, language: Language, paint: Paint): string => {
  const { kind, side, because, advice }: FaultRow = faults[code]
  const titles = TITLES[language]
  const rows = [
    [titles.because, because[language]],
    [titles.advice, advice[language]],
    [titles.kind, `${kind}${titles.colon}${kindWords[kind][language]}`],
    [titles.side, `${side}${titles.colon}${sideWords[side][language]}`],
    [titles.link, reactionTo(code)[language]],
  ] as const
  return [
    paint('bold', code),
    ...rows.map(([title, text]) => `  ${paint('gray', title)}${pad(title, TITLE_WIDTH)}  ${text}`),
    '',
  ].join('\n')
}
