/** What a run found: how often each rule was looked at, and where it was broken. */

/** Numbers and sentences as in docs/rules.md, where the reasons are. */
export const simRules = {
  'HF-S1': 'at most one transport is open',
  'HF-S2': 'a transport is open exactly in the states that hold one',
  'HF-S4': 'in every state that does not rest, a timer of the link is due within the deadline of that state',
  'HF-S5': 'total silence ends live within quietMs + answerMaxMs, and the session graceMs later',
  'HF-S6': 'what an ended transport, or its dialogue, still says changes nothing',
  'HF-S7': 'a message of the user is written only while live, or while closing drains',
  'HF-S8': 'attempts grow on entering backoff and are forgiven only by provenMs of live or by a person',
  'HF-S9': 'every dial after the first was waited for in full, invited, or ordered by a person',
  'HF-S10': 'nothing throws past the link, and a malformed frame moves nothing',
  'HF-S11': 'outbox, recorder and unread messages stay within their bounds, and what is dropped is counted',
  'HF-S12': 'every timer has a delay from 0 to 2^31-1 ms',
  'HF-S20': 'probes come at least quietWaitingMs apart, whatever rhythm the peer announces',
  'HF-O2': 'no message is written after its time',
  'HF-O3': 'a settled message is never written, and only an idempotent one is written twice',
  'HF-O1': 'the counts add up, and every promise settles once, within its time',
  'HF-O4': 'delivered is said only on proof',
  'HF-O5': 'once the world is healthy and the outbox empty, a message and a call are delivered at once',
  'HF-O6': 'messages are written in the order in which they were sent',
  'HF-L1': 'once the world is healthy the link is live within the stated bound',
  'HF-L3': 'a link is parked only by a fatal fault, two doubtful ones or a person, and always with advice',
  'HF-C6': 'the dials of a minute are bounded, whatever happens',
  'HF-Q1': 'after stop() there is no dial, no timer and no transport, for ever',
  'HF-Q2': 'stop() resolves within closeMs + 1 s',
} as const

export type SimRule = keyof typeof simRules

export interface Violation {
  readonly rule: SimRule
  readonly what: string
  /** Milliseconds of the run. */
  readonly at: number
}

export class Verdicts {
  readonly checked = new Map<SimRule, number>()
  readonly violations: Violation[] = []
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  check(rule: SimRule, holds: boolean, what: () => string): void {
    this.checked.set(rule, (this.checked.get(rule) ?? 0) + 1)
    if (!holds) this.violations.push({ rule, what: what(), at: this.#now() })
  }
}
