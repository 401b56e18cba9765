/** Somebody's client in virtual time: it notes what is done to it, and does what a test tells it. */
import { EventEmitter } from 'node:events'
import type { ClientListener, ClientOptions } from '../../src/adapter/client.ts'
import { client } from '../../src/adapter/client.ts'
import { connect, type Link } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { follow } from '../small-talk.ts'

export class Toy extends EventEmitter {
  starts = 0
  stops = 0
  on_: ClientListener<unknown> | undefined
}

export interface ToyRig {
  readonly clock: HeapClock
  readonly link: Link<unknown, string>
  /** Every client that was made, oldest first. */
  readonly toys: Toy[]
  /** The latest. */
  readonly toy: Toy
  readonly on: ClientListener<unknown>
  /** How many ran at once, at most. */
  readonly most: number
  readonly faults: readonly (string | undefined)[]
  /** Stops the link; throws if a timer is left. */
  end(): Promise<void>
}

type Rules = Partial<ClientOptions<Toy, unknown, string>>

/** By default a client is ready as soon as it is started, and stops at once. */
export const toyRig = (rules: Rules = {}, options: LinkOptions = {}): ToyRig => {
  const clock = heapClock()
  const toys: Toy[] = []
  const running = new Set<Toy>()
  let most = 0
  const { make = () => new Toy(), start = (_toy, on) => on.ready(), stop = () => undefined, ...more } = rules
  const link = connect(
    client<Toy, unknown, string>({
      name: 'toy',
      clock,
      make: async () => {
        const toy = await make()
        toys.push(toy)
        return toy
      },
      start: (toy, on) => {
        toy.starts++
        toy.on_ = on
        running.add(toy)
        most = Math.max(most, running.size)
        return start(toy, on)
      },
      stop: async (toy) => {
        toy.stops++
        await stop(toy)
        running.delete(toy)
      },
      ...more,
    }),
    { id: 'toy', clock, ...options },
  )
  return {
    clock,
    link,
    toys,
    get toy() {
      return toys.at(-1)!
    },
    get on() {
      return toys.at(-1)!.on_!
    },
    get most() {
      return most
    },
    get faults() {
      return link.recording.kept.filter(({ to }) => to === 'backoff' || to === 'parked').map(({ reason }) => reason)
    },
    end: async () => {
      const stopped = follow(link.stop())
      await clock.advance(14_000)
      if (!stopped.settled || clock.pending > 0) {
        throw new Error(`the link is ${link.status.state}, and ${clock.pending} timers are left`)
      }
    },
  }
}
