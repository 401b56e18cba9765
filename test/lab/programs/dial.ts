/**
 * Our own way: resolve, dial, and go on as far as `kind` says. The runs go side by side; one line of `Reached` for each dial.
 * The order {"aheadMs": 31000} sets the clock on and starts the next turn, where turns wait for that. Ends with its stdin.
 */
import { type Clock, realClock } from '../../../src/clock.ts'
import { dial } from '../../../src/net/dial.ts'
import { http } from '../../../src/net/request.ts'
import { type Address, resolverOf } from '../../../src/net/resolve.ts'
import { openWebSocket } from '../../../src/transport/websocket.ts'
import { argument, measure, type Outcome, obey, print, warmUp } from './program.ts'

export interface DialArgument {
  readonly kind?: 'socket' | 'ws' | 'http'
  /** A star in it is the number of the run: names that nobody has asked for. */
  readonly host: string
  readonly port: number
  readonly secure?: boolean
  /** In this order and with no lookup; for sockets. */
  readonly addresses?: readonly string[]
  readonly runs?: number
  /** Dials of each run, one after another. */
  readonly turns?: number
  /** Every turn but the first waits for an order. */
  readonly waits?: boolean
  /** The deadline of TCP; for sockets. */
  readonly connectMs?: number
  readonly withinMs?: number
}

export interface Reached extends Outcome {
  readonly turn: number
  /** All sockets that were opened for it; for sockets. */
  readonly attempts?: number
}

const wanted = argument<DialArgument>()
const { kind = 'socket', secure = false, runs = 1, turns = 1, withinMs = 30_000 } = wanted

let aheadMs = 0
const clock: Clock = { ...realClock, now: () => realClock.now() + aheadMs }

interface To {
  readonly host: string
  readonly port: number
  readonly given?: readonly Address[] | undefined
}

type Reach = (to: To, callOff: (stop: () => void) => void) => Promise<Partial<Reached>>

const socket: Reach = async ({ host, port, given }, callOff) => {
  const addresses = given ?? (await resolverOf(clock).find(host))
  return new Promise((done, failed) => {
    const cancel = dial({
      addresses,
      port,
      clock,
      memory: `${host}:${port}`,
      ...(wanted.connectMs && { withinMs: wanted.connectMs }),
      failed,
      opened: (opened, { attempts, address }) => {
        callOff(() => opened.destroy())
        done({ address, attempts: attempts.length })
      },
    })
    callOff(cancel)
  })
}

const ws: Reach = async ({ host, port }, callOff) => {
  const addresses = await resolverOf(clock).find(host)
  const url = `ws${secure ? 's' : ''}://${host}:${port}/`
  const limits = { maxPayloadBytes: 1_024, perMessageDeflate: false, tlsMs: 10_000, upgradeMs: 10_000 }
  const open = openWebSocket({ target: { url }, addresses, clock, ...limits })
  return new Promise((done, failed) => {
    const nothing = () => undefined
    const end = open({
      opened: nothing,
      ready: () => done({}),
      frame: nothing,
      event: nothing,
      inbound: nothing,
      answered: nothing,
      drained: nothing,
      lost: ({ code, detail }) => failed(Object.assign(new Error(detail), { code })),
    })
    callOff(end)
  })
}

const viaHttp: Reach = async ({ host, port }, callOff) => {
  const url = `http${secure ? 's' : ''}://${host}:${port}/`
  const client = http({ clock, proxy: false }, (delivered, message) => new Error(`${delivered}: ${message}`))
  callOff(() => client.close())
  const { signal } = new AbortController()
  const outgoing = { http: { url, method: 'GET', headers: {} }, read: (status: number) => status }
  return { status: (await client.request(outgoing, signal, (text) => text)) as number }
}

const reach = { socket, ws, http: viaHttp }[kind]

/** One for each turn; an order opens the next. */
const gates = Array.from({ length: turns }, () => {
  let open: () => void = () => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
})
const [first, ...later] = gates
first?.open()
if (!wanted.waits) for (const { open } of later) open()

obey((order: { aheadMs: number }) => {
  aheadMs += order.aheadMs
  later.shift()?.open()
})

const given = wanted.addresses?.map((address): Address => ({ address, family: address.includes(':') ? 6 : 4 }))

const run = async (number: number): Promise<void> => {
  const host = wanted.host.replace('*', String(number))
  for (const [turn, { passed }] of gates.entries()) {
    await passed
    const outcome = await measure(withinMs, (callOff) => reach({ host, port: wanted.port, given }, callOff))
    print({ ...outcome, turn } satisfies Reached)
  }
}

/** So far apart that none waits for the work of another, and all are under way at the same time. */
const APART_MS = 20

// With a cache of its own: the first lookup of a process costs as much as its first connection.
await resolverOf(realClock).find('v4.test')
await warmUp((address, port) => measure(1_000, (callOff) => reach({ host: address, port }, callOff)))
for (let number = 0; number < runs; number++) setTimeout(run, number * APART_MS, number)
