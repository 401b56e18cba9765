/** Whether the whole laboratory can run here. Where it cannot, its tests are left out, with the reason in their names. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe } from 'vitest'
import { tryNamespace } from './namespaces.ts'

export interface LabAvailability {
  readonly full: boolean
  /** In plain words, where it is not. */
  readonly why?: string
}

let known: LabAvailability | undefined

export const labAvailability = (): LabAvailability => {
  if (!known) {
    const why = whyNot()
    known = why === undefined ? { full: true } : { full: false, why }
  }
  return known
}

const whyNot = (): string | undefined => {
  if (process.platform !== 'linux') return 'it needs Linux'
  if (process.getuid?.() !== 0) return 'it needs root'
  const missing = ['ip', 'python3', 'openssl'].filter((command) => !onPath(command))
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`
  if (!may('/dev/net/tun', constants.R_OK | constants.W_OK)) return 'there is no /dev/net/tun'
  return tryNamespace()
}

const onPath = (command: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && may(join(folder, command)))

const may = (path: string, mode = constants.X_OK): boolean => {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

/** `describe` for tests that need namespaces. */
export const describeInLab = (title: string, body: () => void): void => {
  const { full, why } = labAvailability()
  if (full) describe(title, body)
  else describe.skip(`${title} (the laboratory cannot run here: ${why})`, body)
}
