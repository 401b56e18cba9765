/**
 * `npm start -- incidents [--json] [name …]`: replays incidents, once in the way of the system that they happened to and once
 * with holdfast, and prints what became of each. They run side by side, each in a process group of its own: that group is
 * ended whatever happens to its replay or to us, so nothing that it started is left behind.
 */
import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleTypeScript, ensureDependencies, ensureSystemPackages, root } from './setup.mjs'

const USAGE_EXIT = 64
/** A replay takes a minute at most; one that hangs is ended. */
const LATEST_MS = 150_000
const STDERR_MAX = 2_000

/** The exit code: 0 if holdfast served again in all of them. */
export const replayIncidents = async (args) => {
  const asJson = args.includes('--json')
  const names = args.filter((each) => each !== '--json')
  const peers = join(root, 'test/peers')
  if (existsSync(join(peers, 'package.json'))) ensureDependencies(peers)
  const { leftOut } = ensureSystemPackages([{ command: 'etcd', package: 'etcd-server', for: 'the incident of OpenIM' }])
  for (const line of leftOut) console.error(`left out: ${line}`)
  const bundle = await bundleTypeScript('test/replays/all.ts')
  const { replays } = await import(bundle)
  const known = replays.map(({ incident }) => incident)
  const stranger = names.find((name) => !known.includes(name))
  if (stranger !== undefined) {
    console.error(`incidents: there is no "${stranger}"; known are ${known.join(', ')}, and the option --json`)
    return USAGE_EXIT
  }
  const asked = replays.filter(({ incident }) => names.length === 0 || names.includes(incident))
  if (!asJson) console.error(`replaying ${asked.map(({ incident }) => incident).join(', ')}: a minute at most`)
  const forget = endWithUs()
  const outcomes = await Promise.all(
    asked.map(async (replay) => {
      const outcome = await play(bundle, replay.incident)
      console.log(asJson ? JSON.stringify(outcome) : tableOf(replay, outcome))
      return outcome
    }),
  )
  forget()
  return outcomes.every(({ holdfast }) => holdfast?.recovered) ? 0 : 1
}

// Processes

/** By their leaders. */
const groups = new Set()

const endGroup = (leader) => {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // it has ended
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Returns how to forget it. */
const endWithUs = () => {
  const end = (signal) => {
    forget()
    for (const leader of groups) endGroup(leader)
    process.kill(process.pid, signal)
  }
  const forget = () => {
    for (const signal of SIGNALS) process.off(signal, end)
  }
  for (const signal of SIGNALS) process.on(signal, end)
  return forget
}

const play = (bundle, incident) =>
  new Promise((resolve) => {
    const player = fork(fileURLToPath(new URL('./replay-player.mjs', import.meta.url)), [bundle, incident], {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    const { pid } = player
    groups.add(pid)
    const timer = setTimeout(() => endGroup(pid), LATEST_MS)
    let complaint = ''
    player.stderr.on('data', (chunk) => {
      complaint = `${complaint}${chunk}`.slice(-STDERR_MAX)
    })
    let told
    player.on('message', (message) => {
      told = message
    })
    player.on('exit', () => {
      clearTimeout(timer)
      endGroup(pid)
      groups.delete(pid)
      resolve({ incident, ...(told ?? { error: `it ended without a result. ${complaint}` }) })
    })
  })

// What is printed

const COLUMNS = ['', 'serves again', 'after', 'attempts', 'lost']

const tableOf = ({ incident, fault }, { naive, holdfast, error }) => {
  if (error) return `\n${incident}\n  could not be replayed: ${error}`
  const rows = [COLUMNS, rowOf('as it was', naive), rowOf('holdfast', holdfast)]
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const lines = rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd())
  return [`\n${incident}: ${fault}`, ...lines, `  As it was: ${naive.note}.`, `  holdfast: ${holdfast.note}.`].join(
    '\n',
  )
}

const rowOf = (name, { recovered, recoveredMs, attempts, lost }) => [
  name,
  recovered ? 'yes' : 'no',
  recoveredMs === null ? '' : `${recoveredMs} ms`,
  String(attempts),
  String(lost),
]
