/**
 * Lines about the outages of many links of one adapter, ten a day at most. Links that fall within a second are one
 * incident and one line, and its end is another; who falls later of the same fault joins it. What comes after that is
 * told at the pace of a single link's outages, and what is not told is counted.
 */
import type { FaultCode } from '../../machines/fault.ts'
import type { Clock, Timer } from '../clock.ts'
import type { Language } from '../explain.ts'
import { Incident, isParked, type Member } from './incident.ts'
import { type IncidentWords, incidentWords } from './incident-words.ts'
import type { Outage } from './outage.ts'
import { type Line, STEADY_AFTER_MS, sayAgainAfterMs } from './outage-log.ts'
import { type OutageWords, outageWords, type Untold } from './outage-words.ts'

/** So long a link that has fallen is held back, for others that fall with it. */
export const COMPANY_WITHIN_MS = 1_000
export const DAY_MS = 86_400_000

const LINES_MAX = 10
/** How many of the day's lines must be left: for a bigger incident than any of the day, for others, for news. */
const LEFT = { bigger: 2, usual: 4, again: 5, news: 6 } as const

/** What others were not told of is said behind the words for a single link. */
const NONE_UNTOLD: Untold = { count: 0, withinMs: 0 }

export interface IncidentLogPorts {
  readonly adapter: string
  readonly clock: Clock
  readonly language: Language
  write(line: Line): void
}

/** A link that has fallen, and may be back. */
interface Fallen {
  readonly member: Member
  readonly since: number
  outage: Outage
  isBack: boolean
}

interface Told {
  readonly at: number
  readonly size: number
}

export class IncidentLog {
  readonly #ports: IncidentLogPorts
  readonly #words: IncidentWords
  readonly #singleWords: OutageWords
  /** Fallen, and not told yet; the first has waited longest. */
  readonly #waiting = new Map<string, Fallen>()
  readonly #open = new Map<Incident, Timer | undefined>()
  /** Of the last day: when a line was written, which incidents were told, and when each code was told last. */
  #lines: number[] = []
  #told: Told[] = []
  readonly #codes = new Map<FaultCode, number>()
  #untold = 0
  #toldAt: number
  #troubledAt: number
  #timer: Timer | undefined

  constructor(ports: IncidentLogPorts) {
    this.#ports = ports
    this.#words = incidentWords[ports.language]
    this.#singleWords = outageWords[ports.language]
    this.#toldAt = this.#troubledAt = ports.clock.now()
  }

  /** Nothing is left to tell, and nothing has been for a day. */
  get isOver(): boolean {
    const isQuiet = this.#waiting.size === 0 && this.#open.size === 0
    return isQuiet && this.#ports.clock.now() - this.#troubledAt > DAY_MS
  }

  /** A line that a link wrote by itself. */
  wrote(at: number): void {
    this.#lines.push(at)
  }

  /** The outage that it is in was told then. */
  told(member: Member, at: number): void {
    const { outage } = member
    if (outage) this.#opened(this.#incidentOf([fallen(member, outage, at)], isParked(member), at))
  }

  fell(member: Member): void {
    const { id, outage } = member
    if (!outage) return
    const now = this.#ports.clock.now()
    this.#troubledAt = now
    const joined = [...this.#open.keys()].find((incident) => this.#takes(incident, member, outage, now))
    if (joined) joined.add(member, outage)
    else {
      if (this.#waiting.has(id)) this.#untold++
      this.#waiting.set(id, fallen(member, outage, now))
    }
    this.#plan()
  }

  /** A link that had fallen waits for a person now. */
  parked(member: Member): void {
    const { id, outage } = member
    const incident = this.#incidentWith(id)
    if (!outage || incident?.isParked) return
    if (incident) {
      incident.remove(id, outage)
      if (incident.isOver) this.#close(incident, outage)
      this.fell(member)
    } else this.#plan()
  }

  ended({ id }: Member, outage: Outage): void {
    const now = this.#ports.clock.now()
    this.#troubledAt = now
    const waiting = this.#waiting.get(id)
    // it fell with those that are about to be told of
    if (waiting && this.#dueAt(now) <= now + COMPANY_WITHIN_MS) Object.assign(waiting, { outage, isBack: true })
    else if (this.#waiting.delete(id)) this.#untold++
    const incident = this.#incidentWith(id)
    incident?.remove(id, outage, outage.end)
    if (incident?.isOver) this.#close(incident, outage)
    this.#plan()
  }

  close(): void {
    const { clock } = this.#ports
    clock.clearTimeout(this.#timer)
    for (const timer of this.#open.values()) clock.clearTimeout(timer)
  }

  #incidentWith(id: string): Incident | undefined {
    return [...this.#open.keys()].find((incident) => incident.has(id))
  }

  /** Until it is told again, which will tell of this one too. */
  #takes(incident: Incident, member: Member, outage: Outage, now: number): boolean {
    const isYoung = now - incident.toldAt < sayAgainAfterMs(0)
    const { code } = incident.isParked ? outage.latest : outage.cause
    return isYoung && incident.isParked === isParked(member) && incident.codes.includes(code)
  }

  /** One timer: for the incident that is to be told next or, when all is well, for the word that it is. */
  #plan(): void {
    const { clock } = this.#ports
    clock.clearTimeout(this.#timer)
    const now = clock.now()
    const isWell = this.#open.size === 0 && this.#untold > 0
    const at = this.#waiting.size > 0 ? this.#dueAt(now) : isWell ? this.#troubledAt + STEADY_AFTER_MS : undefined
    if (at === undefined) return
    this.#timer = clock.setTimeout(
      () => {
        if (this.#waiting.size === 0) this.#steady()
        else if (this.#dueAt(clock.now()) <= clock.now()) this.#begin()
        this.#plan()
      },
      Math.max(0, at - now),
    )
  }

  #dueAt(now: number): number {
    this.#forget(now)
    const [first] = this.#waiting.values()
    const soon = first!.since + COMPANY_WITHIN_MS
    const [oldest = now] = this.#lines
    const left = this.#left(now)
    if (left >= LEFT.news && this.#isNews()) return soon
    const biggest = Math.max(0, ...this.#told.map(({ size }) => size))
    if (left < (this.#waiting.size > biggest ? LEFT.bigger : LEFT.usual)) return oldest + DAY_MS + 1
    const latest = this.#told.at(-1)
    const quietUntil = latest ? latest.at + sayAgainAfterMs(this.#told.length - 1) : 0
    // one that lasts is told, however many there were
    return Math.max(soon, Math.min(quietUntil, first!.since + sayAgainAfterMs(0)))
  }

  /** Something goes wrong that nothing was said of. */
  #isNews(): boolean {
    return [...this.#waiting.values()].some((waiting) => {
      const { latest, cause } = present(waiting)
      return !this.#codes.has((needsPerson(waiting) ? latest : cause).code)
    })
  }

  #forget(now: number): void {
    this.#lines = this.#lines.filter((at) => now - at <= DAY_MS)
    this.#told = this.#told.filter(({ at }) => now - at <= DAY_MS)
    for (const [code, at] of this.#codes) if (now - at > DAY_MS) this.#codes.delete(code)
  }

  /** The lines of this day that nobody has a claim on: each incident of the day is to have its end. */
  #left(now: number): number {
    const young = [...this.#open.keys()].filter(({ toldAt }) => now - toldAt <= DAY_MS)
    return LINES_MAX - this.#lines.length - young.length
  }

  /** Whoever waits for a person is told of first, and by itself. */
  #begin(): void {
    const { adapter, clock } = this.#ports
    const all = [...this.#waiting.values()]
    const parked = all.filter(needsPerson)
    const now = clock.now()
    const incident = this.#incidentOf(parked.length > 0 ? parked : all, parked.length > 0, now)
    this.#opened(incident)
    const [first] = all
    if (incident.isOver && first) {
      this.#close(incident, first.outage)
      return
    }
    const { single } = incident
    const text = single?.outage
      ? this.#singleWords.began(single.outage, single.status, clock.wall(), NONE_UNTOLD)
      : this.#words.began(adapter, incident.shown(now))
    this.#write(incident.isParked ? 'error' : 'warn', text)
  }

  #incidentOf(links: readonly Fallen[], areParked: boolean, toldAt: number): Incident {
    const lastedMs = links.reduce((longest, link) => Math.max(longest, present(link).durationMs), 0)
    const incident = new Incident(areParked, this.#ports.clock.now() - lastedMs, toldAt)
    for (const link of links) {
      const { member, outage, isBack } = link
      this.#waiting.delete(member.id)
      incident.add(member, present(link))
      if (isBack) incident.remove(member.id, outage, outage.end)
    }
    return incident
  }

  #opened(incident: Incident): void {
    this.#told.push({ at: incident.toldAt, size: incident.total })
    for (const code of incident.codes) this.#codes.set(code, incident.toldAt)
    this.#sayAgain(incident, incident.toldAt)
  }

  #sayAgain(incident: Incident, lastAt: number, times = 0): void {
    const { clock } = this.#ports
    const at = lastAt + sayAgainAfterMs(times)
    // of one that was told long ago, only what is still to come
    if (at < clock.now()) {
      this.#sayAgain(incident, at, times + 1)
      return
    }
    const again = () => {
      this.#stillThere(incident)
      this.#sayAgain(incident, at, times + 1)
    }
    this.#open.set(incident, clock.setTimeout(again, at - clock.now()))
  }

  #stillThere(incident: Incident): void {
    const { clock, adapter } = this.#ports
    const now = clock.now()
    this.#forget(now)
    if (this.#left(now) < LEFT.again) return
    const { single } = incident
    const text = single?.outage
      ? this.#singleWords.stillThere(single.outage, single.status, clock.wall())
      : this.#words.stillThere(adapter, incident.shown(now))
    this.#write('warn', text)
  }

  /** If all of its links are parked now, another line says so. */
  #close(incident: Incident, outage: Outage): void {
    const { clock, adapter } = this.#ports
    clock.clearTimeout(this.#open.get(incident))
    this.#open.delete(incident)
    const shown = incident.shown(clock.now())
    const { recovered, held, stopped } = shown.ends
    if (recovered + held + stopped === 0) return
    this.#forget(clock.now())
    if (this.#left(clock.now()) <= 0) return
    const isSingle = incident.total === 1
    const text = isSingle ? this.#singleWords.ended(outage, NONE_UNTOLD) : this.#words.ended(adapter, shown)
    this.#write('info', text)
  }

  #steady(): void {
    const { clock, adapter } = this.#ports
    const now = clock.now()
    this.#forget(now)
    const untold = { count: this.#untold, withinMs: now - this.#toldAt }
    this.#untold = 0
    if (this.#left(now) >= LEFT.again) this.#write('info', this.#words.steady(adapter, STEADY_AFTER_MS, untold), false)
  }

  #write(level: Line['level'], text: string, withUntold = true): void {
    const now = this.#ports.clock.now()
    const untold = { count: this.#untold, withinMs: now - this.#toldAt }
    this.#ports.write({ level, text: withUntold ? text + this.#words.untold(untold) : text })
    this.#untold = 0
    this.#toldAt = now
    this.#lines.push(now)
  }
}

const fallen = (member: Member, outage: Outage, since: number): Fallen => ({ member, outage, since, isBack: false })

/** Its outage as it is by now. */
const present = ({ member, outage, isBack }: Fallen): Outage => (isBack ? outage : (member.outage ?? outage))

const needsPerson = ({ member, isBack }: Fallen): boolean => !isBack && isParked(member)
