/** `holdfast explain`: one row of the fault table, and what the link makes of it. */
import { describe, expect, test } from 'vitest'
import { curves } from '../../machines/delay.ts'
import { type FaultCode, faults } from '../../machines/fault.ts'
import { explainFault, faultCodes } from '../../src/cli/explain.ts'
import { duration } from '../../src/diagram/model.ts'
import { holdfast } from './run.ts'

const plain = (_style: unknown, text: string) => text

test('prints because, advice, kind, side and reaction', async () => {
  const { exitCode, out, err } = await holdfast('explain', 'connect-timeout', '--lang', 'en')
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
  expect(out.trimEnd().split('\n')).toEqual([
    'connect-timeout',
    '  because   the peer did not answer the connection in time',
    '  advice    Check the address, and whether a firewall drops the packets.',
    '  kind      dropped: something accepted and let go before it answered',
    '  side      network: what lies between',
    '  the link  It dials again by itself, after 1 s at most, then ever more slowly, up to 12 s.',
  ])
})

test('speaks Chinese', async () => {
  const { out } = await holdfast('explain', 'kicked', '--lang', 'zh')
  expect(out).toContain(faults.kicked.advice.zh)
  expect(out).toContain('立即停驻')
})

describe.each(['en', 'zh'] as const)('every fault in %s', (language) => {
  test.each(faultCodes as FaultCode[])('%s', (code) => {
    const { because, advice, kind } = faults[code]
    const told = explainFault(code, language, plain)
    expect(told).toContain(because[language])
    expect(told).toContain(advice[language])
    const parks = kind === 'fatal' || kind === 'doubtful'
    expect(/parks|停驻/.test(told.split('\n').at(-2)!)).toBe(parks)
    if (kind in curves) expect(told).toContain(duration(curves[kind as keyof typeof curves].baseMs))
  })
})

test.each([
  ['no code', [], 'Say one fault code'],
  ['two', ['refused', 'kicked'], 'Say one fault code'],
  ['what is none', ['tired'], '"tired" is not a fault. The faults are name-not-found, '],
  ['what every object has', ['constructor'], '"constructor" is not a fault.'],
])('64: %s', async (_what, args, words) => {
  const { exitCode, out, err } = await holdfast('explain', ...args)
  expect({ exitCode, out }).toEqual({ exitCode: 64, out: '' })
  expect(err).toContain(words)
})
