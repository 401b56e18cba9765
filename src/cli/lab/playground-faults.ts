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

type Fault = (ground: Ground) => unknown

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

const blames =
  (code: string) =>
  ({ fault }: LinkStatus): boolean =>
    fault?.code === code

/** However it ends, the peer is well afterwards: somebody may have held the link in the middle. */
const broken =
  (strike: Fault, met: Fault, heal: Fault): Fault =>
  async (ground) => {
    await strike(ground)
    try {
      await met(ground)
    } finally {
      await heal(ground)
    }
  }

const until =
  (holds: (status: LinkStatus) => boolean, thenMs = 0): Fault =>
  async ({ link }) => {
    await reaches(link, holds)
    await pause(thenMs)
  }

/** Everybody is thrown out, and who comes back is met like this. */
const atTheDoor = (behaviour: Behaviour, met: Fault): Fault =>
  broken(
    ({ peer }) => {
      peer.behave(behaviour)
      peer.cut()
    },
    met,
    ({ peer }) => peer.behave('healthy'),
  )

const dismissed =
  (how: Parameters<PeerProcess['dismiss']>[0]): Fault =>
  async ({ peer, link }) => {
    peer.dismiss(how)
    await reaches(link, ({ state }) => state !== 'live')
  }

export const playgroundFaults: Readonly<Record<string, Fault>> = {
  drop: dismissed('reset'),
  freeze: broken(
    ({ peer }) => peer.freeze(),
    until(blames('heartbeat-timeout'), SHOWN_MS),
    ({ peer }) => peer.thaw(),
  ),
  refuse: broken(
    ({ peer }) => peer.kill(),
    until(blames('refused'), SHOWN_MS),
    ({ peer }) => peer.restart(),
  ),
  'close-1006': dismissed('destroy'),
  'close-1012': dismissed(1012),
  'close-4004': dismissed(4004),
  'upgrade-401': atTheDoor(
    { refuse: 401 },
    until(({ state }) => state === 'parked'),
  ),
  'upgrade-429': atTheDoor({ refuse: 429, retryAfter: String(RETRY_AFTER_S) }, until(blames('throttled'))),
  'slow-handshake': atTheDoor({ upgradeAfterMs: 4_000 }, async ({ link }) => {
    await reaches(link, ({ state }) => state === 'handshaking')
    await reaches(link, ({ state }) => state !== 'handshaking')
  }),
  'dns-failure': broken(
    ({ peer, name }) => {
      name(false)
      peer.cut()
    },
    until(blames('name-not-found'), SHOWN_MS),
    ({ name }) => name(true),
  ),
}
