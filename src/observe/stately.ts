/**
 * Shows links to an inspector of Stately's kind, in the wire format of @statelyai/inspect 0.7.2 and without depending on
 * it: one JSON object a message, of the types `@xstate.actor`, `@xstate.event` and `@xstate.snapshot`.
 *
 * It reads what every user of a link can read, its transitions and its status. What leaves the process is picked field by
 * field: no frames, no tokens, no ids of sessions, and details of faults only if asked for.
 */
import type { Subscription } from 'rxjs'
import { type Fault, type FaultCode, faults } from '../../machines/fault.ts'
import type { StateName } from '../../machines/link.ts'
import { describe, refuseUnknown } from '../adapter/adapter.ts'
import { type Clock, realClock } from '../clock.ts'
import { HoldfastError } from '../error.ts'
import type { Link } from '../link.ts'
import type { TransitionRecord } from './recorder.ts'
import { definition, eventTypeOf, placeOf } from './stately-chart.ts'
import { StatelySocket } from './stately-socket.ts'

/** Of @statelyai/inspect, whose format this is. */
const VERSION = '0.7.2'

/** One message of the wire; `JSON.stringify` makes the text of it. */
export interface StatelyMessage {
  readonly type: '@xstate.actor' | '@xstate.event' | '@xstate.snapshot'
  readonly _version: string
  /** Milliseconds since 1970, as a text. */
  readonly createdAt: string
  readonly id: null
  readonly rootId: string
  readonly sessionId: string
  readonly [field: string]: unknown
}

export interface StatelyOptions {
  /** A WebSocket server that inspectors listen at, such as `ws://127.0.0.1:8080`. Nothing is sent anywhere without it. */
  readonly url?: string
  /** Is given every message, with or without a `url`. */
  readonly send?: (message: StatelyMessage) => void
  /** Also send the details of faults, which are the words of systems and peers. Default false. */
  readonly details?: boolean
  readonly clock?: Clock
}

export interface StatelyBridge {
  /** Messages that were never sent, because no inspector was there or it was too slow. */
  readonly dropped: number
  /** Ends the bridge. The links do not notice. It ends by itself when all of them have stopped. */
  close(): void
}

/**
 * Shows links as actors, from now on. Throws HoldfastError `bad-option` if there is neither a `url` nor a `send`, or if
 * the URL is none of a WebSocket.
 */
export const stately = (links: Iterable<Link>, options: StatelyOptions): StatelyBridge => {
  check(links, options)
  const { url, send, details = false, clock = realClock } = options
  const scope = Math.floor(clock.random() * 2 ** 32).toString(36)
  const actors = [...links].map((link, index) => new ShownLink(link, `holdfast:${scope}:${index}`, details))
  const introduce = () => actors.map((actor) => actor.introduction(clock.wall()))
  const socket = url === undefined ? undefined : new StatelySocket(url, clock, introduce)
  const tell = (message: StatelyMessage) => {
    socket?.send(message)
    send?.(message)
  }
  if (send) for (const message of introduce()) send(message)

  let left = actors.length
  const subscriptions = actors.map((actor) =>
    actor.watch(tell, () => {
      if (--left === 0) socket?.close()
    }),
  )
  return {
    get dropped() {
      return socket?.dropped ?? 0
    },
    close: () => {
      for (const subscription of subscriptions) subscription.unsubscribe()
      socket?.close()
    },
  }
}

const check = (links: Iterable<Link>, options: StatelyOptions): void => {
  const wrong = (message: string) => new HoldfastError('bad-option', message)
  refuseUnknown(options, ['url', 'send', 'details', 'clock'], 'options of stately()')
  if (typeof links?.[Symbol.iterator] !== 'function') {
    throw wrong(`stately() shows a list of links, such as [link]; this is ${describe(links)}.`)
  }
  const { url, send } = options
  if (send !== undefined && typeof send !== 'function') {
    throw wrong(`The option "send" of stately() is ${describe(send)}; it must be a function.`)
  }
  if (!url && !send) throw wrong('stately() needs a "url" to connect to, or a function "send", or both.')
}

/** One link as the actor that an inspector sees. */
class ShownLink {
  readonly #link: Link
  readonly #session: string
  readonly #details: boolean

  constructor(link: Link, session: string, details: boolean) {
    this.#link = link
    this.#session = session
    this.#details = details
  }

  introduction(now: number): StatelyMessage {
    const { state, attempt, fault } = this.#link.status
    return {
      ...this.#head('@xstate.actor', now),
      name: this.#link.id,
      definition,
      snapshot: this.#snapshot(state, attempt, fault),
    }
  }

  /** A link that moves has a second run for a moment: an actor is in one state, so that run is not shown. */
  watch(tell: (message: StatelyMessage) => void, ended: () => void): Subscription {
    return this.#link.transitions$.subscribe({
      next: (record) => {
        if (record.role !== undefined) return
        const event = this.#event(record)
        const { fault } = this.#link.status
        tell({ ...this.#head('@xstate.event', record.at), event, ...this.#source(record) })
        tell({
          ...this.#head('@xstate.snapshot', record.at),
          event,
          snapshot: this.#snapshot(record.to, record.attempt, fault),
        })
      },
      complete: ended,
    })
  }

  #head(type: StatelyMessage['type'], at: number): StatelyMessage {
    const session = this.#session
    return { type, _version: VERSION, createdAt: String(at), id: null, rootId: session, sessionId: session }
  }

  /** A timer of the chart is the actor's own; who else spoke is an activity, and those are not shown. */
  #source({ event }: TransitionRecord): { sourceId?: string } {
    return event.startsWith('after ') ? { sourceId: this.#session } : {}
  }

  #event({ event, reason, detail }: TransitionRecord): { type: string } {
    const type = eventTypeOf(event)
    if (event === 'dial.invited') return { type, reason } as { type: string }
    if (!CARRIES_FAULT.has(event) || !Object.hasOwn(faults, reason)) return { type }
    const fault: Fault = { code: reason as FaultCode, ...(detail !== undefined && { detail }) }
    return { type, fault: this.#shown(fault) } as { type: string }
  }

  #snapshot(state: StateName, attempt: number, fault: Fault | null) {
    const { value, tags } = placeOf(state)
    return {
      status: state === 'stopped' ? 'done' : 'active',
      value,
      historyValue: {},
      context: { attempt, fault: fault && this.#shown(fault) },
      children: {},
      tags,
    }
  }

  #shown({ code, detail }: Fault): Fault {
    return this.#details && detail !== undefined ? { code, detail } : { code }
  }
}

/** The facts that come with a fault; of other transitions the reason is no part of the event. */
const CARRIES_FAULT: ReadonlySet<string> = new Set(['endpoint.failed', 'transport.lost', 'account.impaired'])
