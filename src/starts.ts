/** Session starts that the platform rations: a link asks before it dials, and hands back what it did not use. */
import type { Fault } from '../machines/fault.ts'
import type { RationedStarts } from './adapter/adapter.ts'
import type { Clock } from './clock.ts'
import { textOf } from './error.ts'

interface Reservation {
  readonly ticket: number
  readonly dueAt: number
}

export class Starts {
  readonly #rationed: RationedStarts | undefined
  readonly #clock: Clock
  /** Ours, and not used yet: a dial that fails before it identifies keeps it for the next one. */
  #reservation: Reservation | undefined
  /** A question under way: who gave up its attempt meanwhile leaves the answer to the next one. */
  #asking: Promise<Fault | undefined> | undefined

  constructor(rationed: RationedStarts | undefined, clock: Clock) {
    this.#rationed = rationed
    this.#clock = clock
  }

  /** Undefined when a session may be started now; otherwise the fault that says why not, and when. */
  async permit(): Promise<Fault | undefined> {
    if (!this.#rationed) return undefined
    try {
      while (!this.#reservation) {
        this.#asking ??= this.#ask(this.#rationed)
        const refused = await this.#asking
        if (refused) return refused
      }
      const waitMs = this.#reservation.dueAt - this.#clock.now()
      return waitMs > 0 ? denied(waitMs, 'the next session start has its turn then') : undefined
    } catch (error) {
      return { code: 'session-budget', detail: textOf(error) }
    }
  }

  async #ask({ budget, bucket }: RationedStarts): Promise<Fault | undefined> {
    try {
      const given = await budget.reserve(bucket)
      if (given.exhausted) return denied(given.untilMs, 'today’s session starts are used up')
      this.#reservation = { ticket: given.ticket, dueAt: this.#clock.now() + given.waitMs }
      return undefined
    } finally {
      this.#asking = undefined
    }
  }

  /** A session is being started with the reservation. */
  spend(): void {
    this.#reservation = undefined
  }

  /** What an earlier process spent. A budget that cannot take it in only knows less. */
  async import(spent: unknown): Promise<void> {
    try {
      await this.#rationed?.budget.import?.(spent)
    } catch {
      // the platform still has the last word
    }
  }

  /** What was spent here, for the process after this one; undefined if it cannot be said. */
  async export(): Promise<unknown> {
    try {
      return await this.#rationed?.budget.export?.()
    } catch {
      return undefined
    }
  }

  /** The link rests or is at its end. A store that fails only makes the budget more careful than it had to be. */
  release(): void {
    // what is only being asked for is not needed either
    this.#asking?.then(
      () => this.release(),
      () => undefined,
    )
    const { ticket } = this.#reservation ?? {}
    this.#reservation = undefined
    if (ticket !== undefined) this.#refund(ticket).catch(() => undefined)
  }

  /** Also a budget that throws, as one in plain JavaScript may, then only rejects. */
  async #refund(ticket: number): Promise<void> {
    await this.#rationed?.budget.refund(ticket)
  }
}

const denied = (waitMs: number, why: string): Fault => ({
  code: 'session-budget',
  detail: `${why}: in ${Math.ceil(waitMs / 1_000)} s`,
  retryAfterMs: Math.max(1, Math.ceil(waitMs)),
})
