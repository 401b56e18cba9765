/** etcd as the source of endpoints for a link of another adapter. */
import type { Subscription } from 'rxjs'
import { describe, expect, it } from 'vitest'
import type { Target, Targets } from '../src/adapter/adapter.ts'
import { type EtcdEntry, etcdTargets } from '../src/etcd.ts'
import { connect } from '../src/link.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { FakeEtcd } from './adapter/etcd-peer.ts'
import { smallTalk } from './small-talk.ts'

const toTarget = ({ value }: EtcdEntry): Target | undefined => (value === 'off' ? undefined : { url: value })
const at = (port: number) => `ws://127.0.0.1:${port}/`

const rig = () => {
  const clock = heapClock()
  const etcd = new FakeEtcd(clock)
  const options = { clock, transport: etcd.transport, lookup: etcd.lookup, id: 'registry' }
  const targets$ = etcdTargets({ url: 'http://127.0.0.1:2379', prefix: 'svc/', toTarget }, options)
  return { clock, etcd, targets$ }
}

const urlsOf = (targets: Targets) => (targets as readonly Target[]).map(({ url }) => url)

describe('targets of etcd', () => {
  it('are told as a list, and again after each change; entries that are none are left out', async () => {
    const { clock, etcd, targets$ } = rig()
    etcd.put('svc/b', at(2))
    etcd.put('svc/a', at(1))
    const told: string[][] = []
    const subscription = targets$.subscribe((targets) => told.push(urlsOf(targets)))
    await clock.advance(100)
    etcd.put('svc/c', 'off')
    etcd.put('svc/b', at(3))
    etcd.delete('svc/a')
    etcd.delete('svc/b')
    await clock.advance(100)
    expect(told).toEqual([[at(1), at(2)], [at(1), at(2)], [at(1), at(3)], [at(3)], []])
    subscription.unsubscribe()
    await clock.advance(100)
  })

  it('are asked for over one link, however many listen, and over none when nobody does', async () => {
    const { clock, etcd, targets$ } = rig()
    const got: number[] = []
    const listen = (n: number): Subscription => targets$.subscribe(() => got.push(n))
    const [one, two] = [listen(1), listen(2)]
    await clock.advance(100)
    const three = listen(3)
    expect([etcd.dials, got]).toEqual([1, [1, 2, 3]])
    for (const each of [one, two, three]) each.unsubscribe()
    await clock.advance(100)
    etcd.put('svc/a', at(1))
    expect(got).toHaveLength(3)
    const four = listen(4)
    await clock.advance(100)
    expect(etcd.dials).toBe(2)
    four.unsubscribe()
    await clock.advance(100)
  })

  it('fail with the link to etcd when that needs a person', async () => {
    const { clock, etcd, targets$ } = rig()
    etcd.reply = () => ({ refused: 7, status: 403 })
    const errors: unknown[] = []
    targets$.subscribe({ error: (error) => errors.push(error) })
    await clock.advance(100)
    expect(errors).toMatchObject([{ code: 'parked', fault: { code: 'credentials-rejected' } }])
  })

  it('incident 5.2 an empty prefix: the link stays in resolving and dials nothing; the last known one is used after 1 s', async () => {
    const { clock, etcd, targets$ } = rig()
    const network = new FakeNetwork(clock, { greeting: [{ op: 'welcome' }] })
    const { transport, lookup } = network
    const link = connect(
      smallTalk(() => targets$),
      { clock, transport, lookup, id: 'bot' },
    )
    const states: string[] = []
    link.state$.subscribe(({ state }) => states.push(state))
    await clock.advance(5_000)
    expect([states, network.transports.length]).toEqual([['resolving'], 0])
    etcd.put('svc/a', at(7_001))
    await clock.advance(100)
    expect([link.status.state, network.current?.endpoint.target.url]).toEqual(['live', at(7_001)])
    etcd.delete('svc/a')
    network.current!.lose({ code: 'refused' })
    await clock.advance(link.status.nextDialAt! - clock.wall())
    await clock.advance(999)
    expect([link.status.state, network.transports.length]).toEqual(['resolving', 1])
    await clock.advance(100)
    expect([link.status.state, network.transports.length]).toEqual(['live', 2])
    expect(states.filter((state) => state === 'resolving')).toHaveLength(2)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('are left out one by one where they cannot be made into targets, with a warning', async () => {
    const clock = heapClock()
    const etcd = new FakeEtcd(clock)
    etcd.put('svc/a', 'no JSON')
    etcd.put('svc/b', JSON.stringify({ url: at(2) }))
    const warnings: string[] = []
    const warn = (warning: Error) => warnings.push(warning.message)
    process.on('warning', warn)
    const options = { clock, transport: etcd.transport, lookup: etcd.lookup }
    const parse = ({ value }: EtcdEntry): Target => JSON.parse(value)
    const told: string[][] = []
    etcdTargets({ url: 'http://127.0.0.1:2379', prefix: 'svc/', toTarget: parse }, options).subscribe((targets) =>
      told.push(urlsOf(targets)),
    )
    await clock.advance(100)
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', warn)
    expect(told).toEqual([[at(2)]])
    expect(warnings.filter((text) => text.includes('svc/a'))).toHaveLength(1)
  })
})
