/**
 * Questions and answers over HTTP, as frames: what an adapter asks when its target is `http://` or `https://`, and what
 * comes back. One transport carries as many at a time as the adapter asks; each answer names its question by the key.
 */
import { type Fault, isFault } from '../machines/fault.ts'
import type { Frame } from './transport/transport.ts'

export interface Question {
  /** Names the answer. One that is asked under a key that is still open replaces it. */
  readonly key: string
  readonly method: string
  /** Below the target's URL, or from the root of its host if it begins with a slash. */
  readonly path: string
  /** Beside those of the target. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Until the answer is whole, in milliseconds; of a stream, until it begins. */
  readonly withinMs: number
  /** Ask no sooner than in so many milliseconds. */
  readonly afterMs?: number
  /** The answer does not end: it comes as events (server-sent events), or line by line. */
  readonly stream?: 'events' | 'lines'
  /** The last thing to be said: the transport is not closed before it is answered. */
  readonly isGoodbye?: boolean
}

/** What comes back for the question of this key; `fault` or `ended` is the last. */
export type Answer = { readonly key: string } & (
  | { readonly kind: 'whole'; readonly status: number; readonly headers: AnswerHeaders; readonly body: string }
  /** Only where a stream was asked for, and the status is 200. */
  | { readonly kind: 'opened'; readonly status: number; readonly headers: AnswerHeaders }
  | { readonly kind: 'event'; readonly type: string; readonly id?: string; readonly data: string }
  | { readonly kind: 'line'; readonly line: string }
  /** The peer ended the stream in good order. */
  | { readonly kind: 'ended' }
  /** The peer posted this to us, to the path that is the key: nobody asked. */
  | { readonly kind: 'posted'; readonly body: string }
  /** There is no answer, or no more of it. The transport stands; whether that matters is up to the adapter. */
  | { readonly kind: 'fault'; readonly fault: Fault }
)

/** By their names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string>>

export const ask = (question: Question): Frame => JSON.stringify(question)

/** Ends a question that is open; nothing more comes under its key. */
export const cancel = (key: string): Frame => JSON.stringify({ cancel: key })

/** For the transport. */
export const readQuestion = (frame: Frame): Question | { readonly cancel: string } => JSON.parse(String(frame))

/** For the transport. */
export const writeAnswer = (answer: Answer): Frame => JSON.stringify(answer)

/** For the adapter. Undefined if the frame is no answer: it came over another transport. Never throws. */
export const readAnswer = (frame: Frame): Answer | undefined => {
  try {
    const answer = JSON.parse(String(frame))
    if (typeof answer?.key !== 'string' || typeof answer.kind !== 'string') return undefined
    return answer.kind === 'fault' && !isFault(answer.fault) ? undefined : answer
  } catch {
    return undefined
  }
}
