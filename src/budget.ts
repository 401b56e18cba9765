/**
 * The session-start budget: how many times a day, and how fast, a bot may say "here I am" before its peer takes the
 * token away (Discord resets it after 1,000 identifies a day, however they were spent: regressions R40, R41). It is
 * counted where a restart cannot forget it, and shared by the processes of one machine.
 *
 * The day is any 24 hours, not the peer's calendar. A part of it is never spent here: the reserve pays for what cannot
 * be counted, such as starts by other programs, starts that came later than they were planned, and a lost history.
 *
 * What the peer says wins wherever it is stricter, and over what we only assumed. It never makes us forget starts that
 * we made ourselves, so a peer that lies cannot talk us past the limit.
 */
import { type BudgetStore, fileBudgetStore } from './budget-store.ts'
import { type Clock, realClock } from './clock.ts'
import { HoldfastError } from './error.ts'

export { type BudgetStore, defaultBudgetDir, fileBudgetStore, memoryBudgetStore } from './budget-store.ts'

export interface BudgetOptions {
  /**
   * Whose budget: all that use the same key in the same store share it. The bot's id or its token; it is stored hashed.
   */
  readonly key: string
  /** What the peer allows in 24 hours: 1 to 100,000. */
  readonly perDay: number
  /** The part of the day that is never spent, from 0 to below 1. Default 0.1. */
  readonly reserve?: number
  /** At most `count` starts in any `ms` milliseconds, for each bucket: for Discord 1 in 5,000. */
  readonly perInterval: { readonly count: number; readonly ms: number }
  /** Starts of different buckets do not wait for each other: Discord's `max_concurrency`. Default 1. */
  readonly buckets?: number
  /** Default: `fileBudgetStore()`. */
  readonly store?: BudgetStore
  /** Default: the real one. */
  readonly clock?: Clock
}

/**
 * What was kept was unreadable, so nobody knows what was spent. It is assumed that everything was, except the reserve,
 * and for 24 hours starts come out of that, evenly: with 1,000 a day and 10 %, one in 864 s. The first waits as long as
 * the others, so that not even a file that is damaged at every restart opens a way past the limit. Ends early when the
 * peer says what remains.
 */
export type BudgetWarning = 'history-lost'

export type Reservation = Reserved | Exhausted

/**
 * It is yours: start in `waitMs` milliseconds, 0 for now. If that start is not made after all, hand the ticket back.
 */
export interface Reserved {
  readonly waitMs: number
  readonly ticket: number
  readonly exhausted?: never
  readonly warning?: BudgetWarning
}

/** Nothing was reserved. Ask again in `untilMs` milliseconds, not before. */
export interface Exhausted {
  readonly exhausted: true
  readonly untilMs: number
  readonly waitMs?: never
  readonly ticket?: never
  readonly warning?: BudgetWarning
}

/** What the peer says about the budget: Discord's `session_start_limit`. Whatever is not a number was not said. */
export interface ServerWord {
  readonly remaining?: number
  /** Until `remaining` is full again. Bounded to 24 h; without it, 24 h. */
  readonly resetAfterMs?: number
  /** The number of buckets from now on, 1 to 1,024. */
  readonly maxConcurrency?: number
}

export interface SessionBudget {
  /**
   * Takes one session start out of the budget. `bucket` is a whole number, for Discord the shard's: it is taken modulo
   * the number of buckets. Rejects with HoldfastError as the store does; then nothing is reserved, and no session may
   * be started.
   */
  reserve(bucket?: number): Promise<Reservation>
  /**
   * Gives back a start that was reserved and then not made, because the dial failed before. Unknown tickets are
   * ignored.
   */
  refund(ticket: number): Promise<void>
  serverSays(word: ServerWord): Promise<void>
  /** What was spent, as plain data for a process that does not share the store. */
  export(): Promise<unknown>
  /** Adds what another process spent to what is known here. What is none of ours changes nothing. */
  import(spent: unknown): Promise<void>
}

const DAY_MS = 86_400_000
const PER_DAY_MAX = 100_000
const BUCKETS_MAX = 1_024
/** A start so recent may not have reached the peer when it counted what remains. */
const UNHEARD_MS = 10_000

/** A session start: ticket, when it is due in budget time, bucket before the modulo. */
type Start = readonly [ticket: number, at: number, bucket: number]

interface BudgetState {
  readonly version: 1
  /** Counts the changes; a ticket is the revision that made it. */
  readonly revision: number
  /**
   * Budget time in milliseconds: begins as wall time, never goes back, never skips what is known not to have passed.
   */
  readonly at: number
  /** Wall time of the last change. */
  readonly wall: number
  /** The starts of the last 24 h and those that are due, by time. */
  readonly starts: readonly Start[]
  /** Since when the history is known, where that is less than 24 h ago. */
  readonly lostAt?: number
  readonly server?: { readonly remaining: number; readonly at: number; readonly until: number }
  /** What the peer said last. */
  readonly buckets?: number
}

interface Rules {
  /** What may be spent in 24 h, and what is held back. */
  readonly usable: number
  readonly held: number
  readonly perDay: number
  readonly count: number
  readonly ms: number
  readonly buckets: number
}

/** The budget of one bot. Throws HoldfastError `bad-option`; reads and writes nothing before the first call. */
export const sessionBudget = (options: BudgetOptions): SessionBudget => {
  const { key, store = fileBudgetStore(), clock = realClock } = options
  const rules = rulesFrom(options)
  const timeIn = budgetTime(clock)
  const update = <T>(change: (state: BudgetState) => [BudgetState, T]): Promise<T> =>
    store.update(key, (stored) => change(current(stored, clock, timeIn)))

  return {
    reserve: (bucket = 0) => {
      whole('bucket', bucket, 0, Number.MAX_SAFE_INTEGER)
      return update((state) => {
        const [next, reservation] = reserveIn(state, bucket, rules)
        return [next, state.lostAt === undefined ? reservation : { ...reservation, warning: 'history-lost' }]
      })
    },
    refund: (ticket) =>
      update((state) => [{ ...state, starts: state.starts.filter(([known]) => known !== ticket) }, undefined]),
    serverSays: (word) => update((state) => [heed(state, word, rules), undefined]),
    export: () => update((state) => [state, state]),
    import: (spent) => update((state) => [merge(state, stateFrom(spent)), undefined]),
  }
}

const reserveIn = (state: BudgetState, bucket: number, rules: Rules): [BudgetState, Reservation] => {
  const dueAt = Math.max(state.at, intervalFreeAt(state, bucket, rules), unknownFreeAt(state, rules))
  const freeAt = Math.max(dayFreeAt(state, rules), serverFreeAt(state, dueAt, rules))
  // who would have to wait for a day reserves nothing: the wait would outlive whoever waits
  const untilAt = freeAt > dueAt ? freeAt : dueAt - state.at >= DAY_MS ? dueAt : undefined
  if (untilAt !== undefined) return [state, { exhausted: true, untilMs: Math.ceil(untilAt - state.at) }]
  const ticket = state.revision
  const index = state.starts.findLastIndex(([, at]) => at <= dueAt) + 1
  const starts = state.starts.toSpliced(index, 0, [ticket, dueAt, bucket])
  return [
    { ...state, starts },
    { waitMs: Math.ceil(dueAt - state.at), ticket },
  ]
}

/** When the bucket has room: `ms` after the start that is `count` starts back. */
const intervalFreeAt = (state: BudgetState, bucket: number, rules: Rules): number => {
  const buckets = state.buckets ?? rules.buckets
  const mates = state.starts.filter(([, , other]) => other % buckets === bucket % buckets)
  const blocking = mates.at(-rules.count)
  return blocking ? blocking[1] + rules.ms : state.at
}

/** When 24 hours have room: a day after the start that is `usable` starts back. */
const dayFreeAt = (state: BudgetState, rules: Rules): number => {
  if (state.lostAt !== undefined && rules.held === 0) return state.lostAt + DAY_MS
  const blocking = state.starts.at(-rules.usable)
  return blocking ? blocking[1] + DAY_MS : state.at
}

/** While the history is unknown, the reserve is spread over the day; where there is none, `dayFreeAt` says so. */
const unknownFreeAt = (state: BudgetState, rules: Rules): number => {
  if (state.lostAt === undefined || rules.held === 0) return state.at
  const last = state.starts.at(-1)?.[1] ?? state.lostAt
  return Math.min(last + DAY_MS / rules.held, state.lostAt + DAY_MS)
}

const serverFreeAt = ({ server, starts, at }: BudgetState, dueAt: number, rules: Rules): number => {
  if (server === undefined || dueAt >= server.until) return at
  const since = starts.filter(([, start]) => start > server.at - UNHEARD_MS && start < server.until).length
  return server.remaining - rules.held - since > 0 ? at : server.until
}

const heed = (state: BudgetState, word: ServerWord, rules: Rules): BudgetState => {
  const buckets = said(word.maxConcurrency, 1, BUCKETS_MAX)
  const next = buckets === undefined ? state : { ...state, buckets: Math.floor(buckets) }
  const remaining = said(word.remaining, 0, rules.perDay)
  const resetAfterMs = said(word.resetAfterMs, 0, DAY_MS) ?? DAY_MS
  if (remaining === undefined || resetAfterMs === 0) return next
  const { lostAt: _known, ...rest } = next
  return { ...rest, server: { remaining: Math.floor(remaining), at: state.at, until: state.at + resetAfterMs } }
}

/** A number from a peer, bounded; what is none was not said. */
const said = (value: unknown, min: number, max: number): number | undefined =>
  typeof value !== 'number' || Number.isNaN(value) ? undefined : Math.min(Math.max(value, min), max)

type TimeIn = (state: BudgetState, wall: number) => number

/**
 * Budget time of a state that was kept. Whoever changed it last knows by monotonic time what has passed. For others
 * only wall time leads from one process to the next, and it can be wrong: a small computer without a battery starts in
 * 1970 and is corrected minutes later. So
 *
 * - what wall says to have passed since the last change counts; nothing if the wall clock was set back;
 * - a wall clock that was wrong and now catches up with budget time does not count twice what passed in between;
 * - no more counts than this process has lived through since its own last change, which was earlier: a clock that is
 *   set
 *   forward forgives nothing. (Hours that the machine slept are not counted either: that only makes us more careful.)
 */
const budgetTime = (clock: Clock): TimeIn => {
  let last: { revision: number; at: number; wall: number; now: number } | undefined
  return (state, wall) => {
    const now = clock.now()
    const lived = last ? now - last.now : Number.POSITIVE_INFINITY
    const ours = last?.revision === state.revision && last.at === state.at && last.wall === state.wall
    const from = wall >= state.at ? Math.max(state.at, state.wall) : state.wall
    const at = state.at + (ours ? lived : Math.min(Math.max(0, wall - from), lived))
    last = { revision: state.revision + 1, at, wall, now }
    return at
  }
}

/** The state as of now: checked, moved on in time, without what is over. */
const current = (stored: unknown, clock: Clock, timeIn: TimeIn): BudgetState => {
  const wall = clock.wall()
  const kept = stored === undefined ? emptyState(wall) : (stateFrom(stored) ?? { ...emptyState(wall), lostAt: wall })
  const at = timeIn(kept, wall)
  const { lostAt, server, ...rest } = kept
  return {
    ...rest,
    revision: kept.revision + 1,
    at,
    wall,
    starts: kept.starts.filter(([, start]) => start > at - DAY_MS),
    ...(lostAt !== undefined && lostAt + DAY_MS > at ? { lostAt } : {}),
    ...(server !== undefined && server.until > at ? { server } : {}),
  }
}

/** The revision begins with the date, so that tickets from before a loss are unknown after it. */
const emptyState = (wall: number): BudgetState => ({
  version: 1,
  revision: Math.max(0, Math.floor(wall)),
  at: wall,
  wall,
  starts: [],
})

/** A state of ours, or undefined: whatever else may stand there is not half believed. */
const stateFrom = (stored: unknown): BudgetState | undefined => {
  if (typeof stored !== 'object' || stored === null) return undefined
  const { version, revision, at, wall, starts, lostAt, server, buckets } = stored as Record<string, unknown>
  if (version !== 1 || !isNumber(revision) || !isNumber(at) || !isNumber(wall)) return undefined
  if (!Array.isArray(starts) || starts.length > PER_DAY_MAX || !starts.every((start) => isStart(start, at))) {
    return undefined
  }
  if (lostAt !== undefined && !isUpTo(lostAt, at)) return undefined
  if (server !== undefined && !isServer(server, at)) return undefined
  if (buckets !== undefined && !(isUpTo(buckets, BUCKETS_MAX) && buckets >= 1)) return undefined
  const byTime = (starts as Start[]).toSorted((a, b) => a[1] - b[1])
  return { ...(stored as BudgetState), starts: byTime }
}

/**
 * Starts that both know are counted once; of what the peer said the stricter word holds. The time of the other may be
 * ahead of ours, but by more than a day it is not believed: what comes out of this is read again by `stateFrom`.
 */
const merge = (state: BudgetState, other: BudgetState | undefined): BudgetState => {
  if (!other || other.at > state.at + DAY_MS || other.revision > other.at + DAY_MS) return state
  const known = new Set(state.starts.map((start) => start.join()))
  const isNew = (start: Start) => !known.has(start.join()) && isUpTo(start[1], state.at + DAY_MS)
  const more = other.starts.filter((start) => isNew(start) && start[1] > state.at - DAY_MS)
  const starts = [...state.starts, ...more].toSorted((a, b) => a[1] - b[1]).slice(-PER_DAY_MAX)
  const words = [state.server, other.server].flatMap((word) => (word && word.until > state.at ? [word] : []))
  const [strictest] = words.toSorted((a, b) => a.remaining - b.remaining)
  const lostAt = Math.max(state.lostAt ?? 0, Math.min(other.lostAt ?? 0, state.at))
  return {
    ...state,
    revision: Math.max(state.revision, other.revision) + 1,
    starts,
    ...(lostAt > state.at - DAY_MS && { lostAt }),
    ...(strictest && { server: heardBy(state.at, strictest) }),
  }
}

const heardBy = (now: number, word: NonNullable<BudgetState['server']>) => {
  const at = Math.min(word.at, now)
  return { ...word, at, until: Math.min(word.until, at + DAY_MS) }
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)

const isUpTo = (value: unknown, max: number): value is number => isNumber(value) && value <= max

/** Nothing is reserved for later than in a day. */
const isStart = (value: unknown, now: number): value is Start => {
  if (!Array.isArray(value) || value.length !== 3) return false
  const [ticket, at, bucket] = value as unknown[]
  return isNumber(ticket) && isUpTo(at, now + DAY_MS) && isUpTo(bucket, Number.MAX_SAFE_INTEGER) && bucket >= 0
}

const isServer = (value: unknown, now: number): boolean => {
  const { remaining, at, until } = (value ?? {}) as Record<string, unknown>
  return isUpTo(remaining, PER_DAY_MAX) && remaining >= 0 && isUpTo(at, now) && isUpTo(until, at + DAY_MS)
}

const rulesFrom = ({ key, perDay, reserve = 0.1, perInterval, buckets = 1 }: BudgetOptions): Rules => {
  if (typeof key !== 'string' || key === '') throw wrong('key', 'a non-empty string')
  whole('perDay', perDay, 1, PER_DAY_MAX)
  if (!(reserve >= 0 && reserve < 1)) throw wrong('reserve', 'a number from 0 to below 1')
  whole('perInterval.count', perInterval?.count, 1, PER_DAY_MAX)
  whole('perInterval.ms', perInterval?.ms, 1, DAY_MS)
  whole('buckets', buckets, 1, BUCKETS_MAX)
  // of a single start a day nothing can be held back
  const held = Math.min(Math.ceil(perDay * reserve), perDay - 1)
  return { usable: perDay - held, held, perDay, count: perInterval.count, ms: perInterval.ms, buckets }
}

const whole = (name: string, value: unknown, min: number, max: number): void => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return
  throw wrong(name, `a whole number from ${min} to ${max}`)
}

const wrong = (name: string, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `The option "${name}" of the session budget must be ${wants}.`)
