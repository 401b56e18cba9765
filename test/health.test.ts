/** Health in virtual time: what it says of links and services in every state, and that it never says more than is true. */
import { Subject } from 'rxjs'
import { describe, expect, it } from 'vitest'
import { RETRY_AFTER_MAX_MS } from '../machines/delay.ts'
import type { Hint } from '../src/awake.ts'
import { HoldfastError } from '../src/error.ts'
import { fleet } from '../src/fleet.ts'
import { type HealthOptions, type HealthReport, health, watchProcess } from '../src/health.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { portInUse, serviceRig } from './dependent.ts'
import { politePeer, type Rig, rig, smallTalk } from './small-talk.ts'

const FRESH_MS = 15_000

const checked = ({ link, clock }: Pick<Rig, 'link' | 'clock'>, more: Partial<HealthOptions> = {}) =>
  health({ links: [link], clock, ...more })

const ask = (of: ReturnType<typeof health>, path = '/readyz', method = 'GET') =>
  of.fetch(new Request(`http://127.0.0.1${path}`, { method }))

const bodyOf = async (response: Response): Promise<HealthReport> => (await response.json()) as HealthReport

describe('ready', () => {
  it('a live link is, and the layers say so', async () => {
    const made = rig()
    const { clock, link, live, end } = made
    const of = checked(made)
    const begun = clock.wall()
    await live()
    const { since } = link.status
    expect(of.check()).toEqual({
      ready: true,
      of: 'bot',
      state: 'live',
      since,
      reason: null,
      next: 'the heartbeat watches it',
      retryAfterMs: null,
      at: clock.wall(),
      process: { since: begun, stalls: 0, stalledAt: null },
      connection: [
        {
          id: 'bot',
          state: 'live',
          since,
          attempt: 1,
          required: true,
          ready: true,
          silentMs: 0,
          missing: [],
          reason: null,
          because: '',
          next: 'the heartbeat watches it',
          inMs: null,
        },
      ],
      account: [{ id: 'bot', ok: true, reason: null }],
      dependents: [],
    })
    await end()
  })

  it('incident 4.4 is answered with 200 only while the link is live and the peer was heard, and otherwise with 503, state, since, reason and next', async () => {
    const made = rig()
    const { clock, network, link, live, end } = made
    const of = checked(made)
    const seen = { 200: 0, 503: 0 }
    const look = async () => {
      const { state, since, fault } = link.status
      const answer = ask(of)
      expect(answer.status).toBe(state === 'live' ? 200 : 503)
      if (answer.status === 200) expect(link.silentMs).toBeLessThanOrEqual(FRESH_MS)
      const body = await bodyOf(answer)
      expect(body).toMatchObject({ ready: state === 'live', state, since })
      expect(body.next).not.toBe('')
      if (state === 'backoff') expect(body.reason).toBe(fault!.code)
      seen[answer.status as 200 | 503]++
    }
    await look()
    await live()
    for (const healthy of [true, false, true, false, true]) {
      network.healthy = healthy
      for (let i = 0; i < 600; i++) {
        await clock.advance(100)
        await look()
      }
    }
    expect(seen[200]).toBeGreaterThan(1_000)
    expect(seen[503]).toBeGreaterThan(500)
    await end()
  })

  it('incident 4.4 a link that is live by its state alone is not: silence, or pages of HTML, for longer than freshMs', async () => {
    for (const frame of [undefined, '<html>welcome</html>']) {
      const made = rig({ heartbeat: { quietMs: 3_600_000 } })
      const { clock, network, link, live, end } = made
      await live()
      const of = checked(made)
      network.healthy = false
      for (let i = 0; i < FRESH_MS / 1_000 + 2; i++) {
        await clock.advance(1_000)
        if (frame) network.current!.frame(frame)
      }
      expect(link.status.state).toBe('live')
      const answer = ask(of)
      expect(answer.status).toBe(503)
      expect(await bodyOf(answer)).toMatchObject({ ready: false, state: 'live', reason: 'silent' })
      network.healthy = true
      network.current!.frame({ op: 'news' })
      expect(ask(of).status).toBe(200)
      await end()
    }
  })

  it('knows an account that is offline from a connection that is lost', async () => {
    const made = rig()
    const { network, live, end } = made
    await live()
    network.current!.frame({ op: 'offline', why: 'logged out' })
    const { ready, account, connection } = checked(made).check()
    expect(ready).toBe(false)
    expect(account).toEqual([{ id: 'bot', ok: false, reason: 'account-offline' }])
    expect(connection[0]).toMatchObject({ state: 'degraded.impaired', reason: 'account-offline' })
    network.current!.lose({ code: 'connection-lost' })
    expect(checked(made).check()).toMatchObject({ account: [{ ok: null, reason: null }], reason: 'connection-lost' })
    await end()
  })

  it('waits for every required link and for no other', async () => {
    const clock = heapClock()
    const [first, second] = [rig({ clock, id: 'first' }), rig({ clock, id: 'second', healthy: false })]
    await clock.advance(100)
    const links = [first.link, second.link]
    expect(health({ links, clock }).check()).toMatchObject({ ready: false, of: 'second', state: 'connecting' })
    const of = health({ links, clock, required: ['first'] })
    expect(of.check()).toMatchObject({ ready: true, of: 'first' })
    expect(of.check().connection.map(({ id, required }) => [id, required])).toEqual([
      ['first', true],
      ['second', false],
    ])
    void second.link.stop()
    await first.end()
  })

  it('follows a fleet, misses a required link that is not there, and is not ready with no link at all', async () => {
    const clock = heapClock()
    const network = new FakeNetwork(clock, politePeer)
    const { transport, lookup } = network
    const bots = fleet()
    const [all, named] = [health({ links: bots, clock }), health({ links: bots, clock, required: ['bot'] })]
    expect(all.check()).toMatchObject({ ready: false, of: null, state: 'absent', reason: 'absent' })
    const link = bots.add(smallTalk(), { id: 'bot', clock, transport, lookup })
    await clock.advance(100)
    expect([all.check().ready, named.check().ready]).toEqual([true, true])
    void link.stop()
    await clock.advance(1_000)
    expect(named.check()).toMatchObject({ ready: false, of: 'bot', state: 'absent', retryAfterMs: 60_000 })
    expect(ask(named).status).toBe(503)
    await bots.stop()
  })
})

describe('dependents', () => {
  it('are named, and a required one makes it unready', async () => {
    const { clock, link, served, live, end } = serviceRig({ outcomes: [portInUse()] })
    await live()
    await clock.advance(0)
    const of = health({ links: [link], services: [served], clock })
    const { nextAt, since } = served.status
    const inMs = nextAt! - clock.wall()
    expect(of.check()).toMatchObject({
      ready: false,
      of: 'http',
      state: 'live(degraded: http)',
      since,
      reason: 'service-failed',
      retryAfterMs: Math.max(1_000, inMs),
      dependents: [{ name: 'http', links: ['bot'], required: true, ready: false, state: 'backoff', attempt: 2, inMs }],
    })
    expect(ask(of).status).toBe(503)
    await clock.advance(inMs)
    expect(of.check()).toMatchObject({
      ready: true,
      state: 'live',
      dependents: [{ ready: true, reason: null, because: '' }],
    })
    await end()
  })

  it('that are not required are named all the same', async () => {
    const made = serviceRig({ outcomes: [portInUse()], service: { required: false } })
    const { clock, link, served, live, end } = made
    await live()
    await clock.advance(0)
    const report = health({ links: [link], services: [served], clock }).check()
    expect(report).toMatchObject({ ready: true, of: 'bot', state: 'live(degraded: http)', retryAfterMs: null })
    await end()
  })
})

describe('Retry-After', () => {
  const retryAfter = (made: Rig) => ask(checked(made)).headers.get('Retry-After')

  it('is the time to the next dial in whole seconds, and at least one', async () => {
    const made = rig()
    const { clock, network, link, live, end } = made
    await live()
    expect(retryAfter(made)).toBe(null)
    network.current!.lose({ code: 'throttled', retryAfterMs: 41_500 })
    const seconds = Math.ceil((link.status.nextDialAt! - clock.wall()) / 1_000)
    expect(seconds).toBeGreaterThanOrEqual(42)
    expect(retryAfter(made)).toBe(String(seconds))
    network.healthy = false
    await clock.advance((seconds + 1) * 1_000)
    expect(link.status.state).toBe('connecting')
    expect(retryAfter(made)).toBe('1')
    await end()
  })

  it('is a minute where a person is waited for, and the longest of several', async () => {
    const made = rig()
    const other = rig({ clock: made.clock, id: 'other' })
    await made.live()
    made.link.hold()
    expect(retryAfter(made)).toBe('60')
    other.network.current!.lose({ code: 'throttled', retryAfterMs: RETRY_AFTER_MAX_MS })
    const both = ask(health({ links: [made.link, other.link], clock: made.clock })).headers.get('Retry-After')
    expect(Number(both)).toBeGreaterThanOrEqual(RETRY_AFTER_MAX_MS / 1_000)
    void other.link.stop()
    await made.end()
  })
})

describe('answers', () => {
  it('livez is 200 whatever becomes of the link', async () => {
    const made = rig({ healthy: false })
    const { clock, link, end } = made
    const of = checked(made)
    for (let i = 0; i < 10; i++) {
      await clock.advance(7_000)
      const answer = ask(of, '/livez')
      expect(answer.status).toBe(200)
      expect(await answer.json()).toEqual({
        alive: true,
        process: { since: expect.any(Number), stalls: 0, stalledAt: null },
      })
    }
    link.hold()
    expect(ask(of, '/livez').status).toBe(200)
    await end()
    expect(ask(of, '/livez').status).toBe(200)
    expect(await bodyOf(ask(of))).toMatchObject({ ready: false, state: 'stopped' })
  })

  it.each([
    ['/readyz?verbose', 'GET', 200],
    ['/readyz', 'HEAD', 200],
    ['/livez', 'HEAD', 200],
    ['/readyz', 'POST', 405],
    ['/livez', 'DELETE', 405],
    ['/', 'GET', 404],
    ['/readyz/', 'GET', 404],
    ['/health', 'POST', 404],
  ])('%s %s is %i', async (path, method, status) => {
    const made = rig()
    await made.live()
    const answer = ask(checked(made), path, method)
    const text = await answer.text()
    expect(answer.status).toBe(status)
    expect(answer.headers.get('Content-Type')).toBe('application/json; charset=utf-8')
    expect(answer.headers.get('Cache-Control')).toBe('no-store')
    expect(answer.headers.get('Allow')).toBe(status === 405 ? 'GET, HEAD' : null)
    expect(text === '').toBe(method === 'HEAD')
    await made.end()
  })

  it('show nothing of a secret that was in a fault', async () => {
    const made = rig({ target: { url: 'ws://127.0.0.1:7000/?token=hunter22', secrets: ['hunter22'] } })
    await made.live()
    made.network.current!.lose({ code: 'connection-lost', detail: 'GET /?token=hunter22 failed' })
    const text = await ask(checked(made)).text()
    expect(text).toContain('connection-lost')
    expect(text).not.toContain('hunter22')
    await made.end()
  })
})

it('the process: stalls are counted while a link lives', () => {
  const clock = heapClock()
  const [hints$, end$] = [new Subject<Hint>(), new Subject<null>()]
  const processHealth = watchProcess(hints$, end$, clock)
  const since = clock.wall()
  clock.sleep(5_000)
  hints$.next('network-changed')
  expect(processHealth()).toEqual({ since, stalls: 0, stalledAt: null })
  hints$.next('awoke')
  expect(processHealth()).toEqual({ since, stalls: 1, stalledAt: since + 5_000 })
  end$.next(null)
  expect(hints$.observed).toBe(false)
})

describe('bad-option', () => {
  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'options is undefined'],
    ['no links', {}, 'links is undefined; it must be a fleet, or a list of links'],
    ['services that are no list', { links: [], services: 5 }, 'services is the number 5'],
    ['required, but not by name', { links: [], required: true }, 'required is true; it must be a list of ids'],
    ['required without a name', { links: [], required: [''] }, 'it must be a list of ids'],
    ['a time that is none', { links: [], freshMs: 0 }, '"freshMs" is the number 0'],
    ['a clock that is none', { links: [], clock: 'now' }, '"clock" is a string'],
    ['what there is not', { links: [], fresh: 1 }, '"fresh" is not one of the options of health()'],
  ])('%s', (_what, options, words) => {
    const make = () => health(options as HealthOptions)
    expect(make).toThrow(HoldfastError)
    expect(make).toThrow(words)
  })

  it.each<[string, unknown, string]>([
    ['nothing', undefined, 'where is undefined'],
    ['a port that is none', { port: 65_536 }, 'port is the number 65536'],
    ['a host that is none', { port: 0, host: 'example.com' }, 'host is a string; it must be an IP address'],
    ['what there is not', { port: 0, tls: true }, '"tls" is not one of the options of listen()'],
  ])('listen(): %s', async (_what, where, words) => {
    await expect(health({ links: [] }).listen(where as never)).rejects.toThrow(words)
  })
})
