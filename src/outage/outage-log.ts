/**
 * Lines about outages, as few as say it: one when it begins, one when it ends, and in between one after ten minutes, two
 * hours and then each day, however many faults there are. A link that is live for moments only, and lost for the same cause
 * again and again, is told of at the same pace: what is not told is counted.
 */
import type { FaultCode } from '../../machines/fault.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Language, LinkStatus } from '../explain.ts'
import type { Outage, OutageNotice } from './outage.ts'
import { type OutageWords, outageWords, type Untold } from './outage-words.ts'

/**
 * Where a link writes its lines: `console` will do, and so will what `pino()` gives. Each call has one argument, a whole
 * line of text: of an object beside it one of the two would make a mess and the other would drop it.
 */
export interface Logger {
  info(line: string): void
  warn(line: string): void
  error(line: string): void
}

export interface Line {
  readonly level: keyof Logger
  readonly text: string
}

/** How long nothing more is said of what was said already: the first time, the second, and from then on. */
const SAY_AGAIN_AFTER_MS = [600_000, 7_200_000, 86_400_000] as const
/** So long live that what comes then is another story. */
export const STEADY_AFTER_MS = 600_000

export const sayAgainAfterMs = (times: number): number =>
  SAY_AGAIN_AFTER_MS[Math.min(times, SAY_AGAIN_AFTER_MS.length - 1)] as number

/** Outages that follow each other closely. */
interface Series {
  readonly codes: Set<FaultCode>
  told: number
  /** Until then one more of the same codes is only counted. */
  quietUntil: number
  untold: number
  /** When the last line was written that told of all there was to tell. */
  toldAt: number
}

export interface OutageLogPorts {
  readonly id: string
  readonly clock: Clock
  readonly language: Language
  status(): LinkStatus
  outage(): Outage | null
  write(line: Line): void
}

export class OutageLog {
  readonly #ports: OutageLogPorts
  readonly #words: OutageWords
  #series: Series | undefined
  /** What was said of the present outage, and how often since. */
  #said: 'nothing' | 'not live' | 'parked' = 'nothing'
  #times = 0
  #timer: Timer | undefined

  constructor(ports: OutageLogPorts) {
    this.#ports = ports
    this.#words = outageWords[ports.language]
  }

  notice({ kind, outage }: OutageNotice): void {
    if (kind === 'began') this.#began(outage)
    else if (kind === 'ended') this.#ended(outage)
    else if (this.#isParked && this.#said !== 'parked') this.#tell(outage, this.#said === 'nothing' ? 1 : 0)
  }

  close(): void {
    this.#ports.clock.clearTimeout(this.#timer)
  }

  get #isParked(): boolean {
    return this.#ports.status().state === 'parked'
  }

  #began(outage: Outage): void {
    const series = this.#series
    const waitMs = series?.codes.has(outage.cause.code) ? series.quietUntil - this.#ports.clock.now() : 0
    // a person who is needed is told at once
    if (!series || waitMs <= 0 || this.#isParked) {
      this.#tell(outage)
      return
    }
    series.untold++
    // one that lasts is told, however many there were
    this.#after(Math.min(waitMs, sayAgainAfterMs(0)), () => {
      const lasting = this.#ports.outage()
      if (lasting) this.#tell(lasting, 1)
    })
  }

  /** `counted`: how many of those that were not told are this one. */
  #tell(outage: Outage, counted = 0): void {
    const { clock, status } = this.#ports
    const now = clock.now()
    const untold = this.#untold(counted)
    this.#series ??= { codes: new Set(), told: 0, quietUntil: 0, untold: 0, toldAt: now }
    const series = this.#series
    series.codes.add(outage.cause.code)
    if (this.#said === 'nothing') series.quietUntil = now + sayAgainAfterMs(series.told++)
    this.#said = this.#isParked ? 'parked' : 'not live'
    this.#times = 0
    this.#write(this.#isParked ? 'error' : 'warn', this.#words.began(outage, status(), clock.wall(), untold))
    this.#sayAgain()
  }

  #sayAgain(): void {
    this.#after(sayAgainAfterMs(this.#times++), () => {
      const { outage, status, clock } = this.#ports
      const lasting = outage()
      if (!lasting) return
      this.#write('warn', this.#words.stillThere(lasting, status(), clock.wall()))
      this.#sayAgain()
    })
  }

  #ended(outage: Outage): void {
    const wasSaid = this.#said !== 'nothing'
    this.#said = 'nothing'
    if (wasSaid) this.#write('info', this.#words.ended(outage, this.#untold()))
    if (outage.end === 'recovered') this.#after(STEADY_AFTER_MS, () => this.#steady())
    else this.#forget()
  }

  #steady(): void {
    const untold = this.#untold()
    if (untold.count > 0) this.#write('info', this.#words.steady(this.#ports.id, STEADY_AFTER_MS, untold))
    this.#forget()
  }

  #forget(): void {
    this.close()
    this.#series = undefined
  }

  #untold(counted = 0): Untold {
    const { untold: count = 0, toldAt = 0 } = this.#series ?? {}
    return { count: Math.max(0, count - counted), withinMs: this.#ports.clock.now() - toldAt }
  }

  #write(level: Line['level'], text: string): void {
    const series = this.#series
    if (series) Object.assign(series, { untold: 0, toldAt: this.#ports.clock.now() })
    this.#ports.write({ level, text })
  }

  #after(ms: number, act: () => void): void {
    const { clock } = this.#ports
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(act, ms)
  }
}
