/**
 * The founding incidents, played in virtual time: the network is a fake one that does what the incident's network did, the
 * links are real. Each story gives what happened, for the picture, and the links, for tests.
 */
import { BehaviorSubject, defer } from 'rxjs'
import type { Adapter, Targets } from '../../src/adapter/adapter.ts'
import { onebot } from '../../src/adapter/onebot.ts'
import { faultFrom } from '../../src/error.ts'
import { connect, type Link } from '../../src/link.ts'
import type { AttemptError } from '../../src/net/attempt.ts'
import { DialError } from '../../src/net/dial.ts'
import { FakeNetwork } from '../../src/testing/fake-network.ts'
import { Journal, refusal, tokenShownTo, welcome } from './journal.ts'

export interface Story {
  readonly journal: Journal
  readonly links: readonly Link[]
  /** Participants from left to right, with their titles. */
  readonly names: Readonly<Record<string, string>>
}

const start = (journal: Journal, id: string, adapter: unknown, network: Pick<FakeNetwork, 'transport' | 'lookup'>) => {
  const { transport, lookup } = network
  return connect(adapter as Adapter, { id, clock: journal.clock, transport, lookup, proxy: false }) as Link
}

const V4 = '192.0.2.1'
const V6 = '2001:db8::1'

/** What the dialer tells of its race, when IPv6 has no route and IPv4 does not answer. */
const bothFail = (v4Ms: number): DialError => {
  const failed = (address: string, family: 4 | 6, code: string, ms: number): AttemptError =>
    Object.assign(new Error(code), { address, family, code, ms, step: 'tcp' as const, port: 443 })
  return new DialError([failed(V6, 6, 'ENETUNREACH', 1), failed(V4, 4, 'ETIMEDOUT', v4Ms)], {})
}

const slowAndUnreachable = async (): Promise<Story> => {
  const journal = new Journal()
  const { clock } = journal
  const network = new FakeNetwork(clock, journal.onebotPeer('bot', 'v4'))
  network.addresses = () => [
    { address: V6, family: 6 },
    { address: V4, family: 4 },
  ]
  const race = () => {
    clock.setTimeout(() => {
      journal.tell('v6', 'bot', 'ENETUNREACH', { lost: true })
      journal.tell('bot', 'v4', 'SYN')
    }, 1)
  }
  let dials = 0
  const transport: FakeNetwork['transport'] = (endpoint) => (listener) => {
    race()
    if (++dials > 1) return network.transport(endpoint)(listener)
    const v4Ms = 9_979
    const timer = clock.setTimeout(() => listener.lost(faultFrom(bothFail(v4Ms), 'connecting')), v4Ms + 1)
    return () => clock.clearTimeout(timer)
  }
  network.latencyMs = 1_000
  const link = start(journal, 'bot', onebot({ url: 'ws://peer.example/' }), { transport, lookup: network.lookup })
  // the dial itself goes to both; only IPv4 will ever answer
  journal.follow(link, () => (link.recording.kept.at(-1)?.event === 'endpoint.resolved' ? 'v6' : 'v4'))
  await journal.until(link, 'live')
  await journal.end(link)
  return { journal, links: [link], names: { bot: 'link', v6: `IPv6 ${V6}`, v4: `IPv4 ${V4}` } }
}

const STALL_MS = 100_000

const stalledLoop = async (): Promise<Story> => {
  const journal = new Journal()
  const { clock } = journal
  const leg = (id: string, peer: string, port: number) => {
    const network = new FakeNetwork(clock, journal.onebotPeer(id, peer))
    const link = start(journal, id, onebot({ url: `ws://127.0.0.1:${port}/` }), network)
    journal.follow(link, () => peer)
    return { network, link }
  }
  const napcat = leg('napcat', 'napcat-peer', 3_001)
  const core = leg('core', 'core-peer', 8_000)
  await journal.until(core.link, 'live')
  await clock.advance(20_000)

  journal.tell('user', 'user', `blocks the event loop for ${STALL_MS / 1_000} s`)
  clock.sleep(STALL_MS)
  journal.tellsFrames = true
  core.network.current!.lose({ code: 'closed-by-peer', detail: 'close code 1011' })
  const send = (text: string, message: unknown) => {
    journal.tell('user', 'core', `send ${text}`)
    const params = { user_id: 1, message }
    void (core.link.send as (action: unknown) => Promise<{ fate: string }>)({ action: 'send_msg', params }).then(
      ({ fate }) => journal.tell('core', 'user', `${text}: ${fate}`),
    )
  }
  send('what cannot be encoded', 1n)
  send('a message', 'hello')
  await journal.until(core.link, 'live')
  await clock.advance(100)
  await journal.end(napcat.link, core.link)
  const names = {
    'napcat-peer': 'NapCat',
    napcat: 'link to NapCat',
    user: 'the bridge',
    core: 'link to the core',
    'core-peer': 'core',
  }
  return { journal, links: [napcat.link, core.link], names }
}

const droppedBeforeRegistration = async (): Promise<Story> => {
  const journal = new Journal()
  const { clock } = journal
  const first = new FakeNetwork(clock, {}, true)
  const second = new FakeNetwork(clock, journal.onebotPeer('bot', 'e2'))
  let peer = 'e1'
  const transport: FakeNetwork['transport'] = (endpoint) => {
    peer = endpoint.target.url.includes('e1') ? 'e1' : 'e2'
    return (peer === 'e1' ? first : second).transport(endpoint)
  }
  const targets: Targets = [{ url: 'ws://e1.example/' }, { url: 'ws://e2.example/' }]
  const adapter = { ...onebot({ url: 'ws://e1.example/' }), target: () => targets }
  const link = start(journal, 'bot', adapter, { transport, lookup: first.lookup })
  journal.follow(link, () => peer)
  void link.ready().then(() => journal.tell('bot', 'user', 'ready: the services start, once'))
  await journal.until(link, 'handshaking')
  await clock.advance(200)
  first.current!.lose({ code: 'connection-lost', detail: 'read ECONNRESET' })
  await journal.until(link, 'live')
  await clock.advance(5_000)
  second.current!.lose({ code: 'connection-lost', detail: 'read ECONNRESET' })
  await clock.advance(1)
  await journal.until(link, 'live')
  await journal.end(link)
  return { journal, links: [link], names: { user: 'the bot', bot: 'link', e1: 'endpoint 1', e2: 'endpoint 2' } }
}

const expiredCredentials = async (): Promise<Story> => {
  const journal = new Journal()
  const { clock } = journal
  let token = 'expired'
  const network: FakeNetwork = new FakeNetwork(clock, {
    ...journal.onebotPeer('bot', 'peer'),
    get greeting() {
      return [tokenShownTo(network) === 'fresh' ? welcome : refusal]
    },
  })
  const accessToken = ({ because }: { because: string }) => {
    journal.tell(
      'bot',
      'provider',
      because === 'rejected' ? 'a new token, please: the last was rejected' : 'a token, please',
    )
    return token
  }
  const link = start(journal, 'bot', onebot({ url: 'ws://127.0.0.1:3001/', accessToken }), network)
  journal.follow(link, () => 'peer')
  link.state$.subscribe(({ state, fault }) => {
    if (state === 'parked') journal.tell('bot', 'user', `a notice: parked, ${fault?.code}`)
  })
  await journal.until(link, 'parked')
  await clock.advance(600_000)
  token = 'fresh'
  journal.tell('user', 'provider', 'logs in anew')
  link.resume()
  await journal.until(link, 'live')
  await journal.end(link)
  return { journal, links: [link], names: { user: 'a person', provider: 'token provider', bot: 'link', peer: 'peer' } }
}

const emptyEndpointList = async (): Promise<Story> => {
  const journal = new Journal()
  const { clock } = journal
  const network = new FakeNetwork(clock, journal.onebotPeer('bot', 'peer'))
  const at = (host: string): Targets => [{ url: `ws://${host}.example/` }]
  const registry$ = new BehaviorSubject<Targets>(at('a'))
  const found = (targets: Targets) =>
    journal.tell('registry', 'bot', Array.isArray(targets) && targets.length === 0 ? 'no address' : 'an address')
  const asked$ = defer(() => {
    found(registry$.value)
    return registry$
  })
  let peer = 'a'
  const transport: FakeNetwork['transport'] = (endpoint) => {
    peer = endpoint.target.url.includes('a.example') ? 'a' : 'b'
    if (peer === 'b' || network.healthy) return network.transport(endpoint)
    return (listener) => {
      const timer = clock.setTimeout(() => listener.lost({ code: 'refused', detail: 'ECONNREFUSED' }), 5)
      return () => clock.clearTimeout(timer)
    }
  }
  const adapter = { ...onebot({ url: 'ws://a.example/' }), target: () => asked$ }
  const link = start(journal, 'bot', adapter, { transport, lookup: network.lookup })
  journal.follow(link, () => peer)
  await journal.until(link, 'live')
  await clock.advance(10_000)
  registry$.next([])
  network.current!.lose({ code: 'connection-lost', detail: 'read ECONNRESET' })
  network.healthy = false
  await clock.advance(1)
  await journal.until(link, 'connecting')
  await journal.until(link, 'resolving')
  await clock.advance(400)
  network.healthy = true
  journal.tell('registry', 'bot', 'a new address')
  registry$.next(at('b'))
  await journal.until(link, 'live')
  await journal.end(link)
  return { journal, links: [link], names: { registry: 'registry', bot: 'link', a: 'old address', b: 'new address' } }
}

export const stories = {
  slowAndUnreachable,
  stalledLoop,
  droppedBeforeRegistration,
  expiredCredentials,
  emptyEndpointList,
}
