/**
 * Programs for a namespace are TypeScript like the rest, and Node 20 does not run that: the bundler that we have anyway
 * makes one file of each, once for each process of tests. A program that brings in a module of src/ thereby runs it as
 * it is now, and not as it was when dist/ was built.
 */
import { basename, join, resolve } from 'node:path'
import { ownFolder, root } from './owner.ts'

const programs = join(root, 'test/lab/programs')

const bundles = new Map<string, Promise<string>>()

/**
 * The file to start for a program: its name in test/lab/programs, or a path from the top of the repository. What is
 * JavaScript already is started as it is.
 */
export const runnable = (program: string): Promise<string> => {
  const path = program.includes('/') ? resolve(root, program) : join(programs, `${program}.ts`)
  if (!path.endsWith('.ts')) return Promise.resolve(path)
  const known = bundles.get(path) ?? bundle(path)
  bundles.set(path, known)
  return known
}

const bundle = async (path: string): Promise<string> => {
  const { build } = await import('tsdown')
  // Several test processes may bundle the same program at once: each has a folder of its own.
  const outDir = ownFolder()
  const name = `${basename(path, '.ts')}-${bundles.size}`
  await build({
    cwd: root,
    config: false,
    entry: { [name]: path },
    outDir,
    clean: false,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    fixedExtension: true,
    dts: false,
    logLevel: 'error',
  })
  return join(outDir, `${name}.mjs`)
}
