/** A library must not change the process that it runs in: what others rely on is as before, whatever we have done. */
import dns from 'node:dns'
import { EventEmitter } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import { getGlobalDispatcher } from 'undici'
import { afterEach, expect, it } from 'vitest'
import { realClock } from '../../src/clock.ts'
import { connect } from '../../src/link.ts'
import { http as beside } from '../../src/net/request.ts'
import { scrubber } from '../../src/secret.ts'
import { smallTalk } from '../small-talk.ts'
import { answering, closeAll, frameOf, rawServer, until, upgrading } from '../transport/servers.ts'
import { atEnd, clearLoopback } from './loopback.ts'
import { nameServer } from './name-server.ts'
import { httpProxy, socksProxy } from './proxies.ts'

afterEach(clearLoopback)
afterEach(closeAll)

const NEWS = ['uncaughtException', 'unhandledRejection', 'exit', 'beforeExit', 'SIGINT', 'SIGTERM', 'warning']

const settings = () => ({
  autoSelectFamily: net.getDefaultAutoSelectFamily(),
  attemptTimeoutMs: net.getDefaultAutoSelectFamilyAttemptTimeout(),
  dnsOrder: dns.getDefaultResultOrder(),
  dnsServers: dns.getServers(),
  agents: [http.globalAgent, https.globalAgent],
  agentOptions: [http, https].map(({ globalAgent }) => JSON.stringify(Object(globalAgent).options)),
  agentSockets: [http, https].map(({ globalAgent }) => Object.keys(globalAgent.sockets)),
  dispatcher: getGlobalDispatcher(),
  ciphers: [tls.DEFAULT_MIN_VERSION, tls.DEFAULT_MAX_VERSION, tls.DEFAULT_CIPHERS],
  functions: [net.connect, tls.connect, dns.lookup, http.request, globalThis.fetch, globalThis.WebSocket],
  maxListeners: EventEmitter.defaultMaxListeners,
  listeners: NEWS.map((name) => process.listenerCount(name)),
  environment: { ...process.env },
  globals: Object.getOwnPropertyNames(globalThis).sort(),
  symbols: Object.getOwnPropertySymbols(globalThis).map(String).sort(),
})

it('no process-wide setting is touched by links over all ways that there are', async () => {
  const before = settings()
  const greet = upgrading((socket) => void socket.write(frameOf(1, '{"op":"welcome"}')))
  const peer = await rawServer(greet)
  const [web, socks] = [await httpProxy(), await socksProxy()]
  const names = await nameServer({ 'peer.test': { a: { addresses: ['127.0.0.1'] }, aaaa: {} } })
  for (const options of [
    { proxy: false as const },
    { dns: { servers: [names.server] }, proxy: false as const },
    { proxy: `http://127.0.0.1:${web.port}` },
    { proxy: `socks5://127.0.0.1:${socks.port}` },
  ]) {
    const host = 'dns' in options ? 'peer.test' : 'localhost'
    const link = connect(smallTalk({ url: `ws://${host}:${peer.port}/` }), options)
    await link.ready()
    expect(settings()).toEqual(before)
    await link.stop({ drainMs: 0 })
  }
  const failing = connect(smallTalk({ url: 'wss://localhost:1/' }), { proxy: false })
  await until(() => failing.status.state === 'backoff')
  await failing.stop()
  const api = await rawServer(answering((socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')))
  const client = beside({ clock: realClock, proxy: false }, (_, message) => new Error(message))
  atEnd(() => client.close())
  const call = { url: `http://localhost:${api.port}/`, method: 'GET', headers: {}, body: '' }
  await client.request({ http: call, read: (status) => status }, new AbortController().signal, scrubber([]))
  expect(settings()).toEqual(before)
})
