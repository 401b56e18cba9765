/**
 * A TCP relay on loopback, in plain Node: delay, silence and cuts for tests on any machine. It works on bytes and not on
 * packets: the kernel accepts a connection at once whatever the relay does, so the time to connect is out of its reach.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Relay {
  readonly host: string
  readonly port: number
  /** Connections that are open now. */
  readonly connections: number
  /** All that have been accepted. */
  readonly accepted: number
  /** For what arrives from now on; half of it is spent in each direction. */
  delay(rttMs: number): void
  /** Nothing passes any more, in either direction, and nobody is told. What is sent meanwhile waits. */
  freeze(): void
  /** What has waited passes on, in its order. */
  thaw(): void
  /** Ends every open connection on both sides, with RST or with FIN. New ones are still relayed. */
  cut(how?: 'rst' | 'fin'): void
  /** Nobody listens: ECONNREFUSED. Open connections stay. */
  refuse(): Promise<void>
  /** Listens again, on the same port. */
  listen(): Promise<void>
  stop(): Promise<void>
}

interface Pair {
  readonly inbound: Socket
  readonly outbound: Socket
  readonly pipes: readonly Pipe[]
}

export const relay = async (target: { readonly port: number; readonly host?: string }): Promise<Relay> => {
  const host = '127.0.0.1'
  const pairs = new Set<Pair>()
  let oneWayMs = 0
  let frozen = false
  let accepted = 0
  let port = 0

  const accept = (inbound: Socket) => {
    accepted++
    const outbound = connect({ host: target.host ?? host, port: target.port, noDelay: true, allowHalfOpen: true })
    const wire: Wire = { oneWayMs: () => oneWayMs, frozen: () => frozen }
    const pair: Pair = { inbound, outbound, pipes: [pipe(inbound, outbound, wire), pipe(outbound, inbound, wire)] }
    pairs.add(pair)
    const forget = () => {
      if (inbound.closed && outbound.closed) pairs.delete(pair)
    }
    for (const [socket, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      // An end that is not a FIN is passed on as what it is.
      socket.on('error', () => {
        if (!frozen) other.resetAndDestroy()
      })
      socket.on('close', forget)
    }
  }

  const server = createServer({ noDelay: true, allowHalfOpen: true }, accept)
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, () => {
        server.off('error', reject)
        port = (server.address() as AddressInfo).port
        resolve()
      })
    })
  const refuse = () =>
    new Promise<void>((resolve) => {
      // Its callback waits for the open connections as well; the port is closed at once.
      server.close()
      setImmediate(resolve)
    })
  const cut = (how: 'rst' | 'fin' = 'rst') => {
    for (const { inbound, outbound, pipes } of pairs) {
      for (const each of pipes) each.stop()
      for (const socket of [inbound, outbound]) {
        if (how === 'rst') socket.resetAndDestroy()
        else socket.end(() => socket.destroy())
      }
    }
  }

  await listen()
  return {
    host,
    get port() {
      return port
    },
    get connections() {
      return pairs.size
    },
    get accepted() {
      return accepted
    },
    delay: (rttMs) => {
      oneWayMs = rttMs / 2
    },
    freeze: () => {
      frozen = true
    },
    thaw: () => {
      frozen = false
      for (const { pipes } of pairs) for (const each of pipes) each.wake()
    },
    cut,
    refuse,
    listen,
    stop: async () => {
      cut()
      if (server.listening) await refuse()
    },
  }
}

interface Wire {
  oneWayMs(): number
  frozen(): boolean
}

interface Pipe {
  wake(): void
  stop(): void
}

/** A FIN travels as data does, behind what was written before it. */
const pipe = (from: Socket, to: Socket, wire: Wire): Pipe => {
  const underWay: { readonly dueAt: number; readonly chunk: Buffer | undefined }[] = []
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  const deliver = () => {
    clearTimeout(timer)
    while (!stopped && !wire.frozen() && underWay.length > 0) {
      const [{ dueAt, chunk } = { dueAt: 0, chunk: undefined }] = underWay
      const waitMs = dueAt - performance.now()
      if (waitMs > 0) {
        timer = setTimeout(deliver, Math.ceil(waitMs))
        return
      }
      underWay.shift()
      if (chunk) to.write(chunk)
      else to.end()
    }
  }
  const put = (chunk?: Buffer) => {
    underWay.push({ dueAt: performance.now() + wire.oneWayMs(), chunk })
    deliver()
  }
  from.on('data', put)
  from.once('end', () => put())
  return {
    wake: deliver,
    stop: () => {
      stopped = true
      clearTimeout(timer)
    },
  }
}
