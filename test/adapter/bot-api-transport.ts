/** A Bot API in virtual time: answers come as frames, as those of the HTTP transport do, and nothing is opened. */
import type { Target } from '../../src/adapter/adapter.ts'
import type { Clock, Timer } from '../../src/clock.ts'
import { type Answer, readQuestion, writeAnswer } from '../../src/exchange.ts'
import type { LinkOptions } from '../../src/options.ts'
import { joined } from '../../src/transport/joined.ts'
import type { OpenTransport } from '../../src/transport/transport.ts'
import type { BotApi } from '../peers/bot-api.ts'

const LATENCY_MS = 10

export interface BotApiNetwork {
  readonly transport: NonNullable<LinkOptions['transport']>
  /** Transports that were opened, and those that are. */
  readonly opened: number
  readonly open: number
}

export const botApiTransport = (api: BotApi, clock: Clock): BotApiNetwork => {
  let opened = 0
  let open = 0
  const transport = ({ target }: { target: Pick<Target, 'url' | 'posts'> }): OpenTransport => {
    const token = /\/bot([^/]+)\/$/.exec(target.url)?.[1] ?? ''
    const asking: OpenTransport = (listener) => {
      opened++
      open++
      let isOver = false
      const asked = new Map<string, () => void>()
      const later = (ms: number, act: () => void): Timer =>
        clock.setTimeout(() => {
          if (!isOver) act()
        }, ms)
      const tell = (answer: Answer) => {
        asked.get(answer.key)?.()
        asked.delete(answer.key)
        listener.frame(writeAnswer(answer))
        if (answer.kind !== 'fault') listener.inbound()
      }
      const take = (frame: Parameters<typeof readQuestion>[0]) => {
        const question = readQuestion(frame)
        if ('cancel' in question) return
        const { key, path, body = '{}', withinMs, afterMs = 0 } = question
        asked.get(key)?.()
        let gone: () => void = () => undefined
        let late: Timer | undefined
        const start = later(afterMs + LATENCY_MS, () => {
          const fault = { code: 'answer-timeout', detail: `no answer within ${withinMs} ms` } as const
          late = later(withinMs, () => tell({ key, kind: 'fault', fault }))
          gone = api.ask(token, path, JSON.parse(body), (answer) => {
            if (answer === 'half') return
            clock.clearTimeout(late)
            late = later(LATENCY_MS, () => tell({ key, kind: 'whole', headers: {}, ...answer }))
          })
        })
        asked.set(key, () => {
          for (const timer of [start, late]) clock.clearTimeout(timer)
          gone()
        })
      }
      later(LATENCY_MS, () => {
        listener.opened()
        listener.ready({
          send: take,
          ping: () => expectNoPing(),
          bufferedBytes: () => 0,
          // a goodbye is answered first
          close: () =>
            later(3 * LATENCY_MS, () => listener.lost({ code: 'closed-by-peer' }, { code: 1000, reason: '' })),
        })
      })
      return () => {
        if (isOver) return
        isOver = true
        open--
        for (const end of asked.values()) end()
      }
    }
    return target.posts ? joined(asking, target.posts) : asking
  }
  return {
    transport,
    get opened() {
      return opened
    },
    get open() {
      return open
    },
  }
}

const expectNoPing = (): never => {
  throw new Error('HTTP has no ping')
}
