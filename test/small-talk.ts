/**
 * A link on a scripted network in virtual time, and the smallest protocol that can say all there is to say: one JSON
 * object a frame, `op` first.
 */
import type { FaultCode } from '../machines/fault.ts'
import { type Adapter, type Dialogue, defineAdapter, type Io, type Target } from '../src/adapter/adapter.ts'
import { type JsonObject, readObject } from '../src/adapter/json.ts'
import { connect, type Link } from '../src/link.ts'
import type { LinkOptions } from '../src/options.ts'
import { FakeNetwork, type PeerScript } from '../src/testing/fake-network.ts'
import { type HeapClock, heapClock } from '../src/testing/heap-clock.ts'

export interface Saying {
  readonly text: string
}

export type TalkCalls = { ask: { params: Saying; result: unknown } }
export type TalkAdapter = Adapter<JsonObject, Saying, TalkCalls>

/** The adapter throws on this text: a message that cannot be encoded. */
export const UNSPEAKABLE = 'unspeakable'

export const URL_OF_PEER = 'ws://127.0.0.1:7000/'

export const smallTalk = (target: Target | TalkAdapter['target'] = { url: URL_OF_PEER }): TalkAdapter =>
  defineAdapter<JsonObject, Saying, TalkCalls>({
    name: 'small-talk',
    target,
    dialogue,
    encode: ({ text }, key) => {
      if (text === UNSPEAKABLE) throw new Error('this cannot be said')
      return { frame: JSON.stringify({ op: 'say', key, text }) }
    },
    request: (_method, { text }, key) => ({ frame: JSON.stringify({ op: 'ask', key, text }), proof: 'answer' }),
  })

const dialogue = (io: Io<JsonObject>): Dialogue => ({
  frame: (raw) => {
    const frame = readObject(raw)
    if (!frame) return 'malformed'
    const { op, key, value, why, code, retryAfterMs } = frame
    if (op === 'welcome') io.welcome({ replaying: frame.replaying === true })
    else if (op === 'caught-up') io.caughtUp()
    else if (op === 'news') io.deliver(frame, typeof frame.id === 'string' ? { id: frame.id } : {})
    else if (op === 'answer') io.answer(String(key), value)
    else if (op === 'refuse') io.refuse(String(key), String(why))
    else if (op === 'offline') io.impaired('account-offline', String(why))
    else if (op === 'online') io.recovered()
    else if (op === 'lively') io.heartbeat({ payloadMs: Number(frame.payloadMs) })
    else if (op === 'fail') {
      io.fail(code as FaultCode, {
        detail: String(why),
        ...(retryAfterMs ? { retryAfterMs: Number(retryAfterMs) } : {}),
      })
    } else return 'unknown'
    return 'taken'
  },
  closed: (code) => (code === 4001 ? 'credentials-rejected' : undefined),
})

/** Welcomes, and answers every question with the question. */
export const politePeer: PeerScript = {
  greeting: [{ op: 'welcome' }],
  answer: (frame) => {
    const { op, key, text } = readObject(frame) ?? {}
    return op === 'ask' ? { op: 'answer', key, value: text } : undefined
  },
}

export interface Rig {
  readonly clock: HeapClock
  readonly network: FakeNetwork
  readonly link: Link<JsonObject, Saying, TalkCalls>
  /** Until the peer has welcomed us. */
  live(): Promise<void>
  /** Stops the link; throws if anything of it is left. */
  end(): Promise<void>
}

export interface RigOptions extends Omit<LinkOptions, 'clock' | 'transport' | 'lookup'> {
  readonly healthy?: boolean
  readonly script?: PeerScript
  readonly target?: Target | TalkAdapter['target']
  /** That of another rig, for two links in one process. */
  readonly clock?: HeapClock
}

export const rig = ({
  healthy = true,
  script = politePeer,
  target,
  clock = heapClock(),
  ...options
}: RigOptions = {}): Rig => {
  const network = new FakeNetwork(clock, script, healthy)
  const { transport, lookup } = network
  const link = connect(smallTalk(target), { id: 'bot', clock, transport, lookup, ...options })
  return {
    clock,
    network,
    link,
    live: async () => {
      await clock.advance(3 * network.latencyMs)
      if (link.status.state !== 'live') throw new Error(`the link is ${link.status.state}`)
    },
    end: async () => {
      const stopped = follow(link.stop())
      await clock.advance(4_000)
      const { openCount } = network
      if (!stopped.settled || openCount > 0 || clock.pending > 0) {
        throw new Error(
          `the link is ${link.status.state}: ${openCount} transports and ${clock.pending} timers are left`,
        )
      }
    },
  }
}

/** What became of a promise so far. */
export interface Outcome<T> {
  value?: T
  error?: unknown
  settled: boolean
}

/** Follows a promise without waiting for it: virtual time moves only when the test moves it. */
export const follow = <T>(promise: Promise<T>): Outcome<T> => {
  const outcome: Outcome<T> = { settled: false }
  promise.then(
    (value) => Object.assign(outcome, { value, settled: true }),
    (error) => Object.assign(outcome, { error, settled: true }),
  )
  return outcome
}
