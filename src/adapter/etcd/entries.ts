/** Keys, values and revisions as the JSON gateway carries them: bytes in base64, and 64-bit numbers as text. */
import { asObject, type JsonObject } from '../json.ts'

export interface EtcdEntry {
  readonly key: string
  readonly value: string
  /** Of the whole store, when this entry was written last: a 64-bit number, as text. */
  readonly revision: string
}

/** An entry with the lease that it hangs on; `0` for none. */
export interface LeasedEntry extends EtcdEntry {
  readonly lease: string
}

export const encode = (text: string): string => Buffer.from(text).toString('base64')

const decode = (base64: unknown): string => (typeof base64 === 'string' ? Buffer.from(base64, 'base64').toString() : '')

/** The range of all keys with this beginning; of all keys if it is empty. */
export const rangeOf = (prefix: string): { key: string; range_end: string } => {
  const bytes = Buffer.from(prefix)
  const last = bytes.findLastIndex((byte) => byte < 0xff)
  if (last < 0) return { key: encode(prefix === '' ? '\0' : prefix), range_end: encode('\0') }
  const end = Buffer.from(bytes.subarray(0, last + 1))
  end[last]!++
  return { key: encode(prefix), range_end: end.toString('base64') }
}

/** Undefined for what is none. Older gateways leave numbers out that are 0, and newer ones too. */
export const readEntry = (value: unknown): LeasedEntry | undefined => {
  const kv = asObject(value)
  if (!kv || typeof kv.key !== 'string' || !isNumeral(kv.mod_revision)) return undefined
  const lease = isNumeral(kv.lease) ? kv.lease : '0'
  return { key: decode(kv.key), value: decode(kv.value), revision: kv.mod_revision, lease }
}

/** The revision of the store at which an answer was given. */
export const revisionOf = (answer: JsonObject): string | undefined => {
  const revision = asObject(answer.header)?.revision
  return isNumeral(revision) ? revision : undefined
}

export const isNumeral = (value: unknown): value is string => typeof value === 'string' && /^\d{1,19}$/.test(value)

export const next = (revision: string): string => String(BigInt(revision) + 1n)

export const isBefore = (a: string, b: string): boolean => BigInt(a) < BigInt(b)
