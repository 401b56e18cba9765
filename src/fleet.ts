/** Many links under their ids. A link that has stopped, however it came to that, has left. */
import { type Observable, Subject } from 'rxjs'
import { type Adapter, type Calls, describe, refuseUnknown } from './adapter/adapter.ts'
import { realClock } from './clock.ts'
import { HoldfastError, textOf } from './error.ts'
import { FleetLog } from './fleet-log.ts'
import { guarded } from './guarded.ts'
import { connect, type Link } from './link.ts'
import { openTrace, type TraceFile } from './observe/trace-file.ts'
import { checkTelling, type LinkOptions } from './options.ts'
import type { Line, Logger } from './outage/outage-log.ts'

export interface FleetOptions {
  /**
   * A file that every transition of every link is written to: see `traceTo`. Default: what the environment variable
   * HOLDFAST_TRACE names, if it is set; false for none.
   */
  readonly trace?: string | false
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
  const { trace, ...forLinks } = options
  checkTelling(forLinks)
  if (trace !== undefined && trace !== false && (typeof trace !== 'string' || trace === '')) {
    throw new HoldfastError('bad-option', `trace is ${describe(trace)}; it must be the name of a file, or false.`)
  }
  const file = trace === undefined ? traceOfEnvironment() : trace ? openTrace(trace) : undefined
  return new RunningFleet(file, forLinks)
}

/** Whoever set the variable is not who wrote the program: a file that cannot be opened must not keep the bot down. */
const traceOfEnvironment = (): TraceFile | undefined => {
  const file = process.env.HOLDFAST_TRACE
  if (!file) return undefined
  try {
    return openTrace(file)
  } catch (error) {
    process.emitWarning(`HOLDFAST_TRACE: ${textOf(error)}`, 'HoldfastWarning')
    return undefined
  }
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
  readonly #trace: TraceFile | undefined
  readonly #forLinks: Omit<LinkOptions, 'logger'>
  readonly #log: FleetLog | undefined
  #stopped: Promise<void> | undefined

  constructor(trace: TraceFile | undefined, { logger, ...forLinks }: LinkOptions) {
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
    this.#trace?.follow(held)
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
