/**
 * Who may dial an endpoint, and when: shared by all links of a process. It speaks to a link in two ways only: through the
 * length of its wait, and by an invitation that cuts the wait short. So a link whose governor fails still dials, late.
 *
 * What it bounds, whatever the links and the peer do:
 * - a link that the peer told when to come: not invited before; after that it is one among the others
 * - failed dials of one endpoint: 40 in any minute, however many links wait (one scout dials for all)
 * - dials of one link that the peer accepts: 12 in any minute
 * - invitations on recovery: as many under way at once as the breaker's window is wide, 60 in any 100 ms
 *
 * A person who connects, resumes or retries dials at once: an order is no wish. Those dials are outside of the bounds, and
 * use them up for all the others; but half of what may fail is kept for scouts when many links are connected or resumed
 * together, or nobody would look for a peer that was down when the process started.
 */
import { EMPTY, Observable } from 'rxjs'
import { type Actor, createActor, fromEventObservable } from 'xstate'
import { type BreakerEvent, breakerMachine, WINDOW_MAX } from '../machines/breaker.ts'
import { askedMs, backoffDelay } from '../machines/delay.ts'
import { type Fault, kindOf } from '../machines/fault.ts'
import type { StateName } from '../machines/link.ts'
import type { Clock, Timer } from './clock.ts'
import { Rate, Slots } from './rate.ts'

const MINUTE_MS = 60_000
const FAILED_MAX = 40
/** So many of them are not for scouts: with none left, a scout that gets in at last could call nobody after it. */
const KEPT_FOR_RECOVERY = 2
/** So many of them are not for those who connect or resume. */
const KEPT_FROM_ORDERS = FAILED_MAX / 2
const ACCEPTED_MAX = 12
const INVITED_MAX = 60
const INVITED_WITHIN_MS = 100
const INVITE_EVERY_MS = 25
const SCOUT_EVERY_MS = 250
/** A link that is never invited dials by itself so late, and so far apart from the others that wait beside it. */
const FALLBACK_MS = 120_000
const FALLBACK_APART_MS = 30_000
/** All who were told the same time come within so much more of it: the most that a link adds to it by itself. */
const TOLD_SPREAD = 0.2
/** A scout asks for all, so what it is told holds for all; but not for longer, since it may be about its account alone. */
const SCOUT_TOLD_MAX_MS = 60_000

/** A link's place at the governor. */
export interface Seat {
  /** The link enters backoff: how long it shall wait, in milliseconds, if it is not invited before. */
  wait(endpoint: string | undefined, fault: Fault | null, ownMs: number): number
  /** Whether this link may dial before its time when there is a hint: alone, or as the one that goes first for all. */
  mayHurry(): boolean
  /** So long links of this endpoint wait that were all told to move at once, in milliseconds: a draw of this link. */
  spreadMs(): number
  /** The link is in another state now. */
  moved(to: StateName, endpoint: string | undefined): void
}

export class Governor {
  readonly #clock: Clock
  readonly #endpoints = new Map<string, Endpoint>()
  readonly #failed = new Map<string, Rate>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `invite` is called when the link may dial although its wait is not over. */
  join(invite: () => void): Seat {
    const place = new Place(invite)
    return {
      wait: (key, fault, ownMs) => {
        // a link that goes elsewhere now leaves its failure where it was made
        if (key !== place.endpoint?.key) place.endpoint?.failedDial(place, fault)
        const endpoint = this.#seat(place, key)
        return endpoint ? Math.ceil(endpoint.wait(place, fault, ownMs)) : ownMs
      },
      mayHurry: () => place.endpoint?.mayHurry(place) ?? true,
      spreadMs: () => (place.endpoint ? Math.floor(this.#clock.random() * place.endpoint.crowdMs) : 0),
      moved: (to, key) => {
        this.#seat(place, key ?? place.endpoint?.key)?.moved(place, to)
        if (to === 'stopped') this.#seat(place, undefined)
      },
    }
  }

  /** Moves a place to an endpoint; one that nobody uses any more is ended. */
  #seat(place: Place, key: string | undefined): Endpoint | undefined {
    if (place.endpoint?.key === key) return place.endpoint
    const before = place.endpoint
    before?.leave(place)
    if (before?.isEmpty) this.#end(before)
    place.endpoint = undefined
    if (key === undefined) return undefined
    const endpoint = this.#endpoints.get(key) ?? new Endpoint(key, this.#clock, this.#failed.get(key))
    this.#endpoints.set(key, endpoint)
    endpoint.enter(place)
    place.endpoint = endpoint
    return endpoint
  }

  /** What failed there within the last minute is remembered: stopping a link and starting it again is no way around. */
  #end(endpoint: Endpoint): void {
    endpoint.end()
    this.#endpoints.delete(endpoint.key)
    this.#failed.set(endpoint.key, endpoint.failed)
    const now = this.#clock.now()
    for (const [key, failed] of this.#failed) if (failed.room(now) === FAILED_MAX) this.#failed.delete(key)
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
  /** Its next dial is that of a person who connects or resumes it. */
  isOrdered = true
  /** Dials that the peer accepted. */
  readonly accepted = new Rate(ACCEPTED_MAX, MINUTE_MS)

  constructor(invite: () => void) {
    this.invite = invite
  }
}

interface Wait {
  readonly since: number
  /** When it may be invited at the earliest: later than `since` if the peer told it to wait. */
  readonly notBefore: number
  /** Until when the link itself wants to wait. */
  readonly dueAt: number
}

class Endpoint {
  readonly key: string
  readonly failed: Rate
  readonly #clock: Clock
  readonly #places = new Set<Place>()
  /** In the order in which they shall go: a scout that failed goes to the end. */
  readonly #waiting = new Map<Place, Wait>()
  readonly #dialing = new Set<Place>()
  /** Those of them that a person connected or resumed. */
  readonly #ordered = new Set<Place>()
  readonly #inside = new Set<Place>()
  readonly #invited = new Rate(INVITED_MAX, INVITED_WITHIN_MS)
  readonly #fallback = new Slots<Place>(FALLBACK_APART_MS)
  /** It was the only one when it began to wait, and dials by its own timer. */
  #alone: Place | undefined
  /** Dials for all. */
  #scout: Place | undefined
  readonly #breaker: Actor<typeof boundBreaker>
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #rampedAt = 0

  constructor(key: string, clock: Clock, failed = new Rate(FAILED_MAX, MINUTE_MS)) {
    this.key = key
    this.failed = failed
    this.#clock = clock
    this.#breaker = createActor(boundBreaker, {
      // two processes that share an endpoint must not scout in step
      input: { id: `${key}~${clock.random()}` },
      clock: { setTimeout: clock.setTimeout, clearTimeout: (timer: object) => clock.clearTimeout(timer) },
    })
    endpointBySystem.set(this.#breaker.system, this)
    let wasClosed = true
    this.#breaker.subscribe({
      next: (snapshot) => {
        const isClosed = snapshot.matches('closed')
        if (isClosed && !wasClosed && this.#waiting.size > 0) this.#inviteBy(clock.now())
        wasClosed = isClosed
      },
      // pure actions do not throw; if one ever does, the links dial by their own timers
      error: () => undefined,
    })
    this.#breaker.start()
  }

  get isEmpty(): boolean {
    return this.#places.size === 0
  }

  /** How long it takes to let all of its links in at the pace of a recovery, at the least; one alone need not wait. */
  get crowdMs(): number {
    return this.#places.size === 1 ? 0 : (this.#places.size * INVITED_WITHIN_MS) / INVITED_MAX
  }

  end(): void {
    this.#clock.clearTimeout(this.#timer)
    this.#breaker.stop()
  }

  enter(place: Place): void {
    this.#places.add(place)
  }

  mayHurry(place: Place): boolean {
    const now = this.#clock.now()
    if (place.accepted.waitMs(now) > 0) return false
    if (this.#places.size === 1) return this.failed.room(now) > 0
    const [first] = [...this.#waiting].find(([, wait]) => !isTold(wait)) ?? []
    return first === place && !this.#scout && this.#room(now) > 0
  }

  leave(place: Place): void {
    this.#places.delete(place)
    this.#settle(place)
  }

  wait(place: Place, fault: Fault | null, ownMs: number): number {
    const now = this.#clock.now()
    const wasScout = this.#scout === place
    this.#note(place, fault)
    const delayMs = Math.max(ownMs, place.accepted.waitMs(now))
    if (this.#places.size === 1) {
      this.#report(wasScout, fault)
      this.#alone = place
      return Math.max(delayMs, this.failed.waitMs(now))
    }
    const toldMs = Math.min(delayMs, askedMs(fault) * (1 + TOLD_SPREAD))
    const wait = { since: now, notBefore: now + toldMs, dueAt: now + delayMs }
    this.#waiting.set(place, wait)
    this.#report(wasScout, fault)
    if (this.#breaker.getSnapshot().matches('closed')) this.#inviteBy(this.#readyAt(wait))
    return this.#fallback.take(place, now + delayMs + FALLBACK_MS) - now
  }

  failedDial(place: Place, fault: Fault | null): void {
    const wasScout = this.#scout === place
    this.#note(place, fault)
    this.#report(wasScout, fault)
  }

  #note(place: Place, fault: Fault | null): void {
    const isOrdered = this.#ordered.has(place)
    if (!this.#drop(place)) return
    this.#noteFailed(isOrdered)
    if (fault && kindOf(fault) !== 'vacant') place.accepted.note(this.#clock.now())
  }

  #noteFailed(isOrdered: boolean): void {
    const now = this.#clock.now()
    if (!isOrdered || this.failed.room(now) > KEPT_FROM_ORDERS) this.failed.note(now)
  }

  /** While a scout is out only its own failure counts: whoever else fails now was sent before. */
  #report(wasScout: boolean, fault: Fault | null): void {
    const isProbing = this.#breaker.getSnapshot().matches('probing')
    if (isProbing && !wasScout) return
    const isDown = isProbing || this.#inside.size === 0
    const known = concerningAll(fault ?? UNKNOWN, wasScout)
    this.#breaker.send(isDown ? { type: 'endpoint.lost', fault: known } : { type: 'dial.failed' })
  }

  moved(place: Place, to: StateName): void {
    if (to === 'resolving' || to === 'connecting') {
      this.#unwait(place)
      this.#dialing.add(place)
      if (place.isOrdered) this.#ordered.add(place)
    } else if (to === 'registered') {
      this.#drop(place)
      this.#inside.add(place)
      place.accepted.note(this.#clock.now())
      this.#breaker.send({ type: 'endpoint.answered' })
      this.#inviteNow()
    } else if (to === 'parked' || to === 'closing' || to === 'stopped') {
      if (this.#dialing.has(place)) {
        // refused for a reason of its own, or cut by a person: nobody knows any more what it would have come to
        this.#noteFailed(this.#ordered.has(place))
        place.accepted.note(this.#clock.now())
      }
      this.#settle(place)
      place.isOrdered = to === 'parked'
    }
  }

  #unwait(place: Place): void {
    this.#waiting.delete(place)
    this.#fallback.release(place)
    if (this.#alone === place) this.#alone = undefined
  }

  /** Ends its dial or its session; says whether it was a dial. */
  #drop(place: Place): boolean {
    if (this.#scout === place) this.#scout = undefined
    this.#inside.delete(place)
    this.#ordered.delete(place)
    const isDial = this.#dialing.delete(place)
    if (isDial) place.isOrdered = false
    return isDial
  }

  #settle(place: Place): void {
    this.#unwait(place)
    this.#drop(place)
    if (this.#waiting.size === 0) this.#breaker.send({ type: 'queue.emptied' })
    else this.#inviteNow()
  }

  /** Dials that are under way or promised for the coming minute: each of them may fail. */
  #atRisk(now: number): number {
    const spared = Math.max(0, this.#ordered.size - Math.max(0, this.failed.room(now) - KEPT_FROM_ORDERS))
    return this.#dialing.size - spared + (this.#alone ? 1 : 0) + this.#fallback.within(now, MINUTE_MS)
  }

  #room(now: number): number {
    return this.failed.room(now) - this.#atRisk(now)
  }

  /** Until the budget of failed dials has room for a scout. */
  budgetWaitMs(): number {
    const now = this.#clock.now()
    return this.failed.waitMs(now, this.#atRisk(now) + KEPT_FOR_RECOVERY)
  }

  /** The breaker's scout: one link is sent, and another if that one is called off. */
  scout(): Observable<BreakerEvent> {
    return this.#repeat(SCOUT_EVERY_MS, () => !this.#scout && !this.#hasComer())
  }

  /** The breaker's inviter: batches, as long as the window, the budget and the queue have room. */
  inviter(): Observable<BreakerEvent> {
    this.#rampedAt = this.#clock.now()
    return this.#repeat(INVITE_EVERY_MS, () => this.#dialing.size === 0 && !this.#hasEager())
  }

  #repeat(everyMs: number, isDone: () => boolean): Observable<BreakerEvent> {
    return new Observable((subscriber) => {
      const next = () => {
        this.#inviteNow()
        if (isDone()) subscriber.next({ type: 'queue.emptied' })
        else if (!subscriber.closed) timer = this.#clock.setTimeout(next, everyMs)
      }
      let timer = this.#clock.setTimeout(next, 0)
      subscriber.add(() => this.#clock.clearTimeout(timer))
    })
  }

  /** Whether anybody waits who may come by now. */
  #hasComer(): boolean {
    const now = this.#clock.now()
    for (const { notBefore } of this.#waiting.values()) if (notBefore <= now) return true
    return false
  }

  #hasEager(): boolean {
    const now = this.#clock.now()
    for (const [place, wait] of this.#waiting) if (this.#isEager(place, wait, now)) return true
    return false
  }

  /** The recovery calls back whom the outage held; one that fell during the recovery waits for its own time. */
  #isEager(place: Place, wait: Wait, now: number): boolean {
    return (wait.since <= this.#rampedAt || wait.dueAt <= now) && isFree(place, wait, now)
  }

  /**
   * When the closed breaker is to look after this one. With sessions there the endpoint is fine: whoever lost its own comes
   * back when its wait is over. Without, who was told to wait goes first for all as soon as that time has passed.
   */
  #readyAt(wait: Wait): number {
    return this.#inside.size === 0 && isTold(wait) ? wait.notBefore : wait.dueAt
  }

  #inviteBy(dueAt: number): void {
    if (dueAt >= this.#timerAt) return
    this.#clock.clearTimeout(this.#timer)
    this.#timerAt = dueAt
    this.#timer = this.#clock.setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY
      this.#inviteNow()
      if (!this.#breaker.getSnapshot().matches('closed')) return
      const now = this.#clock.now()
      if (this.#inside.size === 0 && this.#hasReady(now)) return this.#breaker.send({ type: 'queue.filled' })
      for (const [place, wait] of this.#waiting) {
        this.#inviteBy(Math.max(this.#readyAt(wait), now + Math.max(INVITE_EVERY_MS, place.accepted.waitMs(now))))
      }
    }, dueAt - this.#clock.now())
  }

  #hasReady(now: number): boolean {
    for (const [place, wait] of this.#waiting) if (this.#readyAt(wait) <= now && isFree(place, wait, now)) return true
    return false
  }

  #inviteNow(): void {
    const now = this.#clock.now()
    const { room, mayGo } = this.#policy(now)
    let left = Math.min(room, this.#room(now), this.#invited.room(now))
    for (const [place, wait] of this.#waiting) {
      if (left <= 0) return
      if (!mayGo(place, wait)) continue
      left--
      this.#invite(place)
    }
  }

  /** How many may go by the state of the breaker, and who. */
  #policy(now: number): { room: number; mayGo: (place: Place, wait: Wait) => boolean } {
    const snapshot = this.#breaker.getSnapshot()
    const mayScout = (place: Place, wait: Wait) => isFree(place, wait, now)
    if (snapshot.matches('open')) return { room: 0, mayGo: mayScout }
    if (snapshot.matches('probing')) {
      return { room: this.#scout ? 0 : Math.min(1, this.#room(now) - KEPT_FOR_RECOVERY), mayGo: mayScout }
    }
    if (snapshot.matches('closed')) {
      const room = this.#inside.size === 0 ? 0 : WINDOW_MAX - this.#dialing.size
      return { room, mayGo: (place, wait) => wait.dueAt <= now && mayScout(place, wait) }
    }
    const room = snapshot.context.window - this.#dialing.size
    return { room, mayGo: (place, wait) => this.#isEager(place, wait, now) }
  }

  #invite(place: Place): void {
    this.#unwait(place)
    this.#dialing.add(place)
    if (this.#breaker.getSnapshot().matches('probing')) this.#scout = place
    this.#invited.note(this.#clock.now())
    place.invite()
  }
}

const isTold = ({ since, notBefore }: Wait): boolean => notBefore > since

const isFree = (place: Place, { notBefore }: Wait, now: number): boolean =>
  notBefore <= now && place.accepted.waitMs(now) === 0

const UNKNOWN: Fault = { code: 'unknown' }

/** What a link is asked is between it and the peer; what the scout is asked concerns all, for a while. */
const concerningAll = ({ retryAfterMs, ...fault }: Fault, wasScout: boolean): Fault =>
  wasScout && retryAfterMs !== undefined ? { ...fault, retryAfterMs: Math.min(retryAfterMs, SCOUT_TOLD_MAX_MS) } : fault

const endpointBySystem = new WeakMap<object, Endpoint>()

const activity = (run: (endpoint: Endpoint) => Observable<BreakerEvent>) =>
  fromEventObservable<BreakerEvent, { id: string }>(({ system }) => {
    const endpoint = endpointBySystem.get(system)
    return endpoint ? run(endpoint) : EMPTY
  })

/** The chart with its activities, bound once for all endpoints. */
const boundBreaker = breakerMachine.provide({
  actors: { scout: activity((endpoint) => endpoint.scout()), inviter: activity((endpoint) => endpoint.inviter()) },
  delays: {
    // a scout that may not be sent yet is not worth a probe
    scoutDelay: ({ context: { id, spent, fault }, system }) =>
      Math.max(backoffDelay(id, spent, fault), endpointBySystem.get(system)?.budgetWaitMs() ?? 0),
  },
})
