/**
 * The parent's side of a peer that lives in a process of its own: start it, pull its strings, kill it, freeze it.
 *
 * No child may outlive us. One that runs leaves by itself when its channel to us closes, however we die. One that is
 * frozen cannot, so whoever freezes it first sets a guardian beside it.
 */

import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Behaviour, Dismissal, OnebotEvent, OnebotPeerConfig, PeerRecord } from '../../testing/onebot-peer.ts'

/** What the parent tells the peer. */
export type PeerOrder =
  | { readonly type: 'behave'; readonly behaviour: Behaviour }
  | { readonly type: 'emit'; readonly event: OnebotEvent }
  | { readonly type: 'online'; readonly value: boolean }
  | { readonly type: 'dismiss'; readonly how: Dismissal }
  | { readonly type: 'cut' }

/** What the peer tells its parent. */
export type PeerNews =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'record'; readonly record: PeerRecord }
  | { readonly type: 'failed'; readonly message: string }

export interface PeerProcess {
  readonly url: string
  readonly port: number
  /** What happened at the peer, over all of its lives. */
  readonly records: readonly PeerRecord[]
  behave(behaviour: Behaviour): void
  emit(event: OnebotEvent): void
  setOnline(value: boolean): void
  dismiss(how: Dismissal): void
  cut(): void
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** A new process on the same port, with the behaviour of the first; the old one is killed if it still runs. */
  restart(): Promise<void>
  /** SIGSTOP: the kernel goes on accepting connections and acknowledging bytes, the peer does nothing. */
  freeze(): void
  /** SIGCONT. */
  thaw(): void
  /** Lets the process leave in good order, and kills it if it does not. */
  stop(): Promise<void>
}

export interface PeerProcessOptions {
  /** The built entry of the child. Unless told, `lab-peer.mjs` beside the file that this code was built into. */
  readonly entry?: string
  readonly onRecord?: (record: PeerRecord) => void
}

const recordsMax = 10_000
const startDeadlineMs = 10_000
const stopDeadlineMs = 1_000

export async function startPeerProcess(
  config: Omit<OnebotPeerConfig, 'onRecord'> = {},
  options: PeerProcessOptions = {},
): Promise<PeerProcess> {
  const peer = new ForkedPeer({ ...config, port: config.port || (await freePort()) }, options)
  await peer.restart()
  return peer
}

class ForkedPeer implements PeerProcess {
  readonly records: PeerRecord[] = []
  readonly port: number
  readonly #config: OnebotPeerConfig
  readonly #entry: string
  readonly #onRecord: ((record: PeerRecord) => void) | undefined
  #child: HeldChild | null = null

  constructor(config: OnebotPeerConfig & { readonly port: number }, options: PeerProcessOptions) {
    this.port = config.port
    this.#config = config
    this.#entry = options.entry ?? fileURLToPath(new URL('./lab-peer.mjs', import.meta.url))
    this.#onRecord = options.onRecord
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`
  }

  behave = (behaviour: Behaviour): void => this.#order({ type: 'behave', behaviour })
  emit = (event: OnebotEvent): void => this.#order({ type: 'emit', event })
  setOnline = (value: boolean): void => this.#order({ type: 'online', value })
  dismiss = (how: Dismissal): void => this.#order({ type: 'dismiss', how })
  cut = (): void => this.#order({ type: 'cut' })
  freeze = (): void => this.#child?.freeze()
  thaw = (): void => this.#child?.thaw()

  async kill(): Promise<void> {
    await this.#child?.kill()
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child?.process.connected) child.process.disconnect()
    await child?.gone(stopDeadlineMs)
  }

  async restart(): Promise<void> {
    await this.kill()
    if (!existsSync(this.#entry)) throw new Error(`The peer is not built: there is no ${this.#entry}.`)
    const child = fork(this.#entry, [JSON.stringify(this.#config)], {
      // Flags that our own process was started with are not meant for the child.
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child = holdChild(child)
    try {
      await this.#listening(child, AbortSignal.timeout(startDeadlineMs))
    } catch (error) {
      await this.kill()
      throw error
    }
  }

  #order(order: PeerOrder): void {
    const child = this.#child?.process
    // An order to a dead peer is lost, as it would be in life.
    if (child?.connected) child.send(order)
  }

  #listening(child: ChildProcess, deadline: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      deadline.addEventListener('abort', () => reject(new Error(`The peer is not there after ${startDeadlineMs} ms.`)))
      child.on('error', reject)
      child.once('exit', (code, signal) => reject(new Error(`The peer's process ended (${signal ?? code}).`)))
      child.on('message', (news: PeerNews) => {
        if (news.type === 'listening') resolve()
        else if (news.type === 'failed') reject(new Error(`The peer cannot listen: ${news.message}`))
        else this.#note(news.record)
      })
    })
  }

  #note(record: PeerRecord): void {
    this.records.push(record)
    if (this.records.length > recordsMax) this.records.shift()
    this.#onRecord?.(record)
  }
}

/** A child process that can be killed, frozen and thawed, and that does not outlive us while it is frozen. */
export interface HeldChild {
  readonly process: ChildProcess
  freeze(): void
  thaw(): void
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** Resolves when the process is gone; it is killed if that takes longer than this, or if it is frozen. */
  gone(withinMs: number): Promise<void>
}

export function holdChild(child: ChildProcess): HeldChild {
  const running = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null
  const exited = new Promise<void>((resolve) => {
    if (running()) child.once('exit', () => resolve())
    else resolve()
  })
  let guardian: ChildProcess | null = null
  const dismiss = () => {
    guardian?.kill('SIGKILL')
    guardian = null
  }
  child.once('exit', dismiss)
  const kill = () => {
    child.kill('SIGKILL')
    return exited
  }
  return {
    process: child,
    freeze: () => {
      if (!running() || guardian) return
      guardian = guard(child.pid!)
      child.kill('SIGSTOP')
    },
    thaw: () => {
      child.kill('SIGCONT')
      dismiss()
    },
    kill,
    gone: async (withinMs) => {
      if (guardian) await kill()
      else if (running()) await once(child, 'exit', { signal: AbortSignal.timeout(withinMs) }).catch(kill)
    },
  }
}

/**
 * A shell that waits for the end of its input, which comes when we die, by whatever cause, and then kills the child.
 * It has a process group of its own, so that a Ctrl-C does not take it away from its charge.
 */
function guard(pid: number): ChildProcess {
  const guardian = spawn('/bin/sh', ['-c', `read _; kill -KILL ${pid}`], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  // Where there is no such shell, there is no SIGSTOP either.
  guardian.on('error', () => undefined)
  return guardian
}

const firstPort = 20_000
const portCount = 12_000
// Processes that look for a port at the same time begin at different places.
let portsTried = (process.pid * 37) % portCount

/**
 * A free port below those that the system lends to outgoing connections. Above that line a peer that is down would not
 * always be down: its port may be lent to somebody's dial, and a dial to it can even be connected to itself.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < portCount; tries++) {
    const port = firstPort + (portsTried++ % portCount)
    const probe = createServer()
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
    })
    if (free) return port
  }
  throw new Error(`No port is free from ${firstPort} to ${firstPort + portCount - 1}.`)
}
