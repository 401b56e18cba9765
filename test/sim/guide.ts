/**
 * Which move comes next. Uniform dice hardly ever reach a live link, so two moves of three are drawn from those that
 * make sense in the present state; the third is any move at all.
 */
import type { StateName } from '../../machines/link.ts'
import { type MoveName, moves } from './moves.ts'
import type { World } from './world.ts'

/** Three draws of 16 bits: which table and row, and how. */
export type Die = readonly [table: number, row: number, how: number]
export type Step = readonly [move: MoveName, n: number]

export const DIE_MAX = 0xffff

type Weighted = Partial<Record<MoveName, number>>

const losing: Weighted = {
  'net.loses': 2,
  'net.drops': 1,
  'net.forbids': 1,
  'net.rejects': 1,
  'peer.fails': 1,
  'peer.closes': 1,
}
const ordering: Weighted = { 'operator.holds': 1, 'operator.stops': 1, 'lease.ends': 1 }
const talking: Weighted = { 'user.sends': 5, 'user.asks': 4, 'user.insists': 4, 'peer.answers': 2, 'peer.pongs': 2 }

const sensible: Record<StateName, Weighted> = {
  resolving: {
    'lookup.answers': 4,
    'lookup.recovers': 1,
    'provider.recovers': 1,
    'time.next': 4,
    'time.deadline': 3,
    ...ordering,
  },
  connecting: { 'peer.opens': 8, 'peer.heals': 1, 'time.next': 3, 'time.deadline': 2, ...losing, ...ordering },
  handshaking: {
    'peer.readies': 9,
    'peer.welcomes': 8,
    'peer.replays': 7,
    'time.next': 3,
    'time.deadline': 2,
    ...losing,
    ...ordering,
  },
  registered: {
    'peer.catchesUp': 5,
    'peer.offline': 3,
    'peer.tells': 2,
    'peer.pongs': 3,
    'user.sends': 1,
    'time.next': 3,
    'time.deadline': 1,
    'time.tells': 4,
    ...losing,
    ...ordering,
  },
  live: {
    ...talking,
    'peer.tells': 3,
    'peer.offline': 3,
    'peer.heals': 2,
    'peer.sickens': 4,
    'peer.freezes': 1,
    'peer.beats': 1,
    'net.cuts': 1,
    'net.clogs': 1,
    'net.drains': 1,
    'time.next': 3,
    'time.deadline': 4,
    'time.tells': 8,
    'time.drags': 3,
    'user.reads': 1,
    'user.floods': 1,
    ...losing,
    ...ordering,
  },
  'degraded.suspect': {
    'peer.pongs': 6,
    'peer.thaws': 2,
    'peer.offline': 6,
    'peer.online': 3,
    'time.next': 2,
    'time.deadline': 2,
    ...losing,
    ...ordering,
  },
  'degraded.impaired': {
    'peer.online': 5,
    'peer.offline': 2,
    'peer.deafens': 2,
    'peer.sickens': 3,
    'net.cuts': 2,
    'user.sends': 2,
    'time.next': 3,
    'time.deadline': 2,
    'time.tells': 6,
    ...losing,
    ...ordering,
  },
  closing: {
    'peer.pongs': 4,
    'peer.answers': 2,
    'peer.closes': 2,
    'user.sends': 1,
    'net.loses': 1,
    'time.next': 4,
    'time.deadline': 2,
    'operator.cuts': 8,
    'lease.ends': 1,
    'operator.holds': 1,
  },
  backoff: {
    'time.deadline': 10,
    'time.next': 4,
    'operator.retries': 3,
    'peer.heals': 2,
    'lookup.hangs': 1,
    'lookup.fails': 1,
    'lookup.recovers': 2,
    'provider.recovers': 2,
    'provider.throws': 1,
    'adapter.mends': 2,
    'user.sends': 1,
    'user.floods': 1,
    ...ordering,
  },
  parked: {
    'operator.resumes': 12,
    'operator.stops': 2,
    'lease.ends': 1,
    'operator.holds': 1,
    'peer.heals': 1,
    'time.drags': 1,
  },
  stopped: { 'time.next': 1, 'user.sends': 1, 'net.haunts': 1, 'operator.resumes': 1, 'operator.retries': 1 },
}

const rowsOf = (weights: Weighted): MoveName[] =>
  (Object.entries(weights) as [MoveName, number][]).flatMap(([move, weight]) => Array<MoveName>(weight).fill(move))

const rows = Object.fromEntries(Object.entries(sensible).map(([state, weights]) => [state, rowsOf(weights)])) as Record<
  StateName,
  MoveName[]
>

const anything = Object.keys(moves) as MoveName[]

const GUIDED = 0.65

export const choose = (world: World, [table, row, how]: Die): Step => {
  const from = table <= GUIDED * DIE_MAX ? rows[world.state] : anything
  return [from[row % from.length]!, how]
}
