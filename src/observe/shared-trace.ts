/** Traces that links write without being told how: one file each, opened once however many links write to it. */
import { resolve } from 'node:path'
import { textOf } from '../error.ts'
import type { Recorded } from './recorder.ts'
import { openTrace, type TraceFile } from './trace-file.ts'

/** One who writes to the file. */
export interface TraceShare {
  /** What the link has on record, and all that comes until it has stopped. Then the share is given back. */
  follow(link: Recorded): void
  /** Gives it back; the last closes the file. Resolves when all is written. */
  close(): Promise<void>
}

interface Shared {
  readonly trace: TraceFile
  holders: number
}

/** By the whole name. */
const shared = new Map<string, Shared>()

/** Throws HoldfastError `store-failed` if the file cannot be opened. */
const share = (name: string): TraceShare => {
  const file = resolve(name)
  const own = shared.get(file) ?? { trace: openTrace(file), holders: 0 }
  shared.set(file, own)
  own.holders++
  let isClosed = false
  const close = async () => {
    if (isClosed) return
    isClosed = true
    own.holders--
    if (own.holders > 0) return
    shared.delete(file)
    await own.trace.close()
  }
  return { follow: (link) => own.trace.follow(link).add(() => void close()), close }
}

/** Names that HOLDFAST_TRACE had and that cannot be opened: each is told of once, however many links there are. */
const unusable = new Set<string>()

/** The file that the option names, or else HOLDFAST_TRACE. Throws HoldfastError `store-failed` if the option's cannot be opened. */
export const traceOf = (option: string | false | undefined): TraceShare | undefined => {
  if (option !== undefined) return option === false ? undefined : share(option)
  const name = process.env.HOLDFAST_TRACE
  if (!name || unusable.has(name)) return undefined
  try {
    return share(name)
  } catch (error) {
    // whoever set the variable is not who wrote the program: it must not keep the bot down
    unusable.add(name)
    process.emitWarning(`HOLDFAST_TRACE: ${textOf(error)}`, 'HoldfastWarning')
    return undefined
  }
}
