/** `holdfast doctor`: examines the way to a peer layer by layer, and says in one sentence what is wrong with it. */
import type { AdapterName } from '../doctor/adapters.ts'
import { type ExitCode, findingsOn } from '../doctor/diagnose.ts'
import { examine, type Report } from '../doctor/examine.ts'
import type { Layer } from '../doctor/layers.ts'
import { linesOf, titleOf } from '../doctor/tell.ts'
import type { Language } from '../explain.ts'
import { secret } from '../secret.ts'
import { type Paint, seconds } from './print.ts'

export interface DoctorOptions {
  readonly url: string
  readonly adapter: AdapterName | undefined
  readonly token: string | undefined
  readonly platform: string | undefined
  /** As of a link. */
  readonly proxy: string | false | undefined
  readonly json: boolean
  readonly language: Language
}

/** Resolves to the exit code. Rejects with HoldfastError on a wrong URL, token or proxy. */
export const doctor = async (options: DoctorOptions, out: NodeJS.WriteStream, paint: Paint): Promise<ExitCode> => {
  const { url, adapter, token, platform, proxy, json, language } = options
  const say = (text: string) => out.write(`${text}\n`)
  const report = await examine(url, {
    ...(adapter && { adapter }),
    ...(token !== undefined && { token: secret(token) }),
    ...(platform !== undefined && { platform }),
    ...(proxy !== undefined && { proxy }),
    ...(!json && { onLayer: (layer, soFar) => say(layerText(layer, soFar, language, paint)) }),
  })
  say(json ? JSON.stringify(report) : verdictText(report, language, paint))
  return report.exitCode
}

const TITLE_WIDTH = 11
const TIME_WIDTH = 8

/** `  ✔ TCP          0.60 s  192.0.2.1:8080  open after 603 ms`, further lines below the first. */
const layerText = (layer: Layer, soFar: readonly Layer[], language: Language, paint: Paint): string => {
  const isOdd = layer.ok === true && findingsOn(layer.name, soFar).length > 0
  const [glyph, style] =
    layer.ok === null
      ? (['–', 'gray'] as const)
      : !layer.ok
        ? (['✘', 'red'] as const)
        : isOdd
          ? (['!', 'yellow'] as const)
          : (['✔', 'green'] as const)
  const title = titleOf(layer.name, language)
  const time = layer.ms === null ? '' : seconds(layer.ms)
  const head = `${paint(style, glyph)} ${title}${' '.repeat(TITLE_WIDTH - columns(title))}${paint('gray', time.padStart(TIME_WIDTH))}  `
  const indent = ' '.repeat(2 + TITLE_WIDTH + TIME_WIDTH + 2)
  const lines = linesOf(layer, language)
  return head + (layer.ok === null ? lines.map((line) => paint('gray', line)) : lines).join(`\n${indent}`)
}

/** Chinese characters take two columns. */
const columns = (text: string): number => [...text].reduce((sum, char) => sum + (char > '\u2e80' ? 2 : 1), 0)

const VERDICTS = {
  0: { en: 'WELL', zh: '正常', style: 'green' },
  1: { en: 'DEGRADED', zh: '降级', style: 'yellow' },
  2: { en: 'FAILED', zh: '失败', style: 'red' },
} as const

const verdictText = ({ diagnosis, exitCode }: Report, language: Language, paint: Paint): string => {
  const verdict = VERDICTS[exitCode]
  const also = diagnosis.also.map((finding) => `${language === 'zh' ? '另外：' : 'Also: '}${finding[language]}`)
  return ['', `${paint(verdict.style, verdict[language])}  ${diagnosis[language]}`, ...also].join('\n')
}
