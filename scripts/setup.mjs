/**
 * What has to be there before anything else can run: dependencies, the build, commands of the system. Node's own
 * modules only, as this runs when nothing is installed. Every message goes to stderr: stdout belongs to what is started.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const scratch = join(root, 'node_modules/.cache/holdfast')

/** A failure that has been explained to the reader in plain words: no stack trace is wanted. */
export class SetupError extends Error {}

const say = (line) => console.error(`holdfast: ${line}`)

/** Runs a command with its output on stderr and no stdin, so that nothing can wait for an answer. */
const run = (command, args, options = {}) => {
  const { error, status, signal } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options })
  return { ok: status === 0, why: error?.message ?? (signal ? `it was ended by ${signal}` : `exit code ${status}`) }
}

// Dependencies

/**
 * Installs exactly what the lockfile says, unless that is what is there. The contents are compared and not the dates: a
 * fresh checkout gives the lockfile a new date, and an interrupted install leaves a folder that is new and incomplete.
 */
export const ensureDependencies = (folder = root) => {
  if (installed(folder)) return
  const where = folder === root ? '' : ` of ${folder.slice(root.length + 1)}`
  say(`installing the dependencies${where} (npm ci)`)
  const { ok, why } = run('npm', [
    'ci',
    '--no-audit',
    '--no-fund',
    '--no-progress',
    '--loglevel',
    'error',
    '--prefix',
    folder,
  ])
  if (ok) return
  throw new SetupError(
    `The dependencies${where} could not be installed: npm ci failed, ${why}; its own words are above. If it could not ` +
      'reach the npm registry, check the network and the proxy settings of npm, then run the same command again.',
  )
}

const installed = (folder) => {
  const wanted = packagesIn(join(folder, 'package-lock.json'))
  const present = packagesIn(join(folder, 'node_modules/.package-lock.json'))
  if (!wanted || !present) return false
  // A package for another platform is in the lockfile, and never in the folder.
  return Object.entries(wanted).every(([path, { version, integrity, optional, peer }]) => {
    if (path === '') return true
    const found = present[path]
    return found ? found.version === version && found.integrity === integrity : Boolean(optional || peer)
  })
}

const packagesIn = (lockfile) => {
  try {
    return JSON.parse(readFileSync(lockfile, 'utf8')).packages
  } catch {
    return undefined
  }
}

/** The file behind a command of an installed package; started with Node it needs no shell and no npx. */
export const binOf = (name, command = name) => {
  const { bin } = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'))
  return join(root, 'node_modules', name, typeof bin === 'string' ? bin : bin[command])
}

// The build

const sources = ['src', 'machines', 'visualizer', 'tsdown.config.ts', 'tsconfig.json', 'package.json']
const outputs = [
  'dist/index.mjs',
  'dist/index.cjs',
  'dist/index.d.mts',
  'dist/index.d.cts',
  'dist/inspect.mjs',
  'dist/cli.mjs',
  'dist/visualizer/page.js',
]

/** Builds unless every output is there and newer than every source. */
export const ensureBuild = () => {
  const built = Math.min(
    ...outputs.map((path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0)),
  )
  if (built > Math.max(...sources.map((path) => newest(join(root, path))))) return
  build()
}

/** What the command `tsdown` does, which begins by telling the users of Node 20 that they should not be. */
const library = "const { build } = await import('tsdown'); await build({ logLevel: 'error' })"

export const build = () => {
  say('building dist (tsdown, and vite for the page)')
  const steps = [
    ['--input-type=module', '--eval', library],
    [binOf('vite'), 'build', '-c', 'visualizer/vite.config.ts'],
  ]
  for (const step of steps) {
    const { ok, why } = run(process.execPath, step)
    if (!ok) throw new SetupError(`The build failed, ${why}: see the messages above.`)
  }
}

const newest = (path) => {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  // The folder's own date counts too: it changes when a file in it goes away.
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

/** In a bundle too a module of ours finds its own files by where its source stands. */
const ownPlace = {
  name: 'own-place',
  transform: (code, id) =>
    id.endsWith('.ts') && !id.includes('node_modules') && code.includes('import.meta.url')
      ? code.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(id).href))
      : undefined,
}

/** Loads a TypeScript module of this repository. Node 20 cannot do so itself; the bundler that we have anyway can. */
export const loadTypeScript = async (path) => import(await bundleTypeScript(path))

/** The URL of a TypeScript module of this repository, as a module that Node can load. */
export const bundleTypeScript = async (path) => {
  const { build: bundle } = await import('tsdown')
  const name = path.replace(/\.ts$/, '').replaceAll('/', '-')
  await bundle({
    cwd: root,
    config: false,
    entry: { [name]: path },
    outDir: scratch,
    clean: false,
    format: 'esm',
    platform: 'node',
    fixedExtension: true,
    dts: false,
    // It finds its own files by where it stands.
    deps: { neverBundle: ['playwright-core'] },
    plugins: [ownPlace],
    logLevel: 'error',
  })
  return pathToFileURL(join(scratch, `${name}.mjs`)).href
}

// The system

/**
 * Makes commands of the system available where that can be done without asking anybody: as root, with apt-get.
 * Returns those that are there, and one line for each that is not; what needs them is then left out, openly.
 *
 * @param {{ command: string, package: string, for: string }[]} wanted
 */
export const ensureSystemPackages = (wanted) => {
  const missing = wanted.filter(({ command }) => !onPath(command))
  const why = missing.length > 0 ? install(missing) : undefined
  const leftOut = wanted
    .filter(({ command }) => !onPath(command))
    .map((entry) => `${entry.for}: ${entry.command} is not installed (${why})`)
  for (const line of leftOut) say(`left out: ${line}`)
  return { available: wanted.map(({ command }) => command).filter(onPath), leftOut }
}

/** Returns why a package may still be missing afterwards. */
const install = (missing) => {
  const names = missing.map((entry) => entry.package)
  const byHand = `apt-get install ${names.join(' ')}, or the like`
  if (!onPath('apt-get')) return 'no apt-get here; install it by hand'
  if (process.getuid?.() !== 0) return `that needs root: ${byHand}`
  say(`installing ${names.join(', ')} (apt-get)`)
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  // An update that fails for one source need not be the end: the package may be known already.
  run('apt-get', ['update', '-qq'], options)
  const { ok, why } = run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], options)
  return ok ? 'the package does not bring the command' : `apt-get failed, ${why}`
}

export const onPath = (command) =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && executable(join(folder, command)))

const executable = (path) => {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Runs a script to its end; an explained failure is told in its own words. */
export const main = async (body) => {
  try {
    process.exitCode = (await body()) ?? process.exitCode
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    process.exitCode = 1
  }
}
