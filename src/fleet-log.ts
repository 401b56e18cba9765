/**
 * The log of a fleet. As long as one link alone of an adapter is in trouble, its lines are those of any link; of a second
 * one on, they are told together.
 */
import type { Clock, Timer } from './clock.ts'
import type { Language } from './explain.ts'
import type { Link } from './link.ts'
import type { Member } from './outage/incident.ts'
import { COMPANY_WITHIN_MS, DAY_MS, IncidentLog, type IncidentLogPorts } from './outage/incident-log.ts'
import type { OutageNotice } from './outage/outage.ts'
import { type Line, OutageLog } from './outage/outage-log.ts'

export type Followed = Pick<Link, 'id' | 'adapterName' | 'status' | 'outage' | 'outages$'>

export class FleetLog {
  readonly #write: (line: Line) => void
  readonly #logs: AdapterLog[] = []

  constructor(write: (line: Line) => void) {
    this.#write = write
  }

  /** Until the link has stopped. */
  follow(link: Followed, clock: Clock, language: Language): void {
    let log = this.#logs.find((known) => known.isFor(link, clock, language))
    if (!log) {
      log = new AdapterLog({ adapter: link.adapterName, clock, language, write: this.#write })
      this.#logs.push(log)
    }
    log.follow(link)
  }
}

/** So many lines that a link wrote alone are among the ten of the day for all: one that wrote more must not silence them. */
const OWN_MAX = 6

/** Of the links of one adapter. */
class AdapterLog {
  readonly #ports: IncidentLogPorts
  /** The only link that was in trouble of late, and the lines of it that wait for company. */
  #only: Member | undefined
  #troubledAt = 0
  #held: Line[] = []
  #holding: Timer | undefined
  /** What was written last of the only one, the oldest first. */
  #written: { readonly at: number; readonly level: Line['level'] }[] = []
  /** There while several are, or were, in trouble. */
  #incidents: IncidentLog | undefined
  #followed = 0

  constructor(ports: IncidentLogPorts) {
    this.#ports = ports
  }

  isFor({ adapterName }: Followed, clock: Clock, language: Language): boolean {
    const { adapter, ...ports } = this.#ports
    return adapter === adapterName && ports.clock === clock && ports.language === language
  }

  follow(link: Followed): void {
    const { clock, language } = this.#ports
    const own = new OutageLog({
      id: link.id,
      clock,
      language,
      status: () => link.status,
      outage: () => link.outage,
      write: (line) => this.#ownLine(line),
    })
    const notice = (told: OutageNotice) => {
      this.#notice(link, told)
      own.notice(told)
    }
    this.#followed++
    if (link.outage) notice({ kind: 'began', outage: link.outage })
    link.outages$.subscribe({
      next: notice,
      complete: () => {
        own.close()
        this.#left(link)
      },
    })
  }

  #notice(link: Member, { kind, outage }: OutageNotice): void {
    if (link.id === this.#only?.id) this.#troubledAt = this.#ports.clock.now()
    if (kind === 'began') this.#fell(link)
    else if (kind === 'ended') this.#incidents?.ended(link, outage)
    else if (link.status.state === 'parked') this.#incidents?.parked(link)
  }

  #fell(link: Member): void {
    if (this.#incidents?.isOver) this.#endIncidents()
    if (!this.#incidents && this.#isAlone(link)) {
      this.#only = link
      this.#troubledAt = this.#ports.clock.now()
      this.#hold()
      return
    }
    this.#incidents ??= this.#share()
    this.#incidents.fell(link)
  }

  #isAlone({ id }: Member): boolean {
    if (!this.#only || this.#only.id === id) return true
    return !this.#only.outage && this.#ports.clock.now() - this.#troubledAt > DAY_MS
  }

  /** One link has no company to wait for. */
  #hold(): void {
    if (this.#followed < 2) return
    const { clock } = this.#ports
    clock.clearTimeout(this.#holding)
    this.#holding = clock.setTimeout(() => this.#release(), COMPANY_WITHIN_MS)
  }

  #release(): void {
    this.#ports.clock.clearTimeout(this.#holding)
    this.#holding = undefined
    for (const line of this.#held.splice(0)) this.#pass(line)
  }

  #ownLine(line: Line): void {
    if (this.#incidents) return
    if (this.#holding) this.#held.push(line)
    else this.#pass(line)
  }

  #pass(line: Line): void {
    this.#written = [...this.#written.slice(1 - OWN_MAX), { at: this.#ports.clock.now(), level: line.level }]
    this.#ports.write(line)
  }

  /** From now on they are told together; what was said of the first one stays said. */
  #share(): IncidentLog {
    const only = this.#only!
    const isNew = only.outage !== null && this.#held.some(({ level }) => level !== 'info')
    if (isNew) this.#held = this.#held.slice(0, this.#held.findLastIndex(({ level }) => level === 'info') + 1)
    this.#release()
    const log = new IncidentLog(this.#ports)
    const last = this.#written.at(-1)
    const isTold = only.outage !== null && last !== undefined && last.level !== 'info'
    const now = this.#ports.clock.now()
    for (const { at } of this.#written) if (now - at <= DAY_MS) log.wrote(at)
    if (isTold && !isNew) log.told(only, last.at)
    if (only.outage && (isNew || !isTold)) log.fell(only)
    return log
  }

  #endIncidents(): void {
    this.#incidents?.close()
    this.#incidents = undefined
    this.#only = undefined
    this.#written = []
  }

  #left(link: Member): void {
    this.#followed--
    if (link.id === this.#only?.id) this.#release()
    if (this.#followed === 0) this.#endIncidents()
  }
}
