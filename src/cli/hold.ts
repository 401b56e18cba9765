/** `holdfast hold`: holds a real peer until Ctrl-C, and shows what happens to it. */
import { maim } from '../adapter/maim.ts'
import { onebot } from '../adapter/onebot.ts'
import { satori } from '../adapter/satori.ts'
import type { Language } from '../explain.ts'
import { type Fleet, fleet } from '../fleet.ts'
import type { Link } from '../link.ts'
import { inspect } from '../observe/inspect/index.ts'
import { secret } from '../secret.ts'
import { type Paint, transitionLine } from './print.ts'

export const protocols = ['onebot', 'satori', 'maim'] as const
export type Protocol = (typeof protocols)[number]

export interface HoldOptions {
  readonly protocol: Protocol
  readonly url: string
  readonly token: string | undefined
  /** Of `maim`: whom a bridge brings messages from. */
  readonly platform: string | undefined
  readonly id: string | undefined
  /** Open an inspector on this port; 0 for any. */
  readonly inspect: number | undefined
  /** Write a trace. Undefined: what HOLDFAST_TRACE says. */
  readonly trace: string | undefined
  readonly json: boolean
  readonly language: Language
}

/** Resolves when the link has stopped, because a signal asked for it. Throws HoldfastError on a wrong URL or token. */
export const hold = async (options: HoldOptions, out: NodeJS.WriteStream, paint: Paint): Promise<void> => {
  const { json, language, trace } = options
  const held = fleet(trace === undefined ? {} : { trace })
  const link = start(held, options)
  const say = (text: string) => out.write(`${text}\n`)
  link.transitions$.subscribe((record) => {
    say(json ? JSON.stringify(record) : transitionLine(record, record.elapsedMs, language, paint))
    if (json || record.to !== 'parked') return
    say(paint('red', link.explain({ language }).text))
    say(language === 'zh' ? '更正后发送 SIGHUP 恢复。' : 'When it is put right, resume it: kill -HUP this process.')
  })
  const stop = () => {
    // asked a second time: do not wait for what is left to deliver
    void link.stop(link.status.state === 'closing' ? { drainMs: 0 } : {})
  }
  const resume = () => link.resume()
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', resume)
  try {
    await using inspector = await startInspector(held, options.inspect)
    // lines of JSON are for a program: what is for a person goes beside them
    if (inspector) (json ? process.stderr : out).write(`${INSPECTOR[language]} ${inspector.url}\n`)
    await ended(link)
  } finally {
    await held.stop({ drainMs: 0 })
    process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', resume)
  }
}

const INSPECTOR = { en: 'Inspector:', zh: '检查器：' } as const

const startInspector = (held: Fleet, port: number | undefined) =>
  port === undefined ? undefined : inspect(held, { port, control: true })

const start = (held: Fleet, { protocol, url, token, platform = 'qq', id }: HoldOptions): Link => {
  const named = id === undefined ? {} : { id }
  const hidden = token === undefined ? undefined : secret(token)
  if (protocol === 'maim') return held.add(maim({ url, platform, ...(hidden && { token: hidden }) }), named) as Link
  if (protocol === 'satori') return held.add(satori({ url, ...(hidden && { token: hidden }) }), named) as Link
  return held.add(onebot({ url, ...(hidden && { accessToken: hidden }) }), named) as Link
}

const ended = (link: Link): Promise<void> =>
  new Promise((resolve) => {
    link.state$.subscribe({ complete: resolve })
    // nobody reads the messages here: take them, so that none counts as dropped
    link.inbound$.subscribe()
  })
