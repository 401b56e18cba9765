/**
 * LevelDB under a store. The folder of a store has one database in it, `db-1`. If that is damaged, what can be read of it
 * goes to a new one, `db-2`, and it stays beside it as it was found: the highest number counts.
 */
import { mkdir, mkdtemp, open, readdir, realpath, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClassicLevel } from 'classic-level'
import { HoldfastError } from '../error.ts'
import type { Entry } from './entry.ts'
import { isDamage, isLocked } from './failure.ts'
import { unsealed } from './record.ts'
import { scan } from './scan.ts'

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string }

/** The little of an open database that a store needs. */
export interface Level {
  batch(operations: Operation[], options: { sync: boolean }): Promise<void>
  /** Entries from a key on, in order. */
  iterator(range: { gte: string }): AsyncIterable<readonly [key: string, value: string]>
  close(): Promise<void>
}

/** Opens the database and makes what is missing. One that was found to be `damaged` is replaced by what can be read of it. */
export type OpenLevel = (damaged: boolean) => Promise<Level>

export type Warn = (message: string) => void

/** The database in the folder of a store. */
export const levelIn =
  (dir: string, warn: Warn): OpenLevel =>
  async (damaged) => {
    const Database = await loadDatabase()
    await mkdir(dir, { recursive: true, mode: 0o700 })
    // LevelDB's lock knows a folder by its name: one with two names could be opened twice
    const root = await realpath(dir)
    const number = await latestIn(root)
    const path = nameOf(root, number)
    // credentials may be in it, and a folder that was there already may be open to others
    await mkdir(path, { recursive: true, mode: 0o700 })
    const level = damaged ? undefined : await openWhole(Database, path)
    if (level) {
      await syncFolder(root)
      return level
    }
    const next = nameOf(root, number + 1)
    const rescued = await rescue(Database, path, next)
    await syncFolder(root)
    const aside = `The damaged files stay in ${nameOf(dir, number)} until you delete them.`
    warn(`The store in ${dir} was damaged; ${rescued} records of it could be read and are kept. ${aside}`)
    return openAt(Database, next)
  }

const loadDatabase = async (): Promise<typeof ClassicLevel> => {
  try {
    return (await import('classic-level')).ClassicLevel
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND'
    const what = 'fileStore() needs the package "classic-level"'
    const why = missing ? 'npm install classic-level' : `it is installed and does not load: ${message.split('\n')[0]}`
    throw new HoldfastError('bad-option', `${what}: ${why}`, { cause })
  }
}

const nameOf = (root: string, number: number): string => join(root, `db-${number}`)

const latestIn = async (root: string): Promise<number> => {
  const names = await readdir(root)
  return Math.max(1, ...names.map((name) => Number(/^db-(\d{1,9})$/.exec(name)?.[1] ?? 0)))
}

const openAt = async (Database: typeof ClassicLevel, path: string): Promise<ClassicLevel> => {
  // scan() reads no compressed tables
  const level = new Database(path, { compression: false })
  await level.open()
  return level
}

/** Undefined if it is damaged, or looks like it because another process has it open and is writing. */
const openWhole = async (Database: typeof ClassicLevel, path: string): Promise<ClassicLevel | undefined> => {
  if ((await scan(path)) > 0) return undefined
  return openAt(Database, path).catch((error) => {
    if (isDamage(error)) return undefined
    throw error
  })
}

/** Copies every whole record. The copy gets its name when it is complete, so a crash in between changes nothing. */
const rescue = async (Database: typeof ClassicLevel, from: string, to: string): Promise<number> => {
  await assertUnlocked(Database, from)
  const records = await wholeRecordsIn(from)
  const beside = await mkdtemp(`${to}.`)
  try {
    const level = await openAt(Database, beside)
    await level.batch(records, { sync: true }).finally(() => level.close())
    await rename(beside, to)
  } catch (error) {
    await rm(beside, { recursive: true, force: true })
    throw error
  }
  return records.length
}

/**
 * Throws if the database is in use. Whoever opens it from here on finds the same damage, and makes a copy too: only one
 * of the copies gets the name.
 */
const assertUnlocked = async (Database: typeof ClassicLevel, path: string): Promise<void> => {
  // LevelDB takes its lock, and then finds that it was asked for the impossible
  const level = new Database(path, { createIfMissing: false, errorIfExists: true })
  await level.open().catch((error) => {
    if (isLocked(error)) throw error
  })
}

const wholeRecordsIn = async (path: string): Promise<Operation[]> => {
  const latest = new Map<string, Entry>()
  await scan(path, (entry) => {
    if (entry.sequence >= (latest.get(entry.key)?.sequence ?? 0)) latest.set(entry.key, entry)
  })
  return [...latest.values()].flatMap(({ key, value }) =>
    value !== undefined && unsealed(key, value) !== undefined ? [{ type: 'put', key, value }] : [],
  )
}

/** So that the name of a new database survives a loss of power; Windows has no such call. */
const syncFolder = async (path: string): Promise<void> => {
  if (process.platform === 'win32') return
  const folder = await open(path)
  await folder.sync().finally(() => folder.close())
}
