/** Our registration at a real etcd that is frozen, restarted and left, and a real client beside it in the freeze. */
import { afterAll, describe, expect, it, vi } from 'vitest'
import { etcd } from '../../src/adapter/etcd.ts'
import { connect, type Link } from '../../src/link.ts'
import { type Etcd, hasEtcd, startEtcd } from './etcd.ts'
import { startEtcdClient } from './processes.ts'

const open: (() => unknown)[] = []
afterAll(async () => {
  for (const end of open.reverse()) await end()
})

const server = async (): Promise<Etcd> => {
  const own = await startEtcd()
  open.push(() => own.stop())
  return own
}

/** And what it went through. */
const registered = async (
  { url }: Etcd,
  ttlSeconds: number,
): Promise<{ link: Link<unknown, never>; steps: string[] }> => {
  const register = { key: 'bots/ours', value: 'here', ttlSeconds }
  const link = connect(etcd({ url, register }), { id: `etcd-${ttlSeconds}` })
  open.push(() => link.stop({ drainMs: 0 }))
  const steps: string[] = []
  link.transitions$.subscribe(({ to }) => steps.push(to))
  await link.ready()
  return { link, steps }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const timesIn = (steps: readonly string[], state: string) => steps.filter((step) => step === state).length

const title = hasEtcd ? 'a real etcd' : 'a real etcd (left out: there is none here, package etcd-server)'

;(hasEtcd ? describe.concurrent : describe.skip)(title, () => {
  it('incident 5.1 frozen for 8 s with a TTL of 3 s: registered anew within 2 s; etcd3 1.1.2 beside it never is', async () => {
    const peer = await server()
    const config = { url: peer.url, key: 'bots/theirs', value: 'there', ttlSeconds: 3 }
    const [client, { link, steps }] = await Promise.all([startEtcdClient(config), registered(peer, 3)])
    open.push(() => client.stop())
    const [old, theirs] = [await peer.holder('bots/ours'), await peer.holder('bots/theirs')]
    expect([typeof old, typeof theirs]).toEqual(['string', 'string'])
    await pause(1_000)
    peer.freeze()
    await pause(8_000)
    expect(link.status.state).not.toBe('live')
    peer.thaw()
    const thawedAt = Date.now()
    await vi.waitFor(
      async () => {
        const lease = await peer.holder('bots/ours')
        expect(link.status.state).toBe('live')
        expect(lease).not.toBe(old)
        expect(await peer.secondsLeft(lease!)).toBeGreaterThan(0)
      },
      { timeout: 2_000, interval: 25 },
    )
    console.log(`registered anew ${Date.now() - thawedAt} ms after the freeze`)
    expect(await peer.secondsLeft(old!)).toBe(-1)
    expect([timesIn(steps, 'registered'), timesIn(steps, 'backoff')]).toEqual([2, 1])
    await pause(3_000)
    expect(await peer.holder('bots/ours')).toBeDefined()
    expect(client.events).toContain('lost')
    expect(await peer.holder('bots/theirs')).toBeUndefined()
  })

  it('incident 5.3 killed and started again after 11 s: the same lease, and the key was not written twice', async () => {
    const peer = await server()
    const { link, steps } = await registered(peer, 6)
    const key = Buffer.from('bots/ours').toString('base64')
    const before = await peer.ask('kv/range', { key })
    await peer.kill()
    await pause(11_000)
    await peer.restart()
    await vi.waitFor(() => expect(link.status.state).toBe('live'), { timeout: 5_000, interval: 20 })
    const after = await peer.ask('kv/range', { key })
    expect(after.kvs).toEqual(before.kvs)
    expect((await peer.ask('lease/leases', {})).leases).toHaveLength(1)
    expect(timesIn(steps, 'live')).toBe(2)
    await pause(1_000)
    expect(await peer.secondsLeft((await peer.holder('bots/ours'))!)).toBeGreaterThan(0)
  })

  it('incident 5.5 left in good order: the key is gone within 1 s, and its lease with it', async () => {
    const peer = await server()
    const { link } = await registered(peer, 60)
    const lease = (await peer.holder('bots/ours'))!
    const stoppedAt = Date.now()
    await link.stop()
    expect(await peer.holder('bots/ours')).toBeUndefined()
    expect(Date.now() - stoppedAt).toBeLessThan(1_000)
    expect(await peer.secondsLeft(lease)).toBe(-1)
  })

  it('tells every change under a prefix, also those of a time in which it was away', async () => {
    const peer = await server()
    const put = (i: number) => {
      const value = Buffer.from(String(i)).toString('base64')
      return peer.ask('kv/put', { key: Buffer.from('svc/a').toString('base64'), value })
    }
    const link = connect(etcd({ url: peer.url, watch: { prefix: 'svc/' } }), { id: 'etcd-watch' })
    open.push(() => link.stop({ drainMs: 0 }))
    const values: string[] = []
    link.inbound$.subscribe((event) => event.type === 'put' && values.push(event.value))
    await link.ready()
    for (let i = 0; i < 50; i++) await put(i)
    link.replace()
    for (let i = 50; i < 150; i++) await put(i)
    const all = Array.from({ length: 150 }, (_, i) => String(i))
    await vi.waitFor(() => expect(values).toEqual(all), { timeout: 5_000, interval: 20 })
  })
})
