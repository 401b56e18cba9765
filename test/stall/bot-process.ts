/** The outside of the bot that can be blocked: starts it beside a healthy peer, and sees what the peer sees of it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { type OnebotPeer, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import type { BotNews, BotOrder, BotSetup } from './bot.ts'

const PATIENCE_MS = 20_000

export class Bot {
  readonly news: BotNews[] = []
  readonly peer: OnebotPeer
  readonly #child: ChildProcess

  constructor(program: string, setup: BotSetup, peer: OnebotPeer) {
    this.peer = peer
    this.#child = spawn(process.execPath, [program, JSON.stringify(setup)], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.news.push(JSON.parse(line)))
  }

  get dials(): number {
    return this.peer.records.filter(({ kind }) => kind === 'dial').length
  }

  /** How often it was asked for its status: our probe for OneBot. */
  get probes(): number {
    return this.peer.records.filter((record) => record.kind === 'action' && record.action === 'get_status').length
  }

  get states(): string[] {
    return this.news.flatMap((each) => (each.event === 'state' ? [each.state] : []))
  }

  get surrenders(): number {
    return this.news.filter(({ event }) => event === 'gave up').length
  }

  order(order: BotOrder): void {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`)
  }

  /** SIGSTOP, and SIGCONT after so many milliseconds. */
  async suspend(ms: number): Promise<void> {
    this.#child.kill('SIGSTOP')
    await pause(ms)
    this.#child.kill('SIGCONT')
  }

  async until(happened: () => boolean, withinMs = PATIENCE_MS): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!happened()) {
      if (performance.now() > deadline) throw new Error(`in vain after ${JSON.stringify(this.news)}`)
      await pause(20)
    }
  }

  isLive(): boolean {
    return this.states.at(-1) === 'live'
  }

  has(event: BotNews['event']): boolean {
    return this.news.some((each) => each.event === event)
  }

  async end(): Promise<void> {
    // also when it is stopped
    this.#child.kill('SIGKILL')
    await this.peer.close()
  }
}

/** Its peer is in this process, which goes on while the bot is blocked. */
export const startBot = async (program: string, setup: Omit<BotSetup, 'url'>, heartbeatMs = 5_000): Promise<Bot> => {
  const peer = await startOnebotPeer({ heartbeatMs })
  return new Bot(program, { ...setup, url: peer.url }, peer)
}
