/**
 * The example of a bot on several hosts, as it stands: three processes, a real store, and a peer that sees from outside
 * who is connected and who acts. Each trouble comes HF_ROUNDS times.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type HeldChild, holdChild } from '../../src/cli/lab/peer-process.ts'
import { type OnebotPeer, privateMessage, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { hasEtcd, startEtcd } from '../peers/etcd.ts'
import { hasNats, startNats } from '../peers/nats.ts'
import type { RealProcess } from '../peers/processes.ts'

const ROUNDS = Number(process.env.HF_ROUNDS ?? 1)
const TTL_MS = 2_000
/** What is promised when an owner is gone: 1.02 of its time, a second, and what this machine is late. */
const FAILOVER_MS = TTL_MS * 1.02 + 1_000 + 1_500
const EVENT_EVERY_MS = 20

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const act of undo.splice(0).reverse()) await act()
})

const until = (check: () => unknown, timeout = 15_000) => vi.waitFor(check, { timeout, interval: 10 })
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** A process of the example that can be frozen, killed, told to stop and started again. */
class Bot {
  readonly name: string
  output = ''
  readonly #env: NodeJS.ProcessEnv
  #held: HeldChild | undefined

  constructor(name: string, env: NodeJS.ProcessEnv) {
    this.name = name
    this.#env = {
      ...process.env,
      ...env,
      NAME: name,
      TTL_MS: String(TTL_MS),
      FLEET_SECRET: 'known to all of the fleet',
    }
  }

  start(): void {
    const child: ChildProcess = spawn(process.execPath, ['examples/fleet/bot.mjs'], { env: this.#env })
    this.#held = holdChild(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        this.output += chunk
      })
    }
  }

  get isServing(): boolean {
    return this.output.trim().split('\n').at(-1)?.startsWith('serving') ?? false
  }

  freeze = (): void => this.#held?.freeze()
  thaw = (): void => this.#held?.thaw()
  kill = async (): Promise<void> => void (await this.#held?.kill())

  async stop(): Promise<void> {
    this.#held?.process.kill('SIGTERM')
    await this.#held?.gone(10_000)
  }
}

/** What the peer has seen: who came after whom, and who spoke when it was not his turn. */
const judged = ({ records }: OnebotPeer) => {
  const open = new Set<number>()
  let latest = 0
  let [actions, late, doubles] = [0, 0, 0]
  for (const record of records) {
    if (record.kind === 'upgrade') {
      if (open.size > 0) doubles++
      open.add(record.connection)
    } else if (record.kind === 'close') open.delete(record.connection)
    else if (record.kind === 'action') {
      actions++
      if (record.connection < latest) late++
      latest = Math.max(latest, record.connection)
    }
  }
  return {
    actions,
    late,
    doubles,
    open: open.size,
    connections: Math.max(0, ...records.map((r) => ('connection' in r ? r.connection : 0))),
  }
}

const play = async (store: RealProcess, env: NodeJS.ProcessEnv) => {
  undo.push(() => store.stop())
  const peer = await startOnebotPeer()
  undo.push(() => peer.close())
  const bots = ['a', 'b', 'c'].map((name) => new Bot(name, { ...env, ONEBOT_URL: peer.url }))
  undo.push(() => Promise.all(bots.map((bot) => bot.kill())))
  for (const bot of bots) bot.start()
  const timer = setInterval(() => peer.emit(privateMessage('hello')), EVENT_EVERY_MS)
  undo.push(() => clearInterval(timer))

  const told: string[] = []
  /** Until somebody answers on a new connection; gives who has it and how long that took. */
  const next = async (what: string, act: () => unknown, boundMs: number): Promise<Bot> => {
    const before = judged(peer).connections
    const from = Date.now()
    await act()
    await until(() => {
      const last = peer.records.findLast((record) => record.kind === 'action' && record.action.startsWith('send'))
      expect(last && 'connection' in last ? last.connection : 0).toBeGreaterThan(before)
    })
    const ms = Date.now() - from
    told.push(`${what} ${ms} ms`)
    expect(ms, what).toBeLessThan(boundMs)
    await until(() => expect(bots.filter((bot) => bot.isServing).length).toBe(1))
    return bots.find((bot) => bot.isServing)!
  }

  let owner = await next('start', () => undefined, 15_000)
  for (let round = 0; round < ROUNDS; round++) {
    const killed = owner
    owner = await next(
      'killed',
      async () => {
        await killed.kill()
        killed.output = ''
      },
      FAILOVER_MS,
    )
    killed.start()
    owner = await next(
      'told to stop',
      async () => {
        const leaving = owner
        await leaving.stop()
        leaving.start()
      },
      FAILOVER_MS,
    )
    // its store is frozen for longer than a grant: it must let go, and somebody gets it when the store is back
    owner = await next(
      'store frozen',
      async () => {
        store.freeze()
        await pause(TTL_MS * 1.5)
        expect(judged(peer).open, 'nobody is connected when nobody can renew').toBe(0)
        store.thaw()
      },
      TTL_MS * 1.5 + FAILOVER_MS + 2_000,
    )
    expect(judged(peer).doubles, 'two were connected, and none of them was frozen').toBe(round)
    const frozen = owner
    owner = await next(
      'frozen',
      () => {
        frozen.output = ''
        frozen.freeze()
      },
      FAILOVER_MS,
    )
    const { actions } = judged(peer)
    frozen.thaw()
    // it wakes to a socket full of messages, and has nothing to say
    await until(() => expect(frozen.output).toContain('standby'))
    await until(() => expect(judged(peer).open).toBe(1))
    await until(() => expect(judged(peer).actions).toBeGreaterThan(actions + 10))
  }
  const { late, actions } = judged(peer)
  console.log(`${told.join(', ')}; ${actions} answers, ${late} by somebody whose turn was over`)
  expect(late).toBe(0)
  expect(actions).toBeGreaterThan(ROUNDS * 100)
}

const LONG = { timeout: 60_000 + ROUNDS * 60_000 }
const nats = hasNats ? 'NATS' : 'NATS (left out: there is none here, package nats-server)'
const etcd = hasEtcd ? 'etcd' : 'etcd (left out: there is none here, package etcd-server)'

;(hasNats ? describe : describe.skip)(nats, () => {
  test('HF-P4 of three bots one is connected and acts, through every trouble', LONG, async () => {
    const server = await startNats()
    await play(server, { NATS_URL: server.address })
  })
})

;(hasEtcd ? describe : describe.skip)(etcd, () => {
  test('HF-P4 of three bots one is connected and acts, through every trouble', LONG, async () => {
    const server = await startEtcd()
    await play(server, { ETCD_URL: server.url })
  })
})
