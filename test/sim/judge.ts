/** Watches one world: after each timer and each move, at each dial, each write and each transition. */
import { deadlines, RETRY_AFTER_MAX_MS, TIMER_MAX_MS } from '../../machines/delay.ts'
import { type Fault, faults, kindOf } from '../../machines/fault.ts'
import type { StateName } from '../../machines/link.ts'
import type { Frame } from '../../src/adapter/adapter.ts'
import { readObject } from '../../src/adapter/json.ts'
import type { LinkStatus } from '../../src/explain.ts'
import { heartbeatDefaults } from '../../src/heartbeat.ts'
import type { TransitionRecord } from '../../src/observe/recorder.ts'
import { DIALS_MAX_A_MINUTE } from './bounds.ts'
import type { Verdicts } from './verdicts.ts'
import type { Wire, WireEvents } from './wire.ts'
import { bounds, CLOGGED_BYTES, type World } from './world.ts'

const { quietMs, quietWaitingMs, answerMaxMs } = heartbeatDefaults
const SILENCE_MAX_MS = quietMs + answerMaxMs

const attached: readonly StateName[] = [
  'connecting',
  'handshaking',
  'registered',
  'live',
  'degraded.suspect',
  'degraded.impaired',
  'closing',
]
/** Where silence is the heartbeat's to notice; `registered` has a deadline for it. */
const heartbeating: readonly StateName[] = ['live', 'degraded.suspect', 'degraded.impaired']
const writing: readonly StateName[] = ['live', 'closing']

/** How far away the next timer of the link may be. `backoff` says itself; the resting states have none. */
const dueWithin: Partial<Record<StateName, number>> = {
  resolving: deadlines.resolveDeadline,
  connecting: deadlines.connectDeadline,
  handshaking: deadlines.handshakeDeadline,
  registered: deadlines.replayDeadline,
  live: quietMs,
  'degraded.suspect': deadlines.suspectGrace,
  'degraded.impaired': quietMs,
  closing: deadlines.closeDeadline,
}

/** How long the peer asked us to wait; what makes no sense is no wish. */
const askedMs = (fault: Fault | null | undefined): number => {
  const asked = fault?.retryAfterMs ?? 0
  return asked > 0 ? Math.min(asked, RETRY_AFTER_MAX_MS) : 0
}

/** Round trips are fractions of a millisecond, and so are sums with them. */
const ROUNDING_MS = 0.001

const MINUTE_MS = 60_000

export class Judge implements WireEvents {
  readonly states = new Set<StateName>()
  readonly #world: World
  #shown: LinkStatus | undefined
  /** The link may dial once for each time that it began to look for its peer. */
  #mayDial = true
  #byItself = true
  #waitsUntil = 0
  #liveSince = 0
  #attempt = 1
  #dialedAt: number[] = []
  #writtenIn: StateName[] = []

  constructor(world: World) {
    this.#world = world
  }

  get #verdicts(): Verdicts {
    return this.#world.verdicts
  }

  get #now(): number {
    return this.#world.clock.now()
  }

  armed(delayMs: number): void {
    this.#verdicts.check('HF-S12', delayMs >= 0 && delayMs <= TIMER_MAX_MS, () => `a timer of ${delayMs} ms`)
  }

  dialed(): void {
    const { wires, state } = this.#world
    const open = wires.filter(({ ended }) => !ended).length
    this.#verdicts.check('HF-S1', open === 1, () => `${open} transports are open after the dial`)
    this.#verdicts.check('HF-S9', this.#mayDial, () => `a dial in ${state} that nothing allowed`)
    this.#mayDial = false
    // what a person orders is the person's business; what the link does by itself is bounded
    if (!this.#byItself) return
    this.#dialedAt = [...this.#dialedAt.filter((at) => at > this.#now - MINUTE_MS), this.#now]
    const { length } = this.#dialedAt
    this.#verdicts.check('HF-C6', length <= DIALS_MAX_A_MINUTE, () => `${length} dials within a minute`)
  }

  wrote(wire: Wire, frame: Frame): void {
    this.#verdicts.check('HF-S6', !wire.ended, () => `written to an ended transport: ${String(frame)}`)
    const { op, key } = readObject(frame) ?? {}
    if (op === 'probe') this.#probed(wire, String(key))
    const { state, letters } = this.#world
    if (!letters.wrote(wire, frame)) return
    if (!writing.includes(state)) this.#writtenIn.push(state)
    const buffered = wire.transport?.bufferedBytes ?? 0
    this.#verdicts.check('HF-S11', buffered < CLOGGED_BYTES, () => `written on top of ${buffered} bytes`)
  }

  pinged(wire: Wire, mark: string): void {
    if (mark.startsWith('p')) this.#probed(wire, mark)
    else wire.unanswered.push(mark)
    this.#world.letters.pinged(wire, mark)
  }

  #probed(wire: Wire, mark: string): void {
    wire.unanswered.push(mark)
    const gapMs = this.#now - (wire.probedAt ?? Number.NEGATIVE_INFINITY)
    wire.probedAt = this.#now
    this.#verdicts.check('HF-S20', gapMs >= quietWaitingMs - ROUNDING_MS, () => `${gapMs} ms between two probes`)
  }

  told(wire: Wire, frame: Frame): void {
    const { op, key } = readObject(frame) ?? {}
    if (op === 'answer') wire.heardAnswer(String(key))
    this.#world.letters.told(frame)
  }

  answered(wire: Wire, mark: string): void {
    wire.heardAnswer(mark)
    this.#world.letters.ponged(wire, mark)
  }

  recorded(record: TransitionRecord): void {
    const { from, event, to, elapsedMs } = record
    // the status follows the record, so what is written on the way into live is still shown in the state before
    if (writing.includes(to)) this.#writtenIn = []
    this.#judgeAttempt(record)
    if (to === 'live' && from !== 'live') this.#liveSince = elapsedMs
    if (to === 'backoff' && from !== 'backoff') this.#waitsUntil = elapsedMs + (record.delayMs ?? Number.NaN)
    if (to !== 'resolving') return
    this.#mayDial = true
    this.#byItself = event === 'after backoffDelay'
    const asked = askedMs(this.#shown?.fault)
    const waited = this.#byItself && from === 'backoff' && elapsedMs >= this.#waitsUntil - ROUNDING_MS
    const invited = event === 'dial.invited' && from === 'backoff' && asked === 0
    const resumed = event === 'operator.resume' && from === 'parked'
    this.#verdicts.check('HF-S9', waited || invited || resumed, () => `${event} leads from ${from} to a dial`)
  }

  #judgeAttempt({ from, event, to, attempt, elapsedMs }: TransitionRecord): void {
    const waits = to === 'backoff' && from !== 'backoff'
    const proven = event === 'after provenAfter' && elapsedMs - this.#liveSince >= deadlines.provenAfter - ROUNDING_MS
    const forgiven = proven || event === 'operator.resume'
    const expected = forgiven ? attempt === 1 : waits ? attempt >= 2 : attempt === this.#attempt
    const what = () => `${from} ${event} ${to}: attempt ${this.#attempt} becomes ${attempt}`
    this.#verdicts.check('HF-S8', expected, what)
    this.#attempt = attempt
  }

  /** Every status, the first included. */
  shown(status: LinkStatus): void {
    const before = this.#shown
    this.#shown = status
    this.states.add(status.state)
    const { state, fault, nextDialAt } = status
    if (before?.state === state) return
    if (state === 'parked') this.#judgeParking(fault, before?.fault ?? null)
    const asked = askedMs(fault)
    if (state !== 'backoff' || nextDialAt === null) return
    const waitMs = nextDialAt - this.#world.clock.wall()
    this.#verdicts.check(
      'HF-S9',
      waitMs >= asked - ROUNDING_MS,
      () => `asked to wait ${asked} ms, it waits ${waitMs} ms`,
    )
  }

  #judgeParking(fault: Fault | null, before: Fault | null): void {
    const kind = fault && kindOf(fault)
    const deserved = kind === 'fatal' || (kind === 'doubtful' && before !== null && kindOf(before) === 'doubtful')
    this.#verdicts.check('HF-L3', deserved, () => `parked by ${fault?.code} after ${before?.code}`)
    const advice = fault ? faults[fault.code].advice : { en: '', zh: '' }
    const said = (['en', 'zh'] as const).every((language) => {
      const { because, next, text } = this.#world.link.explain({ language })
      return advice[language] !== '' && because.includes(advice[language]) && text.includes(next) && next !== ''
    })
    this.#verdicts.check('HF-L3', said, () => `no advice for ${fault?.code}`)
  }

  /** When nothing is half done: after each timer and each move. */
  look(): void {
    const { state, wires, link, wire } = this.#world
    const open = wires.filter(({ ended }) => !ended).length
    this.#verdicts.check('HF-S1', open <= 1, () => `${open} transports are open in ${state}`)
    const due = attached.includes(state) ? 1 : 0
    this.#verdicts.check('HF-S2', open === due, () => `${open} transports are open in ${state}`)
    const [stray] = this.#writtenIn
    this.#verdicts.check('HF-S7', stray === undefined, () => `written in ${stray}`)
    this.#writtenIn = []
    this.#judgeTimers(link.status)
    if (wire) this.#judgeSilence(state, wire)
    const { waiting } = link.stats.outbox
    const { kept, total } = link.recording
    const kepts = kept.length === Math.min(total, bounds.recordsMax)
    this.#verdicts.check('HF-S11', waiting <= bounds.messagesMax && kepts, () => `${waiting} wait, ${kept.length} kept`)
  }

  #judgeTimers({ state, nextDialAt }: LinkStatus): void {
    const { linkClock } = this.#world
    const bound = nextDialAt === null ? dueWithin[state] : nextDialAt - this.#world.clock.wall()
    if (bound !== undefined) {
      const inMs = linkClock.nextDue - this.#now
      this.#verdicts.check(
        'HF-S4',
        inMs <= bound + ROUNDING_MS,
        () => `in ${state} the next timer is due in ${inMs} ms`,
      )
    }
    if (state !== 'stopped') return
    const { size } = linkClock.due
    this.#verdicts.check('HF-Q1', size === 0, () => `${size} timers are left`)
  }

  #judgeSilence(state: StateName, wire: Wire): void {
    if (!heartbeating.includes(state)) return
    const since = Math.max(wire.aliveAt ?? 0, this.#world.awakeAt)
    const silentMs = this.#now - since
    const bound = state === 'live' ? SILENCE_MAX_MS : SILENCE_MAX_MS + deadlines.suspectGrace
    this.#verdicts.check('HF-S5', silentMs <= bound + ROUNDING_MS, () => `${state} after ${silentMs} ms of silence`)
  }
}
