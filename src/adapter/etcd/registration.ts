/**
 * A key that is there for as long as we are: it hangs on a lease, and whoever loses the lease or the key has lost the
 * registration. The lease is the session: what it still holds is kept, so a restart of etcd registers nobody twice.
 * Facts: incident 5 (OpenIM), statements 1, 3, 5 and 6; etcd, learning/api.md, "Lease API".
 */
import type { Frame, Io, Verdict } from '../adapter.ts'
import { asObject, type JsonObject } from '../json.ts'
import { encode, isNumeral, next, readEntry, revisionOf } from './entries.ts'
import { type AskOptions, GRPC, type Questions } from './questions.ts'

export interface Registered {
  readonly key: string
  readonly value: string
  readonly ttlSeconds: number
}

export interface Registration {
  /** Sees to it that the lease lives and the key hangs on it, and says so once, with how often it is to be probed. */
  enter(entered: Entered): void
  /** Keeps the lease alive. */
  probe(): Frame
  goodbye(): Frame
}

/** What is asked as a courtesy may fail. */
const mayFail: AskOptions = { refused: () => true, failed: () => undefined }

type Entered = (lease: string, beatMs: number) => void

/** As often as etcd's own client: two may be lost, and the lease still lives. */
const BEATS_PER_TTL = 3
/** How soon a watch over our key that ended is taken up again, in milliseconds. */
const AGAIN_MS = 250
const GOODBYE_WITHIN_MS = 2_000
/** The longest that a link waits between two beats. */
const BEAT_MAX_MS = 600_000

/** How often a lease with this TTL is renewed; undefined where there is none, or 0. */
const beatOf = (ttl: unknown): number | undefined => {
  const seconds = isNumeral(ttl) ? Number(ttl) : 0
  return seconds > 0 ? Math.min((seconds * 1_000) / BEATS_PER_TTL, BEAT_MAX_MS) : undefined
}

export const registration = (io: Io<never>, questions: Questions, wanted: Registered): Registration => {
  const key = encode(wanted.key)
  const value = encode(wanted.value)
  const former = io.session.id
  let lease = '0'
  let beatMs = 0
  let isLeaving = false
  let entered: Entered = () => undefined

  const lose = (detail: string) => io.fail('lease-lost', { detail })

  /** Of a lease that is gone, etcd says so by leaving the TTL out, with HTTP 200. */
  const renew = (id: string, alive: () => void, gone: () => void, options: AskOptions = {}) =>
    questions.question(
      'v3/lease/keepalive',
      { ID: id },
      ({ result }) => {
        const everyMs = beatOf(asObject(result)?.TTL)
        beatMs = everyMs ?? beatMs
        if (everyMs !== undefined) alive()
        else gone()
        return 'taken'
      },
      {
        ...options,
        refused: (code) => {
          if (code === GRPC.NOT_FOUND) gone()
          return code === GRPC.NOT_FOUND
        },
      },
    )

  const beat = () =>
    renew(
      lease,
      () => io.heartbeat({ everyMs: beatMs }),
      () => lose('etcd does not know the lease any more'),
      {
        // with the time since the beat before it, two thirds of the lease are over
        withinMs: beatMs,
        failed: ({ code, ...more }) => (code === 'answer-timeout' ? lose('no answer to a beat') : io.fail(code, more)),
      },
    )

  const grant = () =>
    questions.post('v3/lease/grant', { TTL: String(wanted.ttlSeconds), ID: '0' }, ({ ID, TTL }) => {
      const everyMs = beatOf(TTL)
      if (!isNumeral(ID) || everyMs === undefined) return 'malformed'
      lease = ID
      beatMs = everyMs
      put()
      if (former !== undefined) revokeFormer(former)
      return 'taken'
    })

  /** It does not renew it any more, but a lagging member of the cluster may still think that it lives. */
  const revokeFormer = (former: string) => questions.post('v3/lease/revoke', { ID: former }, () => 'taken', mayFail)

  const put = () => questions.post('v3/kv/put', { key, value, lease }, guardFrom)

  /** The key may be there already, as we left it. */
  const check = (afterMs = 0) =>
    questions.post(
      'v3/kv/range',
      { key },
      (answer) => {
        const entry = readEntry((answer.kvs as unknown[] | undefined)?.[0])
        if (entry?.lease === lease && entry.value === wanted.value) return guardFrom(answer)
        put()
        return 'taken'
      },
      { afterMs },
    )

  const guardFrom = (answer: JsonObject): Verdict => {
    const revision = revisionOf(answer)
    if (revision === undefined) return 'malformed'
    guard(next(revision))
    const tell = entered
    entered = () => undefined
    tell(lease, beatMs)
    return 'taken'
  }

  /** Watches that nobody deletes it: etcd does when the lease ends. */
  const guard = (start_revision: string) => {
    const stream = questions.stream(
      'v3/watch',
      { create_request: { key, start_revision, filters: ['NOPUT'] } },
      {
        result: ({ events, canceled }) => {
          if (isLeaving) return 'taken'
          if (Array.isArray(events) && events.length > 0) lose('the key was deleted')
          else if (canceled === true) {
            stream.end()
            check(AGAIN_MS)
          }
          return 'taken'
        },
        ended: () => check(AGAIN_MS),
      },
    )
  }

  return {
    enter: (tell) => {
      entered = tell
      if (former === undefined) return grant()
      lease = former
      io.send(renew(former, () => check(), grant))
    },
    probe: beat,
    goodbye: () => {
      isLeaving = true
      return questions.question('v3/lease/revoke', { ID: lease }, () => 'taken', {
        ...mayFail,
        isGoodbye: true,
        withinMs: GOODBYE_WITHIN_MS,
      })
    },
  }
}
