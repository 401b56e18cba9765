/** A link that moves: the new transport is live before the old one closes, and nothing is lost or doubled on the way. */
import { describe, expect, test } from 'vitest'
import { heapClock } from '../src/testing/heap-clock.ts'
import { Gateway, gatewayRig } from './gateway.ts'
import { follow } from './small-talk.ts'

describe('a peer that allows two transports at a time', () => {
  test('R45: one that announces its leave is left without an event lost or doubled, and without a moment offline', async () => {
    const { clock, gateway, link, got, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    const states: string[] = []
    link.state$.subscribe(({ state }) => void states.push(state))
    let said = 0
    const talk = async (ms: number) => {
      for (let i = 0; i < ms; i++) {
        gateway.say(`m${++said}`)
        await clock.advance(1)
      }
    }
    await talk(20)
    gateway.tellAll({ op: 'leaving' })
    await talk(100)
    expect(gateway.dials).toHaveLength(2)
    expect(gateway.open).toBe(1)
    await talk(20)
    expect(got.filter((text) => text.startsWith('m'))).toEqual(Array.from({ length: said }, (_, i) => `m${i + 1}`))
    expect(got).not.toContain('<gap>')
    expect(new Set(states)).toEqual(new Set(['live']))
    await end()
  })

  test('what was written before the move is proved where it was written, what comes after goes the new way', async () => {
    const { clock, link, gateway, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    const before = follow(link.send('before'))
    link.replace()
    await clock.advance(5)
    const meanwhile = follow(link.send('meanwhile'))
    await clock.advance(200)
    const after = follow(link.send('after'))
    await clock.advance(200)
    for (const { value } of [before, meanwhile, after]) expect(value).toMatchObject({ fate: 'delivered' })
    expect(gateway.heard.filter(({ op }) => op === 'say').map(({ text }) => text)).toEqual([
      'before',
      'meanwhile',
      'after',
    ])
    await end()
  })

  test('the transitions of both are on record, by their roles', async () => {
    const { clock, link, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    link.replace()
    await clock.advance(200)
    const roles = link.recording.kept.map(({ role, to }) => `${role ?? 'link'} ${to}`)
    expect(roles).toContain('successor live')
    expect(roles.at(-1)).toBe('predecessor stopped')
    await end()
  })

  test('with the old transport lost on the way the successor is the link at once', async () => {
    const { clock, gateway, link, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    link.replace()
    await clock.advance(5)
    gateway.tellAll({ op: 'nonsense' })
    gateway.dropFirst()
    expect(link.status.state).toBe('connecting')
    await clock.advance(200)
    expect(link.status.state).toBe('live')
    expect(gateway.dials).toHaveLength(2)
    expect(gateway.open).toBe(1)
    await end()
  })

  test('a successor that takes over while it waits says when it dials', async () => {
    const { clock, gateway, link, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    gateway.hosts[gateway.dials[0]!.host] = 'refuses'
    link.replace()
    await clock.advance(15)
    const refusedAt = clock.wall()
    await clock.advance(20)
    expect(link.recording.kept.at(-1)).toMatchObject({ role: 'successor', to: 'backoff' })
    gateway.tellAll({ op: 'nonsense' })
    gateway.dropFirst()
    const { state, fault, since, nextDialAt } = link.status
    expect({ state, fault }).toEqual({ state: 'backoff', fault: { code: 'refused' } })
    expect(Math.abs(since - refusedAt)).toBeLessThanOrEqual(10)
    const { delayMs } = link.recording.kept.findLast(({ role, to }) => role === 'successor' && to === 'backoff')!
    expect(nextDialAt).toBe(since + delayMs!)
    const before = gateway.dials.length
    await clock.advance(nextDialAt! - clock.wall() + 1)
    expect(gateway.dials.length).toBeGreaterThan(before)
    await end()
  })

  test('a successor that is rejected leaves the link as it is', async () => {
    const { clock, gateway, link, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    gateway.token = 'another'
    link.replace()
    await clock.advance(60_000)
    expect(link.status.state).toBe('live')
    expect(gateway.open).toBe(1)
    expect(gateway.dials).toHaveLength(2)
    await end()
  })

  test('R19: however often it is asked for, there are two transports at most', async () => {
    const { clock, gateway, link, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    for (let i = 0; i < 50; i++) {
      link.replace()
      expect(gateway.open).toBeLessThanOrEqual(2)
      await clock.advance(3)
    }
    await clock.advance(1_000)
    expect(gateway.open).toBe(1)
    await end()
  })

  test.each([0, 5, 15, 25, 35, 45, 60])('stop() %i ms into a move leaves nothing', async (ms) => {
    const { clock, gateway, link } = gatewayRig({ overlap: true })
    await clock.advance(100)
    link.replace()
    await clock.advance(ms)
    const stopped = follow(link.stop())
    await clock.advance(4_000)
    expect(stopped.settled).toBe(true)
    expect(gateway.open).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test('hold() in a move rests the link, resume() wakes it', async () => {
    const { clock, gateway, link, end } = gatewayRig({ overlap: true })
    await clock.advance(100)
    link.replace()
    await clock.advance(15)
    link.hold()
    await clock.advance(5_000)
    expect(link.status.state).toBe('parked')
    expect(gateway.open).toBe(0)
    link.resume()
    await clock.advance(5_000)
    expect(link.status.state).toBe('live')
    await end()
  })

  test('R12 credentials that end are renewed before they do', async () => {
    let asked = 0
    const target = () => ({ url: 'wss://gateway.test/', expiresAt: clock.wall() + 600_000, secrets: [`t${asked++}`] })
    const { clock, gateway, link, got, end } = gatewayRig({ overlap: true, target })
    await clock.advance(3_000_000)
    expect(link.status.state).toBe('live')
    expect(gateway.dials.length).toBeGreaterThanOrEqual(5)
    expect(gateway.dials.length).toBeLessThanOrEqual(7)
    for (const [i, { at }] of gateway.dials.slice(1).entries()) {
      expect(at - gateway.dials[i]!.at).toBeLessThan(600_000)
    }
    expect(got).not.toContain('<gap>')
    await end()
  })
})

describe('a peer that allows one transport', () => {
  test('E12 is moved by a loss that resumes', async () => {
    const { clock, gateway, link, got, end } = gatewayRig()
    await clock.advance(100)
    gateway.tellAll({ op: 'leaving' })
    gateway.say('meanwhile')
    expect(link.status).toMatchObject({ state: 'backoff', fault: { code: 'peer-leaving' } })
    await clock.advance(2_000)
    expect(link.status.state).toBe('live')
    expect(gateway.asked('identify')).toBe(1)
    expect(got).toEqual(['<new>', 'meanwhile', '<recovered>'])
    await end()
  })

  test('replace() of a link that is not live changes nothing', async () => {
    const { clock, gateway, link, end } = gatewayRig()
    link.replace()
    await clock.advance(100)
    link.hold()
    link.replace()
    await clock.advance(5_000)
    expect(link.status.state).toBe('parked')
    expect(gateway.dials).toHaveLength(1)
    await end()
  })
})

test('300 links that are told to leave at once do not dial at once: never twice the pace of a recovery, and all move within 2 s', async () => {
  const clock = heapClock()
  const gateway = new Gateway(clock)
  const rigs = Array.from({ length: 300 }, (_, i) => gatewayRig({ overlap: true }, { id: `b${i}` }, { clock, gateway }))
  await clock.advance(5_000)
  const before = gateway.dials.length
  gateway.tellAll({ op: 'leaving' })
  await clock.advance(2_000)
  const at = gateway.dials.slice(before).map((dial) => dial.at)
  expect(at).toHaveLength(300)
  expect(gateway.open).toBe(300)
  for (const from of at) expect(at.filter((each) => each >= from && each < from + 100).length).toBeLessThanOrEqual(120)
  for (const { link } of rigs) expect(link.status.state).toBe('live')
  for (const { link } of rigs) void link.stop({ drainMs: 0 })
  await clock.advance(5_000)
  expect(gateway.open).toBe(0)
})
