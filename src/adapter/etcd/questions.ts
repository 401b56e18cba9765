/**
 * What is asked of etcd's JSON gateway over one transport, and what becomes of the answers. Whoever asks says what an
 * answer means; a refusal or a failure that nobody expects ends the transport with the fault that it stands for.
 * Facts: etcd, api-grpc-gateway.md; google.rpc.Code; the shapes of errors as etcd 3.4 was seen to send them.
 */
import type { Fault, FaultCode } from '../../../machines/fault.ts'
import { faultFromStatus } from '../../error.ts'
import { type Answer, ask, cancel, readAnswer } from '../../exchange.ts'
import type { Frame, Io, Verdict } from '../adapter.ts'
import { asObject, type JsonObject, readObject } from '../json.ts'

/** Of a token that knows which users there were; etcd calls it an invalid argument. */
const USERS_CHANGED = /revision of auth store is old/

/** The codes of gRPC that mean something here. */
export const GRPC = {
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const

const MEANINGS: Readonly<Record<number, FaultCode>> = {
  [GRPC.INVALID_ARGUMENT]: 'setup-refused',
  [GRPC.DEADLINE_EXCEEDED]: 'answer-timeout',
  [GRPC.NOT_FOUND]: 'lease-lost',
  [GRPC.PERMISSION_DENIED]: 'credentials-rejected',
  [GRPC.RESOURCE_EXHAUSTED]: 'throttled',
  [GRPC.UNAVAILABLE]: 'peer-unavailable',
  [GRPC.UNAUTHENTICATED]: 'credentials-rejected',
}

/** Longer than the deadlines of the chart, which say sooner that it takes too long. */
const ANSWER_WITHIN_MS = 20_000

export interface AskOptions {
  readonly afterMs?: number
  readonly withinMs?: number
  readonly isGoodbye?: boolean
  /** Told before anybody else; true if that was to be expected. */
  refused?(code: number | undefined): boolean
  /** No answer came. Default: the transport ends. */
  failed?(fault: Fault): void
}

export interface StreamListener {
  /** A result of the stream. */
  result(result: JsonObject): Verdict
  /** It was open, and is no more. */
  ended(): void
}

export interface Stream {
  /** Nothing more is heard of it. */
  end(): void
}

export class Questions {
  /** Goes with every question from then on. */
  token: string | undefined
  readonly #io: Io<never>
  readonly #open = new Map<string, (answer: Answer) => Verdict>()
  #asked = 0

  constructor(io: Io<never>) {
    this.#io = io
  }

  post(path: string, body: object, answered: (answer: JsonObject) => Verdict, options?: AskOptions): void {
    this.#io.send(this.question(path, body, answered, options))
  }

  /** The same as a frame that somebody else sends. */
  question(path: string, body: object, answered: (answer: JsonObject) => Verdict, options: AskOptions = {}): Frame {
    let isRetried = false
    const retry = (): boolean => {
      if (isRetried) return false
      isRetried = true
      this.#io.send(this.#ask(this.#keyFor(path), path, body, take, options))
      return true
    }
    const fail = options.failed ?? ((fault) => this.#fail(fault))
    const take = (answer: Answer): Verdict => {
      // a connection that was kept for a while may break at the next question, which says nothing of the peer
      if (answer.kind === 'fault') {
        if (answer.fault.code === 'answer-timeout' || !retry()) fail(answer.fault)
        return 'taken'
      }
      if (answer.kind !== 'whole') return 'unknown'
      const said = readObject(answer.body)
      if (said && answer.status === 200 && !('error' in said)) return this.#judge(answered(said), path)
      const code = codeOf(said)
      if (options.refused?.(code)) return 'taken'
      if (code !== GRPC.DEADLINE_EXCEEDED || !retry()) fail(this.#faultOf(answer, said))
      return said ? 'taken' : 'malformed'
    }
    return this.#ask(this.#keyFor(path), path, body, take, options)
  }

  /** Asks for a stream, in `afterMs`. One that does not open, or that is refused, ends the transport. */
  stream(path: string, body: object, listener: StreamListener, afterMs = 0): Stream {
    const take = (answer: Answer): Verdict => {
      if (answer.kind === 'line') return this.#read(answer.line, listener)
      if (answer.kind === 'opened') isOpen = true
      else if (answer.kind === 'whole') this.#fail(this.#faultOf(answer, readObject(answer.body)))
      else if (answer.kind === 'fault' && !(isOpen && answer.fault.code === 'connection-lost')) this.#fail(answer.fault)
      else listener.ended()
      return 'taken'
    }
    let isOpen = false
    const key = this.#keyFor(path)
    this.#io.send(this.#ask(key, path, body, take, { afterMs }, { stream: 'lines' }))
    return {
      end: () => {
        if (this.#open.delete(key)) this.#io.send(cancel(key))
      },
    }
  }

  take(frame: Frame): Verdict {
    const answer = readAnswer(frame)
    if (!answer) return 'malformed'
    const take = this.#open.get(answer.key)
    if (!take) return 'unknown'
    if (['whole', 'ended', 'fault'].includes(answer.kind)) this.#open.delete(answer.key)
    return take(answer)
  }

  #keyFor(path: string): string {
    this.#asked++
    return `${path} ${this.#asked}`
  }

  #ask(
    key: string,
    path: string,
    body: object,
    take: (answer: Answer) => Verdict,
    { withinMs = ANSWER_WITHIN_MS, afterMs = 0, isGoodbye = false }: AskOptions,
    stream: { stream?: 'lines' } = {},
  ): Frame {
    this.#open.set(key, take)
    const headers: Record<string, string> = { 'Content-Type': 'application/json' }
    if (this.token !== undefined) headers.Authorization = this.token
    const question = { key, method: 'POST', path, headers, body: JSON.stringify(body), withinMs, afterMs, ...stream }
    return ask({ ...question, ...(isGoodbye && { isGoodbye }) })
  }

  #read(line: string, listener: StreamListener): Verdict {
    const said = readObject(line)
    if (!said) return 'malformed'
    const result = asObject(said.result)
    if (result) return listener.result(result)
    if (!('error' in said)) return 'unknown'
    this.#fail(this.#faultOf({ status: 200, headers: {} }, said))
    return 'taken'
  }

  /** What waits for an answer that cannot be read would wait for ever. */
  #judge(verdict: Verdict, path: string): Verdict {
    if (verdict === 'malformed') this.#fail({ code: 'protocol-violated', detail: `no answer to ${path} of etcd's` })
    return verdict
  }

  #faultOf({ status, headers }: Pick<Answer & { kind: 'opened' }, 'status' | 'headers'>, said?: JsonObject): Fault {
    const code = codeOf(said)
    const detail = `${textOf(said) ?? 'no answer of etcd'} (HTTP ${status})`
    const meaning = MEANINGS[code ?? -1]
    // the token was good once; it ends after some minutes without use, or with the users that there were
    const isOutdated = code === GRPC.UNAUTHENTICATED || USERS_CHANGED.test(detail)
    if (isOutdated && this.token !== undefined) return { code: 'credentials-expired', detail }
    // without the time of day a wait in seconds can be read, and a date cannot
    const byStatus = faultFromStatus(status, headers['retry-after'], Number.NaN)
    const other: Fault = status === 200 ? { code: 'protocol-violated' } : byStatus
    return { ...other, ...(meaning && { code: meaning }), detail }
  }

  #fail({ code, ...more }: Fault): void {
    this.#io.fail(code, more)
  }
}

/** `{code, message}`, or in a stream `{error: {grpc_code, message}}`. */
export const codeOf = (said: JsonObject | undefined): number | undefined => {
  const code = said?.code ?? asObject(said?.error)?.grpc_code
  return typeof code === 'number' ? code : undefined
}

export const textOf = (said: JsonObject | undefined): string | undefined => {
  const text = said?.message ?? asObject(said?.error)?.message ?? said?.error
  return typeof text === 'string' ? text : undefined
}
