/**
 * `npm start`: installs and builds what is missing, then becomes the command line. It does not start a second process:
 * so there is no signal to pass on, no exit code to copy, and nothing left behind if this one is killed. The word
 * `incidents` is for replay.mjs, because replays live with the tests and are not in the package.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { commandOf } from './command.mjs'
import { replayIncidents } from './replay.mjs'
import { ensureBuild, ensureDependencies, main, root } from './setup.mjs'

/**
 * One Ctrl-C may reach us twice: from the terminal, and again from npm, which passes on what it got. The second would
 * read as "now!" and cut the drain short, so what follows within half a second is taken for the echo that it is.
 */
const ignoreEchoes = () => {
  const emit = process.emit
  const last = new Map()
  process.emit = function (name, ...rest) {
    if (name === 'SIGINT' || name === 'SIGTERM') {
      const now = performance.now()
      const echo = now - (last.get(name) ?? Number.NEGATIVE_INFINITY) < 500
      last.set(name, now)
      if (echo) return true
    }
    return emit.call(this, name, ...rest)
  }
}

/**
 * npm runs us through a shell, and some shells die of a signal without passing it on. Whoever stops npm means us, so
 * the end of that shell is an order to stop.
 */
const leaveWithParent = () => {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    process.kill(process.pid, 'SIGTERM')
  }, 250)
  watch.unref()
}

const isAll = (args) => args.length === 2 && args.includes('--once') && args.includes('--json')

await main(async () => {
  ensureDependencies()
  const [first, ...rest] = process.argv.slice(2)
  if (first === 'incidents') {
    leaveWithParent()
    return replayIncidents(rest)
  }
  ensureBuild()
  // the whole show for a machine that reads it: the incidents, and then the faults of the lab
  if (isAll(process.argv.slice(2)) && (await replayIncidents(['--json'])) !== 0) {
    process.on('exit', () => {
      process.exitCode ||= 1
    })
  }
  const cli = join(root, 'dist/cli.mjs')
  process.argv = [process.execPath, cli, ...commandOf(process.argv.slice(2))]
  ignoreEchoes()
  leaveWithParent()
  await import(pathToFileURL(cli).href)
})
