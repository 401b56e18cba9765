/**
 * Where one frame ends and the next begins, on transports that know bytes alone. A frame is made and read without looking
 * into it: what it means is up to the adapter.
 */
import type { Fault } from '../machines/fault.ts'
import { HoldfastError } from './error.ts'
import type { Frame } from './transport/transport.ts'

/** How frames lie in a stream of bytes. `lengthPrefixed()` makes one; a protocol of another kind brings its own. */
export interface Framing {
  /** A frame as it goes onto the wire. Throws if it is too big to be sent at all. */
  encode(frame: Frame): Uint8Array
  /** A new one for each transport. Frames of more than `maxBytes` are refused. */
  decoder(maxBytes: number): FrameDecoder
}

export interface FrameDecoder {
  /**
   * The frames that this chunk completes, in order. Read them all before the next chunk. Whatever is wrong with the stream
   * is thrown in its place, behind the frames before it; an error with a `fault` says what it means. Nothing can be read
   * after that.
   */
  push(chunk: Uint8Array): Iterable<Uint8Array>
  /** Whether the stream may not end here: part of a frame has been read. */
  readonly isWithin: boolean
}

export interface LengthPrefix {
  /** Of the prefix. */
  readonly bytes: 1 | 2 | 4
  /** The number counts its own bytes too. Default false. */
  readonly includesItself?: boolean
  /** Default `big`, as is usual in networks. */
  readonly order?: 'big' | 'little'
  /** The most that a frame may have without its prefix, if the protocol sets a bound. Default: what the prefix can say. */
  readonly maxBytes?: number
}

/**
 * Each frame behind its length, an unsigned number. Throws HoldfastError `bad-option` for a prefix that cannot be.
 *
 * A frame that is longer than it may be ends the transport with `frame-too-big` before its bytes are waited for, and a
 * length that cannot be (one that counts itself, and is smaller than itself) with `protocol-violated`.
 */
export const lengthPrefixed = (prefix: LengthPrefix): Framing => {
  const shape = checkPrefix(prefix)
  return {
    encode: (frame) => prefixed(frame, shape),
    decoder: (maxBytes) => new PrefixDecoder({ ...shape, maxBytes: Math.min(maxBytes, shape.maxBytes) }),
  }
}

type Shape = Required<LengthPrefix>

const checkPrefix = ({ bytes, includesItself = false, order = 'big', maxBytes }: LengthPrefix): Shape => {
  const refuse = (option: string, wants: string): never => {
    throw new HoldfastError('bad-option', `The option "${option}" of lengthPrefixed() must be ${wants}.`)
  }
  if (![1, 2, 4].includes(bytes)) refuse('bytes', '1, 2 or 4')
  if (typeof includesItself !== 'boolean') refuse('includesItself', 'a boolean')
  if (order !== 'big' && order !== 'little') refuse('order', '"big" or "little"')
  const most = 2 ** (8 * bytes) - 1 - (includesItself ? bytes : 0)
  const isBound = maxBytes === undefined || (Number.isSafeInteger(maxBytes) && maxBytes >= 1 && maxBytes <= most)
  if (!isBound) refuse('maxBytes', `a whole number from 1 to ${most}, which is what the prefix can say`)
  return { bytes, includesItself, order, maxBytes: maxBytes ?? most }
}

const prefixed = (frame: Frame, { bytes, includesItself, order, maxBytes }: Shape): Uint8Array => {
  const length = typeof frame === 'string' ? Buffer.byteLength(frame) : frame.length
  if (length > maxBytes) throw new Error(`a frame of ${length} bytes cannot be sent: ${maxBytes} are the most`)
  const whole = Buffer.allocUnsafe(bytes + length)
  const number = includesItself ? bytes + length : length
  if (order === 'big') whole.writeUIntBE(number, 0, bytes)
  else whole.writeUIntLE(number, 0, bytes)
  if (typeof frame === 'string') whole.write(frame, bytes)
  else whole.set(frame, bytes)
  return whole
}

/** Each byte is copied twice at most, however the stream is cut into chunks. */
class PrefixDecoder implements FrameDecoder {
  readonly #shape: Shape
  readonly #prefix: Buffer
  #prefixed = 0
  /** Of the frame that is being read; undefined while the prefix is. */
  #length: number | undefined
  /** What came of it so far; it grows with what comes, not with what was promised. */
  #body = Buffer.alloc(0)
  #have = 0

  constructor(shape: Shape) {
    this.#shape = shape
    this.#prefix = Buffer.alloc(shape.bytes)
  }

  get isWithin(): boolean {
    return this.#prefixed > 0
  }

  *push(chunk: Uint8Array): Iterable<Uint8Array> {
    for (let at = 0; ; ) {
      while (this.#prefixed < this.#shape.bytes) {
        if (at === chunk.length) return
        this.#prefix[this.#prefixed++] = chunk[at++]!
      }
      this.#length ??= this.#readLength()
      const part = chunk.subarray(at, at + this.#length - this.#have)
      at += part.length
      if (this.#have + part.length < this.#length) return this.#keep(part)
      yield this.#finish(part)
    }
  }

  #readLength(): number {
    const { bytes, includesItself, order, maxBytes } = this.#shape
    const number = order === 'big' ? this.#prefix.readUIntBE(0, bytes) : this.#prefix.readUIntLE(0, bytes)
    const length = includesItself ? number - bytes : number
    if (length < 0) throw broken('protocol-violated', `a length of ${number}, which counts its own ${bytes} bytes`)
    if (length > maxBytes) throw broken('frame-too-big', `a frame of ${length} bytes: ${maxBytes} are the most`)
    return length
  }

  #keep(part: Uint8Array): void {
    const have = this.#have + part.length
    if (have > this.#body.length) {
      const grown = Buffer.allocUnsafe(Math.min(this.#length!, Math.max(2 * this.#body.length, have)))
      this.#body.copy(grown, 0, 0, this.#have)
      this.#body = grown
    }
    this.#body.set(part, this.#have)
    this.#have = have
  }

  #finish(part: Uint8Array): Uint8Array {
    let frame: Uint8Array = part
    if (this.#have > 0) {
      this.#keep(part)
      frame = this.#body.subarray(0, this.#have)
      this.#body = Buffer.alloc(0)
    }
    this.#prefixed = 0
    this.#length = undefined
    this.#have = 0
    return frame
  }
}

const broken = (code: Fault['code'], detail: string): Error =>
  Object.assign(new Error(detail), { fault: { code, detail } })
