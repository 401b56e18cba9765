/** A recording as text, one transition to a line, and which parts of the drawn chart a transition touches. */
import type { TransitionRecord } from '../src/observe/recorder.ts'

export interface Recording {
  readonly records: readonly TransitionRecord[]
  /** Lines that are no transition: a cut tail, or the words of something else. */
  readonly skipped: number
}

export const readRecording = (text: string): Recording => {
  const records: TransitionRecord[] = []
  let skipped = 0
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const record = readRecord(line)
    if (record) records.push(record)
    else skipped++
  }
  return { records, skipped }
}

const readRecord = (line: string): TransitionRecord | undefined => {
  try {
    const { from, to, event, reason, at } = JSON.parse(line)
    const isRecord = [from, to, event, reason].every((part) => typeof part === 'string') && typeof at === 'number'
    return isRecord ? JSON.parse(line) : undefined
  } catch {
    return undefined
  }
}

/** A state and the frames around it, by the names that the drawing uses, innermost first. */
const around: Record<string, readonly string[]> = {
  connecting: ['attached'],
  handshaking: ['attached'],
  registered: ['session', 'attached'],
  live: ['session', 'attached'],
  suspect: ['degraded', 'session', 'attached'],
  impaired: ['degraded', 'session', 'attached'],
  closing: ['attached'],
}

const drawn = (state: string): string => state.replace('degraded.', '')

export const nodeOf = (state: string): string => `n-${drawn(state)}`

/** Arrows begin and end at a state or at a frame around it; orders from people are drawn once, for every state. */
export const edgesOf = ({ from, to }: Pick<TransitionRecord, 'from' | 'to'>): string[] => {
  const ends = (state: string) => [drawn(state), ...(around[drawn(state)] ?? [])]
  return [...ends(from).flatMap((a) => ends(to).map((b) => `e-${a}-${b}`)), `e-link-${drawn(to)}`]
}
