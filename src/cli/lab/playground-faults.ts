/** The faults of the page's panel. Each lasts until the link has met it, and leaves the peer well again. */
import { setTimeout as pause } from 'node:timers/promises'
import { realClock } from '../../clock.ts'
import type { LinkStatus } from '../../explain.ts'
import type { Link } from '../../link.ts'
import type { Behaviour } from '../../testing/onebot-peer.ts'
import type { PeerProcess } from './peer-process.ts'

export interface Ground {
  readonly peer: PeerProcess
  readonly link: Link
  /** Whether the name of the peer can be looked up. */
  name(isKnown: boolean): void
}

type Fault = (ground: Ground) => Promise<void>

const DEADLINE_MS = 60_000
/** So long a fault goes on once it was met: somebody is looking. */
const SHOWN_MS = 2_000
const RETRY_AFTER_S = 5

/** Rejects after a minute: somebody may have held or stopped the link meanwhile. */
export const reaches = (link: Link, holds: (status: LinkStatus) => boolean): Promise<void> =>
  new Promise((resolve, reject) => {
    const late = () => settle(() => reject(new Error('The link did not get there in time.')))
    const timer = realClock.setTimeout(late, DEADLINE_MS)
    const settle = (act: () => void) => {
      realClock.clearTimeout(timer)
      queueMicrotask(() => subscription.unsubscribe())
      act()
    }
    const subscription = link.state$.subscribe((status) => {
      if (holds(status)) settle(resolve)
    })
  })

/** Everybody is thrown out, and who comes back is met like this. */
const atTheDoor =
  (behaviour: Behaviour, met: (status: LinkStatus) => boolean): Fault =>
  async ({ peer, link }) => {
    peer.behave(behaviour)
    peer.cut()
    await reaches(link, met)
    peer.behave('healthy')
  }

const blames =
  (code: string) =>
  ({ fault }: LinkStatus): boolean =>
    fault?.code === code

const dismissed =
  (how: Parameters<PeerProcess['dismiss']>[0]): Fault =>
  async ({ peer, link }) => {
    peer.dismiss(how)
    await reaches(link, ({ state }) => state !== 'live')
  }

export const playgroundFaults: Readonly<Record<string, Fault>> = {
  drop: dismissed('reset'),
  freeze: async ({ peer, link }) => {
    peer.freeze()
    await reaches(link, blames('heartbeat-timeout'))
    await pause(SHOWN_MS)
    peer.thaw()
  },
  refuse: async ({ peer, link }) => {
    await peer.kill()
    await reaches(link, blames('refused'))
    await pause(SHOWN_MS)
    await peer.restart()
  },
  'close-1006': dismissed('destroy'),
  'close-1012': dismissed(1012),
  'close-4004': dismissed(4004),
  'upgrade-401': atTheDoor({ refuse: 401 }, ({ state }) => state === 'parked'),
  'upgrade-429': atTheDoor({ refuse: 429, retryAfter: String(RETRY_AFTER_S) }, blames('throttled')),
  'slow-handshake': async ({ peer, link }) => {
    peer.behave({ upgradeAfterMs: 4_000 })
    peer.cut()
    await reaches(link, ({ state }) => state === 'handshaking')
    await reaches(link, ({ state }) => state !== 'handshaking')
    peer.behave('healthy')
  },
  'dns-failure': async ({ peer, link, name }) => {
    name(false)
    peer.cut()
    await reaches(link, blames('name-not-found'))
    await pause(SHOWN_MS)
    name(true)
  },
}
