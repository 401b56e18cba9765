/** What a gateway such as Discord's says, and an adapter at each step of its handshake. */
import type { Adapter, Session } from '../../src/adapter/adapter.ts'
import { memoryBudgetStore, type SessionBudget, sessionBudget } from '../../src/budget.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { type Stage, stage } from './fake-io.ts'

export const INTERVAL_MS = 41_250

export const hello = (heartbeat_interval: unknown = INTERVAL_MS) => ({ op: 10, d: { heartbeat_interval } })
export const dispatch = (s: unknown, t: unknown = 'MESSAGE_CREATE', d: unknown = { content: `m${s}` }) => ({
  op: 0,
  t,
  s,
  d,
})
export const ready = (session_id: unknown = 'S1', more: object = {}) => dispatch(1, 'READY', { session_id, ...more })
export const resumed = (s: number) => dispatch(s, 'RESUMED', {})
export const RECONNECT = { op: 7, d: null }
export const invalid = (isResumable: unknown) => ({ op: 9, d: isResumable })
export const ACK = { op: 11 }

export const memoryBudget = (clock: HeapClock = heapClock(), more: { perDay?: number } = {}): SessionBudget =>
  sessionBudget({
    key: 'bot',
    perDay: 1_000,
    perInterval: { count: 1, ms: 5_000 },
    store: memoryBudgetStore(),
    clock,
    ...more,
  })

/** After hello, with a session to resume or none. */
export const greeted = (adapter: Adapter<never, never>, session: Session = {}): Stage => {
  const own = stage(adapter, session)
  own.tell(hello())
  return own
}

/** In, with a session that has just begun. */
export const inside = (adapter: Adapter<never, never>): Stage => {
  const own = greeted(adapter)
  own.tell(ready())
  own.asked.length = 0
  return own
}

export const sent = ({ asked }: Stage): unknown[] =>
  asked.filter(([what]) => what === 'send').map(([, frame]) => JSON.parse(String(frame)))
