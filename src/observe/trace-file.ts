/**
 * Writes transitions to a file: whole lines, in batches, by appending. What is written has left the process, so a crash
 * of it loses nothing, and what waits when the process ends by itself is written then; a loss of power may tear the last
 * line, and who reads the file is told. Several may write to one file, also from several processes.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeFile,
  writeSync,
} from 'node:fs'
import { promisify } from 'node:util'
import { constants, gunzipSync, gzip, gzipSync } from 'node:zlib'
import type { Subscription } from 'rxjs'
import { linkMachine } from '../../machines/link.ts'
import { describe, refuseUnknown } from '../adapter/adapter.ts'
import { type Clock, realClock, type Timer } from '../clock.ts'
import { HoldfastError, textOf } from '../error.ts'
import { checkNumber } from '../options.ts'
import { version } from '../version.ts'
import type { Recorded, TransitionRecord } from './recorder.ts'
import type { TraceHeader } from './trace-format.ts'

export interface TraceOptions {
  /** A file that has grown beyond this is renamed to `FILE.1`, in place of the one before. Default 256 MiB. */
  readonly maxBytes?: number
  /** Time. Default: the real one. */
  readonly clock?: Clock
}

const BYTES_MAX = 256 * 1024 ** 2
/** What waits for a disk that does not keep up; more is counted as lost. */
const WAITING_MAX = 8 * 1024 ** 2
/** A compressed file gains from bigger batches; a plain one is written at once. */
const PACK_EVERY_MS = 1_000

/** Opens the file, makes it if need be. Throws HoldfastError `bad-option`, or `store-failed` if that cannot be done. */
export const openTrace = (file: string, options: TraceOptions = {}): TraceFile => {
  refuseUnknown(options, ['maxBytes', 'clock'], 'options of a trace')
  if (typeof file !== 'string' || file === '') {
    throw new HoldfastError('bad-option', `The file of a trace is ${describe(file)}; it must be the name of a file.`)
  }
  const { maxBytes = BYTES_MAX, clock = realClock } = options
  return new TraceFile(file, checkNumber('maxBytes', maxBytes, Number.MAX_SAFE_INTEGER), clock)
}

const append = promisify(writeFile)
const pack = promisify(gzip)

export class TraceFile {
  readonly #file: string
  readonly #maxBytes: number
  readonly #clock: Clock
  readonly #isPacked: boolean
  readonly #follows = new Set<Subscription>()
  #fd: number
  #waiting: string[] = []
  #waitingBytes = 0
  #lost = 0
  #hasWarned = false
  #isClosed = false
  #timer: Timer | undefined
  #written: Promise<void> = Promise.resolve()

  constructor(file: string, maxBytes: number, clock: Clock) {
    this.#file = file
    this.#maxBytes = maxBytes
    this.#clock = clock
    this.#isPacked = file.endsWith('.gz')
    try {
      this.#fd = this.#open()
    } catch (error) {
      throw new HoldfastError('store-failed', `The trace cannot be written: ${textOf(error)}`, { cause: error })
    }
    if (open.size === 0) process.on('exit', endAll)
    open.add(this)
  }

  /** What the link has on record, and all that comes. */
  follow(link: Recorded): Subscription {
    for (const record of link.recording.kept) this.add(record)
    const subscription = link.transitions$.subscribe((record) => this.add(record))
    this.#follows.add(subscription)
    subscription.add(() => this.#follows.delete(subscription))
    return subscription
  }

  add(record: TransitionRecord): void {
    if (this.#isClosed) return
    const line = `${JSON.stringify(record)}\n`
    if (this.#waitingBytes + line.length > WAITING_MAX) {
      this.#lost++
      return
    }
    this.#waiting.push(line)
    this.#waitingBytes += line.length
    this.#timer ??= this.#clock.setTimeout(() => void this.#flush(), this.#isPacked ? PACK_EVERY_MS : 0)
  }

  /** Resolves when all is written, or has been warned of: it never rejects. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#written
    this.#isClosed = true
    for (const subscription of this.#follows) subscription.unsubscribe()
    this.#clock.clearTimeout(this.#timer)
    await this.#flush()
    open.delete(this)
    if (open.size === 0) process.off('exit', endAll)
    try {
      closeSync(this.#fd)
    } catch (error) {
      // some disks tell only now that they were full
      this.#warn(error)
    }
  }

  /** The process ends: nothing that takes its time would be done any more. */
  endNow(): void {
    const { text } = this.#takeWaiting()
    if (text === '') return
    try {
      writeSync(this.#fd, this.#isPacked ? gzipSync(text) : Buffer.from(text))
    } catch {
      // there is nobody left to be told
    }
  }

  #open(): number {
    const fd = openSync(this.#file, 'a+', 0o600)
    if (this.#isPacked) mendPacked(fd)
    const size = fstatSync(fd).size
    // what a crash tore gets a line of its own, so that it spoils nothing else
    const isTorn = !this.#isPacked && size > 0 && readAt(fd, size - 1, 1).toString() !== '\n'
    const text = Buffer.from(`${isTorn ? '\n' : ''}${JSON.stringify(header(this.#clock))}\n`)
    writeSync(fd, this.#isPacked ? gzipSync(text) : text)
    return fd
  }

  /** One batch at a time; what comes meanwhile is the next. */
  #flush(): Promise<void> {
    this.#written = this.#written.then(() => this.#write())
    return this.#written
  }

  #takeWaiting(): { text: string; count: number } {
    const lines = this.#waiting
    const lost = this.#lost
    this.#waiting = []
    this.#waitingBytes = 0
    this.#lost = 0
    return {
      text: lines.join('') + (lost > 0 ? `${JSON.stringify({ lost })}\n` : ''),
      count: lines.length + lost,
    }
  }

  async #write(): Promise<void> {
    this.#timer = undefined
    const { text, count } = this.#takeWaiting()
    if (count === 0) return
    let size = Number.POSITIVE_INFINITY
    try {
      const data = this.#isPacked ? await pack(text) : text
      if (fstatSync(this.#fd).size > this.#maxBytes) this.#rotate()
      size = fstatSync(this.#fd).size
      await append(this.#fd, data)
    } catch (error) {
      this.#lost += count
      this.#undo(size)
      this.#warn(error)
    }
  }

  #rotate(): void {
    // of several who write to the file the first renames it, and the others only go after it
    if (isOpenAs(this.#fd, this.#file)) renameSync(this.#file, `${this.#file}.1`)
    const old = this.#fd
    this.#fd = this.#open()
    closeSync(old)
  }

  /** Takes back the part of a batch that was written before the disk was full. */
  #undo(size: number): void {
    try {
      if (fstatSync(this.#fd).size > size) ftruncateSync(this.#fd, size)
    } catch {
      // then the reader finds a damaged line
    }
  }

  #warn(error: unknown): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    process.emitWarning(`The trace ${this.#file} loses lines: ${textOf(error)}`, 'HoldfastWarning')
  }
}

/** Whether the name still stands for the file that is open. */
const isOpenAs = (fd: number, file: string): boolean => {
  const [own, named] = [fstatSync(fd), statSync(file, { throwIfNoEntry: false })]
  return own.ino === named?.ino && own.dev === named.dev
}

/** Files that are open: the process is listened to while there is one. */
const open = new Set<TraceFile>()

const endAll = (): void => {
  for (const file of open) file.endNow()
}

const header = (clock: Clock): TraceHeader => ({
  holdfast: 1,
  version,
  machine: createHash('sha256').update(JSON.stringify(linkMachine.config)).digest('hex').slice(0, 16),
  at: clock.wall(),
  redaction: 'at-source',
})

const readAt = (fd: number, at: number, length: number): Buffer => {
  const buffer = Buffer.alloc(length)
  return buffer.subarray(0, readSync(fd, buffer, 0, length, at))
}

/** Each batch is a gzip member of its own (RFC 1952, section 2.2) and begins with these ten bytes. */
const MEMBER = gzipSync('').subarray(0, 10)
/** The last batch lies within so many bytes. */
const TAIL_BYTES = 2 * WAITING_MAX

/** Makes a member that a crash tore whole again, as far as it can be read: nothing behind it could be. */
const mendPacked = (fd: number): void => {
  const { size } = fstatSync(fd)
  const start = Math.max(0, size - TAIL_BYTES)
  const tail = readAt(fd, start, size - start)
  const at = tail.lastIndexOf(MEMBER)
  if (at < 0) {
    // not even that much was written of the first
    if (size < MEMBER.length) ftruncateSync(fd, 0)
    return
  }
  const member = tail.subarray(at)
  if (unpacked(member, constants.Z_FINISH) !== undefined) return
  const text = unpacked(member, constants.Z_SYNC_FLUSH) ?? ''
  ftruncateSync(fd, start + at)
  writeSync(fd, gzipSync(`${text}\n`))
}

const unpacked = (member: Buffer, finishFlush: number): string | undefined => {
  try {
    return gunzipSync(member, { finishFlush }).toString()
  } catch {
    return undefined
  }
}
