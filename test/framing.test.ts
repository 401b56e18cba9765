/** Frames behind their lengths: whatever the chunks are, the frames are the same, and no stream can do harm. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { faultFrom } from '../src/error.ts'
import { type FrameDecoder, type LengthPrefix, lengthPrefixed } from '../src/framing.ts'
import { seededRandom } from '../src/testing/heap-clock.ts'

const SEED = 20_261_121
const seed = Number(process.env.HF_SEED ?? SEED)
const MAX = 4_096

const shapes: LengthPrefix[] = ([1, 2, 4] as const).flatMap((bytes) =>
  ([false, true] as const).flatMap((includesItself) =>
    (['big', 'little'] as const).map((order) => ({ bytes, includesItself, order })),
  ),
)

/** All that a stream gives, and what ended it. */
const read = (decoder: FrameDecoder, chunks: readonly Uint8Array[]) => {
  const frames: string[] = []
  try {
    for (const chunk of chunks) for (const frame of decoder.push(chunk)) frames.push(Buffer.from(frame).toString('hex'))
  } catch (error) {
    return { frames, code: faultFrom(error, 'open').code }
  }
  return { frames, code: undefined }
}

/** The stream, cut at these places. */
const cut = (stream: Uint8Array, places: readonly number[]): Uint8Array[] => {
  const ends = [...new Set(places.map((place) => place % (stream.length + 1)))].sort((a, b) => a - b)
  return [...ends, stream.length].map((end, i) => stream.subarray(ends[i - 1] ?? 0, end))
}

describe('lengthPrefixed', () => {
  it('writes what the protocol means', () => {
    const hex = (shape: LengthPrefix) => Buffer.from(lengthPrefixed(shape).encode('hé')).toString('hex')
    expect(hex({ bytes: 1 })).toBe('0368c3a9')
    expect(hex({ bytes: 2, order: 'little' })).toBe('030068c3a9')
    expect(hex({ bytes: 4 })).toBe('0000000368c3a9')
    expect(hex({ bytes: 4, includesItself: true })).toBe('0000000768c3a9')
  })

  it.each(shapes)('gives the same frames however the stream is cut: %o', (shape) => {
    const framing = lengthPrefixed(shape)
    const frame = fc.uint8Array({ maxLength: shape.bytes === 1 ? 254 : 600 })
    const property = fc.property(
      fc.array(frame, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 40 }),
      (all, at) => {
        const stream = Buffer.concat(all.map((each) => framing.encode(each)))
        const decoder = framing.decoder(MAX)
        expect(read(decoder, cut(stream, at))).toEqual({
          frames: all.map((each) => Buffer.from(each).toString('hex')),
          code: undefined,
        })
        expect(decoder.isWithin).toBe(false)
      },
    )
    fc.assert(property, { seed, numRuns: 200 })
  })

  it('T6: 600 hostile streams give frames within the bound, or end with one of two faults, cut or whole', () => {
    const random = seededRandom(seed)
    const codes = new Map<string, number>()
    for (let n = 0; n < 600; n++) {
      const shape = shapes[n % shapes.length]!
      const stream = hostileStream(n, random)
      const whole = read(lengthPrefixed(shape).decoder(MAX), [stream])
      const bytes = [...stream].map((byte) => Uint8Array.of(byte))
      expect(read(lengthPrefixed(shape).decoder(MAX), bytes), `seed ${seed}, stream ${n}`).toEqual(whole)
      for (const frame of whole.frames) expect(frame.length / 2).toBeLessThanOrEqual(MAX)
      codes.set(`${whole.code}`, (codes.get(`${whole.code}`) ?? 0) + 1)
    }
    console.log(`seed ${seed}: ${JSON.stringify(Object.fromEntries(codes))}`)
    expect([...codes.keys()].sort()).toEqual(['frame-too-big', 'protocol-violated', 'undefined'])
  })

  it('gives the frames before the one that cannot be', () => {
    const framing = lengthPrefixed({ bytes: 2, includesItself: true })
    const good = [framing.encode('a'), framing.encode('')]
    expect(read(framing.decoder(MAX), [Buffer.concat([...good, Buffer.of(0, 1, 9)])])).toEqual({
      frames: ['61', ''],
      code: 'protocol-violated',
    })
    expect(read(framing.decoder(10), [Buffer.concat([...good, Buffer.of(0, 13)])])).toEqual({
      frames: ['61', ''],
      code: 'frame-too-big',
    })
  })

  it('takes the smaller of the two bounds, and exactly as much', () => {
    const [wide, narrow] = [lengthPrefixed({ bytes: 2 }), lengthPrefixed({ bytes: 2, maxBytes: 8 })]
    for (const [decoder, most] of [
      [wide.decoder(8), 8],
      [narrow.decoder(MAX), 8],
      [narrow.decoder(5), 5],
    ] as const) {
      expect(read(decoder, [wide.encode('x'.repeat(most))]).code).toBeUndefined()
      expect(read(decoder, [wide.encode('x'.repeat(most + 1))]).code).toBe('frame-too-big')
    }
    expect(() => narrow.encode('x'.repeat(9))).toThrow('a frame of 9 bytes cannot be sent: 8 are the most')
    expect(() => lengthPrefixed({ bytes: 1, includesItself: true }).encode('x'.repeat(255))).toThrow('254 are the most')
  })

  it('reads a frame of a megabyte byte by byte: a decoder that joins all that it has each time would take minutes', () => {
    const framing = lengthPrefixed({ bytes: 4 })
    const frame = Buffer.alloc(2 ** 20, 'x')
    const decoder = framing.decoder(frame.length)
    const frames: Uint8Array[] = []
    for (const byte of framing.encode(frame)) frames.push(...decoder.push(Uint8Array.of(byte)))
    expect(frames.map((each) => frame.equals(each))).toEqual([true])
  }, 20_000)

  it('keeps what came and not what was promised: a length alone takes no memory', () => {
    const framing = lengthPrefixed({ bytes: 4 })
    const before = process.memoryUsage().arrayBuffers
    const decoders = Array.from({ length: 100 }, () => framing.decoder(2 ** 31))
    for (const decoder of decoders) expect(read(decoder, [Buffer.of(0x7f, 0, 0, 0, 1)]).frames).toEqual([])
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26)
    expect(decoders.every(({ isWithin }) => isWithin)).toBe(true)
  })

  it.each([
    [{ bytes: 3 }, 'bytes'],
    [{ bytes: 4, order: 'middle' }, 'order'],
    [{ bytes: 4, includesItself: 1 }, 'includesItself'],
    [{ bytes: 1, maxBytes: 256 }, 'maxBytes'],
    [{ bytes: 2, maxBytes: 0 }, 'maxBytes'],
    [{ bytes: 2, maxBytes: Number.NaN }, 'maxBytes'],
  ])('refuses %o', (shape, option) => {
    expect(() => lengthPrefixed(shape as LengthPrefix)).toThrow(`The option "${option}" of lengthPrefixed() must be`)
  })
})

const hostileStream = (n: number, random: () => number): Uint8Array => {
  const byte = () => Math.floor(random() * 256)
  const noise = (length: number) => Array.from({ length }, byte)
  if (n % 3 === 0) return Uint8Array.from(noise(byte()))
  // lengths of all ones, of nothing, and small ones that promise more than there is
  if (n % 3 === 1) return Uint8Array.from([...Array(1 + (n % 9)).fill(n % 2 ? 255 : 0), ...noise(n % 40)])
  return Uint8Array.from([0, 0, 0, byte() % 8, ...noise(3), ...Array(byte()).fill(0)])
}
