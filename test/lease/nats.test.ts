/** Leases at a real NATS server. */
import { randomUUID } from 'node:crypto'
import { Kvm } from '@nats-io/kv'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type NatsLeaseStoreOptions, natsLeaseStore } from '../../src/lease/nats.ts'
import { hasNats, type Nats, startNats, startNatsCluster } from '../peers/nats.ts'
import { outagesOf, promisesOf } from './store-contract.ts'

const ends: (() => unknown)[] = []
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

const started = async (options?: { jetStream?: boolean }): Promise<Nats> => {
  const server = await startNats(options)
  ends.push(() => server.stop())
  return server
}
const connected = async ({ address }: Nats) => {
  const connection = await connect({ servers: address, maxReconnectAttempts: -1, reconnectTimeWait: 100 })
  ends.push(() => connection.close())
  return connection
}
const signal = new AbortController().signal

const title = hasNats ? 'a real NATS server' : 'a real NATS server (left out: there is none here, package nats-server)'

;(hasNats ? describe.concurrent : describe.skip)(title, () => {
  let shared: Nats
  beforeAll(async () => {
    shared = await started()
  })

  promisesOf('natsLeaseStore', async (bucket) => natsLeaseStore(await connected(shared), { bucket }))
  outagesOf('natsLeaseStore in an outage', async () => {
    const server = await started()
    return { server, open: async () => natsLeaseStore(await connected(server)) }
  })

  const holdfastOf = async (server: Nats, options?: NatsLeaseStoreOptions) =>
    natsLeaseStore(await connected(server), options)
  const bucketOf = async (server: Nats, name: string, options?: object) =>
    new Kvm(await connected(server)).create(name, options)

  test('the bucket is made as leases need it', async () => {
    await (await holdfastOf(shared, { bucket: 'made' })).replace('k', null, 'x', signal)
    const { storage, ttl, replicas, history } = await (await bucketOf(shared, 'made')).status()
    expect({ storage, ttl, replicas, history }).toEqual({ storage: 'file', ttl: 0, replicas: 1, history: 1 })
  })

  test.each([
    ['in-memory', { storage: 'memory' }, 'is kept in memory'],
    ['forgetful', { ttl: 60_000 }, 'forgets what is older than 60000 ms'],
  ])('a bucket that is %s is refused', async (bucket, options, why) => {
    await bucketOf(shared, bucket, options)
    const store = await holdfastOf(shared, { bucket })
    const refused = { code: 'bad-option', message: expect.stringContaining(why) }
    await expect(store.read('k', signal)).rejects.toMatchObject(refused)
    await expect(store.replace('k', null, 'x', signal)).rejects.toMatchObject(refused)
  })

  test('fewer replicas than were asked for are refused, of a bucket that is there and of a server that is alone', async () => {
    await bucketOf(shared, 'single')
    const single = await holdfastOf(shared, { bucket: 'single', replicas: 3 })
    const message = expect.stringContaining('has 1 of the 3 replicas that were asked for: nats stream edit KV_single')
    await expect(single.read('k', signal)).rejects.toMatchObject({ code: 'bad-option', message })
    const alone = await holdfastOf(shared, { bucket: 'alone', replicas: 3 })
    await expect(alone.read('k', signal)).rejects.toThrow('replicas > 1 not supported in non-clustered mode')
  })

  test.each(['delete', 'purge'] as const)('a record after a %s is none, and is made anew', async (how) => {
    const name = randomUUID()
    const [store, bucket] = [await holdfastOf(shared, { bucket: name }), await bucketOf(shared, name)]
    const revision = (await store.replace(how, null, 'x', signal))!
    await bucket[how](how)
    expect(await store.read(how, signal)).toBeNull()
    expect(await store.replace(how, revision, 'never', signal)).toBeNull()
    expect(await store.replace(how, null, 'y', signal)).toBeGreaterThan(revision)
    expect(await store.replace(how, null, 'never', signal)).toBeNull()
    expect((await store.read(how, signal))?.value).toBe('y')
  })

  test('a bucket that was deleted is made anew', async () => {
    const [store, bucket] = [await holdfastOf(shared, { bucket: 'gone' }), await bucketOf(shared, 'gone')]
    await store.replace('k', null, 'x', signal)
    await bucket.destroy()
    await expect(store.replace('k', 1, 'never', signal)).rejects.toMatchObject({ code: 'store-failed' })
    expect(await store.read('k', signal)).toBeNull()
    expect(await store.replace('k', null, 'y', signal)).toBe(1)
  })

  test('keys can be read by people, and by nobody as wildcards', async () => {
    const store = await holdfastOf(shared, { bucket: 'named' })
    const named = { 'qq-main_1': 'qq-main_1', '*.>': '=2A=2E=3E', 群: '=E7=BE=A4', '=%~': '=3D=25=7E' }
    for (const key of Object.keys(named)) await store.replace(key, null, 'x', signal)
    const keys: string[] = []
    for await (const key of await (await bucketOf(shared, 'named')).keys()) keys.push(key)
    expect(keys.sort()).toEqual(Object.values(named).sort())
    for (const [key, at] of Object.entries(named)) expect(decodeURIComponent(at.replaceAll('=', '%'))).toBe(key)
  })

  test("a bucket of the user's own is used as it is", async () => {
    const kv = await bucketOf(shared, 'own')
    const store = await holdfastOf(shared, { kv })
    await store.replace('k', null, 'x', signal)
    expect((await kv.get('k'))?.string()).toBe('x')
  })

  test('a server without JetStream is told of at once, with what to do', async () => {
    const store = await holdfastOf(await started({ jetStream: false }))
    const begun = performance.now()
    await expect(store.read('k', signal)).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(
        /^JetStream is not enabled at the NATS server. Start nats-server with --jetstream/,
      ),
    })
    expect(performance.now() - begun).toBeLessThan(2_000)
  })

  test('a connection that its owner has closed is told of at once; the store closes none', async () => {
    const connection = await connected(shared)
    const store = natsLeaseStore(connection)
    await store.read('k', signal)
    await connection.close()
    await expect(store.read('k', signal)).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringContaining('closed connection'),
    })
    const other = await connected(shared)
    await natsLeaseStore(other).close()
    expect(other.isClosed()).toBe(false)
  })

  test('in a cluster of three of two who write at once exactly one wins; servers that let both are refused', async () => {
    const servers = await startNatsCluster()
    ends.push(() => Promise.all(servers.map((server) => server.stop())))
    const [one, other] = await Promise.all([connected(servers[0]!), connected(servers[1]!)])
    const bucket = await vi.waitFor(() => new Kvm(one).create('three', { replicas: 3 }), {
      timeout: 20_000,
      interval: 200,
    })
    const stores = [natsLeaseStore(one, { bucket: 'three' }), natsLeaseStore(other, { bucket: 'three' })]
    const [, major, minor] = /^(\d+)\.(\d+)/.exec(one.info!.version)!
    if (Number(major) === 2 && Number(minor) < 11) {
      const message = expect.stringContaining('may give a lease to two at once. Update the servers')
      await expect(stores[0]!.read('k', signal)).rejects.toMatchObject({ code: 'bad-option', message })
      // what they would do
      const buckets = [bucket, await new Kvm(other).open('three')]
      let [both, previousSeq] = [0, await bucket.create('k', 'x')]
      for (let round = 0; round < 200; round++) {
        const made = await Promise.allSettled(buckets.map((each) => each.put('k', 'x', { previousSeq })))
        const granted = made.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
        if (granted.length > 1) both++
        previousSeq = Math.max(...granted)
      }
      expect(both).toBeGreaterThan(0)
      console.log(`nats-server ${one.info!.version}: of 200 pairs of writes at once both were granted ${both} times`)
      return
    }
    let revision = await stores[0]!.replace('k', null, 'x', signal)
    for (let round = 0; round < 200; round++) {
      const made = await Promise.all(stores.map((store) => store.replace('k', revision, 'x', signal)))
      const granted = made.filter((each) => each !== null)
      expect(granted).toHaveLength(1)
      revision = granted[0]!
    }
  })
})
