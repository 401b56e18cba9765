/**
 * An etcd in virtual time, as its JSON gateway was seen to behave (3.4.23): leases that run out, a store with a history,
 * watches, and what happens to it: frozen, killed, compacted. Pass `etcd.transport` to `connect()`.
 */
import { type Question, readQuestion, writeAnswer } from '../../src/exchange.ts'
import type { HeapClock } from '../../src/testing/heap-clock.ts'
import type { OpenTransport, TransportListener } from '../../src/transport/transport.ts'

interface Kv {
  readonly key: string
  readonly value: string
  readonly mod_revision: string
  readonly lease?: string
}

interface Change {
  readonly revision: number
  readonly type?: 'DELETE'
  readonly kv: Kv
}

interface Lease {
  readonly ttl: number
  endsAt: number
}

/** What comes back: a body with HTTP 200, or an error as gRPC and HTTP have it. */
type Reply = object | { readonly refused: number; readonly status: number; readonly message?: string }

const b64 = (text: string) => Buffer.from(text).toString('base64')
export const plain = (base64: unknown) => Buffer.from(String(base64), 'base64').toString()
const isIn = (key: string, from: unknown, to: unknown) =>
  to === undefined ? b64(key) === from : key >= plain(from) && (plain(to) === '\0' || key < plain(to))

export class FakeEtcd {
  readonly clock: HeapClock
  readonly leases = new Map<string, Lease>()
  readonly asked: { readonly at: number; readonly path: string; readonly body: Record<string, unknown> }[] = []
  /** Instead of what etcd would say. */
  reply: ((question: Question) => Reply | undefined) | undefined
  dials = 0
  isUp = true
  #isFrozen = false
  #store = new Map<string, Kv>()
  #history: Change[] = []
  #revision = 1
  #compacted = 0
  #leaseCount = 7_587_000_000_000_000_000n
  readonly #pipes = new Set<EtcdPipe>()

  constructor(clock: HeapClock) {
    this.clock = clock
    this.#tick()
  }

  /** Of etcd's own: it looks for leases that ran out twice a second. */
  #tick(): void {
    this.clock.setTimeout(() => this.#tick(), 500)
    if (!this.#isFrozen && this.isUp) this.#expire()
  }

  #expire(): void {
    for (const [id, lease] of this.leases) if (lease.endsAt <= this.clock.now()) this.revoke(id)
  }

  readonly lookup = async () => [{ address: '127.0.0.1', family: 4 as const }]

  readonly transport = (): OpenTransport => (listener) => {
    this.dials++
    const pipe = new EtcdPipe(this, listener)
    this.#pipes.add(pipe)
    this.clock.setTimeout(() => {
      // a frozen process is connected to by its kernel
      if (this.isUp) pipe.open()
      else pipe.lose()
    }, 1)
    return () => {
      pipe.end()
      this.#pipes.delete(pipe)
    }
  }

  get isFrozen(): boolean {
    return this.#isFrozen
  }

  get keys(): string[] {
    return [...this.#store.keys()].sort()
  }

  /** Who holds the key; undefined if it is not there. */
  holder(key: string): string | undefined {
    return this.#store.get(key)?.lease
  }

  questions(path: string): typeof this.asked {
    return this.asked.filter((question) => question.path === path)
  }

  freeze(): void {
    this.#isFrozen = true
  }

  thaw(): void {
    this.#isFrozen = false
    this.#expire()
    for (const pipe of this.#pipes) pipe.resume()
  }

  kill(): void {
    this.isUp = false
    for (const pipe of this.#pipes) pipe.break()
  }

  /** Leases get their whole time again (etcd #9395). */
  start(): void {
    this.isUp = true
    for (const lease of this.leases.values()) lease.endsAt = this.clock.now() + lease.ttl * 1_000
  }

  /** Ends all watches, as a proxy does; the rest goes on. */
  endStreams(): void {
    for (const pipe of this.#pipes) pipe.endStreams()
  }

  put(key: string, value: string, lease?: string): void {
    this.#revision++
    const kv = { key: b64(key), value: b64(value), mod_revision: String(this.#revision), ...(lease && { lease }) }
    this.#store.set(key, kv)
    this.#tell({ revision: this.#revision, kv })
  }

  delete(...keys: string[]): void {
    this.#revision++
    const revision = this.#revision
    const gone = keys.filter((key) => this.#store.delete(key))
    const kvs = gone.map((key) => ({ key: b64(key), value: '', mod_revision: String(revision) }))
    this.#tell(...kvs.map((kv) => ({ revision, type: 'DELETE' as const, kv })))
  }

  revoke(id: string): void {
    this.leases.delete(id)
    const keys = [...this.#store].filter(([, { lease }]) => lease === id).map(([key]) => key)
    if (keys.length > 0) this.delete(...keys)
  }

  compact(): void {
    this.#compacted = this.#revision
  }

  /** A backup of long ago. */
  restore(): void {
    this.#store = new Map()
    this.#history = []
    this.#revision = 1
  }

  #tell(...changes: Change[]): void {
    this.#history.push(...changes)
    for (const pipe of this.#pipes) pipe.changed()
  }

  get #header() {
    return { cluster_id: '1', member_id: '1', revision: String(this.#revision), raft_term: '2' }
  }

  answer(question: Question): Reply {
    const body = JSON.parse(question.body!) as Record<string, unknown>
    this.asked.push({ at: this.clock.now(), path: question.path, body })
    return this.reply?.(question) ?? this.#answer(question.path, body)
  }

  #answer(path: string, body: Record<string, unknown>): Reply {
    const header = this.#header
    if (path === 'v3/lease/grant') {
      const ID = String(++this.#leaseCount)
      const ttl = Number(body.TTL)
      this.leases.set(ID, { ttl, endsAt: this.clock.now() + ttl * 1_000 })
      return { header, ID, TTL: String(ttl) }
    }
    if (path === 'v3/lease/keepalive') {
      const lease = this.leases.get(String(body.ID))
      if (lease) lease.endsAt = this.clock.now() + lease.ttl * 1_000
      return { result: { header, ID: body.ID, ...(lease && { TTL: String(lease.ttl) }) } }
    }
    if (path === 'v3/lease/revoke') {
      if (!this.leases.has(String(body.ID))) return { refused: 5, status: 404 }
      this.revoke(String(body.ID))
      return { header: this.#header }
    }
    if (path === 'v3/kv/put') {
      const lease = body.lease as string
      if (!this.leases.has(lease)) return { refused: 5, status: 404 }
      this.put(plain(body.key), plain(body.value), lease)
      return { header: this.#header }
    }
    if (path === 'v3/kv/range') return this.#range(body)
    if (path === 'v3/watch') return {}
    return { refused: 9, status: 412 }
  }

  #range({ key, range_end, revision, sort_target, count_only }: Record<string, unknown>): Reply {
    const at = Number(revision ?? this.#revision)
    if (at < this.#compacted || at > this.#revision) return { refused: 11, status: 400 }
    const kvs = [...this.#store].filter(([name]) => isIn(name, key, range_end)).map(([, kv]) => kv)
    if (count_only || kvs.length === 0) return { header: this.#header }
    if (sort_target === 'MOD') kvs.sort((a, b) => Number(b.mod_revision) - Number(a.mod_revision)).splice(1)
    return { header: this.#header, kvs, count: String(kvs.length) }
  }

  /** What a watch that begins there is told; undefined if there is nothing. */
  since(from: number, watch: Record<string, unknown>): object | undefined {
    const header = this.#header
    if (from < this.#compacted) return { header, canceled: true, compact_revision: String(this.#compacted) }
    const isPut = ({ type }: Change) => type === undefined
    const wanted = this.#history.filter(
      (change) =>
        change.revision >= from &&
        isIn(plain(change.kv.key), watch.key, watch.range_end) &&
        !(watch.filters && isPut(change)),
    )
    if (wanted.length === 0) return undefined
    return { header, events: wanted.map(({ type, kv }) => ({ ...(type && { type }), kv })) }
  }

  get revision(): number {
    return this.#revision
  }
}

interface Asked {
  readonly question: Question
  end(): void
}

/** One transport to it. */
class EtcdPipe {
  readonly #etcd: FakeEtcd
  readonly #listener: TransportListener
  readonly #asked = new Map<string, Asked>()
  readonly #waiting: (() => void)[] = []
  readonly #streams = new Map<string, { from: number; watch: Record<string, unknown> }>()
  #isEnded = false

  constructor(etcd: FakeEtcd, listener: TransportListener) {
    this.#etcd = etcd
    this.#listener = listener
  }

  open(): void {
    if (this.#isEnded) return
    this.#listener.opened()
    this.#listener.ready({
      send: (frame) => this.#take(readQuestion(frame)),
      ping: () => undefined,
      bufferedBytes: () => 0,
      close: () => this.#etcd.clock.setTimeout(() => this.#close(), 1),
    })
  }

  #close(): void {
    const isSaid = ![...this.#asked.values()].some(({ question }) => question.isGoodbye)
    if (isSaid) this.#lost('closed-by-peer')
    else this.#etcd.clock.setTimeout(() => this.#close(), 1)
  }

  lose(): void {
    this.#lost('refused')
  }

  #lost(code: 'refused' | 'closed-by-peer'): void {
    if (!this.#isEnded) this.#listener.lost({ code })
  }

  end(): void {
    this.#isEnded = true
    for (const asked of this.#asked.values()) asked.end()
    this.#asked.clear()
    this.#streams.clear()
  }

  resume(): void {
    for (const act of this.#waiting.splice(0)) act()
    this.changed()
  }

  /** Its process is gone: what was open breaks. */
  break(): void {
    for (const key of [...this.#asked.keys()]) this.#fail(key, 'connection-lost')
  }

  endStreams(): void {
    for (const key of [...this.#streams.keys()]) this.#tell(key, { kind: 'ended' })
  }

  changed(): void {
    if (this.#etcd.isFrozen || this.#isEnded) return
    for (const [key, stream] of this.#streams) {
      const result = this.#etcd.since(stream.from, stream.watch)
      stream.from = Math.max(stream.from, this.#etcd.revision + 1)
      if (result) this.#tell(key, { kind: 'line', line: JSON.stringify({ result }) })
    }
  }

  #take(asked: Question | { readonly cancel: string }): void {
    if ('cancel' in asked) {
      this.#forget(asked.cancel)
      return
    }
    const { clock } = this.#etcd
    const { key, afterMs = 0, withinMs } = asked
    const begin = () => {
      timer = clock.setTimeout(() => this.#fail(key, 'answer-timeout'), withinMs)
      if (!this.#etcd.isUp) return this.#fail(key, 'refused')
      const answer = () => {
        if (!this.#asked.has(key)) return
        if (this.#etcd.isFrozen) this.#waiting.push(answer)
        else this.#answer(asked, () => clock.clearTimeout(timer))
      }
      clock.setTimeout(answer, 1)
    }
    let timer = clock.setTimeout(begin, afterMs)
    this.#asked.set(key, { question: asked, end: () => clock.clearTimeout(timer) })
  }

  #answer(question: Question, answered: () => void): void {
    const { key } = question
    const headers = {}
    const reply = this.#etcd.answer(question)
    answered()
    if ('refused' in reply) {
      const body = JSON.stringify({
        error: 'no',
        message: (reply as { message?: string }).message ?? 'etcdserver: no',
        code: reply.refused,
      })
      this.#tell(key, { kind: 'whole', status: Number((reply as { status: number }).status), headers, body })
    } else if (question.stream) {
      this.#tell(key, { kind: 'opened', status: 200, headers })
      const created = { header: { revision: String(this.#etcd.revision) }, ...reply, created: true }
      this.#tell(key, { kind: 'line', line: JSON.stringify({ result: created }) })
      const { create_request: watch } = JSON.parse(question.body!) as { create_request: Record<string, unknown> }
      this.#streams.set(key, { from: Number(watch.start_revision), watch })
      this.changed()
    } else this.#tell(key, { kind: 'whole', status: 200, headers, body: JSON.stringify(reply) })
  }

  #fail(key: string, code: 'refused' | 'connection-lost' | 'answer-timeout'): void {
    if (this.#asked.has(key)) this.#tell(key, { kind: 'fault', fault: { code } })
  }

  #forget(key: string): void {
    this.#asked.get(key)?.end()
    this.#asked.delete(key)
    this.#streams.delete(key)
  }

  #tell(key: string, answer: { kind: string; [field: string]: unknown }): void {
    if (this.#isEnded) return
    if (['whole', 'ended', 'fault'].includes(answer.kind)) this.#forget(key)
    this.#listener.frame(writeAnswer({ key, ...answer } as Parameters<typeof writeAnswer>[0]))
    if (answer.kind !== 'fault') this.#listener.inbound()
  }
}
