/** Many links under their ids. A link that has stopped, however it came to that, has left. */
import { type Observable, Subject } from 'rxjs'
import { type Adapter, type Calls, refuseUnknown } from './adapter/adapter.ts'
import { realClock } from './clock.ts'
import { HoldfastError, textOf } from './error.ts'
import { FleetLog } from './fleet-log.ts'
import { guarded } from './guarded.ts'
import { connect, type Link } from './link.ts'
import { type TraceShare, traceOf } from './observe/shared-trace.ts'
import { checkTelling, checkTrace, type LinkOptions } from './options.ts'
import type { Line, Logger } from './outage/outage-log.ts'

export interface FleetOptions {
  /** For every link that has none of its own; see the options of a link. The file stays open until the fleet has stopped. */
  readonly trace?: LinkOptions['trace']
  /**
   * For every link that has none of its own. Links of one adapter that fall together are one line, and one more when the
   * last of them is back: ten lines a day at most, however many there are. One that falls alone is told of as any link.
   */
  readonly logger?: LinkOptions['logger']
  /** For every link that has none of its own; see the options of a link. */
  readonly logLanguage?: LinkOptions['logLanguage']
  /** The same. It is called for each link. */
  readonly onParked?: LinkOptions['onParked']
}

export interface FleetChange {
  readonly kind: 'added' | 'removed'
  readonly link: Link
}

export interface Fleet extends Iterable<Link>, AsyncDisposable {
  readonly links: readonly Link[]
  /** Links that come and go, as it happens; completes when the fleet has stopped. */
  readonly changes$: Observable<FleetChange>
  /**
   * Starts a link, as `connect()` does. Without an id it is named after its adapter and numbered. Throws HoldfastError
   * `bad-option` for an id that the fleet has, and `stopped` after `stop()`.
   */
  add<In, Out, C extends Calls>(adapter: Adapter<In, Out, C>, options?: LinkOptions): Link<In, Out, C>
  get(id: string): Link | undefined
  /** Stops the link; it leaves when it has stopped. Resolves then, and at once if there is no such link. */
  remove(id: string, options?: { drainMs?: number }): Promise<void>
  /** Stops all links, all at once. Resolves when nothing of them is left. */
  stop(options?: { drainMs?: number }): Promise<void>
}

/** Throws HoldfastError `bad-option`, or `store-failed` if the trace file cannot be opened. */
export const fleet = (options: FleetOptions = {}): Fleet => {
  refuseUnknown(options, ['trace', 'logger', 'logLanguage', 'onParked'], 'options of fleet()')
  checkTelling(options)
  return new RunningFleet(traceOf(checkTrace(options.trace)), options)
}

const logOf = (logger: Logger): FleetLog => {
  const lines$ = new Subject<Line>()
  const careful$ = guarded(lines$, (error) =>
    process.emitWarning(`The option "logger" of fleet() threw ${textOf(error)}.`, 'HoldfastWarning'),
  )
  careful$.subscribe(({ level, text }) => logger[level](text))
  return new FleetLog((line) => lines$.next(line))
}

class RunningFleet implements Fleet {
  readonly changes$: Observable<FleetChange>
  readonly #changes$ = new Subject<FleetChange>()
  readonly #links = new Map<string, Link>()
  readonly #trace: TraceShare | undefined
  readonly #forLinks: Omit<LinkOptions, 'logger'>
  readonly #log: FleetLog | undefined
  #stopped: Promise<void> | undefined

  constructor(trace: TraceShare | undefined, { logger, ...forLinks }: LinkOptions) {
    this.#trace = trace
    this.#forLinks = forLinks
    this.#log = logger && logOf(logger)
    this.changes$ = guarded(this.#changes$, (error) =>
      process.emitWarning(`A listener of changes$ threw ${textOf(error)}.`, 'HoldfastWarning'),
    )
  }

  get links(): readonly Link[] {
    return [...this.#links.values()]
  }

  add<In, Out, C extends Calls>(adapter: Adapter<In, Out, C>, options: LinkOptions = {}): Link<In, Out, C> {
    if (this.#stopped) throw new HoldfastError('stopped', 'The fleet was stopped: it takes no more links.')
    const id = options?.id ?? options?.lease?.id ?? this.#freeId(adapter?.name)
    if (this.#links.has(id)) {
      throw new HoldfastError('bad-option', `The fleet has a link "${id}" already; ids are unique: choose another.`)
    }
    const link = connect(adapter, { ...this.#forLinks, ...options, id })
    const held = link as Link
    this.#links.set(id, held)
    if (!options?.logger) this.#follow(held, options)
    this.#changes$.next({ kind: 'added', link: held })
    link.state$.subscribe({ complete: () => this.#left(held) })
    return link
  }

  #follow(link: Link, { clock = realClock, logLanguage = this.#forLinks.logLanguage ?? 'en' }: LinkOptions): void {
    this.#log?.follow(link, clock, logLanguage)
  }

  /** Four random digits, as a link alone has them, would meet again among a few hundred. */
  #freeId(name: string): string {
    let number = this.#links.size + 1
    while (this.#links.has(`${name}-${number}`)) number++
    return `${name}-${number}`
  }

  #left(link: Link): void {
    this.#links.delete(link.id)
    this.#changes$.next({ kind: 'removed', link })
  }

  get(id: string): Link | undefined {
    return this.#links.get(id)
  }

  async remove(id: string, options?: { drainMs?: number }): Promise<void> {
    await this.#links.get(id)?.stop(options)
  }

  stop(options?: { drainMs?: number }): Promise<void> {
    // asked again: only the links that are left have something to hear
    const links = Promise.all(this.links.map((link) => link.stop(options)))
    this.#stopped ??= this.#end(links)
    return this.#stopped
  }

  async #end(links: Promise<unknown>): Promise<void> {
    await links
    this.#changes$.complete()
    await this.#trace?.close()
  }

  [Symbol.iterator](): Iterator<Link> {
    return this.links[Symbol.iterator]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
