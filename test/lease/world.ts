/**
 * A fleet in a bad world: processes whose clocks run apart, that freeze, die and come back; a store that is late, cut off
 * and loses answers; and a platform that sees from outside who is connected and who acts. One seed is one world.
 */
import { Observable, Subject } from 'rxjs'
import type { Clock, Timer } from '../../src/clock.ts'
import type { LinkStatus } from '../../src/explain.ts'
import type { HandOver } from '../../src/hand-over.ts'
import type { LinkToOwn } from '../../src/lease/activities.ts'
import { type Lease, type LeaseStore, lease, memoryLeaseStore } from '../../src/lease.ts'
import type { Tenure } from '../../src/tenure.ts'
import { type HeapClock, heapClock, seededRandom } from '../../src/testing/heap-clock.ts'

export interface WorldOptions {
  readonly seed: number
  readonly processes?: number
  /** Clocks run fast or slow by up to this part. */
  readonly drift?: number
  /** Processes freeze, for up to 40 s. */
  readonly freezes?: boolean
  /** A control: links that do not ask before they act. */
  readonly reckless?: boolean
  readonly ttlMs?: number
}

const SECOND = 1_000
const ACT_EVERY_MS = 300
/** What is on its way cannot be called back. */
const ANY = new AbortController().signal

export class World {
  readonly options: Required<WorldOptions>
  readonly clock: HeapClock
  readonly random: () => number
  readonly store = memoryLeaseStore()
  readonly platform: Platform
  readonly members: Member[]
  /** How often each kind of trouble came. */
  readonly troubles: Record<string, number> = {}

  constructor(options: WorldOptions) {
    this.options = { processes: 3, drift: 0.01, freezes: false, reckless: false, ttlMs: 15_000, ...options }
    const { seed, processes } = this.options
    this.clock = heapClock(seed)
    this.random = seededRandom(seed * 2 + 1)
    this.platform = new Platform(this.clock)
    this.members = Array.from({ length: processes }, (_, n) => new Member(this, n))
  }

  /** In milliseconds, from 0 up to this. */
  upTo(ms: number): number {
    return this.random() * ms
  }

  one<T>(things: readonly T[]): T {
    return things[Math.floor(this.random() * things.length)]!
  }

  /** Time goes on; whatever promises settle between two moments does so. */
  async pass(ms: number): Promise<void> {
    const until = this.clock.now() + ms
    for (;;) {
      await settle()
      const next = this.clock.nextInMs
      if (next === undefined || this.clock.now() + next > until) break
      this.clock.advanceSync(next)
    }
    this.clock.advanceSync(until - this.clock.now())
  }

  /** So long, something bad happens every few seconds. */
  async suffer(ms: number): Promise<void> {
    const until = this.clock.now() + ms
    while (this.clock.now() < until) {
      await this.pass(2 * SECOND + this.upTo(30 * SECOND))
      this.#trouble()
    }
  }

  /** Everybody is well again, for so long. */
  async calm(ms: number): Promise<void> {
    for (const member of this.members) member.heal()
    await this.pass(ms)
  }

  #trouble(): void {
    const member = this.one(this.members)
    const kinds = {
      'cut-off': () => member.cutOff(this.upTo(60 * SECOND)),
      'cut-off-all': () => {
        const ms = this.upTo(25 * SECOND)
        for (const each of this.members) each.cutOff(ms)
      },
      late: () => member.late(this.upTo(4 * SECOND), this.upTo(30 * SECOND)),
      crash: () => member.crash(this.upTo(30 * SECOND)),
      yield: () => member.lease?.yield(),
      leave: () => void member.leave(this.upTo(20 * SECOND)),
      ...(this.options.freezes ? { freeze: () => member.freeze(this.upTo(40 * SECOND)) } : {}),
    }
    const kind = this.one(Object.keys(kinds) as (keyof typeof kinds)[])
    this.troubles[kind] = (this.troubles[kind] ?? 0) + 1
    kinds[kind]!()
  }
}

/** Enough turns for the longest chain of promises between two timers. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 24; i++) await undefined
}

/** What can be seen from outside. */
export class Platform {
  readonly acts: { readonly by: number; readonly term: number }[] = []
  /** What must never be. */
  readonly doubles = { acting: 0, connected: 0 }
  /** How long nobody was connected, each time. */
  readonly gapsMs: number[] = []
  readonly #clock: HeapClock
  readonly #connected = new Set<Tenure>()
  #emptySince: number | undefined
  #count = 0
  #last: { by: number; term: number } | undefined

  constructor(clock: HeapClock) {
    this.#clock = clock
  }

  get connected(): number {
    return this.#connected.size
  }

  get acted(): number {
    return this.#count
  }

  connect(tenure: Tenure): void {
    if (this.#connected.size > 0) this.doubles.connected++
    if (this.#emptySince !== undefined) this.gapsMs.push(this.#clock.now() - this.#emptySince)
    this.#emptySince = undefined
    this.#connected.add(tenure)
  }

  disconnect(tenure: Tenure): void {
    if (this.#connected.delete(tenure) && this.#connected.size === 0) this.#emptySince = this.#clock.now()
  }

  act(by: number, term: number): void {
    this.#count++
    const last = this.#last
    if (last && (term < last.term || (term === last.term && by !== last.by))) this.doubles.acting++
    else this.#last = { by, term }
  }
}

/** One process after another under one name: a crash ends one and its start makes the next. */
export class Member {
  readonly number: number
  lease: Lease<LinkToOwn> | undefined
  readonly #world: World
  readonly #rate: number
  #life = 0
  #frozen = false
  #waiting: (() => void)[] = []
  #cutUntil = 0
  #lateMs = 5
  #lateUntil = 0
  #tenure: Tenure | undefined

  constructor(world: World, number: number) {
    this.#world = world
    this.number = number
    // the first and the last differ most
    const { drift, processes } = world.options
    this.#rate = 1 + drift * (processes === 1 ? 0 : (2 * number) / (processes - 1) - 1)
    this.#start()
  }

  #start(): void {
    const life = ++this.#life
    const { ttlMs } = this.#world.options
    const clock = this.#clockOf(life)
    this.lease = lease<LinkToOwn>('bot', {
      store: this.#storeOf(life),
      clock,
      ttlMs,
      owner: `process ${this.number}`,
      link: (tenure) => this.#link(tenure, clock),
    })
  }

  /** Runs it in this process: later if it is frozen, and never if this life of it is over. */
  #run(life: number, act: () => void): void {
    if (life !== this.#life) return
    if (this.#frozen) this.#waiting.push(() => this.#run(life, act))
    else act()
  }

  #clockOf(life: number): Clock {
    const { clock, random } = this.#world
    const now = () => clock.now() * this.#rate
    return {
      now,
      // one crystal drives both
      wall: () => clock.wall() - clock.now() + now(),
      random,
      setTimeout: (run, ms): Timer => clock.setTimeout(() => this.#run(life, run), Math.max(0, ms) / this.#rate),
      clearTimeout: (timer) => clock.clearTimeout(timer),
    }
  }

  /** The way to the store and the way back: each may be late, and neither leads anywhere while it is cut off. */
  #storeOf(life: number): LeaseStore {
    const { clock, store } = this.#world
    const travel = (then: () => void) => {
      const lateMs = clock.now() < this.#lateUntil ? this.#lateMs : 5
      clock.setTimeout(() => {
        if (clock.now() >= this.#cutUntil) then()
      }, this.#world.upTo(lateMs))
    }
    const ask = <T>(act: () => Promise<T>): Promise<T> =>
      new Promise((resolve) => {
        travel(() => void act().then((answer) => travel(() => this.#run(life, () => resolve(answer)))))
      })
    return {
      read: (key) => ask(() => store.read(key, ANY)),
      replace: (key, expected, value) => ask(() => store.replace(key, expected, value, ANY)),
      watch: (key) =>
        new Observable((subscriber) =>
          store.watch(key).subscribe(() => travel(() => this.#run(life, () => subscriber.next()))),
        ),
      close: async () => undefined,
    }
  }

  /** Connects after a moment, acts for as long as it may, and is gone when it is told or cut. */
  #link(tenure: Tenure, clock: Clock): LinkToOwn {
    const { platform, options } = this.#world
    const state$ = new Subject<LinkStatus>()
    let timer: Timer | undefined
    this.#tenure = tenure
    const end = () => {
      clock.clearTimeout(timer)
      platform.disconnect(tenure)
      state$.complete()
    }
    const act = () => {
      timer = clock.setTimeout(act, ACT_EVERY_MS)
      if (options.reckless || tenure.holds()) platform.act(this.number, tenure.term)
    }
    tenure.whenOver(() => {
      if (!options.reckless) end()
    })
    timer = clock.setTimeout(() => {
      if (!options.reckless && !tenure.holds()) return
      platform.connect(tenure)
      act()
    }, ACT_EVERY_MS)
    const leave = async () => {
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 100))
      end()
    }
    return { id: 'bot', state$, stop: leave, handOver: async () => (await leave()) as unknown as HandOver }
  }

  cutOff(ms: number): void {
    this.#cutUntil = this.#world.clock.now() + ms
  }

  late(byMs: number, forMs: number): void {
    this.#lateMs = byMs
    this.#lateUntil = this.#world.clock.now() + forMs
  }

  /** Its kernel keeps the connection. */
  freeze(ms: number): void {
    if (this.#frozen) return
    this.#frozen = true
    this.#world.clock.setTimeout(() => this.#thaw(), ms)
  }

  #thaw(): void {
    if (!this.#frozen) return
    this.#frozen = false
    for (const act of this.#waiting.splice(0)) act()
  }

  /** Its kernel closes the connection. */
  crash(downMs: number): void {
    this.#end()
    this.#world.clock.setTimeout(() => {
      if (!this.lease) this.#start()
    }, downMs)
  }

  #end(): void {
    this.#life++
    this.#frozen = false
    this.#waiting = []
    this.lease = undefined
    if (this.#tenure) this.#world.platform.disconnect(this.#tenure)
  }

  /** Stops in order, and comes back. */
  async leave(backMs: number): Promise<void> {
    const { lease: left } = this
    const life = this.#life
    await left?.stop()
    if (life === this.#life) this.crash(backMs)
  }

  heal(): void {
    this.#cutUntil = 0
    this.#lateUntil = 0
    this.#thaw()
    if (!this.lease) this.#start()
  }
}
