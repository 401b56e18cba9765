/** Somebody else's project, with holdfast as it would come from the registry: packed, unpacked, nothing linked. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
export const manifest: {
  readonly name: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, unknown>>
} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Every name that can be imported: `holdfast`, `holdfast/onebot` and so on. */
export const entries = Object.keys(manifest.exports)
  .filter((subpath) => subpath !== './package.json')
  .map((subpath) => manifest.name + subpath.slice(1))

export interface Consumer {
  readonly node: (flags: readonly string[], code: string) => string
  readonly compile: (options: CompileOptions) => string
  readonly remove: () => void
}

export interface CompileOptions {
  readonly module: 'node16' | 'nodenext'
  readonly exactOptionalPropertyTypes: boolean
  /** File name -> source. */
  readonly files: Readonly<Record<string, string>>
}

export const makeConsumer = (): Consumer => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-consumer-'))
  install(folder)
  return {
    node: (flags, code) =>
      execFileSync(process.execPath, [...flags, '--eval', code], { cwd: folder, encoding: 'utf8', stdio: 'pipe' }),
    compile: (options) => compile(folder, options),
    remove: () => rmSync(folder, { recursive: true }),
  }
}

const install = (folder: string): void => {
  const setup = "import { ensureBuild } from './scripts/setup.mjs'; ensureBuild()"
  execFileSync(process.execPath, ['--input-type=module', '--eval', setup], { cwd: root, stdio: 'pipe' })
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    cwd: root,
    stdio: 'pipe',
  })
  const modules = join(folder, 'node_modules')
  const home = join(modules, manifest.name)
  mkdirSync(home, { recursive: true })
  execFileSync('sh', ['-c', `tar -xzf ./*.tgz -C '${home}' --strip-components=1`], { cwd: folder, stdio: 'pipe' })
  // What npm would install beside it: the dependencies and nothing more, and Node's types, which the project has itself.
  for (const name of [...Object.keys(manifest.dependencies), '@types']) {
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true }))
}

/** Returns what the compiler has to complain about. */
const compile = (folder: string, { module, exactOptionalPropertyTypes, files }: CompileOptions): string => {
  for (const [name, source] of Object.entries(files)) writeFileSync(join(folder, name), source)
  const compilerOptions = {
    module,
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    exactOptionalPropertyTypes,
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: Object.keys(files) }))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  return spawnSync(process.execPath, [compiler, '-p', '.'], { cwd: folder, encoding: 'utf8' }).stdout
}
