/**
 * QQ's gateway, as @satorijs/adapter-qq 4.11.0 and our link meet it: the same fake platform for both, side by side. The
 * real client judges the fake. It follows no table of close codes, and has bugs that are known; the tests say what was
 * observed, because that is what users live with.
 */
import { afterAll, describe, expect, it, vi } from 'vitest'
import { sequelOf } from '../../src/adapter/gateway.ts'
import { type GatewayAnswer, type QqOptions, qq, qqCloses } from '../../src/adapter/qq.ts'
import { memoryBudgetStore, sessionBudget } from '../../src/budget.ts'
import { connect, type Link } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { GatewayPlatform } from './gateway-platform.ts'
import { startQqClients } from './processes.ts'

const TOKEN = 'a-token'

const open: (() => unknown)[] = []
afterAll(async () => {
  for (const end of open.reverse()) await end()
})

const platform = async (intervalMs?: number) => {
  const own = await GatewayPlatform.start({ dialect: 'qq', token: TOKEN, ...(intervalMs && { intervalMs }) })
  open.push(() => own.stop())
  return own
}

const clientsOf = async (platforms: readonly GatewayPlatform[]) => {
  const places = platforms.map(({ url, host }) => ({ gateway: url, http: `http://${host}/` }))
  const clients = await startQqClients({ token: TOKEN, platforms: places, retryInterval: 200 })
  open.push(() => clients.stop())
  return clients
}

const linkTo = ({ url }: GatewayPlatform, more: Partial<QqOptions> = {}, options: LinkOptions = {}): Link => {
  const rules = { key: url, perDay: 1_000, perInterval: { count: 1, ms: 500 }, store: memoryBudgetStore() }
  const adapter = qq({ appId: '1020', token: TOKEN, intents: 1, url, budget: sessionBudget(rules), ...more })
  const link = connect(adapter, options)
  open.push(() => link.stop({ drainMs: 0 }))
  return link
}

const until = (check: () => void, timeout = 15_000) => vi.waitFor(check, { timeout, interval: 20 })
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** What a client did after its first connection was closed. */
const sequel = (platform: GatewayPlatform): 'resume' | 'identify' | 'stop' => {
  const next = platform.records.find(({ kind, connection }) => connection > 1 && ['identify', 'resume'].includes(kind))
  return (next?.kind as 'resume' | 'identify' | undefined) ?? 'stop'
}

const endings = [...Object.keys(qqCloses).map(Number), 'destroy' as const]

describe.concurrent('QQ’s gateway', () => {
  it('each close code is followed by what the table says; @satorijs/adapter-qq comes back from all of them', async () => {
    const theirs = await Promise.all(endings.map(() => platform()))
    const ours = await Promise.all(endings.map(() => platform()))
    for (const [i, ending] of endings.entries()) for (const side of [theirs, ours]) side[i]!.closesFirst = ending
    await clientsOf(theirs)
    const links = ours.map((own) => linkTo(own))
    const settled = (side: GatewayPlatform[]) => side.filter((own) => sequel(own) !== 'stop').length
    const comeBack = endings.filter((ending) => sequelOf(qqCloses[Number(ending)]) !== 'stop').length
    await until(() => expect([settled(theirs), settled(ours)]).toEqual([endings.length, comeBack]))
    await until(() => expect(links.filter(({ status }) => status.state === 'live')).toHaveLength(comeBack))

    const rows = endings.map((ending, i) => {
      const fault = ending === 'destroy' ? undefined : qqCloses[ending]
      return { ending, fault, table: sequelOf(fault), theirs: sequel(theirs[i]!), ours: sequel(ours[i]!) }
    })
    console.log(
      [
        'code | @satorijs/adapter-qq 4.11.0 | holdfast | fault',
        ...rows.map(({ ending, theirs, ours, fault }) => `${ending} | ${theirs} | ${ours} | ${fault ?? '-'}`),
      ].join('\n'),
    )
    for (const [i, { ending, fault, table, theirs, ours: own }] of rows.entries()) {
      expect(own, `${ending}`).toBe(table)
      // banned or not: every code over 4000 but two is a new session to it
      expect(theirs, `${ending}`).toBe(['destroy', 4008, 4009].includes(ending) ? 'resume' : 'identify')
      expect(ours[i]!.count('connect'), `${ending}`).toBe(own === 'stop' ? 1 : 2)
      if (own === 'stop') expect(links[i]!.status).toMatchObject({ state: 'parked', fault: { code: fault } })
    }
  }, 40_000)

  it('the handshake, the beats and the replay are what the real client understands', async () => {
    const [theirs, ours] = [await platform(1_000), await platform(1_000)]
    const clients = await clientsOf([theirs])
    const link = linkTo(ours)
    const got: string[] = []
    link.inbound$.subscribe((event) => void got.push((event as { t: string }).t))
    const sides = [theirs, ours]
    await until(() => expect(clients.statuses(0).at(-1)).toBe('online'))
    await until(() => expect(sides.map((own) => own.count('beat') > 0)).toEqual([true, true]))
    expect(sides.map((own) => own.of('beat')[0]!.frame)).toEqual([
      // a slip of the real client: the field is called d
      { op: 1, s: 1 },
      { op: 1, d: 1 },
    ])
    expect(sides.map((own) => own.of('identify')[0]!.data.shard)).toEqual([
      [0, 1],
      [0, 1],
    ])
    for (const own of sides) {
      own.say('ONE', {})
      // the regular cut of every half hour
      own.tellAll({ op: 7, d: null })
      own.closeAll(4009)
      own.say('TWO', {})
    }
    await until(() => expect(sides.map((own) => own.count('resume'))).toEqual([1, 1]))
    expect(theirs.of('resume')[0]).toMatchObject({ session: 's1', seq: 2 })
    expect(ours.of('resume')[0]).toMatchObject({ session: 's1', seq: 2 })
    await until(() => expect(clients.statuses(0).at(-1)).toBe('online'))
    await until(() => expect(got).toEqual(['READY', 'ONE', 'TWO', 'RESUMED']))
    expect(sides.map((own) => own.count('identify'))).toEqual([1, 1])
  }, 30_000)

  it('one beat without an answer costs our link one connection, and the real client all that follow', async () => {
    const [theirs, ours] = [await platform(1_000), await platform(1_000)]
    await clientsOf([theirs])
    const link = linkTo(ours, {}, { heartbeat: { answerMinMs: 300, answerMaxMs: 300 }, deadlines: { graceMs: 200 } })
    const sides = [theirs, ours]
    for (const own of sides) own.acks = false
    await until(() => expect(sides.map((own) => own.count('connect') >= 2)).toEqual([true, true]))
    for (const own of sides) own.acks = true
    await until(() => expect(theirs.count('connect')).toBeGreaterThanOrEqual(5))
    // it closes each new connection before it beats once, because of what it remembers of the first
    expect(theirs.of('beat').filter(({ connection }) => connection > 2)).toEqual([])
    await link.ready()
    const connections = ours.count('connect')
    await pause(2_500)
    expect(ours.count('connect')).toBe(connections)
    expect(ours.of('beat').at(-1)!.connection).toBe(connections)
    expect(theirs.count('connect')).toBeGreaterThanOrEqual(6)
  }, 30_000)

  it('4004: the token is fetched anew once, and if that one is rejected too a person is called', async () => {
    const own = await platform()
    let cached: { access_token: string } | undefined
    const asked: string[] = []
    const link = linkTo(own, {
      token: async ({ because }) => {
        asked.push(because)
        if (because === 'rejected') cached = undefined
        cached ??= (await (
          await fetch(`http://${own.host}/app/getAppAccessToken`, { method: 'POST' })
        ).json()) as typeof cached
        return { token: cached!.access_token, expiresInMs: 7_200_000 }
      },
    })
    await link.ready()
    own.token = 'another'
    own.closeAll(4009)
    await until(() => expect(own.count('resume')).toBe(2))
    await link.ready()
    expect(asked).toEqual(['attempt', 'attempt', 'rejected'])
    expect(own.tokensGiven).toBe(2)
    // from now on whatever is given is wrong
    Object.defineProperty(own, 'token', { get: () => `never-${own.tokensGiven}-${Math.random()}` })
    own.closeAll(4009)
    await until(() => expect(link.status.state).toBe('parked'))
    expect(link.status.fault).toMatchObject({ code: 'credentials-expired' })
    expect(asked.slice(3)).toEqual(['attempt', 'rejected'])
  }, 30_000)

  it('GET /gateway/bot says where to dial, and how many starts are left: with none the link waits', async () => {
    const own = await platform()
    own.startsLeft = 0
    const gateway = async () => (await (await fetch(`http://${own.host}/gateway/bot`)).json()) as GatewayAnswer
    const link = linkTo(own, { url: 'ws://127.0.0.1:9/', gateway })
    await until(() => expect(link.status.fault?.code).toBe('session-budget'))
    expect(own.count('connect')).toBe(0)
    const another = linkTo(await platform(), {
      url: 'ws://127.0.0.1:9/',
      gateway: async () => ({ url: own.url, session_start_limit: { remaining: 500 } }),
    })
    await another.ready()
    expect(own.count('identify')).toBe(1)
  }, 30_000)
})
