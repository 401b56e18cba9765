/**
 * Questions and answers over HTTP/1.1, on undici, over sockets that we dialed ourselves. The transport stands while its
 * host can be reached: what a question that failed means is up to the adapter, which is told of it by a frame.
 */
import type { Socket } from 'node:net'
import { Agent, type Dispatcher } from 'undici'
import type { Fault } from '../../machines/fault.ts'
import type { Timer } from '../clock.ts'
import { faultFrom } from '../error.ts'
import { type Answer, type AnswerHeaders, type Question, readQuestion, writeAnswer } from '../exchange.ts'
import { KEEP_ALIVE_MS } from '../net/request.ts'
import { type DialedOptions, dialTarget } from './dialed.ts'
import { readEvents, readLines, readWhole, TooBig } from './http-body.ts'
import type { OpenTransport, TransportListener } from './transport.ts'
import { authorized } from './websocket.ts'

export const openHttp =
  (options: DialedOptions): OpenTransport =>
  (listener) => {
    const transport = new HttpTransport(options, listener)
    transport.open()
    return () => transport.end()
  }

type Connected = (...result: [null, Socket] | [Error, null]) => void

class HttpTransport {
  readonly #options: DialedOptions
  readonly #listener: TransportListener
  readonly #agent: Agent
  readonly #url: URL
  readonly #headers: AnswerHeaders
  readonly #open = new Map<string, Asked>()
  readonly #dials = new Set<() => void>()
  /** The one that was dialed to see whether the host can be reached: the first question goes over it. */
  #first: Socket | undefined
  #isClosing = false
  #isEnded = false

  constructor(options: DialedOptions, listener: TransportListener) {
    const { target, maxPayloadBytes } = options
    this.#options = options
    this.#listener = listener
    const { url, headers } = authorized(target)
    this.#url = url
    this.#headers = headers
    this.#agent = new Agent({
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxResponseSize: -1,
      // each question has a deadline of its own
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: Math.min(maxPayloadBytes, 64 * 1024),
      connect: (_: unknown, tell: Connected) => this.#connect(tell),
    })
  }

  open(): void {
    this.#dial(
      (socket) => {
        this.#first = socket
        // it may break before the first question is asked
        socket.on('error', () => undefined)
        this.#listener.ready({
          send: (frame) => this.#take(readQuestion(frame)),
          ping: () => {
            throw new Error('HTTP has no ping: the adapter needs a probe, and a proof for each of its frames')
          },
          bufferedBytes: () => 0,
          close: () => queueMicrotask(() => this.#close()),
        })
      },
      (error) => this.#lose(faultFrom(error, 'connecting')),
      () => this.#listener.opened(),
    )
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    for (const cancel of this.#dials) cancel()
    for (const asked of [...this.#open.values()]) asked.end()
    this.#first?.destroy()
    this.#agent.destroy().catch(() => undefined)
  }

  #lose(fault: Fault, close?: { code: number; reason: string }): void {
    if (this.#isEnded) return
    this.end()
    this.#listener.lost(fault, close)
  }

  /** Once the goodbye is answered, if there is one. */
  #close(): void {
    this.#isClosing = true
    if ([...this.#open.values()].some(({ isGoodbye }) => isGoodbye)) return
    this.#lose({ code: 'closed-by-peer' }, { code: 1000, reason: '' })
  }

  #connect(tell: Connected): void {
    const first = this.#first
    this.#first = undefined
    // undici does not expect its socket before it has finished asking for it
    if (first?.readyState === 'open') queueMicrotask(() => tell(null, first))
    else
      this.#dial(
        (socket) => tell(null, socket),
        (error) => tell(error, null),
      )
  }

  #dial(opened: (socket: Socket) => void, failed: (error: Error) => void, connected?: () => void): void {
    let isSettled = false
    const settle = (act: () => void) => {
      isSettled = true
      this.#dials.delete(end)
      act()
    }
    const cancel = dialTarget(this.#options, {
      ...(connected && { connected }),
      opened: (socket, path) =>
        settle(() => {
          if (connected) this.#options.dialed?.(path)
          opened(socket)
        }),
      failed: (error) => settle(() => failed(error)),
    })
    function end() {
      cancel()
      failed(new Error('the transport ended'))
    }
    if (!isSettled) this.#dials.add(end)
  }

  #take(asked: Question | { readonly cancel: string }): void {
    const key = 'cancel' in asked ? asked.cancel : asked.key
    this.#open.get(key)?.end()
    if (!('cancel' in asked)) this.#ask(asked)
  }

  #ask(question: Question): void {
    const { clock } = this.#options
    const { key, afterMs = 0, withinMs, stream, isGoodbye = false } = question
    const abort = new AbortController()
    const isOver = () => this.#open.get(key) !== asked
    let timer: Timer | undefined
    const asked: Asked = {
      isGoodbye,
      end: () => {
        if (isOver()) return
        this.#open.delete(key)
        clock.clearTimeout(timer)
        abort.abort()
      },
    }
    this.#open.set(key, asked)
    const tell = (answer: Answer) => {
      if (isOver()) return
      const isLast = ['whole', 'ended', 'fault'].includes(answer.kind)
      if (isLast) asked.end()
      this.#listener.frame(writeAnswer(answer))
      if (answer.kind !== 'fault') this.#listener.inbound()
      if (isLast && this.#isClosing) this.#close()
    }
    const fail = (fault: Fault) => tell({ key, kind: 'fault', fault })
    const begin = async () => {
      timer = clock.setTimeout(
        () => fail({ code: 'answer-timeout', detail: `no answer within ${withinMs} ms` }),
        withinMs,
      )
      const { statusCode: status, headers, body } = await this.#agent.request(this.#request(question, abort.signal))
      const maxBytes = this.#options.maxPayloadBytes
      const head = { key, status, headers: flat(headers) }
      if (!stream || status !== 200) return tell({ ...head, kind: 'whole', body: await readWhole(body, maxBytes) })
      clock.clearTimeout(timer)
      tell({ ...head, kind: 'opened' })
      const heard = () => isOver() || this.#listener.inbound()
      if (stream === 'events')
        await readEvents(body, maxBytes, heard, (event) => tell({ key, kind: 'event', ...event }))
      else await readLines(body, maxBytes, heard, (line) => tell({ key, kind: 'line', line }))
      tell({ key, kind: 'ended' })
    }
    const run = () => void begin().catch((error) => fail(faultOf(error)))
    if (afterMs > 0) timer = clock.setTimeout(run, afterMs)
    else run()
  }

  #request({ method, path, headers, body }: Question, signal: AbortSignal): Dispatcher.RequestOptions {
    const { origin, pathname, search } = new URL(path, this.#url)
    // a path that names another host would carry the token there
    if (origin !== this.#url.origin) throw new Error('the path of a question leads to another host')
    return {
      origin,
      path: `${pathname}${search}`,
      method: method as Dispatcher.HttpMethod,
      headers: { ...this.#headers, ...headers },
      signal,
      ...(body !== undefined && { body }),
    }
  }
}

interface Asked {
  readonly isGoodbye: boolean
  end(): void
}

const faultOf = (error: unknown): Fault =>
  error instanceof TooBig ? { code: 'frame-too-big', detail: error.message } : faultFrom(error, 'open')

const flat = (headers: Readonly<Record<string, string | string[] | undefined>>): AnswerHeaders =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]),
  )
