/** The table of faults is the closed list of what can go wrong; people read it, so its texts are held to a standard. */
import { expect, test } from 'vitest'
import { type FaultCode, faults, kindOf } from '../../machines/fault.ts'
import { kinds } from './link-model.ts'

const rows = Object.entries(faults)
const sides = ['network', 'peer', 'us', 'person']

test('HF-F1 every fault says what happened and what can be done, in English and in Chinese', () => {
  for (const [code, { because, advice }] of rows) {
    for (const { en, zh } of [because, advice]) {
      expect(en, code).toMatch(/^[\x20-\x7e]{8,}$/)
      expect(zh, code).toMatch(/\p{Script=Han}{2,}/u)
    }
  }
})

test('HF-F2 the cause ends another sentence, and the advice is one', () => {
  for (const [code, { because, advice }] of rows) {
    expect(because.en, code).not.toMatch(/\.$/)
    expect(because.zh, code).not.toMatch(/。$/)
    expect(advice.en, code).toMatch(/^[A-Z].*\.$/)
    expect(advice.zh, code).toMatch(/。$/)
  }
})

test('HF-F3 codes are kebab-case, kinds and sides are closed, and every kind occurs', () => {
  for (const [code, { kind, side }] of rows) {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/)
    expect(kinds, code).toContain(kind)
    expect(sides, code).toContain(side)
    expect(kindOf({ code: code as FaultCode })).toBe(kind)
  }
  expect(new Set(rows.map(([, { kind }]) => kind))).toEqual(new Set(kinds))
})

test('HF-F4 what parks a link is for a person to change', () => {
  for (const [code, { kind, side }] of rows)
    if (kind === 'fatal' || kind === 'doubtful') expect(side, code).toBe('person')
})

test('HF-F5 no two faults read the same', () => {
  const texts = rows.flatMap(([, { because }]) => [because.en, because.zh])
  expect(new Set(texts).size).toBe(texts.length)
})
