/** The wechatbot replay: the real wechat4u by the rule of wechaty's puppet, and the same by a link. */
import { expect, it } from 'vitest'
import { isHeld, play, sideOf } from './wechatbot.ts'

it.concurrent('incident 4 replayed, the rule of the puppet: a storm of logins, a silent stall, and a portal that is healthy', async () => {
  const played = await play('naive')
  console.log(JSON.stringify(sideOf(played, isHeld(played))))
  expect(sideOf(played, isHeld(played))).toMatchObject({ recovered: false, recoveredMs: null })
  const { expired, outage, portal } = played
  expect(expired.logins).toBeGreaterThan(100)
  expect(outage).toMatchObject({ recoveredMs: null, got: ['before'] })
  expect([portal.state, portal.errors < 3]).toEqual(['login', true])
  expect(portal.polls).toBeGreaterThan(50)
})

it.concurrent('incident 4 replayed, by a link: one call for a person, back after the outage, and a portal that is none', async () => {
  const played = await play('holdfast')
  console.log(JSON.stringify(sideOf(played, isHeld(played))))
  expect(sideOf(played, isHeld(played)), sideOf(played, isHeld(played)).note).toMatchObject({
    recovered: true,
    lost: 0,
  })
  const { expired, outage, portal } = played
  expect(expired).toMatchObject({ logins: 3, state: 'parked (login-needed)' })
  expect(outage.got).toEqual(['before', 'during'])
  expect(portal.states).toContain('backoff (protocol-violated)')
  expect(portal.states.at(-1)).not.toBe('live')
})
