/**
 * Who may dial an endpoint, and when: shared by all links of a process. It speaks to a link in two ways only: through the
 * length of its wait, and by an invitation that cuts the wait short. So a link whose governor fails still dials, late.
 *
 * What it bounds, whatever the links and the peer do:
 * - failed dials of one endpoint: 40 in any minute, however many links wait (one scout dials for all)
 * - dials of one link that the peer accepts: 12 in any minute
 * - invitations on recovery: as many under way at once as the breaker's window is wide, 60 in any 100 ms
 */
import { EMPTY, Observable } from 'rxjs'
import { type Actor, createActor, fromEventObservable } from 'xstate'
import { type BreakerEvent, breakerMachine, WINDOW_MAX } from '../machines/breaker.ts'
import { type Fault, kindOf } from '../machines/fault.ts'
import type { StateName } from '../machines/link.ts'
import type { Clock, Timer } from './clock.ts'

const MINUTE_MS = 60_000
const FAILED_MAX = 40
const ACCEPTED_MAX = 12
const INVITED_MAX = 60
const INVITED_WITHIN_MS = 100
const INVITE_EVERY_MS = 25
/** A link that is never invited dials by itself after a minute and up to 3 s for each link that waits beside it. */
const FALLBACK_MS = 60_000
const FALLBACK_SPREAD_MS = 3_000
/** Links that were all told to come back at the same time come back so far apart. */
const TOLD_APART_MS = 5

/** A link's place at the governor. */
export interface Seat {
  /** The link enters backoff: how long it shall wait, in milliseconds, if it is not invited before. */
  wait(endpoint: string | undefined, fault: Fault | null, ownMs: number): number
  /** The link is in another state now. */
  moved(to: StateName, endpoint: string | undefined): void
}

export class Governor {
  readonly #clock: Clock
  readonly #endpoints = new Map<string, Endpoint>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `invite` is called when the link may dial although its wait is not over. */
  join(invite: () => void): Seat {
    const place = new Place(invite)
    return {
      wait: (key, fault, ownMs) => {
        const endpoint = this.#seat(place, key)
        return endpoint ? endpoint.wait(place, fault, ownMs) : ownMs
      },
      moved: (to, key) => {
        if (to === 'stopped') this.#seat(place, undefined)
        else this.#seat(place, key ?? place.endpoint?.key)?.moved(place, to)
      },
    }
  }

  /** Moves a place to an endpoint; one that nobody uses any more is forgotten. */
  #seat(place: Place, key: string | undefined): Endpoint | undefined {
    if (place.endpoint?.key === key) return place.endpoint
    const before = place.endpoint
    before?.leave(place)
    if (before?.isEmpty) {
      before.end()
      this.#endpoints.delete(before.key)
    }
    place.endpoint = undefined
    if (key === undefined) return undefined
    const endpoint = this.#endpoints.get(key) ?? new Endpoint(key, this.#clock)
    this.#endpoints.set(key, endpoint)
    endpoint.enter(place)
    place.endpoint = endpoint
    return endpoint
  }
}

const governors = new WeakMap<Clock, Governor>()

/** The governor of all links that live by the same clock: one for a process, one for each test. */
export const governorOf = (clock: Clock): Governor => {
  const governor = governors.get(clock) ?? new Governor(clock)
  governors.set(clock, governor)
  return governor
}

class Place {
  readonly invite: () => void
  endpoint: Endpoint | undefined
  /** Dials that the peer accepted. */
  readonly accepted = new Rate(ACCEPTED_MAX, MINUTE_MS)

  constructor(invite: () => void) {
    this.invite = invite
  }
}

/** At most so many within a time: remembers the last moments, which is enough to say when one more fits. */
class Rate {
  readonly #max: number
  readonly #withinMs: number
  readonly #at: number[] = []

  constructor(max: number, withinMs: number) {
    this.#max = max
    this.#withinMs = withinMs
  }

  note(now: number): void {
    this.#at.push(now)
    if (this.#at.length > this.#max) this.#at.shift()
  }

  room(now: number): number {
    return this.#max - this.#at.filter((at) => at > now - this.#withinMs).length
  }

  /** Milliseconds until one more fits. */
  waitMs(now: number): number {
    return this.#at.length < this.#max ? 0 : Math.max(0, this.#at[0]! + this.#withinMs - now)
  }
}

class Endpoint {
  readonly key: string
  readonly #clock: Clock
  readonly #places = new Set<Place>()
  /** Until when each wants to wait. In the order in which they shall go: a scout that failed goes to the end. */
  readonly #waiting = new Map<Place, number>()
  readonly #dialing = new Set<Place>()
  readonly #inside = new Set<Place>()
  readonly #failed = new Rate(FAILED_MAX, MINUTE_MS)
  readonly #invited = new Rate(INVITED_MAX, INVITED_WITHIN_MS)
  readonly #breaker: Actor<typeof boundBreaker>
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #toldUntil = 0

  constructor(key: string, clock: Clock) {
    this.key = key
    this.#clock = clock
    this.#breaker = createActor(boundBreaker, {
      // two processes that share an endpoint must not scout in step
      input: { id: `${key}~${clock.random()}` },
      clock: { setTimeout: clock.setTimeout, clearTimeout: (timer: object) => clock.clearTimeout(timer) },
    })
    endpointBySystem.set(this.#breaker.system, this)
    this.#breaker.start()
  }

  get isEmpty(): boolean {
    return this.#places.size === 0
  }

  end(): void {
    this.#clock.clearTimeout(this.#timer)
    this.#breaker.stop()
  }

  enter(place: Place): void {
    this.#places.add(place)
  }

  leave(place: Place): void {
    this.#places.delete(place)
    this.#settle(place)
  }

  wait(place: Place, fault: Fault | null, ownMs: number): number {
    const now = this.#clock.now()
    if (this.#dialing.delete(place)) {
      this.#failed.note(now)
      if (fault && kindOf(fault) !== 'vacant') place.accepted.note(now)
    }
    this.#inside.delete(place)
    const delayMs = Math.max(ownMs, place.accepted.waitMs(now))
    const told = (fault?.retryAfterMs ?? 0) > 0
    const isAlone = this.#places.size === 1
    if (!told && !isAlone) this.#waiting.set(place, now + delayMs)
    this.#tell(this.#inside.size > 0 ? { type: 'dial.failed' } : { type: 'endpoint.lost', fault: fault ?? UNKNOWN })
    if (isAlone) return Math.max(delayMs, this.#failed.waitMs(now))
    if (told) return this.#reserve(now, delayMs)
    this.#inviteBy(now + delayMs)
    return delayMs + FALLBACK_MS + this.#places.size * FALLBACK_SPREAD_MS * this.#clock.random()
  }

  /** A link that the peer told when to come is held to it by its own chart; here it only gets a place in the line. */
  #reserve(now: number, delayMs: number): number {
    this.#toldUntil = Math.max(this.#toldUntil + TOLD_APART_MS, now + delayMs)
    return this.#toldUntil - now
  }

  moved(place: Place, to: StateName): void {
    if (to === 'connecting') {
      this.#waiting.delete(place)
      this.#dialing.add(place)
    } else if (to === 'registered') {
      this.#dialing.delete(place)
      this.#inside.add(place)
      place.accepted.note(this.#clock.now())
      this.#tell({ type: 'endpoint.answered' })
      this.#inviteNow()
    } else if (to === 'parked' || to === 'closing' || to === 'stopped') {
      // whoever is refused for a reason of its own was answered
      if (to === 'parked' && this.#dialing.has(place)) this.#tell({ type: 'endpoint.answered' })
      this.#settle(place)
    }
  }

  #settle(place: Place): void {
    this.#waiting.delete(place)
    this.#dialing.delete(place)
    this.#inside.delete(place)
    if (this.#waiting.size === 0) this.#tell({ type: 'queue.emptied' })
    else this.#inviteNow()
  }

  #tell(event: BreakerEvent): void {
    this.#breaker.send(event)
  }

  /** The breaker's scout: one link is sent, as soon as the budget of failed dials has room for one more. */
  scout(): Observable<BreakerEvent> {
    return new Observable((subscriber) => {
      const send = () => {
        const now = this.#clock.now()
        const place = [...this.#waiting.keys()].find(({ accepted }) => accepted.waitMs(now) === 0)
        if (place) this.#invite(place)
        else subscriber.next({ type: 'queue.emptied' })
      }
      const timer = this.#clock.setTimeout(send, this.#failed.waitMs(this.#clock.now()))
      subscriber.add(() => this.#clock.clearTimeout(timer))
    })
  }

  /** The breaker's inviter: batches, as long as the window, the budget and the queue have room. */
  inviter(): Observable<BreakerEvent> {
    return new Observable((subscriber) => {
      const next = () => {
        this.#inviteNow()
        if (this.#waiting.size === 0 && this.#dialing.size === 0) subscriber.next({ type: 'queue.emptied' })
        else if (!subscriber.closed) timer = this.#clock.setTimeout(next, INVITE_EVERY_MS)
      }
      let timer = this.#clock.setTimeout(next, 0)
      subscriber.add(() => this.#clock.clearTimeout(timer))
    })
  }

  /** With sessions there the endpoint is fine: whoever lost its own comes back when its wait is over. */
  #inviteBy(dueAt: number): void {
    if (dueAt >= this.#timerAt) return
    this.#clock.clearTimeout(this.#timer)
    this.#timerAt = dueAt
    this.#timer = this.#clock.setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY
      this.#inviteNow()
      const now = this.#clock.now()
      for (const next of this.#waiting.values()) this.#inviteBy(Math.max(next, now + INVITE_EVERY_MS))
    }, dueAt - this.#clock.now())
  }

  #inviteNow(): void {
    const snapshot = this.#breaker.getSnapshot()
    if (snapshot.hasTag('open')) return
    const now = this.#clock.now()
    const isRamping = !snapshot.matches('closed')
    const window = isRamping ? snapshot.context.window : WINDOW_MAX
    let room = Math.min(window, this.#failed.room(now)) - this.#dialing.size
    room = Math.min(room, this.#invited.room(now))
    for (const [place, dueAt] of this.#waiting) {
      if (room <= 0) return
      if ((!isRamping && dueAt > now) || place.accepted.waitMs(now) > 0) continue
      room--
      this.#invite(place)
    }
  }

  #invite(place: Place): void {
    this.#waiting.delete(place)
    this.#dialing.add(place)
    this.#invited.note(this.#clock.now())
    place.invite()
  }
}

const UNKNOWN: Fault = { code: 'unknown' }

const endpointBySystem = new WeakMap<object, Endpoint>()

const activity = (run: (endpoint: Endpoint) => Observable<BreakerEvent>) =>
  fromEventObservable<BreakerEvent, { id: string }>(({ system }) => {
    const endpoint = endpointBySystem.get(system)
    return endpoint ? run(endpoint) : EMPTY
  })

/** The chart with its activities, bound once for all endpoints. */
const boundBreaker = breakerMachine.provide({
  actors: { scout: activity((endpoint) => endpoint.scout()), inviter: activity((endpoint) => endpoint.inviter()) },
})
