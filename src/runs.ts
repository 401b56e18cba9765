/**
 * The runs of one link. Mostly there is one. While a link moves there are two: the successor gets in first, then the
 * predecessor drains and closes, so nothing is lost on the way. If the old transport breaks before that, the successor is
 * the link at once; if the successor may not get in, the link stays as it is.
 */
import type { Fault } from '../machines/fault.ts'
import type { LinkEvent } from '../machines/link.ts'
import type { LinkPorts } from './activities.ts'
import type { Timer } from './clock.ts'
import type { EndpointBook } from './net/endpoints.ts'
import { hasLost, Run, type Step } from './run.ts'
import type { LinkSession, SessionView } from './session.ts'

export type Role = 'current' | 'successor' | 'predecessor'

export interface RunsListener {
  stepped(step: Step, role: Role): void
  /** The successor has taken over, in whatever state it is. */
  succeeded(current: Run): void
  /** A transport ended before its successor listened, or before it could be closed: what came then, nobody has. */
  cutShort(): void
  /** Nothing runs any more. */
  ended(): void
  ignored(): void
  failed(run: Run, fault: Fault): void
}

export class Runs {
  readonly #ports: LinkPorts
  readonly #book: EndpointBook
  readonly #session: LinkSession
  readonly #listener: RunsListener
  #current: Run
  #successor: Run | undefined
  readonly #predecessors = new Set<Run>()
  #start: Timer | undefined

  constructor(ports: LinkPorts, book: EndpointBook, session: LinkSession, listener: RunsListener) {
    this.#ports = ports
    this.#book = book
    this.#session = session
    this.#listener = listener
    this.#current = this.#make(session)
  }

  get current(): Run {
    return this.#current
  }

  begin(): void {
    this.#current.begin()
  }

  order(event: LinkEvent): void {
    this.#current.order(event)
  }

  #make(session: SessionView): Run {
    return new Run(this.#ports, this.#book, session, {
      stepped: (run, step) => this.#stepped(run, step),
      ignored: () => this.#listener.ignored(),
      expiring: () => void this.move(),
      failed: (run, fault) => {
        if (run === this.#successor) this.#successor = undefined
        this.#listener.failed(run, fault)
      },
    })
  }

  /** Opens a successor while the transport still serves, where the peer allows two. */
  move(): boolean {
    if (!this.#ports.adapter.overlap || this.#current.state !== 'live') return false
    if (this.#successor) return true
    // two at a time and no more: the last move was so short ago that its predecessor still drains
    this.cutPredecessors()
    const served = this.#current
    const successor = this.#make(this.#session.besides(() => !hasLost(served.state)))
    this.#successor = successor
    const waitMs = this.#current.spreadMs
    if (waitMs > 0) this.#start = this.#ports.options.clock.setTimeout(() => successor.begin(), waitMs)
    else successor.begin()
    return true
  }

  /** Whoever orders the link to rest or to stop does not want it to move. */
  giveUpMoving(): void {
    const successor = this.#successor
    this.#successor = undefined
    if (!successor || !this.#hasBegun(successor)) return
    this.#predecessors.add(successor)
    successor.order({ type: 'operator.stop' })
  }

  /** One that has not begun yet never will. */
  #hasBegun(successor: Run): boolean {
    this.#ports.options.clock.clearTimeout(this.#start)
    return successor.hasBegun
  }

  /** Another process may act for the bot: nothing here says another word. */
  cut(fault: Fault): void {
    const event = { type: 'lease.lost', fault } as const
    const successor = this.#successor
    this.#successor = undefined
    if (successor && this.#hasBegun(successor)) this.#predecessors.add(successor)
    for (const run of this.#predecessors) run.order(event)
    this.#current.order(event)
  }

  cutPredecessors(): void {
    for (const run of this.#predecessors) run.order({ type: 'operator.stop' })
  }

  #stepped(run: Run, step: Step): void {
    this.#settle(run, step)
    const role = run === this.#current ? 'current' : run === this.#successor ? 'successor' : 'predecessor'
    if (role === 'predecessor' && step.to === 'stopped') this.#leave(run, step)
    this.#listener.stepped(step, role)
    if (role === 'successor') this.#followSuccessor(run, step)
    else if (role === 'current' && this.#successor && hasLost(step.to)) {
      // from here until the successor is welcomed nobody listens
      if (this.#successor.state !== 'registered' || !isGoodbye(step.event)) this.#listener.cutShort()
      this.#promote(this.#successor)
    }
    if (this.#current.state === 'stopped' && this.#predecessors.size === 0) this.#listener.ended()
  }

  #leave(run: Run, { event, from }: Step): void {
    this.#predecessors.delete(run)
    if (run.ports.leaving === 'succeeded' && from === 'closing' && !isGoodbye(event)) this.#listener.cutShort()
  }

  /** What the chart's states mean for the outbox. */
  #settle(run: Run, { from, to, context }: Step): void {
    const { outbox } = this.#ports
    const { conversation } = run.ports
    if (to === 'live' && conversation) outbox.attach(conversation.flight)
    else if (run === this.#current && from === 'live' && to !== 'closing') outbox.detach()
    if (!hasLost(to)) return
    run.ports.conversation = undefined
    conversation?.flight.lose(context.fault ?? { code: 'closed-by-peer' })
  }

  #followSuccessor(run: Run, { to }: Step): void {
    if (to === 'live') this.#promote(run)
    // what it cannot do the link will meet by itself when it has lost what it has
    else if (to === 'parked') this.giveUpMoving()
    else if (to === 'stopped') this.#successor = undefined
  }

  /** From now on the successor is the link; what was written before is still proved where it was written. */
  #promote(successor: Run): void {
    if (!this.#hasBegun(successor)) successor.begin()
    const predecessor = this.#current
    this.#successor = undefined
    this.#current = successor
    predecessor.ports.leaving = 'succeeded'
    // the transport that it has, or is about to have, began beside the session; the next one resumes it
    successor.ports.session = this.#session
    this.#predecessors.add(predecessor)
    this.#listener.succeeded(successor)
    predecessor.order({ type: 'operator.stop' })
  }
}

/** The close frame comes behind all else that the peer had to say. */
const isGoodbye = (event: { readonly type: string; readonly fault?: Fault }): boolean =>
  event.type === 'transport.lost' && event.fault?.code !== 'connection-lost'
