/** The bucket that leases are kept in: what is used of it, how it is made, and whether leases are safe in it. */
import { HoldfastError } from '../../error.ts'
import type { NatsConnection } from './presence.ts'

/** What is used of a bucket of `@nats-io/kv`. */
export interface NatsBucket {
  get(key: string): Promise<NatsEntry | null>
  put(key: string, value: string, options: { previousSeq: number }): Promise<number>
  watch(options: { include: 'updates'; headers_only: true }): Promise<AsyncIterable<NatsEntry> & { stop(): void }>
  status(): Promise<NatsBucketStatus>
}

export interface NatsEntry {
  readonly key: string
  readonly revision: number
  readonly operation: 'PUT' | 'DEL' | 'PURGE'
  string(): string
}

export interface NatsBucketStatus {
  readonly bucket: string
  readonly storage: string
  /** Milliseconds; 0 for ever. */
  readonly ttl: number
  readonly replicas: number
  readonly streamInfo: { readonly cluster?: { readonly name?: string } }
}

export const makeBucket = async (connection: NatsConnection, name: string, replicas = 1): Promise<NatsBucket> => {
  const { Kvm } = await loadKv()
  const made = new Kvm(connection as unknown as ConstructorParameters<typeof Kvm>[0])
  // read from the leader: another server may not have yet what a hint has just told of
  return made.create(name, { history: 1, replicas, allow_direct: false })
}

const loadKv = async (): Promise<typeof import('@nats-io/kv')> => {
  try {
    return await import('@nats-io/kv')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
    const what = 'natsLeaseStore() needs the package "@nats-io/kv"'
    const why = missing ? 'npm install @nats-io/kv' : `it is installed and does not load: ${message.split('\n')[0]}`
    throw new HoldfastError('bad-option', `${what}: ${why}`, { cause })
  }
}

/**
 * Before it, of two conditional writes at once to a bucket with replicas both may be granted: nats-server, issue 4320 and
 * pull request 6194. Of 500 pairs at three servers 2.9.10 both were 240 times.
 */
const REPLICATED_FROM = [2, 11] as const

const isBefore = (version: string, [major, minor]: readonly [number, number]): boolean => {
  const [, theirMajor, theirMinor] = /^(\d+)\.(\d+)\./.exec(version) ?? []
  return Number(theirMajor) < major || (Number(theirMajor) === major && Number(theirMinor) < minor)
}

export interface Wanted {
  /** At least so many. */
  readonly replicas?: number | undefined
  /** Of the server. */
  readonly version?: string | undefined
}

/** Throws if leases are not safe there; returns what else is to be said of it. */
export const judge = (status: NatsBucketStatus, { replicas: wanted, version = '' }: Wanted): string | undefined => {
  const { bucket, storage, ttl, replicas } = status
  const is = `The NATS bucket ${bucket}`
  const danger = 'A lease that vanishes while its owner runs on lets a second one in.'
  const edit = `nats stream edit KV_${bucket}`
  const refused = (what: string) => new HoldfastError('bad-option', `${is} ${what}`)
  if (storage !== 'file') throw refused(`is kept in ${storage}. ${danger} Make a bucket with file storage.`)
  if (ttl > 0) throw refused(`forgets what is older than ${ttl} ms. ${danger} Take the TTL away: ${edit} --max-age=0`)
  if (wanted !== undefined && replicas < wanted)
    throw refused(`has ${replicas} of the ${wanted} replicas that were asked for: ${edit} --replicas=${wanted}`)
  if (replicas > 1 && isBefore(version, REPLICATED_FROM)) {
    const why = `before ${REPLICATED_FROM.join('.')} such a bucket may give a lease to two at once`
    throw refused(`has ${replicas} replicas at nats-server ${version}: ${why}. Update the servers, to 2.12.3 or later.`)
  }
  if (replicas > 1 || status.streamInfo.cluster?.name === undefined) return undefined
  return `${is} is on one server of a cluster, and stands still when that one does. Ask for replicas: 3.`
}
