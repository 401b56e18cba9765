/** Discord's gateway as a dialogue: frames in, and what the adapter makes of them. */
import { describe, expect, it } from 'vitest'
import {
  checkAdapter,
  type FrameOutgoing,
  type Session,
  type StartBudget,
  type Target,
} from '../../src/adapter/adapter.ts'
import { type DiscordOptions, discord, discordCloses } from '../../src/adapter/discord.ts'
import { sequelOf } from '../../src/adapter/gateway.ts'
import { HoldfastError } from '../../src/error.ts'
import { isAllowedEndpoint } from '../../src/net/endpoints.ts'
import { secret } from '../../src/secret.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { stage } from './fake-io.ts'
import {
  ACK,
  dispatch,
  greeted,
  hello,
  INTERVAL_MS,
  inside,
  invalid,
  memoryBudget,
  RECONNECT,
  ready,
  resumed,
  sent,
} from './gateway-frames.ts'

const TOKEN = 'MTAw.canary.0123456789'
const signal = new AbortController().signal
const options = { token: TOKEN, intents: 513, budget: memoryBudget() } as const
const adapter = (more: Partial<DiscordOptions> = {}) => discord({ ...options, ...more })
const SESSION: Session = { id: 'S1', cursor: 41 }

describe('the target', () => {
  const targetOf = async (more: Partial<DiscordOptions> = {}) => (await adapter(more).target({ signal })) as Target

  it('is the fixed URL, with version and encoding; the token is a secret of it, and in no header', async () => {
    expect(await targetOf()).toEqual({ url: 'wss://gateway.discord.gg/?v=10&encoding=json', secrets: [TOKEN] })
    expect(await targetOf({ token: secret(TOKEN) })).toMatchObject({ secrets: [TOKEN] })
  })

  it('may be another one', async () => {
    expect((await targetOf({ url: 'ws://127.0.0.1:9000/?v=9&x=1' })).url).toBe(
      'ws://127.0.0.1:9000/?v=10&x=1&encoding=json',
    )
  })

  it('has a token that may be renewed if a provider gives it', async () => {
    const token = async () => ({ token: TOKEN, expiresAt: 1_800_000_000_000 })
    expect(await targetOf({ token })).toMatchObject({ renewable: true, expiresAt: 1_800_000_000_000 })
  })

  it.each([
    [undefined, ['discord.gg']],
    ['wss://gateway-us-east1-b.discord.gg/', ['discord.gg']],
    ['wss://evildiscord.gg/', undefined],
    ['wss://proxy.example/', undefined],
    ['ws://127.0.0.1:9000/', ['127.0.0.1:9000']],
    ['ws://[::1]:9000/', ['[::1]:9000']],
    ['ws://localhost/', undefined],
    ['ws://gateway.example:9000/', undefined],
  ])('%s is resumed at %j', (url, hosts) => {
    const { resumeHosts } = adapter(url === undefined ? {} : { url })
    expect(resumeHosts).toEqual(hosts)
    const scheme = url?.startsWith('ws:') ? 'ws' : 'wss'
    if (resumeHosts) expect(() => isAllowedEndpoint('wss://x/', { hosts: resumeHosts, scheme })).not.toThrow()
  })
})

describe('the handshake', () => {
  it('waits for hello, then identifies and says how often it wants to be probed', () => {
    const own = stage(adapter())
    own.dialogue.opened?.()
    expect(own.asked).toEqual([])
    own.tell(hello())
    expect(own.asked[0]).toEqual(['heartbeat', { everyMs: INTERVAL_MS }])
    const properties = { os: process.platform, browser: 'holdfast', device: 'holdfast' }
    expect(sent(own)).toEqual([{ op: 2, d: { token: TOKEN, intents: 513, properties } }])
  })

  it('says what the options say', () => {
    const properties = { os: 'a', browser: 'b', device: 'c' }
    const more = { shard: [3, 8], presence: { status: 'idle' }, properties } as const
    expect(sent(greeted(adapter(more)))).toEqual([{ op: 2, d: { token: TOKEN, intents: 513, ...more } }])
  })

  it('ends with READY: what to resume next time, and where', () => {
    const own = greeted(adapter())
    const frame = ready('S1', { resume_gateway_url: 'wss://gateway-us-east1-b.discord.gg', user: { id: '1' } })
    const session = { id: 'S1', endpoint: 'wss://gateway-us-east1-b.discord.gg?v=10&encoding=json' }
    expect(own.tell(frame)).toEqual([
      ['welcome', { session }],
      ['deliver', frame, { id: '1', cursor: 1 }],
    ])
  })

  it.each([
    undefined,
    null,
    7,
    {},
    '',
    'not a url',
    `wss://discord.gg/${'x'.repeat(2_048)}`,
  ])('takes %j for no place to resume at', (resume_gateway_url) => {
    expect(greeted(adapter()).tell(ready('S1', { resume_gateway_url }))[0]).toEqual([
      'welcome',
      { session: { id: 'S1' } },
    ])
  })

  it('happens once: another hello is a rhythm, another READY an event', () => {
    const own = inside(adapter())
    expect(own.tell(hello(5_000))).toEqual([['heartbeat', { everyMs: 5_000 }]])
    expect(own.tell(ready('S2')).map(([what]) => what)).toEqual(['deliver'])
  })

  it('knows nothing of a dispatch that comes before it', () => {
    const { dialogue, asked } = stage(adapter(), SESSION)
    expect([ready(), resumed(42), dispatch(42)].map((frame) => dialogue.frame(JSON.stringify(frame)))).toEqual([
      'unknown',
      'unknown',
      'unknown',
    ])
    expect(asked).toEqual([])
    const identifying = greeted(adapter())
    expect(identifying.dialogue.frame(JSON.stringify(dispatch(2)))).toBe('unknown')
  })
})

describe('a session', () => {
  it('is resumed from what the user took last', () => {
    expect(sent(greeted(adapter(), SESSION))).toEqual([{ op: 6, d: { token: TOKEN, session_id: 'S1', seq: 41 } }])
  })

  it('R24: is resumed also when nothing was taken', () => {
    expect(sent(greeted(adapter(), { id: 'S1' }))[0]).toMatchObject({ op: 6, d: { seq: 0 } })
  })

  it('is welcomed with what was missed, and caught up with RESUMED', () => {
    const own = greeted(adapter(), SESSION)
    const frames = [dispatch(42), dispatch(43), resumed(44)]
    expect(frames.flatMap((frame) => own.tell(frame))).toEqual([
      ['welcome', { resumed: true, replaying: true }],
      ['deliver', frames[0], { id: '42', cursor: 42 }],
      ['deliver', frames[1], { id: '43', cursor: 43 }],
      ['deliver', frames[2], { id: '44', cursor: 44 }],
      ['caughtUp'],
    ])
  })

  it('with nothing missed is welcomed with RESUMED', () => {
    const asked = greeted(adapter(), SESSION).tell(resumed(42))
    expect(asked.map(([what]) => what)).toEqual(['welcome', 'deliver', 'caughtUp'])
  })

  it('that is answered with READY is a new one', () => {
    expect(greeted(adapter(), SESSION).tell(ready('S2'))[0]).toEqual(['welcome', { session: { id: 'S2' } }])
  })

  it.each([Number.NaN, 2 ** 53, -1, 0.5, '42', null, undefined, {}])('is not resumed by a dispatch at %j', (s) => {
    const own = greeted(adapter(), SESSION)
    own.asked.length = 0
    expect(own.dialogue.frame(JSON.stringify(dispatch(s)))).toBe('malformed')
    expect(own.asked).toEqual([])
  })
})

describe('dispatches', () => {
  it('are delivered as they came, each with its place', () => {
    const frame = { ...dispatch(7), extra: true }
    expect(inside(adapter()).tell(frame)).toEqual([['deliver', frame, { id: '7', cursor: 7 }]])
  })

  it.each([2 ** 53, -1, 0.5, '7', null, undefined, {}])('at %j have no place', (s) => {
    expect(inside(adapter()).tell(dispatch(s))[0]?.[2]).toEqual({})
  })

  it.each([undefined, null, 7, {}])('named %j are malformed', (t) => {
    const { dialogue, asked } = inside(adapter())
    expect(dialogue.frame(JSON.stringify({ op: 0, s: 2, d: {}, t }))).toBe('malformed')
    expect(asked).toEqual([])
  })
})

describe('the heartbeat', () => {
  const beatOf = (own: ReturnType<typeof stage>) => JSON.parse(String(own.dialogue.probe!('p1')))

  it('says the last sequence number that came over this transport', () => {
    const own = greeted(adapter())
    expect(beatOf(own)).toEqual({ op: 1, d: null })
    own.tell(ready())
    own.tell(dispatch(9))
    own.tell(dispatch('rubbish'))
    expect(beatOf(own)).toEqual({ op: 1, d: 9 })
    expect(beatOf(greeted(adapter()))).toEqual({ op: 1, d: null })
    expect(beatOf(greeted(adapter(), SESSION))).toEqual({ op: 1, d: 41 })
  })

  it('R32: is given at once when Discord asks for it, and its ack changes nothing', () => {
    const own = inside(adapter())
    own.tell(dispatch(3))
    expect(own.tell({ op: 1, d: null })).toEqual([['send', '{"op":1,"d":3}']])
    expect(own.tell(ACK)).toEqual([])
  })

  it.each([
    null,
    undefined,
    '41250',
    {},
    [41_250],
    true,
  ])('at an interval of %j is no hello, and nobody identifies', (ms) => {
    const { dialogue, asked } = stage(adapter())
    expect(dialogue.frame(JSON.stringify({ op: 10, d: { heartbeat_interval: ms } }))).toBe('malformed')
    expect(asked).toEqual([])
  })
})

describe('goodbyes', () => {
  it('op 7 is a wish to see us elsewhere', () => {
    expect(inside(adapter()).tell(RECONNECT)).toEqual([['leaving', expect.stringContaining('op 7')]])
  })

  it('op 9 ends the session, unless it says that it may be resumed; the wait is the peer’s', () => {
    const retryAfterMs = 1_000
    const ended = ['fail', 'session-lost', { detail: 'invalid session (op 9)', retryAfterMs }]
    for (const d of [false, null, undefined, 'true', 1]) expect(inside(adapter()).tell(invalid(d))).toEqual([ended])
    expect(greeted(adapter(), SESSION).tell(invalid(false))).toEqual([ended])
    expect(greeted(adapter(), SESSION).tell(invalid(true))[0]).toMatchObject([
      'fail',
      'handshake-refused',
      { retryAfterMs },
    ])
    expect(inside(adapter()).tell(invalid(true))[0]).toMatchObject(['fail', 'peer-leaving', { retryAfterMs }])
  })

  it('a close code means what the table says, and nothing where it says nothing', () => {
    const { dialogue } = inside(adapter())
    for (const [code, fault] of Object.entries(discordCloses)) expect(dialogue.closed!(Number(code), '')).toBe(fault)
    for (const code of [1001, 1005, 1011, 4006, 4900]) expect(dialogue.closed!(code, '')).toBeUndefined()
  })

  it('Discord’s own list decides who stops: 4004 and 4010 to 4014, and no other', () => {
    const stops = Object.keys(discordCloses).filter((code) => sequelOf(discordCloses[Number(code)]) === 'stop')
    expect(stops).toEqual(['4004', '4010', '4011', '4012', '4013', '4014'])
  })

  it('ours keep the session when another process goes on with it', () => {
    expect([1000, 1001]).not.toContain(adapter().resumableClose)
    expect(() => checkAdapter(adapter())).not.toThrow()
  })
})

describe('what a bot sends', () => {
  const encode = (command: unknown) => adapter().encode!(command as never, 'k') as FrameOutgoing

  it('goes out as op and d', () => {
    expect(encode({ op: 3, d: { status: 'idle' }, x: 1 })).toEqual({ frame: '{"op":3,"d":{"status":"idle"}}' })
  })

  it('has 4,096 bytes at most, counted as bytes', () => {
    const rest = '{"op":8,"d":""}'.length
    expect(encode({ op: 8, d: 'x'.repeat(4_096 - rest) }).frame).toHaveLength(4_096)
    expect(() => encode({ op: 8, d: 'x'.repeat(4_097 - rest) })).toThrow('4097 bytes; Discord takes 4096')
    expect(() => encode({ op: 8, d: '中'.repeat(1_400) })).toThrow('4215 bytes')
  })

  it.each([0, 1, 2, 6, 7, 9, 10, 11])('is never op %d: that is the link’s', (op) => {
    expect(() => encode({ op, d: {} })).toThrow(`op ${op} is for the link`)
  })

  it.each([null, undefined, 7, {}, { op: '3' }, { op: Number.NaN }])('is not %j', (command) => {
    expect(() => encode(command)).toThrow('must be a number such as 3')
  })

  it('stays below 120 in a minute with eight heartbeats, one that is asked for, and the identify', () => {
    const { count, ms } = adapter().pace!
    expect(ms).toBe(60_000)
    expect(count + 8 + 1 + 1).toBeLessThanOrEqual(120)
  })
})

describe('session starts', () => {
  const waitOf = (given: Awaited<ReturnType<StartBudget['reserve']>>) => (given.exhausted ? Number.NaN : given.waitMs)
  const limit = (remaining: number, more: object = {}) => ({
    url: 'wss://gateway-x.discord.gg/',
    session_start_limit: { total: 1_000, remaining, reset_after: 3_600_000, max_concurrency: 1, ...more },
  })

  it('are counted in the bucket of the shard', () => {
    expect(adapter({ shard: [5, 16] }).starts!.bucket).toBe(5)
    expect(adapter().starts!.bucket).toBe(0)
  })

  it('R41: are not made when Discord says before the first that none is left', async () => {
    const own = adapter({ gateway: async () => limit(0), budget: memoryBudget() })
    expect(await own.starts!.budget.reserve(0)).toEqual({ exhausted: true, untilMs: 3_600_000 })
  })

  it('of several shards wait for each other as Discord says', async () => {
    const budget = memoryBudget(heapClock())
    const shards = [0, 1, 2].map((id) =>
      adapter({ shard: [id, 3], budget, gateway: () => limit(1_000, { max_concurrency: 2 }) }),
    )
    const waits = []
    for (const { starts } of shards) waits.push(waitOf(await starts!.budget.reserve(starts!.bucket)))
    expect(waits).toEqual([0, 0, 5_000])
  })

  it('are where Discord says that they should be, from then on', async () => {
    const own = adapter({ gateway: () => limit(1_000), budget: memoryBudget() })
    expect(await own.target({ signal })).toMatchObject({ url: expect.stringContaining('//gateway.discord.gg/') })
    await own.starts!.budget.reserve(0)
    expect(await own.target({ signal })).toMatchObject({ url: 'wss://gateway-x.discord.gg/?v=10&encoding=json' })
  })

  it.each([
    ['throws', async () => Promise.reject(new Error('HTTP 500'))],
    ['gives nothing', async () => undefined],
    ['gives no url', async () => ({ session_start_limit: {} })],
    ['gives a place that is not encrypted', async () => ({ url: 'ws://gateway.discord.gg/' })],
    ['gives a page', async () => ({ url: 'https://discord.com/' })],
  ])('wait when the function that asks Discord %s', async (_what, gateway) => {
    const budget = memoryBudget()
    await expect(adapter({ gateway: gateway as never, budget }).starts!.budget.reserve(0)).rejects.toThrow()
    expect(await budget.reserve()).toMatchObject({ waitMs: 0 })
  })

  it('T1: do not tell the token when the function that asks does', async () => {
    const gateway = async () => Promise.reject(new Error(`401 for Bot ${TOKEN}`))
    const asked = adapter({ gateway, budget: memoryBudget() }).starts!.budget.reserve(0)
    await expect(asked).rejects.toThrow('discord({ gateway }) failed: Error: 401 for Bot ***')
  })

  it('T6: are not confused by what is no number', async () => {
    for (const remaining of [null, '0', {}, Number.NaN]) {
      const own = adapter({
        gateway: () => limit(remaining as number, { max_concurrency: 'x' }),
        budget: memoryBudget(),
      })
      expect(await own.starts!.budget.reserve(0)).toMatchObject({ waitMs: 0 })
    }
  })

  it('can be taken along by the next process, and handed back', async () => {
    const first = adapter({ budget: memoryBudget() }).starts!.budget
    const reserved = await first.reserve(0)
    await first.reserve(0)
    if (!reserved.exhausted) await first.refund(reserved.ticket)
    const second = adapter({ budget: memoryBudget() }).starts!.budget
    await second.import!(await first.export!())
    expect(waitOf(await second.reserve(0))).toBe(10_000)
  })
})

describe('options', () => {
  it.each([
    [undefined, /intents of discord.* are undefined/],
    [{ token: TOKEN, intents: '513' }, /intents .* are a string/],
    [{ token: TOKEN, intents: -1 }, /intents .* number -1/],
    [{ token: '', intents: 1 }, /token .*is an empty string/],
    [{ token: 7, intents: 1 }, /token .*the number 7/],
    [{ token: TOKEN, intents: 1, shard: [1, 1] }, /shard .* must be \[id, count\]/],
    [{ token: TOKEN, intents: 1, shard: 0 }, /shard .* is the number 0/],
    [{ token: TOKEN, intents: 1, gateway: 'wss://x/' }, /gateway .* must be a function/],
    [{ token: TOKEN, intents: 1, url: 'https://discord.com' }, /begins with "https:"/],
    [{ token: TOKEN, intents: 1, intent: 1 }, /"intent" is not one of/],
    [{ token: async () => TOKEN, intents: 1 }, /Give discord\(\{ budget/],
  ])('that are wrong are refused at once, by name and without the token: %#', (given, problem) => {
    const make = () => discord(given as DiscordOptions)
    expect(make).toThrow(HoldfastError)
    expect(make).toThrow(problem)
    expect(make).not.toThrow(TOKEN)
  })

  it('may leave the budget out: making it touches no disk', () => {
    expect(() => checkAdapter(discord({ token: TOKEN, intents: 1 }))).not.toThrow()
  })
})
