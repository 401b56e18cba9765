/**
 * Two network namespaces and the wire between them. Neither has any other interface than its loopback and that wire,
 * so nothing in them can reach the machine's own network, nor be reached from it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type JsonProcess, jsonProcess } from './jsonl.ts'
import { aliveOwner, ownName } from './owner.ts'
import { addresses, type ClientIpv6, clientAddresses, networks } from './setups.ts'

const DEVICE = 'wire'
export const DNS_ADDRESS = '127.0.0.53'
const forwarder = join(dirname(fileURLToPath(import.meta.url)), 'forwarder.py')
/** Debian's own, where it is: another one of that name on the PATH may be a slow wrapper. */
const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3'
const etc = '/etc/netns'

/**
 * `ip netns exec` puts these over the files of the same name in /etc, for what it starts and for nothing else. All that
 * decides how glibc looks up and sorts is here, so that the machine's own settings cannot change a test.
 */
const files: Record<string, string> = {
  'resolv.conf': `nameserver ${DNS_ADDRESS}\n`,
  hosts: '127.0.0.1 localhost\n::1 ip6-localhost\n',
  'nsswitch.conf': 'hosts: files dns\n',
  'gai.conf': '',
}

export interface Namespaces {
  readonly client: string
  readonly server: string
  readonly wire: JsonProcess
  /** Nothing of it is left afterwards, and no process in it. */
  remove(): Promise<void>
}

const standing = new Set<string>()

export const namespaces = async (ipv6: ClientIpv6): Promise<Namespaces> => {
  sweep()
  const [client, server] = names()
  let wire: JsonProcess | undefined
  const remove = async () => {
    await wire?.close()
    removeNow([client, server])
  }
  try {
    for (const name of [client, server]) ip(['netns', 'add', name])
    const own = join(etc, client)
    mkdirSync(own, { recursive: true })
    for (const [name, text] of Object.entries(files))
      if (existsSync(join('/etc', name))) writeFileSync(join(own, name), text)
    wire = jsonProcess(python, [forwarder, client, server, DEVICE])
    await wire.next()
    ip(['-n', client, '-batch', '-'], clientLines(ipv6))
    ip(['-n', server, '-batch', '-'], serverLines)
    return { client, server, wire, remove }
  } catch (error) {
    await remove()
    throw error
  }
}

const names = (): [string, string] => {
  const name = ownName()
  const both: [string, string] = [`${name}-c`, `${name}-s`]
  // Also for an end that nobody awaits: an uncaught error, or a test that forgot to stop its laboratory.
  if (standing.size === 0) process.once('exit', () => removeNow([...standing]))
  for (const each of both) standing.add(each)
  return both
}

/** No address but ours: a device that gives itself one also sends packets of its own, which would wake the wire. */
const deviceLines = ['link set lo up', `link set ${DEVICE} addrgenmode none mtu 1500`, `link set ${DEVICE} up`]

const clientLines = (ipv6: ClientIpv6): string[] => [
  ...deviceLines,
  `addr add ${clientAddresses.v4} dev ${DEVICE}`,
  `route add default dev ${DEVICE}`,
  `route add unreachable ${addresses.noHost}`,
  `route add prohibit ${addresses.forbidden}`,
  // glibc asks for AAAA only where some address of IPv6 is, as there is in nearly every container.
  ...(ipv6 === 'no-route' ? [`addr add ${clientAddresses.linkLocal} dev ${DEVICE} nodad`] : []),
  ...(ipv6 === 'ula' || ipv6 === 'gua'
    ? [`addr add ${clientAddresses[ipv6]} dev ${DEVICE} nodad`, `route add ::/0 dev ${DEVICE}`]
    : []),
]

const serverLines = [
  ...deviceLines,
  // The whole network is local to it: each address of it answers, without being configured one by one.
  ...Object.values(networks).map((network) => `route add local ${network} dev lo`),
  ...['0.0.0.0/0', '::/0'].map((all) => `route add ${all} dev ${DEVICE}`),
]

/** Takes away what runs that ended badly have left: theirs, by the name, and nothing that is in use. */
export const sweep = (): void => {
  const left = [...listed(), ...(existsSync(etc) ? readdirSync(etc) : [])]
  removeNow([...new Set(left)].filter((name) => aliveOwner(name) === false))
}

const listed = (): string[] => {
  const { stdout } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  return (stdout ?? '').split('\n').map((line) => line.split(' ')[0] ?? '')
}

const removeNow = (gone: readonly string[]): void => {
  const present = new Set(listed())
  for (const name of gone) {
    if (present.has(name)) {
      for (const pid of pidsIn(name)) kill(pid)
      spawnSync('ip', ['netns', 'delete', name])
    }
    rmSync(join(etc, name), { recursive: true, force: true })
    standing.delete(name)
  }
  if (gone.length > 0 && existsSync(etc)) {
    try {
      rmdirSync(etc)
    } catch {
      // in use, by another run or by the machine's owner
    }
  }
}

/** A namespace of ours has none but our own processes in it. */
const pidsIn = (name: string): number[] => {
  const { stdout } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })
  return (stdout ?? '').split('\n').filter(Boolean).map(Number)
}

const kill = (pid: number) => {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // it has just ended
  }
}

/** Runs ip(8); lines are for its -batch. */
export const ip = (args: readonly string[], lines: readonly string[] = []): string => {
  const { status, stdout, stderr, error } = spawnSync('ip', args, { encoding: 'utf8', input: `${lines.join('\n')}\n` })
  if (status === 0) return stdout
  throw new Error(`ip ${args.join(' ')}: ${error?.message ?? (stderr.trim() || `exit code ${status}`)}`)
}

/** Makes a namespace and a device in it, and takes them away: nothing less tells whether that is allowed here. */
export const tryNamespace = (): string | undefined => {
  sweep()
  const [name] = names()
  try {
    ip(['netns', 'add', name])
    const args = ['netns', 'exec', name, python, forwarder, '--probe']
    const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' })
    if (status === 0) return undefined
    return `a TUN device cannot be made (${error?.message ?? stderr.trim().split('\n').at(-1)})`
  } catch (error) {
    return `a network namespace cannot be made (${error instanceof Error ? error.message : error})`
  } finally {
    removeNow([name])
  }
}
