/** Traces of links: writing them while they run, and reading the file again. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { constants, createGunzip } from 'node:zlib'
import { eachLink, type Links } from './each-link.ts'
import { openTrace, type TraceOptions } from './trace-file.ts'
import { type Trace, TraceReader } from './trace-format.ts'

export interface Tracing extends AsyncDisposable {
  /** Ends it. Resolves when all is written. */
  close(): Promise<void>
}

/**
 * Appends every transition of the links to a file (`.hf.ndjson`, or `.hf.ndjson.gz` to have it compressed), beginning
 * with what each has on record. A plain file is written at once, a compressed one every second.
 * Throws HoldfastError `bad-option`, or `store-failed` if the file cannot be opened; what fails later is a warning.
 */
export const traceTo = (file: string, links: Links, options?: TraceOptions): Tracing => {
  const trace = openTrace(file, options)
  const watching = eachLink(
    links,
    (link) => trace.follow(link),
    () => undefined,
  )
  const close = () => {
    watching.unsubscribe()
    return trace.close()
  }
  return { close, [Symbol.asyncDispose]: close }
}

const PACKED_PIECE_BYTES = 4 * 1024
const PACKED = Buffer.from([0x1f, 0x8b])

/** Reads a trace, compressed or not. Rejects if there is no such file; what is wrong within it becomes a notice. */
export const readTraceFile = async (file: string): Promise<Trace> => {
  const packed = await isPacked(file)
  // an error takes what was unpacked of its piece with it: small pieces lose little
  const stream = createReadStream(file, packed ? { highWaterMark: PACKED_PIECE_BYTES } : {})
  // what was torn is read as far as it goes
  return readStream(packed ? stream.pipe(createGunzip({ finishFlush: constants.Z_SYNC_FLUSH })) : stream)
}

const isPacked = async (file: string): Promise<boolean> => {
  const handle = await open(file)
  try {
    const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0)
    return buffer.equals(PACKED)
  } finally {
    await handle.close()
  }
}

/** What was read before an error counts. */
const readStream = (stream: Readable): Promise<Trace> => {
  const decoder = new TextDecoder()
  const reader = new TraceReader()
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => reader.push(decoder.decode(chunk, { stream: true })))
    stream.on('end', () => resolve(reader.end()))
    stream.on('error', () => {
      // bytes that are no gzip: the line that they tear is noticed
      reader.push('…')
      resolve(reader.end())
    })
  })
}
