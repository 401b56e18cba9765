/**
 * Beats and messages to `account.impaired` and `account.recovered`: the activity that notices a link which is alive and
 * hears nothing (regression R42). There are two ways to be deaf:
 *
 * - no message for as long as the user or the adapter says, although the heartbeat is fine;
 * - the peer announced its beats, and neither a beat nor a message comes although it answers probes.
 *
 * Dialing again would not help, so nothing is ended: the link is impaired until something is heard. Silence alone proves
 * nothing here, as it may be the transport's: it is told with the first sign of life that comes after its time.
 */
import { Observable, type Subject } from 'rxjs'
import type { Fault } from '../machines/fault.ts'
import { type Clock, STALL_MS, type Timer } from './clock.ts'
import type { Rhythm } from './heartbeat.ts'

export type Heard = 'message' | 'beat'

/** The deaf watch's view of a conversation. */
export interface Ear {
  readonly heard$: Subject<Heard>
  /** Something arrived, whatever it was. */
  readonly inbound$: Subject<void>
  /** The rhythm changed, or what excuses silence. */
  readonly changed$: Subject<void>
  rhythm(): Rhythm
  /** Nothing need be heard: missed messages are still replayed, or the account was reported as impaired anyway. */
  excused(): boolean
}

export type Hearing = { type: 'account.impaired'; fault: Fault } | { type: 'account.recovered' }

/** Of the peer's announced intervals. */
const BEATS_MISSED = 3

interface Silence {
  readonly of: Heard
  readonly sinceAt: number
  readonly maxMs: number
}

/** `deafMs` is the user's word, and stands before the adapter's. */
export const deaf = (ear: Ear, clock: Clock, deafMs?: number): Observable<Hearing> =>
  new Observable((subscriber) => {
    let messageAt = clock.now()
    /** A message will do for a beat. */
    let beatAt = messageAt
    let aliveAt = messageAt
    /** What has been told and not taken back. */
    let told: Heard | undefined
    let isExcused = ear.excused()
    let timer: Timer | undefined
    let dueAt = 0
    /** It has been silent for too long, and the next sign of life tells whose silence it was. */
    let doubtful = false

    /** The silence that is, or will be, too long first. */
    const worst = (): Silence => {
      const { expectMs = Number.POSITIVE_INFINITY, payloadMs = Number.POSITIVE_INFINITY } = ear.rhythm()
      const messages: Silence = { of: 'message', sinceAt: messageAt, maxMs: deafMs ?? payloadMs }
      const beats: Silence = { of: 'beat', sinceAt: beatAt, maxMs: BEATS_MISSED * expectMs }
      return endOf(messages) <= endOf(beats) ? messages : beats
    }

    const disarm = () => clock.clearTimeout(timer)

    const arm = () => {
      disarm()
      doubtful = false
      if (isExcused || told) return
      dueAt = Math.max(endOf(worst()), clock.now())
      if (dueAt < Number.POSITIVE_INFINITY) timer = clock.setTimeout(tick, dueAt - clock.now())
    }

    const restart = () => {
      messageAt = clock.now()
      beatAt = messageAt
      arm()
    }

    const tick = () => {
      // our own stall
      if (clock.now() - dueAt > STALL_MS) return restart()
      const silence = worst()
      if (clock.now() < endOf(silence)) arm()
      else if (aliveAt >= endOf(silence)) tell(silence)
      else doubtful = true
    }

    const tell = (silence: Silence) => {
      disarm()
      told = silence.of
      subscriber.next({ type: 'account.impaired', fault: { code: 'deaf', detail: accountOf(silence) } })
    }

    const noticeInbound = () => {
      aliveAt = clock.now()
      // in a turn of its own: there may be a message right behind it
      if (doubtful) arm()
    }

    const notice = (heard: Heard) => {
      beatAt = clock.now()
      if (heard === 'message') messageAt = beatAt
      if (told === undefined || (told === 'message' && heard === 'beat')) return
      told = undefined
      const left = worst()
      if (endOf(left) <= beatAt) return tell(left)
      subscriber.next({ type: 'account.recovered' })
      arm()
    }

    const noticeChange = () => {
      const wasExcused = isExcused
      isExcused = ear.excused()
      // the adapter's own report takes the place of ours, and ends when the adapter says so
      if (isExcused) told = undefined
      if (wasExcused && !isExcused) restart()
      else arm()
    }

    subscriber.add(ear.heard$.subscribe(notice))
    subscriber.add(ear.inbound$.subscribe(noticeInbound))
    subscriber.add(ear.changed$.subscribe(noticeChange))
    subscriber.add(disarm)
    arm()
  })

const endOf = ({ sinceAt, maxMs }: Silence): number => sinceAt + maxMs

const accountOf = ({ of, maxMs }: Silence): string =>
  of === 'message'
    ? `no message for ${maxMs} ms`
    : `neither a message nor a beat for ${maxMs} ms; the peer announced one every ${maxMs / BEATS_MISSED} ms`
