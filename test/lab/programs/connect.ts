/**
 * The control: what a program which relies on Node alone gets; and `race`, what curl does with the same addresses. One
 * line of `Outcome` for each run.
 */
import { lookup } from 'node:dns/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { request as undiciRequest } from 'undici'
import { WebSocket } from 'ws'
import { argument, measure, type Outcome, obey, print, warmUp } from './program.ts'

export interface ConnectArgument {
  readonly kind?: 'net' | 'race' | 'fetch' | 'undici' | 'ws'
  readonly host: string
  readonly port: number
  /** For all but net: what follows the port; and for TLS the scheme of it. */
  readonly path?: string
  readonly secure?: boolean
  /** For net and race: in this order and with no lookup. */
  readonly addresses?: readonly string[]
  readonly runs?: number
  /** All runs at once, where each takes long. */
  readonly together?: boolean
  readonly withinMs?: number
}

const {
  kind = 'net',
  host,
  port,
  path = '/',
  secure,
  addresses,
  runs = 1,
  together = false,
  withinMs = 30_000,
} = argument<ConnectArgument>()

/** As curl's default. */
const HEAD_START_MS = 200

const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
const http = `http${secure ? 's' : ''}://${authority}${path}`

type Attempt = (callOff: (stop: () => void) => void) => Promise<Partial<Outcome>>

const given = addresses?.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

const net: Attempt = (callOff) =>
  new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, ...(given && { lookup: (_host, _options, tell) => tell(null, given) }) })
    callOff(() => socket.destroy())
    socket.once('error', reject).once('connect', () => resolve({ address: socket.remoteAddress ?? '' }))
  })

/** Each address gets a head start and none is given up before one is through. */
const race: Attempt = async (callOff) => {
  const found = given ?? (await lookup(host, { all: true, verbatim: true }))
  const errors: Error[] = []
  return new Promise((resolve, reject) => {
    const start = (address: string) => {
      const socket: Socket = connectTcp({ host: address, port })
      callOff(() => socket.destroy())
      socket.once('connect', () => resolve({ address }))
      socket.once('error', (error) => {
        if (errors.push(error) === found.length) reject(new AggregateError(errors))
      })
    }
    for (const [index, { address }] of found.entries()) {
      const timer = setTimeout(start, index * HEAD_START_MS, address)
      callOff(() => clearTimeout(timer))
    }
  })
}

const viaFetch: Attempt = async (callOff) => {
  const controller = new AbortController()
  callOff(() => controller.abort())
  const { status } = await fetch(http, { signal: controller.signal })
  return { status }
}

const undici: Attempt = async (callOff) => {
  const controller = new AbortController()
  callOff(() => controller.abort())
  const { statusCode, body } = await undiciRequest(http, { signal: controller.signal })
  await body.dump()
  return { status: statusCode }
}

const ws: Attempt = (callOff) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(http.replace('http', 'ws'))
    callOff(() => socket.terminate())
    socket.on('error', reject).once('open', () => resolve({}))
  })

const run = async () => print(await measure(withinMs, { net, race, fetch: viaFetch, undici, ws }[kind]))

obey(() => undefined)
await warmUp()
if (together) await Promise.all(Array.from({ length: runs }, run))
else {
  for (let left = runs; left > 0; left--) {
    await run()
    // Two in a row would find the other's answers still on the wire.
    await sleep(10)
  }
}
process.exit()
