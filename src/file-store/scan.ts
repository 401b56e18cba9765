/**
 * Reads the files of LevelDB without LevelDB, as far as their checksums hold. LevelDB itself does not check its tables,
 * and ends the process where one contradicts it; it skips up to 32 KiB of a log for one wrong byte, and says nothing. So
 * files are looked through before they are opened, and what is left of damaged ones is read here.
 *
 * Tables must not be compressed.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { scanBatch, type Take } from './entry.ts'
import { scanLog } from './log.ts'
import { scanTable } from './table.ts'
import { versionIn } from './version.ts'

/**
 * Hands on each entry that is whole, in no order. Returns in how many places something was damaged: 0 for files that
 * LevelDB may open. The torn end that a crash leaves of the last log is no damage.
 */
export const scan = async (path: string, take: Take = () => undefined): Promise<number> => {
  const names = (await readdir(path)).filter((name) => /^\d+\.(log|ldb|sst)$/.test(name))
  const version = await versionIn(path)
  const isNew = names.length === 0 && !version
  let damaged = version || isNew ? 0 : 1

  const tables = names.filter((name) => !name.endsWith('.log'))
  const counting = tables.filter((name) => !version || version.tables.has(numberOf(name)))
  damaged += (version?.tables.size ?? counting.length) - counting.length
  for (const name of counting) damaged += scanTable(await bytesOf(path, name), take)

  const { firstLog = 0, previousLog = 0 } = version ?? {}
  const logs = names.filter((name) => name.endsWith('.log')).sort((one, other) => numberOf(one) - numberOf(other))
  // it is made before the manifest names it
  if (firstLog > 0 && !logs.some((name) => numberOf(name) === firstLog)) damaged++
  for (const name of logs) {
    const number = numberOf(name)
    if (number < firstLog && number !== previousLog) continue
    const { places, torn } = scanLog(await bytesOf(path, name), (batch) => scanBatch(batch, take))
    damaged += places + (torn && name !== logs.at(-1) ? 1 : 0)
  }
  return damaged
}

const numberOf = (name: string): number => Number.parseInt(name, 10)

/** A file that went away meanwhile is one that is not whole. */
const bytesOf = (path: string, name: string): Promise<Buffer> =>
  readFile(join(path, name)).catch((error) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0)
    throw error
  })
