/** A link to a OneBot peer in virtual time: a peer that announces its beats, and beats when it is told to. */
import type { OnebotAction, OnebotCalls, OnebotEvent } from '../src/adapter/onebot.ts'
import { onebot } from '../src/adapter/onebot.ts'
import { connect, type Link } from '../src/link.ts'
import type { LinkOptions } from '../src/options.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { type HeapClock, heapClock } from '../src/testing/heap-clock.ts'

export interface OnebotRig {
  readonly clock: HeapClock
  readonly network: FakeNetwork
  readonly link: Link<OnebotEvent, OnebotAction, OnebotCalls>
  beat(): void
  say(): void
  /** Stops the link; throws if anything of it is left. */
  end(): Promise<void>
}

/** Live when it resolves; the first beat was its welcome. */
export const onebotRig = async (options: LinkOptions = {}, intervalMs = 5_000): Promise<OnebotRig> => {
  const clock = heapClock()
  const beat = {
    post_type: 'meta_event',
    meta_event_type: 'heartbeat',
    interval: intervalMs,
    status: { online: true, good: true },
  }
  const network = new FakeNetwork(clock, {
    greeting: [beat],
    answer: (frame) => {
      const { echo } = JSON.parse(String(frame)) as { echo: string }
      return { status: 'ok', retcode: 0, data: beat.status, echo }
    },
  })
  const { transport, lookup } = network
  const link = connect(onebot({ url: 'ws://127.0.0.1:3001/' }), { id: 'bot', clock, transport, lookup, ...options })
  await clock.advance(3 * network.latencyMs)
  if (link.status.state !== 'live') throw new Error(`the link is ${link.status.state}`)
  return {
    clock,
    network,
    link,
    beat: () => network.current!.frame(beat),
    say: () => network.current!.frame({ post_type: 'message', message: 'hello' }),
    end: async () => {
      void link.stop()
      await clock.advance(4_000)
      if (clock.pending + network.openCount > 0) throw new Error(`${clock.pending} timers are left`)
    },
  }
}
