/** A program of the tests as a file that can be started: a bench is itself a bundle, and lies elsewhere. */
import { basename, join } from 'node:path'

export const programFrom = async (path: string): Promise<string> => {
  const { build } = await import('tsdown')
  const outDir = join(process.cwd(), 'node_modules/.cache/holdfast')
  const name = `bench-${basename(path, '.ts')}`
  await build({
    config: false,
    entry: { [name]: path },
    outDir,
    clean: false,
    format: 'esm',
    platform: 'node',
    fixedExtension: true,
    dts: false,
    logLevel: 'error',
  })
  return join(outDir, `${name}.mjs`)
}
