/**
 * One transport with one adapter's dialogue on it: the activity behind `attached`. Everything that belongs to this
 * transport alone lives in this closure, so nothing of it can touch the next one.
 */
import { Observable, Subject } from 'rxjs'
import type { Fault, FaultCode } from '../machines/fault.ts'
import type { LinkEvent } from '../machines/link.ts'
import type {
  Adapter,
  Dialogue,
  Frame,
  HttpOutgoing,
  InboundMark,
  Io,
  Target,
  Verdict,
  Welcome,
} from './adapter/adapter.ts'
import type { Ear, Heard } from './deaf.ts'
import { textOf } from './error.ts'
import { adjust, type Pulse, type Rhythm } from './heartbeat.ts'
import type { DialPath } from './net/dial.ts'
import type { ProxyServer } from './net/proxy.ts'
import type { AddressFeed } from './net/resolve.ts'
import type { Outbox, Writer } from './outbox.ts'
import type { Scrub } from './secret.ts'
import type { Continuity, SessionView } from './session.ts'
import type { OpenTransport, Pipe, TransportListener } from './transport/transport.ts'

/** What one attempt dials, and what must not be shown of it. */
export interface Endpoint {
  readonly target: Target
  /** Of the proxy, if there is one; more may join while they are dialed. */
  readonly addresses: AddressFeed
  readonly proxy?: ProxyServer | undefined
  readonly scrub: Scrub
  /** The peer itself named it: what it resolves to must be public. */
  readonly publicOnly?: boolean
  /** Told of the way that the dialer found. */
  readonly dialed?: (path: DialPath) => void
}

/** Frames by what became of them. */
export type FrameCounts = Record<Verdict | 'failed', number>

export interface ConversationPorts {
  readonly adapter: Adapter
  readonly outbox: Outbox
  readonly frames: FrameCounts
  readonly open: (endpoint: Endpoint) => OpenTransport
  readonly request: (outgoing: HttpOutgoing, signal: AbortSignal, scrub: Scrub) => Promise<unknown>
  readonly credentials: { wereRejected: boolean }
  /** Hands a message to the user; must not throw. */
  readonly deliver: (message: unknown, mark: InboundMark | undefined) => void
  readonly announce: (continuity: Continuity) => void
  /** A session is about to be started, not resumed. */
  readonly starting: () => void
  /** The peer announced that it is going: true if the link moves while this transport still serves. */
  readonly move: () => boolean
}

/** A running conversation, as heartbeat, deaf watch and outbox see it. */
export interface Conversation {
  readonly pulse: Pulse
  readonly ear: Ear
  readonly writer: Writer
  /** Smoothed, in milliseconds; undefined until a probe was answered. */
  readonly roundTripMs: number | undefined
  /** Says goodbye to the peer. */
  close(): void
  /** Gives the transport up. */
  lose(fault: Fault): void
}

/** More than this in Node's own buffer: the kernel does not keep up, so messages wait in the outbox instead. */
const BUFFERED_MAX = 1024 * 1024

const MARK = 'm'
/** Probes travel under the same keys as messages in some protocols, and users choose keys: no one chooses this. */
const PROBE = 'probe.holdfast.'

/** Subscribing dials; unsubscribing ends the transport at once. `begun` gets the conversation before anything happens. */
export const converse = (
  ports: ConversationPorts,
  endpoint: Endpoint,
  session: SessionView,
  begun: (conversation: Conversation) => void,
): Observable<LinkEvent> =>
  new Observable((subscriber) => {
    const { adapter, outbox, frames } = ports
    const resumes = session.isResumable
    const { scrub, target } = endpoint
    /** What the welcome meant: told before the messages after a gap, and after those that were missed. */
    let recovered = false
    let isWelcomed = false
    const inbound$ = new Subject<void>()
    const changed$ = new Subject<void>()
    const doubted$ = new Subject<void>()
    const heard$ = new Subject<Heard>()
    let pipe: Pipe | undefined
    let roundTripMs: number | undefined
    let rhythm: Rhythm = {}
    let caughtUp = false
    /** Whether the adapter reports the account as impaired. */
    let reported = false
    let probes = 0
    /** The latest mark, and the number of the probe that went before it. */
    let marked = { mark: 0, after: 0 }
    /** Whether the frames of the chunk that is being read prove that the peer lives; undefined while there are none. */
    let proven: boolean | undefined

    const tell = (event: LinkEvent) => subscriber.next(event)
    const clean = (fault: Fault): Fault =>
      fault.detail === undefined ? fault : { ...fault, detail: scrub(fault.detail) }
    const lose = (fault: Fault) =>
      unlessEnded(() => {
        if (fault.code === 'session-lost') session.forget()
        tell({ type: 'transport.lost', fault: clean(renewable(fault)) })
      })
    const renewable = (fault: Fault): Fault => {
      if (!target.renewable || !REJECTIONS.has(fault.code)) return fault
      ports.credentials.wereRejected = true
      return { ...fault, code: 'credentials-expired' }
    }
    /** Facts of the adapter come from a frame, so the peer is alive: that is told first. */
    const tellInbound = (event: LinkEvent) => {
      inbound$.next()
      tell(event)
    }
    const hear = (heard: Heard) => {
      inbound$.next()
      heard$.next(heard)
    }
    const endReplay = () => {
      caughtUp = true
      unlessEnded(() => {
        if (recovered) ports.announce('recovered')
        recovered = false
      })
      changed$.next()
      tellInbound({ type: 'replay.completed' })
    }
    const report = (isReported: boolean, event: LinkEvent) => {
      reported = isReported
      changed$.next()
      tellInbound(event)
    }
    const adapterThrew = (error: unknown) => lose({ code: 'adapter-failed', detail: textOf(error) })

    /** Events of an ended transport go nowhere by themselves; what goes past the chart has to be held back here. */
    const unlessEnded = (act: () => void) => {
      if (!subscriber.closed) act()
    }

    const welcomed = (options: Welcome) => {
      if (isWelcomed) return
      isWelcomed = true
      ports.credentials.wereRejected = false
      const continuity = session.welcomed(options)
      recovered = continuity === 'recovered'
      if (!recovered) ports.announce(continuity)
    }
    const io: Io<unknown> = {
      session: session.current,
      leaving: (detail) =>
        unlessEnded(() => {
          if (!ports.move()) lose(faultOf('peer-leaving', detail))
        }),
      send: (frame) => unlessEnded(() => pipe?.send(frame)),
      welcome: (options = {}) => {
        unlessEnded(() => welcomed(options))
        tellInbound({ type: 'peer.welcomed' })
        if (!options.replaying) endReplay()
      },
      caughtUp: endReplay,
      heartbeat: (said) => {
        rhythm = adjust(rhythm, said)
        hear('beat')
        changed$.next()
      },
      deliver: (message, mark) =>
        unlessEnded(() => {
          hear('message')
          ports.deliver(message, mark)
        }),
      answer: (key, result) => unlessEnded(() => outbox.answer(key, result)),
      refuse: (key, detail) => unlessEnded(() => outbox.refuse(key, scrub(textOf(detail)))),
      impaired: (code, detail) => report(true, { type: 'account.impaired', fault: clean(faultOf(code, detail)) }),
      // many say with each beat that all is well: that takes back their own report, and not what the deaf watch found
      recovered: () => (reported ? report(false, { type: 'account.recovered' }) : inbound$.next()),
      fail: (code, more) => lose({ ...faultOf(code, more?.detail), ...waitOf(more?.retryAfterMs) }),
    }

    const begin = (): Dialogue | undefined => {
      try {
        const dialogue = adapter.dialogue(io)
        if (typeof dialogue?.frame === 'function') return dialogue
        throw new TypeError('dialogue() must return an object with a function `frame`')
      } catch (error) {
        adapterThrew(error)
        return undefined
      }
    }
    const dialogue = begin()
    if (!dialogue) return undefined

    const readFrame = (frame: Frame): Verdict | 'failed' => {
      try {
        const verdict = dialogue.frame(frame)
        return VERDICTS.has(verdict) ? verdict : 'failed'
      } catch {
        return 'failed'
      }
    }

    const probe = () => {
      const mark = `${PROBE}${++probes}`
      try {
        if (adapter.probe) pipe?.send(adapter.probe(mark))
        else pipe?.ping(mark)
      } catch (error) {
        adapterThrew(error)
      }
    }

    const listener: TransportListener = {
      opened: () => tell({ type: 'transport.opened' }),
      ready: (opened) => {
        pipe = opened
        if (!resumes) ports.starting()
        try {
          dialogue.opened?.()
        } catch (error) {
          adapterThrew(error)
        }
      },
      frame: (frame) => {
        if (subscriber.closed) return
        const verdict = readFrame(frame)
        frames[verdict]++
        proven ||= verdict === 'taken' || verdict === 'unknown'
      },
      // a page of HTML is no heartbeat
      inbound: () => {
        if (proven !== false) inbound$.next()
        proven = undefined
      },
      answered: (mark) => {
        proven = true
        if (mark.startsWith(MARK)) unlessEnded(() => outbox.proven(Number(mark.slice(MARK.length))))
        // a peer may answer the latest ping alone, and mean all before it (RFC 6455, section 5.5.3)
        else if (Number(mark.slice(PROBE.length)) > marked.after) unlessEnded(() => outbox.proven(marked.mark))
      },
      drained: () => unlessEnded(() => outbox.flush()),
      lost: (fault, close) => {
        const meaning = close && judgeClose(dialogue, close)
        lose(meaning ? { ...fault, code: meaning } : fault)
      },
    }

    begun({
      pulse: {
        inbound$,
        changed$,
        doubted$,
        rhythm: () => rhythm,
        waiting: () => outbox.awaitsProof,
        probe,
        measured: (ms) => {
          roundTripMs = ms
        },
      },
      get roundTripMs() {
        return roundTripMs
      },
      ear: { heard$, inbound$, changed$, rhythm: () => rhythm, excused: () => reported || !caughtUp },
      writer: {
        write: (frame) => pipe?.send(frame),
        awaitProof: () => changed$.next(),
        mark: (mark) => {
          marked = { mark, after: probes }
          pipe?.ping(`${MARK}${mark}`)
        },
        hasRoom: () => pipe !== undefined && pipe.bufferedBytes() < BUFFERED_MAX,
        request: (outgoing, signal) => ports.request(outgoing, signal, scrub),
      },
      close: () => pipe?.close(),
      lose,
    })
    try {
      return ports.open(endpoint)(listener)
    } catch (error) {
      lose({ code: 'engine-failed', detail: textOf(error) })
      return undefined
    }
  })

/** What credentials that were given anew may heal. */
const REJECTIONS: ReadonlySet<FaultCode> = new Set(['credentials-rejected', 'upgrade-unauthorized'])

const VERDICTS: ReadonlySet<Verdict> = new Set(['taken', 'unknown', 'malformed'])

/** Adapters may be plain JavaScript: what they call a detail is made a text. */
const faultOf = (code: FaultCode, detail: unknown): Fault =>
  detail === undefined ? { code } : { code, detail: textOf(detail) }

/** Only a time that can be waited is a wait that was asked for. */
const waitOf = (ms: number | undefined) =>
  ms !== undefined && ms > 0 && ms < Number.POSITIVE_INFINITY ? { retryAfterMs: ms } : {}

const judgeClose = (dialogue: Dialogue, { code, reason }: { code: number; reason: string }): FaultCode | undefined => {
  try {
    return dialogue.closed?.(code, reason)
  } catch {
    return 'adapter-failed'
  }
}
