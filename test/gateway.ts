/**
 * A platform that keeps sessions, in virtual time: it can be resumed at a host that it names, replays what was missed,
 * forgets sessions when told to, and announces that it goes away. And the adapter that speaks with it.
 */
import { type Adapter, defineAdapter, type RationedStarts, type Target } from '../src/adapter/adapter.ts'
import { type JsonObject, readObject } from '../src/adapter/json.ts'
import type { Clock } from '../src/clock.ts'
import type { Endpoint } from '../src/conversation.ts'
import { connect, type Link } from '../src/link.ts'
import type { LinkOptions } from '../src/options.ts'
import { type HeapClock, heapClock } from '../src/testing/heap-clock.ts'
import type { OpenTransport, TransportListener } from '../src/transport/transport.ts'

export const GATEWAY = 'wss://gateway.test/'
export const RESUME_AT = 'wss://resume-7.gateway.test/'

const LATENCY_MS = 10

interface Event {
  readonly seq: number
  readonly text: string
}

/** One connection of a bot, as the platform sees it. */
interface Client {
  readonly host: string
  readonly listener: TransportListener
  isOpen: boolean
  session: string | undefined
}

type Behaviour = 'fine' | 'refuses' | 'unreachable' | 'mute' | 'deaf'

export class Gateway {
  readonly clock: Clock
  /** By host name; `mute` accepts and never answers what it is asked, `deaf` answers no message from now on. */
  hosts: Record<string, Behaviour> = {}
  readonly sessions = new Map<string, Event[]>()
  /** Every dial: the host, and whether it was an identify or a resume that followed. */
  readonly dials: { host: string; at: number; asked?: string }[] = []
  readonly heard: JsonObject[] = []
  /** With which code each connection was closed by the bot. */
  readonly closes: (number | undefined)[] = []
  resumeAt: string | undefined = RESUME_AT
  token = 'good'
  #clients: Client[] = []
  #made = 0
  #seq = 0

  constructor(clock: Clock) {
    this.clock = clock
  }

  get open(): number {
    return this.#clients.filter(({ isOpen }) => isOpen).length
  }

  asked(what: string): number {
    return this.dials.filter(({ asked }) => asked === what).length
  }

  readonly transport =
    ({ target }: Endpoint): OpenTransport =>
    (listener) => {
      const { hostname } = new URL(target.url)
      const client: Client = { host: hostname, listener, isOpen: true, session: undefined }
      this.#clients.push(client)
      const dial: (typeof this.dials)[number] = { host: hostname, at: this.clock.now() }
      this.dials.push(dial)
      this.#later(client, () => this.#accept(client, dial))
      return () => {
        client.isOpen = false
      }
    }

  #later(client: Client, act: () => void): void {
    this.clock.setTimeout(() => {
      if (client.isOpen) act()
    }, LATENCY_MS)
  }

  #accept(client: Client, dial: (typeof this.dials)[number]): void {
    const { listener, host } = client
    const behaviour = this.hosts[host] ?? 'fine'
    if (behaviour === 'refuses' || behaviour === 'unreachable') {
      listener.lost({ code: behaviour === 'refuses' ? 'refused' : 'unreachable' })
      return
    }
    listener.opened()
    listener.ready({
      send: (frame) => {
        const asked = readObject(frame) ?? {}
        this.heard.push(asked)
        if (asked.op === 'identify' || asked.op === 'resume') dial.asked = asked.op
        if (behaviour !== 'mute') this.#later(client, () => this.#answer(client, asked))
      },
      ping: (mark) =>
        this.#later(client, () => {
          listener.answered(mark)
          listener.inbound()
        }),
      bufferedBytes: () => 0,
      close: (code) => {
        this.closes.push(code)
        this.#later(client, () => listener.lost({ code: 'closed-by-peer' }, { code: 1000, reason: '' }))
      },
    })
  }

  #answer(client: Client, asked: JsonObject): void {
    if (asked.op === 'say' && this.hosts[client.host] === 'deaf') return
    if (asked.op === 'say') this.#tell(client, { op: 'heard', key: asked.key })
    else if (asked.token !== this.token) client.listener.lost({ code: 'closed-by-peer' }, { code: 4004, reason: '' })
    else if (asked.op === 'identify') this.#welcome(client)
    else this.#resume(client, String(asked.id), Number(asked.seq))
  }

  #welcome(client: Client): void {
    client.session = `s${++this.#made}`
    this.sessions.set(client.session, [])
    this.#tell(client, { op: 'ready', id: client.session, url: this.resumeAt })
  }

  #resume(client: Client, id: string, from: number): void {
    const events = this.sessions.get(id)
    if (!events) {
      this.#tell(client, { op: 'invalid' })
      return
    }
    client.session = id
    for (const event of events) if (event.seq > from) this.#tell(client, { op: 'event', ...event })
    this.#tell(client, { op: 'resumed' })
  }

  #tell(client: Client, frame: object): void {
    if (!client.isOpen) return
    client.listener.frame(JSON.stringify(frame))
    client.listener.inbound()
  }

  /** Something happened: it is kept for every session, and sent to those who are there. */
  say(text: string): void {
    const event = { seq: ++this.#seq, text }
    for (const events of this.sessions.values()) events.push(event)
    for (const client of this.#clients) if (client.session) this.#tell(client, { op: 'event', ...event })
  }

  tellAll(frame: object): void {
    for (const client of [...this.#clients]) this.#tell(client, frame)
  }

  /** The oldest connection breaks. */
  dropFirst(): void {
    this.#clients.find(({ isOpen }) => isOpen)?.listener.lost({ code: 'connection-lost' })
  }

  drop(): void {
    for (const client of [...this.#clients]) if (client.isOpen) client.listener.lost({ code: 'connection-lost' })
  }
}

export interface GatewayOptions {
  readonly starts?: RationedStarts
  readonly overlap?: boolean
  readonly resumeHosts?: readonly string[]
  readonly resumableClose?: number
  readonly target?: Target | Adapter['target']
}

export const gatewayAdapter = ({
  target = { url: GATEWAY },
  ...more
}: GatewayOptions = {}): Adapter<JsonObject, string> =>
  defineAdapter<JsonObject, string>({
    name: 'gateway',
    resumeHosts: ['gateway.test'],
    ...more,
    target,
    dialogue: (io) => {
      let isIn = false
      const enter = (welcome: Parameters<typeof io.welcome>[0]) => {
        if (!isIn) io.welcome(welcome)
        isIn = true
      }
      return {
        opened: () => {
          const { id, cursor = 0 } = io.session
          const token = io.session.id?.startsWith('bad') ? 'bad' : 'good'
          io.send(JSON.stringify(id ? { op: 'resume', id, seq: cursor, token } : { op: 'identify', token }))
        },
        frame: (raw) => {
          const frame = readObject(raw)
          if (!frame) return 'malformed'
          if (frame.op === 'ready') {
            const endpoint = frame.url === undefined ? {} : { endpoint: String(frame.url) }
            enter({ session: { id: String(frame.id), ...endpoint } })
          } else if (frame.op === 'event') {
            enter({ resumed: true, replaying: true })
            io.deliver(frame, { id: `e${frame.seq}`, cursor: Number(frame.seq) })
          } else if (frame.op === 'resumed') {
            enter({ resumed: true, replaying: true })
            io.caughtUp()
          } else if (frame.op === 'invalid') io.fail('session-lost')
          else if (frame.op === 'leaving') io.leaving()
          else if (frame.op === 'heard') io.answer(String(frame.key), undefined)
          else return 'unknown'
          return 'taken'
        },
        closed: (code) => (code === 4004 ? 'credentials-rejected' : undefined),
      }
    },
    encode: (text, key) => ({ frame: JSON.stringify({ op: 'say', text, key }), proof: 'answer' }),
  })

export interface GatewayRig {
  readonly clock: HeapClock
  readonly gateway: Gateway
  readonly link: Link<JsonObject, string>
  /** What the user was given, and told of gaps, in order. */
  readonly got: string[]
  end(): Promise<void>
}

export const gatewayRig = (
  adapter: GatewayOptions = {},
  options: Partial<LinkOptions> = {},
  world: { clock?: HeapClock; gateway?: Gateway } = {},
): GatewayRig => {
  const clock = world.clock ?? heapClock()
  const gateway = world.gateway ?? new Gateway(clock)
  const lookup = async () => [{ address: '192.0.2.7', family: 4 as const }]
  const link = connect(gatewayAdapter(adapter), { id: 'bot', clock, lookup, transport: gateway.transport, ...options })
  const got: string[] = []
  link.inbound$.subscribe((message) => void got.push(String(message.text)))
  link.continuity$.subscribe(({ kind }) => void got.push(`<${kind}>`))
  return {
    clock,
    gateway,
    link,
    got,
    end: async () => {
      let ended = false
      void link.stop({ drainMs: 0 }).then(() => {
        ended = true
      })
      await clock.advance(4_000)
      if (!ended || gateway.open > 0) throw new Error(`${link.status.state}, ${gateway.open} transports are left`)
    },
  }
}
