/** The Lagrange replay: the old rule never starts what depends on it, and a link starts it once. */
import { describe, expect, it } from 'vitest'
import { lagrange, naiveOn } from './lagrange.ts'

describe('incident 3', () => {
  it.concurrent('incident 3.1 and 3.3 holdfast: the HTTP service starts once, through all faults, and no message is lost', async () => {
    const side = await lagrange.holdfast()
    console.log(JSON.stringify(side))
    expect(side).toMatchObject({ recovered: true, lost: 0 })
    expect(side.recoveredMs).toBeLessThan(20_000)
    expect(side.note).toContain('key-exchange-failed')
    expect(side.note).toMatch(/live 2 times and started its HTTP service 1 times$/)
    // dropped, refused, dropped while serving, and the one that stays; the dead one counts none
    expect(side.attempts).toBe(4)
  })

  it.concurrent('the rule of Lagrange: a dead server sorts first, and an online that is a "Reconnect" starts nothing', async () => {
    const side = await lagrange.naive()
    console.log(JSON.stringify(side))
    expect(side).toMatchObject({ recovered: false, recoveredMs: null, lost: 5 })
    expect(side.note).toMatch(/127\.0\.0\.2 0 ms, 127\.0\.0\.\d \d+ ms.* made 0 connections/)
    expect(side.note).toMatch(/online 2 times \(Reconnect, Reconnect\), heard 5 messages/)
  })

  it.concurrent('control: where nothing goes wrong the same rule starts its service, and it hands all messages out', async () => {
    const seen = await naiveOn([])
    expect(seen).toMatchObject({ services: 1, reasons: ['Login'], connections: 1 })
    expect(seen.got).toHaveLength(5)
  })
})
