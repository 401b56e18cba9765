/** The first layer: a name to addresses, each family asked by itself, and both as the system orders them. */
import { isIP } from 'node:net'
import type { Address, Lookup } from '../net/resolve.ts'
import { codeOf, LATE, NO_ANSWER, type Time } from './time.ts'

/** What one question came to. */
export interface Question {
  readonly ms: number
  readonly addresses: readonly string[]
  /** The system's code, or `no-answer`. Null when there are addresses. */
  readonly code: string | null
}

export interface DnsLayer {
  readonly name: 'dns'
  readonly ok: boolean
  readonly ms: number
  readonly host: string
  /** The URL has an address in place of a name: nothing was asked. */
  readonly literal: boolean
  readonly a: Question | null
  readonly aaaa: Question | null
  /** Both families, in the order in which the system wants them tried. */
  readonly order: Question | null
}

const ANSWER_MS = 5_000

export interface Found {
  readonly layer: DnsLayer
  readonly addresses: readonly Address[]
}

/**
 * A lookup that is asked each question once, whoever asks it: this layer, Node's default and holdfast's own dialer all
 * live by the same answers, however late these come. Literals are answered without asking.
 */
export const askedOnce = (lookup: Lookup): Lookup => {
  const answers = new Map<string, Promise<readonly Address[]>>()
  return (host, family?: 4 | 6) => {
    const key = `${family ?? ''} ${host}`
    const known = answers.get(key) ?? (isIP(host) === 0 ? lookup(host, family) : Promise.resolve([addressOf(host)]))
    // nobody awaits it if the examination ends before it does
    known.catch(() => undefined)
    answers.set(key, known)
    return known
  }
}

const addressOf = (address: string): Address => ({ address, family: isIP(address) === 6 ? 6 : 4 })

export const askDns = async (host: string, ask: Lookup, time: Time): Promise<Found> => {
  if (isIP(host) !== 0) return literal(addressOf(host))
  const startedAt = time.now()
  const asked = [question(ask(host), time), question(ask(host, 4), time)] as const
  // Node has two lookups of the system run at a time: a third would wait in a queue, and its time would be a lie
  const aaaa = Promise.race(asked).then(({ code }) =>
    code === NO_ANSWER ? unasked(time.since(startedAt)) : question(ask(host, 6), time, startedAt),
  )
  const [order, a] = await Promise.all(asked)
  const six = await aaaa
  const addresses = order.code === null ? order.found : [...six.found, ...a.found]
  return {
    layer: {
      name: 'dns',
      ok: addresses.length > 0,
      ms: time.since(startedAt),
      host,
      literal: false,
      a: shown(a),
      aaaa: shown(six),
      order: shown(order),
    },
    addresses,
  }
}

interface Answered extends Question {
  readonly found: readonly Address[]
}

/** The deadline is that of the whole layer: a question that begins later has less of it. */
const question = async (asked: Promise<readonly Address[]>, time: Time, layerAt = time.now()): Promise<Answered> => {
  const startedAt = time.now()
  const end = (found: readonly Address[], code: string | null): Answered => ({
    ms: time.since(startedAt),
    addresses: found.map(({ address }) => address),
    code,
    found,
  })
  try {
    const found = await time.within(ANSWER_MS - (startedAt - layerAt), asked)
    if (found === LATE) return end([], NO_ANSWER)
    return end(found, found.length === 0 ? 'ENODATA' : null)
  } catch (error) {
    return end([], codeOf(error))
  }
}

const unasked = (ms: number): Answered => ({ ms, addresses: [], code: NO_ANSWER, found: [] })

const shown = ({ ms, addresses, code }: Answered): Question => ({ ms, addresses, code })

const literal = (address: Address): Found => ({
  layer: {
    name: 'dns',
    ok: true,
    ms: 0,
    host: address.address,
    literal: true,
    a: null,
    aaaa: null,
    order: null,
  },
  addresses: [address],
})
