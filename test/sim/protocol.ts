/** The smallest protocol that can say everything an adapter can say: one JSON object a frame, `op` first. */
import type { FaultCode } from '../../machines/fault.ts'
import { type Adapter, type Calls, defineAdapter, type Io, type Target } from '../../src/adapter/adapter.ts'
import { type JsonObject, readObject } from '../../src/adapter/json.ts'

/** What the user sends; `n` tells the messages apart wherever they turn up. */
export interface Payload {
  readonly n: number
  readonly text: string
}

export interface SimCalls extends Calls {
  ask: { params: Payload; result: unknown }
}

export type SimAdapter = Adapter<JsonObject, Payload, SimCalls>

/** How the user's side of an adapter misbehaves. */
export interface AdapterMood {
  target: () => Target | Promise<Target>
  /** Throws when it is made, when the transport opens, or never. */
  throwsIn: 'dialogue' | 'opened' | undefined
  /** Messages that were handed to the link for its user. */
  delivered: number
}

export const CLOSE_REJECTED = 4004
export const CLOSE_FORBIDDEN = 4403
export const CLOSE_CONFUSING = 4999

/** The adapter throws on this text: a message that cannot be encoded. */
export const UNSPEAKABLE = 'unspeakable'

/** `probes`: whether it has a probe of its own, or leaves it to pings of the transport. */
export const simAdapter = (mood: AdapterMood, probes: boolean, begun: (io: Io<JsonObject>) => void): SimAdapter =>
  defineAdapter<JsonObject, Payload, SimCalls>({
    name: 'sim',
    target: () => mood.target(),
    dialogue: (io) => {
      if (mood.throwsIn === 'dialogue') throw new Error('this dialogue cannot begin')
      begun(io)
      return {
        opened: () => {
          if (mood.throwsIn === 'opened') throw new Error('this dialogue cannot open')
          io.send(JSON.stringify({ op: 'hello' }))
        },
        frame: (raw) => {
          const frame = readObject(raw)
          if (!frame) return 'malformed'
          if (frame.op === 'news') mood.delivered++
          const read = reading[frame.op as keyof typeof reading]
          if (!read || !Object.hasOwn(reading, frame.op as string)) return 'unknown'
          read(io, frame)
          return 'taken'
        },
        closed: (code) => {
          if (code === CLOSE_CONFUSING) throw new Error('this close code is confusing')
          if (code === CLOSE_REJECTED) return 'credentials-rejected'
          return code === CLOSE_FORBIDDEN ? 'upgrade-forbidden' : undefined
        },
      }
    },
    encode: (payload, key) => {
      if (payload.text === UNSPEAKABLE) throw new Error('this message cannot be encoded')
      return { frame: JSON.stringify({ op: 'say', key, ...payload }) }
    },
    request: (_method, payload: Payload, key) => ({
      frame: JSON.stringify({ op: 'ask', key, ...payload }),
      proof: 'answer',
    }),
    ...(probes ? { probe: (key: string) => JSON.stringify({ op: 'probe', key }) } : {}),
  })

type Read = (io: Io<JsonObject>, frame: JsonObject) => void

const reading = {
  welcome: (io) => io.welcome(),
  replay: (io) => io.welcome({ replaying: true }),
  caughtUp: (io) => io.caughtUp(),
  news: (io, frame) => io.deliver(frame),
  answer: (io, { key }) => io.answer(String(key), 'yes'),
  refuse: (io, { key }) => io.refuse(String(key), 'no'),
  offline: (io) => io.impaired('account-offline'),
  deaf: (io) => io.impaired('deaf', 'nothing but heartbeats'),
  online: (io) => io.recovered(),
  beat: (io, { expectMs, everyMs }) =>
    // a broken peer announces anything; JSON has no NaN, so null stands for it
    io.heartbeat({ expectMs: numberOr(expectMs), everyMs: numberOr(everyMs) }),
  fail: (io, { code, retryAfterMs }) =>
    io.fail(code as FaultCode, typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
  boom: () => {
    throw new Error('this frame is too much for the adapter')
  },
} satisfies Record<string, Read>

const numberOr = (value: unknown): number => (typeof value === 'number' ? value : Number.NaN)

/** What the peer answers by itself while it is healthy. */
export const answerOf = ({ op, key }: JsonObject): object | undefined =>
  op === 'ask' || op === 'probe' ? { op: 'answer', key } : undefined
