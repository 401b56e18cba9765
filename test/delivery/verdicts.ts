/** What a run found: how often each rule was looked at, and where it was broken. */

export const deliveryRules = {
  'HF-E1': 'a peer that answers and dedupes has every message once, in the order of its conversation',
  'HF-E2': 'every fate is told once and is true',
  'HF-E3': 'entered = delivered + expired + refused + uncertain + waiting, after every event of the clock',
  'HF-E4': 'the user gets every event once and in order, or is told of a gap where events are missing',
  'HF-E5': 'once the world is healthy the link is live and the outbox drains, and stop() leaves nothing',
} as const

export type DeliveryRule = keyof typeof deliveryRules

export interface Violation {
  readonly rule: DeliveryRule
  readonly what: string
  /** Milliseconds of the run. */
  readonly at: number
}

export class Verdicts {
  readonly checked = new Map<DeliveryRule, number>()
  readonly violations: Violation[] = []
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  check(rule: DeliveryRule, holds: boolean, what: () => string): void {
    this.checked.set(rule, (this.checked.get(rule) ?? 0) + 1)
    if (!holds) this.violations.push({ rule, what: what(), at: this.#now() })
  }
}
