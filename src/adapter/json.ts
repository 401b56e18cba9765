/** Reading JSON from a peer that may be broken or hostile. */
import type { Frame } from './adapter.ts'

export type JsonObject = Record<string, unknown>

/** Deeper input parses, but then overflows the stack of whoever walks or prints it (T6). */
const DEPTH_MAX = 64

/** The object in a text frame, or undefined if it is anything else: not text, not JSON, not an object, too deep. */
export const readObject = (frame: Frame): JsonObject | undefined => {
  if (typeof frame !== 'string' || tooDeep(frame)) return undefined
  try {
    return asObject(JSON.parse(frame))
  } catch {
    return undefined
  }
}

export const asObject = (value: unknown): JsonObject | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined

const QUOTE = 34
const BACKSLASH = 92
const OPENING = new Set([123, 91])
const CLOSING = new Set([125, 93])

const tooDeep = (text: string): boolean => {
  if (text.length <= 2 * DEPTH_MAX) return false
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (char === BACKSLASH && inString) i++
    else if (char === QUOTE) inString = !inString
    else if (inString) continue
    else if (OPENING.has(char) && ++depth > DEPTH_MAX) return true
    else if (CLOSING.has(char)) depth--
  }
  return false
}
