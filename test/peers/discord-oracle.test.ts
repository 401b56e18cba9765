/**
 * Discord's gateway, as @discordjs/ws 2.0.4 and our link meet it: the same fake platform for both, side by side. The
 * real client judges the fake (it behaves here as it was seen to behave elsewhere), and the fake judges our link.
 */
import { afterAll, describe, expect, it, vi } from 'vitest'
import { discord, discordCloses } from '../../src/adapter/discord.ts'
import { sequelOf } from '../../src/adapter/gateway.ts'
import { memoryBudgetStore, sessionBudget } from '../../src/budget.ts'
import { connect, type Link } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { GatewayPlatform } from './gateway-platform.ts'
import { startDiscordClients } from './processes.ts'

const TOKEN = 'MTAw.a-token'
const PRESENCE = { op: 3, d: { since: null, activities: [], status: 'idle', afk: false } }

const open: (() => unknown)[] = []
afterAll(async () => {
  for (const end of open.reverse()) await end()
})

const platform = async (intervalMs?: number) => {
  const own = await GatewayPlatform.start({ dialect: 'discord', token: TOKEN, ...(intervalMs && { intervalMs }) })
  open.push(() => own.stop())
  return own
}

const clientsOf = async (platforms: readonly GatewayPlatform[]) => {
  const clients = await startDiscordClients({ token: TOKEN, gateways: platforms.map(({ url }) => url) })
  open.push(() => clients.stop())
  return clients
}

const linkTo = ({ url }: GatewayPlatform, options: LinkOptions = {}): Link => {
  const rules = { key: url, perDay: 1_000, perInterval: { count: 1, ms: 500 }, store: memoryBudgetStore() }
  const link = connect(discord({ token: TOKEN, intents: 1, url, budget: sessionBudget(rules) }), options)
  open.push(() => link.stop({ drainMs: 0 }))
  return link
}

const until = (check: () => void, timeout = 12_000) => vi.waitFor(check, { timeout, interval: 20 })
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** What a client did after its first connection was closed. */
const sequel = (platform: GatewayPlatform): 'resume' | 'identify' | 'stop' => {
  const next = platform.records.find(({ kind, connection }) => connection > 1 && ['identify', 'resume'].includes(kind))
  return (next?.kind as 'resume' | 'identify' | undefined) ?? 'stop'
}

type Ending = number | 'destroy'
const endings: Ending[] = [
  ...[1000, 1001, 'destroy' as const, 1011, 4000, 4001, 4002, 4003, 4004, 4005, 4007, 4008, 4009],
  ...[4010, 4011, 4012, 4013, 4014, 4900],
]
/** What @discordjs/ws 2.0.4 was seen to do; what is not here is followed by a resume. */
const seen: Record<string, string> = {
  ...Object.fromEntries([1000, 4003, 4005, 4007, 4008].map((code) => [code, 'identify'])),
  ...Object.fromEntries([4004, 4010, 4011, 4012, 4013, 4014].map((code) => [code, 'stop'])),
}

describe.concurrent('Discord’s gateway', () => {
  it('each close code is followed by what the table says, and by what @discordjs/ws does', async () => {
    const theirs = await Promise.all(endings.map(() => platform()))
    const ours = await Promise.all(endings.map(() => platform()))
    for (const [i, ending] of endings.entries()) for (const side of [theirs, ours]) side[i]!.closesFirst = ending
    const clients = await clientsOf(theirs)
    const links = ours.map((own) => linkTo(own))
    // @discordjs/ws starts one session in 5 s
    const stops = endings.filter((ending) => seen[ending] === 'stop').length
    const settled = (side: GatewayPlatform[]) => side.filter((own) => sequel(own) !== 'stop').length
    await until(() => expect([settled(theirs), settled(ours)]).toEqual(Array(2).fill(endings.length - stops)))
    await pause(500)

    const rows = endings.map((ending, i) => {
      const code = ending === 'destroy' ? 1006 : ending
      const fault = discordCloses[code]
      const table = sequelOf(fault)
      const dials = [theirs[i]!.count('connect'), ours[i]!.count('connect')]
      return { code, table, fault, theirs: sequel(theirs[i]!), ours: sequel(ours[i]!), dials }
    })
    console.log(
      [
        'code | @discordjs/ws 2.0.4 | holdfast | fault',
        ...rows.map(({ code, theirs, ours, fault }) => `${code} | ${theirs} | ${ours} | ${fault ?? '-'}`),
      ].join('\n'),
    )
    for (const [i, { code, table, theirs, ours, dials, fault }] of rows.entries()) {
      expect(ours, `${code}`).toBe(table)
      expect(theirs, `${code}`).toBe(seen[endings[i]!] ?? 'resume')
      expect(dials, `${code}`).toEqual([theirs === 'stop' ? 1 : 2, ours === 'stop' ? 1 : 2])
      if (ours === 'stop') expect(links[i]!.status).toMatchObject({ state: 'parked', fault: { code: fault } })
      else expect(links[i]!.status.state, `${code}`).toBe('live')
      if (theirs === 'stop') expect(clients.events(i).some(({ event }) => event === 'error')).toBe(true)
    }
    // where they differ, we try the session that there may be; Discord says if there is none
    expect(rows.filter(({ theirs, ours }) => theirs !== ours).map(({ code }) => code)).toEqual([4008])
  }, 30_000)

  it('E1: what is sent while a session is resumed is delivered by our link, and never written by @discordjs/ws', async () => {
    const [theirs, ours] = [await platform(), await platform()]
    const clients = await clientsOf([theirs])
    const link = linkTo(ours)
    await link.ready()
    await until(() => expect(clients.events(0).some(({ event }) => event === 'ready')).toBe(true))
    for (const own of [theirs, ours]) {
      own.resumes = 'held'
      own.closeAll(4000)
    }
    await until(() => expect([theirs.count('resume'), ours.count('resume')]).toEqual([1, 1]))
    clients.send(0, PRESENCE)
    const receipt = link.send(PRESENCE as never)
    await pause(200)
    expect(ours.count('command')).toBe(0)
    for (const own of [theirs, ours]) own.answerResumes()

    expect(await receipt).toMatchObject({ fate: 'delivered' })
    expect(ours.of('command').map(({ frame }) => frame)).toEqual([PRESENCE])
    await until(() => expect(clients.events(0).some(({ event }) => event === 'resumed')).toBe(true))
    await pause(3_000)
    expect(await clients.status(0)).toBe('Ready')
    expect(theirs.count('command')).toBe(0)
  }, 30_000)

  it('E2, R38: a RESUME that is never answered ends in a new session, and with @discordjs/ws never', async () => {
    const [theirs, ours] = [await platform(300), await platform(300)]
    const clients = await clientsOf([theirs])
    const link = linkTo(ours, { deadlines: { resumeMs: 300 } })
    await link.ready()
    await until(() => expect(clients.events(0).some(({ event }) => event === 'ready')).toBe(true))
    for (const own of [theirs, ours]) {
      own.resumes = 'held'
      own.closeAll(4000)
    }
    await until(() => expect(ours.count('identify')).toBe(2), 20_000)
    await link.ready()
    expect(ours.count('resume')).toBe(3)
    expect(ours.of('resume').every(({ session }) => session === 's1')).toBe(true)
    expect([theirs.count('resume'), theirs.count('identify'), await clients.status(0)]).toEqual([1, 1, 'Resuming'])
    expect(theirs.of('beat').length).toBeGreaterThan(5)
  }, 40_000)

  it('what was missed comes after the resume, in order and once, for both', async () => {
    const [theirs, ours] = [await platform(), await platform()]
    const clients = await clientsOf([theirs])
    const link = linkTo(ours)
    const got: string[] = []
    link.inbound$.subscribe((event) => void got.push((event as { t: string }).t))
    link.continuity$.subscribe(({ kind }) => void got.push(`<${kind}>`))
    await link.ready()
    await until(() => expect(clients.events(0).some(({ event }) => event === 'ready')).toBe(true))
    for (const own of [theirs, ours]) {
      own.say('ONE', {})
      own.closeAll('destroy')
      own.say('TWO', {})
      own.say('THREE', {})
    }
    const dispatched = () => clients.events(0).flatMap(({ event, more }) => (event === 'dispatch' ? [more] : []))
    await until(() => expect(dispatched().at(-1)).toBe('RESUMED'))
    await until(() => expect(got.at(-1)).toBe('<recovered>'))
    const all = ['READY', 'ONE', 'TWO', 'THREE', 'RESUMED']
    expect(dispatched()).toEqual(all)
    expect(got).toEqual(['<new>', ...all, '<recovered>'])
    expect(ours.of('resume').map(({ session }) => session)).toEqual(['s1'])
    for (const own of [theirs, ours]) {
      expect(own.of('connect').map(({ path }) => path.split('?')[0])).toEqual(['/', '/resume'])
      for (const { path } of own.of('connect')) expect(path).toMatch(/[?&]v=10&encoding=json$/)
    }
  }, 30_000)

  it('beats are answered, and both clients come back to a session when op 7 says so, or op 9 allows it', async () => {
    const [theirs, ours] = [await platform(1_000), await platform(1_000)]
    const clients = await clientsOf([theirs])
    const link = linkTo(ours)
    const sides = [theirs, ours]
    await until(() => expect(sides.map((own) => own.count('beat') > 1)).toEqual([true, true]))
    for (const own of sides) expect(own.of('beat').at(-1)!.frame).toEqual({ op: 1, d: 1 })
    for (const own of sides) own.tellAll({ op: 7, d: null })
    await until(() => expect(sides.map((own) => own.count('resume'))).toEqual([1, 1]))
    await until(() => expect(clients.events(0).some(({ event }) => event === 'resumed')).toBe(true))
    await link.ready()
    for (const own of sides) own.resumes = 'invalid-but-resumable'
    for (const own of sides) own.closeAll(4000)
    await until(() => expect(sides.map((own) => own.count('resume') >= 2)).toEqual([true, true]))
    // the real client asks again on the same socket, without a wait; our link dials again, a second later at least
    await until(() => expect(ours.count('resume')).toBe(3))
    expect(theirs.count('resume')).toBeGreaterThan(50)
    for (const own of sides) own.resumes = 'answered'
    await until(() => expect(link.status.state).toBe('live'))
    await until(() => expect(theirs.of('resume').at(-1)!.connection).toBe(theirs.count('connect')))
    const times = ours.of('resume').map(({ at }) => at)
    expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(1_000)
    expect(sides.map((own) => own.count('identify'))).toEqual([1, 1])
    // none of our own closes ended the session
    expect(ours.of('close').map(({ code }) => code)).not.toContain(1000)
  }, 30_000)

  it('no answer to a beat: @discordjs/ws closes with 4200 and resumes, and so does our link when nothing else comes', async () => {
    const [theirs, ours] = [await platform(400), await platform(1_000)]
    await clientsOf([theirs])
    linkTo(ours, { heartbeat: { answerMinMs: 200, answerMaxMs: 400 }, deadlines: { graceMs: 200 } })
    await until(() => expect([theirs.count('beat') > 0, ours.count('beat') > 0]).toEqual([true, true]))
    for (const own of [theirs, ours]) own.acks = false
    await until(() => expect([theirs.count('resume') > 0, ours.count('resume') > 0]).toEqual([true, true]))
    expect(theirs.of('close')[0]).toMatchObject({ code: 4200 })
    // a transport that is given up is cut, which Discord sees as a broken connection: the session stays
    expect(ours.of('close')[0]).toMatchObject({ code: 1006 })
    expect([theirs.count('identify'), ours.count('identify')]).toEqual([1, 1])
  }, 30_000)

  it('op 9: a session that is gone is followed by exactly one new one, by both', async () => {
    const [theirs, ours] = [await platform(), await platform()]
    await clientsOf([theirs])
    const link = linkTo(ours)
    const sides = [theirs, ours]
    await until(() => expect(sides.map((own) => own.sessions.size)).toEqual([1, 1]))
    await link.ready()
    for (const own of sides) {
      own.sessions.clear()
      own.closeAll(4000)
    }
    await until(() => expect(sides.map((own) => own.count('identify'))).toEqual([2, 2]))
    await pause(500)
    expect(sides.map((own) => own.count('resume'))).toEqual([1, 1])
    expect(sides.map((own) => own.count('identify'))).toEqual([2, 2])
  }, 30_000)
})
