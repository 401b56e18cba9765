/**
 * The Bot API, as @satorijs/adapter-telegram 4.5.11 and our link meet it: the same fake for both, side by side. The real client
 * judges the fake; what it does in trouble is what incident 1 records, and the tests say what was observed.
 */
import { afterAll, expect, it, vi } from 'vitest'
import { telegram } from '../../src/adapter/telegram.ts'
import { connect, type Link } from '../../src/link.ts'
import { BotApi, type Mishap, refusal, serveBotApi, TOKEN, tooMany, unauthorized } from './bot-api.ts'
import { startTelegramClients } from './processes.ts'

const open: (() => unknown)[] = []
afterAll(async () => {
  for (const end of open.reverse()) await end()
})

interface Case {
  readonly method: string
  readonly mishap: Mishap
  /** Once, or from then on. */
  readonly times: number
}

/** What goes wrong with each API; with the first nothing does. */
const cases = {
  healthy: undefined,
  'getMe fails once': { method: 'getMe', mishap: refusal(500, 'Internal Server Error: restart'), times: 1 },
  'wait for 30 s': { method: 'getUpdates', mishap: tooMany(30), times: 99 },
  'the token is revoked': { method: 'getUpdates', mishap: unauthorized, times: 99 },
  'somebody else polls': {
    method: 'getUpdates',
    mishap: refusal(409, 'Conflict: terminated by other getUpdates request'),
    times: 99,
  },
  'a poll stalls': { method: 'getUpdates', mishap: 'silence', times: 99 },
} as const satisfies Record<string, Case | undefined>
const names = Object.keys(cases) as (keyof typeof cases)[]

const side = async () => {
  const apis = names.map(() => new BotApi())
  const servers = await Promise.all(apis.map((api) => serveBotApi(api)))
  for (const server of servers) open.push(() => server.stop())
  for (const api of apis) api.receive('early')
  const of = (name: keyof typeof cases) => apis[names.indexOf(name)]!
  /** Trouble with polls begins when the first two were answered, so the real client is online by then. */
  for (const name of names) {
    const trouble: Case | undefined = cases[name]
    if (trouble?.method === 'getMe') of(name).fail('getMe', trouble.mishap, trouble.times)
  }
  const spoil = () => {
    for (const name of names) {
      const trouble: Case | undefined = cases[name]
      if (trouble?.method !== 'getUpdates') continue
      of(name).failAlways('getUpdates', trouble.mishap)
      // the poll that is open ends by news
      of(name).receive('news')
    }
  }
  return { apis, urls: servers.map(({ url }) => url), of, spoil }
}

/** Longer than the 5 s after which the real client polls again. */
const LOOK_MS = 6_500

const pollsAfter = (api: BotApi, at: number) => api.of('getUpdates').filter((asked) => asked.at > at)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const until = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 20 })

it.concurrent('the real client comes online, drops what was pending, and follows none of the answers; our link follows each', async () => {
  const [theirs, ours] = [await side(), await side()]
  const clients = await startTelegramClients({ token: TOKEN, endpoints: theirs.urls })
  open.push(() => clients.stop())
  const links = ours.urls.map((apiRoot) => connect(telegram({ token: TOKEN, apiRoot }), { proxy: false }) as Link)
  const got = links.map((link) => {
    open.push(() => link.stop({ drainMs: 0 }))
    const texts: string[] = []
    link.inbound$.subscribe((update) => void texts.push((update as { message: { text: string } }).message.text))
    return texts
  })
  clients.start()
  const client = (name: keyof typeof cases) => names.indexOf(name)
  const status = (name: keyof typeof cases) => clients.statuses(client(name)).at(-1)
  const link = (name: keyof typeof cases) => links[client(name)]!
  await until(() => {
    for (const name of names)
      expect([name, status(name)]).toEqual([name, name === 'getMe fails once' ? 'connect' : 'online'])
    for (const each of links) expect(each.status.state).toBe('live')
  })
  for (const { of } of [theirs, ours])
    await until(() => expect(of('healthy').count('getUpdates')).toBeGreaterThanOrEqual(2))
  await pause(300)
  for (const each of [theirs, ours]) {
    each.spoil()
    each.of('healthy').receive('hello')
  }
  const at = performance.now()
  await pause(LOOK_MS)
  console.log(
    [
      'Bot API | @satorijs/adapter-telegram 4.5.11: status, polls in 6.5 s | holdfast: state, fault, polls',
      ...names.map((name) => {
        const { state, fault } = link(name).status
        const polls = [theirs, ours].map(({ of }) => pollsAfter(of(name), at).length)
        return `${name} | ${status(name)}, ${polls[0]} | ${state}, ${fault?.code ?? '-'}, ${polls[1]}`
      }),
    ].join('\n'),
  )

  // pending updates: theirs are gone, ours were delivered
  expect(clients.heard(0)).toEqual(['hello'])
  expect(got[0]).toEqual(['early', 'hello'])
  // one question, and never another
  expect(theirs.of('getMe fails once').asked.map(({ method }) => method)).toEqual(['getMe'])
  expect([status('getMe fails once'), link('getMe fails once').status.state]).toEqual(['connect', 'live'])
  // every 5 s, whatever was answered
  for (const name of ['wait for 30 s', 'the token is revoked', 'somebody else polls'] as const) {
    const polls = theirs.of(name).of('getUpdates').slice(-2)
    expect(pollsAfter(theirs.of(name), at).length, name).toBeGreaterThanOrEqual(2)
    expect(polls[1]!.at - polls[0]!.at, name).toBeGreaterThan(4_900)
    expect(status(name)).toBe('reconnect')
  }
  expect(pollsAfter(ours.of('wait for 30 s'), at)).toHaveLength(1)
  expect(link('wait for 30 s').status).toMatchObject({
    state: 'backoff',
    fault: { code: 'throttled', retryAfterMs: 30_000 },
  })
  expect(pollsAfter(ours.of('the token is revoked'), at)).toHaveLength(1)
  expect(link('the token is revoked').status).toMatchObject({
    state: 'parked',
    fault: { code: 'credentials-rejected' },
  })
  const reasons = () => link('somebody else polls').recording.kept.map(({ reason }) => reason)
  await until(() => expect(reasons()).toContain('poll-conflict'))
  // it says online for ever; what ours says after 35 s is a test in virtual time
  expect(status('a poll stalls')).toBe('online')
}, 40_000)

it.concurrent('incident 1.7 over real sockets: a poll that stalls loses its socket, and calls that are refused harm nothing', async () => {
  const api = new BotApi()
  const server = await serveBotApi(api)
  open.push(() => server.stop())
  const link = connect(telegram({ token: TOKEN, apiRoot: server.url, pollMs: 1_000, overdueMs: 400 }), { proxy: false })
  open.push(() => link.stop({ drainMs: 0 }))
  link.inbound$.subscribe()
  await link.ready()
  api.fail('sendMessage', tooMany(7))
  const refused = await link.call('sendMessage', { chat_id: 1, text: 'one' }).catch((error) => error)
  expect(refused).toMatchObject({ code: 'refused', message: expect.stringContaining('retry after 7') })
  expect(await link.call('sendMessage', { chat_id: 1, text: 'two' })).toMatchObject({ message_id: 1 })
  expect(await link.send({ chat_id: 1, text: 'three' })).toMatchObject({ fate: 'delivered' })
  expect(link.status.state).toBe('live')

  api.failAlways('getUpdates', 'silence')
  api.receive('news')
  await until(() => expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'answer-timeout' } }))
  await until(() => expect(server.open).toBe(0))
  api.failAlways('getUpdates', undefined)
  await link.ready()
  await until(() => expect(api.pending).toEqual([]))
  // half an answer, and then the connection breaks
  api.fail('getUpdates', 'half')
  api.receive('more')
  await until(() => expect(link.recording.kept.filter(({ to }) => to === 'backoff')).toHaveLength(2))
  await link.ready()
  await until(() => expect(api.pending).toEqual([]))
}, 30_000)
