/** Registered at an etcd in virtual time, and watching it: what is lost, what is kept, and what is told. */
import { describe, expect, it } from 'vitest'
import { type EtcdOptions, etcd } from '../../src/adapter/etcd.ts'
import type { EtcdEvent } from '../../src/etcd.ts'
import { connect } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { FakeEtcd, plain } from './etcd-peer.ts'

const URL = 'http://127.0.0.1:2379'
const register = { key: 'bots/a', value: 'ws://10.0.0.1:80', ttlSeconds: 3 }

const rig = (options: Partial<EtcdOptions> = {}, more: LinkOptions = {}, clock: HeapClock = heapClock()) => {
  const peer = new FakeEtcd(clock)
  const { transport, lookup } = peer
  const link = connect(etcd({ url: URL, ...options }), { id: 'etcd', clock, transport, lookup, ...more })
  const got: EtcdEvent[] = []
  link.inbound$.subscribe((event) => got.push(event))
  const continuity: string[] = []
  link.continuity$.subscribe(({ kind }) => continuity.push(kind))
  const steps: string[] = []
  link.transitions$.subscribe(({ to, reason }) => steps.push(`${to} ${reason}`))
  const entered = (state: string) => steps.filter((step) => step.startsWith(`${state} `)).length
  return { clock, peer, link, got, continuity, steps, entered }
}

describe('a registration', () => {
  it('is a key on a lease, renewed three times in its TTL', async () => {
    const { clock, peer, link, steps } = rig({ register })
    await clock.advance(30_000)
    expect(link.status.state).toBe('live')
    expect(peer.keys).toEqual(['bots/a'])
    expect(peer.leases.size).toBe(1)
    expect(peer.questions('v3/lease/keepalive').length).toBeGreaterThanOrEqual(29)
    expect(peer.questions('v3/lease/keepalive').length).toBeLessThanOrEqual(31)
    expect(steps.filter((step) => step.startsWith('backoff'))).toEqual([])
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('with the TTL that etcd grants, which may be longer than what was asked for', async () => {
    const { clock, peer, link } = rig({ register })
    peer.reply = ({ path, body }) => {
      if (path !== 'v3/lease/keepalive' && path !== 'v3/lease/grant') return undefined
      const ID = path.endsWith('grant') ? '77' : JSON.parse(body!).ID
      peer.leases.set('77', { ttl: 15, endsAt: clock.now() + 15_000 })
      return path.endsWith('grant') ? { ID, TTL: '15' } : { result: { ID, TTL: '15' } }
    }
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
    expect(peer.questions('v3/lease/keepalive').length).toBeLessThanOrEqual(13)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('incident 5.1 whose lease ended in a freeze has a new one, and a key, within 2 s; the old one is revoked', async () => {
    for (const offsetMs of [0, 333, 500, 999]) {
      const { clock, peer, link, entered } = rig({ register })
      await clock.advance(10_000 + offsetMs)
      const old = peer.holder('bots/a')!
      peer.freeze()
      await clock.advance(8_000)
      expect(link.status.state).not.toBe('live')
      peer.thaw()
      await clock.advance(2_000)
      expect(link.status.state).toBe('live')
      const lease = peer.holder('bots/a')!
      expect(lease).not.toBe(old)
      expect([...peer.leases.keys()]).toEqual([lease])
      expect(peer.questions('v3/lease/revoke').map(({ body }) => body.ID)).toEqual([old])
      expect([entered('registered'), entered('backoff')]).toEqual([2, 1])
      await Promise.all([link.stop(), clock.advance(1_000)])
    }
  })

  it('incident 5.3 is kept by a restart of etcd: the same lease, and the key is not written again', async () => {
    const { clock, peer, link, continuity } = rig({ register: { ...register, ttlSeconds: 6 } })
    await clock.advance(5_000)
    const lease = peer.holder('bots/a')
    peer.kill()
    await clock.advance(11_000)
    peer.start()
    await clock.advance(3_000)
    expect(link.status.state).toBe('live')
    expect(peer.holder('bots/a')).toBe(lease)
    expect(peer.questions('v3/lease/grant')).toHaveLength(1)
    expect(peer.questions('v3/kv/put')).toHaveLength(1)
    expect(continuity).toEqual(['new', 'recovered'])
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('incident 5.5 is gone with a clean stop, not after its TTL', async () => {
    const { clock, peer, link, steps } = rig({ register: { ...register, ttlSeconds: 60 } })
    await clock.advance(5_000)
    const stopped = link.stop()
    await clock.advance(1_000)
    await stopped
    expect(peer.keys).toEqual([])
    expect(peer.leases.size).toBe(0)
    expect(steps.slice(-2)).toEqual(['closing operator.stop', 'stopped closed-by-peer'])
  })

  it('whose goodbye is not answered is left to its TTL, and the link stops at its deadline', async () => {
    const { clock, peer, link } = rig({ register })
    await clock.advance(5_000)
    peer.freeze()
    const stopped = link.stop()
    await clock.advance(3_000)
    await stopped
    expect(link.status.state).toBe('stopped')
  })

  it('is handed over: the next process keeps the lease, and the key is never gone', async () => {
    const { clock, peer, link, entered } = rig({ register })
    await clock.advance(5_000)
    const lease = peer.holder('bots/a')
    const [handOver] = await Promise.all([link.handOver(), clock.advance(100)])
    expect(peer.holder('bots/a')).toBe(lease)
    const { transport, lookup } = peer
    const next = connect(etcd({ url: URL, register }), { id: 'etcd', clock, transport, lookup, handOver })
    await clock.advance(10_000)
    expect([next.status.state, peer.holder('bots/a'), entered('stopped')]).toEqual(['live', lease, 1])
    expect(peer.questions('v3/kv/put')).toHaveLength(1)
    await Promise.all([next.stop(), clock.advance(1_000)])
  })

  it.each([
    ['an answer without TTL', { result: { ID: '1' } }],
    ['a TTL of 0', { result: { ID: '1', TTL: '0' } }],
    ['a negative one', { result: { ID: '1', TTL: '-1' } }],
    ['code 5', { refused: 5, status: 404 }],
  ])('incident 5.6 is lost by %s to a beat, and made anew', async (_what, reply) => {
    const { clock, peer, link, steps } = rig({ register })
    await clock.advance(5_000)
    peer.reply = ({ path }) => (path === 'v3/lease/keepalive' ? reply : undefined)
    await clock.advance(1_100)
    expect(link.status.fault?.code).toBe('lease-lost')
    await clock.advance(1_500)
    peer.reply = undefined
    await clock.advance(1_000)
    expect(link.status.state).toBe('live')
    expect(peer.leases.size).toBe(1)
    expect(steps.filter((step) => step === 'backoff lease-lost').length).toBeGreaterThanOrEqual(1)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('is lost when two thirds of its lease are over without an answer, although etcd may still have it', async () => {
    const { clock, peer, link } = rig({ register: { ...register, ttlSeconds: 6 } })
    await clock.advance(10_000)
    const last = peer.questions('v3/lease/keepalive').at(-1)!.at
    peer.freeze()
    await clock.advance(last + 4_002 - clock.now())
    expect(link.status.state).not.toBe('live')
    peer.thaw()
    await clock.advance(4_000)
    expect(link.status.state).toBe('live')
    expect(peer.questions('v3/lease/grant')).toHaveLength(1)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('is lost with its key, and put again on the lease that still lives', async () => {
    const { clock, peer, link } = rig({ register })
    await clock.advance(5_000)
    const lease = peer.holder('bots/a')
    peer.delete('bots/a')
    await clock.advance(2)
    expect(link.status).toMatchObject({
      state: 'backoff',
      fault: { code: 'lease-lost', detail: 'the key was deleted' },
    })
    await clock.advance(1_500)
    expect([link.status.state, peer.holder('bots/a')]).toEqual(['live', lease])
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('that looks away for a moment, because the watch over its key ended, sees what happened to it', async () => {
    const { clock, peer, link, entered } = rig({ register })
    await clock.advance(5_000)
    peer.endStreams()
    await clock.advance(1_000)
    expect(entered('backoff')).toBe(0)
    peer.endStreams()
    peer.delete('bots/a')
    await clock.advance(1_000)
    expect([link.status.state, peer.keys]).toEqual(['live', ['bots/a']])
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it.each([
    [16, 401, 'parked', 'credentials-rejected'],
    [7, 403, 'parked', 'credentials-rejected'],
    [3, 400, 'parked', 'setup-refused'],
    [8, 429, 'backoff', 'throttled'],
    [14, 503, 'backoff', 'peer-unavailable'],
    [4, 504, 'backoff', 'answer-timeout'],
    [5, 404, 'backoff', 'lease-lost'],
    [99, 500, 'backoff', 'peer-unavailable'],
  ])('refused with gRPC code %i (HTTP %i) is %s: %s', async (refused, status, state, code) => {
    const { clock, peer, link } = rig({ register })
    peer.reply = ({ path }) => (path === 'v3/kv/put' ? { refused, status } : undefined)
    await clock.advance(500)
    expect(link.status).toMatchObject({ state, fault: { code, detail: `etcdserver: no (HTTP ${status})` } })
    expect(peer.questions('v3/kv/put')).toHaveLength(refused === 4 ? 2 : 1)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })
})

describe('users', () => {
  const user = { username: 'bot', password: 'canary-0123456789' }

  it('are known by a token, which goes with every question', async () => {
    const { clock, peer, link } = rig({ register, ...user })
    const tokens: unknown[] = []
    peer.reply = ({ path, headers }) => {
      if (path === 'v3/auth/authenticate') return { token: 'abc.7' }
      tokens.push(headers?.Authorization)
      return undefined
    }
    await clock.advance(3_000)
    expect(link.status.state).toBe('live')
    expect(peer.questions('v3/auth/authenticate')[0]!.body).toEqual({ name: 'bot', password: user.password })
    expect(new Set(tokens)).toEqual(new Set(['abc.7']))
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('get another token when users were changed since it was given: etcd answers 400 then', async () => {
    const { clock, peer, link } = rig({ register, ...user })
    let token = 1
    const message = 'etcdserver: revision of auth store is old'
    peer.reply = ({ path, headers }) => {
      if (path === 'v3/auth/authenticate') return { token: `t${token}` }
      return headers?.Authorization === `t${token}` ? undefined : { refused: 3, status: 400, message }
    }
    await clock.advance(5_000)
    token = 2
    await clock.advance(1_100)
    expect(link.status.fault?.code).toBe('credentials-expired')
    await clock.advance(2_000)
    expect(link.status.state).toBe('live')
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('get another token when theirs has ended, and stay registered', async () => {
    const { clock, peer, link } = rig({ register, ...user })
    let token = 1
    peer.reply = ({ path, headers }) => {
      if (path === 'v3/auth/authenticate') return { token: `t${token}` }
      return headers?.Authorization === `t${token}` ? undefined : { refused: 16, status: 401 }
    }
    await clock.advance(5_000)
    token = 2
    await clock.advance(1_100)
    expect(link.status.fault?.code).toBe('credentials-expired')
    await clock.advance(2_000)
    expect(link.status.state).toBe('live')
    expect(peer.questions('v3/lease/grant')).toHaveLength(1)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('with the wrong password park the link, and nothing that is shown has it', async () => {
    const { clock, peer, link } = rig({ register, ...user })
    peer.reply = ({ path }) => (path === 'v3/auth/authenticate' ? { refused: 3, status: 400 } : undefined)
    await clock.advance(100)
    expect(link.status).toMatchObject({ state: 'parked', fault: { code: 'credentials-rejected' } })
    expect(JSON.stringify([link.recording, link.status])).not.toContain('canary')
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('are let in where etcd asks for none', async () => {
    const { clock, link } = rig({ register, ...user })
    await clock.advance(100)
    expect(link.status.state).toBe('live')
    await Promise.all([link.stop(), clock.advance(1_000)])
  })
})

describe('a watch', () => {
  const watch = { prefix: 'svc/' }
  const last = (got: EtcdEvent[]) => got.map((event) => ('key' in event ? `${event.type} ${event.key}` : event.type))

  it('lists what there is under its prefix, and then tells every change', async () => {
    const { clock, peer, link, got } = rig({ watch })
    peer.put('svc/a', 'one')
    peer.put('svd', 'not this')
    await clock.advance(100)
    expect(got).toEqual([{ type: 'list', entries: [{ key: 'svc/a', value: 'one', revision: '2' }], revision: '3' }])
    peer.put('svc/b', 'two')
    peer.put('other', 'not this')
    peer.delete('svc/a', 'svc/b')
    await clock.advance(100)
    expect(got.slice(1)).toEqual([
      { type: 'put', key: 'svc/b', value: 'two', revision: '4' },
      { type: 'delete', key: 'svc/a', revision: '6' },
      { type: 'delete', key: 'svc/b', revision: '6' },
    ])
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('incident 5.4 whose stream ends is taken up within 1 s, and of 100 puts meanwhile none is lost', async () => {
    const { clock, peer, link, got, entered } = rig({ watch })
    await clock.advance(100)
    peer.endStreams()
    const endedAt = clock.now()
    for (let i = 0; i < 100; i++) peer.put('svc/a', String(i))
    await clock.advance(1_000)
    expect(peer.questions('v3/watch').at(-1)!.at - endedAt).toBeLessThan(1_000)
    const values = got.flatMap((event) => (event.type === 'put' ? [event.value] : []))
    expect(values).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
    expect(entered('backoff')).toBe(0)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('incident 5.4 of which the whole transport was lost gets what it missed, in order, before it is live', async () => {
    const { clock, peer, link, got, continuity, steps } = rig({ watch })
    await clock.advance(100)
    peer.kill()
    for (let i = 0; i < 100; i++) peer.put(`svc/${i % 3}`, String(i))
    peer.delete('svc/0')
    await clock.advance(5_000)
    expect(got).toHaveLength(1)
    peer.start()
    await clock.advance(3_000)
    const values = got.flatMap((event) => (event.type === 'put' ? [event.value] : []))
    expect(values).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
    expect(got.at(-1)).toMatchObject({ type: 'delete', key: 'svc/0' })
    expect(continuity).toEqual(['new', 'recovered'])
    expect(steps.at(-1)).toMatch(/^live/)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it.each([
    ['compacted', (peer: FakeEtcd) => peer.compact()],
    ['restored from a backup', (peer: FakeEtcd) => peer.restore()],
  ])('of an etcd that was %s meanwhile lists anew, and tells the gap', async (_how, happen) => {
    const { clock, peer, link, got, continuity } = rig({ watch })
    peer.put('svc/a', 'one')
    await clock.advance(100)
    peer.kill()
    peer.put('svc/a', 'two')
    peer.put('svc/a', 'three')
    happen(peer)
    await clock.advance(1_000)
    peer.start()
    await clock.advance(3_000)
    expect(continuity).toEqual(['new', 'gap'])
    expect(last(got)).toEqual(['list', 'list'])
    peer.put('svc/c', 'four')
    await clock.advance(100)
    expect(got.at(-1)).toMatchObject({ type: 'put', key: 'svc/c', value: 'four' })
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it.each([
    ['compacted', (peer: FakeEtcd) => peer.compact()],
    ['restored from a backup', (peer: FakeEtcd) => peer.restore()],
  ])('of an etcd that was %s while the stream was away lists anew on the same transport', async (_how, happen) => {
    const { clock, peer, link, got, entered } = rig({ watch })
    for (let i = 0; i < 3; i++) peer.put('svc/a', String(i))
    await clock.advance(100)
    peer.endStreams()
    for (let i = 0; i < 3; i++) peer.put('svc/a', String(i))
    happen(peer)
    await clock.advance(1_000)
    expect(last(got)).toEqual(['list', 'list'])
    expect([entered('backoff'), link.status.state]).toEqual([0, 'live'])
    peer.put('svc/b', 'x')
    await clock.advance(10)
    expect(last(got).at(-1)).toBe('put svc/b')
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('keeps revisions beyond 2^53 apart', async () => {
    const { clock, peer, link, got } = rig({ watch })
    const header = { revision: '9007199254740993' }
    peer.reply = ({ path, body, stream }) => {
      if (path === 'v3/kv/range') return { header }
      if (!stream) return undefined
      expect(JSON.parse(body!).create_request.start_revision).toBe('9007199254740994')
      return { header }
    }
    await clock.advance(100)
    expect(got).toEqual([{ type: 'list', entries: [], revision: '9007199254740993' }])
    expect(peer.questions('v3/watch')).toHaveLength(1)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })

  it('beside a registration: one link for both', async () => {
    const { clock, peer, link, got } = rig({ register: { ...register, key: 'svc/me' }, watch })
    await clock.advance(100)
    expect(got).toMatchObject([{ type: 'list', entries: [{ key: 'svc/me' }] }])
    peer.freeze()
    await clock.advance(8_000)
    peer.thaw()
    await clock.advance(2_000)
    expect(last(got)).toEqual(['list', 'delete svc/me', 'put svc/me'])
    await Promise.all([link.stop(), clock.advance(1_000)])
    expect(peer.keys).toEqual([])
  })

  it.each([
    ['svc/', 'svc/', 'svc0'],
    ['', '\0', '\0'],
    ['a\u00ff', 'a\u00ff', 'a\u00c3\u00c0'],
  ])('asks for the range of all keys that begin with %j', async (prefix, key, _end) => {
    const { clock, peer, link } = rig({ watch: { prefix } })
    await clock.advance(100)
    const { body } = peer.questions('v3/kv/range')[0]!
    expect(plain(body.key)).toBe(key)
    const end = Buffer.from(String(body.range_end), 'base64')
    if (prefix === '') expect(end).toEqual(Buffer.from([0]))
    else expect(Buffer.compare(end, Buffer.from(`${prefix}\u{10ffff}`))).toBe(1)
    await Promise.all([link.stop(), clock.advance(1_000)])
  })
})

describe('options', () => {
  it.each([
    [{}, /needs a url/],
    [{ url: URL, urls: [URL], watch: { prefix: '' } }, /and not both/],
    [{ urls: [], watch: { prefix: '' } }, /urls that are no list/],
    [{ url: 'ws://h/', watch: { prefix: '' } }, /begins with "ws:"/],
    [{ url: URL }, /needs something to do/],
    [{ url: URL, watch: {} }, /watch.prefix that is undefined/],
    [{ url: URL, register: { ...register, key: '' } }, /register.key/],
    [{ url: URL, register: { ...register, value: 7 } }, /register.value that is the number 7/],
    [{ url: URL, register: { ...register, ttlSeconds: 2 } }, /the number 2; it must be a whole number from 3/],
    [{ url: URL, register: { ...register, ttl: 3 } }, /"ttl" is not one of/],
    [{ url: URL, register, username: 'a' }, /half of a username and password/],
    [{ url: URL, register, username: 'a', password: '' }, /password that is no text/],
    [{ url: URL, register, token: 'x' }, /"token" is not one of/],
  ])('%j are refused', (options, words) => {
    expect(() => etcd(options as EtcdOptions)).toThrow(words)
  })

  it('of several members: the next one is tried where the first refuses', async () => {
    const clock = heapClock()
    const peer = new FakeEtcd(clock)
    const urls: string[] = []
    const { link } = (() => {
      const transport: LinkOptions['transport'] = (endpoint) => {
        urls.push(endpoint.target.url)
        if (endpoint.target.url.includes('10.0.0.1'))
          return (listener) => {
            clock.setTimeout(() => listener.lost({ code: 'refused' }), 1)
            return () => undefined
          }
        return peer.transport()
      }
      const adapter = etcd({ urls: ['http://10.0.0.1:2379/', 'http://10.0.0.2:2379/'], register })
      return { link: connect(adapter, { clock, transport, lookup: peer.lookup, id: 'etcd' }) }
    })()
    await clock.advance(3_000)
    expect(link.status.state).toBe('live')
    expect(urls).toEqual(['http://10.0.0.1:2379/', 'http://10.0.0.2:2379/'])
    await Promise.all([link.stop(), clock.advance(1_000)])
  })
})
