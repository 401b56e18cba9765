/** How soon trouble is noticed and how soon the link is back, against a real peer in a process of its own. */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { onebot } from '../../src/adapter/onebot.ts'
import { type PeerProcess, startPeerProcess } from '../../src/cli/lab/peer-process.ts'
import { connect, type Link } from '../../src/link.ts'
import { median, ms, type Report } from './report.ts'

const entry = join(process.cwd(), 'dist/lab-peer.mjs')
const RUNS = 10
const STAGGER_MS = 700

/** A bot with a peer of its own: bots that share one help each other, which would make ten runs one. */
interface Pair {
  readonly peer: PeerProcess
  readonly link: Link
}

const startPair = async (_: unknown, i: number): Promise<Pair> => {
  const peer = await startPeerProcess({}, { entry })
  const link = connect(onebot({ url: peer.url }), { id: `bot-${i}` }) as Link
  await link.ready()
  return { peer, link }
}

const withPairs = async (run: (pairs: Pair[]) => Promise<void>): Promise<void> => {
  const pairs = await Promise.all(Array.from({ length: RUNS }, startPair))
  await run(pairs)
  for (const { peer, link } of pairs) {
    peer.thaw()
    await link.stop({ drainMs: 0 })
    await peer.stop()
  }
}

/** Milliseconds until the link first shows one of these states. */
const until = (link: Link, ...states: string[]): Promise<number> =>
  new Promise((resolve) => {
    const begun = performance.now()
    const subscription = link.state$.subscribe(({ state }) => {
      if (!states.includes(state)) return
      queueMicrotask(() => subscription.unsubscribe())
      resolve(performance.now() - begun)
    })
  })

const worst = (values: number[]): number => Math.max(...values)

const halfOpen = async (report: Report) => {
  await withPairs(async (pairs) => {
    await pause(3_000)
    for (const { peer } of pairs) peer.freeze()
    const doubted = pairs.map(({ link }) => until(link, 'degraded.suspect', 'backoff'))
    const lost = await Promise.all(pairs.map(({ link }) => until(link, 'backoff')))
    const suspect = worst(await Promise.all(doubted))
    report('peer frozen, idle: in doubt (worst of 10)', ms(suspect), '<= 15 s', suspect <= 15_000)
    report('peer frozen, idle: given up (worst of 10)', ms(worst(lost)), '<= 15 s', worst(lost) <= 15_000)
  })
  await withPairs(async (pairs) => {
    await pause(3_000)
    for (const { peer } of pairs) peer.freeze()
    const lost = pairs.map(({ link }) => until(link, 'backoff'))
    for (const { link } of pairs) link.call('get_login_info').catch(() => undefined)
    const given = worst(await Promise.all(lost))
    report('peer frozen, a call waiting: given up (worst of 10)', ms(given), '<= 4 s', given <= 4_000)
  })
  await withPairs(async (pairs) => {
    const noticed: number[] = []
    for (const { peer, link } of pairs) {
      const lost = until(link, 'backoff')
      await peer.kill()
      noticed.push(await lost)
    }
    report('peer killed: noticed (worst of 10)', ms(worst(noticed)), '<= 200 ms', worst(noticed) <= 200)
  })
}

/** A process needs a while to start; the outage ends when it listens, and the clock of the return starts there. */
const outage = (lengthMs: number) => async (report: Report) =>
  withPairs(async (pairs) => {
    const times = await Promise.all(
      pairs.map(async ({ peer, link }, i) => {
        // one after another, so that ten starting processes do not slow each other down
        await pause(i * STAGGER_MS)
        await peer.kill()
        await pause(lengthMs)
        await peer.restart()
        return until(link, 'live')
      }),
    )
    const name = `outage of ${lengthMs / 1000} s: live after the return`
    report(`${name} (median of 10)`, ms(median(times)), '<= 1 s', median(times) <= 1_000)
    report(`${name} (worst of 10)`, ms(worst(times)), '<= 2.5 s', worst(times) <= 2_500)
    const dials = pairs.map(({ link }) => link.status.attempt - 1)
    report(`${name}, dials per bot`, `${Math.min(...dials)} to ${Math.max(...dials)}`, '(no promise)', true)
  })

export const bench = async (report: Report): Promise<void> => {
  await halfOpen(report)
  await outage(5_000)(report)
  await outage(30_000)(report)
}
