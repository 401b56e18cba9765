/** Names that tell whose a thing is, so that a later run can tell what a crash has left from what is in use. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const cache = join(root, 'node_modules/.cache/holdfast/lab')

/** All that the laboratory puts into the system is named with this, and nothing else is. */
export const PREFIX = 'hflab'

/** Unique: process, the moment of its start (process ids come again), and dice for several threads of one process. */
export const ownName = (): string =>
  [PREFIX, process.pid, startOf(process.pid) ?? UNKNOWN, randomBytes(3).toString('hex')].join('-')

/** Whether the process behind a name is still there; undefined for a name that is not one of ours. */
export const aliveOwner = (name: string): boolean | undefined => {
  const [prefix, pid, start] = name.split('-')
  if (prefix !== PREFIX || !pid || !start) return undefined
  return start === UNKNOWN ? exists(Number(pid)) : startOf(Number(pid)) === start
}

/** Stands for the start of a process where there is no /proc to tell it. */
const UNKNOWN = '0'

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** In ticks since the machine was started; undefined where there is no such process or no /proc. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command's name stands in brackets and may have spaces in it; the 22nd field is the 20th after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

let folder: string | undefined

/**
 * Where this process puts its files. A test process is often ended by a signal, and then nothing can be taken away at
 * its end: the next one does it.
 */
export const ownFolder = (): string => {
  if (folder !== undefined) return folder
  mkdirSync(cache, { recursive: true })
  for (const name of readdirSync(cache).filter((entry) => aliveOwner(entry) === false))
    rmSync(join(cache, name), { recursive: true, force: true })
  const own = join(cache, ownName())
  mkdirSync(own)
  process.once('exit', () => rmSync(own, { recursive: true, force: true }))
  folder = own
  return own
}
