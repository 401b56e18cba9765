/** The way to an inspector: a WebSocket that comes back by itself, and a short memory for the time in which it is away. */
import WebSocket from 'ws'
import { backoffDelay, nothingSpent, spend } from '../../machines/delay.ts'
import type { Clock, Timer } from '../clock.ts'
import { HoldfastError } from '../error.ts'

/** So many messages wait for an inspector that is away or slow; of more, the oldest are dropped. */
export const WAITING_MAX = 200
/** With so many bytes unsent the inspector does not keep up, and messages wait here instead. */
const BUFFERED_MAX = 1024 * 1024
/** An inspector has only to listen: a bigger message of its own ends the connection. */
const INBOUND_MAX = 64 * 1024
const OPEN_WITHIN_MS = 10_000
/** So long open that failed dials are forgiven, in milliseconds. */
const PROVEN_MS = 10_000
/** How long the inspector may take to say goodbye. */
const CLOSE_WITHIN_MS = 1_000

export class StatelySocket {
  readonly #url: string
  readonly #clock: Clock
  readonly #introduce: () => readonly object[]
  readonly #waiting: string[] = []
  #socket: WebSocket | undefined
  #timer: Timer | undefined
  #spent = nothingSpent
  #isClosed = false
  #isUp = false
  #dropped = 0

  /**
   * Dials at once. `introduce` gives what an inspector has to hear first, on every connection anew.
   * Throws HoldfastError `bad-option` if the URL is none of a WebSocket.
   */
  constructor(url: string, clock: Clock, introduce: () => readonly object[]) {
    if (!/^wss?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) {
      // not repeated: there may be a token in it
      throw new HoldfastError('bad-option', 'The option "url" of stately() is no URL of a WebSocket: ws:// or wss://.')
    }
    this.#url = url
    this.#clock = clock
    this.#introduce = introduce
    this.#dial()
  }

  /** Messages that were given up. */
  get dropped(): number {
    return this.#dropped
  }

  send(message: object): void {
    if (this.#isClosed) return
    this.#waiting.push(JSON.stringify(message))
    this.#flush()
    if (this.#waiting.length <= WAITING_MAX) return
    this.#waiting.shift()
    this.#dropped++
  }

  /** What has been handed to the socket still goes out. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#clock.clearTimeout(this.#timer)
    this.#dropped += this.#waiting.length
    this.#waiting.length = 0
    const socket = this.#socket
    if (socket && this.#isUp) {
      socket.close()
      this.#timer = this.#clock.setTimeout(() => socket.terminate(), CLOSE_WITHIN_MS)
    } else socket?.terminate()
  }

  #dial(): void {
    const socket = new WebSocket(this.#url, { maxPayload: INBOUND_MAX, perMessageDeflate: false })
    this.#socket = socket
    this.#after(OPEN_WITHIN_MS, () => socket.terminate())
    socket.on('open', () => this.#opened(socket))
    // `close` follows, and says all that matters
    socket.on('error', () => undefined)
    socket.on('close', () => this.#lost())
  }

  #opened(socket: WebSocket): void {
    this.#isUp = true
    this.#after(PROVEN_MS, () => {
      this.#spent = nothingSpent
    })
    for (const message of this.#introduce()) socket.send(JSON.stringify(message), ignore)
    this.#flush()
  }

  #lost(): void {
    this.#isUp = false
    this.#socket = undefined
    this.#clock.clearTimeout(this.#timer)
    if (this.#isClosed) return
    this.#spent = spend(this.#spent, 'dropped')
    this.#after(backoffDelay('stately', this.#spent, { code: 'dropped' }), () => this.#dial())
  }

  /** One timer at a time: a dial, its deadline, or the proof of an open socket. */
  #after(ms: number, run: () => void): void {
    this.#clock.clearTimeout(this.#timer)
    this.#timer = this.#clock.setTimeout(run, ms)
  }

  #flush(): void {
    const socket = this.#socket
    while (this.#isUp && socket && socket.bufferedAmount < BUFFERED_MAX) {
      const text = this.#waiting.shift()
      if (text === undefined) return
      socket.send(text, (error) => {
        if (!error) this.#flush()
      })
    }
  }
}

/** A message that a dying socket does not take any more is lost with it; `close` follows. */
const ignore = (): void => undefined
