/**
 * Leases in etcd v3, through its JSON gateway: a transaction that writes only if the key was last modified at the revision
 * that was read. Leases of etcd's own are not used. Facts: etcd, learning/api.md, "Transaction"; api-grpc-gateway.md.
 */
import { ReplaySubject, takeUntil } from 'rxjs'
import { checkTarget, describe, refuseUnknown, type Target } from '../adapter/adapter.ts'
import { encode, rangeOf, readEntry, revisionOf } from '../adapter/etcd/entries.ts'
import { asObject } from '../adapter/json.ts'
import { type Clock, realClock } from '../clock.ts'
import { HoldfastError } from '../error.ts'
import { parseProxy } from '../net/proxy.ts'
import { hostOf, portOf } from '../net/resolve.ts'
import { isSecret, reveal, type Secret, scrubber } from '../secret.ts'
import { changesOf, changesTo } from './changes.ts'
import { Gateway, type User } from './etcd/gateway.ts'
import { Questions } from './questions.ts'
import { checkKey, type LeaseStore } from './store.ts'

export interface EtcdLeaseStoreOptions {
  /** Where a member of the cluster serves clients, such as `http://127.0.0.1:2379`. */
  readonly url?: string
  /** In place of `url`: several members, of which each would do, the best first. */
  readonly urls?: readonly string[]
  readonly username?: string
  readonly password?: string | Secret
  /** What the keys begin with. Default: `holdfast/`. */
  readonly prefix?: string
  /** The certificate authority of the cluster, and a certificate of ours if it wants one. */
  readonly tls?: Target['tls']
  /** As the option of a link: the URL of a proxy, or false for none. Unless told the environment decides. */
  readonly proxy?: string | false
  readonly clock?: Clock
}

/**
 * Keeps leases in etcd. Reads are linearizable. Each question goes to the member that answered last; if it does not, a
 * read goes to the next one, and a write where it certainly had no effect.
 */
export const etcdLeaseStore = (options: EtcdLeaseStoreOptions): LeaseStore => {
  const { members, user, prefix, clock } = checkOptions(options)
  const gateway = new Gateway({ members, user, clock, proxy: options.proxy, tls: options.tls })
  const hosts = members.map((url) => `${hostOf(url)}:${portOf(url)}`).join(', ')
  const questions = new Questions(`The etcd at ${hosts}`, clock, scrubber([]))
  const closed = new ReplaySubject<void>(1)
  const locate = (key: string): string => {
    checkKey(key)
    return encode(`${prefix}${key}`)
  }

  const changes$ = changesOf(clock, (tell, signal) =>
    gateway.stream('v3/watch', { create_request: rangeOf(prefix) }, signal, ({ created, events }) => {
      // whatever happened before
      if (created === true) tell(undefined)
      if (Array.isArray(events)) for (const event of events) tell(String(asObject(asObject(event)?.kv)?.key))
    }),
  ).pipe(takeUntil(closed))

  return {
    read: (key, signal) =>
      questions.ask(signal, async (signal) => {
        const { kvs, header } = await gateway.ask('v3/kv/range', { key: locate(key) }, signal)
        if (header === undefined) throw new Error('this is no answer of etcd')
        const [kv] = Array.isArray(kvs) ? kvs : []
        if (kv === undefined) return null
        const entry = readEntry(kv)
        return { value: entry?.value ?? '', revision: numberOf(entry?.revision) }
      }),
    replace: (key, expected, value, signal) =>
      questions.ask(signal, async (signal) => {
        const at = locate(key)
        const written = await gateway.ask('v3/kv/txn', transaction(at, expected, value), signal, { changes: true })
        const revision = numberOf(revisionOf(written))
        return written.succeeded === true ? revision : null
      }),
    watch: (key) => changesTo(locate(key), changes$),
    close: async () => {
      questions.close()
      closed.next()
      gateway.close()
    },
  }
}

/** A key that is not there counts as modified at 0. */
const transaction = (key: string, expected: number | null, value: string) => ({
  compare: [{ target: 'MOD', key, result: 'EQUAL', mod_revision: String(expected ?? 0) }],
  success: [{ request_put: { key, value: encode(value) } }],
})

/** A revision has 64 bits; at a thousand writes a second the safe integers last for 285,000 years. */
const numberOf = (revision: string | undefined): number => {
  const number = Number(revision)
  if (!Number.isSafeInteger(number)) throw new Error('this is no answer of etcd')
  return number
}

const KNOWN = ['url', 'urls', 'username', 'password', 'prefix', 'tls', 'proxy', 'clock'] as const

const checkOptions = (
  options: EtcdLeaseStoreOptions,
): { members: readonly string[]; user: User | undefined; prefix: string; clock: Clock } => {
  refuseUnknown(options ?? {}, KNOWN, 'options of etcdLeaseStore()')
  const { url, urls, username, password, prefix = 'holdfast/', proxy, clock = realClock } = options ?? {}
  if ((url === undefined) === (urls === undefined)) throw refuse('needs a url, or several as urls, and not both')
  if (urls !== undefined && !(Array.isArray(urls) && urls.length > 0)) throw refuse('has urls that are no list of some')
  if (typeof prefix !== 'string') throw refuse(`has a prefix that is ${describe(prefix)}; it must be a string`)
  if (proxy !== undefined && proxy !== false && !(typeof proxy === 'string' && parseProxy(proxy)))
    throw refuse('has a proxy that is neither false nor the URL of one: http://, https:// or socks5://')
  const secret = isSecret(password) ? reveal(password) : password
  if ((username === undefined) !== (secret === undefined)) throw refuse('has half of a username and password')
  for (const [name, text] of Object.entries({ username, password: secret })) {
    if (text !== undefined && (typeof text !== 'string' || text === ''))
      throw refuse(`has a ${name} that is no text, or an empty one`)
  }
  const members = (urls ?? [url]).map(memberAt)
  return { members, user: username === undefined ? undefined : { name: username, password: secret! }, prefix, clock }
}

const memberAt = (url: unknown): string => {
  checkTarget({ url }, 'etcdLeaseStore({ url })', ['http', 'https'])
  const { href, username, password, search } = new URL(url as string)
  if (username + password + search !== '')
    throw refuse('has a url with more than a host and a path: a user goes into username and password')
  return href.endsWith('/') ? href : `${href}/`
}

const refuse = (what: string): HoldfastError => new HoldfastError('bad-option', `etcdLeaseStore(…) ${what}.`)
