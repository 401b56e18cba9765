/** What a renewal of a lease costs at a real store on this machine, beside a round trip that keeps nothing. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { etcdLeaseStore } from '../../src/lease/etcd.ts'
import { natsLeaseStore } from '../../src/lease/nats.ts'
import type { LeaseStore } from '../../src/lease/store.ts'
import { hasEtcd, startEtcd } from '../peers/etcd.ts'
import { hasNats, startNats } from '../peers/nats.ts'
import { median, type Report } from './report.ts'

const TIMES = 2_000
const WARM_UP = 200
/** A renewal is made every 4 s, and its answer is waited for longer than that before anything is lost. */
const RENEWAL_MAX_MS = 100
const record = JSON.stringify({ owner: 'host-1', session: 'x'.repeat(32), term: 1, ttlMs: 15_000 })

const timed = async (once: () => Promise<unknown>): Promise<number[]> => {
  for (let n = 0; n < WARM_UP; n++) await once()
  const took: number[] = []
  for (let n = 0; n < TIMES; n++) {
    const begun = performance.now()
    await once()
    took.push(performance.now() - begun)
  }
  return took
}

const p99 = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)]!
const fine = (value: number): string => `${value.toFixed(2)} ms`
const both = (values: readonly number[]): string => `p50 ${fine(median(values))}, p99 ${fine(p99(values))}`

const renewals = async (store: LeaseStore): Promise<number[]> => {
  const { signal } = new AbortController()
  let revision = await store.replace('bench', null, record, signal)
  return timed(async () => {
    revision = await store.replace('bench', revision, record, signal)
    if (revision === null) throw new Error('somebody else writes here')
  })
}

const MANY = 100

/** As many renewals at a time as a process of that many bots has at its worst. */
const together = async (store: LeaseStore): Promise<number> => {
  const keys = Array.from({ length: MANY }, (_, i) => `many-${i}`)
  const revisions = new Map<string, number | null>(keys.map((key) => [key, null]))
  const round = () =>
    Promise.all(
      keys.map(async (key) => {
        revisions.set(key, await store.replace(key, revisions.get(key)!, record, new AbortController().signal))
      }),
    )
  await round()
  const begun = performance.now()
  await round()
  return performance.now() - begun
}

/** From the write of one process, such as a release, until another is told of it. */
const tellings = async (writer: LeaseStore, watcher: LeaseStore): Promise<number[]> => {
  const { signal } = new AbortController()
  let told: () => void = () => undefined
  const watching = watcher.watch('told').subscribe(() => told())
  await new Promise<void>((resolve) => {
    told = resolve
  })
  let revision: number | null = null
  const took = await timed(async () => {
    const heard = new Promise<void>((resolve) => {
      told = resolve
    })
    revision = await writer.replace('told', revision, record, signal)
    await heard
  })
  watching.unsubscribe()
  return took
}

const measure = async (name: string, store: LeaseStore, other: LeaseStore, report: Report): Promise<void> => {
  const took = await renewals(store)
  report(`${name}: replace`, both(took), `p99 < ${RENEWAL_MAX_MS} ms`, p99(took) < RENEWAL_MAX_MS)
  report(`${name}: ${MANY} of them at once`, fine(await together(store)), '(no promise)', true)
  report(`${name}: from a write until another is told`, both(await tellings(store, other)), '(no promise)', true)
  await store.close()
  await other.close()
}

const atNats = async (within: string, report: Report): Promise<void> => {
  const server = await startNats({ within })
  const connection = await connect({ servers: server.address })
  try {
    report('control: NATS, ping', both(await timed(() => connection.rtt())), '(loopback)', true)
    await measure('NATS', natsLeaseStore(connection), natsLeaseStore(connection), report)
  } finally {
    await connection.close()
    await server.stop()
  }
}

const atEtcd = async (within: string, report: Report): Promise<void> => {
  const server = await startEtcd({ within, toDisk: true })
  try {
    const health = async () => (await fetch(`${server.url}/version`)).text()
    report('control: etcd, GET /version', both(await timed(health)), '(loopback)', true)
    const open = () => etcdLeaseStore({ url: server.url })
    await measure('etcd', open(), open(), report)
  } finally {
    await server.stop()
  }
}

export const bench = async (report: Report): Promise<void> => {
  // beside the project, as the temporary folder of the system may be in memory
  const within = mkdtempSync(join(process.cwd(), 'node_modules/.cache/holdfast/lease-bench-'))
  try {
    if (hasNats) await atNats(within, report)
    else report('left out: nats-server is not installed', '', '', true)
    if (hasEtcd) await atEtcd(within, report)
    else report('left out: etcd is not installed', '', '', true)
  } finally {
    rmSync(within, { recursive: true, force: true })
  }
}
