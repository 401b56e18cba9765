/**
 * What one process leaves to its successor, so that the new one goes on where the old one was: the session and the
 * messages that are not delivered yet, in a file.
 *
 * The file holds credentials and texts of people, so it has mode 0600, lives for one reading, and is not believed if
 * others could have written it. Its first line says what it is and seals the second, which has the content.
 */
import { createHash, randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, type Session } from './adapter/adapter.ts'
import { HoldfastError, isHoldfastError, textOf } from './error.ts'

export interface HandOver {
  readonly version: 1
  /** The name of the adapter. */
  readonly adapter: string
  /** The id of the link. */
  readonly id: string
  /** When it was made, in milliseconds since 1970. */
  readonly at: number
  readonly session: Session
  /** What was accepted and not delivered, the oldest first. */
  readonly outbox: readonly HandedMessage[]
  readonly budget?: unknown
}

export interface HandedMessage {
  readonly key: string
  /** Plain data, as JSON can carry it. */
  readonly message: unknown
  /** In milliseconds since 1970. */
  readonly expiresAt: number
  readonly conversation?: string
  readonly coalesceKey?: string
  readonly idempotent: boolean
}

const BYTES_MAX = 64 * 1024 * 1024
const KIND = 'hand-over'
/** How every file of ours begins, whatever became of the rest of it. */
const BEGINNING = `{"holdfast":"${KIND}"`

/**
 * Writes it as a whole or not at all, with mode 0600; a file that is there is replaced. The folder is made if it is
 * missing. Rejects with HoldfastError `bad-option` if it is no hand-over, and with `store-failed` if it cannot be kept;
 * `cause` has the error of the system.
 */
export const saveHandOver = async (file: string, handOver: HandOver): Promise<void> => {
  checkFile(file)
  const content = JSON.stringify(checkHandOver(handOver))
  const text = `${JSON.stringify({ holdfast: KIND, check: digest(content) })}\n${content}\n`
  const bytes = Buffer.byteLength(text)
  if (bytes > BYTES_MAX) throw notKept(file, `it has ${bytes} bytes, and at most ${BYTES_MAX} are read`)
  const beside = besideOf(file)
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    const opened = await open(beside, 'wx', 0o600)
    try {
      await opened.writeFile(text)
      await opened.sync()
    } finally {
      await opened.close()
    }
    await rename(beside, file)
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined)
    throw notKept(file, codeOf(error), error)
  }
}

const notKept = (file: string, why: string, cause?: unknown): HoldfastError =>
  new HoldfastError('store-failed', `The hand-over ${file} could not be kept: ${why}.`, { cause })

/**
 * Takes a hand-over: the file is gone before this resolves, so that of two successors one alone goes on with it.
 * Resolves to undefined if there is none, or none that can be used; then `warn` is told why, without what is in it.
 * It rejects with HoldfastError `bad-option` if `file` is no path, and never for what it finds there.
 *
 * One of ours that is damaged, too big or of another version is deleted: it holds credentials, and nobody will ever
 * read it. What is not ours, or does not belong to this user alone, is left as it is: a slip in the path must not
 * cost anybody a file, and whoever trusts it can set its mode.
 */
export const loadHandOver = async (
  file: string,
  { warn = warnOnConsole }: { warn?: (message: string) => void } = {},
): Promise<HandOver | undefined> => {
  checkFile(file)
  let isTaken = false
  try {
    await refuseStrange(file)
    const text = await take(file, () => {
      isTaken = true
    })
    return unseal(text)
  } catch (error) {
    // the other successor was faster, or there never was one
    if (!isTaken && codeOf(error) === 'ENOENT') return undefined
    const why = isHoldfastError(error) || error instanceof Unusable ? error.message : codeOf(error)
    warn(`The hand-over ${file} is not used and was ${isTaken ? 'deleted' : 'left as it is'}: ${why}`)
    return undefined
  }
}

const warnOnConsole = (message: string): void => process.emitWarning(message, 'HoldfastWarning')

class Unusable extends Error {}

/** Only a look: nothing is changed, and no content is believed. */
const refuseStrange = async (file: string): Promise<void> => {
  // a link is not followed: what it leads to would stay when it is taken
  const found = await lstat(file)
  if (!found.isFile()) throw new Unusable('it is not a regular file.')
  refuseExposed(found)
  const opened = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const bytes = Buffer.alloc(BEGINNING.length)
    await opened.read(bytes, 0, bytes.length, 0)
    if (bytes.toString('latin1') !== BEGINNING) throw new Unusable('it is not one of ours.')
  } finally {
    await opened.close()
  }
}

const refuseExposed = ({ mode, uid }: Stats): void => {
  if (process.platform === 'win32') return
  if (uid !== process.getuid?.()) throw new Unusable('it belongs to another user.')
  const exposed = mode & 0o077
  if (exposed === 0) return
  const octal = (mode & 0o777).toString(8).padStart(4, '0')
  throw new Unusable(`its mode is ${octal}, so others could read or change it. If you trust it, set the mode to 0600.`)
}

/** Of all who try, one gets it: a name can be moved away only once. Then it is deleted, and read from the open file. */
const take = async (file: string, taken: () => void): Promise<string> => {
  const beside = besideOf(file)
  await rename(file, beside)
  taken()
  try {
    const opened = await open(beside, 'r')
    try {
      await rm(beside)
      const found = await opened.stat()
      refuseExposed(found)
      if (found.size > BYTES_MAX) throw new Unusable(`it has ${found.size} bytes, and at most ${BYTES_MAX} are read.`)
      return await opened.readFile('utf8')
    } finally {
      await opened.close()
    }
  } finally {
    await rm(beside, { force: true })
  }
}

const unseal = (text: string): HandOver => {
  const end = text.indexOf('\n')
  const content = text.slice(end + 1, -1)
  const seal = `${JSON.stringify({ holdfast: KIND, check: digest(content) })}\n`
  if (text.slice(0, end + 1) !== seal || !text.endsWith('\n')) throw new Unusable('it is damaged.')
  try {
    return checkHandOver(JSON.parse(content))
  } catch (error) {
    throw isHoldfastError(error) ? error : new Unusable('it is not JSON.')
  }
}

/**
 * The same value if it is a hand-over; otherwise throws HoldfastError `bad-option`, which names the part that is wrong
 * and does not repeat it.
 */
export const checkHandOver = (value: unknown): HandOver => {
  const given = objectAt('the hand-over', value)
  const { version, adapter, id, at, session, outbox, budget } = given
  if (version !== 1) throw wrong('version', version, 'the number 1: it was made by another version of holdfast')
  for (const [name, text] of Object.entries({ adapter, id })) {
    if (typeof text !== 'string' || text === '') throw wrong(name, text, 'a non-empty string')
  }
  checkTime('at', at)
  checkSession(session)
  checkPlain('budget', budget)
  if (!Array.isArray(outbox)) throw wrong('outbox', outbox, 'an array')
  const keys = new Set<unknown>()
  for (const [index, message] of outbox.entries()) {
    const key = checkMessage(`outbox[${index}]`, message)
    if (keys.has(key)) throw wrong(`outbox[${index}].key`, key, 'different from those before it')
    keys.add(key)
  }
  return value as HandOver
}

/** The same value if it is a session; otherwise throws HoldfastError `bad-option`. */
export const checkSession = (session: unknown): Session => {
  const { id, endpoint, cursor } = objectAt('session', session)
  checkText('session.id', id)
  checkText('session.endpoint', endpoint)
  if (cursor === undefined || typeof cursor === 'string' || isFiniteNumber(cursor)) return session as Session
  throw wrong('session.cursor', cursor, 'a string or a number')
}

const checkMessage = (where: string, value: unknown): string => {
  const { key, message, expiresAt, conversation, coalesceKey, idempotent } = objectAt(where, value)
  if (typeof key !== 'string' || key === '') throw wrong(`${where}.key`, key, 'a non-empty string')
  if (message === undefined) throw wrong(`${where}.message`, message, 'plain data')
  checkPlain(`${where}.message`, message)
  checkTime(`${where}.expiresAt`, expiresAt)
  checkText(`${where}.conversation`, conversation)
  checkText(`${where}.coalesceKey`, coalesceKey)
  if (typeof idempotent !== 'boolean') throw wrong(`${where}.idempotent`, idempotent, 'true or false')
  return key
}

const objectAt = (where: string, value: unknown): Record<string, unknown> => {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw wrong(where, value, 'an object')
}

const checkText = (where: string, value: unknown): void => {
  if (value !== undefined && typeof value !== 'string') throw wrong(where, value, 'a string')
}

const isFiniteNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)

const checkTime = (where: string, value: unknown): void => {
  if (!isFiniteNumber(value) || value < 0) throw wrong(where, value, 'milliseconds since 1970')
}

/** Deeper data cannot be walked by everybody (T6). */
const DEPTH_MAX = 64

/** What JSON would change on the way is refused here, and not found out by the successor. */
const checkPlain = (where: string, value: unknown, depth = 0): void => {
  if (value === undefined || value === null || typeof value === 'string' || typeof value === 'boolean') return
  if (isFiniteNumber(value)) return
  if (depth > DEPTH_MAX) throw wrong(where, value, `at most ${DEPTH_MAX} levels deep`)
  const isOwnKind = typeof value === 'object' && (Array.isArray(value) || isPlainObject(value))
  const hasHoles = Array.isArray(value) && value.includes(undefined)
  if (!isOwnKind || hasHoles)
    throw wrong(where, value, 'plain data: texts, numbers, true, false, null, arrays and objects of these')
  for (const part of Object.values(value)) checkPlain(where, part, depth + 1)
}

const isPlainObject = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return false
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

const wrong = (where: string, value: unknown, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `${where} is ${describe(value)}; it must be ${wants}.`)

const checkFile = (file: unknown): void => {
  if (typeof file !== 'string' || file === '') throw wrong('The file of a hand-over', file, 'a path')
}

const besideOf = (file: string): string => `${file}.${randomBytes(8).toString('hex')}.tmp`

const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

const codeOf = (error: unknown): string => {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' ? code : textOf(error)
}
