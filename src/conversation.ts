/**
 * One transport with one adapter's dialogue on it: the activity behind `attached`. Everything that belongs to this
 * transport alone lives in this closure, so nothing of it can touch the next one.
 */
import { Observable, Subject } from 'rxjs'
import type { Fault, FaultCode } from '../machines/fault.ts'
import type { LinkEvent } from '../machines/link.ts'
import type { Adapter, Dialogue, Frame, HttpOutgoing, Io, Target, Verdict } from './adapter/adapter.ts'
import { clampRhythm, type Pulse, type Rhythm } from './heartbeat.ts'
import type { Address } from './net/resolve.ts'
import type { Outbox, Writer } from './outbox.ts'
import type { Scrub } from './secret.ts'
import type { OpenTransport, Pipe, TransportListener } from './transport/transport.ts'

/** What one attempt dials, and what must not be shown of it. */
export interface Endpoint {
  readonly target: Target
  readonly addresses: readonly Address[]
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
  readonly writer: Writer
  /** Says goodbye to the peer. */
  close(): void
}

/** More than this in Node's own buffer: the kernel does not keep up, so messages wait in the outbox instead. */
const BUFFERED_MAX = 1024 * 1024

const MARK = 'm'
const PROBE = 'p'

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
    let pipe: Pipe | undefined
    let rhythm: Rhythm = {}
    let probes = 0
    /** Whether the chunk that is being read has shown only frames that prove nothing. */
    let onlyMalformed = false

    const tell = (event: LinkEvent) => subscriber.next(event)
    const lose = (fault: Fault) => {
      const detail = fault.detail === undefined ? {} : { detail: scrub(fault.detail) }
      tell({ type: 'transport.lost', fault: { ...fault, ...detail } })
    }
    /** Facts of the adapter come from a frame, so the peer is alive: that is told first. */
    const tellInbound = (event: LinkEvent) => {
      inbound$.next()
      tell(event)
    }
    const adapterThrew = (error: unknown) => lose({ code: 'adapter-failed', detail: String(error) })

    /** Events of an ended transport go nowhere by themselves; what goes past the chart has to be held back here. */
    const unlessEnded = (act: () => void) => {
      if (!subscriber.closed) act()
    }

    const io: Io<unknown> = {
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
      answer: (key, result) => unlessEnded(() => outbox.answer(key, result)),
      refuse: (key, detail) => unlessEnded(() => outbox.refuse(key, scrub(detail))),
      impaired: (code, detail) => tellInbound({ type: 'account.impaired', fault: faultOf(code, detail) }),
      recovered: () => tellInbound({ type: 'account.recovered' }),
      fail: (code, more) => lose({ ...faultOf(code, more?.detail), ...waitOf(more?.retryAfterMs) }),
    }

    const begin = (): Dialogue | undefined => {
      try {
        return adapter.dialogue(io)
      } catch (error) {
        adapterThrew(error)
        return undefined
      }
    }
    const dialogue = begin()
    if (!dialogue) return undefined

    const readFrame = (frame: Frame): Verdict | 'failed' => {
      try {
        return dialogue.frame(frame)
      } catch {
        return 'failed'
      }
    }

    const probe = () => {
      const mark = `${PROBE}${++probes}`
      if (adapter.probe) pipe?.send(adapter.probe(mark))
      else pipe?.ping(mark)
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
        onlyMalformed = verdict === 'malformed'
      },
      // a page of HTML is no heartbeat
      inbound: () => {
        if (!onlyMalformed) inbound$.next()
        onlyMalformed = false
      },
      answered: (mark) => {
        onlyMalformed = false
        if (mark.startsWith(MARK)) unlessEnded(() => outbox.proven(Number(mark.slice(MARK.length))))
      },
      drained: () => unlessEnded(() => outbox.flush()),
      lost: (fault, close) => {
        const meaning = close && judgeClose(dialogue, close)
        lose(meaning ? { ...fault, code: meaning } : fault)
      },
    }

    begun({
      pulse: { inbound$, changed$, rhythm: () => rhythm, waiting: () => outbox.awaitsProof, probe },
      writer: {
        write: (frame) => pipe?.send(frame),
        awaitProof: () => changed$.next(),
        mark: (mark) => pipe?.ping(`${MARK}${mark}`),
        hasRoom: () => pipe !== undefined && pipe.bufferedBytes() < BUFFERED_MAX,
        request: (outgoing, signal) => ports.request(outgoing, signal, scrub),
      },
      close: () => pipe?.close(),
    })
    return ports.open(endpoint)(listener)
  })

/** Adapters may be plain JavaScript: what they call a detail is made a text. */
const faultOf = (code: FaultCode, detail: unknown): Fault =>
  detail === undefined ? { code } : { code, detail: String(detail) }

const waitOf = (retryAfterMs: number | undefined) => (retryAfterMs === undefined ? {} : { retryAfterMs })

const judgeClose = (dialogue: Dialogue, { code, reason }: { code: number; reason: string }): FaultCode | undefined => {
  try {
    return dialogue.closed?.(code, reason)
  } catch {
    return 'adapter-failed'
  }
}
