/** What a log or a table says: one change after another. */
import { Reader } from './bytes.ts'

/** One change of one key; the highest sequence of a key counts. */
export interface Entry {
  readonly sequence: number
  readonly key: string
  /** Undefined: it was deleted. */
  readonly value: string | undefined
}

export type Take = (entry: Entry) => void

/** The record of a log is a batch: its first sequence (8 bytes), a count (4), then the changes. */
export const scanBatch = (batch: Buffer, take: Take): void => {
  const reader = new Reader(batch)
  let sequence = reader.sequence()
  reader.skip(4)
  for (; !reader.isDone; sequence++) {
    const isPut = reader.byte() === 1
    const key = reader.bytes(reader.varint()).toString()
    take({ sequence, key, value: isPut ? reader.bytes(reader.varint()).toString() : undefined })
  }
}
