/** The activities of the chart, bound once for all links: each finds the ports of its link by the system it runs in. */
import { catchError, merge, Observable, of } from 'rxjs'
import { type Actor, type ActorOptions, fromEventObservable } from 'xstate'
import { backoffDelay } from '../machines/delay.ts'
import type { Fault } from '../machines/fault.ts'
import { type ActivityInput, type LinkEvent, linkMachine } from '../machines/link.ts'
import type { Choice, Chosen } from './choice.ts'
import { type Conversation, type ConversationPorts, converse, type Endpoint, type Leaving } from './conversation.ts'
import { deaf } from './deaf.ts'
import { faultFrom, textOf } from './error.ts'
import { heartbeat } from './heartbeat.ts'
import type { Inspection } from './inspection.ts'
import { discover } from './net/discover.ts'
import { type ProxyServer, proxyFor } from './net/proxy.ts'
import { feedOf, hostOf, resolverOf } from './net/resolve.ts'
import { type CheckedOptions, chartDeadlines, type Deadlines } from './options.ts'
import { scrubber, secretsOfUrl } from './secret.ts'
import type { SessionView } from './session.ts'
import type { Starts } from './starts.ts'
import { type Stepped, steppingActor } from './steps.ts'

/** All that the activities of one link share: what the chart cannot hold, because it is not plain data. */
export interface LinkPorts extends ConversationPorts {
  readonly options: CheckedOptions
  readonly deadlines: Deadlines
  readonly starts: Starts
  readonly inspection: Inspection
  /** Settles when what an earlier process left behind has been read. */
  readonly restored: Promise<void>
}

/** And what belongs to one run of the chart. */
export interface RunPorts {
  readonly link: LinkPorts
  /** What the next attempt may resume. */
  session: SessionView
  readonly choice: Choice
  /** Somebody goes on where it ends, so what it wrote is still proved, and nothing more is written. */
  leaving: Leaving | undefined
  /** Found by the resolver, dialed by the transport. */
  endpoint: Endpoint | undefined
  /** The one transport, while there is one. */
  conversation: Conversation | undefined
  /** How long the chart shall stay in backoff, given what it would choose by itself. */
  readonly wait: (fault: Fault | null, ownMs: number) => number
}

const portsBySystem = new WeakMap<object, RunPorts>()

/** The ports of the actor that is just being made: XState asks for the first delay before it hands the actor out. */
let making: RunPorts | undefined

const portsOf = (system: object): RunPorts => {
  const ports = portsBySystem.get(system) ?? making
  if (!ports) throw new Error('this machine was started outside of a link')
  return ports
}

/** An actor of the chart that runs on these ports and tells of its steps; it still has to be started. */
export const makeActor = (
  ports: RunPorts,
  options: ActorOptions<typeof boundMachine> & { input: { id: string } },
  stepped: Stepped<typeof boundMachine>,
): Actor<typeof boundMachine> => {
  making = ports
  try {
    const actor = steppingActor(boundMachine, options, stepped)
    portsBySystem.set(actor.system, ports)
    ports.link.inspection.add(actor)
    return actor
  } finally {
    making = undefined
  }
}

/** An activity never fails: an error that escapes is a bug of ours, and still only a fault of this one link. */
const activity = (failed: 'endpoint.failed' | 'transport.lost', run: (ports: RunPorts) => Observable<LinkEvent>) =>
  fromEventObservable<LinkEvent, ActivityInput>(({ system }) =>
    run(portsOf(system)).pipe(
      catchError((error) => of({ type: failed, fault: { code: 'engine-failed', detail: textOf(error) } as const })),
    ),
  )

/** So long before the deadline of the chart it is told what was in vain, in milliseconds. */
const TELL_BEFORE_MS = 20
const UNREAD = 'the store does not answer, and nothing is dialed before it has been read'

const findEndpoint = (ports: RunPorts): Observable<LinkEvent> =>
  new Observable((subscriber) => {
    const { adapter, options, starts, restored } = ports.link
    const abort = new AbortController()
    subscriber.add(() => abort.abort())
    const fail = (fault: Fault) => subscriber.next({ type: 'endpoint.failed', fault })
    const settle = (found: Endpoint | Fault) => {
      // an answer that comes after its attempt was given up belongs to nobody
      if (subscriber.closed) return
      if ('code' in found) return fail(found)
      ports.endpoint = { ...found, dialed: ({ totalMs }) => ports.choice.connected(totalMs) }
      subscriber.next({ type: 'endpoint.resolved' })
    }
    const look = () => {
      const context = { signal: abort.signal, rejected: ports.link.credentials.wereRejected }
      return discover(adapter, options.clock, context).subscribe({
        next: (targets) => void locate(ports.choice.pick(targets), options, abort.signal).then(settle),
        error: (error) => fail({ code: 'provider-failed', detail: scrubber([])(accountOf(error)) }),
      })
    }
    const begin = async () => {
      // only here it is known what the chart's own deadline would have waited for
      const inMs = Math.max(0, ports.link.deadlines.resolveMs - TELL_BEFORE_MS)
      const timer = options.clock.setTimeout(() => fail({ code: 'resolve-timeout', detail: UNREAD }), inMs)
      subscriber.add(() => options.clock.clearTimeout(timer))
      await restored
      options.clock.clearTimeout(timer)
      // an attempt that was given up meanwhile must not reserve a session start
      if (subscriber.closed) return
      const denied = ports.session.isResumable ? undefined : await starts.permit()
      if (subscriber.closed) return
      if (denied) fail(denied)
      else subscriber.add(look())
    }
    void begin()
  })

/** What a provider threw, and what was behind it: "fetch failed" alone helps nobody. */
const accountOf = (error: unknown): string => {
  const text = textOf(error)
  const { detail = '' } = faultFrom(error, 'resolving')
  return text.includes(detail) ? text : `${text}: ${detail}`
}

const locate = async (chosen: Chosen, options: CheckedOptions, signal: AbortSignal): Promise<Endpoint | Fault> => {
  const { target, suppliedByPeer } = chosen
  const secrets = [...(target.secrets ?? []), ...headerSecrets(target.headers), ...secretsOfUrl(target.url)]
  if (target.transport) return { target, addresses: feedOf([]), scrub: scrubber(secrets) }
  let proxy: ProxyServer | undefined
  try {
    proxy = proxyFor(target.url, options.proxy)
  } catch (error) {
    return { code: 'provider-failed', detail: textOf(error) }
  }
  const scrub = scrubber([...secrets, ...secretsOfUrl(proxy?.url ?? '')])
  try {
    const { clock, lookup } = options
    const addresses = await resolverOf(clock).find(proxy?.host ?? hostOf(target.url), { lookup, signal })
    return { target, addresses, proxy, scrub, publicOnly: suppliedByPeer && target.url.startsWith('wss:') }
  } catch (error) {
    const { code, detail = code } = faultFrom(error, 'resolving')
    return { code, detail: scrub(proxy ? `proxy ${proxy.name}: ${detail}` : detail) }
  }
}

/** Any header may be a credential under a name of the peer's own, so none of their values is ever shown. */
const headerSecrets = (headers: Readonly<Record<string, string>> = {}): string[] =>
  Object.values(headers).flatMap((value) => [value, ...value.split(' ')])

const beTransport = (ports: RunPorts): Observable<LinkEvent> => {
  if (!ports.endpoint) throw new Error('connecting without an endpoint')
  return converse(ports.link, ports.endpoint, ports.session, (conversation) => {
    ports.conversation = conversation
  })
}

const watch = ({ conversation, link: { options } }: RunPorts): Observable<LinkEvent> => {
  if (!conversation) throw new Error('watching without a conversation')
  const { clock, heartbeat: wanted } = options
  return merge(heartbeat(conversation.pulse, clock, wanted), deaf(conversation.ear, clock, wanted.deafMs))
}

const drain = ({ conversation, leaving, link: { outbox } }: RunPorts): Observable<LinkEvent> =>
  new Observable((subscriber) => {
    if (!conversation) throw new Error('draining without a conversation')
    const { flight } = conversation
    if (leaving) {
      const isEmpty =
        leaving === 'succeeded'
          ? flight.whenEmpty(() => conversation.close(leaving))
          : outbox.whenLanded(() => conversation.close(leaving))
      subscriber.add(isEmpty)
      return
    }
    outbox.attach(flight)
    subscriber.add(
      outbox.whenEmpty(() => {
        outbox.detach()
        conversation.close(undefined)
      }),
    )
  })

const deadline =
  (name: keyof typeof chartDeadlines) =>
  ({ system }: { system: object }): number =>
    portsOf(system).link.deadlines[chartDeadlines[name]]

/** A session is resumed sooner than one is started, or not at all (R38). */
const handshakeDeadline = ({ system }: { system: object }): number => {
  const {
    link: { deadlines },
    session,
  } = portsOf(system)
  return session.isResumable ? deadlines.resumeMs : deadlines.handshakeMs
}

/** The chart with its activities: one object for every link of the process, 4 KB for each link that runs on it. */
const boundMachine = linkMachine.provide({
  actors: {
    resolver: activity('endpoint.failed', findEndpoint),
    transport: activity('transport.lost', beTransport),
    heartbeat: activity('transport.lost', watch),
    drain: activity('transport.lost', drain),
  },
  delays: {
    resolveDeadline: deadline('resolveDeadline'),
    connectDeadline: deadline('connectDeadline'),
    handshakeDeadline,
    replayDeadline: deadline('replayDeadline'),
    suspectGrace: deadline('suspectGrace'),
    provenAfter: deadline('provenAfter'),
    closeDeadline: deadline('closeDeadline'),
    backoffDelay: ({ context: { id, spent, fault }, system }) =>
      portsOf(system).wait(fault, backoffDelay(id, spent, fault)),
  },
})
