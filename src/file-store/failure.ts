/** What went wrong with the files of a store: whether they are damaged, and else what a person can do. */
import { HoldfastError, isHoldfastError } from '../error.ts'

interface Trouble {
  readonly code: string
  readonly text: string
}

/** What was wrong at the bottom: the package wraps the error of the database in one of its own. */
const bottomOf = (error: unknown): Trouble => {
  const { code = '', message = '', cause } = (error ?? {}) as { code?: string; message?: string; cause?: unknown }
  return cause instanceof Error ? bottomOf(cause) : { code: String(code), text: String(message) }
}

/** A file that is not there, or shorter than another one says. */
const DISAGREE = /No such file|Not a directory|Is a directory|Invalid argument|cannot find the (file|path)/i

/** The files contradict each other or themselves: what can be read must be rescued, and trying again will not help. */
export const isDamage = (error: unknown): boolean => {
  const { code, text } = bottomOf(error)
  return code === 'LEVEL_CORRUPTION' || (code === 'LEVEL_IO_ERROR' && DISAGREE.test(text))
}

export const isLocked = (error: unknown): boolean => bottomOf(error).code === 'LEVEL_LOCKED'

/** By the system's code, or by its words, which is all that LevelDB passes on. */
const REASONS: readonly (readonly [code: string, words: RegExp, advice: string])[] = [
  ['ENOSPC', /No space left|not enough space/i, 'The disk is full: make room.'],
  ['EDQUOT', /quota exceeded/i, 'The quota of this user is used up: make room.'],
  ['EACCES', /Permission denied|Access is denied/i, 'This process must be able to read and write there.'],
  ['EPERM', /Operation not permitted/i, 'This process must be able to read and write there.'],
  ['EROFS', /Read-only file system/i, 'The file system is read-only: choose another folder.'],
  ['EIO', /Input\/output error/i, 'The disk reports errors: save what is on it, and replace it.'],
  ['EMFILE', /Too many open files/i, 'This process has too many files open: raise its limit (ulimit -n).'],
  ['EEXIST', /file already exists/i, 'There is a file of that name: choose another folder.'],
  ['ENOTDIR', /not a directory/i, 'There is a file in its path: choose another folder.'],
]

/** A `store-failed` that says what, where, why and what to do. What is one of ours already stays as it is. */
export const failureOf = (error: unknown, dir: string): HoldfastError => {
  if (isHoldfastError(error)) return error
  const { code, text } = bottomOf(error)
  const [why, advice] = reasonFor(code, text)
  return new HoldfastError('store-failed', `The store in ${dir} cannot be used (${why}). ${advice}`, { cause: error })
}

const reasonFor = (code: string, text: string): readonly [why: string, advice: string] => {
  if (code === 'LEVEL_LOCKED') {
    const ours = /already held by process/.test(text)
    if (ours) return ['it is open already', 'Another store of this process has it open: use that one.']
    return ['it is locked', 'Another process has it open: stop that one, or give each process a folder of its own.']
  }
  const known = REASONS.find(([name, words]) => name === code || words.test(text))
  if (known) return [known[0], known[2]]
  return [code || 'an unknown error', 'The cause of this error has the words of the system.']
}
