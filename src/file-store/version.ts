/**
 * Which files of a LevelDB count: CURRENT names a manifest, a log in which each record adds and removes some (see
 * db/version_edit.cc there). A crash leaves others behind, half written or done with.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Reader } from './bytes.ts'
import { scanLog } from './log.ts'

export interface Version {
  readonly tables: ReadonlySet<number>
  /** Logs with a lower number were made into tables … */
  readonly firstLog: number
  /** … but for this one. */
  readonly previousLog: number
}

interface Logs {
  first: number | undefined
  previous: number
}

/** Undefined if that cannot be told: then any file may count. */
export const versionIn = async (path: string): Promise<Version | undefined> => {
  const manifest = /^(MANIFEST-\d+)\n$/.exec(await readFile(join(path, 'CURRENT'), 'latin1').catch(() => ''))?.[1]
  const bytes = manifest && (await readFile(join(path, manifest)).catch(() => undefined))
  if (!bytes) return undefined
  const tables = new Set<number>()
  const logs: Logs = { first: undefined, previous: 0 }
  let isKnown = true
  const { places, torn } = scanLog(bytes, (edit) => {
    isKnown &&= applyEdit(new Reader(edit), tables, logs)
  })
  // LevelDB would forget a torn edit, and remove the tables that it named
  if (!isKnown || places > 0 || torn || logs.first === undefined) return undefined
  return { tables, firstLog: logs.first, previousLog: logs.previous }
}

/** False if it says something that is not known here. */
const applyEdit = (edit: Reader, tables: Set<number>, logs: Logs): boolean => {
  const skipVarint = () => void edit.varint()
  const skipSized = () => void edit.sized()
  const fields: Record<number, () => void> = {
    // the name of the order of keys
    1: skipSized,
    2: () => {
      logs.first = edit.varint()
    },
    // the next number of a file, and the last sequence
    3: skipVarint,
    4: skipVarint,
    // where to go on merging: level and key
    5: () => {
      edit.varint()
      edit.sized()
    },
    // a table is gone: level and number
    6: () => {
      edit.varint()
      tables.delete(edit.varint())
    },
    // a table is new: level, number, size, lowest and highest key
    7: () => {
      edit.varint()
      tables.add(edit.varint())
      edit.varint()
      edit.sized()
      edit.sized()
    },
    9: () => {
      logs.previous = edit.varint()
    },
  }
  while (!edit.isDone) {
    const field = fields[edit.varint()]
    if (!field) return false
    field()
  }
  return true
}
