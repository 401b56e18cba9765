/** What a store saves over the end of a process: the messages that were accepted, their order, and the session. */
import { afterEach, describe, expect, test } from 'vitest'
import { memoryStore, type Store } from '../../src/store.ts'
import { RESUME_AT } from '../gateway.ts'
import { follow } from '../small-talk.ts'
import { beginLife, freshWorld, said } from './life.ts'

const KNOWN = 'gateway.test'
const RESUME_HOST = new URL(RESUME_AT).hostname

const warnings: string[] = []
const hear = (warning: Error) => void warnings.push(warning.message)
process.on('warning', hear)
afterEach(() => void warnings.splice(0))

/** Warnings are told in a later turn. */
const warned = async () => {
  await new Promise((resolve) => setImmediate(resolve))
  return warnings
}

describe('messages that were accepted', () => {
  test('are delivered by the next life, in order, and their fates are told as recovered', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    gateway.hosts[KNOWN] = 'refuses'
    const first = beginLife(world)
    const accepted = ['a1', 'b1', 'a2', 'b2', 'a3'].map((text) =>
      follow(first.link.send(text, { conversation: text[0]! }).accepted),
    )
    await clock.advance(1_000)
    expect(accepted.every(({ settled, error }) => settled && error === undefined)).toBe(true)
    first.kill()
    gateway.hosts[KNOWN] = 'fine'
    const second = beginLife(world)
    const newer = follow(second.link.send('a4', { conversation: 'a' }))
    await clock.advance(1_000)
    expect(newer.value).toMatchObject({ fate: 'delivered' })
    const texts = said(world)
    expect(texts.filter((text) => text.startsWith('a'))).toEqual(['a1', 'a2', 'a3', 'a4'])
    expect(texts.filter((text) => text.startsWith('b'))).toEqual(['b1', 'b2'])
    expect(second.fates.map(({ fate, recovered }) => [fate, recovered])).toEqual([
      ...Array.from({ length: 5 }, () => ['delivered', true]),
      ['delivered', false],
    ])
    await second.end()
    expect(await world.disk.entries('outbox/')).toEqual([])
  })

  test('and were not delivered within a drain of 0 go on too, over as many lives as it takes', async () => {
    const world = freshWorld()
    world.gateway.hosts[KNOWN] = 'refuses'
    for (const text of ['one', 'two', 'three']) {
      const life = beginLife(world)
      void life.link.send(text, { conversation: 'c' })
      await world.clock.advance(50)
      const stopped = follow(life.link.stop({ drainMs: 0 }))
      await world.clock.advance(0)
      expect(stopped.settled).toBe(true)
      expect(life.fates.every(({ fate }) => fate === 'uncertain')).toBe(true)
    }
    world.gateway.hosts[KNOWN] = 'fine'
    const last = beginLife(world)
    await world.clock.advance(1_000)
    expect(said(world)).toEqual(['one', 'two', 'three'])
    await last.end()
  })

  test('and may have been written are told as uncertain; with an idempotency key they are written again under it', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    gateway.hosts[KNOWN] = 'fine'
    const first = beginLife(world)
    await clock.advance(100)
    void first.link.send('once')
    void first.link.send('harmless', { idempotencyKey: 'k1' })
    await clock.advance(1)
    expect(said(world)).toEqual(['once', 'harmless'])
    first.kill()
    const second = beginLife(world)
    await clock.advance(1_000)
    expect(said(world)).toEqual(['once', 'harmless', 'harmless'])
    expect(gateway.heard.filter(({ key }) => key === 'k1')).toHaveLength(2)
    expect(second.fates.map(({ key, fate, recovered }) => [key === 'k1', fate, recovered])).toEqual([
      [false, 'uncertain', true],
      [true, 'delivered', true],
    ])
    await second.end()
  })

  test('and whose time ended in between are not sent any more', async () => {
    const world = freshWorld()
    world.gateway.hosts[KNOWN] = 'refuses'
    const first = beginLife(world)
    void first.link.send('stale', { withinMs: 5_000 })
    await world.clock.advance(100)
    first.kill()
    await world.clock.advance(60_000)
    world.gateway.hosts[KNOWN] = 'fine'
    const second = beginLife(world)
    await world.clock.advance(1_000)
    expect(said(world)).toEqual([])
    expect(second.fates).toMatchObject([{ fate: 'expired', recovered: true }])
    await second.end()
  })

  test('are those of their own link, whatever characters the ids have', async () => {
    const world = freshWorld()
    world.gateway.hosts[KNOWN] = 'refuses'
    const ids = ['bot', 'bot/1', 'bot%2F1', '机器人', 'half \ud83d pair']
    for (const id of ids) {
      const life = beginLife(world, { id })
      void life.link.send(id)
      await world.clock.advance(50)
      life.kill()
    }
    world.gateway.hosts[KNOWN] = 'fine'
    for (const [index, id] of ids.entries()) {
      const life = beginLife(world, { id })
      await world.clock.advance(1_000)
      expect(life.fates).toMatchObject([{ fate: 'delivered' }])
      expect(said(world).slice(index)).toEqual([id])
      await life.end()
    }
    expect(await warned()).toEqual([])
  })
})

describe('the session', () => {
  test('is resumed by the next life from the last message that was taken, without a gap', async () => {
    const world = freshWorld()
    const { clock, gateway } = world
    const first = beginLife(world)
    await clock.advance(100)
    gateway.say('one')
    gateway.say('two')
    await clock.advance(10)
    first.kill()
    gateway.say('three')
    await clock.advance(10)
    const second = beginLife(world)
    await clock.advance(1_000)
    expect(gateway.dials.map(({ host, asked }) => [host, asked])).toEqual([
      [KNOWN, 'identify'],
      [RESUME_HOST, 'resume'],
    ])
    expect(gateway.heard.at(-1)).toMatchObject({ op: 'resume', id: 's1', seq: 2 })
    expect(first.got).toEqual(['<new>', 'one', 'two'])
    expect(second.got).toEqual(['three', '<recovered>'])
    await second.end()
  })

  test('that the peer has forgotten meanwhile is followed by a new one, and the gap is told', async () => {
    const world = freshWorld()
    const first = beginLife(world)
    await world.clock.advance(100)
    first.kill()
    world.gateway.sessions.clear()
    const second = beginLife(world)
    await world.clock.advance(10_000)
    expect(world.gateway.dials.map(({ asked }) => asked)).toEqual(['identify', 'resume', 'identify'])
    expect(second.got).toEqual(['<gap>'])
    await second.end()
  })

  test.each([
    ['a text', 'session is a string'],
    [null, 'session is null'],
    [[], 'session is an array'],
    [{ id: 5 }, 'session.id is the number 5'],
    [{ id: 'x', endpoint: { toString: 1 } }, 'session.endpoint is an object'],
    [{ id: 'x', cursor: [1] }, 'session.cursor is an array'],
    [{ cursor: null }, 'session.cursor is null'],
  ])('T15: that is damaged (%j) is ignored with a warning, and one starts anew', async (damaged, why) => {
    const world = freshWorld()
    await world.disk.scribble('session/bot', damaged)
    const life = beginLife(world)
    await world.clock.advance(1_000)
    expect(life.link.status.state).toBe('live')
    expect(world.gateway.dials.map(({ asked }) => asked)).toEqual(['identify'])
    expect(await warned()).toEqual([expect.stringContaining(`bot: the session that was kept is not resumed: ${why}`)])
    await life.end()
  })

  test('T15: messages that are not ours are left where they are, and that is told', async () => {
    const world = freshWorld()
    await world.disk.scribble('outbox/bot/000000000000007', { v: 1, key: 'k' })
    const life = beginLife(world)
    void life.link.send('mine')
    await world.clock.advance(1_000)
    expect(said(world)).toEqual(['mine'])
    expect(await warned()).toEqual([expect.stringContaining('1 of the messages that were kept are left out')])
    await life.end()
    expect((await world.disk.entries('outbox/')).map(([key]) => key)).toEqual(['outbox/bot/000000000000007'])
  })
})

describe('a store', () => {
  test('is read before anything is dialed', async () => {
    const world = freshWorld()
    const first = beginLife(world)
    await world.clock.advance(100)
    first.kill()
    world.disk.hangs = true
    const second = beginLife(world)
    await world.clock.advance(5_000)
    expect(second.link.status.state).toBe('resolving')
    expect(world.gateway.dials).toHaveLength(1)
    world.disk.release()
    await world.clock.advance(100)
    expect(world.gateway.dials.map(({ asked }) => asked)).toEqual(['identify', 'resume'])
    await second.end()
  })

  test('that does not answer leads to backoff by the deadline, and back when it does; no session start is wasted', async () => {
    const world = freshWorld()
    world.disk.hangs = true
    let reserved = 0
    const budget = {
      reserve: async () => ({ waitMs: 0, ticket: ++reserved }),
      refund: async () => undefined,
    }
    const life = beginLife(world, {}, { starts: { budget } })
    const message = follow(life.link.send('at last'))
    await world.clock.advance(10_100)
    expect(life.link.status).toMatchObject({ state: 'backoff', fault: { code: 'resolve-timeout' } })
    expect(life.link.explain().text).toMatch(/store/)
    await world.clock.advance(60_000)
    expect(world.gateway.dials).toEqual([])
    world.disk.release()
    await world.clock.advance(60_000)
    expect(life.link.status.state).toBe('live')
    expect(message.value).toMatchObject({ fate: 'delivered' })
    expect({ reserved, dials: world.gateway.dials.length }).toEqual({ reserved: 1, dials: 1 })
    await life.end()
  })

  test('that answers when the link was stopped long ago costs no session start', async () => {
    const world = freshWorld()
    world.disk.hangs = true
    let reserved = 0
    const budget = {
      reserve: async () => ({ waitMs: 0, ticket: ++reserved }),
      refund: async () => undefined,
    }
    const life = beginLife(world, {}, { starts: { budget } })
    await world.clock.advance(100)
    await life.end()
    world.disk.release()
    await world.clock.advance(1_000)
    expect({ reserved, dials: world.gateway.dials.length }).toEqual({ reserved: 0, dials: 0 })
  })

  test.each(['live', 'backoff'])('that does not answer does not hold up stop() of a link that is %s', async (state) => {
    const world = freshWorld()
    const life = beginLife(world)
    await world.clock.advance(100)
    if (state === 'backoff') world.gateway.drop()
    world.disk.hangs = true
    void life.link.send('x')
    await world.clock.advance(1)
    const stopped = follow(life.link.stop())
    await world.clock.advance(7_000)
    expect(stopped.settled).toBe(true)
    expect(world.clock.pending).toBe(0)
    expect(await warned()).toEqual([expect.stringContaining('the store did not answer within 3000 ms')])
  })

  test('that fails does not keep a link from living: only what is to be kept is refused, with the reason', async () => {
    const world = freshWorld()
    world.disk.mood = () => 'failed'
    const life = beginLife(world)
    await world.clock.advance(1_000)
    expect(life.link.status.state).toBe('live')
    const sending = life.link.send('lost')
    const [fate, accepted] = [follow(sending), follow(sending.accepted)]
    await world.clock.advance(100)
    expect(fate.value).toMatchObject({ fate: 'refused', detail: expect.stringContaining('ENOSPC') })
    expect(accepted.error).toMatchObject({ code: 'refused', message: expect.stringContaining('ENOSPC') })
    for (let i = 0; i < 50; i++) {
      world.gateway.say(`m${i}`)
      await world.clock.advance(20)
    }
    expect(life.got).toContain('m49')
    // a session changes with each message, and is told of once
    expect((await warned()).filter((text) => text.includes('the session is not kept'))).toHaveLength(1)
    expect(warnings.filter((text) => text.includes('no message is accepted until'))).toHaveLength(1)
    world.disk.mood = () => 'fine'
    const later = follow(life.link.send('kept'))
    world.gateway.say('more')
    await world.clock.advance(100)
    expect(later.value).toMatchObject({ fate: 'delivered' })
    expect(await world.disk.entries('session/')).toMatchObject([['session/bot', { id: 's1', cursor: 51 }]])
    await life.end()
  })

  test('is not closed by the link: others may use it', async () => {
    const world = freshWorld()
    let closed = 0
    const kept = memoryStore()
    const store: Store = {
      ...kept,
      close: async () => {
        closed++
      },
    }
    for (const id of ['a', 'b']) {
      const life = beginLife(world, { id, store })
      await world.clock.advance(100)
      await life.end()
    }
    expect((await store.read('session/')).map(([key]) => key)).toEqual(['session/a', 'session/b'])
    expect(closed).toBe(0)
  })
})
