/** One fault played on one bot with default settings, and what came of it. */
import { setTimeout as pause } from 'node:timers/promises'
import { onebot } from '../../adapter/onebot.ts'
import { realClock } from '../../clock.ts'
import type { LinkStatus } from '../../explain.ts'
import type { Fleet } from '../../fleet.ts'
import type { Link, Receipt } from '../../link.ts'
import type { TransitionRecord } from '../../observe/recorder.ts'
import type { PeerRecord } from '../../testing/onebot-peer.ts'
import type { LabFault, Stage } from './faults.ts'
import { type PeerProcess, startPeerProcess } from './peer-process.ts'

/** What `holdfast lab --json` prints for each fault. */
export interface Outcome {
  readonly fault: string
  /** From the fault until the link was no longer shown as live; null where there was nothing to notice. */
  readonly noticedMs: number | null
  /** From the peer's return, or the person's, until live. */
  readonly recoveredMs: number | null
  /** Dials from the fault until live. */
  readonly attempts: number
  /** Messages of the bot that never reached the peer, though it wanted to send them. */
  readonly lost: number
  /** Messages that reached the peer twice. */
  readonly duplicated: number
  /** Of those lost, how many the bot knows of: their fate was told as expired, refused or uncertain. */
  readonly told: number
  readonly recovered: boolean
  readonly parked: boolean
}

const TOKEN = 'lab-token'
const MESSAGE_EVERY_MS = 200
const DEADLINE_MS = 60_000
const SETTLE_MS = 700

export const measure = async (
  fault: LabFault,
  bots: Fleet,
  show: (record: TransitionRecord) => void,
): Promise<Outcome> => {
  const received: PeerRecord[] = []
  const peer = await startPeerProcess({ token: TOKEN }, { onRecord: (record) => received.push(record) })
  if (fault.startsWithout) await peer.kill()
  const link = bots.add(onebot({ url: peer.url, accessToken: TOKEN }), { id: fault.name })
  const transitions: TransitionRecord[] = []
  link.transitions$.subscribe((record) => {
    transitions.push(record)
    show(record)
  })
  try {
    if (!fault.startsWithout) await link.ready({ signal: AbortSignal.timeout(DEADLINE_MS) })
    const talk = startTalking(link)
    await pause(SETTLE_MS)
    const times = await play(fault, peer, link)
    await pause(SETTLE_MS)
    return { fault: fault.name, ...judge(times, transitions, link.status), ...count(await talk.end(), received) }
  } finally {
    await link.stop()
    await peer.stop()
  }
}

interface Times {
  struckAt: number
  healedAt: number
  liveAt: number | undefined
}

const play = async (fault: LabFault, peer: PeerProcess, link: Link): Promise<Times> => {
  const now = realClock.wall
  const times: Times = { struckAt: now(), healedAt: now(), liveAt: undefined }
  const until = (condition: Parameters<Stage['until']>[0]) => waitUntil(link, condition)
  await fault.play({
    peer,
    link,
    until,
    strike: () => {
      times.struckAt = now()
    },
    healed: () => {
      times.healedAt = now()
    },
  })
  if (
    await until('live').then(
      () => true,
      () => false,
    )
  )
    times.liveAt = Math.max(link.status.since, times.healedAt)
  return times
}

export const waitUntil = (link: Link, condition: 'lost' | 'live' | 'parked'): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = realClock.setTimeout(() => settle(() => reject(new Error(`not ${condition} in time`))), DEADLINE_MS)
    const settle = (act: () => void) => {
      realClock.clearTimeout(timer)
      queueMicrotask(() => subscription.unsubscribe())
      act()
    }
    const subscription = link.state$.subscribe(({ state }) => {
      if (condition === 'lost' ? state !== 'live' : state === condition) settle(resolve)
    })
  })

const judge = ({ struckAt, healedAt, liveAt }: Times, transitions: readonly TransitionRecord[], status: LinkStatus) => {
  const since = transitions.filter(({ at }) => at >= struckAt)
  const left =
    since.find(({ from, to }) => from === 'live' && to !== 'live') ?? since.find(({ to }) => to === 'backoff')
  return {
    noticedMs: left ? left.at - struckAt : null,
    recoveredMs: liveAt === undefined ? null : liveAt - healedAt,
    attempts: since.filter(({ to }) => to === 'connecting').length,
    recovered: status.state === 'live',
    parked: since.some(({ to }) => to === 'parked'),
  }
}

/** The bot says a numbered sentence again and again, whatever the state of its link. */
const startTalking = (link: Link) => {
  const receipts: Promise<Receipt>[] = []
  const say = () => {
    const message = { action: 'send_private_msg', params: { user_id: 1, message: String(receipts.length) } }
    receipts.push(link.send(message))
  }
  const timer = setInterval(say, MESSAGE_EVERY_MS)
  return {
    end: async () => {
      clearInterval(timer)
      return Promise.all(receipts)
    },
  }
}

const count = (receipts: readonly Receipt[], received: readonly PeerRecord[]) => {
  const copies = new Map<string, number>()
  for (const record of received) {
    if (record.kind !== 'action' || record.action !== 'send_private_msg') continue
    const { message } = record.params as { message: string }
    copies.set(message, (copies.get(message) ?? 0) + 1)
  }
  const missing = receipts.filter((_, number) => !copies.has(String(number)))
  return {
    lost: missing.length,
    duplicated: [...copies.values()].filter((times) => times > 1).length,
    told: missing.filter(({ fate }) => fate !== 'delivered').length,
  }
}
