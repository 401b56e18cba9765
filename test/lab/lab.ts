/**
 * The laboratory: a client and a server in network namespaces of their own, joined by a wire on which each family and
 * each address of the server has its delay, its loss and its blackhole, which change while connections are open. In the
 * client's namespace a DNS server answers as the zone says; in the server's a server goes wrong in the ways that peers
 * do (programs/faults.ts). Programs run inside the client's namespace and tell what they saw.
 *
 *     const lab = await startLab('v6unreach')
 *     await lab.shape({ v4: { rttMs: 600 } })
 *     await lab.run<Outcome>('connect', { host: lab.target, port: lab.server.ports.echo })
 *     await lab.stop()
 *
 * It needs root on Linux. Nothing of it is left afterwards: what a crash leaves, the next start takes away.
 */
import { runnable } from './bundle.ts'
import { certificates } from './certificates.ts'
import { type JsonProcess, jsonProcess } from './jsonl.ts'
import { DNS_ADDRESS, ip, namespaces } from './namespaces.ts'
import type { SeenQuery } from './programs/dns.ts'
import { type FaultServer, faultServer } from './server.ts'
import { addresses, type Setup, type SetupName, type Shape, setups, type Zone, zone } from './setups.ts'

export { describeInLab, type LabAvailability, labAvailability } from './availability.ts'
export type { JsonProcess } from './jsonl.ts'
export type { Outcome, ToldError } from './programs/program.ts'
export * from './setups.ts'

export interface WireReport {
  /** Each attempt of the client to connect, once, in order; `atMs` on the clock of process.hrtime. */
  readonly syns: readonly { readonly atMs: number; readonly address: string; readonly port: number }[]
  readonly carried: number
  readonly dropped: number
}

export interface RunOptions {
  /** It is killed then, which is a failure. */
  readonly withinMs?: number
  /** Beside our own environment, whose proxies and NODE_OPTIONS are kept from it. */
  readonly env?: NodeJS.ProcessEnv
}

export interface Lab {
  /** The name to dial in this set-up. */
  readonly target: string
  readonly addresses: typeof addresses
  readonly server: FaultServer
  /**
   * Runs a program inside the client's namespace to its end, with `argument` as JSON: the last line that it prints. A
   * program is a name in test/lab/programs or a path from the top of the repository, TypeScript or JavaScript.
   */
  run<T>(program: string, argument?: unknown, options?: RunOptions): Promise<T>
  /** As `run`, but every line. */
  runAll<T>(program: string, argument?: unknown, options?: RunOptions): Promise<T[]>
  /** Starts it and leaves it running: its lines are taken with `next`, and `send` writes to its stdin. */
  start(program: string, argument?: unknown, env?: NodeJS.ProcessEnv): Promise<JsonProcess>
  /** Changes the wire, for what is on it already as well; what is not named stays. Done when it is in force. */
  shape(change: Shape): Promise<void>
  /** Changes names of the zone; null takes one away. */
  zone(change: Readonly<Record<string, Zone[string] | null>>): Promise<void>
  /** What the DNS server was asked since the last call. */
  queries(): Promise<SeenQuery[]>
  /** What went over the wire since the last call. */
  wire(): Promise<WireReport>
  /**
   * TCP sockets of the client's namespace that are open or opening. What a program has closed towards a blackhole, the
   * kernel keeps for a while as FIN-WAIT-1.
   */
  sockets(): { readonly state: string; readonly local: string; readonly peer: string }[]
  /** ip(8) in one of the namespaces; the wire is the device `wire`. */
  ip(side: 'client' | 'server', ...args: string[]): string
  stop(): Promise<void>
}

export const startLab = async (wanted: SetupName | Setup): Promise<Lab> => {
  const setup: Setup = typeof wanted === 'string' ? setups[wanted] : wanted
  // Before any namespace is there: a program that does not build leaves nothing to take away.
  const dnsFile = await runnable('dns')
  const tls = certificates()
  const { client, server: serverSide, wire, remove } = await namespaces(setup.ipv6)
  const inside = (name: string) => ['ip', 'netns', 'exec', name]
  const open: JsonProcess[] = []
  let server: FaultServer | undefined

  const startInClient = (file: string, argument: unknown, env?: NodeJS.ProcessEnv): JsonProcess => {
    const [command = '', ...args] = [...inside(client), process.execPath, file, JSON.stringify(argument)]
    const started = jsonProcess(command, args, { ...unset(), NODE_EXTRA_CA_CERTS: tls.authorityFile, ...env })
    open.push(started)
    return started
  }
  const stop = async () => {
    await Promise.all([...open.splice(0).map((each) => each.close()), server?.stop()])
    await remove()
  }

  try {
    const dns = startInClient(dnsFile, { address: DNS_ADDRESS, port: 53 })
    await dns.next()
    server = await faultServer(inside(serverSide), tls)
    const shape = async (change: Shape) => {
      await wire.ask({ shape: change })
    }
    await dns.ask({ zone })
    await shape({ hosts: Object.fromEntries(addresses.dead.map((address) => [address, { blackhole: true }])) })
    await shape(setup.shape ?? {})
    const runAll = async <T>(program: string, argument: unknown = {}, options: RunOptions = {}): Promise<T[]> =>
      startInClient(await runnable(program), argument, options.env).rest<T>(options.withinMs)
    return {
      target: setup.target,
      addresses,
      server,
      runAll,
      run: async <T>(program: string, argument?: unknown, options?: RunOptions) => {
        const last = (await runAll<T>(program, argument, options)).at(-1)
        if (last === undefined) throw new Error(`${program} printed nothing`)
        return last
      },
      start: async (program, argument = {}, env) => startInClient(await runnable(program), argument, env),
      shape,
      zone: async (change) => {
        await dns.ask({ zone: change })
      },
      queries: () => dns.ask({ report: true }),
      wire: () => wire.ask({ report: true }),
      sockets: () => ip(['netns', 'exec', client, 'ss', '-Htn']).split('\n').filter(Boolean).map(socketOf),
      ip: (side, ...args) => ip(['-n', side === 'client' ? client : serverSide, ...args]),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const socketOf = (line: string) => {
  const [state = '', , , local = '', peer = ''] = line.split(/\s+/)
  return { state, local, peer }
}

/** A proxy of this machine is not there in the namespace. */
const unset = (): NodeJS.ProcessEnv => {
  const names = Object.keys(process.env).filter((name) => /_proxy$/i.test(name) || name === 'NODE_OPTIONS')
  return Object.fromEntries(names.map((name) => [name, undefined]))
}
