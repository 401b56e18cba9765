/** Processes of a fleet that share one store in virtual time; each has a link of its own on a scripted network. */
import { type Lease, type LeaseOptions, type LeaseStore, lease, memoryLeaseStore } from '../../src/lease.ts'
import { connect } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import type { Tenure } from '../../src/tenure.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'
import { politePeer, smallTalk } from '../small-talk.ts'

const makeLink = (network: FakeNetwork, options: LinkOptions) => {
  const { clock, transport, lookup } = network
  return connect(smallTalk(), { clock, transport, lookup, ...options })
}

export type TalkLink = ReturnType<typeof makeLink>

/** How a store treats one process: it may be cut off from it, wait for ever, or not hear that it was heard. */
export type Weather = 'fair' | 'down' | 'silent' | 'deaf'

export interface Member {
  readonly network: FakeNetwork
  readonly lease: Lease<TalkLink>
  /** Every link that it made, the latest last. */
  readonly links: TalkLink[]
  readonly tenures: Tenure[]
  weather: Weather
}

export interface Fleet {
  readonly clock: HeapClock
  readonly store: LeaseStore
  join(name: string, options?: Partial<LeaseOptions<TalkLink>>, forLink?: LinkOptions): Member
}

const never = <T>(): Promise<T> => new Promise(() => undefined)

/** The store as one process sees it. */
const through = (store: LeaseStore, weather: () => Weather): LeaseStore => {
  const ask = async <T>(act: () => Promise<T>): Promise<T> => {
    if (weather() === 'down') throw new Error('connect ECONNREFUSED')
    if (weather() === 'silent') return never()
    const answer = await act()
    if (weather() === 'deaf') throw new Error('the answer was lost')
    return answer
  }
  return {
    ...store,
    read: (key, signal) => ask(() => store.read(key, signal)),
    replace: (key, expected, value, signal) => ask(() => store.replace(key, expected, value, signal)),
  }
}

export const fleetOf = (store: LeaseStore = memoryLeaseStore(), clock = heapClock()): Fleet => ({
  clock,
  store,
  join: (name, options = {}, forLink = {}) => {
    const network = new FakeNetwork(clock, politePeer)
    const links: TalkLink[] = []
    const tenures: Tenure[] = []
    const link = (tenure: Tenure) => {
      tenures.push(tenure)
      const made = makeLink(network, { lease: tenure, ...forLink })
      links.push(made)
      return made
    }
    const seen = through(store, () => member.weather)
    const member: Member = {
      network,
      links,
      tenures,
      weather: 'fair',
      lease: undefined as never,
    }
    return Object.assign(member, {
      lease: lease<TalkLink>('bot', { store: seen, clock, owner: name, link, ...options }),
    })
  },
})
