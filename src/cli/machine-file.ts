/** A machine of the user's, out of a file of theirs. Whatever is wrong with it is said in words. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { AnyStateMachine } from 'xstate'
import { HoldfastError, textOf } from '../error.ts'

/**
 * The XState 5 machine that a module exports under a name. Runs the module.
 * Rejects with HoldfastError `bad-option` if there is no such file, module, export or machine.
 */
export const machineFrom = async (file: string, name = 'default'): Promise<AnyStateMachine> => {
  const exported = exportsOf(await load(file))
  if (!Object.hasOwn(exported, name)) {
    const names = Object.keys(exported)
    const has = names.length === 0 ? 'It exports nothing.' : `It exports ${names.join(', ')}.`
    const how = name === 'default' ? 'Export the machine as default, or name it: --export NAME.' : ''
    throw bad(`${file} has no export "${name}". ${has} ${how}`.trimEnd())
  }
  const value = exported[name]
  if (isMachine(value)) return value
  throw bad(
    `The export "${name}" of ${file} is ${natureOf(value)}; it must be a machine of XState 5: createMachine(…).`,
  )
}

const bad = (message: string): HoldfastError => new HoldfastError('bad-option', message)

const load = async (file: string): Promise<object> => {
  const path = resolve(file)
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile()) throw bad(`${file} is not a file: give a JavaScript module that exports a machine.`)
  try {
    return await import(pathToFileURL(path).href)
  } catch (error) {
    const isStrange = (error as { code?: unknown } | null)?.code === 'ERR_UNKNOWN_FILE_EXTENSION'
    const why = isStrange ? 'this Node reads JavaScript only (.js, .mjs, .cjs); compile it first' : textOf(error)
    throw bad(`${file} cannot be loaded: ${why}.`)
  }
}

/** What a CommonJS module exports comes as its default, and Node may not know the names in it. */
const exportsOf = (module: object): Readonly<Record<string, unknown>> => {
  const { default: inner } = module as { default?: unknown }
  const all = { ...module, ...(isPlain(inner) && inner) }
  return Object.fromEntries(Object.entries(all).filter(([name]) => name !== '__esModule' && name !== 'module.exports'))
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype

interface Suspect {
  readonly __xstatenode?: unknown
  readonly root?: unknown
  readonly getInitialSnapshot?: unknown
  readonly logic?: unknown
}

/** By its shape, as it comes from the user's own copy of XState. */
const isMachine = (value: unknown): value is AnyStateMachine => {
  if (typeof value !== 'object' || value === null) return false
  const { root, getInitialSnapshot } = value as Suspect
  return typeof root === 'object' && typeof getInitialSnapshot === 'function'
}

const natureOf = (value: unknown): string => {
  if (typeof value === 'function') return 'a function'
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined'
  const { __xstatenode, getInitialSnapshot, logic } = value as Suspect
  if (isMachine(logic)) return 'an actor, whose machine is wanted'
  if (__xstatenode === true) return 'a machine of XState 4'
  return typeof getInitialSnapshot === 'function' ? 'logic without states' : 'an object that is no machine'
}
