/** T12: who is let in at a listener. Whoever is not is answered before the upgrade, and the link is not touched. */
import { afterEach, describe, expect, it } from 'vitest'
import { onebot } from '../../src/adapter/onebot.ts'
import { connect } from '../../src/link.ts'
import { listener } from '../../src/listen/listener.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { calling, closeAll, dialing, held, SELF_ID, TOKEN, until, upgradeText, waiting } from './callers.ts'

afterEach(closeAll)

const bearer = (token: string) => `Authorization: Bearer ${token}`
const selfId = `X-Self-ID: ${SELF_ID}`
const right = [bearer(TOKEN), selfId]

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0)

/** What is sent, the status it gets, and what the answer says of the reason. */
const refused: [what: string, lines: string[], status: number, reason: RegExp, path?: string][] = [
  ['no token', [selfId], 401, /missing/],
  ['an empty Authorization', ['Authorization:', selfId], 401, /missing/],
  ['a Bearer without a token', ['Authorization: Bearer ', selfId], 401, /missing/],
  ['another scheme', [`Authorization: Basic ${TOKEN}`, selfId], 401, /missing/],
  ['the token without a scheme', [`Authorization: ${TOKEN}`, selfId], 401, /missing/],
  ['a prefix of the token', [bearer(TOKEN.slice(0, -1)), selfId], 401, /wrong/],
  ['a longer token', [bearer(`${TOKEN}0`), selfId], 401, /wrong/],
  ['the token in capitals', [bearer(TOKEN.toUpperCase()), selfId], 401, /wrong/],
  ['one character that differs', [bearer(`d${TOKEN.slice(1)}`), selfId], 401, /wrong/],
  ['a token of 15,000 characters', [bearer('c'.repeat(15_000)), selfId], 401, /wrong/],
  ['letters that only look alike', [bearer(TOKEN.replace('c', '\u00e7')), selfId], 401, /wrong/],
  [
    'full-width letters in UTF-8',
    [bearer(Buffer.from('\uff43anary-0123456789').toString('latin1')), selfId],
    401,
    /wrong/,
  ],
  ['quotes around the token', [bearer(`"${TOKEN}"`), selfId], 401, /wrong/],
  ['a Bearer within a Bearer', [bearer(`Bearer ${TOKEN}`), selfId], 401, /wrong/],
  ['the right token twice', [bearer(TOKEN), ...right], 400, /twice/],
  ['a wrong token behind the right one', [...right, bearer('wrong')], 400, /twice/],
  ['the right token behind a wrong one', [bearer('wrong'), ...right], 400, /twice/],
  ['two accounts at once', [...right, 'X-Self-ID: 666'], 400, /twice/],
  ['the token in the query', [selfId], 401, /missing/, `/?access_token=${TOKEN}`],
  ['another account', [bearer(TOKEN), 'X-Self-ID: 10002'], 403, /no link waits for "10002"/],
  ['an account as a prefix', [bearer(TOKEN), 'X-Self-ID: 1000'], 403, /no link waits for "1000"/],
  ['no account', [bearer(TOKEN)], 400, /who it is/],
  ['an account that is no number', [bearer(TOKEN), 'X-Self-ID: __proto__'], 400, /who it is/],
  ['a connection for events alone', [...right, 'X-Client-Role: Event'], 400, /X-Client-Role/],
  ['another path', right, 404, /no link waits at this path/, '/admin'],
  ['a path above the root', right, 404, /no link waits at this path/, '/..%2f'],
]

describe('T12 an upgrade with', () => {
  it('is tried in 25 ways and more', () => expect(refused.length).toBeGreaterThanOrEqual(25))

  it.each(refused)('%s is refused before it is accepted', async (_what, lines, status, reason, path) => {
    const { link, port } = await waiting()
    const answer = await calling(port.port, upgradeText(lines, path)).answer
    expect(statusOf(answer)).toBe(status)
    expect(answer).toMatch(reason)
    expect(answer).not.toContain('Sec-WebSocket-Accept')
    expect(answer).not.toContain(TOKEN)
    expect(link.status.state).toBe('connecting')
    // and it has cost nobody anything
    expect(await dialing(port.port).status).toBe(101)
    await until(() => link.status.state === 'live')
  })

  it.each([
    ['Bearer', bearer(TOKEN)],
    ['the small letters of bearer', `authorization: bearer ${TOKEN}`],
    ['Token, as go-cqhttp says it', `Authorization: Token ${TOKEN}`],
  ])('the right token behind %s is accepted', async (_what, line) => {
    const { link, port } = await waiting()
    const call = calling(port.port, upgradeText([line, selfId]))
    await until(() => link.status.state === 'handshaking')
    call.socket.destroy()
  })

  it('a token in the query is accepted where that was asked for', async () => {
    const { port } = await waiting({}, {}, listener({ port: 0, token: TOKEN, queryToken: true }))
    expect(await dialing(port.port, {}, { path: `/?access_token=wrong` }).status).toBe(401)
    expect(await dialing(port.port, {}, { path: `/?access_token=${TOKEN}` }).status).toBe(101)
  })

  it.each([
    ['no key', upgradeText(right).replace(/Sec-WebSocket-Key.*\r\n/, '')],
    ['an old version', upgradeText(right).replace('Version: 13', 'Version: 7')],
    ['another protocol', upgradeText(right).replace('Upgrade: websocket', 'Upgrade: h2c')],
    ['another method', upgradeText(right).replace('GET', 'POST')],
  ])('%s is none', async (_what, text) => {
    const { link, port } = await waiting()
    expect(statusOf(await calling(port.port, text).answer)).toBe(400)
    expect(link.status.state).toBe('connecting')
  })
})

describe('T12 a listener', () => {
  it('looks at ten wrong tokens a minute from one address for one account, and lets others of that address in', async () => {
    const clock = heapClock()
    const port = listener({ port: 0, token: TOKEN, clock })
    const { link } = await waiting({}, {}, port)
    const other = held(connect(onebot({ listener: port, selfId: 10_002 })))
    for (let i = 0; i < 10; i++)
      expect(await dialing(port.port, { Authorization: `Bearer wrong${i}` }).status).toBe(401)
    const late = dialing(port.port)
    expect(await late.status).toBe(429)
    expect(late.headers['retry-after']).toBe('60')
    expect(await dialing(port.port, { Authorization: `Bearer ${TOKEN}`, 'X-Self-ID': '10002' }).status).toBe(101)
    await until(() => other.status.state === 'live')

    await clock.advance(60_001)
    expect(await dialing(port.port).status).toBe(101)
    await until(() => link.status.state === 'live')
  })

  it('cuts whoever does not finish its request, and a link beside it goes live meanwhile', async () => {
    const port = listener({ port: 0, token: TOKEN, requestMs: 300 })
    const { link } = await waiting({}, {}, port)
    const silent = calling(port.port)
    const slow = calling(port.port, 'GET / HTTP/1.1\r\nHost: x\r\n')
    const drip = setInterval(() => slow.socket.write('X-Drip: 1\r\n'), 50)
    expect(await dialing(port.port).status).toBe(101)
    await until(() => link.status.state === 'live')
    expect(statusOf(await slow.answer)).toBe(408)
    clearInterval(drip)
    await silent.answer
  })

  it('takes 1,000 upgrades at once: one peer is in, and nobody else is left', { timeout: 30_000 }, async () => {
    const { link, port } = await waiting()
    const wrong = Array.from({ length: 900 }, (_, i) =>
      dialing(port.port, { Authorization: 'Bearer wrong', 'X-Self-ID': `${20_000 + i}` }),
    )
    const same = Array.from({ length: 100 }, () => dialing(port.port))
    const statuses = await Promise.all([...wrong, ...same].map(({ status }) => status))
    const outside = statuses.slice(0, 900)
    expect(outside.filter((status) => status === 401)).toHaveLength(10)
    expect(outside.filter((status) => status === 429)).toHaveLength(890)
    await until(() => link.status.state === 'live')
    await until(() => same.filter(({ ws }) => ws.readyState === ws.OPEN).length === 1)
  })

  it('answers a request that is no upgrade, and has nothing at other paths', async () => {
    const { port } = await waiting()
    const get = async (path: string) => (await fetch(`http://127.0.0.1:${port.port}${path}`)).status
    expect([await get('/'), await get('/other')]).toEqual([426, 404])
  })
})
