/**
 * A log of LevelDB (doc/log_format.md there), as far as its checksums hold: blocks of 32 KiB, in them records of checksum
 * (4 bytes), length (2), type (1) and data. A record that is longer than its block is written in parts, and the type says
 * which one it is. LevelDB skips the rest of a block for one wrong byte; here the next whole record goes on.
 */
import { isIntact } from './bytes.ts'

const BLOCK_BYTES = 32_768
const HEADER_BYTES = 7
const FULL = 1
const FIRST = 2
const LAST = 4

export interface LogState {
  /** In so many places something was damaged. */
  readonly places: number
  /** It ends within a record: the process or the machine died there. */
  readonly torn: boolean
}

/** Hands on each whole record. */
export const scanLog = (bytes: Buffer, take: (record: Buffer) => void): LogState => {
  let places = 0
  let torn = false
  let parts: Buffer[] | undefined
  for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
    const block = bytes.subarray(start, start + BLOCK_BYTES)
    const isLast = start + BLOCK_BYTES >= bytes.length
    // less room than for a header is left empty
    for (let at = 0; at < block.length && at + HEADER_BYTES <= BLOCK_BYTES; ) {
      const data = recordAt(block, at)
      if (data === undefined) {
        const next = nextRecord(block, at + 1)
        torn = isLast && next === block.length && isEndless(block, at)
        if (!torn) places++
        parts = undefined
        at = next
        continue
      }
      const type = block[at + 6]!
      if (type === FULL || type === FIRST) parts = []
      parts?.push(data)
      if (parts && (type === FULL || type === LAST)) take(Buffer.concat(parts))
      if (type === FULL || type === LAST) parts = undefined
      at += HEADER_BYTES + data.length
    }
  }
  // the first parts of a record whose last part was never written
  return { places, torn: torn || parts !== undefined }
}

/** A record that was not written to its end; zeros are what some file systems leave of one after a loss of power. */
const isEndless = (block: Buffer, at: number): boolean =>
  isCutShort(block, at) || block.subarray(at).every((byte) => byte === 0)

const isCutShort = (block: Buffer, at: number): boolean =>
  at + HEADER_BYTES > block.length || at + HEADER_BYTES + block.readUInt16LE(at + 4) > block.length

const recordAt = (block: Buffer, at: number): Buffer | undefined => {
  const begin = at + HEADER_BYTES
  if (begin > block.length) return undefined
  const end = begin + block.readUInt16LE(at + 4)
  const type = block[at + 6]!
  if (type < FULL || type > LAST || end > block.length) return undefined
  return isIntact(block.readUInt32LE(at), block.subarray(at + 6, end)) ? block.subarray(begin, end) : undefined
}

/** Where the next whole record begins. None is found within a value: types are control characters, and JSON has none. */
const nextRecord = (block: Buffer, from: number): number => {
  let at = from
  while (at < block.length && recordAt(block, at) === undefined) at++
  return at
}
