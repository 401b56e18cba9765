/**
 * `holdfast-inspect/1`: what an inspected process says to a viewer and hears from it, one JSON object per WebSocket text
 * message. Names of states, events and faults are told once; afterwards they are numbers, so ten thousand links fit in a
 * few kilobytes a second. A viewer that cannot keep up is sent less, never later: the latest state of each link wins.
 *
 * Plain data and no imports but types: the page is built from this file too.
 */
import type { FaultRow } from '../../../machines/fault.ts'
import type { StateName } from '../../../machines/link.ts'
import type { TransitionRecord } from '../recorder.ts'

export const PROTOCOL = 'holdfast-inspect/1'

/** The page and the stream lie side by side: `http://host:port/` and `ws://host:port/stream`, below a path if mounted. */
export const STREAM = 'stream'
/** The page is opened as `http://host:port/#token=…`: what is in the fragment is in no log of any server or proxy. */
export const TOKEN_KEY = 'token'

/** A viewer that has not said its token by then is sent away. */
export const AUTH_WITHIN_MS = 5_000
export const VIEWERS_MAX = 16
/** A bigger message of a viewer ends its connection. */
export const MESSAGE_BYTES_MAX = 64 * 1024

/** The latest state per link, ten times a second. */
export const DELTA_EVERY_MS = 100
export const AGG_EVERY_MS = 1_000
export const SNAP_ROWS_MAX = 1_000
export const TX_ROWS_MAX = 200

/**
 * An arrow of the chart as it is drawn: `from` and `to` are names as in docs/link.svg (`suspect`, not `degraded.suspect`),
 * of states or of the frames around them (`attached`, `session`, `degraded`; `link` is the chart itself).
 */
export interface ArrowWords {
  readonly from: string
  readonly to: string
  readonly events: readonly string[]
}

/** First of all. */
export interface Hello {
  readonly t: 'hello'
  readonly protocol: typeof PROTOCOL
  /** The version of the holdfast that is inspected. */
  readonly version: string
  readonly states: readonly StateName[]
  readonly arrows: readonly ArrowWords[]
  /** Deadlines of the states that have one, in milliseconds, as the chart has them by default. */
  readonly deadlines: Readonly<Partial<Record<StateName, number>>>
  readonly faults: readonly (FaultRow & { readonly code: string })[]
  /** Milliseconds since 1970 on the clock of the inspected process. */
  readonly now: number
  /** Whether `cmd` is obeyed, and which faults can be ordered from the lab's own peer. */
  readonly control: boolean
  readonly labFaults: readonly string[]
  /** The name of the link that those faults strike, if it is known. */
  readonly labLink?: string
  /** What the process runs on: `node 20.20.2 linux x64`. */
  readonly runtime?: string
}

/**
 * One link: index (never used again), id, adapter, state, since, attempt, fault (-1 for none), smoothed round trip in
 * milliseconds (-1 if unknown), when the next dial comes or the state's deadline runs out (-1 if neither), both moments
 * in milliseconds since 1970.
 */
export type Row = readonly [
  index: number,
  id: string,
  adapter: string,
  state: number,
  since: number,
  attempt: number,
  fault: number,
  roundTripMs: number,
  dueAt: number,
]

export interface Snap {
  readonly t: 'snap'
  readonly rows: readonly Row[]
  /** More rows follow in another `snap`. */
  readonly more: boolean
}

/** What changed of a link since the last delta: a row without its names. */
export type Change = readonly [
  index: number,
  state: number,
  since: number,
  attempt: number,
  fault: number,
  roundTripMs: number,
  dueAt: number,
]

export interface Delta {
  readonly t: 'delta'
  readonly at: number
  readonly changes: readonly Change[]
  readonly added: readonly Row[]
  readonly gone: readonly number[]
}

/** Transitions of subscribed links, oldest first. `lost`: so many more were not sent, because the viewer was too slow. */
export interface Tx {
  readonly t: 'tx'
  readonly records: readonly (readonly [index: number, record: TransitionRecord])[]
  readonly lost: number
}

/** What a subscription starts with: what the link's ring holds, and how many it ever recorded. */
export interface History {
  readonly t: 'history'
  readonly index: number
  readonly kept: readonly TransitionRecord[]
  readonly total: number
  /** The sentence of `link.explain()`, in both languages. */
  readonly explain: { readonly en: string; readonly zh: string }
  /** The waits that the link was made with, in milliseconds, by the names of its options. */
  readonly deadlines?: Readonly<Record<string, number>>
}

export interface Agg {
  readonly t: 'agg'
  /** By index of the state. */
  readonly counts: readonly number[]
  /** Transitions in the last second. */
  readonly rate: number
  /** The most frequent faults of the last minute: index and count. */
  readonly causes: readonly (readonly [fault: number, count: number])[]
}

/** The answer to a command. */
export interface Done {
  readonly t: 'done'
  readonly n: number
  readonly error?: string
}

export type ServerMessage = Hello | Snap | Delta | Tx | History | Agg | Done

/** Must be the first message of a viewer; the connection ends without it. */
export interface Auth {
  readonly t: 'auth'
  readonly token: string
}

/**
 * Whose transitions to send from now on; replaces what was subscribed before. A `history` comes for each link that was
 * not, and indexes that are gone are passed over.
 */
export interface Subscribe {
  readonly t: 'sub'
  readonly indexes: readonly number[]
}

export type Command = 'retry' | 'hold' | 'resume' | 'stop' | 'fault'

/** Obeyed only if `control` was said. `n` comes back in `done`. */
export interface Order {
  readonly t: 'cmd'
  readonly n: number
  readonly cmd: Command
  /** The link; absent for faults, which are the lab's. */
  readonly index?: number
  readonly fault?: string
}

export type ViewerMessage = Auth | Subscribe | Order

/** Close codes of the inspector; 1001 when it closes. */
export const CLOSE = { unauthorized: 4001, tooSlow: 4008, malformed: 4002 } as const
