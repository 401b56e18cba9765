/** Reading JSON from a peer that may be broken or hostile. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { asObject, readObject } from '../../src/adapter/json.ts'
import { hostileFrames } from './fake-io.ts'

const nested = (depth: number): string => `${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`

describe('readObject()', () => {
  it('reads an object from text', () => {
    expect(readObject('{"a":[1,{"b":"\\"]}"}]}')).toEqual({ a: [1, { b: '"]}' }] })
    expect(readObject(' {} ')).toEqual({})
  })

  it('reads every object that JSON can write, as long as it is not too deep', () => {
    const shallow = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 5 }))
    fc.assert(
      fc.property(shallow, (object) => {
        const text = JSON.stringify(object)
        expect(readObject(text)).toEqual(JSON.parse(text))
      }),
    )
  })

  it.each(
    hostileFrames.map((frame) => [String(frame).slice(0, 40), frame] as const),
  )('reads nothing from %j', (_, frame) => {
    const before = Object.keys(Object.prototype)
    expect(readObject(frame)).toBeUndefined()
    expect(Object.keys(Object.prototype)).toEqual(before)
  })

  it('takes 64 levels and no more, in objects and arrays, closed or not', () => {
    expect(readObject(nested(64))).toBeDefined()
    expect(readObject(nested(65))).toBeUndefined()
    expect(readObject(`{"a":${'['.repeat(63)}${']'.repeat(63)}}`)).toBeDefined()
    expect(readObject(`{"a":${'['.repeat(64)}${']'.repeat(64)}}`)).toBeUndefined()
  })

  it('does not mistake brackets in strings for depth, nor many siblings', () => {
    const text = '['.repeat(500)
    expect(readObject(JSON.stringify({ text, quoted: `"${text}\\"` }))).toEqual({ text, quoted: `"${text}\\"` })
    expect(readObject(JSON.stringify({ list: Array.from({ length: 1_000 }, () => [{}]) }))?.list).toHaveLength(1_000)
  })

  it('keeps __proto__ an ordinary key, which changes no other object', () => {
    const read = readObject('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')
    expect(Object.keys(read!)).toEqual(['__proto__', 'constructor'])
    expect('polluted' in {}).toBe(false)
  })

  it('looks at a million characters in a moment, whatever they are', () => {
    for (const filler of ['[', '"', '\\', '"\\"', '{"a":', ' ']) {
      const text = filler.repeat(1_000_000 / filler.length)
      const startedAt = performance.now()
      expect(readObject(text)).toBeUndefined()
      expect(performance.now() - startedAt, JSON.stringify(filler)).toBeLessThan(500)
    }
  })
})

describe('asObject()', () => {
  it('takes objects and nothing else', () => {
    const object = { a: 1 }
    expect(asObject(object)).toBe(object)
    for (const value of [null, undefined, 0, 'text', true, [], [object]]) expect(asObject(value)).toBeUndefined()
  })
})
