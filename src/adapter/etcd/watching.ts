/**
 * All keys with one beginning: a list, then every change after it. What was missed over a transport that was lost is
 * asked for by its revision, so nothing is lost while etcd still has it; what it has thrown away makes a list anew.
 * Facts: incident 5, statement 4; etcd, learning/api.md, "Watch API".
 */
import type { Cursor, Frame, InboundMark, Io, Verdict } from '../adapter.ts'
import { asObject, type JsonObject } from '../json.ts'
import { type EtcdEntry, isBefore, isNumeral, next, rangeOf, readEntry, revisionOf } from './entries.ts'
import { GRPC, type Questions, type Stream } from './questions.ts'

export type EtcdEvent =
  /** All that there is: it replaces whatever was known. */
  | { readonly type: 'list'; readonly entries: readonly EtcdEntry[]; readonly revision: string }
  | ({ readonly type: 'put' } & EtcdEntry)
  | { readonly type: 'delete'; readonly key: string; readonly revision: string }

export interface Watching {
  /** Says once whether it goes on behind the last event that the user took; events follow, and then `caughtUp`. */
  enter(entered: (resumed: boolean) => void): void
  probe(): Frame
}

/** How soon a stream that ended is asked for again, in milliseconds: incident 5, statement 4 allows a second. */
const AGAIN_MS = 250

export const watching = (io: Io<EtcdEvent>, questions: Questions, prefix: string): Watching => {
  const range = rangeOf(prefix)
  let entered: (resumed: boolean) => void = () => undefined
  /** The revision up to which everything was delivered. */
  let seen = '0'
  /** Changes up to here were missed, and come first. */
  let missedUntil: string | undefined
  let stream: Stream | undefined

  const enter = (resumed: boolean) => {
    const tell = entered
    entered = () => undefined
    tell(resumed)
  }

  /** Refused if etcd has compacted that revision, or has not got so far: it was restored from a backup, or is another. */
  const resume = (from: string) =>
    questions.post('v3/kv/range', { ...range, revision: from, count_only: true }, () => ask(from), {
      refused: (code) => {
        if (code === GRPC.OUT_OF_RANGE) list()
        return code === GRPC.OUT_OF_RANGE
      },
    })

  /** Which change was the last tells when all that was missed has come; deletions after it come a moment later. */
  const ask = (from: string): Verdict => {
    const latest = { sort_target: 'MOD', sort_order: 'DESCEND', limit: '1', keys_only: true }
    questions.post('v3/kv/range', { ...range, ...latest }, (answer) => {
      const last = readEntry((answer.kvs as unknown[] | undefined)?.[0])?.revision
      seen = from
      enter(true)
      if (last !== undefined && isBefore(from, last)) missedUntil = last
      else io.caughtUp()
      follow()
      return 'taken'
    })
    return 'taken'
  }

  const list = (afterMs = 0) =>
    questions.post(
      'v3/kv/range',
      range,
      (answer) => {
        const revision = revisionOf(answer)
        const { kvs = [] } = answer
        if (revision === undefined || !Array.isArray(kvs)) return 'malformed'
        const entries = kvs.map(readEntry).filter((entry) => entry !== undefined)
        enter(false)
        seen = revision
        missedUntil = undefined
        const list = entries.map(({ key, value, revision }) => ({ key, value, revision }))
        io.deliver({ type: 'list', entries: list, revision }, { id: `list ${revision}`, cursor: revision })
        io.caughtUp()
        follow()
        return 'taken'
      },
      { afterMs },
    )

  const follow = (afterMs = 0) => {
    const request = { ...range, start_revision: next(seen) }
    const again = () => follow(AGAIN_MS)
    stream = questions.stream('v3/watch', { create_request: request }, { result, ended: again }, afterMs)
  }

  const result = (told: JsonObject): Verdict => {
    const { events, created, canceled, compact_revision, cancel_reason } = told
    if (created === true && isBefore(revisionOf(told) ?? seen, seen)) {
      // it was restored from a backup: what is seen there is still to come
      stream?.end()
      list(AGAIN_MS)
      return 'taken'
    }
    if (canceled === true) {
      stream?.end()
      const why = typeof cancel_reason === 'string' ? cancel_reason : 'no reason given'
      if (compact_revision !== undefined) list()
      else io.fail('closed-by-peer', { detail: `etcd canceled the watch: ${why}` })
      return 'taken'
    }
    if (events === undefined) return 'taken'
    const changes = Array.isArray(events) ? events.map(readEvent) : [undefined]
    if (!changes.every((change) => change !== undefined)) return 'malformed'
    for (const [i, change] of changes.entries()) io.deliver(change, markOf(change, changes[i + 1]))
    seen = changes.at(-1)?.revision ?? seen
    if (missedUntil !== undefined && !isBefore(seen, missedUntil)) {
      missedUntil = undefined
      io.caughtUp()
    }
    return 'taken'
  }

  return {
    enter: (tell) => {
      entered = tell
      const { cursor } = io.session
      if (isRevision(cursor)) resume(cursor)
      else list()
    },
    probe: () => questions.question('v3/kv/range', { key: range.key, keys_only: true }, () => 'taken'),
  }
}

const isRevision = (cursor: Cursor | undefined): cursor is string => isNumeral(cursor) && BigInt(cursor) > 0n

/** Changes of one revision belong together: the position moves with the last of them. */
const markOf = ({ type, ...change }: EtcdEvent, following: EtcdEvent | undefined): InboundMark => {
  const id = `${change.revision} ${type} ${'key' in change ? change.key : ''}`
  return following?.revision === change.revision ? { id } : { id, cursor: change.revision }
}

/** A deletion carries the key, its revision and nothing else; a put leaves its type out, because it is 0. */
const readEvent = (value: unknown): Exclude<EtcdEvent, { type: 'list' }> | undefined => {
  const event = asObject(value)
  const entry = readEntry(event?.kv)
  if (!event || !entry) return undefined
  const { key, value: text, revision } = entry
  if (event.type === 'DELETE') return { type: 'delete', key, revision }
  return event.type === undefined || event.type === 'PUT' ? { type: 'put', key, value: text, revision } : undefined
}
