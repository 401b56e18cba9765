/**
 * One viewer. What it has not been sent yet is kept by link, the latest state of each and nothing older: so a viewer that
 * is too slow is sent less, never later, and what it costs has a bound.
 */
import type { Clock, Timer } from '../../clock.ts'
import { explain } from '../../explain.ts'
import type { TransitionRecord } from '../recorder.ts'
import type { Board, Entry, Looker } from './board.ts'
import { hear } from './hear.ts'
import {
  type Agg,
  AUTH_WITHIN_MS,
  CLOSE,
  type Delta,
  type History,
  type Order,
  type ServerMessage,
  SNAP_ROWS_MAX,
  TX_ROWS_MAX,
} from './protocol.ts'
import { hello } from './words.ts'

export interface ViewerPorts {
  readonly board: Board
  readonly clock: Clock
  readonly control: boolean
  readonly labFaults: readonly string[]
  readonly labLink: string | undefined
  isToken(text: string): boolean
  /** Resolves when the order is carried out, rejects with the words for the viewer. */
  obey(order: Order): Promise<void>
}

/** As much of a WebSocket of the package `ws` as is used here, whoever made it. */
export interface ViewerSocket {
  readonly readyState: number
  readonly OPEN: number
  readonly bufferedAmount: number
  on(event: 'message', react: (data: object, isBinary: boolean) => void): unknown
  on(event: 'close' | 'error' | 'pong', react: () => void): unknown
  ping(): void
  send(text: string): void
  close(code: number, reason: string): void
  terminate(): void
}

/** With more than this in the buffers of the process nothing is sent until it has left. */
const BUFFERED_MAX = 1024 * 1024
/** So many seconds a viewer may take to read what it was sent. */
const READ_WITHIN_S = 10
/** Nobody may be left to answer our goodbye. */
const GOODBYE_MS = 1_000

export class Viewer implements Looker {
  readonly #socket: ViewerSocket
  readonly #ports: ViewerPorts
  /** For the token at first, for the goodbye at last. */
  #timer: Timer | undefined
  #isKnown = false
  /** Seconds since the ping that is not answered. Its pong comes when it has read all before it, wherever that was kept. */
  #unansweredS = 0
  readonly #added = new Set<Entry>()
  readonly #changed = new Set<Entry>()
  readonly #gone: number[] = []
  #subscribed = new Set<Entry>()
  /** Subscribed links whose history has not been sent yet. */
  readonly #unread = new Set<Entry>()
  #records: [index: number, record: TransitionRecord][] = []
  #lost = 0

  constructor(socket: ViewerSocket, ports: ViewerPorts) {
    this.#socket = socket
    this.#ports = ports
    this.#timer = ports.clock.setTimeout(() => this.end(CLOSE.unauthorized, 'no token in time'), AUTH_WITHIN_MS)
    socket.on('message', (data, isBinary) => this.#hear(isBinary ? undefined : String(data)))
    socket.on('pong', () => {
      this.#unansweredS = 0
    })
    socket.on('close', () => this.#left())
    // what is too big or no WebSocket: ws closes by itself
    socket.on('error', () => undefined)
  }

  end(code: number, reason: string): void {
    const { clock, board } = this.#ports
    board.leave(this)
    this.#forget()
    clock.clearTimeout(this.#timer)
    this.#socket.close(code, reason)
    this.#timer = clock.setTimeout(() => this.#socket.terminate(), GOODBYE_MS)
  }

  #left(): void {
    this.#ports.clock.clearTimeout(this.#timer)
    this.#ports.board.leave(this)
    this.#forget()
  }

  #forget(): void {
    this.#isKnown = false
    for (const kept of [this.#added, this.#changed, this.#subscribed, this.#unread]) kept.clear()
    this.#records = []
  }

  #hear(text: string | undefined): void {
    // after our goodbye it may still talk
    if (this.#socket.readyState !== this.#socket.OPEN) return
    const message = text === undefined ? undefined : hear(text)
    if (!this.#isKnown) {
      if (message?.t === 'auth' && this.#ports.isToken(message.token)) this.#welcome()
      else this.end(CLOSE.unauthorized, 'the first message must be the token')
    } else if (message?.t === 'sub') this.#subscribe(message.indexes)
    else if (message?.t === 'cmd') void this.#obey(message)
    else this.end(CLOSE.malformed, 'not a message of the protocol')
  }

  #welcome(): void {
    const { board, clock, control, labFaults, labLink } = this.#ports
    clock.clearTimeout(this.#timer)
    this.#isKnown = true
    this.#send(hello(clock.wall(), control, labFaults, labLink))
    board.join(this)
    this.#added.clear()
    const rows = [...board.entries].map((entry) => board.row(entry))
    for (let start = 0; start === 0 || start < rows.length; start += SNAP_ROWS_MAX) {
      const end = start + SNAP_ROWS_MAX
      this.#send({ t: 'snap', rows: rows.slice(start, end), more: end < rows.length })
    }
  }

  #subscribe(indexes: readonly number[]): void {
    const { board } = this.#ports
    const before = this.#subscribed
    this.#subscribed = new Set(indexes.flatMap((index) => board.get(index) ?? []))
    for (const entry of this.#unread) if (!this.#subscribed.has(entry)) this.#unread.delete(entry)
    for (const entry of this.#subscribed) if (!before.has(entry)) this.#unread.add(entry)
    // the history has what waits of a link that was not subscribed all the while
    this.#records = this.#records.filter(([index]) => {
      const entry = board.get(index)
      return entry && before.has(entry) && this.#subscribed.has(entry)
    })
    this.#sendHistories()
  }

  async #obey(order: Order): Promise<void> {
    const { n } = order
    try {
      await this.#ports.obey(order)
      this.#send({ t: 'done', n })
    } catch (error) {
      this.#send({ t: 'done', n, error: (error as Error).message })
    }
  }

  added(entry: Entry): void {
    this.#added.add(entry)
  }

  changed(entry: Entry): void {
    if (!this.#added.has(entry)) this.#changed.add(entry)
  }

  recorded(entry: Entry, record: TransitionRecord): void {
    if (!this.#subscribed.has(entry) || this.#unread.has(entry)) return
    if (this.#records.length < TX_ROWS_MAX) this.#records.push([entry.index, record])
    else this.#lost++
  }

  removed(entry: Entry): void {
    this.#changed.delete(entry)
    this.#subscribed.delete(entry)
    this.#unread.delete(entry)
    if (!this.#added.delete(entry)) this.#gone.push(entry.index)
  }

  tick(agg: Agg | undefined): void {
    if (agg && !this.#reads()) return
    if (this.#socket.bufferedAmount > BUFFERED_MAX) return
    // the round trip changes without a transition
    if (agg) for (const entry of this.#subscribed) this.changed(entry)
    this.#sendDelta()
    this.#sendHistories()
    this.#sendRecords()
    if (agg) this.#send(agg)
  }

  /**
   * Called once a second, and counted so: when our own process slept, its viewers were not slow. One that has stopped
   * reading is let go, as what it would show is not so any more.
   */
  #reads(): boolean {
    if (this.#unansweredS === 0) this.#socket.ping()
    if (this.#unansweredS++ < READ_WITHIN_S) return true
    this.end(CLOSE.tooSlow, 'the viewer does not keep up')
    return false
  }

  #sendDelta(): void {
    const { board, clock } = this.#ports
    if (this.#changed.size + this.#added.size + this.#gone.length === 0) return
    const delta: Delta = {
      t: 'delta',
      at: clock.wall(),
      changes: [...this.#changed].map((entry) => board.change(entry)),
      added: [...this.#added].map((entry) => board.row(entry)),
      gone: this.#gone.splice(0),
    }
    this.#changed.clear()
    this.#added.clear()
    this.#send(delta)
  }

  #sendHistories(): void {
    for (const entry of this.#unread) {
      if (this.#socket.bufferedAmount > BUFFERED_MAX) return
      this.#unread.delete(entry)
      this.#send(history(entry, this.#ports.clock))
    }
  }

  #sendRecords(): void {
    if (this.#records.length + this.#lost === 0) return
    this.#send({ t: 'tx', records: this.#records, lost: this.#lost })
    this.#records = []
    this.#lost = 0
  }

  #send(message: ServerMessage): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(message))
  }
}

/** By the clock of the inspector: the links' own moments are in milliseconds since 1970. */
const history = ({ index, link }: Entry, clock: Clock): History => {
  const { kept, total } = link.recording
  const words = (language: 'en' | 'zh') => explain(link.status, clock.wall(), language).text
  const deadlines = { ...link.deadlines }
  return { t: 'history', index, kept, total, explain: { en: words('en'), zh: words('zh') }, deadlines }
}
