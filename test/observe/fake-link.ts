/** A link that says what it is told to: what is under test here only looks at links. */
import { BehaviorSubject, Subject } from 'rxjs'
import type { StateName } from '../../machines/link.ts'
import type { LinkStatus } from '../../src/explain.ts'
import type { FleetChange } from '../../src/fleet.ts'
import type { Link } from '../../src/link.ts'
import { Recorder, type TransitionRecord } from '../../src/observe/recorder.ts'
import { checkOptions } from '../../src/options.ts'

export class FakeLink {
  readonly id: string
  readonly adapterName = 'fake'
  readonly deadlines = checkOptions({}, 'fake').deadlines
  readonly transitions$ = new Subject<TransitionRecord>()
  readonly state$: BehaviorSubject<LinkStatus>
  readonly orders: string[] = []
  roundTripMs: number | null = null
  latest: TransitionRecord | undefined
  readonly #recorder: Recorder

  constructor(id: string, now = 1_000_000, recordsMax = 256) {
    this.id = id
    this.#recorder = new Recorder(recordsMax)
    this.state$ = new BehaviorSubject<LinkStatus>({
      id,
      state: 'resolving',
      since: now,
      attempt: 1,
      fault: null,
      nextDialAt: null,
    })
  }

  get status() {
    return this.state$.value
  }

  get recording() {
    return this.#recorder.recording
  }

  /** Moves on, as a link does: status, record, listeners. */
  go(to: StateName, more: Partial<Omit<TransitionRecord, 'to'>> & { fault?: LinkStatus['fault'] } = {}): void {
    const { fault = null, ...given } = more
    const { state: from, attempt } = this.status
    const at = given.at ?? this.status.since + 1
    const nextDialAt = given.delayMs === undefined ? null : at + given.delayMs
    const status = { id: this.id, state: to, since: at, attempt, fault, nextDialAt }
    const event = given.event ?? 'transport.opened'
    const reason = given.reason ?? fault?.code ?? event
    const record = { link: this.id, at, elapsedMs: at - 1_000_000, from, event, to, reason, attempt, ...given }
    this.latest = this.#recorder.add(record)
    this.transitions$.next(this.latest)
    this.state$.next(status)
  }

  hold = () => void this.orders.push('hold')
  resume = () => void this.orders.push('resume')
  retry = () => void this.orders.push('retry')
  stop = async () => void this.orders.push('stop')

  get asLink(): Link {
    return this as unknown as Link
  }

  /** Somebody listens. */
  get isWatched(): boolean {
    return this.transitions$.observed || this.state$.observed
  }
}

/** Fake links that come and go. */
export const fakeFleet = (...links: FakeLink[]) => {
  const held = new Set(links)
  const changes$ = new Subject<FleetChange>()
  return {
    changes$,
    add: (link: FakeLink) => {
      held.add(link)
      changes$.next({ kind: 'added', link: link.asLink })
    },
    remove: (link: FakeLink) => {
      held.delete(link)
      changes$.next({ kind: 'removed', link: link.asLink })
    },
    [Symbol.iterator]: () => [...held].map(({ asLink }) => asLink)[Symbol.iterator](),
  }
}
