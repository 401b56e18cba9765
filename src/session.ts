/**
 * What the peer remembers of us, kept from one transport to the next: whether there is something to resume, where, from
 * which position on, and when to give it up. A session that cannot be resumed must not hold a link up: after three
 * failed resumes, or when the host that it was to be resumed at is dead, the next welcome is a new one (R39).
 */
import type { Fault } from '../machines/fault.ts'
import type { Cursor, Session, Welcome } from './adapter/adapter.ts'

/** What a welcome means for the messages that came before it, as the user is told. */
export type Continuity = 'new' | 'recovered' | 'gap'

/** What one run of the chart sees of it. */
export interface SessionView {
  readonly current: Session
  /** Whether the next attempt wants to resume, rather than to start a session. */
  readonly isResumable: boolean
  /** Where to resume, if the peer named a place and it is worth a try. */
  readonly endpoint: string | undefined
  /** Undefined if there is nothing to tell of it. */
  welcomed(welcome: Welcome): Continuity | undefined
  /**
   * An attempt ended before the welcome: `reached` says that it got as far as an open socket, `named` that it went to the
   * endpoint that the peer had named.
   */
  failed(fault: Fault, reached: boolean, named: boolean): void
  forget(): void
}

const FAILED_RESUMES_MAX = 3

/** It was our own network that failed, or the name servers: that says nothing about the host. */
const OURS: ReadonlySet<Fault['code']> = new Set([
  'unreachable',
  'name-unavailable',
  'resolve-timeout',
  'out-of-sockets',
  'engine-failed',
])

export class LinkSession implements SessionView {
  #session: Session = {}
  #wasWelcomed = false
  #failedResumes = 0
  #isElsewhere = false
  readonly #changed: (session: Session) => void

  /** `changed` is told of each change that shall outlive the process. */
  constructor(changed: (session: Session) => void = () => undefined) {
    this.#changed = changed
  }

  get current(): Session {
    return this.#session
  }

  get isResumable(): boolean {
    return this.#session.id !== undefined
  }

  get endpoint(): string | undefined {
    return this.isResumable && !this.#isElsewhere ? this.#session.endpoint : undefined
  }

  /** What an earlier process left behind. */
  restore(session: Session): void {
    this.#session = session
    this.#wasWelcomed = true
  }

  welcomed({ resumed = false, session }: Welcome): Continuity {
    const before = this.#session
    const continuity = resumed ? 'recovered' : this.#wasWelcomed ? 'gap' : 'new'
    const { cursor } = before
    const kept = resumed ? before : {}
    this.#set({ ...kept, ...session, ...(resumed && cursor !== undefined ? { cursor } : {}) })
    this.#wasWelcomed = true
    this.#failedResumes = 0
    this.#isElsewhere = false
    return continuity
  }

  /** The user took everything up to this position. */
  taken(cursor: Cursor): void {
    this.#set({ ...this.#session, cursor })
  }

  forget(): void {
    this.#failedResumes = 0
    this.#isElsewhere = false
    this.#set({})
  }

  failed(fault: Fault, reached: boolean, named: boolean): void {
    if (!this.isResumable) return
    if (reached) {
      this.#failedResumes++
      if (this.#failedResumes >= FAILED_RESUMES_MAX) this.forget()
    } else if (named && !OURS.has(fault.code)) {
      this.forget()
    } else {
      // with a network of ours that fails, the known endpoint and the peer's are tried in turn
      this.#isElsewhere = !this.#isElsewhere
    }
  }

  /**
   * For a run beside the one that holds the session: it starts one of its own, and goes on from the same position. If the
   * other one does not serve any more when this one is welcomed, the user has been told of a gap already.
   */
  besides(isServed: () => boolean): SessionView {
    const { cursor } = this.#session
    return {
      current: cursor === undefined ? {} : { cursor },
      isResumable: false,
      endpoint: undefined,
      welcomed: (welcome) => {
        const continuity = this.welcomed({ ...welcome, resumed: true })
        return isServed() ? continuity : undefined
      },
      failed: () => undefined,
      forget: () => undefined,
    }
  }

  #set(session: Session): void {
    this.#session = session
    this.#changed(session)
  }
}
