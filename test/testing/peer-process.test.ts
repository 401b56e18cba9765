import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type InlineConfig } from 'tsdown'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { type PeerProcess, startPeerProcess } from '../../src/cli/lab/peer-process.ts'
import {
  type OnebotPeerConfig,
  type PeerRecord,
  privateMessage,
  startOnebotPeer,
} from '../../src/testing/onebot-peer.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = join(root, 'dist')
const entry = join(dist, 'lab-peer.mjs')
const scratch = mkdtempSync(join(tmpdir(), 'holdfast-'))
const peers: PeerProcess[] = []

const patience = { timeout: 3_000, interval: 10 }
const until = <T>(check: () => T) => vi.waitFor(check, patience)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const buildAlone = (name: string, source: string, outDir: string) => {
  const config: InlineConfig = {
    config: false,
    cwd: root,
    entry: { [name]: source },
    outDir,
    platform: 'node',
    format: ['esm'],
    fixedExtension: true,
    dts: false,
    clean: false,
    logLevel: 'error',
  }
  return build(config)
}

beforeAll(async () => {
  const sources = ['src/cli/lab/peer.ts', 'src/testing/onebot-peer.ts'].map((path) => join(root, path))
  const stale = () => sources.some((source) => statSync(source).mtimeMs > statSync(entry).mtimeMs)
  if (!existsSync(entry) || stale()) await buildAlone('lab-peer', 'src/cli/lab/peer.ts', dist)
  await buildAlone('peer-process', 'src/cli/lab/peer-process.ts', scratch)
})

afterEach(async () => {
  for (const peer of peers.splice(0)) await peer.kill()
})

afterAll(() => rmSync(scratch, { recursive: true }))

async function start(config: OnebotPeerConfig = {}, onRecord?: (record: PeerRecord) => void): Promise<PeerProcess> {
  const peer = await startPeerProcess(config, { entry, ...(onRecord && { onRecord }) })
  peers.push(peer)
  return peer
}

/** A raw client: its frames, and how it was closed. */
function dial(url: string) {
  const socket = new WebSocket(url)
  const seen = { socket, frames: [] as Record<string, unknown>[], pongs: 0, closed: 0 }
  socket.on('error', () => socket.terminate())
  socket.on('message', (data) => seen.frames.push(JSON.parse(data.toString())))
  socket.on('pong', () => seen.pongs++)
  socket.on('close', (code) => {
    seen.closed = code
  })
  return seen
}

const isWelcomed = (client: ReturnType<typeof dial>) => until(() => expect(client.frames.length).toBeGreaterThan(0))

/** What the kernel says to a dial. */
async function knock(port: number): Promise<'accepted' | string> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return 'accepted'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown'
  } finally {
    socket.destroy()
  }
}

describe('a peer in a process of its own', () => {
  it('does what it is told, and tells what happened', async () => {
    const heard: PeerRecord[] = []
    const peer = await start({ heartbeatMs: 20, selfId: 42 }, (record) => heard.push(record))
    const client = dial(peer.url)
    await isWelcomed(client)

    peer.emit(privateMessage('ahoy'))
    await until(() => expect(client.frames).toContainEqual(expect.objectContaining({ message_id: 1, self_id: 42 })))
    peer.setOnline(false)
    await until(() => expect(client.frames.at(-1)).toMatchObject({ status: { online: false } }))
    peer.behave({ refuse: 503 })
    peer.cut()
    await until(() => expect(client.closed).toBe(1006))
    const refused = dial(peer.url)
    await until(() => expect(refused.closed).toBe(1006))

    const kinds = ['dial', 'upgrade', 'event', 'close', 'dial', 'refused']
    await until(() => expect(peer.records.map((record) => record.kind)).toEqual(kinds))
    expect(heard).toEqual(peer.records)
  })

  it('is killed and comes back on the same port, as it was at first', async () => {
    const peer = await start({ behaviour: 'healthy' })
    const client = dial(peer.url)
    await isWelcomed(client)
    peer.behave({ refuse: 401 })
    await peer.kill()
    await until(() => expect(client.closed).toBe(1006))
    expect(await knock(peer.port)).toBe('ECONNREFUSED')
    expect(() => peer.emit(privateMessage('into the void'))).not.toThrow()

    await peer.restart()
    await isWelcomed(dial(peer.url))
    const upgrades = peer.records.filter((record) => record.kind === 'upgrade')
    expect(upgrades).toHaveLength(2)
  })

  it('freezes with its port open, and goes on where it was when it thaws', async () => {
    const peer = await start()
    const client = dial(peer.url)
    await isWelcomed(client)
    peer.freeze()
    peer.freeze()
    client.socket.ping()
    const late = dial(peer.url)
    await pause(200)
    expect(await knock(peer.port)).toBe('accepted')
    expect({ pongs: client.pongs, open: late.socket.readyState }).toEqual({ pongs: 0, open: WebSocket.CONNECTING })

    peer.thaw()
    await until(() => expect(client.pongs).toBe(1))
    await isWelcomed(late)
  })

  it.each(['running', 'frozen'])('stops while it is %s', async (how) => {
    const peer = await start()
    if (how === 'frozen') peer.freeze()
    await peer.stop()
    expect(await knock(peer.port)).toBe('ECONNREFUSED')
    await peer.stop()
  })

  it('restarts although it is frozen', async () => {
    const peer = await start()
    peer.freeze()
    await peer.restart()
    await isWelcomed(dial(peer.url))
  })

  it('says why it cannot start', async () => {
    const other = await startOnebotPeer()
    await expect(startPeerProcess({ port: other.port }, { entry })).rejects.toThrow(/cannot listen.*EADDRINUSE/)
    await other.close()
    const missing = join(scratch, 'missing.mjs')
    await expect(startPeerProcess({}, { entry: missing })).rejects.toThrow(/not built.*missing\.mjs/)
  })
})

describe('no orphans', () => {
  const parent = join(scratch, 'parent.mjs')

  beforeAll(() => {
    const lines = [
      `import { startPeerProcess } from './peer-process.mjs'`,
      `const peer = await startPeerProcess({}, { entry: ${JSON.stringify(entry)} })`,
      `if (process.argv[2] === 'frozen') peer.freeze()`,
      `console.log(peer.port)`,
      `process.stdin.once('data', () => process.exit(0))`,
    ]
    writeFileSync(parent, lines.join('\n'))
  })

  it.each([
    ['running', 'exits'],
    ['running', 'is killed'],
    ['frozen', 'exits'],
    ['frozen', 'is killed'],
  ])('a %s peer is gone when its parent %s', async (state, end) => {
    const child = spawn(process.execPath, [parent, state])
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const port = Number(line.toString())
    expect(await knock(port)).toBe('accepted')

    if (end === 'exits') child.stdin.write('\n')
    else child.kill('SIGKILL')
    await vi.waitFor(async () => expect(await knock(port)).toBe('ECONNREFUSED'), patience)
  })
})
