/** Leases at a real etcd. */
import { afterAll, beforeAll, describe } from 'vitest'
import { etcdLeaseStore } from '../../src/lease/etcd.ts'
import { type Etcd, hasEtcd, startEtcd } from '../peers/etcd.ts'
import { outagesOf, promisesOf } from './store-contract.ts'

const ends: (() => unknown)[] = []
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

const started = async (): Promise<Etcd> => {
  const server = await startEtcd()
  ends.push(() => server.stop())
  return server
}

const title = hasEtcd ? 'a real etcd' : 'a real etcd (left out: there is none here, package etcd-server)'

;(hasEtcd ? describe : describe.skip)(title, () => {
  let shared: Etcd
  beforeAll(async () => {
    shared = await started()
  })

  promisesOf('etcdLeaseStore', async () => etcdLeaseStore({ url: shared.url }))
  outagesOf('etcdLeaseStore in an outage', async () => {
    const server = await started()
    return { server, open: async () => etcdLeaseStore({ url: server.url }) }
  })
})
