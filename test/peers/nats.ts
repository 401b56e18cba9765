/** A real NATS server (Debian's nats-server) on a free port, with a folder of its own. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, type HeldChild, holdChild } from '../../src/cli/lab/peer-process.ts'
import type { RealProcess } from './processes.ts'

export const hasNats = spawnSync('nats-server', ['--version'], { stdio: 'ignore' }).status === 0

const START_DEADLINE_MS = 15_000
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export interface Nats extends RealProcess {
  /** For `connect({ servers })`. */
  readonly address: string
}

export interface NatsOptions {
  readonly jetStream?: boolean
  /** Where its folder is made. */
  readonly within?: string
  readonly flags?: readonly string[]
}

export const startNats = async ({
  jetStream = true,
  within = tmpdir(),
  flags = [],
}: NatsOptions = {}): Promise<Nats> => {
  const folder = mkdtempSync(join(within, 'holdfast-nats-'))
  const port = await freePort()
  const kept = jetStream ? ['-js', '-sd', folder] : []
  const args = ['--addr', '127.0.0.1', '--port', String(port), ...kept, ...flags]
  let held: HeldChild | undefined

  const start = async () => {
    const child: ChildProcess = spawn('nats-server', args, { stdio: ['pipe', 'ignore', 'ignore'] })
    held = holdChild(child)
    const deadline = Date.now() + START_DEADLINE_MS
    while (!(await isListening(port))) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`nats-server does not start (${child.exitCode})`)
      await pause(20)
    }
  }
  const kill = async () => void (await held?.kill())
  await start()
  return {
    address: `127.0.0.1:${port}`,
    kill,
    restart: async () => {
      await kill()
      await start()
    },
    freeze: () => held?.freeze(),
    thaw: () => held?.thaw(),
    stop: async () => {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Three that are one cluster. */
export const startNatsCluster = async (): Promise<Nats[]> => {
  const ports = [await freePort(), await freePort(), await freePort()]
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`)
  const flagsOf = (i: number) =>
    ['--name', `n${i}`, '--cluster_name', 'three', '--cluster', routes[i]!, '--routes', routes.join(',')] as const
  return Promise.all(ports.map((_, i) => startNats({ flags: flagsOf(i) })))
}

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = dial(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
