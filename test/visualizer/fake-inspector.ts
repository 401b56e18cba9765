/**
 * Stands in for the inspected process: serves the built page under the strict content policy and speaks
 * `holdfast-inspect/1`, with links that do what the test says. It notes all that it is asked.
 */
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname } from 'node:path'
import WebSocket, { WebSocketServer } from 'ws'
import { faults } from '../../machines/fault.ts'
import { type StateName, stateNames } from '../../machines/link.ts'
import { playgroundFaults } from '../../src/cli/lab/playground-faults.ts'
import {
  type Agg,
  CLOSE,
  DELTA_EVERY_MS,
  type Hello,
  type Order,
  PROTOCOL,
  type Row,
  type ServerMessage,
  SNAP_ROWS_MAX,
  type ViewerMessage,
} from '../../src/observe/inspect/protocol.ts'
import type { TransitionRecord } from '../../src/observe/recorder.ts'

export const TOKEN = 'fake-token-0123456789'

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
const kinds: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' }
const codes = Object.keys(faults)

export const faultIndex = (code: string | null): number => (code === null ? -1 : codes.indexOf(code))

/** A link of the fake: its row, by name, and its records. */
export interface FakeLink {
  readonly index: number
  readonly id: string
  readonly adapter: string
  state: number
  since: number
  attempt: number
  fault: number
  roundTripMs: number
  dueAt: number
  readonly records: TransitionRecord[]
  /** How many it recorded in all, where that is more. */
  total?: number
}

export interface FakeOptions {
  readonly control?: boolean
  readonly states?: readonly string[]
  readonly faults?: readonly { code: string }[]
  readonly labLink?: string
}

const rowOf = (link: FakeLink): Row => [
  link.index,
  link.id,
  link.adapter,
  link.state,
  link.since,
  link.attempt,
  link.fault,
  link.roundTripMs,
  link.dueAt,
]

export class FakeInspector {
  readonly links: FakeLink[] = []
  readonly orders: Order[] = []
  readonly tokens: string[] = []
  /** Called with each order; a text is the error that is answered. */
  onOrder: (order: Order) => string | undefined = () => undefined
  /** Orders are not answered. */
  silent = false
  /** After each delta, for whoever measures. */
  onDelta: (at: number) => void = () => undefined
  readonly #http: Server
  readonly #sockets = new WebSocketServer({ noServer: true })
  readonly #options: FakeOptions
  readonly #dirty = new Set<FakeLink>()
  readonly #added: FakeLink[] = []
  #gone: number[] = []
  #pending: [number, TransitionRecord][] = []
  #timer: NodeJS.Timeout | undefined
  #moves = 0
  readonly #viewers = new Map<WebSocket, Set<number>>()

  constructor(options: FakeOptions = {}) {
    this.#options = options
    this.#http = createServer((request, response) => {
      const path = request.url === '/' ? '/index.html' : (request.url ?? '')
      const type = kinds[extname(path)]
      if (!type || path.slice(1).includes('/')) {
        response.writeHead(404, { 'content-security-policy': policy }).end()
        return
      }
      const body = readFileSync(`dist/visualizer${path}`)
      response.writeHead(200, { 'content-type': type, 'content-security-policy': policy }).end(body)
    })
    this.#http.on('upgrade', (request, socket, head) => {
      if (request.url !== '/stream') return socket.destroy()
      this.#sockets.handleUpgrade(request, socket, head, (viewer) => this.#welcome(viewer))
    })
  }

  /** Returns the address of the page, with the token. */
  async start(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#http.listen(port, '127.0.0.1', resolve))
    this.#timer = setInterval(() => this.#tell(), DELTA_EVERY_MS)
    return `http://127.0.0.1:${this.port}/#token=${TOKEN}`
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    if (!this.#http.listening) return
    clearInterval(this.#timer)
    this.drop()
    await new Promise((resolve) => this.#http.close(resolve))
  }

  /** Cuts every viewer off without a word. */
  drop(): void {
    for (const viewer of this.#viewers.keys()) viewer.terminate()
    this.#viewers.clear()
  }

  add(id: string, more: Partial<FakeLink> = {}): FakeLink {
    const link: FakeLink = {
      index: this.links.length,
      id,
      adapter: 'onebot',
      state: stateNames.indexOf('live'),
      since: Date.now() - 5_000,
      attempt: 1,
      fault: -1,
      roundTripMs: -1,
      dueAt: -1,
      records: [],
      ...more,
    }
    this.links.push(link)
    this.#added.push(link)
    return link
  }

  remove(link: FakeLink): void {
    this.links.splice(this.links.indexOf(link), 1)
    this.#gone.push(link.index)
  }

  /** The row has been changed by hand. */
  touch(link: FakeLink): void {
    this.#dirty.add(link)
  }

  /** Moves a link as a real one would: its row, its record, its fault. */
  move(link: FakeLink, event: string, to: StateName, more: Partial<TransitionRecord> = {}): void {
    const at = Date.now()
    const from = stateNames[link.state] ?? ('live' as StateName)
    const seq = (link.total ?? link.records.length) + 1
    if (link.total !== undefined) link.total++
    const record: TransitionRecord = {
      link: link.id,
      seq,
      at,
      elapsedMs: at - link.since,
      from,
      event,
      to,
      reason: event,
      attempt: link.attempt,
      ...more,
    }
    link.records.push(record)
    link.state = stateNames.indexOf(to)
    link.since = at
    if (codes.includes(record.reason)) link.fault = faultIndex(record.reason)
    link.dueAt = record.delayMs === undefined ? -1 : at + record.delayMs
    this.#pending.push([link.index, record])
    this.#dirty.add(link)
    this.#moves++
  }

  /** Counts transitions that only change a row, as a crowd makes them. */
  crowd(link: FakeLink, state: number): void {
    link.state = state
    link.since = Date.now()
    this.#dirty.add(link)
    this.#moves++
  }

  #welcome(viewer: WebSocket): void {
    viewer.on('error', () => viewer.terminate())
    viewer.once('message', (data) => {
      const first = JSON.parse(String(data)) as ViewerMessage
      if (first.t === 'auth') this.tokens.push(first.token)
      if (first.t !== 'auth' || first.token !== TOKEN) return viewer.close(CLOSE.unauthorized)
      this.#viewers.set(viewer, new Set())
      viewer.on('close', () => this.#viewers.delete(viewer))
      viewer.on('message', (text) => this.#hear(viewer, JSON.parse(String(text)) as ViewerMessage))
      send(viewer, this.#hello())
      for (let i = 0; i === 0 || i < this.links.length; i += SNAP_ROWS_MAX) {
        const rows = this.links.slice(i, i + SNAP_ROWS_MAX).map(rowOf)
        send(viewer, { t: 'snap', rows, more: i + SNAP_ROWS_MAX < this.links.length })
      }
      send(viewer, this.#agg())
    })
  }

  #hello(): Hello {
    const table = Object.entries(faults).map(([code, row]) => ({ code, ...row }))
    const { states = stateNames, faults: own = table, control = true, labLink } = this.#options
    return {
      t: 'hello',
      protocol: PROTOCOL,
      version: '0.1.0',
      states: states as Hello['states'],
      arrows: [],
      deadlines: { 'degraded.suspect': 2_000, connecting: 10_000 },
      faults: own as Hello['faults'],
      now: Date.now(),
      control,
      labFaults: control ? Object.keys(playgroundFaults) : [],
      ...(labLink !== undefined && { labLink }),
      runtime: 'node 20.20.2 linux x64',
    }
  }

  #hear(viewer: WebSocket, message: ViewerMessage): void {
    if (message.t === 'sub') {
      this.#viewers.set(viewer, new Set(message.indexes))
      for (const index of message.indexes) {
        const link = this.links.find((each) => each.index === index)
        const kept = link?.records.slice(-256) ?? []
        // What is in the history already is not told again.
        this.#pending = this.#pending.filter(([of]) => of !== index)
        const total = link?.total ?? link?.records.length ?? 0
        send(viewer, { t: 'history', index, kept, total, explain: { en: '', zh: '' }, deadlines: { graceMs: 2_000 } })
      }
    }
    if (message.t !== 'cmd') return
    this.orders.push(message)
    const error = this.onOrder(message)
    if (this.silent) return
    send(viewer, { t: 'done', n: message.n, ...(error !== undefined && { error }) })
  }

  #tell(): void {
    const at = Date.now()
    const added = this.#added.splice(0)
    const changes = [...this.#dirty].map((link) => {
      const [index, , , ...rest] = rowOf(link)
      return [index, ...rest] as const
    })
    this.#dirty.clear()
    const gone = this.#gone
    this.#gone = []
    const delta = JSON.stringify({ t: 'delta', at, changes, added: added.map(rowOf), gone } satisfies ServerMessage)
    const pending = this.#pending
    this.#pending = []
    for (const [viewer, indexes] of this.#viewers) {
      const records = pending.filter(([index]) => indexes.has(index))
      if (records.length > 0)
        send(viewer, { t: 'tx', records: records.slice(-200), lost: Math.max(0, records.length - 200) })
      viewer.send(delta)
      if (at % 1000 < DELTA_EVERY_MS) send(viewer, this.#agg())
    }
    if (at % 1000 < DELTA_EVERY_MS) this.#moves = 0
    this.onDelta(at)
  }

  #agg(): Agg {
    const counts = stateNames.map((_, state) => this.links.filter((link) => link.state === state).length)
    const blamed = new Map<number, number>()
    for (const { fault } of this.links) if (fault >= 0) blamed.set(fault, (blamed.get(fault) ?? 0) + 1)
    return { t: 'agg', counts, rate: this.#moves, causes: [...blamed].sort(([, a], [, b]) => b - a).slice(0, 3) }
  }
}

const send = (viewer: WebSocket, message: ServerMessage): void => {
  if (viewer.readyState === WebSocket.OPEN) viewer.send(JSON.stringify(message))
}
