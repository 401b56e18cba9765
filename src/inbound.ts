/**
 * Messages on their way to the user. Each reader gets every message, in order, and once by its id. What a reader has not
 * read is bounded, whatever is dropped is counted and told, and the cursor follows what everybody who reads has taken.
 */
import { Observable } from 'rxjs'
import type { Cursor, InboundMark } from './adapter/adapter.ts'
import type { Clock } from './clock.ts'
import { Backlog } from './inbound/backlog.ts'
import { RecentIds } from './inbound/recent-ids.ts'
import type { Gate } from './tenure.ts'

export interface InboundOptions {
  /** Messages that wait for a slow reader, or for the first one. Default 1,000. */
  readonly messagesMax: number
  /** Which one goes when there are too many: the one that has waited longest (default), or the one that arrives. */
  readonly whenFull: 'drop-oldest' | 'drop-newest'
  /** So many ids are remembered, to drop a message that comes twice. Default 10,000. */
  readonly dedupeMax: number
  /** And none of them for longer than this, in milliseconds. Default 600,000. */
  readonly dedupeMs: number
}

export const inboundDefaults: InboundOptions = {
  messagesMax: 1_000,
  whenFull: 'drop-oldest',
  dedupeMax: 10_000,
  dedupeMs: 600_000,
}

/** With one reader, what it was given is `arrived` less the other three. */
export interface InboundCounts {
  readonly arrived: number
  /** Dropped because a message with the same id came before. */
  readonly duplicates: number
  /** Lost because a reader was slow, or because nobody read. What two readers lost counts twice. */
  readonly dropped: number
  /** Unread, for the reader that has most of them. */
  readonly waiting: number
}

export type LossReason = 'slow-reader' | 'no-reader'

export interface InboundListener {
  /**
   * Everything up to the message with this cursor is taken: everybody who reads was given it and is done with it. What was
   * dropped counts as taken, for it does not come again, and so does what a reader left behind once the others have it.
   */
  taken(cursor: Cursor): void
  /** So many messages were dropped. Told once for a burst: when the reader has caught up or left, and else each minute. */
  lost(count: number, because: LossReason): void
}

export interface Entry<T> {
  /** The number of its arrival. */
  readonly place: number
  readonly message: T
  /** The cursor that stands once everything before this message is taken. */
  readonly cursorBefore: Cursor | undefined
}

export class Inbound<T> implements AsyncIterable<T> {
  readonly #options: InboundOptions
  readonly #clock: Clock
  /** Shut, nothing is handed on: another process has it, or will get it again. */
  readonly #gate: Gate
  readonly #listener: InboundListener
  readonly #recentIds: RecentIds
  readonly #readers = new Set<Reader<T>>()
  /** What came while nobody read, and what the last reader left unread. */
  #kept: Backlog<T>
  /** The place of the next message. */
  #next = 0
  /** Of the latest message that has one. */
  #cursor: Cursor | undefined
  #cursorTold: Cursor | undefined
  /** Cursors of the messages before this place are those of a session that is over. */
  #sessionFrom = 0
  #ended = false
  readonly #counts = { arrived: 0, duplicates: 0, dropped: 0 }

  constructor(options: InboundOptions, clock: Clock, listener: InboundListener, gate: Gate = () => true) {
    this.#options = options
    this.#gate = gate
    this.#clock = clock
    this.#listener = listener
    this.#recentIds = new RecentIds(options, clock)
    this.#kept = this.#backlog()
  }

  #backlog(): Backlog<T> {
    return new Backlog(this.#options, this.#clock, (count, because) => this.#listener.lost(count, because))
  }

  get counts(): InboundCounts {
    const sizes = [...this.#readers].map(({ backlog }) => backlog.size)
    return { ...this.#counts, waiting: sizes.length === 0 ? this.#kept.size : Math.max(...sizes) }
  }

  push(message: T, { id, cursor }: InboundMark = {}): void {
    if (this.#ended) return
    this.#counts.arrived++
    if (typeof id === 'string' && this.#recentIds.hadOrAdds(id)) {
      this.#counts.duplicates++
      return
    }
    const entry = { place: this.#next++, message, cursorBefore: this.#cursor }
    if (cursor !== undefined) this.#cursor = cursor
    if (this.#readers.size === 0) this.#keep(this.#kept, entry)
    for (const { backlog } of this.#readers) this.#keep(backlog, entry)
    for (const reader of this.#readers) reader.wake()
    this.#tellTaken()
  }

  #keep(backlog: Backlog<T>, entry: Entry<T>): void {
    if (!backlog.push(entry)) this.#counts.dropped++
  }

  /** A new session: its ids and cursors have nothing to do with those that came before. */
  beginSession(): void {
    this.#recentIds.clear()
    this.#cursor = undefined
    this.#cursorTold = undefined
    this.#sessionFrom = this.#next
  }

  /** A message is taken when `next` has returned, and also when it threw: it is not given again. */
  readonly observable = new Observable<T>((subscriber) => {
    let isBusy = false
    const reader = this.#join(() => {
      // what arrives because of a message comes after it
      if (isBusy) return
      isBusy = true
      for (let entry = reader.hand(); entry; entry = subscriber.closed ? undefined : reader.hand()) {
        subscriber.next(entry.message)
        this.#acknowledge(reader)
      }
      isBusy = false
      if (subscriber.closed) this.#leave(reader)
      else if (this.#ended) subscriber.complete()
    })
    reader.wake()
    return () => {
      if (!isBusy) this.#leave(reader)
    }
  })

  /** The gate is shut for good: what nobody has read is for somebody else. */
  shut(): void {
    for (const backlog of new Set([this.#kept, ...[...this.#readers].map((reader) => reader.backlog)])) {
      this.#counts.dropped += backlog.discard()
    }
  }

  /** Nothing comes any more. What waits can still be read. */
  end(): void {
    this.#ended = true
    for (const reader of this.#readers) reader.wake()
  }

  /**
   * To ask for the next message says that those before it are taken. A loop that was left by `break` and one that was left
   * by an error look the same from here, so the message that it was at is not taken then. No other reader gets it, but the
   * cursor stays before it until a later one is taken.
   */
  [Symbol.asyncIterator](): AsyncIterator<T> {
    /** One for each read that waits: a reader may ask for several messages at once. */
    const asked: ((result: IteratorResult<T, undefined>) => void)[] = []
    const finished = { done: true, value: undefined } as const
    const reader = this.#join(() => {
      while (asked.length > 0) {
        const entry = reader.hand()
        if (!entry && !this.#ended && !reader.hasLeft) return
        asked.shift()!(entry ? { done: false, value: entry.message } : finished)
        if (!entry) this.#leave(reader)
      }
    })
    return {
      next: () => {
        this.#acknowledge(reader)
        return new Promise((resolve) => {
          asked.push(resolve)
          reader.wake()
        })
      },
      return: async () => {
        this.#leave(reader)
        reader.wake()
        return finished
      },
    }
  }

  /** Who comes first goes on where the last reader stopped; anybody else begins with what comes next. */
  #join(wake: () => void): Reader<T> {
    const backlog = this.#readers.size === 0 ? this.#kept : this.#backlog()
    backlog.passTo('slow-reader')
    const reader = new Reader(backlog, this.#next, wake, this.#gate)
    this.#readers.add(reader)
    return reader
  }

  #leave(reader: Reader<T>): void {
    if (!this.#readers.delete(reader)) return
    reader.hasLeft = true
    reader.backlog.passTo('no-reader')
    if (this.#readers.size === 0) this.#kept = reader.backlog
    this.#tellTaken()
  }

  #acknowledge(reader: Reader<T>): void {
    reader.handed = undefined
    this.#tellTaken()
  }

  #tellTaken(): void {
    // what nobody here was given is for the next owner
    if (!this.#gate()) return
    let open: Entry<T> | undefined
    for (const { firstOpen } of this.#readers) {
      if (firstOpen && (!open || firstOpen.place < open.place)) open = firstOpen
    }
    const takenTo = open?.place ?? this.#next
    const cursor = open ? open.cursorBefore : this.#cursor
    if (cursor === undefined || cursor === this.#cursorTold || takenTo <= this.#sessionFrom) return
    // what came before all who read now was taken by none of them
    if (![...this.#readers].some(({ from }) => from < takenTo)) return
    this.#cursorTold = cursor
    this.#listener.taken(cursor)
  }
}

class Reader<T> {
  readonly backlog: Backlog<T>
  /** The place of the first message that is for this reader. */
  readonly from: number
  /** Gives what there is, if the reader can take it. */
  readonly wake: () => void
  /** The oldest message that it was given and has not acknowledged. */
  handed: Entry<T> | undefined
  hasLeft = false
  readonly #gate: Gate

  constructor(backlog: Backlog<T>, next: number, wake: () => void, gate: Gate) {
    this.backlog = backlog
    this.from = backlog.first?.place ?? next
    this.wake = wake
    this.#gate = gate
  }

  get firstOpen(): Entry<T> | undefined {
    return this.handed ?? this.backlog.first
  }

  hand(): Entry<T> | undefined {
    if (this.hasLeft || !this.#gate()) return undefined
    const entry = this.backlog.shift()
    this.handed ??= entry
    return entry
  }
}
