/**
 * How Lagrange.Core (branch v1) and Lagrange.OneBot held their connection before pull request 425 of LagrangeDev/Lagrange.Core,
 * in JavaScript, because .NET is not at hand. The rules are those of its code; all times are a tenth of them, and where the
 * code leaves something open the kinder reading was taken. A process of its own: it ends when its input ends.
 *
 * What it is told: `{ servers: [{ host, port, probePort }] }` as its argument. What it tells, one JSON object a line:
 * `probed`, `connecting`, `failed`, `online` with the reason, `message`, `service` with the port.
 */
import { createCipheriv, createDecipheriv, createECDH, hkdfSync } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:http'
import { connect } from 'node:net'

const { servers } = JSON.parse(process.argv[2])
const tell = (event, more) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`)
process.stdin.on('end', () => process.exit()).resume()

/** Icmp.cs: 1,000 ms. */
const PING_MS = 100
/** Scheduler.Interval("Reconnect") and Heartbeat.Alive of WtExchangeLogic.cs: 10 s each. */
const RECONNECT_MS = 1_000
const HEARTBEAT_MS = 1_000

/** .NET gives a RoundtripTime of 0 for a ping that was not answered. */
const ping = ({ host, probePort }) =>
  new Promise((resolve) => {
    const startedAt = performance.now()
    const socket = createSocket('udp4')
    const done = (ms) => {
      clearTimeout(timer)
      socket.close()
      resolve(ms)
    }
    const timer = setTimeout(() => done(0), PING_MS)
    socket.once('message', () => done(performance.now() - startedAt))
    socket.send('ping', probePort, host)
  })

// What lies on the wire

const PREFIX = 4

const keyOf = (secret, sender, receiver) =>
  Buffer.from(hkdfSync('sha256', secret, '', Buffer.concat([sender, receiver]), 32))

const nonce = (count) => {
  const bytes = Buffer.alloc(12)
  bytes.writeBigUInt64BE(BigInt(count), 4)
  return bytes
}

const sealer = (own, theirs) => {
  const secret = own.computeSecret(theirs)
  const [out, back] = [keyOf(secret, own.getPublicKey(), theirs), keyOf(secret, theirs, own.getPublicKey())]
  let sealed = 0
  let opened = 0
  return {
    seal: (frame) => {
      const cipher = createCipheriv('aes-256-gcm', out, nonce(sealed++))
      return Buffer.concat([cipher.update(frame), cipher.final(), cipher.getAuthTag()])
    },
    open: (frame) => {
      const decipher = createDecipheriv('aes-256-gcm', back, nonce(opened++))
      decipher.setAuthTag(frame.subarray(-16))
      return Buffer.concat([decipher.update(frame.subarray(0, -16)), decipher.final()])
    },
  }
}

/** The length counts its own four bytes. */
const framed = (frame) => {
  const prefix = Buffer.alloc(PREFIX)
  prefix.writeUInt32BE(PREFIX + frame.length)
  return Buffer.concat([prefix, frame])
}

// SocketContext.cs

let serverUri
let socket
let isConnected = false

/** Sorts by latency and takes the first only. There is no timeout, and no second server. */
const connectToServer = async () => {
  const pings = []
  for (const server of servers) pings.push({ server, latency: await ping(server) })
  pings.sort((a, b) => a.latency - b.latency)
  tell('probed', { order: pings.map(({ server, latency }) => `${server.host} ${Math.round(latency)} ms`) })
  serverUri = pings[0].server
  open('Login')
}

const open = (reason) => {
  const { host, port } = serverUri
  tell('connecting', { host })
  const own = createECDH('prime256v1')
  own.generateKeys()
  let keys
  let buffer = Buffer.alloc(0)
  socket = connect({ host, port })
  socket.on('error', () => undefined)
  socket.on('close', lose)
  socket.on('connect', () => {
    isConnected = true
    socket.write(framed(own.getPublicKey()))
  })
  const send = (packet) => socket.write(framed(keys.seal(Buffer.from(JSON.stringify(packet)))))
  const take = (frame) => {
    if (keys) return dispatch(JSON.parse(keys.open(frame)), reason, send)
    keys = sealer(own, frame)
    send({ op: 'register' })
  }
  socket.on('data', (chunk) => {
    buffer = Buffer.concat([buffer, chunk])
    try {
      while (buffer.length >= PREFIX && buffer.length >= buffer.readUInt32BE()) {
        const length = buffer.readUInt32BE()
        const frame = buffer.subarray(PREFIX, length)
        buffer = buffer.subarray(length)
        take(frame)
      }
    } catch {
      tell('failed', { why: 'Verification failed' })
      socket.destroy()
    }
  })
}

// WtExchangeLogic.cs

let isReconnecting = false
let heartbeat

/** To the same server, every 10 s. Reconnect() is false on every path, so the interval is never taken off. */
const lose = () => {
  isConnected = false
  clearInterval(heartbeat)
  if (isReconnecting) return
  isReconnecting = true
  setInterval(() => {
    if (!isConnected) open('Reconnect')
  }, RECONNECT_MS)
}

const dispatch = (packet, reason, send) => {
  if (packet.op === 'registered') {
    // fire and forget: nobody looks at the answers
    heartbeat = setInterval(() => send({ op: 'heartbeat' }), HEARTBEAT_MS)
    tell('online', { reason })
    onBotOnlineEvent(reason)
  } else if (packet.op === 'message') {
    send({ op: 'got', id: packet.id })
    tell('message', { id: packet.id })
    for (const give of listeners) give(packet.id)
  }
}

// Lagrange.OneBot

const listeners = []

const onBotOnlineEvent = (reason) => {
  if (reason === 'Reconnect') return
  startWebServices()
}

const startWebServices = () => {
  const got = []
  listeners.push((id) => got.push(id))
  const server = createServer((_request, response) => response.end(JSON.stringify(got)))
  server.listen(0, '127.0.0.1', () => tell('service', { port: server.address().port }))
}

connectToServer()
