/** QQ's gateway as a dialogue: where it differs from Discord's, whose frames it speaks. */
import { describe, expect, it } from 'vitest'
import { checkAdapter, type Session, type Target } from '../../src/adapter/adapter.ts'
import { sequelOf } from '../../src/adapter/gateway.ts'
import { type QqOptions, qq, qqCloses } from '../../src/adapter/qq.ts'
import { HoldfastError } from '../../src/error.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { type Stage, stage } from './fake-io.ts'
import { dispatch, greeted, hello, memoryBudget, RECONNECT, ready, resumed, sent } from './gateway-frames.ts'

const TOKEN = 'canary-0123456789'
const DAY_MS = 86_400_000
const signal = new AbortController().signal

const rig = (more: Partial<QqOptions> = {}) => {
  const clock = heapClock()
  return {
    clock,
    adapter: qq({ appId: '1020', token: TOKEN, intents: 1, budget: memoryBudget(clock), clock, ...more }),
  }
}

/** What the link keeps of a session that begins now. */
const begin = ({ adapter }: ReturnType<typeof rig>, cursor = 41): Session => {
  const [, welcome] = greeted(adapter).tell(ready('082ee18c'))[0]!
  return { ...(welcome as { session: Session }).session, cursor }
}

const judge = (own: Stage, code: number) => own.dialogue.closed!(code, '')

describe('the target', () => {
  it('is the fixed URL, with a token that may be renewed', async () => {
    const asked: string[] = []
    const { adapter } = rig({
      token: ({ because }) => {
        asked.push(because)
        return { token: TOKEN, expiresAt: 1_800_000_000_000 }
      },
    })
    expect(await adapter.target({ signal })).toEqual({
      url: 'wss://api.sgroup.qq.com/websocket/',
      secrets: [TOKEN],
      expiresAt: 1_800_000_000_000,
      renewable: true,
    })
    await adapter.target({ signal, rejected: true })
    expect(asked).toEqual(['attempt', 'rejected'])
    expect(sent(greeted(adapter))[0]).toMatchObject({ d: { token: `QQBot ${TOKEN}` } })
  })

  it('is what the platform says, once it was asked', async () => {
    const { adapter } = rig({ gateway: async () => ({ url: 'wss://sandbox.api.sgroup.qq.com/websocket' }) })
    await adapter.starts!.budget.reserve(0)
    expect(((await adapter.target({ signal })) as Target).url).toBe('wss://sandbox.api.sgroup.qq.com/websocket')
  })

  it('names no host of its own to resume at, and has nothing to send over the gateway', () => {
    const { adapter } = rig()
    expect(adapter.resumeHosts).toBeUndefined()
    expect(adapter.encode).toBeUndefined()
    expect(() => checkAdapter(adapter)).not.toThrow()
  })
})

describe('the handshake', () => {
  it('identifies with the token as QQ wants it, and with a shard', () => {
    expect(sent(greeted(rig().adapter))).toEqual([{ op: 2, d: { token: `QQBot ${TOKEN}`, intents: 1, shard: [0, 1] } }])
    expect(sent(greeted(rig({ shard: [1, 4] }).adapter))[0]).toMatchObject({ d: { shard: [1, 4] } })
  })

  it('resumes with the name that the platform gave, and goes on from what the user took last', () => {
    const own = rig()
    const session = begin(own)
    expect(sent(greeted(own.adapter, session))).toEqual([
      { op: 6, d: { token: `QQBot ${TOKEN}`, session_id: '082ee18c', seq: 41 } },
    ])
    const asked = greeted(own.adapter, session).tell(resumed(42))
    expect(asked.map(([what]) => what)).toEqual(['welcome', 'deliver', 'caughtUp'])
  })

  it('beats with d, null before the first dispatch', () => {
    const own = greeted(rig().adapter)
    expect(own.dialogue.probe!('p')).toBe('{"op":1,"d":null}')
    own.tell(ready())
    own.tell(dispatch(12))
    expect(own.dialogue.probe!('p')).toBe('{"op":1,"d":12}')
  })
})

describe('a session of a day', () => {
  const later = (clock: HeapClock, ms: number) => clock.advanceSync(ms)

  it('is not resumed: neither after a loss, nor by another process', () => {
    const own = rig()
    const session = begin(own)
    later(own.clock, DAY_MS - 1)
    expect(sent(greeted(own.adapter, session))[0]).toMatchObject({ op: 6 })
    later(own.clock, 1)
    const other = qq({ appId: '1020', token: TOKEN, intents: 1, budget: memoryBudget(), clock: own.clock })
    const late = greeted(other, session)
    expect(sent(late)).toEqual([])
    expect(late.asked.at(-1)).toMatchObject(['fail', 'session-lost', { detail: expect.stringContaining('too old') }])
  })

  it('ends at the cut that comes every half hour, if it will be a day old when we are back: without a dial in between', () => {
    const own = rig()
    const inside = greeted(own.adapter, begin(own))
    inside.tell(resumed(42))
    expect([judge(inside, 4009), judge(inside, 4008), judge(inside, 1006)]).toEqual([
      'closed-by-peer',
      'throttled',
      undefined,
    ])
    expect(inside.tell(RECONNECT)[0]![0]).toBe('leaving')
    later(own.clock, DAY_MS - 120_000)
    expect([4009, 4008, 1006].map((code) => judge(inside, code))).toEqual(Array(3).fill('session-lost'))
    expect(inside.tell(RECONNECT)[0]!.slice(0, 2)).toEqual(['fail', 'session-lost'])
    expect([judge(inside, 4914), judge(inside, 4004)]).toEqual(['account-banned', 'credentials-rejected'])
  })

  it('is told from one that began on this transport', () => {
    const own = rig()
    const old = begin(own)
    later(own.clock, DAY_MS - 121_000)
    const inside = greeted(own.adapter, old)
    inside.tell(ready('new'))
    later(own.clock, 100_000)
    expect(judge(inside, 4009)).toBe('closed-by-peer')
  })

  it.each(['082ee18c', '', '@', 'x@rubbish'])('without a time (%j) is too old', (id) => {
    const own = stage(rig().adapter, { id })
    own.tell(hello())
    expect(own.asked.at(-1)!.slice(0, 2)).toEqual(['fail', 'session-lost'])
  })

  it('may have an @ in its name, and a clock that is set back forgets nothing', () => {
    const own = rig()
    const session = { id: `a@b@${own.clock.wall() + DAY_MS * 30}` }
    expect(sent(greeted(own.adapter, session))[0]).toMatchObject({ op: 6, d: { session_id: 'a@b' } })
  })
})

describe('close codes', () => {
  it('mean what the table says', () => {
    const own = greeted(rig().adapter)
    own.tell(ready())
    for (const [code, fault] of Object.entries(qqCloses)) expect(judge(own, Number(code))).toBe(fault)
    for (const code of [1000, 1001, 4000, 4003, 4005, 4899, 4916]) expect(judge(own, code)).toBeUndefined()
  })

  it('are followed by what QQ’s own table says', () => {
    const followedBy = (sequel: string) =>
      Object.keys(qqCloses).filter((code) => sequelOf(qqCloses[Number(code)]) === sequel)
    expect(followedBy('resume')).toEqual(['4008', '4009'])
    expect(followedBy('identify')).toEqual(['4006', '4007', ...Array.from({ length: 14 }, (_, i) => String(4900 + i))])
    expect(followedBy('stop')).toEqual(['4001', '4002', '4004', '4010', '4011', '4012', '4013', '4014', '4914', '4915'])
  })
})

describe('options', () => {
  it.each([
    [undefined, /appId.* is undefined/],
    [{ appId: 1020 }, /appId.* is the number 1020/],
    [{ appId: '1020', token: TOKEN }, /intents of qq.* are undefined/],
    [{ appId: '1020', token: '', intents: 1 }, /token .*is an empty string/],
    [{ appId: '1020', token: TOKEN, intents: 1, shard: [2, 2] }, /shard of qq/],
    [{ appId: '1020', token: TOKEN, intents: 1, secret: 'x' }, /"secret" is not one of/],
    [{ appId: '1020', token: TOKEN, intents: 1, url: 'nowhere' }, /url of qq.* is not a URL/],
  ])('that are wrong are refused at once, by name and without the token: %#', (given, problem) => {
    const make = () => qq(given as QqOptions)
    expect(make).toThrow(HoldfastError)
    expect(make).toThrow(problem)
    expect(make).not.toThrow(TOKEN)
  })
})
