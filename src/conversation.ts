/**
 * One transport with one adapter's dialogue on it: the activity behind `attached`. Everything that belongs to this
 * transport alone lives in this closure, so nothing of it can touch the next one.
 */
import { Observable, Subject, type Subscriber } from 'rxjs'
import type { Fault, FaultCode } from '../machines/fault.ts'
import type { LinkEvent } from '../machines/link.ts'
import type {
  Adapter,
  BesideOutgoing,
  Cursor,
  Dialogue,
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
import type { Flight, Outbox } from './outbox/outbox.ts'
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
  readonly request: (outgoing: BesideOutgoing, signal: AbortSignal, scrub: Scrub) => Promise<unknown>
  readonly credentials: { wereRejected: boolean }
  /** Hands a message to the user; must not throw. */
  readonly deliver: (message: unknown, mark: InboundMark | undefined) => void
  readonly announce: (continuity: Continuity) => void
  /** A session is about to be started, not resumed. */
  readonly starting: () => void
  /** The peer announced that it is going: true if the link moves while this transport still serves. */
  readonly move: () => boolean
}

/** Who goes on where a transport is left: a successor of the same link, or another process. */
export type Leaving = 'succeeded' | 'handing-over'

/** A running conversation, as heartbeat, deaf watch and outbox see it. */
export interface Conversation {
  readonly pulse: Pulse
  readonly ear: Ear
  /** What was written on this transport. */
  readonly flight: Flight
  /** The transport stood: the peer's side of the protocol has begun. */
  readonly isOpen: boolean
  /** Smoothed, in milliseconds; undefined until a probe was answered. */
  readonly roundTripMs: number | undefined
  /** When the peer was last heard, by the clock; undefined before the welcome. */
  readonly heardAt: number | undefined
  /** The user took everything up to here. */
  taken(cursor: Cursor): void
  /** Says goodbye to the peer: for good, unless somebody goes on with the session. */
  close(leaving: Leaving | undefined): void
  /** Gives the transport up. */
  lose(fault: Fault): void
}

/** More than this in Node's own buffer: the kernel does not keep up, so messages wait in the outbox instead. */
const BUFFERED_MAX = 1024 * 1024

const MARK = 'm'
/** Probes travel under the same keys as messages in some protocols, and users choose keys: no one chooses this. */
const PROBE = 'probe.holdfast.'
/** The mark of a ping that the adapter asked for. */
const KNOCK = 'knock.holdfast'

/** Subscribing dials; unsubscribing ends the transport at once. `begun` gets the conversation before anything happens. */
export const converse = (
  ports: ConversationPorts,
  endpoint: Endpoint,
  session: SessionView,
  begun: (conversation: Conversation) => void,
): Observable<LinkEvent> =>
  new Observable((subscriber) => {
    const conversation = new RunningConversation(ports, endpoint, session, subscriber)
    begun(conversation)
    return conversation.begin()
  })

class RunningConversation implements Conversation {
  readonly flight: Flight
  readonly pulse: Pulse
  readonly ear: Ear
  roundTripMs: number | undefined
  heardAt: number | undefined
  readonly #ports: ConversationPorts
  readonly #endpoint: Endpoint
  readonly #session: SessionView
  readonly #told: Subscriber<LinkEvent>
  readonly #resumes: boolean
  readonly #inbound$ = new Subject<void>()
  readonly #changed$ = new Subject<void>()
  readonly #heard$ = new Subject<Heard>()
  #dialogue: Dialogue | undefined
  #pipe: Pipe | undefined
  #rhythm: Rhythm = {}
  #isWelcomed = false
  #isCaughtUp = false
  /** The peer goes on with the session that there was: told behind the messages that were missed. */
  #isRecovering = false
  /** What the adapter reports of the account while it is impaired. */
  #reported: Fault | undefined
  #probes = 0
  /** The latest mark, and the number of the probe that went before it. */
  #marked = { mark: 0, after: 0 }
  /** Whether the frames of the chunk that is being read prove that the peer lives; undefined while there are none. */
  #isProven: boolean | undefined

  constructor(ports: ConversationPorts, endpoint: Endpoint, session: SessionView, told: Subscriber<LinkEvent>) {
    this.#ports = ports
    this.#endpoint = endpoint
    this.#session = session
    this.#told = told
    this.#resumes = session.isResumable
    this.flight = this.#makeFlight()
    const [inbound$, changed$] = [this.#inbound$, this.#changed$]
    const rhythm = () => this.#rhythm
    this.pulse = {
      inbound$,
      changed$,
      doubted$: new Subject<void>(),
      rhythm,
      waiting: () => this.flight.awaitsProof,
      probe: () => this.#probe(),
      heard: (at) => {
        this.heardAt = at
      },
      measured: (ms) => {
        this.roundTripMs = ms
      },
    }
    const excused = () => this.#reported !== undefined || !this.#isCaughtUp
    this.ear = { heard$: this.#heard$, inbound$, changed$, rhythm, excused }
  }

  #makeFlight(): Flight {
    return this.#ports.outbox.flight({
      write: (frame) => this.#pipe?.send(frame),
      awaitProof: () => this.#changed$.next(),
      mark: (mark) => {
        this.#marked = { mark, after: this.#probes }
        this.#unlessEnded(() => this.#pipe?.ping(`${MARK}${mark}`))
      },
      hasRoom: () => this.#pipe !== undefined && this.#pipe.bufferedBytes() < BUFFERED_MAX,
      request: (outgoing, signal) => this.#ports.request(outgoing, signal, this.#endpoint.scrub),
    })
  }

  get isOpen(): boolean {
    return this.#pipe !== undefined
  }

  /** Dials. The returned function ends the transport. */
  begin(): (() => void) | undefined {
    try {
      this.#dialogue = this.#ports.adapter.dialogue(this.#io())
      if (typeof this.#dialogue?.frame !== 'function') {
        throw new TypeError('dialogue() must return an object with a function `frame`')
      }
    } catch (error) {
      this.#blameAdapter(error)
      return undefined
    }
    return this.#guard(() => {
      const end = this.#ports.open(this.#endpoint)(this.#listener())
      return () => this.#guard(end)
    })
  }

  /** A transport may be somebody else's: one that throws is lost, whatever it was asked for. */
  #guard<T>(act: () => T): T | undefined {
    try {
      return act()
    } catch (error) {
      this.lose({ code: 'engine-failed', detail: textOf(error) })
      return undefined
    }
  }

  #guarded(pipe: Pipe): Pipe {
    return {
      send: (frame) => this.#guard(() => pipe.send(frame)),
      ping: (mark) => this.#guard(() => pipe.ping(mark)),
      bufferedBytes: () => this.#guard(() => pipe.bufferedBytes()) ?? Number.POSITIVE_INFINITY,
      close: (code) => this.#guard(() => pipe.close(code)),
    }
  }

  taken(cursor: Cursor): void {
    this.#unlessEnded(() => {
      try {
        this.#dialogue?.taken?.(cursor)
      } catch (error) {
        this.#blameAdapter(error)
      }
    })
  }

  close(leaving: Leaving | undefined): void {
    if (leaving === undefined) this.#sayGoodbye()
    this.#pipe?.close(leaving === 'handing-over' ? this.#ports.adapter.resumableClose : undefined)
  }

  #sayGoodbye(): void {
    try {
      const goodbye = this.#dialogue?.goodbye?.()
      if (goodbye !== undefined) this.#pipe?.send(goodbye)
    } catch (error) {
      this.#blameAdapter(error)
    }
  }

  lose(fault: Fault): void {
    this.#unlessEnded(() => {
      if (fault.code === 'session-lost') this.#session.forget()
      this.#told.next({ type: 'transport.lost', fault: this.#clean(this.#renewable(fault)) })
    })
  }

  /** What goes past the chart has to be held back here once the transport has ended. */
  #unlessEnded(act: () => void): void {
    if (!this.#told.closed) act()
  }

  #clean(fault: Fault): Fault {
    return fault.detail === undefined ? fault : { ...fault, detail: this.#endpoint.scrub(fault.detail) }
  }

  #renewable(fault: Fault): Fault {
    if (!this.#endpoint.target.renewable || !REJECTIONS.has(fault.code)) return fault
    this.#ports.credentials.wereRejected = true
    return { ...fault, code: 'credentials-expired' }
  }

  #blameAdapter(error: unknown): void {
    this.lose({ code: 'adapter-failed', detail: textOf(error) })
  }

  /** Facts of the adapter come from a frame, so the peer is alive: that is told first. */
  #tellInbound(event: LinkEvent): void {
    this.#inbound$.next()
    this.#told.next(event)
  }

  #hear(heard: Heard): void {
    this.#inbound$.next()
    this.#heard$.next(heard)
  }

  #io(): Io<unknown> {
    return {
      session: this.#session.current,
      send: (frame) => this.#unlessEnded(() => this.#pipe?.send(frame)),
      ping: () => this.#unlessEnded(() => this.#pipe?.ping(KNOCK)),
      welcome: (welcome = {}) => {
        this.#unlessEnded(() => this.#welcomed(welcome))
        this.#tellInbound({ type: 'peer.welcomed' })
        if (!welcome.replaying) this.#caughtUp()
      },
      caughtUp: () => this.#caughtUp(),
      leaving: (detail) =>
        this.#unlessEnded(() => {
          if (!this.#ports.move()) this.lose(faultOf('peer-leaving', detail))
        }),
      heartbeat: (said) => {
        this.#rhythm = adjust(this.#rhythm, said)
        this.#hear('beat')
        this.#changed$.next()
      },
      deliver: (message, mark) =>
        this.#unlessEnded(() => {
          this.#hear('message')
          this.#ports.deliver(message, mark)
        }),
      answer: (key, result) => this.#unlessEnded(() => this.flight.answer(key, result)),
      refuse: (key, detail) => this.#unlessEnded(() => this.flight.refuse(key, this.#endpoint.scrub(textOf(detail)))),
      impaired: (code, detail) => this.#report(faultOf(code, detail)),
      recovered: () => this.#report(undefined),
      fail: (code, more) => this.lose({ ...faultOf(code, more?.detail), ...waitOf(more?.retryAfterMs) }),
    }
  }

  #welcomed(welcome: Welcome): void {
    if (this.#isWelcomed) return
    this.#isWelcomed = true
    // before this nobody believed it
    this.#reported = undefined
    this.#ports.credentials.wereRejected = false
    const continuity = this.#session.welcomed(welcome)
    this.#isRecovering = continuity === 'recovered'
    // a gap comes before the messages behind it
    if (continuity && !this.#isRecovering) this.#ports.announce(continuity)
  }

  #caughtUp(): void {
    this.#isCaughtUp = true
    this.#unlessEnded(() => {
      if (this.#isRecovering) this.#ports.announce('recovered')
      this.#isRecovering = false
    })
    this.#changed$.next()
    this.#tellInbound({ type: 'replay.completed' })
  }

  /**
   * Many say with each beat how they are, and what was said already is a sign of life and no more. That all is well takes back
   * their own report, and not what the deaf watch found.
   */
  #report(raw: Fault | undefined): void {
    const fault = raw && this.#clean(raw)
    if (fault?.code === this.#reported?.code && fault?.detail === this.#reported?.detail) {
      this.#inbound$.next()
      return
    }
    this.#reported = fault
    this.#changed$.next()
    this.#tellInbound(fault ? { type: 'account.impaired', fault } : { type: 'account.recovered' })
  }

  #probe(): void {
    const mark = `${PROBE}${++this.#probes}`
    try {
      const probe = this.#dialogue?.probe?.(mark) ?? this.#ports.adapter.probe?.(mark)
      if (probe === undefined) this.#pipe?.ping(mark)
      else this.#pipe?.send(probe)
    } catch (error) {
      this.#blameAdapter(error)
    }
  }

  #listener(): TransportListener {
    return {
      opened: () => this.#told.next({ type: 'transport.opened' }),
      ready: (pipe) => this.#ready(pipe),
      frame: (frame) => this.#unlessEnded(() => this.#count((dialogue) => dialogue.frame(frame))),
      event: (name, values) =>
        this.#unlessEnded(() => this.#count((dialogue) => dialogue.event?.(name, values) ?? 'unknown')),
      // a page of HTML is no heartbeat
      inbound: () => {
        if (this.#isProven !== false) this.#inbound$.next()
        this.#isProven = undefined
      },
      answered: (mark) => this.#answered(mark),
      drained: () => this.#unlessEnded(() => this.flight.room()),
      lost: (fault, close) => {
        const meaning = close && this.#judgeClose(close)
        this.lose(meaning ? { ...fault, code: meaning } : fault)
      },
    }
  }

  #ready(pipe: Pipe): void {
    this.#pipe = this.#guarded(pipe)
    if (!this.#resumes) this.#ports.starting()
    try {
      this.#dialogue?.opened?.()
    } catch (error) {
      this.#blameAdapter(error)
    }
  }

  #count(read: (dialogue: Dialogue) => Verdict): void {
    const verdict = this.#judge(read)
    this.#ports.frames[verdict]++
    this.#isProven ||= verdict === 'taken' || verdict === 'unknown'
  }

  #judge(read: (dialogue: Dialogue) => Verdict): Verdict | 'failed' {
    try {
      const verdict = this.#dialogue && read(this.#dialogue)
      return verdict && VERDICTS.has(verdict) ? verdict : 'failed'
    } catch {
      return 'failed'
    }
  }

  #answered(mark: string): void {
    this.#isProven = true
    if (mark === KNOCK) this.#unlessEnded(() => this.#tellPong())
    else this.#prove(mark)
  }

  #prove(mark: string): void {
    const isMark = mark.startsWith(MARK)
    // a peer may answer the latest ping alone, and mean all before it (RFC 6455, section 5.5.3)
    if (!isMark && !(Number(mark.slice(PROBE.length)) > this.#marked.after)) return
    const proved = isMark ? Number(mark.slice(MARK.length)) : this.#marked.mark
    this.#unlessEnded(() => this.flight.proven(proved))
  }

  #tellPong(): void {
    try {
      this.#dialogue?.pong?.()
    } catch (error) {
      this.#blameAdapter(error)
    }
  }

  #judgeClose({ code, reason }: { code: number; reason: string }): FaultCode | undefined {
    try {
      return this.#dialogue?.closed?.(code, reason)
    } catch {
      return 'adapter-failed'
    }
  }
}

/** What credentials that were given anew may heal. */
const REJECTIONS: ReadonlySet<FaultCode> = new Set(['credentials-rejected', 'upgrade-unauthorized'])

const VERDICTS: ReadonlySet<Verdict> = new Set(['taken', 'unknown', 'malformed'])

/** Adapters may be plain JavaScript: what they call a detail is made a text. */
const faultOf = (code: FaultCode, detail: unknown): Fault =>
  detail === undefined ? { code } : { code, detail: textOf(detail) }

/** Only a time that can be waited is a wait that was asked for. */
const waitOf = (ms: number | undefined) =>
  ms !== undefined && ms > 0 && ms < Number.POSITIVE_INFINITY ? { retryAfterMs: ms } : {}
