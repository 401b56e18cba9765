/** The files of the project, as the house rules look at them. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

export const read = (path: string): string => readFileSync(join(root, path), 'utf8')

/** All files under a folder, as paths from the root of the project; what is installed or hidden is not ours. */
export const filesUnder = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true })
    .filter(({ name }) => name !== 'node_modules' && !name.startsWith('.'))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`
      return entry.isDirectory() ? filesUnder(path) : [path]
    })

export const sourcesUnder = (folder: string): string[] => filesUnder(folder).filter((path) => /\.[cm]?tsx?$/.test(path))

/** What a file does, without what it says about it. */
export const codeOf = (path: string): string =>
  read(path)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '$1')

const targetsIn = (path: string, code: string): string[] =>
  [...code.matchAll(/\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g)]
    .map((match) => match[1]!)
    .map((target) => (target.startsWith('.') ? normalize(join(dirname(path), target)) : target))

/** What a file imports or exports on, statically or not: packages by name, our own files by their path from the root. */
export const importsOf = (path: string): string[] => targetsIn(path, codeOf(path))

/** The same without what is imported as a type only, which leaves no trace at run time. */
export const runtimeImportsOf = (path: string): string[] =>
  targetsIn(path, codeOf(path).replace(/\b(?:import|export) type [^'"]*['"][^'"]*['"]/g, ''))
