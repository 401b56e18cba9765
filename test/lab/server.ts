/** The fault server as a test holds it: in a namespace, or on this machine's loopback where there is none. */
import { once } from 'node:events'
import { runnable } from './bundle.ts'
import type { Certificates } from './certificates.ts'
import { type JsonProcess, jsonProcess } from './jsonl.ts'
import type { Accepted, FaultsArgument, Ports } from './programs/faults.ts'

export type { Accepted, Ports, Service } from './programs/faults.ts'

export interface FaultServer {
  readonly ports: Ports
  /** The file to trust, as NODE_EXTRA_CA_CERTS has it; absent without TLS. */
  readonly authorityFile?: string
  /** Connections accepted since the last call. */
  accepted(): Promise<Accepted[]>
  /** SIGSTOP: the kernel still accepts and acknowledges, and nobody answers. */
  freeze(): void
  thaw(): void
  /** SIGKILL. With the wire cut meanwhile, the peer has forgotten each flow and says so with RST afterwards. */
  kill(): Promise<void>
  /** Again, after `kill`, on the same ports if these were fixed. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** `inside` starts a command in a namespace; without it the server listens on 127.0.0.1, on ports that are free. */
export const faultServer = async (inside?: readonly string[], tls?: Certificates): Promise<FaultServer> => {
  const file = await runnable('faults')
  const argument: FaultsArgument = {
    host: inside ? '::' : '127.0.0.1',
    fixed: inside !== undefined,
    ...(tls && { certificates: tls }),
  }
  let running: JsonProcess
  let ports: Ports
  const start = async () => {
    const [command = '', ...args] = [...(inside ?? []), process.execPath, file, JSON.stringify(argument)]
    running = jsonProcess(command, args)
    ports = (await running.next<{ ports: Ports }>()).ports
  }
  const signal = (name: NodeJS.Signals) => {
    running.child.kill(name)
  }
  await start()
  return {
    get ports() {
      return ports
    },
    ...(tls && { authorityFile: tls.authorityFile }),
    accepted: () => running.ask({ report: true }),
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    kill: async () => {
      const { child } = running
      if (child.exitCode !== null || child.signalCode !== null) return
      signal('SIGKILL')
      await once(child, 'close')
    },
    start,
    stop: async () => {
      // A stopped process does not see the end of its stdin.
      signal('SIGCONT')
      await running.close()
    },
  }
}
