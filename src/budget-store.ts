/**
 * Where a budget is kept between runs, shared by the processes of one machine: a port, a store in memory, and the
 * default, one small JSON file per key.
 *
 * The file is replaced as a whole (written beside it, synced, renamed), under a lock file that is made exclusively. A
 * bot dies in every way there is, so the lock must not outlive its owner: the lock names its process, and
 *
 * - an owner that is known to be dead (gone, a zombie, or its number given to another process) loses the lock at once;
 * - an owner that is known to live keeps it, however long that takes: others give up after 2 s with an error;
 * - an owner that cannot be judged (another container or boot, a lock file that is half written) loses it after 1 s
 *   without change. It looks once more before its rename, so it notices, and changes nothing.
 *
 * Age is what the waiting process has seen by its own monotonic clock: the dates of files follow a wall clock that may
 * have been set.
 */
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { type Clock, realClock } from './clock.ts'
import { HoldfastError, isHoldfastError } from './error.ts'

export interface BudgetStore {
  /**
   * Reads what is kept under a key, changes it and keeps the result, in one step that nobody who shares the store can
   * get in between. `change` gets `undefined` where nothing was kept yet and `null` where something was that cannot be
   * read; it is called once at most, without waiting. Resolves when the new state will survive the process; rejects if
   * it was not kept.
   */
  update<T>(key: string, change: (stored: unknown) => [next: object, result: T]): Promise<T>
}

/** Kept by this process alone, and gone with it: for tests, and for peers without a daily limit. */
export const memoryBudgetStore = (): BudgetStore => {
  const kept = new Map<string, unknown>()
  return {
    update: async (key, change) => {
      const [next, result] = change(kept.get(key))
      kept.set(key, next)
      return result
    },
  }
}

/** From the attempt to take the lock until it is given up, in milliseconds. */
const LOCK_DEADLINE_MS = 2_000
/** An owner that cannot be judged loses a lock that has not changed for so long. */
const UNJUDGED_MS = 1_000
/** A waiting process looks again at least so often … */
const LOOK_AGAIN_MS = 4
/** … and one that had the lock stays away for longer, so that two busy processes take turns. */
const TURN_MS = 6
/** A file that is bigger was not written by us: 100,000 starts take less. */
const FILE_BYTES_MAX = 8 * 1024 * 1024

/**
 * The folder of the user's programs for what must survive a restart: `$XDG_STATE_HOME/holdfast` or
 * `~/.local/state/holdfast`, and `%LOCALAPPDATA%\holdfast` on Windows. In a container, mount it.
 */
export const defaultBudgetDir = (): string => {
  const { XDG_STATE_HOME, LOCALAPPDATA } = process.env
  const base = process.platform === 'win32' ? LOCALAPPDATA : XDG_STATE_HOME
  return join(base || join(homedir(), '.local', 'state'), 'holdfast')
}

/**
 * Keeps each key in a file of its own in `dir`, which is made if it is missing. File names are hashes, because a key
 * may hold a token; files have mode 0600. Processes of one machine that use the same folder share the budget. To forget
 * a budget, delete its file.
 *
 * `update` rejects with HoldfastError `store-failed` if another process keeps the lock for 2 s or took it from us, and if
 * the folder cannot be used (no permission, disk full): then `cause` has the error of the system. Nothing was changed.
 */
export const fileBudgetStore = (
  dir = defaultBudgetDir(),
  { clock = realClock }: { clock?: Clock } = {},
): BudgetStore => {
  const shelves = new Map<string, ReturnType<typeof shelf>>()
  return {
    update: (key, change) => {
      const path = join(dir, `budget-${digest(key, 32)}.json`)
      const own = shelves.get(path) ?? shelf(path, clock)
      shelves.set(path, own)
      return own(change)
    },
  }
}

interface Waiting {
  readonly change: (stored: unknown) => [object, unknown]
  readonly resolve: (result: never) => void
  readonly reject: (error: unknown) => void
}

/** One file. Changes that come while it is busy are made together, so a thousand links cost two writes. */
const shelf = (path: string, clock: Clock) => {
  const waiting: Waiting[] = []
  let busy = false
  let releasedAt = Number.NEGATIVE_INFINITY

  const work = async () => {
    busy = true
    while (waiting.length > 0) {
      try {
        await pause(clock, releasedAt + TURN_MS - clock.now())
        await changeAll(path, clock, waiting)
      } catch (error) {
        // whoever came in the meantime would wait for the same lock: nobody waits twice
        for (const each of waiting.splice(0)) each.reject(classified(error, path))
      }
      releasedAt = clock.now()
    }
    busy = false
  }

  return <T>(change: (stored: unknown) => [object, T]): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      waiting.push({ change, resolve, reject })
      if (!busy) void work()
    })
}

const changeAll = async (path: string, clock: Clock, waiting: Waiting[]): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const lock = `${path}.lock`
  const nonce = await acquire(lock, clock, clock.now() + LOCK_DEADLINE_MS)
  try {
    let state = await readKept(path)
    const batch = waiting.slice()
    const settled = batch.map(({ change, resolve, reject }) => {
      try {
        const [next, result] = change(state)
        state = next
        return () => resolve(result as never)
      } catch (error) {
        return () => reject(error)
      }
    })
    await replace(path, state, nonce, () => markOf(lock) === nonce)
    waiting.splice(0, batch.length)
    for (const settle of settled) settle()
  } finally {
    release(lock, nonce)
  }
}

/** `undefined`: there is none. `null`: there is one that is not ours, or not whole. */
const readKept = async (path: string): Promise<unknown> => {
  try {
    const found = await stat(path)
    // reading a pipe could wait for ever
    if (!found.isFile() || found.size > FILE_BYTES_MAX) return null
    const { check, state } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
    return state !== undefined && check === digest(JSON.stringify(state), 16) ? state : null
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    // not JSON, or JSON that is no object
    if (error instanceof SyntaxError || error instanceof TypeError) return null
    throw error
  }
}

const replace = async (path: string, state: unknown, nonce: string, stillOurs: () => boolean): Promise<void> => {
  const beside = besideOf(path, nonce)
  try {
    const file = await open(beside, 'wx', 0o600)
    try {
      await file.writeFile(JSON.stringify({ check: digest(JSON.stringify(state), 16), state }))
      await file.sync()
    } finally {
      await file.close()
    }
    if (!stillOurs()) throw new HoldfastError('store-failed', lostMessage(path))
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
}

const besideOf = (path: string, nonce: string): string => `${path}.${nonce}.tmp`

const digest = (text: string, length: number): string =>
  createHash('sha256').update(text).digest('hex').slice(0, length)

/** Who holds a lock: `domain` says within which world `pid` and `start` mean something. */
interface Owner {
  readonly nonce: string
  readonly pid: number
  readonly start: string
  readonly domain: string
}

interface Found {
  /** Tells this lock from the next one under the same name. */
  readonly mark: string
  readonly owner: Owner | undefined
}

/** Takes a lock and returns its mark, or throws `store-failed` when the deadline (by `clock.now()`) has passed. */
const acquire = async (path: string, clock: Clock, deadlineAt: number): Promise<string> => {
  let seen: { mark: string; since: number } | undefined
  for (;;) {
    const nonce = tryLock(path)
    if (nonce !== undefined) return nonce
    const found = lookAt(path)
    if (found) {
      if (seen?.mark !== found.mark) seen = { mark: found.mark, since: clock.now() }
      const verdict = judge(found.owner)
      const stale = verdict === 'unknown' && clock.now() - seen.since >= UNJUDGED_MS
      if (verdict === 'dead' || stale) await breakLock(path, found, clock, deadlineAt)
    }
    if (clock.now() >= deadlineAt) throw new HoldfastError('store-failed', heldMessage(path, found?.owner))
    await pause(clock, 1 + (LOOK_AGAIN_MS - 1) * clock.random())
  }
}

const heldMessage = (path: string, owner: Owner | undefined): string => {
  const who = owner ? `process ${owner.pid}` : 'an unknown process'
  const what = `The budget file is in use: ${who} has kept ${path} for ${LOCK_DEADLINE_MS} ms.`
  return `${what} ${NOTHING_RESERVED} Ask again later; if that process hangs, end it, and its lock goes with it.`
}

const lostMessage = (path: string): string =>
  `The lock of the budget file ${path} was taken from us, because this process stood still with it for more than ` +
  `${UNJUDGED_MS} ms. ${NOTHING_RESERVED} Ask again.`

const NOTHING_RESERVED = 'No session start was reserved.'

/**
 * Two processes that both find a dead owner must not both remove "the" lock: the second would remove the first one's
 * new lock. So who breaks a lock holds a lock on breaking that very one, and looks again; it may itself be left by a
 * process that was killed, and is then broken in the same way.
 */
const breakLock = async (path: string, found: Found, clock: Clock, deadlineAt: number): Promise<void> => {
  const guard = `${path}.${found.mark}`
  const nonce = await acquire(guard, clock, deadlineAt)
  try {
    if (markOf(path) !== found.mark) return
    fs.rmSync(besideOf(path.replace(/\.lock$/, ''), found.mark), { force: true })
    fs.rmSync(path, { force: true })
  } finally {
    release(guard, nonce)
  }
}

const tryLock = (path: string): string | undefined => {
  const nonce = randomBytes(8).toString('hex')
  let file: number
  try {
    file = fs.openSync(path, 'wx', 0o600)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return undefined
    throw error
  }
  try {
    fs.writeSync(file, JSON.stringify({ nonce, pid: process.pid, start: startOf(process.pid), domain: ownDomain() }))
  } catch (error) {
    fs.rmSync(path, { force: true })
    throw error
  } finally {
    fs.closeSync(file)
  }
  return nonce
}

const release = (path: string, nonce: string): void => {
  if (markOf(path) === nonce) fs.rmSync(path, { force: true })
}

const markOf = (path: string): string | undefined => lookAt(path)?.mark

const OWNER_BYTES_MAX = 512

const lookAt = (path: string): Found | undefined => {
  let file: number
  try {
    file = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const { ino, mtimeMs } = fs.fstatSync(file)
    const bytes = Buffer.alloc(OWNER_BYTES_MAX)
    const owner = ownerFrom(bytes.toString('utf8', 0, fs.readSync(file, bytes, 0, OWNER_BYTES_MAX, 0)))
    return { mark: owner?.nonce ?? `${ino}-${Math.floor(mtimeMs)}`, owner }
  } finally {
    fs.closeSync(file)
  }
}

const ownerFrom = (text: string): Owner | undefined => {
  try {
    const { nonce, pid, start, domain } = JSON.parse(text) as Record<string, unknown>
    if (typeof nonce !== 'string' || !/^[0-9a-f]{16}$/.test(nonce)) return undefined
    if (typeof pid !== 'number' || !Number.isInteger(pid) || pid <= 0) return undefined
    return { nonce, pid, start: String(start), domain: String(domain) }
  } catch {
    return undefined
  }
}

const UNKNOWN = ''
const GONE = 'gone'

const judge = (owner: Owner | undefined): 'alive' | 'dead' | 'unknown' => {
  if (owner === undefined || owner.domain !== ownDomain()) return 'unknown'
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    // EPERM: it is there, and belongs to another user
    if (codeOf(error) === 'ESRCH') return 'dead'
  }
  const start = startOf(owner.pid)
  if (start === UNKNOWN || owner.start === UNKNOWN) return 'unknown'
  return start === owner.start ? 'alive' : 'dead'
}

/** When a process was started, in ticks since the boot: numbers of processes come again, in containers always. */
const startOf = (pid: number): string => {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    // the command's name stands in brackets and may have spaces in it; state and start are the 3rd and the 22nd field
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? GONE : (fields[19] ?? UNKNOWN)
  } catch {
    return UNKNOWN
  }
}

let domain: string | undefined

/** One boot of one machine, and one container of it; where the system does not tell, the host's name. */
const ownDomain = (): string => {
  if (domain !== undefined) return domain
  try {
    const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    domain = `${boot} ${fs.readlinkSync('/proc/self/ns/pid')}`
  } catch {
    domain = hostname()
  }
  return domain
}

const pause = (clock: Clock, ms: number): Promise<void> =>
  ms > 0 ? new Promise((resolve) => clock.setTimeout(resolve, ms)) : Promise.resolve()

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException | undefined)?.code

const classified = (error: unknown, path: string): unknown => {
  if (isHoldfastError(error)) return error
  const reason = codeOf(error) ?? 'an unknown error'
  const what = `The budget cannot be kept: ${reason} at ${path}. ${NOTHING_RESERVED}`
  return new HoldfastError('store-failed', `${what} ${adviceFor(reason)}`, { cause: error })
}

const adviceFor = (reason: unknown): string => {
  if (reason === 'ENOSPC' || reason === 'EDQUOT') return 'Make room on that disk.'
  if (reason === 'EMFILE' || reason === 'ENFILE') return 'Raise the limit of open files (ulimit -n).'
  return 'This process must be able to write there; another folder is named with fileBudgetStore(dir).'
}
