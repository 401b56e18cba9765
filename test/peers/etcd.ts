/** A real etcd (Debian's etcd-server) on a free port, with a folder of its own, and a real client beside ours. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, type HeldChild, holdChild } from '../../src/cli/lab/peer-process.ts'
import type { RealProcess } from './processes.ts'

export const hasEtcd = spawnSync('etcd', ['--version'], { stdio: 'ignore' }).status === 0

const START_DEADLINE_MS = 15_000
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export interface Etcd extends RealProcess {
  readonly url: string
  /** Asks the JSON gateway. */
  ask(path: string, body: object): Promise<Record<string, unknown>>
  /** The lease on which the key hangs, or undefined if the key is not there. */
  holder(key: string): Promise<string | undefined>
  /** The seconds that a lease still has; -1 if there is none. */
  secondsLeft(lease: string): Promise<number>
  /** How many leases it has granted in this life. */
  granted(): Promise<number>
}

export interface EtcdOptions {
  /** Where its folder is made. */
  readonly within?: string
  /** Whether what it has written survives a power cut; in a test it need not. */
  readonly toDisk?: boolean
  /** More of its flags, without the dashes. */
  readonly flags?: Readonly<Record<string, string>>
}

export const startEtcd = async ({
  within = tmpdir(),
  toDisk = false,
  flags: more = {},
}: EtcdOptions = {}): Promise<Etcd> => {
  const folder = mkdtempSync(join(within, 'holdfast-etcd-'))
  const [client, peer] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${client}`
  const peers = `http://127.0.0.1:${peer}`
  const flags = {
    'data-dir': folder,
    'listen-client-urls': url,
    'advertise-client-urls': url,
    'listen-peer-urls': peers,
    'initial-advertise-peer-urls': peers,
    'initial-cluster': `default=${peers}`,
    'unsafe-no-fsync': String(!toDisk),
    ...more,
  }
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  let held: HeldChild | undefined

  const ask = async (path: string, body: object) => {
    const answer = await fetch(`${url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) })
    return (await answer.json()) as Record<string, unknown>
  }
  const start = async () => {
    const child: ChildProcess = spawn('etcd', args, { stdio: ['pipe', 'ignore', 'ignore'] })
    held = holdChild(child)
    const deadline = Date.now() + START_DEADLINE_MS
    for (;;) {
      const isReady = await ask('kv/range', { key: b64('x') }).then(
        // one with users refuses who is none
        (answer) => 'header' in answer || answer.code === 3,
        () => false,
      )
      if (isReady) return
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`etcd does not start (${child.exitCode})`)
      await pause(50)
    }
  }
  const kill = async () => void (await held?.kill())
  await start()
  return {
    url,
    ask,
    kill,
    holder: async (key) => {
      const { kvs = [] } = (await ask('kv/range', { key: b64(key) })) as { kvs?: { lease?: string }[] }
      return kvs[0]?.lease
    },
    secondsLeft: async (lease) => Number((await ask('lease/timetolive', { ID: lease })).TTL),
    granted: async () => {
      const text = await (await fetch(`${url}/metrics`)).text()
      return Number(/^etcd_debugging_lease_granted_total (\S+)/m.exec(text)?.[1] ?? Number.NaN)
    },
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

const b64 = (text: string) => Buffer.from(text).toString('base64')
