/**
 * Links of ours, held and watched, against the echo of the fault server: one line of `Held` for each thing that happens
 * to them. Each link has a clock of its own, so none of them waits for another. Orders: {"say": text} to all of them,
 * {"stop": true}; the end of stdin ends it.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { defineAdapter } from '../../../src/adapter/adapter.ts'
import { readObject } from '../../../src/adapter/json.ts'
import { realClock } from '../../../src/clock.ts'
import { connect } from '../../../src/link.ts'
import type { LinkOptions } from '../../../src/options.ts'
import { argument, monotonicMs, obey, print } from './program.ts'

export interface HoldArgument {
  readonly url: string
  readonly links?: number
  /** Between the starts of two. */
  readonly everyMs?: number
  readonly options?: Pick<LinkOptions, 'heartbeat' | 'deadlines'>
}

export interface Held {
  /** `closed` is told of sockets, and nobody knows whose they were. */
  readonly event: 'moved' | 'closed' | 'receipt' | 'stopped'
  /** On the clock that all processes share. */
  readonly atMs: number
  readonly link?: number
  readonly to?: string
  readonly reason?: string
  readonly delayMs?: number | undefined
  readonly retryAfterMs?: number | undefined
  readonly fate?: string
  readonly tookMs?: number
}

const { url, links = 1, everyMs = 0, options = {} } = argument<HoldArgument>()

const happened = (event: Held['event'], details: Partial<Held> = {}) => {
  print({ event, atMs: monotonicMs(), ...details } satisfies Held)
}

/** It speaks first, and takes its own words for a welcome. */
const echo = () =>
  defineAdapter<unknown, string>({
    name: 'echo',
    target: { url },
    dialogue: (io) => ({
      opened: () => io.send('hello'),
      frame: (raw) => {
        const said = readObject(raw)
        if (said) io.answer(String(said.key), said.text)
        else io.welcome()
        return 'taken'
      },
    }),
    encode: (text, key) => ({ frame: JSON.stringify({ key, text }), proof: 'answer' }),
  })

subscribe('net.client.socket', (message) => {
  const { socket } = message as { socket: Socket }
  socket.once('close', () => happened('closed'))
})

const hold = (number: number) => {
  const link = connect(echo(), { ...options, id: `link-${number}`, clock: { ...realClock }, proxy: false })
  link.transitions$.subscribe(({ to, reason, delayMs }) => {
    const { retryAfterMs } = link.status.fault ?? {}
    happened('moved', { link: number, to, reason, delayMs, retryAfterMs })
  })
  return {
    say: async (text: string) => {
      const { fate } = await link.send(text)
      happened('receipt', { link: number, fate })
    },
    stop: async () => {
      const startedAt = monotonicMs()
      await link.stop()
      happened('stopped', { link: number, tookMs: monotonicMs() - startedAt })
    },
  }
}

const held: ReturnType<typeof hold>[] = []
obey((order: { say?: string; stop?: true }) => {
  for (const each of held) void (order.stop ? each.stop() : each.say(order.say ?? ''))
})
for (let number = 0; number < links; number++) setTimeout(() => held.push(hold(number)), number * everyMs)
