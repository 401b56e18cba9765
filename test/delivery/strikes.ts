/** What strikes a link, by name: each run draws twenty of these, each with a number that says how. */
import { faultFromStatus } from '../../src/error.ts'
import type { Wire } from './wire.ts'
import type { World } from './world.ts'

type Strike = (world: World, n: number) => void

const closes = [1000, 1001, 1006, 1008, 1011, 1012, 1013, 4000]

const onWire =
  (act: (wire: Wire, world: World, n: number) => void): Strike =>
  (world, n) => {
    for (const wire of world.platform.open.slice(n % 2)) act(wire, world, n)
    // an odd number spares the older of two; the only one is never spared
    if (n % 2 && world.platform.open.length === 1) act(world.platform.open[0]!, world, n)
  }

const drop = onWire((wire) => wire.lose({ code: 'connection-lost' }))

const refuse = (world: World, fault: Parameters<Wire['lose']>[0], ms: number): void => {
  world.platform.refuses = { fault, until: world.clock.now() + ms }
}

export const strikes = {
  drops: drop,
  /** Until the heartbeat gives up. */
  freezes: onWire((wire) => wire.freeze()),
  pauses: onWire((wire, { clock }, n) => {
    wire.freeze()
    clock.setTimeout(() => wire.thaw(), n % 900)
  }),
  refusesDials: (world, n) => {
    refuse(world, { code: 'refused' }, n % 700)
    drop(world, n)
  },
  throttles: (world, n) => {
    refuse(world, faultFromStatus(429, '1', 0), n % 700)
    drop(world, n)
  },
  closes: onWire((wire, _world, n) => wire.lose({ code: 'closed-by-peer' }, { code: closes[n % 8]!, reason: '' })),
  tears: onWire((wire) => wire.tear()),
  crumbles: onWire((wire) => {
    wire.crumble()
    wire.lose({ code: 'connection-lost' })
  }),
  clogs: onWire((wire, { clock }, n) => {
    wire.clog()
    clock.setTimeout(() => wire.drain(), n % 600)
  }),
  /** Our own process is blocked. */
  stalls: ({ clock }, n) => clock.sleep(n % 4 === 0 ? n % 6_000 : n % 400),
  replaces: ({ link }) => link.replace(),
  replacesAndDrops: (world, n) => {
    world.link.replace()
    world.clock.setTimeout(() => drop(world, n), n % 60)
  },
  leaves: onWire((wire, { clock }, n) => {
    wire.tell({ op: 'leaving' })
    clock.setTimeout(() => wire.lose({ code: 'closed-by-peer' }, { code: 1001, reason: 'going away' }), n % 300)
  }),
  forgets: (world, n) => {
    world.platform.forget()
    drop(world, n)
  },
  ignoresResumes: (world, n) => {
    world.platform.muteUntil = world.clock.now() + (n % 1_500)
    drop(world, n)
  },
  holds: ({ link }) => link.hold(),
} satisfies Record<string, Strike>

export type StrikeName = keyof typeof strikes
export const strikeNames = Object.keys(strikes) as StrikeName[]
