/** Hosts on loopback: 127.0.0.x are as many as a test needs, and each of them may listen, refuse or be a black hole. */
import { type ChildProcess, spawn } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Address } from '../../src/net/resolve.ts'

const servers: Server[] = []
const sockets: Socket[] = []
const children: ChildProcess[] = []
const ends: (() => void)[] = []

/** For afterEach: ends all that the test has started. */
export const clearLoopback = async (): Promise<void> => {
  for (const end of ends.splice(0)) end()
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}

export const atEnd = (end: () => void): void => void ends.push(end)

export const owned = <S extends Socket>(socket: S): S => {
  sockets.push(socket.on('error', () => undefined))
  return socket
}

/** Listens at a host of loopback; returned are the sockets that came. */
export const listen = async (host: string, port: number, met: (socket: Socket) => void = () => undefined) => {
  const came: Socket[] = []
  const server = createServer((socket) => {
    came.push(owned(socket))
    met(socket)
  })
  servers.push(server)
  await once(server.listen({ host, port }), 'listening')
  return came
}

const TOO_LATE_MS = 300

/** What a host does when it wakes: takes connections and says nothing, is a WebSocket server that greets, or a relay. */
const AWAKE = {
  silent: 'void 0',
  greeting: `
    const { WebSocketServer } = require('ws')
    new WebSocketServer({ server }).on('connection', (ws) => ws.send(JSON.stringify({ op: 'welcome' })))`,
  relaying: `
    server.removeAllListeners('connection').on('connection', (inbound) => {
      const outbound = require('node:net').connect(relayTo, '127.0.0.1')
      inbound.on('error', () => outbound.destroy()).pipe(outbound).on('error', () => inbound.destroy()).pipe(inbound)
    })`,
}

/**
 * A listener that takes no more connections: its queue is full, so the kernel drops every SYN, as if the host were far
 * away or gone. After `stuckMs` it takes them again. The returned function ends it before its time.
 */
export const blackHole = async (
  host: string,
  port: number,
  { stuckMs = 60_000, awake = 'silent' as keyof typeof AWAKE, relayTo = 0 } = {},
): Promise<() => void> => {
  const script = `
    const relayTo = ${relayTo}
    const server = require('node:http').createServer()
    server.on('clientError', (_error, socket) => socket.destroy())
    ${AWAKE[awake]}
    server.listen({ host: '${host}', port: ${port}, backlog: 1 }, () => {
      require('node:fs').writeSync(1, 'listening')
      require('node:fs').readSync(0, Buffer.alloc(1))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${stuckMs})
      setTimeout(() => process.exit(), 40_000)
    })`
  const child = spawn(process.execPath, ['-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: new URL('../..', import.meta.url),
  })
  children.push(child)
  await once(child.stdout!, 'data')
  const fillers: Socket[] = []
  for (;;) {
    const filler = owned(connect({ host, port }))
    fillers.push(filler)
    if (!(await connects(filler))) break
  }
  // its time runs from here
  child.stdin!.write('x')
  return () => {
    child.kill('SIGKILL')
    for (const filler of fillers) filler.destroy()
  }
}

const connects = (socket: Socket): Promise<boolean> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), TOO_LATE_MS)
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })

/** Every client socket that this process makes from now on, and when. */
export const watchSockets = () => {
  const made: { readonly at: number; readonly socket: Socket }[] = []
  const note = (message: unknown) => {
    made.push({ at: performance.now(), socket: (message as { socket: Socket }).socket })
  }
  subscribe('net.client.socket', note)
  atEnd(() => unsubscribe('net.client.socket', note))
  return made
}

export const v4 = (...hosts: number[]): Address[] => hosts.map((n) => ({ address: `127.0.0.${n}`, family: 4 }))

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Dials that the kernel has not decided yet. */
export const pendingDials = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'ConnectWrap').length
