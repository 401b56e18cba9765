/** One life of a bot in virtual time: it ends by a kill, and the next one finds the disk and the platform as they were. */
import type { JsonObject } from '../../src/adapter/json.ts'
import type { Endpoint } from '../../src/conversation.ts'
import type { Link } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import type { SettledMessage } from '../../src/outbox/outbox.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import type { OpenTransport } from '../../src/transport/transport.ts'
import { Gateway, type GatewayOptions, gatewayRig } from '../gateway.ts'
import { Disk } from '../outbox/shaky-store.ts'

export interface World {
  readonly clock: HeapClock
  readonly gateway: Gateway
  readonly disk: Disk
}

export const freshWorld = (): World => {
  const clock = heapClock()
  return { clock, gateway: new Gateway(clock), disk: new Disk() }
}

export interface Life {
  readonly link: Link<JsonObject, string>
  /** What the user was given, and told of gaps, in order. */
  readonly got: string[]
  readonly fates: SettledMessage[]
  /** The process is gone: its sockets break, and nothing that it still does reaches anybody. */
  kill(): void
  /** Ends the link for good; throws if anything of it is left. */
  end(): Promise<void>
}

/** Connects with the world's disk as its store; `store: undefined` is a life without one. */
export const beginLife = (world: World, options: Partial<LinkOptions> = {}, adapter: GatewayOptions = {}): Life => {
  const { clock, gateway, disk } = world
  let isAlive = true
  const transport =
    (endpoint: Endpoint): OpenTransport =>
    (listener) =>
      isAlive ? gateway.transport(endpoint)(listener) : () => undefined
  const made = gatewayRig(adapter, { store: disk.open(), transport, ...options }, { clock, gateway })
  const fates: SettledMessage[] = []
  made.link.settled$.subscribe((settled) => void fates.push(settled))
  return {
    link: made.link,
    got: made.got,
    fates,
    kill: () => {
      isAlive = false
      disk.open()
      gateway.drop()
    },
    end: made.end,
  }
}

/** What the platform was told to say, in the order of its arrival. */
export const said = ({ gateway }: World): string[] =>
  gateway.heard.filter(({ op }) => op === 'say').map(({ text }) => String(text))

/** `fate key` would not tell which: the texts are the keys of nothing, so fates are told by their number. */
export const fatesOf = ({ fates }: Life): string[] => fates.map(({ fate }) => fate)
