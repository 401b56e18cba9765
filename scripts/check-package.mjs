/** Checks on package.json and on what would be published. Prints what is wrong, one line each. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, root } from './setup.mjs'

/** Whoever installs holdfast installs these and nothing else; one more needs a written reason, in docs/design.md. */
const allowed = ['eventsource-parser', 'rxjs', 'undici', 'ws', 'xstate']

const dependencies = (manifest) => {
  const names = Object.keys(manifest.dependencies ?? {}).sort()
  const wrong =
    names.join() === allowed.join() ? [] : [`dependencies are ${names.join(', ')}, not ${allowed.join(', ')}`]
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare'].filter((name) => manifest.scripts?.[name])
  return [...wrong, ...hooks.map((name) => `a script runs on install: ${name}`)]
}

const targetsOf = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(targetsOf))

const contents = (manifest) => {
  const { status, stdout, stderr } = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 2 ** 26,
  })
  if (status !== 0) return [`npm pack failed: ${stderr.trim()}`]
  const packed = JSON.parse(stdout)
  const [{ files, unpackedSize }] = Array.isArray(packed) ? packed : Object.values(packed)
  const paths = new Set(files.map(({ path }) => path))
  const promised = [manifest.main, manifest.types, ...targetsOf(manifest.exports), ...targetsOf(manifest.bin)]
  const missing = ['README.md', ...promised.map((path) => path.replace(/^\.\//, ''))].filter((path) => !paths.has(path))
  const stray = [...paths].filter((path) => /^(?:src|test|scripts|machines|node_modules|\.)/.test(path))
  return [
    ...[...new Set(missing)].map((path) => `not in the package: ${path}`),
    ...stray.map((path) => `should not be in the package: ${path}`),
    ...(unpackedSize > 8_000_000 ? [`the package is ${unpackedSize} bytes unpacked; something was bundled`] : []),
  ]
}

await main(() => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const checks = { dependencies, contents }
  const asked = process.argv[2]
  if (!Object.hasOwn(checks, asked ?? '')) {
    console.error(`check-package: say which: ${Object.keys(checks).join(' or ')}`)
    return 64
  }
  const wrong = checks[asked](manifest)
  for (const line of wrong) console.error(line)
  return wrong.length > 0 ? 1 : 0
})
