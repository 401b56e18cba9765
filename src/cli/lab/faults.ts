/** The faults of the lab, each as a little play: what happens to the peer, and when it is well again. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Text } from '../../../machines/fault.ts'
import type { Link } from '../../link.ts'
import type { PeerProcess } from './peer-process.ts'

export interface Stage {
  readonly peer: PeerProcess
  readonly link: Link
  /** The fault begins now. */
  strike(): void
  /** The peer is well again now: what follows is recovery. */
  healed(): void
  /** Resolves when the link says so. */
  until(condition: 'lost' | 'live' | 'parked'): Promise<void>
}

export interface LabFault {
  readonly name: string
  readonly title: Text
  /** What a good end is: most links come back by themselves, some faults need a person and must say so. */
  readonly endsIn: 'live' | 'parked'
  /** The link was never lost: our own fault must not be blamed on the peer. */
  readonly keepsLink?: boolean
  /** The peer is not there when the bot starts. */
  readonly startsWithout?: boolean
  play(stage: Stage): Promise<void>
}

const RETRY_AFTER_S = 7
const BLOCKED_MS = 5_000

/** At the door: everybody is thrown out, and newcomers are met like this for a while. */
const atTheDoor =
  (behaviour: Parameters<PeerProcess['behave']>[0], forMs: number) =>
  async ({ peer, strike, healed }: Stage): Promise<void> => {
    peer.behave(behaviour)
    strike()
    peer.cut()
    await pause(forMs)
    peer.behave('healthy')
    healed()
  }

export const labFaults: readonly LabFault[] = [
  {
    name: 'killed',
    title: { en: 'peer killed, restarted 3 s later', zh: '对端被杀死，3 秒后重启' },
    endsIn: 'live',
    play: async ({ peer, strike, healed }) => {
      strike()
      await peer.kill()
      await pause(3_000)
      await peer.restart()
      healed()
    },
  },
  {
    name: 'frozen',
    title: { en: 'peer frozen for 8 s', zh: '对端冻结 8 秒' },
    endsIn: 'live',
    play: async ({ peer, strike, healed }) => {
      strike()
      peer.freeze()
      await pause(8_000)
      peer.thaw()
      healed()
    },
  },
  {
    name: 'refused',
    title: { en: 'nothing listens for 5 s', zh: '端口 5 秒内无人监听' },
    endsIn: 'live',
    startsWithout: true,
    play: async ({ peer, strike, healed }) => {
      strike()
      await pause(5_000)
      await peer.restart()
      healed()
    },
  },
  {
    name: 'upgrade-401',
    title: { en: 'upgrade refused: 401', zh: '升级被拒：401' },
    endsIn: 'parked',
    play: async (stage) => {
      stage.peer.behave({ refuse: 401 })
      stage.strike()
      stage.peer.cut()
      await stage.until('parked')
      // a person corrects the token and says so
      stage.peer.behave('healthy')
      stage.healed()
      stage.link.resume()
    },
  },
  {
    name: 'upgrade-429',
    title: {
      en: `upgrade refused: 429, Retry-After ${RETRY_AFTER_S}`,
      zh: `升级被拒：429，Retry-After ${RETRY_AFTER_S}`,
    },
    endsIn: 'live',
    play: atTheDoor({ refuse: 429, retryAfter: String(RETRY_AFTER_S) }, 3_000),
  },
  {
    name: 'upgrade-503',
    title: { en: 'upgrade refused: 503, for 5 s', zh: '升级被拒：503，持续 5 秒' },
    endsIn: 'live',
    play: atTheDoor({ refuse: 503 }, 5_000),
  },
  {
    name: 'silent',
    title: { en: 'accepted, then silent, for 5 s', zh: '接受后沉默 5 秒' },
    endsIn: 'live',
    play: atTheDoor('silent', 5_000),
  },
  {
    name: 'closed-after-welcome',
    title: { en: 'closed at once after the welcome, for 6 s', zh: '欢迎后立即关闭，持续 6 秒' },
    endsIn: 'live',
    play: atTheDoor({ closeAfterWelcome: 1011 }, 6_000),
  },
  {
    name: 'own-stall',
    title: { en: 'our own event loop blocked for 5 s', zh: '自身事件循环阻塞 5 秒' },
    endsIn: 'live',
    keepsLink: true,
    play: async ({ strike, healed }) => {
      strike()
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCKED_MS)
      healed()
      // long enough for a wrong verdict to show
      await pause(6_000)
    },
  },
]
