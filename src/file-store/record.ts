/**
 * One record as it stands in a file: a version, a checksum over key and value, the value. LevelDB checks its logs, but
 * not its tables.
 */
import { createHash } from 'node:crypto'

const VERSION = '1'
const CHECKSUM_LENGTH = 16
const SEAL_LENGTH = VERSION.length + CHECKSUM_LENGTH

/** The text of a value with its seal. */
export const sealed = (key: string, text: string): string => {
  // JSON has no NUL in it, so no other pair of key and value gives this text
  const digest = createHash('sha256').update(`${key}\0${text}`).digest('hex')
  return VERSION + digest.slice(0, CHECKSUM_LENGTH) + text
}

/** The value, or undefined where this is no record of ours, or not a whole one. */
export const unsealed = (key: string, kept: string): unknown => {
  const text = kept.slice(SEAL_LENGTH)
  if (kept !== sealed(key, text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
