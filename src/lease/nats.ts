/**
 * Leases in a bucket of NATS KV: a stream that keeps the latest message of each subject, and writes one only if the
 * latest is still the one that was read. Facts: docs.nats.io, "Key/Value Store"; what nats-server 2.9.10 was seen to do.
 */
import { ReplaySubject, takeUntil } from 'rxjs'
import { describe, refuseUnknown } from '../adapter/adapter.ts'
import { type Clock, realClock } from '../clock.ts'
import { HoldfastError, isHoldfastError } from '../error.ts'
import { scrubber } from '../secret.ts'
import { changesOf, changesTo } from './changes.ts'
import { judge, makeBucket, type NatsBucket } from './nats/bucket.ts'
import { type NatsConnection, Presence } from './nats/presence.ts'
import { Questions } from './questions.ts'
import { checkKey, type LeaseStore } from './store.ts'

export type { NatsBucket, NatsBucketStatus, NatsEntry } from './nats/bucket.ts'
export type { NatsConnection }

export interface NatsLeaseStoreOptions {
  /** The bucket that has the records, made if there is none. Default: `holdfast`. */
  readonly bucket?: string
  /** On how many servers of the cluster every record is to be: 3 in production. A new bucket has one unless told. */
  readonly replicas?: number
  /** A bucket that you have opened yourself, in another JetStream domain, say; in place of `bucket`. */
  readonly kv?: NatsBucket
  readonly clock?: Clock
}

/**
 * Keeps leases in NATS, over a connection of yours that stays yours. It needs the optional package `@nats-io/kv`.
 *
 * What the server really made of the bucket is read back. `bad-option` if it keeps records in memory or for a time, or on
 * fewer servers than `replicas`: a record that vanishes while its owner runs on would let a second one in; and if it has
 * replicas at a server before 2.11, which may let two in at once. A single replica in a cluster is a warning of the
 * process. After any failure the bucket is looked at again.
 */
export const natsLeaseStore = (connection: NatsConnection, options: NatsLeaseStoreOptions = {}): LeaseStore => {
  checkOptions(connection, options)
  const { bucket: name = 'holdfast', replicas, kv, clock = realClock } = options
  const questions = new Questions(kv ? 'The NATS bucket' : `The NATS bucket ${name}`, clock, scrubber([]))
  const closed = new ReplaySubject<void>(1)
  let opened: Promise<NatsBucket> | undefined
  let hasWarned = false
  const presence = new Presence(connection, () => {
    opened = undefined
    questions.fail('the connection to NATS was lost')
  })

  const open = async (): Promise<NatsBucket> => {
    const bucket = kv ?? (await makeBucket(connection, name, replicas))
    const warning = judge(await bucket.status(), { replicas, version: connection.info?.version })
    if (warning && !hasWarned) process.emitWarning(warning, 'HoldfastWarning')
    hasWarned ||= warning !== undefined
    return bucket
  }

  const inBucket = async <T>(signal: AbortSignal, act: (bucket: NatsBucket) => Promise<T>): Promise<T> => {
    await presence.returned()
    signal.throwIfAborted()
    opened ??= open()
    try {
      return await act(await opened)
    } catch (error) {
      // it may have been deleted, or made anew
      opened = undefined
      throw inWords(error)
    }
  }

  const changes$ = changesOf(clock, (tell, signal) =>
    inBucket(signal, async (bucket) => {
      const entries = await bucket.watch({ include: 'updates', headers_only: true })
      const stop = () => entries.stop()
      signal.addEventListener('abort', stop)
      if (signal.aborted) stop()
      // whatever happened before
      tell(undefined)
      for await (const { key } of entries) tell(key)
      signal.removeEventListener('abort', stop)
    }),
  ).pipe(takeUntil(closed))

  return {
    read: (key, signal) =>
      questions.ask(signal, async (signal) => {
        const at = encode(key)
        const entry = await inBucket(signal, (bucket) => bucket.get(at))
        return entry?.operation === 'PUT' ? { value: entry.string(), revision: entry.revision } : null
      }),
    replace: (key, expected, value, signal) =>
      questions.ask(signal, async (signal) => {
        const at = encode(key)
        return inBucket(signal, (bucket) => {
          const write = (revision: number) => put(bucket, { key: at, value, revision }, clock, signal)
          return expected === null ? create(bucket, at, write) : write(expected)
        })
      }),
    watch: (key) => changesTo(encode(key), changes$),
    close: async () => {
      questions.close()
      presence.close()
      closed.next()
    },
  }
}

/**
 * Letters, digits, `-` and `_` as they are, any other byte as `=` and two hexadecimal digits: a subject of NATS allows
 * few characters, and gives a meaning to some.
 */
const encode = (key: string): string => {
  checkKey(key)
  const hex = (mark: string) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(key)
    .replace(/[.!~*'()]/g, hex)
    .replaceAll('%', '=')
}

/** What a write is refused with: there is another revision. */
const WRONG_LAST_SEQUENCE = 10_071
/** Of a bucket with replicas: another conditional write of this key is under way, and may yet come to nothing. */
const WRITE_IN_PROCESS = 10_164
/** How soon it is tried again then, in milliseconds. */
const AGAIN_MS = 50

const put = async (
  bucket: NatsBucket,
  { key, value, revision }: { key: string; value: string; revision: number },
  clock: Clock,
  signal: AbortSignal,
): Promise<number | null> => {
  for (;;) {
    try {
      return await bucket.put(key, value, { previousSeq: revision })
    } catch (error) {
      const { code } = error as { code?: unknown }
      if (code === WRONG_LAST_SEQUENCE) return null
      if (code !== WRITE_IN_PROCESS || signal.aborted) throw error
    }
    await new Promise<void>((resolve) => clock.setTimeout(resolve, AGAIN_MS))
  }
}

/** What was deleted has a revision still: that of the mark in its place. */
const create = async (
  bucket: NatsBucket,
  key: string,
  write: (revision: number) => Promise<number | null>,
): Promise<number | null> => {
  const revision = await write(0)
  if (revision !== null) return revision
  const entry = await bucket.get(key)
  return entry === null || entry.operation === 'PUT' ? null : write(entry.revision)
}

const inWords = (error: unknown): unknown => {
  if (isHoldfastError(error) || (error as Error | undefined)?.name !== 'JetStreamNotEnabled') return error
  const advice = 'Start nats-server with --jetstream, or with jetstream {} in its configuration.'
  return new HoldfastError('store-failed', `JetStream is not enabled at the NATS server. ${advice}`)
}

const checkOptions = (connection: NatsConnection, options: NatsLeaseStoreOptions): void => {
  refuseUnknown(options, ['bucket', 'replicas', 'kv', 'clock'], 'options of natsLeaseStore()')
  const { bucket = 'holdfast', replicas = 1 } = options
  const refuse = (what: string) => new HoldfastError('bad-option', `natsLeaseStore(…) ${what}`)
  if (typeof connection?.status !== 'function') throw refuse('needs a connection: await connect({ servers }).')
  if (typeof bucket !== 'string' || !/^[-\w]+$/.test(bucket))
    throw refuse('has a bucket whose name is not of letters, digits, - and _ alone.')
  if (!Number.isSafeInteger(replicas) || replicas < 1)
    throw refuse(`has replicas of ${describe(replicas)}; it must be a whole number from 1.`)
}
