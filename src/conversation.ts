/**
 * One transport with one adapter's dialogue on it: the activity behind `attached`. Everything that belongs to this
 * transport alone lives in this closure, so nothing of it can touch the next one.
 */
import { Observable, Subject } from 'rxjs'
import type { Fault, FaultCode } from '../machines/fault.ts'
import type { LinkEvent } from '../machines/link.ts'
import type { Adapter, Dialogue, Frame, HttpOutgoing, Io, Target, Verdict } from './adapter/adapter.ts'
import { textOf } from './error.ts'
import { clampRhythm, type Pulse, type Rhythm } from './heartbeat.ts'
import type { ProxyServer } from './net/proxy.ts'
import type { AddressFeed } from './net/resolve.ts'
import type { Flight, Outbox } from './outbox/outbox.ts'
import type { Scrub } from './secret.ts'
import type { OpenTransport, Pipe, TransportListener } from './transport/transport.ts'

/** What one attempt dials, and what must not be shown of it. */
export interface Endpoint {
  readonly target: Target
  /** Of the proxy, if there is one; more may join while they are dialed. */
  readonly addresses: AddressFeed
  readonly proxy?: ProxyServer | undefined
  readonly scrub: Scrub
}

/** Frames by what became of them. */
export type FrameCounts = Record<Verdict | 'failed', number>

export interface ConversationPorts {
  readonly adapter: Adapter
  readonly outbox: Outbox
  readonly frames: FrameCounts
  readonly open: (endpoint: Endpoint) => OpenTransport
  readonly request: (outgoing: HttpOutgoing, signal: AbortSignal, scrub: Scrub) => Promise<unknown>
  /** Hands a message to the user; must not throw. */
  readonly deliver: (message: unknown) => void
}

/** A running conversation, as heartbeat and outbox see it. */
export interface Conversation {
  readonly pulse: Pulse
  /** What was written on this transport. */
  readonly flight: Flight
  /** Says goodbye to the peer. */
  close(): void
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
  begun: (conversation: Conversation) => void,
): Observable<LinkEvent> =>
  new Observable((subscriber) => {
    const { adapter, outbox, frames } = ports
    const { scrub } = endpoint
    const inbound$ = new Subject<void>()
    const changed$ = new Subject<void>()
    const doubted$ = new Subject<void>()
    let pipe: Pipe | undefined
    let rhythm: Rhythm = {}
    let probes = 0
    /** The latest mark, and the number of the probe that went before it. */
    let marked = { mark: 0, after: 0 }
    /** Whether the frames of the chunk that is being read prove that the peer lives; undefined while there are none. */
    let proven: boolean | undefined

    const tell = (event: LinkEvent) => subscriber.next(event)
    const clean = (fault: Fault): Fault =>
      fault.detail === undefined ? fault : { ...fault, detail: scrub(fault.detail) }
    const lose = (fault: Fault) => tell({ type: 'transport.lost', fault: clean(fault) })
    /** Facts of the adapter come from a frame, so the peer is alive: that is told first. */
    const tellInbound = (event: LinkEvent) => {
      inbound$.next()
      tell(event)
    }
    const adapterThrew = (error: unknown) => lose({ code: 'adapter-failed', detail: textOf(error) })

    /** Events of an ended transport go nowhere by themselves; what goes past the chart has to be held back here. */
    const unlessEnded = (act: () => void) => {
      if (!subscriber.closed) act()
    }

    const flight = outbox.flight({
      write: (frame) => pipe?.send(frame),
      awaitProof: () => changed$.next(),
      mark: (mark) => {
        marked = { mark, after: probes }
        unlessEnded(() => pipe?.ping(`${MARK}${mark}`))
      },
      hasRoom: () => pipe !== undefined && pipe.bufferedBytes() < BUFFERED_MAX,
      request: (outgoing, signal) => ports.request(outgoing, signal, scrub),
    })

    const io: Io<unknown> = {
      session: {},
      forgetSession: () => undefined,
      leaving: () => undefined,
      send: (frame) => unlessEnded(() => pipe?.send(frame)),
      welcome: (options) => {
        tellInbound({ type: 'peer.welcomed' })
        if (!options?.replaying) tellInbound({ type: 'replay.completed' })
      },
      caughtUp: () => tellInbound({ type: 'replay.completed' }),
      heartbeat: ({ expectMs, everyMs }) => {
        rhythm = { expectMs: clampRhythm(expectMs) ?? rhythm.expectMs, everyMs: clampRhythm(everyMs) ?? rhythm.everyMs }
        changed$.next()
      },
      deliver: (message) => unlessEnded(() => ports.deliver(message)),
      answer: (key, result) => unlessEnded(() => flight.answer(key, result)),
      refuse: (key, detail) => unlessEnded(() => flight.refuse(key, scrub(textOf(detail)))),
      impaired: (code, detail) => tellInbound({ type: 'account.impaired', fault: clean(faultOf(code, detail)) }),
      recovered: () => tellInbound({ type: 'account.recovered' }),
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
        if (mark.startsWith(MARK)) unlessEnded(() => flight.proven(Number(mark.slice(MARK.length))))
        // a peer may answer the latest ping alone, and mean all before it (RFC 6455, section 5.5.3)
        else if (Number(mark.slice(PROBE.length)) > marked.after) unlessEnded(() => flight.proven(marked.mark))
      },
      drained: () => unlessEnded(() => flight.room()),
      lost: (fault, close) => {
        const meaning = close && judgeClose(dialogue, close)
        lose(meaning ? { ...fault, code: meaning } : fault)
      },
    }

    begun({
      pulse: { inbound$, changed$, doubted$, rhythm: () => rhythm, waiting: () => flight.awaitsProof, probe },
      flight,
      close: () => pipe?.close(),
    })
    try {
      return ports.open(endpoint)(listener)
    } catch (error) {
      lose({ code: 'engine-failed', detail: textOf(error) })
      return undefined
    }
  })

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
