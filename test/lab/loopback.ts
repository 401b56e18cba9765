/**
 * The part of the laboratory that every machine can run: a peer that drops SYNs, one that is stopped, one behind a relay
 * (relay.ts), and the fault server on 127.0.0.1 (server.ts).
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { runnable } from './bundle.ts'
import { type JsonProcess, jsonProcess } from './jsonl.ts'

export { type Relay, relay } from './relay.ts'
export { type FaultServer, faultServer } from './server.ts'

export interface SilentListener {
  readonly host: string
  readonly port: number
  stop(): Promise<void>
}

/** On loopback a connect that is not through after this long never will be. */
const THROUGH_WITHIN_MS = 200
const FILLERS_MAX = 16

/**
 * A port which answers no SYN: it is open, and its backlog is full. Node always accepts, so the listener is a process
 * that has been stopped; what fills its backlog are connections of ours.
 */
export const silentListener = async (): Promise<SilentListener> => {
  const listener: JsonProcess = jsonProcess(process.execPath, [await runnable('listener'), '{}'])
  const host = '127.0.0.1'
  const fillers: Socket[] = []
  const stop = async () => {
    for (const filler of fillers) filler.destroy()
    listener.child.kill('SIGKILL')
    await listener.close()
  }
  try {
    const { port } = await listener.next<{ port: number }>()
    listener.child.kill('SIGSTOP')
    while (fillers.length < FILLERS_MAX) {
      const filler = connect({ host, port }).on('error', () => undefined)
      fillers.push(filler)
      if (!(await through(filler))) return { host, port, stop }
    }
    throw new Error(`${FILLERS_MAX} connections did not fill the backlog`)
  } catch (error) {
    await stop()
    throw error
  }
}

const through = (socket: Socket): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), THROUGH_WITHIN_MS)
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })

/** A port on which nobody listens: it was free a moment ago. */
export const refusingPort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
