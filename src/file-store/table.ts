/**
 * A table of LevelDB (doc/table_format.md there), as far as its checksums hold: blocks one after another, each followed by
 * its compression (1 byte) and checksum (4). The last 48 bytes say where the index is, and the index where the others are.
 */
import { isIntact, Reader } from './bytes.ts'
import type { Entry, Take } from './entry.ts'

const FOOTER_BYTES = 48

interface Handle {
  readonly offset: number
  readonly size: number
}

const handleFrom = (reader: Reader): Handle => ({ offset: reader.varint(), size: reader.varint() })

/** Hands on the entries of its whole blocks, and returns how many blocks were damaged. */
export const scanTable = (bytes: Buffer, take: Take): number => {
  if (bytes.length < FOOTER_BYTES) return 1
  const footer = new Reader(bytes.subarray(-FOOTER_BYTES))
  const metaindex = blockAt(bytes, handleFrom(footer))
  const index = blockAt(bytes, handleFrom(footer))
  if (!index) return 1
  let damaged = metaindex ? 0 : 1
  for (const [, handle] of metaindex ?? []) damaged += isBlock(bytes, handleFrom(new Reader(handle))) ? 0 : 1
  for (const [, handle] of index) {
    const block = blockAt(bytes, handleFrom(new Reader(handle)))
    if (!block) damaged++
    else for (const [key, value] of block) take(entryFrom(key, value))
  }
  return damaged
}

/** A key in a table ends with 8 bytes: what was done with it, and the sequence. */
const entryFrom = (key: Buffer, value: Buffer): Entry => {
  const end = key.length - 8
  const isPut = key[end] === 1
  const sequence = Number(key.readBigUInt64LE(end) >> 8n)
  return { sequence, key: key.toString('utf8', 0, end), value: isPut ? value.toString() : undefined }
}

const isBlock = (bytes: Buffer, { offset, size }: Handle): boolean => {
  const end = offset + size + 1
  if (end + 4 > bytes.length - FOOTER_BYTES) return false
  return isIntact(bytes.readUInt32LE(end), bytes.subarray(offset, end))
}

const UNCOMPRESSED = 0

/** Its keys and values: each key without what it shares with the one before; at the end, places to start from. */
const blockAt = (bytes: Buffer, handle: Handle): [key: Buffer, value: Buffer][] | undefined => {
  const { offset, size } = handle
  if (!isBlock(bytes, handle) || bytes[offset + size] !== UNCOMPRESSED) return undefined
  const restarts = bytes.readUInt32LE(offset + size - 4)
  const reader = new Reader(bytes.subarray(offset, offset + size - 4 - 4 * restarts))
  const entries: [Buffer, Buffer][] = []
  let last = Buffer.alloc(0)
  while (!reader.isDone) {
    const shared = reader.varint()
    const own = reader.varint()
    const length = reader.varint()
    last = Buffer.concat([last.subarray(0, shared), reader.bytes(own)])
    entries.push([last, reader.bytes(length)])
  }
  return entries
}
