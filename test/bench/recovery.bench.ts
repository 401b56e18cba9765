/** How soon trouble is noticed and how soon the link is back, against a real peer in a process of its own. */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { onebot } from '../../src/adapter/onebot.ts'
import { type PeerProcess, startPeerProcess } from '../../src/cli/lab/peer-process.ts'
import { connect, type Link } from '../../src/link.ts'
import { median, ms, type Report } from './report.ts'

const entry = join(process.cwd(), 'dist/lab-peer.mjs')
const RUNS = 10

const startBots = async (peer: PeerProcess): Promise<Link[]> => {
  const links = Array.from({ length: RUNS }, (_, i) => connect(onebot({ url: peer.url }), { id: `bot-${i}` }) as Link)
  await Promise.all(links.map((link) => link.ready()))
  return links
}

const withBots = async (run: (peer: PeerProcess, links: Link[]) => Promise<void>): Promise<void> => {
  const peer = await startPeerProcess({}, { entry })
  const links = await startBots(peer)
  await run(peer, links)
  peer.thaw()
  await Promise.all(links.map((link) => link.stop()))
  await peer.stop()
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
  await withBots(async (peer, links) => {
    await pause(3_000)
    peer.freeze()
    const doubted = links.map((link) => until(link, 'degraded.suspect', 'backoff'))
    const lost = await Promise.all(links.map((link) => until(link, 'backoff')))
    const suspect = worst(await Promise.all(doubted))
    report('peer frozen, idle: in doubt (worst of 10)', ms(suspect), '<= 15 s', suspect <= 15_000)
    report('peer frozen, idle: given up (worst of 10)', ms(worst(lost)), '<= 15 s', worst(lost) <= 15_000)
  })
  await withBots(async (peer, links) => {
    await pause(3_000)
    peer.freeze()
    const lost = links.map((link) => until(link, 'backoff'))
    for (const link of links) link.call('get_login_info').catch(() => undefined)
    const given = worst(await Promise.all(lost))
    report('peer frozen, a call waiting: given up (worst of 10)', ms(given), '<= 4 s', given <= 4_000)
  })
  await withBots(async (peer, links) => {
    const lost = links.map((link) => until(link, 'backoff'))
    await peer.kill()
    const noticed = worst(await Promise.all(lost))
    report('peer killed: noticed (worst of 10)', ms(noticed), '<= 200 ms', noticed <= 200)
  })
}

const outage = (lengthMs: number) => async (report: Report) =>
  withBots(async (peer, links) => {
    await peer.kill()
    await pause(lengthMs)
    await peer.restart()
    const times = await Promise.all(links.map((link) => until(link, 'live')))
    const name = `outage of ${lengthMs / 1000} s: live after the return`
    report(`${name} (median of 10)`, ms(median(times)), '<= 1 s', median(times) <= 1_000)
    report(`${name} (worst of 10)`, ms(worst(times)), '<= 2.5 s', worst(times) <= 2_500)
    const dials = links.map(({ status }) => status.attempt - 1)
    report(`${name}, dials per bot`, `${Math.min(...dials)} to ${Math.max(...dials)}`, '(no promise)', true)
  })

export const bench = async (report: Report): Promise<void> => {
  await halfOpen(report)
  await outage(5_000)(report)
  await outage(30_000)(report)
}
