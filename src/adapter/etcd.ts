/**
 * etcd v3 through its JSON gateway: a key that is registered for as long as the link is live, and a prefix that is watched.
 * Facts: etcd, api-grpc-gateway.md; docs/adapters/etcd.md says who sends what.
 */
import { HoldfastError } from '../error.ts'
import { isSecret, reveal, type Secret } from '../secret.ts'
import { type Adapter, checkTarget, type Dialogue, describe, type Io, refuseUnknown, type Target } from './adapter.ts'
import { GRPC, Questions } from './etcd/questions.ts'
import { type Registered, registration } from './etcd/registration.ts'
import { type EtcdEvent, watching } from './etcd/watching.ts'

export type { EtcdEntry } from './etcd/entries.ts'
export type { EtcdEvent }

export interface EtcdOptions {
  /** Where a member of the cluster serves clients, such as `http://127.0.0.1:2379`. */
  readonly url?: string
  /** In place of `url`: several members, of which each would do, the best first. */
  readonly urls?: readonly string[]
  /** A key that is there while the link is live, and gone at the latest `ttlSeconds` (3 and more) after we are. */
  readonly register?: Registered
  /** The link's messages are the keys with this beginning, and their changes. */
  readonly watch?: { readonly prefix: string }
  readonly username?: string
  readonly password?: string | Secret
}

const KNOWN = ['url', 'urls', 'register', 'watch', 'username', 'password'] as const
/** A link beats once a second at most, and a lease outlives two beats. */
const TTL_MIN_SECONDS = 3

export const etcd = (options: EtcdOptions): Adapter<EtcdEvent, never> => {
  const { targets, user } = checkOptions(options)
  return { name: 'etcd', target: () => targets, dialogue: (io) => dialogue(io, options, user) }
}

interface User {
  readonly name: string
  readonly password: string
}

const dialogue = (io: Io<EtcdEvent>, { register, watch }: EtcdOptions, user: User | undefined): Dialogue => {
  const questions = new Questions(io)
  const own = register && registration(io, questions, register)
  const watched = watch && watching(io, questions, watch.prefix)

  const begin = () => (own ? own.enter(enter) : enter())

  /** A registration alone misses nothing: its lease is all that there was. */
  const enter = (id?: string, everyMs?: number) => {
    const session = id === undefined ? {} : { id }
    const welcome = (resumed: boolean) => {
      io.welcome({ replaying: watched !== undefined, resumed, session })
      if (everyMs !== undefined) io.heartbeat({ everyMs })
    }
    if (watched) watched.enter(welcome)
    else welcome(io.session.id !== undefined)
  }

  const authenticate = (user: User) =>
    questions.post(
      'v3/auth/authenticate',
      user,
      ({ token }) => {
        if (typeof token !== 'string' || !HEADER_VALUE.test(token)) return 'malformed'
        questions.token = token
        begin()
        return 'taken'
      },
      {
        refused: (code) => {
          // as etcd's own client: whoever has a password is let in where none is asked for
          if (code === GRPC.FAILED_PRECONDITION) begin()
          else if (code === GRPC.INVALID_ARGUMENT)
            io.fail('credentials-rejected', { detail: 'etcd knows no such user with this password' })
          return code === GRPC.FAILED_PRECONDITION || code === GRPC.INVALID_ARGUMENT
        },
      },
    )

  return {
    opened: () => (user ? authenticate(user) : begin()),
    frame: (frame) => questions.take(frame),
    probe: () => (own ?? watched!).probe(),
    goodbye: () => own?.goodbye(),
  }
}

const HEADER_VALUE = /^[\x21-\x7e]+$/

const checkOptions = (options: EtcdOptions): { targets: readonly Target[]; user: User | undefined } => {
  refuseUnknown(options ?? {}, KNOWN, 'options of etcd()')
  const { url, urls, register, watch, username, password } = options ?? {}
  if ((url === undefined) === (urls === undefined)) throw refuse('needs a url, or several as urls, and not both')
  if (urls !== undefined && !(Array.isArray(urls) && urls.length > 0)) throw refuse('has urls that are no list of some')
  if (!register && !watch)
    throw refuse('needs something to do: register: { key, value, ttlSeconds }, or watch: { prefix }')
  if (register) checkRegistered(register)
  if (watch && typeof watch.prefix !== 'string') throw refuse(`has a watch.prefix that is ${describe(watch.prefix)}`)
  const secret = isSecret(password) ? reveal(password) : password
  if ((username === undefined) !== (password === undefined)) throw refuse('has half of a username and password')
  for (const [name, text] of Object.entries({ username, password: secret })) {
    if (text !== undefined && (typeof text !== 'string' || text === ''))
      throw refuse(`has a ${name} that is no text, or an empty one`)
  }
  const secrets = secret === undefined ? [] : [secret]
  const targets = (urls ?? [url]).map((each) => targetOf(each, secrets))
  return { targets, user: username === undefined ? undefined : { name: username, password: secret! } }
}

const targetOf = (url: unknown, secrets: readonly string[]): Target => {
  checkTarget({ url }, 'etcd({ url })', ['http', 'https'])
  const { href } = new URL(url as string)
  return { url: href.endsWith('/') ? href : `${href}/`, secrets }
}

const checkRegistered = (register: Registered): void => {
  refuseUnknown(register, ['key', 'value', 'ttlSeconds'], 'parts of register of etcd()')
  const { key, value, ttlSeconds } = register
  if (typeof key !== 'string' || key === '') throw refuse('has a register.key that is no text, or an empty one')
  if (typeof value !== 'string') throw refuse(`has a register.value that is ${describe(value)}; it must be a string`)
  if (Number.isSafeInteger(ttlSeconds) && ttlSeconds >= TTL_MIN_SECONDS) return
  throw refuse(`has register.ttlSeconds of ${describe(ttlSeconds)}; it must be a whole number from ${TTL_MIN_SECONDS}`)
}

const refuse = (what: string): HoldfastError => new HoldfastError('bad-option', `etcd(…) ${what}.`)
