/**
 * XState's own inspection of a link's charts: wrapped here and nowhere else, and attached only while somebody is
 * subscribed. A link itself needs none of it (see steps.ts).
 */
import { Observable, Subject } from 'rxjs'
import type { AnyActorRef } from 'xstate'
import { describe } from './adapter/adapter.ts'
import { HoldfastError } from './error.ts'

/** As XState made it: what more there is depends on its type. Without xstate in its type, for those who have none. */
export interface XStateInspectionEvent {
  readonly type: '@xstate.actor' | '@xstate.event' | '@xstate.snapshot' | '@xstate.microstep' | '@xstate.action'
  readonly [detail: string]: unknown
}

/** Of one link: a chart for each of its runs. */
export class Inspection {
  readonly #actors = new Set<AnyActorRef>()
  readonly #added$ = new Subject<AnyActorRef>()

  /** Completes when the link has stopped. */
  readonly events$ = new Observable<XStateInspectionEvent>((subscriber) => {
    const attach = ({ system }: AnyActorRef) =>
      subscriber.add(system.inspect((event) => subscriber.next(event as unknown as XStateInspectionEvent)))
    subscriber.add(this.#added$.subscribe({ next: attach, complete: () => subscriber.complete() }))
    for (const actor of this.#actors) attach(actor)
  })

  /** Before it is started, so that its first event is told too. */
  add(actor: AnyActorRef): void {
    this.#actors.add(actor)
    const forget = () => this.#actors.delete(actor)
    actor.subscribe({ complete: forget, error: forget })
    this.#added$.next(actor)
  }

  end(): void {
    this.#added$.complete()
  }
}

const ofLinks = new WeakMap<object, Observable<XStateInspectionEvent>>()

export const offerInspection = (link: object, events$: Observable<XStateInspectionEvent>): void => {
  ofLinks.set(link, events$)
}

/**
 * What XState tells of the charts of a link, as its option `inspect` would: every event, whatever became of it, each
 * microstep with the arrow that was taken, each activity. XState's inspection is attached for as long as somebody is
 * subscribed, and costs some 3 µs a transition meanwhile. Completes when the link has stopped; never errors. Throws
 * HoldfastError `bad-option` for what is no link.
 */
export const xstateInspection = (link: object): Observable<XStateInspectionEvent> => {
  const events$ = ofLinks.get(link)
  if (events$) return events$
  throw new HoldfastError('bad-option', `xstateInspection() got ${describe(link)}; it wants what connect() gave.`)
}
