/** How LevelDB writes numbers and checksums: doc/table_format.md and doc/log_format.md there. */

export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isDone(): boolean {
    return this.#at >= this.#bytes.length
  }

  skip(length: number): void {
    this.#at += length
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  bytes(length: number): Buffer {
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** Seven bits a byte, the lowest first. */
  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte()
      value += (byte % 128) * scale
      if (byte < 128) return value
    }
  }

  /** Bytes with their length before them. */
  sized(): Buffer {
    return this.bytes(this.varint())
  }

  sequence(): number {
    return Number(this.bytes(8).readBigUInt64LE())
  }
}

// CRC-32C (RFC 3720, B.4), which LevelDB keeps turned and shifted so that the checksum of a checksum differs

const CASTAGNOLI = 0x82f63b78

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1
  return crc
})

/** Whether bytes still have the checksum that was kept with them. */
export const isIntact = (kept: number, bytes: Buffer): boolean => {
  let crc = 0xffffffff
  for (let n = 0; n < bytes.length; n++) crc = table[(crc ^ bytes[n]!) & 0xff]! ^ (crc >>> 8)
  crc = ~crc
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0 === kept
}
