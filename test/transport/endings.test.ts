/** How a WebSocket ends: what is told apart, how soon it is noticed, and that no deadline can be moved. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { connect } from '../../src/link.ts'
import { atEnd, clearLoopback, sleep, watchSockets } from '../net/loopback.ts'
import { smallTalk } from '../small-talk.ts'
import { answering, closeAll, closeFrame, dialTo, frameOf, rawServer, until, upgrading } from './servers.ts'

afterEach(clearLoopback)
afterEach(closeAll)

const dripping = (everyMs: number) =>
  answering((socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\n')
    const drip = setInterval(() => socket.write('X-Drip: 1\r\n'), everyMs)
    socket.on('close', () => clearInterval(drip))
  })

describe('network 6.6.10', () => {
  it.each([
    ['upgrade stall', 'ws', (socket) => void socket.resume(), 'upgrade-timeout'],
    ['TLS stall', 'wss', (socket) => void socket.resume(), 'tls-timeout'],
    ['drip', 'ws', dripping(150), 'upgrade-timeout'],
  ] satisfies [
    string,
    string,
    Parameters<typeof rawServer>[0],
    string,
  ][])('network 6.6.10 %s: the error comes at the deadline of 700 ms, ± 100 ms', async (_what, scheme, met, code) => {
    const { port, open } = await rawServer(met)
    const url = `${scheme}://127.0.0.1:${port}/`
    const ten = Array.from({ length: 10 }, () => dialTo(port, { url, tlsMs: 700, upgradeMs: 700 }))
    for (const { fault, afterMs } of await Promise.all(ten.map((dialed) => dialed.loss()))) {
      expect(fault.code).toBe(code)
      expect(Math.abs(afterMs - 700)).toBeLessThanOrEqual(100)
    }
    await until(() => open.size === 0)
  })

  it("network 6.6.10 control: ws's own handshakeTimeout of 300 ms has not fired after 1,500 ms of dripping", async () => {
    const { port } = await rawServer(dripping(150))
    const ws = new WebSocket(`ws://127.0.0.1:${port}/`, { handshakeTimeout: 300 })
    const failed = once(ws, 'error')
    await sleep(1_500)
    expect(ws.readyState).toBe(WebSocket.CONNECTING)
    ws.terminate()
    await failed
  })
})

describe('network 6.6.14', () => {
  it('network 6.6.14 a reset, an end and a silence of the network are three lost connections with three details', async () => {
    const later = (act: Parameters<typeof upgrading>[0]) =>
      upgrading((socket) => void setTimeout(() => act(socket), 20))
    const [reset, end] = [
      await rawServer(later((socket) => void socket.resetAndDestroy())),
      await rawServer(later((socket) => void socket.end())),
    ]
    const made = watchSockets()
    const silent = await rawServer(upgrading(() => undefined))
    const timing = dialTo(silent.port)
    await timing.isReady()
    // what the kernel says after its last retransmission, a quarter of an hour later
    made[0]!.socket.destroy(Object.assign(new Error('read ETIMEDOUT'), { code: 'ETIMEDOUT', syscall: 'read' }))
    const losses = await Promise.all([dialTo(reset.port).loss(), dialTo(end.port).loss(), timing.loss()])
    expect(losses.map(({ fault }) => fault)).toEqual([
      { code: 'connection-lost', detail: 'the peer reset the connection: read ECONNRESET' },
      { code: 'connection-lost', detail: 'the socket ended without a close frame' },
      { code: 'connection-lost', detail: 'the network stopped answering: read ETIMEDOUT' },
    ])
  })

  it('network 6.6.14 close codes and reasons are exact', async () => {
    for (const code of [1000, 1001, 1012, 4004]) {
      const { port } = await rawServer(upgrading((socket) => void socket.write(closeFrame(code, `reason ${code}`))))
      const ten = Array.from({ length: 10 }, () => dialTo(port).loss())
      for (const { close } of await Promise.all(ten)) expect(close).toEqual({ code, reason: `reason ${code}` })
    }
  })

  it('network 6.6.14 a peer that is killed is noticed within 200 ms', async () => {
    const script = `
      const { WebSocketServer } = require('ws')
      const server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => console.log(server.address().port))`
    const child = spawn(process.execPath, ['-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: new URL('../..', import.meta.url),
    })
    atEnd(() => child.kill('SIGKILL'))
    const [line] = await once(child.stdout, 'data')
    const ten = Array.from({ length: 10 }, () => dialTo(Number(String(line))))
    await Promise.all(ten.map((dialed) => dialed.isReady()))
    const killedAt = performance.now()
    child.kill('SIGKILL')
    for (const { fault } of await Promise.all(ten.map((dialed) => dialed.loss())))
      expect(fault.code).toBe('connection-lost')
    expect(performance.now() - killedAt).toBeLessThanOrEqual(200)
  })
})

describe('network 6.6.17', () => {
  const deafPeer = () => rawServer(upgrading((socket) => void socket.write(frameOf(1, '{"op":"welcome"}'))))

  it('network 6.6.17 our own close on a half-open socket takes the close deadline of 500 ms + 100 ms', async () => {
    const { port, open } = await deafPeer()
    const link = connect(smallTalk({ url: `ws://127.0.0.1:${port}/` }), { deadlines: { closeMs: 500 } })
    await link.ready()
    const startedAt = performance.now()
    await link.stop()
    const afterMs = performance.now() - startedAt
    expect(afterMs).toBeGreaterThanOrEqual(495)
    expect(afterMs).toBeLessThanOrEqual(600)
    await until(() => open.size === 0)
  })

  it('network 6.6.17 control: close() of ws still waits after 1,500 ms', async () => {
    const { port } = await deafPeer()
    const ws = new WebSocket(`ws://127.0.0.1:${port}/`)
    await once(ws, 'open')
    ws.close()
    await sleep(1_500)
    expect(ws.readyState).toBe(WebSocket.CLOSING)
    ws.terminate()
  })
})
