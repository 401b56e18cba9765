/**
 * Notices that the machine slept or that its network changed, so that nobody waits out a long backoff in front of a way
 * that is open again (regression R13), or trusts a link that died in its sleep (R96).
 *
 * Both words are hints and nothing else: to a link that waits they are an invitation to dial, to a live one a reason to
 * probe; a link that nobody wants held ignores them (R67). So a wrong hint costs one probe, and some are wrong: a wall
 * clock that is set forward looks just like a machine that slept, because on Linux and macOS monotonic time stands
 * still in sleep.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import { NEVER, Observable, share } from 'rxjs'
import { type Clock, realClock, STALL_MS, type Timer } from './clock.ts'
import { HoldfastError } from './error.ts'

export type Hint =
  /** We slept, were suspended or could not run for more than a second; or the wall clock was set forward. */
  | 'awoke'
  /** The addresses of this machine are not the same as before. */
  | 'network-changed'

export type Interfaces = () => NodeJS.Dict<NetworkInterfaceInfo[]>

export interface AwakeOptions {
  /** Default: the real one. */
  readonly clock?: Clock
  /**
   * Default: `os.networkInterfaces`. It may throw, as it does on some phones: then nothing is known to have changed.
   */
  readonly interfaces?: Interfaces
  /** How often to look, in milliseconds from 1,000 to 5,000. Default 2,000. */
  readonly everyMs?: number
}

const EVERY_MIN_MS = 1_000
const EVERY_MAX_MS = 5_000

/**
 * The hints of this process. Make it once and let all links subscribe: one timer runs while there is a subscriber, and
 * none otherwise. Never errors and never completes. Throws HoldfastError `bad-option` for an `everyMs` out of bounds.
 */
export const awake = (options: AwakeOptions = {}): Observable<Hint> => {
  const { clock = realClock, interfaces = networkInterfaces, everyMs = 2_000 } = options
  if (!(everyMs >= EVERY_MIN_MS && everyMs <= EVERY_MAX_MS)) {
    const wants = `milliseconds from ${EVERY_MIN_MS} to ${EVERY_MAX_MS}`
    throw new HoldfastError('bad-option', `The option "everyMs" must be ${wants}.`)
  }
  return watch(clock, interfaces, everyMs).pipe(share())
}

const watch = (clock: Clock, interfaces: Interfaces, everyMs: number): Observable<Hint> =>
  new Observable((subscriber) => {
    let timer: Timer | undefined
    let last = { now: clock.now(), wall: clock.wall() }
    let network = networkOf(interfaces)

    const arm = () => {
      timer = clock.setTimeout(look, everyMs)
    }
    const look = () => {
      const at = { now: clock.now(), wall: clock.wall() }
      const ran = at.now - last.now
      // Forward only: no sleep sets a clock back. And both from one look to the next, so slow drift never adds up.
      const slept = ran - everyMs > STALL_MS || at.wall - last.wall - ran > STALL_MS
      const before = network
      network = networkOf(interfaces) ?? before
      last = at
      arm()
      if (slept) subscriber.next('awoke')
      if (before !== undefined && network !== before) subscriber.next('network-changed')
    }

    arm()
    subscriber.add(() => clock.clearTimeout(timer))
  })

/** What a change of would mean another way to the peer; undefined if the system does not tell. */
const networkOf = (interfaces: Interfaces): string | undefined => {
  try {
    return Object.entries(interfaces())
      .flatMap(([name, infos]) => (infos ?? []).flatMap((info) => stablePart(name, info) ?? []))
      .sort()
      .join(' ')
  } catch {
    return undefined
  }
}

/**
 * Left out: what leads nowhere (loopback, link-local: every container that starts brings a new one of these) and what
 * changes by itself (MAC addresses, and the second half of IPv6 addresses, which privacy extensions renew all the
 * time).
 */
const stablePart = (name: string, { address, netmask, internal }: NetworkInterfaceInfo): string | undefined => {
  if (internal || /^(169\.254\.|fe[89ab])/i.test(address)) return undefined
  return `${name}=${address.includes(':') ? prefixOf(address) : `${address}/${netmask}`}`
}

/** The first 64 bits of an IPv6 address. */
const prefixOf = (address: string): string => {
  const [head = '', tail] = address.split('%')[0]!.toLowerCase().split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail ? tail.split(':') : []
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length)
  return [...front, ...Array<string>(zeros).fill('0'), ...back].slice(0, 4).join(':')
}

let ours: Observable<Hint> | undefined

/** The hints for links that live by this clock. Only the real one has a machine behind it that can sleep. */
export const hintsOf = (clock: Clock): Observable<Hint> => {
  if (clock !== realClock) return NEVER
  ours ??= awake()
  return ours
}
