/**
 * OpenIM (open-im-server#2898): etcd stalls for longer than a lease lasts, and the service that registered there lives on.
 * The naive side is etcd3 1.1.2 in a process of its own, used as OpenIM's servers did: grant, put, keep alive; when the
 * lease is lost the loop returns silently. Then etcd is restarted, which is what people did about it.
 */
import { etcd } from '../../src/adapter/etcd.ts'
import { connect } from '../../src/link.ts'
import { type Etcd, startEtcd } from '../peers/etcd.ts'
import { startEtcdClient } from '../peers/processes.ts'
import type { Replay, Side } from './replay.ts'

const KEY = 'openim/msg/10.0.0.1:10160'
const VALUE = '10.0.0.1:10160'
const TTL_SECONDS = 3
const FREEZE_MS = 6_000
/** Within which a registration is to be back: incident 5, statement 1. */
const BACK_WITHIN_MS = 2_000
const LOOKUPS = 20
const DOWN_MS = 1_000

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** What clients find: a message that is to be sent to nobody is lost. */
const lookUp = async (peer: Etcd): Promise<number> => {
  let lost = 0
  for (let i = 0; i < LOOKUPS; i++) {
    if ((await peer.holder(KEY)) === undefined) lost++
    await pause(50)
  }
  return lost
}

/** Until the key is there on a lease that is not the one of before the freeze, which may still lie there for a moment. */
const backIn = async (peer: Etcd, before: string | undefined, sinceMs: number): Promise<number | null> => {
  while (Date.now() - sinceMs < BACK_WITHIN_MS) {
    const lease = await peer.holder(KEY)
    if (lease !== undefined && lease !== before) return Date.now() - sinceMs
    await pause(25)
  }
  return null
}

const suffer = async (peer: Etcd): Promise<Side> => {
  const before = await peer.holder(KEY)
  await pause(500)
  peer.freeze()
  await pause(FREEZE_MS)
  peer.thaw()
  const thawedAt = Date.now()
  const recoveredMs = await backIn(peer, before, thawedAt)
  await pause(Math.max(0, thawedAt + BACK_WITHIN_MS - Date.now()))
  const lost = await lookUp(peer)
  const attempts = await peer.granted()
  await peer.kill()
  await pause(DOWN_MS)
  await peer.restart()
  // those who register anew need a moment; those who do not have all the time that they want
  await pause(BACK_WITHIN_MS)
  const isThere = (await peer.holder(KEY)) !== undefined
  const back = recoveredMs === null ? 'never registered again' : `registered again after ${recoveredMs} ms`
  const note = `${back}; ${lost} of ${LOOKUPS} lookups found nobody; after a restart of etcd ${isThere ? 'there' : 'gone'}`
  return { recovered: recoveredMs !== null && isThere, recoveredMs, attempts, lost, note }
}

/** Runs one side against an etcd of its own. */
const against = async (register: (peer: Etcd) => Promise<() => Promise<unknown>>): Promise<Side> => {
  const peer = await startEtcd()
  try {
    const leave = await register(peer)
    try {
      return await suffer(peer)
    } finally {
      await leave()
    }
  } finally {
    await peer.stop()
  }
}

export const openim: Replay = {
  incident: 'openim',
  fault: `etcd stalls for ${FREEZE_MS / 1_000} s while the leases in it last ${TTL_SECONDS} s, and later it is restarted`,
  naive: () =>
    against(async ({ url }) => {
      const client = await startEtcdClient({ url, key: KEY, value: VALUE, ttlSeconds: TTL_SECONDS })
      return () => client.stop()
    }),
  holdfast: () =>
    against(async ({ url }) => {
      const register = { key: KEY, value: VALUE, ttlSeconds: TTL_SECONDS }
      const link = connect(etcd({ url, register }), { id: 'openim' })
      await link.ready()
      return () => link.stop({ drainMs: 0 })
    }),
}
