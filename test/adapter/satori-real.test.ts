/** The Satori adapter and the whole engine against a real server: Koishi with @satorijs/server, in a process of its own. */
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { StateName } from '../../machines/link.ts'
import type { Cursor, InboundMark, Welcome } from '../../src/adapter/adapter.ts'
import { type SatoriCalls, type SatoriEvent, type SatoriMessage, satori } from '../../src/adapter/satori.ts'
import { connect, type Link } from '../../src/link.ts'
import { secret } from '../../src/secret.ts'
import { type SatoriServer, startSatoriServer } from '../peers/processes.ts'
import { stage } from './fake-io.ts'

type SatoriLink = Link<SatoriEvent, SatoriMessage, SatoriCalls>

const servers: SatoriServer[] = []
const links: SatoriLink[] = []

afterEach(async () => {
  for (const link of links.splice(0)) await link.stop({ drainMs: 0 })
  for (const server of servers.splice(0)) await server.stop()
})

const start = async (): Promise<SatoriServer> => {
  const server = await startSatoriServer({ token: 'right-token' })
  servers.push(server)
  return server
}

const hold = ({ url }: SatoriServer, token = 'right-token'): SatoriLink => {
  const link = connect(satori({ url, token }), { id: 'satori' })
  links.push(link)
  return link
}

/** The adapter's dialogue on a socket of its own: what it says of its session, without what an engine makes of it. */
const converse = async ({ url }: SatoriServer, cursor?: Cursor) => {
  const { dialogue, asked } = stage(satori({ url, token: 'right-token' }), cursor === undefined ? {} : { cursor })
  const socket = new WebSocket(url)
  await once(socket, 'open')
  const flush = () => {
    for (const [what, frame] of asked.splice(0)) what === 'send' ? socket.send(String(frame)) : said.push([what, frame])
  }
  const said: unknown[][] = []
  const marks: InboundMark[] = []
  socket.on('message', (data) => {
    dialogue.frame(String(data))
    for (const [what, , mark] of asked) if (what === 'deliver') marks.push(mark as InboundMark)
    flush()
  })
  dialogue.opened!()
  flush()
  const heard = (what: string, count = 1) =>
    expect
      .poll(() => said.filter(([name]) => name === what).length, { timeout: READY_MS })
      .toBeGreaterThanOrEqual(count)
  const resumed = () => said.filter(([what]) => what === 'welcome').map(([, given]) => (given as Welcome).resumed)
  return { marks, heard, resumed, close: () => socket.terminate() }
}

const READY_MS = 20_000
const ready = (link: SatoriLink) => link.ready({ signal: AbortSignal.timeout(READY_MS) })

const reaches = (link: SatoriLink, states: readonly StateName[]) =>
  expect.poll(() => states.includes(link.status.state), { timeout: READY_MS, interval: 10 }).toBe(true)

const events = (link: SatoriLink): SatoriEvent[] => {
  const seen: SatoriEvent[] = []
  link.inbound$.subscribe((event) => seen.push(event))
  return seen
}

describe('a real Satori server', () => {
  it('is held: events arrive, calls are answered, messages are sent, refusals are told', async () => {
    const server = await start()
    const link = hold(server)
    const seen = events(link)
    await ready(link)
    server.receive('hello bot')
    await expect
      .poll(() => seen.find(({ type }) => type === 'message-created'), { timeout: 5_000 })
      .toMatchObject({
        message: { content: 'hello bot' },
        user: { id: '100' },
      })
    const as = server.login
    expect(await link.call('login.get', { as })).toMatchObject({ platform: 'mock', status: 1 })
    const receipt = await link.send({ ...as, channelId: '200', content: 'hello <b>you</b>' })
    expect(receipt).toMatchObject({ fate: 'delivered', result: [{ content: expect.stringContaining('hello') }] })
    await expect.poll(() => server.sent).toEqual([{ channelId: '200', content: expect.stringContaining('hello') }])
    await expect(link.call('no.such.method', { as })).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('HTTP 404'),
    })
    expect(link.stats.frames).toMatchObject({ malformed: 0, unknown: 0, failed: 0 })
  })

  it('that is killed is noticed at once; restarted, it is live again', async () => {
    const server = await start()
    const link = hold(server)
    const seen = events(link)
    await ready(link)
    const killedAt = performance.now()
    await server.kill()
    await reaches(link, ['backoff', 'resolving', 'connecting'])
    expect(performance.now() - killedAt).toBeLessThan(1_000)
    await server.restart()
    await ready(link)
    server.receive('after the restart')
    await expect.poll(() => seen.at(-1)?.message, { timeout: 5_000 }).toMatchObject({ content: 'after the restart' })
    await expect(link.call('login.get', { as: server.login })).resolves.toMatchObject({ platform: 'mock' })
  })

  it('that is frozen is noticed by a waiting call; continued, it is live again', async () => {
    const server = await start()
    const link = hold(server)
    await ready(link)
    server.freeze()
    const frozenAt = performance.now()
    const call = link.call('login.get', { as: server.login }, { withinMs: 6_000 }).catch((reason: unknown) => reason)
    await reaches(link, ['degraded.suspect', 'backoff'])
    expect(performance.now() - frozenAt).toBeLessThan(4_500)
    expect(await call).toMatchObject({ code: 'uncertain' })
    await reaches(link, ['backoff', 'resolving', 'connecting', 'handshaking'])
    server.thaw()
    await ready(link)
    await expect(link.call('login.get', { as: server.login })).resolves.toMatchObject({ platform: 'mock' })
  }, 60_000)

  it('whose login goes offline leaves the link impaired, not dialing', async () => {
    const server = await start()
    const link = hold(server)
    await ready(link)
    server.setStatus(0)
    await reaches(link, ['degraded.impaired'])
    expect(link.status.fault).toMatchObject({ code: 'account-offline' })
    server.setStatus(1)
    await reaches(link, ['live'])
    expect(link.recording.kept.filter(({ event }) => event === 'transport.opened')).toHaveLength(1)
  })

  it('replays nothing and counts from the beginning: no id comes twice, and nothing is said to be resumed', async () => {
    const server = await start()
    const first = await converse(server)
    await first.heard('welcome')
    server.receive('one')
    server.receive('two')
    await first.heard('deliver', 2)
    first.close()
    server.receive('missed')
    const cursor = first.marks.at(-1)!.cursor!
    expect(cursor).toMatch(/^\d+:/)

    const again = await converse(server, cursor)
    await again.heard('welcome')
    again.close()

    await server.restart()
    const anew = await converse(server, cursor)
    await anew.heard('welcome')
    server.receive('three')
    server.receive('four')
    await anew.heard('deliver', 2)
    anew.close()

    const marks = [...first.marks, ...anew.marks]
    const positions = marks.map(({ cursor }) => Number.parseInt(String(cursor), 10))
    expect(new Set(positions).size).toBeLessThan(positions.length)
    expect(new Set(marks.map(({ id }) => id)).size).toBe(marks.length)
    expect([first, again, anew].flatMap(({ resumed }) => resumed())).toEqual([false, false, false])
  })

  it('is let in by a token from a provider, which its calls carry too', async () => {
    const server = await start()
    let asked = 0
    const token = async () => {
      asked++
      return { token: secret('right-token'), expiresInMs: 3_600_000 }
    }
    const link = connect(satori({ url: server.url, token }), { id: 'satori' })
    links.push(link)
    await ready(link)
    await expect(link.call('login.get', { as: server.login })).resolves.toMatchObject({ platform: 'mock' })
    expect(asked).toBe(1)
  })

  it('that rejects the token parks the link at the first attempt, with the advice', async () => {
    const link = hold(await start(), 'wrong-token')
    const error = await ready(link).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'parked', fault: { code: 'credentials-rejected' } })
    expect(String(error)).toContain('Correct the token, then resume the link.')
    expect(link.status).toMatchObject({ state: 'parked', attempt: 1 })
    expect(link.explain({ language: 'zh' }).text).toContain('更正令牌')
    expect(JSON.stringify([link.recording, error])).not.toContain('wrong-token')
  })
})
